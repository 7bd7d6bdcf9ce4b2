"""Merges, told as stories: what fails at which step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.simulation.node import SimNode
from tests.simulation.registers import KEYSPACE, ask
from tests.simulation.scenarios import Scene, play

from trilith.cluster.recovery import make_sole_source
from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import Descriptor
from trilith.replication.replica import Replica

LEFT = 1
Step = Callable[[Scene, int], None]


async def _halves(scene: Scene) -> int:
    """Something on both sides of a split; the child's id."""
    await scene.write(scene.n1, b"left", b"a")
    await scene.write(scene.n1, b"right", b"x")
    child: int = await ask(scene.n1, scene.n1.host.splitting.split(LEFT, b"m"))
    await scene.healthy()
    await scene.write(scene.n2, b"later", b"y")
    return child


def _leader(scene: Scene, partition_id: int) -> SimNode:
    for node in scene.cluster.nodes:
        replica = scene.cluster.replica(node.node_id, partition_id)
        if replica is not None and replica.leader is not None:
            return node
    raise AssertionError(f"nobody leads partition {partition_id}")


def _replica(node: SimNode, partition_id: int) -> Replica:
    return node.host.replicas[partition_id]


def _merging(scene: Scene, child: int) -> asyncio.Future[Any]:
    node = _leader(scene, child)
    return asyncio.ensure_future(ask(node, node.host.merging.merge(child)))


async def _merge(scene: Scene, child: int) -> None:
    assert await _merging(scene, child) == LEFT


def _described(scene: Scene, partition_id: int) -> Descriptor:
    found = scene.cluster.coordinator.get(descriptors.key_of(partition_id))
    assert found is not None
    return descriptors.decode(found.value)


def _is_told(scene: Scene, child: int) -> bool:
    return _described(scene, child).absorbed_by == LEFT and _described(scene, LEFT).end == ""


def _hold(scene: Scene) -> None:
    """Nobody absorbs anything, until `_release`."""
    for node in scene.cluster.nodes:
        node.host.merging.absorb_closed = lambda: None  # type: ignore[method-assign]


def _release(scene: Scene) -> None:
    for node in scene.cluster.nodes:
        node.host.merging.__dict__.pop("absorb_closed", None)


def _used_bytes(node: SimNode, path: str) -> int:
    return len(node.disk._files[path].durable.rstrip(b"\0"))


def _is_closed(scene: Scene, child: int) -> bool:
    return any(
        (r := scene.cluster.replica(n.node_id, child)) is not None and r.range.closed > 0
        for n in scene.cluster.nodes
    )


async def _all_is_there(scene: Scene) -> None:
    await scene.healthy()
    for key, value in ((b"a", b"left"), (b"x", b"right"), (b"y", b"later")):
        for node in scene.cluster.nodes:
            assert (await scene.read(node, key)).seen == value
    assert (await scene.append(scene.n3, b"more", b"x1")).applied


def test_a_merge_survives_a_blackout_of_all_before_anything_was_flushed() -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        await _merge(scene, child)
        await scene.write(scene.n2, b"later still", b"z")
        for node in scene.cluster.nodes:
            node._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
            node.cut_power(restart_after_s=0.3)
        await _all_is_there(scene)
        assert (await scene.read(scene.n3, b"z")).seen == b"later still"
        assert all(_replica(n, LEFT).range.end == b"" for n in scene.cluster.nodes)

    play(story)


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("names", ["n1", "n2", "n1 n2", "n1 n2 n3"])
def test_whoever_dies_between_closing_and_absorbing_the_merge_is_finished(
    names: str, kept: float
) -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        _hold(scene)
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_closed(scene, child), 2.0)
        for name in names.split():
            node = scene.cluster.node(name)
            node._kept = lambda: kept  # type: ignore[method-assign]
            node.kill(restart_after_s=1.5)
        _release(scene)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 10.0)
        await asyncio.gather(merging, return_exceptions=True)
        await _all_is_there(scene)

    play(story)


