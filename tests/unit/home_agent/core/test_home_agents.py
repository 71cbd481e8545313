"""The home agents list (RFC 6275 sections 10.1 and 10.5.1)."""

from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from home_agent.core import agent
from home_agent.core.events import HomeLinkChanged, IcmpReceived, NeighborHeard, SendIcmp, SendNeighbor, Tick
from home_agent.core.home_agents import MOST, HomeAgents, due_at, expire, hear, preferences
from home_agent.core.home_link import HomeLink
from home_agent.core.report import status
from home_agent.core.settings import Peer
from mip6.wire.discovery import (
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    PrefixInformation,
    decode,
    encode,
)
from mip6.wire.neighbor import RouterSolicitation
from mip6.wire.router import AdvertisementInterval, HomeAgentInformation, RouterAdvertisement, RouterOption
from tests.unit.home_agent.core.updates import ETHERNET, OWN, Bench

LINK = HomeLink(7, bytes.fromhex("026d36000001"), IPv6Address("fe80::1"))
ROUTER, OTHER_ROUTER = IPv6Address("fe80::2"), IPv6Address("fe80::3")
ADDRESS, OTHER_ADDRESS = IPv6Address("2001:db8:f00::2"), IPv6Address("2001:db8:f00::3")
NOW = 1000.0


def prefix(address: IPv6Address = ADDRESS, valid_s: int = 0xFFFFFFFF, *, whole: bool = True) -> PrefixInformation:
    return PrefixInformation(64, True, True, whole, valid_s, valid_s, address)


def advertisement(
    *options: RouterOption, source: IPv6Address = ROUTER, home_agent: bool = True, lifetime_s: int = 1800
) -> RouterAdvertisement:
    return RouterAdvertisement(source, False, False, home_agent, lifetime_s, options or (prefix(),))


def information(preference: int, lifetime_s: int) -> HomeAgentInformation:
    return HomeAgentInformation(mobile_router=False, preference=preference, lifetime_s=lifetime_s)


@pytest.mark.req("DHAAD-05")
def test_lifetime_and_preference_are_those_of_the_router_unless_the_home_agent_tells_others() -> None:
    known = hear({}, advertisement(), NOW)
    assert (preferences(known), due_at(known)) == ({ADDRESS: 0}, NOW + 1800)
    known = hear(known, advertisement(prefix(), information(7, 60)), NOW + 10)
    assert (preferences(known), due_at(known)) == ({ADDRESS: 7}, NOW + 70)
    known = hear(known, advertisement(prefix(), information(7, 60), lifetime_s=0), NOW + 20)
    assert due_at(known) == NOW + 80, "a home agent need not be a default router"


@pytest.mark.req("DHAAD-05")
@pytest.mark.parametrize(
    "last",
    [
        advertisement(home_agent=False),
        advertisement(lifetime_s=0),
        advertisement(prefix(), information(1, 0)),
        advertisement(prefix(valid_s=0)),
    ],
)
def test_one_that_says_so_is_none_any_more(last: RouterAdvertisement) -> None:
    other = advertisement(prefix(OTHER_ADDRESS), source=OTHER_ROUTER)
    known = hear(hear({}, advertisement(), NOW), other, NOW)
    assert preferences(known) == {ADDRESS: 0, OTHER_ADDRESS: 0}
    assert preferences(hear(known, last, NOW)) == {OTHER_ADDRESS: 0}


@pytest.mark.req("DHAAD-05")
def test_one_ends_with_its_lifetime_and_an_address_with_its_prefix() -> None:
    known = hear({}, advertisement(prefix(valid_s=100), prefix(OTHER_ADDRESS, 50), information(3, 70)), NOW)
    assert due_at(known) == NOW + 50
    assert expire(known, NOW + 49) is known
    known = expire(known, NOW + 50)
    assert (preferences(known), due_at(known)) == ({ADDRESS: 3}, NOW + 70)
    assert (expire(known, NOW + 70), due_at({})) == ({}, inf)


@pytest.mark.req("DHAAD-05")
def test_addresses_are_those_that_are_whole_and_stay_when_others_come() -> None:
    options = prefix(IPv6Address("2001:db8:f00::"), whole=False), prefix(IPv6Address("fe80::9")), prefix()
    known = hear({}, advertisement(*options, AdvertisementInterval(9)), NOW)
    assert preferences(known) == {ADDRESS: 0}
    assert preferences(hear(known, advertisement(prefix(OTHER_ADDRESS)), NOW)) == {ADDRESS: 0, OTHER_ADDRESS: 0}


