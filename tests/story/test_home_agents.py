"""Several home agents: the next one serves when this one does not."""

from dataclasses import replace
from ipaddress import IPv6Address
from itertools import pairwise

import pytest

from home_agent.core.discovery import answer
from home_agent.core.events import RevocationRequested, SwitchRequested
from home_agent.core.settings import Peer
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.wire.checksum import with_checksum
from mip6.wire.discovery import HomeAgentAddressDiscoveryReply, HomeAgentAddressDiscoveryRequest
from mip6.wire.discovery import decode as decode_discovery
from mip6.wire.discovery import encode as encode_discovery
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, HomeAgentSwitch, encode
from mip6.wire.registry import BindingAcknowledgementFlag, IcmpType, RevocationTrigger, Status
from mn_agent.core import agent
from mn_agent.core.commands import EstablishIke
from mn_agent.core.discovery import AGAIN_S, GIVEN_UP_S
from mn_agent.core.events import IcmpReceived, IkeLooked, IkeTried, PacketReceived, StopRequested
from mn_agent.core.home_agents import GOING_S, LONGEST_S, SILENCE_S
from mn_agent.core.saved import save
from mn_agent.core.settings import ProbingSettings
from tests.story import test_ipsec
from tests.story.test_ikev2 import SETTINGS
from tests.story.test_refusals import always
from tests.story.world import (
    AGENT,
    EPOCH_S,
    HOME,
    IkeCommand,
    World,
    home_agent_settings,
    mobile_node_settings,
    three_links,
)

SECOND, THIRD = AGENT + 1, AGENT + 2
USUAL = ProbingSettings()
NO_FLAGS = BindingAcknowledgementFlag(0)


def other(address: IPv6Address) -> HomeAgentSettings:
    settings = home_agent_settings()
    return replace(settings, home_agent=replace(settings.home_agent, address=address))


def start(links: int = 3, *, alternatives: tuple[IPv6Address, ...] = (SECOND, THIRD), **more: object) -> World:
    settings = mobile_node_settings(USUAL)
    settings = replace(settings, home=replace(settings.home, alternatives=alternatives))
    known = dict(list(three_links().items())[:links])
    return World(known, settings=settings, others=(other(SECOND), other(THIRD)), **more).start().run(5)  # type: ignore[arg-type]


def in_use(world: World) -> IPv6Address:
    return world.mn.settings.home.agent


@pytest.mark.parametrize("links", [1, 3])
def test_when_one_falls_silent_under_traffic_the_next_one_serves_within_seconds(links: int) -> None:
    world = start(links)
    stream = world.stream(12, every_s=0.01)
    world.run(2)
    world.silent.add(AGENT)
    world.run(10)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == set(range(1, links + 1))
    assert world.flows()
    lost_s = [0.01 * lost for lost in stream.lost]
    assert max(lost_s) < SILENCE_S + 1.5
    assert any(f"{AGENT} does not answer: {SECOND} is asked" in notice for notice in world.notices)


@pytest.mark.parametrize("links", [1, 3])
def test_without_traffic_it_is_noticed_when_there_is_something_to_ask(links: int) -> None:
    world = start(links)
    world.silent.add(AGENT)
    world.run(60)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == set(range(1, links + 1))


def test_a_home_agent_that_serves_is_kept_though_links_are_bad() -> None:
    world = start()
    world.stream(60, every_s=0.05)
    world.links["ethernet"].blackhole = True
    world.links["wifi"].loss = 0.5
    world.run(60)
    assert in_use(world) == AGENT
    assert not any("is asked" in notice for notice in world.notices)


def test_nobody_goes_back_when_the_first_one_is_there_again() -> None:
    world = start()
    world.silent.add(AGENT)
    world.run(60)
    world.silent.clear()
    world.run(900)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}


def test_they_stand_in_a_ring_and_pauses_grow() -> None:
    world = start()
    world.silent |= {AGENT, SECOND, THIRD}
    seen = [(world.now, in_use(world))]

    def look() -> None:
        if in_use(world) != seen[-1][1]:
            seen.append((world.now, in_use(world)))

    world.watchers.append(look)
    world.run(600)
    assert [agent_ for _, agent_ in seen[:6]] == [AGENT, SECOND, THIRD, AGENT, SECOND, THIRD]
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(seen[1:])]
    assert pauses == sorted(pauses)
    assert max(pauses) <= LONGEST_S + 2
    world.silent.discard(THIRD)
    world.run(3 * LONGEST_S + 10)
    assert in_use(world) == THIRD
    assert set(world.bindings()) == {1, 2, 3}
    assert world.mn.home_agents_tried == 0


