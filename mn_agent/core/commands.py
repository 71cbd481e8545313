"""Everything that the agent wants done beside its projections (kernel state, status, what to save, the deadline)."""

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from mip6.reception import IcmpError
from mip6.wire.extension import Packet
from mn_agent.core.notices import Notice


@dataclass(frozen=True, slots=True)
class Send:
    """Send a mobility message from the mobile node."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class SendIcmp:
    """Send an ICMPv6 error."""

    error: IcmpError


@dataclass(frozen=True, slots=True)
class ForgetNeighbour:
    """Drop what the kernel knows of a neighbour on an interface, and the packets that wait for it."""

    interface: int
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell whoever listens, and the log."""

    notice: Notice


Command: TypeAlias = Send | SendIcmp | ForgetNeighbour | Tell
