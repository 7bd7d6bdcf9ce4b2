"""Clients of transactions on objects and items: two objects and a row, always written together.

Above the objects' floors it adds the production models of tables and transactions, and at each node
the sweeper that finishes what dead coordinators left. The three are one register, whichever of them
is read, and by whatever call.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import md5
from random import Random
from typing import Any

from tests.linearizability.checker import Kind
from tests.objects.service_cluster import PLAIN, SeededEntropy
from tests.simulation.faults import Faults
from tests.simulation.node import SimNode
from tests.simulation.objects import (
    BUCKET,
    ObjectCalls,
    ObjectCluster,
    body_of,
    models,
    read_name,
)
from tests.simulation.registers import Call
from tests.tables.local_tables import table

from trilith.cluster.bootstrap import OBJECTS, TABLES
from trilith.dynamodb.expressions.request import RequestExpressions
from trilith.errors import PreconditionFailed, TransactionConflict
from trilith.node.transactions import TransactionStation
from trilith.objects.keys import LOCK as OBJECT_LOCK
from trilith.objects.service import ObjectService
from trilith.objects.transactions import DeletePart, ObjectTransactions, Part, PutPart
from trilith.objects.types import WriteConditions
from trilith.runtime.entropy import Entropy
from trilith.tables.catalog import Catalog
from trilith.tables.expressions.conditions import Condition
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import LOCK as ITEM_LOCK
from trilith.tables.model import ItemsModel
from trilith.tables.service import TableService, Wanted
from trilith.tables.transacting import delete_action, put_action
from trilith.transactions.commands import CONDITION_FAILED
from trilith.transactions.coordinator import Action

ROWS = table(sort=None)
TABLE_CUTS = [b"\x04", b"\x08"]
LOCKS_GONE_WITHIN_S = 60.0


def item_keys(entropy: Entropy) -> ItemKeys:
    return ItemKeys(bytes(32), entropy)


def all_models() -> dict[int, Any]:
    return {**models(), TABLES: lambda: ItemsModel(item_keys(SeededEntropy()))}


class TogetherCluster(ObjectCluster):
    """Nodes with tables and transactions beside their objects."""

    async def compose_more(self, node: SimNode) -> None:
        await super().compose_more(node)
        runtime, stuff = node.runtime, node
        more: Any = stuff
        station = TransactionStation(runtime, node.host, node.router, node.log)
        objects: ObjectService = more.objects
        objects._recovery = station.recovery
        catalog = Catalog(node.router, runtime.entropy)
        more.rows = TableService(node.router, item_keys(runtime.entropy), catalog, station.recovery)
        more.together = ObjectTransactions(objects, station.transactions)
        node.keep_running(station.run())


class TogetherCalls(ObjectCalls):
    """A value is the name of both bodies, and an attribute of the row; None: there is none."""

    def draw(self, random: Random, key: bytes, unique: bytes, seen: bytes | None) -> Call:
        """Keys of earlier phases are not come back to: their bodies need not be collected here."""
        unique = b"%s.%s " % (unique.strip(), key.rsplit(b"/", 2)[1])
        roll = random.random()
        if roll < 0.45:
            return Call(Kind.READ, key, "", 0.0)
        if roll < 0.7 or seen is None:
            return Call(Kind.WRITE, key, "", 0.0, value=unique)
        if roll < 0.8:
            return Call(Kind.WRITE, key, "", 0.0, value=None)
        return Call(Kind.COMPARE_AND_SET, key, "", 0.0, value=unique, expected=seen)

    async def work(self, node: SimNode, call: Call) -> bytes | None:
        random = Random(f"{call.called}/{call.where}")
        if call.kind is Kind.READ:
            return await _read(node, call.key, random)
        on = random.choice([*_names(call.key), ""])  # which of them a condition is on
        station: Any = node
        together: ObjectTransactions = station.together
        ended = await together.execute(_parts(call, on), [_row_action(call, on)])
        if ended.is_committed:
            return call.value
        codes = {verdict.code for verdict in (*ended.parts, *ended.beside)}
        if codes <= {"", CONDITION_FAILED}:
            raise PreconditionFailed("it is something else")
        raise TransactionConflict("another transaction was in the way")

    def names(self, call: Call) -> Sequence[str]:
        return _names(call.key)

    async def judge_whole(self, faults: Faults) -> list[str]:
        found = await super().judge_whole(faults)
        if not await self.cluster.until(self._is_unlocked, LOCKS_GONE_WITHIN_S):
            found.append(f"there are locks {LOCKS_GONE_WITHIN_S} s after all are in sync")
        return found

    def _is_unlocked(self) -> bool:
        for keyspace, family in ((OBJECTS, OBJECT_LOCK), (TABLES, ITEM_LOCK)):
            first, end = bytes((keyspace, family)), bytes((keyspace, family + 1))
            for node in self.cluster.nodes:
                if node.booted and next(iter(node.store.scan(first, end)), None) is not None:
                    return False
        return True


def _names(key: bytes) -> tuple[str, str]:
    """Object keys that a split can part."""
    return key.hex(), f"z{key.hex()}"


def _key_of(key: bytes) -> dict[str, Any]:
    return {"pk": {"S": key.hex()}}


async def _read(node: SimNode, key: bytes, random: Random) -> bytes | None:
    station: Any = node
    way = random.choice([*_names(key), "row", "list"])
    if way == "row":
        rows: TableService = station.rows
        read = await rows.get_item(ROWS, _key_of(key), consistent=True)
        return None if read.item is None else bytes.fromhex(read.item["name"]["S"])
    objects: ObjectService = station.objects
    if way == "list":
        way = random.choice(_names(key))
        page = await objects.list_objects(BUCKET, prefix=way, limit=1)
        if not page.entries:
            return None
    return await read_name(objects, way)


def _parts(call: Call, on: str) -> Sequence[Part]:
    parts: list[Part] = []
    for name in _names(call.key):
        if call.value is None:
            parts.append(DeletePart(BUCKET, name))
            continue
        conditions = WriteConditions()
        if call.kind is Kind.COMPARE_AND_SET and name == on:
            assert call.expected is not None
            conditions = WriteConditions(if_match=md5(body_of(call.expected)).hexdigest())
        parts.append(PutPart(BUCKET, name, body_of(call.value), PLAIN, conditions))
    return parts


def _row_action(call: Call, on: str) -> Action:
    if call.value is None:
        return delete_action(ROWS, _key_of(call.key), Wanted())
    condition: Condition | None = None
    if call.kind is Kind.COMPARE_AND_SET and not on:
        assert call.expected is not None
        request = {
            "ConditionExpression": "#n = :v",
            "ExpressionAttributeNames": {"#n": "name"},
            "ExpressionAttributeValues": {":v": {"S": call.expected.hex()}},
        }
        condition = RequestExpressions(request).condition()
    item = {**_key_of(call.key), "name": {"S": call.value.hex()}}
    return put_action(ROWS, item, 100, Wanted(condition))
