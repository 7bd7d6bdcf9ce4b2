"""A node's clock, randomness and workers in a simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import ParamSpec, TypeVar

from tests.simulation.loop import Process, SimLoop

P = ParamSpec("P")
T = TypeVar("T")

WALL_START_MS = 1_800_000_000_000


class SimClock:
    """Implements `Clock`: runs at its own rate, from its own zero; its wall time can be set.

    Reading it may be the moment at which a stall strikes: the reader gets the time before, and
    everything that it does from then on happens after the stall.
    """

    def __init__(self, loop: SimLoop, process: Process, rate: float, zero_s: float) -> None:
        self._loop = loop
        self._process = process
        self.rate = rate
        self._zero_s = zero_s
        self.wall_shift_ms = 0

    def _true(self) -> float:
        return max(self._loop.now, self._process.paused_until)

    def monotonic(self) -> float:
        reading = self._zero_s + self._true() * self.rate
        stall = self._process.stall
        if stall is not None:
            left, seconds = stall
            if left > 0:
                self._process.stall = (left - 1, seconds)
            else:
                self._process.stall = None
                self._loop.pause(self._process, self._true() + seconds)
        return reading

    def wall_ms(self) -> int:
        """True time and a shift: wall clocks are kept by NTP, or set by somebody."""
        return WALL_START_MS + self.wall_shift_ms + int(self._true() * 1000)


class SimEntropy:
    """Implements `Entropy` from a seed."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token_bytes(self, length: int) -> bytes:
        return self._random.randbytes(length)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class SimWorkers:
    """Implements `Workers` without threads: the work happens at some moment of a short time."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.slowness = 1.0

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(self._random.uniform(0.0, 0.002) * self.slowness)
        result = function(*args, **kwargs)
        await asyncio.sleep(self._random.uniform(0.0, 0.002) * self.slowness)
        return result

    def close(self) -> None:
        pass
