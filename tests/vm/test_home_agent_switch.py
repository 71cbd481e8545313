"""A mobile node is sent to another home agent while traffic flows: Home Agent Switch, which only IPsec may bring."""

import sys
import time
from collections.abc import Iterator

import pytest

from mn_lab.commands import run
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT, HOME_AGENT_ADDRESS, HOST_INTERFACE
from mn_lab.traffic import DOWN, UP
from tests.kernel.home_link import SECOND, HomeLink
from tests.kernel.wire import Capture

PATIENCE_S = 90.0
RATE = 200
QUIET_S = 0.5
CHECK_S = 1.0
"""The second home agent asks for so long whether the home address is somebody else's: while the first one still stood
in for it, the answer would be yes.
"""
SLACK_S = 2.0
"""For some round trips on a machine without help from its processor."""


@pytest.fixture
def home(prefix: str) -> Iterator[HomeLink]:
    """Both home agents are on the home link, and the mobile node is at the first."""
    alternatives = f'[home]\nalternatives = ["{SECOND}"]\n'
    home_link = '[home_agent]\nhome_link = "eth1"\n'
    lab = Lab(
        ["ethernet", "wifi"], prefix=prefix, security="manual", agent_toml=alternatives, home_agent_toml=home_link
    )
    with HomeLink(lab) as home:
        lab.start()
        # A machine as slow as this may have sent it to the second one while the first one started
        lab.wait(
            lambda status: bool(status["home_agent"] == str(HOME_AGENT_ADDRESS)), "the first one asked", PATIENCE_S
        )
        lab.wait_registered(PATIENCE_S)
        home.start_second()
        yield home


@pytest.mark.req("HAS-01", "HAS-02")
def test_sent_away_it_is_gone_no_longer_than_the_home_address_is_checked(home: HomeLink) -> None:
    lab = home.lab
    assert lab.agent.status()["home_agent"] == str(HOME_AGENT_ADDRESS)
    (name,) = [node["name"] for node in lab.home_agent.status()["nodes"]]
    with Capture(lab, HOME_AGENT, HOST_INTERFACE) as capture, lab.traffic(RATE) as traffic:
        time.sleep(QUIET_S)
        start_ns = time.time_ns()
        socket = ("--socket", str(lab.home_agent.path))
        run(lab.command(HOME_AGENT, sys.executable, "-m", "home_agent", "switch-away", *socket, name))
        lab.wait(lambda status: bool(status["home_agent"] == str(SECOND)), "another home agent asked", PATIENCE_S)
        lab.wait_registered(PATIENCE_S)
        time.sleep(QUIET_S)
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        figures = {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
    print(f"sent away: {figures}")
    for one in figures.values():
        assert 1000 * CHECK_S < one.gap_ms < 1000 * (CHECK_S + SLACK_S)
        assert one.lost <= RATE * one.gap_ms / 1000 + 1, "nothing is lost but in the gap"
    assert home.is_bound_at_second()
    (node,) = lab.home_agent.status()["nodes"]
    assert node["bindings"] == []
    assert capture.rows("mip6.mhtype", ["frame.number"]) == [], "in ESP only"
    lab.run("mn", "ping", "-6", "-c", "1", "-w", "10", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
