"""The prefixes of the home network, and how long each of them is good (RFC 6275 section 10.6.1).

The operator says when one ends; of others the router advertisements on the home link tell. One of which nobody says
anything is good for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from math import inf

from home_agent.core.home_agents import ends_at
from home_agent.core.settings import Prefix, Settings
from mip6.wire.discovery import PrefixInformation
from mip6.wire.router import RouterAdvertisement

MOST = 16
"""Prefixes to hear of: whoever invents more of them gains nothing."""
SHORTEST_S = 7200.0
"""An advertisement, which is not authenticated, leaves a prefix at least so much time (RFC 4862 section 5.5.3)."""
_SLACK_S = 4.0
"""Lifetimes are told in whole seconds, and those of bindings in units of 4 s."""
_MOST_S = 0xFFFFFFFE
_FOR_EVER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`until_at`: the end. `advertised_s`: what is left, where somebody says the same again and again; 0 for nobody."""

    until_at: float = inf
    advertised_s: int = 0

    def left_s(self, now: float) -> float:
        return max(self.until_at - now, 0.0)

    def told_s(self, now: float) -> int:
        """As neighbor discovery tells it (RFC 4861 section 4.6.2)."""
        return _FOR_EVER if self.until_at == inf else min(int(self.left_s(now)), _MOST_S)

    def is_as(self, other: "Lifetime") -> bool:
        """Whether it is different at most because time has passed."""
        same = self.until_at == other.until_at or abs(self.until_at - other.until_at) <= _SLACK_S
        return same or 0 != self.advertised_s == other.advertised_s


@dataclass(frozen=True, slots=True)
class HomePrefix:
    """A prefix; the flags are those of its prefix information option."""

    network: IPv6Network
    valid: Lifetime = Lifetime()
    preferred: Lifetime = Lifetime()
    on_link: bool = True
    autonomous: bool = True

    def is_as(self, other: "HomePrefix") -> bool:
        """Whether it is different at most because time has passed."""
        same = replace(self, valid=other.valid, preferred=other.preferred) == other
        return same and self.valid.is_as(other.valid) and self.preferred.is_as(other.preferred)

    def is_good_beyond(self, lifetime: int, now: float) -> bool:
        """Whether it is preferred as long as a binding lasts, and valid for longer. `lifetime`: of that, in units of
        4 s; so are the prefix's compared, without their two low bits (RFC 6275 section 10.3.1).
        """
        return self.preferred.told_s(now) >> 2 >= lifetime and self.valid.told_s(now) >> 2 > lifetime


@dataclass(frozen=True, slots=True)
class Heard:
    """What routers on the home link tell: how hosts there get addresses, and the prefixes. One that has ended stays,
    for it is no more.
    """

    managed: bool = False
    other: bool = False
    prefixes: Mapping[IPv6Network, HomePrefix] = field(default_factory=dict)


def hear(known: Heard, advertisement: RouterAdvertisement, served: tuple[IPv6Network, ...], now: float) -> Heard:
    """With what an advertisement says of these prefixes, and of those within them."""
    prefixes = dict(known.prefixes)
    for told in advertisement.find(PrefixInformation):
        if told.prefix_length > 128:
            continue
        network = IPv6Network((told.prefix, told.prefix_length), strict=False)
        if any(network.subnet_of(one) for one in served):
            prefixes[network] = _renewed(prefixes.get(network), network, told, now)
    listed = dict([*prefixes.items()][:MOST])
    return Heard(advertisement.managed, advertisement.other, listed)


def _renewed(old: HomePrefix | None, network: IPv6Network, told: PrefixInformation, now: float) -> HomePrefix:
    end_at = ends_at(told.valid_lifetime, now)
    before_at = old.valid.until_at if old is not None else -inf
    if end_at < before_at:
        end_at = min(before_at, max(end_at, now + SHORTEST_S))
    preferred_at = min(ends_at(told.preferred_lifetime, now), end_at)
    return HomePrefix(
        network,
        Lifetime(end_at, told.valid_lifetime),
        Lifetime(preferred_at, told.preferred_lifetime),
        told.on_link,
        told.autonomous,
    )


def listed(
    settings: Settings, heard: Heard, home_address: IPv6Address, epoch_offset_s: float
) -> tuple[HomePrefix, ...]:
    """All that a mobile node with this home address is to know, its own first. `epoch_offset_s`: the time of day less
    the time of the clock.
    """
    named = {one.prefix: _named(one, epoch_offset_s) for one in settings.prefix}
    known = [*{**heard.prefixes, **named}.values()]
    if not any(home_address in prefix.network for prefix in known):
        known.append(HomePrefix(IPv6Network((home_address, 64), strict=False)))
    # Of those that a home address is in, the longest is its own
    return tuple(sorted(known, key=lambda one: (home_address not in one.network, -one.network.prefixlen, one.network)))


def _named(prefix: Prefix, epoch_offset_s: float) -> HomePrefix:
    valid_at, preferred_at = (
        until.timestamp() - epoch_offset_s if until is not None else inf
        for until in (prefix.valid_until, prefix.preferred_until)
    )
    preferred = Lifetime(min(preferred_at, valid_at))
    return HomePrefix(prefix.prefix, Lifetime(valid_at), preferred, autonomous=prefix.prefix.prefixlen == 64)


def is_changed(told: tuple[HomePrefix, ...], now: tuple[HomePrefix, ...]) -> bool:
    """Whether the second is to be told to who has been told the first."""
    return len(told) != len(now) or not all(one.is_as(other) for one, other in zip(told, now, strict=True))


def information(prefix: HomePrefix, home_agent: IPv6Address, now: float) -> PrefixInformation:
    """As it is told; with the home agent's address where that is from it (RFC 6275 section 7.2)."""
    is_ours = home_agent in prefix.network
    return PrefixInformation(
        prefix.network.prefixlen,
        prefix.on_link,
        prefix.autonomous,
        is_ours,
        prefix.valid.told_s(now),
        prefix.preferred.told_s(now),
        home_agent if is_ours else prefix.network.network_address,
    )
