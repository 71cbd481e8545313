"""ICMPv6 134 against octets worked out by hand, and against scapy (RFC 4861 section 4.2, RFC 6275 section 7)."""

from contextlib import suppress
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptAdvInterval,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    IPv6,
)

from mip6.wire.discovery import PrefixInformation
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.neighbor import HOP_LIMIT, RouterSolicitation, build
from mip6.wire.router import AdvertisementInterval, HomeAgentInformation, RouterAdvertisement, parse
from tests.unit.mip6.wire.golden import octets

ROUTER = IPv6Address("fe80::1")
GOLDEN = octets("""
    86 00 0000 40 a0 0708 00000000 00000000     # type, code, checksum, hop limit, M and H, 1800 s, timers
    03 04 40 e0                                 # prefix information of 32 octets, length 64, L, A and R
    ffffffff 00093a80 00000000                  # valid and preferred lifetime, reserved
    20010db8aaaa000000000000000000ff            # the router's whole address
    07 01 0000 00000bb8                         # within 3000 ms
    08 01 8000 0005 0e10                        # of mobile routers too, preference 5, 3600 s
    01 01 02005e100001                          # source link-layer address
""")


@pytest.mark.req("FMT-20")
def test_golden() -> None:
    assert parse(GOLDEN, ROUTER, HOP_LIMIT) == RouterAdvertisement(
        ROUTER,
        managed=True,
        other=False,
        home_agent=True,
        lifetime_s=1800,
        options=(
            PrefixInformation(64, True, True, True, 0xFFFFFFFF, 604800, IPv6Address("2001:db8:aaaa::ff")),
            AdvertisementInterval(3000),
            HomeAgentInformation(mobile_router=True, preference=5, lifetime_s=3600),
        ),
    )


@pytest.mark.req("FMT-20")
def test_what_scapy_sends_is_read() -> None:
    prefix = ICMPv6NDOptPrefixInfo(
        prefixlen=64, L=1, A=0, R=1, validlifetime=7200, preferredlifetime=60, prefix="2001:db8::5"
    )
    others = ICMPv6NDOptMTU(mtu=1400) / ICMPv6NDOptAdvInterval(advint=600) / ICMPv6NDOptHAInfo(pref=9, lifetime=30)
    sent = bytes(ICMPv6ND_RA(M=0, O=1, H=1, routerlifetime=0) / prefix / others)
    told = parse(sent, ROUTER, HOP_LIMIT)
    assert (told.managed, told.other, told.home_agent, told.lifetime_s) == (False, True, True, 0)
    assert list(told.find(PrefixInformation)) == [
        PrefixInformation(64, True, False, True, 7200, 60, IPv6Address("2001:db8::5"))
    ]
    assert list(told.find(AdvertisementInterval)) == [AdvertisementInterval(600)]
    assert list(told.find(HomeAgentInformation)) == [HomeAgentInformation(False, 9, 30)]


def test_scapy_reads_a_solicitation() -> None:
    packet = IPv6(build(RouterSolicitation(ROUTER)))
    assert (packet.src, packet.dst, packet.hlim) == ("fe80::1", "ff02::2", 255)
    assert not packet[ICMPv6ND_RS].payload
    checksum = packet[ICMPv6ND_RS].cksum
    del packet[ICMPv6ND_RS].cksum
    assert IPv6(bytes(packet))[ICMPv6ND_RS].cksum == checksum


@pytest.mark.parametrize(
    ("data", "source", "hop_limit", "reason"),
    [
        (GOLDEN[:15], ROUTER, 255, DecodeReason.TRUNCATED),
        (b"\x85" + GOLDEN[1:], ROUTER, 255, DecodeReason.UNKNOWN_TYPE),
        (GOLDEN, ROUTER, 254, DecodeReason.BAD_NEIGHBOR_MESSAGE),
        (GOLDEN[:1] + b"\1" + GOLDEN[2:], ROUTER, 255, DecodeReason.BAD_NEIGHBOR_MESSAGE),
        (GOLDEN, IPv6Address("2001:db8::1"), 255, DecodeReason.BAD_NEIGHBOR_MESSAGE),
        (GOLDEN[:-1], ROUTER, 255, DecodeReason.BAD_OPTION_LENGTH),
        (GOLDEN + bytes(8), ROUTER, 255, DecodeReason.BAD_OPTION_LENGTH),
        (GOLDEN[:16] + bytes((8, 2)) + bytes(14), ROUTER, 255, DecodeReason.BAD_OPTION_LENGTH),
    ],
)
def test_what_is_none(data: bytes, source: IPv6Address, hop_limit: int, reason: DecodeReason) -> None:
    with pytest.raises(DecodeError) as caught:
        parse(data, source, hop_limit)
    assert caught.value.reason is reason


@given(st.binary(max_size=96))
def test_anything_is_an_advertisement_or_none(data: bytes) -> None:
    with suppress(DecodeError):
        parse(b"\x86\0" + data, ROUTER, HOP_LIMIT)
