"""Payload that IPsec protects, over several links at once: one pair of security associations for each."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from mn_lab import strongswan
from mn_lab.control import Status
from mn_lab.lab import Lab, take_down
from mn_lab.layout import (
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    HOST_INTERFACE,
    MOBILE_NODE,
    MOBILE_SIDE,
)
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP
from tests.kernel.streams import Fate, Judge, Stream, Streams
from tests.kernel.wire import Capture
from tests.vm.ike_of_lab import endpoints, ike_sa, is_made_anew
from tests.vm.rekeying import rekey

HOME, HA, CN = str(HOME_ADDRESS), str(HOME_AGENT_ADDRESS), str(CORRESPONDENT_ADDRESS)
PATIENCE_S = 90.0
"""Emulated, everything takes its time."""
IKE = "udp.port == 500 || udp.port == 4500"

POLICY = """
description = "Datagrams over one link, a stream over another"
[[flow]]
name = "datagrams"
protocol = "udp"
port = "6000-6999"
via = ["wifi"]
[[flow]]
name = "stream"
protocol = "tcp"
via = ["lte"]
"""
DATAGRAMS = Stream("datagrams", "udp", 6000, per_second=100)
STREAM = Stream("stream", "tcp", 5001, per_second=50)
OTHER = Stream("other", "udp", 7000, per_second=50)
STREAMS = (DATAGRAMS, STREAM, OTHER)
"""200 packets a second each way, and no more than an emulated processor can encrypt."""
BOTH = {UP, DOWN}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    prefix = f"m6-v{os.getpid()}p-"
    policy = tmp_path_factory.mktemp("policy") / "policy.toml"
    policy.write_text(POLICY)
    lab = Lab(prefix=prefix, security="ikev2")
    try:
        lab.up(timeout_s=PATIENCE_S)
        lab.monami6("policy", "use", str(policy))
        yield lab
    finally:
        lab.down()
        take_down(prefix)


@pytest.fixture(autouse=True)
def _as_at_first(lab: Lab) -> None:
    """Whatever the test before did."""
    lab.wait_registered(timeout_s=PATIENCE_S)
    lab.wait(lambda status: status["ike"]["sa"] is not None, "an IKE SA", PATIENCE_S)
    if lab.agent.status()["default"]["link"] != "ethernet":
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "ethernet")
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "--auto")


def payload(status: Status, link: str) -> dict[str, int]:
    """The newest SPI for the payload of a link, by direction."""
    (bid,) = [one["bid"] for one in status["links"] if one["name"] == link]
    newest_first = [one for one in status["associations"] if (one["use"], one["bid"]) == ("payload", bid)]
    return {one["direction"]: int(one["spi"], 16) for one in reversed(newest_first)}


def kinds(lab: Lab) -> dict[str, str]:
    """What may be on a link: ESP of each link's, everything of the tunnels that is not protected."""
    status = lab.agent.status()
    spis = {link.name: ", ".join(map(str, payload(status, link.name).values())) for link in lab.layout.links}
    return {
        **{f"of_{name}": f"ip6 nexthdr 50 @nh,320,32 {{ {both} }}" for name, both in spis.items()},
        "tunnelled": "ip6 nexthdr 41",
        "plain_stream": "ip6 nexthdr 6",
        "plain_datagrams": f"udp dport {{ {DATAGRAMS.number}, {OTHER.number} }}",
    }


def sent(status: Status, flow: str) -> int:
    return sum(traffic["packets"] for one in status["flows"] if one["name"] == flow for traffic in one["sent"].values())


def let_flow(lab: Lab, count: int) -> None:
    """Until so many more datagrams have been sent."""
    enough = sent(lab.agent.status(), "datagrams") + count
    lab.wait(lambda status: sent(status, "datagrams") > enough, "traffic counted", PATIENCE_S)


def assert_whole(fates: Mapping[tuple[str, str], Fate], streams: Sequence[Stream] = STREAMS) -> None:
    assert set(fates) == {(stream.name, direction) for stream in streams for direction in BOTH}
    for fate in fates.values():
        assert (fate.lost, fate.reordered, fate.duplicates) == (0, 0, 0), fates
        assert fate.sent > 50


def care_of(lab: Lab, link: str) -> IPv6Address:
    (address,) = [one["care_of_address"] for one in lab.agent.status()["links"] if one["name"] == link]
    return IPv6Address(address)


