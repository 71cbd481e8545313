"""The authenticator that ends a Mobility Header: the first 96 bits of HMAC-SHA1 over two addresses and the header up to
it, taken with a checksum of zero.

It is the same towards a home agent (RFC 4285 section 5.1) and towards a correspondent (RFC 6275 section 6.2.7); only
the option around it differs, and whose addresses they are.
"""

import hmac
from ipaddress import IPv6Address

LENGTH = 12
"""Octets."""
BLANK = bytes(LENGTH)
"""In its place, as long as it is not known."""


def seal(header: bytes, key: bytes, care_of: IPv6Address, other: IPv6Address) -> bytes:
    """The whole Mobility Header, of one that ends with a blank authenticator."""
    signed = header[:-LENGTH]
    return signed + _authenticator(signed, key, care_of, other)


def split(data: bytes) -> tuple[bytes, bytes]:
    """What an authenticator at the end of a Mobility Header covers, and that authenticator. What follows the header in
    `data` is left out.
    """
    header = data[: 8 * (data[1] + 1)]
    return header[:-LENGTH], header[-LENGTH:]


def is_right(signed: bytes, authenticator: bytes, key: bytes, care_of: IPv6Address, other: IPv6Address) -> bool:
    """Takes as long whatever is wrong."""
    return hmac.compare_digest(_authenticator(signed, key, care_of, other), authenticator)


def _authenticator(signed: bytes, key: bytes, care_of: IPv6Address, other: IPv6Address) -> bytes:
    text = care_of.packed + other.packed + signed[:4] + bytes(2) + signed[6:]
    return hmac.digest(key, text, "sha1")[:LENGTH]
