"""Which care-of address a link offers, and under which identifier."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from mip6.ipsec import MOST_TUNNELS
from mip6.kernel import Device
from mn_agent.core.interfaces import Interface, InterfaceAddress
from mn_agent.core.links import Link, find_links
from mn_agent.core.settings import Home, LinkSettings, LinksSettings, Settings
from tests.story.world import AGENT, HOME, mobile_node_settings

ROUTER = IPv6Address("fe80::1")
GLOBAL = InterfaceAddress(IPv6Address("2001:db8:1::64"))
OTHER = InterfaceAddress(IPv6Address("2001:db8:1::65"))
LOCAL = InterfaceAddress(IPv6Address("fd00:1::64"))


def interface(*addresses: InterfaceAddress, **changes: object) -> Interface:
    found = Interface(index=2, name="eth0", addresses=addresses, routers=(ROUTER,))
    return replace(found, **changes)  # type: ignore[arg-type]


def only(found: Interface, settings: Settings | None = None, known: Link | None = None) -> Link:
    (link,) = find_links((found,), settings or mobile_node_settings(), {2: known} if known else {}, {})
    return link


def with_links(**changes: object) -> Settings:
    return replace(mobile_node_settings(), links=replace(LinksSettings(exclude=()), **changes))  # type: ignore[arg-type]


def test_a_global_address_with_a_router_is_a_care_of_address() -> None:
    link = only(interface(GLOBAL))
    assert (link.care_of, link.problem, link.router) == (GLOBAL.address, "", ROUTER)
    assert link.carries


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (interface(GLOBAL, up=False, carrier=False, running=False), "the interface is down"),
        (interface(GLOBAL, carrier=False, running=False), "no carrier"),
        (interface(GLOBAL, running=False), "not connected"),
        (interface(GLOBAL, routers=()), "no default router"),
        (interface(), "no global address"),
        (interface(replace(GLOBAL, tentative=True)), "its address is being checked for duplicates"),
        (interface(replace(GLOBAL, deprecated=True)), "its address is deprecated"),
        (
            interface(replace(GLOBAL, duplicate=True, tentative=True)),
            "somebody else has its address (duplicate address detection failed)",
        ),
        (interface(InterfaceAddress(IPv6Address("fe80::5"))), "no global address"),
    ],
)
def test_a_link_that_cannot_be_used_says_why(found: Interface, problem: str) -> None:
    link = only(found)
    assert (link.care_of, link.problem) == (None, problem)


def test_an_optimistic_address_is_used_before_it_is_checked() -> None:
    assert only(interface(replace(GLOBAL, tentative=True, optimistic=True))).care_of == GLOBAL.address


def test_the_home_address_is_no_care_of_address() -> None:
    assert only(interface(InterfaceAddress(HOME))).care_of is None


def test_stable_addresses_come_before_temporary_ones_unless_told_otherwise() -> None:
    found = interface(replace(GLOBAL, temporary=True), OTHER)
    assert only(found).care_of == OTHER.address
    assert only(found, with_links(temporary_addresses=True)).care_of == GLOBAL.address


def test_the_scope_of_the_home_agents_address_decides_first() -> None:
    assert only(interface(GLOBAL, LOCAL)).care_of == GLOBAL.address
    local = replace(mobile_node_settings(), home=Home(address=HOME, agent=IPv6Address("fd00:a::2")))
    assert only(interface(GLOBAL, LOCAL), local).care_of == LOCAL.address


def test_a_care_of_address_is_kept_while_it_is_as_good_as_another() -> None:
    before = only(interface(OTHER))
    assert only(interface(GLOBAL, OTHER), known=before).care_of == OTHER.address
    deprecated = replace(OTHER, deprecated=True)
    after = only(interface(GLOBAL, deprecated), known=before)
    assert after.care_of == GLOBAL.address
    assert after.addresses == {GLOBAL.address, OTHER.address}, "the old one can still send"


def test_excluded_interfaces_are_no_links() -> None:
    settings = with_links(exclude=("docker*", "eth0"))
    assert find_links((interface(GLOBAL), interface(GLOBAL, index=3, name="docker0")), settings, {}, {}) == []


def test_names_and_kinds_come_from_the_configuration_or_the_interface() -> None:
    named = replace(mobile_node_settings(), link=(LinkSettings(interface="eth*", name="dock", kind="lte"),))
    link = only(interface(GLOBAL), named)
    assert (link.name, link.kind) == ("dock", "lte")
    plain = only(interface(GLOBAL))
    assert (plain.name, plain.kind) == ("eth0", "ethernet")


@pytest.mark.req("MCOA-03", "MCOA-04")
def test_identifiers_are_unique_and_stay_with_the_interface() -> None:
    settings = mobile_node_settings()
    eth, wlan = interface(GLOBAL), interface(OTHER, index=3, name="wlan0")
    first = find_links((eth, wlan), settings, {}, {})
    assert [(link.interface, link.bid) for link in first] == [("eth0", 1), ("wlan0", 2)]
    known = {link.index: link for link in first}
    bids = {"eth0": 1, "wlan0": 2}
    renamed = find_links((replace(eth, name="dock0"), wlan), settings, known, bids)
    assert [(link.interface, link.bid) for link in renamed] == [("dock0", 1), ("wlan0", 2)]
    # Gone, and back under another index: by its name
    returned = find_links((replace(eth, index=9), wlan), settings, {3: known[3]}, bids)
    assert [(link.interface, link.bid) for link in returned] == [("eth0", 1), ("wlan0", 2)]
    # A new interface takes the name of one that was renamed and is still there
    both = find_links((replace(eth, name="dock0"), replace(eth, index=9), wlan), settings, known, bids)
    assert sorted((link.interface, link.bid) for link in both) == [("dock0", 1), ("eth0", 3), ("wlan0", 2)]


def test_after_many_names_a_new_one_gets_an_identifier_that_nobody_here_has() -> None:
    """A home agent has tunnels for so many only."""
    bids = {f"usb{number}": number for number in range(1, MOST_TUNNELS + 1)}
    here = [interface(index=10 + number, name=f"usb{number}") for number in (1, 2)]
    links = find_links((*here, interface(index=9, name="new")), mobile_node_settings(), {}, bids)
    assert {link.interface: link.bid for link in links} == {"usb1": 1, "usb2": 2, "new": 3}


def test_our_own_devices_are_no_links() -> None:
    assert find_links((interface(GLOBAL, name=Device(1).name),), with_links(), {}, {}) == []


def test_a_point_to_point_link_needs_no_next_hop() -> None:
    link = only(interface(GLOBAL, routers=(None,)))
    assert (link.care_of, link.router, link.has_router) == (GLOBAL.address, None, True)
    assert AGENT not in link.addresses
