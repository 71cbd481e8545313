"""Which interfaces are links, and which care-of address each can offer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, IPv6Network
from math import inf
from types import MappingProxyType
from typing import Protocol, TypeVar

from mip6.ipsec import MOST_TUNNELS
from mip6.kernel import DEVICE_NAME
from mn_agent.core.devices import Device, Devices
from mn_agent.core.interfaces import Interface, InterfaceAddress, Snapshot
from mn_agent.core.routers import NOBODY_KNOWN, OnLink, Routers, fits, in_use
from mn_agent.core.settings import LinkSettings, Settings

METERED_KIND = "lte"
"""Links of this kind are metered unless the configuration or NetworkManager says otherwise."""

_UNIQUE_LOCAL = IPv6Network("fc00::/7")


@dataclass(frozen=True, slots=True)
class Link:
    """An uplink.

    `care_of` is the address to register, None when `problem` says why there is none. `addresses` are all that could
    send, an older care-of address among them until it goes away; `carries` says whether what they send gets out.
    """

    bid: int
    name: str
    kind: str
    index: int
    interface: str
    care_of: IPv6Address | None = None
    address: IPv6Address | None = None
    """What `care_of` is or will be when the problem is over."""
    care_of_until_at: float = inf
    temporary: bool = False
    """Whether `care_of` is an address that will not stay (RFC 8981)."""
    problem: str = ""
    up: bool = True
    carries: bool = True
    addresses: frozenset[IPv6Address] = frozenset()
    has_router: bool = True
    router: IPv6Address | None = None
    """Next hop; None for a point-to-point link, or without any."""
    prefixes: tuple[IPv6Network, ...] = ()
    mtu: int = 1500
    metered: bool = False
    captive: bool | None = None
    """Whether a captive portal is in the way; None when nobody knows."""
    leaving: bool = False
    """Whether it still works, but is about to be taken down."""
    at_home: bool = False
    """Whether it is our home link, and we could be at home there."""
    hardware_address: bytes = b""

    def reaches(self, address: IPv6Address) -> bool:
        """Whether it is on this very link."""
        return any(address in prefix for prefix in self.prefixes)


class Named(Protocol):
    """What has a link's names."""

    @property
    def name(self) -> str: ...
    @property
    def interface(self) -> str: ...
    @property
    def kind(self) -> str: ...


_NamedT = TypeVar("_NamedT", bound=Named)


def called(name: str | None, links: Iterable[_NamedT]) -> _NamedT | None:
    """The link with this name, interface name, or kind if only one has it."""
    known = list(links)
    for found in (
        [link for link in known if link.name == name],
        [link for link in known if link.interface == name],
        [link for link in known if link.kind == name],
    ):
        if len(found) == 1:
            return found[0]
    return None


def find_links(
    snapshot: Snapshot,
    settings: Settings,
    known: Mapping[int, Link],
    bids: Mapping[str, int],
    devices: Devices = MappingProxyType({}),
    routers: Routers = MappingProxyType({}),
) -> list[Link]:
    """The links in a snapshot, by rising binding identifier.

    `known`: the links found before, by interface index. `bids`: the identifier that each interface name has had. An
    interface keeps its identifier while it exists, whatever its name, and by its name when it returns (RFC 5648
    section 2); a new one gets the lowest that is free, or, when there have been many, that of one which is not here.
    What a link is, the configuration knows best, then `devices`, then the snapshot. `routers`: what they advertise.
    """
    candidates = [interface for interface in snapshot if not _is_excluded(interface, settings)]
    by_index = {link.index: link.bid for link in known.values()}
    taken = set(bids.values())
    links: list[Link] = []
    for interface in sorted(candidates, key=lambda interface: (interface.name not in bids, interface.index)):
        bid = by_index.get(interface.index) or _reserved(interface, candidates, bids, by_index) or _lowest_free(taken)
        if bid > MOST_TUNNELS:
            bid = _lowest_free({*by_index.values(), *(link.bid for link in links)})
        taken.add(bid)
        here = routers.get(interface.index, NOBODY_KNOWN)
        device = devices.get(interface.name) or Device(interface.name)
        links.append(_link(interface, settings, bid, known.get(interface.index), device, here))
    return sorted(links, key=lambda link: link.bid)


