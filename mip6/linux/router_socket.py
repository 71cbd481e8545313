"""What routers say of themselves, on all links."""

from collections.abc import Iterator
from contextlib import suppress

from mip6.linux.neighbor_socket import heard, listen_for
from mip6.linux.raw_socket import raw_socket
from mip6.wire.errors import DecodeError
from mip6.wire.registry import IcmpType, NextHeader
from mip6.wire.router import RouterAdvertisement, parse


class RouterSocket:
    """Hears router advertisements."""

    def __init__(self) -> None:
        """Raises OSError."""
        self._socket = raw_socket(NextHeader.ICMPV6)
        listen_for(self._socket, IcmpType.ROUTER_ADVERTISEMENT)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> Iterator[tuple[int, RouterAdvertisement]]:
        """All that waits and makes sense, with the index of the interface. Never blocks."""
        for data, source, _, interface, hop_limit in heard(self._socket):
            with suppress(DecodeError):
                yield interface, parse(data, source, hop_limit)
