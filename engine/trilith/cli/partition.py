"""`trilith partition`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trilith.cli.options import data_option, json_option
from trilith.cli.output import print_json

_partition_argument = click.argument("number", metavar="PARTITION", type=click.IntRange(1))


@click.group(short_help="Split a partition, or merge it again.")
def partition() -> None:
    """Change the partitions of a `trilith serve` cluster, while it serves.

    They split by themselves when they are hot or large, and those of tables come together again
    when they are neither (the configuration's [partitions]). `trilith status` lists them.
    """


def _apply(action: str, number: int, key: str, data: Path) -> dict[str, Any]:
    from trilith.supervisor.control import ControlError, ask
    from trilith.supervisor.data_directory import control_socket

    request = {"command": "partition", "action": action, "id": number, "key": key}
    try:
        answer: dict[str, Any] = ask(control_socket(data.absolute()), request)
    except ControlError as error:
        raise click.ClickException(str(error)) from error
    return answer


@partition.command()
@_partition_argument
@click.option("--key", default="", metavar="HEX", help="Where. [default: at half of its bytes]")
@data_option
@json_option
def split(number: int, key: str, data: Path, as_json: bool) -> None:
    """Split a partition in two; the new one begins at the key."""
    answer = _apply("split", number, key, data)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"partition {answer['child']} was split off partition {answer['partition']}")


@partition.command()
@_partition_argument
@data_option
@json_option
def merge(number: int, data: Path, as_json: bool) -> None:
    """Merge a partition of tables, which a split made, into the one before it.

    Both need all their replicas in sync. Objects' partitions stay split.
    """
    answer = _apply("merge", number, "", data)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"partition {answer['absorbed']} is a part of partition {answer['partition']}")
