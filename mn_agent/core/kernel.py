"""What the mobile node wants in the kernel (docs/architecture.md, "The data plane").

Packets from the home address get a mark. A flow's has one bit for each link that carries it, the default traffic's has
a bit of its own. The mark leads into a table whose default route tunnels to the home agent; the tunnelled packet keeps
it, and so finds a second table, which has the way to the home agent over that link. To move the default traffic, two
routes are replaced; to move a flow, the rule that marks it.

On the home link there is no tunnel: the mark leads to a route to its router, and the home address is on that link too
if it may be known there. Until then it is on the loopback interface only, where nobody on a link can ask for it.

Where IPsec protects payload, the routes into a tunnel lead to its device instead (mip6.ipsec). What comes out of it is
addressed to what stands for the tunnel, and has a route over its link; nftables then puts the real addresses there.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from itertools import product

from mip6 import ipsec, path_mtu, route_optimization, tunnels
from mip6.ipsec import PREFIX_DISCOVERY, RETURN_ROUTABILITY, TUNNELS, Side, protected_mtu, tunnel_address
from mip6.kernel import (
    ANYWHERE,
    BEFORE_OURS,
    DELIVER,
    LOCAL_TABLE,
    LOOPBACK,
    MAIN_TABLE,
    TO_OWN_USE,
    Address,
    Device,
    Encapsulate,
    Kernel,
    Route,
    Rule,
    decapsulation_route,
    host,
    tunnel_route_mtu,
)
from mip6.mark import Mark
from mip6.table import SPI, Chain, Element, Elements, Set, Table
from mip6.wire.registry import IcmpType, NextHeader
from mip6.xfrm import Policy
from mip6.xfrm import State as XfrmState
from mn_agent.core import router
from mn_agent.core.flows import chain_name
from mn_agent.core.links import Link
from mn_agent.core.settings import Home, RouteOptimizationSettings, RouterSettings, Security
from mn_agent.core.state import State

TABLE_NAME = "monami6"

# Routes are put in the order of their tables, and the second decides which link a packet takes: it must not wait
DECAPSULATION_TABLE, OUTER_TABLE, TUNNEL_TABLE, RETURN_ROUTABILITY_TABLE = range(14600, 14604)
OUTER_TABLES, TUNNEL_TABLES = 14610, 14620
"""The same for the flows of a link: these plus its slot."""
LINK_TABLES = 14700
"""Table of a link: this plus its binding identifier."""

_DECAPSULATION = decapsulation_route(DECAPSULATION_TABLE, DELIVER, LOCAL_TABLE)

_LINK_LOCAL = IPv6Network("fe80::/64")

MARK_MASK = 0xFF000000
_KEEP = 0xFFFFFFFF ^ MARK_MASK
_DEFAULT_BIT = 0x80000000
_SLOTS = 7

# Ours come first, right behind the kernel's own rule for local addresses: programs that let the kernel choose a place
# for their rules (wg-quick) stay behind them. But a route that such a program adds beats our default route.
_FIRST, _BEHIND_OTHERS, _LAST = 0, 32764, 32765
# A tunnelled packet must not go into the tunnel again, so its rules come before those that lead there, but behind those
# for what others tunnel behind a mobile router; rules of flows come before the default's
_MOBILITY, _ROUTABILITY, _OWN, _GUEST, _GUEST_DEFAULT, _OUTER, _OUTER_DEFAULT = range(1, 8)
_TUNNEL, _TUNNEL_DEFAULT, _HOME, _LINKS = range(8, 12)

_DIRECTIONS = ("up", "down")
STATIC_COUNTERS = frozenset(
    ("tunnelled", "not_from_home_agent", "not_protected", "not_tunnelled", "spoofed_home_address")
)


def slot_bit(slot: int) -> int:
    """In the mark of a packet: that it goes over the link with this slot."""
    return 0x01000000 << slot


def counter_name(what: str, bid: int, direction: str) -> str:
    """`what`: `link` for all tunnelled packets, `default`, or a flow's chain. `direction`: up or down."""
    return f"{what}_{bid}_{direction}"


