"""The requests of the operations that are served: botocore's service model as a table.

A test compares it with botocore's. What differs on purpose: members that hold attribute values or
expression names are `AnyValue` (their own modules check them), as are vector indexes and witness
groups, which are not served; table names are checked as names even where the model also admits an
ARN; CreateTable needs keys and attributes, as before it could take them from another table; which
table classes there are is told by table_settings.py.
"""

from __future__ import annotations

from trilith.dynamodb.shapes import (
    SHAPES,
    AnyValue,
    AttributeName,
    Boolean,
    ListOf,
    MapOf,
    String,
    Structure,
    TableName,
    Whole,
)

INPUTS = {
    "BatchGetItem": "BatchGetItemInput",
    "BatchWriteItem": "BatchWriteItemInput",
    "CreateTable": "CreateTableInput",
    "DeleteItem": "DeleteItemInput",
    "DeleteTable": "DeleteTableInput",
    "DescribeEndpoints": "DescribeEndpointsRequest",
    "DescribeLimits": "DescribeLimitsInput",
    "DescribeTable": "DescribeTableInput",
    "DescribeTimeToLive": "DescribeTimeToLiveInput",
    "GetItem": "GetItemInput",
    "ListTables": "ListTablesInput",
    "ListTagsOfResource": "ListTagsOfResourceInput",
    "PutItem": "PutItemInput",
    "Query": "QueryInput",
    "Scan": "ScanInput",
    "TagResource": "TagResourceInput",
    "TransactGetItems": "TransactGetItemsInput",
    "TransactWriteItems": "TransactWriteItemsInput",
    "UntagResource": "UntagResourceInput",
    "UpdateItem": "UpdateItemInput",
    "UpdateTable": "UpdateTableInput",
    "UpdateTimeToLive": "UpdateTimeToLiveInput",
}

