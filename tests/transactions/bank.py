"""Accounts in tables that lie in several partitions, and gateways that can die."""

from __future__ import annotations

import random
from typing import Any

from tests.tables.local_tables import LocalTables, table

from trilith.runtime.entropy import SystemEntropy
from trilith.tables.expressions.conditions import Condition
from trilith.tables.expressions.operands import Attribute, Literal
from trilith.tables.expressions.updates import Set, Sum, Update
from trilith.tables.layout import LOCK, TABLES_KEYSPACE, stem_of
from trilith.tables.service import TableService, Wanted
from trilith.tables.transacting import Snapshots, put_action, update_action
from trilith.transactions.coordinator import Action, Transactions
from trilith.transactions.layout import LEDGER
from trilith.transactions.recovery import PATIENCE_MS, Recovery
from trilith.transactions.sweeper import UNFINISHED_MS, Sweeper

CUTS = [bytes((slot,)) for slot in (2, 4, 6, 8, 10)]
ACCOUNTS = table(sort=None)
START = 100


def key(name: str) -> dict[str, Any]:
    return {"pk": {"S": name}}


def account(name: str, balance: int = START) -> dict[str, Any]:
    return {**key(name), "n": {"N": str(balance)}}


def adding(amount: int) -> Update:
    total = Sum(Attribute(("n",)), Literal({"N": str(abs(amount))}), amount < 0)
    return Update((Set(("n",), total),))


def transfer(source: str, target: str, amount: int, guard: Condition | None = None) -> list[Action]:
    return [
        update_action(ACCOUNTS, key(source), adding(-amount), Wanted(guard)),
        update_action(ACCOUNTS, key(target), adding(amount), Wanted()),
    ]


class Died(BaseException):
    """The coordinator's process is gone."""


class Mortal:
    """Partitions as a gateway sees them that dies at its `number`-th command.

    `after`: the command is applied, and its answer lost. Once dead it does nothing any more.
    """

    def __init__(self, partitions: LocalTables, number: int, *, after: bool) -> None:
        self._partitions = partitions
        self._left = number
        self._after = after
        self.is_dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._partitions, name)

    async def execute(self, *args: Any, **options: Any) -> Any:
        self._left -= 1
        if self.is_dead or (self._left == 0 and not self._after):
            self.is_dead = True
            raise Died
        result = await self._partitions.execute(*args, **options)
        if self._left == 0:
            self.is_dead = True
            raise Died
        return result


class Bank:
    """A cluster with accounts."""

    def __init__(self, names: list[str], seed: int = 0) -> None:
        self.partitions = LocalTables(cuts=CUTS)
        self.names = names
        self.random = random.Random(seed)

    async def open(self) -> None:
        for name in self.names:
            item = account(name)
            await self.partitions.service.put_item(ACCOUNTS, item, 10, Wanted())

    def gateway(self, partitions: Any = None) -> tuple[Transactions, TableService, Snapshots]:
        found = partitions or self.partitions
        recovery = Recovery(found, self.partitions.lock_clock)
        return (
            Transactions(found, self.partitions.lock_clock, SystemEntropy(), recovery),
            TableService(found, self.partitions.keys, self.partitions.catalog, recovery),
            Snapshots(found, self.partitions.keys, recovery),
        )

    async def balances(self) -> list[int]:
        """Each read on its own, consistently."""
        _, service, _ = self.gateway()
        found = []
        for name in self.names:
            read = await service.get_item(ACCOUNTS, key(name), consistent=True)
            assert read.item is not None
            found.append(int(read.item["n"]["N"]))
        return found

    async def snapshot(self) -> list[int] | None:
        """All at one time; None when transactions kept getting in between."""
        _, _, snapshots = self.gateway()
        found = await snapshots.read([(ACCOUNTS, key(name)) for name in self.names])
        if found.conflicts:
            return None
        return [int(read.item["n"]["N"]) for read in found.reads if read.item is not None]

    def pass_time(self, ms: int = max(PATIENCE_MS, UNFINISHED_MS) + 1000) -> None:
        self.partitions.now_ms += ms

    async def sweep(self) -> Sweeper:
        recovery = Recovery(self.partitions, self.partitions.lock_clock)
        sweeper = Sweeper(self.partitions, self.partitions.lock_clock, recovery)
        await sweeper.sweep([(3, start) for start in (b"", *CUTS)])
        return sweeper

    def locks(self) -> dict[bytes, bytes]:
        return self.partitions.records(LOCK, 3)

    def ledger(self) -> dict[bytes, bytes]:
        return self.partitions.records(LEDGER, 3)


def put(name: str, balance: int) -> Action:
    return put_action(ACCOUNTS, account(name, balance), 10, Wanted())


def partition_of(name: str) -> int:
    stem = stem_of(ACCOUNTS.table_id, key(name)[ACCOUNTS.partition_name])
    return LocalTables(cuts=CUTS).partition_of(TABLES_KEYSPACE, stem)


def names_in_distinct_partitions(count: int) -> list[str]:
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        name = f"account-{number}"
        found.setdefault(partition_of(name), name)
        number += 1
    return list(found.values())
