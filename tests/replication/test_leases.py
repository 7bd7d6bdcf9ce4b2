"""What a leader may rest on: promises, grants, and waiting for those of the leader before it.

Each of these is a protection of tests/model/Replication.tla, which shows what happens without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.replication.register_model import RegisterModel

from trilith.errors import InternalError
from trilith.replication.descriptor import Descriptor
from trilith.replication.heartbeats import Heartbeats
from trilith.replication.leader import Leader
from trilith.replication.messages import Ack, Append, Commit, Grant, Heartbeat, Reject
from trilith.replication.own_disk import OwnDisk
from trilith.replication.replica import Replica, ReplicaPorts
from trilith.replication.takeover import Takeover
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.ports import Runtime
from trilith.runtime.system_disk import SystemDisk
from trilith.runtime.tcp_network import TcpNetwork
from trilith.runtime.workers import ThreadWorkers
from trilith.storage.journal import Journal, JournalConfig
from trilith.storage.rocks_store import RocksOrderedStore

LEASE_S = 1.0
MARGIN_S = 0.1


class HandClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return int(self.now * 1000)


class Node:
    """Node n1's replica of one partition; its peers n2 and n3 are what the test says of them."""

    def __init__(self, path: Path, journal: Journal, clock: HandClock, in_sync: list[str]) -> None:
        self.clock = clock
        self.sent: list[tuple[str, msgspec.Struct]] = []
        self.heartbeats = Heartbeats(
            clock=clock, send=self._send, lease_s=LEASE_S, margin_s=MARGIN_S, interval_s=0.2
        )
        self.store = RocksOrderedStore(
            str(path / "store"), block_cache_bytes=1 << 20, write_buffer_bytes=1 << 20
        )
        ports = ReplicaPorts(
            node_id="n1",
            clock=clock,
            journal=journal,
            store=self.store,
            disk=OwnDisk(journal, self.store, limit_s=LEASE_S, log=lambda *_, **__: None),
            send=self._send,
            lease_of=self.heartbeats.lease_of,
            model_of=lambda _: RegisterModel(),
            division_of=lambda _: None,
            on_newer_epoch=lambda _: None,
            on_split=lambda *_: None,
            is_coming=lambda _: False,
            log=lambda *_, **__: None,
        )
        self.descriptor = Descriptor(
            partition_id=1,
            keyspace=2,
            start="",
            end="",
            replicas={"az1": "n1", "az2": "n2", "az3": "n3"},
            leader="n1",
            epoch=5,
            in_sync=in_sync,
        )
        self.replica = Replica(ports, self.descriptor, revision=7)
        self.takeover = Takeover(
            node_id="n1",
            clock=clock,
            heartbeats=self.heartbeats,
            swaps=None,  # type: ignore[arg-type]
            positions=None,  # type: ignore[arg-type]
            lease_s=LEASE_S,
        )

    def _send(self, node: str, message: msgspec.Struct) -> bool:
        self.sent.append((node, message))
        return True

    def lead(self, *, deposed: Descriptor | None = None) -> Leader:
        self.takeover.lead(self.replica, self.descriptor, deposed=deposed)
        assert self.replica.leader is not None
        return self.replica.leader

    def hear(self, node: str) -> None:
        """A heartbeat of the node's that promises, in answer to one of now."""
        now = self.clock.now
        self.heartbeats.receive(node, Heartbeat(1.0, now, promise=True, grants=True))

    def acknowledge(self, leader: Leader, node: str) -> None:
        leader.receive_ack(node, Ack(1, leader.epoch, self.replica.log.last_index))

    def grants_to(self, node: str) -> list[bool]:
        return [m.granted for n, m in self.sent if n == node and isinstance(m, Grant)]


def run(tmp_path: Path, in_sync: list[str], story: Callable[[Node], None]) -> None:
    async def main() -> None:
        clock = HandClock()
        workers = ThreadWorkers(1)
        disk = SystemDisk(str(tmp_path))
        runtime = Runtime(clock, disk, TcpNetwork(), workers, SystemEntropy())
        config = JournalConfig(node_id="n1", segment_bytes=1 << 20)
        failures: list[OSError] = []
        journal = await Journal.open(runtime, "journal", config, on_failure=failures.append)
        node = Node(tmp_path, journal, clock, in_sync)
        try:
            story(node)
        finally:
            node.replica.step_down("the test ends")
            await journal.close()
            node.store.close()
            workers.close()
        assert failures == []

    asyncio.run(main())


def test_a_promise_counts_only_over_a_link_on_which_the_follower_acknowledged(
    tmp_path: Path,
) -> None:
    def story(node: Node) -> None:
        leader = node.lead()
        for peer in ("n2", "n3"):
            node.hear(peer)
        assert not leader.lease_holds(node.clock.now)
        for peer in ("n2", "n3"):
            node.acknowledge(leader, peer)
        assert leader.lease_holds(node.clock.now)

        leader.followers.link_down("n2")
        assert leader.lease_holds(node.clock.now)  # what was promised stays promised
        node.clock.now += LEASE_S  # n2 may lead by now, and come back under another leader
        leader.followers.link_up("n2", node.clock.now)
        for peer in ("n2", "n3"):
            node.hear(peer)
        assert not leader.lease_holds(node.clock.now)
        node.acknowledge(leader, "n2")
        assert leader.lease_holds(node.clock.now)

    run(tmp_path, ["n1", "n2", "n3"], story)


def test_the_lease_needs_the_promise_of_a_follower_whose_joining_may_have_taken_effect(
    tmp_path: Path,
) -> None:
    def story(node: Node) -> None:
        leader = node.lead()
        node.hear("n2")
        node.acknowledge(leader, "n2")
        assert leader.lease_holds(node.clock.now)
        leader.followers.progress["n3"].joining = True
        assert not leader.lease_holds(node.clock.now)

    run(tmp_path, ["n1", "n2"], story)


