"""One `trilith serve` of the tests' own: started, observed, hurt and always cleaned up by pid.

It knows the command line (DESIGN section 8) and nothing of what is behind it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from . import processes
from .processes import wait_until
from .sigv4 import Credentials

START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
SPREAD_DEADLINE_S = 60.0
TABLE_CUTS = ("08", "04")  # slots of the hash space, of twelve; the later first
COMMAND_DEADLINE_S = 60.0
ZONES = ("az1", "az2", "az3")
GIVEN = Credentials("conformance-access", secrets.token_hex(20))
PORT_NAMES = ("s3", "dynamodb", "console", "grpc")


def trilith_program() -> str:
    """The command of this Python's environment, else the one on PATH."""
    beside = Path(sys.executable).parent / "trilith"
    found = str(beside) if beside.exists() else shutil.which("trilith")
    if found is None:
        raise FileNotFoundError("no `trilith` command: run `make setup` or `pip install -e .`")
    return found


def run_trilith(*arguments: str, deadline_s: float = COMMAND_DEADLINE_S) -> str:
    """Standard output of one command; CalledProcessError carries both streams."""
    done = subprocess.run(
        [trilith_program(), *arguments],
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )
    if done.returncode != 0:
        error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
        error.add_note(f"stdout: {done.stdout[-2000:]}\nstderr: {done.stderr[-2000:]}")
        raise error
    return done.stdout


def _find_port(status: Any, name: str) -> int | None:
    """The first `"ports": {name: port}` anywhere in the status document."""
    if isinstance(status, dict):
        ports = status.get("ports")
        if isinstance(ports, dict) and ports.get(name):
            return int(ports[name])
        status = list(status.values())
    if isinstance(status, list):
        for item in status:
            if (port := _find_port(item, name)) is not None:
                return port
    return None


def _values_of(document: Any, name: str) -> list[Any]:
    """Every value under `name` anywhere in a JSON document."""
    found: list[Any] = []
    if isinstance(document, dict):
        for key, value in document.items():
            if key == name:
                found.append(value)
            else:
                found += _values_of(value, name)
    elif isinstance(document, list):
        for item in document:
            found += _values_of(item, name)
    return found


def _is_pending(queue: Any) -> bool:
    """Whether a repair queue (a count, a list, or one of these by zone) holds anything."""
    return any(queue.values()) if isinstance(queue, dict) else bool(queue)


