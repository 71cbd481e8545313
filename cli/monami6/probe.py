"""What this kernel can do, tried out in a network namespace of its own: `python -m monami6.probe`.

A program, because it leaves the namespace that it was started in and must not take its caller along. Prints a JSON
object: each feature with what the kernel said against it, null if nothing. The namespace goes when the program ends.
"""

import ctypes
import json
import os
import socket
import sys
from ipaddress import IPv6Address

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from mip6.kernel import (
    ANYWHERE,
    DELIVER,
    LOCAL_TABLE,
    LOOPBACK,
    MAIN_TABLE,
    Encapsulate,
    Kernel,
    Route,
    Rule,
    decapsulation_route,
    host,
)
from mip6.linux.netlink import Netlink, message
from mip6.linux.reconciler import Reconciler
from mip6.linux.routing import RTM_NEWLINK
from mip6.mark import Mark
from mip6.table import Chain, Set, Table

CLONE_NEWNET = 0x40000000
IFF_UP = 1

_TABLE, _NAME = 100, "monami6_probe"
_PEER = IPv6Address("2001:db8::1")

# One of each expression that the agent's own table is made of
_FILTER = Table(
    _NAME,
    sets={
        "care_of": Set("set", "typeof ip6 daddr;"),
        "source": Set("map", "typeof oif : ip6 saddr;"),
        "link": Set("map", "type iface_index : counter;"),
        "copy_router": Set("map", "type mark : ipv6_addr;"),
        "copy_device": Set("map", "type mark : iface_index;"),
        "flow_found": Set(
            "map", "type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service : verdict; flags interval;"
        ),
    },
    elements={"care_of": frozenset((_PEER,)), "link": {LOOPBACK: '"passed"'}},
    counters=frozenset(("passed",)),
    chains={
        "prerouting": Chain(
            (
                "ip6 nexthdr 43 @nh,320,8 135 @nh,336,16 0x0201 @nh,336,16 set 0xfd00",
                "ip6 nexthdr 41 ip6 daddr @care_of @th,192,128 0x1 counter name passed ip6 daddr set 100::1",
                "counter name meta iif map @link",
            ),
            "type filter hook prerouting priority raw; policy accept;",
        ),
        "output": Chain(
            (
                "ip6 daddr . ip6 saddr . meta l4proto . th dport . th sport vmap @flow_found",
                "meta mark set meta mark & 0xffffff | 0x1000000",
            ),
            "type route hook output priority mangle; policy accept;",
        ),
        "postrouting": Chain(
            (
                "meta mark & 0x2 != 0 dup to meta mark & 0x2 map @copy_router device meta mark & 0x2 map @copy_device",
                "ip6 nexthdr 41 ip6 saddr set oif map @source",
            ),
            "type filter hook postrouting priority mangle; policy accept;",
        ),
    },
)


FEATURES = {
    "encapsulation": Kernel(
        routes=frozenset((Route(_TABLE, ANYWHERE, interface=LOOPBACK, tunnel=Encapsulate(_PEER)),))
    ),
    "decapsulation": Kernel(routes=frozenset((decapsulation_route(_TABLE, DELIVER, LOCAL_TABLE),))),
    "rules": Kernel(
        rules=(
            Rule(100, _TABLE, destination=host(_PEER), mark=Mark(1, 0xFF), ip_protocol=41),
            Rule(101, MAIN_TABLE, suppress_prefix_length=0, local_only=True),
        )
    ),
    "packet filter": Kernel(table=_FILTER),
}
"""What the kernel is asked for, by the name under which the doctor asks."""


def main() -> None:
    """Try them all."""
    _leave_namespace()
    netlink = Netlink()
    up = message(ifinfmsg, {"family": socket.AF_UNSPEC, "index": LOOPBACK, "flags": IFF_UP, "change": IFF_UP}, {})
    netlink.request(RTM_NEWLINK, up)
    reconciler = Reconciler(_NAME)
    print(json.dumps({name: _try(reconciler, wanted) for name, wanted in FEATURES.items()}))


def _leave_namespace() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        sys.exit(f"no network namespace of its own: {os.strerror(ctypes.get_errno())}")


def _try(reconciler: Reconciler, wanted: Kernel) -> str | None:
    refusals = reconciler.apply(wanted)
    return "; ".join(refusal.why for refusal in refusals) or None


if __name__ == "__main__":
    main()
