"""Mobility options (RFC 6275 section 6.2) and where they may stand.

Integers are in wire units. An option that is not known here is an `UnknownOption`; padding never becomes a value.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias

from mip6.wire.codec import Field, Layout, bits, ipv4, ipv6, octets, reserved, rest, u8, u16, u16s, u32, u64
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.flows import Suboption, decode_suboptions, encode_suboptions
from mip6.wire.registry import OptionType
from mip6.wire.tlv import padding, split


@dataclass(frozen=True, slots=True)
class BindingRefreshAdvice:
    """When the home agent would like the next Binding Update: `interval` in units of 4 s (RFC 6275 section 6.2.4)."""

    interval: int


@dataclass(frozen=True, slots=True)
class AlternateCareOfAddress:
    """The care-of address, if it is not the packet's source (RFC 6275 section 6.2.5)."""

    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class NonceIndices:
    """Which nonces of the correspondent made the keygen tokens (RFC 6275 section 6.2.6)."""

    home: int
    care_of: int


@dataclass(frozen=True, slots=True)
class BindingAuthorizationData:
    """Authenticator of 12 octets made with the binding management key (RFC 6275 section 6.2.7). Always the last."""

    authenticator: bytes


@dataclass(frozen=True, slots=True)
class MobileNetworkPrefix:
    """A prefix behind a mobile router; `prefix_length` in bits (RFC 3963 section 4.3)."""

    prefix_length: int
    prefix: IPv6Address


@dataclass(frozen=True, slots=True)
class LinkLayerAddress:
    """A link-layer address; `code` says whose, see LinkLayerAddressCode (RFC 5568 section 6.4.4)."""

    code: int
    address: bytes


@dataclass(frozen=True, slots=True)
class MobileNodeIdentifier:
    """Who the mobile node is; with `subtype` NAI, user@realm in UTF-8 (RFC 4283 section 3)."""

    subtype: int
    identifier: bytes


@dataclass(frozen=True, slots=True)
class MessageAuthentication:
    """Authenticator made with a shared key, which `spi` names (RFC 4285 section 5). The last, or before MN-AAA's."""

    subtype: int
    spi: int
    authenticator: bytes


@dataclass(frozen=True, slots=True)
class MessageReplayProtection:
    """When the message was sent: an NTP timestamp of 64 bits (RFC 4285 section 6)."""

    timestamp: int


@dataclass(frozen=True, slots=True)
class VendorSpecific:
    """`data` in a format of the vendor's own; `vendor` is its enterprise number (RFC 5094)."""

    vendor: int
    subtype: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Ipv4HomeAddress:
    """The IPv4 home address, 0.0.0.0 to ask for one; `prefix` asks for a whole prefix (RFC 5555 section 3.1.1)."""

    prefix_length: int
    prefix: bool
    home_address: IPv4Address


@dataclass(frozen=True, slots=True)
class Ipv4AddressAcknowledgement:
    """The home agent's answer to Ipv4HomeAddress; see Ipv4AddressStatus (RFC 5555 section 3.2.1)."""

    status: int
    prefix_length: int
    home_address: IPv4Address


@dataclass(frozen=True, slots=True)
class NatDetection:
    """Whether there is a NAT in between.

    `force_udp` tells to use UDP encapsulation; `refresh_time` is the keepalive interval in seconds, 0 for none
    suggested, all ones for no keepalive needed (RFC 5555 section 3.2.2).
    """

    force_udp: bool
    refresh_time: int


@dataclass(frozen=True, slots=True)
class Ipv4CareOfAddress:
    """The care-of address in an IPv4 network (RFC 5555 section 3.1.2)."""

    care_of: IPv4Address


