"""`trilith completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
      bash    trilith completion bash > ~/.local/share/bash-completion/completions/trilith
      zsh     trilith completion zsh > "${fpath[1]}/_trilith"
      fish    trilith completion fish > ~/.config/fish/completions/trilith.fish
    """
    from trilith.cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "trilith", "_TRILITH_COMPLETE").source())
