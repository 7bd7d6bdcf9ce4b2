"""Why it does no harm to forget an epoch in a crash, a mutation that no seed finds.

Whoever leads in an epoch has it from a swap of the descriptor, and a node that starts reads the map
before it hears anybody. So it knows every epoch that it followed before, journaled or not.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulation.mutations import MUTATIONS, applied
from tests.simulation.scenarios import Scene, play

from trilith.replication.replica import Replica


def test_a_node_that_starts_has_the_epoch_that_it_forgot_from_the_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[tuple[str, int, int]] = []
    begin = Replica.__init__

    def noted(self: Replica, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        begun.append((self.ports.node_id, self.log.last_epoch, self.epoch))

    async def story(scene: Scene) -> None:
        network, n1, n3 = scene.cluster.network, scene.n1, scene.n3
        epoch = n1.host.replicas[1].epoch
        await scene.write(n1, b"before")
        network.cut("n1", "n2")
        network.cut("n2", "n1")
        scene.cluster.coordinator.cut.add("n1")  # it goes on in its epoch, as it thinks
        n3.disk.wedged_until = scene.cluster.loop.now + 9.0
        assert await scene.cluster.until(lambda: n3.host.replicas[1].epoch > epoch, 5.0)
        begun.clear()
        n3.cut_power(restart_after_s=0.05)
        assert await scene.cluster.until(lambda: n3.booted, 5.0)
        assert ("n3", epoch, epoch + 1) in begun  # by its journal, by the map
        writing = [scene.append(node, node.node_id.encode()) for node in (n1, n3)]
        network.heal("n1", "n2")
        network.heal("n2", "n1")
        scene.cluster.coordinator.cut.discard("n1")
        for append in writing:
            assert (await append).applied

    monkeypatch.setattr(Replica, "__init__", noted)
    with applied(MUTATIONS["forget_the_epoch_in_a_crash"]):
        play(story)
