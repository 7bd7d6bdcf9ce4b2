"""Single items: what a leader answers, and what it lets into the log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trilith.errors import Corruption, InvalidRequest
from trilith.tables import layout
from trilith.tables.commands import (
    ConditionFailed,
    DeleteItem,
    GetItem,
    PutItem,
    Terms,
    UpdateItem,
    Written,
)
from trilith.tables.expressions.conditions import Equals, Missing
from trilith.tables.expressions.operands import Attribute, Literal
from trilith.tables.expressions.updates import Add, Remove, Set, Update
from trilith.tables.item_codec import encode_item
from trilith.tables.layout import INDEX, ITEM, TABLES_KEYSPACE
from trilith.tables.sizes import item_size
from trilith.tables.sources import item_key

from .local_tables import INDEXES, TABLE_ID, LocalTables, item, table

PLAIN = table()
INDEXED = table(indexes=INDEXES)


def put(value: dict[str, Any], **terms: Any) -> PutItem:
    key = item_key(PLAIN, value)
    return PutItem(key, Terms(TABLE_ID, **terms), encode_item(value), item_size(value))


def update(value: dict[str, Any], *actions: Any, **terms: Any) -> UpdateItem:
    key = {name: value[name] for name in ("pk", "sk")}
    logical = item_key(PLAIN, key)
    return UpdateItem(logical, Terms(TABLE_ID, **terms), encode_item(key), Update(actions))


def run(partitions: LocalTables, command: Any, token: bytes | None = None) -> Any:
    return partitions.run(TABLES_KEYSPACE, command.key, command, token)


def stored(partitions: LocalTables, key: bytes) -> dict[str, Any] | None:
    found = partitions.ask(TABLES_KEYSPACE, key, GetItem(key)).record
    return None if found is None else partitions.keys.open_item(TABLE_ID, key, found)


def set_to(name: str, value: Any) -> Set:
    return Set((name,), Literal(value))


def test_an_item_that_was_put_is_read_back() -> None:
    partitions = LocalTables()
    one = item("ann", 1, mail={"S": "ann@example.com"}, raw={"B": b"\x00\xff"})
    done = run(partitions, put(one))
    assert done == Written(0, item_size(one))
    assert stored(partitions, item_key(PLAIN, one)) == one


def test_neither_the_log_nor_an_answer_kept_for_retries_shows_a_value() -> None:
    partitions = LocalTables()
    first = item("ann", 1, mail={"S": "secret-of-ann"}, rank={"S": "secret-rank"})
    terms = {"indexes": INDEXES[1:], "key_names": ("pk", "sk"), "show_old": True}
    for command in (
        put(first, **terms),
        put(first, **terms),
        update(first, set_to("mail", {"S": "secret-of-bob"}), show_old=True, show_new=True),
    ):
        result, effects = partitions.evaluate(TABLES_KEYSPACE, command.key, command)
        partitions.commit(TABLES_KEYSPACE, effects)
        assert effects.operations
        for _, _, _, value in effects.operations:
            assert b"secret" not in value
        assert b"secret" not in msgspec.msgpack.encode(result)


def test_two_writes_of_one_item_are_sealed_differently() -> None:
    partitions = LocalTables()
    command = put(item("ann", 1))
    records = set()
    for _ in range(3):
        run(partitions, command)
        records.add(partitions.records(ITEM, TABLES_KEYSPACE)[command.key])
    assert len(records) == 3


def test_a_record_is_not_taken_for_that_of_another_key() -> None:
    partitions = LocalTables()
    command = put(item("ann", 1))
    run(partitions, command)
    sealed = partitions.records(ITEM, TABLES_KEYSPACE)[command.key]
    with pytest.raises(Corruption):
        partitions.keys.open_item(TABLE_ID, item_key(PLAIN, item("bob", 1)), sealed)


def test_a_condition_that_does_not_hold_changes_nothing() -> None:
    partitions = LocalTables()
    one = item("ann", 1, age={"N": "7"})
    run(partitions, put(one))
    absent = Missing(("pk",))
    older = Equals(Attribute(("age",)), Literal({"N": "8"}))
    refusals = [
        put(item("ann", 1), condition=absent),
        update(one, set_to("age", {"N": "9"}), condition=older),
        DeleteItem(item_key(PLAIN, one), Terms(TABLE_ID, condition=older)),
    ]
    for command in refusals:
        result, effects = partitions.evaluate(TABLES_KEYSPACE, command.key, command)
        assert result == ConditionFailed(item_size(one))
        assert effects.operations == []
    assert stored(partitions, item_key(PLAIN, one)) == one


def test_the_item_that_failed_a_condition_is_shown_on_request() -> None:
    partitions = LocalTables()
    one = item("ann", 1)
    run(partitions, put(one))
    failed = run(partitions, put(one, condition=Missing(("pk",)), show_failed=True))
    assert partitions.keys.open_item(TABLE_ID, item_key(PLAIN, one), failed.old) == one


def test_an_update_that_only_removes_does_not_create_an_item() -> None:
    partitions = LocalTables()
    command = update(item("ann", 1), Remove(("age",)))
    assert run(partitions, command) == Written(0, 0)
    assert stored(partitions, command.key) is None


def test_an_update_without_actions_creates_an_item_of_its_key() -> None:
    partitions = LocalTables()
    command = update(item("ann", 1))
    run(partitions, command)
    assert stored(partitions, command.key) == item("ann", 1)


def test_updates_in_flight_are_seen_by_the_next_one() -> None:
    partitions = LocalTables()
    command = update(item("ann", 1), Add(("visits",), {"N": "1"}))
    pending = [partitions.evaluate(TABLES_KEYSPACE, command.key, command)[1] for _ in range(5)]
    for effects in pending:
        partitions.commit(TABLES_KEYSPACE, effects)
    assert stored(partitions, command.key) == item("ann", 1, visits={"N": "5"})


def test_a_retry_of_an_update_is_applied_once() -> None:
    partitions = LocalTables()
    command = update(item("ann", 1), Add(("visits",), {"N": "1"}))
    token = partitions.new_token()
    assert run(partitions, command, token) == run(partitions, command, token)
    assert stored(partitions, command.key) == item("ann", 1, visits={"N": "1"})


def test_an_update_beyond_the_item_limit_is_refused() -> None:
    partitions = LocalTables()
    one = item("ann", 1, text={"S": "x" * 300_000})
    run(partitions, put(one))
    with pytest.raises(InvalidRequest, match="Item size to update has exceeded"):
        run(partitions, update(one, set_to("more", {"S": "y" * 120_000})))


def indexed(command: Any) -> Any:
    terms = msgspec.structs.replace(command.terms, indexes=INDEXES, key_names=("pk", "sk"))
    return msgspec.structs.replace(command, terms=terms)


def entries(partitions: LocalTables, number: int) -> list[dict[str, Any]]:
    records = partitions.records(INDEX + number, TABLES_KEYSPACE)
    return [partitions.keys.open_item(TABLE_ID, key, raw) for key, raw in sorted(records.items())]


def test_index_entries_follow_their_item() -> None:
    partitions = LocalTables()
    one = item("ann", 1, rank={"S": "b"}, color={"S": "red"}, note={"S": "n"})
    assert run(partitions, indexed(put(one))).index_units == {0: 1, 1: 1}
    assert entries(partitions, 0) == [one]
    assert entries(partitions, 1) == [item("ann", 1, color={"S": "red"})]
    moved = run(partitions, indexed(update(one, set_to("rank", {"S": "a"}))))
    assert moved.index_units == {0: 2}, "one unit to take the entry out, one to put it in"
    assert [entry["rank"] for entry in entries(partitions, 0)] == [{"S": "a"}]
    run(partitions, indexed(update(one, Remove(("color",)))))
    assert entries(partitions, 1) == []
    run(partitions, indexed(DeleteItem(item_key(PLAIN, one), Terms(TABLE_ID))))
    assert entries(partitions, 0) == []


@pytest.mark.parametrize("value", [{"N": "5"}, {"S": ""}, {"S": "x" * 1025}])
def test_an_attribute_that_cannot_be_an_index_key_is_refused(value: dict[str, str]) -> None:
    partitions = LocalTables()
    with pytest.raises(InvalidRequest):
        run(partitions, indexed(update(item("ann", 1), set_to("rank", value))))
    assert partitions.records(ITEM, TABLES_KEYSPACE) == {}


def test_items_and_their_entries_share_a_stem() -> None:
    one = item("a\x00b", 1)
    key = item_key(INDEXED, one)
    stem, sort = layout.split_key(key)
    assert stem == layout.stem_of(TABLE_ID, one["pk"])
    entry = layout.index_key(stem, b"ra\x00nk", sort)
    assert entry.startswith(stem)
    assert layout.item_key_of_entry(entry) == key
