"""What a replica does while it leads: evaluate, replicate, commit, and keep the in-sync set.

A write commits when every in-sync replica (and every one about to join) has it durable, there are
at least two of them, the promise of each holds, and nobody outside still holds an in-sync grant
(rule 2; Commit in the model). One batch of commands is one log entry.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

import msgspec

from trilith.errors import (
    ConditionalConflict,
    DiskFull,
    InternalError,
    NotEnoughZones,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    TrilithError,
    Unavailable,
    WrongRange,
)
from trilith.replication.descriptor import IN_SYNC_MIN
from trilith.replication.entry import (
    PendingEntry,
    applied_key,
    encode_applied,
    encode_payload,
)
from trilith.replication.followers import Followers
from trilith.replication.in_flight import Overlay
from trilith.replication.messages import Ack, Append, Commit, Reject
from trilith.replication.pacing import Pacing
from trilith.replication.proposal import (
    TOKEN_SWEEP_INTERVAL_MS,
    Outcome,
    Proposal,
    is_expired,
    token_floor,
)
from trilith.replication.ranges import (
    Merge,
    RangeRecord,
    Split,
    encode_range,
    floor_key,
    legacy_token_key,
    range_key,
    result_key,
    result_ranges,
)
from trilith.replication.replica import Replica
from trilith.replication.state_machine import (
    SEQUENCE_FREE_BITS,
    SEQUENCE_INDEX_SHIFT,
    Context,
)
from trilith.replication.view import CollectedEffects, LeaderView
from trilith.storage.ordered_store import DELETE_RANGE, PUT, Operation

ENTRY_BYTES_MAX = 1024 * 1024  # a larger batch becomes several entries
IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024  # proposals beyond this are shed
PROPOSALS_MAX = 8192
ROUTE_BYTES_MAX = 4096  # where partitions are never split: any routing key as a whole
RECENT_KEYS = 512
RECENT_KEYS_STEP = 16
# An append that leaves meanwhile carries the commit index instead. No reader waits for this: a
# follower where one does asks (`receive_ack`).
COMMIT_NOTICE_DELAY_S = 0.01


class Leader:
    """The leading role of one replica, for one epoch."""

    def __init__(self, replica: Replica, *, waits_until: float) -> None:
        """`waits_until`: no shrink of our own before this (a full lease after taking over, rule 5).

        Raises InternalError for a replica that must not lead: it would take entries behind what is
        committed for committed ones.
        """
        if replica.damaged or replica.awaited or replica.log.last_index < replica.commit_index:
            raise InternalError(f"partition {replica.partition_id} cannot be led: its log is short")
        self.replica = replica
        self.epoch = replica.epoch
        self.waits_until = waits_until
        self.started_at = replica.ports.clock.monotonic()
        self.followers = Followers(self)
        self._ports = replica.ports
        self._keyspace = replica.descriptor.keyspace
        self._division = replica.ports.division_of(self._keyspace)
        self._route_bytes = self._division.route_bytes_max if self._division else ROUTE_BYTES_MAX
        self.commands = 0
        self.recent_keys: deque[bytes] = deque(maxlen=RECENT_KEYS)  # of one command in so many
        self._overlay = Overlay()
        self._lead = self._generation = 0
        self._view = self._make_view()
        self._proposals: list[Proposal] = []
        self._outcomes: deque[tuple[int, list[Outcome]]] = deque()
        self._batch: list[Operation] = []
        self._batch_keys: list[bytes] = []
        self._batch_outcomes: list[Outcome] = []
        self._batch_bytes = 0
        self._in_flight_bytes = 0
        self._flush_scheduled = False
        self._pacing = Pacing()
        self._gathering: asyncio.TimerHandle | None = None
        self._commit_notice: asyncio.TimerHandle | None = None
        self._told_commit_index = 0
        self._commit_wanted = False  # a follower's reader waits for the next one
        self._has_legacy_tokens: bool | None = None
        self._tokens_swept_ms = 0
        self._floor = b""
        self._stopped = False
        self._refusing = False
        self.start_index = 0
        self._result_decoder = msgspec.msgpack.Decoder(replica.model.result_type)
        self._encode = msgspec.msgpack.Encoder().encode

    def start(self) -> None:
        """Log an entry of the new epoch: once it is committed, so is everything inherited."""
        self._load_overlay()
        self._view = self._make_view()
        self.start_index = self._append_entry()
        self.followers.probe_all()

    def _make_view(self) -> LeaderView:
        """Of the range as it will be once all that is logged is applied."""
        replica = self.replica
        start, (end, self._lead, self._generation, _) = replica.range.start, replica.logged
        self._range = (start, start) if replica.closing else (start, end)  # see `_require`
        return LeaderView(self._ports.store, self._keyspace, start, end, self._overlay)

    def range_changed(self) -> None:
        """A split or a merge was applied."""
        self._view = self._make_view()

    def _require(self, key: bytes, until: bytes | None) -> None:
        """As `Replica.require`, of the range that the next entry is for. Raises WrongRange."""
        start, end = self._range  # within the replica's: its end is where logged splits leave it
        if until is None and start <= key and (not end or key < end) and not self.replica.awaited:
            return  # without a call: on the path of every write, twice
        self.replica.require(key, until)
        if end and (key >= end or (until is not None and (not until or until > end))):
            raise WrongRange(f"partition {self.replica.partition_id} is being split or merged")

    # leases

    def lease_holds(self, now: float) -> bool:
        """Whether every in-sync follower's promise not to take over still holds.

        One that is joining may be in sync already, by a swap whose outcome we do not know: it
        must have promised too (LeaseHolds in the model).
        """
        in_sync = self.replica.descriptor.in_sync
        # A loop without calls: on the path of every write. See `Progress.promised_until`.
        for progress in self.followers.progress.values():
            if (progress.joining or progress.node in in_sync) and (
                progress.lease.promised_until <= now or progress.promise_counts_until <= now
            ):
                return False
        return True

    def may_read(self, now: float) -> bool:
        return self.replica.commit_index >= self.start_index and self.lease_holds(now)

    # proposals

    def propose(self, proposal: Proposal) -> None:
        """Queue a command; all of one loop tick are evaluated together. Raises Unavailable.

        Not queued.
        """
        if self._stopped or self._refusing:
            raise NotLeader("the replica stops leading", leader="")
        if not self.replica.log.accepting:
            raise DiskFull("the disk is full")
        if self._in_flight_bytes > IN_FLIGHT_BYTES_MAX or len(self._proposals) >= PROPOSALS_MAX:
            raise Overloaded("too many writes in flight on this partition")
        if not self.lease_holds(self._ports.clock.monotonic()):
            raise NotEnoughZones("an in-sync zone is silent")
        if len(self.replica.descriptor.in_sync) < IN_SYNC_MIN:
            raise NotEnoughZones("fewer than two zones are in sync")
        self._require(proposal.key, proposal.until)
        self._proposals.append(proposal)
        self._evaluate_soon()

    def _evaluate_soon(self) -> None:
        """At the end of this tick, or when enough have gathered (pacing.py).

        While enough entries are in flight, their commit comes back here.
        """
        replica, pacing = self.replica, self._pacing
        if (
            self._flush_scheduled
            or replica.log.last_index - replica.commit_index >= pacing.in_flight_max
        ):
            return
        loop = asyncio.get_running_loop()
        if len(self._proposals) >= pacing.wanted:
            self._flush_scheduled = True
            loop.call_soon(self._evaluate_all)
        elif self._gathering is None:
            self._gathering = loop.call_later(pacing.gather_s, self._gathered)

    def _gathered(self) -> None:
        """They have waited long enough."""
        self._gathering = None
        self._pacing.wanted = 1
        if self._proposals:
            self._evaluate_soon()

    def _evaluate_all(self) -> None:
        self._flush_scheduled = False
        if self._stopped or self.replica.closing:
            return
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        proposals, self._proposals = self._proposals, []
        self._pacing.evaluated(self._ports.clock.monotonic())
        for proposal in proposals[-self.commands % RECENT_KEYS_STEP :: RECENT_KEYS_STEP]:
            self.recent_keys.append(proposal.key)
        self.commands += len(proposals)
        now_ms = self._ports.clock.wall_ms()
        self._sweep_tokens(now_ms)
        self._floor = self._read(floor_key(self._keyspace, self.replica.partition_id)) or b""
        for proposal in proposals:
            self._evaluate(proposal, now_ms)
            if self._batch_bytes >= ENTRY_BYTES_MAX:
                self._append_batch()
        if self._batch:
            self._append_batch()
        elif self._batch_outcomes:
            self._hold(self.replica.log.last_index)

    def _append_batch(self) -> None:
        try:
            self._append_entry()
        except Unavailable as error:  # no room: as if the batch had never been evaluated
            outcomes, self._batch_outcomes = self._batch_outcomes, []
            self._batch, self._batch_keys, self._batch_bytes = [], [], 0
            self._load_overlay()
            for outcome in outcomes:
                outcome.done(None, b"", error)

    def _load_overlay(self) -> None:
        self._overlay.clear()
        for entry in self.replica.pending:
            self._overlay.add(entry.index, entry.effects())

    def _evaluate(self, proposal: Proposal, now_ms: int) -> None:
        replica = self.replica
        keyspace = self._keyspace
        try:
            self._require(proposal.key, proposal.until)  # a split may have been logged meanwhile
        except WrongRange as error:
            proposal.done(None, b"", error)
            return
        try:
            asks = proposal.retry or getattr(proposal.command, "once", False)
            if asks and self._answer_retry(proposal, now_ms):
                return
            effects = CollectedEffects(keyspace)
            result = replica.model.evaluate(
                proposal.command, self._view, effects, self._context(proposal.token, now_ms)
            )
            self._require_inside(effects.operations)
        except TrilithError as error:
            # Its truth may rest on writes in flight: it is told when those are committed.
            self._batch_outcomes.append(Outcome(proposal.done, None, b"", error))
            return
        except Exception as error:  # noqa: BLE001 - a defect fails its own command, not the partition
            self._ports.log("evaluation_failed", error=repr(error), traceback=True)
            internal = InternalError(f"{type(proposal.command).__name__}: {error!r}")
            self._batch_outcomes.append(Outcome(proposal.done, None, b"", internal))
            return
        encoded = self._encode(result)
        operations = effects.operations
        if operations:
            key = result_key(keyspace, proposal.key[: self._route_bytes], proposal.token)
            operations.append((PUT, key, encoded))
            self._overlay.add(replica.log.last_index + 1, operations)
            self._batch.extend(operations)
            self._batch_keys.append(proposal.key)
            self._batch_keys.extend(effects.touched)
            for _, key, value in operations:
                self._batch_bytes += len(key) + len(value)
        self._batch_outcomes.append(Outcome(proposal.done, result, encoded, None))

    def _require_inside(self, operations: list[Operation]) -> None:
        """What a split took away must not be written here. Raises WrongRange."""
        start, end = self._range
        if not start and not end:
            return
        for kind, key, value in operations:
            logical = key[2:]
            if logical < start or (end and logical >= end):
                raise WrongRange("a command would write outside of the partition")
            if kind == DELETE_RANGE and end and value[2:] > end:
                raise WrongRange("a command would delete outside of the partition")

    def _context(self, token: bytes, now_ms: int) -> Context:
        """Commands without effects share the next one's sequence: they record nothing under it."""
        sequence = (self.replica.log.last_index + 1 + self._lead) << SEQUENCE_INDEX_SHIFT
        sequence |= len(self._batch_outcomes) << SEQUENCE_FREE_BITS
        return Context(token, now_ms, sequence, *self._range, self._floor, self._generation)

    def _answer_retry(self, proposal: Proposal, now_ms: int) -> bool:
        if is_expired(proposal.token, now_ms):
            raise OutcomeUnknown(
                "the retry came too late: its first attempt is no longer on record"
            )
        if proposal.token < self._floor:
            raise OutcomeUnknown("the record of the first attempt was swept")
        value = self._recorded(proposal)
        if value is None:
            return False
        result = self._result_decoder.decode(value)
        self._batch_outcomes.append(Outcome(proposal.done, result, value, None))
        return True

    def _read(self, key: bytes) -> bytes | None:
        decided, value = self._overlay.get(key)
        return value if decided else self._ports.store.get(key)

    def _recorded(self, proposal: Proposal) -> bytes | None:
        """The recorded result of a command."""
        token = proposal.token
        value = self._read(result_key(self._keyspace, proposal.key[: self._route_bytes], token))
        if value is None and self._may_have_legacy_tokens():
            value = self._read(legacy_token_key(self._keyspace, self.replica.partition_id, token))
        return value

    def _may_have_legacy_tokens(self) -> bool:
        """Whether an earlier version recorded results here: nobody does any more."""
        if self._has_legacy_tokens is None:
            first = floor_key(self._keyspace, self.replica.partition_id)
            above = floor_key(self._keyspace, self.replica.partition_id + 1)
            stored = (key for key, _ in self._ports.store.scan(first, above))
            found = (*self._overlay.within(first, above), *islice(stored, 2))
            self._has_legacy_tokens = any(key != first for key in found)
        return self._has_legacy_tokens

    def _sweep_tokens(self, now_ms: int) -> None:
        """Forget old commands, and say so in the log: wall clocks differ between leaders."""
        if now_ms - self._tokens_swept_ms < TOKEN_SWEEP_INTERVAL_MS:
            return
        if self._tokens_swept_ms:
            replica, store = self.replica, self._ports.store
            first = floor_key(self._keyspace, replica.partition_id)
            floor = max(token_floor(now_ms), self._read(first) or b"")
            start, end = self._range
            swept = RangeRecord(start, end)
            last = legacy_token_key(self._keyspace, replica.partition_id, floor)
            self._batch += [(DELETE_RANGE, first, last), (PUT, first, floor)]
            for low, high in result_ranges(store, self._keyspace, swept, until=floor):
                self._batch.append((DELETE_RANGE, low, high))
        self._tokens_swept_ms = now_ms

    # the range

    def split(self, key: bytes, child: int) -> int:
        """Log that keys from `key` on are partition `child`'s; the entry's index (Split in the
        model of merges).

        Raises ConditionalConflict while another split is on its way, WrongRange, Unavailable.
        """
        replica, record = self.replica, self.replica.range
        if not self.may_change_range() or len(replica.descriptor.in_sync) < IN_SYNC_MIN:
            raise ConditionalConflict("the partition cannot be split right now")
        self._require(key, None)
        if key == record.start or self._division is None:
            raise WrongRange("a partition is split within its range")
        index = replica.log.last_index + 1
        generation = record.generation + 1
        left = msgspec.structs.replace(
            record, end=key, generation=generation, child=child, child_end=record.end, absorbed=0
        )
        right = RangeRecord(
            key, record.end, base_index=index, base_epoch=self.epoch, lead=self._lead
        )
        operations: list[Operation] = [
            (PUT, range_key(replica.partition_id), encode_range(left)),
            (PUT, range_key(child), encode_range(right)),
            (PUT, applied_key(child), encode_applied(index, self.epoch)),
        ]
        floor = self._read(floor_key(self._keyspace, replica.partition_id))
        if floor is not None:
            operations.append((PUT, floor_key(self._keyspace, child), floor))
        for family, logical, value in self._division.carried(self._view, record.start, key):
            operations.append((PUT, bytes((self._keyspace, family)) + logical, value))
        return self.log_change(operations, split=Split(key, child))

    def may_change_range(self) -> bool:
        """Whether everything that changed it before is committed and told, and we lead on."""
        replica = self.replica
        return (
            not self._stopped
            and not self._refusing
            and replica.commit_index >= self.start_index
            and replica.is_settled
        )

    @property
    def view(self) -> LeaderView:
        """Of what the next command will be evaluated against."""
        return self._view

    @property
    def lead(self) -> int:
        """What the sequences of the next entry are ahead of its index."""
        return self._lead

    @property
    def floor(self) -> bytes:
        """The token below which all are forgotten."""
        return self._read(floor_key(self._keyspace, self.replica.partition_id)) or b""

    def log_change(
        self, operations: list[Operation], *, split: Split | None = None, merge: Merge | None = None
    ) -> int:
        """Log an entry that changes the range; its index. Raises Unavailable: nothing is logged."""
        index = self.replica.log.last_index + 1
        self._batch += operations
        try:
            self._append_entry(split, merge)
        except Unavailable:
            self._batch, self._batch_keys, self._batch_bytes = [], [], 0
            raise
        self._overlay.add(index, operations)
        self._view = self._make_view()
        if self.replica.closing:
            refused, self._proposals = self._proposals, []
            for proposal in refused:
                proposal.done(None, b"", WrongRange("the partition is being merged"))
        return index

    def _append_entry(self, split: Split | None = None, merge: Merge | None = None) -> int:
        """Log the batch as one entry and send it to the followers (Write in the model)."""
        replica, operations, keys = self.replica, self._batch, self._batch_keys
        payload, batch = encode_payload(keys, operations, split, merge)
        previous_index, previous_epoch = replica.log.last_index, replica.log.last_epoch
        index = replica.log.append(self.epoch, payload)
        replica.add_pending(PendingEntry(index, self.epoch, keys, batch, operations, split, merge))
        self._in_flight_bytes += len(batch)
        self._batch, self._batch_keys, self._batch_bytes = [], [], 0
        self._hold(index)
        self._told_commit_index = replica.commit_index
        append = Append(
            replica.partition_id,
            self.epoch,
            previous_index,
            previous_epoch,
            replica.commit_index,
            [(self.epoch, payload)],
            index,
        )
        self.followers.send_new(index, append, len(payload))
        return index

    def _hold(self, index: int) -> None:
        outcomes, self._batch_outcomes = self._batch_outcomes, []
        if not outcomes:
            return
        if index <= self.replica.commit_index:
            for outcome in outcomes:
                outcome.release()
        else:
            self._outcomes.append((index, outcomes))

    # commit

    def advance(self) -> None:
        """Commit what every required replica has durable, if the leases allow it."""
        replica = self.replica
        if self._stopped:
            return
        index = min(replica.log.durable_index, self.followers.durable_everywhere())
        descriptor = replica.descriptor
        if index <= replica.commit_index or (
            # A sole source has no entries but those it inherited: it takes no new ones.
            len(descriptor.in_sync) < IN_SYNC_MIN and not descriptor.recovered
        ):
            return
        now = self._ports.clock.monotonic()
        if not self.lease_holds(now):
            return  # tried again when a heartbeat renews the lease
        if self.followers.must_wait(now):
            return  # tried again when the grant of a dropped replica has run out
        replica.commit_to(index)
        if replica.commit_index < index:
            return  # the store has no room: tried again by the next tick
        under_way = len(self._proposals)
        while self._outcomes and self._outcomes[0][0] <= index:
            outcomes = self._outcomes.popleft()[1]
            under_way += len(outcomes)
            for outcome in outcomes:
                outcome.release()
        for _, outcomes in self._outcomes:
            under_way += len(outcomes)
        self._pacing.committed(under_way, now)
        self._ports.on_commit(replica.partition_id)
        if self._proposals:
            self._evaluate_soon()
        if self._commit_wanted:
            self._send_commit()
        elif self._commit_notice is None:
            self._commit_notice = asyncio.get_running_loop().call_later(
                COMMIT_NOTICE_DELAY_S, self._send_commit
            )

    def applied(self, entry: PendingEntry) -> None:
        """The replica applied an entry of ours or one that we inherited."""
        self._overlay.release(entry.index, entry.effects())
        self._in_flight_bytes = max(0, self._in_flight_bytes - len(entry.batch))

    def _send_commit(self) -> None:
        """Tell the followers how far to apply, if no append did since the commit."""
        if self._commit_notice is not None:
            self._commit_notice.cancel()
            self._commit_notice = None
        self._commit_wanted = False
        replica = self.replica
        if not self._stopped and self._told_commit_index < replica.commit_index:
            self._told_commit_index = replica.commit_index
            self.followers.broadcast(Commit(replica.partition_id, self.epoch, replica.commit_index))

    # messages

    def receive_ack(self, sender: str, message: Ack) -> None:
        """One that tells nothing new comes from a follower with readers who wait for a commit."""
        if message.epoch != self.epoch:
            return
        progress = self.followers.progress.get(sender)
        if progress is not None and message.index <= progress.match_index:
            self._commit_wanted = True
            if self._told_commit_index < self.replica.commit_index:
                self._send_commit()
        self.followers.acknowledged(sender, message.index)
        self.advance()

    def receive_reject(self, sender: str, message: Reject) -> None:
        if message.epoch > self.epoch:
            self._ports.on_newer_epoch(self.replica.partition_id)
            return
        self.followers.rejected(sender, message)

    # the end

    def refuse_new(self) -> None:
        """Take no further command: a hand-over is under way."""
        self._refusing = True

    def accept_new(self) -> None:
        """The hand-over did not happen."""
        self._refusing = False

    def drained(self) -> bool:
        """Whether everything logged is committed and nothing is queued."""
        return not self._proposals and self.replica.commit_index == self.replica.log.last_index

    def stop(self, reason: str) -> None:
        """Fail what waits: commands that were logged may yet be committed by the next leader."""
        self._stopped = True
        self.followers.stop()
        for timer in (self._commit_notice, self._gathering):
            if timer is not None:
                timer.cancel()
        for proposal in self._proposals:
            proposal.done(None, b"", NotLeader(reason, leader=""))
        self._proposals = []
        unknown = OutcomeUnknown(f"the leader changed before the commit: {reason}")
        for _, outcomes in self._outcomes:
            for outcome in outcomes:
                outcome.done(None, b"", unknown)
        self._outcomes.clear()
