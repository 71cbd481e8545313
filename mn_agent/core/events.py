"""Everything that can happen to the agent."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address
from typing import TypeAlias

from mip6.ike_sas import IkeSa
from mip6.tunnels import Negotiated
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.neighbor import NeighborMessage
from mip6.wire.router import RouterAdvertisement
from mn_agent.core.devices import Devices
from mn_agent.core.dns import Answer, Failure, Question
from mn_agent.core.flows import Flows
from mn_agent.core.interfaces import Snapshot
from mn_agent.core.settings import Settings


@dataclass(frozen=True, slots=True)
class InterfacesChanged:
    """The interfaces are no longer what they were."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class RouterHeard:
    """A router on the link of this interface, by its index, tells of itself."""

    interface: int
    advertisement: RouterAdvertisement


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """NetworkManager no longer says what it said; nothing, when it is not there."""

    devices: Devices


@dataclass(frozen=True, slots=True)
class PacketReceived:
    """A mobility message arrived; its home address, if any, came in a type 2 routing header.

    A DecodeError stands for one whose extension headers were wrong.
    """

    packet: Packet | DecodeError


@dataclass(frozen=True, slots=True)
class AdvertisementReceived:
    """The home agent told of prefixes: as `PacketReceived`, but of ICMPv6."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class IcmpReceived:
    """An ICMPv6 error about a packet of ours arrived: from its type on."""

    data: bytes


@dataclass(frozen=True, slots=True)
class DnsAnswered:
    """The DNS has answered a question, or will not."""

    question: Question
    answer: Answer | Failure


@dataclass(frozen=True, slots=True)
class NeighborHeard:
    """Somebody on the home link asks for an address, or says that he has it."""

    message: NeighborMessage


@dataclass(frozen=True, slots=True)
class Tick:
    """The deadline has come."""


class Subject(Enum):
    """What somebody wants on a link."""

    ALL = "all"
    FLOW = "flow"
    IKE = "ike"


@dataclass(frozen=True, slots=True)
class SwitchRequested:
    """Somebody wants all traffic, a flow or IKEv2 on this link; None gives the choice back to the policy. `flow`: the
    name of the flow.
    """

    link: str | None
    subject: Subject = Subject.ALL
    flow: str = ""


@dataclass(frozen=True, slots=True)
class PolicyChosen:
    """Another policy, ready for use, or the same one read again. `by_people`: it is to be remembered."""

    flows: Flows
    by_people: bool = True


@dataclass(frozen=True, slots=True)
class EchoReceived:
    """The home agent answered a probe."""

    sequence: int


@dataclass(frozen=True, slots=True)
class TrafficCounted:
    """Links over which tunnelled packets arrived, and over which some left, since the last count."""

    arrived: frozenset[int]
    left: frozenset[int]


@dataclass(frozen=True, slots=True)
class CorrespondentsSeen:
    """With whom there is traffic, or was lately, of the networks where some are to be reached directly."""

    addresses: frozenset[IPv6Address]


@dataclass(frozen=True, slots=True)
class IkeLooked:
    """What IKE SAs charon has, whosever, and what states; None: it is not there."""

    sas: tuple[IkeSa, ...] | None
    negotiated: Negotiated = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IkeTried:
    """Charon has established the IKE SA that it was asked for, or has given up. `care_of`: where it was to begin."""

    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class Refused:
    """The operating system refused something, or, with no `why`, no longer does. `what`: what it is about."""

    what: str
    why: str | None


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The operator decided otherwise; home address, home agent and kind of protection are the same."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Resumed:
    """The machine has slept. `snapshot`: the interfaces since."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class RefreshRequested:
    """Somebody wants everything told to the home agent anew. `snapshot`: the interfaces as they are."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Deregister, then stop."""


Event: TypeAlias = (
    InterfacesChanged
    | RouterHeard
    | DevicesChanged
    | PacketReceived
    | AdvertisementReceived
    | IcmpReceived
    | DnsAnswered
    | NeighborHeard
    | Tick
    | SwitchRequested
    | PolicyChosen
    | EchoReceived
    | TrafficCounted
    | CorrespondentsSeen
    | IkeLooked
    | IkeTried
    | Refused
    | SettingsChanged
    | Resumed
    | RefreshRequested
    | StopRequested
)
