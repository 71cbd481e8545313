"""What a mobile router wants in the kernel beside what a host does (docs/architecture.md, "A mobile router").

Packets from the networks behind it are marked like those from the home address, but before they are routed, and so
take the same tunnels; the kernel sees them again only with their outer header. What comes for them out of a tunnel is
forwarded. Nothing in here is there for a host.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from mip6.kernel import ANYWHERE, DELIVER, FORWARD, LOOPBACK, MAIN_TABLE, Route, Rule, decapsulation_route, host
from mip6.mark import Mark
from mip6.table import Chain, Element, Elements, Set, reassembly
from mn_agent.core.interfaces import Interface
from mn_agent.core.settings import Home, RouterSettings

NOWHERE_TABLE = 14604
"""Nothing is reachable there."""
SPOOFED = "spoofed_mobile_network"
"""Counts packets with sources that nobody has there."""

HOSTS = ("hosts_up", "hosts_down")
"""Sets of the hosts behind us, with what each has sent and got lately."""
_HOSTS_S, _MOST_HOSTS = 3600, 4096

_MASK, _DEFAULT_BIT = 0xFF000000, 0x80000000
_EXPIRED = Mark(0x7F000000, _MASK)
"""Of a packet whose hop limit ends here: a mark that no other packet has, which all have the default traffic's bit."""
_TUNNEL_HOPS = 64
"""Of the outer header: the tunnel is one hop, however many its packets take (RFC 2473 section 6.3)."""


@dataclass(frozen=True, slots=True)
class Inside:
    """The interfaces inwards, by index, and our own addresses in the networks behind us."""

    indexes: frozenset[int]
    own: frozenset[IPv6Address]


def inside(interfaces: Iterable[Interface], settings: RouterSettings) -> Inside:
    """Of the interfaces that there are."""
    found = [one for one in interfaces if any(fnmatchcase(one.name, pattern) for pattern in settings.interfaces)]
    addresses = {address.address for one in found for address in one.addresses}
    own = {address for address in addresses if any(address in prefix for prefix in settings.prefixes)}
    return Inside(frozenset(one.index for one in found), frozenset(own))


def rules(settings: RouterSettings, priority: int, outer_table: int, *, is_served: bool) -> Iterator[Rule]:
    """They come before all others of ours. What is addressed to these networks and has no place there is unreachable;
    so is everything for them while no home agent serves them. A packet whose hop limit ends here is routed as if it
    were to leave as it is, which makes the kernel tell its sender.
    """
    for prefix in settings.prefixes:
        yield Rule(priority, MAIN_TABLE, destination=prefix, suppress_prefix_length=0, order=-4)
        yield Rule(priority, NOWHERE_TABLE, destination=prefix, order=-3)
        if not is_served:
            yield Rule(priority, NOWHERE_TABLE, source=prefix, order=-2)
    if settings.prefixes:
        yield Rule(priority, outer_table, mark=_EXPIRED, order=-1)


def routes(settings: RouterSettings, decapsulation_table: int) -> Iterator[Route]:
    """For packets out of a tunnel, and for what is reachable nowhere."""
    if settings.prefixes:
        yield decapsulation_route(decapsulation_table, FORWARD, None)
        yield Route(NOWHERE_TABLE, ANYWHERE)


def forwarding_rule(settings: RouterSettings, priority: int, decapsulation_table: int) -> Iterator[Rule]:
    """Leads to it."""
    if settings.prefixes:
        yield Rule(priority, decapsulation_table, destination=host(FORWARD))


def network_counter(place: int, direction: str) -> str:
    """Of what a prefix sends (up) or gets (down); `place`: of the prefix in the configuration."""
    return f"network_{place}_{direction}"


def counters(settings: RouterSettings) -> frozenset[str]:
    """All that there are."""
    places = range(len(settings.prefixes))
    named = {network_counter(place, direction) for place in places for direction in ("up", "down")}
    return frozenset((SPOOFED, *named)) if settings.prefixes else frozenset()


def elements(settings: RouterSettings, there: Inside) -> dict[str, Elements]:
    """Of the sets below."""
    if not settings.prefixes:
        return {}
    hops: dict[Element, Element] = {hops: hops - 1 for hops in range(2, 256)}
    return {
        "inside": frozenset(there.indexes),
        "inside_own": frozenset(f"{int(address):#x}" for address in there.own),
        "hops_left": hops,
    }


@dataclass(frozen=True, slots=True)
class Rules:
    """Parts of an nftables table: rules for the chains that there are, behind theirs or, in postrouting, before; chains
    and sets of its own.
    """

    prerouting: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    postrouting: tuple[str, ...] = ()
    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)


