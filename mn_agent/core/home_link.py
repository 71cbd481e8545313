"""The home link: what we do there when no binding stays (homecoming.py)."""

from dataclasses import replace

from mip6 import address_check
from mip6.wire.neighbor import NeighborAdvertisement, NeighborMessage
from mn_agent.core import bindings, homecoming
from mn_agent.core.bindings import Return
from mn_agent.core.commands import Command, KnowNeighbour, SendNeighbor
from mn_agent.core.links import Link
from mn_agent.core.state import State


def deadline(state: State) -> float:
    """When there is something to do about that."""
    return homecoming.deadline(state.homecoming, told=_has_told_to_return(state))


def _has_told_to_return(state: State) -> bool:
    return Return() in state.registration.attempts


def come_home(state: State, now: float) -> tuple[State, list[Command]]:
    """Be at home for good, where that is so (RFC 6275 section 11.5.5)."""
    link, known, registered = state.home_for_good, state.homecoming, state.registration
    if link is None:
        still_there = any(one.bid == known.bid and one.at_home and one.carries for one in state.links.values())
        if known is homecoming.AWAY or (known.phase is homecoming.Phase.DUPLICATE and still_there):
            return state, []
        left = replace(registered, returning=False)
        return replace(state, homecoming=homecoming.AWAY, registration=left), []
    if known.bid != link.bid:
        claimed = any(entry.claimed_until_at for entry in registered.entries.values())
        new = homecoming.arrive(link.bid, now, claimed=claimed)
    else:
        told = _has_told_to_return(state)
        new = homecoming.proceed(known, now, told=told, ended=not registered.returning)
    commands: list[Command] = []
    address = state.settings.home.address
    if new.phase is not known.phase and (new.phase is homecoming.Phase.ASKING or _is_defended_on(state, link)):
        # The home agent tells where it is, and anybody else that the address is taken
        commands.append(SendNeighbor(link.index, address_check.question(address)))
    if new.announce_at <= now:
        new = homecoming.announced(new, now)
        commands.append(SendNeighbor(link.index, homecoming.announcement(link, address)))
    if new.phase is homecoming.Phase.RETURNING and known.phase is not new.phase:
        registered = bindings.come_home(registered)
    return replace(state, homecoming=new, registration=registered), commands


def _is_defended_on(state: State, link: Link) -> bool:
    """Whether the home agent is on this link, and stands in for us there: who asks for the home address learns its
    hardware address, and gives away nothing of his own (RFC 6275 section 11.5.5).
    """
    bound = any(entry.binding for entry in state.registration.entries.values())
    return bound and link.reaches(state.settings.home.agent)


def hear_neighbor(state: State, heard: NeighborMessage) -> tuple[State, list[Command]]:
    """Somebody has the home address: the home agent, as long as it may hold bindings, or somebody who should not."""
    link, home = state.home_for_good, state.settings.home
    if link is None or heard.target != home.address:
        return state, []
    if homecoming.is_contradiction(state.homecoming, heard, link):
        contradicted = homecoming.contradicted(state.homecoming)
        returning = contradicted.phase is homecoming.Phase.RETURNING
        registered = bindings.come_home(state.registration) if returning else state.registration
        return replace(state, homecoming=contradicted, registration=registered), []
    if isinstance(heard, NeighborAdvertisement) and state.registration.returning and link.reaches(home.agent):
        return state, [KnowNeighbour(link.index, home.agent, heard.hardware_address)]
    return state, []
