"""monami6 leave."""

import click

from monami6 import client

PATIENCE_S = 10.0
"""With the agent, which has patience of its own."""


@click.command()
@click.argument("interface")
@click.pass_context
def leave(context: click.Context, interface: str) -> None:
    """Wait until nothing goes over INTERFACE any more, if NetworkManager is about to take it down.

    NetworkManager's dispatcher calls this, so that no packet is lost.
    """
    client.agent(context).ask("leave", PATIENCE_S, interface=interface)
