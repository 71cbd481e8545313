"""ICMPv6 144 to 147 against octets worked out by hand (RFC 6275 sections 6.5 to 6.8)."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.wire.discovery import (
    DiscoveryMessage,
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
    PrefixInformation,
    UnknownNeighborOption,
    decode,
    encode,
)
from mip6.wire.errors import DecodeError, DecodeReason
from tests.unit.mip6.wire.golden import octets
from tests.unit.mip6.wire.reference import reference_checksum

HERE = IPv6Address("2001:db8:1::10")
THERE = IPv6Address("2001:db8:aaaa:0:fdff:ffff:ffff:fffe")

GOLDEN: dict[str, tuple[DiscoveryMessage, str]] = {
    "request": (
        HomeAgentAddressDiscoveryRequest(0x1234, mobile_router=False),
        "90 00 0000 1234 0000",  # type, code, checksum, identifier, reserved
    ),
    "request of a mobile router": (
        HomeAgentAddressDiscoveryRequest(0x1234, mobile_router=True),
        "90 00 0000 1234 8000",
    ),
    "reply": (
        HomeAgentAddressDiscoveryReply(
            0x1234, True, (IPv6Address("2001:db8:aaaa::ff"), IPv6Address("2001:db8:aaaa::fe"))
        ),
        """
        91 00 0000 1234 8000
        20010db8aaaa000000000000000000ff
        20010db8aaaa000000000000000000fe
        """,
    ),
    "reply without addresses": (HomeAgentAddressDiscoveryReply(1, False, ()), "91 00 0000 0001 0000"),
    "solicitation": (MobilePrefixSolicitation(0xABCD), "92 00 0000 abcd 0000"),
    "advertisement": (
        MobilePrefixAdvertisement(
            0xABCD,
            managed=True,
            other=False,
            options=(
                PrefixInformation(64, True, False, True, 0xFFFFFFFF, 604800, IPv6Address("2001:db8:aaaa::ff")),
                UnknownNeighborOption(1, bytes.fromhex("02005e100001")),
            ),
        ),
        """
        93 00 0000 abcd 8000              # M
        03 04 40 a0                       # prefix information of 32 octets, length 64, L and R
        ffffffff 00093a80 00000000        # valid and preferred lifetime, reserved
        20010db8aaaa000000000000000000ff  # the router's whole address
        01 01 02005e100001                # source link-layer address
        """,
    ),
    "advertisement without options": (MobilePrefixAdvertisement(1, False, True, ()), "93 00 0000 0001 4000"),
}


@pytest.mark.req("FMT-18", "FMT-19", "NEMO-21")
@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    message, text = GOLDEN[name]
    data = octets(text)
    checksum = reference_checksum(HERE, THERE, 58, data).to_bytes(2, "big")
    assert encode(message, HERE, THERE).hex(" ") == (data[:2] + checksum + data[4:]).hex(" ")
    assert decode(data) == message


@pytest.mark.req("FMT-18", "FMT-19")
@pytest.mark.parametrize(
    ("message", "text"),
    [
        (HomeAgentAddressDiscoveryRequest(1, False), "90 00 0000 0001 7fff"),
        (HomeAgentAddressDiscoveryReply(1, False, ()), "91 00 0000 0001 7fff"),
        (MobilePrefixSolicitation(1), "92 00 0000 0001 ffff"),
        (MobilePrefixSolicitation(1), "92 00 0000 0001 0000 c8 01 000000000000"),  # an option, and none is known
        (MobilePrefixAdvertisement(1, False, False, ()), "93 00 0000 0001 3fff"),
    ],
)
def test_what_is_reserved_is_ignored(message: DiscoveryMessage, text: str) -> None:
    assert decode(octets(text)) == message


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (DecodeReason.TRUNCATED, ""),
        (DecodeReason.TRUNCATED, "90 00 00"),
        (DecodeReason.TRUNCATED, "90 00 0000 0001 00"),
        (DecodeReason.TRUNCATED, "93 00 0000 0001"),
        (DecodeReason.TRUNCATED, "91 00 0000 0001 0000 20010db8"),
        (DecodeReason.UNKNOWN_TYPE, "80 00 0000 0001 0000"),
        (DecodeReason.BAD_OPTION_LENGTH, "93 00 0000 0001 0000 01"),
        (DecodeReason.BAD_OPTION_LENGTH, "93 00 0000 0001 0000 01 00 000000000000"),
        (DecodeReason.BAD_OPTION_LENGTH, "93 00 0000 0001 0000 01 02 000000000000"),
        (DecodeReason.BAD_OPTION_LENGTH, "93 00 0000 0001 0000 03 01 000000000000"),
    ],
)
@pytest.mark.req("FMT-18", "FMT-19")
def test_bad_message(reason: DecodeReason, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(octets(text))
    assert caught.value.reason is reason


@pytest.mark.parametrize("kind", [0, 2, 128, 143, 148, 255])
def test_unknown_type(kind: int) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(bytes((kind, 0, 0, 0)) + bytes(4))
    assert (caught.value.reason, caught.value.message_type) == (DecodeReason.UNKNOWN_TYPE, kind)


def test_option_that_is_not_a_multiple_of_8_octets() -> None:
    with pytest.raises(ValueError, match="8 octets"):
        encode(MobilePrefixAdvertisement(1, False, False, (UnknownNeighborOption(1, bytes(7)),)), HERE, THERE)


u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
ipv6 = st.integers(0, (1 << 128) - 1).map(IPv6Address)
prefix_information = st.builds(
    PrefixInformation, st.integers(0, 255), st.booleans(), st.booleans(), st.booleans(), u32, u32, ipv6
)
neighbor_options = st.lists(
    prefix_information
    | st.builds(
        UnknownNeighborOption,
        st.integers(0, 255).filter(lambda kind: kind != 3),
        st.integers(0, 9).flatmap(lambda units: st.binary(min_size=8 * units + 6, max_size=8 * units + 6)),
    ),
    max_size=4,
).map(tuple)
messages = (
    st.builds(HomeAgentAddressDiscoveryRequest, u16, st.booleans())
    | st.builds(HomeAgentAddressDiscoveryReply, u16, st.booleans(), st.lists(ipv6, max_size=77).map(tuple))
    | st.builds(MobilePrefixSolicitation, u16)
    | st.builds(MobilePrefixAdvertisement, u16, st.booleans(), st.booleans(), neighbor_options)
)


@pytest.mark.req("FMT-18", "FMT-19")
@given(messages)
def test_round_trip(message: DiscoveryMessage) -> None:
    data = encode(message, HERE, THERE)
    assert decode(data) == message
    assert reference_checksum(HERE, THERE, 58, data) == 0


@given(st.binary(max_size=80), st.sampled_from([144, 145, 146, 147]))
def test_any_octets(data: bytes, kind: int) -> None:
    """A value or a DecodeError, and nothing else; what is a value comes back the same."""
    try:
        message = decode(bytes((kind, 0, 0, 0)) + data)
    except DecodeError:
        return
    assert decode(encode(message, HERE, THERE)) == message
