"""The kernel state that the mobile node wants."""

from ipaddress import IPv6Network

import pytest

from mip6.kernel import ANYWHERE, DELIVER, LOOPBACK, Address, Decapsulate, Encapsulate, Kernel, Route
from mn_agent.core.kernel import DECAPSULATION_TABLE, LINK_TABLES, OUTER_TABLE, TUNNEL_TABLE, wanted_kernel
from tests.story.world import AGENT, HOME, World, make_link, three_links


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
        assert any(rule.source == link.address and rule.table == table for rule in kernel(world).rules)
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