@lru_cache(1)
def nftables(home: Home, settings: RouterSettings, arrived: tuple[str, ...], *, protected: bool) -> Rules:
    """`arrived`: rules for a packet from a tunnel; what they let pass is decapsulated. `protected`: whether IPsec does
    that.

    prerouting: nobody outside has an address of these networks, and nobody inside one of ours, neither in the packet
    nor in one that it tunnels (RFC 3963 section 9). from_inside: packets are marked before they are routed. forwarded:
    what has another source than these networks' does not leave them; what goes into a tunnel is seen here only with
    its outer header, unless IPsec protects it. one_hop: the kernel has copied the inner hop limit, and counted down
    only the outer one; into a tunnel of IPsec it forwards like anywhere.
    reassemble: what a mobile node behind us tunnels to our home agent comes in fragments if it was too big, and has to
    be whole in our tunnel, where that looks at both headers. Nothing ever goes to this chain, but with such a rule the
    kernel puts fragments together before prerouting. keep_fragments: not others, which fit the tunnel as they are.
    """
    if not settings.prefixes:
        return Rules()
    networks = f"{{ {', '.join(map(str, settings.prefixes))} }}"
    marked, spoofed = f"meta mark & {_MASK:#x}", f"counter name {SPOOFED} drop"
    tunnelled = f"ip6 nexthdr 41 ip6 daddr {home.agent}"
    up, down = ([*_counted(settings, name)] for name in ("up", "down"))
    return Rules(
        prerouting=(
            f"meta iif @inside ip6 daddr != ff00::/8 fib saddr type local {spoofed}",
            f"meta iif @inside ip6 nexthdr 41 @th,64,128 {int(home.address):#x} {spoofed}",
            f"ip6 saddr {networks} meta iif != @inside meta iif != {LOOPBACK} {spoofed}",
            *(
                f"ip6 nexthdr 41 ip6 daddr @care_of {_inner_destination(prefix)} jump for_mobile_network"
                for prefix in settings.prefixes
            ),
        ),
        output=(f"ip6 saddr {networks} ip6 daddr != {networks} jump from_home",),
        input=(f"ip6 daddr {networks} meta iif != @inside jump to_home",),
        postrouting=(f"{tunnelled} {marked} != 0 jump one_hop",),
        chains={
            "for_mobile_network": Chain(
                (*arrived, f"@th,192,128 @inside_own ip6 daddr set {DELIVER} return", f"ip6 daddr set {FORWARD}")
            ),
            "from_inside": Chain(
                (
                    f"meta iif @inside ip6 saddr {networks} ip6 daddr != {networks} ip6 daddr != {home.address} "
                    "jump from_mobile_network",
                ),
                "type filter hook prerouting priority mangle; policy accept;",
            ),
            "from_mobile_network": Chain(
                (
                    f"ip6 hoplimit < 2 meta mark set meta mark & {_MASK ^ 0xFFFFFFFF:#x} | {_EXPIRED.value:#x} return",
                    *up,
                    "goto from_home",
                )
            ),
            "forwarded": Chain(
                (
                    f"{marked} == 0 meta iif @inside meta oif != @inside ip6 saddr != {networks} {spoofed}",
                    f"ip6 daddr {networks} meta iif != @inside jump to_mobile_network",
                    f"meta iif @inside {marked} == {_DEFAULT_BIT:#x} counter name meta oif map @default_up",
                ),
                "type filter hook forward priority mangle; policy accept;",
            ),
            "to_mobile_network": Chain((*down, "goto to_home")),
            "one_hop": Chain(
                (
                    f"ip6 hoplimit set {_TUNNEL_HOPS}",
                    f"@th,64,128 != {int(home.address):#x} @th,56,8 set @th,56,8 map @hops_left",
                )
            ),
            **({} if protected else _reassembly(home)),
        },
        sets={
            "inside": Set("set", "type iface_index;"),
            "inside_own": Set("set", "typeof @th,192,128;"),
            "hops_left": Set("map", "typeof @th,56,8 : @th,56,8;"),
            **{
                name: Set("set", f"type ipv6_addr; size {_MOST_HOSTS}; flags dynamic,timeout; timeout {_HOSTS_S}s;")
                for name in HOSTS
            },
        },
    )


def _reassembly(home: Home) -> dict[str, Chain]:
    kept = "meta iif @inside ip6 nexthdr 44"
    return reassembly(f"{kept} ip6 daddr != {home.agent} notrack", f"{kept} @nh,320,8 != 41 notrack")


def _counted(settings: RouterSettings, direction: str) -> Iterator[str]:
    end = "saddr" if direction == "up" else "daddr"
    yield f"update @hosts_{direction} {{ ip6 {end} counter }}"
    for place, prefix in enumerate(settings.prefixes):
        yield f"ip6 {end} {prefix} counter name {network_counter(place, direction)}"


def _inner_destination(prefix: IPv6Network) -> str:
    """Whether the packet in a tunnel is for this network."""
    return f"@th,192,128 & {int(prefix.netmask):#x} == {int(prefix.network_address):#x}"


def flow_returns(settings: RouterSettings) -> str:
    """The rule at which a flow's packet leaves its chain before it is marked: it is on its way to us."""
    return "meta iif != 0 meta iif != @inside return" if settings.prefixes else "meta iif != 0 return"
