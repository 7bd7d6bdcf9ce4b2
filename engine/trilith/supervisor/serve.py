"""The supervisor of `trilith serve`: brings three zones up, keeps them up, takes them down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from trilith import __version__, config, presence
from trilith.node_options import ZONES, Credentials
from trilith.runtime.memory import NODE_ENVIRONMENT
from trilith.supervisor import console_client, earlier_run, reserved_ports, rotation
from trilith.supervisor.control import ControlError, ControlServer
from trilith.supervisor.data_directory import DataDirectory
from trilith.supervisor.node_process import STOP_TIMEOUT_S, NodeProcess, State
from trilith.supervisor.small_files import write_private
from trilith.supervisor.watchdog import Patience
from trilith.supervisor.welcome import welcome

if TYPE_CHECKING:
    from ssl import SSLContext

READY_POLL_S = 0.1
# The console port is shared: one answer speaks for one node, a run of them for all that listen.
READY_ANSWERS = 6
# A zone that does not come up must not keep the other two from being called ready.
DEGRADED_AFTER_S = 5.0
FAILED_EXITS = 3
STILL_WAITING_S = 15.0
PARTITION_TIMEOUT_S = 50.0
READY_TIMEOUT_S = 3.0
STATUS_TIMEOUTS_S = (1.5, 1.5, 3.0)


class StartError(Exception):
    """The cluster cannot come up; the message says why and where to look."""


class Supervisor:
    """Three node processes on one data directory."""

    def __init__(
        self,
        data: DataDirectory,
        settings: config.Config,
        credentials: Credentials | None,
        environment: Mapping[str, str],
    ) -> None:
        """`credentials`: the root's, when the user named them; else the directory keeps them."""
        self._data = data
        self._environment_credentials = credentials
        self._token = data.ensure_control_token()
        data.ensure_root_key()
        self._generated: Credentials | None = None
        if credentials is None:
            kept, is_new = data.ensure_credentials()
            self._generated = kept if is_new else None
        self._reserved: list[socket.socket] = []
        self._config = self._with_real_ports(settings)
        self._nodes = {zone: self._node_process(zone, environment) for zone in ZONES}
        # A node drains for its grace period; the rest is for flushing.
        grace_s = settings.server.shutdown_grace_ms / 1000
        self._stop_timeout_s = max(STOP_TIMEOUT_S, grace_s + 5.0)
        self._control = ControlServer(data.control_socket, self._handle)
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Until a signal or a failed start; the exit status. Raises StartError, OSError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await earlier_run.wait_until_gone(self._data.path, report)
            write_private(self._data.effective_config_file, config.render(self._config))
            self._begin_run()
            await self._control.start()
            await asyncio.gather(*(self._start_zone(zone) for zone in ZONES))
            if await self._until_stop(self._wait_ready()):
                print(self._welcome(), flush=True)
                await self._stop.wait()
            report("stopping")
        finally:
            await self._stop_all()
            await self._control.close()
            for reserved in self._reserved:
                reserved.close()
        return 0

    def _begin_run(self) -> None:
        """No node runs now: what all must have the same may become what we are configured with."""
        if presence.is_anyone_there(self._data.coordinator_file):
            report(
                "a node of this cluster runs that was not started here: settings stay as they are"
            )
            return
        run = secrets.token_hex(8)
        for node in self._nodes.values():
            node.add_option("--run", run)

    async def _until_stop(self, waiting: Any) -> bool:
        """Whether `waiting` ended before the stop signal."""
        task = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
            return True
        task.cancel()
        return False

    async def _stop_all(self) -> None:
        """SIGTERM to all at once; a second Ctrl-C kills what is still draining."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.gather(
            *(node.stop(self._stop_timeout_s) for node in self._nodes.values())
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(RuntimeError):
                loop.add_signal_handler(number, self._kill_now)
        await stopping

    def _kill_now(self) -> None:
        for node in self._nodes.values():
            if node.pid is not None:
                os.kill(node.pid, signal.SIGKILL)

    # -- readiness ---------------------------------------------------------------------------

    async def _wait_ready(self) -> None:
        """All zones listen and /readyz answers 200; or two do, for a while. Raises StartError."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        answers, ready_since, told_at = 0, None, begun
        while True:
            status, _ = await self._console_get("/readyz", READY_TIMEOUT_S)
            answers = answers + 1 if status == 200 else 0
            ready_since = (ready_since or loop.time()) if answers else None
            running = [node for node in self._nodes.values() if node.state is State.RUNNING]
            if answers >= READY_ANSWERS and ready_since is not None:
                patience_s = 0.0 if len(running) == len(ZONES) else DEGRADED_AFTER_S
                if loop.time() - ready_since >= patience_s:
                    return
            self._give_up_if_hopeless()
            if loop.time() - told_at > STILL_WAITING_S:
                told_at = loop.time()
                states = ", ".join(f"{node.name} {node.state}" for node in self._nodes.values())
                report(f"not ready after {told_at - begun:.0f} s: {states}")
            if not 0 < answers < READY_ANSWERS:
                await asyncio.sleep(READY_POLL_S)

    def _give_up_if_hopeless(self) -> None:
        failed = [zone for zone, node in self._nodes.items() if node.exits >= FAILED_EXITS]
        if len(failed) >= 2:
            raise StartError(
                f"{' and '.join(failed)} ended {FAILED_EXITS} times without getting ready; "
                f"the last words of {failed[0]}:\n{_last_words(self._data.output_file(failed[0]))}"
            )

    def _welcome(self) -> str:
        down = [node for node in self._nodes.values() if node.state is not State.RUNNING]
        return welcome(
            s3_url=self._url(self._config.server.s3_port),
            dynamodb_url=self._url(self._config.server.dynamodb_port),
            console_url=self._url(self._config.server.console_port),
            grpc_addresses=self._grpc_addresses(),
            region=self._config.s3.region,
            data=self._data.path,
            generated=self._generated,
            from_environment=self._environment_credentials is not None,
            notes=[f"zone {node.name} is {node.state}; see its logs" for node in down],
        )

    def _url(self, port: int) -> str:
        host = console_client.client_host(self._config.server.host)
        scheme = "https" if self._config.server.tls_certificate_file else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _grpc_addresses(self) -> list[str]:
        host = console_client.client_host(self._config.server.host)
        name = f"[{host}]" if ":" in host else host
        return [f"{name}:{port}" for port in self._grpc_ports.values()]

    async def _console_get(self, path: str, *timeouts_s: float) -> tuple[int, bytes]:
        host = console_client.client_host(self._config.server.host)
        port = self._config.server.console_port
        return await console_client.get_from_any(
            host, port, path, self._token, timeouts_s, tls=self._console_tls()
        )

    def _console_tls(self) -> SSLContext | None:
        """Made anew: the certificate may have been renewed."""
        if not self._config.server.tls_certificate_file:
            return None
        from trilith import tls

        return tls.pinned_context(self._config.server)

    # -- control -----------------------------------------------------------------------------

    async def _handle(self, request: dict[str, Any]) -> dict[str, Any]:
        match request:
            case {"command": "status"}:
                return await self._status()
            case {"command": "zone", "action": str(action), "zone": str(zone)}:
                return await self._change_zone(action, zone)
            case {"command": "partition", "action": str(action), "id": int(number), **more}:
                return await self._change_partition(action, number, str(more.get("key", "")))
        raise ControlError("this supervisor does not know the command: is it an older version?")

    async def _change_zone(self, action: str, zone: str) -> dict[str, Any]:
        if zone not in self._nodes:
            raise ControlError(f"there is no zone {zone!r}; the zones are {', '.join(ZONES)}")
        if self._stop.is_set():
            raise ControlError("the cluster is stopping")
        node = self._nodes[zone]
        if action == "start":
            await self._start_zone(zone)
        elif action == "stop":
            await node.stop(self._stop_timeout_s)
        elif action == "kill":
            await node.kill()
        else:
            raise ControlError(f"a zone can be stopped, started or killed, not {action!r}")
        report(f"zone {zone}: {action} by command, now {node.state}")
        return {"zone": zone, "state": str(node.state)}

    async def _change_partition(self, action: str, number: int, key: str) -> dict[str, Any]:
        """Whichever node answers has the partition's leader do it."""
        query = f"?{urlencode({'key': key})}" if key else ""
        code, body = await console_client.get(
            console_client.client_host(self._config.server.host),
            self._config.server.console_port,
            f"/v1/partitions/{number}/{quote(action, safe='')}{query}",
            self._token,
            PARTITION_TIMEOUT_S,
            method="POST",
            tls=self._console_tls(),
        )
        answer = console_client.decode_object(body)
        if code != 200 or answer is None:
            raise ControlError(str((answer or {}).get("message") or f"no node did it ({code})"))
        return answer

    async def _start_zone(self, zone: str) -> None:
        log = self._config.log
        for file in (self._data.log_file(zone), self._data.output_file(zone)):
            rotation.rotate(file, log.rotate_bytes, log.files_max)
        try:
            await self._nodes[zone].start()
        except OSError as error:
            raise ControlError(f"cannot start {zone}: {error}") from error

    async def _status(self) -> dict[str, Any]:
        """Process facts from here, cluster facts from whichever node answers."""
        code, body = await self._console_get("/v1/status", *STATUS_TIMEOUTS_S)
        facts = console_client.decode_object(body) if code == 200 else None
        zones = [
            {
                "name": zone,
                "state": str(node.state),
                "nodes": [
                    {
                        "id": self._data.node(zone).id,
                        "pid": node.pid,
                        "state": str(node.state),
                        "restarts": node.exits,
                        "last_exit": node.last_exit,
                        "ports": self._ports(zone),
                        "data_dir": str(self._data.zone_directory(zone)),
                    }
                ],
            }
            for zone, node in self._nodes.items()
        ]
        own = {
            "version": __version__,
            "cluster_id": self._data.cluster_id,
            "supervisor_pid": os.getpid(),
            "data_dir": str(self._data.path),
            "zones": zones,
            "answered": facts is not None,
        }
        return {"partitions": [], "repair_queue": None, **(facts or {}), **own}

    def _ports(self, zone: str) -> dict[str, int]:
        server = self._config.server
        return {
            "s3": server.s3_port,
            "dynamodb": server.dynamodb_port,
            "console": server.console_port,
            "grpc": self._grpc_ports[zone],
            "peer": self._data.node(zone).peer_port,
        }

    # -- preparation -------------------------------------------------------------------------

    def _with_real_ports(self, settings: config.Config) -> config.Config:
        """Reserves the shared ports and picks the peer ports."""
        server = settings.server
        try:
            shared = {
                "s3": server.s3_port,
                "dynamodb": server.dynamodb_port,
                "console": server.console_port,
            }
            for name, port in shared.items():
                self._reserved.append(reserved_ports.reserve(server.host, port, name))
            self._reserved += reserved_ports.reserve_grpc(server.host, server.grpc_port, len(ZONES))
            s3_port, dynamodb_port, console_port, *grpc_ports = map(
                reserved_ports.port_of, self._reserved
            )
            self._grpc_ports = dict(zip(ZONES, grpc_ports, strict=True))
            taken = {s3_port, dynamodb_port, console_port, *grpc_ports}
            for zone in ZONES:
                remembered = self._data.node(zone).peer_port
                port = reserved_ports.pick_peer_port(remembered, taken)
                taken.add(port)
                self._data.remember_peer_port(zone, port)
        except BaseException:
            for reserved in self._reserved:
                reserved.close()
            raise
        return msgspec.structs.replace(
            settings,
            server=msgspec.structs.replace(
                server,
                s3_port=s3_port,
                dynamodb_port=dynamodb_port,
                console_port=console_port,
                grpc_port=grpc_ports[0],
            ),
        )

    def _node_process(self, zone: str, environment: Mapping[str, str]) -> NodeProcess:
        data, server = self._data, self._config.server
        arguments = {
            "--zone": zone,
            "--node-id": data.node(zone).id,
            "--data": str(data.zone_directory(zone)),
            "--coordinator": data.coordinator_url,
            "--config": str(data.effective_config_file),
            "--grpc-port": str(self._grpc_ports[zone]),
            "--peer-address": f"127.0.0.1:{data.node(zone).peer_port}",
            "--root-key-file": str(data.root_key_file),
            "--control-token-file": str(data.control_token_file),
            "--log-file": str(data.log_file(zone)),
            "--parent-pid": str(os.getpid()),
        }
        if self._environment_credentials is None:
            arguments["--credentials-file"] = str(data.credentials_file)
        command = [sys.executable, "-m", "trilith", "node", "--reuse-port"]
        for option, value in arguments.items():
            command += [option, value]
        return NodeProcess(
            zone,
            command,
            environment=node_environment(environment, self._environment_credentials),
            output_file=data.output_file(zone),
            ready_ports={
                server.s3_port,
                server.dynamodb_port,
                server.console_port,
                self._grpc_ports[zone],
            },
            report=report,
            spawned=self._record_pids,
            patience=_patience(self._config),
        )

    def _record_pids(self) -> None:
        earlier_run.record(self._data.path, {zone: node.pid for zone, node in self._nodes.items()})


