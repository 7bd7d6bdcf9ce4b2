"""`trilith health`: a check for containers and scripts that needs no curl."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trilith.cli.options import config_option, load_config


@click.command(short_help="Ask a node whether it is ready; the exit status tells.")
@click.option("--admin", metavar="URL", help="Console port. [default: http://127.0.0.1:9001]")
@click.option("--live", is_flag=True, help="Ask only whether the process lives (/livez).")
@click.option("--quiet", "-q", is_flag=True, help="Only the exit status.")
@click.option("--timeout", "timeout_s", default=5.0, show_default=True, help="Seconds to wait.")
@config_option
def health(
    admin: str | None, live: bool, quiet: bool, timeout_s: float, config_file: Path | None
) -> None:
    """Ask /readyz of a node; exit status 0 when it is ready, 1 when it is not."""
    from trilith.cli.console_get import ConsoleError, get

    tls = None
    if admin is None:
        server = load_config(config_file, {}).server
        admin = f"http://127.0.0.1:{server.console_port}"
        if server.tls_certificate_file:
            from trilith.tls import pinned_context

            tls = pinned_context(server)
            admin = f"https://127.0.0.1:{server.console_port}"
    path = "/livez" if live else "/readyz"
    try:
        status, body = get(admin.rstrip("/") + path, None, timeout_s, tls=tls)
    except ConsoleError as error:
        if quiet:
            sys.exit(1)
        raise click.ClickException(str(error)) from error
    if not quiet:
        click.echo(body.decode(errors="replace").strip() or f"status {status}")
    sys.exit(0 if status == 200 else 1)
