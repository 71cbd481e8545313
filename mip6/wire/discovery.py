"""Home agent address discovery and mobile prefix discovery: ICMPv6 144 to 147 (RFC 6275 sections 6.5 to 6.8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, TypeAlias

from mip6.wire import neighbor_options
from mip6.wire.checksum import with_checksum
from mip6.wire.codec import Field, Layout, bits, constant, ipv6, reserved, u8, u16, u32
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.registry import IcmpType, NeighborOptionType, NextHeader


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """A prefix and what it is good for; lifetimes in seconds, all ones for ever.

    The flags are those of RFC 4861 section 4.6.2 and RFC 6275 section 7.2 (`router_address`: the prefix field holds the
    router's whole address).
    """

    prefix_length: int
    on_link: bool
    autonomous: bool
    router_address: bool
    valid_lifetime: int
    preferred_lifetime: int
    prefix: IPv6Address


@dataclass(frozen=True, slots=True)
class UnknownNeighborOption:
    """A neighbor discovery option of a type not known here; `data` is what follows type and length, 8n+6 octets."""

    type: int
    data: bytes


NeighborOption: TypeAlias = PrefixInformation | UnknownNeighborOption


@dataclass(frozen=True, slots=True)
class HomeAgentAddressDiscoveryRequest:
    """Asks for home agents; `mobile_router` for those that serve mobile routers (RFC 3963 section 7.1)."""

    identifier: int
    mobile_router: bool


@dataclass(frozen=True, slots=True)
class HomeAgentAddressDiscoveryReply:
    """Home agents, the most preferred first; `mobile_router` if they serve mobile routers (RFC 3963 section 7.2)."""

    identifier: int
    mobile_router: bool
    home_agents: tuple[IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class MobilePrefixSolicitation:
    """Asks for the prefixes of the home link."""

    identifier: int


@dataclass(frozen=True, slots=True)
class MobilePrefixAdvertisement:
    """The prefixes of the home link; the flags are those of a router advertisement there."""

    identifier: int
    managed: bool
    other: bool
    options: tuple[NeighborOption, ...]


DiscoveryMessage: TypeAlias = (
    HomeAgentAddressDiscoveryRequest
    | HomeAgentAddressDiscoveryReply
    | MobilePrefixSolicitation
    | MobilePrefixAdvertisement
)

PREFIX_INFORMATION = Layout(
    PrefixInformation,
    u8("prefix_length"),
    bits("B", on_link=1, autonomous=1, router_address=1),
    u32("valid_lifetime"),
    u32("preferred_lifetime"),
    reserved("I"),
    ipv6("prefix"),
)


def _encode_addresses(addresses: Sequence[IPv6Address]) -> bytes:
    return b"".join(address.packed for address in addresses)


def _decode_addresses(data: bytes) -> tuple[IPv6Address, ...]:
    if len(data) % 16:
        raise DecodeError(DecodeReason.TRUNCATED)
    return tuple(IPv6Address(data[at : at + 16]) for at in range(0, len(data), 16))


def _encode_option(option: NeighborOption) -> bytes:
    if isinstance(option, UnknownNeighborOption):
        kind, body = option.type, option.data
    else:
        kind, body = NeighborOptionType.PREFIX_INFORMATION, PREFIX_INFORMATION.encode(option)
    return neighbor_options.join(kind, body)


def _encode_options(options: Sequence[NeighborOption]) -> bytes:
    return b"".join(map(_encode_option, options))


def _decode_options(data: bytes) -> tuple[NeighborOption, ...]:
    return tuple(
        PREFIX_INFORMATION.decode(body, 0, len(body))
        if kind == NeighborOptionType.PREFIX_INFORMATION
        else UnknownNeighborOption(kind, body)
        for kind, body in neighbor_options.split(data)
    )


# Options may follow, none is defined, and those that aren't known are ignored (RFC 6275 section 6.7)
_IGNORED = constant("", b"")

_LAYOUTS: dict[int, Layout[Any]] = {
    IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REQUEST: Layout(
        HomeAgentAddressDiscoveryRequest, u16("identifier"), bits("H", mobile_router=1), _IGNORED
    ),
    IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REPLY: Layout(
        HomeAgentAddressDiscoveryReply,
        u16("identifier"),
        bits("H", mobile_router=1),
        Field("", ("home_agents",), _encode_addresses, _decode_addresses),
    ),
    IcmpType.MOBILE_PREFIX_SOLICITATION: Layout(MobilePrefixSolicitation, u16("identifier"), reserved("H"), _IGNORED),
    IcmpType.MOBILE_PREFIX_ADVERTISEMENT: Layout(
        MobilePrefixAdvertisement,
        u16("identifier"),
        bits("H", managed=1, other=1),
        Field("", ("options",), _encode_options, _decode_options),
    ),
}
_TYPES: dict[type, int] = {layout.value_type: kind for kind, layout in _LAYOUTS.items()}
_BODY = 4
"""Octets of type, code and checksum."""


def encode(message: DiscoveryMessage, source: IPv6Address, destination: IPv6Address) -> bytes:
    """The ICMPv6 message with its checksum; for the addresses see checksum. ValueError if a value does not fit."""
    kind = _TYPES[type(message)]
    data = bytes((kind, 0, 0, 0)) + _LAYOUTS[kind].encode(message)
    return with_checksum(data, source, destination, NextHeader.ICMPV6)


def decode(data: bytes) -> DiscoveryMessage:
    """The message in ICMPv6 octets whose checksum has been verified; DecodeError for anything else."""
    if len(data) < _BODY:
        raise DecodeError(DecodeReason.TRUNCATED)
    layout = _LAYOUTS.get(data[0])
    if layout is None:
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=data[0])
    if len(data) < _BODY + layout.size:
        raise DecodeError(DecodeReason.TRUNCATED)
    message: DiscoveryMessage = layout.decode(data, _BODY, len(data))
    return message
