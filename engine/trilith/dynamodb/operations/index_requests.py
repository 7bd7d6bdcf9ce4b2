"""The secondary indexes in CreateTable's and UpdateTable's requests, checked.

Messages are the service's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from trilith.dynamodb.errors import DynamoDBError, validation
from trilith.dynamodb.operations.table_settings import (
    INVALID,
    changed_warm_throughput,
    require_change,
)
from trilith.tables.definitions import (
    ACTIVE,
    CREATING,
    DELETING,
    PAY_PER_REQUEST,
    PROVISIONED,
    GlobalIndex,
    KeyAttribute,
    LocalIndex,
    TableRecord,
)

LOCAL_INDEXES_MAX = 5
GLOBAL_INDEXES_MAX = 20
KEY_ATTRIBUTES_MAX = 4  # of a global index's partition key, and of its sort key
INCLUDED_MAX = 100  # over all the indexes of a table

_ONE_AT_A_TIME = (
    "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per "
    "table"
)
_SAME_NAME = "Both the Hash Key and the Range Key element in the KeySchema have the same name"
_SOME_SAME_NAME = "The KeySchema contains multiple key attributes with the same name"
_HASHES_FIRST = (
    f"{INVALID}All HASH key attributes must precede RANGE key attributes in the KeySchema"
)
_ACTIONS = ("Update", "Create", "Delete")
# What UpdateTable does not change while it makes or unmakes an index.
_NOT_WITH_AN_INDEX = {
    "ProvisionedThroughput": "You cannot create or delete index while updating table IOPS",
    "StreamSpecification": "You cannot create or delete index while changing stream status",
    "DeletionProtectionEnabled": (
        "DeletionProtection modification must be the only operation in the request"
    ),
    "TableClass": "TableClass modification must be the only operation in the request",
}

Attributes = dict[str, KeyAttribute]


def not_served(member: str) -> DynamoDBError:
    return validation(f"{INVALID}{member} is not supported")


def attributes_of(document: dict[str, Any]) -> Attributes:
    """AttributeDefinitions by name."""
    found: Attributes = {}
    for one in document.get("AttributeDefinitions", ()):
        name = one["AttributeName"]
        if name in found:
            raise validation(f"Attribute Name is duplicated: {name}")
        found[name] = KeyAttribute(name, one["AttributeType"])
    return found


def key_schema(
    schema: list[dict[str, str]], attributes: Attributes, where: str = "keySchema"
) -> tuple[KeyAttribute, KeyAttribute | None]:
    """Partition and sort key of a table, or of a local index (`where` in the request).

    The order of the checks is the service's.
    """
    names = [element["AttributeName"] for element in schema]
    _require_hash_first(schema)
    if len(names) > 2:
        shown = ", ".join(
            f"KeySchemaElement(attributeName={one['AttributeName']}, keyType={one['KeyType']})"
            for one in schema
        )
        raise validation(
            f"1 validation error detected: Value '[{shown}]' at '{where}' failed to satisfy "
            "constraint: Member must have length less than or equal to 2"
        )
    if len(names) == 2 and names[0] == names[1]:
        raise validation(_SAME_NAME)
    if len(names) == 2 and schema[1]["KeyType"] != "RANGE":
        raise validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
    _require_defined(names, attributes, is_index=where != "keySchema")
    return attributes[names[0]], attributes[names[1]] if len(names) == 2 else None


def _global_key_schema(
    schema: list[dict[str, str]], attributes: Attributes
) -> tuple[list[KeyAttribute], list[KeyAttribute]]:
    """What the partition and the sort key of a global index are made of.

    Source: AWS, "Multi-attribute key schema".
    """
    names = [element["AttributeName"] for element in schema]
    _require_hash_first(schema)
    if len(set(names)) < len(names):
        raise validation(_SAME_NAME if len(names) == 2 else _SOME_SAME_NAME)
    types = [element["KeyType"] for element in schema]
    hashes = types.count("HASH")
    for kind, count in (("HASH", hashes), ("RANGE", len(types) - hashes)):
        if count > KEY_ATTRIBUTES_MAX:
            raise validation(
                f"{INVALID}The KeySchema exceeds the maximum allowed number of {kind} key "
                "attributes"
            )
    if "RANGE" in types[:hashes]:
        raise validation(_HASHES_FIRST)
    _require_defined(names, attributes, is_index=True)
    keys = [attributes[name] for name in names]
    return keys[:hashes], keys[hashes:]


def _require_hash_first(schema: list[dict[str, str]]) -> None:
    if schema[0]["KeyType"] != "HASH":
        raise validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")


def _require_defined(names: list[str], attributes: Attributes, *, is_index: bool) -> None:
    if all(name in attributes for name in names):
        return
    if not is_index:
        raise validation("Invalid KeySchema: Some index key attribute have no definition")
    raise validation(
        f"{INVALID}Some index key attributes are not defined in AttributeDefinitions. "
        f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(attributes)}]"
    )


def local_indexes(
    document: dict[str, Any],
    attributes: Attributes,
    partition: KeyAttribute,
    sort: KeyAttribute | None,
) -> tuple[LocalIndex, ...]:
    given = document.get("LocalSecondaryIndexes", [])
    if document.get("LocalSecondaryIndexes") == []:
        raise validation(f"{INVALID}List of LocalSecondaryIndexes is empty")
    if given and sort is None:
        raise validation(
            f"{INVALID}Table KeySchema does not have a range key, which is required "
            "when specifying a LocalSecondaryIndex"
        )
    if len(given) > LOCAL_INDEXES_MAX:
        raise validation(
            f"{INVALID}Number of LocalSecondaryIndexes exceeds per-table limit of "
            f"{LOCAL_INDEXES_MAX}"
        )
    indexes: list[LocalIndex] = []
    for number, one in enumerate(given):
        name = one["IndexName"]
        _require_new_name(name, indexes)
        where = f"localSecondaryIndexes.{number + 1}.member.keySchema"
        index_partition, index_sort = key_schema(one["KeySchema"], attributes, where)
        if index_partition.name != partition.name:
            raise validation(
                f"{INVALID}Index KeySchema does not have the same leading hash key as table "
                f"KeySchema for index: {name}. index hash key: {index_partition.name}, "
                f"table hash key: {partition.name}"
            )
        if index_sort is None:
            raise validation(
                f"{INVALID}Index KeySchema does not have a range key for index: {name}"
            )
        indexes.append(LocalIndex(number, name, index_sort, *_projection(one["Projection"])))
    return tuple(indexes)


def global_indexes(
    document: dict[str, Any],
    attributes: Attributes,
    billing_mode: str,
    local: tuple[LocalIndex, ...],
    new_id: Callable[[], bytes],
    now_ms: int,
) -> tuple[GlobalIndex, ...]:
    """Of a new table: ACTIVE, for there is nothing to fill them with."""
    given = document.get("GlobalSecondaryIndexes")
    if given is None:
        return ()
    if not given:
        raise validation(f"{INVALID}List of GlobalSecondaryIndexes is empty")
    if len(given) > GLOBAL_INDEXES_MAX:
        raise validation(
            f"{INVALID}GlobalSecondaryIndex count exceeds the per-table limit of "
            f"{GLOBAL_INDEXES_MAX}"
        )
    indexes: list[GlobalIndex] = []
    for one in given:
        _require_new_name(one["IndexName"], (*local, *indexes))
        index = _global_index(one, attributes, billing_mode, new_id(), now_ms)
        indexes.append(msgspec.structs.replace(index, status=ACTIVE))
    return tuple(indexes)


def _global_index(
    one: dict[str, Any], attributes: Attributes, billing_mode: str, index_id: bytes, now_ms: int
) -> GlobalIndex:
    name = one["IndexName"]
    if one.get("OnDemandThroughput"):
        raise not_served("OnDemandThroughput")
    partition, sort = _global_key_schema(one["KeySchema"], attributes)
    projection, included = _projection(one["Projection"])
    read_units, write_units = _units(one.get("ProvisionedThroughput"), name, billing_mode)
    return GlobalIndex(
        name,
        index_id,
        partition[0],
        sort[0] if sort else None,
        projection,
        included,
        CREATING,
        now_ms,
        read_units,
        write_units,
        warm=changed_warm_throughput(
            None, one, billing_mode, read_units, write_units, f"index {name}"
        ),
        more_partition=tuple(partition[1:]),
        more_sort=tuple(sort[1:]),
    )


def _units(throughput: dict[str, int] | None, name: str, billing_mode: str) -> tuple[int, int]:
    if billing_mode == PAY_PER_REQUEST:
        if throughput is not None:
            raise validation(
                f"{INVALID}ProvisionedThroughput should not be specified for index: {name} when "
                "BillingMode is PAY_PER_REQUEST"
            )
        return 0, 0
    if throughput is None:
        raise validation(f"{INVALID}ProvisionedThroughput is not specified for index: {name}")
    return throughput["ReadCapacityUnits"], throughput["WriteCapacityUnits"]


def _projection(projection: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    kind = projection.get("ProjectionType")
    if kind is None:
        raise validation(f"{INVALID}Unknown ProjectionType: null")
    included = projection.get("NonKeyAttributes")
    if kind != "INCLUDE":
        if included is not None:
            raise validation(
                f"{INVALID}ProjectionType is {kind}, but NonKeyAttributes is specified"
            )
        return kind, ()
    if included is None:
        raise validation(
            f"{INVALID}ProjectionType is INCLUDE, but NonKeyAttributes is not specified"
        )
    if len(set(included)) < len(included):
        twice = next(name for name in included if included.count(name) > 1)
        raise validation(f"{INVALID}Duplicate element in NonKeyAttributes: {twice}")
    return kind, tuple(included)


def _require_new_name(name: str, others: Iterable[LocalIndex | GlobalIndex]) -> None:
    if any(index.name == name for index in others):
        raise validation(f"{INVALID}Duplicate index name: {name}")


def require_few_included(record: TableRecord) -> None:
    """The attributes that the indexes of a table include, each time they are."""
    included = sum(len(index.included) for index in record.indexes)
    included += sum(len(index.included) for index in record.global_indexes)
    if included > INCLUDED_MAX:
        raise validation(
            f"{INVALID}Number of NonKeyAttributes across all indexes exceeds the limit of "
            f"{INCLUDED_MAX}: {included}"
        )


# --- UpdateTable ---------------------------------------------------------------------------------


def check_updates(document: dict[str, Any]) -> None:
    """What of GlobalSecondaryIndexUpdates is wrong whatever the table. Raises DynamoDBError."""
    if document.get("GlobalSecondaryIndexUpdates") == []:
        raise validation(f"{INVALID}List of GlobalSecondaryIndexUpdates is empty")
    seen: set[str] = set()
    for update in document.get("GlobalSecondaryIndexUpdates", ()):
        actions = [action for action in _ACTIONS if update.get(action) is not None]
        if not actions:
            raise validation(
                f"{INVALID}One of GlobalSecondaryIndexUpdate.Update, "
                "GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be "
                "null"
            )
        if len(actions) > 1:
            raise validation(
                f"{INVALID}Only one global secondary index action is allowed per "
                "GlobalSecondaryIndexUpdate object"
            )
        name = update[actions[0]]["IndexName"]
        if name in seen:
            raise validation(
                f"{INVALID}Only one global secondary index update per index is allowed "
                f"simultaneously. Index: {name}"
            )
        seen.add(name)
    online = [u for u in document.get("GlobalSecondaryIndexUpdates", ()) if "Update" not in u]
    if len(online) > 1:
        raise DynamoDBError("LimitExceededException", _ONE_AT_A_TIME)
    for member, message in _NOT_WITH_AN_INDEX.items() if online else ():
        if member in document and "BillingMode" not in document:
            raise validation(f"{INVALID}{message}")


def with_updates(
    record: TableRecord, document: dict[str, Any], index_id: bytes, now_ms: int
) -> TableRecord:
    """A table's record with GlobalSecondaryIndexUpdates done; its billing is changed already."""
    for update in document.get("GlobalSecondaryIndexUpdates", ()):
        if "Create" in update:
            record = _with_new(record, document, update["Create"], index_id, now_ms)
        elif "Delete" in update:
            index = _existing(record, update["Delete"]["IndexName"], "delete")
            _require_no_other_work(record, index.name)
            if index.status == DELETING:
                raise _in_use(record, index)
            record = _with_index(record, msgspec.structs.replace(index, status=DELETING))
        else:
            record = _with_units(record, update["Update"])
    return record


