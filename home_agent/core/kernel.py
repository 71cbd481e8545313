"""What the home agent wants in the kernel (docs/architecture.md, "The data plane").

One table has a route into the tunnel for every registered home address, and none for the others: the home prefix is
unreachable there. Prefixes behind mobile routers have routes like home addresses. nftables keeps the pairs of care-of
and home address that may come through a tunnel.

A flow that is bound to certain care-of addresses gets a mark, which has one bit for each slot that one of them has. A
bit leads into the table of its slot, where the home address has a route to just that care-of address. The lowest bit
takes the packet; for each of the others a copy is made, to an address that stands for mobile node and slot.

A mobile node with a home binding has a route to the home link in place of one into a tunnel, and a neighbour entry
there: nobody answers who asks there for its home address but we.

Where IPsec protects payload, the routes into a tunnel lead to its device instead (mip6.ipsec). What comes out of it is
addressed to what stands for the tunnel, and nftables puts the care-of address there. What comes in is taken if it has
keys and a care-of address of the same mobile node.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, collapse_addresses

from home_agent.core import guests, network_rules
from home_agent.core.cache import PLAIN, Binding, CacheEntry
from home_agent.core.home_binding import reachable
from home_agent.core.settings import SLOTS, Node, Settings
from home_agent.core.state import State, Uplink
from mip6 import ipsec, path_mtu, tunnels
from mip6.classifier import Flow, Lookup, layers, lookup
from mip6.ipsec import (
    MOST_TUNNELS,
    PREFIX_DISCOVERY,
    RETURN_ROUTABILITY,
    TUNNELS,
    Association,
    Side,
    protected_mtu,
    tunnel_address,
)
from mip6.kernel import (
    AGAIN,
    BEFORE_OURS,
    DELIVER,
    FORWARD,
    INNER_TO_OWN_USE,
    LOCAL_TABLE,
    MAIN_TABLE,
    TO_OWN_USE,
    TUNNEL_HEADER,
    Device,
    Encapsulate,
    Kernel,
    Neighbor,
    Route,
    Rule,
    decapsulation_route,
    host,
    tunnel_route_mtu,
)
from mip6.mark import Mark
from mip6.table import SPI, Chain, Element, Elements, Set, Table, reassembly
from mip6.wire.registry import IcmpType, NextHeader
from mip6.wire.traffic_selectors import Ipv6Selector
from mip6.xfrm import Policy
from mip6.xfrm import State as XfrmState

TABLE_NAME = "monami6_ha"

DECAPSULATION_TABLE, HOME_TABLE, COPY_TABLE, RETURN_ROUTABILITY_TABLE = range(14600, 14604)
SLOT_TABLES = 14610
"""Table of a slot: this plus its number."""

COPIES = IPv6Network("100::6d37:0:0/96")
"""Destinations of copies: the mobile node's place in the configuration, then the slot. They never leave the machine."""

MARK_MASK = 0xFF000000
_KEEP = 0xFFFFFFFF ^ MARK_MASK
FRAGMENTS_S = 15
"""How long after its first fragment the rest of a packet may come."""

STATIC_COUNTERS = frozenset(("tunnelled", "spoofed_inner_source", "spoofed_outer_source", "not_protected"))

_FIRST, _FLOWS, _LAST = 0, 32764, 32765
_SOLICITATION = IcmpType.MOBILE_PREFIX_SOLICITATION.value


def counter_name(place: int, fid: int, bid: int) -> str:
    """Of what a flow sends to a binding; `place`: of the mobile node in the configuration."""
    return f"n{place}_f{fid}_b{bid}"


def slot_bit(slot: int) -> int:
    """In the mark of a packet: that it goes to the care-of address with this slot."""
    return 0x01000000 << slot


