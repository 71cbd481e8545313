"""What a home agent wants in the kernel for mobile nodes whose links are behind its own mobile routers."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from home_agent.core import agent
from home_agent.core.events import SettingsChanged
from home_agent.core.guests import CARE_OF
from home_agent.core.kernel import HOME_TABLE, wanted_kernel
from home_agent.core.settings import Ikev2, Node, NodeIkev2
from mip6.ipsec import protected_mtu
from mip6.kernel import TUNNEL_HEADER, Encapsulate, Route, host, tunnel_route_mtu
from mip6.table import Table
from tests.unit.home_agent.core.test_mobile_networks import BUS, ROUTING, TRAIN, bench, network, update
from tests.unit.home_agent.core.updates import ETHERNET, LAPTOP, OTHER_HOME, OWN, ROUTER, A, Bench, H, R, bid

INSIDE, MTU = BUS[0x99], 1500
CARE_OF_INSIDE, HOME_OF_GUEST = f"{int(INSIDE):#x}", f"{int(OTHER_HOME):#x}"


def with_guest(care_of: IPv6Address = INSIDE) -> Bench:
    """The configuration's first node is a router, and the other one comes to its network."""
    made = bench()
    update(made)
    assert made.update(bid(1, care_of), node=ROUTER, source=care_of, home_address=OTHER_HOME) is not None
    return made


def route(made: Bench) -> Route:
    """Of the guest's home address."""
    (found,) = (
        one
        for one in wanted_kernel(made.state).routes
        if one.destination == host(OTHER_HOME) and one.table == HOME_TABLE
    )
    return found


def table(made: Bench) -> Table:
    found = wanted_kernel(made.state).table
    assert found is not None
    return found


def with_nodes(made: Bench, *nodes: Node) -> None:
    known = replace(made.state.settings, node=nodes, ikev2=Ikev2(identity="ha.example.org"))
    made.state = replace(made.state, settings=known)


@pytest.mark.req("NEMO-18")
def test_what_it_gets_goes_into_both_tunnels_and_fits_both() -> None:
    found = route(with_guest())
    assert found.tunnel == Encapsulate(INSIDE)
    assert found.mtu == tunnel_route_mtu(MTU - TUNNEL_HEADER)
    elsewhere = route(with_guest(ETHERNET + 1))
    assert (elsewhere.tunnel, elsewhere.mtu) == (Encapsulate(ETHERNET + 1), tunnel_route_mtu(MTU))


@pytest.mark.req("PKT-19")
def test_where_ipsec_protects_the_tunnel_of_its_router_less_fits() -> None:
    made = with_guest()
    with_nodes(made, replace(ROUTING, ikev2=NodeIkev2()), ROUTER)
    assert route(made).mtu == tunnel_route_mtu(protected_mtu(MTU))


@pytest.mark.req("NEMO-18", "SC-10")
def test_it_may_send_with_its_own_addresses_from_its_care_of_address() -> None:
    made = with_guest()
    elements = table(made).elements
    assert elements[CARE_OF] == frozenset((CARE_OF_INSIDE,))
    assert elements["guest_128"] == frozenset((f"{CARE_OF_INSIDE} . {HOME_OF_GUEST}",))
    assert elements["guest_56"] == elements["guest_64"] == frozenset()
    with_nodes(made, ROUTING, replace(ROUTER, ikev2=NodeIkev2()))
    assert not table(made).elements["guest_128"], "IPsec protects all that it sends"


def test_who_is_no_guest_has_no_part_in_it() -> None:
    elements = table(with_guest(ETHERNET + 1)).elements
    assert not any(elements[name] for name in elements if name.startswith("guest_"))


@pytest.mark.req("NEMO-18")
def test_a_guest_may_have_a_network_behind_it() -> None:
    made = bench()
    known = replace(made.state.settings, node=(replace(LAPTOP, prefixes=(BUS,)), replace(ROUTER, prefixes=(TRAIN,))))
    made.state, _ = agent.step(made.state, SettingsChanged(known), made.now)
    update(made)
    told = made.update(
        bid(1, INSIDE), *network(TRAIN), node=ROUTER, source=INSIDE, home_address=OTHER_HOME, flags=A | H | R
    )
    assert told is not None
    assert table(made).elements["guest_56"] == frozenset((f"{CARE_OF_INSIDE} . 0x20010db80b0500",))


def test_nobody_is_behind_a_guest_and_nobody_behind_itself() -> None:
    """Or the kernel would put a packet into one tunnel after the other without end."""
    made = bench()
    update(made, source=INSIDE)
    for each in wanted_kernel(made.state).routes:
        if each.table == HOME_TABLE:
            assert (each.interface, each.tunnel) == (None, None), each


def test_both_outer_headers_are_looked_at_where_both_end() -> None:
    chains = table(with_guest()).chains
    assert f"@th,192,128 {int(OWN):#x} @th,48,8 41 goto from_guest" in chains["decapsulate"].rules
    assert chains["from_guest"].rules[-1] == "counter name spoofed_inner_source drop"
    assert not {"from_guest", "decapsulate_twice"} & table(bench(LAPTOP)).chains.keys()
