"""Bugs that seeds found, told as stories. The table in tests/README.md names the seeds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.linearizability.checker import Kind
from tests.replication.register_model import Append, Read, Value
from tests.simulation.node import SimNode
from tests.simulation.registers import KEYSPACE, Call, ask
from tests.simulation.scenarios import Scene, play

from trilith.errors import OutcomeUnknown
from trilith.replication import leader, messages
from trilith.replication.hand_overs import TRANSFER_SETTLE_S
from trilith.replication.proposal import TOKEN_LIFETIME_MS, Proposal, make_token

JOIN_S = 0.74  # of a node that was away; the load is spread again with the same tick
HANGING_S = 2.0  # until others lead what a hanging disk held: 1.5 here
BACK_S = 1.5  # a lease, and a little: the leader waits out what the full replica may answer


@pytest.mark.parametrize("victim", [0, 1])
def test_a_store_that_refuses_writes_for_a_while_loses_none(victim: int) -> None:
    """Committed entries were taken off the queue before the store had them."""

    async def story(scene: Scene) -> None:
        node = scene.cluster.nodes[victim]
        node.store.full = True
        waiting = [asyncio.ensure_future(scene.append(scene.n1, b"%d " % i)) for i in range(5)]
        await scene.pass_time(0.5)
        node.store.full = False
        await asyncio.gather(*waiting)
        assert all(call.applied for call in scene.calls.calls)

    play(story)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_store_without_room_stops_no_writes(victim: int) -> None:
    """Whoever led there went on leading, and nobody had an answer before the journal was full."""

    async def story(scene: Scene) -> None:
        node = scene.cluster.nodes[victim]
        node.store.full = True
        for i in range(20):
            write = asyncio.ensure_future(scene.append(scene.n2, b"%d " % i, b"k"))
            await scene.pass_time(0.02)
            read = asyncio.ensure_future(scene.read(node, b"k"))
            done = [write.done, read.done]
            assert await scene.cluster.until(lambda done=done: all(d() for d in done), BACK_S)
        await scene.pass_time(TRANSFER_SETTLE_S * 3)
        assert node.node_id not in scene.in_sync(), "a replica that cannot apply counts as one"
        assert len(scene.lines("leading")) <= 4, "leadership goes to and fro"
        node.store.full = False
        assert await scene.cluster.until(lambda: node.node_id in scene.in_sync(), 10.0)

    play(story)


@pytest.mark.parametrize("late_s", [0.8, 1.0, 1.2])
def test_a_leader_whose_disk_hangs_hands_nothing_over(late_s: float) -> None:
    """The load was to be spread again just then: the next leader had to wait out its leases."""

    async def story(scene: Scene) -> None:
        n1, n2, n3 = scene.cluster.nodes
        loop = scene.cluster.loop
        n1.kill(restart_after_s=8.0)
        back_at = loop.now + 8.0
        for key in (b"a", b"z"):
            assert (await scene.write(n3, b"led elsewhere", key)).applied
        assert n2.host.replicas[1].leader is not None
        await scene.pass_time(back_at + JOIN_S - late_s - loop.now)
        n2.disk.wedged_until = loop.now + 9.0
        noticed = asyncio.ensure_future(scene.append(n3, b"noticed by this one", b"z"))
        await scene.pass_time(late_s + 0.1)
        write = asyncio.ensure_future(scene.append(n3, b"on", b"a"))
        assert await scene.cluster.until(write.done, HANGING_S - late_s)
        await noticed

    play(story, cuts=[b"m"])


def test_a_machine_without_power_stays_out_of_the_in_sync_set() -> None:
    """Its half-open link looked like a follower that has everything: it was taken in again."""

    async def story(scene: Scene) -> None:
        scene.n3.cut_power(restart_after_s=2.5)
        await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 2.0)
        while not scene.n3.booted:
            assert "n3" not in scene.in_sync()
            await scene.pass_time(0.02)

    play(story)


def test_a_probe_that_came_before_the_replica_is_repeated() -> None:
    """A node that listens before it has loaded the map drops the leader's only probe."""

    async def story(scene: Scene) -> None:
        scene.cluster.coordinator.slowness = 50.0  # n3 learns of its replicas late
        scene.n3.kill(restart_after_s=0.1)
        await scene.cluster.until(lambda: scene.n3.booted, 5.0)
        scene.cluster.coordinator.slowness = 1.0
        assert (await scene.write(scene.n1, b"on")).applied

    play(story)


