"""A mobility message on the wire, taken apart for people: every field by name, numbers with their meaning.

`dissect` makes a structure for programs (`trace --json`), `text` makes lines from that, so both tell the same.
"""

import re
import time
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from mip6 import auth
from mip6.spelling import spell
from mip6.wire.checksum import checksum_ok
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.extension import parse_home_address_option, parse_type2_routing_header
from mip6.wire.flows import Suboption
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    Message,
    decode,
    lifetime_seconds,
)
from mip6.wire.options import (
    BindingIdentifier,
    FlowIdentification,
    Ipv4AddressAcknowledgement,
    MessageAuthentication,
    MobileNodeIdentifier,
    Option,
)
from mip6.wire.registry import (
    AuthenticationSubtype,
    BindingErrorStatus,
    FlowStatus,
    IdentifierSubtype,
    Ipv4AddressStatus,
    NextHeader,
    RevocationStatus,
    RevocationTrigger,
    Status,
)
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span

SCHEMA = 1

_IPV6_HEADER = 40
_HOP_BY_HOP = 0

Fields = dict[str, Any]

_MEANINGS: dict[tuple[type, str], type[IntEnum]] = {
    (BindingAcknowledgement, "status"): Status,
    (BindingIdentifier, "status"): Status,
    (BindingError, "status"): BindingErrorStatus,
    (FlowIdentification, "status"): FlowStatus,
    (BindingRevocationAcknowledgement, "status"): RevocationStatus,
    (BindingRevocationIndication, "trigger"): RevocationTrigger,
    (Ipv4AddressAcknowledgement, "status"): Ipv4AddressStatus,
    (MobileNodeIdentifier, "subtype"): IdentifierSubtype,
    (MessageAuthentication, "subtype"): AuthenticationSubtype,
}
"""Where the numbers of a field are listed."""

_IN_UNITS_OF_4_S = ("lifetime", "interval")

_STATUS_IN_ANSWERS_ONLY = (BindingIdentifier, FlowIdentification)
"""In a Binding Update their status means nothing (RFC 5648 section 4.3; RFC 6089 section 4.2)."""


@dataclass(slots=True)
class _Headers:
    """What an IPv6 packet has before its Mobility Header, and that header itself."""

    source: IPv6Address
    destination: IPv6Address
    home_address_option: IPv6Address | None = None
    type_2_routing_header: IPv6Address | None = None
    data: bytes = b""
    problem: str | None = None


def dissect(packet: bytes) -> Fields | None:
    """Everything about the mobility message in an IPv6 packet; None if it has none. A tunnelled one has none: what is
    in a tunnel is payload.
    """
    headers = _headers(packet)
    if headers is None:
        return None
    shown: Fields = {"schema": SCHEMA, "source": str(headers.source), "destination": str(headers.destination)}
    for name in ("home_address_option", "type_2_routing_header"):
        if getattr(headers, name) is not None:
            shown[name] = str(getattr(headers, name))
    try:
        return shown | _message(_decode(headers))
    except (DecodeError, _MalformedError) as error:
        return shown | {"malformed": str(error), "octets": headers.data.hex()}


class _MalformedError(Exception):
    """What mip6.wire does not look at."""


def _headers(packet: bytes) -> _Headers | None:
    if len(packet) < _IPV6_HEADER or packet[0] >> 4 != 6:
        return None
    end = _IPV6_HEADER + int.from_bytes(packet[4:6], "big")
    found = _Headers(IPv6Address(packet[8:24]), IPv6Address(packet[24:40]))
    if len(packet) < end:
        found.problem = "captured only in part"
    rest, next_header = packet[_IPV6_HEADER:end], packet[6]
    while next_header in (_HOP_BY_HOP, NextHeader.ROUTING, NextHeader.DESTINATION_OPTIONS) and len(rest) >= 8:
        header, rest = rest[: 8 * (rest[1] + 1)], rest[8 * (rest[1] + 1) :]
        try:
            _note(found, next_header, header)
        except DecodeError as error:
            found.problem = found.problem or str(error)
        next_header = header[0]
    found.data = rest
    return found if next_header == NextHeader.MOBILITY else None


def _note(found: _Headers, kind: int, header: bytes) -> None:
    if kind == NextHeader.ROUTING:
        found.type_2_routing_header = parse_type2_routing_header(header).address
    elif kind == NextHeader.DESTINATION_OPTIONS:
        try:
            found.home_address_option = parse_home_address_option(header).address
        except DecodeError as error:
            if error.reason is not DecodeReason.NO_HOME_ADDRESS:
                raise


def _decode(headers: _Headers) -> Message:
    if headers.problem is not None:
        raise _MalformedError(headers.problem)
    message = decode(headers.data)
    source = headers.home_address_option or headers.source
    destination = headers.type_2_routing_header or headers.destination
    if not checksum_ok(headers.data, source, destination):
        raise _MalformedError("bad checksum")
    return message


def _message(message: Message) -> Fields:
    options = [_option(option, is_update=isinstance(message, BindingUpdate)) for option in message.options]
    return {"message": _title(message), **_fields(message), "options": options}


