"""Processes of this machine through /proc: descendants, liveness, memory, signals by pid."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PROC = Path("/proc")
KIB = 1024


class DeadlineError(AssertionError):
    """A condition did not come true in time."""


def wait_until(
    condition: Callable[[], bool], *, deadline_s: float, what: str, interval_s: float = 0.05
) -> None:
    """Polls `condition` until it holds; raises DeadlineError naming `what` after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise DeadlineError(f"not within {deadline_s} s: {what}")
        time.sleep(interval_s)


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from `state` on; empty when the process is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] not in {"Z", "X"}


def family(root: int) -> set[int]:
    """`root`, its descendants, and every process of its session, as far as alive."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        fields = _stat_fields(int(entry.name))
        if not fields or fields[0] in {"Z", "X"}:
            continue
        parents[int(entry.name)] = int(fields[1])
        if int(fields[3]) == root:
            found.add(int(entry.name))
    if root in parents:
        found.add(root)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def kill(pids: Iterable[int], sig: signal.Signals = signal.SIGKILL) -> None:
    """Sends `sig` to each pid that still exists."""
    for pid in pids:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            continue


def _status_bytes(pid: int, field: str) -> int:
    try:
        text = (PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in text.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * KIB
    return 0


def resident_bytes(pid: int) -> int:
    """VmRSS now; 0 when the process is gone."""
    return _status_bytes(pid, "VmRSS")


def peak_resident_bytes(pid: int) -> int:
    """The highest VmRSS since the start or the last `reset_peak`."""
    return _status_bytes(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Makes `peak_resident_bytes` start anew (proc(5), clear_refs)."""
    (PROC / str(pid) / "clear_refs").write_text("5")
