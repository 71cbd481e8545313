"""Everything that the agent wants done beside its projections (kernel state, status, what to save, the deadline)."""

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from mip6.reception import IcmpError
from mip6.wire.extension import Packet
from mip6.wire.neighbor import NeighborMessage
from mn_agent.core.dns import Query
from mn_agent.core.notices import Notice
from mn_agent.core.probing import Probe


@dataclass(frozen=True, slots=True)
class Send:
    """Send a mobility message from the mobile node."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class SendSolicitation:
    """Ask the home agent about prefixes: as `Send`, but of ICMPv6."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class SendIcmp:
    """Send an ICMPv6 error."""

    error: IcmpError


@dataclass(frozen=True, slots=True)
class AskDns:
    """Ask the DNS, and say by DnsAnswered what came of it."""

    query: Query


@dataclass(frozen=True, slots=True)
class SendNeighbor:
    """Say something on the link of this interface."""

    interface: int
    message: NeighborMessage


@dataclass(frozen=True, slots=True)
class KnowNeighbour:
    """A neighbour on an interface has told where it is."""

    interface: int
    address: IPv6Address
    hardware_address: bytes


@dataclass(frozen=True, slots=True)
class ForgetNeighbour:
    """Drop what the kernel knows of a neighbour on an interface, and the packets that wait for it."""

    interface: int
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class AskNeighbour:
    """Have the kernel ask a neighbour on an interface whether it is still there; interfaces tell when it is not."""

    interface: int
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class SendProbe:
    """Send an echo request to the home agent."""

    probe: Probe


@dataclass(frozen=True, slots=True)
class CountTraffic:
    """Look which links have had traffic since the last time, and say so by TrafficCounted."""


@dataclass(frozen=True, slots=True)
class MoveIke:
    """The home agent has moved its end of the IKE SA: ours is now this care-of address (RFC 4877 section 7.4)."""

    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class EstablishIke:
    """Make an IKE SA from this care-of address; the one that is there, if any, ends. That is so at first, when it was
    lost, and when the home agent cannot move it (RFC 5648 section 9.1).
    """

    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class EstablishTunnel:
    """Negotiate the security associations of a tunnel, over the IKE SA that is there."""

    number: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell whoever listens, and the log."""

    notice: Notice


Command: TypeAlias = (
    Send
    | SendSolicitation
    | SendIcmp
    | AskDns
    | SendNeighbor
    | KnowNeighbour
    | ForgetNeighbour
    | AskNeighbour
    | SendProbe
    | CountTraffic
    | MoveIke
    | EstablishIke
    | EstablishTunnel
    | Tell
)
