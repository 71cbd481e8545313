"""Options as type, length, value, with padding in between.

Mobility options (RFC 6275 section 6.2), the sub-options of a Flow Identification option (RFC 6089 section 4.2.1) and
the options of a destination options header (RFC 8200 section 4.2) share this form: the length counts the value only,
type 0 is one octet of padding without a length, type 1 is any more of it.
"""

from collections.abc import Iterator

from mip6.wire.errors import DecodeError, DecodeReason

PAD1 = 0
PADN = 1

_PADDING = (b"", bytes((PAD1,)), *(bytes((PADN, size)) + bytes(size) for size in range(6)))


def padding(offset: int, x: int, y: int) -> bytes:
    """What brings `offset` to the next xn+y; x is 8 at most."""
    return _PADDING[(y - offset) % x]


def split(data: bytes, *, lenient: bool = False) -> Iterator[tuple[int, int, int]]:
    """Type, start and end of the value of each option that isn't padding; DecodeError if one runs past the end.

    With `lenient` that one comes out as well, padding or not, as the last and with an end behind that of `data`; it may
    have no length.
    """
    start, end = 0, len(data)
    while start < end:
        kind = data[start]
        if kind == PAD1:
            start += 1
            continue
        start += 2
        if start > end or start + data[start - 1] > end:
            if not lenient:
                raise DecodeError(DecodeReason.BAD_OPTION_LENGTH)
            yield kind, start, end + 1
            return
        stop = start + data[start - 1]
        if kind != PADN:
            yield kind, start, stop
        start = stop
