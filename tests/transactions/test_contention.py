"""Many who want the same keys: each gets its turn, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tables.local_tables import LocalTables, PartitionsClock
from tests.transactions.bank import (
    ACCOUNTS,
    START,
    Bank,
    account,
    adding,
    key,
    names_in_distinct_partitions,
    put,
    transfer,
)

from trilith.errors import TransactionConflict
from trilith.tables.commands import GetItem, PutItem
from trilith.tables.expressions.conditions import Missing
from trilith.tables.item_codec import encode_item
from trilith.tables.service import Wanted
from trilith.tables.sources import item_key
from trilith.transactions.commands import Commit, Prepare, Resolution, Resolve, Settled, Staged
from trilith.transactions.reservations import RESERVED_MAX, RESERVED_MS, Reservations

NAMES = names_in_distinct_partitions(4)
WRITERS = 16


class Patient(PartitionsClock):
    """Waits are bounded by how often something is tried, whatever the machine is busy with."""

    def __init__(self, partitions: LocalTables) -> None:
        super().__init__(partitions)
        self.monotonic = lambda: 0.0


def patient_bank(names: list[str]) -> Bank:
    bank = Bank(names)
    bank.partitions.lock_clock = Patient(bank.partitions)
    bank.partitions.gate = lambda command: some_turns(bank, command)
    return bank


async def some_turns(bank: Bank, _command: Any) -> None:
    for _ in range(bank.random.randrange(6)):
        await asyncio.sleep(0)


class Movers:
    """Gateways that move money and never pause."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.moved = self.refused = 0
        self._stopped = False
        self._tasks = [asyncio.ensure_future(self._move()) for _ in range(WRITERS)]

    async def _move(self) -> None:
        transactions, _, _ = self._bank.gateway()
        while not self._stopped:
            source, target = self._bank.random.sample(self._bank.names, 2)
            ended = await transactions.execute(transfer(source, target, 1))
            self.moved += ended.is_committed
            self.refused += not ended.is_committed
        await transactions.settlements.drain()

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)


def test_snapshots_are_read_while_many_writers_never_pause() -> None:
    async def run() -> None:
        bank = patient_bank(NAMES)
        await bank.open()
        movers = Movers(bank)
        while movers.moved < 2 * WRITERS:
            await asyncio.sleep(0)
        seen = [await bank.snapshot() for _ in range(10)]
        moved = movers.moved
        await movers.stop()
        assert [sum(balances) for balances in seen if balances] == [START * len(NAMES)] * 10
        assert movers.moved > moved, "the writers go on"
        assert not bank.locks()

    asyncio.run(run())


class Rival:
    """Partitions in which somebody else is always faster: before each of our looks at an item it is
    written once more, and before each of our prepares it is locked once more.
    """

    def __init__(self, bank: Bank) -> None:
        self._partitions = bank.partitions
        self._name = bank.names[0]
        self._locked: list[tuple[bytes, bytes]] = []
        self.came_first = self.turned_away = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._partitions, name)

    def try_query(self, keyspace: int, logical: bytes, query: Any) -> Any:
        found = self._partitions.try_query(keyspace, logical, query)
        where = item_key(ACCOUNTS, key(self._name))
        item = encode_item(account(self._name))
        try:
            self._partitions.run(3, where, PutItem(where, ACCOUNTS.plain_terms, item, 10))
            self.came_first += 1
        except TransactionConflict:
            self.turned_away += 1
        return found

    async def execute(self, keyspace: int, logical: bytes, command: Any, **options: Any) -> Any:
        if isinstance(command, Prepare | Commit):
            self._lock(item_key(ACCOUNTS, key(self._name)))
        return await self._partitions.execute(keyspace, logical, command, **options)

    def _lock(self, where: bytes) -> None:
        for held, transaction in self._locked:
            gone = Resolution(held, transaction, is_committed=False)
            self._partitions.run(3, held, Resolve(held, Settled([gone])))
        self._locked.clear()
        transaction = self._partitions.new_token()
        staged = [Staged(where, put(self._name, START).body)]
        done = self._partitions.run(3, where, Prepare(where, transaction, b"rival", staged))
        if done.verdicts[0].code:
            self.turned_away += 1
        else:
            self.came_first += 1
            self._locked.append((where, transaction))


def test_a_snapshot_makes_those_wait_who_always_write_between_its_looks() -> None:
    async def run() -> None:
        bank = Bank(NAMES)
        await bank.open()
        rival = Rival(bank)
        _, _, snapshots = bank.gateway(rival)
        found = await snapshots.read([(ACCOUNTS, key(name)) for name in bank.names])
        assert len(found.reads) == len(NAMES)
        assert rival.came_first
        assert rival.turned_away
        before, where = rival.turned_away, item_key(ACCOUNTS, key(NAMES[0]))
        rival.try_query(3, where, GetItem(where))
        assert rival.turned_away == before, "what was read is nobody's any more"

    asyncio.run(run())


