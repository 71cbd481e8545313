"""The key between a mobile node and a correspondent, which return routability gives both, and what is signed with it
(RFC 6275 section 5.2). Pure.

The correspondent makes two keygen tokens and forgets them; whoever gets both is at the home address and at the care-of
address.
"""

import hashlib
from dataclasses import replace
from ipaddress import IPv6Address

from mip6 import authenticator
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, encode
from mip6.wire.options import BindingAuthorizationData
from mip6.wire.registry import OptionType

# RFC 6275 section 12
MAX_TOKEN_LIFETIME_S = 210.0
MAX_RR_BINDING_LIFETIME_S = 420

COOKIE_LENGTH = 8
"""Octets (RFC 6275 section 6.1.3)."""

_OPTION_START = bytes((OptionType.BINDING_AUTHORIZATION_DATA, authenticator.LENGTH))


def management_key(home_token: bytes, care_of_token: bytes = b"") -> bytes:
    """The binding management key, 20 octets. To end a binding it is the home token's alone (RFC 6275 section 5.2.5)."""
    return hashlib.sha1(home_token + care_of_token).digest()


def sign(
    message: BindingUpdate | BindingAcknowledgement, key: bytes, care_of: IPv6Address, correspondent: IPv6Address
) -> bytes:
    """The Mobility Header of `message` with binding authorization data as its last option; its checksum is zero.

    `message` has no such option yet. `care_of` is the address being registered; the home address, if a binding ends.
    It is the same in both directions (RFC 6275 section 6.2.7).
    """
    blank = BindingAuthorizationData(authenticator.BLANK)
    return authenticator.seal(encode(replace(message, options=(*message.options, blank))), key, care_of, correspondent)


def verify(data: bytes, key: bytes, care_of: IPv6Address, correspondent: IPv6Address) -> bool:
    """Whether `data`, a whole Mobility Header that could be decoded, ends with the right authenticator. Nothing may
    follow it, not even padding.
    """
    signed, last = authenticator.split(data)
    return signed.endswith(_OPTION_START) and authenticator.is_right(signed, last, key, care_of, correspondent)
