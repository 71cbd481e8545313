"""The networks behind a mobile router are protected by IPsec like its home address."""

import json
import os
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

import pytest

from mn_lab import strongswan
from mn_lab.control import Control, Status
from mn_lab.lab import Lab, take_down
from mn_lab.layout import (
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT_ADDRESS,
    HOST_INTERFACE,
    MOBILE_NETWORK,
    MOBILE_NODE,
    ROUTER_ADDRESS,
    host_address,
)
from mn_lab.traffic import DOWN, UP
from tests.kernel.streams import Fate, Judge, Stream, Streams
from tests.kernel.wire import Capture
from tests.vm.test_payload import PATIENCE_S, kinds

CN, HA, HOME = str(CORRESPONDENT_ADDRESS), str(HOME_AGENT_ADDRESS), str(HOME_ADDRESS)
HOST1, HOST2 = (str(host_address(host)) for host in ("host1", "host2"))
# 200 packets a second each way, and no more than an emulated processor can encrypt
DATAGRAMS = Stream("datagrams", "udp", 6000, per_second=100)
OTHERS = Stream("others", "udp", 7000, per_second=100)
BOTH = {UP, DOWN}

POLICY = f"""
description = "One host over another link"
[[flow]]
name = "one host"
local = ["{HOST1}/128"]
via = ["wifi"]
"""

# Whole packets, each to where its header says
SEND = """
import socket, sys
whole = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
for packet in map(bytes.fromhex, sys.argv[1:]):
    whole.sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))
"""
STRAY, COPIES = 253, 10
MISSING = "ESP missing, or of another association"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    prefix = f"m6-v{os.getpid()}n-"
    policy = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text(POLICY)
    lab = Lab(("ethernet", "wifi"), prefix=prefix, security="ikev2", router=True)
    try:
        lab.up(timeout_s=PATIENCE_S)
        lab.monami6("policy", "use", str(policy))
        lab.wait(lambda status: status["flows"][0]["bound"] == "yes", "the flow bound", PATIENCE_S)
        yield lab
    finally:
        lab.down()
        take_down(prefix)


def arrives(lab: Lab, node: str, target: str, *options: str) -> bool:
    argv = lab.command(node, "ping", "-6", "-n", "-c", "3", "-i", "0.2", "-W", "3", *options, target)
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return " 0% packet loss" in done.stdout


def test_the_mobile_network_is_in_what_strongswan_negotiates(lab: Lab) -> None:
    """Judged by swanctl."""
    vici = strongswan.vici(lab.directory, MOBILE_NODE)
    told = subprocess.run(
        ["swanctl", "--list-sas", "--uri", f"unix://{vici}"], stdout=subprocess.PIPE, text=True, check=True
    )
    assert f"{HOME}/128 {MOBILE_NETWORK}" in told.stdout


def sent(status: Status) -> int:
    (network,) = status["router"]["networks"]
    return int(network["sent"]["packets"])


def let_flow(lab: Lab, count: int) -> None:
    """Until the hosts have sent so many more."""
    enough = sent(lab.agent.status()) + count
    lab.wait(lambda status: sent(status) > enough, "traffic counted", PATIENCE_S)


@contextmanager
def flowing(lab: Lab) -> Iterator[dict[tuple[str, str], Fate]]:
    """The streams of both hosts; then their fates: nothing is lost. Packets may overtake each other: every veth on the
    way has a queue for each processor, and the senders are moved from one to the other.
    """
    fates: dict[tuple[str, str], Fate] = {}
    first = Streams(lab, (DATAGRAMS,), "host1", host_address("host1"))
    second = Streams(lab, (OTHERS,), "host2", host_address("host2"))
    with first, second:
        yield fates
        fates |= {**first.fates(), **second.fates()}
    for fate in fates.values():
        assert (fate.lost, fate.duplicates) == (0, 0), fates
        assert fate.sent > 100


def kinds_of_router(lab: Lab) -> dict[str, str]:
    """What may be on a link, and what may not: what would be of the network in any tunnel, or in none."""
    return {**kinds(lab), "untunnelled": f"ip6 saddr {MOBILE_NETWORK}", "for_them": f"ip6 daddr {MOBILE_NETWORK}"}


@pytest.mark.req("SEC-07", "NEMO-09", "NEMO-18")
def test_two_hosts_on_two_links_in_esp_and_no_stray_packet(lab: Lab) -> None:
    before = lab.agent.status()["default"]["sent"]["ethernet"]["packets"]
    with Judge(lab, kinds_of_router(lab)) as judge:
        with flowing(lab) as fates:
            let_flow(lab, 300)
        found, counts = judge.places(), judge.counts()
    for name, link in (("datagrams", "wifi"), ("others", "ethernet")):
        for direction in BOTH:
            assert counts[link, f"of_{link}", direction] >= fates[name, direction].sent
    assert found == {f"of_{link}": {(link, direction) for direction in BOTH} for link in ("ethernet", "wifi")}
    counted = lab.agent.status()["default"]["sent"]["ethernet"]["packets"] - before
    assert counted >= fates["others", UP].sent, "status tells of protected default traffic, too"


