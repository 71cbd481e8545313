"""Mobile hosts behind a mobile router: tunnels in its tunnels, with its home agent or another one."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_AGENT, HOME_AGENT_ADDRESS, host_address
from mn_lab.traffic import DOWN, UP
from tests.kernel.nested import GUESTS, MobileHost, Nested
from tests.kernel.streams import Fate, Judge, Stream, Streams
from tests.kernel.wire import Capture

CN = str(CORRESPONDENT_ADDRESS)
DATAGRAMS, STREAM = Stream("datagrams", "udp", 6000), Stream("stream", "tcp", 5001)
# Of the packet in both tunnels: next header and destination port
KINDS = {
    "datagrams": "ip6 nexthdr 41 @nh,368,8 41 @nh,688,8 17 @nh,976,16 6000",
    "stream": "ip6 nexthdr 41 @nh,368,8 41 @nh,688,8 6 @nh,976,16 5001",
    "full": "ip6 nexthdr 41 ip6 length 1460",
    "fragments": "ip6 nexthdr 44",
}
FULL = str(1500 - 3 * 40 - 8)
"""Octets of an echo request that fills the link when it is in both tunnels; 8 are ICMPv6's header."""


@pytest.fixture(scope="module")
def nested(prefix: str) -> Iterator[Nested]:
    with Nested(prefix) as nested:
        yield nested


@pytest.fixture(scope="module")
def lab(nested: Nested) -> Lab:
    return nested.lab


@pytest.fixture(params=GUESTS)
def guest(request: pytest.FixtureRequest) -> MobileHost:
    """With the router's home agent, and with another."""
    return GUESTS[request.param]


def ping(lab: Lab, node: str, *options: str) -> str:
    """What ping says, whether or not anything came back."""
    argv = lab.command(node, "ping", "-6", "-n", "-c", "3", "-i", "0.1", "-W", "1", *options)
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def pings(lab: Lab, guest: MobileHost, size: str, *options: str) -> tuple[str, str]:
    """From the guest's home address, and to it."""
    home = str(guest.home_address)
    return (
        ping(lab, guest.node, "-s", size, "-I", home, *options, CN),
        ping(lab, CORRESPONDENT, "-s", size, *options, home),
    )


def spoofed(lab: Lab) -> int:
    count: int = lab.home_agent.status()["counters"]["spoofed_inner_source"]
    return count


@pytest.mark.req("NEMO-09", "NEMO-18", "MCOA-34")
def test_it_registers_through_the_tunnel_and_loses_nothing_while_the_router_changes_links(
    lab: Lab, guest: MobileHost
) -> None:
    with Judge(lab, KINDS) as judge:
        with Streams(lab, (DATAGRAMS, STREAM), guest.node, guest.home_address) as flowing:
            for link in ("wifi", "lte", "ethernet"):
                time.sleep(0.5)
                lab.monami6("switch", link)
            time.sleep(0.5)
            fates = flowing.fates()
        found = judge.places()
    lab.monami6("switch", "--auto")
    assert fates["datagrams", UP].sent >= 300
    for fate in fates.values():
        assert fate == Fate(fate.sent, 0, 0, 0), fates
    everywhere = {(link, direction) for link in ("ethernet", "wifi", "lte") for direction in (UP, DOWN)}
    assert found["datagrams"] == found["stream"] == everywhere


def test_its_messages_come_from_behind_the_router(nested: Nested, guest: MobileHost) -> None:
    (link,) = nested.agents[guest.node].status()["links"]
    assert link["care_of_address"] == str(host_address(guest.node))
    with Capture(nested.lab, guest.node, "eth0", "ip6") as capture:
        nested.agents[guest.node].call("refresh")
        nested.wait_registered(guest.node)
        ping(nested.lab, guest.node, CN)
    fields = ["ipv6.src", "ipv6.dst", "mip6.ba.status"]
    answers = capture.rows("mip6.mhtype == 6", fields)
    assert answers
    assert {tuple(answer) for answer in answers} == {(str(guest.home_agent), str(host_address(guest.node)), "0")}


