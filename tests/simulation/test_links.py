"""Links between nodes: when only one of a pair comes up, and when its end is gone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulation.network import NodeNetwork
from tests.simulation.scenarios import Scene, play

from trilith.peers.handshake import BULK, CONTROL


def test_a_bulk_link_goes_to_the_process_that_the_control_link_goes_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It came up while the control link did not, and outlived the process at its other end."""
    connect = NodeNetwork.connect
    refused = ["n2:7000"]

    async def without_control(self: NodeNetwork, address: str, *more: Any, **named: Any) -> Any:
        if address in refused and not named["bulk"]:
            raise ConnectionRefusedError
        return await connect(self, address, *more, **named)

    async def story(scene: Scene) -> None:
        scene.n2.cut_power(restart_after_s=None)
        assert await scene.cluster.until(lambda: not scene.n1.hub.is_reachable("n2"), 5.0)
        monkeypatch.setattr(NodeNetwork, "connect", without_control)
        scene.n2.boot()
        await scene.pass_time(2.0)
        scene.n2.cut_power(restart_after_s=0.1)
        assert await scene.cluster.until(lambda: scene.n2.booted, 5.0)
        refused.clear()
        assert await scene.cluster.until(lambda: scene.n1.hub.is_reachable("n2"), 5.0)
        await scene.pass_time(0.1)
        links = scene.n1.hub._links
        assert links["n2", BULK].peer_session == links["n2", CONTROL].peer_session

    play(story)


def test_what_is_sent_to_a_process_that_is_gone_is_answered_with_a_reset() -> None:
    """As a kernel does, also when the reset that told of its end was lost behind a cut."""

    async def story(scene: Scene) -> None:
        network = scene.cluster.network
        network.cut("n2", "n1")
        scene.n2.kill(restart_after_s=1.0)
        network.heal("n2", "n1")
        link = scene.n1.hub._links["n2", CONTROL]
        assert link.ready
        link.connection.send([b"a frame"])
        await scene.pass_time(0.01)
        assert link.lost

    play(story)