def test_a_node_without_replicas_finds_its_way_back_after_a_cut() -> None:
    """Without heartbeats its peers kept half-open links for good, and it cut good ones."""

    async def story(scene: Scene) -> None:
        gateway, network = scene.cluster.nodes[3], scene.cluster.network
        for node in scene.cluster.nodes[:3]:
            network.cut(gateway.node_id, node.node_id)
            network.cut(node.node_id, gateway.node_id)
        await scene.pass_time(3.0)
        for node in scene.cluster.nodes[:3]:
            network.heal(gateway.node_id, node.node_id)
            network.heal(node.node_id, gateway.node_id)
        await scene.pass_time(2.0)
        dropped = len(scene.lines("n4 peer_down"))
        await scene.pass_time(10.0)
        assert len(scene.lines("n4 peer_down")) == dropped
        assert (await scene.write(gateway, b"on")).applied

    play(story, nodes=4)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_disk_that_was_full_for_a_while_holds_nobody_up(victim: int) -> None:
    """What a follower had no room for was never sent again; a full leader led on, and hung."""

    async def story(scene: Scene) -> None:
        node = scene.cluster.nodes[victim]
        node.disk.capacity_bytes = node.disk.used_bytes()
        waiting = []
        for i in range(40):
            call = scene.append(scene.n2, b"%d " % i * 200, b"%d" % i)
            waiting.append(asyncio.ensure_future(call))
            await scene.pass_time(0.05)
        node.disk.capacity_bytes = None
        await asyncio.gather(*waiting)
        assert sum(bool(call.applied) for call in scene.calls.calls) > 35
        await scene.cluster.until(lambda: node.journal.accepting, 5.0)
        assert (await scene.write(scene.n1, b"on")).applied

    play(story)


def test_a_damaged_journal_of_a_leader_does_not_stop_catching_up() -> None:
    """The read of the bad record raised out of the handling of an acknowledgement."""

    async def story(scene: Scene) -> None:
        scene.n3.kill(restart_after_s=6.0)
        for i in range(60):
            await scene.write(scene.n1, b"%d " % i * 100)
        file = scene.n1.disk._files["journal/0000000001.seg"]
        middle = len(file.durable.rstrip(b"\0")) // 2
        scene.n1.disk.flip("journal/0000000001.seg", middle)
        await scene.cluster.until(lambda: scene.n3.booted, 10.0)

    play(story)


def test_a_wall_clock_that_jumps_does_not_apply_a_retry_twice() -> None:
    """A leader two hours ahead swept every record of a command; the next leader knew nothing."""

    async def story(scene: Scene) -> None:
        router = scene.n1.router
        token = router.new_token()
        await ask(scene.n1, router.execute(KEYSPACE, b"k", Append(b"k", b"x"), token=token))
        scene.n1.clock.wall_shift_ms = 7_200_000
        await scene.write(scene.n1, b"the sweep goes with this", key=b"other")
        scene.n1.clock.wall_shift_ms = 0
        leading = scene.n1.host.replicas[1].leader
        assert leading is not None
        answers: list[object] = []
        again = Proposal(b"k", Append(b"k", b"x"), token, True, lambda r, _, e: answers.append(e))
        leading.propose(again)
        await scene.cluster.until(lambda: bool(answers), 2.0)
        assert isinstance(answers[0], OutcomeUnknown)
        assert await ask(scene.n1, router.query(KEYSPACE, b"k", Read(b"k"))) == Value(b"x")

    play(story)