def _reserved(
    interface: Interface, candidates: list[Interface], bids: Mapping[str, int], by_index: Mapping[int, int]
) -> int | None:
    """The identifier that this name had, unless a renamed interface still holds it."""
    held = {by_index[other.index] for other in candidates if other.index in by_index}
    bid = bids.get(interface.name)
    return None if bid in held else bid


def _lowest_free(taken: Iterable[int]) -> int:
    used = set(taken)
    return next(bid for bid in range(1, 0x10000) if bid not in used)


def _is_excluded(interface: Interface, settings: Settings) -> bool:
    patterns = (f"{DEVICE_NAME}*", *settings.links.exclude, *settings.router.interfaces)
    return any(fnmatchcase(interface.name, pattern) for pattern in patterns)


def _link(interface: Interface, settings: Settings, bid: int, known: Link | None, device: Device, here: OnLink) -> Link:
    named = _settings_for(interface, settings)
    router = in_use(interface, known.router if known is not None else None)
    fitting = [address for address in interface.addresses if fits(here, router, address.address)]
    usable = [address for address in fitting if _may_send(address, settings)]
    best = min(
        (address for address in usable if not address.deprecated),
        key=lambda address: _rank(address, settings, known),
        default=None,
    )
    at_home = settings.can_be_at_home and settings.home.prefix in interface.prefixes
    problem = _problem(interface, best, fitting, needs_address=not at_home)
    kind = (named.kind if named else None) or device.kind or interface.kind
    metered = named.metered if named and named.metered is not None else device.metered
    works = best is not None and not problem
    return Link(
        bid=bid,
        name=(named.name if named else None) or interface.name,
        kind=kind,
        index=interface.index,
        interface=interface.name,
        care_of=best.address if best and works else None,
        address=best.address if best else None,
        care_of_until_at=best.valid_until_at if best and works else inf,
        temporary=best is not None and best.temporary,
        problem=problem,
        up=interface.up,
        carries=interface.is_connected and bool(interface.routers),
        addresses=frozenset(address.address for address in usable),
        has_router=bool(interface.routers),
        router=router,
        prefixes=interface.prefixes,
        mtu=interface.mtu,
        metered=metered if metered is not None else kind == METERED_KIND,
        captive=device.captive,
        leaving=device.leaving,
        at_home=at_home,
        hardware_address=interface.hardware_address,
    )


def _settings_for(interface: Interface, settings: Settings) -> LinkSettings | None:
    return next((entry for entry in settings.link if fnmatchcase(interface.name, entry.interface)), None)


def _may_send(address: InterfaceAddress, settings: Settings) -> bool:
    """Global or unique local (RFC 6275 section 6.1.7), and known not to be somebody else's (RFC 4862, RFC 4429)."""
    number = address.address
    routable = not (number.is_link_local or number.is_multicast or number.is_unspecified or number.is_loopback)
    return (
        routable
        and number != settings.home.address
        and not address.duplicate
        and (not address.tentative or address.optimistic)
    )


def _rank(address: InterfaceAddress, settings: Settings, known: Link | None) -> tuple[bool, bool, bool, IPv6Address]:
    """Lowest is best: the kind of scope that the home agent's address has, the wanted sort of interface identifier,
    the one in use, and then always the same one.
    """
    home_agent_is_local = settings.home.agent in _UNIQUE_LOCAL
    return (
        (address.address in _UNIQUE_LOCAL) != home_agent_is_local,
        address.temporary != settings.links.temporary_addresses,
        known is None or address.address != known.care_of,
        address.address,
    )


def _problem(
    interface: Interface, best: InterfaceAddress | None, fitting: list[InterfaceAddress], *, needs_address: bool
) -> str:
    """Why the interface offers no care-of address; empty when it does, or at home, where the home address will do.
    `fitting`: its addresses that go with its router.
    """
    if not interface.up:
        return "the interface is down"
    if not interface.carrier:
        return "no carrier"
    if not interface.running:
        return "not connected"
    if not interface.routers:
        return "no default router"
    if best is not None or not needs_address:
        return ""
    addresses = [address for address in fitting if not address.address.is_link_local]
    if any(address.duplicate for address in addresses):
        return "somebody else has its address (duplicate address detection failed)"
    if any(address.tentative for address in addresses):
        return "its address is being checked for duplicates"
    if any(address.deprecated for address in addresses):
        return "its address is deprecated"
    return "no global address" if len(fitting) == len(interface.addresses) else "no address of its router's network yet"
