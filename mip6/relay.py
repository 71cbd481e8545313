"""A tunnelled packet was too big: tell who sent the packet inside (RFC 2473 section 7.1, RFC 6275 section 9.3.4).

The kernel encapsulates before it looks at the size, so the complaint, its own or a router's on the way, comes to the
tunnel's entry point, and only we can pass it on.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address

from mip6.reception import IcmpError
from mip6.wire.errors import DecodeError
from mip6.wire.icmp import packet_too_big, parse_packet_too_big

_HEADER = 40
_NEXT_HEADER_AT = 6
_IPV6_IN_IPV6 = 41
_MIN_MTU = 1280


@dataclass(frozen=True, slots=True)
class TooBig:
    """The two headers that an ICMPv6 Packet Too Big quotes, the packet inside the tunnel, and the MTU for that."""

    outer_source: IPv6Address
    outer_destination: IPv6Address
    inner_source: IPv6Address
    inner_destination: IPv6Address
    inner_packet: bytes
    mtu: int

    def relay(self, source: IPv6Address) -> IcmpError:
        """The Packet Too Big to send on, from `source`."""
        data = packet_too_big(self.mtu, self.inner_packet, source, self.inner_source)
        return IcmpError(source, self.inner_source, data)


def read_too_big(icmp: bytes) -> TooBig | None:
    """None if it is no Packet Too Big about an IPv6-in-IPv6 packet."""
    try:
        mtu, outer = parse_packet_too_big(icmp)
    except DecodeError:
        return None
    inner = outer[_HEADER:]
    if len(inner) < _HEADER or outer[0] >> 4 != 6 or outer[_NEXT_HEADER_AT] != _IPV6_IN_IPV6 or inner[0] >> 4 != 6:
        return None
    return TooBig(
        outer_source=IPv6Address(outer[8:24]),
        outer_destination=IPv6Address(outer[24:40]),
        inner_source=IPv6Address(inner[8:24]),
        inner_destination=IPv6Address(inner[24:40]),
        inner_packet=inner,
        mtu=max(mtu - _HEADER, _MIN_MTU),
    )
