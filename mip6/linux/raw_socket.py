"""Raw IPv6 sockets that never block, and what comes with a packet."""

import socket
import struct
from collections.abc import Iterator

from mip6.wire.registry import IcmpType

ICMPV6_FILTER = 1
_RECEIVE_OCTETS = 1 << 16


def raw_socket(protocol: int) -> socket.socket:
    """Raises PermissionError without CAP_NET_RAW."""
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    return socket.socket(socket.AF_INET6, kind, protocol)


def take_only(receiver: socket.socket, *types: IcmpType) -> None:
    """Of ICMPv6."""
    # Words of this machine's byte order, in which a bit that is set blocks a type
    blocked = [0xFFFFFFFF] * 8
    for number in types:
        blocked[number >> 5] ^= 1 << (number & 31)
    receiver.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, struct.pack("=8I", *blocked))


def receive_all(receiver: socket.socket) -> Iterator[tuple[bytes, dict[int, bytes], str]]:
    """All that waits: data, ancillary data by its kind, and the sender."""
    while True:
        try:
            data, ancillary, _flags, address = receiver.recvmsg(_RECEIVE_OCTETS, 4096)
        except BlockingIOError:
            return
        yield data, {kind: value for _level, kind, value in ancillary}, address[0]
