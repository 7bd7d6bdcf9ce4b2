"""Snapshots, told as stories."""

from __future__ import annotations

import pytest
from tests.simulation.node import SimNode
from tests.simulation.registers import ask
from tests.simulation.scenarios import Scene, play

from trilith.cluster.disk_record import GIVEN_UP_PREFIX
from trilith.cluster.recovery import assess_all, give_up_others, make_sole_source
from trilith.replication import followers


@pytest.mark.parametrize("restarts", [False, True])
def test_a_replica_that_was_filled_anew_does_not_lead_before_it_has_all_that_it_had(
    restarts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leader had restarted, and gave it what was applied there: less than both had logged."""
    monkeypatch.setattr(followers, "LEAVE_S", 0.0)  # as if no coordinator answered for long

    async def story(scene: Scene) -> None:
        n1, n2, n3 = scene.n1, scene.n2, scene.n3
        n2.kill(restart_after_s=12.0)
        assert await scene.cluster.until(lambda: "n2" not in scene.in_sync(), 2.0)
        for i in range(10):
            await scene.append(n1, b"%d " % i)
        await scene.pass_time(0.5)  # a MARK
        n3.disk.flip(path := "journal/0000000001.seg", _used_bytes(n3, path) // 2)
        n1._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        n1.kill(restart_after_s=0.4)
        n3.kill(restart_after_s=0.1)
        assert await scene.cluster.until(lambda: n3.booted, 0.3)
        replica = n3.host.replicas[1]
        assert replica.damaged
        install = replica.install

        def then_lose_the_leader(index: int, epoch: int) -> None:
            install(index, epoch)
            n1.cut_power(restart_after_s=4.0)

        replica.install = then_lose_the_leader  # type: ignore[method-assign]
        assert await scene.cluster.until(lambda: not replica.damaged, 5.0)
        await scene.pass_time(0.1)
        if restarts:
            n3.kill(restart_after_s=0.2)
        await scene.pass_time(3.0)
        assert not any(" n3 leading" in line for line in scene.cluster.lines)
        await scene.healthy()
        assert (await scene.read(n3, b"a")).seen == b"0 1 2 3 4 5 6 7 8 9 "

    play(story)


def test_a_leader_with_a_torn_end_leads_on_when_all_who_could_tell_more_have_lost_their_logs() -> (
    None
):
    """It waited for an answer that could not come, and they for a snapshot of its."""

    async def story(scene: Scene) -> None:
        n1, n2, n3 = scene.n1, scene.n2, scene.n3
        n3.kill(restart_after_s=20.0)
        assert await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 2.0)
        for i in range(10):
            await scene.append(n1, b"%d " % i)
        await scene.pass_time(0.5)  # a MARK
        n1.journal.something_may_be_missing()  # as after a power cut in the middle of a write
        n1.kill(restart_after_s=0.4)
        n2.disk.flip(path := "journal/0000000001.seg", _used_bytes(n2, path) // 2)
        n2.kill(restart_after_s=0.1)
        assert await scene.cluster.until(lambda: n2.booted, 0.3)
        assert n2.host.replicas[1].damaged
        assert await scene.cluster.until(lambda: scene.in_sync() == ["n1"], 3.0)
        assert await scene.cluster.until(lambda: scene.in_sync() == ["n1", "n2"], 5.0)
        assert (await scene.append(n2, b"on")).applied
        assert not n3.running
        await scene.healthy()
        assert (await scene.read(n3, b"a")).seen == b"0 1 2 3 4 5 6 7 8 9 on"

    play(story)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_zone_that_was_filled_while_no_coordinator_answered_says_itself_that_it_lacks_something(
    restarts: bool,
) -> None:
    """It still counted as in sync when its leader was lost, too."""

    async def story(scene: Scene) -> None:
        n1, n2, n3, coordinator = scene.n1, scene.n2, scene.n3, scene.cluster.coordinator
        n2.burn(restart_after_s=None)
        assert await scene.cluster.until(lambda: "n2" not in scene.in_sync(), 2.0)
        for i in range(10):
            await scene.append(n1, b"%d " % i)
        await scene.pass_time(0.5)  # a MARK
        n3.disk.flip(path := "journal/0000000001.seg", _used_bytes(n3, path) // 2)
        n1._kept = n3._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        n1.kill(restart_after_s=0.1)
        assert await scene.cluster.until(
            lambda: n1.booted and n1.host.replicas[1].leader is not None, 3.0
        )
        assert n1.host.replicas[1].applied_index == 0  # it waits for n3 to have the rest
        n3.kill(restart_after_s=0.1)
        assert await scene.cluster.until(lambda: n3.booted, 0.3)
        coordinator.down = True
        replica = n3.host.replicas[1]
        assert replica.damaged
        install = replica.install

        def then_lose_the_leader(index: int, epoch: int) -> None:
            install(index, epoch)
            n1.burn(restart_after_s=None)

        replica.install = then_lose_the_leader  # type: ignore[method-assign]
        assert await scene.cluster.until(lambda: not replica.damaged, 8.0)
        await scene.pass_time(1.0)
        coordinator.down = False
        if restarts:
            n3.kill(restart_after_s=0.1)
            assert await scene.cluster.until(lambda: n3.booted, 3.0)
        assert scene.in_sync() == ["n1", "n3"]
        await ask(n3, make_sole_source(n3.coordinator, n3.zone))
        assert await scene.cluster.until(
            lambda: n3.booted and n3.host.replicas[1].leader is not None, 5.0
        )
        told = await ask(n3, assess_all(n3.coordinator, n3.zone))
        assert [(verdict.complete, verdict.complete_until_ms) for verdict in told] == [
            (False, None)
        ]
        await ask(n3, give_up_others(n3.coordinator, n3.zone))
        given_up, _ = await ask(n3, n3.coordinator.list(GIVEN_UP_PREFIX))
        assert {v.value for v in given_up.values()} == {b"n1", b"n2"}
        scene.calls.calls.clear()  # what was written is lost, as was said
        n1.boot()
        n2.boot()

    play(story)


def test_a_zone_that_was_filled_anew_is_not_called_complete_when_it_is_all_that_is_left() -> None:
    """It counted as in sync, and lacked what its restarted leader had not applied yet."""

    async def story(scene: Scene) -> None:
        n1, n2, n3 = scene.n1, scene.n2, scene.n3
        n2.burn(restart_after_s=None)
        assert await scene.cluster.until(lambda: "n2" not in scene.in_sync(), 2.0)
        for i in range(10):
            await scene.append(n1, b"%d " % i)
        await scene.pass_time(0.5)  # a MARK
        n3.disk.flip(path := "journal/0000000001.seg", _used_bytes(n3, path) // 2)
        n1._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        n1.kill(restart_after_s=0.4)
        n3.kill(restart_after_s=0.1)
        assert await scene.cluster.until(lambda: n3.booted, 0.3)
        replica = n3.host.replicas[1]
        assert replica.damaged
        install = replica.install

        def then_lose_the_leader(index: int, epoch: int) -> None:
            install(index, epoch)
            n1.burn(restart_after_s=None)

        replica.install = then_lose_the_leader  # type: ignore[method-assign]
        assert await scene.cluster.until(lambda: not replica.damaged, 8.0)
        await scene.pass_time(1.0)
        verdicts = await ask(n3, make_sole_source(n3.coordinator, n3.zone))
        assert [verdict.complete for verdict in verdicts] == [False]
        scene.calls.calls.clear()  # what was written is lost, as was said
        n1.boot()
        n2.boot()

    play(story)


def _used_bytes(node: SimNode, path: str) -> int:
    return len(node.disk._files[path].durable.rstrip(b"\0"))
