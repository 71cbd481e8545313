"""The kernel state that the home agent wants."""

from ipaddress import IPv6Network

import pytest

from home_agent.core import agent
from home_agent.core.events import UplinkChanged
from home_agent.core.kernel import COPIES, COPY_TABLE, HOME_TABLE, SLOT_TABLES, counter_name, wanted_kernel
from home_agent.core.report import status
from mip6.kernel import DELIVER, FORWARD, LOOPBACK, Decapsulate, Encapsulate, Route, host
from mip6.table import Counter, Table
from mip6.wire.flows import BindingReference
from mip6.wire.options import FlowIdentification, FlowSummary
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span
from tests.unit.home_agent.core.updates import ETHERNET, HOME, LTE, WIFI, Bench, bid


def tunnel(bench: Bench) -> Route | None:
    """The route into the tunnel to the mobile node."""
    host = IPv6Network((HOME, 128))
    return next((route for route in wanted_kernel(bench.state).routes if route.destination == host), None)


def table(bench: Bench) -> Table:
    wanted = wanted_kernel(bench.state).table
    assert wanted is not None
    return wanted


def elements(bench: Bench, name: str) -> set[str]:
    return {str(element) for element in table(bench).elements[name]}


SIP = Ipv6Selector(source_port=Span.only(5060))
WEB = Ipv6Selector(source_port=Span.only(443))


def flow(fid: int, selector: Ipv6Selector | Ipv4Selector, *bids: int) -> FlowIdentification:
    return FlowIdentification(fid, fid, suboptions=(selector, BindingReference(bids)))


def with_flows(*flows: FlowIdentification) -> Bench:
    """Three bindings, Ethernet the preferred."""
    bench = Bench()
    bench.update(bid(1, ETHERNET, priority=1), bid(2, WIFI, priority=2), bid(3, LTE, priority=3), *flows)
    return bench


def tables(bench: Bench) -> dict[int, Encapsulate | None]:
    """Where each table of slots sends packets for the home address."""
    return {
        route.table: route.tunnel
        for route in wanted_kernel(bench.state).routes
        if route.table >= SLOT_TABLES and isinstance(route.tunnel, Encapsulate)
    }


@pytest.mark.req("HA-16")
def test_traffic_goes_to_the_binding_with_the_lowest_priority_number() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET, priority=9))
    bench.update(bid(2, WIFI, priority=3), source=WIFI)
    bench.update(bid(3, LTE, priority=5), source=LTE)
    route = tunnel(bench)
    assert route is not None
    assert (route.table, route.interface, route.tunnel) == (HOME_TABLE, 9, Encapsulate(WIFI))


@pytest.mark.req("MCOA-60")
def test_without_priorities_to_the_care_of_address_heard_of_last() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    bench.update(bid(2, WIFI), source=WIFI)
    route = tunnel(bench)
    assert route is not None
    assert route.tunnel == Encapsulate(WIFI)
    bench.update(bid(1, ETHERNET))
    route = tunnel(bench)
    assert route is not None
    assert route.tunnel == Encapsulate(ETHERNET)


@pytest.mark.req("MCOA-60")
def test_a_binding_with_priority_comes_before_those_without() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET, priority=127))
    bench.update(bid(2, WIFI), source=WIFI)
    route = tunnel(bench)
    assert route is not None
    assert route.tunnel == Encapsulate(ETHERNET)


@pytest.mark.req("HA-17", "PKT-09")
def test_packets_are_taken_from_every_registered_care_of_address_and_no_other() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    bench.update(bid(2, WIFI), source=WIFI)
    assert elements(bench, "binding") == {f"{ETHERNET} . {int(HOME):#x}", f"{WIFI} . {int(HOME):#x}"}
    assert elements(bench, "care_of") == {str(ETHERNET), str(WIFI)}
    bench.update(bid(1), lifetime=0)
    assert elements(bench, "care_of") == {str(WIFI)}


def test_a_home_address_without_binding_is_unreachable() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    bench.update(lifetime=0)
    assert tunnel(bench) is None
    unreachable = [route for route in wanted_kernel(bench.state).routes if route.interface is None]
    assert [route.destination for route in unreachable] == [IPv6Network("2001:db8:f00::/48")]


def test_without_the_uplink_only_what_needs_none() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    bench.state, _ = agent.step(bench.state, UplinkChanged(None), bench.now)
    assert {route.interface for route in wanted_kernel(bench.state).routes} == {None, LOOPBACK}


