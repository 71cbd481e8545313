"""One interface that changes its network (RFC 6275 section 11.5)."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from mip6.wire.discovery import PrefixInformation
from mip6.wire.router import AdvertisementInterval, RouterAdvertisement, RouterOption
from mn_agent.core.events import RouterHeard
from mn_agent.core.interfaces import InterfaceAddress
from mn_agent.core.routers import MISSED
from tests.story.world import World, three_links

OLD, NEW = IPv6Address("fe80::1"), IPv6Address("fe80::2")
OLD_NETWORK, NEW_NETWORK = IPv6Network("2001:db8:2::/64"), IPv6Network("2001:db8:22::/64")
BEFORE, AFTER = OLD_NETWORK[0x64], NEW_NETWORK[0x64]
WIFI = 2


def hear(world: World, router: IPv6Address, network: IPv6Network, *options: RouterOption) -> None:
    prefix = PrefixInformation(64, True, True, False, 86400, 14400, network.network_address)
    told = (prefix, *options)
    world.mobile_node(RouterHeard(WIFI, RouterAdvertisement(router, False, False, False, 1800, told)))


def on_wifi() -> World:
    """Traffic goes over wifi, whose router was heard."""
    world = World(three_links()).start().run(2)
    hear(world, OLD, OLD_NETWORK)
    world.switch("wifi")
    return world.run(2)


def appears(world: World, *, tentative: bool = True) -> None:
    """Another router on the link, and an address from its prefix, which may have to be checked first."""
    hear(world, NEW, NEW_NETWORK)
    new = InterfaceAddress(AFTER, tentative=tentative)
    world.change("wifi", routers=(OLD, NEW), addresses=(InterfaceAddress(BEFORE), new))


@pytest.mark.req("MOV-01", "MOV-02")
def test_a_new_router_and_a_new_prefix_are_a_reason_to_ask_and_prove_nothing() -> None:
    world = on_wifi()
    stream = world.stream(10)
    appears(world, tentative=False)
    assert world.neighbours_asked == [(WIFI, OLD)]
    for _ in range(3):
        hear(world, NEW, NEW_NETWORK)
    assert len(world.neighbours_asked) == 1, "it is the same news"
    world.run(11)
    assert world.bindings()[WIFI] == BEFORE
    assert stream.lost == (0, 0)


@pytest.mark.req("MOV-01", "MOV-06", "MOV-08", "MOV-09")
def test_when_the_router_does_not_answer_the_address_goes_with_it() -> None:
    world = on_wifi()
    stream = world.stream(10)
    appears(world)
    world.run(1)
    world.change("wifi", unreachable=frozenset({OLD}))
    assert world.upward() != BEFORE
    assert world.mn.links[WIFI].problem == "its address is being checked for duplicates"
    world.run(1)
    assert WIFI not in world.bindings(), "the home agent is told, over another link"
    assert max(stream.lost) <= 10, "what was on its way: nothing waits for the check while another link is good"
    world.change("wifi", addresses=(InterfaceAddress(BEFORE), InterfaceAddress(AFTER)))
    world.run(1)
    assert world.bindings()[WIFI] == AFTER
    assert world.upward() == AFTER
    assert world.mn.links[WIFI].router == NEW


def test_without_an_address_of_the_new_network_there_is_none() -> None:
    world = on_wifi()
    hear(world, NEW, NEW_NETWORK)
    world.change("wifi", routers=(OLD, NEW), unreachable=frozenset({OLD}))
    assert world.mn.links[WIFI].care_of is None
    assert world.mn.links[WIFI].problem == "no address of its router's network yet"


def test_the_only_router_that_does_not_answer_is_still_the_best_there_is() -> None:
    world = on_wifi()
    world.change("wifi", unreachable=frozenset({OLD}))
    world.run(2)
    assert world.bindings()[WIFI] == BEFORE


@pytest.mark.req("MOV-04")
def test_a_router_that_was_not_heard_for_several_intervals_is_asked_once() -> None:
    world = on_wifi()
    hear(world, OLD, OLD_NETWORK, AdvertisementInterval(4000))
    world.run(MISSED * 4 - 1)
    assert world.neighbours_asked == []
    world.run(2)
    assert world.neighbours_asked == [(WIFI, OLD)]
    world.run(60)
    assert len(world.neighbours_asked) == 1
    hear(world, OLD, OLD_NETWORK, AdvertisementInterval(4000))
    world.run(MISSED * 4 + 1)
    assert len(world.neighbours_asked) == 2


@pytest.mark.req("MOV-05")
def test_after_a_carrier_loss_the_router_is_asked_whether_it_is_still_there() -> None:
    world = on_wifi()
    world.carrier("wifi", on=False)
    world.run(1)
    assert world.neighbours_asked == []
    world.carrier("wifi", on=True)
    assert world.neighbours_asked == [(WIFI, OLD)]
    world.run(1)
    assert world.bindings()[WIFI] == BEFORE


@pytest.mark.req("MOV-01")
def test_when_the_path_is_dead_the_router_is_asked() -> None:
    world = on_wifi()
    world.stream(5)
    world.links["wifi"].blackhole = True
    world.run(2)
    assert world.mn.is_dead(WIFI)
    assert world.neighbours_asked == [(WIFI, OLD)]


def test_another_network_behind_the_same_link_local_address() -> None:
    """As after a Wi-Fi card has lost one access point and found another: both routers are fe80::1."""
    world = on_wifi()
    world.carrier("wifi", on=False)
    world.run(1)
    interface = replace(world.links["wifi"].interface, addresses=(InterfaceAddress(BEFORE), InterfaceAddress(AFTER)))
    world.links["wifi"].interface = interface
    world.carrier("wifi", on=True)
    hear(world, OLD, NEW_NETWORK)
    world.run(1)
    assert world.bindings()[WIFI] == AFTER


def test_a_point_to_point_link_has_no_router_to_ask() -> None:
    links = three_links()
    links["lte"].interface = replace(links["lte"].interface, routers=(None,))
    world = World(links).start().run(2)
    world.carrier("lte", on=False)
    world.carrier("lte", on=True)
    world.run(2)
    assert world.neighbours_asked == []
    assert len(world.bindings()) == 3