@pytest.mark.parametrize("kept", [0.0, 1.0])
@pytest.mark.parametrize("delay_s", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03])
def test_a_leader_that_dies_at_any_moment_of_a_merge_stops_nothing(
    delay_s: float, kept: float
) -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        merging = _merging(scene, child)
        await scene.pass_time(delay_s)
        for node in {_leader(scene, LEFT).node_id: _leader(scene, LEFT)}.values():
            node._kept = lambda: kept  # type: ignore[method-assign]
            node.kill(restart_after_s=4.0)
        await asyncio.gather(merging, return_exceptions=True)
        await scene.healthy()
        if _is_closed(scene, child) or _described(scene, child).absorbed_by:
            assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)
        await _all_is_there(scene)

    play(story)


def test_the_next_leader_tells_of_a_merge_that_its_leader_could_not_tell_of() -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        node = _leader(scene, LEFT)
        _hold(scene)
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_closed(scene, child), 2.0)
        scene.cluster.coordinator.cut.add(node.node_id)
        _release(scene)
        assert await scene.cluster.until(lambda: _replica(node, LEFT).range.absorbed == child, 2.0)
        await scene.pass_time(0.2)
        assert not _is_told(scene, child)
        node.kill(restart_after_s=3.0)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)
        scene.cluster.coordinator.cut.discard(node.node_id)
        await asyncio.gather(merging, return_exceptions=True)
        await _all_is_there(scene)

    play(story)


def test_a_retry_finds_what_the_absorbed_partition_had_answered() -> None:
    async def story(scene: Scene) -> None:
        from tests.replication.register_model import Append

        child = await _halves(scene)
        token = scene.n1.router.new_token()
        command = Append(b"x2", b"once")

        def run(node: SimNode, *, repeated: bool) -> Any:
            work = node.router.execute(KEYSPACE, b"x2", command, token=token, repeated=repeated)
            return ask(node, work)

        await run(scene.n1, repeated=False)
        await _merge(scene, child)
        assert (await run(scene.n2, repeated=True)).value == b"once"

    play(story)


def test_a_replica_that_was_away_while_the_log_was_closed_gets_a_snapshot() -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        assert _leader(scene, child) is not scene.n3
        leader = _replica(_leader(scene, child), child).leader
        assert leader is not None
        log_change = leader.log_change
        ways = [way for n in ("n1", "n2") for way in ((n, "n3"), ("n3", n))]

        def lose_the_entry(*given: Any, **named: Any) -> int:
            for source, target in ways:  # both: n3 is dropped before it can take over
                scene.cluster.network.cut(source, target)
            return log_change(*given, **named)

        leader.log_change = lose_the_entry  # type: ignore[method-assign]
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_closed(scene, child), 4.0)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 8.0)
        await asyncio.gather(merging, return_exceptions=True)
        await scene.write(scene.n1, b"meanwhile", b"z")
        for source, target in ways:
            scene.cluster.network.heal(source, target)
        await _all_is_there(scene)
        assert (await scene.read(scene.n3, b"z")).seen == b"meanwhile"
        left = _replica(scene.n3, LEFT)
        assert left.log.first_index > left.range.absorbed_at > 0

    play(story)


def test_a_new_disk_in_the_middle_of_a_merge_is_filled_by_snapshots() -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        _hold(scene)
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_closed(scene, child), 2.0)
        scene.n3.burn(restart_after_s=1.0)
        _release(scene)
        await asyncio.gather(merging, return_exceptions=True)
        await _all_is_there(scene)

    play(story)


def test_commands_at_the_moment_of_a_merge_are_all_applied_once() -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        calls = [scene.append(scene.n1, b"%d " % n, b"x%d" % (n % 3)) for n in range(30)]
        running = [asyncio.ensure_future(call) for call in calls]
        await scene.pass_time(0.0002)
        merging = _merging(scene, child)
        done = await asyncio.gather(*running)
        assert await merging == LEFT
        assert all(call.applied for call in done)

    play(story)


def test_a_survivor_that_never_heard_of_a_merge_goes_on_from_both_logs() -> None:
    """Two zones lost for good: what the third has is all there is, and all of it is read."""

    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        _hold(scene)
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_closed(scene, child), 2.0)
        scene.n3.cut_power(restart_after_s=None)
        assert await scene.cluster.until(lambda: "n3" not in _described(scene, LEFT).in_sync, 5.0)
        _release(scene)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)
        await asyncio.gather(merging, return_exceptions=True)
        for node in (scene.n1, scene.n2):
            node.burn(restart_after_s=None)
        scene.n3.boot()
        assert await scene.cluster.until(lambda: scene.n3.booted, 5.0)
        await ask(scene.n3, make_sole_source(scene.n3.coordinator, "az3"))
        scene.n1.boot()
        scene.n2.boot()
        await _all_is_there(scene)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)

    play(story)