@pytest.mark.parametrize("names", [NAMES[:2], NAMES[1::-1]])
def test_a_transaction_makes_those_wait_who_always_lock_before_it(names: list[str]) -> None:
    async def run() -> None:
        bank = patient_bank(NAMES)
        await bank.open()
        rival = Rival(bank)
        transactions, _, _ = bank.gateway(rival)
        ended = await transactions.execute(transfer(names[0], names[1], 1))
        assert ended.is_committed
        assert rival.came_first
        assert rival.turned_away
        await transactions.settlements.drain()
        rival._lock(item_key(ACCOUNTS, key(NAMES[0])))
        assert rival._locked, "who is through makes nobody wait"

    asyncio.run(run())


def test_who_gives_up_makes_nobody_wait_any_more() -> None:
    async def run() -> None:
        bank = patient_bank(NAMES)
        await bank.open()
        rival = Rival(bank)
        transactions, _, _ = bank.gateway(rival)
        refused = Missing(("n",))
        ended = await transactions.execute(transfer(NAMES[0], NAMES[1], 1, refused))
        assert "ConditionalCheckFailed" in [verdict.code for verdict in ended.verdicts]
        assert rival.turned_away
        rival._lock(item_key(ACCOUNTS, key(NAMES[0])))
        assert rival._locked

    asyncio.run(run())


def test_all_who_change_the_same_two_items_get_their_turns() -> None:
    async def run() -> None:
        bank = patient_bank(NAMES[:2])
        await bank.open()

        async def move() -> int:
            transactions, _, _ = bank.gateway()
            done = 0
            for _ in range(3):
                there_and_back = bank.random.sample(bank.names, 2)
                ended = await transactions.execute(transfer(*there_and_back, 1))
                done += ended.is_committed
            await transactions.settlements.drain()
            return done

        done = sum(await asyncio.gather(*(move() for _ in range(6))))
        assert done == 3 * 6
        assert sum(await bank.balances()) == 2 * START

    asyncio.run(run())


def test_a_single_write_gets_its_turn_among_transactions() -> None:
    async def run() -> None:
        bank = patient_bank(NAMES)
        await bank.open()
        movers = Movers(bank)
        _, service, _ = bank.gateway()
        try:
            async with asyncio.timeout(60):
                for number in range(10):
                    name = NAMES[number % len(NAMES)]
                    await service.update_item(ACCOUNTS, key(name), adding(1), Wanted())
        finally:
            await movers.stop()
        assert sum(await bank.balances()) == START * len(NAMES) + 10

    asyncio.run(run())


def test_a_reservation_is_over_soon_when_it_is_not_renewed() -> None:
    reserved = Reservations()
    reserved.reserve([b"k"], b"1", 1000)
    assert reserved.ahead_of(b"", b"k", 1000 + RESERVED_MS - 1) is not None
    assert reserved.ahead_of(b"", b"k", 1000 + RESERVED_MS) is None


WAITERS = st.sampled_from([b"1", b"2", b"3"])
KEYS = st.sampled_from([b"a", b"b"])


@given(st.lists(st.tuples(st.sampled_from(["reserve", "release"]), WAITERS, KEYS), max_size=20))
def test_a_key_is_reserved_for_the_oldest_who_asked(steps: list[tuple[str, bytes, bytes]]) -> None:
    reserved, first = Reservations(), dict[bytes, bytes]()
    for what, waiter, name in steps:
        if what == "reserve":
            reserved.reserve([name], waiter, 0)
            first[name] = min(waiter, first.get(name, waiter))
        else:
            reserved.release([name], waiter)
            if first.get(name) == waiter:
                del first[name]
        for each in (b"a", b"b"):
            for who in (b"", b"1", b"2", b"3"):
                head = reserved.ahead_of(who, each, 1)
                ahead = first.get(each)
                if ahead is None or ahead == who or (who and who < ahead):
                    assert head is None
                else:
                    assert head is not None
                    assert (head.transaction, head.ledger) == (ahead, b"")


def test_reservations_are_bounded_and_old_ones_make_room() -> None:
    reserved = Reservations()
    reserved.reserve([b"%d" % number for number in range(RESERVED_MAX)], b"1", 0)
    reserved.reserve([b"more"], b"1", 1)
    assert reserved.ahead_of(b"", b"more", 1) is None
    reserved.reserve([b"more"], b"1", RESERVED_MS)
    assert reserved.ahead_of(b"", b"more", RESERVED_MS) is not None
