"""monami6 switch."""

from typing import NamedTuple

import click

from mn_agent.core.status import SCHEMA, Status
from monami6 import candidates, client
from monami6.answers import decode
from monami6.exits import REFUSED, TIMED_OUT, Failure
from monami6.wording import back_to_auto, bound, is_refused


class _Subject(NamedTuple):
    """What is moved: a flow, IKEv2, or else all traffic."""

    flow: str | None
    is_ike: bool

    @property
    def arguments(self) -> dict[str, object]:
        """What the agent is told, beside the link."""
        if self.flow is not None:
            return {"flow": self.flow}
        return {"ike": True} if self.is_ike else {}

    @property
    def auto(self) -> str:
        """The command that gives the choice back."""
        return back_to_auto(self.flow, ike=self.is_ike)


@click.command()
@click.argument("link", required=False, shell_complete=candidates.links)
@click.option("--flow", metavar="NAME", shell_complete=candidates.flows, help="Move this flow of the policy only.")
@click.option("--ike", "is_ike", is_flag=True, help="Move IKEv2 only.")
@click.option("--auto", is_flag=True, help="Give the choice back to the policy.")
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
def switch(
    context: click.Context, link: str | None, flow: str | None, timeout_s: float, *, is_ike: bool, auto: bool
) -> None:
    """Move all traffic, one flow, or IKEv2 to LINK now, and keep it there.

    LINK is the name of a link, of its interface, or a kind (ethernet, wifi, lte) that only one link has.
    """
    if auto == (link is not None):
        raise click.UsageError("say either which LINK to use, or --auto")
    if flow is not None and is_ike:
        raise click.UsageError("say either --flow or --ike")
    agent, subject = client.agent(context), _Subject(flow, is_ike)
    try:
        status = decode(agent.ask("switch", timeout_s, link=link, **subject.arguments), Status, SCHEMA)
    except Failure as failure:
        if failure.exit_code != TIMED_OUT:
            raise
        raise _explained(agent, failure, subject, link) from None
    told = _told(status, subject)
    if link is not None and is_refused(told.bound):
        raise Failure(_outcome(told, subject), REFUSED)
    click.echo(_outcome(told, subject))


class _Told(NamedTuple):
    """What the agent says of the subject."""

    does: str
    """What its links do."""
    links: list[str]
    why: str
    pinned: str | None
    bound: str = "yes"

    @property
    def place(self) -> str:
        """Where it is and why."""
        sentence = f"{', '.join(self.links) or 'no link'} {self.does}: {self.why}"
        return sentence if self.bound == "yes" else f"{sentence}; {bound(self.bound)}"


def _told(status: Status, subject: _Subject) -> _Told:
    if subject.flow is None:
        one = status.ike if subject.is_ike else status.default
        does = "has the care-of address for IKEv2" if subject.is_ike else "carries the traffic"
        return _Told(does, [one.link] if one.link else [], one.why, one.pinned)
    flow = next((flow for flow in status.flows if flow.name == subject.flow), None)
    if flow is None:
        return _Told(f"carries flow {subject.flow}", [], f"policy {status.policy} has none of this name", None)
    does = f"{'carry' if len(flow.links) > 1 else 'carries'} flow {flow.name}"
    return _Told(does, flow.links, flow.why, flow.pinned, flow.bound)


def _outcome(told: _Told, subject: _Subject) -> str:
    """Where it is and why, and whether it is pinned."""
    if told.pinned is None:
        return told.place
    stays = "it stays there" if told.pinned in told.links else f"it is pinned to {told.pinned}"
    return f"{told.place}; {stays} until {subject.auto}"


def _explained(agent: client.Client, timeout: Failure, subject: _Subject, link: str | None) -> Failure:
    """How far it got. The agent goes on trying, so what it does now is worth knowing."""
    status = decode(agent.ask("status"), Status, SCHEMA)
    told = _told(status, subject)
    wanted = next((one for one in status.links if link in (one.name, one.interface, one.kind)), None)
    if wanted is None:
        return Failure(f"{timeout.message}; {_outcome(told, subject)}", TIMED_OUT)
    problem = f" ({wanted.problem})" if wanted.problem else ""
    return Failure(
        f"the home agent has not confirmed it: {wanted.name} is {wanted.state}{problem}, and {told.place}. "
        f"The agent goes on trying; {subject.auto} takes the wish back",
        REFUSED if wanted.state == "refused" or is_refused(told.bound) else TIMED_OUT,
    )
