"""Asks which home agents there are: dynamic home agent address discovery (RFC 6275 section 11.4.1).

Whoever gets the question tells of others, for the day when this one does not serve us. Nobody proves that the answer is
true: a home agent that is no home agent of ours cannot authenticate itself later, and is left again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from math import inf

from mip6.home_agents_anycast import home_agents_anycast
from mip6.reception import IcmpError
from mip6.wire.discovery import HomeAgentAddressDiscoveryReply, HomeAgentAddressDiscoveryRequest, decode, encode
from mip6.wire.errors import DecodeError
from mip6.wire.extension import is_routable
from mn_agent.core.settings import Home

FIRST_TIMEOUT_S = 3.0
"""INITIAL_DHAAD_TIMEOUT (RFC 6275 section 12); then twice as long each time."""
RETRIES = 4
"""DHAAD_RETRIES."""
AGAIN_S = 24 * 3600.0
"""After an answer: home agents come and go seldom."""
GIVEN_UP_S = 3600.0
"""After so many requests without one."""
MOST = 16
"""Home agents to know."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was asked. `identifier`: of the last request, random at first."""

    identifier: int
    tries: int = 0
    """Since the last answer."""
    due_at: float = -inf


def ask(
    discovery: Discovery, home: Home, care_of: Sequence[IPv6Address], now: float, *, mobile_router: bool
) -> tuple[Discovery, IcmpError]:
    """The next request, each time from another care-of address. `mobile_router`: for home agents that serve those."""
    tries, identifier = discovery.tries + 1, (discovery.identifier + 1) & 0xFFFF
    source, destination = care_of[discovery.tries % len(care_of)], home_agents_anycast(home.address)
    data = encode(HomeAgentAddressDiscoveryRequest(identifier, mobile_router=mobile_router), source, destination)
    timeout_s = FIRST_TIMEOUT_S * 2 ** (tries - 1)
    asked = Discovery(identifier, tries, now + timeout_s)
    if tries > RETRIES:
        asked = Discovery(identifier, 0, now + GIVEN_UP_S)
    return asked, IcmpError(source, destination, data)


def answered(
    discovery: Discovery, home: Home, data: bytes, now: float, *, mobile_router: bool
) -> tuple[Discovery, Home] | None:
    """With what an ICMPv6 message says of home agents, in its order; None when it is no answer to the last request.
    `mobile_router`: home agents for hosts are of no use (RFC 3963 section 7.2).
    """
    try:
        message = decode(data)
    except DecodeError:
        return None
    if not isinstance(message, HomeAgentAddressDiscoveryReply) or message.identifier != discovery.identifier:
        return None
    if discovery.due_at == -inf:
        return None
    listed = message.home_agents if message.mobile_router or not mobile_router else ()
    told = [one for one in listed if is_routable(one) and one not in (home.agent, home.address)]
    known = dict.fromkeys((*told, *home.alternatives))
    renewed = Discovery(discovery.identifier, 0, now + AGAIN_S)
    return renewed, replace(home, alternatives=tuple(known)[:MOST])
