"""A node's process is kept running, and stays down when it was told to. Real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from trilith.supervisor import proc
from trilith.supervisor.node_process import NodeProcess, State, describe_exit

DEADLINE_S = 20.0
LISTENS = (
    "import socket, signal\nserver = socket.create_server(('127.0.0.1', PORT))\nsignal.pause()\n"
)
IGNORES_SIGTERM = (
    "import signal\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ignoring', flush=True)\n"
    "signal.pause()\n"
)


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def with_process(
    tmp_path: Path,
    source: str,
    body: Callable[[NodeProcess, list[str]], Awaitable[None]],
    ports: set[int] | None = None,
) -> None:
    async def run() -> None:
        reports: list[str] = []
        node = NodeProcess(
            "az1",
            [sys.executable, "-c", source],
            environment=dict(os.environ),
            output_file=tmp_path / "az1.out",
            ready_ports=ports or set(),
            report=reports.append,
            backoff_first_s=0.01,
        )
        try:
            await body(node, reports)
        finally:
            await node.kill()

    asyncio.run(run())


def test_a_process_is_running_once_it_listens_on_its_ports(tmp_path: Path) -> None:
    port = free_port()

    async def body(node: NodeProcess, _reports: list[str]) -> None:
        await node.start()
        assert node.state in (State.STARTING, State.RUNNING)
        await until(lambda: node.state is State.RUNNING)
        assert node.pid is not None
        assert port in proc.listening_ports(node.pid)
        await node.stop()
        assert (node.state, node.pid) == (State.STOPPED, None)

    with_process(tmp_path, LISTENS.replace("PORT", str(port)), body, {port})


def test_a_machine_with_many_connections_keeps_nobody_waiting_for_a_node_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's table of them was read in the supervisor's loop, twenty times a second for each
    node that started: beside busy processes `trilith status` was not answered for a minute."""
    port, waited = free_port(), []
    began, went_on = threading.Event(), threading.Event()

    def read_a_long_table(pid: int) -> set[int]:
        began.set()
        waited.append(went_on.wait(5.0))
        return {port}

    monkeypatch.setattr(proc, "listening_ports", read_a_long_table)

    async def body(node: NodeProcess, _reports: list[str]) -> None:
        await node.start()
        await until(began.is_set)
        went_on.set()  # what else the loop has to do
        await until(lambda: node.state is State.RUNNING)
        assert waited
        assert all(waited)

    with_process(tmp_path, LISTENS.replace("PORT", str(port)), body, {port})


def test_a_process_that_dies_is_started_again_and_reported(tmp_path: Path) -> None:
    async def body(node: NodeProcess, reports: list[str]) -> None:
        await node.start()
        first = node.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: node.pid not in (None, first))
        assert "ended by SIGKILL" in reports[0]

    with_process(tmp_path, "import signal; signal.pause()", body)


def test_a_killed_or_stopped_process_stays_down_until_it_is_started(tmp_path: Path) -> None:
    async def body(node: NodeProcess, reports: list[str]) -> None:
        for end, state in ((node.kill, State.KILLED), (node.stop, State.STOPPED)):
            await node.start()
            pid = node.pid
            assert pid is not None
            await end()
            assert node.state is state
            assert proc.started_at(pid) is None
            assert not node.is_wanted
        assert reports == []
        assert node.exits == 0

    with_process(tmp_path, "import signal; signal.pause()", body)


def test_a_process_that_ignores_sigterm_is_killed_after_the_timeout(tmp_path: Path) -> None:
    async def body(node: NodeProcess, reports: list[str]) -> None:
        await node.start()
        await until(lambda: b"ignoring" in (tmp_path / "az1.out").read_bytes())
        await node.stop(timeout_s=0.05)
        assert node.pid is None
        assert "did not stop" in reports[0]

    with_process(tmp_path, IGNORES_SIGTERM, body)


def test_a_stop_ends_a_restart_that_is_under_way(tmp_path: Path) -> None:
    async def body(node: NodeProcess, _reports: list[str]) -> None:
        await node.start()
        await until(lambda: node.exits >= 3)
        await node.stop()
        assert (node.state, node.pid) == (State.STOPPED, None)

    with_process(tmp_path, "raise SystemExit(3)", body)


def test_what_a_process_prints_is_kept(tmp_path: Path) -> None:
    async def body(node: NodeProcess, reports: list[str]) -> None:
        await node.start()
        await until(lambda: bool(reports))
        assert "exited with status 1" in reports[0]
        assert "ValueError: no such luck" in (tmp_path / "az1.out").read_text()

    with_process(tmp_path, "raise ValueError('no such luck')", body)


def test_exits_are_described_by_status_or_signal() -> None:
    assert describe_exit(2) == "exited with status 2"
    assert describe_exit(-9) == "was ended by SIGKILL"


def test_a_node_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = (
        "import signal, sys\n"
        "from trilith.supervisor.node_process import end_with_parent\n"
        "end_with_parent(int(sys.argv[1]))\n"
        "print('tied', flush=True)\n"
        "signal.pause()\n"
    )
    parent = (
        "import os, subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())],"
        " stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); sys.stdin.read()\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert supervisor.stdout is not None
    node_pid = int(supervisor.stdout.readline())
    assert proc.started_at(node_pid) is not None
    supervisor.kill()
    supervisor.communicate()
    asyncio.run(until(lambda: proc.started_at(node_pid) is None))


def test_a_node_whose_parent_is_already_gone_does_not_start() -> None:
    source = "from trilith.supervisor.node_process import end_with_parent; end_with_parent(1)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "supervisor ended" in done.stderr
