"""Leases between two nodes, on each side's own monotonic clock.

Two kinds, both renewed by heartbeats and valid for all partitions of the pair:

* a **promise**, follower to leader: not to take over for `lease_s`. While a leader holds the
  promise of every in-sync follower, nobody else can lead.
* a **grant**, leader to follower: the partitions that the leader listed are in sync. While a
  follower holds it, everything acknowledged is in its log.

Arithmetic (DESIGN rule 4): the holder counts from the time *it* sent the heartbeat that is echoed,
less a margin for drift; the giver counts from when it sent the lease, which is later. So the
holder's lease ends before the giver's obligation does, whatever the network delays.
Model: Nested in Lease.tla; Promise, Grant and Tick in Replication.tla.
"""

from __future__ import annotations

from collections import deque

NEVER = float("-inf")
FOREVER = float("inf")
UNECHOED_MAX = 32  # the oldest of them tell enough


class PeerLease:
    """Leases held from, and given to, one other node. Times are this node's monotonic seconds."""

    __slots__ = (
        "_lease_s",
        "_margin_s",
        "_unechoed",
        "full",
        "grant_given_until",
        "granted_until",
        "heard_at",
        "last_received",
        "promise_given_until",
        "promised_until",
    )

    def __init__(self, lease_s: float, margin_s: float, *, started_at: float) -> None:
        """`started_at`: before this, a former run of this process may have given leases
        (GiverRestarts in Lease.tla).
        """
        self._lease_s = lease_s
        self._margin_s = margin_s
        self.promised_until = NEVER  # held: the peer will not take over from us
        self.granted_until = NEVER  # held: the partitions the peer granted us are in sync
        self.promise_given_until = started_at + lease_s
        self.grant_given_until = started_at + lease_s
        self.heard_at = NEVER
        self.full = False  # the peer has no room for entries, by its own word
        self.last_received = 0.0  # the peer's clock, to echo; 0: nothing over this link yet
        self._unechoed: deque[float] = deque()  # when heartbeats left that no echo has confirmed

    def link_reset(self) -> None:
        """A new link: echoes of the old one no longer count. Leases given stay given."""
        self.last_received = 0.0
        self.granted_until = NEVER
        self._unechoed.clear()

    def received(
        self,
        sent_at: float,
        echo: float,
        *,
        promise: bool,
        grants: bool,
        now: float,
        full: bool = False,
    ) -> None:
        """A heartbeat arrived (HolderReceives in Lease.tla).

        An echo from the future is a defect of the peer, and gives nothing.
        """
        self.last_received = sent_at
        self.heard_at = now
        self.full = full
        if not 0.0 < echo <= now:
            return
        while self._unechoed and self._unechoed[0] <= echo:
            self._unechoed.popleft()
        until = echo + self._lease_s - self._margin_s
        if promise:
            self.promised_until = max(self.promised_until, until)
        if grants:
            self.granted_until = max(self.granted_until, until)

    def sending(self, now: float, *, promise: bool, grants: bool) -> None:
        """A heartbeat is about to leave: what it gives is owed from now."""
        if promise:
            self.promise_given_until = now + self._lease_s
        if grants:
            self.grant_given_until = now + self._lease_s
        if len(self._unechoed) < UNECHOED_MAX:
            self._unechoed.append(now)

    def silent_for(self, now: float) -> float:
        """Seconds without a sign that the peer hears us and we hear it; infinite when never.

        One that speaks but hears nothing, behind a link that is cut one way, can neither lead nor
        follow: it is no better than one that is silent. Counted from the first heartbeat that it
        did not echo, so a pause of our own, in which none left, counts for nothing.
        """
        silent_s = now - self.heard_at
        return max(silent_s, now - self._unechoed[0]) if self._unechoed else silent_s
