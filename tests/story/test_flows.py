"""Flows from policy to home agent: what is on the wire, and when (RFC 6089 section 5.2)."""

from dataclasses import replace

import pytest

from mip6.wire.flows import BindingReference
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import BindingIdentifier, FlowIdentification, FlowSummary
from mip6.wire.registry import FlowStatus
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from mn_agent.core.answers import REFUSAL_RETRY_S
from mn_agent.core.events import StopRequested, Subject
from mn_agent.core.flow_bindings import FlowBinding
from mn_agent.core.policy_file import FlowRule, Policy
from tests.story.test_refusals import answer
from tests.story.world import (
    AT_ONCE,
    World,
    acknowledgements,
    home_agent_settings,
    mobile_node_settings,
    three_links,
)

CALL = FlowRule(name="call", port=(Span.only(5060),), via=("lte", "wifi"))
NEWS = FlowRule(name="news", port=(Span.only(119),), via=("wifi",))
COPIED = FlowRule(name="copied", port=(Span.only(53),), copies=2, via=("wifi", "lte"))
FLOWS = Policy(description="", links=AT_ONCE.links, flow=(CALL, NEWS, COPIED))
SELECTORS = [Ipv6Selector(source_port=Span.only(port)) for port in (5060, 119, 53)]


def registered(policy: Policy = FLOWS, **changes: object) -> World:
    world = World(three_links(), policy=policy, **changes).start().run(5)  # type: ignore[arg-type]
    world.updates.clear()
    world.answers.clear()
    return world


def bound(world: World) -> list[tuple[int, ...]]:
    return [flow.bids for flow in world.flow_bindings()]


def described(update: BindingUpdate) -> list[int]:
    return [option.fid for option in update.options if isinstance(option, FlowIdentification)]


def named(update: BindingUpdate) -> list[int]:
    return [fid for option in update.options if isinstance(option, FlowSummary) for fid in option.fids]


@pytest.mark.req("BUL-07")
def test_what_is_told_of_flows_is_kept_and_whether_the_home_agent_has_it() -> None:
    world = World(three_links(), policy=FLOWS).start().run(0.03)
    wanted = {
        1: FlowBinding(1, SELECTORS[0], (3,)),
        2: FlowBinding(2, SELECTORS[1], (2,)),
        3: FlowBinding(3, SELECTORS[2], (2, 3)),
    }
    assert world.mn.registration.flows.keys() == wanted.keys()
    assert not any(entry.held for entry in world.mn.registration.flows.values()), "none is active"
    world.run(5)
    assert {fid: entry.wanted for fid, entry in world.mn.registration.flows.items()} == wanted
    assert {fid: entry.held for fid, entry in world.mn.registration.flows.items()} == wanted
    assert world.mn.registration.entries.keys() == {1, 2, 3}, "beside the bindings"


@pytest.mark.req("FLOW-12", "FLOW-15", "FLOW-16")
def test_every_flow_of_the_policy_is_bound_to_its_links() -> None:
    world = registered()
    assert [(flow.fid, flow.priority, flow.selector, flow.bids) for flow in world.flow_bindings()] == [
        (1, 1, SELECTORS[0], (3,)),
        (2, 2, SELECTORS[1], (2,)),
        (3, 3, SELECTORS[2], (2, 3)),
    ]


@pytest.mark.req("FLOW-01")
def test_no_binding_identifier_is_sent_without_a_priority() -> None:
    world = World(three_links(), policy=FLOWS)
    world.links["wifi"].blackhole = True
    world.start().run(2)
    for name in ("wifi", "lte"):  # one that was never answered, and one that is bound
        world.carrier(name, on=False)
        world.run(3)
    sent = [(update.lifetime, option) for _, update in world.sent_updates() for option in update.options]
    identifiers = [(lifetime, option) for lifetime, option in sent if isinstance(option, BindingIdentifier)]
    assert {option.bid for lifetime, option in identifiers if lifetime == 0} == {2, 3}
    assert all(1 <= option.priority <= 127 for _, option in identifiers)


