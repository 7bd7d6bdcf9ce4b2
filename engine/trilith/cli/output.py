"""Tables for people and JSON for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec


def print_json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None
) -> None:
    """Coloured and framed on a terminal, plain aligned columns in a pipe."""
    if sys.stdout.isatty():
        _print_rich(headers, rows, title)
        return
    if title:
        click.echo(title)
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _print_rich(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


_STYLES = {
    "running": "green",
    "ok": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "warning": "yellow",
    "stopped": "red",
    "killed": "red",
    "failed": "red",
}
