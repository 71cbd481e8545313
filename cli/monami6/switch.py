"""monami6 switch."""

import json
from typing import Any

import click
from click.shell_completion import CompletionItem

from monami6 import client
from monami6.exits import REFUSED, TIMED_OUT, Failure

COMPLETION_TIMEOUT_S = 0.5


def complete_link(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """The links that the running agent has; none without it."""
    try:
        links = json.loads(client.agent(context).ask("status", COMPLETION_TIMEOUT_S))["links"]
    except Failure:
        return []
    return [
        CompletionItem(link["name"], help=f"{link['kind']}, {link['state']}")
        for link in links
        if link["name"].startswith(incomplete)
    ]


@click.command()
@click.argument("link", required=False, shell_complete=complete_link)
@click.option("--auto", is_flag=True, help="Give the choice back to the configured order.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="S",
    help="How many seconds the home agent may take to confirm.",
)
@click.pass_context
def switch(context: click.Context, link: str | None, timeout_s: float, *, auto: bool) -> None:
    """Move all traffic to LINK now, and keep it there.

    LINK is the name of a link, of its interface, or a kind (ethernet, wifi, lte) that only one link has.
    """
    if auto == (link is not None):
        raise click.UsageError("say either which LINK to use, or --auto")
    agent = client.agent(context)
    try:
        status = json.loads(agent.ask("switch", timeout_s, link=link))
    except Failure as failure:
        if failure.exit_code != TIMED_OUT:
            raise
        raise _explained(agent, failure, link) from None
    click.echo(_outcome(status))


def _outcome(status: dict[str, Any]) -> str:
    default = status["default"]
    if default["link"] is None:
        return f"no link carries traffic: {default['why']}"
    pinned = "; it stays there until `monami6 switch --auto`" if default["pinned"] else ""
    return f"{default['link']} carries the traffic: {default['why']}{pinned}"


def _explained(agent: client.Client, timeout: Failure, link: str | None) -> Failure:
    """How far it got. The agent goes on trying, so what it does now is worth knowing."""
    status = json.loads(agent.ask("status"))
    wanted = next((one for one in status["links"] if link in (one["name"], one["interface"], one["kind"])), None)
    if wanted is None:
        return Failure(f"{timeout.message}; {_outcome(status)}", TIMED_OUT)
    problem = f" ({wanted['problem']})" if wanted["problem"] else ""
    return Failure(
        f"the home agent has not confirmed it: {wanted['name']} is {wanted['state']}{problem}. The agent goes on "
        "trying; `monami6 switch --auto` takes the wish back",
        REFUSED if wanted["state"] == "refused" else TIMED_OUT,
    )
