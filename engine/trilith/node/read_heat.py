"""How much each partition is read, by all nodes that answer for it, as its leader knows it.

Any in-sync replica answers reads, so no node sees them all. Each node counts its own; once a second
it tells the leaders of those partitions that it answers much for. A node that answers little says
nothing, and what was said is believed for some seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from trilith.config import Partitions
from trilith.errors import TrilithError
from trilith.peers.hub import PeerHub
from trilith.replication.host import ReplicaHost
from trilith.replication.ranges import Division
from trilith.replication.read_tally import KEYS_MAX
from trilith.runtime.clock import Clock
from trilith.runtime.network import Buffer

METHOD = "node.partition_reads"
TELL_SHARE = 0.01  # of the reads at which a partition is split; below, nothing is told
TELL_S = 2.0
BELIEVED_S = 4.0
KEYS_TOLD_MAX = 64


class Told(msgspec.Struct, frozen=True, array_like=True):
    """Reads a second of one partition, and where a sample of them went, as boundaries."""

    partition_id: int
    rate: float
    places: list[bytes]


_told = msgspec.msgpack.Decoder(list[Told])


@dataclass(slots=True)
class _Own:
    """What this node answered for a partition when it was looked at last."""

    count: int
    at: float
    rate: float = 0.0


@dataclass(slots=True)
class _Others:
    """What other nodes say of a partition: (rate, when) by node, and places."""

    rates: dict[str, tuple[float, float]] = field(default_factory=dict)
    places: deque[bytes] = field(default_factory=lambda: deque(maxlen=KEYS_MAX))


class ReadHeat:
    """One node's."""

    def __init__(
        self,
        *,
        host: ReplicaHost,
        hub: PeerHub,
        divisions: dict[int, Division],
        partitions: Partitions,
        clock: Clock,
    ) -> None:
        self._host = host
        self._hub = hub
        self._divisions = divisions
        self._told_from = partitions.reads_per_second_max * TELL_SHARE
        self._clock = clock
        self._own: dict[int, _Own] = {}
        self._others: dict[int, _Others] = {}
        hub.serve(METHOD, self._answer)

    def rate(self, partition_id: int) -> float:
        """Reads a second, of a partition that is led here."""
        now = self._clock.monotonic()
        own, others = self._own.get(partition_id), self._others.get(partition_id)
        total = 0.0 if own is None else own.rate
        if others is not None:
            total += sum(rate for rate, at in others.rates.values() if now - at <= BELIEVED_S)
        return total

    def places(self, partition_id: int) -> list[bytes]:
        """Where recent reads of the partition went: keys or boundaries."""
        replica, others = self._host.replicas.get(partition_id), self._others.get(partition_id)
        own = [] if replica is None else list(replica.reads.keys)
        return own + ([] if others is None else list(others.places))

    def forget(self, partition_id: int) -> None:
        """The partition was split: a part of what was known is not of it any more."""
        self._others.pop(partition_id, None)
        replica = self._host.replicas.get(partition_id)
        if replica is not None:
            replica.reads.keys.clear()

    async def look(self) -> None:
        """Count, and tell the leaders; within TELL_S."""
        now = self._clock.monotonic()
        tales: dict[str, list[Told]] = {}
        own: dict[int, _Own] = {}
        for partition_id, replica in self._host.replicas.items():
            division = self._divisions.get(replica.descriptor.keyspace)
            if division is None:
                continue
            count, before = replica.reads.count, self._own.get(partition_id)
            own[partition_id] = seen = _Own(count, now)
            if before is not None:
                seen.rate = max(0, count - before.count) / max(now - before.at, 0.001)
            leader = replica.descriptor.leader
            if replica.leader is None and leader and seen.rate >= self._told_from:
                keys = list(replica.reads.keys)[-KEYS_TOLD_MAX:]
                found = [division.boundary(key) for key in keys if replica.covers(key)]
                places = [place for place in found if place is not None]
                tales.setdefault(leader, []).append(Told(partition_id, seen.rate, places))
        self._own = own
        self._others = {one: kept for one, kept in self._others.items() if one in own}
        await self._tell(tales)

    async def _tell(self, tales: dict[str, list[Told]]) -> None:
        calls = [
            self._hub.call(node, METHOD, msgspec.msgpack.encode(told), deadline_s=TELL_S)
            for node, told in tales.items()
            if node != self._host.node_id
        ]
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            # Who was not reached is told the next time.
            if isinstance(answer, BaseException) and not isinstance(
                answer, TrilithError | TimeoutError
            ):
                raise answer

    async def _answer(self, peer: str, header: bytes, body: memoryview) -> tuple[bytes, Buffer]:
        del body
        self.heard(peer, _told.decode(header))
        return b"", b""

    def heard(self, node: str, tales: Collection[Told]) -> None:
        """What another node says of partitions; of those that are led here."""
        now = self._clock.monotonic()
        for told in tales:
            replica = self._host.replicas.get(told.partition_id)
            if replica is None or replica.leader is None:
                continue
            others = self._others.setdefault(told.partition_id, _Others())
            others.rates[node] = (told.rate, now)
            others.places.extend(told.places)