@pytest.mark.req("FLOW-32", "FLOW-06")
def test_flows_are_told_when_their_bindings_are_there() -> None:
    world = World(three_links(), policy=FLOWS).start().run(5)
    there: set[int] = set()
    for sent in world.updates:
        assert isinstance(sent.message, BindingUpdate)
        there |= {option.bid for option in sent.message.options if isinstance(option, BindingIdentifier)}
        for option in sent.message.options:
            if isinstance(option, FlowIdentification):
                (reference,) = [one for one in option.suboptions if isinstance(one, BindingReference)]
                assert set(reference.bids) <= there


@pytest.mark.req("FLOW-14", "FLOW-18")
def test_every_update_names_all_flows_a_refresh_too() -> None:
    world = registered()
    for _ in range(3):
        world.run(500)
    assert len(world.updates) >= 3
    for _, update in world.sent_updates():
        assert (described(update), named(update)) == ([], [1, 2, 3])
    assert bound(world) == [(3,), (2,), (2, 3)]


@pytest.mark.req("FLOW-17")
def test_moving_one_flow_describes_that_and_names_the_others() -> None:
    world = registered()
    world.switch("ethernet", subject=Subject.FLOW, flow="call")
    assert len(world.updates) == 1, "at once"
    world.run(5)
    ((_, update),) = world.sent_updates()
    assert (described(update), named(update)) == ([1], [2, 3])
    assert bound(world) == [(1,), (2,), (2, 3)]
    assert "flow call: eth0 carries it: it was asked for" in world.notices


@pytest.mark.req("FLOW-26", "FLOW-19")
def test_when_a_link_is_lost_its_flows_go_where_the_policy_says_and_come_back_with_it() -> None:
    world = registered()
    world.carrier("lte", on=False)
    world.run(3)
    assert bound(world) == [(2,), (2,), (2, 1)] or bound(world) == [(2,), (2,), (2,)]
    world.carrier("wifi", on=False)
    world.run(3)
    assert bound(world) == [(1,), (1,), (1,)]
    world.carrier("lte", on=True)
    world.carrier("wifi", on=True)
    world.run(5)
    assert bound(world) == [(3,), (2,), (2, 3)]


@pytest.mark.req("FLOW-31")
def test_in_the_very_update_that_takes_a_binding_away_the_others_flows_are_kept() -> None:
    world = registered()
    world.carrier("lte", on=False)
    (_, deregistration) = next(world.sent_updates())
    assert deregistration.lifetime == 0
    # The flow that is on another link now is described already, for it may be bound to that at once
    assert described(deregistration) + named(deregistration) == [1, 3, 2]


@pytest.mark.req("FLOW-19", "FLOW-25")
def test_another_policy_brings_its_flows_and_takes_the_old_ones_away() -> None:
    world = registered()
    world.use(replace(FLOWS, flow=(NEWS,)))
    world.run(3)
    assert [(flow.fid, flow.selector) for flow in world.flow_bindings()] == [(1, SELECTORS[1])]
    world.use(AT_ONCE)
    world.run(3)
    assert bound(world) == []


@pytest.mark.req("FLOW-20")
def test_with_a_home_agent_that_binds_no_flows_no_more_is_said_of_them() -> None:
    world = World(three_links(), policy=FLOWS, home_agent=home_agent_settings(max_flows=0)).start().run(5)
    assert "the home agent binds no flows: what it sends takes the default's link" in world.notices
    world.updates.clear()
    world.run(1200)
    assert world.flows()
    assert all(not described(update) and not named(update) for _, update in world.sent_updates())


@pytest.mark.req("FLOW-20", "FLOW-04")
def test_a_flow_that_is_refused_is_asked_for_again_later_and_disturbs_no_other() -> None:
    world = World(three_links(), policy=FLOWS, home_agent=home_agent_settings(max_flows=2)).start().run(5)
    assert bound(world) == [(3,), (2,)]
    refusal = "flow copied: the home agent does not bind it: administratively prohibited (128)"
    assert world.notices.count(refusal) == 1
    world.updates.clear()
    world.run(REFUSAL_RETRY_S / 2)
    assert not world.updates
    world.home_agent = home_agent_settings()
    world.restart_home_agent(remembers=True)
    world.run(REFUSAL_RETRY_S)
    assert bound(world) == [(3,), (2,), (2, 3)]