def _with_new(
    record: TableRecord, document: dict[str, Any], one: dict[str, Any], index_id: bytes, now_ms: int
) -> TableRecord:
    name = one["IndexName"]
    if record.index(name) is not None or record.global_index(name) is not None:
        raise validation("Attempting to create an index which already exists")
    _require_no_other_work(record, "")
    if len(record.global_indexes) >= GLOBAL_INDEXES_MAX:
        raise DynamoDBError(
            "LimitExceededException",
            "Subscriber limit exceeded: Number of global secondary indexes exceeds per-table "
            f"limit of {GLOBAL_INDEXES_MAX}",
        )
    declared = {attribute.name: attribute for attribute in record.attributes}
    given = attributes_of(document)
    if not given:
        raise validation(f"{INVALID}AttributeDefinitions is not specified for index: {name}")
    _require_units(one, record.billing_mode)
    index = _global_index(one, given, record.billing_mode, index_id, now_ms)
    _require_same_types(declared, index)
    index = msgspec.structs.replace(index, born=record.revision + 1)
    record = msgspec.structs.replace(record, global_indexes=(*record.global_indexes, index))
    require_few_included(record)
    for key in index.key_attributes():
        declared.setdefault(key.name, key)
    return msgspec.structs.replace(record, attributes=tuple(declared.values()))


