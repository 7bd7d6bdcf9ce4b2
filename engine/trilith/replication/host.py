"""All replicas of one node: dispatches messages, keeps time, and acts on descriptors.

Timers and background work live here; replicas and leaders themselves are synchronous. Errors of
background work are logged with their traceback and retried by the next tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import msgspec

from trilith.errors import (
    CoordinatorUnavailable,
    NotLeader,
    StorageFailure,
    TrilithError,
    Unavailable,
)
from trilith.peers.hub import PeerHub
from trilith.replication import messages
from trilith.replication.abilities import Abilities, AllAlike
from trilith.replication.coordinator import Coordinator
from trilith.replication.descriptor import IN_SYNC_MIN, Descriptor
from trilith.replication.followers import State
from trilith.replication.hand_overs import HandOvers
from trilith.replication.heartbeats import Heartbeats
from trilith.replication.in_sync_set import InSyncSet, ReadyToJoin
from trilith.replication.map_watch import MapWatch
from trilith.replication.merging import Merging
from trilith.replication.own_disk import OwnDisk
from trilith.replication.positions import Positions
from trilith.replication.ranges import Division
from trilith.replication.reclaiming import Reclaiming
from trilith.replication.replica import Replica
from trilith.replication.replica_ports import ReplicaPorts
from trilith.replication.snapshot import Snapshots, send_and_report
from trilith.replication.splitting import Splitting
from trilith.replication.state_machine import Model
from trilith.replication.swaps import Swaps
from trilith.replication.takeover import Takeover
from trilith.runtime.ports import Runtime
from trilith.storage.journal import Journal
from trilith.storage.ordered_store import OrderedStore

STALL_TIMEOUT_FACTOR = 2.0  # a stalled disk gets longer than a silent node
DISK_HANG_FACTOR = 1.5  # times the follower timeout: one's own disk is given up
SILENT_LINK_FACTOR = 3.0  # times the follower timeout: the link itself is given up and dialed anew
DRAIN_DEADLINE_S = 5.0


class Timing(msgspec.Struct, frozen=True):
    """Seconds; see the configuration's [replication] section."""

    lease_s: float
    margin_s: float
    heartbeat_s: float
    follower_timeout_s: float


