"""Sub-options of a flow: where they stand, and what becomes of those that are wrong (RFC 6089 section 4.2.1)."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mip6.wire.flows import (
    BindingReference,
    MalformedSuboption,
    Suboption,
    UnknownSuboption,
    decode_suboptions,
    encode_suboptions,
)
from mip6.wire.messages import BindingUpdate, decode, encode
from mip6.wire.options import BindingIdentifier, FlowIdentification, FlowSummary, Option, UnknownOption
from mip6.wire.registry import BindingUpdateFlag
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Selector, Span, UnknownSelector
from tests.unit.mip6.wire import strategies
from tests.unit.mip6.wire.golden import octets
from tests.unit.mip6.wire.walk import walk

ADDRESS = IPv6Address("2001:db8::1")


def update(*options: Option) -> BindingUpdate:
    return BindingUpdate(1, BindingUpdateFlag.ACKNOWLEDGE, 1, options)


def decoded(suboptions: bytes) -> tuple[Suboption, ...]:
    """The sub-options of the flow in a Binding Update with these octets of them, between two other options."""
    flow = bytes((45, 6 + len(suboptions))) + octets("0001 0002 00 00") + suboptions
    options = octets("23 04 0001 00 00") + flow + octets("23 04 0002 00 00")
    options += bytes(-(12 + len(options)) % 8)
    header = bytes((59, (12 + len(options)) // 8 - 1)) + octets("05 00 0000 0001 8000 0001")
    first, found, last = decode(header + options).options
    assert (first, last) == (BindingIdentifier(1), BindingIdentifier(2))  # what is beside it counts in any case
    assert isinstance(found, FlowIdentification)
    assert (found.fid, found.priority, found.status) == (1, 2, 0)
    return found.suboptions


# Reading


PORT = "03 08 02 00 0080 0000 1388"  # I source port
PORT_SELECTOR = Ipv6Selector(source_port=Span.only(5000))


@pytest.mark.req("FLOW-05", "FLOW-06", "FLOW-07")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("02 02 0001", (BindingReference((1,)),)),
        ("02 06 0001 ffff 0003", (BindingReference((1, 0xFFFF, 3)),)),
        (f"{PORT} 02 02 0001", (PORT_SELECTOR, BindingReference((1,)))),
        (
            "04 00 ff 02 beef 02 02 0001",
            (UnknownSuboption(4, b""), UnknownSuboption(255, b"\xbe\xef"), BindingReference((1,))),
        ),
        (f"03 04 03 ff abcd {PORT}", (UnknownSelector(3, b"\xab\xcd"), PORT_SELECTOR)),
        # More than one of a kind is for the receiver to judge
        ("02 02 0001 02 02 0002", (BindingReference((1,)), BindingReference((2,)))),
        (f"{PORT} {PORT}", (PORT_SELECTOR, PORT_SELECTOR)),
    ],
)
def test_what_is_read(text: str, expected: tuple[Suboption, ...]) -> None:
    assert decoded(octets(text)) == expected


@pytest.mark.req("FLOW-05")
def test_padding_is_skipped_and_its_content_ignored() -> None:
    expected = (BindingReference((1,)), PORT_SELECTOR)
    assert decoded(octets(f"00 00 01 00 02 02 0001 01 04 03ff0200 00 {PORT} 01 02 ffff 00")) == expected


@pytest.mark.req("MH-17")
@pytest.mark.parametrize("shift", range(8))
def test_alignment_is_not_asked_for(shift: int) -> None:
    selector = octets("03 16 02 00 8000 0000") + ADDRESS.packed
    assert decoded(bytes(shift) + selector) == (Ipv6Selector(source=Span.only(ADDRESS)),)


MALFORMED = {
    "binding reference of an odd length": "02 03 000102",
    "binding reference of one octet": "02 01 00",
    "selector without a format": "03 00",
    "selector without its reserved octet": "03 01 02",
    "selector without flags": "03 02 02 00",
    "selector with half of the flags": "03 04 02 00 ffff",
    "selector without its field": "03 06 02 00 0080 0000",
    "selector with half of its field": "03 07 02 00 0080 0000 13",
    "selector without the end of its field": "03 08 02 00 00c0 0000 1388",
    "selector with more than its fields": "03 09 02 00 0080 0000 1388 00",
    "selector with fields and no flags": "03 08 01 00 0000 0000 1388",
    "IPv4 selector with an end and no start": "03 0a 01 00 4000 0000 c0000201",
    "IPv6 selector with an end and no start": "03 08 02 00 0040 0000 1388",
    "IPv4 selector with an end below its start": "03 08 01 00 000c 0000 11 06",
    "IPv6 selector with an end below its start": "03 0a 02 00 00c0 0000 1389 1388",
    "selector of format 0": "03 08 00 00 0080 0000 1388",
    "selector of an unknown format without its reserved octet": "03 01 07",
}
RUNNING_PAST_THE_END = {
    "binding reference": "02 04 0001",
    "binding reference with nothing": "02 02",
    "selector": "03 0a 02 00 00c0 0000 1388",
    "unknown": "09 ff 0102",
    "padding": "01 01",
    "padding of the greatest length": "01 ff 00",
    "no length": "02",
    "padding without a length": "01",
}


@pytest.mark.req("FLOW-05", "FLOW-07", "FLOW-10")
@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_suboption_is_a_value_and_hides_no_other(text: str) -> None:
    wrong = octets(text)
    malformed = MalformedSuboption(wrong[0], wrong[1:])
    assert decoded(octets("02 02 0001") + wrong + octets(PORT)) == (BindingReference((1,)), malformed, PORT_SELECTOR)


@pytest.mark.req("FLOW-05")
@pytest.mark.parametrize("text", RUNNING_PAST_THE_END.values(), ids=RUNNING_PAST_THE_END)
def test_a_suboption_past_the_end_of_the_option_is_a_value(text: str) -> None:
    wrong = octets(text)
    assert decoded(octets(PORT) + wrong) == (PORT_SELECTOR, MalformedSuboption(wrong[0], wrong[1:]))


@pytest.mark.req("FLOW-05")
@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=249), st.integers(0, 7))
def test_any_octets(data: bytes, start: int) -> None:
    """They are sub-options, and these come back from being sent."""
    suboptions = decode_suboptions(data)
    assert decode_suboptions(encode_suboptions(suboptions, start)) == suboptions


@pytest.mark.req("FLOW-02", "FLOW-05", "FLOW-06", "FLOW-07")
@settings(deadline=None, max_examples=1000)
@given(strategies.flow_identification, st.binary(max_size=8))
def test_round_trip(flow: FlowIdentification, before: bytes) -> None:
    message = update(UnknownOption(200, before), flow, FlowSummary((flow.fid,)))
    assert decode(encode(message)) == message


# Writing


@pytest.mark.parametrize(
    "suboption",
    [
        BindingReference((0x10000,)),
        BindingReference((-1,)),
        BindingReference(tuple(range(128))),
        UnknownSuboption(256, b""),
        UnknownSuboption(9, bytes(256)),
        UnknownSelector(3, bytes(254)),
        MalformedSuboption(256, b""),
        Ipv6Selector(flow_label=Span.only(1 << 20)),
    ],
    ids=repr,
)
def test_value_that_does_not_fit(suboption: Suboption) -> None:
    with pytest.raises(ValueError):
        encode_suboptions((suboption,), 0)


@pytest.mark.parametrize("text", RUNNING_PAST_THE_END.values(), ids=RUNNING_PAST_THE_END)
def test_nothing_may_follow_what_runs_past_the_end(text: str) -> None:
    wrong = octets(text)
    malformed = MalformedSuboption(wrong[0], wrong[1:])
    assert encode_suboptions((BindingReference((1,)), malformed), 0) == octets("02 02 0001") + wrong
    with pytest.raises(ValueError, match="must be the last"):
        encode_suboptions((malformed, BindingReference((1,))), 0)


WIDTHS: list[tuple[Selector, int]] = [
    (Ipv6Selector(source=Span.only(ADDRESS)), 8),
    (Ipv6Selector(destination=Span(ADDRESS, ADDRESS + 1), dscp=Span.only(1)), 8),
    (Ipv6Selector(spi=Span.only(256)), 4),
    (Ipv6Selector(flow_label=Span(1, 2), source_port=Span.only(1)), 4),
    (Ipv6Selector(source_port=Span.only(1)), 2),
    (Ipv6Selector(destination_port=Span(1, 2), next_header=Span.only(6)), 2),
    (Ipv6Selector(dscp=Span.only(1), next_header=Span(6, 17)), 1),
    (Ipv6Selector(), 1),
    (Ipv4Selector(source=Span.only(IPv4Address("192.0.2.1"))), 4),
    (Ipv4Selector(destination=Span.only(IPv4Address("192.0.2.1"))), 4),
    (Ipv4Selector(spi=Span(1, 256)), 4),
    (Ipv4Selector(source_port=Span.only(1)), 2),
    (Ipv4Selector(destination_port=Span.only(1), protocol=Span.only(6)), 2),
    (Ipv4Selector(dscp=Span.only(1)), 1),
    (UnknownSelector(3, b""), 1),
]

PADDING = ["", "00", "0100", "010100", "01020000", "0103000000", "010400000000", "01050000000000"]
"""None, Pad1, and PadN of N octets with length N - 2."""


@pytest.mark.req("FLOW-05", "FLOW-13", "MH-16")
@pytest.mark.parametrize(("selector", "x"), WIDTHS, ids=repr)
def test_alignment_counts_from_the_start_of_the_header(selector: Selector, x: int) -> None:
    """After an option of any length, and after a sub-option of any length."""
    for outer, inner in product(range(8), range(8)):
        flow = FlowIdentification(1, 2, suboptions=(UnknownSuboption(9, bytes(inner)), selector))
        data = encode(update(UnknownOption(200, bytes(outer)), flow))
        at = 12 + 2 + outer
        at += at % 2  # where the option starts
        at += 8  # where its sub-options start
        assert data[at : at + 2] == bytes((9, inner))
        at += 2 + inner
        gap = -at % x
        assert data[at : at + gap].hex() == PADDING[gap]
        assert data[at + gap] == 3


# Octets of the fields that the letters A, B, C, ... stand for (RFC 6088 sections 3.1 and 3.2)
SIZES: dict[type, tuple[int, ...]] = {
    Ipv4Selector: (4, 4, 4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1),
    Ipv6Selector: (16, 16, 16, 16, 4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1),
}


def field_sizes(suboption: Suboption, value: bytes) -> list[int]:
    """Of the fields that are there, by the flags in the octets."""
    flags = f"{int.from_bytes(value[2:6], 'big'):032b}"
    return [size for size, there in zip(SIZES.get(type(suboption), ()), flags, strict=False) if there == "1"]


def x_of(suboption: Suboption, value: bytes) -> int:
    """What the offset of a sub-option has to be a multiple of."""
    if isinstance(suboption, BindingReference):
        return 2
    return max((min(size, 8) for size in field_sizes(suboption, value)), default=1)


flows = st.builds(
    lambda before, selector, after: FlowIdentification(1, 2, suboptions=(*before, selector, *after)),
    st.lists(strategies.other_suboption, max_size=2),
    strategies.selector,
    st.lists(strategies.other_suboption, max_size=2),
)
updates = st.builds(
    lambda options, *flows: update(*options, *flows), st.lists(strategies.option, max_size=3), flows, flows
)


def walked(message: BindingUpdate) -> Iterator[tuple[FlowIdentification, list[tuple[int, int, bytes]]]]:
    """Each flow, and offset in the Mobility Header, type and value of all its sub-options on the wire."""
    data = encode(message)
    sent = [option for option in message.options if isinstance(option, FlowIdentification)][-2:]
    found = [(at, len(value)) for at, kind, value in walk(data, 12) if kind == 45][-2:]
    for flow, (at, length) in zip(sent, found, strict=True):
        yield flow, list(walk(data[: at + 2 + length], at + 8))


@pytest.mark.req("FLOW-13", "MH-16")
@settings(deadline=None, max_examples=1000)
@given(updates)
def test_every_field_is_on_its_natural_boundary(message: BindingUpdate) -> None:
    """Whatever comes before it, and counted from the start of the Mobility Header."""
    for flow, found in walked(message):
        values = [(at, value) for at, kind, value in found if kind not in (0, 1)]
        for suboption, (at, value) in zip(flow.suboptions, values, strict=True):
            assert at % x_of(suboption, value) == 0
            field_at = at + 8
            for size in field_sizes(suboption, value):
                assert field_at % min(size, 8) == 0
                field_at += size


@pytest.mark.req("FLOW-05", "FLOW-13", "MH-16")
@settings(deadline=None, max_examples=1000)
@given(updates)
def test_padding_is_minimal(message: BindingUpdate) -> None:
    """One piece of it before a sub-option that would stand wrong without, just enough, and nowhere else."""
    for flow, found in walked(message):
        suboptions = iter(flow.suboptions)
        unpadded, pads = found[0][0], 0
        for at, kind, value in found:
            if kind in (0, 1):
                pads += 1
                assert not any(value)
                continue
            assert at - unpadded == -unpadded % x_of(next(suboptions), value)
            assert pads == (at > unpadded)
            unpadded, pads = at + 2 + len(value), 0
        assert pads == 0
