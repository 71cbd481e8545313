"""The checksum of what travels over IPv6 (RFC 8200 section 8.1; RFC 6275 section 6.1.1).

It covers the addresses that the two end points know each other by. Where the packet has a Home Address option, pass the
home address in place of the source; where it has a type 2 routing header, pass the home address in place of the
destination (RFC 6275 sections 6.1.1, 9.3.2 and 11.3.1).
"""

from ipaddress import IPv6Address

from mip6.wire.registry import NextHeader

_CHECKSUM_AT = {NextHeader.MOBILITY: 4, NextHeader.ICMPV6: 2}


def _complement(source: IPv6Address, destination: IPv6Address, data: bytes, next_header: NextHeader) -> int:
    """The one's complement of the sum over pseudo-header and data; 0 if a checksum in them is right.

    A sum of 16-bit words with the carries added back in is the remainder of the whole number by 2**16 - 1.
    """
    pseudo_header = b"%b%b%b" % (source.packed, destination.packed, len(data).to_bytes(4, "big"))
    words = pseudo_header + bytes((0, 0, 0, next_header)) + data + bytes(len(data) % 2)
    return -int.from_bytes(words, "big") % 0xFFFF


def checksum(
    source: IPv6Address, destination: IPv6Address, data: bytes, next_header: NextHeader = NextHeader.MOBILITY
) -> int:
    """The checksum that a Mobility Header or ICMPv6 message should have, whatever its checksum field says now."""
    at = _CHECKSUM_AT[next_header]
    return _complement(source, destination, data[:at] + bytes(2) + data[at + 2 :], next_header)


def with_checksum(
    data: bytes, source: IPv6Address, destination: IPv6Address, next_header: NextHeader = NextHeader.MOBILITY
) -> bytes:
    """The message with its checksum filled in."""
    at = _CHECKSUM_AT[next_header]
    return data[:at] + checksum(source, destination, data, next_header).to_bytes(2, "big") + data[at + 2 :]


def checksum_ok(
    data: bytes, source: IPv6Address, destination: IPv6Address, next_header: NextHeader = NextHeader.MOBILITY
) -> bool:
    """Whether a received message has the right checksum."""
    return _complement(source, destination, data, next_header) == 0
