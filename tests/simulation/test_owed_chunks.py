"""Two zones are lost while a node of the third is down: what was stored meanwhile, as a story."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest
from tests.objects.service_cluster import PLAIN, GivenBody
from tests.simulation.chunk_verdicts import lost_chunks
from tests.simulation.faults import Faults
from tests.simulation.node import NodePlan, SimNode
from tests.simulation.objects import BUCKET, KIB, ObjectCalls, ObjectCluster, models
from tests.simulation.owed import Owed, is_whole, named_chunks, owner_of
from tests.simulation.registers import ask
from tests.simulation.verdicts import converged

from trilith.cluster.bootstrap import OBJECTS, SYSTEM
from trilith.cluster.recovery import make_sole_source
from trilith.errors import Corruption, OutcomeUnknown, Unavailable
from trilith.node.quarantine import Damage
from trilith.objects.division import ObjectsDivision

PARTITION = 2
BEFORE, MEANWHILE = "before", "meanwhile"


class Scene:
    """n1 and n4 in the zone that will be left; n1 has the replicas. Led by n2 at first."""

    def __init__(self, cluster: ObjectCluster) -> None:
        self.cluster = cluster
        self.calls = ObjectCalls(cluster, clients=0, keys=0, think_s=1.0)
        self.n1, self.n2, self.n3, self.n4 = cluster.nodes

    async def put(self, node: Any, key: str) -> None:
        body = GivenBody(Random(key).randbytes(40 * KIB))
        await ask(node, node.objects.put_object(BUCKET, key, body, PLAIN))

    async def is_put(self, node: Any, key: str) -> bool:
        """Whether it could be; tried for as long as a node does."""
        try:
            await self.put(node, key)
        except (Unavailable, OutcomeUnknown):
            return False
        return True

    async def read(self, node: Any, key: str) -> bytes:
        async def read() -> bytes:
            reader = await node.objects.open_object(BUCKET, key)
            return b"".join([bytes(run) async for run in reader.stream(0, reader.info.size - 1)])

        found: bytes = await ask(node, read())
        return found

    async def reads_whole(self, node: Any, key: str) -> bool:
        return await self.read(node, key) == Random(key).randbytes(40 * KIB)

    def in_sync(self) -> list[str]:
        described = self.cluster.descriptors()
        return next(d.in_sync for d in described if d.partition_id == PARTITION)

    async def lose_two_zones_meanwhile(self) -> None:
        """`MEANWHILE` is stored while n4 is down, and n1 in sync."""
        await self.put(self.n2, BEFORE)
        self.n4.cut_power(restart_after_s=None)
        await self.cluster.until(lambda: False, 1.0)
        await self.put(self.n2, MEANWHILE)
        assert "n1" in self.in_sync()
        for node in (self.n2, self.n3):
            node.burn(restart_after_s=None)
        await self.cluster.until(lambda: False, 1.0)

    async def owed(self, node: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await ask(node, node.repair.owed())
        return found

    async def recover(self) -> None:
        await ask(self.n1, make_sole_source(self.n1.coordinator, self.n1.zone))

    async def go_on(self) -> None:
        """The lost zones come back, empty."""
        for node in (self.n2, self.n3, self.n4):
            node.boot()
        assert await self.cluster.until(lambda: converged(self.cluster), 60.0)


def _play(story: Callable[[Scene], Awaitable[None]]) -> None:
    plans = [NodePlan(models=models(), divisions={OBJECTS: ObjectsDivision()}) for _ in range(4)]
    cluster = ObjectCluster(1, plans)
    cluster.create_partitions({SYSTEM: [], OBJECTS: []})
    scene = Scene(cluster)

    async def run() -> None:
        for node in cluster.nodes:
            node.boot()
        await scene.calls.prepare()
        assert await cluster.until(lambda: converged(cluster), 60.0)
        await story(scene)

    try:
        cluster.run(run())
        assert cluster.loop.defects + cluster.defects == []
    finally:
        cluster.discard()


def _owned_by(scene: Scene, node: SimNode) -> set[bytes]:
    """Chunks of the survivor's manifests that a node of its zone should have."""
    described = next(d for d in scene.cluster.descriptors() if d.partition_id == PARTITION)
    named = named_chunks(scene.n1, described).values()
    return {c for c in set().union(*named) if owner_of(scene.cluster, node.zone, c) is node}


def test_a_survivor_names_what_it_was_never_given() -> None:
    """Its log had everything: it was called complete, and the bytes were in the other two zones."""

    async def story(scene: Scene) -> None:
        await scene.lose_two_zones_meanwhile()
        lacking = {c for c in _owned_by(scene, scene.n4) if not is_whole(scene.n4, c)}
        assert lacking
        for _ in range(2):  # before the command, and after it
            (told,) = await scene.owed(scene.n1)
            assert told["partition"] == PARTITION
            assert told["chunks"] == len(lacking)
            assert list(told["objects"]) == [f"{BUCKET}/{MEANWHILE}"]
            await scene.recover()
        await scene.go_on()
        assert await scene.reads_whole(scene.n3, BEFORE)

    _play(story)


def test_a_survivor_tells_what_it_knows_within_a_second_while_nobody_leads() -> None:
    """It asked the partitions that nobody led for ten seconds first, and who had asked was gone by
    then: `trilith status` showed nothing of the cluster as long as two zones were down."""

    async def story(scene: Scene) -> None:
        await scene.lose_two_zones_meanwhile()
        station: Any = scene.n1
        async with asyncio.timeout(1.1):
            assert await ask(station, station.repair.pending_by_zone()) is None
        async with asyncio.timeout(0.9):
            (told,) = await scene.owed(scene.n1)
        assert list(told["objects"]) == [f"{BUCKET}/{MEANWHILE}"]
        await scene.recover()
        await scene.go_on()
        assert await ask(station, station.repair.pending_by_zone()) is not None

    _play(story)


