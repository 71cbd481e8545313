"""Raw sockets for Mobility Headers and for ICMPv6.

The kernel would not deliver a packet with a Home Address option or a type 2 routing header; our nftables table
disguises both (mip6.wire.extension), and they arrive beside the message as ancillary data. Whole packets are sent, so
that we decide what is in them. Only where IPsec protects a message is it the kernel that puts these headers in and
takes them off (mip6.ipsec): then it gets the message between home address and home agent.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address

from mip6.linux.raw_socket import raw_socket, receive_all, take_only
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Carried, Packet, parse_home_address_option, parse_type2_routing_header
from mip6.wire.registry import IcmpType, NextHeader

IPV6_CHECKSUM, IPV6_HDRINCL = 7, 36
IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50
IPV6_JOIN_ANYCAST, IPV6_LEAVE_ANYCAST = 27, 28
IPV6_RECVRTHDR, IPV6_RTHDR = 56, 57
IPV6_RECVDSTOPTS, IPV6_DSTOPTS = 58, 59
ANCILLARY = IPV6_RECVPKTINFO, IPV6_RECVRTHDR, IPV6_RECVDSTOPTS
"""What a socket has to ask for, for `packet_from`."""
_PKTINFO = struct.Struct("=16sI")


class MobilitySocket:
    """Mobility messages in and out."""

    def __init__(self, *, from_mobile_nodes: bool) -> None:
        """`from_mobile_nodes`: messages with a Home Address option are expected, otherwise with a type 2 routing
        header. Raises PermissionError without CAP_NET_RAW.
        """
        self._from_mobile_nodes = from_mobile_nodes
        self._receiver = raw_socket(NextHeader.MOBILITY)
        # The sum may be over the home address, which the kernel knows nothing of: it must not check
        self._receiver.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, -1)
        for option in ANCILLARY:
            self._receiver.setsockopt(socket.IPPROTO_IPV6, option, 1)
        self._sender = raw_socket(NextHeader.MOBILITY)
        self._sender.setsockopt(socket.IPPROTO_IPV6, IPV6_HDRINCL, 1)
        self._protected_sender = raw_socket(NextHeader.MOBILITY)
        self._protected_sender.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, -1)
        for sender in (self._sender, self._protected_sender):
            # Nobody reads from it: let nothing wait there
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)

    def fileno(self) -> int:
        return self._receiver.fileno()

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()
        self._protected_sender.close()

    def send(self, packet: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """Send a whole IPv6 packet by the way that packets from `source` take. Raises OSError."""
        send(self._sender, packet, source, destination)

    def send_protected(self, data: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """Send a Mobility Header, with its checksum, between home address and home agent; the kernel does what its
        IPsec policies say. Raises OSError.
        """
        send(self._protected_sender, data, source, destination)

    def receive(self) -> Iterator[Packet | DecodeError]:
        """All that waits. A packet whose extension headers are wrong comes as a DecodeError. Never blocks."""
        for data, ancillary, source in receive_all(self._receiver):
            try:
                yield packet_from(data, ancillary, source, from_mobile_node=self._from_mobile_nodes)
            except DecodeError as error:
                yield error


class IcmpSocket:
    """ICMPv6 errors and echo requests out, the types asked for in."""

    def __init__(self, *types: IcmpType) -> None:
        """`types`: to receive. Raises PermissionError without CAP_NET_RAW."""
        self._socket = raw_socket(NextHeader.ICMPV6)
        self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        take_only(self._socket, *types)

        self._anycast: frozenset[bytes] = frozenset()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def join_anycast(self, addresses: frozenset[IPv6Address], interface: int | None) -> None:
        """Have this machine take what is sent to these on the link of this interface, or on any for None, and to none
        that it took before. Raises OSError.
        """
        wanted = frozenset(address.packed + struct.pack("=I", interface or 0) for address in addresses)
        for request in self._anycast - wanted:
            with suppress(OSError):  # it went with its interface
                self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_LEAVE_ANYCAST, request)
        self._anycast &= wanted
        for request in wanted - self._anycast:
            self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_JOIN_ANYCAST, request)
            self._anycast |= {request}

    def send(self, data: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """Send a message; the kernel fills in its checksum. Raises OSError."""
        send(self._socket, data, source, destination)

    def receive(self) -> Iterator[tuple[bytes, IPv6Address]]:
        """All that waits, each from its type on, and who sent it; their checksums are right. Never blocks."""
        for data, _ancillary, source in receive_all(self._socket):
            yield data, IPv6Address(source)


def packet_from(data: bytes, ancillary: dict[int, bytes], sender: str, *, from_mobile_node: bool) -> Packet:
    """What arrived, with the address in its Home Address option or type 2 routing header. Raises DecodeError."""
    source, destination = IPv6Address(sender), IPv6Address(ancillary[IPV6_PKTINFO][:16])
    if from_mobile_node:
        header = ancillary.get(IPV6_DSTOPTS)
        carried = parse_home_address_option(header) if header is not None else None
    else:
        header = ancillary.get(IPV6_RTHDR)
        carried = parse_type2_routing_header(header) if header is not None else None
    match carried:
        case None:
            return Packet(source, destination, None, data)
        case Carried(home_address, exchanged=False):
            return Packet(source, destination, home_address, data)
        case Carried(care_of, _) if from_mobile_node:
            return Packet(care_of, destination, source, data, protected=True)
        case Carried(care_of, _):
            return Packet(source, care_of, destination, data, protected=True)


def send(sender: socket.socket, data: bytes, source: IPv6Address, destination: IPv6Address) -> None:
    """From this source. Raises OSError."""
    information = (socket.IPPROTO_IPV6, IPV6_PKTINFO, _PKTINFO.pack(source.packed, 0))
    sender.sendmsg([data], [information], 0, (str(destination), 0))
