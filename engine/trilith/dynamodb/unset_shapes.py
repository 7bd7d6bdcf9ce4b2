"""The requests that ask for what no table has: see operations/unset_features.py.

botocore's service model as a table, as request_shapes.py.
"""

from __future__ import annotations

from trilith.dynamodb.shapes import SHAPES, String, Structure, Timestamp, Whole

INPUTS = {
    "DescribeContinuousBackups": "DescribeContinuousBackupsInput",
    "DescribeContributorInsights": "DescribeContributorInsightsInput",
    "DescribeGlobalTable": "DescribeGlobalTableInput",
    "DescribeKinesisStreamingDestination": "DescribeKinesisStreamingDestinationInput",
    "ListBackups": "ListBackupsInput",
    "ListContributorInsights": "ListContributorInsightsInput",
    "ListExports": "ListExportsInput",
    "ListGlobalTables": "ListGlobalTablesInput",
    "ListImports": "ListImportsInput",
}

SHAPES.update(
    {
        "BackupArn": String(least=37, most=1024),
        "BackupTypeFilter": String(one_of=("USER", "SYSTEM", "AWS_BACKUP", "ALL")),
        "BackupsInputLimit": Whole("Integer", least=1, most=100),
        "DescribeContinuousBackupsInput": Structure({"TableName": "TableName"}, ("TableName",)),
        "DescribeContributorInsightsInput": Structure(
            {"TableName": "TableName", "IndexName": "IndexName"}, ("TableName",)
        ),
        "DescribeGlobalTableInput": Structure(
            {"GlobalTableName": "TableName"}, ("GlobalTableName",)
        ),
        "DescribeKinesisStreamingDestinationInput": Structure(
            {"TableName": "TableName"}, ("TableName",)
        ),
        "ExportNextToken": String(),
        "ImportNextToken": String(least=112, most=1024, pattern="([0-9a-f]{16})+"),
        "ListBackupsInput": Structure(
            {
                "TableName": "TableName",
                "Limit": "BackupsInputLimit",
                "TimeRangeLowerBound": "TimeRangeLowerBound",
                "TimeRangeUpperBound": "TimeRangeUpperBound",
                "ExclusiveStartBackupArn": "BackupArn",
                "BackupType": "BackupTypeFilter",
            }
        ),
        "ListContributorInsightsInput": Structure(
            {
                "TableName": "TableName",
                "NextToken": "NextTokenString",
                "MaxResults": "ListContributorInsightsLimit",
            }
        ),
        "ListContributorInsightsLimit": Whole("Integer", most=100),
        "ListExportsInput": Structure(
            {
                "TableArn": "TableArn",
                "MaxResults": "ListExportsMaxLimit",
                "NextToken": "ExportNextToken",
            }
        ),
        "ListExportsMaxLimit": Whole("Integer", least=1, most=25),
        "ListGlobalTablesInput": Structure(
            {
                "ExclusiveStartGlobalTableName": "TableName",
                "Limit": "PositiveIntegerObject",
                "RegionName": "RegionName",
            }
        ),
        "ListImportsInput": Structure(
            {
                "TableArn": "TableArn",
                "PageSize": "ListImportsMaxLimit",
                "NextToken": "ImportNextToken",
            }
        ),
        "ListImportsMaxLimit": Whole("Integer", least=1, most=25),
        "TimeRangeLowerBound": Timestamp(),
        "TimeRangeUpperBound": Timestamp(),
    }
)
