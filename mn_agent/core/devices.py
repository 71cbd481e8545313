"""What NetworkManager says of the interfaces at one moment, and how to read it.

Its D-Bus objects are maps of properties; the structures here name those that matter, as its manual does. A property of
another type than the manual says is a msgspec.ValidationError, one that is missing is not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

_ACTIVATED, _DEACTIVATING = 100, 110
"""NMDeviceState."""
_CONNECTION_DEACTIVATING = 3
"""NMActiveConnectionState."""
_WIFI = 2
_KINDS = {1: "ethernet", _WIFI: "wifi", 8: "lte"}
"""NMDeviceType; what has no word here is left to what the kernel shows."""
_METERED = {1: True, 2: False, 3: True}
"""NMMetered. The last is a guess. So is 4, that it costs nothing: no better than ours."""
_CONNECTIVITY = {1: "none", 2: "portal", 3: "limited", 4: "full"}
"""NMConnectivityState."""
_PORTAL = 2

NO_OBJECT = "/"
"""The path where there is no object."""


@dataclass(frozen=True, slots=True)
class Device:
    """An interface as NetworkManager sees it; None is what it does not know."""

    interface: str
    kind: str | None = None
    metered: bool | None = None
    connectivity: str | None = None
    """How far one gets over it: full, limited, portal, none."""
    leaving: bool = False
    """Whether it is about to be taken down."""
    connection: str | None = None
    """Name of the connection that is active on it."""
    ssid: str | None = None
    signal_percent: int | None = None

    @property
    def captive(self) -> bool | None:
        """Whether a captive portal is in the way."""
        return {"portal": True, "full": False}.get(self.connectivity or "")


Devices: TypeAlias = Mapping[str, Device]
"""By name of the interface."""


class _Properties(msgspec.Struct, frozen=True, rename="pascal"):
    """Of a D-Bus object, of which it may have more."""


class ManagerProperties(_Properties, frozen=True):
    """Interface org.freedesktop.NetworkManager."""

    all_devices: list[str] = []
    startup: bool = False
    """It still finds out what there is."""


class DeviceProperties(_Properties, frozen=True):
    """Interface org.freedesktop.NetworkManager.Device."""

    interface: str = ""
    ip_interface: str = ""
    """Another one where the device is a modem; empty when there is none."""
    device_type: int = 0
    state: int = 0
    metered: int = 0
    ip4_connectivity: int = 0
    ip6_connectivity: int = 0
    active_connection: str = NO_OBJECT

    @property
    def name(self) -> str:
        """Of the interface that has the addresses."""
        return self.ip_interface or self.interface

    @property
    def is_wifi(self) -> bool:
        return self.device_type == _WIFI

    @property
    def is_activated(self) -> bool:
        return self.state == _ACTIVATED


class WirelessProperties(_Properties, frozen=True):
    """Interface org.freedesktop.NetworkManager.Device.Wireless."""

    active_access_point: str = NO_OBJECT


class ConnectionProperties(_Properties, frozen=True):
    """Interface org.freedesktop.NetworkManager.Connection.Active."""

    id: str = ""
    state: int = 0


class AccessPointProperties(_Properties, frozen=True):
    """Interface org.freedesktop.NetworkManager.AccessPoint."""

    ssid: bytes = b""
    strength: int = 0


def device(
    properties: DeviceProperties, connection: ConnectionProperties | None, access_point: AccessPointProperties | None
) -> Device:
    """What these say together."""
    leaving = connection is not None and connection.state == _CONNECTION_DEACTIVATING
    return Device(
        interface=properties.name,
        kind=_KINDS.get(properties.device_type),
        metered=_METERED.get(properties.metered),
        connectivity=_connectivity(properties),
        leaving=leaving or properties.state == _DEACTIVATING,
        connection=_printable(connection.id) if connection is not None and connection.id else None,
        ssid=_printable(access_point.ssid.decode(errors="replace")) if access_point is not None else None,
        signal_percent=access_point.strength if access_point is not None else None,
    )


def _connectivity(properties: DeviceProperties) -> str | None:
    """What stands in the way of IPv4 stands in ours; beyond that IPv6 is what matters."""
    found = properties.ip6_connectivity, properties.ip4_connectivity
    return _CONNECTIVITY.get(_PORTAL if _PORTAL in found else found[0] or found[1])


def _printable(text: str) -> str:
    """Whoever has an access point chooses its name, and terminals obey to some."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
