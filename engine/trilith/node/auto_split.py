"""Which led partitions this node splits, and where (DESIGN: replication, rule 7).

*Hot*: more work than its leader's node has time for, while the node that is to lead the half has
some, for a while: of what a busy node leads, that which most commands are for. (Reads are answered
where they are asked: another leader takes none of them away.) Not before: two leaders make smaller
batches of the same writes, and so more work of them. Nor while a zone is away, since no leader
moves then, or while something else that is led here is yet to. Or more commands and reads per
second than one partition is to take; the shares that they have of their limits add up. It is split
at the median of the keys that recent commands went to, or recent reads where they weigh more, so
that each half has about half of the load. One key that is hot alone cannot be split: then it is
left alone for a while. (processor_load.py, read_heat.py)

*Big*: more bytes than the limit. Sizes are measured by reading the partition, slowly, and only
while the whole store holds more than one partition may; the key in the middle of the bytes is the
place.

An idle node does nothing but look at one counter of each partition that it leads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trilith.config import Partitions
from trilith.errors import Corruption, InvalidRequest, NotLeader, TrilithError
from trilith.node.processor_load import ProcessorLoad
from trilith.node.read_heat import ReadHeat
from trilith.replication.host import ReplicaHost
from trilith.replication.leader import Leader
from trilith.replication.ranges import Division, RangeRecord, ranges_of
from trilith.replication.replica import Replica
from trilith.runtime.clock import Clock
from trilith.runtime.workers import Workers
from trilith.storage.ordered_store import OrderedReader, OrderedStore

SAMPLES_MIN = 32  # of recent keys
SHARE_MIN = 0.2  # of the load or the bytes, in the smaller half
COOL_DOWN_S = 60.0  # after an attempt that found no place
LOOK_S = 1.0
MEASURE_BYTES_PER_STEP = 1024 * 1024
MEASURE_BYTES_PER_SECOND = 16 * 1024 * 1024
BUSY_RATE_MIN = 100  # commands a second: below, something else keeps the node busy
TIME_SHARE_MAX = 0.6  # of our own load: who has more has no time for a half of it
MARKS = 64  # keys remembered of a partition that is measured, evenly by bytes


@dataclass(slots=True)
class _Heat:
    """One leadership, as it was looked at last."""

    leader: Leader
    commands: int
    at: float
    rate: float = 0.0  # commands a second
    hot_since: float | None = None
    not_before: float = 0.0


class AutoSplit:
    """One node's. `store_bytes`: what the whole store holds, about."""

    def __init__(
        self,
        *,
        host: ReplicaHost,
        reads: ReadHeat,
        load: ProcessorLoad,
        divisions: dict[int, Division],
        partitions: Partitions,
        clock: Clock,
        store: OrderedStore,
        store_bytes: Callable[[], int],
        workers: Workers,
        log: Callable[..., None],
    ) -> None:
        self._host = host
        self._reads = reads
        self._load = load
        self._divisions = divisions
        self._partitions = partitions
        self._clock = clock
        self._store = store
        self._store_bytes = store_bytes
        self._workers = workers
        self._log = log
        self._heat: dict[int, _Heat] = {}
        self._busy_since: float | None = None

    async def watch_heat(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._load.look()
            await self._reads.look()
            now = self._clock.monotonic()
            found = [
                (replica, self._look(replica, replica.leader, now))
                for replica in self._host.replicas.values()
                if replica.leader is not None and replica.descriptor.keyspace in self._divisions
            ]
            for replica, heat in found:
                if self._is_over(replica, heat, now) and replica.leader is heat.leader:
                    await self._split_hot(replica, heat, now)
            await self._relieve(found, now)

    def _look(self, replica: Replica, leader: Leader, now: float) -> _Heat:
        heat = self._heat.get(replica.partition_id)
        if heat is None or heat.leader is not leader:
            heat = self._heat[replica.partition_id] = _Heat(leader, leader.commands, now)
        else:
            heat.rate = (leader.commands - heat.commands) / max(now - heat.at, 0.001)
            heat.commands, heat.at = leader.commands, now
        return heat

    def _is_over(self, replica: Replica, heat: _Heat, now: float) -> bool:
        """Whether it has taken more than one partition is to take, for long enough."""
        partitions = self._partitions
        reads = self._reads.rate(replica.partition_id)
        if sum(shares_of_limits(partitions, heat.rate, reads)) < 1:
            heat.hot_since = None
        elif heat.hot_since is None:
            heat.hot_since = now
        else:
            return now - heat.hot_since >= partitions.split_after_seconds and now >= heat.not_before
        return False

    async def _relieve(self, found: list[tuple[Replica, _Heat]], now: float) -> None:
        """Split what most of this node's work is for, when it has been too busy for long enough."""
        partitions = self._partitions
        limit = partitions.busy_percent_max
        if limit == 100 or self._load.share * 100 < limit:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = now
        elif now - self._busy_since >= partitions.split_after_seconds:
            work = [
                (heat.rate, replica, heat)
                for replica, heat in found
                if replica.leader is heat.leader and now >= heat.not_before
            ]
            most, replica, heat = max(work, key=lambda one: one[0], default=(0.0, None, None))
            if replica is None or heat is None or most < BUSY_RATE_MIN:
                return
            self._busy_since = now  # the next in a while: what this one changes is to be seen
            if self._leaders_move(found) and await self._another_has_time(replica):
                await self._split_hot(replica, heat, now)

    def _leaders_move(self, found: list[tuple[Replica, _Heat]]) -> bool:
        """Whether a half would go to its leader, and nothing else is on its way to another: until
        all are in sync it stays here (hand_overs.py), and would be split again, and again.
        """
        led = [replica.descriptor for replica, _ in found if replica.leader is not None]
        return all(
            len(one.in_sync) == len(one.replicas)
            and one.preferred_leader in ("", self._host.node_id)
            for one in led
        )

    async def _split_hot(self, replica: Replica, heat: _Heat, now: float) -> None:
        """At the median of what is written, or read, of it lately."""
        partitions = self._partitions
        reads = self._reads.rate(replica.partition_id)
        by_writing, by_reading = shares_of_limits(partitions, heat.rate, reads)
        written, read = list(heat.leader.recent_keys), self._reads.places(replica.partition_id)
        keys = written if by_writing >= by_reading else read
        if len(keys) < SAMPLES_MIN:
            return  # hot, and not known where: a later look knows more
        heat.hot_since, heat.not_before = None, now + partitions.split_after_seconds
        place = median(keys, self._divisions[replica.descriptor.keyspace], replica.range)
        why = f"{heat.rate:.0f} commands and {reads:.0f} reads a second, "
        why += f"{self._load.share:.0%} of a processor"
        if place is None:
            heat.not_before = now + COOL_DOWN_S
            self._log("cannot_split", partition=replica.partition_id, why=why)
            return
        heat.leader.recent_keys.clear()
        self._reads.forget(replica.partition_id)
        await self._split(replica, place, why=why)

    async def _another_has_time(self, replica: Replica) -> bool:
        """Whether the node that is to lead what a split makes is less busy than this one."""
        node = self._host.splitting.next_leader(replica.descriptor)
        try:
            return await self._load.of(node) <= self._load.share * TIME_SHARE_MAX
        except (TrilithError, TimeoutError) as error:
            self._log("load_not_known", node=node, error=repr(error))
            return False

    async def _split(self, replica: Replica, place: bytes, *, why: str) -> None:
        partitions = self._partitions
        if len(self._host.descriptors) >= partitions.partitions_max:
            self._log("cannot_split", partition=replica.partition_id, why="too many partitions")
            return
        try:
            child = await self._host.splitting.split(replica.partition_id, place)
        except (TrilithError, TimeoutError) as error:
            self._log("split_failed", partition=replica.partition_id, error=repr(error))
        else:
            self._log("split_partition", partition=replica.partition_id, child=child, why=why)

    # sizes

    async def watch_sizes(self) -> None:
        """Until cancelled."""
        partitions = self._partitions
        while True:
            await asyncio.sleep(partitions.measure_interval_seconds)
            if self._store_bytes() < partitions.split_bytes:
                continue
            for replica in list(self._host.replicas.values()):
                if replica.leader is not None and replica.descriptor.keyspace in self._divisions:
                    try:
                        await self._measure(replica)
                    except Corruption:
                        continue  # whoever is told of damage rebuilds the store

    async def split_now(self, partition_id: int, key: bytes) -> int:
        """Split a partition that is led here, at `key` or, if that is empty, where it halves the
        bytes; the child's id. Raises as `Splitting.split`, and InvalidRequest: no place is fit.
        """
        replica = self._host.replicas.get(partition_id)
        if replica is None or replica.leader is None:
            raise NotLeader("a partition is split by its leader", leader="")
        division = self._divisions.get(replica.descriptor.keyspace)
        if division is None:
            raise InvalidRequest("partitions of this kind are not split")
        if len(self._host.descriptors) >= self._partitions.partitions_max:
            raise InvalidRequest("there are as many partitions as the configuration allows")
        place = division.boundary(key) if key else None
        if not key:
            marks = await self._marks(replica)
            place = median(marks.keys, division, replica.range, samples_min=2)
        if place is None or place == replica.range.start or not replica.range.covers(place):
            raise InvalidRequest("there is no place to split the partition at")
        return await self._host.splitting.split(partition_id, place)

    async def _marks(self, replica: Replica) -> Marks:
        """By reading it all, slowly. Raises Corruption."""
        marks, keyspace = Marks(), replica.descriptor.keyspace
        reader, number = self._store.snapshot(), replica.partition_id
        anchored = self._divisions[keyspace].anchored
        sizes = steps(reader, keyspace, number, replica.range, marks, anchored)
        while (size := await self._workers.run(next, sizes, None)) is not None:
            await asyncio.sleep(size / MEASURE_BYTES_PER_SECOND)
        return marks

    async def _measure(self, replica: Replica) -> None:
        record, division = replica.range, self._divisions[replica.descriptor.keyspace]
        marks = await self._marks(replica)
        if marks.movable < self._partitions.split_bytes or replica.leader is None:
            return
        place = median(marks.keys, division, record)
        if place is not None:
            await self._split(replica, place, why=f"{marks.movable} bytes")


def shares_of_limits(partitions: Partitions, commands: float, reads: float) -> tuple[float, float]:
    """What these rates (a second) are of what one partition is to take of each."""
    return commands / partitions.commands_per_second_max, reads / partitions.reads_per_second_max


class Marks:
    """Keys that lie evenly in the bytes of what is read, however much that is.

    `movable`: bytes of what a split may move. The rest, a day of a stream's changes for one, stays
    where it is whatever the place, and has no say in it.
    """

    def __init__(self) -> None:
        self.size = self.movable = 0
        self.keys: list[bytes] = []
        self._step = 64
        self._next = 0

    def add(self, key: bytes, size: int, *, is_anchored: bool = False) -> None:
        self.size += size
        if is_anchored:
            return
        self.movable += size
        while self.movable >= self._next:
            self.keys.append(key)
            self._next += self._step
        while len(self.keys) >= 2 * MARKS:
            self.keys = self.keys[::2]
            self._step *= 2


def steps(
    reader: OrderedReader,
    keyspace: int,
    partition_id: int,
    record: RangeRecord,
    marks: Marks,
    anchored: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """Read everything that a partition holds; the sizes of what each step read."""
    step = 0
    for start, end in ranges_of(reader, keyspace, partition_id, record):
        for key, value in reader.scan(start, end):
            size = len(key) + len(value)
            marks.add(key[2:], size, is_anchored=key[1] in anchored)
            step += size
            if step >= MEASURE_BYTES_PER_STEP:
                yield step
                step = 0


def median(
    keys: list[bytes], division: Division, record: RangeRecord, *, samples_min: int = SAMPLES_MIN
) -> bytes | None:
    """The boundary that halves a sample of logical keys; None when none does at all well."""
    if len(keys) < samples_min:
        return None
    places = sorted(place for key in keys if (place := division.boundary(key)) is not None)
    best: tuple[float, bytes] | None = None
    previous = b""
    for number, place in enumerate(places):
        if place == previous:
            continue
        previous = place
        left = number / len(places)
        share = min(left, 1 - left)
        if place != record.start and record.covers(place) and share >= SHARE_MIN:
            best = max(best, (share, place)) if best is not None else (share, place)
    return None if best is None else best[1]