def test_packets_for_the_home_agent_itself_are_delivered_and_others_forwarded() -> None:
    routes = {route.destination: route.tunnel for route in wanted_kernel(Bench().state).routes}
    assert routes[IPv6Network((DELIVER, 128))] == Decapsulate(255)
    assert routes[IPv6Network((FORWARD, 128))] == Decapsulate(None)


@pytest.mark.req("FLOW-27", "FLOW-26")
def test_a_flow_leads_into_the_table_of_its_binding() -> None:
    bench = with_flows(flow(1, SIP, 3), flow(2, WEB, 2))
    assert tables(bench) == {SLOT_TABLES + 1: Encapsulate(WIFI), SLOT_TABLES + 2: Encapsulate(LTE)}
    assert dict(table(bench).elements["node"]) == {HOME: "jump n0"}  # type: ignore[arg-type]
    assert "meta mark & 0xffffff | 0x4000000" in table(bench).chains["n0_f1"].rules[0]
    assert {counter_name(0, 1, 3), counter_name(0, 2, 2)} <= table(bench).counters
    assert tables(with_flows()) == {}


@pytest.mark.req("FLOW-26", "FLOW-27")
def test_the_order_of_flows_is_that_of_their_priorities_and_sleeping_ones_do_not_count() -> None:
    bench = with_flows(flow(1, SIP, 3), flow(2, SIP, 2))
    assert [rule.split()[-2:] for rule in table(bench).chains["n0"].rules] == [["goto", "n0_f1"], ["goto", "n0_f2"]]
    bench.update(bid(3), FlowSummary((1, 2)), lifetime=0)
    assert [rule.split()[-2:] for rule in table(bench).chains["n0"].rules] == [["goto", "n0_f2"]]
    assert "n0_f1" not in table(bench).chains


@pytest.mark.req("FLOW-27")
def test_a_flow_with_several_bindings_is_copied() -> None:
    bench = with_flows(flow(1, SIP, 3, 1))
    # Slots 0 and 2: the first takes the packet, a copy for the other goes to an address that stands for it
    assert "| 0x5000000" in table(bench).chains["n0_f1"].rules[0]
    copy = COPIES[2]
    assert table(bench).elements["copy_2"] == {HOME: copy}
    routes = {
        route.destination: route.tunnel for route in wanted_kernel(bench.state).routes if route.table == COPY_TABLE
    }
    assert routes[host(copy)] == Encapsulate(LTE)


def test_a_binding_that_comes_back_may_have_another_slot() -> None:
    bench = with_flows(flow(1, SIP, 3))
    bench.update(bid(1), FlowSummary((1,)), lifetime=0)
    bench.update(bid(9, ETHERNET, priority=9), FlowSummary((1,)))
    assert bench.entry is not None
    assert {binding.bid: binding.slot for binding in bench.entry.bindings.values()} == {9: 0, 2: 1, 3: 2}


def test_moving_a_flow_changes_one_rule() -> None:
    bench = with_flows(flow(1, SIP, 3), flow(2, WEB, 2), flow(3, Ipv6Selector(), 3))
    before = wanted_kernel(bench.state)
    bench.update(bid(1, ETHERNET, priority=1), flow(1, SIP, 2), FlowSummary((2, 3)))
    after = wanted_kernel(bench.state)
    assert (after.rules, after.routes) == (before.rules, before.routes)
    assert before.table is not None
    assert after.table is not None
    assert after.table.elements == before.table.elements
    changed = [name for name, chain in after.table.chains.items() if chain != before.table.chains[name]]
    assert changed == ["n0_f1"]


def test_flows_of_ipv4_packets_select_none_of_ipv6() -> None:
    assert elements(with_flows(flow(1, Ipv4Selector(), 3)), "node") == set()


def test_what_people_see_of_flows() -> None:
    bench = with_flows(flow(1, SIP, 3, 1), flow(2, WEB, 2))
    bench.update(bid(2), FlowSummary((1, 2)), lifetime=0)
    counters = {counter_name(0, 1, 3): Counter(5, 500), "tunnelled": Counter(1, 2)}
    shown = status(bench.state, bench.now, unix_time=bench.now, version="1", pid=2, counters=counters).nodes[0].flows
    assert [(one.fid, one.priority, one.packets, one.bids, one.active, one.sent) for one in shown] == [
        (1, 1, "from port 5060", [3, 1], True, {"3": [5, 500]}),
        (2, 2, "from port 443", [2], False, {}),
    ]
