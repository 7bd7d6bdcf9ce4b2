"""Writes to a table whose global indexes are far behind are throttled, as on AWS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.tables.local_tables import INDEX_LAG_S_MAX

from trilith.errors import Unavailable
from trilith.tables.entry_commands import FeedEntries
from trilith.tables.layout import CHANGE, TABLES_KEYSPACE, stem_of

from .local_app import LocalApp
from .test_global_indexes import definition, put, query

THROTTLED = "ProvisionedThroughputExceededException"
MESSAGE = (
    "The level of configured provisioned throughput for one or more global secondary indexes of "
    "the table was exceeded. Consider increasing your provisioning level for the "
    "under-provisioned global secondary indexes with the UpdateTable API"
)


class StuckApp(LocalApp):
    """Whose indexes cannot be reached while `is_stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stuck = False
        self.tables.gate = self._gate

    async def _gate(self, command: Any) -> None:
        if self.is_stuck and isinstance(command, FeedEntries):
            raise Unavailable("nobody leads the index")

    def send(self, *args: Any, **options: Any) -> Any:
        """As the real ones, feeders fail on their own."""
        settle = self.tables.settle

        async def settle_if_possible() -> None:
            try:
                await settle()
            except Unavailable:
                return

        self.tables.settle = settle_if_possible  # type: ignore[method-assign]
        try:
            return super().send(*args, **options)
        finally:
            self.tables.settle = settle  # type: ignore[method-assign]

    def pass_time(self, seconds: float) -> None:
        self.tables.now_ms += int(seconds * 1000)
        try:
            asyncio.run(self.tables.feed())
        except Unavailable:
            assert self.is_stuck


@pytest.fixture
def app() -> StuckApp:
    app = StuckApp()
    app.ok("CreateTable", **definition())
    return app


GROUP = {"group": {"S": "a"}}


def behind(app: StuckApp) -> None:
    """Let the index of "people" be further behind than may be, for the item "ann"."""
    app.is_stuck = True
    assert put(app, "ann", **GROUP).status == 200
    app.pass_time(INDEX_LAG_S_MAX + 1)


def test_writes_are_throttled_while_an_index_is_far_behind_and_reads_are_not(
    app: StuckApp,
) -> None:
    behind(app)
    changes = app.tables.records(CHANGE, TABLES_KEYSPACE)
    key = {"pk": {"S": "ann"}}
    update = {"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"N": "1"}}}
    for reply in (
        put(app, "ann", **GROUP, n={"N": "2"}),
        app.call("UpdateItem", TableName="people", Key=key, **update),
        app.call("DeleteItem", TableName="people", Key=key),
    ):
        assert (reply.status, reply.error) == (400, THROTTLED)
        assert reply.json()["message"] == MESSAGE
    assert app.tables.records(CHANGE, TABLES_KEYSPACE) == changes, "the log does not grow"
    assert app.ok("GetItem", TableName="people", Key=key, ConsistentRead=True)["Item"]["pk"]
    assert query(app).status == 200


def test_a_lag_below_the_bound_throttles_nothing(app: StuckApp) -> None:
    app.is_stuck = True
    put(app, "ann", **GROUP)
    app.pass_time(INDEX_LAG_S_MAX - 1)
    assert put(app, "ann", **GROUP, n={"N": "2"}).status == 200


def test_writes_go_on_when_the_index_has_caught_up(app: StuckApp) -> None:
    behind(app)
    assert put(app, "ann", **GROUP, n={"N": "2"}).error == THROTTLED
    app.is_stuck = False
    app.pass_time(0)
    assert put(app, "ann", **GROUP, n={"N": "2"}).status == 200
    assert [one["n"] for one in query(app).json()["Items"]] == [{"N": "2"}]


def test_other_tables_and_transactions_on_them_are_left_alone(app: StuckApp) -> None:
    behind(app)
    app.ok("CreateTable", **definition(TableName="others"))
    item = {"pk": {"S": "ann"}, **GROUP}
    put_other = {"Put": {"TableName": "others", "Item": item}}
    app.ok("PutItem", TableName="others", Item=item)
    app.ok("TransactWriteItems", TransactItems=[put_other])


def test_a_transaction_tells_which_of_its_writes_was_throttled(app: StuckApp) -> None:
    behind(app)
    app.ok("CreateTable", **definition(TableName="others"))
    item = {"pk": {"S": "ann"}, **GROUP}
    writes = [{"Put": {"TableName": name, "Item": item}} for name in ("others", "people")]
    for order in (writes, writes[::-1]):
        reply = app.call("TransactWriteItems", TransactItems=order)
        assert reply.error == "TransactionCanceledException"
        reasons = reply.json()["CancellationReasons"]
        expected = {"Code": "ProvisionedThroughputExceeded", "Message": MESSAGE}
        assert reasons[order.index(writes[1])] == expected
        assert reasons[order.index(writes[0])] == {"Code": "None"}
    assert "Item" not in app.ok("GetItem", TableName="others", Key={"pk": {"S": "ann"}})


def test_a_condition_check_alone_is_no_write(app: StuckApp) -> None:
    behind(app)
    check = {
        "TableName": "people",
        "Key": {"pk": {"S": "ann"}},
        "ConditionExpression": "attribute_exists(pk)",
    }
    app.ok("TransactWriteItems", TransactItems=[{"ConditionCheck": check}])


def test_what_was_locked_before_is_written_all_the_same(app: StuckApp) -> None:
    app.ok("CreateTable", **definition(TableName="others"))
    app.is_stuck = True
    put(app, "ann", **GROUP)
    # The transaction is decided where its highest key is; "people" is locked before.
    slots = {f"{n}": stem_of(bytes(16), {"S": f"{n}"})[:1] for n in range(200)}
    (other, _) = max(slots.items(), key=lambda one: one[1])
    items = [
        {"Put": {"TableName": name, "Item": {"pk": {"S": pk}, **GROUP, "n": {"N": "3"}}}}
        for name, pk in (("others", other), ("people", "ann"))
    ]
    released: list[Any] = []

    async def fall_behind(command: Any) -> None:
        if type(command).__name__ == "Resolve" and not released:
            released.append(command)
            app.tables.now_ms += (INDEX_LAG_S_MAX + 1) * 1000
            with pytest.raises(Unavailable):
                await app.tables.feed()
        await app._gate(command)

    app.tables.gate = fall_behind
    app.ok("TransactWriteItems", TransactItems=items)
    assert released
    found = app.ok("GetItem", TableName="people", Key={"pk": {"S": "ann"}}, ConsistentRead=True)
    assert found["Item"]["n"] == {"N": "3"}


def test_a_batch_leaves_throttled_writes_unprocessed(app: StuckApp) -> None:
    behind(app)
    app.ok("CreateTable", **definition(TableName="others"))
    write = [{"PutRequest": {"Item": {"pk": {"S": "ann"}, **GROUP}}}]
    answer = app.ok("BatchWriteItem", RequestItems={"people": write, "others": write})
    assert answer["UnprocessedItems"] == {"people": write}
    alone = app.call("BatchWriteItem", RequestItems={"people": write})
    assert alone.error == THROTTLED
