"""What a node is told when it starts: `trilith node` builds it, `trilith.node.run_node` obeys."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from trilith.config import Config

ZONES = ("az1", "az2", "az3")


class Credentials(NamedTuple):
    """An access key pair."""

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        # Kept out of logs and tracebacks.
        return f"Credentials({self.access_key!r}, ...)"


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One node process. Paths are absolute; ports are real (never 0) but for `peer_port`.

    The secrets are already read: whoever logs this struct leaks them, so nobody does.
    """

    zone: str
    # None: the node generates an id on its first start and keeps it in its data directory.
    node_id: str | None = None
    data_dir: str
    # All zones of the cluster: the first start waits until each has registered a node.
    zones: tuple[str, ...] = ZONES
    # `sqlite:///absolute/path`, or `etcd://host:port,...`.
    coordinator: str

    # Public listeners. `reuse_port`: several node processes share s3, dynamodb and console ports.
    host: str
    s3_port: int
    dynamodb_port: int
    console_port: int
    grpc_port: int
    reuse_port: bool = False
    # Node-to-node traffic: where to listen, and what is told to the others.
    peer_host: str
    peer_port: int

    root_key_file: str
    root_credentials: Credentials
    # Bearer token of the console's /v1 API.
    control_token: str
    # Where the node writes its access and event log; None: stderr.
    log_file: str | None = None
    # Inherited pipe to the supervisor, for signs of life (pulse.py).
    pulse_descriptor: int | None = None
    config: Config = Config()
    # Made by `trilith serve` when no node of the cluster ran; the same for all that it starts.
    run: str | None = None