@pytest.mark.req("REG-27")
@pytest.mark.parametrize("first_timeout_s", [1.5, 8.0])
@pytest.mark.parametrize("known", [False, True])
def test_another_one_is_asked_only_when_the_one_in_use_had_its_time(first_timeout_s: float, *, known: bool) -> None:
    settings = mobile_node_settings(USUAL, first_timeout_s=first_timeout_s)
    settings = replace(settings, home=replace(settings.home, alternatives=(SECOND,)))
    world = World(three_links(), settings=settings, others=(other(SECOND),))
    if known:
        world.start().run(5)
        world.restart_agent(same_boot=False)
        world.updates.clear()
    world.silent.add(AGENT)
    at = world.now
    (world if known else world.start()).run(40)
    asked = [sent.packet.destination for sent in world.updates]
    assert asked[0] == AGENT
    first = next(sent.at for sent in world.updates if sent.packet.destination == SECOND)
    assert first - at >= max(first_timeout_s, SILENCE_S)
    assert in_use(world) == SECOND


def test_a_day_without_any_of_them_is_survived() -> None:
    world = start()
    world.silent |= {AGENT, SECOND, THIRD}
    world.mn = replace(world.mn, home_agents_tried=2000)
    world.run(2 * LONGEST_S)
    assert world.mn.home_agents_tried > 2000


@pytest.mark.parametrize("status", [Status.HOME_REGISTRATION_NOT_SUPPORTED, Status.NOT_HOME_SUBNET])
def test_one_that_refuses_us_is_left_at_once(status: Status) -> None:
    world = start(respond=always(status))
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}
    assert any(f"{AGENT} does not serve us: {SECOND} is asked" in notice for notice in world.notices)


def test_one_that_revokes_everything_before_maintenance_is_left_at_once() -> None:
    world = start()
    stream = world.stream(3, every_s=0.01)
    world.run(1)
    world.home_agent_hears(RevocationRequested(HOME, frozenset(), RevocationTrigger.ADMINISTRATIVE_REASON))
    world.run(3)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}
    assert max(stream.lost) < 20


def test_where_messages_need_ike_one_that_does_not_answer_that_is_left() -> None:
    """From every care-of address charon has to try: it may be the link."""
    settings = replace(SETTINGS, home=replace(SETTINGS.home, alternatives=(SECOND,)))
    world = World(three_links(), settings=settings, key_mobility=True)
    asked: list[tuple[IPv6Address, IPv6Address]] = []

    def charon(command: IkeCommand) -> None:
        if isinstance(command, EstablishIke):
            care_of = command.care_of
            asked.append((in_use(world), care_of))
            world.at(world.now + 2, lambda: world.mobile_node(IkeTried(care_of)))

    world.charon = charon
    world.start()
    world.mobile_node(IkeLooked(()))
    world.run(1)
    assert in_use(world) == AGENT
    world.run(60)
    assert [home_agent for home_agent, _ in asked[:5]] == [AGENT] * 4 + [SECOND]
    assert {care_of for _, care_of in asked[:4]} == {link.address for link in world.links.values()}


def test_alone_there_is_nobody_else_to_ask() -> None:
    world = start(alternatives=())
    world.silent.add(AGENT)
    world.run(300)
    assert in_use(world) == AGENT
    world.silent.clear()
    world.run(60)
    assert set(world.bindings()) == {1, 2, 3}


def test_restarted_it_goes_on_with_the_one_in_use() -> None:
    world = start()
    world.silent.add(AGENT)
    world.run(60)
    world.restart_agent()
    assert in_use(world) == SECOND
    assert world.flows()
    before = world.bindings()
    world.run(2)
    assert world.bindings() == before


def test_what_another_home_agent_acknowledged_means_nothing_after_a_change_of_the_configuration() -> None:
    world = start()
    saved = save(world.mn)
    settings = replace(world.settings, home=replace(world.settings.home, agent=AGENT + 9, alternatives=()))
    fresh = agent.start(settings, world.mn.flows, saved, same_boot=True, sequence=1, clock_offset_s=EPOCH_S)
    assert fresh.settings.home.agent == AGENT + 9
    assert fresh.registration.entries == {}
    assert fresh.registration.sequence == saved.sequence