SHAPES.update(
    {
        "AttributeAction": String(one_of=("ADD", "DELETE", "PUT")),
        "AttributeDefinition": Structure(
            {"AttributeName": "KeySchemaAttributeName", "AttributeType": "ScalarAttributeType"},
            ("AttributeName", "AttributeType"),
        ),
        "AttributeDefinitions": ListOf("AttributeDefinition"),
        "AttributeName": AttributeName(most=65535),
        "AttributeNameList": ListOf("AttributeName", least=1),
        "AttributeUpdates": MapOf("AttributeName", "AttributeValueUpdate"),
        "AttributeValue": AnyValue(),
        "AttributeValueList": AnyValue(),
        "AttributeValueUpdate": Structure({"Value": "AttributeValue", "Action": "AttributeAction"}),
        "BatchGetItemInput": Structure(
            {
                "RequestItems": "BatchGetRequestMap",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
            },
            ("RequestItems",),
        ),
        "BatchGetRequestMap": MapOf("TableName", "KeysAndAttributes", least=1, most=100),
        "BatchWriteItemInput": Structure(
            {
                "RequestItems": "BatchWriteItemRequestMap",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ReturnItemCollectionMetrics": "ReturnItemCollectionMetrics",
            },
            ("RequestItems",),
        ),
        "BatchWriteItemRequestMap": MapOf("TableName", "WriteRequests", least=1, most=25),
        "BillingMode": String(one_of=("PROVISIONED", "PAY_PER_REQUEST")),
        "BooleanObject": Boolean(),
        "ClientRequestToken": String(least=1, most=36),
        "ComparisonOperator": String(
            one_of=(
                "IN",
                "NULL",
                "BETWEEN",
                "LT",
                "NOT_CONTAINS",
                "EQ",
                "GT",
                "NOT_NULL",
                "NE",
                "LE",
                "BEGINS_WITH",
                "GE",
                "CONTAINS",
            )
        ),
        "Condition": Structure(
            {
                "AttributeValueList": "AttributeValueList",
                "ComparisonOperator": "ComparisonOperator",
            },
            ("ComparisonOperator",),
        ),
        "ConditionCheck": Structure(
            {
                "Key": "Key",
                "TableName": "TableName",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("Key", "TableName", "ConditionExpression"),
        ),
        "ConditionExpression": String(),
        "ConditionalOperator": String(one_of=("OR", "AND")),
        "ConsistentRead": Boolean(),
        "CreateGlobalSecondaryIndexAction": Structure(
            {
                "IndexName": "IndexName",
                "KeySchema": "KeySchema",
                "Projection": "Projection",
                "ProvisionedThroughput": "ProvisionedThroughput",
                "OnDemandThroughput": "OnDemandThroughput",
                "WarmThroughput": "WarmThroughput",
            },
            ("IndexName", "KeySchema", "Projection"),
        ),
        "CreateReplicationGroupMemberAction": Structure(
            {
                "RegionName": "RegionName",
                "KMSMasterKeyId": "KMSMasterKeyId",
                "ProvisionedThroughputOverride": "ProvisionedThroughputOverride",
                "OnDemandThroughputOverride": "OnDemandThroughputOverride",
                "GlobalSecondaryIndexes": "ReplicaGlobalSecondaryIndexList",
                "TableClassOverride": "TableClass",
            },
            ("RegionName",),
        ),
        "CreateTableInput": Structure(
            {
                "AttributeDefinitions": "AttributeDefinitions",
                "TableName": "TableName",
                "KeySchema": "KeySchema",
                "LocalSecondaryIndexes": "LocalSecondaryIndexList",
                "GlobalSecondaryIndexes": "GlobalSecondaryIndexList",
                "BillingMode": "BillingMode",
                "ProvisionedThroughput": "ProvisionedThroughput",
                "StreamSpecification": "StreamSpecification",
                "SSESpecification": "SSESpecification",
                "Tags": "TagList",
                "TableClass": "TableClass",
                "DeletionProtectionEnabled": "DeletionProtectionEnabled",
                "WarmThroughput": "WarmThroughput",
                "ResourcePolicy": "ResourcePolicy",
                "OnDemandThroughput": "OnDemandThroughput",
                "GlobalTableSourceArn": "TableArn",
                "GlobalTableSettingsReplicationMode": "GlobalTableSettingsReplicationMode",
                "VectorIndexes": "VectorIndexList",
            },
            ("AttributeDefinitions", "TableName", "KeySchema"),
        ),
        "Delete": Structure(
            {
                "Key": "Key",
                "TableName": "TableName",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("Key", "TableName"),
        ),
        "DeleteGlobalSecondaryIndexAction": Structure({"IndexName": "IndexName"}, ("IndexName",)),
        "DeleteItemInput": Structure(
            {
                "TableName": "TableName",
                "Key": "Key",
                "Expected": "ExpectedAttributeMap",
                "ConditionalOperator": "ConditionalOperator",
                "ReturnValues": "ReturnValue",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ReturnItemCollectionMetrics": "ReturnItemCollectionMetrics",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("TableName", "Key"),
        ),
        "DeleteReplicationGroupMemberAction": Structure(
            {"RegionName": "RegionName"}, ("RegionName",)
        ),
        "DeleteRequest": Structure({"Key": "Key"}, ("Key",)),
        "DeleteTableInput": Structure({"TableName": "TableName"}, ("TableName",)),
        "DeletionProtectionEnabled": Boolean(),
        "DescribeEndpointsRequest": Structure({}),
        "DescribeLimitsInput": Structure({}),
        "DescribeTableInput": Structure({"TableName": "TableName"}, ("TableName",)),
        "DescribeTimeToLiveInput": Structure({"TableName": "TableName"}, ("TableName",)),
        "DisassociateReplicationGroupMemberAction": Structure(
            {"RegionName": "RegionName", "DisassociationMode": "DisassociationMode"},
            ("RegionName", "DisassociationMode"),
        ),
        "DisassociationMode": String(one_of=("WAIT_FOR_REPLICATION",)),
        "DisassociationProtectionEnabled": Boolean(),
        "ExpectedAttributeMap": MapOf("AttributeName", "ExpectedAttributeValue"),
        "ExpectedAttributeValue": Structure(
            {
                "Value": "AttributeValue",
                "Exists": "BooleanObject",
                "ComparisonOperator": "ComparisonOperator",
                "AttributeValueList": "AttributeValueList",
            }
        ),
        "ExpressionAttributeNameMap": AnyValue(),
        "ExpressionAttributeValueMap": AnyValue(),
        "FilterConditionMap": MapOf("AttributeName", "Condition"),
        "Get": Structure(
            {
                "Key": "Key",
                "TableName": "TableName",
                "ProjectionExpression": "ProjectionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
            },
            ("Key", "TableName"),
        ),
        "GetItemInput": Structure(
            {
                "TableName": "TableName",
                "Key": "Key",
                "AttributesToGet": "AttributeNameList",
                "ConsistentRead": "ConsistentRead",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ProjectionExpression": "ProjectionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
            },
            ("TableName", "Key"),
        ),
        "GlobalSecondaryIndex": Structure(
            {
                "IndexName": "IndexName",
                "KeySchema": "KeySchema",
                "Projection": "Projection",
                "ProvisionedThroughput": "ProvisionedThroughput",
                "OnDemandThroughput": "OnDemandThroughput",
                "WarmThroughput": "WarmThroughput",
            },
            ("IndexName", "KeySchema", "Projection"),
        ),
        "GlobalSecondaryIndexList": ListOf("GlobalSecondaryIndex"),
        "GlobalSecondaryIndexUpdate": Structure(
            {
                "Update": "UpdateGlobalSecondaryIndexAction",
                "Create": "CreateGlobalSecondaryIndexAction",
                "Delete": "DeleteGlobalSecondaryIndexAction",
            }
        ),
        "GlobalSecondaryIndexUpdateList": ListOf("GlobalSecondaryIndexUpdate"),
        "GlobalTableSettingsReplicationMode": String(
            one_of=("ENABLED", "DISABLED", "ENABLED_WITH_OVERRIDES")
        ),
        "GlobalTableWitnessGroupUpdateList": AnyValue(),
        "IndexName": String(least=3, most=255, pattern="[a-zA-Z0-9_.-]+"),
        "KMSMasterKeyId": String(),
        "Key": AnyValue(),
        "KeyConditions": MapOf("AttributeName", "Condition"),
        "KeyExpression": String(),
        "KeyList": ListOf("Key", least=1, most=100),
        "KeySchema": ListOf("KeySchemaElement", least=1),
        "KeySchemaAttributeName": String(least=1, most=255),
        "KeySchemaElement": Structure(
            {"AttributeName": "KeySchemaAttributeName", "KeyType": "KeyType"},
            ("AttributeName", "KeyType"),
        ),
        "KeyType": String(one_of=("HASH", "RANGE")),
        "KeysAndAttributes": Structure(
            {
                "Keys": "KeyList",
                "AttributesToGet": "AttributeNameList",
                "ConsistentRead": "ConsistentRead",
                "ProjectionExpression": "ProjectionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
            },
            ("Keys",),
        ),
        "ListTablesInput": Structure(
            {"ExclusiveStartTableName": "TableName", "Limit": "ListTablesInputLimit"}
        ),
        "ListTablesInputLimit": Whole("Integer", least=1, most=100),
        "ListTagsOfResourceInput": Structure(
            {"ResourceArn": "ResourceArnString", "NextToken": "NextTokenString"}, ("ResourceArn",)
        ),
        "LocalSecondaryIndex": Structure(
            {"IndexName": "IndexName", "KeySchema": "KeySchema", "Projection": "Projection"},
            ("IndexName", "KeySchema", "Projection"),
        ),
        "LocalSecondaryIndexList": ListOf("LocalSecondaryIndex"),
        "LongObject": Whole("Long"),
        "MultiRegionConsistency": String(one_of=("EVENTUAL", "STRONG")),
        "NextTokenString": String(),
        "NonKeyAttributeName": String(least=1, most=255),
        "NonKeyAttributeNameList": ListOf("NonKeyAttributeName", least=1, most=20),
        "OnDemandThroughput": Structure(
            {"MaxReadRequestUnits": "LongObject", "MaxWriteRequestUnits": "LongObject"}
        ),
        "OnDemandThroughputOverride": Structure({"MaxReadRequestUnits": "LongObject"}),
        "PositiveIntegerObject": Whole("Integer", least=1),
        "PositiveLongObject": Whole("Long", least=1),
        "Projection": Structure(
            {"ProjectionType": "ProjectionType", "NonKeyAttributes": "NonKeyAttributeNameList"}
        ),
        "ProjectionExpression": String(),
        "ProjectionType": String(one_of=("ALL", "INCLUDE", "KEYS_ONLY")),
        "ProvisionedThroughput": Structure(
            {"ReadCapacityUnits": "PositiveLongObject", "WriteCapacityUnits": "PositiveLongObject"},
            ("ReadCapacityUnits", "WriteCapacityUnits"),
        ),
        "ProvisionedThroughputOverride": Structure({"ReadCapacityUnits": "PositiveLongObject"}),
        "Put": Structure(
            {
                "Item": "PutItemInputAttributeMap",
                "TableName": "TableName",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("Item", "TableName"),
        ),
        "PutItemInput": Structure(
            {
                "TableName": "TableName",
                "Item": "PutItemInputAttributeMap",
                "Expected": "ExpectedAttributeMap",
                "ReturnValues": "ReturnValue",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ReturnItemCollectionMetrics": "ReturnItemCollectionMetrics",
                "ConditionalOperator": "ConditionalOperator",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("TableName", "Item"),
        ),
        "PutItemInputAttributeMap": AnyValue(),
        "PutRequest": Structure({"Item": "PutItemInputAttributeMap"}, ("Item",)),
        "QueryInput": Structure(
            {
                "TableName": "TableName",
                "IndexName": "IndexName",
                "Select": "Select",
                "AttributesToGet": "AttributeNameList",
                "Limit": "PositiveIntegerObject",
                "ConsistentRead": "ConsistentRead",
                "KeyConditions": "KeyConditions",
                "QueryFilter": "FilterConditionMap",
                "ConditionalOperator": "ConditionalOperator",
                "ScanIndexForward": "BooleanObject",
                "ExclusiveStartKey": "Key",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ProjectionExpression": "ProjectionExpression",
                "FilterExpression": "ConditionExpression",
                "KeyConditionExpression": "KeyExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
            },
            ("TableName",),
        ),
        "RegionName": String(),
        "ReplicaGlobalSecondaryIndex": Structure(
            {
                "IndexName": "IndexName",
                "ProvisionedThroughputOverride": "ProvisionedThroughputOverride",
                "OnDemandThroughputOverride": "OnDemandThroughputOverride",
            },
            ("IndexName",),
        ),
        "ReplicaGlobalSecondaryIndexList": ListOf("ReplicaGlobalSecondaryIndex", least=1),
        "ReplicationGroupUpdate": Structure(
            {
                "Create": "CreateReplicationGroupMemberAction",
                "Update": "UpdateReplicationGroupMemberAction",
                "Delete": "DeleteReplicationGroupMemberAction",
                "Disassociate": "DisassociateReplicationGroupMemberAction",
            }
        ),
        "ReplicationGroupUpdateList": ListOf("ReplicationGroupUpdate", least=1),
        "ResourceArnString": String(least=1, most=1283),
        "ResourcePolicy": String(),
        "ReturnConsumedCapacity": String(one_of=("INDEXES", "TOTAL", "NONE")),
        "ReturnItemCollectionMetrics": String(one_of=("SIZE", "NONE")),
        "ReturnValue": String(one_of=("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")),
        "ReturnValuesOnConditionCheckFailure": String(one_of=("ALL_OLD", "NONE")),
        "SSEEnabled": Boolean(),
        "SSESpecification": Structure(
            {"Enabled": "SSEEnabled", "SSEType": "SSEType", "KMSMasterKeyId": "KMSMasterKeyId"}
        ),
        "SSEType": String(one_of=("AES256", "KMS")),
        "ScalarAttributeType": String(one_of=("B", "N", "S")),
        "ScanInput": Structure(
            {
                "TableName": "TableName",
                "IndexName": "IndexName",
                "AttributesToGet": "AttributeNameList",
                "Limit": "PositiveIntegerObject",
                "Select": "Select",
                "ScanFilter": "FilterConditionMap",
                "ConditionalOperator": "ConditionalOperator",
                "ExclusiveStartKey": "Key",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "TotalSegments": "ScanTotalSegments",
                "Segment": "ScanSegment",
                "ProjectionExpression": "ProjectionExpression",
                "FilterExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ConsistentRead": "ConsistentRead",
            },
            ("TableName",),
        ),
        "ScanSegment": Whole("Integer", least=0, most=999999),
        "ScanTotalSegments": Whole("Integer", least=1, most=1000000),
        "Select": String(
            one_of=("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
        ),
        "StreamEnabled": Boolean(),
        "StreamSpecification": Structure(
            {"StreamEnabled": "StreamEnabled", "StreamViewType": "StreamViewType"},
            ("StreamEnabled",),
        ),
        "StreamViewType": String(
            one_of=("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")
        ),
        "TableArn": String(least=1, most=1024),
        "TableClass": String(),
        "TableName": TableName(least=3, most=255, pattern="[a-zA-Z0-9_.-]+"),
        "Tag": Structure({"Key": "TagKeyString", "Value": "TagValueString"}, ("Key", "Value")),
        "TagKeyList": ListOf("TagKeyString"),
        "TagKeyString": String(least=1, most=128),
        "TagList": ListOf("Tag"),
        "TagResourceInput": Structure(
            {"ResourceArn": "ResourceArnString", "Tags": "TagList"}, ("ResourceArn", "Tags")
        ),
        "TagValueString": String(least=0, most=256),
        "TimeToLiveAttributeName": String(least=1, most=255),
        "TimeToLiveEnabled": Boolean(),
        "TimeToLiveSpecification": Structure(
            {"Enabled": "TimeToLiveEnabled", "AttributeName": "TimeToLiveAttributeName"},
            ("Enabled", "AttributeName"),
        ),
        "TransactGetItem": Structure({"Get": "Get"}, ("Get",)),
        "TransactGetItemList": ListOf("TransactGetItem", least=1, most=100),
        "TransactGetItemsInput": Structure(
            {
                "TransactItems": "TransactGetItemList",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
            },
            ("TransactItems",),
        ),
        "TransactWriteItem": Structure(
            {
                "ConditionCheck": "ConditionCheck",
                "Put": "Put",
                "Delete": "Delete",
                "Update": "Update",
            }
        ),
        "TransactWriteItemList": ListOf("TransactWriteItem", least=1, most=100),
        "TransactWriteItemsInput": Structure(
            {
                "TransactItems": "TransactWriteItemList",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ReturnItemCollectionMetrics": "ReturnItemCollectionMetrics",
                "ClientRequestToken": "ClientRequestToken",
            },
            ("TransactItems",),
        ),
        "UntagResourceInput": Structure(
            {"ResourceArn": "ResourceArnString", "TagKeys": "TagKeyList"},
            ("ResourceArn", "TagKeys"),
        ),
        "Update": Structure(
            {
                "Key": "Key",
                "UpdateExpression": "UpdateExpression",
                "TableName": "TableName",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("Key", "UpdateExpression", "TableName"),
        ),
        "UpdateExpression": String(),
        "UpdateGlobalSecondaryIndexAction": Structure(
            {
                "IndexName": "IndexName",
                "ProvisionedThroughput": "ProvisionedThroughput",
                "OnDemandThroughput": "OnDemandThroughput",
                "WarmThroughput": "WarmThroughput",
            },
            ("IndexName",),
        ),
        "UpdateItemInput": Structure(
            {
                "TableName": "TableName",
                "Key": "Key",
                "AttributeUpdates": "AttributeUpdates",
                "Expected": "ExpectedAttributeMap",
                "ConditionalOperator": "ConditionalOperator",
                "ReturnValues": "ReturnValue",
                "ReturnConsumedCapacity": "ReturnConsumedCapacity",
                "ReturnItemCollectionMetrics": "ReturnItemCollectionMetrics",
                "UpdateExpression": "UpdateExpression",
                "ConditionExpression": "ConditionExpression",
                "ExpressionAttributeNames": "ExpressionAttributeNameMap",
                "ExpressionAttributeValues": "ExpressionAttributeValueMap",
                "ReturnValuesOnConditionCheckFailure": "ReturnValuesOnConditionCheckFailure",
            },
            ("TableName", "Key"),
        ),
        "UpdateReplicationGroupMemberAction": Structure(
            {
                "RegionName": "RegionName",
                "KMSMasterKeyId": "KMSMasterKeyId",
                "ProvisionedThroughputOverride": "ProvisionedThroughputOverride",
                "OnDemandThroughputOverride": "OnDemandThroughputOverride",
                "GlobalSecondaryIndexes": "ReplicaGlobalSecondaryIndexList",
                "TableClassOverride": "TableClass",
            },
            ("RegionName",),
        ),
        "UpdateTableInput": Structure(
            {
                "AttributeDefinitions": "AttributeDefinitions",
                "TableName": "TableName",
                "BillingMode": "BillingMode",
                "ProvisionedThroughput": "ProvisionedThroughput",
                "GlobalSecondaryIndexUpdates": "GlobalSecondaryIndexUpdateList",
                "StreamSpecification": "StreamSpecification",
                "SSESpecification": "SSESpecification",
                "ReplicaUpdates": "ReplicationGroupUpdateList",
                "TableClass": "TableClass",
                "DeletionProtectionEnabled": "DeletionProtectionEnabled",
                "MultiRegionConsistency": "MultiRegionConsistency",
                "GlobalTableWitnessUpdates": "GlobalTableWitnessGroupUpdateList",
                "OnDemandThroughput": "OnDemandThroughput",
                "WarmThroughput": "WarmThroughput",
                "GlobalTableSettingsReplicationMode": "GlobalTableSettingsReplicationMode",
                "DisassociationProtectionEnabled": "DisassociationProtectionEnabled",
                "VectorIndexUpdates": "VectorIndexUpdateList",
            },
            ("TableName",),
        ),
        "UpdateTimeToLiveInput": Structure(
            {"TableName": "TableName", "TimeToLiveSpecification": "TimeToLiveSpecification"},
            ("TableName", "TimeToLiveSpecification"),
        ),
        "VectorIndexList": AnyValue(),
        "VectorIndexUpdateList": AnyValue(),
        "WarmThroughput": Structure(
            {"ReadUnitsPerSecond": "LongObject", "WriteUnitsPerSecond": "LongObject"}
        ),
        "WriteRequest": Structure({"PutRequest": "PutRequest", "DeleteRequest": "DeleteRequest"}),
        "WriteRequests": ListOf("WriteRequest", least=1, most=25),
    }
)
