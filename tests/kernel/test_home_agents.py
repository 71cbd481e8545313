"""A home link with hosts, the core router and two home agents on it. Whoever serves the mobile node stands in for it
there; when that one's machine goes, the other one serves it, and the traffic follows by itself.
"""

import signal
import time
from collections.abc import Iterator

import pytest

from mn_lab import network
from mn_lab.commands import LabError, ip_batch, run
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT, HOME_AGENT_ADDRESS, HOST_INTERFACE
from mn_lab.traffic import DOWN, UP
from tests.kernel.home_link import SECOND, HomeLink
from tests.kernel.wire import Capture

MOST_LOST_S = 6.0
"""Three seconds of patience, the check of the home address, and some for a busy machine."""


@pytest.fixture
def home(prefix: str) -> Iterator[HomeLink]:
    """Nothing runs yet. The mobile node knows the first home agent only, and asks it for others."""
    toml = f'[home_agent]\nhome_link = "eth1"\n[[peer]]\naddress = "{SECOND}"\n'
    lab = Lab(prefix=prefix, agent_toml="[home]\ndiscover = true\n", home_agent_toml=toml)
    with HomeLink(lab) as home:
        yield home


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


@pytest.mark.req("HA-22")
def test_no_multicast_of_the_home_link_goes_through_the_tunnel(lab: Lab, home: HomeLink) -> None:
    """Of wider scope neither: nobody can subscribe."""
    ping = ("ping", "-6", "-c", "2", "-i", "0.2", "-W", "2", "-I", "eth0")
    with Capture(lab, HOME_AGENT, HOST_INTERFACE, "ip6 proto 41") as uplink, Capture(lab, HOME_AGENT, "eth1") as link:
        for group in ("ff02::1", "ff02::6d36", "ff05::6d36", "ff0e::6d36"):
            run(network.in_namespace(home.host, "sh", "-c", f"{' '.join(ping)} -t 64 {group} || true"))
        run(network.in_namespace(home.host, *ping, str(HOME_ADDRESS)))
    heard = {destination for (destination,) in link.rows("icmpv6.type == 128", ["ipv6.dst"])}
    assert heard >= {"ff02::1", "ff02::6d36", "ff05::6d36", "ff0e::6d36"}
    inside = {one.split(",")[-1] for (one,) in uplink.rows("icmpv6.type == 128", ["ipv6.dst"])}
    assert inside == {str(HOME_ADDRESS)}


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
