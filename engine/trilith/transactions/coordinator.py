"""Runs a transaction: prepare, commit, and hand over what follows (package docstring)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from trilith.errors import (
    DeadlineExceeded,
    IdempotentParameterMismatch,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    TransactionInProgress,
    TrilithError,
)
from trilith.replication.state_machine import Partitions
from trilith.runtime.clock import Clock
from trilith.runtime.entropy import Entropy
from trilith.transactions import commands as c
from trilith.transactions.layout import LEDGER_KEYSPACE, ledger_of
from trilith.transactions.records import Participant
from trilith.transactions.recovery import Fate, Recovery
from trilith.transactions.settlements import Settlements, Task, settled_by

ACTIONS_MAX = 200  # the parts of a request, and as many sources of copies
CONFLICT_S_MAX = 0.5  # before a conflict is the answer
CONFLICTS_MAX = 40
CONFLICT_DELAY_S_MIN = 0.005
LOCK_DELAY_S_MAX, TURN_DELAY_S_MAX = 0.02, 0.05  # for a lock to go; for older waiters to have it
MISPLACED_ATTEMPTS_MAX = 5
_MISPLACED_DELAY_S = 0.05
_RELEASE_S_MAX = 1.0
_PREPARE_DEADLINE_S = 8.0
_COMMIT_DEADLINE_S = 12.0


class Action(NamedTuple):
    """What a transaction does to one logical key; `body` is for the key's model."""

    keyspace: int
    key: bytes
    body: bytes


class ClientToken(NamedTuple):
    """Makes a transaction that is sent again apply once, for ten minutes and more.

    `payload`: a digest of the request that the token stands for.
    """

    token: bytes
    payload: bytes


class Ended(NamedTuple):
    """How a transaction ended, with a verdict for each action.

    Unless `is_committed` nothing was changed, and the verdicts say why. `is_replay`: it was
    committed before, under the same client token; there are no verdicts. `released`: set when the
    locks are gone that what is not committed has left for a moment.
    """

    is_committed: bool
    verdicts: list[c.Verdict]
    is_replay: bool = False
    released: asyncio.Event | None = None

    async def wait_released(self) -> None:
        """What is tried next does not meet these locks then; for a bounded time."""
        if self.released is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RELEASE_S_MAX):
                    await self.released.wait()


class _Misplaced(Exception):
    """A partition does not hold all the keys that it was taken to hold."""


class _Plan:
    """The actions of one attempt by partition. `last`: positions that ride with the commit."""

    __slots__ = (
        "groups",
        "home",
        "last",
        "ledger",
        "participants",
        "released",
        "transaction",
        "waiter",
    )

    def __init__(
        self,
        partitions: Partitions,
        actions: Sequence[Action],
        client: ClientToken | None,
        waiter: bytes,
    ) -> None:
        self.transaction = partitions.new_token()
        self.waiter = waiter
        self.released: asyncio.Event | None = None  # its locks are gone again
        by_partition: dict[tuple[int, int], list[int]] = {}
        for position, action in enumerate(actions):
            where = (action.keyspace, partitions.partition_of(action.keyspace, action.key))
            by_partition.setdefault(where, []).append(position)
        if client is not None:
            self.ledger = ledger_of(client.token)
        else:
            # Everybody prepares in the order of the keyspaces and partitions, and commits in the
            # last: two transactions on the same items never stop each other.
            highest = max(
                (action.key for action in actions if action.keyspace == LEDGER_KEYSPACE),
                default=None,
            )
            self.ledger = ledger_of(self.transaction) if highest is None else highest
        self.home = (LEDGER_KEYSPACE, partitions.partition_of(LEDGER_KEYSPACE, self.ledger))
        self.last = by_partition.pop(self.home, [])
        self.groups = by_partition
        self.participants: tuple[Participant, ...] = tuple(
            (actions[position].keyspace, actions[position].key)
            for positions in by_partition.values()
            for position in positions
        )


