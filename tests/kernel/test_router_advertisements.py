"""Two home agents on a home link find each other by router advertisements, which radvd sends for them, and a mobile
node that knows one of them learns of the other.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mn_lab import network, processes
from mn_lab.commands import run
from mn_lab.lab import Lab
from mn_lab.layout import HOME_PREFIX
from mn_lab.processes import Process
from tests.kernel.home_link import HomeLink
from tests.kernel.wire import Capture

FIRST, SECOND = HOME_PREFIX[2], HOME_PREFIX[3]


@pytest.fixture
def home(prefix: str) -> Iterator[HomeLink]:
    """Nothing runs yet. Both home agents have addresses of the home link."""
    agent_toml = f'[home]\nagent = "{FIRST}"\ndiscover = true\n'
    toml = f'[home_agent]\naddress = "{FIRST}"\nhome_link = "eth1"\npreference = 1\n'
    lab = Lab(("ethernet",), prefix=prefix, agent_toml=agent_toml, home_agent_toml=toml)
    with HomeLink(lab, SECOND) as home:
        yield home


def start_radvd(namespace: str, configuration: Path, directory: Path) -> Process:
    """With what the home agent of this configuration prints for it."""
    command = [sys.executable, "-m", "home_agent", "radvd", "--config", str(configuration)]
    file = directory / "radvd.conf"
    file.write_text(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    file.chmod(0o644)
    radvd = ("radvd", "--nodaemon", "--config", str(file), "--pidfile", str(directory / "radvd.pid"))
    run([*radvd[:1], "--configtest", *radvd[2:4]])
    return processes.start(network.in_namespace(namespace, *radvd), directory / "radvd.log")


def heard(told: dict[str, object]) -> list[object]:
    others = told["home_agents"]
    assert isinstance(others, list)
    return [(other["address"], other["preference"]) for other in others if other["heard"]]


@pytest.mark.req("DHAAD-01", "DHAAD-05", "HA-21", "FMT-20")
def test_home_agents_of_a_home_link_find_each_other_and_the_mobile_node_learns_of_both(home: HomeLink) -> None:
    lab, directory = home.lab, home.directory
    home.start_second()
    lab.start_home_agent()
    with Capture(lab, "ha", "eth1", "icmp6") as capture:
        second = start_radvd(home.second, directory / "home-agent.toml", directory)
        own = directory.parent / "radvd-of-first"
        own.mkdir()
        start_radvd(home.first, lab.directory / "home-agent.toml", own)
        lab.home_agent.wait_until(
            lambda told: heard(told) == [(str(SECOND), 0)], "the second heard", timeout_s=20, check=lambda: None
        )
        home.control.wait_until(
            lambda told: heard(told) == [(str(FIRST), 1)], "the first heard", timeout_s=20, check=lambda: None
        )
    fields = ["icmpv6.nd.ra.flag.h", "icmpv6.opt.prefix.flag.r", "icmpv6.opt.prefix", "icmpv6.opt.type"]
    told = {tuple(row) for row in capture.rows("icmpv6.type == 134 && icmpv6.opt.prefix", fields)}
    assert {row[:3] for row in told} == {("1", "1", str(FIRST)), ("1", "1", str(SECOND))}
    assert all({"1", "3"} <= set(row[3].split(",")) for row in told), "hardware address, prefix"
    # radvd leaves the home agent information out where it would only say what is so without
    assert {row[2] for row in told if "8" in row[3].split(",")} == {str(FIRST)}
    for link in lab.layout.links:
        lab._start_router(link.name)
    lab.start_agent()
    lab.wait_registered()
    status = lab.wait(lambda status: bool(status["alternatives"] == [str(SECOND)]), "the second one discovered")
    assert status["home_agent"] == str(FIRST)
    processes.end([second.pid], signal.SIGTERM)
    lab.home_agent.wait_until(lambda told: heard(told) == [], "the second gone", timeout_s=20, check=lambda: None)
