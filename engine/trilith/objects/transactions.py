"""Puts, copies and deletions of objects in one transaction with each other and with items.

All bodies and manifests are stored before anything is locked (staging.py), so a transaction's
locks are held for as long as those of one on items. A copy depends on its source: that must still
be of the version that was staged when the transaction is prepared, or all is staged anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from trilith.errors import (
    DeadlineExceeded,
    EntityTooLarge,
    InvalidRequest,
    ObjectNotFound,
    Outcome,
    OutcomeUnknown,
    TrilithError,
)
from trilith.objects.keys import OBJECTS_KEYSPACE
from trilith.objects.rules.transactions import (
    BUCKET_CLOSED,
    CHANGED,
    ObjectAction,
    encode_action,
)
from trilith.objects.staging import StagedObject, StagingOperations
from trilith.objects.types import NO_CONDITIONS, ObjectMetadata, WriteConditions
from trilith.transactions.commands import CONFLICT, Verdict
from trilith.transactions.coordinator import Action, ClientToken, Transactions

BODIES_BYTES_MAX = 4 << 20  # of one transaction together; copies have no bound
ATTEMPTS_MAX = 8
NO_SOURCE = "ObjectNotFound"  # the reason of a copy
_STAGED_TOGETHER_MAX = 8
_ANEW = frozenset((BUCKET_CLOSED, CHANGED))  # worth another attempt
_FINE = Verdict()
_TWICE = "Transaction request cannot include multiple operations on one object"


class PutPart(NamedTuple):
    bucket: str
    key: str
    body: bytes
    metadata: ObjectMetadata
    conditions: WriteConditions = NO_CONDITIONS
    checksum_algorithm: str | None = None


class CopyPart(NamedTuple):
    """`metadata`: None keeps the source's."""

    source_bucket: str
    source_key: str
    bucket: str
    key: str
    metadata: ObjectMetadata | None = None
    conditions: WriteConditions = NO_CONDITIONS


class DeletePart(NamedTuple):
    bucket: str
    key: str
    conditions: WriteConditions = NO_CONDITIONS


Part = PutPart | CopyPart | DeletePart


class Together(NamedTuple):
    """How a transaction of object parts, and actions beside them, ended (`coordinator.Ended`).

    Codes of parts: those of transactions/commands.py, and NO_SOURCE.
    """

    is_committed: bool
    parts: list[Verdict]
    beside: list[Verdict]
    is_replay: bool = False


