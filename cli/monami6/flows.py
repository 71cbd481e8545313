"""monami6 flows."""

import json

import click

from mn_agent.core.status import SCHEMA as STATUS_SCHEMA
from mn_agent.core.status import Status
from monami6 import client
from monami6.answers import decode

SCHEMA = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def flows(context: click.Context, *, as_json: bool) -> None:
    """Which flow goes over which links, since when and why, and how much of it?

    A flow's packets are described as they come in: what is "from" is the correspondent's.
    """
    answer = client.agent(context).ask("status")
    status = decode(answer, Status, STATUS_SCHEMA)
    if as_json:
        told = json.loads(answer)
        click.echo(json.dumps({"schema": SCHEMA} | {name: told[name] for name in ("policy", "default", "flows")}))
        return
    from monami6.flows_view import show  # rich is for those who look

    show(status)
