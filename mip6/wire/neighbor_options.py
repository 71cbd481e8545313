"""Options of neighbor discovery as octets: type, length in units of 8 octets with both of these counted, and what is in
it (RFC 4861 section 4.6).
"""

from collections.abc import Iterator

from mip6.wire.errors import DecodeError, DecodeReason


def join(kind: int, body: bytes) -> bytes:
    """An option. `body`: 8n+6 octets, or ValueError."""
    units, left = divmod(2 + len(body), 8)
    if left:
        raise ValueError(f"option {kind} of {2 + len(body)} octets is not a multiple of 8 octets")
    return bytes((kind, units)) + body


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each. DecodeError where one has no length, or runs past the end."""
    start = 0
    while start < len(data):
        end = start + 8 * int.from_bytes(data[start + 1 : start + 2], "big")
        if end == start or end > len(data):
            raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
        yield data[start], data[start + 2 : end]
        start = end
