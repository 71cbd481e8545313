"""What routers say of themselves, on all links."""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address

from mip6.linux.mobility_socket import IPV6_PKTINFO, IPV6_RECVPKTINFO
from mip6.linux.neighbor_socket import IPV6_HOPLIMIT, IPV6_RECVHOPLIMIT
from mip6.linux.raw_socket import raw_socket, receive_all, take_only
from mip6.wire.errors import DecodeError
from mip6.wire.registry import IcmpType, NextHeader
from mip6.wire.router import RouterAdvertisement, parse


class RouterSocket:
    """Hears router advertisements."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._socket = raw_socket(NextHeader.ICMPV6)
        take_only(self._socket, IcmpType.ROUTER_ADVERTISEMENT)
        for option in (IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT):
            self._socket.setsockopt(socket.IPPROTO_IPV6, option, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> Iterator[tuple[int, RouterAdvertisement]]:
        """All that waits and makes sense, with the index of the interface. Never blocks."""
        for data, found, sender in receive_all(self._socket):
            (interface,) = struct.unpack_from("=I", found[IPV6_PKTINFO], 16)
            (hop_limit,) = struct.unpack("=i", found[IPV6_HOPLIMIT])
            with suppress(DecodeError):
                yield interface, parse(data, IPv6Address(sender.partition("%")[0]), hop_limit)
