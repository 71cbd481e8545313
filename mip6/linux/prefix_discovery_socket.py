"""Mobile prefix discovery: ICMPv6 between home address and home agent, which IPsec protects.

The kernel does what its policies say: it puts the Home Address option or the type 2 routing header in, and takes them
off (mip6.ipsec). They see these messages by a mark.
"""

import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address

from mip6.ipsec import PREFIX_DISCOVERY
from mip6.linux.mobility_socket import ANCILLARY, packet_from, send
from mip6.linux.raw_socket import raw_socket, receive_all, take_only
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.registry import IcmpType, NextHeader


class PrefixDiscoverySocket:
    """Solicitations in and advertisements out at the home agent, the other way round at the mobile node."""

    def __init__(self, *, from_mobile_nodes: bool) -> None:
        """`from_mobile_nodes`: solicitations are expected. Raises PermissionError without CAP_NET_RAW and
        CAP_NET_ADMIN.
        """
        self._from_mobile_nodes = from_mobile_nodes
        self._socket = raw_socket(NextHeader.ICMPV6)
        solicitation, advertisement = IcmpType.MOBILE_PREFIX_SOLICITATION, IcmpType.MOBILE_PREFIX_ADVERTISEMENT
        take_only(self._socket, solicitation if from_mobile_nodes else advertisement)
        for option in ANCILLARY:
            self._socket.setsockopt(socket.IPPROTO_IPV6, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, PREFIX_DISCOVERY.value)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes, source: IPv6Address, destination: IPv6Address) -> None:
        """Send a message between home address and home agent; the kernel fills in its checksum. Raises OSError."""
        send(self._socket, data, source, destination)

    def receive(self) -> Iterator[Packet]:
        """All that waits and makes sense. Never blocks."""
        for data, ancillary, source in receive_all(self._socket):
            with suppress(DecodeError):
                yield packet_from(data, ancillary, source, from_mobile_node=self._from_mobile_nodes)
