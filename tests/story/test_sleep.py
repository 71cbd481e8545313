"""A mobile node that sleeps, and what it does when it wakes up."""

from dataclasses import replace

import pytest

from home_agent.core.events import SettingsChanged
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import Status
from mip6.wire.traffic_selectors import Span
from mn_agent.core.bindings import EntryState
from mn_agent.core.policy_file import FlowRule, Policy
from tests.story.test_refusals import always
from tests.story.world import AT_ONCE, HOME, World, home_agent_settings, make_link, mobile_node_settings, three_links

LIFETIME_S = 600
HOUR_S = 3600.0


def registered(policy: Policy = AT_ONCE) -> World:
    settings = mobile_node_settings(lifetime_s=LIFETIME_S)
    world = World(three_links(), settings=settings, policy=policy).start().run(30)
    forget(world)
    return world


def forget(world: World) -> None:
    """What has been sent so far."""
    for told in (world.updates, world.probes, world.notices):
        told.clear()


def restated(world: World) -> list[set[int]]:
    """Binding identifiers of the updates sent."""
    return [
        {option.bid for option in update.options if isinstance(option, BindingIdentifier)}
        for _, update in world.sent_updates()
    ]


def test_bindings_that_lapsed_while_it_slept_are_registered_at_once() -> None:
    world = registered()
    world.sleep(HOUR_S)
    assert world.bindings() == {}, "the home agent has forgotten it"
    assert world.updates[0].at == world.now, "at once"
    world.run(2)
    assert set(world.bindings()) == {1, 2, 3}
    assert world.flows()
    assert "the machine has slept" in world.notices


def test_bindings_that_still_hold_are_refreshed_at_once_in_one_update() -> None:
    """The home agent may have been started anew meanwhile, and have forgotten them."""
    world = registered()
    world.sleep(LIFETIME_S / 4)
    (sent,) = world.updates
    assert sent.at == world.now
    assert restated(world) == [{1, 2, 3}]
    world.run(0.5)
    until = {entry.binding.expires_at for entry in world.mn.registration.entries.values() if entry.binding}
    assert min(until) == pytest.approx(world.now + LIFETIME_S, abs=5)
    assert len(world.updates) == 1, "and that is all"


def test_a_home_agent_that_was_started_anew_meanwhile_knows_everything_again() -> None:
    rule = FlowRule(name="dns", via=("wifi",), port=(Span.only(53),))
    world = registered(replace(AT_ONCE, flow=(rule,)))
    before = world.flow_bindings()
    assert before
    world.at(world.now + 10, lambda: world.restart_home_agent(remembers=False))
    world.sleep(60)
    world.run(5)
    assert set(world.bindings()) == {1, 2, 3}
    assert world.flow_bindings() == before


def test_it_wakes_up_elsewhere() -> None:
    world = registered()

    def travel() -> None:
        world.links["ethernet"].interface = replace(world.links["ethernet"].interface, carrier=False, running=False)
        moved = make_link(7, "wlan0", "wifi")
        world.links["wifi"].interface = replace(moved.interface, index=2)

    world.at(world.now + 10, travel)
    world.sleep(60)
    world.run(3)
    assert world.bindings() == {2: world.links["wifi"].address, 3: world.links["lte"].address}
    assert world.upward() == world.downward() == world.links["wifi"].address


def test_what_was_tried_in_vain_before_makes_nothing_wait() -> None:
    world = registered()
    for link in world.links.values():
        link.blackhole = True
    world.run(LIFETIME_S + 120)
    assert world.bindings() == {}
    for link in world.links.values():
        link.blackhole = False
    forget(world)
    world.sleep(5)
    assert world.updates[0].at == world.now
    world.run(2)
    assert set(world.bindings()) == {1, 2, 3}


def test_every_path_is_probed_at_once() -> None:
    world = registered()
    world.sleep(20)
    assert world.probes == [world.now] * 3
    world.run(1)
    assert all(path.proof_at > world.now - 1 for path in world.mn.probing.paths.values())
    assert not any(path.waiting for path in world.mn.probing.paths.values())


def test_a_dead_path_stays_dead_until_it_answers() -> None:
    world = registered()
    world.links["ethernet"].blackhole = True
    world.stream(3)
    world.run(60)
    assert world.mn.is_dead(1)
    world.sleep(20)
    assert world.mn.is_dead(1)
    world.links["ethernet"].blackhole = False
    world.sleep(20)
    world.run(1)
    assert not world.mn.is_dead(1)
    world.run(2)
    assert set(world.bindings()) == {1, 2, 3}


def test_probes_that_sleep_let_go_unanswered_are_no_loss() -> None:
    world = registered()
    before = {bid: path.loss for bid, path in world.mn.probing.paths.items()}
    world.at(world.now, world.refresh)
    world.run(0.001)
    world.sleep(HOUR_S)
    world.run(3)
    assert {bid: path.loss for bid, path in world.mn.probing.paths.items()} == before


def test_the_rate_limit_holds_whoever_asks_for_everything_anew() -> None:
    world = registered()
    for number in range(100):
        world.at(world.now + number / 100, world.refresh)
    world.run(1)
    assert 1 <= len(world.updates) <= 4


def test_a_home_agent_that_refused_is_asked_again() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}, respond=always(Status.NOT_HOME_SUBNET)).start()
    world.run(30)
    assert world.mn.registration.refusal is not None
    world.respond = None
    world.refresh()
    world.run(1)
    assert set(world.bindings()) == {1}
    assert "asking the home agent again" in world.notices


def test_a_link_that_was_refused_is_asked_for_again() -> None:
    world = registered()
    most_one = home_agent_settings(max_bindings=2)
    world.home_agent_hears(SettingsChanged(most_one))
    world.home_agent = most_one
    world.restart_home_agent(remembers=False)
    world.refresh()
    world.run(10)
    refused = [entry.bid for entry in world.mn.registration.entries.values() if entry.state is EntryState.REFUSED]
    assert len(refused) == 1
    world.home_agent = home_agent_settings()
    world.home_agent_hears(SettingsChanged(world.home_agent))
    world.refresh()
    world.run(2)
    assert set(world.bindings()) == {1, 2, 3}


def test_people_ask_for_everything_anew() -> None:
    world = registered()
    world.refresh()
    assert restated(world) == [{1, 2, 3}]
    assert world.probes == [world.now] * 3
    assert world.notices == []
    assert all(isinstance(sent.message, BindingUpdate) and sent.packet.home_address == HOME for sent in world.updates)
