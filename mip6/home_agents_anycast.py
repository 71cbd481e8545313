"""The address at which any home agent of a link can be asked for all of them (RFC 2526 section 2)."""

from ipaddress import IPv6Address, IPv6Network

_HOME_AGENTS = 0xFDFF_FFFF_FFFF_FFFE
"""Interface identifier of the home agents' anycast address: 126, with the bit that says it is nobody's hardware."""


def home_agents_anycast(home_address: IPv6Address) -> IPv6Address:
    """Of the /64 that a home address is in."""
    return IPv6Network((home_address, 64), strict=False)[_HOME_AGENTS]