@pytest.mark.req("SEC-07", "SEC-30", "MCOA-69", "FLOW-35")
def test_flows_on_two_links_at_once_in_esp_and_no_stray_packet(lab: Lab) -> None:
    with Judge(lab, kinds(lab)) as judge:
        with Streams(lab, STREAMS) as flowing:
            let_flow(lab, 300)
            fates = flowing.fates()
        found, counts = judge.places(), judge.counts()
    assert_whole(fates)
    assert found == {
        "of_wifi": {("wifi", direction) for direction in BOTH},
        "of_lte": {("lte", direction) for direction in BOTH},
        "of_ethernet": {("ethernet", direction) for direction in BOTH},
    }
    for stream, link in ((DATAGRAMS, "wifi"), (OTHER, "ethernet")):
        for direction in BOTH:
            assert counts[link, f"of_{link}", direction] == fates[stream.name, direction].sent


@pytest.mark.req("FLOW-17", "FLOW-33", "SC-09", "MCOA-69")
def test_flows_that_move_lose_nothing_to_anti_replay(lab: Lab) -> None:
    with Streams(lab, STREAMS) as flowing:
        let_flow(lab, 50)
        for flow, link in (("datagrams", "lte"), ("stream", "wifi"), ("datagrams", "ethernet"), ("stream", "ethernet")):
            lab.monami6("switch", "--timeout", str(PATIENCE_S), "--flow", flow, link)
            let_flow(lab, 50)
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "wifi")
        let_flow(lab, 100)
        fates = flowing.fates()
    assert_whole(fates)


@pytest.mark.req("SEC-19", "HA-11", "REG-05", "MCOA-31")
def test_a_planned_change_of_the_care_of_address_of_ike_costs_nothing(lab: Lab) -> None:
    before = ike_sa(lab, "mn").initiator_spi
    wifi = care_of(lab, "wifi")
    with Capture(lab, HOME_AGENT, HOST_INTERFACE, "ip6") as capture, Streams(lab, STREAMS) as flowing:
        let_flow(lab, 50)
        lab.monami6("switch", "--ike", "wifi", "--timeout", str(PATIENCE_S))
        let_flow(lab, 300)
        fates = flowing.fates()
    assert_whole(fates)
    assert capture.rows(IKE, ["frame.number"]) == []
    assert endpoints(lab) == (wifi, wifi)
    assert ike_sa(lab, "mn").initiator_spi == before
    lab.monami6("switch", "--ike", "--auto", "--timeout", str(PATIENCE_S))


@pytest.mark.req("MCOA-69")
def test_rekeying_loses_nothing(lab: Lab) -> None:
    old = payload(lab.agent.status(), "wifi")

    def is_renewed(status: Status) -> bool:
        """The old ones are gone as well: they are shown for as long as they are there."""
        (bid,) = [one["bid"] for one in status["links"] if one["name"] == "wifi"]
        shown = {int(one["spi"], 16) for one in status["associations"] if one["bid"] == bid}
        return len(shown) == 2 and shown.isdisjoint(old.values())

    with Streams(lab, STREAMS) as flowing:
        let_flow(lab, 50)
        rekey(lab.layout.namespace(MOBILE_NODE), HOME_AGENT_ADDRESS, old[UP])
        lab.wait(is_renewed, "new keys, and the old ones gone", PATIENCE_S)
        let_flow(lab, 200)
        fates = flowing.fates()
    assert_whole(fates)


@pytest.mark.req("SEC-19", "MCOA-31")
def test_a_lost_link_costs_some_packets_and_only_of_what_went_over_it(lab: Lab) -> None:
    switch = ("switch", "--timeout", str(PATIENCE_S))
    lab.monami6(*switch, "--flow", "datagrams", "ethernet")
    lab.monami6(*switch, "--ike", "ethernet")
    lab.monami6(*switch, "--ike", "--auto")
    with Streams(lab, STREAMS) as flowing:
        let_flow(lab, 100)
        lab.change_link("ethernet", LinkAction.DOWN)
        lab.wait(lambda status: status["ike"]["link"] not in ("ethernet", None), "IKEv2 elsewhere", PATIENCE_S)
        let_flow(lab, 200)
        fates = flowing.fates()
    lab.change_link("ethernet", LinkAction.UP)
    lab.wait_registered(timeout_s=PATIENCE_S)
    lab.monami6(*switch, "--flow", "datagrams", "--auto")
    print({key: fate.lost for key, fate in fates.items()})
    for direction in BOTH:
        assert fates["stream", direction].lost == 0
        assert fates["datagrams", direction].lost < 200
        assert fates["datagrams", direction].sent > 250


FORGE = """
import sys
from scapy.all import IPv6, Raw, send
source, destination, kind, data = sys.argv[1:5]
send(IPv6(src=source, dst=destination, nh=int(kind)) / Raw(bytes.fromhex(data)), verbose=False)
"""
REPLAY = """
import sys
from scapy.all import rdpcap, send, IPv6
packets = [one[IPv6] for one in rdpcap(sys.argv[1]) if one[IPv6].nh == 50]
send(packets, verbose=False)
print(len(packets))
"""


