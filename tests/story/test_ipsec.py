"""Messages that IPsec protects: what is in them, and that no others count (RFC 4877, RFC 6275 section 5.1)."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from home_agent.core import agent as ha_agent
from home_agent.core.events import PacketReceived as ReceivedByHomeAgent
from home_agent.core.events import RevocationRequested, SwitchRequested
from home_agent.core.kernel import associations
from home_agent.core.kernel import wanted_kernel as wanted_by_home_agent
from home_agent.core.settings import HomeAgent, Node
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.ipsec import StaticKeys, StaticPair
from mip6.kernel import host
from mip6.wire.checksum import with_checksum
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingRevocationIndication,
    BindingUpdate,
    HomeAgentSwitch,
)
from mip6.wire.options import (
    AlternateCareOfAddress,
    BindingIdentifier,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNodeIdentifier,
)
from mip6.wire.registry import NextHeader, RevocationTrigger
from mip6.xfrm import Direction, Selector
from mn_agent.core.events import PacketReceived
from mn_agent.core.kernel import wanted_kernel
from mn_agent.core.report import status
from tests.story.world import AGENT, EPOCH_S, HOME, IDENTITY, NODE, World, mobile_node_settings, three_links

PAIR = StaticPair(
    up=StaticKeys(spi=256, encryption_key=bytes(16), integrity_key=bytes(32)),
    down=StaticKeys(spi=257, encryption_key=bytes(16), integrity_key=bytes(32)),
)
SETTINGS = replace(mobile_node_settings(), authentication=None, manual=PAIR)
OTHER = replace(NODE, name="other", identity="other@example.org", home_address=HOME + 1)


def home_agent(**changes: object) -> HomeAgentSettings:
    """With one mobile node that has no IPsec before the one that has."""
    own = HomeAgent(address=AGENT, prefixes=(IPv6Network("2001:db8:f00::/48"),))
    node = Node(name="laptop", identity=IDENTITY, home_address=HOME, manual=PAIR)
    return HomeAgentSettings(home_agent=replace(own, **changes), node=(OTHER, node))  # type: ignore[arg-type]


def start(**changes: object) -> World:
    return World(three_links(), settings=SETTINGS, home_agent=home_agent(**changes)).start().run(5)


@pytest.mark.req("SEC-01", "SEC-09")
def test_all_links_are_registered_by_messages_that_ipsec_protects() -> None:
    world = start()
    assert set(world.bindings()) == {1, 2, 3}
    assert len(world.updates) > 2
    for sent in (*world.updates, *world.answers):
        assert sent.packet.protected
        assert sent.packet.home_address == HOME
        assert isinstance(sent.message, BindingUpdate | BindingAcknowledgement)
        kinds = {type(option) for option in sent.message.options}
        assert not kinds & {MessageAuthentication, MessageReplayProtection, MobileNodeIdentifier}
    assert world.mn.ignored == {}


@pytest.mark.req("REG-03")
def test_the_care_of_address_is_always_in_the_message_which_esp_covers() -> None:
    for sent in start().updates:
        assert isinstance(sent.message, BindingUpdate)
        (identifier,) = [option for option in sent.message.options if isinstance(option, BindingIdentifier)]
        assert identifier.care_of == sent.packet.source
    world = start(several_care_of_addresses=False)
    plain = [sent for sent in world.updates if not _identifiers(sent.message)]
    assert plain
    for sent in plain:
        assert isinstance(sent.message, BindingUpdate)
        assert AlternateCareOfAddress(sent.packet.source) in sent.message.options


def _identifiers(message: object) -> list[BindingIdentifier]:
    assert isinstance(message, BindingUpdate)
    return [option for option in message.options if isinstance(option, BindingIdentifier)]


@pytest.mark.req("SEC-01", "SC-01")
def test_an_update_in_clear_is_not_taken_even_if_it_is_signed() -> None:
    world = start()
    before = world.ha.cache
    sent = world.updates[0]
    clear = replace(sent.packet, protected=False)
    clear = replace(clear, data=with_checksum(clear.data, HOME, AGENT))
    world.ha, _ = ha_agent.step(world.ha, ReceivedByHomeAgent(clear), world.now)
    assert world.ha.cache == before
    assert world.ha.dropped == {"not protected by IPsec": 1}


def test_an_answer_in_clear_is_not_taken() -> None:
    world = start()
    clear = replace(world.answers[-1].packet, protected=False)
    clear = replace(clear, data=with_checksum(clear.data, AGENT, HOME))
    world.mobile_node(PacketReceived(clear))
    assert world.mn.ignored == {"not protected by IPsec": 1}


def test_a_request_to_refresh_is_protected_too() -> None:
    world = start()
    for link in world.links.values():
        link.loss = 1.0
    world.run(600)
    requests = [sent for sent in world.answers if isinstance(sent.message, BindingRefreshRequest)]
    assert requests
    assert all(sent.packet.protected for sent in requests)


@pytest.mark.req("SEC-12", "SEC-14")
def test_one_pair_of_associations_has_every_message_between_home_address_and_home_agent() -> None:
    """Of whichever type: the kernel sees none in a packet that arrives."""
    world = start()
    care_of = world.bindings()[1]
    world.home_agent_hears(RevocationRequested(HOME, frozenset({3}), RevocationTrigger.ADMINISTRATIVE_REASON))
    world.home_agent_hears(SwitchRequested(HOME, (AGENT + 1,)))
    for link in world.links.values():
        link.loss = 1.0
    world.run(600)
    for kind in (BindingAcknowledgement, BindingRefreshRequest, BindingRevocationIndication, HomeAgentSwitch):
        assert any(isinstance(sent.message, kind) for sent in world.answers)
    assert all(sent.packet.protected for sent in (*world.updates, *world.answers))
    up, down = (Selector.mobility(*ends) for ends in ((host(HOME), host(AGENT)), (host(AGENT), host(HOME))))
    for wanted, out, into in ((wanted_kernel(world.mn), up, down), (wanted_by_home_agent(world.ha), down, up)):
        found = {
            (policy.id.direction, policy.id.selector): policy.templates[0].reqid
            for policy in wanted.policies
            if policy.id.selector.protocol == NextHeader.MOBILITY
        }
        assert found.keys() == {(Direction.OUT, out), (Direction.IN, into)}
        assert len({*found.values(), *(state.reqid for state in wanted.states if state.algorithms)}) == 1
    assert care_of not in {state.source for state in wanted_kernel(world.mn).states if state.algorithms}


@pytest.mark.req("SEC-31")
def test_both_ends_want_the_same_in_their_kernels_seen_from_either_side() -> None:
    world = start()
    ours, theirs = wanted_kernel(world.mn), wanted_by_home_agent(world.ha)
    (far,) = associations(world.ha.settings)
    near = world.mn.settings.association
    assert (near.place, far.place) == (0, 1)
    turned = {Direction.OUT: Direction.IN, Direction.IN: Direction.OUT}
    selectors = {(turned[policy.id.direction], policy.id.selector) for policy in ours.policies}
    assert selectors >= {(policy.id.direction, policy.id.selector) for policy in theirs.policies if _is_esp(policy)}
    keys = {(state.spi, state.source, state.destination) for state in ours.states if state.algorithms}
    assert keys == {(state.spi, state.source, state.destination) for state in theirs.states if state.algorithms}
    assert not {state.reqid for state in ours.states} & {state.reqid for state in theirs.states}, "places differ"


def _is_esp(policy: object) -> bool:
    return "Protocol.ESP" in repr(getattr(policy, "templates", ()))


def test_without_ipsec_nothing_of_it_is_wanted() -> None:
    world = World(three_links()).start().run(1)
    for wanted in (wanted_kernel(world.mn), wanted_by_home_agent(world.ha)):
        assert not wanted.policies
        assert not wanted.states


def test_status_says_how_messages_are_protected() -> None:
    world = start()
    shown = status(world.mn, world.now, unix_time=world.now + EPOCH_S, version="1", pid=1, counters={})
    assert (shown.security, shown.identity) == ("manual", str(HOME))