@dataclass(frozen=True, slots=True)
class BindingIdentifier:
    """Which of several bindings is meant (RFC 5648 section 4.3).

    `bid` is 1 to 65535. `status` counts in acknowledgements only; 0 there refers to the message's own. `home` says that
    the binding is the home link. `priority` is 1 to 127, lower is better, 0 from a node without flow bindings (RFC 6089
    section 4.1). `care_of` stands in Binding Updates only.
    """

    bid: int
    status: int = 0
    home: bool = False
    priority: int = 0
    care_of: IPv4Address | IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class MalformedBindingIdentifier:
    """A Binding Identifier option of a length it cannot have.

    It is a value because it has an answer: it makes the whole Binding Update fail with status MCOA_MALFORMED (RFC 5648
    section 6.2).
    """

    data: bytes


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """Flows that stay as they are: their FIDs, at most 127 in one option (RFC 6089 section 4.2.2)."""

    fids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FlowIdentification:
    """A flow, which packets belong to it and which bindings they take (RFC 6089 section 4.2).

    `fid` is 1 to 65535. `priority` (FID-PRI) is 1 to 65535, lower comes first. `status` counts in acknowledgements
    only, see FlowStatus. The sub-options are in wire order, without padding.
    """

    fid: int
    priority: int
    status: int = 0
    suboptions: tuple[Suboption, ...] = ()


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option of a type not known here: skip it."""

    type: int
    data: bytes


Option: TypeAlias = (
    BindingRefreshAdvice
    | AlternateCareOfAddress
    | NonceIndices
    | BindingAuthorizationData
    | MobileNetworkPrefix
    | LinkLayerAddress
    | MobileNodeIdentifier
    | MessageAuthentication
    | MessageReplayProtection
    | VendorSpecific
    | Ipv4HomeAddress
    | Ipv4AddressAcknowledgement
    | NatDetection
    | Ipv4CareOfAddress
    | BindingIdentifier
    | MalformedBindingIdentifier
    | FlowSummary
    | FlowIdentification
    | UnknownOption
)


_CARE_OF: dict[int, Callable[[bytes], IPv4Address | IPv6Address | None]] = {
    0: lambda _: None,
    4: IPv4Address,
    16: IPv6Address,
}


def _encode_care_of(care_of: IPv4Address | IPv6Address | None) -> bytes:
    return b"" if care_of is None else care_of.packed


def _decode_care_of(data: bytes) -> IPv4Address | IPv6Address | None:
    address = _CARE_OF.get(len(data))
    if address is None:
        raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
    return address(data)


@dataclass(frozen=True, slots=True)
class _Format:
    """What an option looks like; `alignment` (x, y) is the RFCs' xn+y, from the start of the Mobility Header."""

    type: OptionType
    alignment: tuple[int, int]
    layout: Layout[Any]


def _format(kind: OptionType, alignment: tuple[int, int], value_type: type[Option], *fields: Field) -> _Format:
    return _Format(kind, alignment, Layout(value_type, *fields))


def _flow_identification(start: int) -> Layout[FlowIdentification]:
    """What the option looks like if it starts at octet `start` of the Mobility Header, give or take multiples of 8.

    Its sub-options are aligned from there as well, and they begin 8 octets later.
    """
    return Layout(
        FlowIdentification,
        u16("fid"),
        u16("priority"),
        reserved("B"),
        u8("status"),
        Field("", ("suboptions",), partial(encode_suboptions, start=start + 8), decode_suboptions),
    )


_ANYWHERE = (1, 0)
_EVEN = (2, 0)

_FLOW_IDENTIFICATION_AT = {start: _flow_identification(start) for start in range(0, 8, 2)}

