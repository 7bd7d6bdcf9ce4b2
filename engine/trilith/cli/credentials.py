"""`trilith credentials`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from trilith.cli.options import config_option, data_option, json_option, load_config
from trilith.cli.output import print_json


@click.command()
@data_option
@config_option
@click.option("--export", "as_export", is_flag=True, help="Print shell commands for `eval`.")
@json_option
def credentials(data: Path, config_file: Path | None, as_export: bool, as_json: bool) -> None:
    """Show the generated root credentials of a data directory.

    \b
      eval "$(trilith credentials --export)"      for the AWS CLI and SDKs in this shell
    """
    from trilith.supervisor.data_directory import read_credentials

    found = read_credentials(data)
    if found is None:
        raise click.ClickException(
            f"{data} keeps no generated credentials: `trilith serve` makes them on its first "
            "start, unless TRILITH_ROOT_ACCESS_KEY and TRILITH_ROOT_SECRET_KEY are set"
        )
    region = load_config(config_file, {}).s3.region
    if as_json:
        print_json({"access_key": found.access_key, "secret_key": found.secret_key})
    elif as_export:
        click.echo(f"export AWS_ACCESS_KEY_ID={shlex.quote(found.access_key)}")
        click.echo(f"export AWS_SECRET_ACCESS_KEY={shlex.quote(found.secret_key)}")
        click.echo(f"export AWS_DEFAULT_REGION={shlex.quote(region)}")
    else:
        click.echo(f"access key  {found.access_key}\nsecret key  {found.secret_key}")
