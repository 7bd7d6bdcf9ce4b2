"""A runtime over a `RecordedDisk`: blocking work runs in place, the test sets the wall clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from tests.storage.recorded_disk import RecordedDisk

from trilith.runtime.clock import Clock
from trilith.runtime.disk import Disk
from trilith.runtime.entropy import SystemEntropy
from trilith.runtime.network import Network
from trilith.runtime.ports import Runtime

P = ParamSpec("P")
T = TypeVar("T")


class InPlaceWorkers:
    """Implements `Workers` without threads."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    def close(self) -> None:
        pass


class SetClock:
    """Implements `Clock`: the loop's time, and a wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def wall_ms(self) -> int:
        return self.now_ms


def recorded_runtime(disk: RecordedDisk | Disk, clock: Clock | None = None) -> Runtime:
    return Runtime(
        clock=clock or SetClock(),
        disk=disk,
        network=cast(Network, cast(Any, None)),  # storage has no use for it
        workers=InPlaceWorkers(),
        entropy=SystemEntropy(),
    )
