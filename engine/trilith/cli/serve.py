"""`trilith serve`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from trilith import config
from trilith.cli.options import (
    address_options,
    check_certificate,
    config_option,
    credentials_from_environment,
    data_option,
    load_config,
)


@click.command(short_help="Run three zones on this machine.")
@data_option
@address_options
@config_option
@click.option("--print-config", is_flag=True, help="Print the whole configuration as TOML and end.")
def serve(data: Path, config_file: Path | None, print_config: bool, **addresses: Any) -> None:
    """Run three zones on this machine: one command, nothing else to install.

    Each zone is a process with its own data; every write is synced in all of them before it is
    acknowledged, and any one of them may die. Ready when `GET /readyz` on the console port answers
    200. Ctrl-C or SIGTERM stops cleanly.

    The first start makes the data directory and root credentials, prints them once and keeps
    them there; set TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY (or the same with _FILE)
    to choose your own.
    """
    settings = load_config(config_file, addresses)
    if print_config:
        click.echo(config.render(settings), nl=False)
        return
    check_certificate(settings)
    # asyncio comes with it, which `--help` and `--print-config` do without.
    from trilith.supervisor.serve import StartError, run_supervisor

    try:
        code = run_supervisor(data, settings, credentials_from_environment(os.environ), os.environ)
    except StartError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(code)
