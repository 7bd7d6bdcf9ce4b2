"""Splits, told as stories: what fails at which step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.simulation.coordinator import CoordinatorPort
from tests.simulation.node import SimNode
from tests.simulation.registers import ask
from tests.simulation.scenarios import Scene, play

from trilith.replication.coordinator import Versioned
from trilith.replication.descriptor import key_of
from trilith.replication.replica import Replica
from trilith.storage.journal_refusals import no_room


async def _split(scene: Scene, node: SimNode, key: bytes) -> int:
    child: int = await ask(node, node.host.splitting.split(1, key))
    return child


def _child(scene: Scene) -> Any:
    return next((d for d in scene.cluster.descriptors() if d.parent == 1), None)


def _waits_to_apply_a_split(parent: Replica) -> bool:
    known = min(parent._known_commit, parent.log.durable_index)
    return any(e.split is not None and e.index <= known for e in parent.pending)


def test_a_split_survives_a_blackout_of_all_before_anything_was_flushed() -> None:
    async def story(scene: Scene) -> None:
        await scene.write(scene.n1, b"left", b"a")
        await scene.write(scene.n1, b"right", b"x")
        child = await _split(scene, scene.n1, b"m")
        await scene.cluster.until(lambda: _child(scene) is not None, 3.0)
        await scene.write(scene.n2, b"later", b"y")
        for node in scene.cluster.nodes:
            node._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
            node.cut_power(restart_after_s=0.3)
        await scene.healthy()
        for key, value in ((b"a", b"left"), (b"x", b"right"), (b"y", b"later")):
            assert (await scene.read(scene.n3, key)).seen == value
        assert scene.cluster.replica("n2", child) is not None

    play(story)


def test_the_next_leader_tells_of_a_split_that_its_leader_could_not_tell_of() -> None:
    async def story(scene: Scene) -> None:
        service = scene.cluster.coordinator
        await scene.write(scene.n1, b"right", b"x")
        await ask(scene.n1, scene.n1.host.splitting._new_id())
        leader = scene.n1.host.replicas[1].leader
        assert leader is not None
        service.cut.add("n1")
        index = leader.split(b"m", 77)
        await ask(scene.n1, scene.n1.host.replicas[1].wait_applied(index))
        await scene.pass_time(0.2)
        assert _child(scene) is None
        scene.n1.kill(restart_after_s=3.0)
        assert await scene.cluster.until(lambda: _child(scene) is not None, 5.0)
        assert (await scene.read(scene.n2, b"x")).seen == b"right"
        service.cut.discard("n1")

    play(story)


def test_a_retry_finds_in_the_child_what_the_parent_had_answered() -> None:
    async def story(scene: Scene) -> None:
        from tests.replication.register_model import Append
        from tests.simulation.registers import KEYSPACE

        token = scene.n1.router.new_token()
        command = Append(b"x", b"once")

        def run(node: SimNode, *, repeated: bool) -> Any:
            work = node.router.execute(KEYSPACE, b"x", command, token=token, repeated=repeated)
            return ask(node, work)

        await run(scene.n1, repeated=False)
        await _split(scene, scene.n1, b"m")
        assert (await run(scene.n2, repeated=True)).value == b"once"

    play(story)


def test_a_replica_that_was_away_catches_up_over_a_split_by_its_log() -> None:
    async def story(scene: Scene) -> None:
        await scene.pass_time(2.0)
        scene.n3.kill(restart_after_s=5.0)
        await scene.pass_time(1.5)
        await scene.write(scene.n1, b"right", b"x")
        child = await _split(scene, scene.n1, b"m")
        await scene.write(scene.n1, b"later", b"x")
        await scene.healthy()
        replica = scene.cluster.replica("n3", child)
        assert isinstance(replica, Replica)
        assert replica.range.base_index == replica.log.first_index - 1
        assert (await scene.read(scene.n3, b"x")).seen == b"later"

    play(story)


def test_commands_behind_a_split_go_to_the_child() -> None:
    async def story(scene: Scene) -> None:
        calls = [scene.append(scene.n1, b"%d " % n, b"x%d" % (n % 3)) for n in range(30)]
        running = [asyncio.ensure_future(call) for call in calls]
        splitting = asyncio.ensure_future(_split(scene, scene.n1, b"m"))
        done = await asyncio.gather(*running)
        await splitting
        assert all(call.applied for call in done)

    play(story)


def test_a_split_that_is_applied_behind_a_closed_journal_is_made_whole_by_the_next_start() -> None:
    """The child's log could not begin any more, and that raised out of the journal's callback."""

    async def story(scene: Scene) -> None:
        await scene.write(scene.n1, b"right", b"x")
        n3 = scene.n3
        n3.store.full = True  # n3 logs the split, and cannot apply it
        child = await _split(scene, scene.n1, b"m")
        parent = n3.host.replicas[1]
        assert await scene.cluster.until(lambda: _waits_to_apply_a_split(parent), 2.0)
        await ask(n3, n3.journal.close())
        n3.store.full = False
        parent.apply_again()
        assert parent.range.child == child
        n3.kill(restart_after_s=0.3)
        await scene.healthy()
        replica = scene.cluster.replica("n3", child)
        assert isinstance(replica, Replica)
        assert replica.range.base_index == replica.log.first_index - 1
        assert (await scene.read(n3, b"x")).seen == b"right"

    play(story)


def test_a_child_whose_log_finds_no_room_begins_it_when_there_is_room() -> None:
    """It counted as begun in memory, and never was in the journal."""

    async def story(scene: Scene) -> None:
        await scene.write(scene.n1, b"right", b"x")
        n3 = scene.n3
        n3.store.full = True
        child = await _split(scene, scene.n1, b"m")
        assert await scene.cluster.until(lambda: _child(scene) is not None, 3.0)
        parent = n3.host.replicas[1]
        assert await scene.cluster.until(lambda: _waits_to_apply_a_split(parent), 2.0)
        journal = n3.journal
        journal._refusal = no_room
        n3.store.full = False
        parent.apply_again()
        replica = n3.host.replicas[child]
        assert replica.awaited
        assert replica.log.last_index == 0
        journal._refusal = None
        assert await scene.cluster.until(lambda: not replica.awaited, 2.0)
        assert replica.range.base_index == replica.log.first_index - 1 > 0

    play(story)


async def _is_led(scene: Scene, node: str, partition_id: int) -> None:
    def led() -> bool:
        replica = scene.cluster.replica(node, partition_id)
        return replica is not None and replica.leader is not None

    assert await scene.cluster.until(led, 30.0)


@pytest.mark.parametrize("times", [1, 2])
def test_a_node_whose_journal_had_rotted_leads_the_children_of_its_splits(times: int) -> None:
    """It took their logs, which had just begun, for lost with the region, and led them all the
    same: with a log that ended before what was committed, so every write counted as committed.
    """

    async def story(scene: Scene) -> None:
        for i in range(10):
            await scene.write(scene.n1, b"%d " % i * 20, b"x")
        await scene.pass_time(0.5)  # a MARK
        path = "journal/0000000001.seg"
        middle = len(scene.n1.disk._files[path].durable.rstrip(b"\0")) // 2
        scene.n1.disk.flip(path, middle)
        scene.n1.kill(restart_after_s=1.5)
        await scene.pass_time(2.0)
        assert scene.cluster.replica("n1", 1) is not None
        await scene.healthy()
        await _is_led(scene, "n1", 1)  # again, it is the preferred one
        partition_id = 1
        for key in (b"m", b"w")[:times]:
            partition_id = await ask(scene.n1, scene.n1.host.splitting.split(partition_id, key))
            await _is_led(scene, "n1", partition_id)
        assert (await scene.write(scene.n1, b"new", b"x")).applied
        scene.n1.kill(restart_after_s=5.0)
        await scene.pass_time(2.0)
        assert (await scene.read(scene.n2, b"x")).seen == b"new"

    play(story)


def test_a_child_is_not_filled_while_its_parent_is_still_to_be_read_from_the_map() -> None:
    """A node that was asked about the child learned of it alone, and took a snapshot of it: nobody
    there held its range. Then came the parent, and applied its log over that, up to the split.
    """

    async def story(scene: Scene) -> None:
        service, n3 = scene.cluster.coordinator, scene.n3

        class SlowForOthers(CoordinatorPort):
            async def get(self, key: str) -> Versioned | None:
                if self.machine == "n3" and key != key_of(child):
                    await asyncio.sleep(1.0)
                return await super().get(key)

            async def list(self, prefix: str) -> tuple[dict[str, Versioned], int]:
                if self.machine == "n3":
                    await asyncio.sleep(1.0)
                return await super().list(prefix)

        for i in range(5):
            await scene.write(scene.n1, b"before the split %d" % i, b"x")
        child = await _split(scene, scene.n1, b"m")
        await _is_led(scene, "n1", child)
        await scene.write(scene.n1, b"behind it", b"x")
        await scene.healthy()
        n3._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        service.port = lambda process, machine: SlowForOthers(service, process, machine)  # type: ignore[method-assign]
        n3.kill(restart_after_s=0.3)
        await scene.healthy()

    play(story)
