"""`trilith doctor`: looks at this machine and one data directory, and says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from trilith.cli.options import config_option, data_option, json_option, load_config
from trilith.cli.output import print_json, print_table


@click.command(short_help="Check this machine and the data directory.")
@data_option
@config_option
@json_option
def doctor(data: Path, config_file: Path | None, as_json: bool) -> None:
    """Check this machine and the data directory, and say what to do.

    Changes nothing but a scratch file that measures the disk. Exit status 1 when something has
    failed.
    """
    from trilith.cli.examination import FAILED, examine

    findings = examine(data.absolute(), load_config(config_file, {}))
    if as_json:
        print_json([msgspec.to_builtins(finding) for finding in findings])
    else:
        rows = [[found.state, found.subject, found.fact] for found in findings]
        print_table(["STATE", "WHAT", "FOUND"], rows)
        for found in findings:
            if found.advice:
                click.echo(f"\n{found.subject}: {found.advice}")
    sys.exit(1 if any(found.state == FAILED for found in findings) else 0)