class Cluster:
    """Three zones of one data directory. Ports picked at the first start stay for restarts."""

    def __init__(
        self,
        data_dir: Path,
        *,
        credentials: Credentials | None = GIVEN,
        environment: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """`credentials` None: the server generates its own. `ca_file`: who vouches for the
        certificate that `environment` configures.
        """
        self._scheme = "http" if ca_file is None else "https"
        self._trust = None if ca_file is None else ssl.create_default_context(cafile=str(ca_file))
        self.data_dir = data_dir
        self.log_path = data_dir.with_name(data_dir.name + ".serve.log")
        self._given = credentials
        self.ports: dict[str, int] = dict.fromkeys(PORT_NAMES, 0)
        self._environment = dict(environment or {})
        self._server: subprocess.Popen[bytes] | None = None
        self._pids: set[int] = set()

    @property
    def credentials(self) -> Credentials:
        assert self._given is not None
        return self._given

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.ports['s3']}"

    @property
    def console(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.ports['console']}"

    # -- life ------------------------------------------------------------------------------

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts the process and returns at once."""
        arguments = [trilith_program(), "serve", "--data", str(self.data_dir)]
        for name, port in self.ports.items():
            arguments += [f"--{name}-port", str(port)]
        environment = {**os.environ, **self._environment}
        if self._given is not None:
            environment["TRILITH_ROOT_ACCESS_KEY"] = self._given.access_key
            environment["TRILITH_ROOT_SECRET_KEY"] = self._given.secret_key
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._server = subprocess.Popen(
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._server

    def start(self, *, deadline_s: float = START_DEADLINE_S) -> None:
        """Starts and waits until `/readyz` answers 200 and all three zones are in sync."""
        server = self.spawn()

        def ready() -> bool:
            if server.poll() is not None:
                raise AssertionError(f"serve exited with {server.returncode}\n{self.log_tail()}")
            return self._learn_ports() and self.is_ready()

        try:
            wait_until(ready, deadline_s=deadline_s, what="the cluster is ready")
            self.wait_in_sync(deadline_s=deadline_s)
        except BaseException as error:
            error.add_note(self.log_tail())
            self.kill_all()
            raise

    def _learn_ports(self) -> bool:
        if all(self.ports[name] for name in ("s3", "console")):
            return True
        try:
            status = self.status()
        except subprocess.CalledProcessError:
            return False
        for name in PORT_NAMES:
            self.ports[name] = _find_port(status, name) or 0
        return bool(self.ports["s3"] and self.ports["console"])

    def stop(self) -> int:
        """Clean stop by SIGTERM; the exit status. Fails when a process is left over."""
        server = self._server
        assert server is not None
        family = self.pids()
        server.send_signal(signal.SIGTERM)
        try:
            status = server.wait(STOP_DEADLINE_S)
            wait_until(
                lambda: not any(processes.is_alive(pid) for pid in family),
                deadline_s=STOP_DEADLINE_S,
                what="every process of the cluster has ended",
            )
        except BaseException as error:
            error.add_note(self.log_tail())
            self.kill_all()
            raise
        self._server = None
        return status

    def halt_all(self) -> None:
        """No process of it says another word (SIGSTOP); end it with `kill_all`."""
        if self._server is not None:
            processes.kill([self._server.pid, *self.pids()], signal.SIGSTOP)

    def kill_all(self) -> None:
        """`kill -9` of the supervisor and of every node, at once."""
        if self._server is None:
            return
        family = self.pids()
        processes.kill([self._server.pid, *family])
        self._server.wait(STOP_DEADLINE_S)
        late = {pid for pid in processes.family(self._server.pid) if pid not in family}
        processes.kill(late)
        wait_until(
            lambda: not any(processes.is_alive(pid) for pid in family | late),
            deadline_s=STOP_DEADLINE_S,
            what="killed processes are gone",
        )
        self._server = None

    def remove(self) -> None:
        """Ends everything that still runs and deletes the data."""
        self.kill_all()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    # -- observation -----------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """`trilith status --json`."""
        document = json.loads(run_trilith("status", "--json", "--data", str(self.data_dir)))
        assert isinstance(document, dict)
        return document

    def pids(self) -> set[int]:
        """Every process of the cluster that is alive, the supervisor among them."""
        assert self._server is not None
        return processes.family(self._server.pid)

    def node_pids(self) -> dict[str, int]:
        """Zone name to the pid of its (first) node."""
        return {zone["name"]: zone["nodes"][0]["pid"] for zone in self.status()["zones"]}

    def http_get(self, path: str) -> tuple[int, str]:
        """Status and text of a path on the console port; 0 when nothing answers."""
        try:
            with urlopen(self.console + path, timeout=5, context=self._trust) as response:
                return response.status, response.read().decode()
        except URLError as error:
            if hasattr(error, "code"):
                return error.code, error.read().decode()  # type: ignore[attr-defined]
            return 0, str(error.reason)
        except (ConnectionError, TimeoutError) as error:
            return 0, str(error)

    def is_ready(self) -> bool:
        return self.http_get("/readyz")[0] == 200

    def in_sync(self) -> bool:
        """Whether every partition has all three replicas in sync and no repair is pending."""
        try:
            status = self.status()
        except subprocess.CalledProcessError:
            return False
        in_sync_sets = _values_of(status, "in_sync")
        queues = _values_of(status, "repair_queue")
        return (
            bool(in_sync_sets)
            and all(len(members) == len(ZONES) for members in in_sync_sets)
            and not any(_is_pending(queue) for queue in queues)
        )

    def wait_in_sync(self, *, deadline_s: float = START_DEADLINE_S) -> None:
        try:
            wait_until(
                self.in_sync, deadline_s=deadline_s, what="all zones in sync", interval_s=0.2
            )
        except processes.DeadlineError as error:
            status = self.status()
            behind = [
                partition
                for partition in status.get("partitions", [])
                if len(partition.get("in_sync", ())) < len(ZONES)
            ]
            error.add_note(json.dumps({"behind": behind, "queue": status.get("repair_queue")}))
            raise

    def resident_bytes(self) -> dict[int, int]:
        """Resident memory by pid."""
        return {pid: processes.resident_bytes(pid) for pid in self.pids()}

    def log_tail(self, limit: int = 6000) -> str:
        """The end of what `serve` printed, and of what its nodes did."""
        paths = [self.log_path, *sorted((self.data_dir / "logs").glob("*.out"))]
        return "\n".join(
            f"--- {path}\n{path.read_text(errors='replace')[-limit:]}"
            for path in paths
            if path.exists()
        )

    # -- faults ----------------------------------------------------------------------------

    def zone(self, action: str, zone: str) -> None:
        """`trilith zone stop|start|kill ZONE`."""
        run_trilith("zone", action, zone, "--data", str(self.data_dir))

    # -- partitions ------------------------------------------------------------------------

    def partitions(self, keyspace: str) -> list[dict[str, Any]]:
        return [one for one in self.status()["partitions"] if one["keyspace"] == keyspace]

    def change_partition(self, *arguments: str) -> dict[str, Any]:
        """What `trilith partition ...` answers."""
        found = run_trilith("partition", *arguments, "--json", "--data", str(self.data_dir))
        answer: dict[str, Any] = json.loads(found)
        return answer

    def spread_tables(self) -> None:
        """Splits the one partition that tables begin with: one to lead for each zone."""
        (first,) = self.partitions("tables")
        for cut in TABLE_CUTS:
            self.change_partition("split", str(first["id"]), "--key", cut)

        def is_spread() -> bool:
            return len({one["leader_zone"] for one in self.partitions("tables")}) == 3

        wait_until(is_spread, deadline_s=SPREAD_DEADLINE_S, what="each zone leads tables")
        self.wait_in_sync()


def bytes_on_disk(directory: Path) -> int:
    """Allocated bytes of a tree, as `du` counts them."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue  # dropped meanwhile by the server
    return total


def chunk_bytes_on_disk(data_dir: Path) -> int:
    """Allocated bytes of all zones' chunk stores."""
    return sum(bytes_on_disk(data_dir / zone / "chunks") for zone in ZONES)
