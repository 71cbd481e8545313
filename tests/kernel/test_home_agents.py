"""Two home agents, and the first one's machine goes: the second one serves the same traffic.

Which of them the home prefix is routed to is the network's business: here the core router is told once the second one
has the bindings.
"""

import sys
import time
from collections.abc import Iterator

import pytest

from mn_lab import configuration, network, processes
from mn_lab.commands import ip_batch, run
from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import CORE, CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, HOME_PREFIX
from mn_lab.traffic import DOWN, UP

SECOND = HOME_AGENT_ADDRESS + (1 << 64)
MOST_LOST_S = 6.0


class SecondHomeAgent:
    """In a namespace of its own at the core router."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._core, self.namespace = lab.layout.namespace(CORE), f"{lab.layout.prefix}ha2"
        self._directory = lab.directory / "ha2"
        self.control = Control(self._directory / "home-agent.sock")

    def start(self) -> None:
        gateway = SECOND + 1
        run(*ip_batch([f"netns add {self.namespace}"]))
        run(network.in_namespace(self.namespace, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"))
        run(*ip_batch([f"link add eth0 netns {self.namespace} type veth peer name to-ha2 netns {self._core}"]))
        run(*ip_batch([f"address add {gateway}/64 dev to-ha2 nodad", "link set to-ha2 up"], self._core))
        inside = ["link set lo up", f"address add {SECOND}/64 dev eth0 nodad", "link set eth0 up"]
        run(*ip_batch([*inside, f"route add default via {gateway}"], self.namespace))
        self._directory.mkdir()
        file = self._directory / "home-agent.toml"
        extra = f'[home_agent]\naddress = "{SECOND}"'
        file.write_text(configuration.home_agent(self._directory, self._lab._security, extra))
        command = network.in_namespace(self.namespace, sys.executable, "-m", "home_agent", "--config", str(file))
        processes.start(command, self._directory / "home-agent.log")
        self.control.wait_until(lambda _: True, "the second home agent answers", timeout_s=20, check=lambda: None)

    def is_bound(self) -> bool:
        (node,) = self.control.status()["nodes"]
        return len(node["bindings"]) == len(self._lab.layout.links)

    def take_over_the_home_prefix(self) -> None:
        run(*ip_batch([f"route replace {HOME_PREFIX} via {SECOND}"], self._core))

    def remove(self) -> None:
        network.remove(network.existing([self.namespace]))


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    """The mobile node knows the first one only, and asks it for others."""
    peer = f'[[peer]]\naddress = "{SECOND}"\n'
    lab = Lab(prefix=prefix, agent_toml="[home]\ndiscover = true\n", home_agent_toml=peer)
    second = SecondHomeAgent(lab)
    try:
        lab.lay_out()
        second.start()
        lab.start()
        lab.wait_registered()
        lab.wait(lambda status: bool(status["alternatives"] == [str(SECOND)]), "the second one discovered")
        yield lab
    finally:
        second.remove()
        lab.down()


@pytest.mark.req("DHAAD-01", "DHAAD-03", "DHAAD-04")
def test_a_home_agent_whose_machine_goes(lab: Lab) -> None:
    second = SecondHomeAgent(lab)
    assert lab.agent.status()["home_agent"] == str(HOME_AGENT_ADDRESS)
    with lab.traffic(200) as traffic:
        time.sleep(1)  # some traffic before, to compare with
        start_ns = time.time_ns()
        run(*ip_batch(["link set to-ha down"], lab.layout.namespace(CORE)))
        lab.wait(lambda status: bool(status["home_agent"] == str(SECOND)), "another home agent asked")
        lab.wait_registered()
        assert second.is_bound()
        second.take_over_the_home_prefix()
        lab.run("mn", "ping", "-6", "-c", "3", "-i", "0.2", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        figures = {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
    print("home agent's machine gone, gap in ms:", {name: one.gap_ms for name, one in figures.items()})
    for one in figures.values():
        assert 0 < one.gap_ms < 1000 * MOST_LOST_S
    routes = lab.run("mn", "ip", "-6", "route", "show", "table", "all")
    assert str(SECOND) in routes
    assert str(HOME_AGENT_ADDRESS) not in routes
    rules = lab.run("mn", "nft", "list", "table", "ip6", "monami6")
    assert str(SECOND) in rules
    assert str(HOME_AGENT_ADDRESS) not in rules


def test_a_restarted_agent_stays_with_the_second(lab: Lab) -> None:
    second = SecondHomeAgent(lab)
    run(*ip_batch(["link set to-ha down"], lab.layout.namespace(CORE)))
    lab.wait(lambda status: bool(status["home_agent"] == str(SECOND)), "another home agent asked")
    lab.wait_registered()
    second.take_over_the_home_prefix()
    with lab.traffic(200) as traffic:
        lab.kill_agent()
        lab.start_agent()
        lab.wait_registered()
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        assert lab.agent.status()["home_agent"] == str(SECOND)
        for direction in (UP, DOWN):
            assert traffic.record(direction).figures(0, end_ns).lost == 0
