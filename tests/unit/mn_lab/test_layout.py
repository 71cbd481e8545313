"""Names and addresses of a lab."""

import pytest

from mn_lab.layout import (
    HOME_PREFIX,
    MOBILE_NETWORK,
    LayoutError,
    NoSuchThingError,
    command_line,
    host_address,
    host_hardware_address,
    plan,
)


def test_known_links_get_the_usual_interfaces() -> None:
    layout = plan()
    assert [(link.name, link.kind, link.interface) for link in layout.links] == [
        ("ethernet", "ethernet", "eth0"),
        ("wifi", "wifi", "wlan0"),
        ("lte", "lte", "wwan0"),
    ]
    assert layout.nodes == ("mn", "net", "ethernet", "wifi", "lte", "ha", "cn")
    assert layout.namespaces["ethernet"] == "m6-ethernet"


@pytest.mark.parametrize(
    ("name", "kind", "interface"),
    [("lte2", "lte", "wwan1"), ("wifi1", "wifi", "wlan0"), ("wifi0", "wifi", "wlan0"), ("usb", "ethernet", "usb")],
)
def test_other_links_get_an_interface_of_their_own(name: str, kind: str, interface: str) -> None:
    (link,) = plan([name]).links
    assert (link.kind, link.interface) == (kind, interface)


def test_every_link_has_addresses_of_its_own() -> None:
    links = plan([f"wifi{number}" for number in range(1, 100)]).links
    for distinct in (
        {link.prefix for link in links},
        {link.uplink for link in links},
        {link.hardware_address for link in links},
    ):
        assert len(distinct) == 99
    assert not any(link.prefix.overlaps(HOME_PREFIX) for link in links)
    assert all(link.router in link.prefix for link in links)


def test_a_mobile_router_has_a_network_behind_it() -> None:
    layout = plan(["wifi"], router=True)
    assert layout.nodes == ("mn", "net", "wifi", "ha", "cn", "lan", "host1", "host2")
    assert str(host_address("host2")) == "2001:db8:f00:1:6d:36ff:fe00:102"
    assert host_hardware_address("host2") == "02:6d:36:00:01:02"
    assert not MOBILE_NETWORK.overlaps(HOME_PREFIX)


@pytest.mark.parametrize(
    "name", ["", "mn", "lan", "host1", "net", "ha", "cn", "lo", "WiFi", "a b", "7up", "wifi-2", "averylonglink"]
)
def test_names_that_no_link_can_have(name: str) -> None:
    with pytest.raises(LayoutError, match=r"can't be a link"):
        plan([name])


@pytest.mark.parametrize("links", [["wifi", "wifi"], ["wifi", "wifi1"]])
def test_two_links_on_one_interface(links: list[str]) -> None:
    with pytest.raises(LayoutError, match="two links would be wlan0"):
        plan(links)


@pytest.mark.parametrize("count", [0, 100])
def test_a_lab_has_some_links_but_not_too_many(count: int) -> None:
    with pytest.raises(LayoutError, match=f"not {count}"):
        plan([f"wifi{number}" for number in range(1, count + 1)])


@pytest.mark.parametrize("prefix", ["", "lab-", "m6", "m6-x", "m6-A-", "m6-a-b-", "m6-/-"])
def test_namespaces_are_recognised_by_their_prefix(prefix: str) -> None:
    with pytest.raises(LayoutError, match="must look like"):
        plan(prefix=prefix)


def test_what_there_is_can_be_found_by_name() -> None:
    layout = plan(prefix="m6-test-")
    assert layout.link("wifi").interface == "wlan0"
    assert layout.namespace("wifi") == layout.namespace("m6-test-wifi") == "m6-test-wifi"
    with pytest.raises(NoSuchThingError, match="there are: ethernet, wifi, lte"):
        layout.link("mn")
    with pytest.raises(NoSuchThingError, match="there are: mn, net, "):
        layout.namespace("m6-wifi")


def test_what_to_type() -> None:
    assert command_line("m6-", "down") == "monami6 lab down"
    assert command_line("m6-x-", "up") == "monami6 lab --prefix m6-x- up"
