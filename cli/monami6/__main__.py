"""monami6: the command line of the mobile node. A command's module is imported when the command is called."""

from importlib import import_module
from pathlib import Path

import click

from monami6.client import AGENT_SOCKET

COMMANDS = (
    *("setup", "status", "switch", "refresh", "leave", "flows", "policy", "monitor", "doctor", "trace", "lab"),
    "completion",
)
"""Each is an attribute of the module of the same name."""


class LazyGroup(click.Group):
    """Imports a command's module only when it is asked for the command: `status` should not wait for the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"monami6.{cmd_name}"), cmd_name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=AGENT_SOCKET,
    show_default=True,
    help="The agent's control socket.",
    metavar="PATH",
)
@click.version_option(package_name="monami6")
def main(socket: Path) -> None:
    """One permanent IPv6 address over several links at once.

    \b
    Exit codes:
       0  done                       4  refused by the home agent
       1  failed                     8  the agent is not running
       2  wrong usage               10  no such thing, for example no such link
       3  timed out
    """  # noqa: D301 (the backspace tells click to keep the lines)


if __name__ == "__main__":
    main()