class ReplicaHost:
    """See the module's text. `start` once the hub listens; `close` before the journal does."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        hub: PeerHub,
        journal: Journal,
        store: OrderedStore,
        coordinator: Coordinator,
        timing: Timing,
        model_of: Callable[[int], Model],
        division_of: Callable[[int], Division | None] = lambda _: None,
        ready_to_join: ReadyToJoin,
        abilities: Abilities | None = None,
        log: Callable[..., None],
    ) -> None:
        """`division_of`: by keyspace, where partitions may be split. No `abilities`: all alike."""
        self.node_id = hub.node_id
        self.replicas: dict[int, Replica] = {}
        self.descriptors: dict[int, tuple[Descriptor, int]] = {}
        self.absorbed: dict[int, tuple[Descriptor, int]] = {}  # of partitions that were, likewise
        self.on_map_change: Callable[[], None] = lambda: None
        # A partition that this node leads committed something: it begins with its first entry.
        self.on_commit: Callable[[int], None] = lambda _: None
        self._runtime = runtime
        self._clock = runtime.clock
        self._hub = hub
        self._coordinator = coordinator
        self._timing = timing
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[int] = set()  # partitions with an election or a hand-over under way
        self._tick_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._loaded = False  # the map, once
        self._draining = False
        self._journal = journal
        self.disk = OwnDisk(journal, store, timing.follower_timeout_s * DISK_HANG_FACTOR, log)
        self.heartbeats = Heartbeats(
            clock=runtime.clock,
            send=hub.send,
            lease_s=timing.lease_s,
            margin_s=timing.margin_s,
            interval_s=timing.heartbeat_s,
        )
        self._removed: dict[int, int] = {}  # partitions that are no more, since which revision
        self._map_watch = self._watching()
        self._swaps = Swaps(coordinator, self._descriptor_changed)
        self._takeover = Takeover(
            node_id=self.node_id,
            clock=runtime.clock,
            heartbeats=self.heartbeats,
            swaps=self._swaps,
            positions=Positions(hub, self.replicas),
            lease_s=timing.lease_s,
        )
        self._hand_overs = self._handing_over()
        self.splitting = self._splitting()
        self._others_ready_to_join = ready_to_join
        self.merging = self._merging(store, division_of, abilities or AllAlike())
        self._in_sync_set = InSyncSet(
            swap=self._swaps.swap,
            ready_to_join=self._ready_to_join,
            spawn=self._spawn,
            follower_timeout_s=timing.follower_timeout_s,
            stall_timeout_s=timing.follower_timeout_s * STALL_TIMEOUT_FACTOR,
        )
        self._ports = self._replica_ports(store, model_of, division_of)
        self._snapshots = Snapshots(hub, store, runtime.workers, self.replicas)
        self.reclaiming = self._reclaimer(store, division_of)
        self._register(hub)

    def _committed(self, partition_id: int) -> None:
        self.on_commit(partition_id)

    def _replica_ports(
        self,
        store: OrderedStore,
        model_of: Callable[[int], Model],
        division_of: Callable[[int], Division | None],
    ) -> ReplicaPorts:
        return ReplicaPorts(
            node_id=self.node_id,
            clock=self._clock,
            journal=self._journal,
            store=store,
            disk=self.disk,
            send=self._hub.send,
            lease_of=self.heartbeats.lease_of,
            model_of=model_of,
            division_of=division_of,
            on_newer_epoch=self.refresh_soon,
            on_split=self.splitting.applied,
            is_coming=self._is_coming,
            absorbable=self.merging.absorbable,
            make_ready=self.merging.make_ready,
            on_close=self.merging.closed,
            on_absorb=self.merging.absorbed,
            log=self._log,
            on_commit=self._committed,
        )

    def _splitting(self) -> Splitting:
        return Splitting(
            node_id=self.node_id,
            coordinator=self._coordinator,
            replicas=self.replicas,
            known=self.descriptors,
            changed=self._descriptor_changed,
            swaps=self._swaps,
            takeover=self._takeover,
            spawn=self._spawn,
            log=self._log,
        )

    def _watching(self) -> MapWatch:
        return MapWatch(
            self._coordinator,
            known=self.descriptors,
            changed=self._descriptor_changed,
            removed=self._descriptor_removed,
            log=self._log,
        )

    def _handing_over(self) -> HandOvers:
        return HandOvers(
            node_id=self.node_id,
            clock=self._clock,
            swaps=self._swaps,
            busy=self._busy,
            hears=self.hears,
        )

    def _merging(
        self, store: OrderedStore, division_of: Callable[[int], Division | None], able: Abilities
    ) -> Merging:
        return Merging(
            node_id=self.node_id,
            replicas=self.replicas,
            marked=self.absorbed,
            journal=self._journal,
            store=store,
            division_of=division_of,
            swaps=self._swaps,
            abilities=able,
            spawn=self._spawn,
            is_silent=self.is_silent,
            log=self._log,
        )

    def _reclaimer(
        self, store: OrderedStore, division_of: Callable[[int], Division | None]
    ) -> Reclaiming:
        return Reclaiming(
            node_id=self.node_id,
            coordinator=self._coordinator,
            store=store,
            workers=self._runtime.workers,
            replicas=self.replicas,
            known=self.descriptors,
            removed=self._descriptor_removed,
            create=self.splitting.create,
            division_of=division_of,
            swaps=self._swaps,
            spawn=self._spawn,
            log=self._log,
        )

    def _register(self, hub: PeerHub) -> None:
        hub.on_up(self._link_up)
        hub.on_down(self._link_down)
        hub.on_message(messages.Heartbeat, self._heartbeat)
        hub.on_message(messages.Append, self._append)
        hub.on_message(messages.Ack, self._ack)
        hub.on_message(messages.Reject, self._reject)
        hub.on_message(messages.Commit, self._commit)
        hub.on_message(messages.Grant, self._grant)
        hub.on_message(messages.DescriptorChanged, self._nudged)

    # life

    async def start(self) -> None:
        """Load the map, follow its changes, and start to keep time.

        Raises CoordinatorUnavailable.
        """
        revision = await self._map_watch.load()
        self._loaded = True
        recovered = self._journal.recovered
        lost = [p for p, replica in self.replicas.items() if replica.damaged and p not in recovered]
        with suppress(Unavailable, StorageFailure):
            self._journal.settle_unrecorded(lost)
        while self.splitting.replay() or self.merging.replay():
            pass
        self.merging.require_replayed()
        self._spawn(self._map_watch.follow(revision))
        self._tick()

    def _is_coming(self, replica: Replica) -> bool:
        """Whether a split yet to be applied here will make a child that is awaited."""
        return any(other.may_make(replica) for other in self.replicas.values())

    async def _ready_to_join(self, partition_id: int, node: str) -> bool:
        ready = await self._others_ready_to_join(partition_id, node)
        return ready and self.reclaiming.is_settled(partition_id)

    async def drain(self) -> None:
        """Hand every leadership to an in-sync follower, so that a clean stop interrupts nobody."""
        self._draining = True
        led = [r for r in self.replicas.values() if r.leader is not None]
        deadline = self._clock.monotonic() + DRAIN_DEADLINE_S
        for replica in led:
            for node in replica.descriptor.in_sync:
                if node != self.node_id and self.hears(node):
                    await self._hand_overs.run(replica, node, leave=False, deadline=deadline)
                    break

    async def close(self) -> None:
        self._closed = True
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for replica in self.replicas.values():
            replica.step_down("the node stops")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except CoordinatorUnavailable as error:
                self._log("coordinator_unavailable", error=str(error))
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - logged; the next tick tries again
                self._log("background_failed", error=repr(error), traceback=True)

        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: work.close())  # one that is cancelled before it began

    # the map

    def _descriptor_changed(self, descriptor: Descriptor, revision: int) -> None:
        partition_id = descriptor.partition_id
        known = self.descriptors.get(partition_id) or self.absorbed.get(partition_id)
        if known is not None and known[1] >= revision:
            return
        if self._removed.get(partition_id, 0) >= revision:
            return
        there, elsewhere = self.descriptors, self.absorbed
        if descriptor.absorbed_by:
            there, elsewhere = elsewhere, there
        there[partition_id] = (descriptor, revision)
        elsewhere.pop(partition_id, None)
        replica = self.replicas.get(partition_id)
        if self.node_id in descriptor.replicas.values():
            is_over = replica is None and descriptor.absorbed_by > 0
            if is_over and self.merging.is_over(partition_id):
                self.on_map_change()
                return
            if replica is None:
                replica = self.replicas[partition_id] = Replica(self._ports, descriptor, revision)
                if descriptor.parent and not replica.awaited:
                    replica.greet()
                if (
                    descriptor.leader == self.node_id
                    and partition_id not in self.splitting.creating
                ):
                    self._elect_soon(replica)
            else:
                before = replica.descriptor.in_sync
                if replica.set_descriptor(descriptor, revision):
                    self._act_on(replica, descriptor)
                    self._believe_nothing_of(replica, set(before) - set(descriptor.in_sync))
        self.on_map_change()

    def _descriptor_removed(self, partition_id: int, revision: int) -> None:
        """The partition is no more; ids are never used again."""
        known = self.descriptors.get(partition_id)
        if known is not None and known[1] >= revision:
            return
        self._removed[partition_id] = revision
        if self.descriptors.pop(partition_id, None) is None:
            return
        replica = self.replicas.pop(partition_id, None)
        if replica is not None:
            replica.step_down("the partition is no more")
            replica.fail_waiters(NotLeader("the partition is no more", leader=""))
        self._log("partition_removed", partition=partition_id)
        self.on_map_change()

    def _act_on(self, replica: Replica, descriptor: Descriptor) -> None:
        """A newer descriptor of a partition we replicate."""
        if descriptor.absorbed_by or replica.retired:
            return
        if (
            replica.leader is not None
            and descriptor.leader == self.node_id
            and descriptor.epoch > replica.leader.epoch
        ):
            # By an operator, as the sole source; or it was handed over, and back, unheard by us
            # (Learn in the model).
            replica.step_down("this node was named leader anew")
        if replica.leader is not None:
            replica.leader.followers.update_grants()
            for node in descriptor.replica_nodes():
                if node != self.node_id:
                    nudge = messages.DescriptorChanged(descriptor.partition_id, replica.revision)
                    self._hub.send(node, nudge)
        elif (
            descriptor.leader == self.node_id
            and descriptor.epoch > replica.epoch
            and descriptor.partition_id not in self._busy
        ):
            self._takeover.accept(replica, descriptor)

    def _believe_nothing_of(self, replica: Replica, gone: set[str]) -> None:
        """Followers that left the in-sync set by themselves have lost their disks: what they
        acknowledged is gone, and what is still on its way over this link may be of before.
        """
        if replica.leader is None:
            return
        for node in sorted(gone):
            progress = replica.leader.followers.progress.get(node)
            if progress is not None and not progress.dropping:
                progress.match_index = 0
                if progress.state is not State.DOWN:
                    replica.leader.followers.link_down(node)
                    self._hub.drop(node, "it left an in-sync set by itself")

    def refresh_soon(self, partition_id: int) -> None:
        """Read a descriptor anew: somebody knows more than we do.

        Not before all are read: a replica that is here without its parent's would not know that
        this one's log may still write to its range.
        """
        if not self._loaded:
            return

        async def refresh() -> None:
            await self._swaps.refresh(partition_id)

        self._spawn(refresh())

    # time

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()  # due whatever fails below, which costs this beat alone
        self._tick_timer = loop.call_later(self._timing.heartbeat_s, self._tick)
        now = self._clock.monotonic()
        self.disk.look(now)
        peers = self._peers()
        for node in peers:
            silent_s = self._timing.follower_timeout_s * SILENT_LINK_FACTOR
            if self._hub.is_reachable(node) and self.heartbeats.link_is_silent(node, silent_s):
                self._hub.drop(node, f"silent for {silent_s} s")
        for replica in self.replicas.values():
            leader = replica.leader
            if replica.descriptor.recovered:
                self.reclaiming.check(replica)
            if leader is not None:
                leader.followers.update_grants()  # before the heartbeats that would extend them
                leader.advance()
                leader.followers.tick(now)
                self.splitting.publish(replica)
                if not replica.log.accepting:
                    self._elect_soon(replica)  # that is, hand it to who has room
                self._in_sync_set.check(leader, now)
                for node in leader.followers.take_snapshots_due(now):
                    self._spawn(send_and_report(self._snapshots, replica, node))
                continue
            replica.apply_again()
            if self._takeover.is_due(replica, now) or self._leads_of_record(replica):
                self._elect_soon(replica)
        self.merging.absorb_closed()
        self.merging.publish()
        if self._journal.torn_end and all(
            r.proven or r.descriptor.absorbed_by for r in self.replicas.values()
        ):
            self._journal.nothing_is_missing()
        self.heartbeats.full = not self.disk.accepting
        if not self.disk.hangs:
            self.heartbeats.beat(peers)
            self._return_leadership(now)

    def _peers(self) -> list[str]:
        """All there is a link with: those without replicas notice, too, when one is dead."""
        replicas = (node for d, _ in self.descriptors.values() for node in d.replica_nodes())
        return sorted({*replicas, *self._hub.peers} - {self.node_id})

    def hears(self, node: str) -> bool:
        """Whether it could lead, for all we know: a link that is half open looks well."""
        full = self.heartbeats.lease_of(node).full
        return self._hub.is_reachable(node) and not self.is_silent(node) and not full

    def _leads_of_record(self, replica: Replica) -> bool:
        is_ours = replica.descriptor.leader == self.node_id and not self._draining
        return is_ours and not replica.retired and not replica.descriptor.absorbed_by

    # elections and hand-overs

    def _elect_soon(self, replica: Replica) -> None:
        if replica.partition_id in self._busy or self._draining or self.disk.hangs:
            return
        if replica.retired or replica.descriptor.absorbed_by:
            return
        self._busy.add(replica.partition_id)

        async def elect() -> None:
            try:
                if replica.descriptor.leader != self.node_id:
                    await self._takeover.run(replica)
                elif replica.awaited and not replica.damaged:
                    replica.damaged = not self._is_coming(replica)
                elif (
                    not replica.damaged
                    and replica.log.accepting
                    and self.node_id in replica.descriptor.in_sync
                ):
                    await self._takeover.resume(replica)
                else:
                    await self._abdicate(replica)
            finally:
                self._busy.discard(replica.partition_id)

        self._spawn(elect())

    async def _abdicate(self, replica: Replica) -> None:
        """We lead on record and cannot: our log is damaged, has no room, or lacks what others have
        (Abdicate in the model of merges).

        Damaged, we leave the in-sync set. Merely full, we still have everything: we stay, and the
        new leader drops us as soon as it may.
        """
        in_sync = replica.descriptor.in_sync
        full = not replica.damaged and self.node_id in in_sync
        others = [n for n in in_sync if n != self.node_id]
        others.sort(key=self.hears, reverse=True)
        if full and (len(in_sync) <= IN_SYNC_MIN or not self.hears(others[0])):
            return  # nobody could commit without us
        if others:
            wanted = msgspec.structs.replace(
                replica.descriptor,
                leader=others[0],
                epoch=replica.descriptor.epoch + 1,
                in_sync=in_sync if full else others,
            )
            await self._swaps.swap(replica, wanted)

    def _return_leadership(self, now: float) -> None:
        """Spread the load again after a zone has come back: one partition at a time."""
        due = None if self._draining else self._hand_overs.due(self.replicas.values(), now)
        if due is not None:
            replica, node = due
            deadline = now + self._timing.lease_s
            self._spawn(self._hand_overs.run(replica, node, leave=False, deadline=deadline))

    # links and messages

    def _link_up(self, node: str) -> None:
        self.heartbeats.link_up(node)
        now = self._clock.monotonic()
        for replica in self.replicas.values():
            if replica.leader is not None:
                replica.leader.followers.link_up(node, now)

    def _link_down(self, node: str) -> None:
        self.heartbeats.link_down(node)
        for replica in self.replicas.values():
            if replica.leader is not None:
                replica.leader.followers.link_down(node)
            elif replica.leader_node == node:
                replica.granted = False

    def _heartbeat(self, node: str, message: messages.Heartbeat) -> None:
        if self.heartbeats.receive(node, message) and not self.disk.hangs:
            self.heartbeats.answer(node)

    def _append(self, node: str, message: messages.Append) -> None:
        if self.disk.hangs and not message.entries:
            return  # a probe: it is repeated until the disk works
        replica = self.replicas.get(message.partition_id)
        if replica is None:
            self.refresh_soon(message.partition_id)
            return
        try:
            replica.receive_append(node, message)
        except Unavailable as error:  # no room to journal the new epoch: the leader asks again
            self._log("append_refused", partition=message.partition_id, error=str(error))

    def _ack(self, node: str, message: messages.Ack) -> None:
        replica = self.replicas.get(message.partition_id)
        if replica is not None and replica.leader is not None:
            replica.leader.receive_ack(node, message)

    def _reject(self, node: str, message: messages.Reject) -> None:
        replica = self.replicas.get(message.partition_id)
        if replica is not None and replica.leader is not None:
            replica.leader.receive_reject(node, message)

    def _commit(self, node: str, message: messages.Commit) -> None:
        replica = self.replicas.get(message.partition_id)
        if replica is not None:
            replica.receive_commit(node, message)

    def _grant(self, node: str, message: messages.Grant) -> None:
        replica = self.replicas.get(message.partition_id)
        if replica is not None:
            replica.receive_grant(node, message)

    def _nudged(self, node: str, message: messages.DescriptorChanged) -> None:
        del node
        known = self.descriptors.get(message.partition_id)
        if known is None or known[1] < message.revision:
            self.refresh_soon(message.partition_id)

    # facts for status and metrics

    def is_silent(self, node: str) -> bool:
        """Whether no write is to be expected of a node now, whatever its links."""
        if node == self.node_id:
            return self.disk.hangs
        return self.heartbeats.is_silent(node, self._timing.follower_timeout_s)

    def fail_all(self, error: TrilithError) -> None:
        """The node's disk failed: nothing waits for it any longer."""
        for replica in self.replicas.values():
            replica.step_down(str(error))
            replica.fail_waiters(error)
