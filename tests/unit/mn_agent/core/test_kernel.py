"""The kernel state that the mobile node wants."""

import re
from ipaddress import IPv6Address, IPv6Network

import pytest

from mip6.kernel import (
    ANYWHERE,
    DELIVER,
    LOOPBACK,
    Address,
    Decapsulate,
    Encapsulate,
    Kernel,
    Replace,
    Route,
    difference,
    host,
)
from mip6.wire.traffic_selectors import Span
from mip6.xfrm import Direction, Kind, Protocol
from mip6.xfrm import Policy as XfrmPolicy
from mip6.xfrm import State as XfrmState
from mn_agent.core.agent import SLOTS
from mn_agent.core.events import Subject
from mn_agent.core.kernel import (
    DECAPSULATION_TABLE,
    LINK_TABLES,
    OUTER_TABLE,
    OUTER_TABLES,
    TUNNEL_TABLE,
    TUNNEL_TABLES,
    slot_bit,
    wanted_kernel,
)
from mn_agent.core.policy_file import FlowRule, Policy
from tests.story.direct_world import CN, DirectWorld
from tests.story.world import (
    AGENT,
    AT_ONCE,
    HOME,
    TestLink,
    World,
    make_link,
    mobile_node_settings,
    three_links,
)


def kernel(world: World) -> Kernel:
    return wanted_kernel(world.mn)


def default(world: World, table: int) -> Route:
    (route,) = [route for route in kernel(world).routes if route.table == table and route.destination == ANYWHERE]
    return route


def registered() -> World:
    return World(three_links()).start().run(5)


@pytest.mark.req("PKT-03", "SRC-01")
def test_everything_goes_into_the_tunnel_with_the_home_address() -> None:
    world = registered()
    route = default(world, TUNNEL_TABLE)
    assert (route.interface, route.source, route.tunnel) == (1, HOME, Encapsulate(AGENT))
    outer = default(world, OUTER_TABLE)
    assert (outer.interface, outer.gateway) == (1, world.links["ethernet"].interface.routers[0])
    assert Address(HOME) in kernel(world).addresses


def test_a_switch_replaces_two_routes_and_nothing_else() -> None:
    world = registered()
    before = kernel(world)
    world.switch("lte")
    after = kernel(world)
    changed = after.routes - before.routes
    assert {route.table for route in changed} == {TUNNEL_TABLE, OUTER_TABLE}
    assert {route.key for route in changed} == {route.key for route in before.routes - after.routes}
    assert (after.rules, after.table) == (before.rules, before.table)


def test_a_lost_carrier_changes_no_more_than_a_switch() -> None:
    world = registered()
    before = kernel(world)
    world.carrier("ethernet", on=False)
    after = kernel(world)
    assert {route.table for route in after.routes - before.routes} == {TUNNEL_TABLE, OUTER_TABLE}
    assert (after.rules, after.table) == (before.rules, before.table)


def test_without_a_registered_link_home_packets_go_nowhere_and_others_as_ever() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}).start()
    assert default(world, TUNNEL_TABLE).interface is None
    assert not any(rule.local_only for rule in kernel(world).rules)
    world.run(5)
    assert any(rule.local_only and rule.table == TUNNEL_TABLE for rule in kernel(world).rules)


def test_a_care_of_address_leaves_by_its_own_link() -> None:
    world = registered()
    for bid, link in enumerate(world.links.values(), 1):
        table = LINK_TABLES + bid
        assert any(rule.source == host(link.address) and rule.table == table for rule in kernel(world).rules)
        assert default(world, table).interface == link.interface.index
        on_link = [route for route in kernel(world).routes if route.table == table and route.destination != ANYWHERE]
        assert [route.destination for route in on_link] == list(link.interface.prefixes)


def test_a_link_that_is_down_has_no_routes() -> None:
    world = registered()
    world.change("wifi", up=False, carrier=False, running=False)
    world.change("lte", routers=())
    tables = {route.table for route in kernel(world).routes}
    assert LINK_TABLES + 1 in tables
    assert not {LINK_TABLES + 2, LINK_TABLES + 3} & tables


