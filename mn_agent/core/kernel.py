"""What the mobile node wants in the kernel (docs/architecture.md, "The data plane").

Packets from the home address get a mark, which leads them into a table whose default route tunnels to the home agent.
The tunnelled packet keeps the mark, which leads it into a second table: the way to the home agent over the link that
carries the traffic. To move the traffic, these two routes are replaced, and nothing else.
"""

from functools import lru_cache

from mip6.kernel import (
    ANYWHERE,
    DELIVER,
    LOCAL_TABLE,
    MAIN_TABLE,
    Address,
    Element,
    Encapsulate,
    Kernel,
    Mark,
    Route,
    Rule,
    Table,
    decapsulation_route,
    tunnel_route_mtu,
)
from mn_agent.core.links import Link
from mn_agent.core.settings import Home
from mn_agent.core.state import State

TABLE_NAME = "monami6"

# Routes are put in the order of their tables, and the second decides which link a packet takes: it must not wait
DECAPSULATION_TABLE, OUTER_TABLE, TUNNEL_TABLE = 14600, 14601, 14602
LINK_TABLES = 14700
"""Table of a link: this plus its binding identifier."""

_DECAPSULATION = decapsulation_route(DECAPSULATION_TABLE, DELIVER, LOCAL_TABLE)

MARK_MASK = 0xFF000000
DEFAULT_MARK = Mark(0x01000000, MARK_MASK)

# Ours come first, right behind the kernel's own rule for local addresses: programs that let the kernel choose a place
# for their rules (wg-quick) stay behind them. But a route that such a program adds beats our default route.
_FIRST, _BEHIND_OTHERS, _LAST = 0, 32764, 32765


def wanted_kernel(state: State) -> Kernel:
    """The kernel state that fits the agent's."""
    carrier = state.links[state.carrier.bid] if state.carrier else None
    links = list(state.links.values())
    return Kernel(
        addresses=frozenset((Address(state.settings.home.address),)),
        rules=(*_tunnel_rules(state.settings.home, carrier), *_link_rules(links)),
        routes=frozenset((_DECAPSULATION, *_tunnel_routes(state.settings.home, carrier), *_link_routes(links))),
        table=_table(state),
    )


def _tunnel_rules(home: Home, carrier: Link | None) -> list[Rule]:
    rules = [
        Rule(_FIRST, DECAPSULATION_TABLE, destination=DELIVER),
        # A tunnelled packet must not go into the tunnel again, so this one comes before the next
        Rule(_FIRST, OUTER_TABLE, destination=home.agent, mark=DEFAULT_MARK, ip_protocol=41, order=1),
        Rule(_FIRST, TUNNEL_TABLE, mark=DEFAULT_MARK, order=2),
        Rule(_FIRST, TUNNEL_TABLE, source=home.address, order=3),
    ]
    if carrier is not None:
        rules += [
            # What has a better way than a default route keeps it: neighbours on the link, other tunnels
            Rule(_BEHIND_OTHERS, MAIN_TABLE, suppress_prefix_length=0, local_only=True),
            Rule(_LAST, TUNNEL_TABLE, local_only=True),
        ]
    return rules


def _tunnel_routes(home: Home, carrier: Link | None) -> list[Route]:
    if carrier is None:
        return [Route(TUNNEL_TABLE, ANYWHERE), Route(OUTER_TABLE, ANYWHERE)]
    tunnel = Route(
        TUNNEL_TABLE,
        ANYWHERE,
        interface=carrier.index,
        source=home.address,
        mtu=tunnel_route_mtu(carrier.mtu),
        tunnel=Encapsulate(home.agent),
    )
    return [tunnel, Route(OUTER_TABLE, ANYWHERE, interface=carrier.index, gateway=carrier.router)]


def _link_rules(links: list[Link]) -> list[Rule]:
    """A care-of address leaves by its own interface.

    What a link without carrier has is left where it is: its loss is not the moment for housekeeping.
    """
    addresses = [(link, address) for link in links for address in sorted(link.addresses)]
    return [Rule(_FIRST, LINK_TABLES + link.bid, source=address, order=4) for link, address in addresses]


def _link_routes(links: list[Link]) -> list[Route]:
    routes = []
    for link in links:
        if not link.up or not link.has_router:
            continue
        table = LINK_TABLES + link.bid
        routes.append(Route(table, ANYWHERE, interface=link.index, gateway=link.router))
        routes += [Route(table, prefix, interface=link.index) for prefix in link.prefixes]
    return routes


def _table(state: State) -> Table:
    home = state.settings.home
    sources: dict[Element, Element] = {link.index: link.address for link in state.links.values() if link.address}
    for entry in state.registration.entries.values():
        address = state.source_address(entry)
        if address is not None:
            sources[state.links[entry.bid].index] = address
    usable = frozenset[Element](address for link in state.links.values() for address in link.addresses)
    return Table(TABLE_NAME, _definition(home), {"care_of": usable, "source": sources})


@lru_cache(1)
def _definition(home: Home) -> str:
    """What passes and what is marked.

    prerouting: a type 2 routing header, which the kernel would refuse, is disguised (mip6.wire.extension); packets
    tunnelled to us are taken only from the home agent (RFC 6275 section 11.3.3) and sent to be decapsulated.
    output: packets from the home address are marked. postrouting: the kernel chose the outer source; if it has several
    to choose from it takes any, and this puts the registered one there.
    """
    keep = 0xFFFFFFFF ^ MARK_MASK
    return f"""
  counter tunnelled {{ }}
  counter not_from_home_agent {{ }}
  set care_of {{ typeof ip6 daddr; }}
  map source {{ typeof oif : ip6 saddr; }}
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    ip6 saddr {home.agent} ip6 nexthdr 43 @nh,320,8 135 @nh,336,16 0x0201 @nh,336,16 set 0xfd00
    ip6 nexthdr 41 ip6 daddr @care_of @th,192,128 {int(home.address):#x} jump for_home_address
  }}
  chain for_home_address {{
    ip6 saddr != {home.agent} counter name not_from_home_agent drop
    counter name tunnelled ip6 daddr set {DELIVER}
  }}
  chain output {{
    type route hook output priority mangle; policy accept;
    ip6 saddr {home.address} meta mark set meta mark & {keep:#x} | {DEFAULT_MARK.value:#x}
  }}
  chain postrouting {{
    type filter hook postrouting priority mangle; policy accept;
    ip6 nexthdr 41 ip6 daddr {home.agent} meta mark & {MARK_MASK:#x} != 0 ip6 saddr set oif map @source
  }}
"""
