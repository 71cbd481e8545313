"""What messages of XFRM have in common: their types, their attributes, and the structures in several of them.

pyroute2 has no such messages. They are C structures (linux/xfrm.h) followed by attributes that mostly are C structures
too: `struct` says so in a line each. What the kernel has in network byte order is octets there. Only IPv6 is known.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import wraps
from ipaddress import IPv6Network
from socket import AF_INET, AF_INET6
from typing import Any, ParamSpec, TypeVar

from pyroute2.netlink import nlmsg

from mip6.linux.netlink import HEADER, Request, attribute
from mip6.mark import Mark
from mip6.xfrm import Port, Selector

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


class XfrmType(IntEnum):
    """Message types (XFRM_MSG_*)."""

    NEWSA = 16
    DELSA = 17
    GETSA = 18
    NEWPOLICY = 19
    DELPOLICY = 20
    GETPOLICY = 21
    ACQUIRE = 23
    EXPIRE = 24
    UPDPOLICY = 25
    UPDSA = 26
    POLEXPIRE = 27
    FLUSHSA = 28
    FLUSHPOLICY = 29
    MIGRATE = 33


class XfrmAttribute(IntEnum):
    """Attributes (XFRMA_*)."""

    ALG_CRYPT = 2
    TMPL = 5
    SA = 6
    POLICY = 7
    REPLAY_VAL = 10
    SRCADDR = 13
    COADDR = 14
    POLICY_TYPE = 16
    MIGRATE = 17
    ALG_AEAD = 18
    KMADDRESS = 19
    ALG_AUTH_TRUNC = 20
    MARK = 21
    REPLAY_ESN_VAL = 23
    SET_MARK = 29
    SET_MARK_MASK = 30
    IF_ID = 31


SELECTOR = "16s16s2s2s2s2sHBBB3xiI"
SELECTOR_COUNT = 12
"""Of the fields in it."""
ID = "16s4sB3x"
"""Destination, SPI, protocol."""
LIFETIMES = "8Q4Q"
"""Limits, and what was used of them."""
NO_LIFETIMES = (*[0xFFFF_FFFF_FFFF_FFFF] * 4, *[0] * 4, *[0] * 4)
"""No limit to octets and packets is all ones, no limit to seconds is zero."""

STATE = struct.Struct(f"={SELECTOR}{ID}16s{LIFETIMES}IIIIIHBBB7x")
"""struct xfrm_usersa_info."""
STATE_ID = struct.Struct("=16s4sHBx")
"""struct xfrm_usersa_id."""
POLICY = struct.Struct(f"={SELECTOR}{LIFETIMES}IIBBBB4x")
"""struct xfrm_userpolicy_info."""
POLICY_ID = struct.Struct(f"={SELECTOR}IB3x")
"""struct xfrm_userpolicy_id."""

_MARK = struct.Struct("=II")
_NUMBER = struct.Struct("=I")


class XfrmDecodeError(ValueError):
    """A message that is broken, or about something that no value here can be, such as IPv4."""


def decoder(function: Callable[ParametersT, ResultT]) -> Callable[ParametersT, ResultT]:
    """Of a function that reads a message: whatever is in that, it raises XfrmDecodeError and nothing else."""

    @wraps(function)
    def strict(*args: ParametersT.args, **kwargs: ParametersT.kwargs) -> ResultT:
        try:
            return function(*args, **kwargs)
        except (ValueError, LookupError, struct.error) as error:
            raise XfrmDecodeError(str(error)) from error

    return strict


def request(fields: bytes, *attributes: bytes) -> Request:
    """A structure, and attributes as `attribute` makes them."""
    return Request(nlmsg, fields + b"".join(attributes))


def body(message: bytes) -> bytes:
    """A message without netlink's own header."""
    return message[HEADER.size :]


def selector_fields(selector: Selector) -> tuple[Any, ...]:
    """The fields of SELECTOR."""
    return (
        selector.destination.network_address.packed,
        selector.source.network_address.packed,
        *(number.to_bytes(2, "big") for number in (*selector.destination_port, *selector.source_port)),
        AF_INET6,
        selector.destination.prefixlen,
        selector.source.prefixlen,
        selector.protocol,
        selector.interface,
        0,
    )


def selector_from(fields: Sequence[Any]) -> Selector:
    """From the fields of SELECTOR, whatever follows them."""
    destination, source, *ports, family, to_length, from_length, protocol, interface, _user = fields[:SELECTOR_COUNT]
    if family == AF_INET:  # one that selects everything may have no family
        raise ValueError("a selector of IPv4")
    to_port, to_mask, from_port, from_mask = (int.from_bytes(number, "big") for number in ports)
    return Selector(
        IPv6Network((source, from_length), strict=False),
        IPv6Network((destination, to_length), strict=False),
        protocol,
        Port(from_port, from_mask),
        Port(to_port, to_mask),
        interface,
    )


def require_ipv6(family: int) -> None:
    """Raises ValueError for any other."""
    if family != AF_INET6:
        raise ValueError(f"address family {family}")


def mark_attribute(mark: Mark | None) -> bytes:
    """XFRMA_MARK, or nothing."""
    return b"" if mark is None else attribute(XfrmAttribute.MARK, _MARK.pack(mark.value, mark.mask))


def mark_from(attributes: Mapping[int, bytes]) -> Mark | None:
    """XFRMA_MARK, if it is there."""
    data = attributes.get(XfrmAttribute.MARK)
    return None if data is None else Mark(*_MARK.unpack_from(data))


def number_attribute(kind: XfrmAttribute, number: int) -> bytes:
    """An attribute of 32 bits."""
    return attribute(kind, _NUMBER.pack(number))


def number_from(attributes: Mapping[int, bytes], kind: XfrmAttribute, default: int = 0) -> int:
    """An attribute of 32 bits, if it is there."""
    data = attributes.get(kind)
    number: int = default if data is None else _NUMBER.unpack_from(data)[0]
    return number


def if_id_attribute(if_id: int) -> bytes:
    """XFRMA_IF_ID, or nothing."""
    return number_attribute(XfrmAttribute.IF_ID, if_id) if if_id else b""
