"""The home agents list: who else is a home agent on the home link, by the router advertisements there (RFC 6275
sections 10.1 and 10.5.1).

Mobile nodes that ask for home agents are told of these beside those that the operator named. Advertisements are not
authenticated, but who can send them there can be a router for the whole link.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from math import inf

from mip6.wire.discovery import PrefixInformation
from mip6.wire.extension import is_routable
from mip6.wire.router import HomeAgentInformation, RouterAdvertisement

MOST = 64
"""Home agents to know, and addresses of each: whoever invents more of them gains nothing."""
_FOR_EVER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class HomeAgent:
    """`until_at`: when it is one no more, unless it says so again. `addresses`: the global ones, with the ends of their
    prefixes.
    """

    preference: int
    until_at: float
    addresses: Mapping[IPv6Address, float] = field(default_factory=dict)
    mobile_routers: bool = False
    """Whether it serves them, too (RFC 3963 section 7.3)."""


HomeAgents = Mapping[IPv6Address, HomeAgent]
"""By link-local address."""


def hear(known: HomeAgents, advertisement: RouterAdvertisement, now: float) -> HomeAgents:
    """With what an advertisement says of the router that sent it."""
    router = advertisement.source
    others = {address: one for address, one in known.items() if address != router}
    told = next(advertisement.find(HomeAgentInformation), None)
    preference, lifetime_s = (told.preference, told.lifetime_s) if told else (0, advertisement.lifetime_s)
    if not advertisement.home_agent or not lifetime_s or len(others) >= MOST:
        return others
    addresses = dict(known[router].addresses) if router in known else {}
    for prefix in advertisement.find(PrefixInformation):
        if prefix.router_address and is_routable(prefix.prefix):
            addresses[prefix.prefix] = ends_at(prefix.valid_lifetime, now)
    mobile_routers = told is not None and told.mobile_router
    one = HomeAgent(preference, now + lifetime_s, dict([*addresses.items()][-MOST:]), mobile_routers)
    return expire({**others, router: one}, now)


def ends_at(lifetime_s: int, now: float) -> float:
    """When a lifetime ends that neighbor discovery tells (RFC 4861 section 4.6.2)."""
    return inf if lifetime_s == _FOR_EVER else now + lifetime_s


def expire(known: HomeAgents, now: float) -> HomeAgents:
    """Without what has ended by now."""
    if due_at(known) > now:
        return known
    return {
        router: replace(one, addresses={address: end for address, end in one.addresses.items() if end > now})
        for router, one in known.items()
        if one.until_at > now
    }


def due_at(known: HomeAgents) -> float:
    """When something of it ends; infinity for never."""
    ends = [one.until_at for one in known.values()]
    return min([*ends, *(end for one in known.values() for end in one.addresses.values())], default=inf)


def preferences(known: HomeAgents) -> dict[IPv6Address, int]:
    """Of each by its global address."""
    return {address: one.preference for one in known.values() for address in one.addresses}
