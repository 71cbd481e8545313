"""Keys and authenticators of return routability against octets put together by hand and signed by openssl."""

import hashlib
import hmac
from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.return_routability import management_key, sign, verify
from mip6.wire.checksum import checksum_ok, with_checksum
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, decode
from mip6.wire.options import BindingAuthorizationData, BindingIdentifier, NonceIndices, Option, UnknownOption
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag

COA = IPv6Address("2001:db8:1::64")
HOA = IPv6Address("2001:db8:f00::10")
CN = IPv6Address("2001:db8:cc::1")
ADDRESSES = bytes.fromhex("20010db8000100000000000000000064 20010db800cc00000000000000000001")

HOME_TOKEN, CARE_OF_TOKEN = bytes.fromhex("0001020304050607"), bytes.fromhex("f0f1f2f3f4f5f6f7")
# What `openssl dgst -sha1` says of both, and of the first
KEY = bytes.fromhex("2b7af89283cd07794e0121a2193769f8038812a3")
KEY_TO_END = bytes.fromhex("67423ebfa8454f19ac6f4686d6c0dc731a3ddd6b")

UPDATE = BindingUpdate(
    0x1234, BindingUpdateFlag.ACKNOWLEDGE, 105, (NonceIndices(7, 9), BindingIdentifier(2, priority=2, care_of=COA))
)
UPDATE_UP_TO_AUTHENTICATOR = bytes.fromhex(
    "3b 06 05 00 0000 1234 8000 0069"  # Header Len 6: 56 octets with the authenticator
    "04 04 0007 0009"  # nonce indices
    "23 14 0002 00 02 20010db8000100000000000000000064"  # binding identifier with its care-of address
    "01 00 05 0c"  # PadN, type and length of the authorization data
)
ANSWER = BindingAcknowledgement(0, BindingAcknowledgementFlag(0), 0x1234, 105, (BindingIdentifier(2, priority=2),))
ANSWER_UP_TO_AUTHENTICATOR = bytes.fromhex("3b 03 06 00 0000 00 00 1234 0069 23 04 0002 00 02 05 0c")
END = BindingUpdate(0x1235, BindingUpdateFlag.ACKNOWLEDGE, 0, (NonceIndices(7, 0),))
END_UP_TO_AUTHENTICATOR = bytes.fromhex("3b 03 05 00 0000 1235 8000 0000 04 04 0007 0000 05 0c")


@pytest.mark.req("RR-07")
def test_the_key_is_a_hash_of_both_tokens_or_of_the_home_token_alone() -> None:
    assert management_key(HOME_TOKEN, CARE_OF_TOKEN) == KEY
    assert management_key(HOME_TOKEN) == KEY_TO_END


@pytest.mark.req("RR-08", "FMT-12", "FMT-13")
@pytest.mark.parametrize(
    ("message", "up_to_authenticator", "key", "care_of", "authenticator"),
    [  # the first 12 octets of what `openssl dgst -sha1 -mac HMAC` says
        (UPDATE, UPDATE_UP_TO_AUTHENTICATOR, KEY, COA, "5ebdf9631c08e3b8921975f7"),
        (ANSWER, ANSWER_UP_TO_AUTHENTICATOR, KEY, COA, "f2b33969cc9e735976c31b54"),
        (END, END_UP_TO_AUTHENTICATOR, KEY_TO_END, HOA, "08258502da3fbdb3a06aaa74"),
    ],
)
def test_sign(
    message: BindingUpdate | BindingAcknowledgement,
    up_to_authenticator: bytes,
    key: bytes,
    care_of: IPv6Address,
    authenticator: str,
) -> None:
    data = sign(message, key, care_of, CN)
    assert data.hex(" ") == (up_to_authenticator + bytes.fromhex(authenticator)).hex(" ")
    assert verify(data, key, care_of, CN)


@pytest.mark.req("RR-08", "RR-09", "RR-19", "MH-19")
@given(st.integers(0, 40), st.binary(min_size=20, max_size=20), st.integers(0, 0xFFFF))
def test_whatever_comes_before_it_the_authenticator_is_the_end(length: int, key: bytes, sequence: int) -> None:
    message = replace(UPDATE, sequence=sequence, options=(*UPDATE.options, UnknownOption(200, bytes(length))))
    data = sign(message, key, COA, CN)
    assert len(data) == 8 * (data[1] + 1)
    assert data[-12:] == hmac.new(key, ADDRESSES + data[:-12], hashlib.sha1).digest()[:12]
    decoded = decode(data)
    assert isinstance(decoded, BindingUpdate)
    assert decoded.options == (*message.options, BindingAuthorizationData(data[-12:]))
    summed = with_checksum(data, HOA, CN)
    assert checksum_ok(summed, HOA, CN)
    assert verify(summed, key, COA, CN)
    assert verify(summed + bytes(8), key, COA, CN), "what follows the header is no part of it"


@pytest.mark.req("RR-08")
@pytest.mark.parametrize("at", [2, 3, 7, 9, 20, -13, -12, -1])
def test_every_octet_counts_but_the_checksum(at: int) -> None:
    data = bytearray(sign(UPDATE, KEY, COA, CN))
    data[at] ^= 1
    assert not verify(bytes(data), KEY, COA, CN)


def test_another_key_or_address_makes_another_authenticator() -> None:
    data = sign(UPDATE, KEY, COA, CN)
    assert not verify(data, KEY_TO_END, COA, CN)
    assert not verify(data, KEY, HOA, CN)
    assert not verify(data, KEY, COA, CN + 1)


@pytest.mark.req("MH-19")
def test_nothing_may_follow_the_authenticator() -> None:
    padded = bytearray(sign(ANSWER, KEY, COA, CN) + bytes((1, 6, 0, 0, 0, 0, 0, 0)))
    padded[1] += 1
    assert not verify(bytes(padded), KEY, COA, CN)
    options: tuple[Option, ...] = (BindingAuthorizationData(bytes(12)), BindingIdentifier(2))
    with pytest.raises(ValueError, match="last"):
        sign(replace(ANSWER, options=options), KEY, COA, CN)
