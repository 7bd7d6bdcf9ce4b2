"""Clients of the object service: conditional puts, deletes and reads of bodies that share chunks.

Above the registers' floors it adds the production object model, chunk stores, pipeline and repair.
An object is judged as a register that holds the name of its body; a body that is not byte for byte
the one of its name fails the run at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import md5
from random import Random
from typing import Any

from tests.linearizability.checker import Kind
from tests.objects.service_cluster import PLAIN, GivenBody
from tests.simulation.chunk_verdicts import every_zone_is_whole, judge_joins, lost_chunks
from tests.simulation.cluster import SimCluster
from tests.simulation.faults import Faults
from tests.simulation.node import SimNode
from tests.simulation.owed import Owed
from tests.simulation.registers import Call, Registers, ask

from trilith.chunks.pipeline import ChunkPipeline
from trilith.chunks.service import ChunkService
from trilith.cluster.bootstrap import OBJECTS
from trilith.cluster.cluster_map import ClusterMap, NodeRecord
from trilith.cluster.placement import Placement
from trilith.config import Chunks, Config, Objects, Storage
from trilith.errors import BucketAlreadyOwned, Corruption, ObjectNotFound, TrilithError
from trilith.node.quarantine import Quarantine
from trilith.node.repair import RepairStation
from trilith.node.scrubbing import Scrubbing
from trilith.node.upkeep import Upkeep
from trilith.objects.key_ring import KeyRing
from trilith.objects.keys import stem_of
from trilith.objects.service import ObjectService
from trilith.objects.types import WriteConditions
from trilith.replication.state_machine import Model
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig

KIB = 1024
BUCKET = "bucket"
OWNER = "o"
INLINE_BYTES_MAX = 512
GRACE_S = 4
CHUNKS = Chunks(
    min_bytes=2 * KIB,
    avg_bytes=4 * KIB,
    max_bytes=8 * KIB,
    extent_bytes=64 * KIB,
    inflight_bytes_max=256 * KIB,
    gc_grace_seconds=GRACE_S,
    gc_interval_seconds=1,
)
CONFIG = Config(
    chunks=CHUNKS,
    objects=Objects(abandon_after_seconds=2 * GRACE_S),
    storage=Storage(scrub_interval_seconds=3),
)
CHUNKS_WHOLE_WITHIN_S = 60.0
SHARED = [Random(f"shared {n}").randbytes(8 * KIB) for n in range(4)]


def body_of(name: bytes) -> bytes:
    """The one body of a name. Large ones end alike, so that objects share chunks.

    Which end it is goes with the phase: what one phase wrote is deleted in the next ones, and the
    same chunks are wanted again when the collector is about to remove them.
    """
    random = Random(name)
    if random.random() < 0.3:
        return name + b"|" + random.randbytes(random.randrange(200))
    phase = int(name.split(b".")[2])
    return name + b"|" + random.randbytes(3 * KIB) + SHARED[phase % len(SHARED)]


def models() -> dict[int, Any]:
    from trilith.cluster.bootstrap import SYSTEM
    from trilith.objects.model import ObjectsModel, SystemModel

    made: dict[int, type[Model]] = {SYSTEM: SystemModel, OBJECTS: ObjectsModel}
    return made


class ObjectCluster(SimCluster):
    """Nodes with chunk stores, an object service and upkeep each."""

    # Collection asks that clocks are right within a quarter of the grace period.
    wall_shifts_ms = (-800, -300, 0, 300, 800)

    async def compose_more(self, node: SimNode) -> None:
        runtime = node.runtime
        records = [NodeRecord(n.node_id, n.zone, n.address) for n in self.nodes]
        cluster_map = ClusterMap(records)
        placement = Placement(cluster_map)
        config = ChunkStoreConfig(
            node_id=node.node_id,
            extent_bytes=CHUNKS.extent_bytes,
            extent_bytes_min=16 * KIB,
            free_bytes_min=4096,
            full_retry_s=0.2,
        )
        stuff: Any = node  # parts of this workload, kept beside the node's own
        stuff.chunks = await ChunkStore.open(
            runtime, "chunks", node.store, config, on_failure=node._disk_failed
        )
        service = ChunkService(
            node.hub,
            stuff.chunks,
            runtime.workers,
            timeout_s=1.0,
            inflight_bytes_max=CHUNKS.inflight_bytes_max,
        )
        service.is_silent = node.host.is_silent
        pipeline = ChunkPipeline(CHUNKS, service, placement, runtime.workers, node.zone)
        stuff.objects = ObjectService(
            node.router,
            pipeline,
            KeyRing(bytes(32), runtime.entropy),
            runtime.entropy,
            inline_size_bytes_max=INLINE_BYTES_MAX,
        )
        quarantine = Quarantine(runtime, node.log)
        stuff.repair = RepairStation(cluster_map, node.zone, node.log)
        stuff.repair.attach(
            node.host,
            node.router,
            service,
            pipeline,
            placement,
            runtime=runtime,
            hub=node.hub,
            config=CHUNKS,
            quarantine=quarantine,
            bucket_names=partial(bucket_names, stuff),
        )
        upkeep = Upkeep(
            runtime=runtime,
            host=node.host,
            router=node.router,
            chunks=stuff.chunks,
            placement=placement,
            zone=node.zone,
            config=CONFIG,
            on_damaged=stuff.repair.heal_soon,
            on_missing=stuff.repair.heal_unless_queued,
            log=node.log,
        )
        stuff.placement, stuff.upkeep = placement, upkeep
        scrubbing = self._scrubbing(node, stuff, quarantine)
        for work in (stuff.repair.run(), upkeep.keep_house(), upkeep.collect(), scrubbing.run()):
            node.keep_running(work)

    def _scrubbing(self, node: SimNode, stuff: Any, quarantine: Quarantine) -> Scrubbing:
        def store_is_bad(error: Corruption) -> None:
            raise AssertionError(f"nothing damages the simulated store: {error}")

        return Scrubbing(
            runtime=node.runtime,
            node_id=node.node_id,
            journal=node.journal,
            checkpoint=node.checkpoints.once,
            store=node.store,
            store_files=no_files,
            on_bad_store=store_is_bad,
            chunks=stuff.chunks,
            on_bad_chunk=stuff.repair.heal_soon,
            retire_extent=stuff.upkeep.retire_extent,
            quarantine=quarantine,
            config=CONFIG.storage,
            log=node.log,
        )

    async def ready_to_join(self, node: SimNode, partition_id: int, other: str) -> bool:
        station: Any = node
        ready: bool = await station.repair.ready_to_join(partition_id, other)
        return ready


async def no_files() -> AsyncIterator[int]:
    """The simulated ordered store lies in memory."""
    return
    yield 0


async def bucket_names(node: Any) -> dict[bytes, str]:
    """As in production: asked of a partition, which perhaps nobody leads."""
    buckets, _ = await node.objects.list_buckets(owner=OWNER, consistent=False)
    return {bucket.bucket_id: bucket.name for bucket in buckets}


class ObjectCalls(Registers):
    """The workload of one run. A value is the name of a body; None: there is no object."""

    faults_s = 20.0
    keyspace = OBJECTS
    _bucket_id = b""
    _owed: Owed | None = None

    def routing_key(self, call: Call) -> bytes:
        return stem_of(self._bucket_id, call.key.hex())

    async def prepare(self) -> None:
        """Make the bucket, however long it takes."""
        await self._make_bucket()
        found = None
        while found is None:
            node: Any = self.cluster.nodes[0]
            with suppress(TrilithError):
                found = await ask(node, node.objects.get_bucket(BUCKET))
        self._bucket_id = found.bucket_id

    async def _make_bucket(self) -> None:
        while True:
            node: Any = self.cluster.nodes[0]
            if node.booted:
                try:
                    await ask(node, node.objects.create_bucket(BUCKET, owner=OWNER, region="r"))
                except BucketAlreadyOwned:
                    return
                except TrilithError:
                    pass
                else:
                    return
            await asyncio.sleep(0.05)

    def draw(self, random: Random, key: bytes, unique: bytes, seen: bytes | None) -> Call:
        front, phase, slot = key.rsplit(b"/", 2)
        if int(phase) and random.random() < 0.2:
            back = random.randint(1, min(2, int(phase)))
            old = b"%s/%d/%s" % (front, int(phase) - back, slot)
            return Call(Kind.WRITE, old, "", 0.0, value=None)
        unique = b"%s.%s " % (unique.strip(), phase)
        roll = random.random()
        if roll < 0.4:
            return Call(Kind.READ, key, "", 0.0)
        if roll < 0.65:
            return Call(Kind.WRITE, key, "", 0.0, value=unique)
        if roll < 0.75:
            return Call(Kind.WRITE, key, "", 0.0, value=None)
        return Call(Kind.COMPARE_AND_SET, key, "", 0.0, value=unique, expected=seen)

    async def work(self, node: SimNode, call: Call) -> bytes | None:
        objects: ObjectService = node.objects  # type: ignore[attr-defined]
        key = call.key.hex()
        if call.kind is Kind.READ:
            return await read_name(objects, key)
        if call.value is None:
            await objects.delete_object(BUCKET, key)
            return None
        conditions = WriteConditions()
        if call.kind is Kind.COMPARE_AND_SET:
            if call.expected is None:
                conditions = WriteConditions(if_none_match_any=True)
            else:
                conditions = WriteConditions(if_match=md5(body_of(call.expected)).hexdigest())
        body = GivenBody(body_of(call.value))
        try:
            await objects.put_object(BUCKET, key, body, PLAIN, conditions=conditions)
        except ObjectNotFound as error:  # S3's answer to If-Match on what is absent
            from trilith.errors import PreconditionFailed

            raise PreconditionFailed("there is no object") from error
        return call.value

    async def progress(self, within_s: float) -> list[str]:
        deadline = self.cluster.loop.now + within_s
        while self.cluster.loop.now < deadline:
            node: Any = self.cluster.nodes[0]
            if node.booted:
                call = Call(Kind.WRITE, b"progress", node.node_id, 0.0, value=b"on.0.0")
                await self.perform(node, call)
                if call.applied:
                    return []
            await asyncio.sleep(0.1)
        return [f"no object was written within {within_s} s of the last fault"]

    def names(self, call: Call) -> Sequence[str]:
        """Keys of the objects that a call may read."""
        return (call.key.hex(),)

    def may_fail(self, call: Call) -> bool:
        """A read of what two zones took along, and the third had not been given."""
        front, _, chunk_id = call.error.rpartition(" ")
        if self._owed is None or front != " Corruption: no zone has a good copy of chunk":
            return False
        stems = [stem_of(self._bucket_id, name) for name in self.names(call)]
        return self._owed.excuses(bytes.fromhex(chunk_id), stems)

    def watch(self, faults: Faults) -> None:
        owed = self._owed = Owed(self.cluster, faults)
        faults.judge_recovery = owed.judge_recovery
        judge_joins(self.cluster, faults.rotten.node_id, owed)

    async def judge_whole(self, faults: Faults) -> list[str]:
        owed = self._owed
        assert owed is not None
        lost = list(lost_chunks(self.cluster, faults.rotten.node_id, owed))
        if not lost and not await self.cluster.until(
            lambda: every_zone_is_whole(self.cluster, owed), CHUNKS_WHOLE_WITHIN_S
        ):
            lost.append(f"a zone lacks chunks {CHUNKS_WHOLE_WITHIN_S} s after all are in sync")
        return lost

    @property
    def collected(self) -> int:
        """Chunks that were collected by the processes that run."""
        nodes: list[Any] = [node for node in self.cluster.nodes if node.booted]
        return sum(node.upkeep._collector.progress.removed_chunks for node in nodes)


async def read_name(objects: ObjectService, key: str) -> bytes | None:
    """The name of an object's body. A body that is not its name's is a defect (AssertionError)."""
    try:
        reader = await objects.open_object(BUCKET, key)
    except ObjectNotFound:
        return None
    size = reader.info.size
    data = b"".join([bytes(run) async for run in reader.stream(0, size - 1)])
    name = data.partition(b"|")[0]
    assert data == body_of(name), f"the body of {key} is not that of {name!r}"
    return name


__all__ = ["ObjectCalls", "ObjectCluster", "models"]