def wanted_kernel(state: State) -> Kernel:
    """The kernel state that fits the binding cache; without an interface to send from, only what needs none."""
    entries = {
        place: reachable(state.cache[node.home_address], state.home_link)
        for place, node in enumerate(state.settings.node)
        if node.home_address in state.cache
    }
    bound = {place: entry for place, entry in entries.items() if entry.bindings}
    slots = sorted({binding.slot for entry in bound.values() for binding in _named_by_flows(entry)})
    rules = (
        Rule(_FIRST, DECAPSULATION_TABLE, destination=host(DELIVER)),
        Rule(_FIRST, DECAPSULATION_TABLE, destination=host(FORWARD)),
        Rule(_FIRST, DECAPSULATION_TABLE, destination=host(AGAIN)),
        Rule(_FIRST, COPY_TABLE, destination=COPIES),
        *_message_rules(state.settings),
        *(Rule(_FLOWS, SLOT_TABLES + slot, mark=_mark(slot), order=slot) for slot in slots),
        Rule(_LAST, HOME_TABLE),
    )
    routes = [
        decapsulation_route(DECAPSULATION_TABLE, DELIVER, LOCAL_TABLE),
        decapsulation_route(DECAPSULATION_TABLE, FORWARD, None),
        decapsulation_route(DECAPSULATION_TABLE, AGAIN, DECAPSULATION_TABLE),
        *_nowhere(state.settings, bound),
    ]
    routers = guests.Routers(bound)
    if state.uplink is not None:
        for place, entry in bound.items():
            routes += _tunnel_routes(state, place, entry, state.uplink, routers)
        if state.settings.ikev2 is not None:
            routes.append(Route(DECAPSULATION_TABLE, TUNNELS, state.uplink.index))
    former = {_pair(one, entry.home_address) for entry in entries.values() for one in entry.former}
    protected = _protected(state, bound)
    return Kernel(
        devices=frozenset(_devices(state, protected)),
        rules=rules,
        routes=frozenset(routes),
        table=_table(state, bound, protected, former, routers),
        policies=frozenset(_policies(state.settings, protected)),
        states=frozenset(_states(state)),
        neighbors=frozenset(_neighbors(state)),
    )


def _nowhere(settings: Settings, bound: Mapping[int, CacheEntry]) -> list[Route]:
    """Without a home link whoever is not bound is unreachable; there he may be at home."""
    served = {prefix for entry in bound.values() for prefix in entry.network.prefixes}
    away = [prefix for node in settings.node for prefix in node.prefixes if prefix not in served]
    own = settings.home_agent
    return [Route(HOME_TABLE, prefix) for prefix in (*own.prefixes, *away) if own.home_link is None]


def _neighbors(state: State) -> Iterator[Neighbor]:
    """Mobile nodes that are at home, and do not tell anybody there."""
    if state.home_link is not None:
        told = {home_address: entry.hardware_address for home_address, entry in state.cache.items()}
        for home_address, hardware_address in {**told, **state.senders}.items():
            if hardware_address:
                yield Neighbor(state.home_link.index, home_address, hardware_address)


Protected = Mapping[int, Mapping[int, IPv6Address]]
"""By place and number: the care-of address for each tunnel that IPsec protects."""


def _protected(state: State, bound: Mapping[int, CacheEntry]) -> Protected:
    nodes = state.settings.node
    return {place: _care_of(state, place, entry) for place, entry in bound.items() if nodes[place].ikev2 is not None}


def _care_of(state: State, place: int, entry: CacheEntry) -> dict[int, IPv6Address]:
    """Messages of return routability go where unclaimed payload goes (RFC 5648 section 9.3.1)."""
    found = {RETURN_ROUTABILITY: entry.preferred.care_of}
    if state.settings.node[place].protects_payload:
        found |= {_number(state, binding, entry): binding.care_of for binding in entry.bindings.values()}
    return found


def _devices(state: State, protected: Protected) -> Iterator[Device]:
    """One stays while there are keys for its tunnel: to remove it takes long, and its binding may come again."""
    for numbers in (*protected.values(), *state.tunnels.values()):
        yield from map(Device, numbers)


def _number(state: State, binding: Binding, entry: CacheEntry) -> int:
    """Of the tunnel for a binding's payload. One without an identifier takes any that there is: it is the only one."""
    there = [number for number in state.tunnels.get(entry.home_address, ()) if number != RETURN_ROUTABILITY]
    return binding.bid if binding.bid != PLAIN else min(there, default=MOST_TUNNELS)


