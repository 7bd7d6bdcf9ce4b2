"""Clients of the object service: conditional puts, deletes and reads of bodies that share chunks.

Above the registers' floors it adds the production object model, chunk stores, pipeline and repair.
An object is judged as a register that holds the name of its body; a body that is not byte for byte
the one of its name fails the run at once.
"""

from __future__ import annotations

import asyncio
from hashlib import md5
from random import Random
from typing import Any

from tests.linearizability.checker import Kind
from tests.objects.service_cluster import PLAIN, GivenBody
from tests.simulation.cluster import SimCluster
from tests.simulation.node import SimNode
from tests.simulation.registers import Call, Registers, ask

from trilith.chunks.pipeline import ChunkPipeline
from trilith.chunks.service import ChunkService
from trilith.cluster.cluster_map import ClusterMap, NodeRecord
from trilith.cluster.placement import Placement
from trilith.config import Chunks
from trilith.errors import BucketAlreadyOwned, ObjectNotFound, TrilithError
from trilith.node.repair import RepairStation
from trilith.objects.key_ring import KeyRing
from trilith.objects.service import ObjectService
from trilith.objects.types import WriteConditions
from trilith.replication.state_machine import Model
from trilith.storage.chunk_store import ChunkStore, ChunkStoreConfig

KIB = 1024
BUCKET = "bucket"
INLINE_BYTES_MAX = 512
CHUNKS = Chunks(
    min_bytes=2 * KIB,
    avg_bytes=4 * KIB,
    max_bytes=8 * KIB,
    extent_bytes=64 * KIB,
    inflight_bytes_max=256 * KIB,
)
SHARED = [Random(f"shared {n}").randbytes(8 * KIB) for n in range(3)]


def body_of(name: bytes) -> bytes:
    """The one body of a name. Large ones end alike, so that objects share chunks."""
    random = Random(name)
    if random.random() < 0.4:
        return name + b"|" + random.randbytes(random.randrange(200))
    return name + b"|" + random.randbytes(3 * KIB) + random.choice(SHARED)


def models() -> dict[int, Any]:
    from trilith.cluster.bootstrap import OBJECTS, SYSTEM
    from trilith.objects.model import ObjectsModel, SystemModel

    made: dict[int, type[Model]] = {SYSTEM: SystemModel, OBJECTS: ObjectsModel}
    return made


class ObjectCluster(SimCluster):
    """Nodes with chunk stores and an object service each."""

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
        )
        node.spawn(stuff.repair.run())

    async def ready_to_join(self, node: SimNode, partition_id: int, other: str) -> bool:
        station: Any = node
        ready: bool = await station.repair.ready_to_join(partition_id, other)
        return ready


class ObjectCalls(Registers):
    """The workload of one run. A value is the name of a body; None: there is no object."""

    async def prepare(self) -> None:
        """Make the bucket, however long it takes."""
        while True:
            node: Any = self.cluster.nodes[0]
            if node.booted:
                try:
                    await ask(node, node.objects.create_bucket(BUCKET, owner="o", region="r"))
                except BucketAlreadyOwned:
                    return
                except TrilithError:
                    pass
                else:
                    return
            await asyncio.sleep(0.05)

    def draw(self, random: Random, key: bytes, unique: bytes, seen: bytes | None) -> Call:
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
                call = Call(Kind.WRITE, b"progress", node.node_id, 0.0, value=b"on")
                await self.perform(node, call)
                if call.applied:
                    return []
            await asyncio.sleep(0.1)
        return [f"no object was written within {within_s} s of the last fault"]


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
