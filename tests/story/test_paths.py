"""Paths that die and heal, links that flap: when traffic moves, and when it comes back."""

from dataclasses import replace
from itertools import pairwise

import pytest

from mn_agent.core.policy_file import FlowRule, Policy, Ranking
from mn_agent.core.settings import ProbingSettings
from tests.story.world import World, make_link, mobile_node_settings, three_links

USUAL = Policy(description="the usual order", links=Ranking(return_after_s=5))
DEFAULT, FAST = ProbingSettings(), ProbingSettings(notice_s=0.12)


def registered(probing: ProbingSettings = DEFAULT, policy: Policy = USUAL, **path: float) -> World:
    world = World(three_links(**path), settings=mobile_node_settings(probing), policy=policy).start().run(30)
    world.updates.clear()
    world.notices.clear()
    return world


def carriers(world: World) -> list[str]:
    """Who has carried the traffic, in turn."""
    return [text.split()[0] for text in world.notices if "carries the traffic" in text]


@pytest.mark.parametrize(("probing", "within_s"), [(DEFAULT, 1.0), (FAST, 0.2)])
@pytest.mark.parametrize("delay_s", [0.001, 0.01, 0.02])
def test_traffic_leaves_a_dead_path_though_the_carrier_is_up(
    probing: ProbingSettings, within_s: float, delay_s: float
) -> None:
    world = registered(probing, delay_s=delay_s)
    stream = world.stream(4)
    world.run(1)
    assert world.upward() == world.links["ethernet"].address
    world.links["ethernet"].blackhole = True
    world.run(3 + delay_s)
    lost_up, lost_down = stream.lost
    # And a round trip, and as much for its variation
    assert 0 < lost_up < (within_s + 4 * delay_s) * 1000
    assert 0 < lost_down < (within_s + 6 * delay_s) * 1000
    assert carriers(world) == ["wlan0"]


def test_a_path_that_healed_is_used_again_after_the_hysteresis_and_nothing_is_lost() -> None:
    world = registered()
    world.links["ethernet"].blackhole = True
    stream = world.stream(2)
    world.run(3)
    assert carriers(world) == ["wlan0"]
    world.links["ethernet"].blackhole = False
    healed_at = world.now
    stream = world.stream(30, every_s=0.005)
    world.run(31)
    assert stream.lost == (0, 0)
    assert carriers(world) == ["wlan0", "eth0"]
    assert world.mn.decision.default is not None
    assert world.mn.decision.default.since_at - healed_at >= 5.0
    assert world.bindings()[1] == world.links["ethernet"].address


def test_the_binding_of_a_dead_path_is_given_up() -> None:
    """Or else the home agent would go on sending there."""
    world = registered()
    world.links["ethernet"].blackhole = True
    world.stream(3)
    world.run(3)
    assert set(world.bindings()) == {2, 3}
    assert "eth0: the path is dead, the home agent is reached over other links only" in world.notices
    world.links["ethernet"].blackhole = False
    world.run(10)
    assert set(world.bindings()) == {1, 2, 3}
    assert "eth0: the path is alive again" in world.notices


def test_when_the_home_agent_is_gone_traffic_stays_where_it_is() -> None:
    world = registered()
    for link in world.links.values():
        link.blackhole = True
    world.stream(60, every_s=0.01)
    world.run(60)
    assert carriers(world) == []
    assert not any("path is dead" in text for text in world.notices)


def test_where_no_probe_was_ever_answered_none_is_missed() -> None:
    world = World(three_links(), settings=mobile_node_settings(DEFAULT), policy=USUAL, echo=False).start().run(5)
    stream = world.stream(60, every_s=0.05)
    world.run(61)
    assert set(world.bindings()) == {1, 2, 3}
    assert stream.lost == (0, 0)


def test_traffic_that_is_answered_makes_no_probes() -> None:
    world = registered()
    world.probes.clear()
    world.stream(30, every_s=0.01)
    world.run(30)
    assert len(world.probes) <= 3 * 4, "each link every ten seconds, and no more"


def test_one_way_traffic_on_a_good_path_is_answered_by_probes() -> None:
    world = registered()
    world.probes.clear()
    stream = world.stream(30, every_s=0.01, down=False)
    world.run(31)
    assert stream.lost[0] == 0
    assert carriers(world) == []
    assert len(world.probes) >= 30 * 4
    assert len(world.probes) <= 30 * 6, "no more often than it takes to notice"


def test_a_lossy_path_is_not_a_dead_one() -> None:
    world = registered(policy=replace(USUAL, links=Ranking(rank=("order",))), delay_s=0.02)
    for link in world.links.values():
        link.loss = 0.2
    world.stream(120, every_s=0.02)
    world.run(120)
    assert carriers(world) == []


def test_a_link_that_flaps_once_a_second_for_a_minute_is_left_once() -> None:
    world = registered()
    flaps_until_at = world.now + 60
    for second in range(60):
        world.at(world.now + second, lambda: world.carrier("ethernet", on=False))
        world.at(world.now + second + 0.5, lambda: world.carrier("ethernet", on=True))
    stream = world.stream(60, every_s=0.01)
    world.run(61)
    assert carriers(world) == ["wlan0"]
    # Of what was on the way when the carrier went the first time
    assert sum(stream.lost) <= 4
    times = [at for at, _ in world.sent_updates()]
    for first, fourth in zip(times, times[3:], strict=False):
        assert fourth - first >= 1.0
    world.run(400)
    assert carriers(world) == ["wlan0", "eth0"], "it is not banned for good"
    assert world.mn.decision.default is not None
    assert world.mn.decision.default.since_at > flaps_until_at


def test_a_path_that_dies_again_and_again_has_to_wait_longer_each_time() -> None:
    world = registered()
    returns = []
    for _ in range(4):
        world.links["ethernet"].blackhole = True
        world.stream(5, every_s=0.01)
        world.run(5)
        world.links["ethernet"].blackhole = False
        healed_at = world.now
        world.run(100)
        assert world.mn.decision.default is not None
        assert world.mn.decision.default.bids == (1,)
        returns.append(world.mn.decision.default.since_at - healed_at)
    assert all(later > earlier + 3 for earlier, later in pairwise(returns))
    assert returns[0] < 15


def test_flows_leave_a_dead_path_too() -> None:
    rule = FlowRule(name="call", via=("wifi", "lte"))
    world = registered(policy=replace(USUAL, flow=(rule,)))
    world.links["wifi"].blackhole = True
    world.run(30)
    assert world.mn.decision.flows["call"].bids == (3,)
    assert carriers(world) == []


def test_the_lowest_latency_wins_when_it_lasts() -> None:
    quickest = Policy(description="", links=Ranking(rank=("rtt", "order"), return_after_s=10, rtt_margin_ms=10))
    links = {"ethernet": make_link(1, "eth0", "ethernet", delay_s=0.030), "wifi": make_link(2, "wlan0", "wifi")}
    probing = replace(DEFAULT, every_s=1)
    world = World(links, settings=mobile_node_settings(probing), policy=quickest).start().run(30)
    assert carriers(world)[-1] == "wlan0"
    links["wifi"].delay_s = 0.2
    links["ethernet"].delay_s = 0.005
    world.run(60)
    assert carriers(world)[-1] == "eth0"


def test_no_probe_is_sent_over_a_link_without_carrier() -> None:
    world = registered()
    world.carrier("lte", on=False)
    world.probes.clear()
    world.run(31)
    assert len(world.probes) <= 2 * 4
