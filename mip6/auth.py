"""Authentication of mobility messages without IPsec: the MN-HA authenticator and its timestamps (RFC 4285)."""

from dataclasses import replace
from ipaddress import IPv6Address
from typing import TypeAlias

from mip6 import authenticator
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    encode,
)
from mip6.wire.options import MessageAuthentication
from mip6.wire.registry import AuthenticationSubtype, OptionType

Authenticated: TypeAlias = (
    BindingUpdate | BindingAcknowledgement | BindingRevocationIndication | BindingRevocationAcknowledgement
)

_OPTION_START = bytes((OptionType.MESSAGE_AUTHENTICATION, 5 + authenticator.LENGTH, AuthenticationSubtype.MN_HA))

# RFC 5905 section 6: seconds from the start of 1900 to that of 1970, and until 32 bits of seconds start again
_UNIX_EPOCH = 2_208_988_800
_ERA = 1 << 32
_NS = 1_000_000_000


def sign(message: Authenticated, key: bytes, spi: int, careof: IPv6Address, home_address: IPv6Address) -> bytes:
    """The Mobility Header of `message` with an MN-HA authenticator as its last option; its checksum is zero.

    `message` has no such option yet. `spi` names the key to the peer. `careof` is the care-of address being registered;
    where a Binding Update registers several at once, which RFC 4285 could not know of, the source of its packet.
    """
    blank = MessageAuthentication(AuthenticationSubtype.MN_HA, spi, authenticator.BLANK)
    return authenticator.seal(encode(replace(message, options=(*message.options, blank))), key, careof, home_address)


def verify(data: bytes, message: Authenticated, key: bytes, careof: IPv6Address, home_address: IPv6Address) -> bool:
    """Whether `data`, the Mobility Header that `message` was decoded from, ends with the right authenticator.

    The MN-HA option has to be the only one and the last. An MN-AAA option after it (RFC 4285 section 5) is for a home
    agent that asks an AAA server: here it makes the answer False.
    """
    options = [option for option in message.options if isinstance(option, MessageAuthentication)]
    if len(options) != 1:
        return False
    signed, last = authenticator.split(data)
    # Padding after the option could only look like this if it held a copy of an authenticator that covers the copy
    if options[0].authenticator != last or not signed.endswith(_OPTION_START + options[0].spi.to_bytes(4, "big")):
        return False
    return authenticator.is_right(signed, last, key, careof, home_address)


def ntp_timestamp(ns: int) -> int:
    """The NTP timestamp of 64 bits, seconds and fraction, for nanoseconds since the Unix epoch."""
    seconds, ns = divmod(ns, _NS)
    # Rounded up, so that it comes back as the same nanosecond
    return (seconds + _UNIX_EPOCH) % _ERA << 32 | -(-(ns << 32) // _NS)


def unix_ns(timestamp: int) -> int:
    """Nanoseconds since the Unix epoch for an NTP timestamp between 1968 and 2104.

    Its seconds start again in 2036; those in the lower half count from there (RFC 4330 section 3).
    """
    seconds, fraction = divmod(timestamp, _ERA)
    if seconds < _ERA // 2:
        seconds += _ERA
    return (seconds - _UNIX_EPOCH) * _NS + (fraction * _NS >> 32)
