"""A node whose loop stands still is killed and started again; others never are. Real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from trilith import config
from trilith.config import ConfigError
from trilith.supervisor.node_process import NodeProcess, State
from trilith.supervisor.watchdog import LOOK_S_MAX, Patience, Silence

DEADLINE_S = 20.0
# Listens on nothing, so it counts as serving at once; then does what `body` says, in a loop.
NODE = """
import asyncio, sys, time
from trilith.pulse import Pulse

async def main():
    pulse = Pulse(int(sys.argv[sys.argv.index("--pulse-fd") + 1]))
    print("beating", flush=True)
    BODY
    await asyncio.Event().wait()

asyncio.run(main())
"""
PATIENCE = Patience(silent_s=1.0, stopped_s=0.5)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def with_node(
    tmp_path: Path,
    source: str,
    body: Callable[[NodeProcess, list[str]], Awaitable[None]],
    patience: Patience = PATIENCE,
) -> None:
    output = tmp_path / "az1.out"

    async def run() -> None:
        reports: list[str] = []
        node = NodeProcess(
            "az1",
            [sys.executable, "-c", source],
            environment=dict(os.environ),
            output_file=output,
            ready_ports=set(),
            report=reports.append,
            patience=patience,
            backoff_first_s=0.01,
        )
        try:
            await node.start()
            await until(lambda: b"beating" in output.read_bytes())
            await body(node, reports)
        finally:
            await node.kill()

    asyncio.run(run())


def test_a_stopped_process_is_killed_and_started_again(tmp_path: Path) -> None:
    async def body(node: NodeProcess, reports: list[str]) -> None:
        stopped = node.pid
        assert stopped is not None
        os.kill(stopped, signal.SIGSTOP)
        await until(lambda: node.exits == 1)
        assert node.last_exit is not None
        assert "a signal stopped it" in node.last_exit
        assert reports
        assert "no sign of life" in reports[0]
        await until(lambda: node.pid not in (None, stopped))

    # The loop's own limit is far away: only the kernel's word for it can be the reason.
    with_node(tmp_path, NODE.replace("BODY", ""), body, Patience(silent_s=60.0, stopped_s=0.5))


def test_a_process_whose_loop_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    async def body(node: NodeProcess, _reports: list[str]) -> None:
        await until(lambda: node.exits == 1)
        assert node.last_exit is not None
        assert "its event loop hangs" in node.last_exit

    with_node(tmp_path, NODE.replace("BODY", "time.sleep(60)"), body)


def test_a_process_that_closes_its_pulse_is_stopping_and_left_alone(tmp_path: Path) -> None:
    async def body(node: NodeProcess, _reports: list[str]) -> None:
        await asyncio.wait([asyncio.ensure_future(until(lambda: node.exits > 0))], timeout=2.0)
        assert (node.exits, node.state) == (0, State.RUNNING)

    with_node(tmp_path, NODE.replace("BODY", "pulse.close(); time.sleep(60)"), body)


def test_a_beating_process_is_left_alone(tmp_path: Path) -> None:
    async def body(node: NodeProcess, _reports: list[str]) -> None:
        await asyncio.wait([asyncio.ensure_future(until(lambda: node.exits > 0))], timeout=2.0)
        assert (node.exits, node.state) == (0, State.RUNNING)

    with_node(tmp_path, NODE.replace("BODY", ""), body)


def test_a_pause_of_the_whole_machine_is_not_a_nodes_silence() -> None:
    silence = Silence(now=100.0)
    assert silence.look(100.2, heard=True) == 0.0
    assert silence.look(3_700.2, heard=False) <= LOOK_S_MAX
    assert silence.look(3_700.4, heard=True) == 0.0


def test_silence_adds_up_until_something_is_heard() -> None:
    silence = Silence(now=0.0)
    seconds = [silence.look(0.2 * step, heard=False) for step in range(1, 11)]
    assert seconds[-1] == pytest.approx(2.0)
    assert silence.look(2.2, heard=True) == 0.0
    assert silence.look(2.4, heard=False) == pytest.approx(0.2)


def test_a_patience_shorter_than_the_lease_is_refused() -> None:
    with pytest.raises(ConfigError, match="lease_duration_ms"):
        config.load(None, {"TRILITH_SERVER__SILENCE_MS_MAX": "900"})
    assert config.load(None, {"TRILITH_SERVER__SILENCE_MS_MAX": "0"}).server.silence_ms_max == 0