def test_decapsulation_depends_on_no_link() -> None:
    world = registered()
    before = [route for route in kernel(world).routes if route.table == DECAPSULATION_TABLE]
    (route,) = before
    assert (route.destination, route.interface) == (IPv6Network((DELIVER, 128)), LOOPBACK)
    assert route.tunnel == Decapsulate(255)
    for name in world.links:
        world.change(name, up=False, carrier=False, running=False)
    assert before == [route for route in kernel(world).routes if route.table == DECAPSULATION_TABLE]


def test_the_outer_source_is_put_right_for_every_link() -> None:
    world = registered()
    table = kernel(world).table
    assert table is not None
    expected = {link.interface.index: link.address for link in world.links.values()}
    assert table.elements["source"] == expected


FLOWS = Policy(
    description="",
    links=AT_ONCE.links,
    flow=(
        FlowRule(name="call", port=(Span.only(5060),), via=("lte",)),
        FlowRule(name="copied", port=(Span.only(53),), copies=2, via=("wifi", "lte")),
    ),
)
"""Ethernet, Wi-Fi and LTE have slots 0, 1 and 2."""


def with_flows(links: dict[str, TestLink] | None = None) -> World:
    return World(links or three_links(), policy=FLOWS).start().run(10)


def chains(world: World) -> dict[str, tuple[str, ...]]:
    table = kernel(world).table
    assert table is not None
    return {name: chain.rules for name, chain in table.chains.items()}


@pytest.mark.req("FLOW-35")
def test_every_link_that_flows_may_take_has_routes_of_its_own() -> None:
    world = with_flows()
    for slot, link in enumerate(world.links.values()):
        tunnel, outer = default(world, TUNNEL_TABLES + slot), default(world, OUTER_TABLES + slot)
        assert (tunnel.interface, tunnel.tunnel) == (link.interface.index, Encapsulate(AGENT))
        assert (outer.interface, outer.gateway) == (link.interface.index, link.interface.routers[0])
        marked = [rule.table for rule in kernel(world).rules if rule.mark and rule.mark.value == slot_bit(slot)]
        assert marked == [OUTER_TABLES + slot, TUNNEL_TABLES + slot]
    without = kernel(registered())
    assert not any(rule.table in (OUTER_TABLES, TUNNEL_TABLES) for rule in without.rules)


@pytest.mark.req("FLOW-35", "FLOW-27")
def test_a_flow_gets_the_bits_of_its_links_and_moving_it_changes_one_rule() -> None:
    world = with_flows()
    before = chains(world)
    assert before["flow_0"][-1] == "counter name flow_0_3_up meta mark set meta mark & 0xffffff | 0x84000000"
    assert before["flow_1"][-1] == (
        "counter name flow_1_2_up counter name flow_1_3_up meta mark set meta mark & 0xffffff | 0x86000000"
    )
    rest = kernel(world)
    world.switch("wifi", subject=Subject.FLOW, flow="call")
    after = chains(world)
    assert [name for name, rules in after.items() if rules != before[name]] == ["flow_0"]
    assert (kernel(world).rules, kernel(world).routes) == (rest.rules, rest.routes)


def test_copies_find_the_router_and_the_device_of_their_link() -> None:
    table = kernel(with_flows()).table
    assert table is not None
    assert table.elements["copy_device"] == {slot_bit(0): 1, slot_bit(1): 2, slot_bit(2): 3}
    assert set(table.elements["copy_router"]) == {slot_bit(0), slot_bit(1), slot_bit(2)}


def test_no_map_is_there_that_no_rule_looks_up() -> None:
    """One that counts, and is forgotten, would say that there was nothing."""
    table = kernel(with_flows()).table
    assert table is not None
    used = {name for chain in table.chains.values() for rule in chain.rules for name in re.findall(r"@(\w+)", rule)}
    assert table.sets.keys() <= used


