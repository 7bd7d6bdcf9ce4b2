"""Commands of the contract that this version does not have: refused by name, never half done."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

_EXIT_NOT_AVAILABLE = 2
_ANY_ARGUMENTS = {"ignore_unknown_options": True, "allow_extra_args": True}


def _refuse(name: str, instead: str) -> NoReturn:
    click.echo(f"trilith {name} is not available in this version: {instead}", err=True)
    sys.exit(_EXIT_NOT_AVAILABLE)


@click.command(
    short_help="Run a load against a cluster (not in this version).",
    context_settings=_ANY_ARGUMENTS,
)
def bench() -> None:
    """Run a load against a cluster (not available in this version)."""
    _refuse("bench", "a source checkout has `make bench`")
