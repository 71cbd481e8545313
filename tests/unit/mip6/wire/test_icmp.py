"""ICMPv6 errors and echoes (RFC 4443)."""

from ipaddress import IPv6Address

import pytest

from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.icmp import (
    echo_request,
    packet_too_big,
    parameter_problem,
    parse_echo_reply,
    parse_packet_too_big,
    parse_parameter_problem,
)
from tests.unit.mip6.wire.golden import octets
from tests.unit.mip6.wire.reference import reference_checksum

HERE = IPv6Address("2001:db8:aaaa::ff")
THERE = IPv6Address("2001:db8:1::10")
INVOKING = bytes(range(40)) + octets("3a 01 05 00 0000 0010 c000 0019 01 02 0000")


def complete(header: str, invoking: bytes) -> bytes:
    """The message with the checksum put where its header says 0000 first."""
    data = octets(header) + invoking
    return data[:2] + reference_checksum(HERE, THERE, 58, data).to_bytes(2, "big") + data[4:]


@pytest.mark.req("MH-10", "MH-11")
def test_parameter_problem() -> None:
    """At Payload Proto and at Header Len of a Mobility Header right after the IPv6 header."""
    assert parameter_problem(0, 40, INVOKING, HERE, THERE) == complete("04 00 0000 00000028", INVOKING)
    assert parameter_problem(0, 41, INVOKING, HERE, THERE) == complete("04 00 0000 00000029", INVOKING)


def test_parse_parameter_problem() -> None:
    assert parse_parameter_problem(complete("04 01 0000 00000006", INVOKING)) == (1, INVOKING)
    for wrong, reason in ((b"\x04\x01", DecodeReason.TRUNCATED), (bytes(8), DecodeReason.UNKNOWN_TYPE)):
        with pytest.raises(DecodeError) as caught:
            parse_parameter_problem(wrong)
        assert caught.value.reason is reason


def test_packet_too_big() -> None:
    icmp = packet_too_big(1400, INVOKING, HERE, THERE)
    assert icmp == complete("02 00 0000 00000578", INVOKING)
    assert parse_packet_too_big(icmp) == (1400, INVOKING)


@pytest.mark.parametrize("length", [1231, 1232, 1233, 65575])
def test_as_much_as_fits_1280_octets(length: int) -> None:
    invoking = bytes(at % 251 for at in range(length))
    icmp = packet_too_big(1280, invoking, HERE, THERE)
    assert icmp == complete("02 00 0000 00000500", invoking[:1232])
    assert 40 + len(icmp) <= 1280
    assert parse_packet_too_big(icmp) == (1280, invoking[:1232])
    assert 40 + len(parameter_problem(1, 6, invoking, HERE, THERE)) <= 1280


def test_parse_packet_too_big_takes_any_code() -> None:
    """RFC 4443 section 3.2: the receiver ignores it."""
    assert parse_packet_too_big(octets("02 07 1234 00000500")) == (1280, b"")


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (DecodeReason.TRUNCATED, None, ""),
        (DecodeReason.TRUNCATED, None, "02 00 0000 000005"),
        (DecodeReason.UNKNOWN_TYPE, 1, "01 00 0000 00000500"),
        (DecodeReason.UNKNOWN_TYPE, 144, "90 00 0000 00000500"),
    ],
)
def test_not_a_packet_too_big(reason: DecodeReason, kind: int | None, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_packet_too_big(octets(text))
    assert (caught.value.reason, caught.value.message_type) == (reason, kind)


def test_an_echo_request_and_the_reply_to_it() -> None:
    request = echo_request(0xBEEF, 0x1234, b"data")
    assert request == octets("80 00 0000 beef 1234") + b"data"
    reply = octets("81 00 5555 beef 1234") + b"data"
    assert parse_echo_reply(reply) == (0xBEEF, 0x1234)


@pytest.mark.parametrize(
    ("reason", "kind", "text"),
    [
        (DecodeReason.TRUNCATED, None, ""),
        (DecodeReason.TRUNCATED, None, "81 00 0000 beef 12"),
        (DecodeReason.UNKNOWN_TYPE, 128, "80 00 0000 beef 1234"),
    ],
)
def test_not_an_echo_reply(reason: DecodeReason, kind: int | None, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_echo_reply(octets(text))
    assert (caught.value.reason, caught.value.message_type) == (reason, kind)
