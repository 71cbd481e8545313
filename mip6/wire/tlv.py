"""Options as type, length, value, with padding in between.

Mobility options (RFC 6275 section 6.2) and the options of a destination options header (RFC 8200 section 4.2) share
this form: the length counts the value only, type 0 is one octet of padding without a length, type 1 is any more of it.
"""

from collections.abc import Iterator

from mip6.wire.errors import DecodeError, DecodeReason

PAD1 = 0
PADN = 1

_PADDING = (b"", bytes((PAD1,)), *(bytes((PADN, size)) + bytes(size) for size in range(6)))


def padding(offset: int, x: int, y: int) -> bytes:
    """What brings `offset` to the next xn+y; x is 8 at most."""
    return _PADDING[(y - offset) % x]


def split(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the value of each option that isn't padding; DecodeError if one runs past the end."""
    start, end = 0, len(data)
    while start < end:
        kind = data[start]
        if kind == PAD1:
            start += 1
            continue
        start += 2
        if start > end or start + data[start - 1] > end:
            raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
        stop = start + data[start - 1]
        if kind != PADN:
            yield kind, start, stop
        start = stop
