"""A mobile node at home that keeps its bindings elsewhere: the home binding (RFC 5648 sections 5.6 and 6.3).

Its care-of address is the home address. As long as there is one we go on standing in for the mobile node on the home
link, for what comes for it may have to go elsewhere; what is for the home link we send to its hardware address, which
the Binding Update told, without asking there who has the home address. The mobile node is told so by status 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv6Address

from home_agent.core.cache import Binding, CacheEntry
from home_agent.core.home_link import HomeLink
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import BindingIdentifier, LinkLayerAddress
from mip6.wire.registry import LinkLayerAddressCode


def hardware_address(message: BindingUpdate, link: HomeLink | None) -> bytes:
    """The mobile node's on the home link; empty when the update does not tell one that can be there."""
    for option in message.options:
        if isinstance(option, LinkLayerAddress) and option.code == LinkLayerAddressCode.MOBILE_NODE:
            return option.address if link is not None and len(option.address) == len(link.hardware_address) else b""
    return b""


def is_return(options: Sequence[BindingIdentifier], home_address: IPv6Address, packet_source: IPv6Address) -> bool:
    """Whether an update binds the home address to itself, and does not say that this is a home binding: so do mobile
    nodes by RFC 3775 (section 9.5.1) and RFC 3963 that are home for good.
    """
    if not options:
        return packet_source == home_address
    return all(option.care_of == home_address and not option.home for option in options)


def remaining(
    held: Mapping[int, Binding], options: Sequence[BindingIdentifier], home_address: IPv6Address
) -> dict[int, Binding]:
    """What an update leaves of these. One that names no home binding ends it (RFC 5648 section 5.6.5), for a mobile
    node at home names it in each; one that names another replaces it, for there is only one.
    """
    home = {option.bid for option in options if option.home}
    return {bid: one for bid, one in held.items() if one.care_of != home_address or bid in home}


def reachable(entry: CacheEntry, link: HomeLink | None) -> CacheEntry:
    """Without what leads to the home link while that is not there."""
    if link is not None or not entry.hardware_address:
        return entry
    away = {bid: one for bid, one in entry.bindings.items() if not entry.is_home(one)}
    return replace(entry, bindings=away)


def routed(home_address: IPv6Address, care_of: IPv6Address) -> IPv6Address | None:
    """What a type 2 routing header to the mobile node says: there is none when it is at home."""
    return home_address if care_of != home_address else None
