"""The checksum as RFC 1071 and RFC 8200 section 8.1 describe it, word by word."""

from ipaddress import IPv6Address


def reference_checksum(source: IPv6Address, destination: IPv6Address, next_header: int, data: bytes) -> int:
    pseudo_header = source.packed + destination.packed + len(data).to_bytes(4, "big") + bytes((0, 0, 0, next_header))
    octets = pseudo_header + data
    if len(octets) % 2:
        octets += b"\0"
    total = 0
    for at in range(0, len(octets), 2):
        total += octets[at] << 8 | octets[at + 1]
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
