"""Neighbor discovery on one link: about addresses that are not this machine's own, and what routers say there."""

import socket
import struct
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import suppress
from ipaddress import IPv6Address

from mip6.linux.mobility_socket import IPV6_HDRINCL, IPV6_PKTINFO, IPV6_RECVPKTINFO
from mip6.linux.raw_socket import raw_socket, receive_all, take_only
from mip6.wire import router
from mip6.wire.errors import DecodeError
from mip6.wire.neighbor import NeighborMessage, RouterSolicitation, build, parse
from mip6.wire.registry import IcmpType, NextHeader
from mip6.wire.router import RouterAdvertisement

_IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 51, 52
_PACKET_INFO, _HOP_LIMIT = struct.Struct("=16sI"), struct.Struct("=i")


class NeighborSocket:
    """Hears what is sent to the groups that were joined, and to all nodes; says what it is told to, word for word."""

    def __init__(self, interface: int) -> None:
        """`interface`: index. Raises OSError."""
        self.interface = interface
        self._receiver, self._sender = (_socket_on(interface) for _ in range(2))
        neighbors = IcmpType.NEIGHBOR_SOLICITATION, IcmpType.NEIGHBOR_ADVERTISEMENT
        listen_for(self._receiver, IcmpType.ROUTER_ADVERTISEMENT, *neighbors)
        self._sender.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
        # What we ask ourselves must not look like somebody else's question
        self._sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        self._groups: frozenset[IPv6Address] = frozenset()

    def fileno(self) -> int:
        return self._receiver.fileno()

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()

    def join(self, groups: AbstractSet[IPv6Address]) -> None:
        """Hear these groups, and none that was joined before. Raises OSError."""
        for option, changed in (
            (socket.IPV6_LEAVE_GROUP, self._groups - groups),
            (socket.IPV6_JOIN_GROUP, groups - self._groups),
        ):
            for group in changed:
                request = group.packed + struct.pack("=I", self.interface)
                self._receiver.setsockopt(socket.IPPROTO_IPV6, option, request)
        self._groups = frozenset(groups)

    def send(self, message: NeighborMessage | RouterSolicitation) -> None:
        """Raises OSError."""
        self._sender.sendto(build(message), (str(message.destination), 0, 0, self.interface))

    def receive(self) -> Iterator[NeighborMessage | RouterAdvertisement]:
        """All that waits and makes sense. Never blocks."""
        for data, source, destination, _, hop_limit in heard(self._receiver):
            with suppress(DecodeError):
                if data[0] == IcmpType.ROUTER_ADVERTISEMENT:
                    yield router.parse(data, source, hop_limit)
                else:
                    yield parse(data, source, destination, hop_limit)


def listen_for(receiver: socket.socket, *types: IcmpType) -> None:
    """Take these messages of neighbor discovery, with all that `heard` tells."""
    take_only(receiver, *types)
    for option in (IPV6_RECVPKTINFO, _IPV6_RECVHOPLIMIT):
        receiver.setsockopt(socket.IPPROTO_IPV6, option, 1)


def heard(receiver: socket.socket) -> Iterator[tuple[bytes, IPv6Address, IPv6Address, int, int]]:
    """All that waits: data, source, destination, index of the interface, hop limit."""
    for data, found, sender in receive_all(receiver):
        destination, interface = _PACKET_INFO.unpack(found[IPV6_PKTINFO])
        (hop_limit,) = _HOP_LIMIT.unpack(found[_IPV6_HOPLIMIT])
        yield data, IPv6Address(sender.partition("%")[0]), IPv6Address(destination), interface, hop_limit


def _socket_on(interface: int) -> socket.socket:
    raw = raw_socket(NextHeader.ICMPV6)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, socket.if_indextoname(interface).encode() + b"\0")
    return raw
