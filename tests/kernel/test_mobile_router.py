"""Hosts behind a mobile router: their traffic over several links, what it loses, and what is not let through."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from typing import Any

import pytest

from mn_lab import configuration, processes
from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import (
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT_ADDRESS,
    HOST_INTERFACE,
    INSIDE,
    MOBILE_NETWORK,
    MOBILE_NODE,
    MOBILE_SIDE,
    ROUTER_ADDRESS,
    host_address,
)
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP
from tests.kernel.conftest import Use
from tests.kernel.streams import Fate, Judge, Stream, Streams
from tests.kernel.wire import Capture

CN, HA, HOME = str(CORRESPONDENT_ADDRESS), str(HOME_AGENT_ADDRESS), str(HOME_ADDRESS)
HOST1, HOST2 = (str(host_address(host)) for host in ("host1", "host2"))
FEW = 30
"""Packets that one lost carrier may cost here, as in test_demo.py."""

POLICY = f"""
description = "The hosts' traffic over two links"
[[flow]]
name = "one host"
local = ["{HOST1}/128"]
protocol = "udp"
via = ["lte"]
[[flow]]
name = "streams"
protocol = "tcp"
via = ["wifi"]
"""

DATAGRAMS, STREAM = Stream("datagrams", "udp", 6000), Stream("stream", "tcp", 5001)
OTHERS, OTHER_STREAM = Stream("others", "udp", 6001), Stream("other stream", "tcp", 5002)
# Of the packet in the tunnel: next header and destination port
KINDS = {
    "datagrams": "ip6 nexthdr 41 @nh,368,8 17 @nh,656,16 6000",
    "others": "ip6 nexthdr 41 @nh,368,8 17 @nh,656,16 6001",
    "stream": "ip6 nexthdr 41 @nh,368,8 6 @nh,656,16 5001",
    "other_stream": "ip6 nexthdr 41 @nh,368,8 6 @nh,656,16 5002",
    "untunnelled": "ip6 nexthdr != 41 ip6 saddr 2001:db8:f00::/48",
}


@pytest.fixture(scope="module")
def lab(prefix: str) -> Iterator[Lab]:
    """Up, with two hosts behind the mobile router."""
    with Lab(prefix=prefix, router=True) as lab:
        yield lab


@pytest.fixture
def _flows(lab: Lab, use: Use) -> None:
    use(POLICY)
    lab.wait(lambda status: all(flow["bound"] == "yes" for flow in status["flows"]), "flows bound")


def ping(lab: Lab, node: str, target: str, *options: str, count: int = 3) -> str:
    """What ping says, whether or not anything came back."""
    argv = lab.command(node, "ping", "-6", "-n", "-c", str(count), "-i", "0.05", "-W", "1", *options, target)
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout


def arrives(lab: Lab, node: str, target: str, *options: str) -> bool:
    return " 0% packet loss" in ping(lab, node, target, *options)


def both_ways(link: str) -> set[tuple[str, str]]:
    return {(link, UP), (link, DOWN)}


# Traffic


@pytest.mark.req("NEMO-09", "NEMO-14", "NEMO-18", "MCOA-34")
@pytest.mark.usefixtures("_flows")
def test_two_hosts_over_several_links_at_once_by_flow(lab: Lab) -> None:
    with Judge(lab, KINDS) as judge:
        first = Streams(lab, (DATAGRAMS, STREAM), "host1", host_address("host1"))
        second = Streams(lab, (OTHERS, OTHER_STREAM), "host2", host_address("host2"))
        with first, second:
            time.sleep(2)
            fates = {**first.fates(), **second.fates()}
        found, counts = judge.places(), judge.counts()
    for fate in fates.values():
        assert (fate.lost, fate.reordered, fate.duplicates) == (0, 0, 0), fates
        assert fate.sent >= 200
    assert found == {
        "datagrams": both_ways("lte"),
        "stream": both_ways("wifi"),
        "other_stream": both_ways("wifi"),
        "others": both_ways("ethernet"),
    }
    for name, link in (("datagrams", "lte"), ("others", "ethernet")):
        for direction in (UP, DOWN):
            assert counts[link, name, direction] == fates[name, direction].sent


@pytest.mark.req("NEMO-14")
@pytest.mark.usefixtures("_flows")
def test_a_flow_of_a_host_moves_without_losing_anything(lab: Lab) -> None:
    with Judge(lab, KINDS) as judge:
        with Streams(lab, (DATAGRAMS,), "host1", host_address("host1")) as flowing:
            for link in ("wifi", "ethernet", "lte"):
                time.sleep(0.5)
                lab.monami6("switch", "--flow", "one host", link)
            time.sleep(0.5)
            fates = flowing.fates()
        found = judge.places()
    lab.monami6("switch", "--flow", "one host", "--auto")
    assert fates["datagrams", UP].sent >= 300
    for fate in fates.values():
        assert fate == Fate(fate.sent, 0, 0, 0)
    assert found == {"datagrams": both_ways("lte") | both_ways("wifi") | both_ways("ethernet")}


@pytest.mark.req("NEMO-18")
@pytest.mark.usefixtures("_flows")
def test_a_home_agent_that_starts_anew_has_the_flows_of_the_hosts(lab: Lab) -> None:
    lab.kill_home_agent()
    lab.start_home_agent()
    lab.home_agent.wait_until(
        lambda status: any(flow["active"] for node in status["nodes"] for flow in node["flows"]),
        "flows active at the home agent",
        timeout_s=30,
        check=lambda: None,
    )
    assert lab.home_agent.status()["troubles"] == {}
    with Judge(lab, KINDS) as judge:
        with Streams(lab, (DATAGRAMS,), "host1", host_address("host1")) as flowing:
            time.sleep(0.5)
            fates = flowing.fates()
        assert judge.places()["datagrams"] == both_ways("lte")
    assert fates["datagrams", DOWN].lost == 0


def test_up_tells_the_hosts_behind_the_router(prefix: str) -> None:
    program = [sys.executable, "-m", "monami6", "lab", "--prefix", f"{prefix[:-1]}u-"]
    try:
        told = subprocess.run(
            [*program, "up", "--router", "--links", "wifi"], capture_output=True, text=True, check=True
        )
        assert f"Behind the mobile router:\n  host1        {HOST1}\n  host2        {HOST2}\n" in told.stdout
        ping = ("exec", "host1", "--", "ping", "-c", "1", CN)
        assert f"lab --prefix {prefix[:-1]}u- {' '.join((*ping[:4], CN))}" in told.stdout
        subprocess.run([*program, *ping], check=True, capture_output=True)
    finally:
        subprocess.run([*program, "down"], check=True, capture_output=True)


@pytest.fixture(scope="module")
def demo(prefix: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The steps by name and direction, as `monami6 lab demo --router` counts them."""
    program = [sys.executable, "-m", "monami6", "lab", "--prefix", f"{prefix[:-1]}d-", "demo", "--router", "--json"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {(step["name"], step["direction"]): step for step in json.loads(done.stdout)["steps"]}


@pytest.mark.req("NEMO-09")
def test_a_host_behind_the_router_loses_no_more_than_the_router_would(demo: Any) -> None:
    """Nothing while the old path lives, and a few packets with a lost carrier."""
    assert len(demo) == 10
    for (name, _), step in demo.items():
        assert step["sent"] > 900
        assert step["lost"] <= (FEW if name == "carrier-loss" else 0), demo
        assert step["reordered"] == 0, demo


def test_a_dead_path_costs_a_host_what_the_agent_needs_to_notice(lab: Lab) -> None:
    with lab.traffic() as traffic:
        time.sleep(0.5)
        start_ns = time.time_ns()
        lab.change_link("ethernet", LinkAction.BLACKHOLE)
        try:
            lab.wait_carried_by("wifi")
            end_ns = time.time_ns()
            traffic.catch_up(end_ns)
        finally:
            lab.change_link("ethernet", LinkAction.HEAL)
        back_ns = time.time_ns()
        lab.wait_carried_by("ethernet")
        time.sleep(0.5)
        last_ns = time.time_ns()
        traffic.catch_up(last_ns)
        for direction in (UP, DOWN):
            assert traffic.record(direction).figures(start_ns, end_ns).gap_ms < 1500
            returned = traffic.record(direction).figures(back_ns, last_ns)
            assert (returned.lost, returned.reordered) == (0, 0)


# What people see


def test_people_see_what_each_host_has_sent(lab: Lab) -> None:
    assert arrives(lab, "host2", CN)
    router = lab.agent.status()["router"]
    (network,) = router["networks"]
    hosts = {host["address"]: host for host in router["hosts"]}
    assert network["prefix"] == str(MOBILE_NETWORK)
    assert hosts[HOST2]["sent"]["packets"] >= 3
    for amount in ("sent", "received"):
        assert network[amount]["packets"] == sum(host[amount]["packets"] for host in hosts.values())
    assert f"Mobile router for {MOBILE_NETWORK}\n  behind lan0, served in explicit mode" in lab.monami6("status")
    assert HOST2 in lab.monami6("flows")
    (node,) = lab.home_agent.status()["nodes"]
    assert (node["router"], node["prefixes"]) == (True, [{"prefix": str(MOBILE_NETWORK), "forwarded": True}])


def test_the_doctor_finds_the_router_well(lab: Lab) -> None:
    argv = (sys.executable, "-m", "monami6", "--socket", str(lab.agent.path), "doctor", "--json")
    command = lab.command(MOBILE_NODE, *argv, "--config", str(lab.configuration["agent"]))
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
    (line,) = [check for check in told["checks"] if check["check"] == "mobile router"]
    assert (line["result"], line["found"]) == ("ok", f"{MOBILE_NETWORK} behind lan0: served in explicit mode")


# What is not let through

SPOOF = """
import sys
from scapy.all import IPv6, UDP, Raw, send, conf
sources, destination, kind = sys.argv[1].split(","), sys.argv[2], sys.argv[3]
for source in sources:
    packet = UDP(sport=7, dport=7777) / Raw(b"spoofed")
    if kind != "plain":
        packet = IPv6(src=kind, dst=sys.argv[4]) / packet
    send(IPv6(src=source, dst=destination) / packet, count=10, verbose=False)
"""


def strays(lab: Lab, node: str, *arguments: str) -> int:
    """How many of ten packets with a forged source reach the correspondent."""
    with Capture(lab, "cn", "eth0", "udp port 7777") as capture:
        lab.run(node, sys.executable, "-c", SPOOF, *arguments)
        assert arrives(lab, "host1", CN)
    return len(capture.rows("udp.port == 7777", ["ipv6.src"]))


def counter(lab: Lab, name: str) -> int:
    return int(lab.agent.status()["counters"].get(name, 0))


@pytest.mark.req("NEMO-10", "SC-10")
class TestForged:
    """Sources that are not of the mobile network leave it nowhere, and those that are come from nowhere else."""

    def test_what_is_right_arrives(self, lab: Lab) -> None:
        assert strays(lab, "host1", HOST1, CN, "plain") == 10

    @pytest.mark.parametrize("source", ["2001:db8:bad::1", HOME, str(ROUTER_ADDRESS), "2001:db8:1:0:6d:36ff:fe00:1"])
    def test_from_inside(self, lab: Lab, source: str) -> None:
        before = counter(lab, "spoofed_mobile_network") + counter(lab, "spoofed_home_address")
        assert strays(lab, "host1", source, CN, "plain") == 0
        assert counter(lab, "spoofed_mobile_network") + counter(lab, "spoofed_home_address") == before + 10

    def test_from_inside_in_a_tunnel(self, lab: Lab) -> None:
        before = counter(lab, "spoofed_mobile_network")
        assert strays(lab, "host1", HOST1, HA, HOME, CN) == 0
        assert counter(lab, "spoofed_mobile_network") == before + 10

    def test_from_outside(self, lab: Lab) -> None:
        before = counter(lab, "spoofed_mobile_network")
        with Capture(lab, "host2", HOST_INTERFACE, "udp port 7777") as capture:
            argv = (sys.executable, "-c", SPOOF, HOST1, HOST2, "plain")
            lab.run("wifi", "ip", "-6", "route", "add", HOST2, "via", "2001:db8:2:0:6d:36ff:fe00:2")
            lab.run("wifi", *argv)
            lab.run("wifi", "ip", "-6", "route", "del", HOST2)
            assert arrives(lab, "host2", CN)
        assert capture.rows("udp.port == 7777", ["ipv6.src"]) == []
        assert counter(lab, "spoofed_mobile_network") == before + 10

    @pytest.mark.req("NEMO-18", "HA-17")
    @pytest.mark.parametrize("inner", ["2001:db8:f00:2::5", "2001:db8:f00::1:0:0:5"])
    def test_in_the_tunnel_to_the_home_agent(self, lab: Lab, inner: str) -> None:
        """From the care-of address, but with another network's address inside."""
        before = lab.home_agent.status()["counters"]["spoofed_inner_source"]
        assert strays(lab, "wifi", "2001:db8:2:0:6d:36ff:fe00:2", HA, inner, CN) == 0
        assert lab.home_agent.status()["counters"]["spoofed_inner_source"] == before + 10

    @pytest.mark.req("NEMO-18")
    def test_from_no_care_of_address(self, lab: Lab) -> None:
        before = lab.home_agent.status()["counters"]["spoofed_outer_source"]
        assert strays(lab, "wifi", "2001:db8:2::bad", HA, HOST1, CN) == 0
        assert lab.home_agent.status()["counters"]["spoofed_outer_source"] == before + 10


# Sizes and hops


@pytest.mark.req("NEMO-09")
def test_the_tunnel_is_one_hop_and_both_its_ends_are_seen(lab: Lab) -> None:
    """What a traceroute from behind the router shows: the router, the home agent, and what comes behind it."""
    hops = [ping(lab, "host1", CN, "-t", str(hops), count=1).splitlines()[1].split()[1] for hops in (1, 2, 3)]
    assert hops[:2] == [str(ROUTER_ADDRESS), HA]
    assert arrives(lab, "host1", CN, "-t", "4")


@pytest.mark.req("PKT-16", "PKT-19")
class TestSize:
    """Packets of hosts behind the router fill the tunnel, and who sends larger ones is told."""

    def test_the_router_advertises_what_fits(self, lab: Lab) -> None:
        assert "mtu 1460" in lab.run("host1", "ip", "-6", "route", "show", "default")
        assert arrives(lab, "host1", CN, "-s", "1412", "-M", "do")

    def test_a_host_that_does_not_know_is_told(self, lab: Lab) -> None:
        gateway = lab.run("host1", "ip", "-6", "route", "show", "default").split()[2]
        lab.run("host1", "ip", "-6", "route", "add", CN, "via", gateway, "dev", HOST_INTERFACE, "mtu", "1500")
        try:
            assert "Packet too big: mtu=1460" in ping(lab, "host1", CN, "-s", "1452", "-M", "do")
            ping(lab, "cn", HOST1, "-s", "1452", "-M", "want", count=2)  # learns the path's MTU
            assert arrives(lab, "host1", CN, "-s", "4000", "-M", "want")
        finally:
            lab.run("host1", "ip", "-6", "route", "del", CN)
            lab.run("host1", "ip", "-6", "route", "flush", "cache")

    def test_the_correspondent_is_told(self, lab: Lab) -> None:
        assert "Packet too big: mtu=1460" in ping(lab, "cn", HOST2, "-s", "1452", "-M", "do")
        lab.run("cn", "ip", "-6", "route", "flush", "cache")

    def test_a_large_datagram_goes_in_fragments(self, lab: Lab) -> None:
        ping(lab, "cn", HOST1, "-s", "1452", "-M", "want", count=2)  # learns the path's MTU
        assert arrives(lab, "cn", HOST1, "-s", "4000")


# On the links


@pytest.mark.req("NEMO-11")
def test_it_is_a_host_on_its_uplinks_and_a_router_inside(lab: Lab) -> None:
    groups = {one["ifname"]: one["maddr"] for one in json.loads(lab.run(MOBILE_NODE, "ip", "-6", "-j", "maddr"))}
    routers = {
        name for name, joined in groups.items() if "ff02::2" in [one["address"] for one in joined if "address" in one]
    }
    assert routers == {INSIDE}
    solicit = "from scapy.all import *; send(IPv6(dst='ff02::2')/ICMPv6ND_RS(), iface='mobile', verbose=False)"
    with Capture(lab, "wifi", MOBILE_SIDE, "icmp6") as capture:
        lab.run("wifi", "ip", "-6", "neigh", "flush", "dev", MOBILE_SIDE)
        lab.run("wifi", sys.executable, "-c", solicit)
        assert arrives(lab, "wifi", "2001:db8:2:0:6d:36ff:fe00:2")
    own = lab.run("wifi", "ip", "-6", "neigh", "show", "2001:db8:2:0:6d:36ff:fe00:2")
    assert "router" not in own
    advertised = capture.rows("icmpv6.type == 134", ["ipv6.src"])
    mobile = lab.run(MOBILE_NODE, "ip", "-6", "-j", "address", "show", "dev", "wlan0", "scope", "link")
    (link_local,) = [one["local"] for told in json.loads(mobile) for one in told.get("addr_info", ()) if one]
    assert [link_local] not in advertised
    assert capture.rows("icmpv6.type == 136", ["icmpv6.nd.na.flag.r"]) != [], "it answers for its own addresses"


def test_hosts_behind_one_router_reach_each_other_without_it(lab: Lab) -> None:
    assert arrives(lab, "host1", HOST2)
    assert arrives(lab, MOBILE_NODE, HOST2, "-I", HOME)
    assert arrives(lab, "host1", HOME)


# Two routers


@contextmanager
def second_router(lab: Lab) -> Iterator[str]:
    """Another mobile router, at the end of the link lte, with one address behind it: that."""
    namespace, network, home = f"{lab.layout.prefix}mn2", IPv6Network("2001:db8:f00:2::/64"), HOME_ADDRESS + 1
    secret = {"identity": "second@lab.example.org", "spi": 1001, "key": "aa" * 16}
    link, started = lab.layout.link("lte"), None
    with lab.configuration["home-agent"].open("a") as known:
        node = {"name": "second", "home_address": str(home), "prefixes": [str(network)], **secret}
        known.write(configuration.write({"node": [node]}))
    lab.run("net", "ip", "-6", "route", "add", str(network), "via", HA)
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        own = ("ip", "-n", namespace)
        enter = ("ip", "netns", "exec", namespace)
        forwarding = ("net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.default.forwarding=0")
        subprocess.run([*enter, "sysctl", "-qw", "net.ipv6.conf.default.use_tempaddr=0", *forwarding], check=True)
        lab.run(MOBILE_NODE, "ip", "link", "set", link.interface, "netns", namespace)
        for commands in (
            ("link", "set", "lo", "up"),
            ("link", "add", INSIDE, "type", "veth", "peer", "name", "veth-inside"),
            ("link", "set", "veth-inside", "up"),
            ("address", "add", f"{network[1]}/64", "dev", INSIDE, "nodad"),
            ("link", "set", INSIDE, "up"),
            ("link", "set", link.interface, "up"),
        ):
            subprocess.run([*own, *commands], check=True)
        subprocess.run([*enter, "sysctl", "-qw", f"net.ipv6.conf.{link.interface}.forwarding=0"], check=True)
        file = lab.directory / "second.toml"
        file.touch(mode=0o600)
        document = {
            "home": {"address": str(home), "agent": HA},
            "authentication": secret,
            "router": {"prefixes": [str(network)], "interfaces": [INSIDE]},
            "paths": {"socket": str(lab.directory / "second.sock"), "state": str(lab.directory / "second.json")},
        }
        file.write_text(configuration.write(document))
        lab.kill_home_agent()
        lab.start_home_agent()
        argv = [*enter, "env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/none", sys.executable, "-m", "mn_agent"]
        started = processes.start([*argv, "--config", str(file)], lab.directory / "second.log")
        control = Control(lab.directory / "second.sock")
        what = "the second router registered"
        control.wait_until(
            lambda status: bool(status["registration"]["state"] == "registered"),
            what,
            timeout_s=30,
            check=lambda: None,
        )
        yield str(network[1])
    finally:
        if started is not None:
            processes.end([started.pid])
        subprocess.run(["ip", "netns", "del", namespace], check=True)


@pytest.mark.req("NEMO-16", "NEMO-18")
def test_two_routers_never_get_what_is_the_others(lab: Lab) -> None:
    """The last test of this lab: it takes a link away."""
    mask = {
        "first": "ip6 nexthdr 41 @nh,512,64 0x20010db80f000001",
        "second": "ip6 nexthdr 41 @nh,512,64 0x20010db80f000002",
    }
    with second_router(lab) as address, Judge(lab, mask) as judge:
        for _ in range(2):
            assert arrives(lab, "cn", HOST1)
            assert arrives(lab, "cn", address)
            assert arrives(lab, "host1", address), "by way of the home agent"
        down = {(link, kind) for link, kind, direction in judge.counts() if direction == DOWN}
        assert down == {("ethernet", "first"), ("lte", "second")}
        before = lab.home_agent.status()["counters"]["spoofed_inner_source"]
        assert strays(lab, "ethernet", "2001:db8:1:0:6d:36ff:fe00:1", HA, address, CN) == 0
        assert lab.home_agent.status()["counters"]["spoofed_inner_source"] == before + 10
