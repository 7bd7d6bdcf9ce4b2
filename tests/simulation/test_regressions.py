"""Bugs that seeds found, told as stories. The table in tests/README.md names the seeds."""

from __future__ import annotations

import asyncio

import pytest
from tests.simulation.scenarios import Scene, play


@pytest.mark.parametrize("victim", [0, 1])
def test_a_store_that_refuses_writes_for_a_while_loses_none(victim: int) -> None:
    """Committed entries were taken off the queue before the store had them."""

    async def story(scene: Scene) -> None:
        node = scene.cluster.nodes[victim]
        node.store.full = True
        waiting = [asyncio.ensure_future(scene.append(scene.n1, b"%d " % i)) for i in range(5)]
        await asyncio.sleep(0.5)
        node.store.full = False
        await asyncio.gather(*waiting)
        assert all(call.applied for call in scene.calls.calls)

    play(story)
