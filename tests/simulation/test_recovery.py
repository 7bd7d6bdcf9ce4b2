"""Two zones burn; the third becomes the sole source and has everything acknowledged."""

from __future__ import annotations

import pytest
from tests.simulation.registers import ask
from tests.simulation.scenarios import Scene, play

from trilith.cluster.recovery import assess_all, make_sole_source


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


def test_splits_that_the_last_zone_missed_are_undone() -> None:
    """A split, and one of the child, while n3 was away: its parent's replica held all the rows,
    and only those left of the first split could be read."""

    async def story(scene: Scene) -> None:
        for key in (b"a", b"n", b"x"):
            await scene.write(scene.n1, b"before", key)
        await scene.pass_time(1.0)
        scene.n3.kill(restart_after_s=8.0)
        await scene.pass_time(2.0)
        first = await ask(scene.n1, scene.n1.host.splitting.split(1, b"m"))
        await scene.cluster.until(lambda: scene.cluster.replica("n1", first) is not None, 3.0)
        await scene.pass_time(0.5)
        leader = next(n for n in (scene.n1, scene.n2) if n.host.replicas[first].leader is not None)
        second = await ask(leader, leader.host.splitting.split(first, b"w"))
        await scene.pass_time(0.5)
        assert {d.partition_id for d in scene.cluster.descriptors()} == {1, first, second}
        for node in (scene.n1, scene.n2):
            node.burn(restart_after_s=None)
        assert await scene.cluster.until(lambda: scene.n3.booted, 10.0)
        verdicts = await ask(scene.n3, make_sole_source(scene.n3.coordinator, scene.n3.zone))
        until = {verdict.complete_until_ms for verdict in verdicts}
        assert len(until) == 1  # the same of all that was one partition
        assert None not in until
        for key in (b"a", b"n", b"x"):
            assert (await scene.read(scene.n3, key)).seen == b"before"
        assert await scene.cluster.until(lambda: len(scene.cluster.descriptors()) == 1, 5.0)
        told = await ask(scene.n3, assess_all(scene.n3.coordinator, scene.n3.zone))
        assert [(v.partition_id, v.complete, v.complete_until_ms) for v in told] == [
            (1, False, until.pop())
        ]
        scene.n1.boot()
        scene.n2.boot()

    play(story)


def test_a_split_that_only_the_last_zone_logged_is_made() -> None:
    """n1 was cut off and logged a split; the others went on with another one of the same range."""

    async def story(scene: Scene) -> None:
        await scene.write(scene.n1, b"before", b"x")
        cluster, n1 = scene.cluster, scene.n1
        for other in ("n2", "n3"):
            cluster.network.cut("n1", other)
            cluster.network.cut(other, "n1")
        leader = n1.host.replicas[1].leader
        assert leader is not None
        mine = await ask(n1, n1.host.splitting._new_id())
        leader.split(b"m", mine)

        def follows() -> bool:
            return scene.cluster.descriptors()[0].leader != "n1"

        assert await cluster.until(follows, 10.0)
        node = cluster.node(cluster.descriptors()[0].leader)

        def ready() -> bool:
            led = node.host.replicas[1].leader
            return led is not None and node.host.replicas[1].commit_index >= led.start_index

        assert await cluster.until(ready, 10.0)
        await ask(node, node.host.splitting.split(1, b"q"))
        await scene.pass_time(0.5)
        for lost in (scene.n2, scene.n3):
            lost.burn(restart_after_s=None)
            cluster.network.heal("n1", lost.node_id)
            cluster.network.heal(lost.node_id, "n1")
        await ask(n1, make_sole_source(n1.coordinator, n1.zone))
        assert (await scene.read(n1, b"x")).seen == b"before"
        ranges = {(d.partition_id, d.start_key, d.end_key) for d in cluster.descriptors()}
        assert ranges == {(1, b"", b"m"), (mine, b"m", b"")}
        scene.n2.boot()
        scene.n3.boot()

    play(story)


def test_a_last_zone_with_a_bad_journal_goes_on_with_what_can_be_read_of_it() -> None:
    """A record in the middle is bad, and the store has flushed nothing yet: it led no partition."""

    async def story(scene: Scene) -> None:
        keys = [b"%c" % letter for letter in range(ord("a"), ord("u"))]
        for key in keys[:10]:
            await scene.write(scene.n1, b"value", key)
        await scene.pass_time(1.0)
        child = await ask(scene.n1, scene.n1.host.splitting.split(1, b"e"))
        n3 = scene.n3
        assert await scene.cluster.until(lambda: scene.cluster.replica("n3", child) is not None, 3)
        for key in keys[10:15]:  # the child's
            await scene.write(scene.n1, b"value", key)
        await scene.pass_time(1.0)
        (path,) = [p for p in n3.disk._files if p.endswith("1.seg")]
        middle = len(n3.disk._files[path].durable.rstrip(b"\0"))
        for key in keys[15:]:
            await scene.write(scene.n1, b"value", key)
        await scene.pass_time(1.0)
        for node in (scene.n1, scene.n2):
            node.burn(restart_after_s=None)
        n3._kept = lambda: 0.0  # type: ignore[method-assign]  # of the store, nothing
        n3.kill(restart_after_s=0.3)
        n3.disk.flip(path, middle + 200, 1)
        assert await scene.cluster.until(lambda: n3.booted, 10.0)
        assert n3.host.replicas[child].damaged
        await ask(n3, make_sole_source(n3.coordinator, n3.zone))
        for key in keys[:15]:
            assert (await scene.read(n3, key)).seen == b"value"
        verdicts = await ask(n3, assess_all(n3.coordinator, n3.zone))
        assert {v.partition_id: v.complete for v in verdicts} == {1: True, child: False}
        assert {v.complete_until_ms for v in verdicts} == {None}
        scene.calls.calls.clear()  # what the bad record held is lost, as was said
        scene.n1.boot()
        scene.n2.boot()

    play(story)
