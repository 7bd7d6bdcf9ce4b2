"""Known bugs, put into the production code on purpose: each must be found, or the prover is blind.

A mutation is a change of one rule, made by replacing a function while a run lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from trilith.chunks.collector import Collector
from trilith.chunks.repair import RepairWorker
from trilith.errors import ObjectNotFound
from trilith.node.repair import RepairStation
from trilith.objects import references
from trilith.objects.rules import manifests, objects, uploads
from trilith.replication import (
    in_sync_set,
    leader,
    lease,
    log,
    merging,
    parts,
    reclaiming,
    replica,
    splitting,
    takeover,
)
from trilith.replication.followers import Followers, State
from trilith.replication.replica_ports import Readiness
from trilith.storage import journal, journal_recovery
from trilith.storage.chunk_store import ChunkStore
from trilith.transactions import commands as t
from trilith.transactions.recovery import PATIENCE_MS, Fate, Recovery

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """`kinds`: the faults of its hunt; None for any. `workload`: of its hunt."""

    name: str
    what: str
    patches: Callable[[], list[Patch]]
    kinds: list[str] | None = None
    workload: str = "registers"


@contextmanager
def applied(mutation: Mutation | None) -> Iterator[None]:
    patches = mutation.patches() if mutation else []
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in patches]
    for owner, name, value in patches:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _acknowledge_before_the_slowest() -> list[Patch]:
    def durable_everywhere(self: Followers) -> int:
        in_sync = self._replica.descriptor.in_sync
        found = [p.match_index for p in self.progress.values() if p.node in in_sync]
        return max(found, default=0)  # the fastest instead of the slowest

    return [(Followers, "durable_everywhere", durable_everywhere)]


def _forget_the_epoch_check() -> list[Patch]:
    original = replica.Replica.receive_append

    def receive_append(self: replica.Replica, sender: str, message: Any) -> None:
        if message.previous_index <= self.log.last_index:  # taken for equal, whatever its epoch
            held = self.log.epoch_at(message.previous_index)
            message = msgspec.structs.replace(message, previous_epoch=held)
        original(self, sender, message)

    return [(replica.Replica, "receive_append", receive_append)]


def _lease_without_margin_or_echo() -> list[Patch]:
    def received(
        self: lease.PeerLease,
        sent_at: float,
        echo: float,
        *,
        promise: bool,
        grants: bool,
        now: float,
    ) -> None:
        self.last_received = sent_at
        self.heard_at = now
        if not 0.0 < echo <= now:
            return
        until = now + self._lease_s  # counted from receipt
        if promise:
            self.promised_until = max(self.promised_until, until)
        if grants:
            self.granted_until = max(self.granted_until, until)

    return [(lease.PeerLease, "received", received)]


def _promise_forgotten_by_its_giver() -> list[Patch]:
    def is_due(self: takeover.Takeover, candidate: replica.Replica, now: float) -> bool:
        descriptor = candidate.descriptor
        if candidate.damaged or candidate.leader is not None:
            return False
        if descriptor.leader == self._node_id or self._node_id not in descriptor.in_sync:
            return False
        return self._heartbeats.lease_of(descriptor.leader).silent_for(now) > self._lease_s / 2

    def sending(self: lease.PeerLease, now: float, *, promise: bool, grants: bool) -> None:
        if grants:
            self.grant_given_until = now + self._lease_s

    return [(takeover.Takeover, "is_due", is_due), (lease.PeerLease, "sending", sending)]


def _grant_by_a_deposed_leader() -> list[Patch]:
    def update_grant(self: Followers, progress: Any) -> None:
        entitled = (
            progress.state is State.STREAM and progress.node in self._replica.descriptor.in_sync
        )  # whether our own lease holds is not asked
        if entitled != progress.granted:
            self._set_grant(progress, granted=entitled)

    return [(Followers, "update_grant", update_grant)]


def _shrink_without_waiting() -> list[Patch]:
    def must_wait(self: Followers, now: float) -> bool:
        return False

    return [(Followers, "must_wait", must_wait)]


def _keep_the_uncommitted_tail() -> list[Patch]:
    def receive_append(self: replica.Replica, sender: str, message: Any) -> None:
        if message.epoch < self.epoch or self.damaged:
            self._reject(sender, message)
            return
        if message.epoch > self.epoch or self.leader_node != sender:
            self._adopt(message.epoch, sender)
        previous = message.previous_index
        if previous > self.log.last_index:
            self._reject(sender, message)
            return
        index = previous
        for epoch, payload in message.entries:
            index += 1
            if index <= self.log.last_index:
                continue  # whatever is there stays
            entry = replica.decode_entry(index, epoch, payload)
            self.log.append(epoch, payload)
            self.add_pending(entry)
        self.matched_index = max(self.matched_index, index)
        self._commit_known(message.commit_index)
        self._acknowledge()

    return [(replica.Replica, "receive_append", receive_append)]


def _apply_a_retry_again() -> list[Patch]:
    def answer_retry(self: leader.Leader, proposal: Any, now_ms: int) -> bool:
        return False

    return [(leader.Leader, "_answer_retry", answer_retry)]


def _join_before_it_has_everything() -> list[Patch]:
    async def add(self: in_sync_set.InSyncSet, lead: leader.Leader, progress: Any) -> None:
        held = lead.replica
        members = [*held.descriptor.in_sync, progress.node]
        wanted = msgspec.structs.replace(held.descriptor, in_sync=members)
        if await self._swap(held, wanted):  # no commit waited for it before the swap
            lead.followers.update_grant(progress)
            lead.advance()

    def may_join(
        self: in_sync_set.InSyncSet, lead: leader.Leader, progress: Any, now: float
    ) -> bool:
        return progress.state is State.STREAM

    return [
        (in_sync_set.InSyncSet, "_add", add),
        (in_sync_set.InSyncSet, "_may_join", may_join),
    ]


def _take_corruption_for_a_torn_end() -> list[Patch]:
    original = journal_recovery._Recovery.run

    def run(self: journal_recovery._Recovery) -> journal_recovery.Recovered:
        return replace(original(self), torn_end=False)  # else it would ask the others

    return [
        (journal_recovery, "_mark_after", lambda file, offset, end, seed: False),
        (journal_recovery, "_next_record", lambda file, offset, end, seed: None),
        (journal_recovery, "note_torn_end", lambda disk, directory, note=b"": None),
        (journal_recovery._Recovery, "_mark_damaged", lambda self: []),
        (journal_recovery._Recovery, "run", run),
    ]


def _retry_a_failed_sync() -> list[Patch]:
    original = journal.Journal._written

    def written(self: journal.Journal, error: OSError | None) -> None:
        original(self, None)  # the second fdatasync said that all is well

    return [(journal.Journal, "_written", written)]


def _read_without_a_lease() -> list[Patch]:
    def may_read(self: leader.Leader, now: float) -> bool:
        return self.replica.commit_index >= self.start_index

    def lease_holds(self: leader.Leader, now: float) -> bool:
        return True

    return [
        (leader.Leader, "may_read", may_read),
        (leader.Leader, "lease_holds", lease_holds),
    ]


def _read_before_it_is_applied() -> list[Patch]:
    return [(replica.Replica, "wait_index", lambda self, key: 0)]


def _commit_without_two() -> list[Patch]:
    return [(leader, "IN_SYNC_MIN", 1), (in_sync_set, "IN_SYNC_MIN", 1)]


def _acknowledge_before_the_sync() -> list[Patch]:
    original = log.ReplicaLog.append

    def append(self: log.ReplicaLog, epoch: int, payload: bytes, *, notify: bool = True) -> int:
        index = original(self, epoch, payload, notify=notify)
        asyncio.get_running_loop().call_soon(self._durable, index, self._cuts)
        return index

    return [(log.ReplicaLog, "append", append)]


def _lead_with_the_inherited_unproven() -> list[Patch]:
    def may_read(self: leader.Leader, now: float) -> bool:
        return self.lease_holds(now)  # before an entry of its own epoch is committed

    return [(leader.Leader, "may_read", may_read)]


def _keep_a_grant_over_an_epoch() -> list[Patch]:
    def adopt(self: replica.Replica, epoch: int, leader_node: str) -> None:
        granted = self.granted
        original(self, epoch, leader_node)
        self.granted = granted

    original = replica.Replica._adopt
    return [(replica.Replica, "_adopt", adopt)]


def _forget_the_epoch_in_a_crash() -> list[Patch]:
    def save_epoch(self: replica.Replica, epoch: int) -> None:
        self.epoch = self._durable_epoch = epoch

    return [(replica.Replica, "save_epoch", save_epoch)]


def _collect_what_was_just_touched() -> list[Patch]:
    original = ChunkStore.remove

    def remove(
        self: ChunkStore, chunk_ids: Sequence[bytes], *, untouched_since: int
    ) -> tuple[int, int]:
        return original(self, chunk_ids, untouched_since=1 << 62)

    return [(ChunkStore, "remove", remove)]


def _collect_without_a_grace_period() -> list[Patch]:
    def stamp_before_grace(self: Collector) -> int:
        return self._store.mark_time()

    return [(Collector, "_stamp_before_grace", stamp_before_grace)]


def _rejoin_without_its_chunks() -> list[Patch]:
    async def ready_to_join(self: RepairStation, partition_id: int, node: str) -> bool:
        return True

    return [(RepairStation, "ready_to_join", ready_to_join)]


def _commit_without_the_repairs() -> list[Patch]:
    """A manifest is committed, and no entry says which zone lacks its chunks."""
    original = manifests.write_segment

    def write_segment(*arguments: Any) -> None:
        *first, _missed, expires_ms, now_ms = arguments
        original(*first, [], expires_ms, now_ms)

    return [(rules, "write_segment", write_segment) for rules in (manifests, objects, uploads)]


def _complete_repairs_unseen() -> list[Patch]:
    """An entry of the repair queue is taken off, and its chunk was not brought."""
    original = RepairWorker._copy_all

    async def copy_all(self: Any, chunk_ids: Any, *, replace: bool) -> set[bytes]:
        return await original(self, chunk_ids, replace=True) if replace else set(chunk_ids)

    return [(RepairWorker, "_copy_all", copy_all)]


def _wait_for_lost_chunks() -> list[Patch]:
    """What no zone has stays in the queue, and keeps its zone out."""

    async def give_up(self: Any, token: Any, chunk_id: bytes) -> bool:
        return False

    return [(RepairWorker, "_give_up", give_up)]


def _recover_by_logs_alone() -> list[Patch]:
    """A survivor is called complete that has the log, and not all chunks."""

    async def owed(self: RepairStation) -> list[Any]:
        return []

    return [(RepairStation, "owed", owed)]


def _walk_references_by_the_map_alone() -> list[Patch]:
    async def query_part(
        partitions: Any, keyspace: int, start: bytes, end: bytes, query: Any
    ) -> tuple[Any, bytes]:
        last = parts.part_end(partitions, keyspace, start, end)
        found = await partitions.query(keyspace, start, query, touched=(start, last))
        return found, last  # whether the partition reached so far was not asked

    async def execute_part(
        partitions: Any, keyspace: int, start: bytes, end: bytes, command_of: Any
    ) -> tuple[Any, bytes]:
        last = parts.part_end(partitions, keyspace, start, end)
        return await partitions.execute(keyspace, start, command_of(last)), last

    return [(references, "query_part", query_part), (references, "execute_part", execute_part)]


def _joins_at(level: Callable[[leader.Leader], int], *, told: bool) -> list[Patch]:
    """A follower joins when it has this index; `told`: not before the last split is published."""

    async def add(self: in_sync_set.InSyncSet, lead: leader.Leader, progress: Any) -> None:
        held = lead.replica
        if (
            not await self._ready_to_join(held.partition_id, progress.node)
            or (told and not held.is_published)
            or held.leader is not lead
            or progress.state is not State.STREAM
        ):
            return
        progress.joining = True
        if progress.match_index < level(lead):
            return
        members = [*held.descriptor.in_sync, progress.node]
        wanted = msgspec.structs.replace(held.descriptor, in_sync=members)
        if await self._swap(held, wanted):
            progress.joining = False
            lead.followers.update_grant(progress)
            lead.advance()

    return [(in_sync_set.InSyncSet, "_add", add)]


def _rejoin_before_a_split_is_told() -> list[Patch]:
    return _joins_at(lambda lead: max(lead.start_index, lead.replica.commit_index), told=False)


def _join_without_the_inherited() -> list[Patch]:
    return _joins_at(lambda lead: lead.replica.commit_index, told=True)


def _forget_retries_at_a_split() -> list[Patch]:
    original = leader.Leader._recorded

    def recorded(self: leader.Leader, proposal: Any) -> bytes | None:
        held = self.replica.range
        found = original(self, proposal)
        return None if held.base_index and self.start_index <= held.base_index + 1 else found

    return [(leader.Leader, "_recorded", recorded)]


def _name_all_replicas_in_sync_in_the_child() -> list[Patch]:
    original = splitting.Splitting.create

    async def create(self: splitting.Splitting, current: Any, parent: replica.Replica) -> None:
        current = msgspec.structs.replace(current, in_sync=current.replica_nodes())
        await original(self, current, parent)

    return [
        (splitting.Splitting, "create", create),
        (replica.Replica, "_load_range", _never_awaited(replica.Replica._load_range)),
    ]


def _never_awaited(original: Any) -> Any:
    def load_range(self: replica.Replica) -> Any:
        found = original(self)
        self.awaited = False
        return found

    return load_range


def _lead_a_child_without_its_log() -> list[Patch]:
    """Its log is taken for one that the journal lost, and so never begins."""
    made = leader.Leader.__init__

    def unchecked(self: leader.Leader, led: replica.Replica, *, waits_until: float) -> None:
        kept = led.damaged, led.log.last_index
        led.damaged, led.log.last_index = False, max(kept[1], led.commit_index)
        try:
            made(self, led, waits_until=waits_until)
        finally:
            led.damaged, led.log.last_index = kept

    def lead_first(self: takeover.Takeover, led: replica.Replica, descriptor: Any) -> None:
        if led.leader is None and descriptor.epoch == led.epoch and not led.awaited:
            now = self._clock.monotonic()
            self._start(led, self._begin(led, descriptor, waits_until=now))

    return [
        (journal.Journal, "settle_unrecorded", lambda *_: None),
        (leader.Leader, "__init__", unchecked),
        (takeover.Takeover, "lead_first", lead_first),
    ]


def _absorb_what_is_not_here() -> list[Patch]:
    """A replica takes the entry that absorbs its neighbour whatever it has of that one."""

    def take(self: replica.Replica, sender: str, merge: Any) -> None:
        """Everything."""

    def absorbable(self: merging.Merging, merge: Any) -> Readiness:
        original(self, merge)
        return Readiness.READY

    original = merging.Merging.absorbable
    return [
        (replica.Replica, "_require_absorbable", take),
        (merging.Merging, "absorbable", absorbable),
    ]


def _answer_when_closed() -> list[Patch]:
    """A replica whose log was closed goes on to answer."""

    def can_read(self: replica.Replica, now: float) -> bool:
        closing, self.closing = self.closing, False
        try:
            return original(self, now)
        finally:
            self.closing = closing

    original = replica.Replica.can_read
    return [(replica.Replica, "can_read", can_read)]


def _forget_retries_at_a_merge() -> list[Patch]:
    original = leader.Leader._recorded

    def recorded(self: leader.Leader, proposal: Any) -> bytes | None:
        held = self.replica.range
        return None if held.absorbed else original(self, proposal)

    return [(leader.Leader, "_recorded", recorded)]


def _leave_the_splits_it_missed() -> list[Patch]:
    """A sole source takes the descriptors' ranges for what it holds."""
    return [(reclaiming.Reclaiming, "check", lambda self, replica: None)]


