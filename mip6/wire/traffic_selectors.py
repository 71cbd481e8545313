"""Traffic selectors: which packets belong to a flow (RFC 6088 section 3).

They are written as the home agent sees packets to the mobile node: the source is the correspondent, the destination is
the home address or what is behind a mobile router. A field that is None accepts any value.

On the wire a word of flags says which fields follow. Each field has two of them: one for the start of a range, and one
for its end, without which the range is the start alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Generic, TypeAlias, TypeVar

from mip6.wire.codec import Field, Layout, bits, ipv4, ipv6, u8, u16, u32
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.registry import TrafficSelectorFormat

Value = TypeVar("Value", int, IPv4Address, IPv6Address)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span(Generic[Value]):
    """The values from `first` to `last`, both of them included."""

    first: Value
    last: Value

    @classmethod
    def only(cls, value: Value) -> "Span[Value]":
        """The span of one value."""
        return cls(value, value)


@dataclass(frozen=True, slots=True)
class Ipv4Selector:
    """Selects IPv4 packets (RFC 6088 section 3.1). `dscp` is the upper 6 bits of the DS field, 0 to 63."""

    source: Span[IPv4Address] | None = None
    destination: Span[IPv4Address] | None = None
    spi: Span[int] | None = None
    source_port: Span[int] | None = None
    destination_port: Span[int] | None = None
    dscp: Span[int] | None = None
    protocol: Span[int] | None = None


@dataclass(frozen=True, slots=True)
class Ipv6Selector:
    """Selects IPv6 packets (RFC 6088 section 3.2).

    `flow_label` has 20 bits. `dscp` is the upper 6 bits of the traffic class, 0 to 63.
    """

    source: Span[IPv6Address] | None = None
    destination: Span[IPv6Address] | None = None
    spi: Span[int] | None = None
    flow_label: Span[int] | None = None
    source_port: Span[int] | None = None
    destination_port: Span[int] | None = None
    dscp: Span[int] | None = None
    next_header: Span[int] | None = None


@dataclass(frozen=True, slots=True)
class UnknownSelector:
    """A traffic selector of a format not known here; `data` is what follows format and reserved octet.

    It has an answer: flow status TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED.
    """

    format: int
    data: bytes


Selector: TypeAlias = Ipv4Selector | Ipv6Selector | UnknownSelector


def _dscp(name: str) -> Field:
    """The octet that DSCP and ECN share. Only the former is compared (RFC 6088 section 3)."""
    return bits("B", **{name: 6})


_FLOW_LABEL = (1 << 20) - 1


def _flow_label(name: str) -> Field:
    """A flow label in 32 bits. RFC 6088 says that 24 of them count, but it has no more than 20 (RFC 8200 section 3)."""

    def check(value: int) -> int:
        if not 0 <= value <= _FLOW_LABEL:
            raise ValueError(f"flow label {value} is not in 0..{_FLOW_LABEL}")
        return value

    return Field("I", (name,), check, lambda word: word & _FLOW_LABEL)


def _same(word: Any) -> Any:
    return word


def _start_alone(start: Field) -> Field:
    """The one word of a span of one value."""
    to_word, from_word = start.to_word or _same, start.from_word or _same
    return Field(start.code, ("first", "last"), lambda first, _: to_word(first), lambda word: (from_word(word),) * 2)


_FORMAT = 2
"""Octets of the format and of what is reserved after it."""

_FIELDS = 6
"""Octets of these and of the flags: where the fields begin."""

_WIDEST = 8
"""Natural boundaries of fields are multiples of their size, up to this (RFC 6275 section 6.2)."""


@dataclass(frozen=True, slots=True)
class _SelectorField:
    """A field, its flags, and what it looks like: the start alone (`exact`), or the start and the end."""

    name: str
    start_flag: int
    end_flag: int
    exact: Layout[Span[Any]]
    ranged: Layout[Span[Any]]


class _SelectorLayout(Generic[T]):
    """The wire format of `value_type`, whose constructor takes the fields in wire order.

    The flags of the fields are in the same order, from the top bit down: start, end, start, end, ... (RFC 6088 letters
    them A, B, C, D, ...).
    """

    def __init__(self, number: TrafficSelectorFormat, value_type: type[T], **fields: Callable[[str], Field]) -> None:
        self.number = number
        self.value_type = value_type
        self._fields = [
            _SelectorField(
                name,
                1 << 31 >> 2 * index,
                1 << 30 >> 2 * index,
                Layout(Span, _start_alone(field("first"))),
                Layout(Span, field("first"), field("last")),
            )
            for index, (name, field) in enumerate(fields.items())
        ]

    def encode(self, selector: T) -> tuple[bytes, int]:
        """See encode_selector."""
        flags, boundary, out = 0, 1, b""
        for field in self._fields:
            span = getattr(selector, field.name)
            if span is None:
                continue
            if span.last < span.first:
                raise ValueError(f"{field.name} ends before it starts: {span}")
            flags |= field.start_flag
            layout = field.exact
            if span.last != span.first:
                flags |= field.end_flag
                layout = field.ranged
            out += layout.encode(span)
            boundary = max(boundary, min(field.exact.size, _WIDEST))
        return bytes((self.number, 0)) + flags.to_bytes(4, "big") + out, boundary

    def decode(self, data: bytes) -> T:
        """See decode_selector."""
        if len(data) < _FIELDS:
            raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
        flags = int.from_bytes(data[_FORMAT:_FIELDS], "big")
        at = _FIELDS
        spans: list[Span[Any] | None] = []
        for field in self._fields:
            starts, ends = flags & field.start_flag, flags & field.end_flag
            if not starts:
                if ends:
                    raise DecodeError(DecodeReason.BAD_SELECTOR)
                spans.append(None)
                continue
            layout = field.ranged if ends else field.exact
            span = layout.decode(data, at, min(at + layout.size, len(data)))
            if span.last < span.first:
                raise DecodeError(DecodeReason.BAD_SELECTOR)
            spans.append(span)
            at += layout.size
        if at != len(data):
            raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
        return self.value_type(*spans)


_LAYOUTS: tuple[_SelectorLayout[Any], ...] = (
    _SelectorLayout(
        TrafficSelectorFormat.IPV4_BINARY,
        Ipv4Selector,
        source=ipv4,
        destination=ipv4,
        spi=u32,
        source_port=u16,
        destination_port=u16,
        dscp=_dscp,
        protocol=u8,
    ),
    _SelectorLayout(
        TrafficSelectorFormat.IPV6_BINARY,
        Ipv6Selector,
        source=ipv6,
        destination=ipv6,
        spi=u32,
        flow_label=_flow_label,
        source_port=u16,
        destination_port=u16,
        dscp=_dscp,
        next_header=u8,
    ),
)
_LAYOUT_OF_FORMAT: dict[int, _SelectorLayout[Any]] = {layout.number: layout for layout in _LAYOUTS}
_LAYOUT_OF_TYPE: dict[type, _SelectorLayout[Any]] = {layout.value_type: layout for layout in _LAYOUTS}

_RESERVED = 0


def encode_selector(selector: Selector) -> tuple[bytes, int]:
    """The data of a Traffic Selector sub-option, and what the sub-option's offset has to be a multiple of.

    That puts the fields, which begin 8 octets after it, the widest first, on their natural boundaries. ValueError if a
    value does not fit its field.
    """
    if isinstance(selector, UnknownSelector):
        return bytes((selector.format, 0)) + selector.data, 1
    return _LAYOUT_OF_TYPE[type(selector)].encode(selector)


def decode_selector(data: bytes) -> Selector:
    """The selector in the data of a Traffic Selector sub-option; DecodeError if it is malformed."""
    if len(data) < _FORMAT:
        raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
    number = data[0]
    if number == _RESERVED:
        raise DecodeError(DecodeReason.BAD_SELECTOR)
    layout = _LAYOUT_OF_FORMAT.get(number)
    if layout is None:
        return UnknownSelector(number, data[_FORMAT:])
    selector: Selector = layout.decode(data)
    return selector
