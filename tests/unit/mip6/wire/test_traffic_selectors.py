"""Binary traffic selectors (RFC 6088 section 3): every field, every flag, and what they must not be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from typing import Any

import pytest

from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.traffic_selectors import (
    Ipv4Selector,
    Ipv6Selector,
    Selector,
    Span,
    UnknownSelector,
    decode_selector,
    encode_selector,
)
from tests.unit.mip6.wire.golden import octets


@dataclass(frozen=True, slots=True)
class Row:
    """A field: its name, the letters of its start and its end, two values and their octets, and its boundary."""

    name: str
    letters: str
    first: Any
    start: str
    last: Any
    end: str
    boundary: int


@dataclass(frozen=True, slots=True)
class Format:
    number: int
    selector: Callable[..., Selector]
    rows: tuple[Row, ...]


# The letters and their order are those of the figures in RFC 6088 sections 3.1 and 3.2
IPV4 = Format(
    1,
    Ipv4Selector,
    (
        Row("source", "AB", IPv4Address("192.0.2.1"), "c0000201", IPv4Address("192.0.2.9"), "c0000209", 4),
        Row("destination", "CD", IPv4Address("10.0.0.0"), "0a000000", IPv4Address("10.0.0.255"), "0a0000ff", 4),
        Row("spi", "EF", 0x01020304, "01020304", 0xF1F2F3F4, "f1f2f3f4", 4),
        Row("source_port", "GH", 1024, "0400", 65535, "ffff", 2),
        Row("destination_port", "IJ", 80, "0050", 443, "01bb", 2),
        Row("dscp", "KL", 1, "04", 63, "fc", 1),
        Row("protocol", "MN", 6, "06", 17, "11", 1),
    ),
)
IPV6 = Format(
    2,
    Ipv6Selector,
    (
        Row(
            "source",
            "AB",
            IPv6Address("2001:db8::"),
            "20010db8 00000000 00000000 00000000",
            IPv6Address("2001:db8::f"),
            "20010db8 00000000 00000000 0000000f",
            8,
        ),
        Row(
            "destination",
            "CD",
            IPv6Address("fd00::1"),
            "fd000000 00000000 00000000 00000001",
            IPv6Address("fd00::2"),
            "fd000000 00000000 00000000 00000002",
            8,
        ),
        Row("spi", "EF", 0x01020304, "01020304", 0xF1F2F3F4, "f1f2f3f4", 4),
        Row("flow_label", "GH", 0x01234, "00001234", 0xFFFFF, "000fffff", 4),
        Row("source_port", "IJ", 1024, "0400", 65535, "ffff", 2),
        Row("destination_port", "KL", 80, "0050", 443, "01bb", 2),
        Row("dscp", "MN", 1, "04", 63, "fc", 1),
        Row("next_header", "OP", 6, "06", 17, "11", 1),
    ),
)
FORMATS = pytest.mark.parametrize("form", [pytest.param(IPV4, id="IPv4"), pytest.param(IPV6, id="IPv6")])
ROWS = pytest.mark.parametrize(
    ("form", "row"),
    [pytest.param(form, row, id=f"{form.number}-{row.name}") for form in (IPV4, IPV6) for row in form.rows],
)


def flag(letter: str) -> int:
    """A is the top bit of the word."""
    return 0x80000000 >> "ABCDEFGHIJKLMNOP".index(letter)


def data(form: Format, flags: int, text: str) -> bytes:
    return bytes((form.number, 0)) + flags.to_bytes(4, "big") + octets(text)


def everything(form: Format) -> Selector:
    return form.selector(*(Span(row.first, row.last) for row in form.rows))


def refusal(wrong: bytes) -> DecodeReason:
    with pytest.raises(DecodeError) as caught:
        decode_selector(wrong)
    return caught.value.reason


@pytest.mark.req("FLOW-07", "FLOW-08", "FLOW-09", "FLOW-10", "FLOW-13")
@FORMATS
def test_every_combination_of_fields(form: Format) -> None:
    """Each field absent, with one value and with a range: the octets, and back, and the boundary that they need."""
    for choice in product((0, 1, 2), repeat=len(form.rows)):
        spans, flags, text, boundary = {}, 0, "", 1
        for row, count in zip(form.rows, choice, strict=True):
            if count:
                spans[row.name] = Span.only(row.first) if count == 1 else Span(row.first, row.last)
                flags |= sum(map(flag, row.letters[:count]))
                text += row.start + row.end * (count - 1)
                boundary = max(boundary, row.boundary)
        selector = form.selector(**spans)
        encoded = encode_selector(selector)
        assert encoded == (data(form, flags, text), boundary)
        assert decode_selector(encoded[0]) == selector


def starts_and_ends(form: Format, flags: int) -> Iterator[tuple[Row, bool, bool]]:
    for row in form.rows:
        start, end = map(flag, row.letters)
        yield row, bool(flags & start), bool(flags & end)


@pytest.mark.req("FLOW-08", "FLOW-09", "FLOW-10")
@FORMATS
def test_every_combination_of_flags(form: Format) -> None:
    """An end without its start is refused, whatever else there is; everything else is read."""
    letters = 2 * len(form.rows)
    refused = 0
    for number in range(1 << letters):
        flags = number << 32 - letters
        presence = list(starts_and_ends(form, flags))
        text = "".join(row.start * start + row.end * end for row, start, end in presence)
        if any(end and not start for _, start, end in presence):
            assert refusal(data(form, flags, text)) is DecodeReason.BAD_SELECTOR
            refused += 1
        else:
            selector = decode_selector(data(form, flags, text))
            for row, start, end in presence:
                assert getattr(selector, row.name) == (
                    Span(row.first, row.last if end else row.first) if start else None
                )
    assert refused == 4 ** len(form.rows) - 3 ** len(form.rows)


@pytest.mark.req("FLOW-10")
@ROWS
def test_an_end_below_its_start(form: Format, row: Row) -> None:
    flags = sum(map(flag, row.letters))
    assert refusal(data(form, flags, row.end + row.start)) is DecodeReason.BAD_SELECTOR
    with pytest.raises(ValueError, match=f"{row.name} ends before it starts"):
        encode_selector(form.selector(**{row.name: Span(row.last, row.first)}))


@pytest.mark.req("FLOW-10")
@ROWS
def test_an_end_that_is_its_start_is_one_value(form: Format, row: Row) -> None:
    """So is a start alone, which is how one value is sent."""
    exact = form.selector(**{row.name: Span(row.first, row.first)})
    assert decode_selector(data(form, sum(map(flag, row.letters)), row.start * 2)) == exact
    assert decode_selector(data(form, flag(row.letters[0]), row.start)) == exact
    assert encode_selector(exact)[0] == data(form, flag(row.letters[0]), row.start)


@pytest.mark.req("FLOW-08", "FLOW-09")
@FORMATS
def test_no_field_accepts_everything(form: Format) -> None:
    assert encode_selector(form.selector()) == (data(form, 0, ""), 1)
    assert decode_selector(data(form, 0, "")) == form.selector()


@pytest.mark.req("FLOW-08", "FLOW-09")
@FORMATS
def test_reserved_bits_are_ignored(form: Format) -> None:
    letters = 2 * len(form.rows)
    encoded = bytearray(encode_selector(everything(form))[0])
    encoded[1] = 0xFF
    encoded[2:6] = (int.from_bytes(encoded[2:6], "big") | (1 << 32 - letters) - 1).to_bytes(4, "big")
    assert encoded[2:6] == b"\xff\xff\xff\xff"
    assert decode_selector(bytes(encoded)) == everything(form)


@pytest.mark.req("FLOW-07", "FLOW-08", "FLOW-09")
@FORMATS
def test_lengths(form: Format) -> None:
    """The flags say how long it is: not an octet less, not an octet more."""
    for spans in ({row.name: Span(row.first, row.last)} for row in form.rows):
        encoded, _ = encode_selector(form.selector(**spans))
        for wrong in (*(encoded[:length] for length in range(1, len(encoded))), encoded + b"\0", encoded + encoded[6:]):
            assert refusal(wrong) is DecodeReason.BAD_OPTION_LENGTH
    encoded, _ = encode_selector(everything(form))
    for length in range(1, len(encoded)):
        assert refusal(encoded[:length]) is DecodeReason.BAD_OPTION_LENGTH


@pytest.mark.req("FLOW-11")
@pytest.mark.parametrize(
    ("form", "letters"), [pytest.param(IPV4, "KL", id="IPv4"), pytest.param(IPV6, "MN", id="IPv6")]
)
def test_the_lower_2_bits_of_the_traffic_class_are_ignored(form: Format, letters: str) -> None:
    for first, last in product(range(256), repeat=2):
        wire = data(form, sum(map(flag, letters)), bytes((first, last)).hex())
        if last // 4 < first // 4:
            assert refusal(wire) is DecodeReason.BAD_SELECTOR
        else:
            assert decode_selector(wire) == form.selector(dscp=Span(first // 4, last // 4))


@pytest.mark.req("FLOW-11")
@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("ff012345 00f12345", Span.only(0x12345)),
        ("fff00001 fffffffe", Span(0x00001, 0xFFFFE)),
        ("fff00001 00000002", Span(1, 2)),  # the end is below the start only in what is ignored
        ("00000002 fff00001", None),  # and above it only in that
        ("00000000 000fffff", Span(0, 0xFFFFF)),
    ],
)
def test_the_upper_12_bits_of_the_flow_label_are_ignored(text: str, span: Span[int] | None) -> None:
    wire = data(IPV6, flag("G") | flag("H"), text)
    if span is None:
        assert refusal(wire) is DecodeReason.BAD_SELECTOR
    else:
        assert decode_selector(wire) == Ipv6Selector(flow_label=span)


@pytest.mark.req("FLOW-07")
@pytest.mark.parametrize("rest", ["", "00", "ffff0000"])
def test_format_0_is_forbidden(rest: str) -> None:
    assert refusal(octets(f"00 00 {rest}")) is DecodeReason.BAD_SELECTOR


@pytest.mark.req("FLOW-07")
@pytest.mark.parametrize("number", [3, 255])
def test_formats_that_are_not_known(number: int) -> None:
    for rest in (b"", b"\x01", bytes(251)):
        selector = UnknownSelector(number, rest)
        assert encode_selector(selector) == (bytes((number, 0)) + rest, 1)
        assert decode_selector(bytes((number, 0xFF)) + rest) == selector
    assert refusal(bytes((number,))) is DecodeReason.BAD_OPTION_LENGTH


@pytest.mark.req("FLOW-07")
def test_no_format_at_all() -> None:
    assert refusal(b"") is DecodeReason.BAD_OPTION_LENGTH


@pytest.mark.parametrize(
    "selector",
    [
        Ipv4Selector(spi=Span.only(1 << 32)),
        Ipv4Selector(source_port=Span(0, 65536)),
        Ipv4Selector(destination_port=Span(-1, 5)),
        Ipv4Selector(dscp=Span.only(64)),
        Ipv4Selector(dscp=Span(-1, 0)),
        Ipv4Selector(protocol=Span.only(256)),
        Ipv6Selector(spi=Span(1, 1 << 32)),
        Ipv6Selector(flow_label=Span.only(1 << 20)),
        Ipv6Selector(flow_label=Span(0, 1 << 20)),
        Ipv6Selector(flow_label=Span(-1, 0)),
        Ipv6Selector(source_port=Span.only(-1)),
        Ipv6Selector(destination_port=Span(0, 65536)),
        Ipv6Selector(dscp=Span(0, 64)),
        Ipv6Selector(next_header=Span.only(256)),
        UnknownSelector(256, b""),
    ],
    ids=repr,
)
def test_value_that_does_not_fit(selector: Selector) -> None:
    with pytest.raises(ValueError):
        encode_selector(selector)


def test_fields_are_in_wire_order() -> None:
    for kind, form in ((Ipv4Selector, IPV4), (Ipv6Selector, IPV6)):
        assert [field.name for field in fields(kind)] == [row.name for row in form.rows]


def test_a_span_of_one_value() -> None:
    assert Span.only(IPv6Address("::1")) == Span(IPv6Address("::1"), IPv6Address("::1"))