def _option(option: Option, *, is_update: bool) -> Fields:
    shown = {"option": _title(option), **_fields(option)}
    if is_update and isinstance(option, _STATUS_IN_ANSWERS_ONLY):
        del shown["status"], shown["status_name"]
    return shown


def _suboption(suboption: Suboption) -> Fields:
    """A traffic selector has its packets in words as well."""
    shown = {"suboption": _title(suboption), **_fields(suboption)}
    if isinstance(suboption, Ipv4Selector | Ipv6Selector):
        shown["packets"] = spell(suboption)
    return shown


def _title(value: Message | Option | Suboption) -> str:
    """`Binding Update`: the class's name in words."""
    return " ".join(re.findall(r"[A-Z][a-z]*\d*", type(value).__name__)).replace("Ipv", "IPv")


def _fields(value: Message | Option | Suboption) -> Fields:
    shown: Fields = {}
    for field in fields(value):
        if field.name != "options":
            shown |= _field(type(value), field.name, getattr(value, field.name))
    return shown


def _field(kind: type, name: str, value: Any) -> Fields:
    meaning = _MEANINGS.get((kind, name))
    if meaning is not None:
        return {name: value, f"{name}_name": _name_of(value, meaning)}
    if name in _IN_UNITS_OF_4_S:
        return {f"{name}_s": lifetime_seconds(value)}
    if name == "timestamp":
        return {name: _instant(value)}
    if (kind, name) == (MobileNodeIdentifier, "identifier"):
        return {name: value.decode(errors="replace")}
    if name == "suboptions":
        return {name: [_suboption(one) for one in value]}
    return {name: _plain(value)}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case IPv4Address() | IPv6Address():
            return str(value)
        case IntFlag():
            return [_words(flag) for flag in type(value) if flag in value]
        case Span(first, last):
            return {"first": _plain(first), "last": _plain(last)}
        case tuple():
            return [_plain(one) for one in value]
    return value


def _name_of(number: int, meaning: type[IntEnum]) -> str:
    """`unknown` when no RFC known here lists it."""
    return _words(meaning(number)) if number in set(meaning) else "unknown"


def _words(member: IntEnum | IntFlag) -> str:
    return str(member.name).replace("_", " ").lower()


def _instant(timestamp: int) -> str:
    """An NTP timestamp as local time."""
    seconds, ns = divmod(auth.unix_ns(timestamp), 1_000_000_000)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) + f".{ns // 1000:06}"


def text(shown: Fields) -> str:
    """Lines for people: what it is, from where to where, then its options."""
    lines = [_headline(shown), f"  {shown['source']} > {shown['destination']}"]
    if "interface" in shown:
        lines[-1] += f" on {shown['interface']}"
    for name in ("home_address_option", "type_2_routing_header"):
        if name in shown:
            lines.append(f"  home address {shown[name]} ({name.replace('_', ' ')})")
    for option in shown.get("options", ()):
        lines.append(_line(option, "option"))
        lines += [f"  {_line(suboption, 'suboption')}" for suboption in option.get("suboptions", ())]
    if "malformed" in shown:
        octets = shown["octets"]
        lines += [f"    {octets[at : at + 64]}" for at in range(0, len(octets), 64)]
    return "\n".join(lines)


def _line(shown: Fields, kind: str) -> str:
    """What an option or a sub-option says; a traffic selector in words only."""
    described = shown.get("packets") or _described(shown, but=(kind, "suboptions"))
    return f"    {shown[kind]}" + (f": {described}" if described else "")


def _headline(shown: Fields) -> str:
    clock = ""
    if "at" in shown:
        clock = time.strftime("%H:%M:%S", time.localtime(shown["at"])) + f".{int(shown['at'] % 1 * 1e6):06} "
    if "malformed" in shown:
        return f"{clock}MALFORMED mobility message: {shown['malformed']}"
    outer = ("schema", "at", "interface", "source", "destination", "home_address_option", "type_2_routing_header")
    described = _described(shown, but=(*outer, "message", "options"))
    return f"{clock}{shown['message']}" + (f": {described}" if described else "")


_SPELLINGS = {
    "bid": "BID",
    "bids": "BIDs",
    "fid": "FID",
    "fids": "FIDs",
    "spi": "SPI",
    "care_of": "care-of address",
    "flags": "",
}


def _described(shown: Fields, but: tuple[str, ...]) -> str:
    """`sequence 7, acknowledge, lifetime 600 s`; what is false or not there is not mentioned."""
    parts = []
    for name, value in shown.items():
        if name in but or name.endswith("_name") or value is None or value is False or value == []:
            continue
        label = _SPELLINGS.get(name, name.removesuffix("_s").replace("_", " "))
        if value is True:
            parts.append(label)
            continue
        spelled = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if f"{name}_name" in shown:
            spelled = f"{shown[f'{name}_name']} ({value})"
        parts.append(f"{label} {spelled}{' s' if name.endswith('_s') else ''}".strip())
    return ", ".join(parts)
