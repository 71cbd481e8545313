"""ICMPv6 errors and echoes (RFC 4443)."""

import struct
from ipaddress import IPv6Address

from mip6.wire.checksum import with_checksum
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.registry import IcmpType, NextHeader

# RFC 4443 section 2.4 (c): as much of the invoking packet as fits the minimum MTU, with an IPv6 header in front
_MAX_LENGTH = 1280 - 40
_HEADER = struct.Struct(">BBHI")
_ECHO = struct.Struct(">BBHHH")


def parameter_problem(
    code: int, pointer: int, invoking_packet: bytes, source: IPv6Address, destination: IPv6Address
) -> bytes:
    """A Parameter Problem; `pointer` is an octet of the invoking packet, from its IPv6 header on (section 3.4)."""
    return _error(IcmpType.PARAMETER_PROBLEM, code, pointer, invoking_packet, source, destination)


def parse_parameter_problem(icmp: bytes) -> tuple[int, bytes]:
    """Code and what there is of the invoking packet; DecodeError if it isn't a Parameter Problem."""
    if len(icmp) < _HEADER.size:
        raise DecodeError(DecodeReason.TRUNCATED)
    kind, code, _, _ = _HEADER.unpack_from(icmp)
    if kind != IcmpType.PARAMETER_PROBLEM:
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=kind)
    return code, icmp[_HEADER.size :]


def packet_too_big(mtu: int, invoking_packet: bytes, source: IPv6Address, destination: IPv6Address) -> bytes:
    """A Packet Too Big; `mtu` in octets (section 3.2)."""
    return _error(IcmpType.PACKET_TOO_BIG, 0, mtu, invoking_packet, source, destination)


def parse_packet_too_big(icmp: bytes) -> tuple[int, bytes]:
    """MTU and what there is of the invoking packet; DecodeError if it isn't a Packet Too Big. Any code will do."""
    if len(icmp) < _HEADER.size:
        raise DecodeError(DecodeReason.TRUNCATED)
    kind, _, _, mtu = _HEADER.unpack_from(icmp)
    if kind != IcmpType.PACKET_TOO_BIG:
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=kind)
    return mtu, icmp[_HEADER.size :]


def echo_request(identifier: int, sequence: int, data: bytes) -> bytes:
    """An Echo Request without its checksum, which the kernel fills in (section 4.1)."""
    return _ECHO.pack(IcmpType.ECHO_REQUEST, 0, 0, identifier, sequence) + data


def parse_echo_reply(icmp: bytes) -> tuple[int, int]:
    """Identifier and sequence number; DecodeError if it isn't an Echo Reply (section 4.2)."""
    if len(icmp) < _ECHO.size:
        raise DecodeError(DecodeReason.TRUNCATED)
    kind, _, _, identifier, sequence = _ECHO.unpack_from(icmp)
    if kind != IcmpType.ECHO_REPLY:
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=kind)
    return identifier, sequence


def _error(
    kind: IcmpType, code: int, argument: int, invoking_packet: bytes, source: IPv6Address, destination: IPv6Address
) -> bytes:
    data = _HEADER.pack(kind, code, 0, argument) + invoking_packet
    return with_checksum(data[:_MAX_LENGTH], source, destination, NextHeader.ICMPV6)
