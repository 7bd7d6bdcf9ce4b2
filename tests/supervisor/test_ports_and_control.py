"""Reserved ports, the control socket, log rotation and the record of an earlier run."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trilith.config import ConfigError
from trilith.supervisor import console_client, earlier_run, proc, reserved_ports
from trilith.supervisor.control import ControlError, ControlServer, ask
from trilith.supervisor.rotation import rotate

HOST = "127.0.0.1"


def shared_listener(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((HOST, port))
    server.listen()
    return server


def test_a_picked_port_is_held_and_can_be_shared_by_the_nodes() -> None:
    with reserved_ports.reserve(HOST, 0, "s3") as reserved:
        port = reserved_ports.port_of(reserved)
        with shared_listener(port), shared_listener(port):
            # The reserving socket does not listen: every connection reaches a node.
            for _ in range(20):
                socket.create_connection((HOST, port), timeout=5).close()


def test_a_port_of_another_program_is_refused_even_if_that_one_shares_it() -> None:
    with reserved_ports.reserve(HOST, 0, "s3") as picked:
        port = reserved_ports.port_of(picked)
    with shared_listener(port), pytest.raises(ConfigError, match=f"port {port}.*--s3-port"):
        reserved_ports.reserve(HOST, port, "s3")
    reserved_ports.reserve(HOST, port, "s3").close()


def test_grpc_ports_follow_each_other_or_none_is_taken() -> None:
    picked = reserved_ports.reserve_grpc(HOST, 0, 3)
    ports = [reserved_ports.port_of(one) for one in picked]
    assert ports == list(range(ports[0], ports[0] + 3))
    for one in picked:
        one.close()
    with shared_listener(ports[2]), pytest.raises(ConfigError, match=f"port {ports[2]}.*--grpc"):
        reserved_ports.reserve_grpc(HOST, ports[0], 3)
    for one in reserved_ports.reserve_grpc(HOST, ports[0], 3):
        one.close()
    with pytest.raises(ConfigError, match="none above"):
        reserved_ports.reserve_grpc(HOST, 65_534, 3)


def test_connections_that_still_close_do_not_hold_a_port() -> None:
    with reserved_ports.reserve(HOST, 0, "s3") as picked:
        port = reserved_ports.port_of(picked)
    listener = shared_listener(port)
    client = socket.create_connection((HOST, port))
    accepted, _ = listener.accept()
    accepted.close()  # the server closes first: its end stays in FIN_WAIT or TIME_WAIT
    listener.close()
    reserved_ports.reserve(HOST, port, "s3").close()
    client.close()
    reserved_ports.reserve(HOST, port, "s3").close()


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen|not an address"):
        reserved_ports.reserve("192.0.2.1", 0, "s3")


def test_a_peer_port_is_remembered_unless_it_was_taken_meanwhile() -> None:
    first = reserved_ports.pick_peer_port(0, set())
    assert reserved_ports.pick_peer_port(first, set()) == first
    with socket.create_server((HOST, first)):
        assert reserved_ports.pick_peer_port(first, set()) != first
    assert reserved_ports.pick_peer_port(first, {first}) != first


async def asked(path: Path, request: dict[str, Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, ask, path, request, 10.0)


def test_a_control_request_is_answered_and_a_refusal_reaches_the_asker(tmp_path: Path) -> None:
    async def handle(request: dict[str, Any]) -> dict[str, Any]:
        if request == {"command": "refuse"}:
            raise ControlError("not now")
        return {"echo": request}

    async def run() -> None:
        # Deeper than a unix socket's address may be long.
        path = tmp_path.joinpath(*["d" * 40] * 4) / "control.sock"
        path.parent.mkdir(parents=True)
        path.write_text("left over")
        server = ControlServer(path, handle)
        await server.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert await asked(path, {"command": "a"}) == {"echo": {"command": "a"}}
        with pytest.raises(ControlError, match="not now"):
            await asked(path, {"command": "refuse"})
        await server.close()
        assert not path.exists()

    asyncio.run(run())


def test_a_node_that_hangs_leaves_the_status_to_another() -> None:
    """The connection that it was given was waited for until the supervisor gave up, and `trilith
    status` knew of no partitions."""

    async def run() -> None:
        asked = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            if asked > 1:  # the first is a paused node's
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            else:
                await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        answer = await console_client.get_from_any(HOST, port, "/v1/status", "t", (0.05, 10.0))
        assert answer == (200, b"{}")
        server.close()

    asyncio.run(run())


def test_without_a_supervisor_the_asker_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"no `trilith serve` is running.*--data"):
        ask(tmp_path / "control.sock", {"command": "status"})
    left_over = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left_over))
    with pytest.raises(ControlError, match="no `trilith serve` is running"):
        ask(left_over, {"command": "status"})


def test_rotation_keeps_the_newest_files_and_drops_the_oldest(tmp_path: Path) -> None:
    log = tmp_path / "az1.log"
    assert not rotate(log, 1, 2)
    for content in ("one", "two", "three", "four"):
        log.write_text(content)
        assert not rotate(log, 100, 2)
        assert rotate(log, 3, 2)
    kept = {entry.name: entry.read_text() for entry in tmp_path.iterdir()}
    assert kept == {"az1.log.1": "four", "az1.log.2": "three"}


def sleeper(*arguments: str, ignore: bool = False) -> subprocess.Popen[bytes]:
    source = "import signal, sys\n"
    if ignore:
        source += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    source += "print('up', flush=True); signal.pause()\n"
    process = subprocess.Popen([sys.executable, "-c", source, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()
    return process


def test_nodes_of_an_earlier_run_are_waited_for_and_killed_when_they_take_too_long(
    tmp_path: Path,
) -> None:
    obeys = sleeper(str(tmp_path / "az1"))
    ignores = sleeper(str(tmp_path / "az2"), ignore=True)
    innocent = sleeper("something else")
    pids = {"az1": obeys.pid, "az2": ignores.pid, "az3": innocent.pid}
    earlier_run.record(tmp_path, pids)
    assert earlier_run.survivors(tmp_path) == {"az1": obeys.pid, "az2": ignores.pid}
    reports: list[str] = []
    asyncio.run(earlier_run.wait_until_gone(tmp_path, reports.append, patience_s=0.3))
    assert obeys.wait(60) == -signal.SIGTERM
    assert ignores.wait(60) == -signal.SIGKILL
    assert innocent.poll() is None
    innocent.kill()
    innocent.wait()
    assert reports == ["waiting for az1, az2 of an earlier run to stop"]


def test_the_supervisor_waits_for_no_disk_to_record_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did, twice for each start of a node, and stood still for as long: no node was watched
    meanwhile, and `trilith status` got no answer from it."""

    def hang(_descriptor: int) -> None:
        raise AssertionError("a busy disk takes seconds for this")

    monkeypatch.setattr(os, "fsync", hang)
    process = sleeper(str(tmp_path / "az1"))
    try:
        earlier_run.record(tmp_path, {"az1": process.pid, "az2": None})
        assert earlier_run.survivors(tmp_path) == {"az1": process.pid}
    finally:
        process.kill()
        process.wait()


def test_a_pid_that_was_reused_is_not_taken_for_a_node(tmp_path: Path) -> None:
    process = sleeper(str(tmp_path / "az1"))
    earlier_run.record(tmp_path, {"az1": process.pid})
    record = tmp_path / earlier_run.RECORD_FILE
    began = proc.started_at(process.pid)
    assert began is not None
    record.write_text(record.read_text().replace(began, "1"))
    assert earlier_run.survivors(tmp_path) == {}
    process.kill()
    process.wait()


def test_facts_about_this_process_are_true() -> None:
    assert proc.started_at(os.getpid()) is not None
    assert proc.resident_bytes(os.getpid()) > 1 << 20
    with socket.create_server((HOST, 0)) as server:
        assert server.getsockname()[1] in proc.listening_ports(os.getpid())
    assert proc.started_at(1 << 22) is None