_FORMATS = (
    _format(OptionType.BINDING_REFRESH_ADVICE, _EVEN, BindingRefreshAdvice, u16("interval")),
    _format(OptionType.ALTERNATE_CARE_OF_ADDRESS, (8, 6), AlternateCareOfAddress, ipv6("care_of")),
    _format(OptionType.NONCE_INDICES, _EVEN, NonceIndices, u16("home"), u16("care_of")),
    # Being the last it stands at 8n+2 all the same
    _format(OptionType.BINDING_AUTHORIZATION_DATA, _ANYWHERE, BindingAuthorizationData, octets("authenticator", 12)),
    _format(
        OptionType.MOBILE_NETWORK_PREFIX,
        (8, 4),
        MobileNetworkPrefix,
        reserved("B"),
        u8("prefix_length"),
        ipv6("prefix"),
    ),
    _format(OptionType.LINK_LAYER_ADDRESS, _ANYWHERE, LinkLayerAddress, u8("code"), rest("address")),
    _format(OptionType.MOBILE_NODE_IDENTIFIER, _ANYWHERE, MobileNodeIdentifier, u8("subtype"), rest("identifier")),
    _format(
        OptionType.MESSAGE_AUTHENTICATION,
        (4, 1),
        MessageAuthentication,
        u8("subtype"),
        u32("spi"),
        rest("authenticator"),
    ),
    _format(OptionType.MESSAGE_REPLAY_PROTECTION, (8, 2), MessageReplayProtection, u64("timestamp")),
    _format(OptionType.VENDOR_SPECIFIC, (4, 2), VendorSpecific, u32("vendor"), u8("subtype"), rest("data")),
    _format(
        OptionType.IPV4_HOME_ADDRESS,
        (4, 0),
        Ipv4HomeAddress,
        bits("H", prefix_length=6, prefix=1),
        ipv4("home_address"),
    ),
    _format(
        OptionType.IPV4_ADDRESS_ACKNOWLEDGEMENT,
        (4, 0),
        Ipv4AddressAcknowledgement,
        u8("status"),
        bits("B", prefix_length=6),
        ipv4("home_address"),
    ),
    _format(OptionType.NAT_DETECTION, (4, 0), NatDetection, bits("H", force_udp=1), u32("refresh_time")),
    _format(OptionType.IPV4_CARE_OF_ADDRESS, (4, 0), Ipv4CareOfAddress, reserved("H"), ipv4("care_of")),
    _format(
        OptionType.BINDING_IDENTIFIER,
        (8, 2),
        BindingIdentifier,
        u16("bid"),
        u8("status"),
        bits("B", home=1, priority=7),
        Field("", ("care_of",), _encode_care_of, _decode_care_of),
    ),
    _format(OptionType.FLOW_SUMMARY, _EVEN, FlowSummary, u16s("fids")),
    # Where it starts makes no difference to what is read
    _Format(OptionType.FLOW_IDENTIFICATION, _EVEN, _FLOW_IDENTIFICATION_AT[0]),
)
_LAYOUTS: dict[int, Layout[Any]] = {f.type: f.layout for f in _FORMATS}
_FORMAT_OF = {f.layout.value_type: f for f in _FORMATS}

_CLOSING = (BindingAuthorizationData, MessageAuthentication)


def _encode(option: Option, offset: int) -> tuple[bytes, tuple[int, int]]:
    """The octets of an option that starts at the first octet from `offset` on that its alignment allows; and that."""
    match option:
        case UnknownOption(kind, body):
            alignment = _ANYWHERE
        case MalformedBindingIdentifier(body):
            kind, alignment = OptionType.BINDING_IDENTIFIER, _ANYWHERE
        case FlowIdentification():
            kind, alignment = OptionType.FLOW_IDENTIFICATION, _EVEN
            body = _FLOW_IDENTIFICATION_AT[(offset + offset % 2) % 8].encode(option)
        case _:
            known = _FORMAT_OF[type(option)]
            kind, alignment, body = known.type, known.alignment, known.layout.encode(option)
            if isinstance(option, BindingIdentifier) and option.care_of is None:
                alignment = _EVEN  # RFC 5648 section 4.3: there is no address to put on a boundary
    return bytes((kind, len(body))) + body, alignment


def encode_options(options: Sequence[Option], start: int) -> bytes:
    """Options and their padding, as they follow the first `start` octets of a Mobility Header, which then ends on 8.

    Padding goes before authorization data that comes last, so that nothing follows it (RFC 6275 section 6.2.7; RFC 4285
    section 5.1). ValueError if a value does not fit its field or something follows binding authorization data.
    """
    out = bytearray()
    for index, option in enumerate(options, 1):
        data, (x, y) = _encode(option, start + len(out))
        if index == len(options) and isinstance(option, _CLOSING):
            x, y = 8, -len(data) % 8
        elif isinstance(option, BindingAuthorizationData):
            raise ValueError("binding authorization data must be the last option")
        out += padding(start + len(out), x, y) + data
    return bytes(out + padding(start + len(out), 8, 0))


def _decode(kind: int, data: bytes, start: int, end: int) -> Option:
    layout = _LAYOUTS.get(kind)
    if layout is None:
        return UnknownOption(kind, data[start:end])
    try:
        option: Option = layout.decode(data, start, end)
    except DecodeError:
        if kind == OptionType.BINDING_IDENTIFIER:
            return MalformedBindingIdentifier(data[start:end])
        raise
    return option


def decode_options(data: bytes) -> tuple[Option, ...]:
    """The options in `data`, wherever they stand (RFC 6275 section 6.2.1); DecodeError if a length is wrong."""
    return tuple([_decode(kind, data, start, end) for kind, start, end in split(data)])
