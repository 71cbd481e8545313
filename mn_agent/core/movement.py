"""When to ask whether the router in use is still there (RFC 6275 section 11.5.1), what to drop when its link is lost.

Hints come from all sides: another router advertises itself, advertisements were missed, the link was down for a moment,
the path to the home agent is dead. The kernel asks, and interfaces tell what came of it.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

from mn_agent.core import routers
from mn_agent.core.commands import AskNeighbour, Command, ForgetNeighbour
from mn_agent.core.links import Link
from mn_agent.core.state import State


def overdue_at(state: State) -> float:
    """When a router in use has not been heard for so long that it has to be asked."""
    used = _used(state)
    return min((routers.overdue_at(state.routers, link.index, router) for link, router in used), default=inf)


def ask(before: State, after: State, now: float) -> tuple[State, list[Command]]:
    """Ask the routers about which there is doubt since `before`."""
    commands: list[Command] = []
    known = after.routers
    for link, router in _used(after):
        is_overdue = routers.overdue_at(known, link.index, router) <= now
        if is_overdue:
            known = routers.asked(known, link.index, router)
        if is_overdue or _is_in_doubt(before, after, link, router):
            commands.append(AskNeighbour(link.index, router))
    return (after if known is after.routers else replace(after, routers=known)), commands


def _is_in_doubt(before: State, after: State, link: Link, router: IPv6Address) -> bool:
    was = before.links.get(link.bid)
    if was is not None and not was.carries:
        return True
    if after.is_dead(link.bid) and not before.is_dead(link.bid):
        return True
    if after.routers is before.routers:
        return False
    others = routers.rivals(after.routers, link.index, router)
    return bool(others - routers.rivals(before.routers, link.index, router))


def _used(state: State) -> Iterator[tuple[Link, IPv6Address]]:
    for link in state.links.values():
        if link.carries and link.router is not None:
            yield link, link.router


def forget(before: State, after: State) -> list[Command]:
    """Packets that were sent when the carrier was gone already wait for the router there, for three seconds. Until then
    TCP takes them for not yet sent, and does not repeat them over the link that took over.
    """
    commands: list[Command] = []
    for bid, link in after.links.items():
        old = before.links.get(bid)
        if old is not None and old.carries and not link.carries and link.up and old.router is not None:
            commands.append(ForgetNeighbour(link.index, old.router))
    return commands
