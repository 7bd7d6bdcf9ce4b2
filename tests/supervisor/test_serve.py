"""`trilith serve` with its three real nodes: comes up, stays up, is controlled, leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from trilith.supervisor import proc

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
SUPERVISOR_BYTES_MAX = 35 << 20


def wait_until(condition: Callable[[], bool], deadline_s: float = START_DEADLINE_S) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.05)


def trilith(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trilith", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Serving:
    """One `trilith serve` on ports of its own choice."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._output = data.with_name(data.name + ".output")
        self._printed_at = 0
        self.start()

    def start(self) -> None:
        self._printed_at = self._output.stat().st_size if self._output.exists() else 0
        command = [sys.executable, "-m", "trilith", "serve", "--data", str(self.data)]
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--s3-port", "0", "--dynamodb-port", "0", "--console-port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: "is ready" in self.printed() or self.process.poll() is not None)
        assert self.process.poll() is None, self.printed()

    def printed(self) -> str:
        return self._output.read_bytes()[self._printed_at :].decode()

    def status(self) -> dict[str, Any]:
        shown = trilith("status", "--json", "--data", str(self.data))
        assert shown.returncode == 0, shown.stderr
        document = json.loads(shown.stdout)
        assert isinstance(document, dict)
        return document

    def node(self, zone: str) -> dict[str, Any]:
        zones = {entry["name"]: entry for entry in self.status()["zones"]}
        node = zones[zone]["nodes"][0]
        assert isinstance(node, dict)
        return node

    def pids(self) -> list[int]:
        return [self.node(zone)["pid"] for zone in ("az1", "az2", "az3") if self.node(zone)["pid"]]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(STOP_DEADLINE_S)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = Serving(tmp_path_factory.mktemp("serve") / "data")
    yield serving
    serving.end()


def console(serving: Serving, path: str) -> int:
    port = serving.node("az1")["ports"]["console"]
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code


def test_it_is_ready_when_it_says_so_and_tells_what_to_do_next(serving: Serving) -> None:
    assert console(serving, "/readyz") == 200
    printed = serving.printed()
    port = serving.node("az1")["ports"]["s3"]
    assert f"http://127.0.0.1:{port}" in printed
    assert f"aws --endpoint-url http://127.0.0.1:{port} s3 mb s3://first" in printed
    kept = json.loads((serving.data / "credentials.json").read_text())
    assert kept["secret_key"] in printed


def test_status_has_the_shape_that_scripts_rely_on(serving: Serving) -> None:
    status = serving.status()
    assert [zone["name"] for zone in status["zones"]] == ["az1", "az2", "az3"]
    for zone in status["zones"]:
        assert zone["state"] == "running"
        (node,) = zone["nodes"]
        assert set(node) >= {"id", "pid", "state", "ports", "data_dir"}
        assert set(node["ports"]) == {"s3", "dynamodb", "console", "grpc", "peer"}
        assert node["id"].startswith(f"{zone['name']}-")
        assert node["ports"]["peer"] in proc.listening_ports(node["pid"])
        assert Path(node["data_dir"]).is_dir()
    assert status["partitions"]
    assert all(len(partition["in_sync"]) >= 2 for partition in status["partitions"])


def test_the_table_names_every_zone_and_partition(serving: Serving) -> None:
    shown = trilith("status", "--data", str(serving.data)).stdout
    for zone in ("az1", "az2", "az3"):
        assert serving.node(zone)["id"] in shown
    assert "IN SYNC" in shown


def test_the_status_api_is_shut_without_the_token(serving: Serving) -> None:
    assert console(serving, "/v1/status") == 401


def test_the_supervisor_stays_small(serving: Serving) -> None:
    assert proc.resident_bytes(serving.process.pid) < SUPERVISOR_BYTES_MAX


def test_no_secret_is_on_a_command_line(serving: Serving) -> None:
    kept = json.loads((serving.data / "credentials.json").read_text())
    token = (serving.data / "control.token").read_text().strip()
    for pid in serving.pids():
        line = " ".join(proc.command_line(pid))
        assert kept["secret_key"] not in line
        assert token not in line


def test_a_second_supervisor_on_the_same_data_is_refused_by_pid(serving: Serving) -> None:
    options = ("--s3-port", "0", "--dynamodb-port", "0", "--console-port", "0")
    refused = trilith("serve", "--data", str(serving.data), *options)
    assert refused.returncode == 1
    assert f"pid {serving.process.pid}" in refused.stderr


def test_a_port_in_use_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        refused = trilith("serve", "--data", str(tmp_path), "--s3-port", port)
    assert refused.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in refused.stderr


def test_a_dead_node_is_started_again(serving: Serving) -> None:
    before = serving.node("az1")["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: serving.node("az1")["pid"] not in (None, before))
    wait_until(lambda: serving.node("az1")["state"] == "running")


@pytest.mark.parametrize(("action", "state"), [("kill", "killed"), ("stop", "stopped")])
def test_a_zone_taken_away_stays_down_until_it_is_started(
    serving: Serving, action: str, state: str
) -> None:
    before = serving.node("az2")
    taken = trilith("zone", action, "az2", "--data", str(serving.data))
    assert taken.stdout == f"zone az2 is {state}\n"
    assert proc.started_at(before["pid"]) is None
    down = serving.node("az2")
    assert (down["state"], down["pid"]) == (state, None)
    wait_until(lambda: console(serving, "/readyz") == 200)
    assert trilith("zone", "start", "az2", "--data", str(serving.data)).returncode == 0
    wait_until(lambda: serving.node("az2")["state"] == "running")
    assert serving.node("az2")["id"] == before["id"]
    wait_until(lambda: all(len(each["in_sync"]) == 3 for each in serving.status()["partitions"]))


def test_a_killed_supervisor_takes_its_nodes_along_and_the_data_starts_again(
    serving: Serving,
) -> None:
    pids, identity = serving.pids(), serving.node("az3")["id"]
    secret = (serving.data / "credentials.json").read_text()
    serving.process.kill()
    serving.process.wait()
    serving.start()
    assert all(proc.started_at(pid) is None for pid in pids)
    assert serving.node("az3")["id"] == identity
    assert (serving.data / "credentials.json").read_text() == secret
    assert json.loads(secret)["secret_key"] not in serving.printed()
    assert "trilith credentials --export" in serving.printed()


def test_sigterm_stops_everything_cleanly(serving: Serving) -> None:
    pids = serving.pids()
    assert len(pids) == 3
    serving.process.terminate()
    assert serving.process.wait(STOP_DEADLINE_S) == 0
    assert all(proc.started_at(pid) is None for pid in pids)
    assert not (serving.data / "control.sock").exists()
    assert "no `trilith serve` is running" in trilith("status", "--data", str(serving.data)).stderr
