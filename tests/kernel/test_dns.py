"""A domain with two home agents, told by a DNS server that the mobile node reaches over its links: when the machine of
the first goes, the second one serves it; and without the DNS a restarted agent goes on with the one that it had.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mn_lab import processes
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS
from mn_lab.traffic import DOWN, UP
from tests.kernel.home_link import SECOND, HomeLink

MOST_LOST_S = 6.0
"""Three seconds of patience, the check of the home address, and some for a busy machine."""
RECORDS = (
    "srv-host=_mip6._ipv6.example.net,ha2.example.net,0,20,0",
    "srv-host=_mip6._ipv6.example.net,ha1.example.net,0,10,0",
    f"host-record=ha1.example.net,{HOME_AGENT_ADDRESS}",
    f"host-record=ha2.example.net,{SECOND}",
)


@pytest.fixture
def home(prefix: str, tmp_path: Path) -> Iterator[HomeLink]:
    """Nothing runs yet. The agent knows its domain, and no address."""
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {CORRESPONDENT_ADDRESS}\n")
    agent = f'[home]\ndomain = "example.net"\n[paths]\nresolver = "{resolver}"\n'
    lab = Lab(prefix=prefix, agent_toml=agent, home_agent_toml='[home_agent]\nhome_link = "eth1"\n')
    with HomeLink(lab) as home:
        yield home


@pytest.fixture
def lab(home: HomeLink) -> Lab:
    """All runs but the DNS server."""
    home.start_second()
    home.lab.start()
    return home.lab


def start_server(lab: Lab) -> processes.Process:
    """One that answers for example.net."""
    options = ("keep-in-foreground", "conf-file=/dev/null", "no-resolv", "no-hosts", "bind-interfaces", "user=root")
    more = ("pid-file=", "log-facility=-", "local=/example.net/", f"listen-address={CORRESPONDENT_ADDRESS}")
    command = ("dnsmasq", *(f"--{option}" for option in (*options, *more, *RECORDS)))
    return processes.start(lab.command(CORRESPONDENT, *command), lab.directory / "dnsmasq.log")


@pytest.mark.req("BOOT-01")
def test_the_home_agents_of_a_domain_are_asked_in_the_order_of_its_records(lab: Lab, home: HomeLink) -> None:
    waiting = lab.wait(lambda status: bool("DNS" in status["troubles"]), "no DNS server answers")
    assert waiting["home_agent"] is None
    assert "the home agent's address is not known yet" in waiting["registration"]["problem"]
    assert "of which the DNS is asked (SRV of _mip6._ipv6.example.net)" in " ".join(lab.monami6("status").split())
    server = start_server(lab)
    lab.wait_registered()
    status = lab.agent.status()
    assert (status["home_agent"], status["home_agent_name"]) == (str(HOME_AGENT_ADDRESS), "ha1.example.net")
    assert (status["alternatives"], status["troubles"]) == ([str(SECOND)], {})
    assert f"ha1.example.net, {HOME_AGENT_ADDRESS} by DNS" in " ".join(lab.monami6("status").split())
    with lab.traffic(200) as traffic:
        time.sleep(1)  # some traffic before, to compare with
        start_ns = time.time_ns()
        home.cut_first()
        lab.wait(lambda status: bool(status["home_agent_name"] == "ha2.example.net"), "another home agent asked")
        lab.wait_registered()
        assert home.is_bound_at_second()
        lab.run("mn", "ping", "-6", "-c", "5", "-i", "0.2", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        figures = {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
    print("first home agent of the domain gone, gap in ms:", {name: one.gap_ms for name, one in figures.items()})
    for one in figures.values():
        assert 0 < one.gap_ms < 1000 * MOST_LOST_S
    processes.end([server.pid], signal.SIGTERM)
    for how in (signal.SIGKILL, signal.SIGTERM):
        lab.kill_agent(how)
        lab.start_agent()
        lab.wait_registered()
        known = lab.agent.status()
        found = known["home_agent"], known["home_agent_name"], known["home_agent_from"]
        assert found == (str(SECOND), "ha2.example.net", "state file")