def wanted_kernel(state: State) -> Kernel:
    """The kernel state that fits the agent's."""
    carrier = state.carrier
    links = list(state.links.values())
    flowing = [link for link in links if state.flows.policy.flow and link.bid in state.slots]
    routes = (_DECAPSULATION, *_tunnel_routes(state, carrier), *_flow_routes(state, flowing), *_link_routes(links))
    inwards = router.routes(state.settings.router, DECAPSULATION_TABLE)
    return Kernel(
        addresses=frozenset(_addresses(state)),
        devices=frozenset(map(Device, _tunnel_numbers(state))),
        rules=(*_tunnel_rules(state, flowing, carrier), *_link_rules(links)),
        routes=frozenset((*routes, *inwards, *_protected_routes(state, links, carrier))),
        table=_table(state),
        policies=frozenset(_policies(state)),
        states=frozenset(_states(state)),
    )


def _addresses(state: State) -> Iterator[Address]:
    home, link = state.settings.home.address, state.holds_home_address
    yield Address(home)
    if link is not None:
        yield Address(home, link.index)


def _tunnel_numbers(state: State) -> list[int]:
    """Of the tunnels that IPsec may have to protect."""
    settings = state.settings
    if settings.security is not Security.IKEV2:
        return []
    return [RETURN_ROUTABILITY, *(state.links if settings.protects_payload else ())]


def _policies(state: State) -> Iterator[Policy]:
    settings = state.settings
    if settings.security.is_ipsec and settings.home.is_agent_known:
        static = settings.security is Security.MANUAL
        yield from ipsec.policies(settings.association, Side.MOBILE_NODE, static=static)
    if settings.security is Security.IKEV2 and settings.home.is_agent_known:
        yield from ipsec.tunnel_policies(
            settings.association, Side.MOBILE_NODE, state.ike.tunnels, payload=settings.protects_payload
        )
    home = settings.home.address
    for address, care_of in _direct(state).items():
        yield route_optimization.receiving_policy(home, address)
        if care_of is not None:
            yield from route_optimization.sending_policies(home, address)


def _states(state: State) -> Iterator[XfrmState]:
    settings = state.settings
    if settings.security.is_ipsec and settings.home.is_agent_known:
        yield from ipsec.states(settings.association, Side.MOBILE_NODE)
    if settings.manual is not None and settings.home.is_agent_known:
        yield from ipsec.static_states(settings.association, settings.manual)
    yield from tunnels.states(state.ike.tunnels)
    home = settings.home.address
    for address, care_of in _direct(state).items():
        yield route_optimization.receiving_state(home, address)
        if care_of is not None:
            yield route_optimization.sending_state(home, address, care_of)


def _direct(state: State) -> dict[IPv6Address, IPv6Address | None]:
    """Correspondents that may send directly to us, and what we send to them from, if that goes directly as well."""
    known = state.correspondents.known.items()
    return {address: state.direct_from(address) for address, one in known if one.is_claimed}


def _tunnel_rules(state: State, flowing: list[Link], carrier: Link | None) -> Iterator[Rule]:
    agent, default = host(state.settings.home.agent), Mark(_DEFAULT_BIT, _DEFAULT_BIT)
    networks, is_served = state.settings.router, state.registration.network.is_router
    yield from router.rules(networks, _FIRST, OUTER_TABLE, is_served=is_served)
    yield from router.forwarding_rule(networks, _FIRST, DECAPSULATION_TABLE)
    yield Rule(_FIRST, DECAPSULATION_TABLE, destination=host(DELIVER))
    if state.settings.security.is_ipsec:
        # Sent from the home address; IPsec puts the care-of address there, and then looks for the way again
        home = host(state.settings.home.address)
        mobility = NextHeader.MOBILITY
        yield Rule(_FIRST, MAIN_TABLE, source=home, destination=agent, ip_protocol=mobility, order=_MOBILITY)
        yield Rule(_FIRST, MAIN_TABLE, source=home, destination=agent, mark=PREFIX_DISCOVERY, order=_MOBILITY)
    at_home = state.home_link
    if at_home is not None:
        home, table = host(state.settings.home.address), LINK_TABLES + at_home.bid
        yield Rule(_FIRST, table, source=home, destination=agent, ip_protocol=NextHeader.MOBILITY, order=_MOBILITY)
    if state.settings.security is Security.IKEV2:
        yield Rule(_FIRST, RETURN_ROUTABILITY_TABLE, source=home, ip_protocol=mobility, order=_ROUTABILITY)
        yield Rule(_FIRST, OUTER_TABLE, destination=TUNNELS)
    slots = sorted(state.slots[link.bid] for link in flowing)
    yield from _guest_rules(state, slots)
    for slot in slots:
        mark = Mark(slot_bit(slot), slot_bit(slot))
        yield Rule(_FIRST, OUTER_TABLES + slot, destination=agent, mark=mark, ip_protocol=41, order=_OUTER)
    yield Rule(_FIRST, OUTER_TABLE, destination=agent, mark=default, ip_protocol=41, order=_OUTER_DEFAULT)
    for slot in slots:
        yield Rule(_FIRST, TUNNEL_TABLES + slot, mark=Mark(slot_bit(slot), slot_bit(slot)), order=_TUNNEL)
    yield Rule(_FIRST, TUNNEL_TABLE, mark=default, order=_TUNNEL_DEFAULT)
    for source in (host(state.settings.home.address), *networks.prefixes):
        yield Rule(_FIRST, TUNNEL_TABLE, source=source, order=_HOME)
    if carrier is not None:
        # What has a better way than a default route keeps it: neighbours on the link, other tunnels
        yield Rule(_BEHIND_OTHERS, MAIN_TABLE, suppress_prefix_length=0, local_only=True)
        yield Rule(_LAST, TUNNEL_TABLE, local_only=True)


