"""Three `trilith node` processes, each in its zone's namespace and on a file system of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.conformance import processes
from tests.conformance.cluster import trilith_program
from tests.conformance.processes import wait_until
from tests.conformance.sigv4 import Credentials
from tests.power.power_cut import MIB, Image

from .network import ZoneNetwork
from .workload import ZoneCaller

ZONES = ("az1", "az2", "az3")
S3_PORT, CONSOLE_PORT, PEER_PORT = 9000, 9001, 7100
IMAGE_BYTES = 1024 * MIB
START_DEADLINE_S = 60.0
IN_SYNC_DEADLINE_S = 90.0
SUPERVISOR_PAUSE_S = 0.3
SCRUB_DEADLINE_S = 180.0
FINDS = ("bad_chunks", "bad_log_records", "bad_store_reads")
ENVIRONMENT = {
    "TRILITH_JOURNAL__SEGMENT_BYTES": str(8 * MIB),
    "TRILITH_JOURNAL__RETAIN_BYTES": str(16 * MIB),
    "TRILITH_CHUNKS__EXTENT_BYTES": str(32 * MIB),
    "TRILITH_STORAGE__WRITE_BUFFER_BYTES": str(4 * MIB),
    "TRILITH_STORAGE__SCRUB_INTERVAL_SECONDS": "10",
    "TRILITH_STORAGE__SCRUB_BYTES_PER_SECOND_MAX": str(128 * MIB),
}


class Zones:
    """The cluster. `start` all, hurt some, and leave it as a context manager."""

    def __init__(self, folder: Path, network: ZoneNetwork) -> None:
        self.folder = folder
        self.network = network
        self.images: dict[str, Image] = {}
        self.credentials = Credentials("chaos-access", secrets.token_hex(20))
        self._token = secrets.token_hex(16)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "root.key").write_text(secrets.token_hex(32))
        (folder / "control.token").write_text(self._token)

    def __enter__(self) -> Self:
        try:
            for zone in ZONES:
                image = Image(self.folder, zone, IMAGE_BYTES)
                self.images[zone] = image
                image.mount()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            error.add_note(self.log_tails())
        self._remove()

    def _remove(self) -> None:
        for zone in list(self._nodes):
            self.kill(zone)
        for image in self.images.values():
            image.remove()

    # -- processes

    def data(self, zone: str) -> Path:
        """The node's own directory."""
        return self.images[zone].path / "node"

    def spawn(self, zone: str) -> None:
        address = self.network.address(zone)
        arguments = {
            "--zone": zone,
            "--node-id": f"{zone}-node",
            "--coordinator": f"sqlite://{self.folder}/coordinator.sqlite3",
            "--data": str(self.data(zone)),
            "--host": address,
            "--s3-port": str(S3_PORT),
            "--console-port": str(CONSOLE_PORT),
            "--peer-address": f"{address}:{PEER_PORT}",
            "--root-key-file": str(self.folder / "root.key"),
            "--control-token-file": str(self.folder / "control.token"),
            "--log-file": str(self.log_file(zone)),
        }
        words = [word for pair in arguments.items() for word in pair]
        environment = {
            **os.environ,
            **ENVIRONMENT,
            "TRILITH_ROOT_ACCESS_KEY": self.credentials.access_key,
            "TRILITH_ROOT_SECRET_KEY": self.credentials.secret_key,
        }
        with (self.folder / f"{zone}.output").open("ab") as output:
            self._nodes[zone] = subprocess.Popen(
                [*self.network.command_prefix(zone), trilith_program(), "node", *words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self, *zones: str) -> None:
        """Starts these zones (default: all) and waits until every zone that runs is ready."""
        for zone in zones or ZONES:
            self.spawn(zone)
        running = [zone for zone in ZONES if zone in self._nodes]
        wait_until(
            lambda: all(self.is_ready(zone) for zone in running),
            deadline_s=START_DEADLINE_S,
            what=f"{running} are ready",
        )

    @contextmanager
    def restarted_when_it_exits(self, zone: str) -> Iterator[None]:
        """Starts a node again that ends by itself, as its supervisor does."""
        end = threading.Event()

        def supervise() -> None:
            while not end.wait(SUPERVISOR_PAUSE_S):
                if self.has_exited(zone):
                    self._nodes.pop(zone, None)
                    self.spawn(zone)

        thread = threading.Thread(target=supervise)
        self.spawn(zone)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

    def pid(self, zone: str) -> int:
        return self._nodes[zone].pid

    def signal(self, zone: str, what: signal.Signals) -> None:
        os.kill(self.pid(zone), what)

    def kill(self, zone: str) -> None:
        node = self._nodes.pop(zone)
        node.kill()
        node.wait(30)

    def wait_exit(self, zone: str, *, deadline_s: float) -> int:
        """The exit status of a node that ends by itself."""
        status = self._nodes.pop(zone).wait(deadline_s)
        return int(status)

    def has_exited(self, zone: str) -> bool:
        return zone not in self._nodes or self._nodes[zone].poll() is not None

    # -- observation

    def caller(self, zone: str, *, timeout_s: float) -> ZoneCaller:
        endpoint = f"http://{self.network.address(zone)}:{S3_PORT}"
        return ZoneCaller(endpoint, self.credentials, timeout_s=timeout_s, zone=zone)

    def get(self, zone: str, path: str) -> tuple[int, bytes]:
        """A path of the zone's console; status 0 when it does not answer."""
        url = f"http://{self.network.address(zone)}:{CONSOLE_PORT}{path}"
        request = Request(url, headers={"authorization": f"Bearer {self._token}"})
        try:
            with urlopen(request, timeout=3) as response:
                return response.status, response.read()
        except URLError as error:
            if hasattr(error, "code"):
                return error.code, error.read()  # type: ignore[attr-defined]
            return 0, b""
        except (ConnectionError, TimeoutError):
            return 0, b""

    def is_ready(self, zone: str) -> bool:
        return self.get(zone, "/readyz")[0] == 200

    def status(self, zone: str) -> dict[str, Any]:
        status, body = self.get(zone, "/v1/status")
        found: dict[str, Any] = json.loads(body) if status == 200 else {}
        return found

    def metric(self, zone: str, name: str) -> float:
        """A metric of the zone's own node, without labels of its own."""
        _, body = self.get(zone, "/metrics")
        lines = [line for line in body.decode().splitlines() if line.startswith((name, name + "_"))]
        own = [line for line in lines if f'zone="{zone}"' in line]
        assert own, f"no {name} of {zone} among {lines}"
        return float(own[0].rsplit(" ", 1)[1])

    def in_sync(self) -> bool:
        """Whether every zone says that all three are in sync and nothing waits for repair."""
        for zone in ZONES:
            status = self.status(zone)
            partitions = status.get("partitions", [])
            if not partitions or any(len(p["in_sync"]) < len(ZONES) for p in partitions):
                return False
            if any((status.get("repair_queue") or {}).values()):
                return False
        return True

    def wait_in_sync(self, *, deadline_s: float = IN_SYNC_DEADLINE_S) -> None:
        wait_until(self.in_sync, deadline_s=deadline_s, what="all zones in sync", interval_s=0.25)

    def wait_scrubbed(self, zone: str, *, deadline_s: float = SCRUB_DEADLINE_S) -> None:
        """Until a whole round of the zone's scrubber, behind the one that is under way, has found
        nothing bad: what is left would come up in a later test, beside that one's own fault.
        """
        found_then, rounds_then = [-1], 0

        def is_clean() -> bool:
            nonlocal found_then, rounds_then
            facts = self.status(zone).get("node_facts", {}).get(f"{zone}-node", {})
            scrub = facts.get("scrub")
            if scrub is None:
                return False
            found, rounds = [scrub[name] for name in FINDS], scrub["rounds"]
            if found != found_then or rounds < rounds_then:  # it may have been restarted, too
                found_then, rounds_then = found, rounds
            return bool(rounds > rounds_then + 1)

        wait_until(is_clean, deadline_s=deadline_s, what=f"{zone} is scrubbed", interval_s=0.5)

    def log_file(self, zone: str) -> Path:
        return self.folder / f"{zone}.log"

    def events(self, zone: str, name: str) -> list[dict[str, Any]]:
        """The node's events of that name, oldest first."""
        path = self.log_file(zone)
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if f'"{name}"' in line]

    def log_tails(self, limit: int = 2500) -> str:
        tails = []
        for zone in ZONES:
            for path in (self.log_file(zone), self.folder / f"{zone}.output"):
                lines = path.read_text(errors="replace").splitlines() if path.exists() else []
                text = "\n".join(line for line in lines if '"access"' not in line)
                tails.append(f"--- {path.name}\n{text[-limit:]}")
        return "\n".join(tails)

    def alive(self) -> list[str]:
        return [z for z, node in self._nodes.items() if processes.is_alive(node.pid)]
