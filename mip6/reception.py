"""A mobility message arrives: what both ends check first, and how they complain (RFC 6275 section 9.2)."""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from mip6.wire.checksum import checksum_ok
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.extension import Packet, build_from_mobile_node, build_to_mobile_node, is_routable
from mip6.wire.icmp import parameter_problem
from mip6.wire.messages import BindingError, Message, decode, encode
from mip6.wire.registry import BindingErrorStatus

ERRORS_PER_S = 100.0
ERROR_BURST = 100.0

_IPV6_HEADER = 40
_EXTENSION_HEADER = 24


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMPv6 message to send; `data` with its checksum."""

    source: IPv6Address
    destination: IPv6Address
    data: bytes


@dataclass(frozen=True, slots=True)
class Discard:
    """The message is no message. `reason` names the counter; `reply` tells the sender, where it should be told."""

    reason: str
    reply: Packet | IcmpError | None = None


def receive(packet: Packet, *, from_mobile_node: bool) -> Message | Discard:
    """Decode what arrived. `from_mobile_node`: the packet's home address came in a Home Address option, and not in a
    type 2 routing header. Never raises, whatever the bytes.
    """
    source = packet.home_address if packet.home_address and from_mobile_node else packet.source
    destination = packet.home_address if packet.home_address and not from_mobile_node else packet.destination
    if not checksum_ok(packet.data, source, destination):
        return Discard("bad checksum")
    try:
        return decode(packet.data)
    except DecodeError as error:
        return Discard(error.reason.value, _reply(packet, error, from_mobile_node=from_mobile_node))


def _reply(packet: Packet, error: DecodeError, *, from_mobile_node: bool) -> Packet | IcmpError | None:
    """To the address on the wire, whatever is known of bindings; never to one that is no single node's."""
    if packet.source.is_multicast or packet.source.is_unspecified:
        return None
    if error.reason is DecodeReason.UNKNOWN_TYPE:
        return binding_error(packet, BindingErrorStatus.UNRECOGNIZED_MH_TYPE, from_mobile_node=from_mobile_node)
    if error.pointer is None:
        return None
    invoking = (build_from_mobile_node if from_mobile_node else build_to_mobile_node)(packet)
    pointer = _IPV6_HEADER + (_EXTENSION_HEADER if packet.home_address else 0) + error.pointer
    data = parameter_problem(0, pointer, invoking, packet.destination, packet.source)
    return IcmpError(packet.destination, packet.source, data)


def binding_error(packet: Packet, status: BindingErrorStatus, *, from_mobile_node: bool) -> Packet:
    """The Binding Error about a packet; it names the home address that came in a Home Address option (RFC 6275
    section 9.3.3).
    """
    home_address = packet.home_address if packet.home_address and from_mobile_node else IPv6Address(0)
    return Packet(packet.destination, packet.source, None, encode(BindingError(status, home_address)))


def unknown_binding(own: IPv6Address, source: IPv6Address, home_address: IPv6Address) -> Packet | None:
    """The Binding Error about payload that came from a care-of address which is not bound to the home address that it
    claims; None for a source that cannot be one (RFC 6275 sections 9.3.1 and 9.3.3).
    """
    if not is_routable(source):
        return None
    return Packet(own, source, None, encode(BindingError(BindingErrorStatus.UNKNOWN_BINDING, home_address)))


@dataclass(frozen=True, slots=True)
class ErrorLimit:
    """How many errors may still be sent: as for ICMPv6, a bucket of tokens (RFC 4443 section 2.4)."""

    tokens: float = ERROR_BURST
    filled_at: float = 0.0

    def take(self, now: float) -> "ErrorLimit | None":
        """What is left after one more error; None if there must be none now."""
        tokens = min(ERROR_BURST, self.tokens + (now - self.filled_at) * ERRORS_PER_S)
        return replace(self, tokens=tokens - 1, filled_at=now) if tokens >= 1 else None
