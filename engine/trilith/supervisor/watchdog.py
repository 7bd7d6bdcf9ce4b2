"""Notices a node whose event loop no longer runs, so that it is killed and started again.

A stopped process (SIGSTOP) or a wedged loop keeps its listening sockets, and the kernel goes on
giving them their share of the connections of a port that nodes share (SO_REUSEPORT): those clients
would hang until their own time-outs. Nothing short of ending the process takes its sockets out of
the group and keeps it able to go on: a listener that is shut down from outside (pidfd_getfd) stays
dead when its process continues. Killing costs nothing that is acknowledged: a node that is silent
for longer than its lease has lost its leaderships already, and a kill is what it is built for.

Connections that wait in the dead node's accept queue are reset; with the kernel's
net.ipv4.tcp_migrate_req=1 it hands them to the living nodes instead (`trilith doctor` says so).

Silence is counted only while this process itself runs: each look adds at most `LOOK_S_MAX`, so a
machine that was suspended, or starved of CPU, is not taken for silent nodes.
"""

from __future__ import annotations

import asyncio
import os
from typing import NamedTuple

from trilith.supervisor import proc

LOOK_INTERVAL_S = 0.2
LOOK_S_MAX = 2 * LOOK_INTERVAL_S
_READ_BYTES = 4096


class Patience(NamedTuple):
    """How long a node may be silent before it is killed, in seconds."""

    silent_s: float
    # When the kernel says that a signal stopped it: then nothing is being computed, and its lease
    # is the only thing worth waiting for.
    stopped_s: float


class Silence:
    """How long nothing was heard, counted in looks."""

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self.seconds = 0.0

    def look(self, now: float, *, heard: bool) -> float:
        """Seconds of silence up to now."""
        passed = min(now - self._looked_at, LOOK_S_MAX)
        self._looked_at = now
        self.seconds = 0.0 if heard else self.seconds + passed
        return self.seconds


class PulsePipe:
    """The supervisor's end of a node's pulse."""

    def __init__(self) -> None:
        self._reading, self.node_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._node_end_open = True

    def spawned(self) -> None:
        """The node has its end: ours of it is closed, so that the node's closing is seen."""
        if self._node_end_open:
            self._node_end_open = False
            os.close(self.node_end)

    def close(self) -> None:
        self.spawned()
        os.close(self._reading)

    def heard(self) -> bool | None:
        """Whether it beat since the last look; None: it closed its end, it is stopping."""
        try:
            beats = os.read(self._reading, _READ_BYTES)
        except BlockingIOError:
            return False
        return True if beats else None


async def why_to_kill(pid: int, pipe: PulsePipe, patience: Patience) -> str | None:
    """Watch a node that serves until it must be killed, and why; None: it is stopping by itself."""
    loop = asyncio.get_running_loop()
    silence = Silence(loop.time())
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        heard = pipe.heard()
        if heard is None:
            return None
        seconds = silence.look(loop.time(), heard=heard)
        if seconds >= patience.stopped_s and proc.is_stopped(pid):
            return f"gave no sign of life for {seconds:.1f} s: a signal stopped it"
        if seconds >= patience.silent_s:
            return f"gave no sign of life for {seconds:.1f} s: its event loop hangs"