def forge(lab: Lab, link: str, source: IPv6Address, kind: int, data: bytes) -> None:
    command = [sys.executable, "-c", FORGE, str(source), HA, str(kind), data.hex()]
    subprocess.run(lab.command(link, *command), check=True)


def counted(lab: Lab, reason: str) -> int:
    return int(lab.home_agent.status()["counters"].get(reason, 0))


def wait_counted(lab: Lab, reason: str, count: int) -> None:
    lab.home_agent.wait_until(
        lambda status: status["counters"].get(reason, 0) >= count, reason, timeout_s=PATIENCE_S, check=lambda: None
    )


@pytest.mark.req("HA-17", "SEC-28", "MCOA-69", "SC-03")
def test_what_is_forged_is_dropped_and_counted_by_reason(lab: Lab, tmp_path: Path) -> None:
    spi = payload(lab.agent.status(), "wifi")[UP]
    own, neighbour = care_of(lab, "wifi"), lab.layout.link("wifi").prefix[0xBAD]
    esp = spi.to_bytes(4, "big") + bytes(3) + b"\x01" + bytes(96)
    before = {name: counted(lab, name) for name in ("spoofed_outer_source", "not_protected", "ESP not authentic")}
    forge(lab, "wifi", neighbour, 50, esp)
    wait_counted(lab, "spoofed_outer_source", before["spoofed_outer_source"] + 1)
    forge(lab, "wifi", own, 50, spi.to_bytes(4, "big") + b"\x00\x01\x00\x00" + bytes(96))
    wait_counted(lab, "ESP not authentic", before["ESP not authentic"] + 1)
    inner = bytes.fromhex("6000000000083a40") + HOME_ADDRESS.packed + CORRESPONDENT_ADDRESS.packed + bytes(8)
    forge(lab, "wifi", own, 41, inner)
    wait_counted(lab, "not_protected", before["not_protected"] + 1)
    lab.monami6("switch", "--timeout", str(PATIENCE_S), "wifi")
    with Capture(lab, "wifi", MOBILE_SIDE, "ip6 proto 50 and ip6 dst " + HA) as capture:
        lab.run(MOBILE_NODE, "ping", "-6", "-c", "3", "-i", "0.2", "-w", "20", "-I", HOME, CN)
    replays = counted(lab, "ESP replayed")
    command = lab.command("wifi", sys.executable, "-c", REPLAY, str(capture.path))
    count = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert count >= 3
    wait_counted(lab, "ESP replayed", replays + count)


def test_unprotected_packets_to_the_home_address_are_not_taken(lab: Lab) -> None:
    """As if the home agent had sent them, through a tunnel or straight."""
    inner = bytes.fromhex("6000000000083a40") + CORRESPONDENT_ADDRESS.packed + HOME_ADDRESS.packed + bytes(8)
    command = [sys.executable, "-c", FORGE, HA, str(care_of(lab, "wifi")), "41", inner.hex()]
    subprocess.run(lab.command("wifi", *command), check=True)
    lab.wait(lambda status: status["counters"].get("not_protected", 0) >= 1, "counted", PATIENCE_S)


@pytest.mark.parametrize("victim", ["agent", "home agent", "mn", "ha"])
def test_whoever_is_killed_traffic_flows_on_or_comes_back(lab: Lab, victim: str) -> None:
    # On a busy machine it may just be made anew after the test before
    lab.wait(lambda _: is_made_anew(lab, before=0), "an IKE SA", PATIENCE_S)
    before = ike_sa(lab, "mn").initiator_spi
    with Streams(lab, (DATAGRAMS, OTHER)) as flowing:
        let_flow(lab, 100)
        match victim:
            case "agent":
                lab.kill_agent()
                lab.start_agent()
            case "home agent":
                lab.kill_home_agent()
                lab.start_home_agent()
            case node:
                lab.kill_charon(node)
                strongswan.vici(lab.directory, node).unlink(missing_ok=True)
                lab.start_charon(node)
                lab.wait(lambda _: is_made_anew(lab, before), "the IKE SA made anew", PATIENCE_S)
        lab.wait_registered(timeout_s=PATIENCE_S)
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "lte")
        let_flow(lab, 300)
        fates = flowing.fates()
    print(victim, {key: (fate.lost, fate.sent) for key, fate in fates.items()})
    for fate in fates.values():
        assert fate.lost == 0 or victim in ("mn", "ha")
        assert fate.sent - fate.lost > 300
