"""monami6 completion."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and the names of links, flows and policies.

    \b
    Put it where your shell looks for such scripts:
      monami6 completion bash > ~/.local/share/bash-completion/completions/monami6
      monami6 completion zsh > "${fpath[1]}/_monami6"
      monami6 completion fish > ~/.config/fish/completions/monami6.fish
    """  # noqa: D301 (the backspace tells click to keep the lines)
    kind = get_completion_class(shell)
    assert kind is not None  # all three are click's own
    click.echo(kind(context.find_root().command, {}, "monami6", "_MONAMI6_COMPLETE").source())
