"""Everything that can happen to the home agent, and everything it wants done."""

from dataclasses import dataclass
from typing import TypeAlias

from home_agent.core.state import Uplink
from mip6.reception import IcmpError
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """A mobility message arrived; its home address, if any, came in a Home Address option.

    A DecodeError stands for one whose extension headers were wrong.
    """

    packet: Packet | DecodeError


@dataclass(frozen=True, slots=True)
class IcmpReceived:
    """An ICMPv6 error about a packet of ours arrived: from its type on."""

    data: bytes


@dataclass(frozen=True, slots=True)
class UplinkChanged:
    """The home agent's address is now on this interface; None if it is on none."""

    uplink: Uplink | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The operating system refused something, or, with no `why`, no longer does."""

    what: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has come."""


Event: TypeAlias = PacketReceived | IcmpReceived | UplinkChanged | Refused | Tick


@dataclass(frozen=True, slots=True)
class Send:
    """Send a mobility message to a mobile node."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class SendIcmp:
    """Send an ICMPv6 error."""

    error: IcmpError


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the log."""

    name: str
    text: str


Command: TypeAlias = Send | SendIcmp | Tell
