"""The mobile node's links are Wi-Fi, a real NetworkManager joins them, and it goes out of range and comes back."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from mn_lab.lab import Lab
from mn_lab.traffic import DOWN, UP, Figures, Traffic
from tests.kernel.networkmanager import Desktop, connection
from tests.vm.wifi import Air, disconnected_at

HERE, THERE = "wifi", "wifi2"
RATE = 200
NONE = {UP: 0, DOWN: 0}
QUIET_S = 0.3
START_S = 120.0
NOTICE_S = 0.6
"""After so long without an answer the agent takes the path for dead, if the kernel has not said so before."""
SLACK_S = 2.0
"""For a round trip on a busy machine without help from its processor, and moving."""
MORE = 20
"""The gap in which packets are lost is measured by those that arrive, and they may have been queueing."""
WAYS: dict[str, tuple[Callable[[Air, str], None], Callable[[Air, str], None]]] = {
    "out of range": (Air.leave_range, Air.enter_range),
    "switched off": (Air.stop_access_point, Air.start_access_point),
}


class Place(NamedTuple):
    """A lab whose links are Wi-Fi, and who sits at its mobile node."""

    lab: Lab
    air: Air
    desktop: Desktop


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """What a test takes away, it gives back; it may not wait until that is in use again."""
    lab = Lab([HERE, THERE], prefix=f"m6-w{os.getpid()}-")
    lab.lay_out()
    try:
        with Air(lab) as air, Desktop(lab, tmp_path_factory.mktemp("desktop"), networks=air.networks) as desktop:
            desktop.install_hook()
            lab.start()
            lab.wait_registered(START_S)
            lab.wait_carried_by(HERE)
            yield Place(lab, air, desktop)
    finally:
        lab.down()


def link(status: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [link for link in status["links"] if link["name"] == name]
    return dict(found)


def figures(traffic: Traffic, start_ns: int) -> dict[str, Figures]:
    """From then until now, by direction."""
    end_ns = time.time_ns()
    traffic.catch_up(end_ns)
    found = {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
    assert all(one.sent > 0.9 * RATE * (end_ns - start_ns) / 1e9 - 1 for one in found.values())
    return found


def lost(found: dict[str, Figures]) -> dict[str, int]:
    return {direction: one.lost for direction, one in found.items()}


def care_of_addresses(lab: Lab) -> list[str]:
    """Those that the home agent has."""
    (node,) = lab.home_agent.status()["nodes"]
    return [binding["care_of_address"] for binding in node["bindings"]]


def wait_right(lab: Lab) -> None:
    lab.wait_registered(START_S)
    lab.wait_carried_by(HERE, START_S)


def test_it_joins_and_people_see_the_network(place: Place) -> None:
    def is_known(status: dict[str, Any]) -> bool:
        return all(link(status, name)["signal_percent"] for name in (HERE, THERE))

    status = place.lab.wait(is_known, "the networks are known")
    assert [one["kind"] for one in status["links"]] == ["wifi", "wifi"]
    assert [one["ssid"] for one in status["links"]] == [place.air.networks[name].ssid for name in (HERE, THERE)]
    screen = place.lab.monami6("status")
    print(screen)
    assert place.air.networks[HERE].ssid in screen
    assert f"signal {link(status, HERE)['signal_percent']} %" in screen


@pytest.mark.req("MOV-09")
@pytest.mark.parametrize("way", WAYS)
def test_it_loses_the_access_point_and_finds_it_again(place: Place, way: str) -> None:
    lab, air, _ = place
    lose, find = WAYS[way]
    wait_right(lab)
    with lab.traffic(RATE) as traffic:
        time.sleep(QUIET_S)
        lost_at = time.time()
        lose(air, HERE)
        lab.wait_carried_by(THERE)
        moved_s = time.time() - lost_at
        noticed_s = disconnected_at(lab, lab.layout.link(HERE).interface, lost_at) - lost_at
        time.sleep(QUIET_S)
        gone = figures(traffic, int(lost_at * 1e9))
        lab.wait(lambda status: link(status, HERE)["state"] == "unusable", "what is lost has no address")
        assert care_of_addresses(lab) == [link(lab.agent.status(), THERE)["care_of_address"]]

        found_at = time.time()
        find(air, HERE)
        wait_right(lab)
        returned_s = time.time() - found_at
        time.sleep(QUIET_S)
        back = figures(traffic, int(found_at * 1e9))
    print(f"{way}: kernel noticed after {noticed_s:.3f} s, moved after {moved_s:.3f} s, {gone}")
    print(f"back again: traffic returned after {returned_s:.1f} s, {back}")
    assert lost(back) == NONE
    for one in gone.values():
        assert one.gap_ms / 1000 < min(noticed_s, NOTICE_S) + SLACK_S
        assert one.lost < RATE * one.gap_ms / 1000 + MORE, "nothing is lost but in the gap"


def test_a_network_that_is_left_on_purpose_is_left_before_it_goes(place: Place) -> None:
    lab, _, desktop = place
    wait_right(lab)
    with lab.traffic(RATE) as traffic:
        time.sleep(QUIET_S)
        down_ns = time.time_ns()
        desktop.down(HERE)
        assert lab.agent.status()["default"]["link"] == THERE
        time.sleep(QUIET_S)
        gone = figures(traffic, down_ns)
    print(f"left on purpose: {gone}")
    desktop.nmcli("--wait", "0", "connection", "up", connection(HERE))
    assert lost(gone) == NONE