def _guest_rules(state: State, slots: list[int]) -> Iterator[Rule]:
    """A mobile node behind us may have our home agent. What it tunnels there goes into our tunnel like all else from
    there, and does not count as tunnelled. Should the kernel choose one of our addresses there as the outer source, it
    has to be told from that.
    """
    settings, default = state.settings, Mark(_DEFAULT_BIT, _DEFAULT_BIT)
    agent = host(settings.home.agent)
    if settings.router.prefixes:
        own = router.inside(state.interfaces, settings.router).own
        for address in sorted({settings.home.address, *own}):
            yield Rule(_FIRST, OUTER_TABLE, source=host(address), destination=agent, ip_protocol=41, order=_OWN)
    for prefix in settings.router.prefixes:
        for slot in slots:
            mark = Mark(slot_bit(slot), slot_bit(slot))
            yield Rule(_FIRST, TUNNEL_TABLES + slot, source=prefix, mark=mark, order=_GUEST)
        yield Rule(_FIRST, TUNNEL_TABLE, source=prefix, mark=default, order=_GUEST_DEFAULT)


def _tunnel_routes(state: State, carrier: Link | None) -> list[Route]:
    if carrier is None:
        return [Route(TUNNEL_TABLE, ANYWHERE), Route(OUTER_TABLE, ANYWHERE)]
    # Nothing is tunnelled at home: what still is when that changes must not go there
    outer = [] if carrier.at_home else [_way(carrier, OUTER_TABLE)]
    return [*_tunnel(state, carrier, TUNNEL_TABLE), *outer]


def _tunnel(state: State, link: Link, table: int) -> Iterator[Route]:
    """Into the tunnel over this link; at home there is none."""
    home = state.settings.home
    if link.at_home:
        yield Route(table, ANYWHERE, interface=link.index, gateway=link.router, source=home.address)
        # Neighbours are answered from the home address, and a router does not pass on what is link-local
        for prefix in (*link.prefixes, _LINK_LOCAL):
            yield Route(table, prefix, interface=link.index, source=home.address)
        return
    if state.settings.protects_payload:
        yield _to_device(state, link.bid, link, table)
        return
    yield Route(
        table,
        ANYWHERE,
        interface=link.index,
        source=home.address,
        mtu=tunnel_route_mtu(link.mtu),
        tunnel=Encapsulate(home.agent),
    )


def _to_device(state: State, number: int, link: Link, table: int) -> Route:
    limit = min((path_mtu.limit(state.path_mtus, one, link.mtu) for one in link.addresses), default=link.mtu)
    source = state.settings.home.address
    return Route(table, ANYWHERE, interface=Device(number).index, source=source, mtu=protected_mtu(limit))


def _way(link: Link, table: int, destination: IPv6Network = ANYWHERE) -> Route:
    return Route(table, destination, interface=link.index, gateway=link.router)


def _protected_routes(state: State, links: list[Link], carrier: Link | None) -> Iterator[Route]:
    """Messages of return routability take the default's link (RFC 5648 section 9.3.1), payload that of its binding."""
    settings = state.settings
    ways: dict[int, Link] = {}
    if settings.security is Security.IKEV2 and carrier is not None:
        ways[RETURN_ROUTABILITY] = carrier
        yield _to_device(state, RETURN_ROUTABILITY, carrier, RETURN_ROUTABILITY_TABLE)
    if settings.protects_payload:
        ways |= {link.bid: link for link in links if link.up and link.has_router}
    for number, link in ways.items():
        yield _way(link, OUTER_TABLE, host(tunnel_address(settings.association, number)))


