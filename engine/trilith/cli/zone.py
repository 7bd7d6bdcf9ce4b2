"""`trilith zone`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trilith.cli.options import data_option, json_option
from trilith.cli.output import print_json
from trilith.node_options import ZONES

_zone_argument = click.argument("zone_name", metavar="ZONE", type=click.Choice(ZONES))


@click.group(short_help="Stop, start or kill a zone.")
def zone() -> None:
    """Take a zone of a `trilith serve` cluster away, and give it back.

    With one zone gone, reads and writes go on; with two gone, writes are refused until one is
    back.
    """


def _apply(action: str, zone_name: str, data: Path, as_json: bool) -> None:
    from trilith.supervisor.control import ControlError, ask
    from trilith.supervisor.data_directory import control_socket

    request = {"command": "zone", "action": action, "zone": zone_name}
    try:
        answer: dict[str, Any] = ask(control_socket(data.absolute()), request)
    except ControlError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        print_json(answer)
    else:
        click.echo(f"zone {answer['zone']} is {answer['state']}")


@zone.command()
@_zone_argument
@data_option
@json_option
def stop(zone_name: str, data: Path, as_json: bool) -> None:
    """Stop a zone cleanly; it stays down until `trilith zone start`."""
    _apply("stop", zone_name, data, as_json)


@zone.command()
@_zone_argument
@data_option
@json_option
def start(zone_name: str, data: Path, as_json: bool) -> None:
    """Start a zone again; it catches up and joins the in-sync sets by itself."""
    _apply("start", zone_name, data, as_json)


@zone.command()
@_zone_argument
@data_option
@json_option
def kill(zone_name: str, data: Path, as_json: bool) -> None:
    """Kill a zone without warning (SIGKILL), as a failure would; it stays down."""
    _apply("kill", zone_name, data, as_json)
