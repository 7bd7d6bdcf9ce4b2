"""Provisioned throughput: token buckets for each table, each slot of it, and each index.

A bucket fills at the provisioned rate and holds BURST_S seconds of it (AWS's burst capacity). A
request is admitted while its buckets are not empty and pays afterwards, when its size is known: so
a bucket may run into debt by what is in flight. On-demand tables have no buckets.

A *slot* is one of the equal parts of a table's hash space (layout.py), and stands for a partition
at AWS, which gives a table more of them the more it is provisioned; what is one partition here has
to do with what nodes have time for. Any slot may use all that the table has (adaptive capacity), up
to what one partition gives at AWS: so may a hot key.

Every gateway keeps all buckets, and tells the others what it took, a few times a second: between
two words the gateways together may admit as often too much as there are gateways. Nothing of this
survives a restart, and nothing needs to: a bucket that starts anew starts full.

Source: AWS, "DynamoDB burst and adaptive capacity"; "Scaling DynamoDB: partitions, hot keys, and
split for heat".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum

import msgspec

from trilith.errors import ThroughputExceeded
from trilith.runtime.clock import Clock

BURST_S = 300.0
SHARE_INTERVAL_S = 0.1
BUCKETS_MAX = 20_000  # those that are full are forgotten before more are kept
_WHOLE = -1  # stands for a slot: the bucket of the whole resource


class Kind(IntEnum):
    """What capacity is spent on."""

    READ = 0
    WRITE = 1


SLOT_UNITS_MAX = {Kind.READ: 3000.0, Kind.WRITE: 1000.0}


class Spent(msgspec.Struct, frozen=True, array_like=True):
    """Units taken from one bucket. `rate` is its units a second; `slot` -1: the whole."""

    resource: bytes
    slot: int
    kind: int
    rate: float
    units: float


class SpentElsewhere(msgspec.Struct, frozen=True, array_like=True, tag="tu"):
    """What a gateway tells the others, as a control message."""

    spent: list[Spent]


class _Bucket:
    """Tokens at one moment; negative while in debt."""

    __slots__ = ("at_s", "level", "rate")

    def __init__(self, rate: float, now_s: float) -> None:
        self.rate = rate
        self.level = rate * BURST_S
        self.at_s = now_s

    def refill(self, rate: float, now_s: float) -> float:
        """The level now. A changed rate counts from now on, and bounds what is saved."""
        self.level = min(self.level + (now_s - self.at_s) * self.rate, rate * BURST_S)
        self.rate, self.at_s = rate, now_s
        return self.level


class Throughput:
    """One gateway's account. `share` sends what it took to the other gateways."""

    def __init__(
        self, clock: Clock, share: Callable[[list[Spent]], None], *, enforced: bool = True
    ) -> None:
        self._clock = clock
        self._share = share
        self._enforced = enforced
        self._buckets: dict[tuple[bytes, int, int], _Bucket] = {}
        self._unshared: dict[tuple[bytes, int, int], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def admit(
        self,
        resource: bytes,
        kind: Kind,
        rate: float,
        slot: int | None = None,
        *,
        ahead: float = 0.0,
    ) -> None:
        """Raises ThroughputExceeded while a bucket of the request is empty.

        `resource`: a table's or an index's id; `rate`: its provisioned units a second. `ahead`:
        units that others of a batch, which were admitted before this one, are yet to pay.
        """
        if not self._enforced:
            return
        now_s = self._clock.monotonic()
        for key, its_rate in _buckets_of(resource, kind, rate, slot):
            bucket = self._buckets.get(key)
            level = its_rate * BURST_S if bucket is None else bucket.refill(its_rate, now_s)
            # What a batch takes of each of several slots is not told apart.
            if level <= (ahead if key[1] == _WHOLE else 0.0):
                raise ThroughputExceeded

    def spend(
        self, resource: bytes, kind: Kind, rate: float, units: float, slot: int | None = None
    ) -> None:
        """Pay for a request that was served."""
        if not self._enforced:
            return
        now_s = self._clock.monotonic()
        for key, its_rate in _buckets_of(resource, kind, rate, slot):
            self._take(key, its_rate, units, now_s)
            self._unshared[key] = self._unshared.get(key, 0.0) + units
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(SHARE_INTERVAL_S, self._share_now)

    def heard(self, spent: list[Spent]) -> None:
        """Another gateway took these."""
        now_s = self._clock.monotonic()
        for one in spent:
            self._take((one.resource, one.slot, one.kind), one.rate, one.units, now_s)

    def _take(self, key: tuple[bytes, int, int], rate: float, units: float, now_s: float) -> None:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= BUCKETS_MAX:
                self._forget_full(now_s)
            bucket = self._buckets[key] = _Bucket(rate, now_s)
        bucket.refill(rate, now_s)
        bucket.level -= units

    def _forget_full(self, now_s: float) -> None:
        """A bucket that is full again is as good as none."""
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if bucket.refill(bucket.rate, now_s) < bucket.rate * BURST_S
        }

    def _share_now(self) -> None:
        self._timer = None
        taken, self._unshared = self._unshared, {}
        self._share(
            [
                Spent(resource, slot, kind, self._buckets[key].rate, units)
                for key, units in taken.items()
                for resource, slot, kind in (key,)
                if key in self._buckets
            ]
        )


def _buckets_of(
    resource: bytes, kind: Kind, rate: float, slot: int | None
) -> list[tuple[tuple[bytes, int, int], float]]:
    whole = ((resource, _WHOLE, int(kind)), rate)
    if slot is None:
        return [whole]
    its_rate = min(rate, SLOT_UNITS_MAX[kind])
    return [whole, ((resource, slot, int(kind)), its_rate)]