def _message_rules(settings: Settings) -> Iterator[Rule]:
    """A message to a home address is in no tunnel. Who is at home gets it there; or else it is protected: IPsec puts
    the care-of address there, and then looks for the way again, and until then any way will do. One that somebody else
    sends is about return routability.
    """
    own, mobility = host(settings.home_agent.address), NextHeader.MOBILITY
    if settings.home_agent.home_link is not None or any(node.is_ipsec for node in settings.node):
        for prefix in settings.home_agent.prefixes:
            yield Rule(_FIRST, MAIN_TABLE, source=own, destination=prefix, ip_protocol=mobility)
            yield Rule(_FIRST, MAIN_TABLE, source=own, destination=prefix, mark=PREFIX_DISCOVERY)
    if settings.ikev2 is not None:
        yield Rule(_FIRST, DECAPSULATION_TABLE, destination=TUNNELS)
        for prefix in settings.home_agent.prefixes:
            yield Rule(_FIRST, RETURN_ROUTABILITY_TABLE, destination=prefix, ip_protocol=mobility, order=1)


def associations(settings: Settings) -> Iterator[Association]:
    """Of the mobile nodes whose messages IPsec protects."""
    for place, node in enumerate(settings.node):
        if node.is_ipsec:
            yield settings.association(place)


def _policies(settings: Settings, protected: Protected) -> Iterator[Policy]:
    for association in associations(settings):
        node = settings.node[association.place]
        yield from ipsec.policies(association, Side.HOME_AGENT, static=node.manual is not None)
        if node.ikev2 is not None:
            numbers = protected.get(association.place, ())
            yield from ipsec.tunnel_policies(association, Side.HOME_AGENT, numbers, payload=node.protects_payload)


def _states(state: State) -> Iterator[XfrmState]:
    for association in associations(state.settings):
        yield from ipsec.states(association, Side.HOME_AGENT)
        pair = state.settings.node[association.place].manual
        if pair is not None:
            yield from ipsec.static_states(association, pair)
    for found in state.tunnels.values():
        yield from tunnels.states(found)


def _mark(slot: int) -> Mark:
    return Mark(slot_bit(slot), slot_bit(slot))


def _named_by_flows(entry: CacheEntry) -> list[Binding]:
    """The bindings that flows go to."""
    bids = {bid for flow in entry.flows.values() for bid in flow.bids}
    return [entry.bindings[bid] for bid in sorted(bids & entry.bindings.keys())]


def _tunnel_routes(
    state: State, place: int, entry: CacheEntry, uplink: Uplink, routers: guests.Routers
) -> Iterator[Route]:
    home_address = host(entry.home_address)
    destinations = home_address, *entry.network.prefixes
    node = state.settings.node[place]

    def to_device(table: int, destination: IPv6Network, number: int, care_of: IPv6Address) -> Route:
        limit = _link_mtu(state, care_of, uplink, routers)
        return Route(table, destination, Device(number).index, mtu=protected_mtu(limit))

    def route(table: int, destination: IPv6Network, binding: Binding) -> Route:
        if entry.is_home(binding) and state.home_link is not None:
            return Route(table, destination, state.home_link.index)
        if routers.is_too_deep(binding.care_of):
            return Route(table, destination)
        if node.protects_payload:
            return to_device(table, destination, _number(state, binding, entry), binding.care_of)
        mtu = tunnel_route_mtu(_link_mtu(state, binding.care_of, uplink, routers))
        return Route(table, destination, uplink.index, mtu=mtu, tunnel=Encapsulate(binding.care_of))

    yield from (route(HOME_TABLE, destination, entry.preferred) for destination in destinations)
    if node.ikev2 is not None:
        yield to_device(RETURN_ROUTABILITY_TABLE, home_address, RETURN_ROUTABILITY, entry.preferred.care_of)
    for binding in _named_by_flows(entry):
        yield from (route(SLOT_TABLES + binding.slot, destination, binding) for destination in destinations)
        yield route(COPY_TABLE, host(_copy_address(place, binding.slot)), binding)


def _link_mtu(state: State, care_of: IPv6Address, uplink: Uplink, routers: guests.Routers) -> int:
    """Of the way there, as far as is known. That of a guest is the tunnel of its router."""
    router = routers.find(care_of)
    if router is None:
        return path_mtu.limit(state.path_mtus, care_of, uplink.mtu)
    place, entry = router
    around = path_mtu.limit(state.path_mtus, entry.preferred.care_of, uplink.mtu)
    inside = protected_mtu(around) if state.settings.node[place].protects_payload else around - TUNNEL_HEADER
    return path_mtu.limit(state.path_mtus, care_of, inside)


@lru_cache(1 << 14)
def _copy_address(place: int, slot: int) -> IPv6Address:
    return COPIES[place << 8 | slot]


