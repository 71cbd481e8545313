"""RFC 4285 authentication against computations that don't use our encoder."""

import hashlib
import hmac
from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.auth import ntp_timestamp, sign, unix_ns, verify
from mip6.wire.checksum import with_checksum
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, decode, encode
from mip6.wire.options import (
    BindingIdentifier,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNodeIdentifier,
    Option,
    UnknownOption,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag

KEY = bytes(range(16))
SPI = 256
COA = IPv6Address("2001:db8:1::10")
HOA = IPv6Address("2001:db8:aaaa::1")
HA = IPv6Address("2001:db8:aaaa::ff")
ADDRESSES = bytes.fromhex("20010db8000100000000000000000010 20010db8aaaa00000000000000000001")

UPDATE = BindingUpdate(
    8,
    BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION,
    75,
    (MobileNodeIdentifier(1, b"mn@example"), MessageReplayProtection(0xE1234567_80000000)),
)
UPDATE_UP_TO_SPI = bytes.fromhex(
    "3b 06 05 00 0000 0008 c000 004b"  # Header Len 6: 56 octets with the authenticator
    "08 0b 01 6d6e406578616d706c65 00 0a 08 e123456780000000 00"  # identifier, Pad1, timestamp, Pad1
    "09 11 01 00000100"  # MN-HA, SPI
)
ACKNOWLEDGEMENT = BindingAcknowledgement(0, BindingAcknowledgementFlag(0), 8, 25)
ACKNOWLEDGEMENT_UP_TO_SPI = bytes.fromhex("3b 03 06 00 0000 00 00 0008 0019 00 09 11 01 00000100")


def received(data: bytes) -> BindingUpdate | BindingAcknowledgement:
    message = decode(data)
    assert isinstance(message, BindingUpdate | BindingAcknowledgement)
    return message


def verified(data: bytes, key: bytes = KEY, careof: IPv6Address = COA, home_address: IPv6Address = HOA) -> bool:
    return verify(data, received(data), key, careof, home_address)


def authenticated(*options: Option) -> bytes:
    """Our encoding with these options at the end, each authenticator being what would be right for it."""
    data = encode(replace(UPDATE, options=(*UPDATE.options, *options)))
    end = 0
    for option in options:
        if isinstance(option, MessageAuthentication):
            length = len(option.authenticator)
            start = data.index(bytes((9, 5 + length, option.subtype)) + SPI.to_bytes(4, "big"), end) + 7
            end = start + length
            digest = hmac.new(KEY, ADDRESSES + data[:start], hashlib.sha1).digest()
            data = data[:start] + digest[:length] + data[end:]
    return data


@pytest.mark.req("AUTH-01", "AUTH-03")
def test_option_that_is_the_last_and_only_one() -> None:
    assert verified(authenticated(MessageAuthentication(1, SPI, bytes(12))))


@pytest.mark.req("AUTH-02")
@pytest.mark.parametrize(
    ("message", "up_to_spi", "authenticator"),
    [  # the first 12 octets of what `openssl dgst -sha1 -mac HMAC` says
        (UPDATE, UPDATE_UP_TO_SPI, "77112d884cc58d2ac29b05e6"),
        (ACKNOWLEDGEMENT, ACKNOWLEDGEMENT_UP_TO_SPI, "25545faf8eeac59335b77a74"),
    ],
)
def test_sign(message: BindingUpdate | BindingAcknowledgement, up_to_spi: bytes, authenticator: str) -> None:
    data = sign(message, KEY, SPI, COA, HOA)
    assert data.hex(" ") == (up_to_spi + bytes.fromhex(authenticator)).hex(" ")
    assert data[-12:] == hmac.new(KEY, ADDRESSES + up_to_spi, hashlib.sha1).digest()[:12]
    assert verified(data)


@pytest.mark.req("AUTH-01", "AUTH-02")
@given(st.integers(0, 40), st.binary(min_size=16, max_size=16), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF))
def test_sign_and_verify(length: int, key: bytes, spi: int, sequence: int) -> None:
    """Whatever comes before it, the option ends the header, whose length counts it."""
    message = replace(UPDATE, sequence=sequence, options=(UnknownOption(200, bytes(length)), BindingIdentifier(1)))
    data = sign(message, key, spi, COA, HOA)
    assert len(data) == 8 * (data[1] + 1)
    assert data[-19:-12] == bytes((9, 17, 1)) + spi.to_bytes(4, "big")
    assert received(data).options == (*message.options, MessageAuthentication(1, spi, data[-12:]))
    assert verified(data, key)