def test_what_was_merged_can_be_split_and_merged_again() -> None:
    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        for _ in range(3):
            before = _replica(_leader(scene, child), child)
            given_out = before.log.last_index + before.range.lead
            await _merge(scene, child)
            assert await scene.cluster.until(lambda gone=child: _is_told(scene, gone), 5.0)
            await scene.healthy()
            node = _leader(scene, LEFT)
            left = _replica(node, LEFT)
            assert left.log.last_index + 1 + left.range.lead > given_out
            child = await ask(node, node.host.splitting.split(LEFT, b"m"))
            await scene.healthy()
            made = _replica(_leader(scene, child), child)
            assert made.log.last_index + made.range.lead > given_out
        await _all_is_there(scene)

    play(story)


def test_a_mark_that_an_operator_takes_away_during_a_checkpoint_is_set_again() -> None:
    """The replica was forgotten all the same, and every write to its keys went to nobody."""

    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        await _merge(scene, child)
        merging = scene.n3.host.merging
        assert await scene.cluster.until(
            lambda: _is_told(scene, child) and bool(merging.over()), 5.0
        )
        over = merging.over()  # and the store is being flushed
        for node in (scene.n1, scene.n2):
            node.burn(restart_after_s=None)
        await ask(scene.n3, make_sole_source(scene.n3.coordinator, "az3"))
        merging.forget(over)
        scene.n1.boot()
        scene.n2.boot()
        assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)
        await _all_is_there(scene)

    play(story)


def test_a_leader_that_is_alone_after_a_crash_remembers_by_the_mark_what_it_had_absorbed() -> None:
    """It could not commit the entry again, and nobody else could take it into a log."""

    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        await _merge(scene, child)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)
        last = _leader(scene, LEFT)
        for node in scene.cluster.nodes:
            if node is not last:
                node.burn(restart_after_s=1.0)
        last._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        last.kill(restart_after_s=0.3)
        await _all_is_there(scene)

    play(story)


def test_who_missed_a_merge_and_a_split_at_its_key_waits_for_nothing_of_the_absorbed() -> None:
    """The replica of what was absorbed, which nobody led on, was taken for the one that would make
    the child.
    """

    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        leader = _replica(_leader(scene, child), child).leader
        assert leader is not None
        log_change = leader.log_change
        ways = [way for n in ("n1", "n2") for way in ((n, "n3"), ("n3", n))]

        def lose_the_entry(*given: Any, **named: Any) -> int:
            for source, target in ways:
                scene.cluster.network.cut(source, target)
            return log_change(*given, **named)

        leader.log_change = lose_the_entry  # type: ignore[method-assign]
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 8.0)
        await asyncio.gather(merging, return_exceptions=True)
        node = _leader(scene, LEFT)
        await ask(node, node.host.splitting.split(LEFT, b"m"))
        await scene.pass_time(1.0)
        for source, target in ways:
            scene.cluster.network.heal(source, target)
        await _all_is_there(scene)

    play(story)


def test_a_snapshot_of_a_later_child_does_not_take_what_is_about_to_be_absorbed() -> None:
    """The child began in the range of what was absorbed; its snapshot came first, and the entry
    that absorbs could never be applied.
    """

    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        node = _leader(scene, LEFT)
        assert node is not scene.n3
        late = _replica(scene.n3, LEFT)
        late.commit_to = lambda index: None  # type: ignore[method-assign]
        await _merge(scene, child)
        assert await scene.cluster.until(lambda: _is_told(scene, child), 5.0)
        assert late.absorbs
        assert not _replica(scene.n3, child).retired
        await ask(node, node.host.splitting.split(LEFT, b"p"))
        await scene.pass_time(1.0)
        late.__dict__.pop("commit_to")
        await _all_is_there(scene)

    play(story)


