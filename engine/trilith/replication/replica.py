"""One replica of one partition: its log, what is committed, what is applied, whether it may answer.

The replica is a synchronous state machine; everything it needs of the world comes through
`ReplicaPorts`. It follows until `leader` is set. Invariants:

* applied_index <= commit_index <= last_index; entries up to commit_index are the same everywhere.
* an append of an epoch older than `epoch` is refused; a newer epoch is journaled before its first
  acknowledgement leaves (rule 5; FollowerAppend and Learn in the model).
* effects are visible exactly when committed.
* a child whose parent has not applied its split here is `awaited`: it has no range and no records
  yet, and neither takes entries, nor leads, nor answers (ranges.py).
* one whose log was closed answers nothing that must be current, and one that was absorbed here is
  `retired`: its records are its neighbour's (merging.py).
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from trilith.errors import (
    InternalError,
    NotInSync,
    StorageFailure,
    TrilithError,
    Unavailable,
    WrongRange,
)
from trilith.replication import descriptor as descriptors
from trilith.replication.descriptor import Descriptor
from trilith.replication.entry import (
    Applied,
    LoggedRange,
    PendingEntry,
    applied_key,
    decode_applied,
    decode_entry,
    encode_applied,
    logged_range,
)
from trilith.replication.in_flight import DirtyKeys
from trilith.replication.index_waiters import IndexWaiters
from trilith.replication.log import ReplicaLog
from trilith.replication.messages import Ack, Append, Commit, Grant, Reject
from trilith.replication.ranges import Absorb, Close, Merge, RangeRecord, decode_range, range_key
from trilith.replication.read_tally import ReadTally
from trilith.replication.replica_ports import Readiness, ReplicaPorts
from trilith.replication.view import StoreView
from trilith.storage.ordered_store import PUT, Operation

if TYPE_CHECKING:
    from trilith.replication.leader import Leader

RECOVERY_READ_BYTES = 4 * 1024 * 1024


class Replica:
    """See the module's text."""

    def __init__(self, ports: ReplicaPorts, descriptor: Descriptor, revision: int) -> None:
        self.ports = ports
        self.partition_id = descriptor.partition_id
        self.descriptor = descriptor
        self.revision = revision
        self.model = ports.model_of(descriptor.keyspace)
        self.log = ReplicaLog(ports.journal, ports.disk, self.partition_id, self._log_durable)
        self.leader: Leader | None = None
        self.reads = ReadTally()
        self.leader_node = descriptor.leader
        recovered = ports.journal.recovered.get(self.partition_id)
        # A log that the journal has no record of may be what a lost region held, if it was begun
        # by an earlier process of this node: then the partition is known before `may_lack_logs`
        # ends, with the first look at the map.
        self.damaged = recovered.damaged if recovered else ports.journal.may_lack_logs
        self.epoch = self.log.last_epoch
        if recovered and recovered.state is not None:
            self.epoch = max(self.epoch, descriptors.decode(recovered.state).epoch)
        self._durable_epoch = self.epoch  # the highest epoch whose adoption is journaled
        applied = decode_applied(ports.store.get(applied_key(self.partition_id)))
        self.installing = False
        self.installing_from: object = None  # which snapshot: another one starts anew
        if applied.index < 0:  # a crash in the middle of a snapshot
            self.damaged = True
            applied = Applied(0, 0)
        self.applied_index = self.commit_index = applied.index
        self.applied_epoch = applied.epoch
        self.matched_index = applied.index  # equal to the leader's log up to here, this epoch
        # False: nobody has shown since our log was cut short that it is as long as it was.
        self.proven = not ports.journal.torn_end
        self._leader_had: int | None = None  # where the leader's log ended when it first said so
        self._starved = False  # there was no room for what the leader sent last
        self.pending: deque[PendingEntry] = deque()
        self.absorbs: list[PendingEntry] = []  # those of `pending` that absorb a neighbour
        self._known_commit = applied.index  # what the leader said; we may not have it yet
        self.dirty = DirtyKeys()
        self.granted = False  # the leader extends our grant for this partition
        self._waiters = IndexWaiters()
        self._asked_index = 0  # a reader waits for this one, and the leader was told so
        self.awaited = False
        self.closing = False  # the entry that closes it is logged here: a neighbour may have it all
        self.range = self._load_range()
        self.view = self._make_view()
        self._load_pending()
        if descriptor.epoch > self.epoch and not self.retired:
            with suppress(Unavailable):  # a full disk: adopted with the leader's next append
                self.save_epoch(descriptor.epoch)

    def _load_range(self) -> RangeRecord:
        """The range as the applied log makes it; a child may have to wait for its parent."""
        d = self.descriptor
        stored = self.ports.store.get(range_key(self.partition_id))
        if stored is not None:
            record = decode_range(stored)
            self.closing = self.closing or record.closed > 0
            is_new = self.log.last_index == 0 and 0 < record.base_index == self.applied_index
            if is_new and not self.damaged:
                self._begin_log(record)
            return record
        if d.parent:
            self.awaited = True
            self.applied_index = self.commit_index = self.log.first_index - 1
            self.matched_index = self._known_commit = self.applied_index
        return RangeRecord(d.start_key, d.first_end_key)

    def _begin_log(self, record: RangeRecord) -> None:
        """The store has the child of a split, and the journal not yet: its log begins there.

        The last entry that a journal syncs before it closes, or fails, may be a split's: then the
        log begins with the next start, from the store, or from the parent's entry if the store
        has lost that again.
        """
        try:
            self.log.reset(record.base_index, record.base_epoch, self._log_durable)
        except (Unavailable, StorageFailure):
            self.awaited = True  # until the disk has room, or for the rest of this process

    def arrive(self) -> None:
        """The parent has applied the split: nothing is awaited any more."""
        if not self.awaited:
            return
        applied = decode_applied(self.ports.store.get(applied_key(self.partition_id)))
        self.awaited = False
        self.applied_index = self.commit_index = self.matched_index = applied.index
        self._known_commit, self.applied_epoch = applied.index, applied.epoch
        self._forget_pending()
        self.range = self._load_range()
        self.view = self._make_view()
        self._load_pending()
        if not self.awaited:
            self.greet()

    def greet(self) -> None:
        """Tell the leader where we are, who may have asked before this replica was here."""
        if self.leader is None and self.leader_node != self.ports.node_id:
            self.ports.send(
                self.leader_node,
                Reject(self.partition_id, self.epoch, self.commit_index, self.damaged),
            )

    def _forget_pending(self) -> None:
        self.pending.clear()
        self.absorbs.clear()
        self.dirty.clear()

    @property
    def retired(self) -> bool:
        """Whether a neighbour has absorbed the partition here."""
        return self.range.absorbed_by > 0

    def retire(self) -> None:
        """A neighbour has just absorbed the partition: nothing is done for it here any more."""
        self.step_down("it was absorbed")
        self._forget_pending()
        self.range = self._load_range()
        self.view = self._make_view()
        self.fail_waiters(NotInSync("the partition was absorbed by its neighbour"))

    def _make_view(self) -> StoreView:
        d = self.descriptor
        return StoreView(self.ports.store, d.keyspace, self.range.start, self.range.end)

    def covers(self, key: bytes) -> bool:
        """Whether the partition's range holds the key."""
        return self.range.covers(key) and not self.awaited and not self.retired

    def holds(self, keyspace: int, record: RangeRecord) -> bool:
        """Whether this replica's log may still write to a part of a range."""
        return (
            not self.awaited
            and not self.retired
            and self.descriptor.keyspace == keyspace
            and self.range.overlaps(record)
        )

    def may_make(self, child: Replica) -> bool:
        """Whether a split that is yet to be applied may make a child that is awaited."""
        return (
            not self.awaited
            and not self.retired
            and not self.descriptor.absorbed_by  # nobody leads it any further
            and self.descriptor.keyspace == child.descriptor.keyspace
            and self.range.covers(child.range.start)
        )

    def require(self, key: bytes, until: bytes | None) -> None:
        """Raises WrongRange unless the range holds the key and all of [key, until).

        An empty `until`: everything above the key.
        """
        if self.covers(key) and (until is None or self.range.covers_to(until)):
            return
        child = self.range.child if self.range.start <= key else 0
        raise WrongRange(f"partition {self.partition_id} does not hold all of it", child=child)

    def can_tell(self, key: bytes, until: bytes | None) -> bool:
        """Whether it holds the key and all of [key, until), of some recent moment."""
        return (
            not self.damaged and self.covers(key) and (until is None or self.range.covers_to(until))
        )

    @property
    def is_published(self) -> bool:
        """Whether the descriptor tells of every split that is applied here."""
        return self.range.generation <= self.descriptor.generation

    @property
    def logged(self) -> LoggedRange:
        """The range once all that is logged is applied."""
        return logged_range(self.range, self.pending)

    @property
    def is_settled(self) -> bool:
        """Whether no logged entry is about to change the range, and the last change is told."""
        return (
            not self.logged.changes and not self.closing and not self.retired and self.is_published
        )

    def _load_pending(self) -> None:
        """After a restart, entries logged but not applied await a leader (Crash in the model)."""
        if (self.awaited and self.log.last_index == 0) or self.retired:
            return
        if (
            self.damaged
            or self.applied_index > self.log.last_index
            or (
                self.log.last_index > self.applied_index
                and self.log.first_index > self.applied_index + 1
            )
        ):
            self.damaged = True  # the log does not reach what is applied: only a snapshot helps
            return
        next_index = self.applied_index + 1
        while next_index <= self.log.last_index:
            batch = self.log.read(next_index, max_bytes=RECOVERY_READ_BYTES)
            for epoch, index, payload in batch:
                self.add_pending(decode_entry(index, epoch, payload))
            next_index += len(batch)

    def add_pending(self, entry: PendingEntry) -> None:
        self.pending.append(entry)
        self._mark_dirty(entry)

    def _mark_dirty(self, entry: PendingEntry) -> None:
        self.dirty.add(entry.index, entry.keys)
        if entry.split is not None:
            self.dirty.add_from(entry.index, entry.split.key)
        if isinstance(entry.merge, Absorb):
            self.absorbs.append(entry)
        elif entry.merge is not None:
            self.closing = True

    # reads

    def can_read(self, now: float) -> bool:
        """Whether this replica can prove that its log holds all that was acknowledged (rule 8)."""
        if self.closing:
            return False
        if self.leader is not None:
            return self.leader.may_read(now)
        return (
            self.granted
            and not self.awaited
            and self.proven
            and not self.ports.disk.store_refuses  # what it has yet to apply may take long
            and self.ports.lease_of(self.leader_node).granted_until > now
        )

    def wait_index(self, key: bytes) -> int:
        """What must be applied before a follower may answer for `key`; 0: it may now."""
        return 0 if self.leader is not None else self.dirty.wait_index(key)

    def wait_index_of_range(self) -> int:
        """As `wait_index`, for a query of more than one key."""
        if self.leader is not None or not self.dirty:
            return 0
        return self.log.last_index

    async def wait_applied(self, index: int) -> None:
        """Returns when the entry is applied. Its caller bounds the time."""
        if index > self.applied_index:
            if self.leader is None and index > self._asked_index:
                self._asked_index = index
                self._acknowledge()  # nothing new: the leader tells at once how far to apply
            await self._waiters.wait(index)

    # following (FollowerAppend in the model; AppendTo, Follow, Overtaken in Merging.tla)

    def receive_append(self, sender: str, message: Append) -> None:
        if self.retired:
            return
        if self.awaited and message.epoch >= self.epoch:
            if self.ports.is_coming(self):
                return  # the leader is greeted then
            self.damaged = True  # the parent here went past the split, by a snapshot
        if message.epoch < self.epoch or self.damaged:
            self._reject(sender, message)
            return
        if message.epoch > self.epoch or self.leader_node != sender:
            self._adopt(message.epoch, sender)
        previous = message.previous_index
        last = previous + len(message.entries)
        if not message.entries and self.log.accepting:
            self._starved = False  # a probe: we may be sent more
        if self._leader_had is None and (message.log_end or not message.entries):
            self._leader_had = max(message.log_end, last)  # a probe of an older version tells, too
        if previous > self.log.last_index or (
            previous > self.commit_index and self.log.epoch_at(previous) != message.previous_epoch
        ):
            self._reject(sender, message)
            return
        index = previous
        appended = starved = False
        needed = self.ports.node_id in self.descriptor.in_sync
        for epoch, payload in message.entries:
            index += 1
            if index <= self.commit_index:
                continue
            if index <= self.log.last_index:
                if self.log.epoch_at(index) == epoch:
                    continue
                self._cut(index - 1)
            entry = decode_entry(index, epoch, payload)
            try:
                self.ports.disk.require_room(len(self.pending), needed=needed)
                self._require_absorbable(sender, entry.merge)
                self.log.append(epoch, payload, notify=index == last)
            except Unavailable:
                self._starved = starved = True
                index -= 1
                break
            self.add_pending(entry)
            appended = True
        self.matched_index = max(self.matched_index, index)
        self._prove()
        self._commit_known(message.commit_index)
        if starved:
            self._reject(sender, message)  # what came before this counts; the rest is sent again
        elif not appended:
            self._acknowledge()

    def _require_absorbable(self, sender: str, merge: Merge | None) -> None:
        """Raises NotInSync while not all that an entry absorbs is applied here: so whoever has the
        entry in its log can do what it says.
        """
        readiness = Readiness.READY
        if isinstance(merge, Absorb):
            readiness = self.ports.absorbable(merge)
        if readiness is Readiness.LOST:
            self.ports.send(sender, Reject(self.partition_id, self.epoch, self.commit_index, True))
        if readiness is not Readiness.READY:
            raise NotInSync("what is to be absorbed is not here yet")

    def receive_commit(self, sender: str, message: Commit) -> None:
        if message.epoch == self.epoch and sender == self.leader_node and self.leader is None:
            self._commit_known(message.commit_index)

    def receive_grant(self, sender: str, message: Grant) -> None:
        if sender == self.leader_node and self.leader is None and not self.damaged:
            self.granted = message.granted and message.epoch == self.epoch

    def _reject(self, sender: str, message: Append) -> None:
        epoch = message.epoch if self.damaged else max(self.epoch, message.epoch)
        number, commit_index, starved = self.partition_id, self.commit_index, self._starved
        self.ports.send(sender, Reject(number, epoch, commit_index, self.damaged, starved))

    def _adopt(self, epoch: int, leader_node: str) -> None:
        """Follow a leader of this epoch. The epoch is durable before we acknowledge under it."""
        if self.leader is not None:
            self.step_down(f"node {leader_node} leads epoch {epoch}")
        self.granted = False
        if epoch > self.epoch:
            self.save_epoch(epoch)
            self.ports.on_newer_epoch(self.partition_id)
        self.leader_node = leader_node
        self.matched_index = self._known_commit = self.commit_index
        self._leader_had, self._asked_index = None, 0

    def _prove(self) -> None:
        """Our log has, durably, what the leader's had when it first spoke: all we ever had.

        Not before it is durable: the note of the torn end goes then (`Journal.nothing_is_missing`).
        """
        end = self._leader_had
        if end is not None and min(self.matched_index, self.log.durable_index) >= end:
            self.proven = True

    def save_epoch(self, epoch: int) -> None:
        """Journal the epoch with the descriptor that we know."""
        state = descriptors.encode(msgspec.structs.replace(self.descriptor, epoch=epoch))

        def durable() -> None:
            self._durable_epoch = max(self._durable_epoch, epoch)
            self._log_durable()

        self.log.save_state(epoch, state, durable)
        self.epoch = epoch

    def _cut(self, last_index: int) -> None:
        if last_index < self.commit_index:
            raise InternalError(
                f"partition {self.partition_id}: a leader would cut entry {last_index + 1},"
                f" which is committed"
            )
        self.log.cut(last_index)
        while self.pending and self.pending[-1].index > last_index:
            self.pending.pop()
        self.dirty.clear()
        self.absorbs.clear()
        self.closing = self.range.closed > 0
        for entry in self.pending:
            self._mark_dirty(entry)
        self.matched_index = min(self.matched_index, last_index)

    def _log_durable(self) -> None:
        if self.leader is not None:
            self.leader.advance()
        else:
            self._prove()
            self._acknowledge()
            self._commit_known(0)

    def _acknowledge(self) -> None:
        if (
            self._durable_epoch == self.epoch
            and self.leader is None
            and not self.damaged
            and not self.awaited
            and not self.retired
        ):
            index = min(self.log.durable_index, self.matched_index)
            self.ports.send(self.leader_node, Ack(self.partition_id, self.epoch, index))

    # applying

    def _commit_known(self, index: int) -> None:
        """Follow the leader's commit index as far as our log is durable and equal to its own.

        Never past what is durable here: the store must not run ahead of the journal.
        """
        self._known_commit = max(self._known_commit, index)
        self.commit_to(min(self._known_commit, self.matched_index, self.log.durable_index))

    def apply_again(self) -> None:
        """Every tick: apply what the store refused before."""
        if self.awaited and self.ports.store.get(range_key(self.partition_id)) is not None:
            self.arrive()  # its log could not begin before
        if self._known_commit > self.commit_index:
            self._commit_known(0)

    def commit_to(self, index: int) -> None:
        """Commit and apply everything up to `index`.

        `commit_index` stays where it is while the store refuses writes.
        """
        if not self.absorbs or self.ports.make_ready(self, index):
            self.apply_to(index)

    def apply_to(self, index: int) -> None:
        """`commit_to`, where what is to be absorbed is ready."""
        if index <= self.commit_index or self.awaited or self.retired or self.installing:
            return
        operations: list[Operation] = []
        done: list[PendingEntry] = []
        pending = self.pending
        for entry in pending:
            if entry.index > index:
                break
            operations.extend(entry.effects())
            done.append(entry)
        last = done[-1]
        assert last.index == index, "a committed entry is missing from the log"
        state = encode_applied(last.index, last.epoch)
        operations.append((PUT, applied_key(self.partition_id), state))
        if not self.ports.disk.apply(self.partition_id, operations):
            self.fail_waiters(NotInSync("the ordered store has no room"))  # others may tell
            return  # nothing of it is kept, here or there: the next tick tries the same again
        self.commit_index = index
        self.applied_index, self.applied_epoch = last.index, last.epoch
        changes = []
        for entry in done:
            pending.popleft()
            self.dirty.release(entry.index, entry.keys)
            if entry.split is not None or entry.merge is not None:
                changes.append(entry)
            if self.leader is not None:
                self.leader.applied(entry)
        if changes:
            self.absorbs = [entry for entry in self.absorbs if entry.index > index]
            self._range_changed(changes)
        self._waiters.wake(self.applied_index)

    def _range_changed(self, changes: list[PendingEntry]) -> None:
        """What is visible here ends at the split key, or goes on behind it, from this very moment.

        What was absorbed is told first: nobody else may answer for it any more.
        """
        self.range = self._load_range()
        for entry in changes:
            if isinstance(entry.merge, Absorb):
                self.ports.on_absorb(self, entry.merge.partition)
        self.view = self._make_view()
        if self.leader is not None:
            self.leader.range_changed()
        for entry in changes:
            if entry.split is not None:
                self.ports.on_split(self, entry.split.child)
            elif isinstance(entry.merge, Close):
                self.ports.on_close(self)

    def fail_waiters(self, error: TrilithError) -> None:
        self._waiters.fail(error)

    # changing roles

    def step_down(self, reason: str) -> None:
        """Stop leading at once. Entries without a commit stay logged; their outcome is unknown."""
        leader, self.leader = self.leader, None
        self.granted = False
        if leader is not None:
            self.ports.log(
                "stepped_down", partition=self.partition_id, epoch=self.epoch, reason=reason
            )
            leader.stop(reason)

    def set_descriptor(self, descriptor: Descriptor, revision: int) -> bool:
        """Take note of a newer descriptor (Learn in the model); False when ours is as new."""
        if revision <= self.revision:
            return False
        self.descriptor, self.revision = descriptor, revision
        if self.retired:
            return True
        if descriptor.absorbed_by:
            self.step_down(f"partition {descriptor.absorbed_by} has absorbed it")
            return True
        if descriptor.leader != self.ports.node_id:
            if self.leader is not None and descriptor.epoch >= self.epoch:
                self.step_down(f"node {descriptor.leader} leads epoch {descriptor.epoch}")
            if descriptor.epoch > self.epoch:
                with suppress(Unavailable):  # as above
                    self._adopt(descriptor.epoch, descriptor.leader)
        return True

    def begin_install(self, sender: str, epoch: int, source: object, record: RangeRecord) -> None:
        """A snapshot arrives: what was here is gone, nothing is served until it is whole, and a
        deposed leader's pieces are refused. It may end before what we had acknowledged: we are to
        be proven anew (takeover.py), also after a restart. Raises Unavailable, OSError.
        """
        self.ports.journal.something_may_be_missing()
        if epoch > self.epoch:
            self._adopt(epoch, sender)
        self.installing_from, self._leader_had = source, None
        self.installing = self.damaged = True
        self.awaited = self.granted = self.proven = False
        self.range = record
        self.view = self._make_view()
        self._forget_pending()
        self.matched_index = self._known_commit = self.commit_index
        self.closing = record.closed > 0

    def install(self, index: int, epoch: int) -> None:
        """A snapshot up to `index` is in the store and flushed: restart the log behind it.

        Raises Unavailable, with nothing changed: the replica stays damaged, and is sent another.
        """
        self.log.reset(index, epoch, self._log_durable)
        self._forget_pending()
        self.applied_index = self.commit_index = self.matched_index = self._known_commit = index
        self.applied_epoch = epoch
        self.damaged = self.installing = False
        self.installing_from = None
        self._waiters.wake(self.applied_index)