def _table(
    state: State,
    bound: Mapping[int, CacheEntry],
    protected: Protected,
    former: set[str],
    routers: guests.Routers,
) -> Table:
    """`former`: pairs that may come through a tunnel for a moment still."""
    settings = state.settings
    pairs: dict[bool, set[str]] = {True: set(), False: set(former)}
    away: set[Element] = set()
    for place, entry in bound.items():
        care_of = [binding.care_of for binding in entry.bindings.values() if not entry.is_home(binding)]
        pairs[settings.node[place].protects_payload].update(_pair(one, entry.home_address) for one in care_of)
        away.update(care_of)
    lengths = network_rules.lengths(settings.node)
    nodes: dict[Element, Element] = {}
    networks: dict[Element, Element] = {}
    network_copies: dict[int, dict[Element, Element]] = {slot: {} for slot in range(1, SLOTS)}
    copies: dict[int, dict[Element, Element]] = {slot: {} for slot in range(1, SLOTS)}
    elements: dict[str, Elements] = {
        "binding": frozenset(pairs[False]),
        "only_protected": frozenset(pairs[True]),
        "care_of": frozenset(away),
        **_protected_elements(state, bound, protected),
        "node": nodes,
        **{f"copy_{slot}": copy for slot, copy in copies.items()},
    }
    if lengths:
        behind = (_behind(settings.node[place], entry) for place, entry in bound.items())
        elements |= network_rules.pairs(lengths, behind)
        elements[network_rules.NETWORK] = networks
        elements |= {network_rules.copies(slot): copy for slot, copy in network_copies.items()}
        plain = (entry for place, entry in bound.items() if not settings.node[place].protects_payload)
        elements |= guests.elements(lengths, plain, routers)
    home_agent = settings.home_agent
    has_ipsec = any(node.is_ipsec for node in settings.node)
    homes = *home_agent.prefixes, *(prefix for node in settings.node for prefix in node.prefixes)
    static = _static(home_agent.address, homes, lengths, has_ipsec=has_ipsec)
    sets, chains, counters = dict(static.sets), dict(static.chains), set(static.counters)
    for place, entry in bound.items():
        active = entry.active_flows
        flows = tuple(
            Flow(f"n{place}_f{flow.fid}", flow.selector) for flow in active if isinstance(flow.selector, Ipv6Selector)
        )
        if not flows:
            continue
        found = _lookup(flows, f"n{place}")
        nodes[entry.home_address] = f"jump n{place}"
        networks |= dict.fromkeys(map(str, entry.network.prefixes), f"jump n{place}")
        sets |= found.sets
        elements |= found.elements
        chains[f"n{place}"] = Chain(found.to_mobile_node)
        for flow in active:
            counters.update(counter_name(place, flow.fid, bid) for bid in entry.bindings)
            bids = entry.bids_of(flow)
            names = [counter_name(place, flow.fid, bid) for bid in bids]
            chains[f"n{place}_f{flow.fid}"] = Chain((_bind(names, entry, bids),))
        for binding in _named_by_flows(entry):
            if binding.slot:
                copies[binding.slot][entry.home_address] = _copy_address(place, binding.slot)
                for prefix in entry.network.prefixes:
                    network_copies[binding.slot][str(prefix)] = _copy_address(place, binding.slot)
    return Table(TABLE_NAME, sets, elements, frozenset(counters), chains)


def _behind(node: Node, entry: CacheEntry) -> network_rules.Bound:
    care_of = tuple(binding.care_of for binding in entry.bindings.values())
    return network_rules.Bound(entry.network.prefixes, care_of, node.protects_payload)


def _protected_elements(state: State, bound: Mapping[int, CacheEntry], protected: Protected) -> dict[str, Elements]:
    """Which keys may be used from where, and where tunnels lead."""
    spis: dict[IPv6Address, set[int]] = {}
    for home_address, found in state.tunnels.items():
        spis[home_address] = {spi for tunnel in found.values() for spi in tunnel.spis}
    pairs: set[Element] = set()
    far_ends: dict[Element, Element] = {}
    for place, care_of in protected.items():
        home_address = bound[place].home_address
        association = state.settings.association(place)
        pairs.update(f"{one} . {spi}" for one in care_of.values() for spi in spis.get(home_address, ()))
        far_ends |= {tunnel_address(association, number): address for number, address in care_of.items()}
    return {
        "protected": frozenset(pairs),
        "spi": frozenset(spi for found in spis.values() for spi in found),
        "tunnel": far_ends,
    }


