"""ICMPv6 135 and 136 against scapy (RFC 4861 sections 4.3 and 4.4)."""

from contextlib import suppress
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6

from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.neighbor import (
    ALL_NODES,
    HOP_LIMIT,
    NOBODY,
    NeighborAdvertisement,
    NeighborMessage,
    NeighborSolicitation,
    build,
    parse,
    solicited_node,
)

HERE, TARGET = IPv6Address("fe80::1"), IPv6Address("2001:db8:f00::12:3456")
MAC = bytes.fromhex("026d36000001")
QUESTION = NeighborSolicitation(NOBODY, solicited_node(TARGET), TARGET)
ANNOUNCEMENT = NeighborAdvertisement(HERE, ALL_NODES, TARGET, MAC, router=False, solicited=False, override=True)
HEADER = 40


def read(packet: bytes, hop_limit: int = HOP_LIMIT) -> NeighborMessage:
    return parse(packet[HEADER:], IPv6Address(packet[8:24]), IPv6Address(packet[24:40]), hop_limit)


def test_the_group_in_which_an_address_is_asked_for() -> None:
    assert solicited_node(TARGET) == IPv6Address("ff02::1:ff12:3456")


def test_scapy_reads_a_question() -> None:
    packet = IPv6(build(QUESTION))
    assert (packet.src, packet.dst, packet.hlim) == ("::", "ff02::1:ff12:3456", 255)
    assert packet[ICMPv6ND_NS].tgt == str(TARGET)
    assert not packet[ICMPv6ND_NS].payload, "from nobody there must be no hardware address"


@pytest.mark.parametrize("flag", ["router", "solicited", "override"])
def test_scapy_reads_an_advertisement(flag: str) -> None:
    flags = {name: name == flag for name in ("router", "solicited", "override")}
    packet = IPv6(build(NeighborAdvertisement(HERE, ALL_NODES, TARGET, MAC, **flags)))
    told = packet[ICMPv6ND_NA]
    assert (told.tgt, told[ICMPv6NDOptDstLLAddr].lladdr) == (str(TARGET), "02:6d:36:00:00:01")
    assert {"router": bool(told.R), "solicited": bool(told.S), "override": bool(told.O)} == flags
    checksum = told.cksum
    del told.cksum
    assert IPv6(bytes(packet))[ICMPv6ND_NA].cksum == checksum


@pytest.mark.parametrize("message", [QUESTION, ANNOUNCEMENT])
def test_what_is_built_can_be_read(message: NeighborMessage) -> None:
    assert read(build(message)) == message


def test_what_others_send_is_read() -> None:
    packet = bytes(IPv6(src="fe80::2", dst="fe80::1") / ICMPv6ND_NA(tgt=str(TARGET), R=1, S=1, O=0))
    assert read(packet) == NeighborAdvertisement(
        IPv6Address("fe80::2"), HERE, TARGET, b"", router=True, solicited=True, override=False
    )


@pytest.mark.parametrize(
    ("packet", "hop_limit", "reason"),
    [
        (build(QUESTION)[:-1], 255, DecodeReason.TRUNCATED),
        (build(QUESTION), 254, DecodeReason.BAD_NEIGHBOR_MESSAGE),
        (
            build(QUESTION)[:HEADER] + b"\x87\x01" + build(QUESTION)[HEADER + 2 :],
            255,
            DecodeReason.BAD_NEIGHBOR_MESSAGE,
        ),
        (build(QUESTION)[:HEADER] + b"\x86" + build(QUESTION)[HEADER + 1 :], 255, DecodeReason.UNKNOWN_TYPE),
        (build(QUESTION)[:-16] + ALL_NODES.packed, 255, DecodeReason.BAD_NEIGHBOR_MESSAGE),
        (build(ANNOUNCEMENT)[:-1], 255, DecodeReason.BAD_OPTION_LENGTH),
        (build(QUESTION) + bytes(8), 255, DecodeReason.BAD_OPTION_LENGTH),
    ],
)
def test_what_is_none(packet: bytes, hop_limit: int, reason: DecodeReason) -> None:
    with pytest.raises(DecodeError) as caught:
        read(packet, hop_limit)
    assert caught.value.reason is reason


@given(st.binary(max_size=64), st.sampled_from((135, 136)))
def test_anything_is_a_message_or_none(data: bytes, kind: int) -> None:
    with suppress(DecodeError):
        parse(bytes((kind, 0)) + data, HERE, ALL_NODES, HOP_LIMIT)