class ObjectTransactions:
    """One gateway's."""

    def __init__(self, objects: StagingOperations, transactions: Transactions) -> None:
        self._objects = objects
        self._transactions = transactions

    async def execute(
        self,
        parts: Sequence[Part],
        beside: Sequence[Action] = (),
        client: ClientToken | None = None,
    ) -> Together:
        """All of the parts, and of the actions `beside` them, or nothing.

        Raises InvalidRequest, EntityTooLarge, BucketNotFound, and as `Transactions.execute`.
        """
        _require_fit(parts)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            together, closed = await self._attempt(parts, beside, client)
            codes = {verdict.code for verdict in (*together.parts, *together.beside)}
            is_passing = not codes.isdisjoint(_ANEW) and codes <= {"", CONFLICT, *_ANEW}
            if together.is_committed or not is_passing or attempt == ATTEMPTS_MAX:
                break
            await self._reopen(closed)
        return together._replace(parts=[_told(verdict) for verdict in together.parts])

    async def _reopen(self, closed: list[tuple[StagedObject, int]]) -> None:
        """Raises BucketNotFound."""
        try:
            for staged, generation in closed:
                await self._objects.reopen(staged, generation)
        except OutcomeUnknown as error:
            raise _not_begun(error) from None

    async def _attempt(
        self, parts: Sequence[Part], beside: Sequence[Action], client: ClientToken | None
    ) -> tuple[Together, list[tuple[StagedObject, int]]]:
        """How one attempt ended, and what met a closed bucket in it, of which generation."""
        staged, missing = await self._stage(parts)
        closed: list[tuple[StagedObject, int]] = []
        try:
            if missing:
                together = await self._without_source(missing, beside, client)
            else:
                together = await self._run(staged, beside, client)
        except TrilithError as error:
            if error.outcome is Outcome.NOT_APPLIED:
                await self._objects.unstage(staged)
            raise
        if not together.is_committed or together.is_replay:
            await self._objects.unstage(staged)
            closed = [
                (one, int.from_bytes(verdict.record or b"", "big"))
                for one, verdict in zip(staged, together.parts, strict=False)
                if verdict.code == BUCKET_CLOSED
            ]
        return together, closed

    async def _stage(self, parts: Sequence[Part]) -> tuple[list[StagedObject], list[Verdict]]:
        """All parts, staged; or, where sources of copies are missing, a verdict for each part."""
        room = asyncio.Semaphore(_STAGED_TOGETHER_MAX)

        async def stage(part: Part) -> StagedObject | None:
            async with room:
                if isinstance(part, PutPart):
                    return await self._objects.stage_put(*part)
                if isinstance(part, DeletePart):
                    return await self._objects.stage_delete(*part)
                try:
                    return await self._objects.stage_copy(*part)
                except ObjectNotFound:
                    return None

        works = [asyncio.ensure_future(stage(part)) for part in parts]
        try:
            found = await asyncio.gather(*works)
        except BaseException as error:
            for work in works:
                work.cancel()
            ended = await asyncio.gather(*works, return_exceptions=True)
            await self._objects.unstage(one for one in ended if isinstance(one, StagedObject))
            if isinstance(error, OutcomeUnknown):
                raise _not_begun(error) from None
            raise
        staged = [one for one in found if one is not None]
        if len(staged) == len(parts):
            return staged, []
        absent = Verdict(NO_SOURCE, "there is no such object to copy")
        return staged, [absent if one is None else _FINE for one in found]

    async def _without_source(
        self, verdicts: list[Verdict], beside: Sequence[Action], client: ClientToken | None
    ) -> Together:
        """A source may be missing because this very request has moved it before."""
        if client is not None and await self._transactions.was_replayed(client):
            return Together(True, [], [], is_replay=True)
        return Together(False, verdicts, [_FINE] * len(beside))

    async def _run(
        self,
        staged: Sequence[StagedObject],
        beside: Sequence[Action],
        client: ClientToken | None,
    ) -> Together:
        sources: dict[bytes, bytes] = {}
        for one in staged:
            if one.source is not None and sources.setdefault(*one.source) != one.source[1]:
                changed = [Verdict(CHANGED) if each.source else _FINE for each in staged]
                return Together(False, changed, [_FINE] * len(beside))
        actions = [
            _action(one.write.stem, ObjectAction(one.write, sources.get(one.write.stem)))
            for one in staged
        ]
        written = {action.key for action in actions}
        read = [stem for stem in sources if stem not in written]
        looks = [_action(stem, ObjectAction(None, sources[stem])) for stem in read]
        ended = await self._transactions.execute([*beside, *actions, *looks], client)
        if ended.is_replay:
            return Together(True, [], [], is_replay=True)
        verdicts = ended.verdicts[len(beside) : len(beside) + len(staged)]
        by_source = dict(zip(read, ended.verdicts[len(beside) + len(staged) :], strict=True))
        for at, one in enumerate(staged):
            if one.source is not None and not verdicts[at].code:
                verdicts[at] = by_source.get(one.source[0], _FINE)
        if any(verdict.code in _ANEW for verdict in ended.verdicts):
            await ended.wait_released()
        return Together(ended.is_committed, verdicts, ended.verdicts[: len(beside)])


def _action(stem: bytes, action: ObjectAction) -> Action:
    return Action(OBJECTS_KEYSPACE, stem, encode_action(action))


def _require_fit(parts: Sequence[Part]) -> None:
    if len({(part.bucket, part.key) for part in parts}) != len(parts):
        raise InvalidRequest(_TWICE)
    size = sum(len(part.body) for part in parts if isinstance(part, PutPart))
    if size > BODIES_BYTES_MAX:
        raise EntityTooLarge(
            f"the bodies in a transaction have at most {BODIES_BYTES_MAX} bytes together: put a "
            "larger object under another key before, and copy it in the transaction",
            size=size,
        )


def _not_begun(error: OutcomeUnknown) -> DeadlineExceeded:
    """Whatever became of what is stored ahead: the transaction itself was not prepared."""
    return DeadlineExceeded(f"the transaction could not begin in time: {error}")


def _told(verdict: Verdict) -> Verdict:
    """What kept getting in between is a conflict to the caller."""
    if verdict.code in _ANEW:
        return Verdict(CONFLICT, "the object or its bucket kept changing meanwhile")
    return verdict
