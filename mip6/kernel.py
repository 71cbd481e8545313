"""What we want in the kernel, as values, and the difference between that and what the kernel says it has.

Pure. `mip6.linux.reconciler` reads the kernel and applies the difference (docs/architecture.md, "Reconciliation").
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from mip6.mark import Mark
from mip6.table import Table
from mip6.xfrm import Policy, State

PROTOCOL = 146
"""Tag on our routes, rules and addresses (`ip -6 route show proto 146`): what carries another is not ours to touch."""

LOCAL_TABLE, MAIN_TABLE = 255, 254

ANYWHERE = IPv6Network("::/0")
LOOPBACK = 1
"""Index of the interface `lo`."""

DEVICE_NAME = "monami6-"
"""How the names of our network devices begin."""
_DEVICES = 0x6D36_0000

DELIVER, FORWARD, AGAIN = (IPv6Address(f"100::6d36:{number}") for number in (1, 2, 3))
"""Where nftables sends the tunnelled packets that it found good, and where a route takes the outer header off: those
with an inner packet for this machine, those for others (the kernel's seg6local actions do one or the other), and those
with an inner packet that goes to one of these addresses itself.
A route for our own address would need the kernel's first rule, `lookup local`, moved away, and other programs rely on
its place."""
OWN_USE = IPv6Network("100::/64")
"""Where these and all others are that stand for something here. The prefix is for discarding (RFC 6666): they never
leave the machine, and nothing that comes from outside may have one, neither as a packet nor in a tunnel."""
TO_OWN_USE = f"ip6 daddr {OWN_USE}"
INNER_TO_OWN_USE = f"@th,192,64 {int(OWN_USE.network_address) >> 64:#x}"
"""What nftables looks for, then."""
BEFORE_OURS = -301
"""Priority of the chain that looks for it, which comes before that which gives such destinations: while a table takes
the place of another, packets go through the chains of both."""


@dataclass(frozen=True, slots=True)
class Address:
    """A /128; on the loopback interface it outlives every link."""

    address: IPv6Address
    interface: int = LOOPBACK
    """Index. On a link the kernel answers who asks there for the address, and asks nobody first."""


@dataclass(frozen=True, slots=True)
class Neighbor:
    """Where an address is on a link: the kernel need not ask there."""

    interface: int
    address: IPv6Address
    hardware_address: bytes


@dataclass(frozen=True, slots=True)
class Device:
    """What is routed to this network device (kind xfrm) meets the policies that have its `if_id`. It needs no link, and
    so outlives every one. `number`: from 0 to 255.
    """

    number: int

    @property
    def name(self) -> str:
        return f"{DEVICE_NAME}{self.number}"

    @property
    def index(self) -> int:
        """Of the interface. The kernel takes the one that it is given, so routes can name it beforehand."""
        return _DEVICES + self.number

    @property
    def if_id(self) -> int:
        return _DEVICES + self.number


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy routing rule: what matches looks into `table`."""

    priority: int
    table: int
    source: IPv6Network | None = None
    destination: IPv6Network | None = None
    mark: Mark | None = None
    ip_protocol: int | None = None
    local_only: bool = False
    """Only packets that this machine itself sends."""
    suppress_prefix_length: int | None = None
    """Ignore a route found whose prefix is this long or shorter: 0 hides default routes."""
    order: int = field(default=0, compare=False)
    """Rules of equal priority are looked at in the order in which they were added: this makes it a rising one."""


@dataclass(frozen=True, slots=True)
class Encapsulate:
    """Tunnel to `peer`, IPv6 in IPv6 without a routing header (seg6 mode encap.red)."""

    peer: IPv6Address


@dataclass(frozen=True, slots=True)
class Decapsulate:
    """Take the outer header off. The inner packet is looked up in `table`, or by the rules when that is None
    (seg6local End.DT6, or End.DX6 to the inner destination).
    """

    table: int | None


@dataclass(frozen=True, slots=True)
class Route:
    """A route. Table, destination and metric identify it; a route that differs in the rest replaces it in place."""

    table: int
    destination: IPv6Network
    interface: int | None = None
    """Interface index; None makes the destination unreachable."""
    gateway: IPv6Address | None = None
    source: IPv6Address | None = None
    """The source address that unbound sockets get."""
    mtu: int | None = None
    tunnel: Encapsulate | Decapsulate | None = None
    metric: int = 1024

    @property
    def key(self) -> tuple[int, IPv6Network, int]:
        return self.table, self.destination, self.metric


TUNNEL_HEADER = 40
"""Octets of the outer header."""
_SEG6_HEADROOM = 64
"""What the kernel takes off a tunnel route's MTU: it reckons with a routing header that mode encap.red leaves out."""
_MIN_MTU = 1280


def tunnel_route_mtu(link_mtu: int) -> int:
    """MTU to put on a tunnel route so that inner packets fill the link and none has to be fragmented."""
    return max(link_mtu - TUNNEL_HEADER, _MIN_MTU) + _SEG6_HEADROOM


@lru_cache(1 << 14)
def host(address: IPv6Address) -> IPv6Network:
    """The prefix of one address."""
    return IPv6Network((address, 128))


def decapsulation_route(table: int, destination: IPv6Address, inner_table: int | None) -> Route:
    """Tunnelled packets to `destination` lose their outer header; for `inner_table` see Decapsulate.

    A route of type local may be on the loopback interface, which, unlike links, never goes away.
    """
    return Route(table, host(destination), LOOPBACK, tunnel=Decapsulate(inner_table))


@dataclass(frozen=True, slots=True)
class Kernel:
    """The part of the kernel's state that is ours."""

    addresses: frozenset[Address] = frozenset()
    rules: tuple[Rule, ...] = ()
    """As the kernel looks at them; as a wish, in any order."""
    routes: frozenset[Route] = frozenset()
    table: Table | None = None
    policies: frozenset[Policy] = frozenset()
    """No two with the same ID; each has a reqid of ours."""
    states: frozenset[State] = frozenset()
    """Likewise; those that the key management makes are none of these."""
    devices: frozenset[Device] = frozenset()
    neighbors: frozenset[Neighbor] = frozenset()


@dataclass(frozen=True, slots=True)
class Put:
    """Add the object, or replace the route that has its key."""

    object: Address | Device | Neighbor | Rule | Route | Policy | State


@dataclass(frozen=True, slots=True)
class Replace:
    """Change the policy or the state that has this one's ID, in one step."""

    object: Policy | State


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the object."""

    object: Address | Device | Neighbor | Rule | Route | Policy | State


Operation = Put | Replace | Remove


def difference(actual: Kernel, wanted: Kernel) -> list[Operation]:
    """The steps from `actual` to `wanted`, in an order that never leaves traffic without a way, nor unprotected:
    addresses, neighbours and devices (routes name them), then states and the policies that need them, then routes by
    their tables, then the rules that lead to them; deletions afterwards, in the reverse order. nftables is not part of
    it: its table changes in one transaction of its own.
    """
    put_rules, remove_rules = _rule_difference(actual.rules, wanted.rules)
    put_states, remove_states = _state_difference(actual.states, wanted.states)
    put_policies, remove_policies = _policy_difference(actual.policies, wanted.policies)
    put: list[Operation] = []
    put += [Put(address) for address in sorted(wanted.addresses - actual.addresses, key=_address_order)]
    put += [Put(neighbor) for neighbor in sorted(wanted.neighbors - actual.neighbors, key=_neighbor_order)]
    put += [Put(device) for device in sorted(wanted.devices - actual.devices, key=_device_order)]
    put += put_states + put_policies
    put += [Put(route) for route in sorted(wanted.routes - actual.routes, key=_route_order)]
    put += [Put(rule) for rule in put_rules]
    remove: list[Operation] = [Remove(rule) for rule in remove_rules]
    gone = actual.routes - wanted.routes
    replaced = {route.key for route in wanted.routes} if gone else set()
    remove += [Remove(route) for route in sorted(gone, key=_route_order) if route.key not in replaced]
    remove += remove_policies + remove_states
    remove += [Remove(device) for device in sorted(actual.devices - wanted.devices, key=_device_order)]
    known = {(neighbor.interface, neighbor.address) for neighbor in wanted.neighbors}
    lost = sorted(actual.neighbors - wanted.neighbors, key=_neighbor_order)
    remove += [Remove(neighbor) for neighbor in lost if (neighbor.interface, neighbor.address) not in known]
    remove += [Remove(address) for address in sorted(actual.addresses - wanted.addresses, key=_address_order)]
    return put + remove


def _address_order(address: Address) -> tuple[IPv6Address, int]:
    return address.address, address.interface


def _neighbor_order(neighbor: Neighbor) -> tuple[int, IPv6Address]:
    return neighbor.interface, neighbor.address


def _device_order(device: Device) -> int:
    return device.number


def _route_order(route: Route) -> tuple[int, IPv6Network, int]:
    return route.key


def _policy_difference(
    actual: AbstractSet[Policy], wanted: AbstractSet[Policy]
) -> tuple[list[Operation], list[Operation]]:
    """Policies to put or replace, and policies to remove after that."""
    new, gone = wanted - actual, actual - wanted
    changed = {policy.id for policy in new} & {policy.id for policy in gone}
    put = [Replace(policy) if policy.id in changed else Put(policy) for policy in sorted(new, key=_policy_order)]
    return [*put], [Remove(policy) for policy in sorted(gone, key=_policy_order) if policy.id not in changed]


def _policy_order(policy: Policy) -> tuple[int, IPv6Network, IPv6Network, int]:
    return policy.id.direction, policy.id.selector.source, policy.id.selector.destination, policy.priority


def _state_difference(
    actual: AbstractSet[State], wanted: AbstractSet[State]
) -> tuple[list[Operation], list[Operation]]:
    """States to put or change, and states to remove after that. One that cannot be changed is in the way of the new
    one, which has its ID, and goes first.
    """
    gone = {state.id: state for state in actual - wanted}
    put: list[Operation] = []
    for state in sorted(wanted - actual, key=_state_order):
        old = gone.pop(state.id, None)
        if old is None:
            put.append(Put(state))
        elif old.may_become(state):
            put.append(Replace(state))
        else:
            put += [Remove(old), Put(state)]
    return put, [Remove(state) for state in sorted(gone.values(), key=_state_order)]


def _state_order(state: State) -> tuple[int, IPv6Address, IPv6Address, int]:
    return state.protocol, state.source, state.destination, state.spi


def _rule_difference(actual: Sequence[Rule], wanted: Sequence[Rule]) -> tuple[list[Rule], list[Rule]]:
    """Rules to add, and rules to remove after that.

    The kernel adds a rule behind those of equal priority and removes the first that fits: so a rule that is in the way
    of the wanted order is added once more, and its old self removed. `actual`: as the kernel looks at them.
    """
    put: list[Rule] = []
    remove: list[Rule] = []
    for priority in sorted({rule.priority for rule in (*actual, *wanted)}):
        old = [rule for rule in actual if rule.priority == priority]
        new = list(in_order(rule for rule in wanted if rule.priority == priority))
        kept = new if new == old else _in_place(old, new)
        put += [rule for rule in new if rule not in kept]
        remove += [rule for rule in old if rule not in kept]
    return put, remove


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """As the kernel looks at them, when they are there as they were wanted."""
    return tuple(sorted(rules, key=lambda rule: (rule.priority, rule.order)))


def _in_place(old: list[Rule], new: list[Rule]) -> list[Rule]:
    """The longest beginning of the old rules that can stay: in order, and with nothing missing that belongs before."""
    order = {rule: rule.order for rule in new}
    there = [rule for rule in old if rule in order]
    if len(set(old)) < len(old):
        return []  # a removal would hit the wrong one of two
    for length in range(len(there), 0, -1):
        kept = there[:length]
        orders = [order[rule] for rule in kept]
        if orders == sorted(orders) and all(order[rule] >= orders[-1] for rule in new if rule not in kept):
            return kept
    return []