def test_a_link_without_router_takes_no_flows() -> None:
    world = with_flows()
    world.change("wifi", routers=())
    tables = {route.table for route in kernel(world).routes}
    assert TUNNEL_TABLES + 1 not in tables
    assert {TUNNEL_TABLES, TUNNEL_TABLES + 2} <= tables


def test_links_beyond_the_slots_carry_the_default_traffic_only() -> None:
    links = {f"l{number}": make_link(number, f"eth{number}", "ethernet") for number in range(1, SLOTS + 1)}
    links["lte"] = make_link(99, "wwan0", "lte")
    world = with_flows(links)
    assert 8 in world.bindings()
    assert chains(world)["flow_0"][-1] == "meta mark set meta mark & 0xffffff | 0x80000000"
    assert set(world.mn.slots.values()) == set(range(SLOTS))
    del world.links["l1"]
    world.look()
    assert world.mn.slots[8] == 0


def direct_policies(world: World) -> dict[tuple[Direction, int], XfrmPolicy]:
    found = {(one.id.direction, one.id.selector.protocol): one for one in kernel(world).policies}
    assert len(found) == len(kernel(world).policies)
    return found


@pytest.mark.req("PKT-01", "PKT-02", "MH-12")
def test_payload_to_a_correspondent_goes_directly_once_it_has_the_binding() -> None:
    world = DirectWorld(three_links())
    world.start().run(0.03)
    assert not kernel(world).policies | kernel(world).states
    world.run(5)
    policies, states = direct_policies(world), {state.protocol: state for state in kernel(world).states}
    assert policies.keys() == {(Direction.OUT, 0), (Direction.OUT, 135), (Direction.IN, 0)}
    assert {one.id.kind for one in policies.values()} == {Kind.SUB}
    payload, messages = policies[Direction.OUT, 0], policies[Direction.OUT, 135]
    assert (payload.id.selector.source, payload.id.selector.destination) == (host(HOME), host(CN))
    assert payload.templates[0].protocol is Protocol.HAO
    assert messages.priority < payload.priority
    assert messages.templates[0].optional, "which leaves them as they are"
    assert states[Protocol.HAO].care_of == world.links["ethernet"].address
    assert states[Protocol.ROUTE2].care_of == IPv6Address(0)
    table = kernel(world).table
    assert table is not None
    assert [*table.elements["direct"]] == [*table.elements["correspondent"]] == [CN]


@pytest.mark.req("PKT-02")
def test_a_switch_changes_the_care_of_address_in_place() -> None:
    world = DirectWorld(three_links())
    world.start().run(5)
    before = kernel(world)
    world.switch("wifi")
    steps = [one.object for one in difference(before, kernel(world)) if isinstance(one, Replace)]
    assert [(one.protocol, one.care_of) for one in steps if isinstance(one, XfrmState)] == [
        (Protocol.HAO, world.links["wifi"].address)
    ]
    assert kernel(world).policies == before.policies


@pytest.mark.req("PKT-12")
def test_what_the_correspondent_may_still_send_is_taken() -> None:
    world = DirectWorld(three_links(), walls={"wifi"})
    world.start().run(20)
    world.switch("wifi")
    assert direct_policies(world).keys() == {(Direction.IN, 0)}
    assert {state.protocol for state in kernel(world).states} == {Protocol.ROUTE2}
    table = kernel(world).table
    assert table is not None
    assert ([*table.elements["direct"]], [*table.elements["correspondent"]]) == ([], [CN])
    world.run(1)
    world.configure(mobile_node_settings())
    world.run(1)
    assert not kernel(world).policies | kernel(world).states


@pytest.mark.req("RR-20")
def test_who_wants_no_direct_way_has_no_rules_for_it() -> None:
    table = kernel(registered()).table
    assert table is not None
    assert not {"direct", "correspondent"} & table.sets.keys()
    assert not any("not_tunnelled" in rule for chain in table.chains.values() for rule in chain.rules)
