"""The `trilith` command: which subcommands there are, and how their errors look."""

from __future__ import annotations

import importlib
from typing import Any

import click

from trilith import __version__
from trilith.config import ConfigError
from trilith.errors import TrilithError

# Subcommand -> the module that holds it under the same name; also the order of `trilith --help`.
_COMMANDS = {
    "serve": "trilith.cli.serve",
    "status": "trilith.cli.status",
    "zone": "trilith.cli.zone",
    "partition": "trilith.cli.partition",
    "health": "trilith.cli.health",
    "doctor": "trilith.cli.doctor",
    "credentials": "trilith.cli.credentials",
    "node": "trilith.cli.node",
    "recover": "trilith.cli.recover",
    "bench": "trilith.cli.unavailable",
    "completion": "trilith.cli.completion",
    "version": "trilith.cli.version",
}


class _LazyGroup(click.Group):
    """Imports a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean `trilith {close[0]}`?" if close else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Errors that we raise on purpose end in one clear line, defects in a traceback."""
        try:
            return super().invoke(ctx)
        except (ConfigError, TrilithError) as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `trilith serve`; every command explains itself with --help.",
)
@click.version_option(__version__, message="trilith %(version)s")
def cli() -> None:
    """Trilith keeps every acknowledged byte on durable media in three zones and speaks S3
    and DynamoDB.

    \b
      trilith serve                     three zones on this machine: S3 on :9000, DynamoDB on :8000
      trilith status                    what runs, and which replicas are in sync
      trilith zone kill az2             take a zone away; reads and writes go on
      trilith zone start az2            give it back; it catches up by itself
    """


def main() -> None:
    """Entry point of the installed `trilith` script."""
    cli(prog_name="trilith")
