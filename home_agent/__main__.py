"""monami6-ha --config FILE, and its commands: init, add-node, radvd, status, revoke, switch-away."""

import asyncio
import json
import sys
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

import click

from home_agent import config
from home_agent.add_node import add_node
from home_agent.init import init
from home_agent.radvd import radvd
from mip6.config import ConfigError
from mip6.journal import set_up_logging
from mip6.options import ADDRESS, configuration_file

SOCKET = Path("/run/monami6/home-agent.sock")


control_socket = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    default=SOCKET,
    show_default=True,
    metavar="PATH",
    help="The home agent's control socket.",
)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@configuration_file(config.DEFAULT_PATH, "The home agent's configuration.")
@click.pass_context
def main(context: click.Context, path: Path) -> None:
    """The home agent: without a command, serve mobile nodes until a signal.

    \b
    Signals:
      SIGTERM, SIGINT  remove everything from the kernel, and end
      SIGUSR1          end, and leave everything to the next run
      SIGHUP           read the configuration again
    """  # noqa: D301 (the backspace tells click to keep the lines)
    if context.invoked_subcommand is None:
        sys.exit(_serve(path))


main.add_command(init)
main.add_command(add_node)
main.add_command(radvd)


@main.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print the home agent's answer as it is.")
@control_socket
def show_status(socket: Path, *, as_json: bool) -> None:
    """Which mobile nodes are bound, to which care-of addresses, where their flows go, and what was dropped."""
    from monami6.client import Client  # the daemon needs none of it

    answer = Client(socket, "monami6-ha").ask("status")
    if as_json:
        click.echo(answer)
        return
    from monami6.home_agent_view import show

    show(answer)


@main.command("revoke")
@click.argument("node")
@click.option(
    "--bid", "bids", type=click.IntRange(1, 0xFFFF), multiple=True, help="Only this binding; may be repeated."
)
@click.option("--renew", is_flag=True, help="The mobile node shall register anew at once.")
@control_socket
def revoke(node: str, bids: tuple[int, ...], socket: Path, *, renew: bool) -> None:
    """End bindings of the mobile node called NODE, and tell it so (RFC 5846).

    It leaves the care-of addresses alone for a minute, or, if all were revoked, this home agent for ten; unless it is
    told to renew them.
    """
    from monami6.client import Client  # the daemon needs none of it

    answer = json.loads(Client(socket, "monami6-ha").ask("revoke", node=node, bids=bids, renew=renew))
    click.echo(f"{node}: {answer['text']}")


@main.command("switch-away")
@click.argument("node")
@click.option("--to", "home_agents", type=ADDRESS, multiple=True, help="This home agent; several in their order.")
@control_socket
def switch_away(node: str, home_agents: tuple[IPv6Address, ...], socket: Path) -> None:
    """Have the mobile node called NODE go to another home agent (RFC 5142), before maintenance.

    Without --to it goes to the next one that its configuration names. It needs IPsec, or it could not know who says so.
    """
    from home_agent.daemon import SWITCH_S
    from monami6.client import Client  # the daemon needs none of it

    addresses = [str(address) for address in home_agents]
    Client(socket, "monami6-ha").ask("switch-away", SWITCH_S + 1, node=node, home_agents=addresses)
    click.echo(f"{node} has gone")


def _serve(path: Path) -> int:
    """2 when the configuration is wrong, 1 when the home agent cannot run."""
    from home_agent.daemon import HomeAgentDaemon  # a command needs none of it

    set_up_logging()
    try:
        daemon = HomeAgentDaemon(partial(config.read, path))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        asyncio.run(daemon.run())
    except OSError as error:
        print(f"monami6-ha: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
