"""monami6 monitor."""

import json
import time

import click

from monami6 import client


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print events as the agent sends them, one JSON object a line.")
@click.pass_context
def monitor(context: click.Context, *, as_json: bool) -> None:
    """Show what happens, as it happens, until Ctrl-C."""
    try:
        for event in client.agent(context).listen("monitor"):
            click.echo(event if as_json else _line(event))
    except KeyboardInterrupt:
        pass


def _line(event: bytes) -> str:
    told = json.loads(event)
    clock = time.strftime("%H:%M:%S", time.localtime(told["at"]))
    return f"{clock} {told['event']:<14} {told['text']}"
