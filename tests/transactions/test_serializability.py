"""Concurrent transfers, single writes and snapshots over several partitions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.transactions.bank import (
    ACCOUNTS,
    START,
    Bank,
    Died,
    Mortal,
    account,
    adding,
    key,
    names_in_distinct_partitions,
    transfer,
)

from trilith.errors import TransactionConflict
from trilith.tables.commands import DeleteItem, PutItem
from trilith.tables.item_codec import encode_item
from trilith.tables.service import Wanted
from trilith.tables.sources import item_key

NAMES = [*names_in_distinct_partitions(5), "extra-1", "extra-2", "extra-3"]


async def yield_at_random(bank: Bank, _command: Any) -> None:
    for _ in range(bank.random.randrange(6)):
        await asyncio.sleep(0)


async def transferring(bank: Bank, count: int, *, deadly: bool) -> None:
    transactions, _, _ = bank.gateway()
    for _ in range(count):
        source, target = bank.random.sample(bank.names, 2)
        mortal = None
        if deadly and bank.random.random() < 0.3:
            number = bank.random.randrange(1, 5)
            mortal = Mortal(bank.partitions, number, after=bank.random.random() < 0.5)
        doing = bank.gateway(mortal)[0] if mortal else transactions
        try:
            await doing.execute(transfer(source, target, bank.random.randrange(1, 9)))
        except Died:
            await doing.settlements.stop()
    await transactions.settlements.drain()


async def looking(bank: Bank, count: int) -> int:
    seen = 0
    for _ in range(count):
        balances = await bank.snapshot()
        if balances is not None:
            assert sum(balances) == START * len(bank.names)
            seen += 1
        await asyncio.sleep(0)
    return seen


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), deadly=st.booleans())
def test_transfers_preserve_the_sum_and_no_snapshot_is_torn(seed: int, deadly: bool) -> None:
    async def run() -> None:
        bank = Bank(NAMES, seed)
        await bank.open()
        bank.partitions.gate = lambda command: yield_at_random(bank, command)
        working = [transferring(bank, 6, deadly=deadly) for _ in range(4)]
        await asyncio.gather(*working, looking(bank, 12))
        bank.partitions.gate = None
        bank.pass_time()
        await bank.sweep()
        await bank.sweep()
        assert sum(await bank.balances()) == START * len(NAMES)
        assert not bank.locks()
        assert await looking(bank, 1) == 1

    asyncio.run(run())


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_single_writes_between_transactions_are_neither_lost_nor_doubled(seed: int) -> None:
    async def run() -> None:
        bank = Bank(NAMES, seed)
        await bank.open()
        bank.partitions.gate = lambda command: yield_at_random(bank, command)
        added = 0

        async def adding_one(count: int) -> None:
            nonlocal added
            _, service, _ = bank.gateway()
            for _ in range(count):
                try:
                    name = bank.random.choice(bank.names)
                    await service.update_item(ACCOUNTS, key(name), adding(1), Wanted())
                except TransactionConflict:
                    continue
                added += 1

        await asyncio.gather(
            *(transferring(bank, 6, deadly=False) for _ in range(3)),
            *(adding_one(8) for _ in range(3)),
        )
        assert sum(await bank.balances()) == START * len(NAMES) + added
        assert not bank.locks()

    asyncio.run(run())


def test_an_item_that_stays_locked_is_a_conflict() -> None:
    async def run() -> None:
        bank = Bank(NAMES[:3])
        await bank.open()
        mortal = Mortal(bank.partitions, 3, after=False)  # both are locked
        doing, _, _ = bank.gateway(mortal)
        first, second, third = bank.names
        with pytest.raises(Died):
            await doing.execute([*transfer(first, second, 1), transfer(first, third, 1)[1]])
        transactions, service, _ = bank.gateway()
        locked = [name for name in bank.names if await is_locked(bank, name)]
        assert len(locked) == 2
        ended = await transactions.execute(transfer(locked[0], locked[1], 1))
        assert [verdict.code for verdict in ended.verdicts].count("TransactionConflict") >= 1
        with pytest.raises(TransactionConflict):
            await service.update_item(ACCOUNTS, key(locked[0]), adding(1), Wanted())
        assert await bank.balances() == [START] * 3, "undecided: readers see what was before"

    async def is_locked(bank: Bank, name: str) -> bool:
        return any(name.encode() in lock for lock in bank.locks())

    asyncio.run(run())


class Shuttling:
    """Partitions in which an item moves from one key to the other after each look at one, and whose
    leaders change so often that nobody is asked to wait for long.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._at = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bank.partitions, name)

    def try_query(self, keyspace: int, logical: bytes, query: Any) -> Any:
        found = self._bank.partitions.try_query(keyspace, logical, query)
        self._bank.partitions.forget_memos(keyspace)
        old, new = self._bank.names[self._at], self._bank.names[1 - self._at]
        terms = ACCOUNTS.plain_terms
        where = item_key(ACCOUNTS, key(new))
        put = PutItem(where, terms, encode_item(account(new)), 10)
        self._bank.partitions.run(3, where, put)
        gone = item_key(ACCOUNTS, key(old))
        self._bank.partitions.run(3, gone, DeleteItem(gone, terms))
        self._at = 1 - self._at
        return found


def test_a_snapshot_notices_an_item_that_came_and_went_between_two_looks() -> None:
    async def run() -> None:
        bank = Bank(NAMES[:2])
        await bank.partitions.service.put_item(ACCOUNTS, account(NAMES[1]), 10, Wanted())
        _, _, snapshots = bank.gateway(Shuttling(bank))
        found = await snapshots.read([(ACCOUNTS, key(name)) for name in bank.names])
        assert found.conflicts, "the item was always under one of the keys"

    asyncio.run(run())
