"""One node's process: started, watched, restarted with a growing pause, stopped or killed.

    STOPPED --start--> STARTING --listens--> RUNNING
       ^                  |  ^                  |
       |                exits  pause over     exits
       |                  v  |                  |
       +----stop/kill-- RESTARTING <------------+

`stop` and `kill` say that the process shall stay down; any other exit brings it back. A process
that runs but no longer shows a pulse is killed, and so brought back (watchdog.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

from trilith.supervisor import proc
from trilith.supervisor.watchdog import Patience, PulsePipe, why_to_kill

BACKOFF_FIRST_S = 0.2
BACKOFF_MAX_S = 10.0
# A process that lived this long was healthy: its next failure starts from the shortest pause.
HEALTHY_AFTER_S = 30.0
STOP_TIMEOUT_S = 15.0
_LISTEN_POLL_S = 0.05
_LISTEN_REST = 4  # times what a look took


class State(StrEnum):
    """Of a node's process, as the supervisor sees it."""

    STOPPED = "stopped"
    KILLED = "killed"
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"


class NodeProcess:
    """Keeps one command running. All methods are called on the event loop."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: dict[str, str],
        output_file: Path,
        ready_ports: set[int],
        report: Callable[[str], None],
        spawned: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
        backoff_first_s: float = BACKOFF_FIRST_S,
    ) -> None:
        """`patience`: the command takes `--pulse-fd`, and is killed when its pulse is missed."""
        self.name = name
        self.state = State.STOPPED
        self.exits = 0
        self.last_exit: str | None = None  # why it had to be started again, the last time
        self._command = list(command)
        self._environment = environment
        self._output_file = output_file
        self._ready_ports = ready_ports
        self._report = report
        self._spawned = spawned
        self._patience = patience
        self._pulse: PulsePipe | None = None
        self._killed_for: str | None = None
        self._backoff_first_s = backoff_first_s
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._wanted = State.STOPPED
        # Commands of several users take turns.
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """None while no process runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def is_wanted(self) -> bool:
        """Whether the process shall run: it was started and neither stopped nor killed."""
        return self._wanted is State.RUNNING

    def add_option(self, *words: str) -> None:
        """More of the command line, from the next start on."""
        self._command += words

    async def start(self) -> None:
        """Run the process from now on; no effect when it already runs. Raises OSError."""
        async with self._turn:
            if self.is_wanted:
                return
            await self._spawn()
            self._wanted = State.RUNNING
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """SIGTERM, SIGKILL after the timeout; returns when the process is gone."""
        await self._end(State.STOPPED, signal.SIGTERM, timeout_s)

    async def kill(self) -> None:
        """SIGKILL: what a power cut of the zone looks like to the others."""
        await self._end(State.KILLED, signal.SIGKILL, STOP_TIMEOUT_S)

    async def _end(self, wanted: State, how: signal.Signals, timeout_s: float) -> None:
        async with self._turn:
            self._wanted = wanted
            keeper, self._keeper = self._keeper, None
            if keeper is not None:
                keeper.cancel()
                await asyncio.wait([keeper])
            self._close_pulse()
            process = self._process
            if process is not None and process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(how)
                try:
                    await asyncio.wait_for(process.wait(), timeout_s)
                except TimeoutError:
                    self._report(f"{self.name} did not stop within {timeout_s:g} s: killing it")
                    process.kill()
                    await process.wait()
            self.state = wanted

    async def _spawn(self) -> None:
        pulse = self._pulse = PulsePipe() if self._patience is not None else None
        command, kept = self._command, list[int]()
        if pulse is not None:
            command, kept = [*command, "--pulse-fd", str(pulse.node_end)], [pulse.node_end]
        try:
            with self._output_file.open("ab") as output:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    pass_fds=kept,
                    # Ctrl-C in the terminal is for the supervisor: it stops the nodes in order.
                    process_group=0,
                )
        except BaseException:
            self._close_pulse()
            raise
        if pulse is not None:
            pulse.spawned()
        self.state = State.STARTING
        self._spawned()

    async def _keep(self) -> None:
        """Until cancelled: notice when the process listens, bring it back when it exits."""
        loop = asyncio.get_running_loop()
        pause_s = self._backoff_first_s
        while True:
            assert self._process is not None
            begun = loop.time()
            watching = loop.create_task(self._watch(self._process))
            try:
                code = await self._process.wait()
            finally:
                watching.cancel()
                self._close_pulse()
            self.exits += 1
            self.last_exit, self._killed_for = self._killed_for or describe_exit(code), None
            if loop.time() - begun > HEALTHY_AFTER_S:
                pause_s = self._backoff_first_s
            self.state = State.RESTARTING
            self._report(
                f"{self.name} {self.last_exit}; starting it again in {pause_s:g} s "
                f"(its output: {self._output_file})"
            )
            pause_s = await self._restart(pause_s)

    async def _restart(self, pause_s: float) -> float:
        """Pause and spawn until a process runs; returns the next pause."""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, BACKOFF_MAX_S)
            try:
                await self._spawn()
            except OSError as error:
                self._report(f"{self.name} cannot be started: {error}; again in {pause_s:g} s")
            else:
                return pause_s

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Of one process: notice when it serves, and when it does so no longer."""
        await self._notice_listening(process.pid)
        if self._pulse is None or self._patience is None:
            return
        why = await why_to_kill(process.pid, self._pulse, self._patience)
        if why is not None:
            self._killed_for = f"was killed: it {why}"
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _close_pulse(self) -> None:
        if self._pulse is not None:
            self._pulse.close()
            self._pulse = None

    async def _notice_listening(self, pid: int) -> None:
        # The kernel announces no listeners to others: its table is looked at while a node starts.
        # That has each connection of the machine, also those that ended a minute ago: beside the
        # loop, which watches the other nodes and answers `trilith status`, and not all the time.
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            if self._ready_ports <= await asyncio.to_thread(proc.listening_ports, pid):
                break
            took_s = loop.time() - begun
            await asyncio.sleep(max(_LISTEN_POLL_S, took_s * _LISTEN_REST))
        self.state = State.RUNNING


def describe_exit(code: int) -> str:
    """`exited with status 1` or `was ended by SIGKILL`."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel send this process SIGTERM when its parent dies, however it dies.

    Called in the node. Without it a killed supervisor would leave nodes that hold the ports and
    the data. Raises SystemExit when the parent is already gone.
    """
    import ctypes

    pr_set_pdeathsig = 1
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(pr_set_pdeathsig, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        raise SystemExit("the supervisor ended before this node started")
