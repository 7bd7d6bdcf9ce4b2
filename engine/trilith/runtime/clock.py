"""Clocks. Leases compare only `monotonic`; `wall` is for timestamps that people see."""

from __future__ import annotations

import time
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """A node's view of time; the simulation's drifts and jumps."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back, counts suspended time."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        ...


class SystemClock:
    """The machine's clocks. CLOCK_BOOTTIME, so that a suspended machine's leases run out."""

    def __init__(self) -> None:
        # A partial, not a method: it is asked many times for each request.
        self.monotonic = partial(time.clock_gettime, time.CLOCK_BOOTTIME)

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000