@pytest.mark.req("FLOW-24")
def test_a_home_agent_that_forgot_gets_to_know_everything_again() -> None:
    world = registered()
    world.restart_home_agent(remembers=False)
    world.run(600)
    assert set(world.bindings()) == {1, 2, 3}
    assert bound(world) == [(3,), (2,), (2, 3)]
    statuses = [
        option.status
        for answered in acknowledgements(world)
        for option in answered.options
        if isinstance(option, FlowIdentification)
    ]
    assert FlowStatus.FID_NOT_FOUND in statuses


@pytest.mark.parametrize("same_boot", [True, False])
def test_a_restart_of_the_agent_leaves_flows_where_they_are(*, same_boot: bool) -> None:
    world = registered()
    seen: list[list[tuple[int, ...]]] = []
    world.watchers.append(lambda: seen.append(bound(world)))
    world.restart_agent(same_boot=same_boot)
    world.run(600)
    assert bound(world) == [(3,), (2,), (2, 3)]
    if same_boot:
        assert all(one == [(3,), (2,), (2, 3)] for one in seen), "not even for a moment"


def test_what_people_chose_survives_a_restart() -> None:
    world = registered()
    world.switch("ethernet", subject=Subject.FLOW, flow="call")
    world.switch("wifi", subject=Subject.IKE)
    world.run(1)
    world.restart_agent()
    world.run(3)
    assert bound(world)[0] == (1,)
    assert world.mn.pins.flows == {"call": "ethernet"}
    assert world.mn.pins.ike == "wifi"
    assert world.mn.chosen is None
    world.use(FLOWS)
    world.restart_agent(same_boot=False)
    assert world.mn.chosen == "test"


@pytest.mark.req("FLOW-31")
def test_whoever_leaves_takes_the_flows_along() -> None:
    world = registered()
    world.mobile_node(StopRequested())
    world.run(1)
    assert bound(world) == []


@pytest.mark.req("FLOW-32")
def test_many_flows_are_told_in_several_updates_each_of_which_fits() -> None:
    to_everybody = tuple(Span(port, port + 1) for port in range(1000, 1300, 2))
    many = Policy(description="", links=AT_ONCE.links, flow=(replace(CALL, port=to_everybody),))
    settings = home_agent_settings(max_flows=1000)
    world = World(three_links(), policy=many, home_agent=settings).start().run(60)
    assert len(world.flow_bindings()) == 150
    world.updates.clear()
    world.switch("wifi", subject=Subject.FLOW, flow="call")
    world.run(60)
    assert {flow.bids for flow in world.flow_bindings()} == {(2,)}
    assert len(world.updates) > 3
    for sent in world.updates:
        assert 40 + 24 + len(sent.packet.data) <= 1280


def test_a_home_agent_that_takes_one_care_of_address_hears_nothing_of_flows() -> None:
    world = World(
        three_links(),
        policy=FLOWS,
        respond=lambda update, packet: answer(update, packet, with_identifiers=False),
    )
    world.start().run(2)
    world.updates.clear()
    world.run(1200)
    assert world.updates
    assert all(not described(update) and not named(update) for _, update in world.sent_updates())


def test_an_answer_that_was_overtaken_settles_nothing() -> None:
    """Two changes in quick succession: the answer to the first says nothing of what the second asked for."""
    world = registered(settings=mobile_node_settings())
    world.links["ethernet"].delay_s = 0.5
    world.switch("ethernet", subject=Subject.FLOW, flow="call")
    world.run(0.1)
    world.carrier("lte", on=False)
    world.run(0.1)
    world.switch(None, subject=Subject.FLOW, flow="call")
    world.run(10)
    assert bound(world)[0] == (2,)
