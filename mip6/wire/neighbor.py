"""Neighbor solicitations and advertisements, ICMPv6 135 and 136, and router solicitations, 133 (RFC 4861 section 4).

Whole packets are built and read, for the hop limit proves that a message has not left its link.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from mip6.wire import neighbor_options
from mip6.wire.checksum import with_checksum
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.registry import IcmpType, NeighborOptionType, NextHeader

ALL_NODES, ALL_ROUTERS = IPv6Address("ff02::1"), IPv6Address("ff02::2")
NOBODY = IPv6Address(0)
HOP_LIMIT = 255

_IPV6 = struct.Struct(">IHBB16s16s")
_MESSAGE = struct.Struct(">BBHI16s")
_ROUTER_SOLICITATION = bytes((IcmpType.ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0))
_VERSION_6 = 6 << 28
_ROUTER, _SOLICITED, _OVERRIDE = 0x80000000, 0x40000000, 0x20000000
_SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))


@dataclass(frozen=True, slots=True)
class NeighborSolicitation:
    """Who has `target`? From nobody it is about an address that somebody would like to take (RFC 4862 section 5.4)."""

    source: IPv6Address
    destination: IPv6Address
    target: IPv6Address


@dataclass(frozen=True, slots=True)
class NeighborAdvertisement:
    """`target` is at this hardware address; `override` what is known, `router`: it forwards packets."""

    source: IPv6Address
    destination: IPv6Address
    target: IPv6Address
    hardware_address: bytes
    router: bool
    solicited: bool
    override: bool


NeighborMessage: TypeAlias = NeighborSolicitation | NeighborAdvertisement


@dataclass(frozen=True, slots=True)
class RouterSolicitation:
    """Which routers are there?"""

    source: IPv6Address
    destination: IPv6Address = ALL_ROUTERS


def solicited_node(address: IPv6Address) -> IPv6Address:
    """The multicast group in which an address is asked for (RFC 4291 section 2.7.1)."""
    return IPv6Address(_SOLICITED_NODE | int(address) & 0xFFFFFF)


def build(message: NeighborMessage | RouterSolicitation) -> bytes:
    """The whole IPv6 packet."""
    if isinstance(message, RouterSolicitation):
        data = _ROUTER_SOLICITATION
    elif isinstance(message, NeighborSolicitation):
        data = _MESSAGE.pack(IcmpType.NEIGHBOR_SOLICITATION, 0, 0, 0, message.target.packed)
    else:
        flags = _ROUTER * message.router | _SOLICITED * message.solicited | _OVERRIDE * message.override
        data = _MESSAGE.pack(IcmpType.NEIGHBOR_ADVERTISEMENT, 0, 0, flags, message.target.packed)
        data += neighbor_options.join(NeighborOptionType.TARGET_LINK_LAYER_ADDRESS, message.hardware_address)
    source, destination = message.source, message.destination
    header = _IPV6.pack(_VERSION_6, len(data), NextHeader.ICMPV6, HOP_LIMIT, source.packed, destination.packed)
    return header + with_checksum(data, source, destination, NextHeader.ICMPV6)


def parse(data: bytes, source: IPv6Address, destination: IPv6Address, hop_limit: int) -> NeighborMessage:
    """A message from its type on, whose checksum has been verified. DecodeError for anything else, and for what may
    come from another link (sections 7.1.1 and 7.1.2).
    """
    if len(data) < _MESSAGE.size:
        raise DecodeError(DecodeReason.TRUNCATED)
    kind, code, _, flags, target_octets = _MESSAGE.unpack_from(data)
    target = IPv6Address(target_octets)
    if kind not in (IcmpType.NEIGHBOR_SOLICITATION, IcmpType.NEIGHBOR_ADVERTISEMENT):
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=kind)
    if hop_limit != HOP_LIMIT or code or target.is_multicast:
        raise DecodeError(DecodeReason.BAD_NEIGHBOR_MESSAGE)
    # Of two of a type the first counts
    options = dict(reversed([*neighbor_options.split(data[_MESSAGE.size :])]))
    if kind == IcmpType.NEIGHBOR_SOLICITATION:
        return NeighborSolicitation(source, destination, target)
    return NeighborAdvertisement(
        source,
        destination,
        target,
        hardware_address=options.get(NeighborOptionType.TARGET_LINK_LAYER_ADDRESS, b""),
        router=bool(flags & _ROUTER),
        solicited=bool(flags & _SOLICITED),
        override=bool(flags & _OVERRIDE),
    )