def _require_units(one: dict[str, Any], billing_mode: str) -> None:
    """UpdateTable's words for what CreateTable says otherwise."""
    name, is_given = one["IndexName"], "ProvisionedThroughput" in one
    if billing_mode == PAY_PER_REQUEST and is_given:
        raise validation(
            f"{INVALID}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for "
            f"index: {name} when BillingMode is PAY_PER_REQUEST"
        )
    if billing_mode == PROVISIONED and not is_given:
        raise validation(
            f"{INVALID}Both ReadCapacityUnits and WriteCapacityUnits must be specified for "
            f"index: {name}"
        )


def _require_same_types(declared: Attributes, index: GlobalIndex) -> None:
    """What is declared already keeps its type."""
    for key in index.key_attributes():
        before = declared.get(key.name, key)
        if before.kind != key.kind:
            kind = "HASH" if key in index.partition_attributes() else "RANGE"
            raise validation(
                f"{INVALID}Attributes cannot be redefined. Please check that your attribute has "
                "the same type as previously defined. Existing schema: Schema:[SchemaElement: "
                f"key{{{key.name}:{before.kind}:{kind}}}] New schema: Schema:[SchemaElement: "
                f"key{{{key.name}:{key.kind}:{kind}}}]"
            )


def _with_units(record: TableRecord, update: dict[str, Any]) -> TableRecord:
    if update.get("OnDemandThroughput"):
        raise not_served("OnDemandThroughput")
    index = _existing(record, update["IndexName"], "update")
    if index.status == DELETING:
        raise _in_use(record, index)
    mode, throughput = record.billing_mode, update.get("ProvisionedThroughput")
    read, write = index.read_units, index.write_units
    if throughput is not None or update.get("WarmThroughput") is None:
        read, write = _changed_units(throughput, index, mode)
    changed = msgspec.structs.replace(
        index,
        read_units=read,
        write_units=write,
        warm=changed_warm_throughput(index.warm, update, mode, read, write, f"index {index.name}"),
    )
    return _with_index(record, changed)


