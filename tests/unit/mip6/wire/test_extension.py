"""Home Address option, type 2 routing header and whole packets (RFC 6275 sections 6.3 and 6.4)."""

from collections.abc import Callable
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.wire.checksum import checksum_ok
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.extension import (
    Packet,
    build_from_mobile_node,
    build_to_mobile_node,
    home_address_option,
    is_routable,
    parse_home_address_option,
    parse_type2_routing_header,
    parse_unbound_home_address,
    type2_routing_header,
)
from mip6.wire.registry import NextHeader
from tests.unit.mip6.wire.golden import octets

COA = IPv6Address("2001:db8:1::10")
HOA = IPv6Address("2001:db8:aaaa::1")
HA = IPv6Address("2001:db8:aaaa::ff")
COA_HEX = "20010db8000100000000000000000010"
HOA_HEX = "20010db8aaaa00000000000000000001"
HA_HEX = "20010db8aaaa000000000000000000ff"

UPDATE = octets("3b 01 05 00 0000 0010 c000 0019 01 02 0000")
ACKNOWLEDGEMENT = octets("3b 01 06 00 0000 00 00 0010 0019 01 02 0000")
NOT_ROUTABLE = ["::", "::1", "fe80::1", "ff02::1", "ff0e::1", "::ffff:192.0.2.1"]


@pytest.mark.req("FMT-14")
def test_home_address_option() -> None:
    assert home_address_option(HOA, NextHeader.MOBILITY) == octets(f"87 02 01 02 0000 c9 10 {HOA_HEX}")
    assert home_address_option(HOA, NextHeader.ICMPV6)[0] == 58


def test_a_home_address_that_nobody_takes_is_read_from_its_header_in_front_of_payload() -> None:
    assert parse_unbound_home_address(octets(f"3a 02 01 02 0000 5e 10 {HOA_HEX} 80 00 0000")) == HOA
    for wrong in (f"3a 02 01 02 0000 c9 10 {HOA_HEX}", f"3a 02 01 02 0000 5e 0f {HOA_HEX}", "3a 00 01 04 0000 0000"):
        with pytest.raises(DecodeError, match=DecodeReason.NO_HOME_ADDRESS.value):
            parse_unbound_home_address(octets(wrong))
    with pytest.raises(DecodeError, match=DecodeReason.BAD_OPTION_LENGTH.value):
        parse_unbound_home_address(octets("3a 02 01 02 0000 5e 10 0000"))


@pytest.mark.req("PKT-07")
@pytest.mark.parametrize("address", NOT_ROUTABLE)
def test_nobody_has_a_home_address_that_is_not_routable(address: str) -> None:
    with pytest.raises(DecodeError, match=DecodeReason.BAD_HOME_ADDRESS.value):
        parse_unbound_home_address(octets("3a 02 01 02 0000 5e 10") + IPv6Address(address).packed)


@pytest.mark.req("FMT-16")
def test_type2_routing_header() -> None:
    assert type2_routing_header(HOA, NextHeader.MOBILITY) == octets(f"87 02 02 01 00000000 {HOA_HEX}")
    assert type2_routing_header(HOA, NextHeader.ICMPV6)[0] == 58


@pytest.mark.req("MH-01", "MH-05")
@pytest.mark.parametrize("build", [build_from_mobile_node, build_to_mobile_node])
def test_plain_packet(build: Callable[[Packet], bytes]) -> None:
    assert build(Packet(COA, HA, None, UPDATE)) == octets(
        f"""
        60 000000 0010 87 40                  # version, payload length, next header, hop limit
        {COA_HEX} {HA_HEX}                    # source, destination
        3b 01 05 00 f70e 0010 c000 0019 01 02 0000
        """
    )


@pytest.mark.req("FMT-14", "MH-06")
def test_packet_from_the_mobile_node() -> None:
    assert build_from_mobile_node(Packet(COA, HA, HOA, UPDATE)) == octets(
        f"""
        60 000000 0028 3c 40                  # version, payload length, next header, hop limit
        {COA_HEX} {HA_HEX}                    # source, destination
        87 02 01 02 0000 c9 10 {HOA_HEX}      # destination options
        3b 01 05 00 4c74 0010 c000 0019 01 02 0000  # its checksum is over home address and home agent
        """
    )


@pytest.mark.req("FMT-16", "MH-07")
def test_packet_to_the_mobile_node() -> None:
    assert build_to_mobile_node(Packet(HA, COA, HOA, ACKNOWLEDGEMENT)) == octets(
        f"""
        60 000000 0028 2b 40                  # version, payload length, next header, hop limit
        {HA_HEX} {COA_HEX}                    # source, destination
        87 02 02 01 00000000 {HOA_HEX}        # routing
        3b 01 06 00 0b75 00 00 0010 0019 01 02 0000  # its checksum is over home agent and home address
        """
    )


@pytest.mark.req("MH-06", "MH-07", "MH-08")
def test_checksum_with_the_wire_address_is_wrong() -> None:
    from_mobile_node = build_from_mobile_node(Packet(COA, HA, HOA, UPDATE))[64:]
    assert checksum_ok(from_mobile_node, HOA, HA)
    assert not checksum_ok(from_mobile_node, COA, HA)
    to_mobile_node = build_to_mobile_node(Packet(HA, COA, HOA, ACKNOWLEDGEMENT))[64:]
    assert checksum_ok(to_mobile_node, HA, HOA)
    assert not checksum_ok(to_mobile_node, HA, COA)


