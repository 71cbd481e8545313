"""The MTU of the path that a protected tunnel takes (RFC 8201, RFC 4301 section 8.2). Pure.

A Packet Too Big about an ESP packet does not tell who sent the packet inside, so it cannot be passed on. Instead the
route into the tunnel gets a smaller MTU, and the kernel tells whoever sends too much from then on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from math import inf

from mip6.wire.errors import DecodeError
from mip6.wire.icmp import parse_packet_too_big
from mip6.xfrm import Protocol

FORGET_S = 600.0
"""When to try larger packets again (RFC 8201 section 4)."""

_HEADER, _NEXT_HEADER_AT, _SPI_OCTETS = 40, 6, 4
_MIN_MTU = 1280


@dataclass(frozen=True, slots=True)
class TooBig:
    """What a Packet Too Big says of an ESP packet."""

    source: IPv6Address
    destination: IPv6Address
    spi: int
    mtu: int


@dataclass(frozen=True, slots=True)
class PathMtu:
    """Of a path, and until when to believe it."""

    mtu: int
    until_at: float


PathMtus = Mapping[IPv6Address, PathMtu]
"""By care-of address."""


def read_too_big(icmp: bytes) -> TooBig | None:
    """None if it is no Packet Too Big about an ESP packet."""
    try:
        mtu, outer = parse_packet_too_big(icmp)
    except DecodeError:
        return None
    if len(outer) < _HEADER + _SPI_OCTETS or outer[0] >> 4 != 6 or outer[_NEXT_HEADER_AT] != Protocol.ESP:
        return None
    spi = int.from_bytes(outer[_HEADER : _HEADER + _SPI_OCTETS], "big")
    return TooBig(IPv6Address(outer[8:24]), IPv6Address(outer[24:40]), spi, max(mtu, _MIN_MTU))


def learn(known: PathMtus, care_of: IPv6Address, mtu: int, now: float) -> PathMtus:
    """The path from or to this care-of address has this MTU; a larger one than is known is no news."""
    old = known.get(care_of)
    if old is not None and old.mtu <= mtu:
        return known
    return {**known, care_of: PathMtu(mtu, now + FORGET_S)}


def expire(known: PathMtus, now: float) -> PathMtus:
    """Forget what is old."""
    return known if due_at(known) > now else {one: path for one, path in known.items() if path.until_at > now}


def due_at(known: PathMtus) -> float:
    """When to call `expire`; infinity for never."""
    return min((path.until_at for path in known.values()), default=inf)


def limit(known: PathMtus, care_of: IPv6Address | None, link_mtu: int) -> int:
    """What fits the link and, as far as is known, the path."""
    path = known.get(care_of) if care_of is not None else None
    return link_mtu if path is None else min(link_mtu, path.mtu)
