"""Which packet is which, in captures put together by hand."""

import struct
from ipaddress import IPv6Address

import pytest

from mn_lab.capture import packets
from mn_lab.commands import LabError
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS

CARE_OF, HOME_AGENT = IPv6Address("2001:db8:2::10"), IPv6Address("2001:db8:aa::1")


def ipv6(next_header: int, source: IPv6Address, destination: IPv6Address, payload: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64) + source.packed + destination.packed + payload


def frame(
    source: IPv6Address, destination: IPv6Address, number: int, mark: bytes = b"m6lm", protocol: int = 17
) -> bytes:
    udp = struct.pack("!HHHH", 5800, 5800, 16, 0) + mark + number.to_bytes(4, "big")
    inner = ipv6(protocol, source, destination, udp)
    return bytes(12) + b"\x86\xdd" + ipv6(41, CARE_OF, HOME_AGENT, inner)


def pcap(*frames: bytes, magic: int = 0xA1B2C3D4) -> bytes:
    header = struct.pack("=IHHiIII", magic, 2, 4, 0, 0, 128, 1)
    return header + b"".join(struct.pack("=IIII", 1, 2, len(data), len(data) + 100) + data for data in frames)


UP, DOWN = (HOME_ADDRESS, CORRESPONDENT_ADDRESS), (CORRESPONDENT_ADDRESS, HOME_ADDRESS)


def test_direction_and_number_of_each_packet() -> None:
    assert list(packets(pcap(frame(*UP, 7), frame(*DOWN, 1 << 20)))) == [("up", 7), ("down", 1 << 20)]


def test_other_packets_are_left_out() -> None:
    others = [frame(*UP, 1, mark=b"else"), frame(*UP, 2, protocol=6), frame(*UP, 3)[:100], b""]
    assert list(packets(pcap(*others, frame(*UP, 4)))) == [("up", 4)]


def test_a_file_that_breaks_off() -> None:
    data = pcap(frame(*UP, 1), frame(*UP, 2))
    for length in range(24, len(data)):
        assert list(packets(data[:length])) in ([], [("up", 1)])


@pytest.mark.parametrize("data", [b"", b"something else entirely", pcap(magic=0xD4C3B2A1)])
def test_what_is_no_capture(data: bytes) -> None:
    with pytest.raises(LabError, match="not a capture"):
        list(packets(data))
