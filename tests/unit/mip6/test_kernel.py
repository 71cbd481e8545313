"""The difference between what the kernel has and what is wanted."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from mip6.kernel import (
    Address,
    Encapsulate,
    Kernel,
    Neighbor,
    Operation,
    Put,
    Remove,
    Replace,
    Route,
    Rule,
    difference,
    tunnel_route_mtu,
)
from mip6.mark import Mark
from mip6.xfrm import (
    Action,
    Direction,
    Kind,
    Mode,
    Policy,
    PolicyId,
    Protocol,
    Selector,
    State,
    Template,
    aes_gcm,
)

HOST = IPv6Network("2001:db8::1/128")
ADDRESS = Address(IPv6Address("2001:db8:f00::100"))
EARLY, MIDDLE, LATE = (Rule(0, 100 + order, mark=Mark(order, 0xFF), order=order) for order in (1, 2, 3))
RULES = (EARLY, MIDDLE, LATE, Rule(7, 100), Rule(7, 101), Rule(8, 102, order=1))


def perform(rules: Sequence[Rule], operations: list[Operation]) -> list[Rule]:
    """As the kernel does: a new rule goes behind those of equal priority, a deletion takes the first that fits."""
    rules = list(rules)
    for operation in operations:
        if isinstance(operation, Put) and isinstance(operation.object, Rule):
            behind = [place for place, rule in enumerate(rules) if rule.priority <= operation.object.priority]
            rules.insert(max(behind, default=-1) + 1, operation.object)
        elif isinstance(operation, Remove) and isinstance(operation.object, Rule):
            rules.remove(operation.object)
    return rules


def test_nothing_to_do() -> None:
    kernel = Kernel(frozenset((ADDRESS,)), RULES, frozenset((Route(5, HOST, 2),)))
    assert difference(kernel, kernel) == []


def test_additions_come_before_deletions_and_in_an_order_that_keeps_traffic_flowing() -> None:
    route = Route(5, HOST, 2, source=ADDRESS.address)
    kernel = Kernel(frozenset((ADDRESS,)), (EARLY,), frozenset((route,)))
    assert difference(Kernel(), kernel) == [Put(ADDRESS), Put(route), Put(EARLY)]
    assert difference(kernel, Kernel()) == [Remove(EARLY), Remove(route), Remove(ADDRESS)]


def test_a_neighbour_that_has_moved_is_replaced_in_place() -> None:
    old, new = (Neighbor(2, ADDRESS.address, bytes((2, 0, 0, 0, 0, number))) for number in (1, 2))
    there = Kernel(neighbors=frozenset((old,)))
    assert difference(there, Kernel(neighbors=frozenset((new,)))) == [Put(new)]
    assert difference(there, Kernel()) == [Remove(old)]


def test_a_route_with_the_same_key_is_replaced_in_place() -> None:
    old, new = Route(5, HOST, 2), Route(5, HOST, 3, tunnel=Encapsulate(IPv6Address("2001:db8::2")))
    assert difference(Kernel(routes=frozenset((old,))), Kernel(routes=frozenset((new,)))) == [Put(new)]


def test_rules_of_equal_priority_end_in_the_wanted_order_from_any_start() -> None:
    for count in range(4):
        for actual in permutations((EARLY, MIDDLE, LATE), count):
            steps = difference(Kernel(rules=actual), Kernel(rules=(LATE, EARLY, MIDDLE)))
            assert perform(actual, steps) == [EARLY, MIDDLE, LATE]


@given(st.lists(st.sampled_from(RULES), max_size=8), st.permutations(RULES), st.integers(0, len(RULES)))
def test_rules_end_in_the_wanted_order_even_from_duplicates(actual: list[Rule], wanted: list[Rule], count: int) -> None:
    ordered = sorted(actual, key=lambda rule: rule.priority)
    wish = tuple(wanted[:count])
    found = perform(ordered, difference(Kernel(rules=tuple(ordered)), Kernel(rules=wish)))
    assert sorted(found, key=repr) == sorted(wish, key=repr)
    keys = [(rule.priority, rule.order) for rule in found]
    assert keys == sorted(keys)
    assert difference(Kernel(rules=tuple(found)), Kernel(rules=wish)) == []


def test_a_rule_is_never_missing_while_others_change() -> None:
    """A rule that has to move is added once more before its old self is removed."""
    steps = difference(Kernel(rules=(LATE,)), Kernel(rules=(EARLY, LATE)))
    present = [LATE]
    for step in steps:
        present = perform(present, [step])
        assert LATE in present


OTHER = Address(IPv6Address("2001:db8:f00::200"))
ROUTES = (
    *(Route(5, HOST, interface, source=source) for interface in (2, 3) for source in (None, ADDRESS.address)),
    Route(5, HOST),
    Route(5, HOST, 2, metric=7),
    Route(6, HOST, 2, source=OTHER.address),
    Route(6, HOST, 2, tunnel=Encapsulate(IPv6Address("2001:db8::2"))),
)


OUT, IN = (PolicyId(direction, Selector(HOST)) for direction in (Direction.OUT, Direction.IN))
TEMPLATES = tuple(Template(protocol=Protocol.ESP, mode=Mode.TUNNEL, reqid=reqid) for reqid in (1, 2))
POLICIES = (
    *(Policy(id_, (template,)) for id_ in (OUT, IN) for template in TEMPLATES),
    Policy(OUT, TEMPLATES, 7, Action.BLOCK),
    Policy(PolicyId(Direction.OUT, Selector(HOST), Kind.SUB), TEMPLATES),
    Policy(PolicyId(Direction.OUT, Selector(HOST), mark=Mark(1, 1)), TEMPLATES),
)
ESP = State(
    protocol=Protocol.ESP,
    mode=Mode.TUNNEL,
    source=ADDRESS.address,
    destination=HOST.network_address,
    spi=256,
    reqid=1,
    algorithms=aes_gcm(bytes(20)),
)
OPTIMIZATION = State(
    protocol=Protocol.HAO,
    mode=Mode.ROUTE_OPTIMIZATION,
    source=ADDRESS.address,
    destination=HOST.network_address,
    care_of=IPv6Address("2001:db8:1::1"),
)
MOVED = replace(OPTIMIZATION, care_of=IPv6Address("2001:db8:2::1"))
STATES = (
    ESP,
    replace(ESP, algorithms=aes_gcm(b"\1" * 20)),
    replace(ESP, source=OTHER.address),
    replace(ESP, spi=257),
    OPTIMIZATION,
    MOVED,
    replace(MOVED, reqid=2),
    replace(OPTIMIZATION, source=OTHER.address),
)


def test_states_come_before_the_policies_that_need_them_and_these_before_the_routes_that_lead_there() -> None:
    route = Route(5, HOST, 2, source=ADDRESS.address)
    kernel = Kernel(
        frozenset((ADDRESS,)),
        (EARLY,),
        frozenset((route,)),
        policies=frozenset(POLICIES[:1]),
        states=frozenset((ESP,)),
    )
    put = [Put(ADDRESS), Put(ESP), Put(POLICIES[0]), Put(route), Put(EARLY)]
    assert difference(Kernel(), kernel) == put
    assert difference(kernel, Kernel()) == [Remove(step.object) for step in reversed(put)]


def test_a_policy_changes_in_place() -> None:
    old, new = POLICIES[:2]
    steps = difference(Kernel(policies=frozenset((old,))), Kernel(policies=frozenset((new,))))
    assert steps == [Replace(new)]


def test_a_care_of_address_changes_in_place_and_anything_else_makes_a_new_state() -> None:
    for old, new, steps in (
        (OPTIMIZATION, MOVED, [Replace(MOVED)]),
        (OPTIMIZATION, replace(MOVED, reqid=2), [Remove(OPTIMIZATION), Put(replace(MOVED, reqid=2))]),
        (ESP, STATES[1], [Remove(ESP), Put(STATES[1])]),
        (ESP, STATES[3], [Put(STATES[3]), Remove(ESP)]),
    ):
        assert difference(Kernel(states=frozenset((old,))), Kernel(states=frozenset((new,)))) == steps


class StrictKernel:
    """As strict as the real one, and stricter: nothing may be put that is there, or removed or replaced that is not,
    a route's source has to exist, and what stays wanted is never missing.
    """

    def __init__(self, state: Kernel) -> None:
        self.addresses = set(state.addresses)
        self.rules = list(state.rules)
        self.routes = {route.key: route for route in state.routes}
        self.policies = {policy.id: policy for policy in state.policies}
        self.states = {one.id: one for one in state.states}

    def perform(self, operation: Operation) -> None:
        match operation:
            case Put(Address() as address):
                assert address not in self.addresses
                self.addresses.add(address)
            case Put(Route() as route):
                assert self.routes.get(route.key) != route
                assert route.source is None or Address(route.source) in self.addresses
                self.routes[route.key] = route
            case Remove(Address() as address):
                self.addresses.remove(address)
            case Remove(Route() as route):
                assert self.routes.pop(route.key) == route
            case Put(Policy() as policy):
                assert policy.id not in self.policies
                self.policies[policy.id] = policy
            case Replace(Policy() as policy):
                assert self.policies[policy.id] != policy
                self.policies[policy.id] = policy
            case Remove(Policy() as policy):
                assert self.policies.pop(policy.id) == policy
            case Put(State() as state):
                assert state.id not in self.states
                self.states[state.id] = state
            case Replace(State(care_of=care_of) as state):
                assert replace(self.states[state.id], care_of=care_of) == state
                self.states[state.id] = state
            case Remove(State() as state):
                assert self.states.pop(state.id) == state
            case _:
                self.rules = perform(self.rules, [operation])

    def has(self, wanted: Kernel, since: Kernel) -> bool:
        """Everything that was there and is to stay; of routes, at least one for their destination."""
        return (
            self.addresses >= wanted.addresses & since.addresses
            and {rule for rule in wanted.rules if rule in since.rules} <= set(self.rules)
            and {route.key for route in wanted.routes} & {route.key for route in since.routes} <= self.routes.keys()
            and {one.id for one in wanted.policies} & {one.id for one in since.policies} <= self.policies.keys()
            and wanted.states & since.states <= set(self.states.values())
        )


def states() -> st.SearchStrategy[Kernel]:
    """What may be in the kernel: a route for each key, and the addresses that they name."""
    routes = st.lists(st.sampled_from(ROUTES), unique_by=lambda route: route.key).map(frozenset)
    rules = st.lists(st.sampled_from(RULES), unique=True).map(
        lambda some: tuple(sorted(some, key=lambda one: one.priority))
    )
    policies = st.lists(st.sampled_from(POLICIES), unique_by=lambda policy: policy.id).map(frozenset)
    security = st.lists(st.sampled_from(STATES), unique_by=lambda state: state.id).map(frozenset)
    addresses = st.sets(st.sampled_from((ADDRESS, OTHER))).map(frozenset)
    return st.builds(Kernel, addresses, rules, routes, policies=policies, states=security).map(_complete)


def _complete(state: Kernel) -> Kernel:
    named = {Address(route.source) for route in state.routes if route.source is not None}
    return replace(state, addresses=state.addresses | named)


@given(states(), states())
def test_from_any_state_to_any_other_by_steps_that_a_strict_kernel_takes(actual: Kernel, wanted: Kernel) -> None:
    kernel = StrictKernel(actual)
    for operation in difference(actual, wanted):
        kernel.perform(operation)
        assert kernel.has(wanted, actual)
    assert kernel.addresses == wanted.addresses
    assert set(kernel.routes.values()) == wanted.routes
    assert set(kernel.policies.values()) == wanted.policies
    assert set(kernel.states.values()) == wanted.states
    assert sorted(kernel.rules, key=repr) == sorted(wanted.rules, key=repr)


def test_the_mtu_of_a_tunnel_makes_up_for_the_kernels_reckoning() -> None:
    assert tunnel_route_mtu(1500) - 64 == 1460
    assert tunnel_route_mtu(1280) - 64 == 1280, "never below the minimum of IPv6"
