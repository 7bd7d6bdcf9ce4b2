"""What a model tells transactions, and the rules of locks, which are the same in every model."""

from __future__ import annotations

from typing import Protocol

from trilith.errors import InternalError, InvalidRequest, TransactionConflict, TrilithError
from trilith.replication.state_machine import Context, Effects, View
from trilith.transactions import commands as c
from trilith.transactions.layout import KEYS_END, LEDGER
from trilith.transactions.records import LOCK_RECORD, Lock
from trilith.transactions.reservations import conflict_with, reservations_for, reservations_in


class Stage(Protocol):
    """A model's part in transactions."""

    lock_family: int

    def refusal(self, staged: c.Staged) -> c.Verdict | None:
        """Why an action is not to be taken on now, whatever it would do; None: it may be."""
        ...

    def perform(
        self, staged: c.Staged, view: View, effects: Effects, context: Context
    ) -> c.Verdict:
        """Do an action, as an ordinary command would, or say why not.

        Raises InvalidRequest. Looks at no lock.
        """
        ...

    def seal(self, staged: c.Staged) -> bytes:
        """The action as it may be logged, without its condition: that has been looked at."""
        ...

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """The action again."""
        ...


class HeldEffects:
    """Effects that are kept back until it is certain that they happen."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[tuple[str, tuple[object, ...]]] = []

    def put(self, family: int, key: bytes, value: bytes) -> None:
        self._calls.append(("put", (family, key, value)))

    def delete(self, family: int, key: bytes) -> None:
        self._calls.append(("delete", (family, key)))

    def delete_range(self, family: int, start: bytes, end: bytes) -> None:
        self._calls.append(("delete_range", (family, start, end)))

    def touch(self, key: bytes) -> None:
        self._calls.append(("touch", (key,)))

    def __len__(self) -> int:
        return len(self._calls)

    def release(self, effects: Effects, count: int | None = None) -> None:
        """Let them, or the first `count` of them, happen."""
        for name, arguments in self._calls[:count]:
            getattr(effects, name)(*arguments)


def head_of(key: bytes, raw: bytes) -> c.LockHead:
    lock = LOCK_RECORD.decode(raw)
    return c.LockHead(key, lock.transaction, lock.ledger, lock.created_ms)


def require_unlocked(view: View, family: int, key: bytes) -> None:
    """TransactionConflict for an ordinary write of a key that a transaction will change."""
    raw = view.get(family, key)
    if raw is not None:
        raise conflict_with(head_of(key, raw))


def lock_behind(error: TransactionConflict) -> c.LockHead | None:
    """The lock that an ordinary write met."""
    told = error.details
    if "ledger" not in told:
        return None
    of = bytes.fromhex
    return c.LockHead(
        of(told["key"]), of(told["transaction"]), of(told["ledger"]), told["created_ms"]
    )


def weigh(
    stage: Stage,
    staged: list[c.Staged],
    transaction: bytes,
    view: View,
    effects: Effects,
    context: Context,
    waiter: bytes = b"",
) -> list[c.Verdict]:
    """Perform each action, or find out why not. Their keys differ, so none sees another's work."""
    verdicts = []
    reserved = reservations_in(view)
    for one in staged:
        raw = view.get(stage.lock_family, one.key)
        if raw is not None:
            head = head_of(one.key, raw)
            if head.transaction != transaction:
                verdicts.append(c.Verdict(c.CONFLICT, lock=head))
                continue
        elif reserved is not None:
            ahead = reserved.ahead_of(waiter, one.key, context.now_ms)
            if ahead is not None:
                verdicts.append(c.Verdict(c.CONFLICT, lock=ahead))
                continue
        refused = stage.refusal(one)
        if refused is not None:
            verdicts.append(refused)
            continue
        try:
            verdicts.append(stage.perform(one, view, effects, context))
        except InvalidRequest as error:
            verdicts.append(c.Verdict(c.INVALID, error.message))
    return verdicts