def test_a_refused_retry_does_not_say_that_nothing_was_applied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a first attempt of unknown outcome a full queue was reported as "not applied"."""

    async def story(scene: Scene) -> None:
        for follower in (scene.n2, scene.n3):
            assert follower.process is not None
            scene.cluster.loop.pause(follower.process, scene.cluster.loop.now + 8.0)
        waiting = asyncio.ensure_future(scene.append(scene.n1, b"x"))
        await scene.pass_time(0.3)
        monkeypatch.setattr(leader, "PROPOSALS_MAX", 0)
        scene.n1.host.replicas[1].step_down("the test says so")
        assert (await waiting).applied is None
        monkeypatch.undo()

    play(story)


def test_a_clean_stop_does_not_hand_over_to_a_node_that_was_just_dropped() -> None:
    """What it waited for was committed by dropping the very node that it then named leader."""

    async def story(scene: Scene) -> None:
        await scene.pass_time(2.0)  # a new leader drops nobody
        assert scene.n2.process is not None
        scene.cluster.loop.pause(scene.n2.process, scene.cluster.loop.now + 2.0)
        writing = asyncio.ensure_future(scene.write(scene.n1, b"kept"))
        await scene.pass_time(0.05)
        scene.n1.stop_cleanly()
        await writing
        await scene.pass_time(3.0)
        assert (await scene.read(scene.n3)).seen == b"kept"

    play(story)


def test_a_deposed_leader_does_not_change_the_set_of_the_next_one() -> None:
    """A drop that it had decided before it was deposed took the new leader out of the set."""

    async def story(scene: Scene) -> None:
        deposed = scene.n1.host.replicas[1].leader
        assert deposed is not None
        assert scene.n1.process is not None
        scene.cluster.loop.pause(scene.n1.process, scene.cluster.loop.now + 1.5)
        await scene.cluster.until(lambda: scene.n1.host.replicas[1].leader is None, 3.0)
        successor = scene.cluster.descriptors()[0].leader
        dropping = scene.n1.host._in_sync_set._drop(deposed, deposed.followers.progress[successor])
        await ask(scene.n1, dropping)
        assert successor in scene.in_sync()

    play(story)


def test_an_answer_to_a_former_process_is_not_taken_for_an_answer_to_its_successor() -> None:
    """Both numbered their forwarded calls from one; the answer came over the new link."""

    async def story(scene: Scene) -> None:
        assert scene.n2.process is not None
        scene.cluster.loop.pause(scene.n2.process, scene.cluster.loop.now + 1.0)
        first = asyncio.ensure_future(scene.write(scene.n3, b"by the first process"))
        await scene.pass_time(0.02)
        scene.n3.kill(restart_after_s=0.05)
        await first
        n3 = scene.n3
        await scene.cluster.until(lambda: n3.booted and n3.hub.is_reachable("n1"), 0.5)
        call = Call(Kind.COMPARE_AND_SET, b"k", "n3", 0.0, value=b"no", expected=b"never there")
        await scene.calls.perform(scene.n3, call)
        assert call.holds is False

    play(story)


def test_a_leader_whose_last_records_rotted_does_not_lead_with_what_is_left() -> None:
    """They look like a torn write: it led on with a shorter log, and the others cut theirs."""

    async def story(scene: Scene) -> None:
        for i in range(5):
            await scene.append(scene.n3, b"%d " % i)
        assert scene.n1.journal._unproven  # no MARK follows the last group yet
        assert scene.n1.disk.rot_end("journal/")
        scene.n1.cut_power(restart_after_s=0.02)
        await scene.pass_time(3.0)
        assert (await scene.read(scene.n2, b"a")).seen == b"0 1 2 3 4 "

    play(story)


def test_heartbeats_of_a_former_leader_do_not_extend_its_grants() -> None:
    """It had handed over; a follower that heard of nobody else read on."""

    async def story(scene: Scene) -> None:
        n1, n2, n3, network = scene.n1, scene.n2, scene.n3, scene.cluster.network
        await scene.write(n1, b"old")
        scene.cluster.coordinator.cut.add("n3")
        for source, target in (("n2", "n3"), ("n3", "n2")):
            network.cut(source, target)
        replica = n1.host.replicas[1]
        deadline = n1.clock.monotonic() + 5.0
        await ask(n1, n1.host._hand_overs.run(replica, "n2", leave=False, deadline=deadline))
        assert (await scene.write(n2, b"new")).applied
        seen = n3.router.try_query(KEYSPACE, b"k", Read(b"k"))
        assert seen is None or seen.value == b"new"
        for source, target in (("n2", "n3"), ("n3", "n2")):
            network.heal(source, target)
        scene.cluster.coordinator.cut.clear()

    play(story)


def test_a_follower_whose_last_records_rotted_does_not_lead_when_it_is_handed_over_to() -> None:
    """The former leader's link to it was half open: what it had acknowledged before counted."""

    async def story(scene: Scene) -> None:
        for i in range(5):
            await scene.append(scene.n1, b"%d " % i)
        await scene.pass_time(0.01)  # all have applied it
        assert scene.n2.disk.rot_end("journal/")
        scene.n2.cut_power(restart_after_s=0.02)
        await scene.cluster.until(lambda: scene.n2.booted, 1.0)
        assert scene.n2.host.replicas[1].log.last_index < scene.n1.host.replicas[1].log.last_index
        scene.n1.stop_cleanly()
        await scene.pass_time(3.0)
        assert (await scene.read(scene.n2, b"a")).seen == b"0 1 2 3 4 "

    play(story)


