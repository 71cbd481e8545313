"""What NetworkManager says, and what the agent makes of it."""

from dataclasses import replace

import pytest

from mn_agent.core import agent
from mn_agent.core.devices import Device
from mn_agent.core.events import Subject
from mn_agent.core.explain import explain
from mn_agent.core.policy_file import FlowRule, Policy, Ranking
from mn_agent.core.report import status
from mn_agent.core.settings import LinkSettings
from mn_agent.core.status import LinkStatus
from tests.story.world import AT_ONCE, World, home_agent_settings, mobile_node_settings, three_links

USUAL = Policy(description="as shipped")
LEAVING = Device("eth0", leaving=True)


def registered(policy: Policy = USUAL, **changes: object) -> World:
    world = World(three_links(), policy=policy, **changes).start().run(10)  # type: ignore[arg-type]
    world.updates.clear()
    world.notices.clear()
    return world


def told(world: World, bid: int = 1) -> LinkStatus:
    answer = status(world.mn, world.now, unix_time=world.now, version="", pid=1, counters={})
    (found,) = [link for link in answer.links if link.bid == bid]
    return found


def test_what_it_knows_is_told() -> None:
    world = registered()
    before = told(world)
    assert (before.kind, before.metered, before.captive, before.connection) == ("ethernet", False, None, None)
    world.devices(Device("eth0", "wifi", True, "full", connection="Train", ssid="WiFi onboard", signal_percent=40))
    found = told(world)
    assert (found.kind, found.metered, found.captive, found.connectivity) == ("wifi", True, False, "full")
    assert (found.connection, found.ssid, found.signal_percent) == ("Train", "WiFi onboard", 40)
    world.devices()
    world.run(1)
    after = told(world)
    assert (after.kind, after.metered, after.captive, after.connection) == ("ethernet", False, None, None)
    assert (after.connectivity, after.ssid, after.signal_percent) == (None, None, None)


def test_the_configuration_knows_better() -> None:
    entry = LinkSettings(interface="eth0", kind="lte", metered=False)
    world = registered(settings=replace(mobile_node_settings(), link=(entry,)))
    world.devices(Device("eth0", "wifi", True))
    assert (told(world).kind, told(world).metered) == ("lte", False)


@pytest.mark.parametrize(("metered", "result"), [(None, True), (False, False), (True, True)])
def test_an_lte_link_costs_unless_somebody_says_that_it_does_not(metered: bool | None, result: bool) -> None:
    world = registered()
    world.devices(Device("eth0", "lte", metered))
    assert told(world).metered is result


def test_traffic_leaves_a_link_behind_a_captive_portal() -> None:
    world = registered()
    world.devices(Device("eth0", connectivity="portal"))
    world.run(1)
    assert world.upward() == world.downward() == world.links["wifi"].address
    assert told(world).captive
    reason = explain(world.mn, None)
    assert reason.links[0].criteria["captive"] == "behind a captive portal"
    assert reason.links[0].place == 3


def test_news_that_matter_to_nobody_do_nothing() -> None:
    """A signal changes every few seconds."""
    world = registered()
    world.devices(Device("wlan0", "wifi", ssid="Home", signal_percent=70))
    aspects = agent.aspects(world.mn)
    world.devices(Device("wlan0", "wifi", ssid="Home", signal_percent=71))
    assert told(world, 2).signal_percent == 71
    assert all(new is old for new, old in zip(agent.aspects(world.mn), aspects, strict=True)), "the kernel stays"
    assert world.updates == []


@pytest.mark.parametrize("policy", [USUAL, AT_ONCE, Policy(description="", links=Ranking(rank=("metered", "rtt")))])
def test_a_link_that_is_about_to_go_is_left_by_both_ends_and_stays_registered(policy: Policy) -> None:
    world = registered(policy)
    stream = world.stream(3)
    world.run(0.5)
    leaves = world.upward()
    assert leaves is not None
    (link,) = [link for link in world.links.values() if link.address == leaves]
    world.devices(Device(link.interface.name, leaving=True))
    assert world.upward() != leaves, "at once"
    assert f"{link.interface.name}: NetworkManager is about to take it down" in world.notices
    world.run(0.1)
    assert world.downward() == world.upward()
    assert leaves in world.bindings().values(), "what is on its way there is still taken"
    assert all(update.lifetime for _, update in world.sent_updates())
    world.run(0.4)
    assert told(world, link.interface.index).problem == "NetworkManager is about to take it down"
    assert told(world, link.interface.index).leaving
    # And then it goes
    assert len(world.updates) == 1
    link.interface = replace(link.interface, addresses=(), routers=())
    world.look()
    world.devices()
    world.run(3)
    assert stream.lost == (0, 0)
    assert link.interface.index not in world.bindings()


def test_a_link_that_stays_after_all_is_used_again() -> None:
    world = registered()
    world.devices(LEAVING)
    world.run(1)
    assert world.upward() == world.links["wifi"].address
    world.devices(Device("eth0"))
    stream = world.stream(10, every_s=0.01)
    world.run(11)
    assert world.upward() == world.downward() == world.links["ethernet"].address
    assert stream.lost == (0, 0)


def test_the_only_link_is_used_to_the_end() -> None:
    world = registered()
    for other in ("wifi", "lte"):
        world.carrier(other, on=False)
    world.run(5)
    world.devices(LEAVING)
    stream = world.stream(2)
    world.run(3)
    assert stream.lost == (0, 0)
    assert explain(world.mn, None).links[0].why_not is None
    # One that comes now takes over
    world.carrier("wifi", on=True)
    world.run(3)
    assert world.upward() == world.downward() == world.links["wifi"].address
    assert explain(world.mn, None).links[0].why_not == "NetworkManager is about to take it down"


def test_links_that_leave_together_leave_to_the_one_that_stays() -> None:
    world = registered()
    world.devices(LEAVING, Device("wlan0", leaving=True))
    world.run(1)
    assert world.upward() == world.downward() == world.links["lte"].address
    world.devices(LEAVING, Device("wlan0", leaving=True), Device("wwan0", leaving=True))
    world.run(1)
    assert world.flows(), "all go: it matters no more"


def test_what_people_asked_for_does_not_hold_it() -> None:
    world = registered()
    world.switch("lte")
    world.run(1)
    world.devices(Device("wwan0", leaving=True))
    world.run(1)
    assert world.upward() == world.downward() == world.links["ethernet"].address
    world.devices()
    world.run(10)
    assert world.upward() == world.links["lte"].address


def test_its_flows_and_ikev2_go_too() -> None:
    rule = FlowRule(name="call", via=("ethernet", "lte"), protocol=(17,))
    world = registered(replace(USUAL, flow=(rule,)), key_mobility=True)
    world.switch("wifi")
    world.switch("ethernet", subject=Subject.FLOW, flow="call")
    world.run(2)
    assert world.mn.decision.ike is not None
    assert (world.mn.decision.flows["call"].bids, world.mn.decision.ike.bids) == ((1,), (1,))
    world.devices(LEAVING)
    world.run(2)
    assert (world.mn.decision.flows["call"].bids, world.mn.decision.ike.bids) == ((3,), (2,))
    assert [flow.bids for flow in world.flow_bindings()] == [(3,)]


def test_with_a_home_agent_that_takes_one_care_of_address() -> None:
    world = registered(home_agent=home_agent_settings(several_care_of_addresses=False))
    world.run(5)
    assert not world.mn.registration.multiple
    world.devices(LEAVING)
    world.run(1)
    assert world.upward() == world.links["wifi"].address
