"""Two zones burn: the third is made the sole source, with everything in its durable log."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
from tests.replication.local_cluster import KEYSPACE, ZONES, LocalCluster, eventually
from tests.replication.register_model import Read, Value, Write

from trilith.cluster.disk_record import confirm_disk
from trilith.cluster.embedded_coordinator import EmbeddedCoordinator
from trilith.cluster.recovery import assess, assess_all, make_sole_source
from trilith.errors import DataDirectoryUnusable, InvalidRequest, NotEnoughZones
from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import Descriptor
from trilith.runtime.workers import ThreadWorkers

KEYS = [bytes([40 * i]) for i in range(6)]  # in several partitions


def described(in_sync: list[str], **options: object) -> Descriptor:
    return Descriptor(
        partition_id=1,
        keyspace=2,
        start="",
        end="",
        replicas={"az1": "n1", "az2": "n2", "az3": "n3"},
        leader=in_sync[0],
        epoch=5,
        in_sync=in_sync,
        **options,  # type: ignore[arg-type]
    )


def test_what_was_in_sync_is_complete_and_what_was_not_until_it_was_dropped() -> None:
    descriptor = described(["n2", "n3"], complete_until_ms={"n1": 1234})
    assert assess(descriptor, "az2").complete
    behind = assess(descriptor, "az1")
    assert (behind.complete, behind.complete_until_ms) == (False, 1234)
    with pytest.raises(InvalidRequest):
        assess(descriptor, "az9")


def test_what_was_not_complete_is_not_called_complete_when_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        coordinator = await EmbeddedCoordinator.open(str(tmp_path / "c"), ThreadWorkers(1))
        known = {"n1": 1234}
        behind = described(["n2", "n3"], complete_until_ms=known)
        unknown = msgspec.structs.replace(behind, partition_id=2, complete_until_ms={})
        whole = msgspec.structs.replace(behind, partition_id=3, in_sync=["n1", "n2"])
        for descriptor in (behind, unknown, whole):
            key = descriptors.key_of(descriptor.partition_id)
            await coordinator.compare_and_swap(key, 0, descriptors.encode(descriptor))
        first = await make_sole_source(coordinator, "az1")
        found = {v.partition_id: (v.complete, v.complete_until_ms) for v in first}
        assert found == {1: (False, 1234), 2: (False, None), 3: (True, None)}
        assert await make_sole_source(coordinator, "az1") == first
        assert await assess_all(coordinator, "az1") == first
        await coordinator.close()

    asyncio.run(story())


@pytest.mark.parametrize("survivor", range(3))
def test_a_sole_source_answers_reads_and_takes_no_writes_until_another_joins(
    tmp_path: Path, survivor: int
) -> None:
    async def story() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        left = cluster.nodes[survivor]
        others = [node for node in cluster.nodes if node is not left]
        for number, key in enumerate(KEYS):
            await left.router.execute(KEYSPACE, key, Write(key, b"v%d" % number))
        await asyncio.gather(*(node.stop() for node in others))
        for node in others:
            shutil.rmtree(tmp_path / node.node_id)
        verdicts = await make_sole_source(left.coordinator, ZONES[survivor])
        assert all(verdict.complete and verdict.node == left.node_id for verdict in verdicts)
        for number, key in enumerate(KEYS):
            value = await left.router.query(KEYSPACE, key, Read(key), deadline_s=20)
            assert value == Value(b"v%d" % number)
        with pytest.raises(NotEnoughZones):
            await left.router.execute(KEYSPACE, b"k", Write(b"k", b"x"), deadline_s=0.5)

        fresh = others[0]
        await cluster.restart(fresh)
        await left.router.execute(KEYSPACE, b"k", Write(b"k", b"x"), deadline_s=20)
        await eventually(
            lambda: all(
                fresh.node_id in descriptor.in_sync and not descriptor.recovered
                for descriptor, _ in left.host.descriptors.values()
            )
        )
        for number, key in enumerate(KEYS):
            assert await fresh.router.query(KEYSPACE, key, Read(key)) == Value(b"v%d" % number)
        await asyncio.gather(left.stop(), fresh.stop())

    async def bounded() -> None:
        async with asyncio.timeout(90):
            await story()

    asyncio.run(bounded())


def test_a_dropped_replica_knows_until_when_it_is_complete(tmp_path: Path) -> None:
    async def story() -> None:
        cluster = LocalCluster(tmp_path)
        await cluster.start()
        gone, left = cluster.nodes[2], cluster.nodes[0]
        for key in KEYS:
            await left.router.execute(KEYSPACE, key, Write(key, b"before"))
        before_ms = left.runtime.clock.wall_ms()
        await gone.stop()
        for key in KEYS:
            await left.router.execute(KEYSPACE, key, Write(key, b"after"))
        verdicts = await assess_all(left.coordinator, "az3")
        after_ms = left.runtime.clock.wall_ms()
        for verdict in verdicts:
            if not verdict.complete:  # a partition without writes may not have noticed
                assert verdict.complete_until_ms is not None
                assert before_ms <= verdict.complete_until_ms <= after_ms
        await asyncio.gather(left.stop(), cluster.nodes[1].stop())

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await story()

    asyncio.run(bounded())


def test_a_disk_that_was_given_up_does_not_start_again(tmp_path: Path) -> None:
    async def story() -> None:
        coordinator = await EmbeddedCoordinator.open(str(tmp_path / "c"), ThreadWorkers(1))
        descriptor = described(["n1", "n2", "n3"])
        key = descriptors.key_of(1)
        revision = await coordinator.compare_and_swap(key, 0, descriptors.encode(descriptor))

        async def start(node: str, disk: str) -> None:
            await confirm_disk(coordinator, node, disk, lambda *_, **__: None)

        for node in ("n1", "n2", "n3"):
            await start(node, f"{node}/0")
        await make_sole_source(coordinator, "az1")
        await start("n2", "n2/0")  # az1 had everything, so the others have nothing else
        dropped = described(["n2", "n3"])
        found = await coordinator.get(key)
        assert found is not None
        assert found.revision > revision
        await coordinator.compare_and_swap(key, found.revision, descriptors.encode(dropped))
        await make_sole_source(coordinator, "az1")
        for node in ("n2", "n3"):
            with pytest.raises(DataDirectoryUnusable, match="given up"):
                await start(node, f"{node}/0")
            await start(node, f"{node}/1")
        await start("n1", "n1/0")
        await coordinator.close()

    asyncio.run(story())
