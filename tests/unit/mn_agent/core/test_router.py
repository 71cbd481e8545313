"""What a mobile router wants in the kernel beside what a host does; what it does there is told in tests/kernel."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from home_agent.core.events import SettingsChanged
from mip6.kernel import DELIVER, FORWARD, MAIN_TABLE, Decapsulate, Kernel, host
from mip6.table import Counter
from mn_agent.core import events
from mn_agent.core.interfaces import Interface, InterfaceAddress
from mn_agent.core.kernel import OUTER_TABLE, TUNNEL_TABLE, TUNNEL_TABLES, wanted_kernel
from mn_agent.core.policy_file import FlowRule, Policy
from mn_agent.core.report import status
from mn_agent.core.router import NOWHERE_TABLE, SPOOFED, Inside, inside, network_counter, nftables
from mn_agent.core.status import Traffic
from tests.story.test_mobile_router import BUS, TRAIN, home_agent, settings, world
from tests.story.world import AT_ONCE, EPOCH_S, HOME, World, make_link, three_links

LAN = Interface(index=7, name="lan0", kind="ethernet", addresses=(InterfaceAddress(BUS[1]),))


def router(**more: object) -> World:
    story = world(**more)  # type: ignore[arg-type]
    story.links["lan"] = make_link(7, "lan0", "ethernet")
    story.links["lan"].interface = LAN
    return story.start().run(3)


def kernel(story: World) -> Kernel:
    return wanted_kernel(story.mn)


def ways(story: World, **what: object) -> list[tuple[int, int | None]]:
    """Table and suppressed prefix length of the rules that match, as the kernel looks at them."""
    found = [rule for rule in kernel(story).rules if all(getattr(rule, key) == value for key, value in what.items())]
    return [(rule.table, rule.suppress_prefix_length) for rule in sorted(found, key=lambda rule: rule.order)]


@pytest.mark.req("NEMO-09")
def test_what_comes_from_behind_goes_where_the_home_address_goes() -> None:
    story = router()
    for source in (BUS, TRAIN, host(HOME)):
        assert ways(story, source=source, mark=None, ip_protocol=None) == [(TUNNEL_TABLE, None)]


@pytest.mark.req("NEMO-09")
def test_what_is_tunnelled_behind_it_goes_into_its_tunnel_and_what_it_tunnels_does_not() -> None:
    rule = FlowRule(name="one host", local=(host(BUS[5]),), via=("lte",))
    story = router(policy=Policy(description="one", flow=(rule,), links=AT_ONCE.links))
    found = kernel(story).rules
    own = [rule.order for rule in found if rule.ip_protocol == 41 and rule.source in (host(HOME), host(BUS[1]))]
    inside = [rule for rule in found if rule.source in (BUS, TRAIN) and rule.mark is not None]
    outer = [rule.order for rule in found if rule.ip_protocol == 41 and rule.mark is not None]
    assert len(own) == 2
    assert {rule.table for rule in inside} == {
        TUNNEL_TABLE,
        *(TUNNEL_TABLES + slot for slot in story.mn.slots.values()),
    }
    assert max(own) < min(rule.order for rule in inside)
    assert max(rule.order for rule in inside) < min(outer)


def test_fragments_of_what_is_tunnelled_behind_it_are_put_together_unless_ipsec_protects_the_tunnel() -> None:
    table = kernel(router()).table
    assert table is not None
    assert {"reassemble", "keep_fragments"} <= table.chains.keys()
    known = settings()
    protected = nftables(known.home, known.router, (), protected=True)
    assert "for_mobile_network" in protected.chains
    assert not {"reassemble", "keep_fragments"} & protected.chains.keys()


def test_what_goes_there_never_leaves_by_the_default_route() -> None:
    story = router()
    assert ways(story, destination=BUS) == [(MAIN_TABLE, 0), (NOWHERE_TABLE, None)]
    (nowhere,) = [route for route in kernel(story).routes if route.table == NOWHERE_TABLE]
    assert nowhere.interface is None


@pytest.mark.req("NEMO-07")
def test_while_nobody_serves_the_prefixes_they_reach_nothing() -> None:
    story = router(home_agent=home_agent())
    assert not story.mn.registration.network.is_router
    first, *_ = ways(story, source=BUS)
    assert first == (NOWHERE_TABLE, None)
    before_marks = [rule.order for rule in kernel(story).rules if rule.source == BUS and rule.table == NOWHERE_TABLE]
    assert before_marks < [rule.order for rule in kernel(story).rules if rule.mark is not None]


def test_a_packet_at_the_end_of_its_hops_is_routed_without_the_tunnel() -> None:
    story = router()
    (expired,) = [rule for rule in kernel(story).rules if rule.mark is not None and rule.mark.value == 0x7F000000]
    assert (expired.table, expired.mark and expired.mark.mask) == (OUTER_TABLE, 0xFF000000)
    table = kernel(story).table
    assert table is not None
    assert "meta mark set meta mark & 0xffffff | 0x7f000000 return" in table.chains["from_mobile_network"].rules[0]


def test_tunnelled_packets_for_networks_behind_are_forwarded_and_those_for_us_delivered() -> None:
    story = router()
    routes = {route.destination: route.tunnel for route in kernel(story).routes}
    assert routes[host(FORWARD)] == Decapsulate(None)
    assert routes[host(DELIVER)] == Decapsulate(255)
    table = kernel(story).table
    assert table is not None
    assert table.elements["inside"] == frozenset((7,))
    assert table.elements["inside_own"] == frozenset((f"{int(BUS[1]):#x}",))
    assert {SPOOFED, network_counter(0, "up"), network_counter(1, "down")} <= table.counters


def test_a_new_interface_inwards_is_known_at_once() -> None:
    story = router()
    story.links["more"] = make_link(8, "lan1", "ethernet")
    story.mobile_node(events.InterfacesChanged(story._snapshot()))
    table = kernel(story).table
    assert table is not None
    assert table.elements["inside"] == frozenset((7, 8))


def test_which_interfaces_lead_inwards() -> None:
    other = Interface(index=8, name="br-lan", kind="ethernet", addresses=(InterfaceAddress(IPv6Address("fd00::1")),))
    known = replace(settings().router, interfaces=("lan*", "br-*"))
    uplink = make_link(1, "eth0", "ethernet").interface
    assert inside((LAN, other, uplink), known) == Inside(frozenset((7, 8)), frozenset((BUS[1],)))


def test_flows_are_told_before_the_route_is_chosen() -> None:
    rule = FlowRule(name="camera", local=(IPv6Network("2001:db8:f00:10::5/128"),), via=("lte",))
    story = router(policy=Policy(description="one", flow=(rule,), links=AT_ONCE.links))
    table = kernel(story).table
    assert table is not None
    assert table.chains["flow_0"].rules[1] == "meta iif != 0 meta iif != @inside return"
    assert any("2001:db8:f00:10::5" in rule for rule in table.chains["from_home"].rules)


def test_a_host_has_none_of_this() -> None:
    story = World(three_links()).start().run(3)
    table = kernel(story).table
    assert table is not None
    assert not {"inside", "hosts_up", "hops_left"} & table.sets.keys()
    assert not {"from_inside", "forwarded", "one_hop", "for_mobile_network"} & table.chains.keys()
    assert SPOOFED not in table.counters
    assert not any(route.table == NOWHERE_TABLE for route in kernel(story).routes)


def test_what_people_see_of_it() -> None:
    story = router()
    hosts = {"hosts_up": {BUS[5]: Counter(2, 200)}, "hosts_down": {BUS[6]: Counter(3, 300)}}
    counters = {network_counter(0, "up"): Counter(2, 200), SPOOFED: Counter(7, 700)}
    shown = status(
        story.mn, story.now, unix_time=EPOCH_S + story.now, version="1", pid=2, counters=counters, hosts=hosts
    )
    assert shown.router is not None
    assert (shown.router.mode, shown.router.interfaces, shown.router.problem) == ("explicit", ["lan0"], None)
    assert [(one.prefix, one.sent, one.received) for one in shown.router.networks] == [
        (str(BUS), Traffic(2, 200), None),
        (str(TRAIN), None, None),
    ]
    assert [(one.address, one.sent, one.received) for one in shown.router.hosts] == [
        (str(BUS[5]), Traffic(2, 200), None),
        (str(BUS[6]), None, Traffic(3, 300)),
    ]
    assert shown.counters[SPOOFED] == 7
    host = World(three_links()).start().run(3)
    assert status(host.mn, host.now, unix_time=host.now, version="1", pid=2, counters={}).router is None


@pytest.mark.req("NEMO-08")
def test_people_hear_how_it_is_served_and_why() -> None:
    story = router(home_agent=home_agent(BUS))
    refused = (
        "the home agent refused (explicit mode: not authorized for prefix (142)); it serves the prefixes that it has"
    )
    assert any(refused in notice for notice in story.notices)
    story.home_agent_hears(SettingsChanged(home_agent(BUS, TRAIN)))
    story.refresh()
    story.run(2)
    assert "asking to be served as a mobile router, in explicit mode" in story.notices
    alone = router(home_agent=home_agent())
    told = [notice for notice in alone.notices if "no home agent serves us as a mobile router" in notice]
    assert len(told) == 1
    assert "not authorized for prefix (142), implicit mode: forwarding setup failed (143)" in told[0]
