"""`trilith version`."""

from __future__ import annotations

import click

from trilith import __version__
from trilith.cli.options import json_option
from trilith.cli.output import print_json


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Show the version."""
    if as_json:
        print_json({"version": __version__})
    else:
        click.echo(f"trilith {__version__}")
