"""`trilith node`: one node of a cluster. `trilith serve` starts three of them."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from trilith import config
from trilith.cli.options import (
    address_options,
    check_certificate,
    config_option,
    credentials_from_environment,
    load_config,
)
from trilith.node_options import ZONES, Credentials, NodeOptions
from trilith_native import huge_arenas

_FILE = click.Path(path_type=Path)
_BEGUN_ANEW = "TRILITH_BEGUN_ANEW"  # in the environment: the process that has done so


@click.command()
@click.option("--zone", required=True, metavar="ZONE", help=f"Its zone: one of {', '.join(ZONES)}.")
@click.option(
    "--coordinator",
    required=True,
    metavar="URL",
    help="sqlite:///absolute/path shared by the nodes of one machine.",
)
@click.option("--data", type=_FILE, required=True, metavar="DIR", help="The node's own directory.")
@click.option("--node-id", metavar="ID", help="Default: made on the first start and kept.")
@address_options
@click.option(
    "--peer-address",
    metavar="HOST:PORT",
    default="127.0.0.1:0",
    show_default=True,
    help="Where the other nodes reach this one; port 0 is picked.",
)
@click.option(
    "--root-key-file",
    type=_FILE,
    required=True,
    metavar="FILE",
    help="32 bytes in hex, the same for all nodes: wraps every other key.",
)
@click.option("--credentials-file", type=_FILE, metavar="FILE", help="Root access key as JSON.")
@click.option("--control-token-file", type=_FILE, metavar="FILE", help="Token of the /v1 API.")
@click.option("--log-file", type=_FILE, metavar="FILE", help="Default: standard error.")
@click.option("--reuse-port", is_flag=True, help="Share the public ports with other nodes.")
@click.option("--parent-pid", type=int, hidden=True)
@click.option("--pulse-fd", type=int, hidden=True)
@click.option("--run", metavar="ID", hidden=True)
@config_option
def node(parent_pid: int | None, **given: Any) -> None:
    """Run one node of a cluster.

    The root credentials come from TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY, or from
    --credentials-file.
    """
    huge_arenas.install()  # before a node's modules and tables are made
    if parent_pid is not None:
        from trilith.supervisor.node_process import end_with_parent

        end_with_parent(parent_pid)
    options = node_options(**given)
    if parent_pid is None:
        from trilith.runtime.memory import NODE_ENVIRONMENT

        _begin_anew_with(NODE_ENVIRONMENT)
    from trilith.node.composition import run_node

    sys.exit(run_node(options))


def _begin_anew_with(settings: Mapping[str, str]) -> None:
    """What the C library reads when a process begins, and `trilith serve` gives its nodes: this
    program again in its own place, with those of the settings that it was started without.

    Once: from a program that has capabilities of its own, glibc takes them away again.
    """
    missing = {name: value for name, value in settings.items() if name not in os.environ}
    me = str(os.getpid())
    if not missing or os.environ.get(_BEGUN_ANEW) == me:
        return
    arguments = [sys.executable, *sys.orig_argv[1:]]
    environment = {**os.environ, **missing, _BEGUN_ANEW: me}
    try:
        os.execve(sys.executable, arguments, environment)  # noqa: S606
    except OSError as error:
        click.echo(f"trilith: goes on without {', '.join(missing)}: {error}", err=True)


def node_options(
    *,
    zone: str,
    coordinator: str,
    data: Path,
    node_id: str | None,
    peer_address: str,
    root_key_file: Path,
    credentials_file: Path | None,
    control_token_file: Path | None,
    log_file: Path | None,
    reuse_port: bool,
    config_file: Path | None,
    pulse_fd: int | None = None,
    run: str | None = None,
    **addresses: Any,
) -> NodeOptions:
    """The options, checked, with the secrets read. Raises ConfigError."""
    settings = load_config(config_file, addresses)
    check_certificate(settings)
    if zone not in ZONES:
        raise config.ConfigError(f"--zone {zone}: the zones are {', '.join(ZONES)}")
    _check_coordinator(coordinator)
    peer_host, peer_port = _host_and_port(peer_address)
    token = None if control_token_file is None else _read(control_token_file)
    return NodeOptions(
        zone=zone,
        node_id=node_id,
        data_dir=str(data.absolute()),
        coordinator=coordinator,
        host=settings.server.host,
        s3_port=settings.server.s3_port,
        dynamodb_port=settings.server.dynamodb_port,
        console_port=settings.server.console_port,
        grpc_port=settings.server.grpc_port,
        reuse_port=reuse_port,
        peer_host=peer_host,
        peer_port=peer_port,
        root_key_file=str(root_key_file.absolute()),
        root_credentials=_root_credentials(credentials_file),
        # Without a file nobody knows the token, and the /v1 API stays shut.
        control_token=token or secrets.token_urlsafe(32),
        log_file=None if log_file is None else str(log_file.absolute()),
        pulse_descriptor=pulse_fd,
        config=settings,
        run=run,
    )


def _check_coordinator(url: str) -> None:
    from trilith.cluster.embedded_coordinator import path_of_url

    if url.startswith("etcd://"):
        raise config.ConfigError(
            f"--coordinator {url}: etcd is not supported in this version; a cluster on one "
            "machine uses sqlite:///absolute/path"
        )
    try:
        path_of_url(url)
    except ValueError as error:
        raise config.ConfigError(f"--coordinator {error}") from error


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise config.ConfigError(f"--peer-address {address!r} is not of the form HOST:PORT")
    return host.strip("[]"), int(port)


def _root_credentials(file: Path | None) -> Credentials:
    found = credentials_from_environment(os.environ)
    if found is not None:
        return found
    if file is None:
        raise config.ConfigError(
            "no root credentials: set TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY, "
            "or name a --credentials-file"
        )
    try:
        kept = msgspec.json.decode(_read(file), type=dict[str, str])
        return Credentials(kept["access_key"], kept["secret_key"])
    except (msgspec.MsgspecError, KeyError) as error:
        raise config.ConfigError(
            f'{file} is not of the form {{"access_key": ..., "secret_key": ...}}'
        ) from error


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise config.ConfigError(f"cannot read {file}: {error}") from error
