"""What NetworkManager's properties mean. The numbers are those of its manual (nm-dbus-types)."""

from typing import Any

import msgspec
import pytest

from mn_agent.core.devices import (
    AccessPointProperties,
    ConnectionProperties,
    Device,
    DeviceProperties,
    ManagerProperties,
    device,
)


def read(connection: dict[str, Any] | None = None, ap: dict[str, Any] | None = None, **properties: Any) -> Device:
    return device(
        msgspec.convert({"Interface": "eth0", **properties}, DeviceProperties),
        msgspec.convert(connection, ConnectionProperties) if connection is not None else None,
        msgspec.convert(ap, AccessPointProperties) if ap is not None else None,
    )


def test_what_nothing_is_known_of() -> None:
    assert read() == Device("eth0")
    assert Device("eth0").captive is None


def test_a_wifi_interface_with_all_that_is_known() -> None:
    found = read(
        {"Id": "Home", "State": 2, "Uuid": "3f"},
        {"Ssid": b"Caf\xc3\xa9", "Strength": 72, "Frequency": 5180},
        Interface="wlan0",
        IpInterface="wlan0",
        DeviceType=2,
        State=100,
        Metered=4,
        Ip4Connectivity=4,
        Ip6Connectivity=4,
        ActiveConnection="/org/freedesktop/NetworkManager/ActiveConnection/1",
    )
    assert found == Device("wlan0", "wifi", None, "full", False, "Home", "Café", 72)
    assert found.captive is False


@pytest.mark.parametrize(("number", "kind"), [(0, None), (1, "ethernet"), (2, "wifi"), (8, "lte"), (20, None)])
def test_kinds(number: int, kind: str | None) -> None:
    assert read(DeviceType=number).kind == kind


def test_a_modem_is_known_by_the_interface_that_has_the_addresses() -> None:
    assert read(Interface="cdc-wdm0", IpInterface="wwan0", DeviceType=8).interface == "wwan0"
    assert read(Interface="cdc-wdm0", IpInterface="", DeviceType=8).interface == "cdc-wdm0"


@pytest.mark.parametrize(("number", "metered"), [(0, None), (1, True), (2, False), (3, True), (4, None), (99, None)])
def test_metered(number: int, metered: bool | None) -> None:
    assert read(Metered=number).metered is metered


@pytest.mark.parametrize(
    ("ipv4", "ipv6", "connectivity", "captive"),
    [
        (0, 0, None, None),
        (1, 4, "full", False),
        (4, 0, "full", False),
        (4, 3, "limited", None),
        (2, 1, "portal", True),
        (4, 2, "portal", True),
        (2, 4, "portal", True),
        (0, 1, "none", None),
        (99, 99, None, None),
    ],
)
def test_connectivity(ipv4: int, ipv6: int, connectivity: str | None, captive: bool | None) -> None:
    found = read(Ip4Connectivity=ipv4, Ip6Connectivity=ipv6)
    assert (found.connectivity, found.captive) == (connectivity, captive)


@pytest.mark.parametrize(
    ("state", "connection_state", "leaving"), [(100, 2, False), (110, 2, True), (100, 3, True), (30, 4, False)]
)
def test_what_is_about_to_be_taken_down(state: int, connection_state: int, leaving: bool) -> None:
    assert read({"Id": "x", "State": connection_state}, State=state).leaving is leaving
    assert read(State=state).leaving is (state == 110), "the device alone tells too"


def test_names_hold_nothing_that_a_terminal_obeys() -> None:
    found = read({"Id": "\x1b[2J"}, {"Ssid": b"\xff\x1b]0;x\x07"})
    assert (found.connection, found.ssid) == ("\ufffd[2J", "\ufffd\ufffd]0;x\ufffd")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ManagerProperties, {"AllDevices": "/"}),
        (ManagerProperties, {"AllDevices": [1]}),
        (ManagerProperties, {"Startup": "no"}),
        (DeviceProperties, {"Interface": 5}),
        (DeviceProperties, {"State": "up"}),
        (DeviceProperties, {"ActiveConnection": ["/"]}),
        (ConnectionProperties, {"Id": {}}),
        (AccessPointProperties, {"Ssid": 7}),
        (AccessPointProperties, {"Strength": -0.5}),
        (AccessPointProperties, []),
    ],
)
def test_properties_of_another_type_are_one_error(kind: type, values: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, kind)
