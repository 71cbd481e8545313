"""The enrolment string: all that an agent has to know of its home agent, in one line that people can carry.

    MONAMI6-1-<base32 of: a msgpack array, CRC-32>

Base32, because no mail program changes it, and because a QR code has a mode of its own for capital letters. The string
holds the secret: whoever has it can take the home address.
"""

import base64
import binascii
import re
import zlib
from ipaddress import IPv6Address, IPv6Network
from typing import TypeAlias

import msgspec

VERSION = 1

_FORM = re.compile(r"MONAMI6-([0-9]+)-([A-Z2-7]+)")
_CHECK_SUM_OCTETS = 4


class EnrolmentError(Exception):
    """No enrolment string that we understand; the text is for people, and shows nothing of it."""


class SharedKey(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The authentication option (RFC 4285)."""

    spi: int
    key: bytes


class IkeSecret(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """IPsec with keys from IKEv2."""

    home_agent_identity: str
    secret: bytes


class Keys(msgspec.Struct, frozen=True, array_like=True):
    """One direction of IPsec with keys that never change."""

    spi: int
    encryption_key: bytes
    integrity_key: bytes


class StaticKeys(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Both."""

    up: Keys
    down: Keys


Protection: TypeAlias = SharedKey | IkeSecret | StaticKeys


class Enrolment(msgspec.Struct, frozen=True, array_like=True):
    """What the home agent tells a mobile node that is to be served. `prefixes`: of the networks behind it, if it is to
    be a mobile router. `home_agent_name`: the host that is the home agent, where its address is to be looked up.
    """

    home_agent: IPv6Address
    home_address: IPv6Address
    identity: str
    protection: Protection
    prefixes: tuple[str, ...] = ()
    home_agent_name: str | None = None


def encode(enrolment: Enrolment) -> str:
    """As a string, without blanks."""
    fields = msgspec.structs.astuple(enrolment)
    # Without the last ones it is what it was before there were any: programs of that time understand it
    while not fields[-1]:
        fields = fields[:-1]
    octets = msgspec.msgpack.encode(fields, enc_hook=_octets)
    checked = octets + zlib.crc32(octets).to_bytes(_CHECK_SUM_OCTETS, "big")
    return f"MONAMI6-{VERSION}-{base64.b32encode(checked).decode().rstrip('=')}"


def decode(text: str) -> Enrolment:
    """Raises EnrolmentError. Line breaks and blanks that came in on the way do not matter, nor does upper or lower
    case.
    """
    found = _FORM.fullmatch("".join(text.split()).upper())
    if found is None:
        raise EnrolmentError(f"this is no enrolment string: it must look like MONAMI6-{VERSION}-ABC..., in one piece")
    if int(found[1]) != VERSION:
        raise EnrolmentError(f"the enrolment string is of version {found[1]}, and this program knows {VERSION}")
    try:
        checked = base64.b32decode(found[2] + "=" * (-len(found[2]) % 8))
        octets, check_sum = checked[:-_CHECK_SUM_OCTETS], checked[-_CHECK_SUM_OCTETS:]
        if zlib.crc32(octets).to_bytes(_CHECK_SUM_OCTETS, "big") != check_sum:
            raise ValueError
        enrolment = msgspec.msgpack.decode(octets, type=Enrolment, dec_hook=_address)
        for prefix in enrolment.prefixes:
            IPv6Network(prefix)
        return enrolment
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise EnrolmentError("the enrolment string is damaged: a character is wrong or missing; copy it anew") from None


def _octets(address: object) -> bytes:
    assert isinstance(address, IPv6Address)
    return address.packed


def _address(_kind: type, octets: object) -> IPv6Address:
    if not isinstance(octets, bytes):
        raise ValueError
    return IPv6Address(octets)
