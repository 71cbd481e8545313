"""The kernel state that the home agent wants."""

from ipaddress import IPv6Network

import pytest

from home_agent.core import agent
from home_agent.core.events import UplinkChanged
from home_agent.core.kernel import HOME_TABLE, wanted_kernel
from mip6.kernel import DELIVER, FORWARD, LOOPBACK, Decapsulate, Encapsulate, Route
from tests.unit.home_agent.core.updates import ETHERNET, HOME, LTE, WIFI, Bench, bid


def tunnel(bench: Bench) -> Route | None:
    """The route into the tunnel to the mobile node."""
    host = IPv6Network((HOME, 128))
    return next((route for route in wanted_kernel(bench.state).routes if route.destination == host), None)


def elements(bench: Bench, name: str) -> set[str]:
    table = wanted_kernel(bench.state).table
    assert table is not None
    return {str(element) for element in table.elements[name]}


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
