"""How long home prefixes are good; what comes of it is told in tests/story/test_prefix_discovery.py."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv6Address, IPv6Network
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from home_agent.core import agent
from home_agent.core.cache import Binding, CacheEntry
from home_agent.core.prefixes import (
    MOST,
    SHORTEST_S,
    Heard,
    HomePrefix,
    Lifetime,
    hear,
    information,
    is_changed,
    listed,
)
from home_agent.core.settings import Prefix
from mip6.wire.discovery import PrefixInformation
from mip6.wire.registry import Status
from mip6.wire.router import AdvertisementInterval, RouterAdvertisement
from tests.unit.home_agent.core.updates import EPOCH_S, ETHERNET, HOME, OWN, Bench, bid, settings

NETWORK = IPv6Network("2001:db8:f00::/64")
SERVED = (IPv6Network("2001:db8:f00::/48"),)
NOW = 1000.0
FOR_EVER = 0xFFFFFFFF


def lasting(valid_s: float, preferred_s: float = inf) -> HomePrefix:
    return HomePrefix(NETWORK, Lifetime(NOW + valid_s), Lifetime(NOW + min(preferred_s, valid_s)))


def told(valid_s: int, preferred_s: int, prefix: IPv6Address = NETWORK[9], length: int = 64) -> RouterAdvertisement:
    one = PrefixInformation(length, True, False, True, valid_s, preferred_s, prefix)
    return RouterAdvertisement(IPv6Address("fe80::1"), True, False, True, 1800, (AdvertisementInterval(9), one))


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(EPOCH_S + at, UTC)


@pytest.mark.req("HA-09")
@pytest.mark.parametrize(
    ("valid_s", "preferred_s", "good"),
    [
        (inf, inf, True),
        (1000, 600, True),
        (1000, 603.9, True),
        (1000, 599.9, False),  # becomes deprecated meanwhile
        (1000, 0, False),  # is deprecated
        (604, 604, True),
        (603.9, 603.9, False),  # ends with the binding, but for two low bits
        (0, 0, False),
    ],
)
def test_a_prefix_is_good_for_a_binding_of_600_s(valid_s: float, preferred_s: float, good: bool) -> None:
    assert lasting(valid_s, preferred_s).is_good_beyond(150, NOW) == good


@pytest.mark.req("HA-08", "HA-09")
def test_the_answer_grants_what_there_is_and_says_what_is_to_come() -> None:
    bench = Bench()
    named = replace(settings(), prefix=(Prefix(prefix=NETWORK, valid_until=moment(bench.now + 103)),))
    bench.state = agent.start(named, {}, epoch_offset_s=EPOCH_S)
    answer = bench.update(bid(1, ETHERNET), lifetime=150)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY, 25)
    answer = bench.update(bid(1, ETHERNET), lifetime=10)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (Status.ACCEPTED, 10), "not if the binding ends before"
    answer = bench.update(lifetime=0)
    assert answer is not None
    assert answer.status == Status.ACCEPTED
    bench.now += 101
    answer = bench.update(bid(1, ETHERNET))
    assert answer is not None
    assert (answer.status, bench.bindings()) == (Status.NOT_HOME_SUBNET, {})


@pytest.mark.req("HA-08")
def test_what_was_saved_does_not_outlast_the_prefix_either() -> None:
    named = replace(settings(), prefix=(Prefix(prefix=NETWORK, valid_until=moment(NOW + 60)),))
    binding = Binding(1, ETHERNET, 0, NOW, NOW, NOW + 600)
    cache = {HOME: CacheEntry(HOME, 1, 1, {1: binding, 2: replace(binding, bid=2, expires_at=NOW + 5)})}
    state = agent.start(named, cache, epoch_offset_s=EPOCH_S)
    assert [one.expires_at for one in state.cache[HOME].bindings.values()] == [NOW + 60, NOW + 5]


def test_what_the_operator_says_beats_what_routers_say_and_the_longest_prefix_counts() -> None:
    heard = hear(hear(Heard(), told(900, 900), SERVED, NOW), told(FOR_EVER, 5, length=48), SERVED, NOW)
    home = listed(settings(), heard, HOME, EPOCH_S)
    assert [one.network.prefixlen for one in home] == [64, 48]
    assert (home[0].valid.until_at, home[1].valid.until_at) == (NOW + 900, inf)
    named = replace(settings(), prefix=(Prefix(prefix=NETWORK, preferred_until=moment(NOW + 7)),))
    home = listed(named, heard, HOME, EPOCH_S)
    assert (home[0].valid.until_at, home[0].preferred.until_at, home[0].autonomous) == (inf, NOW + 7, True)
    elsewhere = listed(named, Heard(), IPv6Address("2001:db8:f00:7::1"), EPOCH_S)
    assert [str(one.network) for one in elsewhere] == ["2001:db8:f00:7::/64", str(NETWORK)]
    assert elsewhere[0] == HomePrefix(IPv6Network("2001:db8:f00:7::/64"))


def test_routers_speak_of_prefixes_that_are_served() -> None:
    heard = hear(Heard(), told(900, 800), SERVED, NOW)
    assert heard == Heard(
        True, False, {NETWORK: HomePrefix(NETWORK, Lifetime(NOW + 900, 900), Lifetime(NOW + 800, 800), True, False)}
    )
    assert hear(heard, told(1, 1, IPv6Address("2001:db8:bad::")), SERVED, NOW) == heard
    assert hear(heard, told(1, 1, length=129), SERVED, NOW) == heard
    for number in range(2 * MOST):
        heard = hear(heard, told(900, 900, IPv6Address("2001:db8:f00:1::") + (number << 64)), SERVED, NOW)
    assert len(heard.prefixes) == MOST


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 20_000)), min_size=2, max_size=8))
def test_an_advertisement_cannot_take_the_last_two_hours(said: list[tuple[int, int]]) -> None:
    heard, now, end_at = Heard(), NOW, -inf
    for pause_s, valid_s in said:
        now += pause_s
        heard = hear(heard, told(valid_s, valid_s), SERVED, now)
        valid = heard.prefixes[NETWORK].valid.until_at
        assert valid >= min(end_at, now + SHORTEST_S)
        assert valid >= now + valid_s
        end_at = valid


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        ((lasting(900, 600),), False),
        ((lasting(903, 600),), False),
        ((lasting(890, 600),), True),
        ((lasting(900, 500),), True),
        ((lasting(inf, 600),), True),
        ((replace(lasting(900, 600), autonomous=False),), True),
        ((lasting(900, 600), HomePrefix(IPv6Network("2001:db8:f00:1::/64"))), True),
        ((HomePrefix(IPv6Network("2001:db8:f00:1::/64")),), True),
    ],
)
def test_what_is_news(other: tuple[HomePrefix, ...], changed: bool) -> None:
    assert is_changed((lasting(900, 600),), other) == changed


def test_the_same_advertised_again_and_again_is_no_news() -> None:
    first = hear(Heard(), told(900, 600), SERVED, NOW).prefixes[NETWORK]
    again = hear(Heard(), told(900, 600), SERVED, NOW + 300).prefixes[NETWORK]
    assert not is_changed((first,), (again,))
    assert not is_changed((HomePrefix(NETWORK),), (HomePrefix(NETWORK),))


@pytest.mark.parametrize(
    ("valid_s", "seconds"), [(0.9, 0), (-5, 0), (77.7, 77), (inf, FOR_EVER), (0x1_0000_0000, FOR_EVER - 1)]
)
def test_it_is_told_in_seconds(valid_s: float, seconds: int) -> None:
    assert information(lasting(valid_s), OWN, NOW).valid_lifetime == seconds


@pytest.mark.req("FMT-20")
def test_where_the_home_agents_address_is_from_it_that_is_told() -> None:
    one = information(lasting(5), NETWORK[1], NOW)
    assert (one.router_address, one.prefix) == (True, NETWORK[1])
    other = information(lasting(5), OWN, NOW)
    assert (other.router_address, other.prefix) == (False, NETWORK[0])