def _read_past_locks() -> list[Patch]:
    original = objects.get_object

    def get_object(query: Any, view: Any) -> Any:
        found = original(query, view)
        if not found.record:
            raise ObjectNotFound
        return msgspec.structs.replace(found, lock=None)

    return [(objects, "get_object", get_object)]


def _give_up_without_the_ledger() -> list[Patch]:
    async def look_into(self: Recovery, keyspace: int, lock: t.LockHead) -> Fate:
        if self._clock.wall_ms() - lock.created_ms < PATIENCE_MS:
            return Fate.PENDING
        resolution = t.Resolution(lock.key, lock.transaction, is_committed=False)
        resolve = t.Resolve(lock.key, t.Settled([resolution]))
        await self._partitions.execute(keyspace, lock.key, resolve)
        return Fate.ABORTED

    return [(Recovery, "look_into", look_into)]


def _mutations() -> Iterator[Mutation]:
    splits = ["split", "kill", "isolate", "slow_link", "reset"]
    crashes = ["kill", "power", "isolate", "pause", "slow_disk"]
    links = ["isolate", "cut", "slow_link", "pause"]
    disk = ["blackout", "power", "slow_disk"]
    lost_logs = ["rot", "kill", "split", "merge", "burn"]
    for what, make, kinds in (
        ("acknowledged before the slowest replica", _acknowledge_before_the_slowest, crashes),
        ("acknowledged before the sync", _acknowledge_before_the_sync, disk),
        ("a forgotten epoch check", _forget_the_epoch_check, crashes),
        ("a lease counted from receipt, no margin", _lease_without_margin_or_echo, links),
        ("a promise that its giver forgets", _promise_forgotten_by_its_giver, ["parted_follower"]),
        ("a grant by a deposed leader", _grant_by_a_deposed_leader, ["unheard_hand_over"]),
        ("a shrink that does not wait", _shrink_without_waiting, links),
        ("a follower keeps its uncommitted tail", _keep_the_uncommitted_tail, crashes),
        ("a retry applied twice", _apply_a_retry_again, ["reset", "kill", "isolate"]),
        ("a rejoin before it has everything", _join_before_it_has_everything, crashes),
        ("a torn middle taken for the end", _take_corruption_for_a_torn_end, ["rot", "kill"]),
        ("fdatasync retried", _retry_a_failed_sync, ["failing_sync", "power", "blackout"]),
        ("a read of a paused leader", _read_without_a_lease, ["pause", "stall", "isolate"]),
        ("a read before the write is applied", _read_before_it_is_applied, ["slow_link", "kill"]),
        ("committed with one zone", _commit_without_two, ["power", "isolate", "kill"]),
        ("a new leader reads too early", _lead_with_the_inherited_unproven, crashes),
        ("a grant kept over an epoch", _keep_a_grant_over_an_epoch, ["hand_over_behind_a_cut"]),
        ("a retry not found in the child", _forget_retries_at_a_split, splits),
        ("a child in sync everywhere", _name_all_replicas_in_sync_in_the_child, splits),
        ("a child led without its log", _lead_a_child_without_its_log, lost_logs),
        (
            "a rejoin without the inherited",
            _join_without_the_inherited,
            ["split", "merge_behind_a_cut"],
        ),
        ("a closed partition answers", _answer_when_closed, ["split", "merge_behind_a_cut"]),
        ("an epoch not journaled", _forget_the_epoch_in_a_crash, ["kill", "power", "isolate"]),
    ):
        yield Mutation(make.__name__.strip("_"), what, make, kinds)
    merges = ["split", "merge", "pause", "isolate", "stall", "cut", "kill", "reset"]
    behind = ["split", "merge", "burn", "kill", "power", "rot"]
    for what, make, kinds in (
        ("absorbed what is not all here", _absorb_what_is_not_here, behind),
        ("a retry not found after a merge", _forget_retries_at_a_merge, merges),
    ):
        yield Mutation(make.__name__.strip("_"), what, make, kinds)
    lost = ["two_zones_lost", "isolate", "kill", "pause"]
    torn = ["split", "coordinator_slow", "isolate"]
    untold = ["split", "isolate", "coordinator_lossy", "kill"]
    for what, make, kinds in (
        ("references that a stale map hides", _walk_references_by_the_map_alone, torn),
        ("a child with who lacks its chunks", _rejoin_before_a_split_is_told, untold),
        ("a touched chunk collected", _collect_what_was_just_touched, ["slow_link", "slow_disk"]),
        ("no grace period", _collect_without_a_grace_period, ["slow_link", "pause"]),
        ("a rejoin without its chunks", _rejoin_without_its_chunks, ["kill", "isolate", "burn"]),
        ("a chunk missed and not queued", _commit_without_the_repairs, lost),
        ("a repair that brought nothing", _complete_repairs_unseen, ["kill", "isolate"]),
        ("a zone that waits for what is lost", _wait_for_lost_chunks, lost),
        ("recover speaks of logs alone", _recover_by_logs_alone, lost),
    ):
        yield Mutation(make.__name__.strip("_"), what, make, kinds, "objects")
    for what, make, kinds in (
        ("reads of objects past locks", _read_past_locks, ["slow_link", "kill"]),
        ("given up without the ledger", _give_up_without_the_ledger, ["pause", "isolate"]),
    ):
        yield Mutation(make.__name__.strip("_"), what, make, kinds, "together")
    left = _leave_the_splits_it_missed
    yield Mutation(left.__name__.strip("_"), "a missed split stays", left, None, "survivor")


MUTATIONS = {mutation.name: mutation for mutation in _mutations()}
__all__ = ["MUTATIONS", "Mutation", "applied"]
