"""Two zones burn; the third becomes the sole source and has everything acknowledged."""

from __future__ import annotations

import pytest
from tests.simulation.registers import ask
from tests.simulation.scenarios import Scene, play

from trilith.cluster.recovery import make_sole_source


@pytest.mark.parametrize("left", [0, 1, 2])
def test_the_last_zone_has_everything_that_was_acknowledged(left: int) -> None:
    async def story(scene: Scene) -> None:
        for i in range(20):
            await scene.append(scene.cluster.nodes[i % 3], b"%d " % i)
        survivor = scene.cluster.nodes[left]
        lost = [node for node in scene.cluster.nodes if node is not survivor]
        for node in lost:
            node.burn(restart_after_s=None)
        await scene.pass_time(1.0)
        verdicts = await ask(survivor, make_sole_source(survivor.coordinator, survivor.zone))
        assert all(verdict.complete for verdict in verdicts)
        found = await scene.read(survivor, b"a")
        assert found.seen == b"".join(b"%d " % i for i in range(20))
        for node in lost:
            node.boot()

    play(story)
