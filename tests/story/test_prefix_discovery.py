"""A home prefix comes to its end: the home agent tells, and bindings end in time (RFC 6275 sections 10.6 and 11.4)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from math import inf

import pytest

from home_agent.core.events import NeighborHeard, SettingsChanged, SolicitationReceived
from home_agent.core.home_link import HomeLink
from home_agent.core.prefix_discovery import BETWEEN_S
from home_agent.core.settings import Prefix
from home_agent.core.settings import PrefixDiscovery as Intervals
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.wire.discovery import (
    MobilePrefixAdvertisement,
    MobilePrefixSolicitation,
    PrefixInformation,
    UnknownNeighborOption,
    decode,
    encode,
)
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate
from mip6.wire.registry import Status
from mip6.wire.router import RouterAdvertisement
from mn_agent.core.events import AdvertisementReceived
from mn_agent.core.report import status
from mn_agent.core.settings import RouteOptimizationSettings
from tests.story import test_ipsec
from tests.story.direct_world import CN, DirectWorld
from tests.story.world import AGENT, EPOCH_S, HOME, World, acknowledgements, home_agent_settings, three_links

NETWORK = IPv6Network("2001:db8:f00::/64")
SHORT = Intervals(max_interval_s=40, min_interval_s=10)


def ends(world_now: float, *, valid_s: float, preferred_s: float | None = None) -> tuple[Prefix, ...]:
    """So long after `world_now`."""

    def moment(seconds: float) -> datetime:
        return datetime.fromtimestamp(EPOCH_S + world_now + seconds, UTC)

    preferred_until = moment(preferred_s) if preferred_s is not None else None
    return (Prefix(prefix=NETWORK, valid_until=moment(valid_s), preferred_until=preferred_until),)


def start(prefix: tuple[Prefix, ...] = (), **more: object) -> World:
    home_agent = replace(test_ipsec.home_agent(), prefix=prefix, prefix_discovery=SHORT)
    return World(three_links(), settings=test_ipsec.SETTINGS, home_agent=home_agent, **more).start().run(5)  # type: ignore[arg-type]


def reconfigure(world: World, prefix: tuple[Prefix, ...]) -> None:
    world.home_agent_hears(SettingsChanged(replace(world.ha.settings, prefix=prefix)))


def told(world: World) -> list[MobilePrefixAdvertisement]:
    messages = [decode(packet.data) for _, packet in world.advertisements]
    assert all(isinstance(message, MobilePrefixAdvertisement) for message in messages)
    return messages  # type: ignore[return-value]


def expiries(world: World) -> set[float]:
    return {binding.expires_at for binding in world.ha.cache[HOME].bindings.values()}


def test_as_long_as_nobody_says_anything_home_addresses_are_good_for_ever() -> None:
    world = start()
    assert world.solicitations == world.advertisements == []
    assert {answer.status for answer in acknowledgements(world)} == {Status.ACCEPTED}
    assert world.mn.prefixes.valid_until_at == inf


@pytest.mark.req("MPD-01", "MPD-03", "MPD-06", "HA-09", "FMT-19")
def test_status_1_makes_the_mobile_node_ask_and_it_is_answered_at_once() -> None:
    world = start(ends(1000, valid_s=4000, preferred_s=300))
    assert Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY in {answer.status for answer in acknowledgements(world)}
    (asked_at, question), *others = world.solicitations
    (answered_at, answer), *_ = world.advertisements
    assert not others, "the other links were registered meanwhile, which says no more"
    assert answered_at == pytest.approx(asked_at + 0.01)
    for packet in (question, answer):
        assert (packet.home_address, packet.protected) == (HOME, True)
    solicitation, (advertisement, *_) = decode(question.data), told(world)
    assert isinstance(solicitation, MobilePrefixSolicitation)
    assert solicitation.identifier == advertisement.identifier != 0
    assert (answer.source, answer.destination) == (AGENT, question.source)
    assert advertisement.options[0] == PrefixInformation(
        64, True, True, False, int(4000 - answered_at + 1000), int(300 - answered_at + 1000), NETWORK.network_address
    )
    assert world.mn.prefixes.valid_until_at == pytest.approx(5000, abs=2)
    assert world.mn.prefixes.preferred_until_at == pytest.approx(1300, abs=2)
    assert any("preferred for 2" in notice and "valid for 39" in notice for notice in world.notices)


@pytest.mark.req("HA-08", "MPD-05", "REG-06")
def test_no_binding_outlasts_the_home_prefix() -> None:
    world = start(ends(1000, valid_s=100))
    world.run(85)
    assert max(expiries(world)) <= 1100
    latest = [sent.message for sent in world.updates if sent.at > 1010]
    assert latest
    assert all(isinstance(message, BindingUpdate) and message.lifetime <= 6 for message in latest)
    world.run(15)
    assert world.bindings() == {}
    assert not world.flows()
    (refusal,) = {answer.status for answer in acknowledgements(world) if answer.status > 1}
    assert refusal == Status.NOT_HOME_SUBNET


@pytest.mark.req("MPD-01", "MPD-06", "HA-08")
def test_what_changes_is_told_later_and_again_until_the_mobile_node_asks() -> None:
    world = start()
    changed_at = world.now
    reconfigure(world, ends(world.now, valid_s=200))
    assert max(expiries(world)) == pytest.approx(changed_at + 200), "at once"
    world.run(45)
    (unasked_at, unasked), (_, answer), *others = world.advertisements
    assert not others
    assert SHORT.min_interval_s <= unasked_at - changed_at <= SHORT.max_interval_s
    assert unasked.destination == world.ha.cache[HOME].preferred.care_of
    assert [message.identifier == 0 for message in told(world)] == [True, False]
    assert answer.destination == world.solicitations[0][1].source
    assert world.mn.prefixes.valid_until_at == pytest.approx(changed_at + 200, abs=2)


@pytest.mark.req("MPD-05")
def test_bindings_are_told_anew_when_the_home_address_gets_less_time_than_they() -> None:
    world = start()
    before = len(world.updates)
    reconfigure(world, ends(world.now, valid_s=150))
    world.run(45)
    renewed = world.updates[before:]
    assert renewed, "a refresh was not due for minutes"
    assert all(isinstance(sent.message, BindingUpdate) and sent.message.lifetime <= 37 for sent in renewed)
    assert world.flows()
    assert set(world.bindings()) == {1, 2, 3}


@pytest.mark.req("MPD-06", "MPD-07")
def test_an_advertisement_without_an_answer_is_repeated_three_times() -> None:
    world = start()
    changed_at = world.now
    for link in world.links.values():
        link.blackhole = True
    reconfigure(world, ends(world.now, valid_s=100_000))
    world.run(70)
    sent = [at for at, _ in world.advertisements]
    assert [at - sent[0] for at in sent[:4]] == pytest.approx([0, 3, 9, 21])
    assert sent[0] - changed_at >= SHORT.min_interval_s
    assert len(sent) == 4 or sent[4] - sent[3] >= SHORT.max_interval_s
    world.run(1000)
    assert world.bindings() == {}
    assert max(at for at, _ in world.advertisements) < changed_at + 600, "nobody is told who has no binding"


@pytest.mark.req("MPD-07")
def test_without_a_change_it_is_told_once_in_the_longest_interval() -> None:
    world = start().run(100)
    unasked = [at for (at, _), message in zip(world.advertisements, told(world), strict=True) if not message.identifier]
    assert len(unasked) == 2
    assert unasked[1] - unasked[0] == pytest.approx(SHORT.max_interval_s, abs=1)


@pytest.mark.req("MPD-02")
def test_a_question_is_repeated_with_growing_pauses_over_all_links() -> None:
    world = start()
    world.silent.add(AGENT)
    world.mobile_node(advertisement(identifier=0))
    world.run(160)
    asked = [at for at, _ in world.solicitations]
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses[:6] == pytest.approx([3, 6, 12, 24, 32, 32])
    assert len({packet.source for _, packet in world.solicitations}) == 3
    identifiers = {decode(packet.data) for _, packet in world.solicitations}
    assert len(identifiers) == len(asked)


@pytest.mark.req("MPD-01")
def test_it_asks_before_the_home_address_comes_to_an_end() -> None:
    world = start(ends(1000, valid_s=10_000, preferred_s=4000))
    first = len(world.solicitations)
    reconfigure(world, ends(1000, valid_s=100_000, preferred_s=90_000))
    world.run(3500)
    asked = [at for at, _ in world.solicitations[first:]]
    assert asked
    assert world.mn.prefixes.valid_until_at == pytest.approx(101_000, abs=2)
    count = len(world.solicitations)
    world.ha = replace(world.ha, settings=replace(world.ha.settings, prefix_discovery=Intervals()))
    world.run(80_000)
    assert any(at > 70_000 for at, _ in world.solicitations[count:])


def advertisement(
    *options: PrefixInformation | UnknownNeighborOption,
    identifier: int,
    source: IPv6Address = AGENT,
    home_address: IPv6Address | None = HOME,
    protected: bool = True,
) -> AdvertisementReceived:
    message = MobilePrefixAdvertisement(identifier, managed=False, other=False, options=options)
    care_of = IPv6Address("2001:db8:1::64")
    return AdvertisementReceived(Packet(source, care_of, home_address, encode(message, AGENT, HOME), protected))


SHORTER = PrefixInformation(64, True, True, False, 500, 400, NETWORK.network_address)


def asking() -> World:
    """It has asked, and has no answer yet."""
    world = start()
    world.mobile_node(advertisement(identifier=0))
    assert world.mn.prefixes.tries == 1
    return world


@pytest.mark.req("MPD-03", "SC-06")
@pytest.mark.parametrize(
    "forged",
    [
        lambda identifier: advertisement(SHORTER, identifier=identifier, source=AGENT + 1),
        lambda identifier: advertisement(SHORTER, identifier=identifier, home_address=None),
        lambda identifier: advertisement(SHORTER, identifier=identifier, home_address=HOME + 1),
        lambda identifier: advertisement(SHORTER, identifier=identifier, protected=False),
        lambda identifier: advertisement(SHORTER, identifier=identifier + 1),
        lambda _: AdvertisementReceived(Packet(AGENT, HOME, HOME, b"\x93", True)),
        lambda identifier: AdvertisementReceived(
            Packet(AGENT, HOME, HOME, encode(MobilePrefixSolicitation(identifier), AGENT, HOME), True)
        ),
    ],
)
def test_nothing_counts_but_the_answer_of_our_home_agent(forged: Callable[[int], AdvertisementReceived]) -> None:
    world = asking()
    before = world.mn.prefixes
    world.mobile_node(forged(before.identifier))
    assert world.mn.prefixes == before


@pytest.mark.req("MPD-03", "MPD-04")
def test_the_first_answer_counts_and_options_that_are_not_known_do_not() -> None:
    world = asking()
    identifier = world.mn.prefixes.identifier
    others = UnknownNeighborOption(200, bytes(6)), PrefixInformation(200, True, True, False, 1, 1, HOME)
    wider = PrefixInformation(48, True, True, False, 9, 9, NETWORK.network_address)
    world.mobile_node(advertisement(*others, wider, SHORTER, identifier=identifier))
    assert world.mn.prefixes.valid_until_at == world.now + 500
    assert world.mn.prefixes.preferred_until_at == world.now + 400
    other = PrefixInformation(64, True, True, False, 7, 7, NETWORK.network_address)
    world.mobile_node(advertisement(other, identifier=identifier))
    assert world.mn.prefixes.valid_until_at == world.now + 500, "the second answer is none"
    assert world.mn.prefixes.tries == 1, "but makes it ask"


def test_an_answer_that_says_nothing_of_the_home_address_changes_nothing() -> None:
    world = asking()
    elsewhere = PrefixInformation(64, True, True, False, 1, 1, IPv6Address("2001:db8:bad::"))
    world.mobile_node(advertisement(elsewhere, identifier=world.mn.prefixes.identifier))
    assert (world.mn.prefixes.valid_until_at, world.mn.prefixes.tries) == (inf, 0)


def test_when_the_home_address_has_come_to_its_end_the_home_agent_has_the_last_word() -> None:
    """It may have got more time, though nobody could tell."""
    world = asking()
    short = PrefixInformation(64, True, True, False, 30, 30, NETWORK.network_address)
    world.mobile_node(advertisement(short, identifier=world.mn.prefixes.identifier))
    world.run(100)
    assert world.mn.prefixes.valid_until_at == inf
    assert set(world.bindings()) == {1, 2, 3}
    assert world.flows()


@pytest.mark.req("MPD-03")
def test_without_a_binding_nobody_is_believed() -> None:
    world = World(three_links(), settings=test_ipsec.SETTINGS, home_agent=test_ipsec.home_agent())
    world.mobile_node(advertisement(SHORTER, identifier=world.mn.prefixes.identifier))
    assert world.mn.ignored == {"prefix advertisement not from the home agent that serves us": 1}


def test_another_home_agent_is_not_asked_what_the_last_one_has_not_answered() -> None:
    settings = replace(test_ipsec.SETTINGS, home=replace(test_ipsec.SETTINGS.home, alternatives=(AGENT + 1,)))
    home_agent = replace(test_ipsec.home_agent(), prefix_discovery=SHORT)
    world = World(three_links(), settings=settings, home_agent=home_agent).start().run(5)
    world.mobile_node(advertisement(identifier=0))
    world.silent.add(AGENT)
    world.refresh()
    world.run(20)
    assert world.mn.settings.home.agent == AGENT + 1
    assert world.mn.prefixes.due_at == inf


# at the home agent


def solicitation(
    source: IPv6Address, home_address: IPv6Address | None = HOME, *, protected: bool = True, data: bytes | None = None
) -> SolicitationReceived:
    asked = encode(MobilePrefixSolicitation(7), HOME, AGENT) if data is None else data
    return SolicitationReceived(Packet(source, AGENT, home_address, asked, protected))


@pytest.mark.req("SEC-28", "SC-06", "MPD-06")
def test_only_mobile_nodes_that_are_bound_and_protected_are_answered() -> None:
    world = start()
    care_of = world.bindings()[1]
    for refused in (
        solicitation(care_of, protected=False),
        solicitation(care_of, None),
        solicitation(care_of, HOME + 1),
        solicitation(care_of + 1),
        solicitation(care_of, data=b"\x92"),
        solicitation(care_of, data=encode(MobilePrefixAdvertisement(7, False, False, ()), HOME, AGENT)),
    ):
        world.home_agent_hears(refused)
    assert world.advertisements == []
    assert sum(world.ha.dropped.values()) == 6
    world.home_agent_hears(solicitation(care_of))
    assert [message.identifier for message in told(world)] == [7]


@pytest.mark.req("MPD-06")
def test_a_mobile_node_gets_no_more_than_one_answer_a_second() -> None:
    world = start()
    for _ in range(5):
        world.home_agent_hears(solicitation(world.bindings()[2]))
        world.run(0.1)
    world.run(3)
    sent = [at for at, _ in world.advertisements]
    assert len(sent) == 3, "at once, the last of the five, and that of the mobile node, which wonders"
    assert all(later - earlier >= BETWEEN_S - 1e-9 for earlier, later in pairwise(sent))
    assert world.advertisements[1][1].destination == world.bindings()[2]


@pytest.mark.req("HA-08", "MPD-06")
def test_router_advertisements_on_the_home_link_tell_it_too() -> None:
    world = start()
    link = HomeLink(7, bytes(6), IPv6Address("fe80::1"))
    world.ha = replace(world.ha, home_link=link)
    router = PrefixInformation(64, True, True, False, 86_400, 60, NETWORK.network_address)
    heard = NeighborHeard(RouterAdvertisement(link.address, True, False, True, 1800, (router,)))
    world.home_agent_hears(heard)
    world.run(39)
    message = told(world)[-1]
    assert (message.managed, message.other) == (True, False)
    assert world.mn.prefixes.preferred_until_at < world.now + 60
    count = len(world.advertisements)
    world.home_agent_hears(heard)
    assert world.ha.tellings[HOME].tries == 0, "the same again is no news"
    assert len(world.advertisements) == count


@pytest.mark.req("MPD-05")
def test_correspondents_are_told_too() -> None:
    settings = replace(
        test_ipsec.SETTINGS, route_optimization=RouteOptimizationSettings(correspondents=(IPv6Network(CN),))
    )
    home_agent = replace(test_ipsec.home_agent(), prefix_discovery=SHORT)
    world = DirectWorld(three_links(), settings=settings, home_agent=home_agent)
    world.start().run(10)
    held = world.mn.correspondents.known[CN].entries
    assert {bid for bid, entry in held.items() if entry.binding} == {1, 2, 3}
    reconfigure(world, ends(world.now, valid_s=200))
    end_at = world.now + 200
    world.run(45)
    for entry in world.mn.correspondents.known[CN].entries.values():
        assert entry.binding is not None
        assert entry.binding.expires_at <= end_at + 4


# without IPsec


@pytest.mark.req("SC-06", "HA-09")
def test_who_could_not_tell_a_true_answer_from_a_false_one_does_not_ask() -> None:
    home_agent: HomeAgentSettings = replace(
        home_agent_settings(), prefix=ends(1000, valid_s=4000, preferred_s=60), prefix_discovery=SHORT
    )
    world = World(three_links(), home_agent=home_agent).start().run(100)
    assert {answer.status for answer in acknowledgements(world)} == {Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY}
    assert world.flows()
    assert world.solicitations == world.advertisements == []


def test_status_says_how_long_the_home_address_is_good() -> None:
    def shown(world: World) -> tuple[float | None, float | None]:
        told = status(world.mn, world.now, unix_time=world.now + EPOCH_S, version="1", pid=1, counters={})
        return told.preferred_until, told.valid_until

    assert shown(start()) == (None, None)
    deprecated = start(ends(1000, valid_s=4000, preferred_s=0))
    assert any("preferred no longer, valid for 39" in notice for notice in deprecated.notices)
    world = start(ends(1000, valid_s=4000, preferred_s=300))
    assert shown(world) == pytest.approx((EPOCH_S + 1300, EPOCH_S + 5000), abs=2)
