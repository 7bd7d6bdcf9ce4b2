"""Priorities of single threads, for libraries that start their own."""

from __future__ import annotations

import os
import sys

NICE_MAX = 19


def lower_threads(named: str, nice: int) -> None:
    """Have threads of this process whose name starts with `named` give way to the others.

    `nice`: how much above the calling thread's value (setpriority(2)); said again it changes
    nothing. Where threads have no priority of their own, that is but on Linux, nothing is done.
    """
    if sys.platform != "linux":
        return
    value = min(os.getpriority(os.PRIO_PROCESS, 0) + nice, NICE_MAX)
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as file:
                is_meant = file.read().startswith(named)
            if is_meant:
                os.setpriority(os.PRIO_PROCESS, int(thread), value)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
