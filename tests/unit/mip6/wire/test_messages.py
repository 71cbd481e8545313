"""What a Mobility Header has to be, and what it may be (RFC 6275 sections 6.1 and 9.2)."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingRevocationIndication,
    BindingUpdate,
    CareOfTest,
    HomeAgentSwitch,
    HomeTestInit,
    Message,
    decode,
    encode,
    lifetime_seconds,
    lifetime_units,
)
from mip6.wire.options import BindingIdentifier, UnknownOption
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, RevocationFlag
from tests.unit.mip6.wire.golden import GOLDEN, octets

UPDATE = BindingUpdate(1, BindingUpdateFlag.ACKNOWLEDGE, 1)

# RFC 6275 sections 6.1.2 to 6.1.9, RFC 5142 section 4, RFC 5846 section 5: MH Type and the least Header Len
MINIMUM = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1, 7: 2, 12: 0, 16: 1}


def refusal(data: bytes) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(data)
    return caught.value


def header(kind: int, header_len: int) -> bytes:
    """A Mobility Header whose octets are all zero after the checksum, but for one that says revocation indication."""
    return bytes((59, header_len, kind, 0, 0, 0)) + bytes((kind == 16,)) + bytes(8 * header_len + 1)


@pytest.mark.req("MH-10")
@pytest.mark.parametrize("payload_proto", [0, 6, 58, 60, 135, 255])
def test_payload_proto(payload_proto: int) -> None:
    error = refusal(bytes((payload_proto,)) + encode(UPDATE)[1:])
    assert (error.reason, error.pointer) == (DecodeReason.BAD_PAYLOAD_PROTO, 0)


@pytest.mark.req("MH-11", "MH-18")
@pytest.mark.parametrize(("kind", "minimum"), MINIMUM.items())
def test_minimum_header_len(kind: int, minimum: int) -> None:
    decode(header(kind, minimum))
    for header_len in range(minimum):
        error = refusal(header(kind, header_len))
        assert (error.reason, error.pointer) == (DecodeReason.BAD_HEADER_LENGTH, 1)


@pytest.mark.req("MH-11", "HAS-01")
def test_switch_with_fewer_addresses_than_it_counts() -> None:
    error = refusal(octets("3b 03 0c 00 0000 02 00") + bytes(24))
    assert (error.reason, error.pointer) == (DecodeReason.BAD_HEADER_LENGTH, 1)


@pytest.mark.req("MH-09")
@pytest.mark.parametrize("kind", sorted(set(range(256)) - set(MINIMUM)))
def test_unknown_type(kind: int) -> None:
    error = refusal(header(kind, 1))
    assert (error.reason, error.pointer, error.message_type) == (DecodeReason.UNKNOWN_TYPE, None, kind)
    assert str(error) == f"unknown message type {kind}"


@pytest.mark.req("MH-09", "MH-10", "MH-11")
def test_order_of_checks() -> None:
    """RFC 6275 section 9.2: type, payload proto, length."""
    assert refusal(bytes((60, 0, 13, 0, 0, 0, 0, 0))).reason is DecodeReason.UNKNOWN_TYPE
    assert refusal(bytes((60, 0, 5, 0, 0, 0, 0, 0))).reason is DecodeReason.BAD_PAYLOAD_PROTO
    assert refusal(bytes((59, 0, 5, 0, 0, 0, 0, 0))).reason is DecodeReason.BAD_HEADER_LENGTH


@pytest.mark.req("BRI-01")
@pytest.mark.parametrize("revocation", [0, 3, 255])
def test_unknown_revocation_type(revocation: int) -> None:
    error = refusal(octets("3b 01 10 00 0000") + bytes((revocation,)) + bytes(9))
    assert (error.reason, error.pointer) == (DecodeReason.UNKNOWN_REVOCATION_TYPE, None)
    assert str(error) == DecodeReason.UNKNOWN_REVOCATION_TYPE.value


@pytest.mark.req("MH-03")
def test_truncated() -> None:
    for case in GOLDEN:
        for length in range(len(case.octets)):
            error = refusal(case.octets[:length])
            assert (error.reason, error.pointer) == (DecodeReason.TRUNCATED, None), case.name


@pytest.mark.req("MH-03")
def test_octets_after_the_header_are_not_the_message() -> None:
    for case in GOLDEN:
        assert decode(case.octets + b"\x03\x10\xff") == case.message, case.name


@pytest.mark.req("MH-03")
def test_longest_message() -> None:
    longest = replace(UPDATE, options=(UnknownOption(200, bytes(255)),) * 7 + (UnknownOption(201, bytes(235)),))
    data = encode(longest)
    assert (len(data), data[1]) == (2048, 255)
    assert decode(data) == longest
    with pytest.raises(ValueError, match="256"):
        encode(replace(longest, options=(*longest.options, BindingIdentifier(1))))


@pytest.mark.req("MH-04", "FMT-08")
@pytest.mark.parametrize(
    ("message", "text"),
    [
        (BindingRefreshRequest(), "3b 00 00 ff 0000 ffff"),
        (HomeTestInit(bytes(8)), "3b 01 01 ff 0000 ffff 0000000000000000"),
        (BindingUpdate(1, BindingUpdateFlag(0), 2), "3b 01 05 ff 0000 0001 001f 0002 01 02 ffff"),
        (BindingAcknowledgement(0, BindingAcknowledgementFlag(0), 1, 2), "3b 01 06 ff 0000 00 07 0001 0002 01 02 ffff"),
        (BindingError(2, IPv6Address(1)), "3b 02 07 ff 0000 02 ff 00000000000000000000000000000001"),
        (HomeAgentSwitch(()), "3b 00 0c ff 0000 00 ff"),
        (BindingRevocationIndication(1, 2, RevocationFlag(0)), "3b 01 10 ff 0000 01 01 0002 1fff 01 02 ffff"),
    ],
)
def test_reserved_bits_are_ignored(message: Message, text: str) -> None:
    assert decode(octets(text)) == message


UPDATE_FLAGS = {
    "ACKNOWLEDGE": "8000",
    "HOME_REGISTRATION": "4000",
    "LINK_LOCAL_COMPATIBILITY": "2000",
    "KEY_MANAGEMENT_MOBILITY": "1000",
    "MAP_REGISTRATION": "0800",
    "MOBILE_ROUTER": "0400",
    "PROXY_REGISTRATION": "0200",
    "FORCE_UDP_ENCAPSULATION": "0100",
    "TLV_HEADER_FORMAT": "0080",
    "OVERWRITE": "0040",
    "MULTICAST_SIGNALING": "0020",
}
ACKNOWLEDGEMENT_FLAGS = {
    "KEY_MANAGEMENT_MOBILITY": "80",
    "MOBILE_ROUTER": "40",
    "PROXY_REGISTRATION": "20",
    "TLV_HEADER_FORMAT": "10",
    "BULK_BINDING_UPDATE": "08",
}
REVOCATION_FLAGS = {"PROXY_BINDING": "8000", "IPV4_HOME_ADDRESS_BINDING_ONLY": "4000", "GLOBAL": "2000"}


@pytest.mark.req("FMT-04")
@pytest.mark.parametrize(("flag", "bit"), UPDATE_FLAGS.items())
def test_update_flag(flag: str, bit: str) -> None:
    message = replace(UPDATE, flags=BindingUpdateFlag[flag])
    data = octets(f"3b 01 05 00 0000 0001 {bit} 0001 01 02 0000")
    assert encode(message) == data
    assert decode(data) == message


@pytest.mark.req("FMT-05")
@pytest.mark.parametrize(("flag", "bit"), ACKNOWLEDGEMENT_FLAGS.items())
def test_acknowledgement_flag(flag: str, bit: str) -> None:
    message = BindingAcknowledgement(0, BindingAcknowledgementFlag[flag], 1, 1)
    data = octets(f"3b 01 06 00 0000 00 {bit} 0001 0001 01 02 0000")
    assert encode(message) == data
    assert decode(data) == message


@pytest.mark.req("BRI-01")
@pytest.mark.parametrize(("flag", "bit"), REVOCATION_FLAGS.items())
def test_revocation_flag(flag: str, bit: str) -> None:
    message = BindingRevocationIndication(0, 1, RevocationFlag[flag])
    data = octets(f"3b 01 10 00 0000 01 00 0001 {bit} 01 02 0000")
    assert encode(message) == data
    assert decode(data) == message


@pytest.mark.parametrize(
    "message",
    [
        replace(UPDATE, sequence=0x10000),
        replace(UPDATE, sequence=-1),
        replace(UPDATE, lifetime=0x10000),
        BindingAcknowledgement(256, BindingAcknowledgementFlag(0), 1, 1),
        HomeTestInit(bytes(7)),
        CareOfTest(1, bytes(8), bytes(9)),
        HomeAgentSwitch((IPv6Address(1),) * 256),
    ],
    ids=repr,
)
def test_value_that_does_not_fit(message: Message) -> None:
    with pytest.raises(ValueError):
        encode(message)


@pytest.mark.req("REG-07", "FMT-04")
@pytest.mark.parametrize(
    ("seconds", "units"),
    [(0, 0), (3.999, 0), (4, 1), (7, 1), (8.5, 2), (420, 105), (262_139, 65_534), (262_140, 65_535), (1e9, 65_535)],
)
def test_lifetime_units(seconds: float, units: int) -> None:
    assert lifetime_units(seconds) == units


@pytest.mark.req("REG-07", "FMT-04")
def test_lifetime_seconds() -> None:
    assert [lifetime_seconds(units) for units in (0, 1, 105, 65_535)] == [0, 4, 420, 262_140]