def test_a_merge_that_only_a_rotten_follower_remembers_is_told_by_that_one() -> None:
    """The leader had told nobody, and had forgotten in a crash that it was committed: its snapshots
    were of before, and the follower, that had absorbed already, could not take the entry again.
    """

    async def story(scene: Scene) -> None:
        child = await _halves(scene)
        node = _leader(scene, LEFT)
        rotten = next(n for n in (scene.n1, scene.n2) if n is not node)
        _hold(scene)
        merging = _merging(scene, child)
        assert await scene.cluster.until(lambda: _is_closed(scene, child), 2.0)
        scene.n3.kill(restart_after_s=40.0)
        assert await scene.cluster.until(lambda: "n3" not in _described(scene, LEFT).in_sync, 5.0)
        scene.cluster.coordinator.cut.add(node.node_id)
        _release(scene)
        assert await scene.cluster.until(lambda: _replica(rotten, child).retired, 2.0)
        assert not _is_told(scene, child)
        await scene.pass_time(0.3)  # a MARK
        rotten.disk.flip(path := "journal/0000000001.seg", _used_bytes(rotten, path) // 2)
        rotten._kept = lambda: 1.0  # type: ignore[method-assign]
        node._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        node.kill(restart_after_s=0.4)
        rotten.kill(restart_after_s=0.1)
        scene.cluster.coordinator.cut.clear()
        await asyncio.gather(merging, return_exceptions=True)
        assert await scene.cluster.until(lambda: rotten.booted, 0.5)
        assert _replica(rotten, LEFT).damaged
        assert await scene.cluster.until(lambda: _is_told(scene, child), 15.0)
        assert await scene.cluster.until(
            lambda: rotten.node_id in _described(scene, LEFT).in_sync, 10.0
        )
        assert (await scene.write(rotten, b"on", b"z")).applied
        assert not scene.n3.running
        await _all_is_there(scene)

    play(story)


def test_what_was_to_be_absorbed_by_one_that_nobody_leads_stands_in_no_snapshots_way() -> None:
    """n3 had yet to apply a merge when its result was absorbed, too; nobody told it any more that
    the first one was committed, and what it kept for it was in the range of a later child.
    """

    async def story(scene: Scene) -> None:
        middle = await _halves(scene)
        node = _leader(scene, middle)
        assert node is not scene.n3
        right: int = await ask(node, node.host.splitting.split(middle, b"t"))
        await scene.healthy()
        late = _replica(scene.n3, middle)
        late.commit_to = lambda index: None  # type: ignore[method-assign]
        assert await _merging(scene, right) == middle
        assert await scene.cluster.until(
            lambda: (
                _described(scene, right).absorbed_by == middle
                and _described(scene, middle).end == ""
            ),
            5.0,
        )
        assert late.absorbs
        merging = _merging(scene, middle)
        assert await scene.cluster.until(lambda: _is_told(scene, middle), 20.0)
        await asyncio.gather(merging, return_exceptions=True)
        _replica(scene.n3, LEFT).damaged = True  # the leader's log is gone: it needs a snapshot
        node = _leader(scene, LEFT)
        await ask(node, node.host.splitting.split(LEFT, b"k"))
        await _all_is_there(scene)

    play(story)


def test_who_hears_only_of_the_closed_half_answers_for_it_no_more() -> None:
    """The other leader absorbs it without that replica; the grant for it is revoked later."""

    async def story(scene: Scene) -> None:
        network = scene.cluster.network
        child = await _halves(scene)
        node, replica = _leader(scene, child), _replica(_leader(scene, child), child)
        if node is not scene.n2:
            deadline = node.clock.monotonic() + 5.0
            node.spawn(node.host._hand_overs.run(replica, "n2", leave=False, deadline=deadline))
        await scene.cluster.until(lambda: _replica(scene.n2, child).leader is not None, 5.0)
        await scene.healthy()
        network.cut("n1", "n3")
        network.cut("n3", "n1")
        network.link("n2", "n3").delay_s = 0.15
        scene.cluster.coordinator.cut.add("n3")
        await _merge(scene, child)
        assert (await scene.write(scene.n1, b"new", b"y")).applied
        assert _replica(scene.n3, child).granted
        reading = asyncio.ensure_future(scene.read(scene.n3, b"y"))
        await asyncio.wait([reading], timeout=1.0)
        network.link("n2", "n3").delay_s = 0.0003
        scene.cluster.coordinator.cut.discard("n3")
        network.heal("n1", "n3")
        network.heal("n3", "n1")
        assert (await reading).seen == b"new"

    play(story)
