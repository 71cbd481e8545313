"""Guests: mobile nodes whose care-of addresses are from networks behind mobile routers that are served here as well.

What a guest sends comes in a tunnel within its router's, and both end here; what it gets goes into both. nftables sees
a packet as it comes from the wire, and not again when an outer header is gone. So it looks at both headers at once, and
writes into both where they end. Two are enough: a mobile node behind a router that is itself a guest gets nothing, and
nor does one that claims to be behind itself, with which the kernel would never come to an end.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv6Address

from home_agent.core import network_rules
from home_agent.core.cache import CacheEntry
from mip6.kernel import AGAIN, DELIVER, FORWARD, OWN_USE
from mip6.table import Chain, Elements, Set

CARE_OF = "guest_care_of"
_HOME = 128
"""The length of a home address, which guests have beside prefixes."""
# Of the second header and of the third, the packet itself, behind the first
_SOURCE, _DESTINATION, _INNER_SOURCE, _INNER_DESTINATION = "@th,64,128", "@th,192,128", "@th,384,", "@th,512,128"


class Routers:
    """Which mobile router has an address behind it."""

    def __init__(self, bound: Mapping[int, CacheEntry]) -> None:
        """`bound`: by place in the configuration."""
        self._found = {
            (prefix.prefixlen, _beginning(prefix.network_address, prefix.prefixlen)): (place, entry)
            for place, entry in bound.items()
            for prefix in entry.network.prefixes
        }
        self._lengths = {length for length, _ in self._found}

    def find(self, address: IPv6Address) -> tuple[int, CacheEntry] | None:
        """The router, and its place in the configuration; None for an address that is behind none."""
        for length in self._lengths:
            router = self._found.get((length, _beginning(address, length)))
            if router is not None:
                return router
        return None

    def is_too_deep(self, care_of: IPv6Address) -> bool:
        """Whether it is behind a router that is a guest."""
        router = self.find(care_of)
        return router is not None and any(self.find(one.care_of) for one in router[1].bindings.values())


def _beginning(address: IPv6Address, length: int) -> int:
    return int(address) >> (128 - length)


def _name(length: int) -> str:
    return f"guest_{length}"


def sets(known: Sequence[int]) -> dict[str, Set]:
    """`known`: the lengths of prefixes of mobile routers; without any there are no guests."""
    if not known:
        return {}
    found = {_name(length): Set("set", f"typeof {_pair(length)};") for length in (_HOME, *known)}
    return {**found, CARE_OF: Set("set", f"typeof {_DESTINATION};")}


def _pair(length: int) -> str:
    return f"{_SOURCE} . {_INNER_SOURCE}{length}"


def elements(known: Sequence[int], guests: Iterable[CacheEntry], routers: Routers) -> dict[str, Elements]:
    """Of these sets. `guests`: those whose tunnels IPsec does not protect."""
    found: dict[str, set[str]] = {name: set() for name in sets(known)}
    for entry in guests:
        care_of = {
            f"{int(binding.care_of):#x}"
            for binding in entry.bindings.values()
            if routers.find(binding.care_of) is not None
        }
        found[CARE_OF] |= care_of
        found[_name(_HOME)] |= {f"{one} . {int(entry.home_address):#x}" for one in care_of}
        for prefix in entry.network.prefixes:
            length, beginnings = network_rules.beginnings(prefix)
            found[_name(length)] |= {f"{one} . {beginning}" for one in care_of for beginning in beginnings}
    return {name: frozenset(several) for name, several in found.items()}


def chains(known: Sequence[int], own: IPv6Address) -> dict[str, Chain]:
    """from_guest: a tunnelled packet that is in the tunnel of a router; from another than the care-of address of the
    node that has the inner source, it is dropped.
    """
    if not known:
        return {}
    taken = (f"{_pair(length)} @{_name(length)} goto decapsulate_twice" for length in (_HOME, *known))
    first = f"{_DESTINATION} set"
    again = f"ip6 daddr set {AGAIN} accept"
    return {
        "from_guest": Chain((*taken, "counter name spoofed_inner_source drop")),
        "decapsulate_twice": Chain(
            (
                f"@th,512,64 {int(OWN_USE.network_address) >> 64:#x} counter name spoofed_inner_source drop",
                f"{_INNER_DESTINATION} {int(own):#x} {first} {int(DELIVER):#x} {again}",
                f"{first} {int(FORWARD):#x} {again}",
            )
        ),
    }


def rules(known: Sequence[int], own: IPv6Address) -> Iterator[str]:
    """At a packet from the tunnel of a router, which passed: what in it is for us."""
    if known:
        yield f"{_DESTINATION} {int(own):#x} @th,48,8 41 goto from_guest"
        yield f"{_DESTINATION} {int(own):#x} @th,48,8 60 @th,320,8 135 @th,368,8 0xc9 @th,368,8 set 0x1e"


def source(known: Sequence[int], own: IPv6Address) -> Iterator[str]:
    """In postrouting: the inner of two tunnels has the source that the guest knows, too."""
    if known:
        yield f"ip6 nexthdr 41 @th,48,8 41 {_DESTINATION} @{CARE_OF} {_SOURCE} set {int(own):#x}"
