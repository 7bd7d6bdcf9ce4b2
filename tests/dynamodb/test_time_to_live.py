"""Time to live: its settings on the wire, and which items are deleted when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tables.local_tables import LocalTables

from trilith.tables import layout
from trilith.tables.expirer import Expirer
from trilith.tables.expiry import expiry_of
from trilith.tables.layout import EXPIRY, TABLES_KEYSPACE

from .local_app import LocalApp
from .test_streams import ANN, KEYS, arn_of, records_of, refusal, spec

YEAR_S = 365 * 86_400


def limited(**members: Any) -> LocalApp:
    """An app with a table whose items expire by `at`."""
    app = LocalApp()
    app.ok("CreateTable", **KEYS, **members)
    turn(app, on=True)
    return app


def turn(app: LocalApp, *, on: bool, name: str = "at") -> None:
    given = {"AttributeName": name, "Enabled": on}
    answer = app.ok("UpdateTimeToLive", TableName="people", TimeToLiveSpecification=given)
    assert answer == {"TimeToLiveSpecification": given}


def described(app: LocalApp) -> dict[str, Any]:
    found: dict[str, Any] = app.ok("DescribeTimeToLive", TableName="people")
    return found["TimeToLiveDescription"]  # type: ignore[no-any-return]


def now_s(app: LocalApp) -> int:
    return app.tables.now_ms // 1000


class LocalClock:
    """The clock of the in-process partitions."""

    def __init__(self, tables: LocalTables) -> None:
        self._tables = tables

    def wall_ms(self) -> int:
        return self._tables.now_ms

    def monotonic(self) -> float:
        return self._tables.now_ms / 1000


def expire(app: LocalApp) -> int:
    """A look at every partition; how many items were deleted."""

    async def no_pause(_: int) -> None:
        return None

    async def look() -> int:
        expirer = Expirer(app.tables, app.tables.catalog, LocalClock(app.tables))
        for start in app.tables.partition_starts(TABLES_KEYSPACE, b"", layout.ABOVE_ALL):
            await expirer.expire(start, no_pause)
        return expirer.deleted

    return asyncio.run(look())


def put(app: LocalApp, sk: int, at: Any) -> None:
    item = {"pk": {"S": "ann"}, "sk": {"N": str(sk)}, "at": at}
    app.ok("PutItem", TableName="people", Item=item)


def sort_keys(app: LocalApp) -> set[int]:
    items = app.ok("Scan", TableName="people", ConsistentRead=True)["Items"]
    return {int(item["sk"]["N"]) for item in items}


def entries(app: LocalApp) -> int:
    return len(app.tables.records(EXPIRY, TABLES_KEYSPACE))


def test_it_is_off_until_it_is_turned_on() -> None:
    app = LocalApp()
    app.ok("CreateTable", **KEYS)
    assert described(app) == {"TimeToLiveStatus": "DISABLED"}
    turn(app, on=True)
    assert described(app) == {"TimeToLiveStatus": "ENABLED", "AttributeName": "at"}
    turn(app, on=False)
    assert described(app) == {"TimeToLiveStatus": "DISABLED"}


@pytest.mark.parametrize(
    ("is_on", "given", "message"),
    [
        (True, ("at", True), "TimeToLive is already enabled"),
        (False, ("at", False), "TimeToLive is already disabled"),
        (
            True,
            ("other", True),
            "TimeToLive is active on a different AttributeName: current AttributeName is at",
        ),
    ],
)
def test_a_change_that_changes_nothing_is_refused(
    is_on: bool, given: tuple[str, bool], message: str
) -> None:
    app = LocalApp()
    app.ok("CreateTable", **KEYS)
    if is_on:
        turn(app, on=True)
    members = {"AttributeName": given[0], "Enabled": given[1]}
    found = refusal(app, "UpdateTimeToLive", TableName="people", TimeToLiveSpecification=members)
    assert found == ("ValidationException", message)


def test_of_a_table_that_is_not_there_nothing_is_told() -> None:
    app = LocalApp()
    given = {"AttributeName": "at", "Enabled": True}
    for operation, members in (
        ("DescribeTimeToLive", {}),
        ("UpdateTimeToLive", {"TimeToLiveSpecification": given}),
    ):
        found = refusal(app, operation, TableName="nobody", **members)
        assert found[0] == "ResourceNotFoundException"


def test_what_is_over_is_deleted_and_nothing_else() -> None:
    app = limited()
    now = now_s(app)
    put(app, 1, {"N": str(now - 1)})
    put(app, 2, {"N": str(now + 3600)})
    put(app, 3, {"S": str(now - 1)})
    put(app, 4, {"N": str(now - 6 * YEAR_S)})
    put(app, 5, {"N": "-1"})
    put(app, 6, {"N": f"{now - 1}.75"})
    assert sort_keys(app) == {1, 2, 3, 4, 5, 6}  # readable until it is deleted
    assert expire(app) == 2
    assert sort_keys(app) == {2, 3, 4, 5}
    app.tables.now_ms += 3_601_000
    assert expire(app) == 1
    assert sort_keys(app) == {3, 4, 5}
    assert entries(app) == 0


def test_an_item_that_is_given_more_time_stays() -> None:
    app = limited()
    put(app, 1, {"N": str(now_s(app) - 1)})
    put(app, 1, {"N": str(now_s(app) + 3600)})
    put(app, 2, {"N": str(now_s(app) - 1)})
    app.ok("DeleteItem", TableName="people", Key={"pk": {"S": "ann"}, "sk": {"N": "2"}})
    assert entries(app) == 1
    assert expire(app) == 0
    assert sort_keys(app) == {1}


def test_items_from_before_it_was_turned_on_expire_too() -> None:
    app = LocalApp()
    app.ok("CreateTable", **KEYS)
    for sk in range(450):  # more than one page of the filling
        put(app, sk, {"N": str(now_s(app) - 1)})
    turn(app, on=True)
    assert entries(app) == 450
    assert expire(app) == 450
    assert sort_keys(app) == set()


def test_turning_it_off_forgets_what_would_expire() -> None:
    app = limited()
    put(app, 1, {"N": str(now_s(app) - 1)})
    turn(app, on=False)
    assert entries(app) == 0
    put(app, 2, {"N": str(now_s(app) - 1)})
    assert entries(app) == 0
    assert expire(app) == 0
    assert sort_keys(app) == {1, 2}


def test_a_stream_says_that_the_service_deleted_the_item() -> None:
    app = limited(StreamSpecification=spec())
    item = {**ANN, "at": {"N": str(now_s(app) - 1)}}
    app.ok("PutItem", TableName="people", Item=item)
    assert expire(app) == 1
    app.ok("PutItem", TableName="people", Item=item)
    app.ok("DeleteItem", TableName="people", Key=ANN)
    records = records_of(app, arn_of(app))
    assert [one["eventName"] for one in records] == ["INSERT", "REMOVE", "INSERT", "REMOVE"]
    service = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert [one.get("userIdentity") for one in records] == [None, service, None, None]
    assert records[1]["dynamodb"]["OldImage"] == item


def test_a_deleted_table_leaves_no_entries() -> None:
    app = limited()
    put(app, 1, {"N": str(now_s(app) + 3600)})
    app.ok("DeleteTable", TableName="people")
    app.call("ListTables")
    name_is_gone = asyncio.run(app.tables.catalog.list_names("", 10))[0] == []
    if not name_is_gone:  # the works on tables are another's
        record = asyncio.run(app.tables.catalog.describe("people"))
        asyncio.run(app.tables.catalog.remove(record))
    assert entries(app) == 0


TIMES = st.sampled_from([-10, 10, 100])
STEPS = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 5), TIMES),
    st.tuples(st.just("delete"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("pass"), st.just(0), st.sampled_from([20, 200])),
    st.tuples(st.just("expire"), st.just(0), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_over_splits_and_merges_exactly_what_is_over_goes(
    steps: list[tuple[str, int, int]],
) -> None:
    app = limited()
    table_id = asyncio.run(app.tables.catalog.describe("people")).table_id
    cuts: set[bytes] = set()
    expected: dict[int, int] = {}
    for name, number, given_s in [*steps, ("expire", 0, 0)]:
        key = {"pk": {"S": str(number)}, "sk": {"N": str(number)}}
        if name == "put":
            at = now_s(app) + given_s
            item = {**key, "at": {"N": str(at)}}
            app.ok("PutItem", TableName="people", Item=item)
            expected[number] = at
        elif name == "delete":
            app.ok("DeleteItem", TableName="people", Key=key)
            expected.pop(number, None)
        elif name == "cut":
            cuts ^= {layout.stem_of(table_id, key["pk"])}
            app.tables.cut(TABLES_KEYSPACE, list(cuts))
        elif name == "pass":
            app.tables.now_ms += given_s * 1000
        else:
            expire(app)
            expected = {n: at for n, at in expected.items() if at > now_s(app)}
            assert sort_keys(app) == set(expected)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ({"N": "1700000000"}, 1_700_000_000),
        ({"N": "1700000000.9"}, 1_700_000_000),
        ({"N": "0"}, None),
        ({"N": "-5"}, None),
        ({"N": "9" * 38}, None),
        ({"N": "0." + "0" * 100 + "1"}, None),
        ({"S": "1700000000"}, None),
        ({"NS": ["1700000000"]}, None),
    ],
)
def test_only_a_number_of_seconds_is_a_time(value: Any, seconds: int | None) -> None:
    assert expiry_of({"at": value}, "at") == seconds
    assert expiry_of({}, "at") is None
