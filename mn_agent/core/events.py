"""Everything that can happen to the agent."""

from dataclasses import dataclass
from typing import TypeAlias

from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mn_agent.core.interfaces import Snapshot


@dataclass(frozen=True, slots=True)
class InterfacesChanged:
    """The interfaces are no longer what they were."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """A mobility message arrived; its home address, if any, came in a type 2 routing header.

    A DecodeError stands for one whose extension headers were wrong.
    """

    packet: Packet | DecodeError


@dataclass(frozen=True, slots=True)
class IcmpReceived:
    """An ICMPv6 error about a packet of ours arrived: from its type on."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has come."""


@dataclass(frozen=True, slots=True)
class SwitchRequested:
    """Somebody wants the traffic on this link; None gives the choice back to the configured order."""

    link: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The operating system refused something, or, with no `why`, no longer does. `what`: what it is about."""

    what: str
    why: str | None


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Deregister, then stop."""


Event: TypeAlias = InterfacesChanged | PacketReceived | IcmpReceived | Tick | SwitchRequested | Refused | StopRequested
