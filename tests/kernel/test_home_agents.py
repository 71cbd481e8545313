"""A home link with hosts, the core router and two home agents on it. Whoever serves the mobile node stands in for it
there; when that one's machine goes, the other one serves it, and the traffic follows by itself.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any

import pytest

from mn_lab import configuration, network, processes
from mn_lab.commands import LabError, ip_batch, run
from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import (
    CORE,
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    HOME_PREFIX,
)
from mn_lab.traffic import DOWN, UP

SECOND = HOME_AGENT_ADDRESS + (1 << 64)
ROUTER, HOST = HOME_PREFIX[1], HOME_PREFIX[0x99]
MOST_LOST_S = 6.0
"""Three seconds of patience, the check of the home address, and some for a busy machine."""


class HomeLink:
    """A switch, with a host, the core router and both home agents on it, and the second home agent itself."""

    def __init__(self, lab: Lab, second_address: IPv6Address = SECOND) -> None:
        self.lab = lab
        self._second_address = second_address
        self.core, self.first = lab.layout.namespace(CORE), lab.layout.namespace(HOME_AGENT)
        self.switch, self.host, self.second = (f"{lab.layout.prefix}{name}" for name in ("home", "host", "ha2"))
        self.directory = lab.directory / "ha2"
        self.control = Control(self.directory / "home-agent.sock")

    def lay_out(self) -> None:
        own = (self.switch, self.host, self.second)
        run(*ip_batch(f"netns add {name}" for name in own))
        for name in own:
            run(network.in_namespace(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"))
        run(network.in_namespace(self.second, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"))
        run(["ip", "-n", self.switch, "link", "add", "switch", "up", "type", "bridge"])
        run(*ip_batch([f"link add eth0 netns {self.second} type veth peer name to-ha2 netns {self.core}"]))
        for number, (namespace, interface) in enumerate(
            ((self.core, "to-home"), (self.first, "eth1"), (self.second, "eth1"), (self.host, "eth0"))
        ):
            cable = f"link add port{number} netns {self.switch} type veth peer name {interface} netns {namespace}"
            run(*ip_batch([cable]))
            run(*ip_batch([f"link set port{number} master switch up"], self.switch))
            run(*ip_batch([f"link set {interface} up"], namespace))
        for number, namespace in enumerate((self.first, self.second), 2):
            run(*ip_batch([f"address add {HOME_PREFIX[number]}/64 dev eth1"], namespace))
        gateway = SECOND + 1
        router = [f"route del {HOME_PREFIX}", f"address add {ROUTER}/64 dev to-home", "link set to-ha2 up"]
        run(*ip_batch([*router, f"address add {gateway}/64 dev to-ha2"], self.core))
        inside = ["link set lo up", f"address add {SECOND}/64 dev eth0", "link set eth0 up"]
        run(*ip_batch([*inside, f"route add default via {gateway}"], self.second))
        run(*ip_batch(["link set lo up", f"address add {HOST}/64 dev eth0"], self.host))
        run(*ip_batch([f"route add default via {ROUTER}"], self.host))

    def start_second(self) -> None:
        self.directory.mkdir()
        file = self.directory / "home-agent.toml"
        extra = f'[home_agent]\naddress = "{self._second_address}"\nhome_link = "eth1"'
        file.write_text(configuration.home_agent(self.lab.layout, self.directory, self.lab._security, extra))
        command = network.in_namespace(self.second, sys.executable, "-m", "home_agent", "--config", str(file))
        processes.start(command, self.directory / "home-agent.log")
        self.control.wait_until(lambda _: True, "the second home agent answers", timeout_s=20, check=lambda: None)

    def is_bound_at_second(self) -> bool:
        (node,) = self.control.status()["nodes"]
        return len(node["bindings"]) == len(self.lab.layout.links)

    def cut_first(self) -> None:
        """Its machine is gone."""
        run(*ip_batch(["link set to-ha down"], self.core))
        run(*ip_batch(["link set port1 down"], self.switch))

    def neighbor(self, namespace: str, interface: str) -> str | None:
        """Where the home address is, as seen from there."""
        told: list[dict[str, Any]] = json.loads(
            run(["ip", "-6", "-j", "-n", namespace, "neighbor", "show", str(HOME_ADDRESS), "dev", interface]) or "[]"
        )
        return next((one.get("lladdr") for one in told), None)

    def hardware_address(self, namespace: str, interface: str) -> str:
        (told,) = json.loads(run(["ip", "-j", "-n", namespace, "link", "show", interface]))
        return str(told["address"])

    def remove(self) -> None:
        network.remove(network.existing([self.switch, self.host, self.second]))


@pytest.fixture
def home(prefix: str) -> Iterator[HomeLink]:
    """Nothing runs yet. The mobile node knows the first home agent only, and asks it for others."""
    toml = f'[home_agent]\nhome_link = "eth1"\n[[peer]]\naddress = "{SECOND}"\n'
    lab = Lab(prefix=prefix, agent_toml="[home]\ndiscover = true\n", home_agent_toml=toml)
    home = HomeLink(lab)
    try:
        lab.lay_out()
        home.lay_out()
        yield home
    finally:
        home.remove()
        lab.down()


@pytest.fixture
def lab(home: HomeLink) -> Lab:
    """All runs, and the mobile node knows both home agents."""
    home.start_second()
    home.lab.start()
    home.lab.wait_registered()
    home.lab.wait(lambda status: bool(status["alternatives"] == [str(SECOND)]), "the second one discovered")
    return home.lab


@pytest.mark.req("HA-15")
def test_the_home_agent_stands_in_for_the_mobile_node_on_the_home_link(lab: Lab, home: HomeLink) -> None:
    ping = ("ping", "-6", "-c", "3", "-i", "0.2", "-W", "2", str(HOME_ADDRESS))
    run(network.in_namespace(home.host, *ping))
    assert home.neighbor(home.host, "eth0") == home.hardware_address(home.first, "eth1")
    lab.kill_agent(signal.SIGTERM)
    run(["ip", "-n", home.host, "-6", "neighbor", "flush", "all"])
    with pytest.raises(LabError, match="100% packet loss"):
        run(network.in_namespace(home.host, *ping))
    assert home.neighbor(home.host, "eth0") is None


@pytest.mark.req("HA-07")
def test_a_home_address_that_somebody_at_home_has_is_refused(home: HomeLink) -> None:
    run(*ip_batch([f"address add {HOME_ADDRESS}/64 dev eth0 nodad"], home.host))
    home.lab.start()
    status = home.lab.wait(lambda status: bool(status["registration"]["problem"]), "refused")
    assert "duplicate address detection failed (134)" in status["registration"]["problem"]


@pytest.mark.req("DHAAD-01", "DHAAD-03", "DHAAD-04", "HA-15")
def test_a_home_agent_whose_machine_goes(lab: Lab, home: HomeLink) -> None:
    assert lab.agent.status()["home_agent"] == str(HOME_AGENT_ADDRESS)
    with lab.traffic(200) as traffic:
        time.sleep(1)  # some traffic before, to compare with
        start_ns = time.time_ns()
        home.cut_first()
        lab.wait(lambda status: bool(status["home_agent"] == str(SECOND)), "another home agent asked")
        lab.wait_registered()
        assert home.is_bound_at_second()
        lab.run("mn", "ping", "-6", "-c", "5", "-i", "0.2", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        figures = {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
    print("home agent's machine gone, gap in ms:", {name: one.gap_ms for name, one in figures.items()})
    for one in figures.values():
        assert 0 < one.gap_ms < 1000 * MOST_LOST_S
    assert home.neighbor(home.core, "to-home") == home.hardware_address(home.second, "eth1")
    routes = lab.run("mn", "ip", "-6", "route", "show", "table", "all")
    assert str(SECOND) in routes
    assert str(HOME_AGENT_ADDRESS) not in routes
    rules = lab.run("mn", "nft", "list", "table", "ip6", "monami6")
    assert str(SECOND) in rules
    assert str(HOME_AGENT_ADDRESS) not in rules


def test_a_restarted_agent_stays_with_the_second(lab: Lab, home: HomeLink) -> None:
    home.cut_first()
    lab.wait(lambda status: bool(status["home_agent"] == str(SECOND)), "another home agent asked")
    lab.wait_registered()
    with lab.traffic(200) as traffic:
        lab.kill_agent()
        lab.start_agent()
        lab.wait_registered()
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        assert lab.agent.status()["home_agent"] == str(SECOND)
        for direction in (UP, DOWN):
            assert traffic.record(direction).figures(0, end_ns).lost == 0
