"""Brings chunks to this node that it should have and lacks, or has damaged.

Two sources: the durable queue of chunks that this zone missed while it was away, and reports of
copies that were found missing or bad when somebody asked for them. Reports are kept in memory only:
the next read, or a scrubber, finds the damage again.

While the queue cannot be read, what this node's own log says that it is owed is brought all the
same (`owed`). An entry is completed only after its chunk is durable here. Whatever fails stays in
the queue and is tried again. What no zone has a good copy of is told to `on_lost` and goes on to be
tried as a report: in the queue it would keep the zone out of in-sync sets, for bytes that nobody
can bring. A copy that is known to be bad is not taken for one by anybody who writes the same bytes
again: those replace it (`is_damaged`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from trilith.chunks.service import ChunkService
from trilith.cluster.placement import Placement
from trilith.errors import Corruption, DiskFull, PeerUnreachable, TrilithError
from trilith.runtime.network import Buffer
from trilith.runtime.throttle import Throttle

IDLE_DELAY_S = 1.0  # between looks at an empty queue
FAILED_DELAY_S_MAX = 15.0
BATCH_ENTRIES = 64
BATCH_ENTRIES_MAX = 8_192
PARALLEL_COPIES = 4
DAMAGED_MAX = 65_536
DISMISSED_S = 30.0  # longer than any other node takes to find out the same

Token = TypeVar("Token")


class RepairQueue(Protocol[Token]):
    """The durable list of chunks that zones missed; replicated state of the object model."""

    async def list_missing(self, zone: str, limit: int) -> Sequence[tuple[Token, bytes]]:
        """The oldest entries of a zone: (token, chunk id)."""
        ...

    async def give_up(self, token: Token, is_lost: Callable[[], Awaitable[bool]]) -> bool:
        """Take an entry off whose chunk cannot be had; whether it is off.

        `is_lost` looks once more, after the entry was read: one that is made anew by then stays.
        """
        ...

    async def complete(self, tokens: Sequence[Token]) -> None:
        """Take entries off, durably; no error for those that are off already."""
        ...


@dataclass(slots=True)
class RepairProgress:
    """What `trilith status` shows. `pending`: known entries, a lower bound of what waits."""

    pending: int = 0
    queued: int | None = None  # of them in the queue, if that could be read; the others: reports
    done: int = 0
    bytes_copied: int = 0
    failed: int = 0  # attempts
    without_good_copy: int = 0  # of the last round: no zone could give it
    eta_s: float | None = None  # None: nothing waits, or no rate is known yet


def _silent(event: str, **facts: object) -> None:
    """No log."""
    del event, facts


async def _nothing() -> Collection[bytes]:
    return ()


class RepairWorker(Generic[Token]):
    """One per data node. `run` goes on until it is cancelled."""

    def __init__(
        self,
        queue: RepairQueue[Token],
        service: ChunkService,
        placement: Placement,
        zone: str,
        *,
        bytes_per_second_max: int,
        log: Callable[..., None] = _silent,
    ) -> None:
        self.progress = RepairProgress()
        self._queue = queue
        self._service = service
        self._placement = placement
        self._zone = zone
        self._throttle = Throttle(bytes_per_second_max)
        self._log = log
        self._damaged: dict[bytes, None] = {}
        self._dismissed: dict[bytes, float] = {}  # until when
        self._lost: set[bytes] = set()  # of this round: no zone has a good copy
        self._wake = asyncio.Event()
        self._limit = BATCH_ENTRIES  # entries to look at; more when none of those can be had now
        self._rate_per_s = 0.0
        # Told of a chunk that no zone has a good copy of, and of one that is whole here.
        self.on_lost: Callable[[bytes], None] = lambda _: None
        self.on_whole: Callable[[bytes], None] = lambda _: None
        # What is owed by this node's own log, for when nobody can read the queue.
        self.owed: Callable[[], Awaitable[Collection[bytes]]] = _nothing

    def heal_soon(self, chunk_id: bytes) -> None:
        """This node's copy was asked for, and is missing or bad. Ignored for chunks of others.

        Said again, it hurries nobody: nodes that all lack a good copy ask each other for one.
        """
        if chunk_id in self._damaged or self._was_dismissed(chunk_id):
            return
        if len(self._damaged) < DAMAGED_MAX and self._owns(chunk_id):
            self._damaged[chunk_id] = None
            self._wake.set()

    def is_damaged(self, chunk_id: bytes) -> bool:
        """Whether this node's copy was found bad, and is not replaced yet."""
        return chunk_id in self._damaged

    def forget(self, chunk_id: bytes) -> None:
        """This node's copy was replaced."""
        self._damaged.pop(chunk_id, None)
        self._dismissed.pop(chunk_id, None)
        self.on_whole(chunk_id)

    def dismiss(self, chunk_id: bytes) -> None:
        """No zone has a good copy, and nobody needs one.

        Whoever asks for it now is a node that has yet to find that out: to try again at its asking
        would only make that node try again, too.
        """
        self._damaged.pop(chunk_id, None)
        if len(self._dismissed) >= DAMAGED_MAX:
            del self._dismissed[next(iter(self._dismissed))]
        self._dismissed[chunk_id] = asyncio.get_running_loop().time() + DISMISSED_S
        self.on_whole(chunk_id)

    def _was_dismissed(self, chunk_id: bytes) -> bool:
        until = self._dismissed.get(chunk_id)
        if until is None:
            return False
        if asyncio.get_running_loop().time() < until:
            return True
        del self._dismissed[chunk_id]
        return False

    def look_now(self) -> None:
        """The queue may have new entries, or a zone that was away is back."""
        self._wake.set()

    async def copy_missing(self, chunk_ids: Sequence[bytes]) -> tuple[int, int]:
        """Bring chunks here that no queue names; how many could not be brought now, and how many
        never can, because no zone has a good copy.
        """
        self._lost.difference_update(chunk_ids)
        there = await self._copy_all(chunk_ids, replace=False)
        lost = sum(chunk_id in self._lost for chunk_id in chunk_ids)
        return len(chunk_ids) - len(there) - lost, lost

    async def run(self) -> None:
        """Repair until cancelled."""
        delay_s = IDLE_DELAY_S
        while True:
            self._wake.clear()
            try:
                moved = await self._round()
            except TrilithError as error:  # the queue itself is unavailable: a leader is changing
                self._log("repair_queue_unavailable", error=error.code, message=error.message)
                moved, self.progress.queued = 0, None
                self.progress.pending = await self._copy_owed() + len(self._damaged)
            if moved:
                delay_s = IDLE_DELAY_S
                continue
            if self.progress.pending:
                delay_s = min(delay_s * 2, FAILED_DELAY_S_MAX)
            try:
                async with asyncio.timeout(delay_s):
                    await self._wake.wait()
                delay_s = IDLE_DELAY_S
            except TimeoutError:
                pass

    async def _round(self) -> int:
        """One look at both sources; how many chunks were brought here."""
        started, done_before = asyncio.get_running_loop().time(), self.progress.done
        self.progress.without_good_copy = 0
        self._lost.clear()
        damaged = list(self._damaged)[:BATCH_ENTRIES]
        healed = await self._copy_all(damaged, replace=True)
        for chunk_id in damaged:
            if self._damaged.pop(chunk_id, chunk_id) is None and chunk_id not in healed:
                self._damaged[chunk_id] = None  # behind those that were not tried yet
        entries = await self._entries_of_this_node()
        self.progress.pending = len(entries) + len(self._damaged)
        self.progress.queued = left = len(entries)
        for at in range(0, len(entries), BATCH_ENTRIES):
            batch = entries[at : at + BATCH_ENTRIES]
            there = await self._copy_all({chunk_id for _, chunk_id in batch}, replace=False)
            completed = [token for token, chunk_id in batch if chunk_id in there]
            if completed:
                await self._queue.complete(completed)
            for token, chunk_id in batch:
                if chunk_id in self._lost and await self._give_up(token, chunk_id):
                    completed.append(token)
            self.progress.pending -= len(completed)
            left -= len(completed)
            self.progress.queued = left
        moved = self.progress.done - done_before
        more = BATCH_ENTRIES if moved else self._limit * 8
        self._limit = min(more, BATCH_ENTRIES_MAX)
        self._estimate(moved, asyncio.get_running_loop().time() - started)
        return moved

    async def _copy_owed(self) -> int:
        """Its partition may wait for this node, and commit nothing, not even what takes an entry
        off, before the node has the chunks. How many are known to be lacking still.
        """
        try:
            owned = [chunk_id for chunk_id in await self.owed() if self._owns(chunk_id)]
        except TrilithError as error:  # a log that is damaged, or is being split: looked at again
            self._log("owed_chunks_unreadable", error=error.code, message=error.message)
            return 0
        there = await self._copy_all(owned, replace=False)
        return len(owned) - len(there)

    async def _entries_of_this_node(self) -> list[tuple[Token, bytes]]:
        """Entries that this node owns. Other nodes of the zone see to theirs."""
        limit = self._limit
        while True:
            listed = await self._queue.list_missing(self._zone, limit)
            owned: list[tuple[Token, bytes]] = [e for e in listed if self._owns(e[1])]
            if owned or len(listed) < limit or limit >= BATCH_ENTRIES_MAX:
                return owned
            limit *= 8

    def _owns(self, chunk_id: bytes) -> bool:
        return self._placement.owner_in(self._zone, chunk_id) == self._service.node_id

    async def _give_up(self, token: Token, chunk_id: bytes) -> bool:
        async def is_lost() -> bool:
            self._lost.discard(chunk_id)
            return not await self._copy(chunk_id, replace=False) and chunk_id in self._lost

        if not await self._queue.give_up(token, is_lost):
            return False
        self.heal_soon(chunk_id)  # and again, for as long as anything needs it
        return True

    async def _copy_all(
        self, chunk_ids: Sequence[bytes] | set[bytes], *, replace: bool
    ) -> set[bytes]:
        """Which of them are durable here now."""
        waiting = list(chunk_ids)
        there: set[bytes] = set()

        async def copy_some() -> None:
            while waiting:
                chunk_id = waiting.pop()
                if await self._copy(chunk_id, replace=replace):
                    there.add(chunk_id)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(PARALLEL_COPIES, len(waiting))):
                group.create_task(copy_some())
        return there

    async def _copy(self, chunk_id: bytes, *, replace: bool) -> bool:
        service = self._service
        try:
            if not replace:
                (there,) = await service.touch(service.node_id, (chunk_id,))
                if there:
                    self.progress.done += 1
                    return True
            sealed = await self._fetch(chunk_id)
            await self._throttle.wait_for(len(sealed))
            bad = replace or chunk_id in self._damaged
            await service.store.store(chunk_id, sealed, replace=bad)
        except (TrilithError, OSError) as error:
            self.progress.failed += 1
            if isinstance(error, Corruption):
                self._lost.add(chunk_id)
                self.progress.without_good_copy = len(self._lost)
                self.on_lost(chunk_id)
            if not isinstance(error, PeerUnreachable | DiskFull):
                self._log("repair_failed", chunk_id=chunk_id.hex(), error=str(error))
            return False
        self.progress.done += 1
        self.progress.bytes_copied += len(sealed)
        self.on_whole(chunk_id)
        return True

    async def _fetch(self, chunk_id: bytes) -> Buffer:
        """The sealed bytes from another node, which verified them.

        Raises Corruption when every node that should have them was asked and none has a good copy.
        """
        unasked = False
        for zone, node_id in self._sources(chunk_id):
            if not self._service.is_reachable(node_id):
                unasked = True
                continue
            try:
                sealed = await self._service.get(node_id, chunk_id)
            except Corruption:
                continue
            except TrilithError:
                unasked = True
                continue
            if sealed is not None:
                return sealed
            del zone
        if unasked:
            raise PeerUnreachable("no node that answers has the chunk")
        raise Corruption("no zone has a good copy of the chunk")

    def _sources(self, chunk_id: bytes) -> list[tuple[str, str]]:
        owners = self._placement.owners(chunk_id)
        found = list(owners.items())
        for zone in owners:
            found += [(zone, node) for node in self._placement.earlier_owners(zone, chunk_id)]
        return [(zone, node) for zone, node in found if node != self._service.node_id]

    def _estimate(self, moved: int, seconds: float) -> None:
        if moved and seconds > 0:
            rate = moved / seconds
            self._rate_per_s = rate if not self._rate_per_s else (self._rate_per_s + rate) / 2
        pending, rate = self.progress.pending, self._rate_per_s
        self.progress.eta_s = pending / rate if pending and rate else None
