"""A mobile router asks to be served as one, in every mode, and what becomes of it when that is refused (RFC 3963)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from home_agent.core import settings as ha_settings
from home_agent.core.events import SettingsChanged
from home_agent.core.mobile_networks import HOST, MobileNetwork
from mip6.wire.discovery import HomeAgentAddressDiscoveryReply, HomeAgentAddressDiscoveryRequest, decode, encode
from mip6.wire.extension import Packet
from mip6.wire.icmp import packet_too_big
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import BindingIdentifier, MobileNetworkPrefix
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, Status
from mn_agent.core import agent, commands, discovery, events
from mn_agent.core.mobile_network import MobileNetwork as Asked
from mn_agent.core.mobile_network import Mode, configured, refuse
from mn_agent.core.policy_file import FlowRule, Policy
from mn_agent.core.settings import RouterSettings, Settings
from tests.story.test_refusals import answer
from tests.story.world import (
    AGENT,
    AT_ONCE,
    HOME,
    NODE,
    World,
    home_agent_settings,
    make_link,
    mobile_node_settings,
    three_links,
)

BUS, TRAIN = IPv6Network("2001:db8:f00:10::/64"), IPv6Network("2001:db8:b05::/56")
OTHER, THIRD = AGENT + 1, AGENT + 2
NO, INVALID, NOT_AUTHORIZED, FAILED = Status(140), Status(141), Status(142), Status(143)
GRANTED = BindingAcknowledgementFlag.MOBILE_ROUTER


def settings(*alternatives: IPv6Address, mode: str = "explicit") -> Settings:
    known = mobile_node_settings()
    router = RouterSettings(prefixes=(BUS, TRAIN), interfaces=("lan*",), mode=mode)
    return replace(known, router=router, home=replace(known.home, alternatives=alternatives))


def home_agent(*prefixes: IPv6Network, **changes: object) -> ha_settings.Settings:
    return replace(home_agent_settings(**changes), node=(replace(NODE, prefixes=prefixes),))


def world(*alternatives: IPv6Address, mode: str = "explicit", **more: object) -> World:
    more.setdefault("home_agent", home_agent(BUS, TRAIN))
    return World(three_links(), settings=settings(*alternatives, mode=mode), **more)  # type: ignore[arg-type]


def says(statuses: Mapping[IPv6Address, int], flags: BindingAcknowledgementFlag = GRANTED) -> Callable[..., Packet]:
    """Home agents that give these answers to a router, and serve any host."""

    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        is_router = BindingUpdateFlag.MOBILE_ROUTER in update.flags and update.lifetime
        status = statuses.get(packet.destination, 0) if is_router else 0
        return answer(update, packet, status, flags=flags if is_router else BindingAcknowledgementFlag(0))

    return respond


def routers(world: World) -> list[bool]:
    return [BindingUpdateFlag.MOBILE_ROUTER in update.flags for _, update in world.sent_updates()]


def prefixes(update: BindingUpdate) -> list[IPv6Network]:
    options = [option for option in update.options if isinstance(option, MobileNetworkPrefix)]
    return [IPv6Network((option.prefix, option.prefix_length)) for option in options]


def asked(world: World) -> list[tuple[IPv6Address, Mode]]:
    """Whom, and in which mode, one after the other."""
    found: list[tuple[IPv6Address, Mode]] = []
    for sent in world.updates:
        if not isinstance(sent.message, BindingUpdate) or not sent.message.lifetime:
            continue
        is_router = BindingUpdateFlag.MOBILE_ROUTER in sent.message.flags
        mode = (Mode.EXPLICIT if prefixes(sent.message) else Mode.IMPLICIT) if is_router else Mode.HOST
        if not found or found[-1] != (sent.packet.destination, mode):
            found.append((sent.packet.destination, mode))
    return found


def network(world: World) -> MobileNetwork:
    entry = world.ha.cache.get(HOME)
    return entry.network if entry is not None else HOST


# What is said


@pytest.mark.req("NEMO-01", "NEMO-02", "NEMO-03", "NEMO-14", "BUL-05", "MCOA-34")
def test_every_update_names_every_prefix_also_refreshes_and_those_of_single_bindings() -> None:
    story = world().start().run(2)
    story.carrier("wifi", on=False)
    story.run(500)
    story.carrier("wifi", on=True)
    story.run(2)
    said = [update for _, update in story.sent_updates()]
    assert len(said) > 5
    assert any(update.lifetime == 0 for update in said), "the lost link's binding has ended"
    for update in said:
        assert update.flags & BindingUpdateFlag.MOBILE_ROUTER
        assert update.flags & BindingUpdateFlag.HOME_REGISTRATION
        assert prefixes(update) == [BUS, TRAIN]
    assert network(story) == MobileNetwork(is_router=True, prefixes=(BUS, TRAIN))
    assert set(story.bindings()) == {1, 2, 3}


@pytest.mark.req("NEMO-03", "BUL-05")
def test_in_implicit_mode_it_names_none_and_gets_all() -> None:
    story = world(mode="implicit").start().run(2)
    assert all(routers(story))
    assert not any(prefixes(update) for _, update in story.sent_updates())
    assert network(story).prefixes == (BUS, TRAIN)


@pytest.mark.req("NEMO-12", "NEMO-19")
def test_the_update_that_ends_everything_names_no_prefix() -> None:
    story = world().start().run(2)
    story.mobile_node(events.StopRequested())
    story.run(1)
    *_, (_, last) = story.sent_updates()
    assert last.lifetime == 0
    assert last.flags & BindingUpdateFlag.MOBILE_ROUTER
    assert prefixes(last) == []
    assert story.bindings() == {}
    assert network(story) == HOST


def test_a_host_says_nothing_of_routers() -> None:
    story = World(three_links(), home_agent=home_agent(BUS)).start().run(500)
    assert not any(routers(story))
    assert not any(prefixes(update) for _, update in story.sent_updates())
    assert network(story) == HOST


@pytest.mark.req("NEMO-14")
def test_a_restarted_agent_goes_on_as_a_router_and_nothing_is_lost() -> None:
    story = world().start().run(2)
    stream = story.stream(2)
    story.run(1)
    story.restart_agent()
    story.run(2)
    assert stream.lost == (0, 0)
    assert network(story).prefixes == (BUS, TRAIN)


def test_flows_leave_room_for_the_prefixes() -> None:
    """The update still fits into 1,280 octets."""
    rules = tuple(FlowRule(name=f"f{number}", port=(), protocol=(number,), via=("wifi",)) for number in range(60))
    story = world(policy=Policy(description="many", flow=rules, links=AT_ONCE.links)).start().run(5)
    sizes = [len(sent.packet.data) for sent in story.updates]
    assert max(sizes) + 40 + 24 <= 1280
    assert len(story.flow_bindings()) == 60


def test_a_flow_may_be_one_of_a_host_behind_the_router() -> None:
    rule = FlowRule(name="camera", local=(IPv6Network("2001:db8:f00:10::5/128"),), via=("lte",))
    story = world(policy=Policy(description="one", flow=(rule,), links=AT_ONCE.links)).start().run(3)
    (flow,) = story.flow_bindings()
    assert flow.selector.destination is not None
    assert flow.selector.destination.first == IPv6Address("2001:db8:f00:10::5")
    assert flow.bids == (3,)


# What is refused


@pytest.mark.req("NEMO-06", "NEMO-07", "NEMO-08")
@pytest.mark.parametrize(
    ("mode", "statuses", "expected"),
    [
        # 140: the next home agent; from all of them: a host from then on
        ("explicit", (NO, 0), [(AGENT, "explicit"), (OTHER, "explicit")]),
        ("implicit", (NO, 0), [(AGENT, "implicit"), (OTHER, "implicit")]),
        ("explicit", (NO, NO), [(AGENT, "explicit"), (OTHER, "explicit"), (OTHER, "host")]),
        ("implicit", (NO, NO), [(AGENT, "implicit"), (OTHER, "implicit"), (OTHER, "host")]),
        # 141 and 142 in explicit mode: the next home agent, then implicit mode, which they end for good
        (
            "explicit",
            (NOT_AUTHORIZED, INVALID),
            [(AGENT, "explicit"), (OTHER, "explicit"), (OTHER, "implicit"), (OTHER, "host")],
        ),
        ("implicit", (NOT_AUTHORIZED, 0), [(AGENT, "implicit"), (AGENT, "host")]),
        # 143 the other way round
        (
            "implicit",
            (FAILED, FAILED),
            [(AGENT, "implicit"), (OTHER, "implicit"), (OTHER, "explicit"), (OTHER, "host")],
        ),
        ("explicit", (FAILED, 0), [(AGENT, "explicit"), (AGENT, "host")]),
    ],
)
def test_who_is_asked_next_and_how(
    mode: str, statuses: tuple[int, int], expected: list[tuple[IPv6Address, str]]
) -> None:
    story = world(OTHER, mode=mode, respond=says(dict(zip((AGENT, OTHER), statuses, strict=True))))
    story.start().run(30)
    assert asked(story) == [(address, Mode(name)) for address, name in expected]
    if expected[-1][1] == "host":
        story.run(600)
        assert not any(routers(story)[-3:]), "it does not begin again by itself"
        before = len(story.updates)
        story.refresh()
        story.run(0.1)
        assert routers(story)[before], "somebody has asked"


def test_a_home_agent_that_knows_us_otherwise_serves_us_in_the_other_mode() -> None:
    """What the router's file says is not what the home agent's says."""
    story = world(home_agent=home_agent(TRAIN)).start().run(5)
    assert asked(story) == [(AGENT, Mode.EXPLICIT), (AGENT, Mode.IMPLICIT)]
    assert network(story).prefixes == (TRAIN,)
    assert story.mn.registration.network.failed == {Mode.EXPLICIT: NOT_AUTHORIZED}
    assert set(story.bindings()) == {1, 2, 3}


def test_when_no_mode_helps_it_is_served_as_a_host() -> None:
    story = world(home_agent=home_agent()).start().run(5)
    assert [mode for _, mode in asked(story)] == [Mode.EXPLICIT, Mode.IMPLICIT, Mode.HOST]
    assert set(story.bindings()) == {1, 2, 3}
    assert network(story) == HOST


@pytest.mark.req("NEMO-13")
def test_a_host_that_may_be_a_router_again_is_bound_anew_as_one() -> None:
    """The home agent holds it as a host until it has deregistered."""
    story = world(home_agent=home_agent()).start().run(5)
    story.home_agent_hears(SettingsChanged(home_agent(BUS, TRAIN)))
    story.refresh()
    story.run(10)
    assert network(story) == MobileNetwork(is_router=True, prefixes=(BUS, TRAIN))
    assert set(story.bindings()) == {1, 2, 3}
    assert any("holds us as something else" in notice for notice in story.notices)


def test_a_home_agent_that_insists_on_the_other_type_is_left_alone() -> None:
    story = world(respond=says({AGENT: Status.REGISTRATION_TYPE_CHANGE_DISALLOWED})).start().run(60)
    assert len(asked(story)) == 1
    assert len(story.updates) < 10


@pytest.mark.req("NEMO-04")
def test_a_home_agent_that_knows_no_routers_is_left_for_the_next() -> None:
    story = world(OTHER, respond=says({}, BindingAcknowledgementFlag(0)))
    known = says({})
    plain = story.respond
    story.respond = lambda update, packet: (plain if packet.destination == AGENT else known)(update, packet)  # type: ignore[misc]
    story.start().run(10)
    left = [sent for sent in story.updates if isinstance(sent.message, BindingUpdate) and not sent.message.lifetime]
    assert [sent.packet.destination for sent in left] == [AGENT], "it has deregistered there"
    assert asked(story)[-1] == (OTHER, Mode.EXPLICIT)
    assert any("serves no mobile routers" in notice for notice in story.notices)


@pytest.mark.req("NEMO-04")
def test_the_only_home_agent_knows_no_routers() -> None:
    story = world(respond=says({}, BindingAcknowledgementFlag(0))).start().run(10)
    assert asked(story) == [(AGENT, Mode.EXPLICIT), (AGENT, Mode.HOST)]
    assert story.mn.registration.entries[1].binding is not None


def test_one_home_agent_after_the_other_in_a_mode() -> None:
    home = settings(OTHER, THIRD).home
    first = refuse(configured(settings().router), home, NO)
    second = refuse(first, replace(home, agent=OTHER, alternatives=(THIRD, AGENT)), NOT_AUTHORIZED)
    assert (second.mode, second.refused) == (Mode.EXPLICIT, {AGENT: NO, OTHER: NOT_AUTHORIZED})
    third = refuse(second, replace(home, agent=THIRD, alternatives=(AGENT, OTHER)), NO)
    assert third == Asked((BUS, TRAIN), Mode.IMPLICIT, {}, {Mode.EXPLICIT: NO})


# Discovery


@pytest.mark.req("DHAAD-06", "NEMO-21")
def test_it_looks_for_home_agents_that_serve_routers() -> None:
    known = settings()
    home = replace(known.home, discover=True)
    asking, question = discovery.ask(discovery.Discovery(5), home, (AGENT,), 0.0, mobile_router=True)
    assert decode(question.data) == HomeAgentAddressDiscoveryRequest(6, mobile_router=True)

    def hears(*, mobile_router: bool) -> tuple[IPv6Address, ...]:
        reply = HomeAgentAddressDiscoveryReply(6, mobile_router=mobile_router, home_agents=(OTHER,))
        told = discovery.answered(asking, home, encode(reply, AGENT, AGENT), 1.0, mobile_router=True)
        assert told is not None
        return told[1].alternatives

    assert hears(mobile_router=True) == (OTHER,)
    assert hears(mobile_router=False) == ()


@pytest.mark.req("NEMO-04", "DHAAD-06")
def test_whom_it_has_discovered_it_asks() -> None:
    peer = ha_settings.Peer(address=OTHER, mobile_routers=True)
    at_home = replace(home_agent(BUS, TRAIN, mobile_routers=False), peer=(peer,))
    other = replace(home_agent(BUS, TRAIN), home_agent=replace(home_agent().home_agent, address=OTHER))
    known = settings()
    story = World(
        three_links(),
        settings=replace(known, home=replace(known.home, discover=True)),
        home_agent=at_home,
        others=(other,),
    )
    story.start().run(15)
    assert asked(story)[-1] == (OTHER, Mode.EXPLICIT)
    assert story.serving.cache[HOME].network.prefixes == (BUS, TRAIN)


# Links, and packets that are too big


def test_an_interface_inwards_is_no_uplink() -> None:
    links = {**three_links(), "lan": make_link(4, "lan0", "ethernet")}
    story = World(links, settings=settings(), home_agent=home_agent(BUS, TRAIN)).start().run(2)
    assert set(story.bindings()) == {1, 2, 3}


def test_a_host_behind_the_router_hears_that_its_packet_was_too_big() -> None:
    story = world().start().run(2)
    care_of, correspondent = story.bindings()[1], IPv6Address("2001:db8:cc::1")

    def header(next_header: int, source: IPv6Address, destination: IPv6Address) -> bytes:
        return bytes([0x60, 0, 0, 0, 0, 40, next_header, 64]) + source.packed + destination.packed

    for host, told in ((BUS[5], [BUS[5]]), (HOME, [HOME]), (IPv6Address("2001:db8:bad::5"), [])):
        data = packet_too_big(1400, header(41, care_of, AGENT) + header(17, host, correspondent), care_of, care_of)
        story.mn, todo = agent.step(story.mn, events.IcmpReceived(data), story.now)
        assert [one.error.destination for one in todo if isinstance(one, commands.SendIcmp)] == told


def test_bindings_have_their_identifiers_beside_the_prefixes() -> None:
    story = world().start().run(2)
    assert all(any(isinstance(one, BindingIdentifier) for one in update.options) for _, update in story.sent_updates())
