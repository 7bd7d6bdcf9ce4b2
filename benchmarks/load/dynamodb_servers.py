"""What the DynamoDB comparison runs: Trilith, two emulators, and etcd for its writes.

ministack comes from PyPI and dynalite from npm, into ~/.cache/trilith-benchmarks; etcd and node
are packages of the system.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import venv
from pathlib import Path

from benchmarks.load.processes import StartError
from benchmarks.load.s3_driver import Endpoint
from benchmarks.load.servers import ACCESS_KEY, HOST, SECRET_KEY, Server, Trilith

MINISTACK = "ministack==1.5.33"
DYNALITE = "dynalite@4.0.0"
ETCD_LOAD_S_MAX = 180


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def cache_folder() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "trilith-benchmarks"


def install_ministack() -> str:
    folder = cache_folder() / "ministack"
    program = folder / "bin" / "ministack"
    if not program.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", MINISTACK]
        subprocess.run(pip, check=True)
    return str(program)


def install_dynalite() -> str:
    folder = cache_folder() / "dynalite"
    program = folder / "node_modules" / "dynalite" / "cli.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder)]
        subprocess.run([*npm, DYNALITE], check=True)
    return str(program)


def missing_programs(*, dynalite: bool, etcd: bool) -> list[str]:
    """What the system lacks, with the Debian package that has it."""
    wanted = {"wrk": "wrk"}
    if dynalite:
        wanted |= {"node": "nodejs", "npm": "npm"}
    if etcd:
        wanted |= {"etcd": "etcd-server", "etcdctl": "etcd-client"}
    return [
        f"{program} is missing: apt-get install {package}"
        for program, package in wanted.items()
        if shutil.which(program) is None
    ]


class TrilithTables(Trilith):
    """`trilith serve`, through its DynamoDB port."""

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self._ports['dynamodb']}", ACCESS_KEY, SECRET_KEY)


class Emulator(Server):
    """One process that keeps everything in memory."""

    def __init__(self, folder: Path, program: str) -> None:
        super().__init__(folder)
        self._program = program
        self._port = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://{HOST}:{self._port}", ACCESS_KEY, SECRET_KEY)

    def _launch(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self._run(self.name.split(",")[0], *arguments, environment=environment)
        self._wait(lambda: _listens(self._port), "listens")


class Ministack(Emulator):
    name = "ministack, 1 process, in memory"

    def start(self) -> None:
        self._port = free_port()
        environment = {
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(self._port),
            "SERVICES": "dynamodb,dynamodbstreams",
            "PERSIST_STATE": "0",
            "LOG_LEVEL": "ERROR",
        }
        self._launch(self._program, environment=environment)


class Dynalite(Emulator):
    name = "dynalite, 1 process, in memory"

    def start(self) -> None:
        self._port = free_port()
        at_once = ("--createTableMs", "0", "--deleteTableMs", "0", "--updateTableMs", "0")
        self._launch("node", self._program, "--host", HOST, "--port", str(self._port), *at_once)


class Etcd(Server):
    """Three members on this machine, as `etcdctl check perf` sees them."""

    name = "etcd, 3 members"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._clients = [free_port() for _ in range(3)]
        self._peers = [free_port() for _ in range(3)]

    def start(self) -> None:
        members = ",".join(f"m{n}=http://{HOST}:{port}" for n, port in enumerate(self._peers))
        for number, (client, peer) in enumerate(zip(self._clients, self._peers, strict=True)):
            here, there = f"http://{HOST}:{client}", f"http://{HOST}:{peer}"
            self._run(
                f"member{number}",
                *("etcd", "--name", f"m{number}", "--data-dir", str(self.folder / f"m{number}")),
                *("--listen-client-urls", here, "--advertise-client-urls", here),
                *("--listen-peer-urls", there, "--initial-advertise-peer-urls", there),
                *("--initial-cluster", members, "--log-level", "error"),
            )
        self._wait(lambda: self._control("endpoint", "health").returncode == 0, "healthy")

    def _control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        endpoints = ",".join(f"{HOST}:{port}" for port in self._clients)
        return subprocess.run(
            ["etcdctl", f"--endpoints={endpoints}", *arguments],
            env={**os.environ, "ETCDCTL_API": "3"},
            capture_output=True,
            text=True,
            timeout=ETCD_LOAD_S_MAX,
            check=False,
        )

    def writes_per_s(self) -> float:
        """Of `check perf --load=xl`, which takes a minute."""
        done = self._control("check", "perf", "--load=xl")
        found = re.search(r"(?:Throughput is|Throughput too low:) (\d+) writes/s", done.stdout)
        if found is None:
            raise StartError(f"etcdctl check perf: {done.stdout[-500:]}{done.stderr[-500:]}")
        return float(found[1])
