"""Tells mobile nodes which home agents there are: dynamic home agent address discovery (RFC 6275 section 10.5).

What the operator says of a home agent beats what it says of itself on the home link.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address

from home_agent.core.home_agents import HomeAgents, preferences
from home_agent.core.settings import Settings
from mip6.home_agents_anycast import home_agents_anycast
from mip6.reception import IcmpError
from mip6.wire.discovery import HomeAgentAddressDiscoveryReply, HomeAgentAddressDiscoveryRequest, decode, encode
from mip6.wire.errors import DecodeError

MOST = (1280 - 40 - 8) // 16
"""Addresses in an answer that fits everywhere."""


def anycast_addresses(settings: Settings) -> frozenset[IPv6Address]:
    """Where mobile nodes ask."""
    return frozenset(home_agents_anycast(node.home_address) for node in settings.node)


def others(settings: Settings, heard: HomeAgents) -> dict[IPv6Address, int]:
    """Other home agents, and their preferences. `heard`: of on the home link."""
    named = {peer.address: peer.preference for peer in settings.peer}
    known = {**preferences(heard), **named}
    known.pop(settings.home_agent.address, None)
    return known


def answer(settings: Settings, heard: HomeAgents, data: bytes, source: IPv6Address) -> IcmpError | None:
    """To an ICMPv6 message, if it is a request: the most preferred first, and those of equal preference in an order
    that changes with the request, which has a random identifier. `heard`: of on the home link. Who asks for home agents
    that serve mobile routers gets those, if there are any (RFC 3963 section 7).
    """
    try:
        request = decode(data)
    except DecodeError:
        return None
    if not isinstance(request, HomeAgentAddressDiscoveryRequest):
        return None
    own = settings.home_agent
    everybody = {own.address: own.preference, **others(settings, heard)}
    for_routers = _for_routers(settings, heard) & everybody.keys() if request.mobile_router else frozenset()
    known = [one for one in everybody.items() if not for_routers or one[0] in for_routers]
    first = request.identifier % len(known)
    turned = [*known[first:], *known[:first]]
    home_agents = _by_preference(turned)
    reply = HomeAgentAddressDiscoveryReply(request.identifier, mobile_router=bool(for_routers), home_agents=home_agents)
    return IcmpError(own.address, source, encode(reply, own.address, source))


def _for_routers(settings: Settings, heard: HomeAgents) -> frozenset[IPv6Address]:
    """Those that serve mobile routers."""
    told = {address: one.mobile_routers for one in heard.values() for address in one.addresses}
    told |= {peer.address: peer.mobile_routers for peer in settings.peer}
    told[settings.home_agent.address] = settings.serves_mobile_routers
    return frozenset(address for address, serves in told.items() if serves)


def _by_preference(known: Iterable[tuple[IPv6Address, int]]) -> tuple[IPv6Address, ...]:
    ordered = sorted(known, key=lambda one: -one[1])
    return tuple(address for address, _ in ordered)[:MOST]
