"""What the home agent wants in the kernel (docs/architecture.md, "The data plane").

One table has a route into the tunnel for every registered home address, and none for the others: the home prefix is
unreachable there. nftables keeps the pairs of care-of and home address that may come through a tunnel.
"""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from home_agent.core.state import State, Uplink
from mip6.kernel import (
    DELIVER,
    FORWARD,
    LOCAL_TABLE,
    Elements,
    Encapsulate,
    Kernel,
    Route,
    Rule,
    Table,
    decapsulation_route,
    tunnel_route_mtu,
)

TABLE_NAME = "monami6_ha"

DECAPSULATION_TABLE, HOME_TABLE = 14600, 14601

_FIRST, _LAST = 0, 32765


def wanted_kernel(state: State) -> Kernel:
    """The kernel state that fits the binding cache; without an interface to send from, only what needs none."""
    rules = (
        Rule(_FIRST, DECAPSULATION_TABLE, destination=DELIVER),
        Rule(_FIRST, DECAPSULATION_TABLE, destination=FORWARD),
        Rule(_LAST, HOME_TABLE),
    )
    routes = [
        decapsulation_route(DECAPSULATION_TABLE, DELIVER, LOCAL_TABLE),
        decapsulation_route(DECAPSULATION_TABLE, FORWARD, None),
        *(Route(HOME_TABLE, prefix) for prefix in state.settings.home_agent.prefixes),
    ]
    if state.uplink is not None:
        routes += _tunnel_routes(state, state.uplink)
    return Kernel(rules=rules, routes=frozenset(routes), table=_table(state))


def _tunnel_routes(state: State, uplink: Uplink) -> list[Route]:
    mtu = tunnel_route_mtu(uplink.mtu)
    return [
        Route(
            HOME_TABLE,
            IPv6Network((entry.home_address, 128)),
            interface=uplink.index,
            mtu=mtu,
            tunnel=Encapsulate(entry.preferred.care_of),
        )
        for entry in state.cache.values()
        if entry.bindings
    ]


def _table(state: State) -> Table:
    pairs = {
        (binding.care_of, entry.home_address) for entry in state.cache.values() for binding in entry.bindings.values()
    }
    elements: dict[str, Elements] = {
        "binding": frozenset(_pair(care_of, home_address) for care_of, home_address in pairs),
        "care_of": frozenset(care_of for care_of, _ in pairs),
    }
    return Table(TABLE_NAME, _definition(state.settings.home_agent.address), elements)


@lru_cache(1 << 14)
def _pair(care_of: IPv6Address, home_address: IPv6Address) -> str:
    """In nft syntax; to spell an address takes longer than all else that a binding needs here."""
    return f"{care_of} . {int(home_address):#x}"


@lru_cache(1)
def _definition(own: IPv6Address) -> str:
    """What passes.

    prerouting: a Home Address option before a mobility message, which the kernel would refuse, is disguised
    (mip6.wire.extension). Of tunnelled packets only those pass whose outer source is a registered care-of address of
    the node that has the inner source as home address (RFC 6275 section 10.4.5, RFC 5648 section 6.5).
    postrouting: whichever of our addresses the kernel chose as the outer source, the mobile node knows this one.
    """
    return f"""
  counter tunnelled {{ }}
  counter spoofed_outer_source {{ }}
  counter spoofed_inner_source {{ }}
  set binding {{ typeof ip6 saddr . @th,64,128; }}
  set care_of {{ typeof ip6 saddr; }}
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    ip6 daddr {own} ip6 nexthdr 60 @nh,320,8 135 @nh,368,8 0xc9 @nh,368,8 set 0x1e
    ip6 daddr {own} ip6 nexthdr 41 jump from_tunnel
  }}
  chain from_tunnel {{
    ip6 saddr . @th,64,128 @binding counter name tunnelled goto decapsulate
    ip6 saddr @care_of counter name spoofed_inner_source drop
    counter name spoofed_outer_source drop
  }}
  chain decapsulate {{
    @th,192,128 {int(own):#x} ip6 daddr set {DELIVER} accept
    ip6 daddr set {FORWARD}
  }}
  chain postrouting {{
    type filter hook postrouting priority mangle; policy accept;
    ip6 nexthdr 41 ip6 daddr @care_of fib saddr type local ip6 saddr set {own}
  }}
"""
