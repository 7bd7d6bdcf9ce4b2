"""Items in transactions, on a gateway: actions on them, and snapshots of several.

A snapshot is read in two rounds. Where nothing is locked and every record is the same in both (a
record is: each write draws a new salt), every item was, in between, what both rounds found. Of one
that is not there, the trace of its last deletion is compared: it could have come and gone.

Where that fails, who writes next to these items is asked to wait (transactions/reservations.py):
the next two rounds find what was under way finished, and nothing new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from trilith.errors import DeadlineExceeded, OutcomeUnknown
from trilith.replication.state_machine import Partitions
from trilith.tables.catalog import Table
from trilith.tables.commands import CheckItem, DeleteItem, Found, GetItem, PutItem, UpdateItem
from trilith.tables.expressions.updates import Update
from trilith.tables.item_codec import encode_item
from trilith.tables.key_ring import ItemKeys
from trilith.tables.layout import TABLES_KEYSPACE
from trilith.tables.records import size_in
from trilith.tables.rules.transactions import ItemAction, encode_action
from trilith.tables.service import (
    NOTHING,
    Change,
    Read,
    Wanted,
    named_units,
    terms_of,
)
from trilith.tables.sources import item_key
from trilith.tables.values import Item
from trilith.transactions.commands import LockHead, Verdict
from trilith.transactions.coordinator import Action
from trilith.transactions.recovery import Fate, Recovery

HASTY_TRIES = 2  # before others are asked to wait
TRIES_MAX = 14
TRY_DELAY_S_MIN, TRY_DELAY_S_MAX = 0.005, 0.05


class Snapshot(NamedTuple):
    """What was read; or the positions of the items that transactions kept changing."""

    reads: list[Read]
    conflicts: frozenset[int] = frozenset()


def put_action(table: Table, item: Item, size: int, wanted: Wanted) -> Action:
    """`size`: of the item, as AWS counts it."""
    logical = item_key(table, item)
    return _action(PutItem(logical, terms_of(table, wanted), encode_item(item), size))


def update_action(table: Table, key: Item, update: Update, wanted: Wanted) -> Action:
    logical = item_key(table, key)
    return _action(UpdateItem(logical, terms_of(table, wanted), encode_item(key), update))


def delete_action(table: Table, key: Item, wanted: Wanted) -> Action:
    return _action(DeleteItem(item_key(table, key), terms_of(table, wanted)))


def check_action(table: Table, key: Item, wanted: Wanted) -> Action:
    """Nothing is changed; the transaction depends on the condition."""
    return _action(CheckItem(item_key(table, key), terms_of(table, wanted)))


def _action(action: ItemAction) -> Action:
    return Action(TABLES_KEYSPACE, action.key, encode_action(action))


def change_of(table: Table, verdict: Verdict) -> Change:
    """What an action of a committed transaction did, for its capacity."""
    units = named_units(table, verdict)
    return Change(False, None, None, verdict.old_size, verdict.new_size, units)


class Snapshots:
    """One gateway's reads of several items at one time."""

    def __init__(self, partitions: Partitions, keys: ItemKeys, recovery: Recovery) -> None:
        self._partitions = partitions
        self._keys = keys
        self._recovery = recovery

    def failed_item(self, table: Table, key: bytes, verdict: Verdict) -> Item | None:
        """The item that failed a condition, where the action asked for it."""
        if verdict.record is None:
            return None
        return self._keys.open_item(table.table_id, key, verdict.record)

    async def read(self, wanted: Sequence[tuple[Table, Item]]) -> Snapshot:
        """Serializable with all transactions and writes.

        Raises Unavailable.
        """
        logicals = [item_key(table, key) for table, key in wanted]
        conflicts: frozenset[int] = frozenset()
        for _ in range(HASTY_TRIES):
            found, conflicts = await self._try(logicals, TRY_DELAY_S_MIN)
            if not conflicts:
                return self._snapshot(wanted, logicals, found)
        waiter, delay_s = self._recovery.new_waiter(), TRY_DELAY_S_MIN
        try:
            for _ in range(TRIES_MAX):
                await self._recovery.reserve(TABLES_KEYSPACE, logicals, waiter)
                found, conflicts = await self._try(logicals, delay_s)
                if not conflicts:
                    return self._snapshot(wanted, logicals, found)
                delay_s = min(delay_s * 2, TRY_DELAY_S_MAX)
        finally:
            await self._recovery.reserve(TABLES_KEYSPACE, logicals, waiter, is_over=True)
        return Snapshot([], conflicts)

    async def _try(
        self, logicals: list[bytes], delay_s: float
    ) -> tuple[list[Found], frozenset[int]]:
        """Two rounds, and the positions of items that were locked or changed; after a pause then,
        unless all of the locks are gone.
        """
        first = await self._round(logicals)
        locks = [found.lock for found in first if found.lock is not None]
        if locks:
            await self._past(locks, delay_s)
            return first, frozenset(at for at, found in enumerate(first) if found.lock)
        second = first if len(logicals) == 1 else await self._round(logicals)
        changed = [one != two for one, two in zip(first, second, strict=True)]
        conflicts = frozenset(at for at, is_changed in enumerate(changed) if is_changed)
        if conflicts:
            await asyncio.sleep(delay_s)
        return second, conflicts

    async def _past(self, locks: list[LockHead], delay_s: float) -> None:
        try:
            fates = await self._recovery.look_into_all(TABLES_KEYSPACE, locks)
        except OutcomeUnknown as error:
            raise DeadlineExceeded(f"a transaction could not be settled: {error}") from None
        if Fate.PENDING in fates:
            await asyncio.sleep(delay_s)

    def _snapshot(
        self, wanted: Sequence[tuple[Table, Item]], logicals: list[bytes], found: list[Found]
    ) -> Snapshot:
        return Snapshot(
            [
                self._opened(table, key, one)
                for (table, _), key, one in zip(wanted, logicals, found, strict=True)
            ]
        )

    async def _round(self, logicals: list[bytes]) -> list[Found]:
        found: list[Found | None] = [
            self._partitions.try_query(TABLES_KEYSPACE, key, GetItem(key, traces=True))
            for key in logicals
        ]
        missing = [at for at, one in enumerate(found) if one is None]
        answers = await asyncio.gather(
            *(
                self._partitions.query(
                    TABLES_KEYSPACE, logicals[at], GetItem(logicals[at], traces=True)
                )
                for at in missing
            )
        )
        for at, answer in zip(missing, answers, strict=True):
            found[at] = answer
        return [one for one in found if one is not None]

    def _opened(self, table: Table, key: bytes, found: Found) -> Read:
        if found.record is None:
            return NOTHING
        return Read(self._keys.open_item(table.table_id, key, found.record), size_in(found.record))