def test_whoever_invents_home_agents_fills_no_memory() -> None:
    known: HomeAgents = {}
    for number in range(2 * MOST):
        options = [prefix(ADDRESS + more) for more in range(2 * MOST)]
        known = hear(known, advertisement(*options, source=ROUTER + number), NOW)
    assert len(known) == MOST
    assert max(len(one.addresses) for one in known.values()) == MOST
    assert preferences(hear(known, advertisement(information(9, 9)), NOW))[ADDRESS + MOST] == 9, "who is known is heard"


lifetimes = st.integers(0, 300)
advertisements = st.builds(
    lambda source, home_agent, lifetime_s, valid_s, told: advertisement(
        prefix(ADDRESS + source, valid_s), *told, source=ROUTER + source, home_agent=home_agent, lifetime_s=lifetime_s
    ),
    st.integers(0, 3),
    st.booleans(),
    lifetimes,
    lifetimes,
    st.lists(st.builds(information, st.integers(0, 9), lifetimes), max_size=1),
)


@given(st.lists(st.tuples(st.integers(0, 100), advertisements), max_size=12))
def test_nobody_is_listed_longer_than_he_said(heard: list[tuple[int, RouterAdvertisement]]) -> None:
    known: HomeAgents = {}
    now, last = 0.0, {}
    for pause_s, one in heard:
        now += pause_s
        known = hear(expire(known, now), one, now)
        last[one.source] = one, now
    for router, agent_ in known.items():
        one, at = last[router]
        told = next(one.find(HomeAgentInformation), None)
        assert one.home_agent
        assert agent_.until_at == at + (told.lifetime_s if told else one.lifetime_s) > at
        assert min([now + 1, *agent_.addresses.values()]) > now


# in the home agent


def bench() -> Bench:
    made = Bench(home_link="eth1", preference=1)
    made.state, made.commands = agent.step(made.state, HomeLinkChanged(LINK), made.now)
    return made


def listens(made: Bench, *heard: RouterAdvertisement) -> None:
    for one in heard:
        made.state, made.commands = agent.step(made.state, NeighborHeard(one), made.now)


def told(made: Bench) -> tuple[IPv6Address, ...]:
    """To a mobile node that asks."""
    question = encode(HomeAgentAddressDiscoveryRequest(4, mobile_router=False), ETHERNET, OWN)
    made.state, commands = agent.step(made.state, IcmpReceived(question, ETHERNET), made.now)
    (reply,) = [decode(command.error.data) for command in commands if isinstance(command, SendIcmp)]
    assert isinstance(reply, HomeAgentAddressDiscoveryReply)
    return reply.home_agents


def test_it_asks_the_link_for_routers_at_once() -> None:
    assert bench().commands == [SendNeighbor(RouterSolicitation(LINK.address))]


@pytest.mark.req("DHAAD-04", "DHAAD-05")
def test_mobile_nodes_are_told_of_those_that_were_heard() -> None:
    made = bench()
    other = advertisement(prefix(OTHER_ADDRESS), source=OTHER_ROUTER)
    listens(made, advertisement(prefix(), information(7, 60)), other)
    assert told(made) == (ADDRESS, OWN, OTHER_ADDRESS)
    assert agent.deadline(made.state) == made.now + 60
    made.now += 60
    made.state, _ = agent.step(made.state, Tick(), made.now)
    assert told(made) == (OWN, OTHER_ADDRESS)


def test_what_the_operator_says_of_one_beats_what_it_says() -> None:
    made = bench()
    peers = Peer(address=ADDRESS, preference=-4), Peer(address=OTHER_ADDRESS, preference=3)
    made.state = replace(made.state, settings=replace(made.state.settings, peer=peers))
    listens(made, advertisement(prefix(), prefix(OWN), information(7, 60)))
    assert told(made) == (OTHER_ADDRESS, OWN, ADDRESS)


def test_its_own_advertisements_are_no_news_and_those_of_another_link_are_forgotten() -> None:
    made = bench()
    listens(made, advertisement(source=LINK.address))
    assert told(made) == (OWN,)
    listens(made, advertisement())
    made.state, _ = agent.step(made.state, HomeLinkChanged(None), made.now)
    listens(made, advertisement())
    assert told(made) == (OWN,)


def test_status_tells_how_each_is_known() -> None:
    made = bench()
    made.state = replace(made.state, settings=replace(made.state.settings, peer=(Peer(address=OTHER_ADDRESS),)))
    listens(made, advertisement(prefix(), information(7, 60)))
    shown = status(made.state, made.now, unix_time=0, version="1", pid=2, counters={})
    assert [(one.address, one.preference, one.heard) for one in shown.home_agents] == [
        (str(ADDRESS), 7, True),
        (str(OTHER_ADDRESS), 0, False),
    ]
