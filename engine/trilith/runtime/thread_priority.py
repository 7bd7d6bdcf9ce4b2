"""Priorities of single threads, for libraries that start their own."""

from __future__ import annotations

import os
import sys

NICE_MAX = 19
_THREADS = "/proc/self/task"


def lower_threads(named: str, nice: int) -> None:
    """Have threads of this process whose name starts with `named` give way to the others.

    `nice`: how much above the calling thread's value (setpriority(2)); a thread that gives way as
    much, or more, is left as it is. Where threads have no priority of their own, that is but on
    Linux, or nobody may set it, nothing is done: it is a matter of speed.
    """
    if sys.platform != "linux" or not os.path.isdir(_THREADS):
        return
    value = min(os.getpriority(os.PRIO_PROCESS, 0) + nice, NICE_MAX)
    for thread in map(int, os.listdir(_THREADS)):
        try:
            with open(f"{_THREADS}/{thread}/comm", encoding="utf-8") as file:
                is_meant = file.read().startswith(named)
            if is_meant and os.getpriority(os.PRIO_PROCESS, thread) < value:
                os.setpriority(os.PRIO_PROCESS, thread, value)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except PermissionError:
            return  # a sandbox that does not let processes set priorities
