"""The flows of the policy as a screen full of text."""

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import TypeAlias

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mn_agent.core.status import DefaultTraffic, FlowStatus, RouterStatus, Status, Traffic
from monami6.tables import BAD, DOUBTFUL, QUIET, console, table
from monami6.times import since
from monami6.whereabouts import pinned, place
from monami6.wording import bound, count, is_refused, traffic

Counted: TypeAlias = tuple[Mapping[str, Traffic], Mapping[str, Traffic]]
"""What was sent and what was received, by link."""

MOST_SELECTORS = 8
"""So many are shown of a flow; a policy may have hundreds."""

_TRAFFIC_WIDTH = 24
"""Of a column: the same for all flows."""


def show(status: Status) -> None:
    """Print the flows, and at last what belongs to none of them."""
    screen = console()
    screen.print(Text(f"Policy {status.policy}" + ("" if status.flows else ", which has no flows")))
    width = max((len(link.name) for link in status.links), default=0)
    for flow in status.flows:
        screen.print()
        _show_flow(screen, flow, status.at, width)
    screen.print()
    _show_default(screen, status.default, status.at, width)
    if status.router is not None:
        screen.print()
        _show_router(screen, status.router)


def _show_flow(screen: Console, flow: FlowStatus, now: float, width: int) -> None:
    for line in _lines(flow, now):
        screen.print(line)
    for spelled in _packets(flow.packets, screen.width):
        screen.print(Text(spelled), overflow="ignore", crop=False)  # an address is never folded
    _show_amounts(screen, flow.links, (flow.sent, flow.received), width)


def _lines(flow: FlowStatus, now: float) -> Iterator[Text]:
    yield place(f"Flow {flow.name}", flow.links, flow.why, when=since(flow.since, now))
    if flow.pinned is not None:
        yield pinned(flow.pinned, flow.name)
    style = QUIET if flow.bound == "yes" else BAD if is_refused(flow.bound) else DOUBTFUL
    yield Text(f"  {bound(flow.bound)}", style=style)


def _packets(packets: list[str], width: int) -> Iterator[str]:
    """Which packets belong to the flow, one kind a line."""
    shown = packets[:MOST_SELECTORS]
    for number, one in enumerate(shown):
        start = "  or " if number else "  packets: "
        yield "\n".join(
            wrap(start + one, width, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False)
        )
    if len(packets) > len(shown):
        yield f"  or {count(len(packets) - len(shown), 'other kind')}, which --json lists"


def _show_amounts(screen: Console, links: list[str], counted: Counted, width: int) -> None:
    drawn = _amounts(links, counted, width)
    if drawn.row_count:
        screen.print(Padding(drawn, (0, 0, 0, 2)))


def _amounts(links: list[str], counted: Counted, width: int) -> Table:
    """Of the links that carry it, `links`, or did so."""
    drawn = table("LINK", "SENT", "RECEIVED")
    for column, size in zip(drawn.columns, (width, _TRAFFIC_WIDTH, _TRAFFIC_WIDTH), strict=True):
        column.min_width = size
    for name in dict.fromkeys([*links, *(name for direction in counted for name in direction)]):
        told = [direction.get(name) for direction in counted]
        if name in links or any(one is not None and one.packets for one in told):
            drawn.add_row(name, *map(_amount, told))
    return drawn


def _amount(told: Traffic | None) -> str:
    return "unknown" if told is None else traffic(told.packets, told.octets)


def _show_router(screen: Console, router: RouterStatus) -> None:
    """What the networks behind a mobile router have sent and got, whatever the flow, and the hosts in them lately."""
    drawn = table("BEHIND IT", "SENT", "RECEIVED")
    rows = [(one.prefix, one.sent, one.received) for one in router.networks]
    rows += [(f"  {one.address}", one.sent, one.received) for one in router.hosts]
    drawn.columns[0].width = max(len(name) for name, *_ in rows)  # an address is never folded
    for name, sent, received in rows:
        drawn.add_row(name, _amount(sent), _amount(received))
    screen.print(drawn)


def _show_default(screen: Console, default: DefaultTraffic, now: float, width: int) -> None:
    links = [default.link] if default.link is not None else []
    screen.print(place("Default traffic", links, default.why, when=since(default.since, now)))
    if default.pinned is not None:
        screen.print(pinned(default.pinned))
    _show_amounts(screen, links, (default.sent, default.received), width)
