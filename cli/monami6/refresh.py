"""monami6 refresh."""

import json

import click

from monami6 import client
from monami6.exits import Failure

PATIENCE_S = 15.0
"""With the agent, which has patience of its own."""


@click.command()
@click.pass_context
def refresh(context: click.Context) -> None:
    """Look at the interfaces and tell the home agent everything anew, also what it has refused.

    The agent does so by itself when the machine has slept.
    """
    answer = json.loads(client.agent(context).ask("refresh", PATIENCE_S))
    if answer["registration"]["state"] == "at home":
        click.echo("at home: there is nothing to register")
        return
    names = [link["name"] for link in answer["links"] if link["state"] == "registered"]
    if not names:
        raise Failure("no link is registered: `monami6 status` says why")
    click.echo(f"registered anew: {', '.join(names)}")