def _flow_routes(state: State, flowing: list[Link]) -> Iterator[Route]:
    """Those of a link without carrier stay: its loss is not the moment for housekeeping."""
    for link in flowing:
        if link.up and link.has_router:
            slot = state.slots[link.bid]
            yield from _tunnel(state, link, TUNNEL_TABLES + slot)
            yield _way(link, OUTER_TABLES + slot)


def _link_rules(links: list[Link]) -> list[Rule]:
    """A care-of address leaves by its own interface.

    What a link without carrier has is left where it is: its loss is not the moment for housekeeping.
    """
    addresses = [(link, address) for link in links for address in sorted(link.addresses)]
    return [Rule(_FIRST, LINK_TABLES + link.bid, source=host(address), order=_LINKS) for link, address in addresses]


def _link_routes(links: list[Link]) -> list[Route]:
    routes = []
    for link in links:
        if not link.up or not link.has_router:
            continue
        table = LINK_TABLES + link.bid
        routes.append(_way(link, table))
        routes += [Route(table, prefix, interface=link.index) for prefix in link.prefixes]
    return routes


def _table(state: State) -> Table:
    static = _static(
        state.settings.home,
        state.settings.security,
        protects_payload=state.settings.protects_payload,
        direct=state.settings.route_optimization,
        networks=state.settings.router,
    )
    links = list(state.links.values())
    found = state.flows.found
    sets, chains, counters = {**static.sets, **found.sets}, dict(static.chains), set(static.counters)
    elements: dict[str, Elements] = {
        **found.elements,
        "care_of": frozenset(address for link in links for address in link.addresses),
        "source": _sources(state),
        "spi": frozenset(spi for tunnel in state.ike.tunnels.values() for spi in tunnel.spis),
        "copy_router": {},
        "copy_device": {},
        **router.elements(state.settings.router, router.inside(state.interfaces, state.settings.router)),
    }
    if "direct" in sets:
        elements["correspondent"] = frozenset(state.correspondents.known)
        elements["direct"] = frozenset(address for address, care_of in _direct(state).items() if care_of is not None)
    counted = [what for what in ("link", "default", "direct") if f"{what}_up" in sets]
    for what, direction in product(counted, _DIRECTIONS):
        elements[f"{what}_{direction}"] = {link.index: _quoted(what, link, direction) for link in links}
        counters.update(counter_name(what, link.bid, direction) for link in links)
    if state.settings.protects_payload:
        elements["default_up"] = {
            index: _quoted("default", link, "up") for link in links for index in (link.index, Device(link.bid).index)
        }
    if state.flows.policy.flow:
        elements["copy_router"] = {
            slot_bit(state.slots[link.bid]): link.router or state.settings.home.agent
            for link in links
            if link.bid in state.slots
        }
        elements["copy_device"] = {
            slot_bit(state.slots[link.bid]): link.index for link in links if link.bid in state.slots
        }
    for place, rule in enumerate(state.flows.policy.flow):
        what, choice = chain_name(place), state.decision.flows.get(rule.name)
        chains[what] = _flow_chain(state, what, choice.bids if choice is not None else ())
        sets[f"{what}_down"] = _COUNTERS_BY_INTERFACE
        elements[f"{what}_down"] = {link.index: _quoted(what, link, "down") for link in links}
        counters.update(counter_name(what, link.bid, direction) for link in links for direction in _DIRECTIONS)
    # Before it is marked, a packet has been routed like any from the home address: over the default's link, or to the
    # device of its tunnel
    default = "counter name meta oif map @default_up", f"meta mark set meta mark & {_KEEP:#x} | {_DEFAULT_BIT:#x}"
    chains["from_home"] = Chain((*found.from_mobile_node, *default))
    chains["to_home"] = Chain((*found.to_mobile_node, "counter name meta iif map @default_down"))
    return Table(TABLE_NAME, sets, elements, frozenset(counters), chains)


_COUNTERS_BY_INTERFACE = Set("map", "type iface_index : counter;")


def _quoted(what: str, link: Link, direction: str) -> str:
    return f'"{counter_name(what, link.bid, direction)}"'


def _sources(state: State) -> dict[Element, Element]:
    """The outer source of what leaves by an interface."""
    sources: dict[Element, Element] = {link.index: link.address for link in state.links.values() if link.address}
    for entry in state.registration.entries.values():
        address = state.source_address(entry)
        if address is not None and not state.links[entry.bid].at_home:
            sources[state.links[entry.bid].index] = address
    return sources


