"""What stood still for longer than it had to, told as stories: nothing was lost, and nobody could
say why their calls waited.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.scenarios import Scene, play

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