@pytest.mark.req("AUTH-02")
def test_checksum_is_not_authenticated() -> None:
    """It is taken as zero, on both sides; octets after the header are no part of it."""
    data = with_checksum(sign(UPDATE, KEY, SPI, COA, HOA), HOA, HA)
    assert data[4:6] != bytes(2)
    assert verified(data)
    assert verified(data + bytes(8))


@pytest.mark.req("AUTH-02")
def test_what_is_received_is_authenticated_not_what_it_means() -> None:
    """Reserved octets, padding and the order of options are covered as they arrived."""
    reserved = UPDATE_UP_TO_SPI[:3] + b"\xff" + UPDATE_UP_TO_SPI[4:]
    data = reserved + hmac.new(KEY, ADDRESSES + reserved, hashlib.sha1).digest()[:12]
    assert verified(data)
    assert received(data).options[:2] == UPDATE.options
    assert not verified(data[:3] + b"\0" + data[4:])


@pytest.mark.req("AUTH-02")
def test_every_flipped_bit_is_noticed() -> None:
    good = sign(UPDATE, KEY, SPI, COA, HOA)
    message = received(good)
    for bit in range(8 * len(good)):
        if 32 <= bit < 48:  # the checksum
            continue
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert not verify(bytes(bad), message, KEY, COA, HOA), bit


@pytest.mark.req("AUTH-02")
def test_every_key_and_address_counts() -> None:
    data = sign(UPDATE, KEY, SPI, COA, HOA)
    assert not verified(data, key=bytes(16))
    assert not verified(data, careof=HA)
    assert not verified(data, home_address=HA)
    assert not verified(data, careof=HOA, home_address=COA)


@pytest.mark.req("AUTH-03")
@pytest.mark.parametrize(
    "options",
    [
        (),
        (UnknownOption(200, bytes(12)),),
        (MessageAuthentication(1, SPI, bytes(12)), UnknownOption(200, bytes(16))),  # not the last
        (MessageAuthentication(1, SPI, bytes(12)), MessageAuthentication(1, SPI, bytes(12))),  # twice
        (MessageAuthentication(2, SPI, bytes(12)), MessageAuthentication(1, SPI, bytes(12))),
        (MessageAuthentication(2, SPI, bytes(12)),),  # MN-AAA
        (MessageAuthentication(1, SPI, bytes(20)),),
        (MessageAuthentication(1, SPI, bytes(4)),),
        (MessageAuthentication(1, SPI, b""),),
    ],
    ids=repr,
)
def test_option_that_is_not_the_last_and_only_one(options: tuple[Option, ...]) -> None:
    assert not verified(authenticated(*options))


@pytest.mark.req("AUTH-03")
@pytest.mark.parametrize("padding", ["00" * 8, "01 06 000000000000", "01 00 01 04 00000000"])
def test_padding_after_the_option(padding: str) -> None:
    """The authenticator is right, only its place isn't."""
    longer = UPDATE_UP_TO_SPI[:1] + b"\x07" + UPDATE_UP_TO_SPI[2:]
    longer += hmac.new(KEY, ADDRESSES + longer, hashlib.sha1).digest()[:12] + bytes.fromhex(padding)
    assert received(longer).options[:2] == UPDATE.options
    assert not verified(longer)


# Seconds from 1900 to 1970, as RFC 5905's table has them
UNIX_EPOCH = 2_208_988_800
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("ns", "timestamp"),
    [
        (0, UNIX_EPOCH << 32),
        (SECOND // 2, UNIX_EPOCH << 32 | 0x80000000),
        (SECOND // 4, UNIX_EPOCH << 32 | 0x40000000),
        (999_999_999, UNIX_EPOCH << 32 | 0xFFFFFFFC),
        (1_700_000_000 * SECOND, (1_700_000_000 + UNIX_EPOCH) << 32),
        (2_085_978_495 * SECOND, 0xFFFFFFFF << 32),  # 2036-02-07 06:28:15
        (2_085_978_496 * SECOND, 0),  # a second later they start again
        (-61_505_152 * SECOND, 0x80000000 << 32),  # 1968-01-20 03:14:08, the earliest
        (4_233_462_143 * SECOND, 0x7FFFFFFF << 32),  # 2104-02-26 09:42:23, the latest
    ],
)
def test_ntp_timestamp(ns: int, timestamp: int) -> None:
    assert ntp_timestamp(ns) == timestamp
    assert unix_ns(timestamp) == ns


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_timestamp_round_trip(ns: int) -> None:
    timestamp = ntp_timestamp(ns)
    assert 0 <= timestamp < 1 << 64
    assert unix_ns(timestamp) == ns
    assert (ntp_timestamp(ns + 1) - timestamp) % (1 << 64) in (4, 5)