def _flow_chain(state: State, what: str, bids: tuple[int, ...]) -> Chain:
    """Counts a flow's packet, and marks it if it is on its way out. Should none of its links be there, the packet goes
    where the default traffic goes.
    """
    known = [bid for bid in bids if bid in state.slots]
    tunnels = [bid for bid in known if not state.links[bid].at_home]
    if len(known) > 1 and tunnels:
        known = tunnels  # copies are made of tunnelled packets
    bits = _DEFAULT_BIT | sum(slot_bit(state.slots[bid]) for bid in known)
    counted = "".join(f"counter name {counter_name(what, bid, 'up')} " for bid in known)
    return Chain(
        (
            f"meta iif != 0 counter name meta iif map @{what}_down return",
            router.flow_returns(state.settings.router),
            f"{counted}meta mark set meta mark & {_KEEP:#x} | {bits:#x}",
        )
    )


@lru_cache(1)
def _static(
    home: Home,
    security: Security,
    *,
    protects_payload: bool,
    direct: RouteOptimizationSettings,
    networks: RouterSettings,
) -> Table:
    """What is there whatever the links and flows.

    from_outside: nobody else gives the destinations that stand for something here.
    prerouting: a type 2 routing header, which the kernel would refuse, is disguised (mip6.wire.extension); a message
    that IPsec protects comes by here a second time without ESP, and stays as it is. Packets
    tunnelled to us are taken only from the home agent (RFC 6275 section 11.3.3) and sent to be decapsulated, or to
    where our states of IPsec are. Nobody else has our home address.
    output, input: packets from the home address are marked, those to it are counted; mobility messages are the home
    agent's own and in no tunnel. postrouting: the kernel chose the
    outer source; if it has several to choose from it takes any, and this puts the registered one there. A flow that
    goes over several links has taken the first by its lowest bit: each other bit makes a copy.
    """
    mark = f"meta mark & {MARK_MASK:#x}"
    plain = "meta ipsec missing " if security.is_ipsec else ""
    copies = (
        f"meta mark & {slot_bit(s):#x} != 0 meta mark & {slot_bit(s) - slot_bit(0):#x} != 0 "
        f"dup to meta mark & {slot_bit(s):#x} map @copy_router device meta mark & {slot_bit(s):#x} map @copy_device"
        for s in range(1, _SLOTS)
    )
    sets, rules = _direct_rules(home, direct, plain) if direct.correspondents else ({}, _NO_RULES)
    ours = f"ip6 nexthdr 50 {SPI} @spi"
    only_from_home_agent = f"ip6 saddr != {home.agent} counter name not_from_home_agent drop"
    taken = "counter name meta iif map @link_down", "counter name tunnelled"
    decapsulate = "counter name not_protected drop" if protects_payload else f"ip6 daddr set {DELIVER}"
    not_protected = (decapsulate,) if protects_payload else taken
    behind = router.nftables(home, networks, (only_from_home_agent, *not_protected), protected=protects_payload)
    return Table(
        TABLE_NAME,
        sets={
            "care_of": Set("set", "typeof ip6 daddr;"),
            "source": Set("map", "typeof oif : ip6 saddr;"),
            "spi": Set("set", f"typeof {SPI};"),
            "link_up": _COUNTERS_BY_INTERFACE,
            "link_down": _COUNTERS_BY_INTERFACE,
            "default_up": _COUNTERS_BY_INTERFACE,
            "default_down": _COUNTERS_BY_INTERFACE,
            "copy_router": Set("map", "type mark : ipv6_addr;"),
            "copy_device": Set("map", "type mark : iface_index;"),
            **sets,
            **behind.sets,
        },
        counters=STATIC_COUNTERS | router.counters(networks),
        chains={
            "from_outside": Chain(
                (f"{TO_OWN_USE} counter name not_from_home_agent drop",),
                f"type filter hook prerouting priority {BEFORE_OURS}; policy accept;",
            ),
            "prerouting": Chain(
                (
                    f"{plain}ip6 saddr {home.agent} ip6 nexthdr 43 "
                    "@nh,320,8 135 @nh,336,16 0x0201 @nh,336,16 set 0xfd00",
                    f"ip6 nexthdr 41 ip6 daddr @care_of @th,192,128 {int(home.address):#x} jump for_home_address",
                    f"{ours} ip6 daddr @care_of jump protected",
                    f"ip6 saddr {home.address} meta iif != {LOOPBACK} counter name spoofed_home_address drop",
                    *rules["prerouting"],
                    *behind.prerouting,
                ),
                "type filter hook prerouting priority raw; policy accept;",
            ),
            "for_home_address": Chain((only_from_home_agent, *(() if protects_payload else taken), decapsulate)),
            "protected": Chain((only_from_home_agent, *taken, f"ip6 daddr set {home.address}")),
            "output": Chain(
                (
                    f"ip6 saddr {home.address} ip6 daddr {home.agent} ip6 nexthdr {NextHeader.MOBILITY.value} return",
                    *((f"meta mark {PREFIX_DISCOVERY.value:#x} return",) if security.is_ipsec else ()),
                    *rules["output"],
                    f"ip6 saddr {home.address} jump from_home",
                    *behind.output,
                ),
                "type route hook output priority mangle; policy accept;",
            ),
            "input": Chain(
                (
                    f"{ours} return",
                    *((_MARK_ADVERTISEMENT,) if security.is_ipsec else ()),
                    *rules["input"],
                    f"ip6 daddr {home.address} jump to_home",
                    *behind.input,
                ),
                "type filter hook input priority mangle; policy accept;",
            ),
            "postrouting": Chain(
                (
                    *behind.postrouting,
                    f"ip6 nexthdr 41 ip6 daddr {home.agent} {mark} != 0 jump tunnelled_out",
                    f"ip6 nexthdr 50 ip6 daddr {TUNNELS} jump protected_out",
                    *rules["postrouting"],
                ),
                "type filter hook postrouting priority mangle; policy accept;",
            ),
            "tunnelled_out": Chain((*copies, "counter name meta oif map @link_up", "ip6 saddr set oif map @source")),
            "protected_out": Chain(("jump tunnelled_out", f"ip6 daddr set {home.agent}")),
            **behind.chains,
        },
    )


