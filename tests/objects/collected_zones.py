"""The object service over three zones of real chunk stores, each with a collector, on set clocks.

Operations can be held at their commit and at the end of their body, and cycles between their pages,
so that a test interleaves them as it likes. `check` is what collection must never break: each zone
has every chunk that a manifest names, or knows that it lacks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
from tests.chunks.local_zones import KIB, SMALL_CHUNKS, LocalCluster, LocalNode

from trilith.chunks.collector import Collector
from trilith.chunks.repair import RepairWorker
from trilith.errors import TrilithError
from trilith.objects.commands import CompleteUpload, PutObject, PutPart, PutSegment
from trilith.objects.housekeeping import Housekeeping
from trilith.objects.key_ring import KeyRing
from trilith.objects.keys import OWNER_SIZE, REPAIR, SEGMENT, repair_key
from trilith.objects.records import SEGMENT_RECORD
from trilith.objects.references import ObjectReferences
from trilith.objects.repair_queue import RepairQueue
from trilith.objects.service import ObjectService
from trilith.storage.compaction import Compactor

from .local_partitions import LocalPartitions
from .service_cluster import PLAIN, GivenBody, SeededEntropy

GRACE_S = 100
INTERVAL_S = 10
COMMITS = (PutObject, PutPart, PutSegment, CompleteUpload)


class NodeClock:
    """Implements `Clock`: time that the test moves, and a wall clock that is wrong by `skew_ms`."""

    def __init__(self, world: CollectedZones, skew_ms: int) -> None:
        self._world = world
        self.skew_ms = skew_ms

    def monotonic(self) -> float:
        return self._world.now_s

    def wall_ms(self) -> int:
        return round(self._world.now_s * 1000) + self.skew_ms


class Work:
    """A task that can be held at a gate."""

    def __init__(self, work: Coroutine[Any, Any, Any], node_id: str, *, hold: bool) -> None:
        self.node_id = node_id
        self.task = asyncio.ensure_future(self._run(work))
        self.hold = hold
        self.held = False
        self.failure: TrilithError | None = None
        self._go = asyncio.Event()

    async def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except TrilithError as error:
            self.failure = error

    async def gate(self) -> None:
        if self.hold:
            self.held = True
            await self._go.wait()
            self.held = False

    async def rest(self) -> None:
        """Until it is done or held."""
        while not (self.task.done() or self.held):
            await asyncio.sleep(0)
        if self.task.done() and not self.task.cancelled():
            self.task.result()

    async def release(self) -> None:
        self.hold = self.held = False
        self._go.set()
        await self.rest()

    async def cut(self) -> None:
        """As a client that hangs up."""
        self.held = False
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class HeldReferences:
    """References whose reader can be held between the barrier and each page."""

    def __init__(self, world: CollectedZones) -> None:
        self._world = world
        self._references = ObjectReferences(world.partitions)

    async def settled_pages(self) -> AsyncIterator[bytes]:
        async for page in self._references.settled_pages():
            await self._world.gate_of_current_task()
            yield page


class CollectedZones:
    def __init__(self, skews_ms: tuple[int, int, int, int] = (0, 0, 0, 0)) -> None:
        """`skews_ms`: of the three nodes, and of the leader of all partitions."""
        config = msgspec.structs.replace(
            SMALL_CHUNKS, gc_grace_seconds=GRACE_S, gc_interval_seconds=INTERVAL_S
        )
        self.now_s = 1_000_000.0
        self.cluster = LocalCluster(config=config)
        self.nodes = list(self.cluster.nodes.values())
        for node, skew_ms in zip(self.nodes, skews_ms, strict=False):
            node.clock = NodeClock(self, skew_ms)
        self._leader_skew_ms = skews_ms[3]
        self.partitions = LocalPartitions()
        self.partitions.gate = self._gate
        self.works: dict[asyncio.Future[None], Work] = {}
        self.collectors: dict[str, Collector] = {}
        self.missing: list[bytes] = []  # told by collectors
        self.grace_s = GRACE_S
        self.advance(0)

    # time

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.partitions.now_ms = round(self.now_s * 1000) + self._leader_skew_ms

    # life

    async def open(self) -> None:
        for node in self.nodes:
            await node.open()
            self._attach(node)
        await self.service.create_bucket("b", owner="alice", region="r")

    def _attach(self, node: LocalNode) -> None:
        compactor = Compactor(node.runtime, node.store, bytes_per_second_max=1 << 40)
        self.collectors[node.node_id] = Collector(
            node.runtime,
            node.store,
            HeldReferences(self),
            node.placement,
            compactor,
            node_id=node.node_id,
            zone=node.zone,
            grace_s=self.grace_s,
            interval_s=INTERVAL_S,
            changes=object,
            on_missing=self.missing.append,
            log=lambda *_, **__: None,
        )
        if node.node_id == "n11":
            entropy = SeededEntropy()
            self.service = ObjectService(
                self.partitions,
                node.pipeline,
                KeyRing(bytes(32), entropy),
                entropy,
                inline_size_bytes_max=KIB,
                part_size_bytes_min=0,
            )

    async def crash(self, node: LocalNode) -> None:
        """Lose what is not synced, and start again. What runs through the gateway dies with it."""
        for work in self.works.values():
            if work.node_id == node.node_id:
                await work.cut()
        node.disk = node.disk.crashed()
        node.index = node.index.crashed()
        await node.open()
        self._attach(node)

    async def close(self) -> None:
        for work in self.works.values():
            await work.cut()
        for node in self.nodes:
            await node.store.close()

    # work

    async def _gate(self, command: msgspec.Struct) -> None:
        if isinstance(command, COMMITS):
            await self.gate_of_current_task()

    async def gate_of_current_task(self) -> None:
        task = asyncio.current_task()
        work = self.works.get(task) if task is not None else None
        if work is not None:
            await work.gate()

    async def start(
        self, work: Coroutine[Any, Any, Any], *, hold: bool = False, node_id: str = "n11"
    ) -> Work:
        started = Work(work, node_id, hold=hold)
        self.works[started.task] = started
        await started.rest()
        return started

    async def put(self, key: str, data: bytes) -> None:
        await self.service.put_object("b", key, GivenBody(data), PLAIN)

    async def copy(self, source: str, target: str) -> None:
        reader = await self.service.open_object("b", source)
        await self.service.copy_object(reader, "b", target, PLAIN)

    async def delete(self, key: str) -> None:
        await self.service.delete_object("b", key)

    async def read(self, key: str) -> bytes:
        reader = await self.service.open_object("b", key)
        return b"".join([run async for run in reader.stream(0, reader.info.size - 1)])

    async def keep_house(self) -> None:
        housekeeping = Housekeeping(self.partitions)
        await housekeeping.abandon_stale(round((self.now_s - 10 * GRACE_S) * 1000))
        await housekeeping.collect_released(round((self.now_s - GRACE_S) * 1000))

    async def repair(self, node: LocalNode) -> None:
        worker = RepairWorker(
            RepairQueue(self.partitions),
            node.service,
            node.placement,
            node.zone,
            bytes_per_second_max=1 << 40,
        )
        await worker._round()

    async def pass_time(self, seconds: float) -> None:
        """Time passes, and everything that is due in it is done."""
        end = self.now_s + seconds
        while self.now_s < end:
            self.advance(min(GRACE_S / 4, end - self.now_s))
            await self.keep_house()
            for node in self.nodes:
                await self.collectors[node.node_id].step()

    # what must hold

    def check(self) -> None:
        repairs = self.partitions.records(REPAIR)
        for key, raw in self.partitions.records(SEGMENT).items():
            stem = key[: -OWNER_SIZE - 8]
            ids = SEGMENT_RECORD.decode(raw).chunk_ids
            for at in range(0, len(ids), 32):
                chunk_id = ids[at : at + 32]
                for node in self.nodes:
                    if node.store.contains(chunk_id):
                        node.store.read(chunk_id)
                    else:
                        assert repair_key(stem, node.zone, chunk_id) in repairs, (
                            f"{node.zone} has collected a chunk that is referenced"
                        )
