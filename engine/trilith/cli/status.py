"""`trilith status`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trilith.cli.options import data_option, json_option
from trilith.cli.output import print_json, print_table
from trilith.cli.progress_report import health_lines, progress_rows

KEY_DIGITS = 16


@click.command(short_help="Show zones, nodes, in-sync sets and the repair queue.")
@data_option
@click.option("--admin", metavar="URL", help="Ask a node's console port, as http://host:9001.")
@click.option(
    "--token",
    metavar="TOKEN",
    envvar="TRILITH_CONTROL_TOKEN",
    help="For --admin: the content of control.token in the data directory.",
)
@json_option
def status(data: Path, admin: str | None, token: str | None, as_json: bool) -> None:
    """Show zones, nodes, partitions with their in-sync sets, what is under-replicated or damaged
    and why, and how far the background work is.

    Asks the running `trilith serve` through its data directory, or any node with --admin.
    """
    found = _from_console(admin, token) if admin else _from_supervisor(data)
    if as_json:
        print_json(found)
        return
    _print_nodes(found)
    _print_partitions(found)


def _from_supervisor(data: Path) -> dict[str, Any]:
    from trilith.supervisor.control import ControlError, ask
    from trilith.supervisor.data_directory import control_socket

    try:
        found = ask(control_socket(data.absolute()), {"command": "status"})
    except ControlError as error:
        raise click.ClickException(str(error)) from error
    assert isinstance(found, dict)
    return found


def _from_console(admin: str, token: str | None) -> dict[str, Any]:
    from trilith.cli.console_get import ConsoleError, get_json

    if not token:
        raise click.UsageError("--admin needs --token or TRILITH_CONTROL_TOKEN")
    try:
        return get_json(f"{admin.rstrip('/')}/v1/status", token)
    except ConsoleError as error:
        raise click.ClickException(str(error)) from error


def _print_nodes(found: Mapping[str, Any]) -> None:
    rows = [
        [
            zone["name"],
            zone["state"],
            node["id"],
            str(node.get("pid") or "-"),
            " ".join(f"{name}:{port}" for name, port in node.get("ports", {}).items() if port),
            node.get("data_dir", "-"),
        ]
        for zone in found.get("zones", [])
        for node in zone["nodes"]
    ]
    print_table(["ZONE", "STATE", "NODE", "PID", "PORTS", "DATA"], rows)


def _key(encoded: object) -> str:
    """The first bytes of a bound of a range, in hex."""
    text = encoded if isinstance(encoded, str) else ""
    return text if len(text) <= KEY_DIGITS else text[:KEY_DIGITS] + "~"


def _print_partitions(found: Mapping[str, Any]) -> None:
    if found.get("answered") is False:
        click.echo("\nNo node answers on the console port: partitions are not known.")
        return
    partitions = found.get("partitions") or []
    rows = [
        [
            str(partition.get("id", "-")),
            str(partition.get("keyspace", "-")),
            f"{_key(partition.get('start'))}..{_key(partition.get('end'))}",
            str(partition.get("leader", "-")),
            str(partition.get("epoch", "-")),
            _names(partition.get("in_sync")),
        ]
        for partition in partitions
        if isinstance(partition, dict)
    ]
    click.echo()
    print_table(["PARTITION", "KEYSPACE", "RANGE", "LEADER", "EPOCH", "IN SYNC"], rows)
    click.echo()
    for line in health_lines(found):
        click.echo(line)
    progress = progress_rows(found)
    if progress:
        click.echo()
        print_table(["NODE", "WORK", "STATE", "PROGRESS", "DONE IN"], progress)


def _names(value: Any) -> str:
    """A list, a mapping or a number in one cell."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {count}" for name, count in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)
