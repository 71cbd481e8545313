"""What a mobility option has to be, and what it may be (RFC 6275 section 6.2)."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.flows import UnknownSuboption
from mip6.wire.messages import BindingUpdate, decode, encode
from mip6.wire.options import (
    AlternateCareOfAddress,
    BindingAuthorizationData,
    BindingIdentifier,
    BindingRefreshAdvice,
    FlowIdentification,
    FlowSummary,
    Ipv4AddressAcknowledgement,
    Ipv4CareOfAddress,
    Ipv4HomeAddress,
    LinkLayerAddress,
    MalformedBindingIdentifier,
    MessageAuthentication,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    NatDetection,
    NonceIndices,
    Option,
    UnknownOption,
    VendorSpecific,
)
from mip6.wire.registry import BindingUpdateFlag
from tests.unit.mip6.wire.golden import octets

ADDRESS = IPv6Address("2001:db8::1")
AUTHENTICATOR = bytes(range(12))


def update(*options: Option) -> BindingUpdate:
    return BindingUpdate(1, BindingUpdateFlag.ACKNOWLEDGE, 1, options)


def on_wire(options: bytes) -> bytes:
    """A Binding Update with these octets of options, which begin at octet 12."""
    return bytes((59, (12 + len(options)) // 8 - 1)) + octets("05 00 0000 0001 8000 0001") + options


def decoded(options: bytes) -> tuple[Option, ...]:
    return decode(on_wire(options)).options


@pytest.mark.req("MH-14")
@pytest.mark.parametrize(
    "text",
    [
        "03 10 0000",  # a known type past the end
        "c8 03 0000",  # an unknown type past the end
        "01 03 0000",  # padding past the end
        "00 00 00 03",  # no room for the length
        "00 00 00 01",
        "23 ff 0000",
    ],
)
def test_option_past_the_end(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decoded(octets(text))
    assert (caught.value.reason, caught.value.pointer) == (DecodeReason.BAD_OPTION_LENGTH, None)


@pytest.mark.req("MH-14")
def test_unknown_options_are_skipped_and_the_others_kept() -> None:
    options = decoded(octets("c8 00 c9 02 0102 02 02 0007 63 00"))
    assert options == (
        UnknownOption(0xC8, b""),
        UnknownOption(0xC9, b"\x01\x02"),
        BindingRefreshAdvice(7),
        UnknownOption(0x63, b""),
    )


# T-2 of the RFCs: type, and the lengths that it can have
FIXED = {2: {2}, 3: {16}, 4: {4}, 5: {12}, 6: {18}, 10: {8}, 29: {6}, 30: {6}, 31: {6}, 32: {6}}
AT_LEAST = {7: 1, 8: 1, 9: 5, 19: 5, 45: 6}
EVEN = {44}


@pytest.mark.req("MH-14", "FLOW-02", "FLOW-03")
@pytest.mark.parametrize(
    ("kind", "lengths"),
    [
        *FIXED.items(),
        *((kind, set(range(least, 256))) for kind, least in AT_LEAST.items()),
        *((kind, set(range(0, 256, 2))) for kind in EVEN),
    ],
)
def test_lengths(kind: int, lengths: set[int]) -> None:
    for length in range(256):
        options = bytes((kind, length)) + bytes(length)
        options += bytes(-(12 + len(options)) % 8)
        if length in lengths:
            [option] = decoded(options)
            assert not isinstance(option, UnknownOption)
        else:
            with pytest.raises(DecodeError) as caught:
                decoded(options)
            assert caught.value.reason is DecodeReason.BAD_OPTION_LENGTH


@pytest.mark.req("MCOA-01")
def test_lengths_of_the_binding_identifier() -> None:
    care_of = {4: None, 8: IPv4Address("10.11.12.13"), 20: IPv6Address("a0b:c0d:e0f:1011:1213:1415:1617:1819")}
    for length in range(256):
        value = (bytes((1, 2, 3, 0x84)) + bytes(range(10, 256)) + bytes(9))[:length]
        options = bytes((35, length)) + value
        [option] = decoded(options + bytes(-(12 + len(options)) % 8))
        if length in care_of:
            assert option == BindingIdentifier(0x0102, 3, home=True, priority=4, care_of=care_of[length])
        else:
            assert option == MalformedBindingIdentifier(value)


@pytest.mark.req("FLOW-03")
def test_a_flow_summary_has_up_to_127_flows_and_there_may_be_several() -> None:
    longest = FlowSummary(tuple(range(1, 128)))
    data = encode(update(longest, longest))
    assert data[12:14] == bytes((44, 254))
    assert decode(data).options == (longest, longest)


@pytest.mark.req("FLOW-02")
def test_the_longest_flow_identification() -> None:
    longest = FlowIdentification(1, 1, suboptions=(UnknownSuboption(9, bytes(247)),))
    data = encode(update(longest))
    assert data[12:14] == bytes((45, 255))
    assert decode(data).options == (longest,)


@pytest.mark.req("MCOA-09", "DS-01", "DS-04")
def test_one_bit_is_a_truth_value() -> None:
    home, prefix, force_udp = decoded(
        octets("23 04 0001 00 80 0000 1d 06 8200 00000000 1f 06 0000 00000000 01 02 0000")
    )
    assert isinstance(home, BindingIdentifier)
    assert home.home is True
    assert isinstance(prefix, Ipv4HomeAddress)
    assert prefix.prefix is True
    assert isinstance(force_udp, NatDetection)
    assert force_udp.force_udp is False


@pytest.mark.req("MH-15")
def test_content_of_padding_is_ignored() -> None:
    assert decoded(octets("01 02 0310 00 01 00 01 08 23ffffffffffffff 00 00 02 02 0007 0000000000")) == (
        BindingRefreshAdvice(7),
    )


@pytest.mark.req("MH-17")
@pytest.mark.parametrize("shift", range(8))
def test_alignment_is_not_asked_for(shift: int) -> None:
    """An Alternate Care-of Address right after the fixed part is in captures of old implementations."""
    option = octets("03 10") + ADDRESS.packed
    assert decoded(bytes(shift) + option + bytes(-(12 + shift + len(option)) % 8)) == (AlternateCareOfAddress(ADDRESS),)


@pytest.mark.req("MH-17")
def test_padding_after_authorization_data_is_read() -> None:
    assert decoded(octets("05 0c 000102030405060708090a0b 01 04 00000000")) == (
        BindingAuthorizationData(AUTHENTICATOR),
    )


@pytest.mark.req("MH-15", "MH-16")
@pytest.mark.parametrize("length", range(9))
def test_final_padding(length: int) -> None:
    """One octet is Pad1, more are one PadN with zeros, none is none."""
    data = encode(update(UnknownOption(200, bytes(length))))[14 + length :]
    expected = ["", "00", "0100", "010100", "01020000", "0103000000", "010400000000", "01050000000000"]
    assert data.hex() == expected[(2 - length) % 8]


@pytest.mark.req("MH-19", "AUTH-01")
@pytest.mark.parametrize(
    "option",
    [
        BindingAuthorizationData(AUTHENTICATOR),
        MessageAuthentication(1, 256, AUTHENTICATOR),
        MessageAuthentication(2, 3, bytes(20)),
        MessageAuthentication(1, 256, b""),
    ],
)
@pytest.mark.parametrize("length", range(8))
def test_nothing_follows_the_last_authenticator(option: BindingAuthorizationData, length: int) -> None:
    data = encode(update(UnknownOption(200, bytes(length)), option))
    assert len(data) % 8 == 0
    assert data.endswith(option.authenticator)
    assert data[-len(option.authenticator) - 1 :] != option.authenticator
    assert decode(data) == update(UnknownOption(200, bytes(length)), option)


@pytest.mark.req("MH-19")
def test_nothing_may_follow_binding_authorization_data() -> None:
    with pytest.raises(ValueError, match="last"):
        encode(update(BindingAuthorizationData(AUTHENTICATOR), NonceIndices(1, 2)))


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (MobileNetworkPrefix(64, ADDRESS), "06 12 ff 40 20010db8000000000000000000000001"),
        (Ipv4HomeAddress(24, True, IPv4Address("192.0.2.1")), "1d 06 63ff c0000201 01 02 0000"),
        (Ipv4AddressAcknowledgement(128, 24, IPv4Address("192.0.2.1")), "1e 06 80 63 c0000201 01 02 0000"),
        (NatDetection(False, 110), "1f 06 7fff 0000006e 01 02 0000"),
        (Ipv4CareOfAddress(IPv4Address("192.0.2.1")), "20 06 ffff c0000201 01 02 0000"),
        (FlowIdentification(1, 2, status=130), "2d 06 0001 0002 ff 82 01 02 0000"),
    ],
    ids=repr,
)
@pytest.mark.req("FMT-08", "FLOW-02")
def test_reserved_bits_are_ignored(expected: Option, text: str) -> None:
    assert decoded(octets(text)) == (expected,)


@pytest.mark.parametrize(
    "option",
    [
        BindingRefreshAdvice(0x10000),
        NonceIndices(-1, 0),
        BindingAuthorizationData(bytes(11)),
        BindingAuthorizationData(bytes(13)),
        MobileNetworkPrefix(256, ADDRESS),
        LinkLayerAddress(2, bytes(255)),
        MobileNodeIdentifier(1, bytes(255)),
        MessageAuthentication(1, 1 << 32, AUTHENTICATOR),
        VendorSpecific(1, 1, bytes(251)),
        Ipv4HomeAddress(64, False, IPv4Address(0)),
        Ipv4AddressAcknowledgement(0, -1, IPv4Address(0)),
        BindingIdentifier(0x10000),
        BindingIdentifier(1, priority=128),
        FlowSummary((0x10000,)),
        FlowSummary((-1,)),
        FlowSummary(tuple(range(1, 129))),
        FlowIdentification(0x10000, 1),
        FlowIdentification(1, 0x10000),
        FlowIdentification(1, 1, status=256),
        FlowIdentification(1, 1, suboptions=(UnknownSuboption(9, bytes(248)),)),
        UnknownOption(256, b""),
        UnknownOption(200, bytes(256)),
        MalformedBindingIdentifier(bytes(256)),
    ],
    ids=repr,
)
def test_value_that_does_not_fit(option: Option) -> None:
    with pytest.raises(ValueError):
        encode(update(option))
