"""The routers on a link: which one is in use, which addresses go with it, and when to ask whether it is still there
(movement detection, RFC 6275 section 11.5.1).

A new router or a new prefix proves no movement, and one that was not heard for a while may still be there: they are
reasons to ask the router in use, which is the kernel's work. Only when that does not answer is another one used, with
an address from a prefix which that one advertises: the old address is at home in a network where we are no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from math import inf
from types import MappingProxyType

from mip6.wire.discovery import PrefixInformation
from mip6.wire.router import AdvertisementInterval, RouterAdvertisement
from mn_agent.core.interfaces import Interface, Snapshot

MISSED = 3
"""After so many of its advertisements in a row were not heard, a router is asked (section 7.3)."""
MOST = 16
"""Routers on a link, and prefixes of each, to know: whoever invents more of them gains nothing."""
_FOR_EVER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Router:
    """What one advertises. `addresses`: its own global ones, by which routers with the same link-local address differ
    (section 7.2). `gone`: prefixes that were advertised from that address before, somewhere else.
    """

    prefixes: Mapping[IPv6Network, float] = field(default_factory=dict)
    """With their ends."""
    addresses: frozenset[IPv6Address] = frozenset()
    gone: frozenset[IPv6Network] = frozenset()
    overdue_at: float = inf
    """When too many of its advertisements have been missed."""
    doubtful: bool = False
    """Whether the link was down since: a router with its address may be another one."""


OnLink = Mapping[IPv6Address, Router]
"""By link-local address."""
Routers = Mapping[int, OnLink]
"""By index of the interface."""
NOBODY_KNOWN: OnLink = MappingProxyType({})


def hear(known: Routers, index: int, advertisement: RouterAdvertisement, now: float) -> Routers:
    """With what a router says of itself."""
    here, address = known.get(index, NOBODY_KNOWN), advertisement.source
    if address not in here and len(here) >= MOST:
        return known
    return {**known, index: {**here, address: _renewed(here.get(address, Router()), advertisement, now)}}


def _renewed(before: Router, advertisement: RouterAdvertisement, now: float) -> Router:
    told = list(advertisement.find(PrefixInformation))[:MOST]
    addresses = frozenset(option.prefix for option in told if option.router_address)
    heard = {_network(option): now + _lifetime_s(option) for option in told if option.on_link or option.autonomous}
    is_another = bool(addresses and before.addresses and not addresses & before.addresses)
    starts_anew = bool(heard) and (is_another or before.doubtful)
    kept = {} if starts_anew else {prefix: end_at for prefix, end_at in before.prefixes.items() if end_at > now}
    prefixes = {prefix: end_at for prefix, end_at in (kept | heard).items() if end_at > now}
    gone = before.gone | set(before.prefixes) if starts_anew else before.gone
    interval = next(advertisement.find(AdvertisementInterval), None)
    return Router(
        prefixes=dict(list(prefixes.items())[-MOST:]),
        addresses=addresses or before.addresses,
        gone=frozenset(sorted(gone - set(prefixes))[:MOST]),
        overdue_at=now + MISSED * interval.interval_ms / 1000 if interval is not None else inf,
        doubtful=before.doubtful and not starts_anew,
    )


def _network(option: PrefixInformation) -> IPv6Network:
    return IPv6Network((option.prefix, min(option.prefix_length, 128)), strict=False)


def _lifetime_s(option: PrefixInformation) -> float:
    return inf if option.valid_lifetime == _FOR_EVER else option.valid_lifetime


def follow(known: Routers, snapshot: Snapshot) -> Routers:
    """Know no others than those on these interfaces, and doubt those whose link is down."""
    found = {}
    for interface in snapshot:
        here = known.get(interface.index)
        if here:
            found[interface.index] = here if interface.is_connected else _doubted(here)
    return known if found == known else found


def _doubted(here: OnLink) -> OnLink:
    return {address: replace(one, overdue_at=inf, doubtful=True) for address, one in here.items()}


def in_use(interface: Interface, before: IPv6Address | None) -> IPv6Address | None:
    """The next hop on this interface: the one `before` as long as it is there and answers. None for a point-to-point
    link, or without any.
    """
    answering = [router for router in interface.routers if router not in interface.unreachable]
    if before in answering:
        return before
    return next(iter(answering or interface.routers), None)


def fits(here: OnLink, router: IPv6Address | None, address: IPv6Address) -> bool:
    """Whether packets from this address may go through this router: it advertises the prefix, or nobody does."""
    one = here.get(router) if router is not None else None
    if one is None or _is_in(address, one.prefixes):
        return True
    return not _is_in(address, [*one.gone, *(prefix for other in here.values() for prefix in other.prefixes)])


def _is_in(address: IPv6Address, prefixes: Mapping[IPv6Network, float] | list[IPv6Network]) -> bool:
    return any(address in prefix for prefix in prefixes)


def rivals(known: Routers, index: int, router: IPv6Address) -> set[tuple[IPv6Address, IPv6Network]]:
    """What others on this interface advertise than this router."""
    here = known.get(index, NOBODY_KNOWN)
    return {(address, prefix) for address, one in here.items() if address != router for prefix in one.prefixes}


def overdue_at(known: Routers, index: int, router: IPv6Address) -> float:
    """When too many of this router's advertisements have been missed; infinity after `asked`, until it is heard."""
    one = known.get(index, NOBODY_KNOWN).get(router)
    return one.overdue_at if one is not None else inf


def asked(known: Routers, index: int, router: IPv6Address) -> Routers:
    """One of which something is known is asked."""
    here = known[index]
    return {**known, index: {**here, router: replace(here[router], overdue_at=inf)}}