def test_others_have_their_turn_while_many_objects_are_looked_at() -> None:
    """Ten thousand of them are looked at for one answer: that took the whole loop for a second."""

    async def story(scene: Scene) -> None:
        scene.n4.cut_power(restart_after_s=None)
        await scene.cluster.until(lambda: False, 1.0)
        for number in range(100):
            await scene.put(scene.n2, f"missed {number}")
        station: Any = scene.n1
        looked = ask(station, station.repair._owed._of(station.host.replicas[PARTITION]))
        looking, turns = asyncio.ensure_future(looked), 0
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
        by_stem, _ = looking.result()
        assert len(by_stem) > 32
        assert turns > len(by_stem) // 8
        scene.n4.boot()
        assert await scene.cluster.until(lambda: converged(scene.cluster), 60.0)

    _play(story)


def test_a_survivor_whose_zone_was_given_everything_lacks_nothing() -> None:
    """n4 is back and has repaired: whether the entries are taken off yet or not."""

    async def story(scene: Scene) -> None:
        await scene.put(scene.n2, BEFORE)
        scene.n4.cut_power(restart_after_s=None)
        await scene.cluster.until(lambda: False, 1.0)
        await scene.put(scene.n2, MEANWHILE)
        scene.n4.boot()
        owned = _owned_by(scene, scene.n4)

        def has_all() -> bool:
            return scene.n4.booted and all(is_whole(scene.n4, c) for c in owned)

        assert await scene.cluster.until(has_all, 30.0)
        for node in (scene.n2, scene.n3):
            node.burn(restart_after_s=None)
        await scene.cluster.until(lambda: False, 1.0)
        await scene.recover()
        assert await scene.owed(scene.n1) == []
        for key in (BEFORE, MEANWHILE):
            assert await scene.reads_whole(scene.n1, key)
        scene.n2.boot()
        scene.n3.boot()
        assert await scene.cluster.until(lambda: converged(scene.cluster), 60.0)

    _play(story)


def test_a_zone_that_has_its_chunks_is_taken_in_though_nobody_can_log_that() -> None:
    """Its entries of the repair queue are taken off by a commit, and nothing could be committed
    without it: with two zones that had everything, writes waited for the third."""

    async def story(scene: Scene) -> None:
        station: Any = scene.n3
        assert await scene.cluster.until(lambda: station.repair.is_rebuilt, 30.0)
        scene.n3.cut_power(restart_after_s=None)
        assert await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 5.0)
        await scene.put(scene.n2, MEANWHILE)
        scene.n1.kill(restart_after_s=60.0)
        scene.n3.boot()
        async with asyncio.timeout(30.0):
            while not await scene.is_put(scene.n2, "later"):
                await scene.cluster.until(lambda: False, 0.2)
        owned = _owned_by(scene, scene.n3)
        assert owned
        assert all(is_whole(scene.n3, chunk_id) for chunk_id in owned)
        assert await scene.cluster.until(lambda: converged(scene.cluster), 120.0)

    _play(story)


def test_a_lost_chunk_does_not_keep_its_zone_out() -> None:
    """Its entry stayed in the repair queue for as long as an object needed it, and the zone that
    had survived was not taken in again after its next restart."""

    async def story(scene: Scene) -> None:
        await scene.lose_two_zones_meanwhile()
        await scene.recover()
        lost = {c for c in _owned_by(scene, scene.n4) if not is_whole(scene.n4, c)}
        await scene.go_on()
        scene.n1.kill(restart_after_s=2.0)
        assert await scene.cluster.until(lambda: "n1" not in scene.in_sync(), 5.0)
        await scene.put(scene.n2, "later")
        assert await scene.cluster.until(lambda: converged(scene.cluster), 60.0)
        assert await scene.reads_whole(scene.n1, BEFORE)
        with pytest.raises(Corruption, match="|".join(chunk_id.hex() for chunk_id in lost)):
            await scene.read(scene.n1, MEANWHILE)
        station: Any = scene.n4
        listed = station.repair._lost._quarantine.entries(Damage.CHUNK)
        assert {bytes.fromhex(entry.id) for entry in listed} == lost
        # The same bytes once more are whole everywhere.
        await scene.put(scene.n3, MEANWHILE)
        assert await scene.reads_whole(scene.n1, MEANWHILE)

    _play(story)


def test_the_judge_excuses_only_what_the_queue_named() -> None:
    """Beside what n4 was never given, a chunk is lost of which no entry told."""

    async def story(scene: Scene) -> None:
        cluster = scene.cluster
        await scene.lose_two_zones_meanwhile()
        faults = Faults(cluster, duration_s=0.0, kinds=[])
        faults.survivor, faults.lost = scene.n1, [scene.n2, scene.n3]
        faults.lost_at = cluster.loop.now
        owed = Owed(cluster, faults)
        await scene.recover()
        named = {c for c in _owned_by(scene, scene.n4) if not is_whole(scene.n4, c)}
        otherwise = min(_owned_by(scene, scene.n1))
        station: Any = scene.n1
        station.chunks.remove([otherwise], untouched_since=1 << 62)
        assert not is_whole(scene.n1, otherwise)
        await scene.go_on()
        assert owed.excused == named
        (said,) = lost_chunks(cluster, "n3", owed)
        assert said == f"n1 lacks chunk {otherwise.hex()[:12]}, which is referenced"

    _play(story)
