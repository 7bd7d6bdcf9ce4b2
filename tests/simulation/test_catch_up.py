"""Followers that are far behind: what they are sent is bounded by what they can take."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.node import SimNode
from tests.simulation.scenarios import Scene, play

from trilith.errors import Unavailable
from trilith.replication import followers
from trilith.replication.descriptor import Descriptor
from trilith.replication.followers import State
from trilith.replication.messages import Reject
from trilith.storage.journal_refusals import no_room

RETAIN_BYTES = 2 * 1024 * 1024  # so that nobody needs a snapshot


async def _fall_behind(scene: Scene, keys: list[bytes], writes: int) -> None:
    """n3 is away while each key is written; it starts again."""
    scene.n3.cut_power(restart_after_s=None)
    await scene.cluster.until(lambda: all("n3" not in d.in_sync for d in _map(scene)), 5.0)
    for _ in range(writes):
        await asyncio.gather(*(scene.write(scene.n1, bytes(2000), key) for key in keys))
    scene.n3.boot()


def _map(scene: Scene) -> list[Descriptor]:
    return scene.cluster.descriptors()


def test_a_follower_whose_journal_has_little_room_is_sent_more_as_soon_as_it_has() -> None:
    """What it could not take of a message counted as on its way, until a timer of seconds ended."""

    async def story(scene: Scene) -> None:
        await _fall_behind(scene, [b"k"], 150)  # ten times what its journal reserves
        assert await scene.cluster.until(lambda: "n3" in scene.in_sync(), 5.0)

    play(story, retain_bytes=RETAIN_BYTES)


def test_all_partitions_together_send_a_node_no_more_than_it_can_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each had a window of its own: with many, a node that came back got them all at once."""
    monkeypatch.setattr(followers, "CATCH_UP_READ_BYTES", 4_000)
    monkeypatch.setattr(followers, "CATCH_UP_WINDOW_BYTES", 12_000)
    monkeypatch.setattr(followers, "PEER_WINDOW_BYTES", 16_000)
    cuts = [b"%d" % n for n in range(1, 9)]

    async def story(scene: Scene) -> None:
        most = 0
        await _fall_behind(scene, [b"", *cuts], 15)
        while any("n3" not in d.in_sync for d in _map(scene)):
            for node in (scene.n1, scene.n2):
                assert _in_flight(node) <= 20_000
                most = max(most, _in_flight(node))
            await scene.pass_time(0.0002)
        assert most > 12_000  # more than one partition at once

    play(story, cuts=cuts, retain_bytes=RETAIN_BYTES)


def _in_flight(node: SimNode) -> int:
    """Bytes on their way to n3."""
    led = [replica.leader for replica in node.host.replicas.values() if replica.leader is not None]
    return sum(leader.followers.progress["n3"].unacked_bytes for leader in led)


def test_a_follower_that_refuses_everything_is_left_alone_for_a_while() -> None:
    """Each refusal was answered with all of it again, as fast as the link could carry it."""

    async def story(scene: Scene) -> None:
        leader = scene.n1.host.replicas[1].leader
        assert leader is not None
        progress = leader.followers.progress["n3"]
        for _ in range(10):
            leader.receive_reject("n3", Reject(1, leader.epoch, 0))
        assert progress.state is State.PROBE
        assert progress.unacked_bytes == 0

    play(story)


def test_a_snapshot_whose_log_finds_no_room_leaves_the_replica_as_damaged_as_it_was() -> None:
    """It went on with a commit index behind the end of its log, and refused everything for good."""

    async def story(scene: Scene) -> None:
        await scene.write(scene.n1, b"v")
        await scene.pass_time(0.1)
        replica = scene.n3.host.replicas[1]
        replica.begin_install("n1", replica.epoch, "a test", replica.range)
        scene.n3.journal._refusal = no_room
        with pytest.raises(Unavailable):
            replica.install(replica.applied_index + 5, replica.epoch)
        scene.n3.journal._refusal = None
        assert replica.damaged
        assert (await scene.write(scene.n1, b"on")).applied
        assert await scene.cluster.until(lambda: not replica.damaged, 5.0)

    play(story)


def test_a_follower_that_asks_again_and_again_is_dropped_like_one_that_stalls() -> None:
    """Each new attempt made its clock begin anew."""

    async def story(scene: Scene) -> None:
        await scene.pass_time(2.0)  # a new leader drops nobody
        scene.n3.journal._pending_bytes += 1 << 40  # too much waits for its disk, as it seems
        assert (await scene.write(scene.n1, b"on")).applied
        assert "n3" not in scene.in_sync()
        scene.n3.journal._pending_bytes -= 1 << 40

    play(story)