def test_one_that_is_about_to_stop_asks_nobody() -> None:
    world = start()
    world.silent.add(AGENT)
    world.mn = replace(world.mn, registration=replace(world.mn.registration, leaving=True))
    world.run(60)
    assert in_use(world) == AGENT


# sent away


def start_protected(*alternatives: IPv6Address) -> World:
    settings = replace(test_ipsec.SETTINGS, home=replace(test_ipsec.SETTINGS.home, alternatives=alternatives))
    others = tuple(_at(test_ipsec.home_agent(), address) for address in (SECOND, THIRD))
    world = World(three_links(), settings=settings, home_agent=test_ipsec.home_agent(), others=others)
    return world.start().run(5)


def _at(settings: HomeAgentSettings, address: IPv6Address) -> HomeAgentSettings:
    return replace(settings, home_agent=replace(settings.home_agent, address=address))


def switches(world: World) -> list[float]:
    return [sent.at for sent in world.answers if isinstance(sent.message, HomeAgentSwitch)]


@pytest.mark.parametrize(
    ("listed", "known", "chosen"),
    [((), (SECOND,), SECOND), ((THIRD,), (SECOND,), THIRD), ((AGENT, THIRD), (), THIRD), ((THIRD, SECOND), (), THIRD)],
)
@pytest.mark.req("HAS-01", "HAS-02", "HAS-03", "MH-13")
def test_sent_away_it_deregisters_and_goes_where_it_is_told(
    listed: tuple[IPv6Address, ...], known: tuple[IPv6Address, ...], chosen: IPv6Address
) -> None:
    world = start_protected(*known)
    stream = world.stream(2, every_s=0.01)
    world.home_agent_hears(SwitchRequested(HOME, listed))
    world.run(3)
    assert in_use(world) == chosen
    assert set(world.bindings()) == {1, 2, 3}
    assert world.ha.cache[HOME].bindings == {}
    assert (world.ha.switches, len(switches(world))) == ({}, 1)
    assert max(stream.lost) <= 15
    assert world.notices.count(f"{AGENT} sends us away: {chosen} is asked from now on") == 1
    assert {AGENT, *listed, *known} == {chosen, *world.mn.settings.home.alternatives}


@pytest.mark.req("HAS-03")
def test_one_that_does_not_hear_is_told_again_and_gets_no_extension() -> None:
    world = start_protected(SECOND)
    held = world.ha.cache[HOME].bindings
    for link in world.links.values():
        link.blackhole = True
    at = world.now
    world.home_agent_hears(SwitchRequested(HOME, (SECOND,)))
    world.run(60)
    assert [moment - at for moment in switches(world)] == pytest.approx([0, 5, 15, 35, 55])
    for link in world.links.values():
        link.blackhole = False
    world.switch("lte")  # an update, as it does not know
    world.run(1)
    answers = [sent.message for sent in world.answers if isinstance(sent.message, BindingAcknowledgement)]
    assert answers[-1].status == Status.ADMINISTRATIVELY_PROHIBITED
    assert world.ha.cache[HOME].bindings == held
    world.run(20)
    assert in_use(world) == SECOND
    assert world.ha.switches == {}


def test_what_has_ended_need_not_be_sent_away() -> None:
    world = start_protected(SECOND)
    world.home_agent_hears(SwitchRequested(HOME + 5, ()))
    assert (world.ha.switches, switches(world)) == ({}, [])


def test_an_old_home_agent_that_does_not_confirm_is_left_all_the_same() -> None:
    world = start_protected(SECOND)
    world.home_agent_hears(SwitchRequested(HOME, ()))
    world.run(0.005)
    world.run(0.01)
    world.silent.add(AGENT)
    world.run(GOING_S - 0.1)
    assert in_use(world) == AGENT
    world.run(3)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}


@pytest.mark.req("HAS-02")
def test_only_ipsec_may_bring_it_and_there_must_be_somewhere_to_go() -> None:
    care_of = three_links()["ethernet"].address
    data = with_checksum(encode(HomeAgentSwitch((SECOND,))), AGENT, HOME)
    for world in (start(), start_protected(SECOND)):
        world.mobile_node(PacketReceived(Packet(AGENT, care_of, HOME, data)))
        assert "home agent switch not protected by IPsec" in world.mn.ignored or (
            "not protected by IPsec" in world.mn.ignored
        )
        assert world.mn.going is None
    world = start_protected()
    world.home_agent_hears(SwitchRequested(HOME, (AGENT,)))
    world.run(1)
    assert world.mn.ignored == {"home agent switch to nowhere": 1}
    assert set(world.bindings()) == {1, 2, 3}


