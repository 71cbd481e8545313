"""The sub-options of a Flow Identification option: where a flow goes, and what belongs to it (RFC 6089 section 4.2.1).

A sub-option that is wrong is a value, because it has an answer: flow status MALFORMED for its flow, while the rest of
the message counts. So nothing here makes a DecodeError.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from mip6.wire.codec import Layout, u16s
from mip6.wire.errors import DecodeError
from mip6.wire.registry import FlowSuboptionType
from mip6.wire.tlv import padding, split
from mip6.wire.traffic_selectors import Selector, decode_selector, encode_selector


@dataclass(frozen=True, slots=True)
class BindingReference:
    """The bindings that a flow takes, by their BIDs (RFC 6089 section 4.2.1.3)."""

    bids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UnknownSuboption:
    """A sub-option of a type not known here: skip it."""

    type: int
    data: bytes


@dataclass(frozen=True, slots=True)
class MalformedSuboption:
    """A sub-option that is not what its type asks for, or that runs past the end of the option.

    `data` is all that follows the type: the length, which may be wrong or missing, too.
    """

    type: int
    data: bytes


Suboption: TypeAlias = BindingReference | Selector | UnknownSuboption | MalformedSuboption

_BINDING_REFERENCE = Layout(BindingReference, u16s("bids"))


def _encode(suboption: Suboption) -> tuple[bytes, int]:
    """The octets of a sub-option, and what its offset has to be a multiple of."""
    match suboption:
        case MalformedSuboption(kind, data):
            return bytes((kind,)) + data, 1
        case UnknownSuboption(kind, data):
            boundary = 1
        case BindingReference():
            kind, data, boundary = FlowSuboptionType.BINDING_REFERENCE, _BINDING_REFERENCE.encode(suboption), 2
        case _:
            kind = FlowSuboptionType.TRAFFIC_SELECTOR
            data, boundary = encode_selector(suboption)
    return bytes((kind, len(data))) + data, boundary


def _runs_past_the_end(suboption: Suboption) -> bool:
    if not isinstance(suboption, MalformedSuboption):
        return False
    return not suboption.data or suboption.data[0] >= len(suboption.data)


def encode_suboptions(suboptions: Sequence[Suboption], start: int) -> bytes:
    """Sub-options and the padding between them, as they follow the first `start` octets of a Mobility Header.

    Their alignment counts from there, not from the option (RFC 6088 section 3). ValueError if a value does not fit its
    field or something follows a sub-option that runs past the end.
    """
    if any(map(_runs_past_the_end, suboptions[:-1])):
        raise ValueError("a sub-option that runs past the end must be the last")
    out = bytearray()
    for suboption in suboptions:
        data, boundary = _encode(suboption)
        out += padding(start + len(out), boundary, 0) + data
    return bytes(out)


def _well_formed(kind: int, data: bytes) -> Suboption:
    """The sub-option of this type and data; DecodeError if it is malformed."""
    match kind:
        case FlowSuboptionType.BINDING_REFERENCE:
            return _BINDING_REFERENCE.decode(data, 0, len(data))
        case FlowSuboptionType.TRAFFIC_SELECTOR:
            return decode_selector(data)
        case _:
            return UnknownSuboption(kind, data)


def _decode(kind: int, data: bytes, start: int, end: int) -> Suboption:
    if end <= len(data):
        with suppress(DecodeError):
            return _well_formed(kind, data[start:end])
    return MalformedSuboption(kind, data[start - 1 : end])


def decode_suboptions(data: bytes) -> tuple[Suboption, ...]:
    """The sub-options in `data`, wherever they stand."""
    return tuple([_decode(kind, data, start, end) for kind, start, end in split(data, lenient=True)])
