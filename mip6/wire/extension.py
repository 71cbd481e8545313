"""What carries a Mobility Header over IPv6: the Home Address option, the type 2 routing header, whole packets."""

from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import NamedTuple

from mip6.wire.checksum import with_checksum
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.registry import NextHeader
from mip6.wire.tlv import PADN, split

HOME_ADDRESS_OPTION = 0xC9
TYPE2_ROUTING = 2

# The kernel never hands out a packet with either of the two: it knows neither the option (and answers with a parameter
# problem) nor the routing header. So a packet filter rule disguises them before it looks: the option's type becomes one
# for experiments that may be skipped (RFC 4727 section 5), the routing type one for experiments (RFC 4727 section 4)
# with no segments left.
DISGUISED_HOME_ADDRESS_OPTION = 0x1E
DISGUISED_TYPE2_ROUTING = 253
# Before payload that nobody takes, it becomes one for experiments at which the kernel discards the packet and says
# nothing: there is our answer.
UNBOUND_HOME_ADDRESS_OPTION = 0x5E

_HOP_LIMIT = 64
_EXTENSION_LEN = 2
"""Header length of both headers, in units of 8 octets after the first 8."""

_HOME_ADDRESS_OPTIONS = (HOME_ADDRESS_OPTION, DISGUISED_HOME_ADDRESS_OPTION)
_EXCHANGED = bytes((TYPE2_ROUTING, 0))
_TYPE2_AND_SEGMENTS_LEFT = (bytes((TYPE2_ROUTING, 1)), bytes((DISGUISED_TYPE2_ROUTING, 0)), _EXCHANGED)


@dataclass(frozen=True, slots=True)
class Packet:
    """A Mobility Header on the wire.

    `source` and `destination` are those of the IPv6 header. `home_address` is the one in the Home Address option of a
    packet from the mobile node, or in the type 2 routing header of a packet to it; None if there is neither. `data` is
    the Mobility Header. `protected`: by IPsec, between home address and home agent.
    """

    source: IPv6Address
    destination: IPv6Address
    home_address: IPv6Address | None
    data: bytes
    protected: bool = False


class Carried(NamedTuple):
    """The address in a Home Address option or a type 2 routing header: the home address; or the care-of address, if the
    kernel has `exchanged` it with the one in the IPv6 header. It does so where it knows both headers, which is where
    IPsec protects the packet (RFC 3776 section 4.2); all others come disguised.
    """

    address: IPv6Address
    exchanged: bool


def is_routable(address: IPv6Address) -> bool:
    """Whether this can be a home or care-of address: unicast, global or unique local (RFC 6275 section 6.1.7)."""
    return not (
        address.is_multicast
        or address.is_link_local
        or address.is_loopback
        or address.is_unspecified
        or address.ipv4_mapped
    )


def home_address_option(home_address: IPv6Address, next_header: NextHeader) -> bytes:
    """A destination options header of 24 octets with nothing but the Home Address option (RFC 6275 section 6.3).

    It is to stand after any routing header and before fragment header, AH and ESP.
    """
    return bytes((next_header, _EXTENSION_LEN, PADN, 2, 0, 0, HOME_ADDRESS_OPTION, 16)) + home_address.packed


def type2_routing_header(home_address: IPv6Address, next_header: NextHeader) -> bytes:
    """A type 2 routing header of 24 octets with one segment left (RFC 6275 section 6.4.1), to stand after any other."""
    return bytes((next_header, _EXTENSION_LEN, TYPE2_ROUTING, 1, 0, 0, 0, 0)) + home_address.packed


def parse_home_address_option(header: bytes) -> Carried:
    """The address in a destination options header, disguised or not; DecodeError if there isn't exactly one.

    Options that say that they may be skipped are skipped (RFC 8200 section 4.2).
    """
    if len(header) < 8 or len(header) != 8 * (header[1] + 1):
        raise DecodeError(DecodeReason.TRUNCATED)
    found = []
    for kind, start, end in split(header[2:]):
        if kind in _HOME_ADDRESS_OPTIONS:
            address = _home_address(header[2 + start : 2 + end])
            found.append(Carried(address, exchanged=kind == HOME_ADDRESS_OPTION))
        elif kind & 0xC0:
            raise DecodeError(DecodeReason.BAD_OPTION)
    if not found:
        raise DecodeError(DecodeReason.NO_HOME_ADDRESS)
    if len(found) > 1:
        raise DecodeError(DecodeReason.DUPLICATE_HOME_ADDRESS)
    return found[0]


def parse_unbound_home_address(data: bytes) -> IPv6Address:
    """The address in a destination options header with a Home Address option that nobody takes, as our packet filter
    left it; `data` starts with that header. DecodeError for any other.
    """
    if data[6:8] != bytes((UNBOUND_HOME_ADDRESS_OPTION, 16)):
        raise DecodeError(DecodeReason.NO_HOME_ADDRESS)
    return _home_address(data[8:24])


def parse_type2_routing_header(header: bytes) -> Carried:
    """The address in a type 2 routing header, disguised or not; DecodeError for any other routing header."""
    if len(header) != 24 or header[1] != _EXTENSION_LEN or header[2:4] not in _TYPE2_AND_SEGMENTS_LEFT:
        raise DecodeError(DecodeReason.BAD_ROUTING_HEADER)
    return Carried(_home_address(header[8:]), exchanged=header[2:4] == _EXCHANGED)


def _home_address(data: bytes) -> IPv6Address:
    if len(data) != 16:
        raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
    address = IPv6Address(data)
    if not is_routable(address):
        raise DecodeError(DecodeReason.BAD_HOME_ADDRESS)
    return address


def build_from_mobile_node(packet: Packet) -> bytes:
    """The whole IPv6 packet, with a Home Address option if there is a home address, and with its checksum."""
    if packet.home_address is None:
        return _build_plain(packet)
    data = with_checksum(packet.data, packet.home_address, packet.destination)
    header = home_address_option(packet.home_address, NextHeader.MOBILITY)
    return _ipv6(packet, NextHeader.DESTINATION_OPTIONS, header + data)


def build_to_mobile_node(packet: Packet) -> bytes:
    """The whole IPv6 packet, with a type 2 routing header if there is a home address, and with its checksum."""
    if packet.home_address is None:
        return _build_plain(packet)
    data = with_checksum(packet.data, packet.source, packet.home_address)
    header = type2_routing_header(packet.home_address, NextHeader.MOBILITY)
    return _ipv6(packet, NextHeader.ROUTING, header + data)


def _build_plain(packet: Packet) -> bytes:
    return _ipv6(packet, NextHeader.MOBILITY, with_checksum(packet.data, packet.source, packet.destination))


def _ipv6(packet: Packet, next_header: NextHeader, payload: bytes) -> bytes:
    """An IPv6 header (RFC 8200 section 3) and what follows it."""
    header = bytes((0x60, 0, 0, 0)) + len(payload).to_bytes(2, "big") + bytes((next_header, _HOP_LIMIT))
    return header + packet.source.packed + packet.destination.packed + payload
