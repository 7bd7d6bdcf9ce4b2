"""Who is next for a key that many want: a hint, in the memory of the leader of its partition.

Whoever was turned away comes again as a *waiter*, a name that sorts by when it began to wait. Its
keys are then reserved for RESERVED_MS after each try: transactions and writes that are younger, or
have not waited at all, are turned away as if a lock were there, while those that hold locks finish.
The oldest waiter is turned away by nobody, so it gets all its keys, and nobody holds anything while
it waits: there is no deadlock. (The order is that of wait-die: Rosenkrantz, Stearns and Lewis,
"System level concurrency control for distributed database systems", 1978.)

Nothing depends on a reservation but how long somebody waits. Each leadership begins without any;
clocks of gateways that differ only change who is taken for older.
"""

from __future__ import annotations

from collections.abc import Iterable

from trilith.errors import TransactionConflict
from trilith.replication.state_machine import View
from trilith.transactions.commands import LockHead

RESERVED_MS = 250
RESERVED_MAX = 4096  # keys a partition; no more are reserved then
_MEMO = "reservations"
_NOBODY = (b"", 0)


class Reservations:
    """Of one partition under one leadership."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[bytes, int]] = {}  # by key: waiter, until when

    def ahead_of(self, waiter: bytes, key: bytes, now_ms: int) -> LockHead | None:
        """The older waiter that a key is reserved for, as a lock without a ledger; `waiter` is
        empty for one that has not waited.
        """
        other, until_ms = self._held.get(key, _NOBODY)
        if until_ms <= now_ms or other == waiter or (waiter and waiter < other):
            return None
        return LockHead(key, other, b"", now_ms)

    def reserve(self, keys: Iterable[bytes], waiter: bytes, now_ms: int) -> None:
        """Those that no older waiter has."""
        for key in keys:
            if key not in self._held and len(self._held) >= RESERVED_MAX:
                self._forget_old(now_ms)
                if len(self._held) >= RESERVED_MAX:
                    return
            if self.ahead_of(waiter, key, now_ms) is None:
                self._held[key] = (waiter, now_ms + RESERVED_MS)

    def release(self, keys: Iterable[bytes], waiter: bytes) -> None:
        """The waiter has what it came for, or has given up."""
        for key in keys:
            if self._held.get(key, _NOBODY)[0] == waiter:
                del self._held[key]

    def _forget_old(self, now_ms: int) -> None:
        self._held = {key: held for key, held in self._held.items() if held[1] > now_ms}


def reservations_in(view: View) -> Reservations | None:
    """None: nothing was reserved."""
    return view.memo.get(_MEMO)


def reservations_for(view: View) -> Reservations:
    """Those of a partition, to add some."""
    found: Reservations | None = view.memo.get(_MEMO)
    if found is None:
        found = view.memo[_MEMO] = Reservations()
    return found


def require_its_turn(view: View, key: bytes, waiter: bytes, now_ms: int) -> None:
    """TransactionConflict for an ordinary write of a key that others wait for, and longer.

    `waiter`: of a write that has waited, too; empty at its first try.
    """
    reserved = reservations_for(view) if waiter else reservations_in(view)
    if reserved is None:
        return
    if waiter:
        reserved.reserve((key,), waiter, now_ms)
    head = reserved.ahead_of(waiter, key, now_ms)
    if head is not None:
        raise conflict_with(head)


def conflict_with(head: LockHead) -> TransactionConflict:
    """What an ordinary write is told of what is in its way."""
    return TransactionConflict(
        key=head.key.hex(),
        transaction=head.transaction.hex(),
        ledger=head.ledger.hex(),
        created_ms=head.created_ms,
    )