@pytest.mark.req("FMT-14", "FMT-15")
@pytest.mark.parametrize(
    ("text", "exchanged"),
    [
        (f"87 02 01 02 0000 c9 10 {HOA_HEX}", True),
        (f"87 02 01 02 0000 1e 10 {HOA_HEX}", False),  # as the packet filter rewrites it
        (f"87 02 c9 10 {HOA_HEX} 01 02 0000", True),
        (f"87 02 00 00 00 00 c9 10 {HOA_HEX}", True),
        (f"87 03 04 01 05 00 01 06 000000000000 c9 10 {HOA_HEX}", True),  # behind a tunnel encapsulation limit
        (f"87 03 3f 01 05 00 01 06 000000000000 1e 10 {HOA_HEX}", False),  # behind an unknown one that may be skipped
    ],
)
def test_parse_home_address_option(text: str, *, exchanged: bool) -> None:
    assert parse_home_address_option(octets(text)) == (HOA, exchanged)


@pytest.mark.req("FMT-15")
@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (DecodeReason.TRUNCATED, ""),
        (DecodeReason.TRUNCATED, "87"),
        (DecodeReason.TRUNCATED, "87 00 01 04 000000"),
        (DecodeReason.TRUNCATED, f"87 03 01 02 0000 c9 10 {HOA_HEX}"),
        (DecodeReason.TRUNCATED, f"87 01 01 02 0000 c9 10 {HOA_HEX}"),
        (DecodeReason.BAD_OPTION_LENGTH, f"87 02 01 02 0000 c9 11 {HOA_HEX}"),
        (DecodeReason.BAD_OPTION_LENGTH, f"87 02 01 02 0000 c9 0f {HOA_HEX}"),
        (DecodeReason.BAD_OPTION_LENGTH, "87 00 01 02 0000 c9 00"),
        (DecodeReason.NO_HOME_ADDRESS, "87 00 01 04 00000000"),
        (DecodeReason.DUPLICATE_HOME_ADDRESS, f"87 04 c9 10 {HOA_HEX} c9 10 {HOA_HEX} 00 00"),
        (DecodeReason.DUPLICATE_HOME_ADDRESS, f"87 04 c9 10 {HOA_HEX} 1e 10 {HOA_HEX} 00 00"),
        (DecodeReason.BAD_OPTION, f"87 02 c2 02 0000 c9 10 {HOA_HEX}"),  # to discard when not understood
        (DecodeReason.BAD_OPTION, f"87 02 44 02 0000 c9 10 {HOA_HEX}"),
    ],
)
def test_bad_home_address_option(reason: DecodeReason, text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_home_address_option(octets(text))
    assert caught.value.reason is reason


@pytest.mark.req("FMT-16")
@pytest.mark.parametrize(
    ("text", "exchanged"),
    [
        (f"87 02 02 01 00000000 {HOA_HEX}", False),
        (f"87 02 fd 00 00000000 {HOA_HEX}", False),  # as the packet filter rewrites it
        (f"3b 02 02 01 ffffffff {HOA_HEX}", False),  # reserved octets are ignored
        (f"87 02 02 00 00000000 {HOA_HEX}", True),  # as the kernel leaves it
    ],
)
def test_parse_type2_routing_header(text: str, *, exchanged: bool) -> None:
    assert parse_type2_routing_header(octets(text)) == (HOA, exchanged)


@pytest.mark.req("FMT-16")
@pytest.mark.parametrize(
    "text",
    [
        "",
        f"87 02 02 01 00000000 {HOA_HEX} 00",
        f"87 04 02 01 00000000 {HOA_HEX} {COA_HEX}",  # two addresses
        f"87 04 02 01 00000000 {HOA_HEX}",
        f"87 02 02 02 00000000 {HOA_HEX}",
        f"87 02 00 01 00000000 {HOA_HEX}",  # type
        f"87 02 04 01 00000000 {HOA_HEX}",
        f"87 02 fd 01 00000000 {HOA_HEX}",
    ],
)
def test_bad_routing_header(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_type2_routing_header(octets(text))
    assert caught.value.reason is DecodeReason.BAD_ROUTING_HEADER


@pytest.mark.req("FMT-15")
@given(st.binary(min_size=6, max_size=6), st.binary(max_size=40), st.sampled_from([b"", b"\xc9\x10", b"\x1e\x10"]))
def test_any_options(first: bytes, then: bytes, middle: bytes) -> None:
    """A routable address or a DecodeError, and nothing else."""
    options = first + middle + then
    options += bytes(-(2 + len(options)) % 8)
    try:
        address, _ = parse_home_address_option(bytes((135, (2 + len(options)) // 8 - 1)) + options)
    except DecodeError:
        return
    assert is_routable(address)
    assert address.packed in options


@pytest.mark.req("FMT-09", "FMT-15")
@pytest.mark.parametrize("address", NOT_ROUTABLE)
def test_home_address_that_is_not_routable(address: str) -> None:
    for parse, header in (
        (parse_home_address_option, home_address_option(IPv6Address(address), NextHeader.MOBILITY)),
        (parse_type2_routing_header, type2_routing_header(IPv6Address(address), NextHeader.MOBILITY)),
    ):
        with pytest.raises(DecodeError) as caught:
            parse(header)
        assert caught.value.reason is DecodeReason.BAD_HOME_ADDRESS


@pytest.mark.req("FMT-09")
def test_is_routable() -> None:
    assert not any(is_routable(IPv6Address(address)) for address in NOT_ROUTABLE)
    assert all(is_routable(IPv6Address(address)) for address in ("2001:db8::1", "fd00::1", "fec0::1", "64:ff9b::1"))
