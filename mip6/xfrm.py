"""IPsec policies and states as values, in the kernel's words (XFRM; RFC 4301 calls them SPD entries and SAs). Pure.

`mip6.linux.xfrm` turns them into the kernel's messages. A policy says what must be done to which packets, a state how:
the kernel brings them together by the reqid of the policy's templates.
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from ipaddress import IPv6Address, IPv6Network
from typing import NamedTuple, Self

from mip6.mark import Mark
from mip6.wire.registry import IcmpType, MessageType, NextHeader

REQIDS = range(0x6D00_0000, 0x6E00_0000)
"""Tag on our policies: one that has no template with such a reqid is not ours to touch. (One that only lets packets
through has an optional template for which there is no state.)"""
STATIC_REQIDS = range(0x6D80_0000, 0x6E00_0000)
"""Tag on our own states. Those with the other reqids belong to the key management, which looks after them itself."""


class Protocol(IntEnum):
    """What a state does to a packet."""

    ROUTE2 = NextHeader.ROUTING
    """Gives it a type 2 routing header, or takes that off (RFC 6275 section 6.4)."""
    ESP = 50
    HAO = NextHeader.DESTINATION_OPTIONS
    """Gives it a Home Address option, or takes that off (RFC 6275 section 6.3)."""


class Mode(IntEnum):
    """Where the treatment is put in a packet."""

    TRANSPORT = 0
    TUNNEL = 1
    ROUTE_OPTIMIZATION = 2
    """Of the protocols ROUTE2 and HAO."""


class Direction(IntEnum):
    """Of packets, as this machine sees them."""

    IN = 0
    OUT = 1
    FORWARD = 2
    """Of what comes in for others: what leaves again also passes the policies of OUT."""


class Action(IntEnum):
    """What becomes of a packet."""

    ALLOW = 0
    BLOCK = 1


class Kind(IntEnum):
    """A packet needs one policy of each kind, and is treated by that of kind SUB first."""

    MAIN = 0
    SUB = 1


class StateFlag(IntFlag):
    """XFRM_STATE_*."""

    NONE = 0
    NO_ECN = 1
    DECAPSULATE_DSCP = 2
    NO_PMTU_DISCOVERY = 4
    ANY_SOURCE = 8
    """Of a state of mode ROUTE_OPTIMIZATION: whatever its source, an incoming packet fits (wildrecv)."""
    ICMP = 16
    ANY_FAMILY = 32
    ALIGN4 = 64
    ESN = 128
    """Extended sequence numbers (RFC 4303 section 2.2.1)."""


class Port(NamedTuple):
    """A port, or what stands in its place, and the bits of it that matter."""

    value: int = 0
    mask: int = 0xFFFF


ANY_PORT = Port(0, 0)
_ANYWHERE = IPv6Network("::/0")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which packets. `protocol` 0: any. `interface`: an index, 0 for any."""

    source: IPv6Network = _ANYWHERE
    destination: IPv6Network = _ANYWHERE
    protocol: int = 0
    source_port: Port = ANY_PORT
    destination_port: Port = ANY_PORT
    interface: int = 0

    @classmethod
    def mobility(cls, source: IPv6Network, destination: IPv6Network, type_: MessageType | None = None) -> Self:
        """Mobility messages, of one type or of all. The kernel has the type as source port; IKEv2 has it in the upper
        octet (RFC 4877 section 7.2.1). It sees no type in a packet that arrives: for IN and FORWARD leave it out.
        """
        port = ANY_PORT if type_ is None else Port(type_)
        return cls(source, destination, NextHeader.MOBILITY, port)

    @classmethod
    def icmp(cls, source: IPv6Network, destination: IPv6Network, type_: IcmpType) -> Self:
        """ICMPv6 messages of one type. The kernel has the type as source port, the code as destination port."""
        return cls(source, destination, NextHeader.ICMPV6, Port(type_))


class Endpoints(NamedTuple):
    """The outer addresses of a tunnel, in the direction of its packets."""

    source: IPv6Address
    destination: IPv6Address


_UNSPECIFIED = IPv6Address("::")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A treatment that a policy asks for: by any state that fits."""

    protocol: Protocol
    mode: Mode
    reqid: int
    source: IPv6Address = _UNSPECIFIED
    """Of the tunnel; in mode TRANSPORT the packet's own addresses count, and these are unspecified."""
    destination: IPv6Address = _UNSPECIFIED
    optional: bool = False
    """A packet passes without when there is no state (`level use`)."""

    def route_optimization(self, care_of: IPv6Address) -> "State":
        """The state that a template of mode ROUTE_OPTIMIZATION asks for, with this care-of address."""
        return State(
            protocol=self.protocol,
            mode=self.mode,
            source=self.source,
            destination=self.destination,
            reqid=self.reqid,
            care_of=care_of,
        )


@dataclass(frozen=True, slots=True)
class PolicyId:
    """What the kernel knows a policy by: no two have the same."""

    direction: Direction
    selector: Selector
    kind: Kind = Kind.MAIN
    mark: Mark | None = None
    if_id: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """What must have been done, or is to be done, to the packets that its ID selects. Of several policies that fit,
    the one with the lowest `priority` counts; of several templates, the last is outermost.
    """

    id: PolicyId
    templates: tuple[Template, ...] = ()
    priority: int = 0
    action: Action = Action.ALLOW

    def has_reqid(self, reqids: range) -> bool:
        """Whether a template has one of them."""
        return any(template.reqid in reqids for template in self.templates)