class Transactions:
    """One gateway's transactions."""

    def __init__(
        self, partitions: Partitions, clock: Clock, entropy: Entropy, recovery: Recovery
    ) -> None:
        self._partitions = partitions
        self._clock = clock
        self._entropy = entropy
        self._recovery = recovery
        self.settlements = Settlements(partitions)

    async def execute(self, actions: Sequence[Action], client: ClientToken | None = None) -> Ended:
        """All of the actions, or none. Their keys differ; there are 1 to ACTIONS_MAX.

        When it returns a commit, the decision is durable in every in-sync zone, and every
        consistent read that begins from now on sees all of it.

        Raises IdempotentParameterMismatch, TransactionInProgress; Unavailable: nothing was
        changed; OutcomeUnknown.
        """
        if not 1 <= len(actions) <= ACTIONS_MAX:
            raise ValueError(f"{len(actions)} actions")
        if self.settlements.is_full:
            raise Overloaded("too many transactions wait for their locks to be removed")
        misplaced = conflicts = 0
        waiter, started, delay_s = b"", self._clock.monotonic(), CONFLICT_DELAY_S_MIN
        while True:
            plan = _Plan(self._partitions, actions, client, waiter)
            try:
                ended = await self._attempt(plan, actions, client)
                ended = ended._replace(released=plan.released)
            except _Misplaced:
                misplaced += 1
                if misplaced >= MISPLACED_ATTEMPTS_MAX:
                    raise NotLeader("the partitions keep moving", leader="") from None
                await asyncio.sleep(_MISPLACED_DELAY_S)
                continue
            if ended.is_committed:
                return ended
            if client is not None and await self.was_replayed(client):
                return Ended(True, [], is_replay=True)
            locks = [
                (action.keyspace, verdict.lock)
                for action, verdict in zip(actions, ended.verdicts, strict=True)
                if verdict.lock is not None
            ]
            others = any(v.code not in ("", c.CONFLICT) for v in ended.verdicts)
            is_over = self._clock.monotonic() - started >= CONFLICT_S_MAX
            if not locks or others or is_over or conflicts >= CONFLICTS_MAX:
                if waiter:
                    await self._give_way(actions, waiter)
                if client is not None and any(
                    lock.ledger == ledger_of(client.token) for _, lock in locks
                ):
                    raise TransactionInProgress
                return ended
            waiter = waiter or self._recovery.new_waiter()
            await self._wait_for(locks, delay_s)
            await ended.wait_released()
            conflicts += 1
            is_next = all(lock.ledger for _, lock in locks)
            delay_s = min(delay_s * 2, LOCK_DELAY_S_MAX if is_next else TURN_DELAY_S_MAX)

    async def _wait_for(self, locks: Sequence[tuple[int, c.LockHead]], delay_s: float) -> None:
        """Give the transactions that are in the way some time, unless all of them are over."""
        fates = await asyncio.gather(
            *(self._recovery.look_into(keyspace, lock) for keyspace, lock in locks)
        )
        if Fate.PENDING in fates:
            spread = 0.5 + self._entropy.token_bytes(1)[0] / 256
            await asyncio.sleep(delay_s * spread)

    async def _give_way(self, actions: Sequence[Action], waiter: bytes) -> None:
        """Nothing is to be kept for who has given up."""
        keys: dict[int, list[bytes]] = {}
        for action in actions:
            keys.setdefault(action.keyspace, []).append(action.key)
        for keyspace, some in keys.items():
            await self._recovery.reserve(keyspace, some, waiter, is_over=True)

    async def was_replayed(self, client: ClientToken) -> bool:
        """Whether the client token was used by a transaction that is committed.

        Raises IdempotentParameterMismatch.
        """
        ledger = ledger_of(client.token)
        use: c.TokenUse = await self._partitions.query(LEDGER_KEYSPACE, ledger, c.AskToken(ledger))
        if use.transaction is None:
            return False
        if use.payload != client.payload:
            raise IdempotentParameterMismatch
        return True

    # --- one attempt -----------------------------------------------------------------------------

    async def _attempt(
        self, plan: _Plan, actions: Sequence[Action], client: ClientToken | None
    ) -> Ended:
        verdicts = [_FINE] * len(actions)
        if plan.groups and not await self._prepare(plan, actions, verdicts):
            return Ended(False, verdicts)
        outcome = await self._commit(plan, actions, client)
        if outcome is None:  # its answer was lost, and the ledger says that it is committed
            return Ended(True, verdicts)
        for position, verdict in zip(plan.last, outcome.verdicts, strict=False):
            verdicts[position] = verdict
        if outcome.word == c.COMMITTED:
            if plan.participants:
                self._hand_over(plan, committed=True)
            return Ended(True, verdicts)
        self._hand_over(plan, committed=False)
        if outcome.word == c.REFUSED:
            return Ended(False, verdicts)
        if outcome.word == c.REPLAYED:
            return Ended(True, [], is_replay=True)
        if outcome.word == c.MISMATCHED:
            raise IdempotentParameterMismatch
        if outcome.word == c.MISPLACED:
            raise _Misplaced
        raise DeadlineExceeded("the transaction took so long that others gave it up")

    def _hand_over(self, plan: _Plan, *, committed: bool) -> None:
        decided = self.settlements.add(
            plan.transaction,
            plan.ledger,
            plan.participants,
            committed=committed,
            waiter=plan.waiter if committed else b"",
        )
        if plan.participants:
            plan.released = decided.gone

    async def _prepare(
        self, plan: _Plan, actions: Sequence[Action], verdicts: list[c.Verdict]
    ) -> bool:
        """Lock everything but what rides with the commit; False when that cannot be."""
        groups = list(plan.groups.items())
        try:
            if len(groups) == 1:
                answers = [await self._prepare_group(plan, actions, *groups[0])]
            else:
                answers = await _all_of(
                    [self._prepare_group(plan, actions, *group) for group in groups]
                )
        except BaseException:
            self._hand_over(plan, committed=False)
            raise
        is_fine = True
        for (_, positions), answer in zip(groups, answers, strict=True):
            if not answer:
                self._hand_over(plan, committed=False)
                raise _Misplaced
            for position, verdict in zip(positions, answer, strict=True):
                verdicts[position] = verdict
                is_fine = is_fine and not verdict.code
        if is_fine:
            return True
        self._hand_over(plan, committed=False)
        if plan.last:  # what would have been said of the others
            answer = await self._prepare_group(plan, actions, plan.home, plan.last, is_dry=True)
            for position, verdict in zip(plan.last, answer, strict=False):
                verdicts[position] = verdict
        return False

    async def _prepare_group(
        self,
        plan: _Plan,
        actions: Sequence[Action],
        where: tuple[int, int],
        positions: list[int],
        *,
        is_dry: bool = False,
    ) -> list[c.Verdict]:
        staged = [c.Staged(actions[at].key, actions[at].body) for at in positions]
        riders = self.settlements.board(where)
        command = c.Prepare(
            staged[0].key,
            plan.transaction,
            plan.ledger,
            staged,
            is_dry,
            settled_by(riders),
            plan.waiter,
        )
        rode = False
        try:
            prepared: c.Prepared = await self._partitions.execute(
                where[0], command.key, command, deadline_s=_PREPARE_DEADLINE_S
            )
            rode = prepared.rode
        except OutcomeUnknown as error:  # of the lock: the transaction is not committed
            raise DeadlineExceeded(f"an item could not be locked in time: {error}") from None
        finally:
            self._get_off(riders, rode=rode)
        return prepared.verdicts

    def _get_off(self, riders: list[Task], *, rode: bool) -> None:
        if rode:
            self.settlements.arrived(riders)
        elif riders:
            self.settlements.left_behind(riders)

    async def _commit(
        self, plan: _Plan, actions: Sequence[Action], client: ClientToken | None
    ) -> c.Outcome | None:
        staged = [c.Staged(actions[at].key, actions[at].body) for at in plan.last]
        payload = b"" if client is None else client.payload
        riders = self.settlements.board(plan.home)
        command = c.Commit(
            plan.ledger,
            plan.transaction,
            plan.participants,
            staged,
            payload,
            settled_by(riders),
            plan.waiter,
        )
        rode = False
        try:
            outcome: c.Outcome = await self._partitions.execute(
                LEDGER_KEYSPACE,
                plan.ledger,
                command,
                token=plan.transaction,
                deadline_s=_COMMIT_DEADLINE_S,
            )
            rode = outcome.rode
        except OutcomeUnknown:
            if not plan.participants:
                raise
            return await self._find_out(plan)
        except TrilithError:
            self._hand_over(plan, committed=False)
            raise
        finally:
            self._get_off(riders, rode=rode)
        return outcome

    async def _find_out(self, plan: _Plan) -> c.Outcome | None:
        """What became of a commit whose answer was lost: None if it is committed.

        Raises OutcomeUnknown.
        """
        try:
            standing: c.Standing = await self._partitions.execute(
                LEDGER_KEYSPACE, plan.ledger, c.Settle(plan.ledger, plan.transaction)
            )
        except TrilithError as error:
            raise OutcomeUnknown(f"whether the transaction is committed: {error}") from None
        if not standing.is_committed:
            return c.Outcome(c.ABORTED)
        self._hand_over(plan, committed=True)
        return None


_FINE = c.Verdict()


async def _all_of(prepares: list[object]) -> list[list[c.Verdict]]:
    """Every answer; the first error only once nothing is under way any more."""
    answers = await asyncio.gather(*prepares, return_exceptions=True)  # type: ignore[call-overload]
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return cast(list[list[c.Verdict]], answers)
