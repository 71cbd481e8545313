"""Mobility Header messages (RFC 6275 section 6.1).

Integers are in wire units; lifetimes are in units of 4 s (`lifetime_units`, `lifetime_seconds`). `options` are in wire
order, without padding.
"""

from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address
from typing import Any, TypeAlias

from mip6.wire.codec import Field, Layout, constant, flags, ipv6, octets, reserved, u8, u16
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.options import Option, decode_options, encode_options
from mip6.wire.registry import (
    BindingAcknowledgementFlag,
    BindingUpdateFlag,
    MessageType,
    NextHeader,
    RevocationFlag,
)

_LIFETIME_UNIT = 4  # seconds (RFC 6275 section 6.1.7)
_MAX_LIFETIME = 0xFFFF


def lifetime_units(seconds: float) -> int:
    """The longest lifetime on the wire that isn't longer than `seconds`, which isn't negative."""
    return min(int(seconds // _LIFETIME_UNIT), _MAX_LIFETIME)


def lifetime_seconds(units: int) -> int:
    """What a lifetime on the wire means."""
    return units * _LIFETIME_UNIT


@dataclass(frozen=True, slots=True)
class BindingRefreshRequest:
    """Asks a mobile node to register again (RFC 6275 section 6.1.2)."""

    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class HomeTestInit:
    """Starts the test of a home address; `cookie` has 8 octets (RFC 6275 section 6.1.3)."""

    cookie: bytes
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class CareOfTestInit:
    """Starts the test of a care-of address; `cookie` has 8 octets (RFC 6275 section 6.1.4)."""

    cookie: bytes
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class HomeTest:
    """Answers HomeTestInit; `cookie` and `keygen_token` have 8 octets each (RFC 6275 section 6.1.5)."""

    nonce_index: int
    cookie: bytes
    keygen_token: bytes
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class CareOfTest:
    """Answers CareOfTestInit; `cookie` and `keygen_token` have 8 octets each (RFC 6275 section 6.1.6)."""

    nonce_index: int
    cookie: bytes
    keygen_token: bytes
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingUpdate:
    """Registers care-of addresses; `lifetime` in units of 4 s, 0 to delete (RFC 6275 section 6.1.7)."""

    sequence: int
    flags: BindingUpdateFlag
    lifetime: int
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingAcknowledgement:
    """Answers a Binding Update; `lifetime` in units of 4 s means nothing on refusal (RFC 6275 section 6.1.8)."""

    status: int
    flags: BindingAcknowledgementFlag
    sequence: int
    lifetime: int
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingError:
    """Refuses a packet; `home_address` is its Home Address option's, or :: (RFC 6275 section 6.1.9)."""

    status: int
    home_address: IPv6Address
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class HomeAgentSwitch:
    """Tells a mobile node to go to another home agent (RFC 5142 section 4)."""

    home_agents: tuple[IPv6Address, ...]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingRevocationIndication:
    """Ends bindings from the home agent's side; see RevocationTrigger (RFC 5846 section 5.1)."""

    trigger: int
    sequence: int
    flags: RevocationFlag
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class BindingRevocationAcknowledgement:
    """Answers BindingRevocationIndication; see RevocationStatus (RFC 5846 section 5.2)."""

    status: int
    sequence: int
    flags: RevocationFlag
    options: tuple[Option, ...] = ()


Message: TypeAlias = (
    BindingRefreshRequest
    | HomeTestInit
    | CareOfTestInit
    | HomeTest
    | CareOfTest
    | BindingUpdate
    | BindingAcknowledgement
    | BindingError
    | HomeAgentSwitch
    | BindingRevocationIndication
    | BindingRevocationAcknowledgement
)


def _options(start: int) -> Field:
    """The options, which begin at octet `start`."""
    return Field("", ("options",), partial(encode_options, start=start), decode_options)


def _encode_switch(home_agents: tuple[IPv6Address, ...], options: tuple[Option, ...]) -> bytes:
    addresses = b"".join(address.packed for address in home_agents)
    return bytes((len(home_agents), 0)) + addresses + encode_options(options, 8 + len(addresses))


def _decode_switch(data: bytes) -> tuple[tuple[IPv6Address, ...], tuple[Option, ...]]:
    end = 2 + 16 * data[0]
    if end > len(data):
        raise DecodeError(DecodeReason.BAD_HEADER_LENGTH, pointer=_HEADER_LEN)
    return tuple(IPv6Address(data[at : at + 16]) for at in range(2, end, 16)), decode_options(data[end:])


# Where the fields of the Mobility Header begin (RFC 6275 section 6.1.1); the body is what depends on the type
_PAYLOAD_PROTO = 0
_HEADER_LEN = 1
_MH_TYPE = 2
_BODY = 6

_NO_NEXT_HEADER = NextHeader.NO_NEXT_HEADER  # an enumeration's attribute takes longer to read than a module's

_BINDING_REVOCATION_INDICATION = 1
_BINDING_REVOCATION_ACKNOWLEDGEMENT = 2

_TEST_INIT = (reserved("H"), octets("cookie", 8), _options(16))
_TEST = (u16("nonce_index"), octets("cookie", 8), octets("keygen_token", 8), _options(24))

_REVOCATIONS: dict[int, Layout[Any]] = {
    _BINDING_REVOCATION_INDICATION: Layout(
        BindingRevocationIndication,
        constant("B", _BINDING_REVOCATION_INDICATION),
        u8("trigger"),
        u16("sequence"),
        flags("H", "flags", RevocationFlag),
        _options(12),
    ),
    _BINDING_REVOCATION_ACKNOWLEDGEMENT: Layout(
        BindingRevocationAcknowledgement,
        constant("B", _BINDING_REVOCATION_ACKNOWLEDGEMENT),
        u8("status"),
        u16("sequence"),
        flags("H", "flags", RevocationFlag),
        _options(12),
    ),
}

_MESSAGES: dict[int, Layout[Any]] = {
    MessageType.BINDING_REFRESH_REQUEST: Layout(BindingRefreshRequest, reserved("H"), _options(8)),
    MessageType.HOME_TEST_INIT: Layout(HomeTestInit, *_TEST_INIT),
    MessageType.CARE_OF_TEST_INIT: Layout(CareOfTestInit, *_TEST_INIT),
    MessageType.HOME_TEST: Layout(HomeTest, *_TEST),
    MessageType.CARE_OF_TEST: Layout(CareOfTest, *_TEST),
    MessageType.BINDING_UPDATE: Layout(
        BindingUpdate, u16("sequence"), flags("H", "flags", BindingUpdateFlag), u16("lifetime"), _options(12)
    ),
    MessageType.BINDING_ACKNOWLEDGEMENT: Layout(
        BindingAcknowledgement,
        u8("status"),
        flags("B", "flags", BindingAcknowledgementFlag),
        u16("sequence"),
        u16("lifetime"),
        _options(12),
    ),
    MessageType.BINDING_ERROR: Layout(BindingError, u8("status"), reserved("B"), ipv6("home_address"), _options(24)),
    MessageType.HOME_AGENT_SWITCH: Layout(
        HomeAgentSwitch, Field("", ("home_agents", "options"), _encode_switch, _decode_switch)
    ),
}

_LAYOUT_OF: dict[type, tuple[int, Layout[Any]]] = {
    **{layout.value_type: (kind, layout) for kind, layout in _MESSAGES.items()},
    **{layout.value_type: (MessageType.BINDING_REVOCATION, layout) for layout in _REVOCATIONS.values()},
}


def encode(message: Message) -> bytes:
    """The Mobility Header, its checksum zero; ValueError if a value does not fit its field."""
    kind, layout = _LAYOUT_OF[type(message)]
    body = layout.encode(message)
    return bytes((_NO_NEXT_HEADER, (_BODY + len(body)) // 8 - 1, kind, 0, 0, 0)) + body


def _layout(data: bytes) -> Layout[Any]:
    kind = data[_MH_TYPE]
    if layout := _MESSAGES.get(kind):
        return layout
    if kind != MessageType.BINDING_REVOCATION:
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=kind)
    if layout := _REVOCATIONS.get(data[_BODY]):
        return layout
    raise DecodeError(DecodeReason.UNKNOWN_REVOCATION_TYPE)


def decode(data: bytes) -> Message:
    """The message in a Mobility Header whose checksum the caller has verified; DecodeError for anything else.

    The checks are in the order of RFC 6275 section 9.2. Octets after the header are no part of the message (RFC 8200
    section 4.7).
    """
    if len(data) < 8:
        raise DecodeError(DecodeReason.TRUNCATED)
    layout = _layout(data)
    if data[_PAYLOAD_PROTO] != _NO_NEXT_HEADER:
        raise DecodeError(DecodeReason.BAD_PAYLOAD_PROTO, pointer=_PAYLOAD_PROTO)
    end = 8 * (data[_HEADER_LEN] + 1)
    if end < _BODY + layout.size:
        raise DecodeError(DecodeReason.BAD_HEADER_LENGTH, pointer=_HEADER_LEN)
    if end > len(data):
        raise DecodeError(DecodeReason.TRUNCATED)
    message: Message = layout.decode(data, _BODY, end)
    return message
