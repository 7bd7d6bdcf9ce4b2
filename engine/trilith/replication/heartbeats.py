"""Heartbeats between this node and every other: they carry the leases of all partitions at once.

An idle cluster sends these and nothing else, whatever the number of partitions (Promise and Grant
in the model; HolderBeats and GiverAnswers in Lease.tla).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from trilith.replication.lease import PeerLease
from trilith.replication.messages import Heartbeat
from trilith.runtime.clock import Clock

SILENT_INTERVALS = 2.5  # a peer silent for so many intervals is given no further leases


class Heartbeats:
    """The leases with every peer, and the heartbeats that renew them."""

    def __init__(
        self,
        *,
        clock: Clock,
        send: Callable[[str, msgspec.Struct], bool],
        lease_s: float,
        margin_s: float,
        interval_s: float,
    ) -> None:
        self._clock = clock
        self._send = send
        self._lease_s = lease_s
        self._margin_s = margin_s
        self._silence_s = interval_s * SILENT_INTERVALS
        self._started_at = clock.monotonic()
        self.full = False  # we have no room for entries
        self._leases: dict[str, PeerLease] = {}
        self._linked_at: dict[str, float] = {}

    def lease_of(self, node: str) -> PeerLease:
        lease = self._leases.get(node)
        if lease is None:
            lease = self._leases[node] = PeerLease(
                self._lease_s, self._margin_s, started_at=self._started_at
            )
        return lease

    def link_up(self, node: str) -> None:
        """A new link: greet at once, so that leases do not wait for the next interval."""
        self.lease_of(node).link_reset()
        self._linked_at[node] = now = self._clock.monotonic()
        self._beat(node, now, greeting=True)

    def link_down(self, node: str) -> None:
        self.lease_of(node).link_reset()

    def beat(self, nodes: Iterable[str]) -> None:
        """Send one heartbeat to each. The caller has revoked grants whose lease no longer holds."""
        now = self._clock.monotonic()
        for node in nodes:
            self._beat(node, now, greeting=False)

    def _beat(self, node: str, now: float, *, greeting: bool) -> None:
        lease = self.lease_of(node)
        heard = not greeting and lease.silent_for(now) <= self._silence_s
        if self._send(node, Heartbeat(now, lease.last_received, heard, heard, self.full)):
            lease.sending(now, promise=heard, grants=heard)

    def receive(self, node: str, message: Heartbeat) -> bool:
        """Renew the leases; True: the first over this link, answer at once."""
        lease = self.lease_of(node)
        first = lease.last_received == 0.0
        lease.received(
            message.sent_at,
            message.echo,
            promise=message.promise,
            grants=message.grants,
            full=message.full,
            now=self._clock.monotonic(),
        )
        return first

    def answer(self, node: str) -> None:
        self._beat(node, self._clock.monotonic(), greeting=False)

    def is_silent(self, node: str, for_s: float) -> bool:
        """Whether the node was not heard for so long, whatever its links."""
        return self.lease_of(node).silent_for(self._clock.monotonic()) > for_s

    def link_is_silent(self, node: str, for_s: float) -> bool:
        """Whether nothing came over the current link for so long."""
        now = self._clock.monotonic()
        linked_s = now - self._linked_at.get(node, now)
        return min(linked_s, self.lease_of(node).silent_for(now)) > for_s
