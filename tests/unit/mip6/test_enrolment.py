"""The enrolment string: what is in it, and what is said of one that arrived damaged."""

import base64
import zlib
from ipaddress import IPv6Address

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.enrolment import Enrolment, EnrolmentError, IkeSecret, Keys, SharedKey, StaticKeys, decode, encode

HOME_AGENT, HOME = IPv6Address("2001:db8:aa::1"), IPv6Address("2001:db8:f00::10")
LAPTOP = Enrolment(HOME_AGENT, HOME, "mn@a.b", SharedKey(1000, bytes(range(16))))
OCTETS = bytes.fromhex(
    "94"  # an array of four
    "c410 20010db800aa00000000000000000001"
    "c410 20010db80f0000000000000000000010"
    "a6 6d6e40612e62"  # a text of six octets
    "93 00 cd03e8 c410 000102030405060708090a0b0c0d0e0f"  # the first kind of protection
)

secrets = st.binary(min_size=16, max_size=64)
spis = st.integers(256, 0xFFFFFFFF)
directions = st.builds(Keys, spis, secrets, secrets)
enrolments = st.builds(
    Enrolment,
    st.ip_addresses(v=6),
    st.ip_addresses(v=6),
    st.text(min_size=1, max_size=80),
    st.one_of(
        st.builds(SharedKey, spis, secrets),
        st.builds(IkeSecret, st.text(min_size=1, max_size=80), secrets),
        st.builds(StaticKeys, directions, directions),
    ),
    st.lists(st.sampled_from(("2001:db8:b05::/56", "2001:db8:f00:10::/64")), max_size=2).map(tuple),
)


def string(octets: bytes, version: int = 1) -> str:
    checked = octets + zlib.crc32(octets).to_bytes(4, "big")
    return f"MONAMI6-{version}-{base64.b32encode(checked).decode().rstrip('=')}"


def test_it_is_what_the_octets_by_hand_give() -> None:
    assert encode(LAPTOP) == string(OCTETS)


def test_a_prefix_that_is_none_is_damage() -> None:
    with pytest.raises(EnrolmentError, match="damaged"):
        decode(encode(msgspec.structs.replace(LAPTOP, prefixes=("2001:db8::1/64",))))


def test_it_is_short_and_in_one_piece() -> None:
    text = encode(LAPTOP)
    assert len(text) < 140
    assert text.isascii()
    assert text.upper() == text
    assert not set(text) & set(" \n+/=")


@given(enrolments)
def test_what_was_encoded_is_decoded(enrolment: Enrolment) -> None:
    assert decode(encode(enrolment)) == enrolment


@pytest.mark.parametrize("spoil", [str.lower, lambda text: f"  {text[:40]}\n{text[40:90]} \t{text[90:]}\r\n"])
def test_what_happens_on_the_way_does_no_harm(spoil: object) -> None:
    assert decode(spoil(encode(LAPTOP))) == LAPTOP  # type: ignore[operator]


@given(enrolments, st.data())
def test_every_changed_character_is_noticed(enrolment: Enrolment, data: st.DataObject) -> None:
    text = encode(enrolment)
    place = data.draw(st.integers(len("MONAMI6-1-"), len(text) - 2))  # the last one has bits that say nothing
    other = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").filter(lambda one: one != text[place]))
    with pytest.raises(EnrolmentError, match="damaged"):
        decode(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no enrolment string"),
        ("hello", "must look like MONAMI6-1-"),
        ("MONAMI6-1-A!", "no enrolment string"),
        (string(OCTETS, version=2), "of version 2, and this program knows 1"),
        (string(OCTETS)[:-9], "damaged"),
        ("MONAMI6-1-A", "damaged"),
        (string(b"\x94"), "damaged"),
        (string(msgspec.msgpack.encode([b"short", b"", "a@b", [0, 1, b""]])), "damaged"),
        (string(msgspec.msgpack.encode(["text", b"", "a@b", [0, 1, b""]])), "damaged"),
    ],
)
def test_what_is_wrong_is_said_without_showing_it(text: str, what: str) -> None:
    with pytest.raises(EnrolmentError, match=what) as caught:
        decode(text)
    assert text == "" or text.removeprefix("MONAMI6-1-")[:12] not in str(caught.value)