def node_environment(
    environment: Mapping[str, str], credentials: Credentials | None
) -> dict[str, str]:
    """What a node inherits: nothing that could change its configuration between two restarts."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(config.ENVIRONMENT_PREFIX)
    }
    kept = NODE_ENVIRONMENT | kept
    if credentials is not None:
        kept["TRILITH_ROOT_ACCESS_KEY"] = credentials.access_key
        kept["TRILITH_ROOT_SECRET_KEY"] = credentials.secret_key
    return kept


def _patience(settings: config.Config) -> Patience | None:
    """None: silence is never a reason to kill."""
    silent_s = settings.server.silence_ms_max / 1000
    if not silent_s:
        return None
    return Patience(silent_s, settings.replication.lease_duration_ms / 1000)


def report(message: str) -> None:
    """One line for whoever watches the terminal."""
    print(f"trilith: {message}", file=sys.stderr, flush=True)


def _last_words(file: Path, lines_max: int = 15) -> str:
    try:
        text = file.read_text(errors="replace")
    except OSError as error:
        return f"(cannot read {file}: {error.strerror})"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines_max:])


def run_supervisor(
    data: Path,
    settings: config.Config,
    credentials: Credentials | None,
    environment: Mapping[str, str],
) -> int:
    """Blocking: the whole life of a `trilith serve`. Raises StartError, ConfigError,
    DataDirectoryUnusable, OSError."""
    directory = DataDirectory.open(data)

    async def run() -> int:
        return await Supervisor(directory, settings, credentials, environment).run()

    try:
        return asyncio.run(run())
    finally:
        directory.close()