def test_the_note_of_a_torn_end_stays_until_what_was_missing_is_durable_again() -> None:
    """It went when the entries had arrived; a power cut took them again, and nobody knew."""

    async def story(scene: Scene) -> None:
        n1, n2 = scene.n1, scene.n2
        for i in range(5):
            await scene.append(n1, b"%d " % i)
        assert n2.disk.rot_end("journal/")
        n2.cut_power(restart_after_s=0.02)
        await scene.cluster.until(lambda: n2.booted, 1.0)
        n2.disk.wedged_until = scene.cluster.loop.now + 2.5
        end = n1.host.replicas[1].log.last_index

        def has_come() -> bool:
            return n2.host.replicas[1].log.last_index == end

        assert await scene.cluster.until(has_come, 2.0)
        await scene.pass_time(0.2)
        assert n2.journal.torn_end
        n2.cut_power(restart_after_s=0.02)
        await scene.cluster.until(lambda: n2.booted, 1.0)
        assert n2.journal.torn_end
        assert await scene.cluster.until(lambda: not n2.journal.torn_end, 5.0)

    play(story)


def test_a_first_piece_of_the_leaders_log_does_not_prove_that_all_of_it_is_here() -> None:
    """Whoever is greeted first sends what is missing at once, in pieces, and no probe."""

    async def story(scene: Scene) -> None:
        replica = scene.n2.host.replicas[1]
        log, epoch = replica.log, replica.epoch
        replica.proven, replica._leader_had = False, None
        for log_end, proven in ((log.last_index + 9, False), (log.last_index, True)):
            piece = messages.Append(1, epoch, log.last_index - 1, 0, 0, [(epoch, b"")], log_end)
            replica.receive_append("n1", piece)
            assert replica.proven is proven
            replica._leader_had = None

    play(story)


