"""Objects, told as stories: while the log knows a split and the map does not; chunks that nobody
reads; a deletion that died halfway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.objects.service_cluster import PLAIN, GivenBody
from tests.simulation.chunk_verdicts import every_zone_is_whole, references
from tests.simulation.node import NodePlan, SimNode
from tests.simulation.objects import BUCKET, GRACE_S, KIB, ObjectCalls, ObjectCluster, models
from tests.simulation.registers import ask
from tests.simulation.verdicts import converged

from trilith.cluster.bootstrap import OBJECTS, SYSTEM
from trilith.objects.commands import CloseBucket
from trilith.objects.division import ObjectsDivision
from trilith.objects.keys import stem_of
from trilith.replication.descriptor import Descriptor
from trilith.storage.extent import extent_path

PARENT = 2
LEFT, MIDDLE, RIGHT = "left", "middle", "right"  # a split at the second tears off the third


class ObjectScene:
    """Three nodes; the partition of all objects is led by n2 at first, as is the bucket's."""

    def __init__(self, cluster: ObjectCluster) -> None:
        self.cluster = cluster
        self.calls = ObjectCalls(cluster, clients=0, keys=0, think_s=1.0)
        self.n1, self.n2, self.n3 = cluster.nodes[:3]

    async def put(self, node: Any, key: str) -> None:
        body = GivenBody(Random(key).randbytes(12 * KIB))
        await ask(node, node.objects.put_object(BUCKET, key, body, PLAIN))

    async def reads_whole(self, node: Any, key: str) -> bool:
        async def read() -> bytes:
            reader = await node.objects.open_object(BUCKET, key)
            return b"".join([bytes(run) async for run in reader.stream(0, reader.info.size - 1)])

        found: bytes = await ask(node, read())
        return found == Random(key).randbytes(12 * KIB)

    async def log_split(self, leader: SimNode) -> int:
        """Committed in the parent's log at its leader, which does not tell the coordinator."""
        splitting = leader.host.splitting
        splitting._busy.add(PARENT)  # as one whose attempt to tell it takes long
        key = stem_of(self.calls._bucket_id, MIDDLE)
        child: int = await ask(leader, splitting.split(PARENT, key))
        assert self.of(child) is None
        return child

    def tell_split(self, leader: SimNode) -> None:
        leader.host.splitting._busy.discard(PARENT)

    def of(self, partition_id: int) -> Descriptor | None:
        found = (d for d in self.cluster.descriptors() if d.partition_id == partition_id)
        return next(found, None)

    async def pass_time(self, seconds: float) -> None:
        """Virtual time."""
        await asyncio.sleep(seconds)

    async def healthy(self) -> None:
        assert await self.cluster.until(lambda: converged(self.cluster), 60.0)


def _play(story: Callable[[ObjectScene], Awaitable[None]]) -> None:
    plans = [NodePlan(models=models(), divisions={OBJECTS: ObjectsDivision()}) for _ in range(3)]
    cluster = ObjectCluster(1, plans)
    cluster.create_partitions({SYSTEM: [], OBJECTS: []})
    scene = ObjectScene(cluster)

    async def run() -> None:
        for node in cluster.nodes:
            node.boot()
        await scene.calls.prepare()
        await scene.healthy()
        await story(scene)
        await scene.healthy()
        assert await cluster.until(lambda: every_zone_is_whole(cluster), 60.0)

    try:
        cluster.run(run())
        assert cluster.loop.defects + cluster.defects == []
    finally:
        cluster.discard()


def test_nothing_is_collected_while_a_split_is_in_no_map() -> None:
    """The parent answered for what was left of it, and the child was not asked."""

    async def story(scene: ObjectScene) -> None:
        await scene.put(scene.n1, LEFT)
        await scene.put(scene.n1, RIGHT)
        child = await scene.log_split(scene.n2)
        await scene.pass_time(3.0 * GRACE_S)
        assert scene.of(child) is None
        for node in scene.cluster.nodes:
            assert node.upkeep._collector.progress.removed_chunks == 0  # type: ignore[attr-defined]
        scene.tell_split(scene.n2)
        assert await scene.cluster.until(lambda: scene.of(child) is not None, 5.0)
        for key in (LEFT, RIGHT):
            assert await scene.reads_whole(scene.n3, key)

    _play(story)


def test_a_child_does_not_inherit_a_node_that_lacks_its_chunks() -> None:
    """It had joined the parent, which was asked for what was left of it."""

    async def story(scene: ObjectScene) -> None:
        await scene.put(scene.n1, LEFT)
        await scene.pass_time(3.0 * GRACE_S)  # the first fill of n3's disk is over
        scene.n3.kill(restart_after_s=4.0)
        assert await scene.cluster.until(lambda: "n3" not in _parent(scene).in_sync, 3.0)
        await scene.put(scene.n1, RIGHT)
        child = await scene.log_split(scene.n2)
        assert await scene.cluster.until(lambda: scene.n3.booted, 5.0)
        await scene.pass_time(3.0)
        station: Any = scene.n3
        scene.tell_split(scene.n2)
        assert await scene.cluster.until(lambda: scene.of(child) is not None, 5.0)
        born = next(d for d in [scene.of(child)] if d is not None)
        missing = [c for c in references(scene.n2, born) if not station.chunks.contains(c)]
        assert missing
        assert "n3" not in born.in_sync

    _play(story)


def test_a_chunk_that_rots_and_is_not_read_is_found_and_healed() -> None:
    async def story(scene: ObjectScene) -> None:
        await scene.put(scene.n1, LEFT)
        await scene.healthy()
        station: Any = scene.n3
        chunk_id = min(references(scene.n3, _parent(scene)))
        location = station.chunks.files.locate(chunk_id)
        path = extent_path("chunks", location.extent)
        scene.n3.disk.flip(path, location.offset + location.length // 2)
        assert not every_zone_is_whole(scene.cluster)  # and `_play` asks for that in the end

    _play(story)


def test_a_bucket_whose_deletion_died_halfway_is_taken_back_by_the_next_writer_at_once() -> None:
    """The router asked a closed partition again for ten seconds, and was answered the same."""

    async def story(scene: ObjectScene) -> None:
        station: Any = scene.n1
        bucket = await ask(scene.n1, station.objects.get_bucket(BUCKET))
        key = stem_of(bucket.bucket_id, LEFT)
        close = CloseBucket(key, bucket.bucket_id, bucket.generation)
        await ask(scene.n1, scene.n1.router.execute(OBJECTS, key, close))
        before = scene.cluster.loop.now
        await scene.put(scene.n1, LEFT)
        assert scene.cluster.loop.now - before < 1.0
        assert await scene.reads_whole(scene.n3, LEFT)

    _play(story)


def _parent(scene: ObjectScene) -> Descriptor:
    return next(d for d in scene.cluster.descriptors() if d.partition_id == PARENT)
