"""Everything that can happen to the home agent, and everything it wants done."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address
from typing import TypeAlias

from home_agent.core.home_link import HomeLink
from home_agent.core.settings import Settings
from home_agent.core.state import Uplink
from mip6.ike_sas import IkeSa
from mip6.reception import IcmpError
from mip6.tunnels import Negotiated
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.neighbor import NeighborMessage, RouterSolicitation
from mip6.wire.registry import RevocationTrigger
from mip6.wire.router import RouterAdvertisement


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """A mobility message arrived; its home address, if any, came in a Home Address option.

    A DecodeError stands for one whose extension headers were wrong.
    """

    packet: Packet | DecodeError


@dataclass(frozen=True, slots=True)
class IcmpReceived:
    """An ICMPv6 message arrived, from its type on: an error about a packet of ours, or a question about home agents."""

    data: bytes
    source: IPv6Address


@dataclass(frozen=True, slots=True)
class SolicitationReceived:
    """A question about prefixes arrived, as `PacketReceived` but of ICMPv6."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class UnboundReceived:
    """Payload arrived that claims this home address, from where the packet filter knew no binding of it."""

    source: IPv6Address
    home_address: IPv6Address


@dataclass(frozen=True, slots=True)
class UplinkChanged:
    """The home agent's address is now on this interface; None if it is on none."""

    uplink: Uplink | None


@dataclass(frozen=True, slots=True)
class HomeLinkChanged:
    """The interface towards the home link, and our addresses there; None: it is not there, or none is configured."""

    home_link: HomeLink | None


@dataclass(frozen=True, slots=True)
class NeighborHeard:
    """Somebody on the home link asks for an address, or says that he has it; or a router tells of itself."""

    message: NeighborMessage | RouterAdvertisement


@dataclass(frozen=True, slots=True)
class IkeLooked:
    """What IKE SAs charon has, and what states; None: it is not there."""

    sas: tuple[IkeSa, ...] | None
    negotiated: Negotiated = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RevocationRequested:
    """The operator ends bindings of the mobile node with this home address; no `bids`: all that it has."""

    home_address: IPv6Address
    bids: frozenset[int]
    trigger: RevocationTrigger


@dataclass(frozen=True, slots=True)
class SwitchRequested:
    """The operator wants the mobile node with this home address to go to another home agent: to one of these, or
    anywhere when there are none.
    """

    home_address: IPv6Address
    home_agents: tuple[IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The operating system refused something, or, with no `why`, no longer does."""

    what: str
    why: str | None


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The operator decided otherwise; the home agent's address is the same."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has come."""


Event: TypeAlias = (
    PacketReceived
    | IcmpReceived
    | SolicitationReceived
    | UnboundReceived
    | UplinkChanged
    | HomeLinkChanged
    | NeighborHeard
    | IkeLooked
    | RevocationRequested
    | SwitchRequested
    | Refused
    | SettingsChanged
    | Tick
)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a mobility message to a mobile node."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class SendAdvertisement:
    """Tell a mobile node of prefixes: as `Send`, but of ICMPv6."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class SendNeighbor:
    """Say something on the home link."""

    message: NeighborMessage | RouterSolicitation


@dataclass(frozen=True, slots=True)
class SendIcmp:
    """Send an ICMPv6 error."""

    error: IcmpError


class NoticeKind(Enum):
    """What the home agent tells people while it works: the catalogue of names."""

    BINDING = "binding"
    REVOKED = "revoked"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the log."""

    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class MoveIke:
    """The end of a mobile node's IKE SA is this care-of address from now on (RFC 4877 section 7.4)."""

    home_address: IPv6Address
    care_of: IPv6Address


Command: TypeAlias = Send | SendAdvertisement | SendNeighbor | SendIcmp | MoveIke | Tell