@pytest.mark.req("PKT-16", "PKT-19")
class TestSize:
    """What fills both tunnels arrives whole, and who sends larger packets is told."""

    def test_full(self, lab: Lab, guest: MobileHost) -> None:
        with Judge(lab, KINDS) as judge:
            for told in pings(lab, guest, FULL, "-M", "do"):
                assert " 0% packet loss" in told
            counts = judge.counts()
        assert counts["ethernet", "full", UP] == counts["ethernet", "full", DOWN] == 6
        assert not [kind for _, kind, _ in counts if kind == "fragments"]

    def test_too_big(self, lab: Lab, guest: MobileHost) -> None:
        """The guest knows by itself, from the MTU that the router advertises; the correspondent is told, by the guest's
        home agent, which in turn may have to be told by the router's first.
        """
        up, down = pings(lab, guest, str(int(FULL) + 1), "-M", "do")
        assert "mtu: 1420" in up
        assert f"From {guest.home_agent} icmp_seq=1 Packet too big: mtu=1420" in down
        lab.run(CORRESPONDENT, "ip", "-6", "route", "flush", "cache")

    def test_larger_ones_arrive_in_fragments(self, lab: Lab, guest: MobileHost) -> None:
        ping(lab, CORRESPONDENT, "-s", "1452", "-M", "want", str(guest.home_address))  # learns the path's MTU
        for told in pings(lab, guest, "4000", "-M", "want"):
            assert " 0% packet loss" in told, told

    @pytest.mark.parametrize("direction", [(), ("--reverse",)], ids=["up", "down"])
    def test_large_segments(self, lab: Lab, guest: MobileHost, direction: tuple[str, ...]) -> None:
        argv = lab.command(CORRESPONDENT, "iperf3", "--server", "--one-off", "--forceflush", "--bind", CN)
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server, Judge(lab, KINDS) as judge:
            assert server.stdout is not None
            assert any("listening" in line for line in server.stdout)
            client = ("--client", CN, "--bind", str(guest.home_address), "--bytes", "20M", *direction)
            lab.run(guest.node, "timeout", "20", "iperf3", *client)
            counts = judge.counts()
        assert not [kind for _, kind, _ in counts if kind == "fragments"]


FORGE = """
import sys
from scapy.all import IPv6, Raw, UDP, send
outer, agent, inner, there = sys.argv[1:]
inside = IPv6(src=inner, dst=there) / UDP(sport=7, dport=7777) / Raw(b"forged")
send(IPv6(src=outer, dst=agent) / inside, count=10, verbose=False)
"""


@pytest.mark.req("NEMO-18", "SC-10")
class TestForged:
    """A guest may send with its own home address only, also where both its tunnels have the same end."""

    def send(self, lab: Lab, outer: str, inner: str, there: str = CN) -> int:
        """How many of ten reach the correspondent."""
        with Capture(lab, CORRESPONDENT, "eth0", "udp port 7777") as capture:
            lab.run("host1", sys.executable, "-c", FORGE, outer, str(HOME_AGENT_ADDRESS), inner, there)
            assert " 0% packet loss" in ping(lab, "host1", CN)
        return len(capture.rows("udp.port == 7777", ["ipv6.src"]))

    def test_what_is_right_arrives(self, lab: Lab) -> None:
        assert self.send(lab, str(host_address("host1")), str(GUESTS["host1"].home_address)) == 10

    @pytest.mark.parametrize("inner", ["2001:db8:f00::99", str(GUESTS["host2"].home_address)])
    def test_a_home_address_of_another(self, lab: Lab, inner: str) -> None:
        before = spoofed(lab)
        assert self.send(lab, str(host_address("host1")), inner) == 0
        assert spoofed(lab) == before + 10

    def test_from_no_care_of_address(self, lab: Lab) -> None:
        before = spoofed(lab)
        assert self.send(lab, str(host_address("host2")), str(GUESTS["host1"].home_address)) == 0
        assert spoofed(lab) == before + 10


def test_a_home_agent_with_several_addresses_sends_from_the_one_that_guests_know(lab: Lab) -> None:
    """The kernel likes an address better that has more in common with the care-of address."""
    other = ("2001:db8:f00:ffff::1/64", "dev", "eth0")
    lab.run(HOME_AGENT, "ip", "address", "add", *other)
    try:
        assert " 0% packet loss" in ping(lab, CORRESPONDENT, str(GUESTS["host1"].home_address))
    finally:
        lab.run(HOME_AGENT, "ip", "address", "del", *other)


def test_people_see_its_binding(lab: Lab, nested: Nested) -> None:
    known = {node["name"]: node for node in lab.home_agent.status()["nodes"]}
    other = Control(nested.lab.directory / "ha2.sock").status()["nodes"][0]
    for node, host in ((known["host1"], "host1"), (other, "host2")):
        (binding,) = node["bindings"]
        assert binding["care_of_address"] == str(host_address(host))
