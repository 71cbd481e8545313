"""The agent's status as a screen full of text."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from mn_agent.core.status import SCHEMA, LinkStatus, Status
from monami6.answers import decode
from monami6.tables import BAD, DOUBTFUL, GOOD, QUIET, cell, console, notes, table
from monami6.times import since, until

_STYLES = {"registered": GOOD, "refused": BAD, "unusable": BAD, "no link": BAD}
"""Of states; all others are on their way from one to another."""

_WITH_HOME_AGENT = {
    "registered": "Registered with",
    "partly registered": "Partly registered with",
    "registering": "Registering with",
    "refused": "Refused by",
    "no link": "No link to",
}

_ADDRESS_WIDTH = 32
"""At least; an address is never folded, for somebody wants to copy it."""

_SECURITY = {"auth-option": "authenticated by a shared key (RFC 4285)"}


def show(answer: bytes) -> None:
    """Print it. Raises Failure when it is not what this version understands."""
    status = decode(answer, Status, SCHEMA)
    screen = console()
    for line in _lines(status):
        screen.print(line)
    if status.links:
        screen.print()
        screen.print(_links(status))
    notes(screen, status.troubles, status.counters)


def _lines(status: Status) -> Iterator[Text]:
    registered, default, now = status.registration, status.default, status.at
    state = _WITH_HOME_AGENT.get(registered.state, f"{registered.state}:")
    yield Text.assemble((state, _STYLES.get(registered.state, DOUBTFUL)), f" home agent {status.home_agent}")
    if registered.since is not None or registered.state == "registered":
        yield Text(f"  {since(registered.since, now)}; {until(registered.until, now)}")
    if registered.problem:
        yield Text(f"  {registered.problem}", style=BAD)
    if registered.care_of_addresses == "one":
        yield Text("  one link at a time: this home agent takes a single care-of address", style=DOUBTFUL)
    security = _SECURITY.get(status.security, status.security)
    yield Text(f"Home address {status.home_address} of {status.identity},\n  {security}")
    if default.link is None:
        yield Text.assemble("Default traffic: ", ("carried by no link", BAD), f": {default.why}")
    else:
        carried = Text.assemble("Default traffic: ", (default.link, GOOD), f", {since(default.since, now)}")
        yield Text.assemble(carried, f"\n  because {default.why}")
    if default.pinned is not None:
        yield Text(f"  pinned to {default.pinned}; `monami6 switch --auto` gives the choice back", style=DOUBTFUL)


def _links(status: Status) -> Table:
    drawn = table("LINK", "CARE-OF ADDRESS", "STATE")
    drawn.columns[1].width = max(_ADDRESS_WIDTH, *(len(link.care_of_address or "") for link in status.links))
    for link in status.links:
        drawn.add_row(_name(link), _address(link, status.at), _state(link, status.at))
    return drawn


def _name(link: LinkStatus) -> Text:
    interface = link.interface if link.interface != link.name else None
    return cell(Text(link.name, style="bold"), Text(", ".join(filter(None, (interface, link.kind))), style=QUIET))


def _address(link: LinkStatus, now: float) -> Text:
    bound = f", {until(link.until, now)}" if link.until is not None else ""
    problem = Text(link.problem, style=DOUBTFUL) if link.problem else None
    return cell(link.care_of_address or "none", Text(f"BID {link.bid}{bound}", style=QUIET), problem)


def _state(link: LinkStatus, now: float) -> Text:
    state = Text(link.state, style=_STYLES.get(link.state, DOUBTFUL))
    carries = Text("default traffic", style=GOOD) if link.carries_default else None
    return cell(state, since(link.since, now), carries)
