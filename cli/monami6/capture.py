"""IPv6 packets from an interface or from a capture file: all that scapy does here.

It knows link layers and file formats; what is in a mobility message is for mip6.wire, which knows the options that
scapy does not.
"""

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from monami6.exits import NO_SUCH_THING, Failure

logging.getLogger("scapy").setLevel(logging.ERROR)  # it would comment on this machine's routes

try:
    import scapy.layers.inet6
    import scapy.layers.l2
    from scapy.arch.common import compile_filter
    from scapy.error import Scapy_Exception
    from scapy.packet import Packet
    from scapy.sendrecv import sniff
    from scapy.utils import PcapReader
except ImportError as error:
    raise Failure(f"{error}: trace needs scapy; install it with: pip install 'monami6[inspect]'") from None

Handle: TypeAlias = Callable[[float, str | None, bytes], None]
"""Takes the Unix time, the interface if it is known, and an IPv6 packet."""

FILTER = "ip6[6] = 135 or ip6[6] = 60 or ip6[6] = 43 or ip6[6] = 0"
"""A Mobility Header, or an extension header that may stand before one."""


def watch(interface: str | None, handle: Handle, started: Callable[[], None]) -> None:
    """What passes on an interface, or on all of them, until Ctrl-C. Raises Failure."""
    known = [name for _, name in socket.if_nameindex()]
    if interface is not None and interface not in known:
        raise Failure(f"there is no interface {interface}; there are: {', '.join(known)}", NO_SUCH_THING)
    try:
        sniff(
            iface=interface or known,
            filter=_kernel_filter(),
            prn=lambda packet: _pass(packet, handle),
            store=False,
            started_callback=started,
        )
    except PermissionError:
        raise Failure("capturing needs the privilege CAP_NET_RAW: run it as root") from None


def read(path: Path, handle: Handle) -> None:
    """What a pcap or pcapng file holds. Raises Failure."""
    try:
        with path.open("rb") as file, PcapReader(file) as packets:
            for packet in packets:
                _pass(packet, handle)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    except (Scapy_Exception, EOFError) as error:
        raise Failure(f"{path}: not a capture file: {error}") from None


def _pass(packet: Packet, handle: Handle) -> None:
    layer = packet.getlayer(scapy.layers.inet6.IPv6)
    if layer is not None:
        handle(float(packet.time), packet.sniffed_on, layer.original)


def _kernel_filter() -> str | None:
    """What the kernel should leave out already; without libpcap, which translates it, we look at every packet."""
    try:
        compile_filter(FILTER)
    except (Scapy_Exception, ImportError, OSError):
        return None
    return FILTER
