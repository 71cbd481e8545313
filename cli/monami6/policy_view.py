"""Policies, and what the one in use makes of the links, as a screen full of text."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from mn_agent.core.status import EXPLANATION_SCHEMA, Explanation, LinkReason
from monami6.answers import decode
from monami6.tables import BAD, DOUBTFUL, GOOD, QUIET, cell, console, table
from monami6.whereabouts import place


def show_list(found: Sequence[Mapping[str, str | None]], in_use: str | None, why_unknown: str) -> None:
    """Print the policies; `why_unknown`: why nobody knows which one is in use."""
    drawn = table("POLICY", "DESCRIPTION AND FILE")
    for one in found:
        name = cell(
            Text(one["name"] or "", style="bold"), Text("in use", style=GOOD) if one["name"] == in_use else None
        )
        wrong = Text(one["problem"], style=BAD) if one["problem"] else None
        file = Text(one["file"], style=QUIET) if one["file"] else None
        drawn.add_row(name, cell(one["description"], wrong, file))
    screen = console()
    if found:
        screen.print(drawn)
    else:
        screen.print("There is no policy.")
    if in_use is None:
        screen.print(Text(f"\nWhich one is in use is not known: {why_unknown}", style=DOUBTFUL))


def show_explanation(answer: bytes) -> None:
    """Print it. Raises Failure when it is not what this version understands."""
    told = decode(answer, Explanation, EXPLANATION_SCHEMA)
    screen = console()
    screen.print(Text(f"Policy {told.policy}: {told.description}"))
    if told.links:
        screen.print()
        screen.print(_links(told.links))
    screen.print()
    for reason in told.traffic:
        screen.print(place(reason.what[:1].upper() + reason.what[1:], reason.links, reason.why))
    if told.packet is not None:
        screen.print()
        screen.print(place(f"The packet belongs to {told.packet.what}", told.packet.links, told.packet.why))


def _links(links: Sequence[LinkReason]) -> Table:
    """The best first, those that do not work last."""
    drawn = table("LINK", "PLACE", "CRITERIA")
    for link in sorted(links, key=lambda link: (link.place is None, link.place)):
        number = Text("none", style=BAD) if link.place is None else str(link.place)
        criteria = ", ".join(f"{name}: {known}" for name, known in link.criteria.items())
        why_not = Text(f"not used: {link.why_not}", style=DOUBTFUL) if link.why_not else None
        drawn.add_row(Text(link.link, style="bold"), number, cell(criteria or None, why_not))
    return drawn