def test_while_it_leaves_it_is_told_once() -> None:
    world = start_protected(SECOND)
    for link in world.links.values():
        link.duplicate = 1.0
    world.home_agent_hears(SwitchRequested(HOME, ()))
    world.run(3)
    assert in_use(world) == SECOND
    assert world.mn.home_agents_tried == 0


# discovered


def start_discovering(**more: object) -> World:
    settings = mobile_node_settings(USUAL)
    settings = replace(settings, home=replace(settings.home, discover=True))
    peers = (Peer(address=SECOND, preference=5), Peer(address=THIRD, preference=-5))
    home_agent = replace(home_agent_settings(), peer=peers)
    others = (other(SECOND), other(THIRD))
    return World(three_links(), settings=settings, home_agent=home_agent, others=others, **more).start().run(5)  # type: ignore[arg-type]


@pytest.mark.req("DHAAD-01", "DHAAD-03", "DHAAD-04")
def test_the_home_agent_that_serves_us_tells_of_the_others_and_they_serve_when_it_does_not() -> None:
    world = start_discovering()
    (question,) = world.questions
    assert question.destination == IPv6Address("2001:db8:f00:0:fdff:ffff:ffff:fffe")
    assert question.source in {link.address for link in world.links.values()}
    assert world.mn.settings.home.alternatives == (SECOND, THIRD)
    world.silent.add(AGENT)
    world.run(60)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}


@pytest.mark.req("DHAAD-02")
def test_the_question_is_repeated_with_growing_pauses_over_all_links_and_then_left() -> None:
    world = World(three_links(), settings=start_discovering().settings)
    world.answers_questions = False
    world.start().run(200)
    first, *others = [question.at for question in world.questions]
    assert [at - first for at in others] == pytest.approx([3, 9, 21, 45])
    assert len({question.source for question in world.questions}) == 3
    assert len({question.identifier for question in world.questions}) == 5
    assert world.mn.settings.home.alternatives == ()
    world.run(GIVEN_UP_S + 200)
    assert len(world.questions) == 10


def test_home_agents_are_asked_for_again_once_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AGAIN_S == 86400
    monkeypatch.setattr("mn_agent.core.discovery.AGAIN_S", 2000.0)
    world = start_discovering()
    world.run(1990)
    assert len(world.questions) == 1
    world.run(20)
    assert len(world.questions) == 2


def test_when_none_that_is_known_serves_whoever_gets_it_is_asked() -> None:
    settings = replace(start_discovering().settings, home=replace(mobile_node_settings().home, discover=True))
    world = World(three_links(), settings=settings, others=(other(SECOND),))
    world.answers_questions = False
    world.silent.add(AGENT)
    world.start().run(20)
    asked = len(world.questions)
    assert asked > 3
    reply = HomeAgentAddressDiscoveryReply(world.mn.discovery.identifier, mobile_router=False, home_agents=(SECOND,))
    world.mobile_node(IcmpReceived(encode_discovery(reply, SECOND, HOME)))
    world.run(20)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}


def test_what_is_no_answer_to_the_last_question_is_none() -> None:
    world = World(three_links(), settings=start_discovering().settings)
    world.answers_questions = False

    def reply(identifier: int, *home_agents: IPv6Address) -> None:
        message = HomeAgentAddressDiscoveryReply(identifier, mobile_router=False, home_agents=home_agents)
        world.mobile_node(IcmpReceived(encode_discovery(message, AGENT, HOME)))

    reply(world.mn.discovery.identifier, SECOND)
    world.start().run(5)
    identifier = world.mn.discovery.identifier
    reply((identifier + 1) & 0xFFFF, SECOND)
    world.mobile_node(IcmpReceived(bytes((IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REPLY, 0, 0))))
    request = HomeAgentAddressDiscoveryRequest(identifier, mobile_router=False)
    world.mobile_node(IcmpReceived(encode_discovery(request, AGENT, HOME)))
    before = world.mn.settings.home.alternatives
    reply(identifier, AGENT, HOME, IPv6Address("fe80::1"), THIRD, THIRD)
    assert (before, world.mn.settings.home.alternatives) == ((), (THIRD,))