def _changed_units(
    throughput: dict[str, int] | None, index: GlobalIndex, billing_mode: str
) -> tuple[int, int]:
    if billing_mode == PAY_PER_REQUEST:
        raise validation(
            f"{INVALID}The only Updates for index: {index.name} when TableThroughputMode is "
            "PAY_PER_REQUEST can be to OnDemandThroughput, WarmThroughput"
        )
    units = _units(throughput, index.name, billing_mode)
    require_change(f"index {index.name}", (index.read_units, index.write_units), units)
    return units


def with_billing(record: TableRecord, document: dict[str, Any], before: str) -> TableRecord:
    """Indexes follow their table's billing mode. `before`: the mode that it had."""
    if record.billing_mode == PAY_PER_REQUEST and before != PAY_PER_REQUEST:
        indexes = tuple(
            msgspec.structs.replace(index, read_units=0, write_units=0)
            for index in record.global_indexes
        )
        return msgspec.structs.replace(record, global_indexes=indexes)
    if record.billing_mode == PROVISIONED and before != PROVISIONED:
        updates = document.get("GlobalSecondaryIndexUpdates", ())
        given = {one["Update"]["IndexName"] for one in updates if "Update" in one}
        missing = [index.name for index in record.global_indexes if index.name not in given]
        if missing:
            raise validation(
                f"{INVALID}ProvisionedThroughput must be specified for index: {','.join(missing)}"
            )
    return record


def _existing(record: TableRecord, name: str, verb: str) -> GlobalIndex:
    index = record.global_index(name)
    if record.index(name) is not None:
        raise validation(f"Cannot {verb} an index that is not a GlobalSecondaryIndex: {name}")
    if index is None:
        raise DynamoDBError(
            "ResourceNotFoundException",
            f"Requested resource not found: Index {name} for table {record.name}",
        )
    return index


def _with_index(record: TableRecord, changed: GlobalIndex) -> TableRecord:
    indexes = tuple(
        changed if index.name == changed.name else index for index in record.global_indexes
    )
    return msgspec.structs.replace(record, global_indexes=indexes)


def _require_no_other_work(record: TableRecord, name: str) -> None:
    if any(index.status != ACTIVE and index.name != name for index in record.global_indexes):
        raise DynamoDBError("LimitExceededException", _ONE_AT_A_TIME)


def _in_use(record: TableRecord, index: GlobalIndex) -> DynamoDBError:
    return DynamoDBError(
        "ResourceInUseException",
        "Attempt to change a resource which is still in use: Index is being deleted. "
        f"Table: {record.name} Index: {index.name}",
    )