class LockRules:
    """Prepare and resolve on one model's records. `has_ledgers`: they are in its keyspace."""

    def __init__(self, stage: Stage, *, has_ledgers: bool) -> None:
        self._stage = stage
        self._has_ledgers = has_ledgers
        self._family = stage.lock_family

    def prepare(
        self, command: c.Prepare, view: View, effects: Effects, context: Context
    ) -> c.Prepared:
        rode = self.settle(command.settled, view, effects, context)
        if not all(view.covers(one.key) for one in command.staged):
            return c.Prepared([], rode)
        keys = [one.key for one in command.staged]
        if command.waiter and not command.is_dry:
            reservations_for(view).reserve(keys, command.waiter, context.now_ms)
        verdicts = weigh(
            self._stage,
            command.staged,
            command.transaction,
            view,
            HeldEffects(),
            context,
            command.waiter,
        )
        if command.is_dry or any(verdict.code for verdict in verdicts):
            return c.Prepared(verdicts, rode)
        for one in command.staged:
            lock = Lock(command.transaction, command.ledger, context.now_ms, self._stage.seal(one))
            effects.put(self._family, one.key, LOCK_RECORD.encode(lock))
            effects.touch(one.key)
        return c.Prepared(verdicts, rode)

    def resolve(
        self, command: c.Resolve, view: View, effects: Effects, context: Context
    ) -> c.Resolved:
        settled = command.settled
        here = c.Settled(
            [one for one in settled.resolutions if view.covers(one.key)],
            [one for one in settled.closed if view.covers(one[0])],
        )
        self.settle(here, view, effects, context)
        elsewhere = [one.key for one in settled.resolutions if not view.covers(one.key)]
        elsewhere += [ledger for ledger, _ in settled.closed if not view.covers(ledger)]
        return c.Resolved(elsewhere)

    def settle(self, settled: c.Settled, view: View, effects: Effects, context: Context) -> bool:
        """All of it; or nothing, and False, when some key is in another partition."""
        resolutions, closed = settled.resolutions, settled.closed
        if not all(view.covers(one.key) for one in resolutions):
            return False
        if not all(view.covers(ledger) for ledger, _ in closed):
            return False
        done = set()
        reserved = reservations_in(view)
        for one in resolutions:
            if reserved is not None and one.waiter:  # also where somebody else removed the lock
                reserved.release((one.key,), one.waiter)
            if one.key in done:
                continue  # by an earlier one of the same transaction: no other can hold the lock
            raw = view.get(self._family, one.key)
            if raw is None:
                continue
            lock = LOCK_RECORD.decode(raw)
            if lock.transaction != one.transaction:
                continue
            if one.is_committed:
                self._perform(one.key, lock, view, effects, context)
            effects.delete(self._family, one.key)
            effects.touch(one.key)
            done.add(one.key)
        if closed and not self._has_ledgers:
            raise InternalError("ledgers of another keyspace were to be closed")
        for ledger, transaction in closed:
            effects.delete(LEDGER, ledger + transaction)
        return True

    def _perform(
        self, key: bytes, lock: Lock, view: View, effects: Effects, context: Context
    ) -> None:
        """What was found possible when the key was locked still is: nobody changed it since."""
        staged = c.Staged(key, self._stage.open(key, lock.sealed))
        try:
            verdict = self._stage.perform(staged, view, effects, context)
        except TrilithError as error:
            raise AssertionError(f"a locked action fails: {error}") from error
        assert not verdict.code, f"a locked action is refused: {verdict.code}"

    def reserve(
        self, command: c.Reserve, view: View, _effects: Effects, context: Context
    ) -> c.Resolved:
        here = [key for key in command.keys if view.covers(key)]
        reserved = reservations_for(view)
        if command.is_over:
            reserved.release(here, command.waiter)
        else:
            reserved.reserve(here, command.waiter, context.now_ms)
        return c.Resolved()

    def list_locks(self, query: c.ListLocks, view: View) -> c.Locks:
        locks = []
        for key, raw in view.scan(self._family, b"", KEYS_END):
            head = head_of(key, raw)
            if head.created_ms < query.before_ms:
                locks.append(head)
                if len(locks) >= query.limit:
                    break
        return c.Locks(locks)
