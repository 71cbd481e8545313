"""Mobile prefix discovery: tells mobile nodes of the prefixes of their home network (RFC 6275 section 10.6).

Who asks is answered at once. Of what changes those hear that have a binding, some time later, and again until they
ask: only the answer to a question proves that they know. All of that is for mobile nodes that IPsec protects; nobody
else could tell a true answer from a false one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from math import inf
from zlib import crc32

from home_agent.core.prefixes import HomePrefix, is_changed
from home_agent.core.settings import PrefixDiscovery

BETWEEN_S = 1.0
"""A mobile node gets no more than one advertisement in so long."""
FIRST_TIMEOUT_S, RETRIES = 3.0, 3
"""PREFIX_ADV_TIMEOUT, doubled each time, and PREFIX_ADV_RETRIES (RFC 6275 section 12)."""
UNASKED = 0
"""Identifier of an advertisement that nobody has asked for."""


@dataclass(frozen=True, slots=True)
class Question:
    """A solicitation, and the care-of address it came from."""

    identifier: int
    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class Telling:
    """What a mobile node knows, or is to be told at `due_at`."""

    known: tuple[HomePrefix, ...]
    due_at: float
    sent_at: float = -inf
    tries: int = 0
    """Without a question after."""
    question: Question | None = None


Tellings = Mapping[IPv6Address, Telling]
"""By home address."""


def due_at(tellings: Tellings) -> float:
    """When there is something to tell; infinity for never."""
    return min((one.due_at for one in tellings.values()), default=inf)


def ask(telling: Telling, question: Question, now: float) -> Telling:
    """The mobile node has asked."""
    return replace(telling, question=question, due_at=max(now, telling.sent_at + BETWEEN_S))


def follow(
    tellings: Tellings, bound: Mapping[IPv6Address, tuple[HomePrefix, ...]], settings: PrefixDiscovery, now: float
) -> Tellings:
    """For these mobile nodes, which have bindings and are to know these prefixes, and for no others."""
    followed = {}
    for home_address, prefixes in bound.items():
        telling = tellings.get(home_address) or Telling(prefixes, now + settings.max_interval_s)
        if telling.question is None and not telling.tries and is_changed(telling.known, prefixes):
            at = telling.sent_at + BETWEEN_S, now + _delay_s(home_address, prefixes, settings, now)
            telling = replace(telling, known=prefixes, tries=1, due_at=max(at))
        followed[home_address] = telling
    return followed


def _delay_s(
    home_address: IPv6Address, prefixes: tuple[HomePrefix, ...], settings: PrefixDiscovery, now: float
) -> float:
    """Different for each mobile node, so that not all of them are told at once (RFC 6275 section 10.6.2)."""
    longest_s = min(settings.max_interval_s, prefixes[0].preferred.left_s(now))
    spread_s = abs(longest_s - settings.min_interval_s)
    return settings.min_interval_s + crc32(home_address.packed) / (1 << 32) * spread_s


def sent(telling: Telling, prefixes: tuple[HomePrefix, ...], settings: PrefixDiscovery, now: float) -> Telling:
    """An advertisement with these has been sent."""
    after = replace(telling, known=prefixes, sent_at=now, question=None)
    if telling.question is not None or telling.tries > RETRIES:
        return replace(after, tries=0, due_at=now + settings.max_interval_s)
    tries = max(telling.tries, 1)
    return replace(after, tries=tries + 1, due_at=now + FIRST_TIMEOUT_S * 2.0 ** (tries - 1))
