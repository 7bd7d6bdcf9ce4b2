"""Nodes that an earlier, killed supervisor left: waited for, so that two never share the data.

The kernel has sent them SIGTERM when their supervisor died; they are draining. The record of their
pids carries the start time, and the command line must name the same data: no other process is ever
signalled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from trilith.supervisor import proc
from trilith.supervisor.small_files import replace_private
from trilith.undecodable import UNDECODABLE

RECORD_FILE = "nodes.json"
PATIENCE_S = 15.0
_POLL_S = 0.05


class Recorded(msgspec.Struct, array_like=True):
    """A node's process."""

    pid: int
    started_at: str


def record(data: Path, pids: Mapping[str, int | None]) -> None:
    """Keep which processes run now. Waits for no disk: none of them outlives the machine, and the
    supervisor, which calls this, must go on watching them however busy the disk is.
    """
    running = {
        zone: Recorded(pid, began)
        for zone, pid in pids.items()
        if pid is not None and (began := proc.started_at(pid)) is not None
    }
    replace_private(data / RECORD_FILE, msgspec.json.encode(running).decode() + "\n")


def survivors(data: Path) -> dict[str, int]:
    """Zone -> pid of the recorded nodes that still run."""
    try:
        recorded = msgspec.json.decode((data / RECORD_FILE).read_bytes(), type=dict[str, Recorded])
    except (FileNotFoundError, *UNDECODABLE):
        return {}  # nothing ran yet; a damaged record names nobody that we may signal
    return {
        zone: node.pid
        for zone, node in recorded.items()
        if proc.started_at(node.pid) == node.started_at
        and str(data / zone) in proc.command_line(node.pid)
    }


async def wait_until_gone(
    data: Path, report: Callable[[str], None], patience_s: float = PATIENCE_S
) -> None:
    """Return when no node of an earlier run is left; those that take too long are killed."""
    left = survivors(data)
    if not left:
        return
    report(f"waiting for {', '.join(left)} of an earlier run to stop")
    loop = asyncio.get_running_loop()
    _signal_all(left, signal.SIGTERM)
    deadline = loop.time() + patience_s
    while left and loop.time() < deadline:
        await asyncio.sleep(_POLL_S)
        left = survivors(data)
    _signal_all(left, signal.SIGKILL)
    while survivors(data):
        await asyncio.sleep(_POLL_S)


def _signal_all(nodes: Mapping[str, int], how: signal.Signals) -> None:
    for pid in nodes.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
