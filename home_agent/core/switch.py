"""Mobile nodes that are to go to another home agent: Home Agent Switch (RFC 5142 section 5.2).

A mobile node is told until it has deregistered. What it has stays as long as it is, but no longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from home_agent.core.cache import CacheEntry
from mip6.wire.extension import Packet
from mip6.wire.messages import HomeAgentSwitch, encode

FIRST_TIMEOUT_S, LAST_TIMEOUT_S = 5.0, 20.0
"""How long until it is told again, and then twice as long each time (section 8)."""


@dataclass(frozen=True, slots=True)
class Switch:
    """What a mobile node has been told, or is to be told at `due_at`. `home_agents`: where to; empty for anywhere."""

    home_agents: Sequence[IPv6Address]
    due_at: float
    tries: int = 0


def told(switch: Switch, now: float) -> Switch:
    """After it has been told now."""
    timeout_s = min(FIRST_TIMEOUT_S * 2**switch.tries, LAST_TIMEOUT_S)
    return replace(switch, due_at=now + timeout_s, tries=switch.tries + 1)


def message(switch: Switch, entry: CacheEntry, home_agent: IPv6Address) -> Packet:
    """For the mobile node, which only IPsec may bring it, each time at another care-of address."""
    order = sorted(entry.bindings.values(), key=lambda one: one is not entry.preferred)
    care_of = order[(switch.tries - 1) % len(order)].care_of
    data = encode(HomeAgentSwitch(tuple(switch.home_agents)))
    return Packet(home_agent, care_of, entry.home_address, data, protected=True)
