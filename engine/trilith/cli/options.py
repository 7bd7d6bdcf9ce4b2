"""Options and settings that several commands share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from trilith import config
from trilith.node_options import Credentials

DEFAULT_DATA = Path("trilith-data")
ACCESS_KEY_LENGTH_MIN = 3
SECRET_KEY_LENGTH_MIN = 8
PORTS = {
    "s3": "S3",
    "dynamodb": "DynamoDB",
    "console": "console and admin: /livez, /readyz, /metrics",
    "grpc": "gRPC, for the Python SDK; `trilith serve` takes this port and the two above it",
}

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA,
    envvar="TRILITH_DATA",
    show_default=True,
    metavar="DIR",
    help="Data directory of `trilith serve`.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    envvar="TRILITH_CONFIG",
    metavar="FILE",
    help="TOML file; TRILITH_SECTION__KEY in the environment wins over it.",
)


def address_options(command: Any) -> Any:
    """--host, one --NAME-port each and TLS; they win over the configuration. Port 0 is picked."""
    for name, meaning in (
        ("key", "PEM, without a passphrase"),
        ("certificate", "PEM, with its chain"),
    ):
        command = click.option(
            f"--tls-{name}",
            f"tls_{name}_file",
            type=click.Path(exists=True, dir_okay=False, resolve_path=True),
            metavar="FILE",
            help=f"Speak TLS on all these ports with this {name} ({meaning}).",
        )(command)
    for name, meaning in reversed(PORTS.items()):
        default = getattr(config.Server(), f"{name}_port")
        command = click.option(
            f"--{name}-port",
            type=click.IntRange(0, 65535),
            help=f"{meaning}. [default: {default}]",
        )(command)
    return click.option(
        "--host", metavar="ADDRESS", help="Address to listen on. [default: 127.0.0.1]"
    )(command)


def load_config(config_file: Path | None, addresses: Mapping[str, Any]) -> config.Config:
    """Defaults, file, environment, then what the command line gave. Raises ConfigError."""
    settings = config.load(config_file, os.environ)
    given = {name: value for name, value in addresses.items() if value is not None}
    if not given:
        return settings
    settings = msgspec.structs.replace(
        settings, server=msgspec.structs.replace(settings.server, **given)
    )
    config.check(settings)
    return settings


def check_certificate(settings: config.Config) -> None:
    """Before processes are started with it. Raises ConfigError."""
    server = settings.server
    if server.tls_certificate_file:
        from trilith import tls

        tls.server_context(server.tls_certificate_file, server.tls_key_file)


def credentials_from_environment(environment: Mapping[str, str]) -> Credentials | None:
    """TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY, or their _FILE forms; None: not given.

    Raises ConfigError where only one is there or one is too short.
    """
    access_key = _value_or_file(environment, "TRILITH_ROOT_ACCESS_KEY")
    secret_key = _value_or_file(environment, "TRILITH_ROOT_SECRET_KEY")
    if access_key is None and secret_key is None:
        return None
    if access_key is None or secret_key is None:
        raise config.ConfigError(
            "TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY belong together: set both or none"
        )
    if len(access_key) < ACCESS_KEY_LENGTH_MIN or not access_key.isascii() or "/" in access_key:
        raise config.ConfigError(
            f"TRILITH_ROOT_ACCESS_KEY needs at least {ACCESS_KEY_LENGTH_MIN} ASCII characters "
            "without '/'"
        )
    if len(secret_key) < SECRET_KEY_LENGTH_MIN:
        raise config.ConfigError(
            f"TRILITH_ROOT_SECRET_KEY needs at least {SECRET_KEY_LENGTH_MIN} characters"
        )
    return Credentials(access_key, secret_key)


def _value_or_file(environment: Mapping[str, str], name: str) -> str | None:
    if environment.get(name):
        return environment[name]
    file = environment.get(f"{name}_FILE")
    return config.read_secret_file(f"{name}_FILE", file) if file else None