@pytest.mark.req("SEC-07", "NEMO-09", "SC-09")
def test_what_moves_loses_nothing_and_stays_protected(lab: Lab) -> None:
    with Judge(lab, kinds_of_router(lab)) as judge:
        with flowing(lab):
            for flow, link in ((None, "wifi"), ("one host", "ethernet"), (None, "ethernet")):
                let_flow(lab, 50)
                lab.agent.call("switch", flow=flow, link=link)
            let_flow(lab, 100)
        found = judge.places()
    lab.agent.call("switch", link=None)
    lab.agent.call("switch", flow="one host", link=None)
    assert found == {f"of_{link}": {(link, direction) for direction in BOTH} for link in ("ethernet", "wifi")}


def packet(source: str, destination: str, kind: int, data: bytes) -> bytes:
    ends = IPv6Address(source).packed + IPv6Address(destination).packed
    return struct.pack(">IHBB", 6 << 28, len(data), kind, 64) + ends + data


def stray(source: str, destination: str) -> bytes:
    return packet(source, destination, STRAY, b"in clear")


def counted(side: Control) -> Counter[str]:
    """What is dropped for want of protection, by reason."""
    told = side.status()["counters"]
    return Counter({name: told.get(name, 0) for name in ("not_protected", MISSING)})


@pytest.mark.req("SEC-07", "SEC-28", "SC-10")
def test_nothing_is_taken_without_protection(lab: Lab) -> None:
    """From the network at the home agent, and for the network at the router; in a tunnel, or in none."""
    (care_of,) = [link["care_of_address"] for link in lab.agent.status()["links"] if link["name"] == "wifi"]
    up, down = stray(HOST1, CN), stray(CN, HOST1)
    tunnelled = packet(care_of, HA, socket.IPPROTO_IPV6, up), packet(HA, care_of, socket.IPPROTO_IPV6, down)
    plain = stray(HOST1, HA), stray(HOST1, HOST2), down
    before = {side: counted(side) for side in (lab.agent, lab.home_agent)}
    lab.run("wifi", "ip", "-6", "route", "add", HOST1, "via", care_of)
    with (
        Capture(lab, "host1", HOST_INTERFACE, f"ip6 proto {STRAY}") as at_host,
        Capture(lab, CORRESPONDENT, HOST_INTERFACE, f"ip6 proto {STRAY}") as at_cn,
    ):
        lab.run("wifi", sys.executable, "-c", SEND, *(one.hex() for one in (*tunnelled, *plain) for _ in range(COPIES)))
        assert arrives(lab, "host1", CN)
    lab.run("wifi", "ip", "-6", "route", "del", HOST1)
    for capture in (at_host, at_cn):
        assert capture.rows(f"ipv6.nxt == {STRAY}", ["ipv6.src"]) == []
    assert counted(lab.agent) - before[lab.agent] == Counter({"not_protected": COPIES, MISSING: COPIES})
    assert counted(lab.home_agent) - before[lab.home_agent] == Counter({"not_protected": COPIES, MISSING: 2 * COPIES})


def test_the_doctor_finds_nothing_wrong_with_it(lab: Lab) -> None:
    argv = (sys.executable, "-m", "monami6", "--socket", str(lab.agent.path), "doctor", "--json")
    command = lab.command(MOBILE_NODE, *argv, "--config", str(lab.configuration["agent"]))
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
    found = {check["check"]: check["found"] for check in told["checks"]}
    assert [check for check in told["checks"] if check["result"] == "problem"] == []
    assert found["mobile router"] == f"{MOBILE_NETWORK} behind lan0: served in explicit mode"


def test_the_router_and_its_hosts_reach_each_other(lab: Lab) -> None:
    for node, target in (("host1", HOST2), ("host1", str(ROUTER_ADDRESS)), ("host1", HOME), (MOBILE_NODE, HOST2)):
        assert arrives(lab, node, target), (node, target)
    assert arrives(lab, MOBILE_NODE, HOST1, "-I", HOME)


@pytest.mark.req("PKT-19")
def test_what_is_too_big_for_the_protected_tunnel_is_told(lab: Lab) -> None:
    gateway = lab.run("host1", "ip", "-6", "route", "show", "default").split()[2]
    lab.run("host1", "ip", "-6", "route", "add", CN, "via", gateway, "dev", HOST_INTERFACE, "mtu", "1500")
    try:
        argv = lab.command("host1", "ping", "-6", "-n", "-c", "2", "-s", "1452", "-M", "do", CN)
        told = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False).stdout
        assert "Packet too big: mtu=1406" in told
        assert arrives(lab, "host1", CN, "-s", "1358", "-M", "do")
    finally:
        lab.run("host1", "ip", "-6", "route", "del", CN)
