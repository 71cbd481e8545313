"""Payload with a Home Address option that no binding allows (RFC 6275 section 9.3.1).

Our packet filter looks for bindings, and changes the option where there is none (mip6.wire.extension). The kernel then
discards the packet, but shows it to this socket before.
"""

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address

from mip6.linux.raw_socket import raw_socket, receive_all
from mip6.wire.errors import DecodeError
from mip6.wire.extension import parse_unbound_home_address
from mip6.wire.registry import NextHeader


class UnboundSocket:
    """Says who sent such packets, and as whom."""

    def __init__(self) -> None:
        """Raises PermissionError without CAP_NET_RAW."""
        self._socket = raw_socket(NextHeader.DESTINATION_OPTIONS)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> Iterator[tuple[IPv6Address, IPv6Address]]:
        """Source and home address of all that wait. Never blocks."""
        for data, _ancillary, source in receive_all(self._socket):
            with suppress(DecodeError):
                yield IPv6Address(source), parse_unbound_home_address(data)
