"""The checksum against the algorithm as it is written down, and what it does to damage."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.wire.checksum import checksum, checksum_ok, with_checksum
from mip6.wire.registry import NextHeader
from tests.unit.mip6.wire.golden import octets
from tests.unit.mip6.wire.reference import reference_checksum

COA = IPv6Address("2001:db8:1::10")
HOA = IPv6Address("2001:db8:aaaa::1")
HA = IPv6Address("2001:db8:aaaa::ff")
UPDATE = octets("3b 01 05 00 0000 0010 c000 0019 01 02 0000")
AT = {NextHeader.MOBILITY: 4, NextHeader.ICMPV6: 2}

addresses = st.integers(0, (1 << 128) - 1).map(IPv6Address)


@pytest.mark.req("MH-05")
def test_golden() -> None:
    assert checksum(COA, HA, UPDATE) == 0xF70E
    assert with_checksum(UPDATE, COA, HA) == octets("3b 01 05 00 f70e 0010 c000 0019 01 02 0000")


@pytest.mark.req("MH-06")
def test_golden_with_the_home_address() -> None:
    assert checksum(HOA, HA, UPDATE) == 0x4C74


@pytest.mark.req("MH-05")
@given(addresses, addresses, st.binary(min_size=8, max_size=600), st.sampled_from(list(AT)))
def test_agrees_with_the_reference(
    source: IPv6Address, destination: IPv6Address, data: bytes, next_header: NextHeader
) -> None:
    at = AT[next_header]
    blank = data[:at] + bytes(2) + data[at + 2 :]
    expected = reference_checksum(source, destination, next_header, blank)
    assert checksum(source, destination, data, next_header) == expected
    complete = with_checksum(data, source, destination, next_header)
    assert complete == data[:at] + expected.to_bytes(2, "big") + data[at + 2 :]
    assert checksum_ok(complete, source, destination, next_header)


@pytest.mark.req("MH-08")
@given(st.binary(min_size=8, max_size=64), st.data())
def test_one_flipped_bit_is_noticed(data: bytes, draw: st.DataObject) -> None:
    complete = bytearray(with_checksum(data, COA, HA))
    bit = draw.draw(st.integers(0, 8 * len(complete) - 1))
    complete[bit // 8] ^= 1 << bit % 8
    assert not checksum_ok(bytes(complete), COA, HA)


@pytest.mark.req("MH-05", "MH-08")
def test_extremes() -> None:
    """A sum of all ones is right, whichever of the two zeros the sender wrote; short data isn't."""
    zero = UPDATE[:6] + (0x0010 + 0xF70E).to_bytes(2, "big") + UPDATE[8:]
    assert reference_checksum(COA, HA, 135, zero) == 0
    assert checksum(COA, HA, zero) == 0
    assert checksum_ok(zero, COA, HA)
    assert checksum_ok(zero[:4] + b"\xff\xff" + zero[6:], COA, HA)
    assert not checksum_ok(b"", COA, HA)
    assert not checksum_ok(UPDATE, COA, HA)
