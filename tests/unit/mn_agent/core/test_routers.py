"""Which router is used on a link, and which addresses go with it."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from math import inf

import pytest

from mip6.wire.discovery import PrefixInformation
from mip6.wire.router import AdvertisementInterval, RouterAdvertisement, RouterOption
from mn_agent.core import routers
from mn_agent.core.interfaces import Interface
from mn_agent.core.routers import MISSED, MOST, Router, Routers

FIRST, SECOND = IPv6Address("fe80::1"), IPv6Address("fe80::2")
HERE, THERE = IPv6Network("2001:db8:1::/64"), IPv6Network("2001:db8:2::/64")
OWN_HERE, OWN_THERE, ELSEWHERE = HERE[0x64], THERE[0x64], IPv6Address("2001:db8:9::64")
WIFI = Interface(4, "wlan0", routers=(FIRST, SECOND))


def prefix(network: IPv6Network, *, valid_s: int = 86400, router: IPv6Address | None = None) -> PrefixInformation:
    number = router or network.network_address
    return PrefixInformation(network.prefixlen, True, True, router is not None, valid_s, valid_s, number)


def heard(
    source: IPv6Address, *options: RouterOption, known: Routers | None = None, now: float = 0.0, index: int = 4
) -> Routers:
    advertisement = RouterAdvertisement(
        source, managed=False, other=False, home_agent=False, lifetime_s=1800, options=options
    )
    return routers.hear(known or {}, index, advertisement, now)


def both() -> Routers:
    return heard(SECOND, prefix(THERE), known=heard(FIRST, prefix(HERE)))


@pytest.mark.req("MOV-08")
def test_an_address_goes_with_the_router_that_advertises_its_prefix() -> None:
    here = both()[4]
    assert routers.fits(here, FIRST, OWN_HERE)
    assert routers.fits(here, SECOND, OWN_THERE)
    assert not routers.fits(here, FIRST, OWN_THERE)
    assert not routers.fits(here, SECOND, OWN_HERE)


def test_an_address_that_nobody_advertises_goes_with_every_router() -> None:
    here = both()[4]
    assert routers.fits(here, FIRST, ELSEWHERE)
    assert routers.fits(here, None, OWN_HERE), "a point-to-point link"
    assert routers.fits(here, IPv6Address("fe80::3"), OWN_HERE), "a router that was not heard yet"


def test_what_two_routers_advertise_goes_with_both() -> None:
    here = heard(SECOND, prefix(HERE), prefix(THERE), known=heard(FIRST, prefix(HERE)))[4]
    assert routers.fits(here, FIRST, OWN_HERE)
    assert routers.fits(here, SECOND, OWN_HERE)


def test_prefixes_end_with_their_lifetimes_and_when_the_router_says_so() -> None:
    known = heard(FIRST, prefix(HERE, valid_s=100), prefix(THERE, valid_s=0xFFFFFFFF))
    assert known[4][FIRST].prefixes == {HERE: 100, THERE: inf}
    later = heard(FIRST, known=known, now=101)
    assert set(later[4][FIRST].prefixes) == {THERE}
    assert set(heard(FIRST, prefix(THERE, valid_s=0), known=known, now=50)[4][FIRST].prefixes) == {HERE}


def test_a_prefix_that_is_good_for_nothing_here_is_none() -> None:
    useless = replace(prefix(HERE), on_link=False, autonomous=False)
    assert heard(FIRST, useless)[4][FIRST].prefixes == {}
    assert heard(FIRST, replace(prefix(HERE), prefix_length=200))[4][FIRST].prefixes == {
        IPv6Network((HERE.network_address, 128)): 86400
    }


@pytest.mark.req("MOV-03")
def test_routers_with_one_link_local_address_differ_by_their_global_ones() -> None:
    known = heard(FIRST, prefix(HERE, router=HERE[1]))
    same = heard(FIRST, prefix(HERE, router=HERE[1]), prefix(THERE), known=known)
    assert set(same[4][FIRST].prefixes) == {HERE, THERE}
    other = heard(FIRST, prefix(THERE, router=THERE[1]), known=known)
    assert set(other[4][FIRST].prefixes) == {THERE}
    assert not routers.fits(other[4], FIRST, OWN_HERE), "that network is gone"
    assert routers.fits(other[4], FIRST, OWN_THERE)
    back = heard(FIRST, prefix(HERE, router=HERE[1]), known=other)
    assert routers.fits(back[4], FIRST, OWN_HERE)


def test_a_new_prefix_alone_is_no_other_network() -> None:
    known = heard(FIRST, prefix(THERE), known=heard(FIRST, prefix(HERE)))
    assert set(known[4][FIRST].prefixes) == {HERE, THERE}


def test_after_the_link_was_down_a_router_with_that_address_may_be_another_one() -> None:
    known = routers.follow(heard(FIRST, prefix(HERE), AdvertisementInterval(1000)), (replace(WIFI, carrier=False),))
    assert known[4][FIRST].doubtful
    assert routers.overdue_at(known, 4, FIRST) == inf
    silent = heard(FIRST, known=known)
    assert routers.fits(silent[4], FIRST, OWN_HERE), "it has not said otherwise"
    same = heard(FIRST, prefix(HERE), known=silent)[4][FIRST]
    assert set(same.prefixes) == {HERE}
    assert same.gone == frozenset()
    other = heard(FIRST, prefix(THERE), known=silent)
    assert not routers.fits(other[4], FIRST, OWN_HERE)
    assert not other[4][FIRST].doubtful


def test_interfaces_that_are_gone_are_forgotten() -> None:
    known = both()
    assert routers.follow(known, (WIFI,)) is known
    assert routers.follow(known, (Interface(5, "eth0"),)) == {}


@pytest.mark.req("MOV-02")
def test_the_router_in_use_is_kept_while_it_answers() -> None:
    assert routers.in_use(WIFI, None) == FIRST
    assert routers.in_use(WIFI, SECOND) == SECOND
    assert routers.in_use(replace(WIFI, unreachable=frozenset({SECOND})), SECOND) == FIRST
    assert routers.in_use(replace(WIFI, routers=(FIRST,)), SECOND) == FIRST
    assert routers.in_use(replace(WIFI, unreachable=frozenset({FIRST, SECOND})), SECOND) == FIRST
    assert routers.in_use(replace(WIFI, routers=()), SECOND) is None
    assert routers.in_use(replace(WIFI, routers=(None,)), SECOND) is None


@pytest.mark.req("MOV-04")
def test_a_router_is_overdue_when_it_was_not_heard_for_several_of_its_intervals() -> None:
    known = heard(FIRST, AdvertisementInterval(4000), now=100)
    assert routers.overdue_at(known, 4, FIRST) == 100 + MISSED * 4
    assert routers.overdue_at(known, 4, SECOND) == inf
    assert routers.overdue_at(routers.asked(known, 4, FIRST), 4, FIRST) == inf
    assert routers.overdue_at(heard(FIRST, known=known, now=105), 4, FIRST) == inf, "it says no interval any more"


def test_who_invents_routers_and_prefixes_gains_nothing() -> None:
    known: Routers = {}
    for number in range(2 * MOST):
        known = heard(IPv6Address(int(FIRST) + number), prefix(HERE), known=known)
    assert len(known[4]) == MOST
    for number in range(4):
        many = [prefix(IPv6Network((0x20010DB8 << 96 | (number * MOST + i) << 64, 64))) for i in range(2 * MOST)]
        known = heard(FIRST, *many, known=known)
    assert len(known[4][FIRST].prefixes) == MOST
    for number in range(4):
        known = routers.follow(known, (replace(WIFI, up=False),))
        known = heard(FIRST, prefix(IPv6Network((0x20010DB9 << 96 | number << 64, 64))), known=known)
    assert len(known[4][FIRST].gone) == MOST


def test_rivals_are_what_others_advertise() -> None:
    assert routers.rivals(both(), 4, FIRST) == {(SECOND, THERE)}
    assert routers.rivals({}, 4, FIRST) == set()
    assert routers.rivals({4: {FIRST: Router()}}, 4, SECOND) == set()
