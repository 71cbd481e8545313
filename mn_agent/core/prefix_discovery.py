"""Mobile prefix discovery: asks the home agent how long the home address is good (RFC 6275 sections 11.4.2 and 11.4.3).

It asks when the home agent says in an acknowledgement that there is something to know, when it advertises what nobody
has asked for, and before the home address comes to an end. That IPsec protects question and answer is what makes the
answer true: without, nobody asks and nothing is believed.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from math import inf

from mip6.wire.discovery import (
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
    PrefixInformation,
    decode,
    encode,
)
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mn_agent.core.settings import Home

INITIAL_SOLICIT_TIMER_S, LONGEST_S = 3.0, 32.0
"""How long to wait for an answer, twice as long each time (RFC 6275 sections 11.8 and 12)."""
AGAIN_S = 60.0
"""After an answer nothing but an advertisement makes us ask again sooner."""
PART = 0.8
"""Of what is left of the home address, after which to ask whether there is more by now."""
_FOR_EVER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PrefixDiscovery:
    """What is known of the home address, and when to ask next. `identifier`: of the last question, random at first."""

    identifier: int
    tries: int = 0
    """Without an answer."""
    due_at: float = inf
    answered_at: float = -inf
    preferred_until_at: float = inf
    """From then on the home address is deprecated: it works, but should be given up."""
    valid_until_at: float = inf


def expire(known: PrefixDiscovery, now: float) -> PrefixDiscovery:
    """When the home address has come to its end, the home agent has the last word: it may have got more time."""
    ended = replace(known, preferred_until_at=inf, valid_until_at=inf)
    return ended if known.valid_until_at <= now else known


def wish(known: PrefixDiscovery, now: float, *, hinted: bool = False) -> PrefixDiscovery:
    """There is something to ask. `hinted`: by an acknowledgement, which says no more than the last answer may have."""
    if known.tries or (hinted and now < known.answered_at + AGAIN_S):
        return known
    return replace(known, due_at=now)


def ask(known: PrefixDiscovery, home: Home, care_of: IPv6Address, now: float) -> tuple[PrefixDiscovery, Packet]:
    """The next question, from this care-of address."""
    # 0 is for advertisements that nobody has asked for
    identifier = known.identifier % 0xFFFF + 1
    timeout_s = min(INITIAL_SOLICIT_TIMER_S * 2.0**known.tries, LONGEST_S)
    asked = replace(known, identifier=identifier, tries=known.tries + 1, due_at=now + timeout_s)
    data = encode(MobilePrefixSolicitation(identifier), home.address, home.agent)
    return asked, Packet(care_of, home.agent, home.address, data, protected=True)


def left(known: PrefixDiscovery) -> PrefixDiscovery:
    """Another home agent serves us from now on: it has no answer to what this one was asked."""
    return replace(known, tries=0, due_at=inf)


def hear(known: PrefixDiscovery, home: Home, packet: Packet, now: float) -> PrefixDiscovery | str:
    """With what an ICMPv6 message from the home agent says; or why it is ignored."""
    try:
        message = decode(packet.data)
    except DecodeError as error:
        return error.reason.value
    if not isinstance(message, MobilePrefixAdvertisement):
        return f"{type(message).__name__} is not expected"
    if not known.tries or message.identifier != known.identifier:
        # Whoever it comes from may have something to say: the answer to a question of ours is what counts
        return wish(known, now)
    answered = replace(known, tries=0, due_at=inf, answered_at=now)
    own = _own(message, home.address)
    if own is not None:
        valid_at, preferred_at = (_ends_at(each, now) for each in (own.valid_lifetime, own.preferred_lifetime))
        answered = replace(answered, valid_until_at=valid_at, preferred_until_at=min(preferred_at, valid_at))
    ends = [end for end in (answered.preferred_until_at, answered.valid_until_at) if now < end < inf]
    return replace(answered, due_at=min((now + max(PART * (end - now), AGAIN_S) for end in ends), default=inf))


def _own(message: MobilePrefixAdvertisement, home_address: IPv6Address) -> PrefixInformation | None:
    """What it says of the prefix that the home address is from: of several, the longest."""
    told = [
        option
        for option in message.options
        if isinstance(option, PrefixInformation)
        and option.prefix_length <= 128
        and home_address in IPv6Network((option.prefix, option.prefix_length), strict=False)
    ]
    return max(told, key=lambda option: option.prefix_length, default=None)


def _ends_at(lifetime_s: int, now: float) -> float:
    return inf if lifetime_s == _FOR_EVER else now + lifetime_s
