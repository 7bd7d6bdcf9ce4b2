"""What stood still for longer than it had to, told as stories: nothing was lost, and nobody could
say why their calls waited.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.scenarios import Scene, play

from trilith.replication.descriptor import Descriptor
from trilith.replication.replica import Replica

OFTEN = 7  # so that a follower waits for half a minute before it is taken in again


async def _drop_often(scene: Scene) -> None:
    """n3 falls silent again and again, each time for longer than it may."""
    for _ in range(OFTEN):
        scene.n3.kill(restart_after_s=0.8)
        assert await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 5.0)
        assert await scene.cluster.until(lambda: "n3" in scene.in_sync(), 40.0)
    scene.n3.kill(restart_after_s=0.8)
    assert await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 5.0)
    assert await scene.cluster.until(lambda: scene.n3.booted, 5.0)
    await scene.pass_time(1.0)
    assert "n3" not in scene.in_sync()


@pytest.mark.parametrize("lost", ["n1", "n2"])
def test_a_zone_that_flapped_is_taken_in_at_once_when_nothing_commits_without_it(lost: str) -> None:
    """It waited for half a minute, as if its leader could go on meanwhile."""

    async def story(scene: Scene) -> None:
        await scene.pass_time(2.0)
        await _drop_often(scene)
        scene.cluster.node(lost).kill(restart_after_s=20.0)
        left = scene.n1 if lost == "n2" else scene.n2
        async with asyncio.timeout(5.0):
            assert (await scene.write(left, b"on")).applied

    play(story)


def test_a_zone_that_flapped_waits_while_the_others_can_go_on() -> None:
    async def story(scene: Scene) -> None:
        await scene.pass_time(2.0)
        await _drop_often(scene)
        for _ in range(20):
            await scene.pass_time(0.5)
            assert "n3" not in scene.in_sync()

    play(story)


async def _want_a_snapshot(scene: Scene) -> None:
    """n3 is away until n1 cannot read what it would have to send."""
    scene.n3.cut_power(restart_after_s=None)
    assert await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 5.0)
    for number in range(40):  # more than the journal keeps in memory
        await scene.write(scene.n1, b"%d" % number + bytes(1000))
    scene.n1.disk.unreadable = "journal"
    scene.n3.boot()


def test_a_sector_of_the_journal_that_cannot_be_read_stops_nobody() -> None:
    """Its leader kept time no longer: it was silent for good, and its link to whoever was to be
    sent what lies there broke again and again."""

    async def story(scene: Scene) -> None:
        await _want_a_snapshot(scene)
        assert await scene.cluster.until(lambda: "n3" in scene.in_sync(), 10.0)
        assert scene.cluster.descriptors()[0].leader == "n1"
        scene.n1.disk.unreadable = ""

    play(story)


def test_a_defect_in_one_look_at_the_replicas_does_not_end_all_others() -> None:
    """The next one was due only once this one was through: a node that met a defect was silent
    from then on, and nobody ended it, since its loop went on."""

    async def story(scene: Scene) -> None:
        look, failed = scene.n1.host.disk.look, []

        def fail_once(now: float) -> None:
            if not failed:
                failed.append(now)
                raise ZeroDivisionError
            look(now)

        scene.n1.host.disk.look = fail_once
        await scene.pass_time(3.0)
        assert failed
        assert [d for d in scene.cluster.loop.defects if "ZeroDivisionError" in d]
        scene.cluster.loop.defects.clear()
        assert scene.cluster.descriptors()[0].leader == "n1"
        assert scene.in_sync() == ["n1", "n2", "n3"]

    play(story)


def test_a_defect_in_one_change_of_the_map_does_not_hide_all_later_ones() -> None:
    """The watch had ended: who has no replica to be told by went on to ask the former leader."""

    async def story(scene: Scene) -> None:
        router, failed = scene.cluster.nodes[3], []
        watch = router.host._map_watch
        changed = watch._changed

        def fail_once(descriptor: Descriptor, revision: int) -> None:
            if not failed:
                failed.append(descriptor)
                raise ZeroDivisionError
            changed(descriptor, revision)

        watch._changed = fail_once
        scene.n1.kill(restart_after_s=20.0)
        async with asyncio.timeout(5.0):
            assert (await scene.write(router, b"on")).applied
        assert failed
        assert [d for d in scene.cluster.defects if "ZeroDivisionError" in d]
        scene.cluster.defects.clear()

    play(story, nodes=4)


def test_a_defect_in_a_snapshot_does_not_keep_its_follower_out() -> None:
    """It was taken for one that is being sent a snapshot for as long as its leader led."""

    async def story(scene: Scene) -> None:
        send, failed = scene.n1.host._snapshots.send, []

        async def fail_once(replica: Replica, node: str) -> None:
            if not failed:
                failed.append(node)
                raise ZeroDivisionError
            await send(replica, node)

        scene.n1.host._snapshots.send = fail_once
        await _want_a_snapshot(scene)
        assert await scene.cluster.until(lambda: "n3" in scene.in_sync(), 10.0)
        scene.n1.disk.unreadable = ""
        assert failed == ["n3"]
        assert [d for d in scene.cluster.defects if "ZeroDivisionError" in d]
        scene.cluster.defects.clear()

    play(story)
