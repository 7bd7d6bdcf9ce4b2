"""A leader's followers: what each has, what to send it next, which of them a commit needs.

Every follower starts in PROBE: an empty append asks where the logs meet. Then STREAM: new entries
are sent as they are made, older ones from the journal, a bounded window ahead of what is
acknowledged. One whose next entry has left the journal needs a SNAPSHOT (rule 6).

A node that comes back is behind in many partitions at once. Those that no commit waits for share
one window; and a follower whose journal has no room takes what it can, refuses the rest, and is
sent more once its answer to a probe says that there is room again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from trilith.errors import Corruption
from trilith.replication.lease import FOREVER, NEVER, PeerLease
from trilith.replication.messages import Append, Commit, Grant, Reject

if TYPE_CHECKING:
    from trilith.replication.leader import Leader

CATCH_UP_READ_BYTES = 1024 * 1024
CATCH_UP_WINDOW_BYTES = 4 * 1024 * 1024
STREAM_WINDOW_BYTES = 64 * 1024 * 1024
PROBE_RETRY_S = 0.25
PEER_WINDOW_BYTES = 32 * 1024 * 1024  # to one node, over all partitions; half of what it queues
RESEND_S = 3.0  # longer than it takes to drop a follower that stalls
LEAVE_S = 5.0  # how long one that lost its log may take to leave the in-sync set
REJECTIONS_MAX = 4  # in a row: what we send does not help, and we ask anew after a while


class State(Enum):
    DOWN = "down"
    PROBE = "probe"
    STREAM = "stream"
    SNAPSHOT = "snapshot"


class Progress:
    """One follower, as its leader knows it, within one epoch."""

    __slots__ = (
        "dropped_at",
        "dropping",
        "drops",
        "granted",
        "in_flight",
        "joining",
        "lease",
        "lost_at",
        "match_index",
        "next_index",
        "node",
        "probed_at",
        "probing_since",
        "promise_counts_until",
        "rejections",
        "state",
        "unacked",
        "unacked_bytes",
        "unacked_since",
        "up_since",
    )

    def __init__(self, node: str, lease: PeerLease, in_flight: Counter[str]) -> None:
        """`in_flight`: by node, unacknowledged bytes of all partitions that we lead."""
        self.node = node
        self.lease = lease
        self.in_flight = in_flight
        self.promise_counts_until = NEVER
        self.state = State.DOWN
        self.match_index = 0  # durable there, and equal to our log
        self.next_index = 0
        self.joining = False  # a commit waits for it already, the descriptor does not list it yet
        self.dropping = False  # a swap that drops it is under way: no further grant
        self.granted = False
        self.unacked: deque[tuple[int, int]] = deque()  # (index, bytes) sent and not acknowledged
        self.unacked_bytes = 0
        self.unacked_since = 0.0
        self.up_since = 0.0
        # When it was first probed, or refused what we sent, since it last came forward; else None.
        self.probing_since: float | None = None
        self.probed_at = 0.0
        self.dropped_at = NEVER
        self.lost_at = (
            NEVER  # when it said that its log is lost, and has acknowledged nothing since
        )
        self.rejections = 0  # since it last acknowledged something, or was probed
        self.drops = 0  # how often it was dropped lately: the more, the longer until it may rejoin

    @property
    def is_lost(self) -> bool:
        return self.state is State.SNAPSHOT and self.lost_at > NEVER

    def promised_until(self) -> float:
        """When its promise ends, as far as it was renewed over links that it follows us on."""
        return min(self.lease.promised_until, self.promise_counts_until)

    def confirm(self) -> None:
        """It acknowledged our epoch over this link: it has led no later one, its promises count.

        Whoever led in between and restarted, or handed over, promises too, since promises are per
        pair of nodes; it must not revive the lease of a deposed leader (Confirmed in the model).
        """
        self.promise_counts_until = FOREVER

    def link_lost(self) -> None:
        self.promise_counts_until = self.promised_until()

    def sent(self, index: int, size: int, now: float) -> None:
        if not self.unacked:
            self.unacked_since = now
        self.unacked.append((index, size))
        self.unacked_bytes += size
        self.in_flight[self.node] += size
        self.next_index = index + 1

    def acknowledged(self, index: int, now: float) -> None:
        """Of what was sent, everything up to `index` has arrived."""
        unacked = self.unacked
        if not unacked or unacked[0][0] > index:
            return
        while unacked and unacked[0][0] <= index:
            size = unacked.popleft()[1]
            self.unacked_bytes -= size
            self.in_flight[self.node] -= size
        self.unacked_since = now

    def forget_sent(self) -> None:
        self.unacked.clear()
        self.in_flight[self.node] -= self.unacked_bytes
        self.unacked_bytes = 0


class Followers:
    """All other replicas of a led partition."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader
        self._replica = leader.replica
        self._ports = leader.replica.ports
        me = self._ports.node_id
        nodes = leader.replica.descriptor.replica_nodes()
        lease_of = self._ports.lease_of
        in_flight = self._ports.in_flight
        self.progress = {n: Progress(n, lease_of(n), in_flight) for n in nodes if n != me}
        self._blocked_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.snapshots_wanted: set[str] = set()

    def stop(self) -> None:
        """We lead no longer: our heartbeats must not go on extending what we granted."""
        if self._timer is not None:
            self._timer.cancel()
        for progress in self.progress.values():
            progress.forget_sent()
            if progress.granted:
                self._set_grant(progress, granted=False)

    # what a commit needs

    def durable_everywhere(self) -> int:
        """The highest index that every required follower has durable."""
        index = self._replica.log.last_index
        in_sync = self._replica.descriptor.in_sync
        # As `_is_waited_for`, without calls: on the path of every write.
        for progress in self.progress.values():
            if (progress.joining or progress.node in in_sync) and progress.match_index < index:
                index = progress.match_index
        return index

    def _is_waited_for(self, progress: Progress) -> bool:
        return progress.joining or progress.node in self._replica.descriptor.in_sync

    def block_commits_until(self, moment: float) -> None:
        """Somebody outside the in-sync set may hold a grant until then (rule 2)."""
        self._blocked_until = max(self._blocked_until, moment)

    def must_wait(self, now: float) -> bool:
        """Whether an outside grant still runs; if so, the commit is tried again when it ends."""
        if now >= self._blocked_until:
            return False
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._blocked_until - now + 0.001, self._unblocked)
        return True

    def _unblocked(self) -> None:
        self._timer = None
        self._leader.advance()

    # sending

    def probe_all(self) -> None:
        for progress in self.progress.values():
            self._probe(progress)

    def link_up(self, node: str, now: float) -> None:
        progress = self.progress.get(node)
        if progress is not None:
            progress.up_since = now
            progress.link_lost()
            self._probe(progress)

    def link_down(self, node: str) -> None:
        progress = self.progress.get(node)
        if progress is not None:
            progress.state = State.DOWN  # `joining` stays: a swap that adds it may be in flight
            progress.match_index = 0  # restarted, it may have lost what it had acknowledged
            progress.probing_since = None
            progress.granted = False
            progress.link_lost()
            progress.forget_sent()

    def _probe(self, progress: Progress) -> None:
        self._pause(progress)
        progress.probed_at = self._ports.clock.monotonic()
        progress.rejections = 0
        append = self._append_after(self._replica.log.last_index, [])
        if not self._ports.send(progress.node, append):
            progress.state = State.DOWN

    def _pause(self, progress: Progress) -> None:
        """Send no entries before a probe is answered: the next, PROBE_RETRY_S after the last."""
        if progress.granted:
            self._set_grant(progress, granted=False)
        progress.forget_sent()
        if progress.state is not State.PROBE:
            progress.probed_at = self._ports.clock.monotonic()
        if progress.probing_since is None:
            progress.probing_since = self._ports.clock.monotonic()
        progress.state = State.PROBE

    def tick(self, now: float) -> None:
        """A probe that reached a node before its replica was there has no answer, nor have entries
        that found no room at a node of an older version. And whoever was behind while too much was
        on its way to its node gets its turn.
        """
        for progress in self.progress.values():
            lost = progress.state is State.PROBE and now - progress.probed_at >= PROBE_RETRY_S
            stuck = progress.unacked and now - progress.unacked_since >= RESEND_S
            if lost or (stuck and progress.state is State.STREAM):
                self._probe(progress)
            elif not progress.unacked:
                self._pump(progress)

    def _append_after(self, previous: int, entries: list[tuple[int, bytes]]) -> Append:
        replica = self._replica
        return Append(
            replica.partition_id,
            self._leader.epoch,
            previous,
            replica.log.epoch_at(previous),
            replica.commit_index,
            entries,
            replica.log.last_index,
        )

    def send_new(self, index: int, append: Append, size: int) -> None:
        """Send a new entry to every follower that has all before it."""
        for progress in self.progress.values():
            if (
                progress.state is State.STREAM
                and progress.next_index == index
                and progress.unacked_bytes < STREAM_WINDOW_BYTES
            ):
                self._ports.send(progress.node, append)
                progress.sent(index, size, self._ports.clock.monotonic())

    def broadcast(self, message: msgspec.Struct) -> None:
        for progress in self.progress.values():
            if progress.state is State.STREAM:
                self._ports.send(progress.node, message)

    def _pump(self, progress: Progress) -> None:
        """Send what a follower lacks, from the journal, as far as the window allows."""
        log = self._replica.log
        while (
            progress.state is State.STREAM
            and progress.next_index <= log.last_index
            and progress.unacked_bytes < CATCH_UP_WINDOW_BYTES
            and (
                progress.in_flight[progress.node] < PEER_WINDOW_BYTES
                or self._is_waited_for(progress)
            )
        ):
            first = progress.next_index
            try:
                entries = log.read(first, max_bytes=CATCH_UP_READ_BYTES)
            except LookupError:
                self._want_snapshot(progress)
                return
            except Corruption as error:  # the store has what was applied
                self._ports.log("journal_damaged", node=progress.node, error=str(error))
                self._want_snapshot(progress)
                return
            append = self._append_after(first - 1, [(epoch, data) for epoch, _, data in entries])
            self._ports.send(progress.node, append)
            size = sum(len(data) for _, _, data in entries)
            progress.sent(first + len(entries) - 1, size, self._ports.clock.monotonic())

    def _want_snapshot(self, progress: Progress) -> None:
        progress.state = State.SNAPSHOT  # `joining` stays, as when the link is lost
        self.snapshots_wanted.add(progress.node)

    def take_snapshots_due(self, now: float) -> list[str]:
        """The nodes that are to be sent a snapshot now; each is given once.

        One that lost its log leaves the in-sync set first: filled, it lacks what is not applied
        here, and would be taken for complete were it all that is left (`trilith recover`). But
        commits wait for it, and for the coordinator they must not wait for ever.
        """
        in_sync = self._replica.descriptor.in_sync
        due = [
            node
            for node in self.snapshots_wanted
            if node not in in_sync or now - self.progress[node].lost_at >= LEAVE_S
        ]
        self.snapshots_wanted.difference_update(due)
        return sorted(due)

    def snapshot_done(self, node: str) -> None:
        """A snapshot was sent, or failed: ask anew where the logs meet."""
        self.snapshots_wanted.discard(node)
        progress = self.progress[node]
        if progress.state is State.SNAPSHOT:
            self._probe(progress)

    # answers

    def acknowledged(self, node: str, index: int) -> None:
        progress = self.progress.get(node)
        if progress is None or progress.state in (State.DOWN, State.SNAPSHOT):
            return
        progress.confirm()
        if progress.state is State.PROBE:
            progress.state = State.STREAM
            progress.match_index = index
            progress.next_index = index + 1
            # What was committed while it was probed, it was not told (`broadcast`).
            commit = Commit(
                self._replica.partition_id, self._leader.epoch, self._replica.commit_index
            )
            self._ports.send(node, commit)
        progress.match_index = max(progress.match_index, index)
        progress.rejections = 0
        progress.lost_at = NEVER
        progress.probing_since = None
        progress.acknowledged(index, self._ports.clock.monotonic())
        if progress.next_index <= self._replica.log.last_index:
            self._pump(progress)
        if not progress.granted:
            self.update_grant(progress)

    def rejected(self, node: str, message: Reject) -> None:
        progress = self.progress.get(node)
        if progress is None or progress.state in (State.DOWN, State.SNAPSHOT):
            return
        progress.forget_sent()
        if message.needs_snapshot:
            progress.match_index = 0  # what it acknowledged is damaged
            if progress.lost_at == NEVER:
                progress.lost_at = self._ports.clock.monotonic()
            self._want_snapshot(progress)
            return
        if message.commit_index > progress.match_index:
            progress.probing_since = None
        progress.match_index = message.commit_index
        progress.next_index = message.commit_index + 1
        progress.rejections += REJECTIONS_MAX if message.no_room else 1
        if progress.rejections >= REJECTIONS_MAX:
            self._pause(progress)
            return
        progress.state = State.STREAM
        if progress.next_index > self._replica.log.last_index:
            self._probe(progress)  # a greeting, with nothing to send: its answer confirms us
        else:
            self._pump(progress)

    # grants

    def update_grant(self, progress: Progress) -> None:
        """Grant to an in-sync follower that follows this epoch, while our own lease holds
        (rule 4; Grant in the model).
        """
        now = self._ports.clock.monotonic()
        entitled = (
            progress.state is State.STREAM
            and progress.node in self._replica.descriptor.in_sync
            and not progress.dropping
            and self._leader.lease_holds(now)
        )
        if entitled != progress.granted:
            self._set_grant(progress, granted=entitled)

    def update_grants(self) -> None:
        for progress in self.progress.values():
            self.update_grant(progress)

    def _set_grant(self, progress: Progress, *, granted: bool) -> None:
        progress.granted = granted
        message = Grant(self._replica.partition_id, self._leader.epoch, granted)
        self._ports.send(progress.node, message)

    def revoke(self, progress: Progress) -> None:
        """Stop extending a follower's grant, and hold commits until what it has runs out.

        Heartbeats that leave after this no longer extend it, since the link keeps order.
        """
        self._set_grant(progress, granted=False)
        self.block_commits_until(self._ports.lease_of(progress.node).grant_given_until)