@pytest.mark.req("REG-29")
@pytest.mark.parametrize("same_boot", [True, False])
def test_a_home_agent_that_was_discovered_is_told_of_the_end_though_the_agent_was_killed(*, same_boot: bool) -> None:
    """It would stand in for us on the home link until the bindings run out, which a day is too long for."""
    world = start_discovering()
    world.silent.add(AGENT)
    world.run(60)
    world.restart_agent(same_boot=same_boot)
    world.run(5)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}
    world.mobile_node(StopRequested())
    world.run(2)
    last = world.updates[-1]
    assert isinstance(last.message, BindingUpdate)
    assert (last.packet.destination, last.message.lifetime) == (SECOND, 0)
    assert world.bindings() == {}
    assert mobile_node_settings().registration.lifetime_s <= 600


@pytest.mark.req("SC-05")
def test_a_home_agent_that_somebody_made_up_gets_no_more_than_questions() -> None:
    """Messages have to be protected with the keys of our home agents; a reply about home agents is not."""
    made_up = IPv6Address("2001:db8:bad::1")
    settings = replace(test_ipsec.SETTINGS, home=replace(test_ipsec.SETTINGS.home, discover=True), probing=USUAL)
    home_agent = test_ipsec.home_agent()
    world = World(three_links(), settings=settings, home_agent=home_agent, others=(_at(home_agent, SECOND),))
    world.answers_questions = False
    world.start().run(5)
    reply = HomeAgentAddressDiscoveryReply(
        world.mn.discovery.identifier, mobile_router=False, home_agents=(made_up, SECOND)
    )
    world.mobile_node(IcmpReceived(encode_discovery(reply, AGENT, HOME)))
    world.run(30)
    assert (in_use(world), world.mn.settings.home.alternatives) == (AGENT, (made_up, SECOND))
    assert world.flows()
    carriers: dict[int, object] = {}

    def says_yes() -> None:
        """In clear, once to each update: it has no keys."""
        update = world.updates[-1]
        if in_use(world) != made_up or update.packet.destination != made_up:
            return
        assert isinstance(update.message, BindingUpdate)
        sequence = update.message.sequence
        if sequence not in carriers:
            carriers[sequence] = world.mn.carrier
            data = with_checksum(encode(BindingAcknowledgement(0, NO_FLAGS, sequence, 150)), made_up, HOME)
            answer = PacketReceived(Packet(made_up, update.packet.source, HOME, data))
            world.at(world.now + 0.001, lambda: world.mobile_node(answer))

    world.silent |= {AGENT, made_up}
    world.watchers.append(says_yes)
    world.run(60)
    assert carriers
    assert set(carriers.values()) == {None}, "no payload for it"
    assert world.mn.ignored["not protected by IPsec"] > 0
    assert in_use(world) == SECOND


def test_a_discovered_home_agent_is_kept_over_a_restart() -> None:
    world = start_discovering()
    world.restart_agent()
    assert in_use(world) == AGENT
    world.silent.add(AGENT)
    world.run(60)
    world.restart_agent()
    assert in_use(world) == SECOND
    assert world.flows()


@pytest.mark.req("DHAAD-04", "DHAAD-06")
def test_home_agents_are_told_by_preference_and_equal_ones_in_changing_order() -> None:
    peers = tuple(Peer(address=AGENT + number, preference=number % 2) for number in range(1, 200))
    settings = replace(home_agent_settings(), peer=peers)
    orders = set()
    for identifier in range(40):
        request = HomeAgentAddressDiscoveryRequest(identifier, mobile_router=bool(identifier % 2))
        reply = answer(settings, {}, encode_discovery(request, SECOND, AGENT), SECOND)
        assert reply is not None
        assert (reply.source, reply.destination) == (AGENT, SECOND)
        assert len(reply.data) <= 1280 - 40
        message = decode_discovery(reply.data)
        assert isinstance(message, HomeAgentAddressDiscoveryReply)
        assert (message.identifier, message.mobile_router) == (identifier, False)
        assert all((int(one) - int(AGENT)) % 2 for one in message.home_agents)
        orders.add(message.home_agents)
    assert len(orders) > 10
    assert answer(settings, {}, encode_discovery(message, SECOND, AGENT), SECOND) is None
    assert answer(settings, {}, b"\x90", SECOND) is None