@dataclass(frozen=True, slots=True)
class CombinedMode:
    """An algorithm that encrypts and authenticates (RFC 4303 section 2). `name`: in the kernel's crypto API."""

    name: str
    key: bytes = field(repr=False)
    icv_bits: int
    """Length of the integrity check value."""


@dataclass(frozen=True, slots=True)
class SeparateAlgorithms:
    """An algorithm that encrypts and one that authenticates, by their names in the kernel's crypto API."""

    encryption: str
    encryption_key: bytes = field(repr=False)
    integrity: str
    integrity_key: bytes = field(repr=False)
    icv_bits: int
    """Length of the integrity check value, to which the algorithm's outcome is cut."""


Algorithms = CombinedMode | SeparateAlgorithms


def aes_gcm(key: bytes, icv_bits: int = 128) -> CombinedMode:
    """AES in Galois/Counter Mode (RFC 4106). The last four octets of `key` are the salt."""
    return CombinedMode("rfc4106(gcm(aes))", key, icv_bits)


def aes_cbc_sha256(encryption_key: bytes, integrity_key: bytes) -> SeparateAlgorithms:
    """AES in CBC mode (RFC 3602) with HMAC-SHA-256-128 (RFC 4868)."""
    return SeparateAlgorithms("cbc(aes)", encryption_key, "hmac(sha256)", integrity_key, 128)


@dataclass(frozen=True, slots=True)
class StateId:
    """What the kernel knows a state by: no two have the same. Those of mode ROUTE_OPTIMIZATION have no SPI but a
    source, the others no source here.
    """

    protocol: Protocol
    destination: IPv6Address
    spi: int = 0
    source: IPv6Address | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How packets are treated, with the keys for it, which no repr shows. It never expires."""

    protocol: Protocol
    mode: Mode
    source: IPv6Address
    destination: IPv6Address
    spi: int = 0
    """Security parameters index; 0 in mode ROUTE_OPTIMIZATION."""
    reqid: int = 0
    algorithms: Algorithms | None = None
    care_of: IPv6Address | None = None
    """What the routing header or the Home Address option puts where the home address was."""
    selector: Selector = Selector()
    """Which packets may use it."""
    replay_window: int = 0
    """Packets that may be late; 0: replays are not noticed."""
    flags: StateFlag = StateFlag.NONE
    mark: Mark | None = None
    """Which packets may use it."""
    output_mark: Mark | None = None
    """What a packet gets that was treated: it is routed by this."""
    if_id: int = 0

    @property
    def id(self) -> StateId:
        source = self.source if self.mode is Mode.ROUTE_OPTIMIZATION else None
        return StateId(self.protocol, self.destination, self.spi, source, self.mark)

    def has_reqid(self, reqids: range) -> bool:
        """Whether it has one of them."""
        return self.reqid in reqids

    @property
    def is_larval(self) -> bool:
        """It only stands for one that the kernel has asked the key management for."""
        return self.protocol is Protocol.ESP and not self.spi

    def may_become(self, wanted: "State") -> bool:
        """Whether the kernel can change the one to the other in place: only another care-of address is so easy."""
        return None not in (self.care_of, wanted.care_of) and replace(self, care_of=wanted.care_of) == wanted


@dataclass(frozen=True, slots=True)
class Usage:
    """What has gone through a state, as packets of its own direction."""

    octets: int
    packets: int
    added_at: int
    """Seconds since the Unix epoch, as is `used_at`."""
    used_at: int | None
    """Of the first packet."""
    sent_sequence: int
    """Number of the last packet sent; 0 for none. With ESN all 64 bits."""
    received_sequence: int
    """Highest number received, likewise."""
    replays: int
    """Packets dropped because one of their number had come before."""
    too_late: int
    """Packets dropped because their number was before the replay window."""
    integrity_failures: int


class Move(NamedTuple):
    """Templates and a state that get other endpoints."""

    old: Endpoints
    new: Endpoints
    reqid: int
    protocol: Protocol = Protocol.ESP
    mode: Mode = Mode.TUNNEL

    def concerns(self, template: Template) -> bool:
        """Whether the template is one of those."""
        return (self.protocol, self.mode, self.reqid, *self.old) == (
            template.protocol,
            template.mode,
            template.reqid,
            template.source,
            template.destination,
        )


@dataclass(frozen=True, slots=True)
class Migration:
    """A tunnel's endpoints change: in the policy that is named, and in a state for each move, which keeps its keys and
    sequence numbers (XFRM_MSG_MIGRATE). Each direction needs one of its own.

    Linux 6.1 takes the policy with this selector. A newer one takes the policy that a packet without a mark meets first
    which has the selector's addresses, protocol and ports. For both to find the same, the policy has no mark, and
    a lower priority number than all others that its packets might meet.
    """

    policy: PolicyId
    moves: tuple[Move, ...]
    ike: Endpoints | None = None
    """Where the IKE peers are from now on, in every direction ours as source: the key management hears of it
    (XFRMA_KMADDRESS; for RFC 4877 section 7.4)."""

    def may_change(self, policy: Policy) -> bool:
        """Whether the kernel may take this for the policy that is named."""
        id_ = policy.id
        return (id_.kind, id_.direction) == (self.policy.kind, self.policy.direction) and any(
            move.concerns(template) for move in self.moves for template in policy.templates
        )