def _bind(counters: list[str], entry: CacheEntry, bids: tuple[int, ...]) -> str:
    """The rule for the packets of a flow."""
    bits = sum(slot_bit(entry.bindings[bid].slot) for bid in bids)
    counted = " ".join(f"counter name {name}" for name in counters)
    return f"{counted} meta mark set meta mark & {_KEEP:#x} | {bits:#x}"


@lru_cache(1 << 14)
def _pair(care_of: IPv6Address, home_address: IPv6Address) -> str:
    """In nft syntax; to spell an address takes longer than all else that a binding needs here."""
    return f"{care_of} . {int(home_address):#x}"


@lru_cache(1 << 12)
def _lookup(flows: tuple[Flow, ...], prefix: str) -> Lookup:
    return lookup(layers(flows), prefix)


@lru_cache(1)
def _static(own: IPv6Address, prefixes: tuple[IPv6Network, ...], lengths: tuple[int, ...], *, has_ipsec: bool) -> Table:
    """What is there whoever is bound.

    reassemble: a mobile node's own packet that is too big for the tunnel comes in fragments (RFC 2473 section 7.1).
    Nothing ever goes to this chain, but with such a rule the kernel puts fragments together before prerouting.
    keep_fragments: not those to mobile nodes, which would be too big for the tunnel as a whole.
    from_outside: nobody else gives the destinations that stand for something here.
    prerouting: a Home Address option before a mobility message, which the kernel would refuse, is disguised
    (mip6.wire.extension); one that IPsec protects comes by here a second time without ESP, and stays as it is. Before
    payload it needs a binding (RFC 6275 section 9.3.1); without one the kernel is to discard the packet. ESP
    in tunnel mode is taken with keys of a mobile node from a care-of address of the same (RFC 5648 section 9.3.2). Of
    tunnelled packets only those pass whose outer source is a registered care-of address of
    the node that has the inner source as home address (RFC 6275 section 10.4.5, RFC 5648 section 6.5), or behind it
    (RFC 3963 section 9).
    classify: which flow a packet belongs to. A fragment that is not the first goes where the first went (RFC 6089
    section 5.3.6): it says nothing of ports itself.
    input: what IPsec has to protect of prefix discovery is marked, for the policy to see it.
    output: as classify for what is sent here, but for mobility messages and prefix discovery, which are in no tunnel.
    What comes out of a device of IPsec gets the care-of address.
    postrouting: whichever of our addresses the kernel chose as the outer source, the mobile node knows this one.
    """
    fragment = "ip6 saddr . ip6 daddr . @nh,352,32"
    slots = range(SLOTS)
    copy = [
        f"meta mark & {slot_bit(s):#x} != 0 meta mark & {_lower_bits(s):#x} != 0 dup to ip6 daddr map @copy_{s}"
        for s in slots[1:]
    ]
    plain = "meta ipsec missing " if has_ipsec else ""
    option = f"{plain}ip6 daddr {own} ip6 nexthdr 60 @nh,368,8 0xc9"
    unbound = " ".join(f"ip6 saddr . @nh,384,128 != @{name}" for name in ("binding", "only_protected"))
    homes = ", ".join(str(prefix) for prefix in collapse_addresses(prefixes))
    unmarked = f"meta mark & {MARK_MASK:#x} == 0"
    networks = [f"{unmarked} ip6 daddr vmap @{network_rules.NETWORK}"] if lengths else []
    if lengths:
        copy += [rule.replace("@copy_", "@copy_network_") for rule in copy]
    chains = {
        **reassembly(f"ip6 nexthdr 44 ip6 daddr {{ {homes} }} notrack"),
        "from_outside": Chain(
            (f"{TO_OWN_USE} counter name spoofed_outer_source drop",),
            f"type filter hook prerouting priority {BEFORE_OURS}; policy accept;",
        ),
        "prerouting": Chain(
            (
                f"{option} @nh,320,8 135 @nh,368,8 set 0x1e",
                f"{option} @nh,320,8 != {{ 50, 51, 135 }} {unbound} @nh,368,8 set 0x5e",
                f"ip6 daddr {own} ip6 nexthdr 41 jump from_tunnel",
                f"ip6 daddr {own} ip6 nexthdr 50 {SPI} @spi jump from_protected_tunnel",
            ),
            "type filter hook prerouting priority raw; policy accept;",
        ),
        "from_tunnel": Chain(
            (
                "ip6 saddr . @th,64,128 @binding counter name tunnelled goto decapsulate",
                *network_rules.taken(lengths, "counter name tunnelled goto decapsulate"),
                "ip6 saddr . @th,64,128 @only_protected counter name not_protected drop",
                "ip6 saddr @care_of counter name spoofed_inner_source drop",
                "counter name spoofed_outer_source drop",
            )
        ),
        "from_protected_tunnel": Chain(
            (
                f"ip6 saddr . {SPI} @protected counter name tunnelled accept",
                "counter name spoofed_outer_source drop",
            )
        ),
        "decapsulate": Chain(
            (
                f"{INNER_TO_OWN_USE} counter name spoofed_inner_source drop",
                *guests.rules(lengths, own),
                f"@th,192,128 {int(own):#x} ip6 daddr set {DELIVER} accept",
                f"ip6 daddr set {FORWARD}",
            )
        ),
        **guests.chains(lengths, own),
        "classify": Chain(
            (
                "ip6 nexthdr 44 @nh,336,16 & 0xfff8 != 0 jump follow_first_fragment",
                f"{unmarked} ip6 daddr vmap @node",
                *networks,
                f"meta mark & {MARK_MASK:#x} != 0 jump bound",
            ),
            "type filter hook prerouting priority mangle; policy accept;",
        ),
        "output": Chain(
            (
                f"ip6 daddr {TUNNELS} goto protected_out",
                f"ip6 saddr {own} ip6 nexthdr {NextHeader.MOBILITY.value} return",
                f"ip6 saddr {own} meta mark {PREFIX_DISCOVERY.value:#x} return",
                f"{unmarked} ip6 daddr vmap @node",
                *networks,
                f"meta mark & {MARK_MASK:#x} != 0 jump bound",
            ),
            "type route hook output priority mangle; policy accept;",
        ),
        "input": Chain(
            (f"ip6 daddr {own} icmpv6 type {_SOLICITATION} meta mark set {PREFIX_DISCOVERY.value:#x}",),
            "type filter hook input priority mangle; policy accept;",
        ),
        "protected_out": Chain(("ip6 daddr set ip6 daddr map @tunnel accept", "drop")),
        "bound": Chain(("ip6 nexthdr 44 jump remember_fragment", *copy)),
        "remember_fragment": Chain(
            tuple(f"meta mark & {slot_bit(s):#x} != 0 update @fragment_{s} {{ {fragment} }}" for s in slots)
        ),
        "follow_first_fragment": Chain(
            tuple(f"{fragment} @fragment_{s} meta mark set meta mark | {slot_bit(s):#x}" for s in slots)
        ),
        "postrouting": Chain(
            (
                *guests.source(lengths, own),
                f"ip6 nexthdr 41 ip6 daddr @care_of fib saddr type local ip6 saddr set {own}",
            ),
            "type filter hook postrouting priority mangle; policy accept;",
        ),
    }
    memory = f"typeof {fragment}; flags dynamic,timeout; timeout {FRAGMENTS_S}s; size 65535;"
    sets = {
        "binding": Set("set", "typeof ip6 saddr . @th,64,128;"),
        "only_protected": Set("set", "typeof ip6 saddr . @th,64,128;"),
        "protected": Set("set", f"typeof ip6 saddr . {SPI};"),
        "spi": Set("set", f"typeof {SPI};"),
        "tunnel": Set("map", "typeof ip6 daddr : ip6 daddr;"),
        "care_of": Set("set", "typeof ip6 saddr;"),
        "node": Set("map", "typeof ip6 daddr : verdict;"),
        **{f"copy_{slot}": Set("map", "typeof ip6 daddr : ip6 daddr;") for slot in slots[1:]},
        **{f"fragment_{slot}": Set("set", memory) for slot in slots},
        **network_rules.sets(lengths),
        **guests.sets(lengths),
    }
    return Table(TABLE_NAME, sets, {}, STATIC_COUNTERS, chains)


def _lower_bits(slot: int) -> int:
    return slot_bit(slot) - slot_bit(0)