def test_a_follower_that_is_being_dropped_is_not_granted_again(tmp_path: Path) -> None:
    def story(node: Node) -> None:
        leader = node.lead()
        for peer in ("n2", "n3"):
            node.hear(peer)
            node.acknowledge(leader, peer)
        leader.followers.update_grants()
        assert node.grants_to("n3") == [True]
        progress = leader.followers.progress["n3"]
        progress.dropping = True
        leader.followers.revoke(progress)
        leader.followers.update_grants()
        node.acknowledge(leader, "n3")
        assert node.grants_to("n3") == [True, False]

    run(tmp_path, ["n1", "n2", "n3"], story)


def test_a_damaged_followers_acknowledgements_no_longer_count(tmp_path: Path) -> None:
    def story(node: Node) -> None:
        leader = node.lead()
        for peer in ("n2", "n3"):
            node.acknowledge(leader, peer)
        index = node.replica.log.last_index
        assert leader.followers.durable_everywhere() == index
        progress = leader.followers.progress["n3"]
        progress.joining = True
        leader.receive_reject("n3", Reject(1, leader.epoch, 0, needs_snapshot=True))
        assert leader.followers.durable_everywhere() == 0
        assert progress.joining  # the swap that adds it may yet be under way

    run(tmp_path, ["n1", "n2"], story)


@pytest.mark.parametrize(
    ("old_leader_led", "waits_s"),
    [
        pytest.param(True, LEASE_S, id="for its promise, renewed during the swap"),
        pytest.param(False, 2 * LEASE_S, id="for the lease and the grants before it"),
    ],
)
def test_a_takeover_commits_nothing_while_the_deposed_node_may_read(
    tmp_path: Path, old_leader_led: bool, waits_s: float
) -> None:
    def story(node: Node) -> None:
        old = msgspec.structs.replace(
            node.descriptor, leader="n3", epoch=5, in_sync=["n1", "n2", "n3"]
        )
        follower = node.replica
        entry_epoch = 5 if old_leader_led else 4
        follower.log.append(entry_epoch, msgspec.msgpack.encode(([], b"\0\0\0\0")))
        lease = node.heartbeats.lease_of("n3")
        node.clock.now += 10 * LEASE_S
        lease.sending(node.clock.now, promise=True, grants=False)
        node.descriptor = msgspec.structs.replace(node.descriptor, epoch=6)
        leader = node.lead(deposed=old)
        now = node.clock.now
        assert leader.followers.must_wait(now + waits_s - 0.01)
        assert not leader.followers.must_wait(now + waits_s)

    run(tmp_path, ["n1", "n2"], story)


def test_a_takeover_from_a_leader_long_silent_commits_at_once(tmp_path: Path) -> None:
    def story(node: Node) -> None:
        old = msgspec.structs.replace(node.descriptor, leader="n3", in_sync=["n1", "n2", "n3"])
        node.replica.log.append(5, msgspec.msgpack.encode(([], b"\0\0\0\0")))
        node.clock.now += 10 * LEASE_S
        node.descriptor = msgspec.structs.replace(node.descriptor, epoch=6)
        leader = node.lead(deposed=old)
        assert not leader.followers.must_wait(node.clock.now)

    run(tmp_path, ["n1", "n2"], story)


def test_a_follower_is_told_what_was_committed_while_it_was_probed(tmp_path: Path) -> None:
    """Nothing else would tell it before the next write, and readers at it wait."""

    def story(node: Node) -> None:
        leader = node.lead()
        leader.followers.link_up("n3", node.clock.now)
        node.replica.commit_to(node.replica.log.last_index)
        leader.followers.broadcast(Commit(1, leader.epoch, node.replica.commit_index))
        node.acknowledge(leader, "n3")
        told = [m.commit_index for n, m in node.sent if n == "n3" and isinstance(m, Commit)]
        assert told == [node.replica.log.last_index]

    run(tmp_path, ["n1", "n2"], story)


def test_a_damaged_replica_takes_no_grant(tmp_path: Path) -> None:
    def story(node: Node) -> None:
        replica = node.replica
        replica.receive_append("n2", Append(1, 6, 0, 0, 0, []))
        replica.begin_install("n2", 6, object(), replica.range)
        replica.receive_grant("n2", Grant(1, 6, granted=True))
        assert not replica.granted

    run(tmp_path, ["n1", "n2"], story)


@pytest.mark.parametrize("flaw", ["damaged", "awaited"])
def test_a_replica_without_its_whole_log_does_not_lead_what_its_node_split_off(
    tmp_path: Path, flaw: str
) -> None:
    """Its log ends before what is committed: each write of its would count as committed at once."""

    def story(node: Node) -> None:
        setattr(node.replica, flaw, True)
        node.takeover.lead_first(node.replica, node.descriptor)
        assert node.replica.leader is None
        with pytest.raises(InternalError):
            Leader(node.replica, waits_until=0.0)

    run(tmp_path, ["n1", "n2"], story)


def test_a_takeover_that_hears_of_itself_after_a_newer_descriptor_does_not_lead(
    tmp_path: Path,
) -> None:
    """A sole source was named while the swap's answer was under way: a leader of the older epoch
    would be heard by nobody, and keep this node from leading in the newer one.
    """

    def story(node: Node) -> None:
        named = msgspec.structs.replace(node.descriptor, epoch=6, in_sync=["n1"])
        node.replica.descriptor = named
        node.takeover.lead(node.replica, node.descriptor, deposed=None)
        assert node.replica.leader is None
        node.takeover.lead(node.replica, named, deposed=None)
        assert node.replica.leader is not None

    run(tmp_path, ["n1", "n2"], story)
