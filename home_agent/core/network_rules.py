"""How nftables tells which packets come from, and go to, the networks behind mobile routers; kernel.py has the rest.

What comes out of a tunnel is looked up by the first octets of its source: a hash for each length of prefixes there is.
So the cost of a packet does not grow with their number. Whatever has no prefixes configured has none of this.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from itertools import product

from home_agent.core.settings import SLOTS, Node
from mip6.table import Element, Elements, Set

NETWORK = "network"
"""The map from the destination of a packet to the flows of the router that has it behind it."""


def copies(slot: int) -> str:
    """The name of the map from such a destination to that of copies for a slot."""
    return f"copy_network_{slot}"


def lengths(nodes: Iterable[Node]) -> tuple[int, ...]:
    """Of prefixes, in bits, rounded up to whole octets."""
    return tuple(sorted({_whole(prefix.prefixlen) for node in nodes for prefix in node.prefixes}))


def _whole(length: int) -> int:
    return -(-length // 8) * 8


def _bound(length: int) -> str:
    return f"network_{length}"


def _only_protected(length: int) -> str:
    return f"only_protected_{length}"


def sets(known: Sequence[int]) -> dict[str, Set]:
    """For prefixes of these lengths."""
    found = {
        name: Set("set", f"typeof ip6 saddr . @th,64,{length};")
        for length in known
        for name in (_bound(length), _only_protected(length))
    }
    if known:
        found[NETWORK] = Set("map", "typeof ip6 daddr : verdict; flags interval;")
        for slot in range(1, SLOTS):
            found[copies(slot)] = Set("map", "typeof ip6 daddr : ip6 daddr; flags interval;")
    return found


def taken(known: Sequence[int], then: str) -> list[str]:
    """Rules for what comes out of a tunnel from a network behind its mobile router: `then` what is good, the rest is
    dropped if IPsec should have protected it.
    """
    rules = [f"ip6 saddr . @th,64,{length} @{_bound(length)} {then}" for length in known]
    dropped = "counter name not_protected drop"
    return rules + [f"ip6 saddr . @th,64,{length} @{_only_protected(length)} {dropped}" for length in known]


@dataclass(frozen=True, slots=True)
class Bound:
    """Prefixes that are bound to these care-of addresses; `protected`: IPsec has to protect what comes from there."""

    prefixes: tuple[IPv6Network, ...]
    care_of: tuple[IPv6Address, ...]
    protected: bool


def pairs(known: Sequence[int], bound: Iterable[Bound]) -> dict[str, Elements]:
    """What is in which set: a care-of address, and the first octets of what may be behind it."""
    found: dict[str, set[Element]] = {name(length): set() for name in (_bound, _only_protected) for length in known}
    for one in bound:
        name = _only_protected if one.protected else _bound
        for prefix in one.prefixes:
            length, parts = beginnings(prefix)
            found[name(length)].update(map(" . ".join, product(map(str, one.care_of), parts)))
    return {name: frozenset(elements) for name, elements in found.items()}


def beginnings(prefix: IPv6Network) -> tuple[int, list[str]]:
    """The first octets of what is in it: their length in bits, and all that there are, in nft syntax."""
    length = _whole(prefix.prefixlen)
    parts = prefix.subnets(new_prefix=length)
    return length, [f"{int(part.network_address) >> (128 - length):#x}" for part in parts]