_MARK_ADVERTISEMENT = (
    f"icmpv6 type {IcmpType.MOBILE_PREFIX_ADVERTISEMENT.value} meta mark set {PREFIX_DISCOVERY.value:#x}"
)
"""What IPsec has to protect of prefix discovery, for the policy to see it."""

SEEN = "seen"
"""The set of correspondents that there was traffic with lately."""
_SEEN_S, _MOST_SEEN = 300, 64

_RulesByChain = Mapping[str, tuple[str, ...]]
_NO_RULES: _RulesByChain = {"prerouting": (), "input": (), "output": (), "postrouting": ()}


def _direct_rules(home: Home, direct: RouteOptimizationSettings, plain: str) -> tuple[dict[str, Set], _RulesByChain]:
    """For correspondents. Their messages may have a routing header, which is disguised, and a home test counts only if
    it came through the tunnel. What the kernel sends directly is not marked: it takes the link of the care-of address
    that is put there. Traffic with some networks is noticed.
    """
    mobility = NextHeader.MOBILITY.value
    known, sent = Set("set", "typeof ip6 saddr;"), Set("set", "typeof ip6 daddr;")
    counted = {f"direct_{direction}": _COUNTERS_BY_INTERFACE for direction in _DIRECTIONS}
    sets = {"correspondent": known, "direct": sent, **counted}
    noticed: dict[str, tuple[str, ...]] = {"saddr": (), "daddr": ()}
    if direct.networks:
        sets[SEEN] = Set("set", f"type ipv6_addr; size {_MOST_SEEN}; flags dynamic,timeout; timeout {_SEEN_S}s;")
        networks = ", ".join(map(str, direct.networks))
        for end in noticed:
            noticed[end] = (f"ip6 {end} {{ {networks} }} meta l4proto != {mobility} update @{SEEN} {{ ip6 {end} }}",)
    return sets, {
        "prerouting": (
            "ip6 saddr @direct ip6 nexthdr 43 counter name meta iif map @direct_down",
            f"ip6 saddr @correspondent ip6 nexthdr 43 @nh,320,8 {mobility} @nh,336,16 0x0201 @nh,336,16 set 0xfd00",
            f"{plain}ip6 daddr {home.address} ip6 saddr != {home.agent} meta l4proto {mobility} "
            "counter name not_tunnelled drop",
        ),
        "input": tuple(f"ip6 daddr {home.address} {rule}" for rule in noticed["saddr"]),
        "output": (
            *(f"ip6 saddr {home.address} {rule}" for rule in noticed["daddr"]),
            f"ip6 saddr {home.address} ip6 daddr @direct ip6 nexthdr != {mobility} return",
        ),
        "postrouting": ("ip6 nexthdr 60 ip6 daddr @direct counter name meta oif map @direct_up",),
    }