def test_a_snapshot_that_the_journal_has_no_room_to_note_leaves_the_replica_damaged() -> None:
    """It counted as whole: it was taken in sync, and even led, without a log to append to."""

    async def story(scene: Scene) -> None:
        n3 = scene.n3
        for i in range(10):
            await scene.write(scene.n1, b"%d " % i * 20)
        await scene.pass_time(0.5)  # a MARK
        path = "journal/0000000001.seg"
        n3.disk.flip(path, len(n3.disk._files[path].durable.rstrip(b"\0")) // 2)
        n3.kill(restart_after_s=2.0)
        assert await scene.cluster.until(lambda: "n3" not in scene.in_sync(), 1.5)
        n3.disk.capacity_bytes = 0
        for _ in range(60):
            await scene.pass_time(0.05)
            assert "n3" not in scene.in_sync()
        assert n3.booted
        assert n3.host.replicas[1].damaged
        n3.disk.capacity_bytes = None
        assert await scene.cluster.until(lambda: "n3" in scene.in_sync(), 5.0)

    play(story)


@pytest.mark.parametrize("both_ways", [True, False])
def test_a_node_that_is_cut_off_from_the_leader_reads_through_another(both_ways: bool) -> None:
    """It asked the leader alone, for as long as the link was cut."""

    async def story(scene: Scene) -> None:
        network = scene.cluster.network
        network.cut("n1", "n2")
        if both_ways:
            network.cut("n2", "n1")
        for _ in range(20):
            for node in (scene.n1, scene.n2):
                async with asyncio.timeout(1.5):
                    assert not (await scene.read(node)).error
        network.heal("n1", "n2")
        network.heal("n2", "n1")

    play(story)


@pytest.mark.parametrize("deaf", [True, False])
def test_a_leader_behind_a_link_that_is_cut_one_way_is_replaced_soon(deaf: bool) -> None:
    """One that spoke but heard nothing was not silent, until it gave up its links."""

    async def story(scene: Scene) -> None:
        ways = [(other, "n1") if deaf else ("n1", other) for other in ("n2", "n3")]
        for way in ways:
            scene.cluster.network.cut(*way)
        async with asyncio.timeout(1.25):
            assert (await scene.write(scene.n2, b"on")).applied
        for way in ways:
            scene.cluster.network.heal(*way)

    play(story)


@pytest.mark.parametrize("deaf", [True, False])
def test_a_follower_behind_a_link_that_is_cut_one_way_is_dropped_soon(deaf: bool) -> None:
    async def story(scene: Scene) -> None:
        ways = [(other, "n3") if deaf else ("n3", other) for other in ("n1", "n2")]
        for way in ways:
            scene.cluster.network.cut(*way)
        # Over 60 seeds 1.67 s where it hears nothing, 1.27 s where it is not heard.
        async with asyncio.timeout(1.75 if deaf else 1.35):
            assert (await scene.write(scene.n2, b"on")).applied
        for way in ways:
            scene.cluster.network.heal(*way)

    play(story)


@pytest.mark.parametrize("isolated", [0, 1, 2])
def test_a_zone_that_is_cut_off_takes_nothing_along(isolated: int) -> None:
    """It could still reach the coordinator, and dropped those who went on, or took over."""

    async def story(scene: Scene) -> None:
        lonely = scene.cluster.nodes[isolated]
        others = [node for node in scene.cluster.nodes if node is not lonely]
        network, epoch = scene.cluster.network, scene.cluster.descriptors()[0].epoch
        for node in others:
            network.cut(lonely.node_id, node.node_id)
            network.cut(node.node_id, lonely.node_id)
        async with asyncio.timeout(1.25):
            assert (await scene.write(others[0], b"on")).applied
        await scene.pass_time(3.0)
        assert scene.in_sync() == [node.node_id for node in others]
        assert scene.cluster.descriptors()[0].epoch == epoch + (isolated == 0)
        for node in others:
            network.heal(lonely.node_id, node.node_id)
            network.heal(node.node_id, lonely.node_id)

    play(story)


def test_a_new_leader_takes_nobody_in_who_lacks_what_it_inherited() -> None:
    """The leader before it had acknowledged that, and died before it told how far it committed."""

    async def story(scene: Scene) -> None:
        network = scene.cluster.network
        await scene.pass_time(2.0)  # a new leader drops nobody
        network.cut("n1", "n2")
        network.cut("n2", "n1")
        assert await scene.cluster.until(lambda: scene.in_sync() == ["n1", "n3"], 5.0)
        network.link("n3", "n2").delay_s = 0.15
        assert (await scene.write(scene.n1, b"acknowledged")).applied
        scene.n1.kill(restart_after_s=6.0)
        assert await scene.cluster.until(lambda: "n2" in scene.in_sync(), 5.0)
        scene.n3.kill(restart_after_s=12.0)
        network.heal("n1", "n2")
        network.heal("n2", "n1")
        network.link("n3", "n2").delay_s = 0.0003
        await scene.healthy()
        assert (await scene.read(scene.n2)).seen == b"acknowledged"

    play(story)


def test_an_attempt_that_waits_for_a_leader_is_not_applied_behind_its_callers_next_one() -> None:
    """The first attempt of a call looks nothing up; this one was the first to be sent only."""

    async def story(scene: Scene) -> None:
        leading = scene.n1.host.replicas[1].leader
        assert leading is not None
        token, command = scene.n2.router.new_token(), Append(b"x", b"once")

        def attempt(node: SimNode, *, repeated: bool) -> Coroutine[Any, Any, Any]:
            work = node.router.execute(KEYSPACE, b"x", command, token=token, repeated=repeated)
            return ask(node, work)

        leading.refuse_new()
        first = asyncio.ensure_future(attempt(scene.n2, repeated=False))
        await scene.pass_time(0.5)
        leading.accept_new()
        assert (await attempt(scene.n3, repeated=True)).value == b"once"
        assert (await first).value == b"once"
        seen = await ask(scene.n1, scene.n1.router.query(KEYSPACE, b"x", Read(b"x")))
        assert seen.value == b"once"

    play(story)


def test_a_command_under_an_old_token_of_its_own_waits_for_a_leader_too() -> None:
    """An upload's token is as old as the upload: looked up, it would be refused as forgotten."""

    async def story(scene: Scene) -> None:
        leading = scene.n1.host.replicas[1].leader
        assert leading is not None
        began_ms = scene.n2.clock.wall_ms() - 2 * TOKEN_LIFETIME_MS
        token, command = make_token(began_ms, bytes(10)), Append(b"x", b"once")
        leading.refuse_new()
        work = scene.n2.router.execute(KEYSPACE, b"x", command, token=token)
        asked = asyncio.ensure_future(ask(scene.n2, work))
        await scene.pass_time(0.5)
        leading.accept_new()
        assert (await asked).value == b"once"

    play(story)
