"""monami6 status."""

import click

from monami6 import client


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the agent's answer as it is.")
@click.pass_context
def status(context: click.Context, *, as_json: bool) -> None:
    """Am I registered, over which links, and which of them carries the traffic?"""
    answer = client.agent(context).ask("status")
    if as_json:
        click.echo(answer)
        return
    from monami6.status_view import show  # what draws takes longer to import than the agent to answer

    show(answer)
