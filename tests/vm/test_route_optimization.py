"""Payload goes directly to a correspondent that knows Mobile IPv6: on the wire, and as seen from the home agent."""

import os
import sys
from collections.abc import Iterator, Mapping

import pytest

from mn_lab.control import Status
from mn_lab.lab import Lab, take_down
from mn_lab.layout import (
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    HOST_INTERFACE,
    MOBILE_SIDE,
)
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP
from tests.kernel.streams import Fate, Stream, Streams
from tests.kernel.wire import Capture

HOME, HA, CN = str(HOME_ADDRESS), str(HOME_AGENT_ADDRESS), str(CORRESPONDENT_ADDRESS)
PATIENCE_S = 120.0
"""Emulated, everything takes its time."""
SOON_S = 1.0
ON = f'[route_optimization]\ncorrespondents = ["{CN}"]\n'
STREAM, DATAGRAMS = Stream("stream", "tcp", 5001, per_second=50), Stream("datagrams", "udp", 7000, per_second=50)
STREAMS = (STREAM, DATAGRAMS)
PAYLOAD = f"tcp.port == {STREAM.number} || udp.port == {DATAGRAMS.number}"
LINKS = ("ethernet", "wifi", "lte")

# To each target: what would be sent on to another node, or would seem to come from one; then what may be answered
STRANGER = """
import sys
from ipaddress import IPv6Address
from scapy.all import HAO, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, Raw, send, sr1
from mip6.wire.checksum import with_checksum
from mip6.wire.messages import BindingUpdate, encode
from mip6.wire.registry import BindingUpdateFlag as Flag
source, other, *targets = sys.argv[1:]
update = encode(BindingUpdate(7, Flag.ACKNOWLEDGE | Flag.HOME_REGISTRATION, 100, ()))
for target in targets:
    packet = IPv6(src=source, dst=target)
    headers = [IPv6ExtHdrRouting(type=2, addresses=[address]) for address in (other, target)]
    headers += [IPv6ExtHdrDestOpt(options=[HAO(hoa=home)]) for home in (other, "ff0e::1", "fe80::1")]
    for number, header in enumerate(headers):
        send(packet / header / ICMPv6EchoRequest(id=0xBAD, seq=number), verbose=False)
    header.nh = 135
    send(packet / header / Raw(with_checksum(update, IPv6Address("fe80::1"), IPv6Address(target))), verbose=False)
    assert sr1(packet / ICMPv6EchoRequest(id=0xBAD, seq=9), timeout=30, verbose=False), target
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    prefix = f"m6-v{os.getpid()}r-"
    lab = Lab(prefix=prefix, agent_toml=ON)
    try:
        lab.lay_out()
        lab.start_correspondent()
        lab.start()
        yield lab
    finally:
        lab.down()
        take_down(prefix)


@pytest.fixture(autouse=True)
def _as_at_first(lab: Lab) -> None:
    """Whatever the test before did."""
    lab.wait_registered(PATIENCE_S)
    wait_direct(lab, "ethernet")


def care_of(lab: Lab, link: str) -> str:
    (address,) = [one["care_of_address"] for one in lab.agent.status()["links"] if one["name"] == link]
    return str(address)


def wait_direct(lab: Lab, link: str, *links: str) -> None:
    """Until packets go directly over a link, both ways, and the correspondent has just these links (default: all)."""

    def is_direct(status: Status) -> bool:
        return [one["link"] for one in status["correspondents"]] == [link]

    lab.wait(is_direct, f"directly over {link}", PATIENCE_S)
    bound = {care_of(lab, name) for name in links or LINKS}

    def is_known(status: Status) -> bool:
        held = set(status["bindings"].get(HOME, {}).values())
        return held == bound and status["destinations"][HOME] == care_of(lab, link)

    lab.correspondent.wait_until(is_known, f"bound: {links}", timeout_s=PATIENCE_S, check=lambda: None)


def wait_direct_packets(lab: Lab, count: int) -> None:
    """Until so many more have arrived at the correspondent."""
    enough = lab.correspondent.status()["counters"]["direct"] + count

    def is_met(status: Status) -> bool:
        return bool(status["counters"]["direct"] >= enough)

    lab.correspondent.wait_until(is_met, "direct packets", timeout_s=PATIENCE_S, check=lambda: None)


def assert_none_lost(fates: Mapping[tuple[str, str], Fate], name: str) -> None:
    for direction in (UP, DOWN):
        assert (fates[name, direction].lost, fates[name, direction].duplicates) == (0, 0), fates


@pytest.mark.req("PKT-01", "PKT-02", "PKT-05", "FMT-14", "FMT-16", "RR-19")
def test_all_payload_goes_directly_and_the_home_agent_sees_none(lab: Lab) -> None:
    with (
        Capture(lab, HOME_AGENT, HOST_INTERFACE) as at_home_agent,
        Capture(lab, "ethernet", MOBILE_SIDE) as on_link,
        Streams(lab, STREAMS) as flowing,
    ):
        wait_direct_packets(lab, 200)
        fates = flowing.fates()
    for stream in STREAMS:
        assert_none_lost(fates, stream.name)
    assert at_home_agent.rows(PAYLOAD, ["frame.number"]) == []
    addresses = ["ipv6.src", "ipv6.dst", "ipv6.opt.mipv6.home_address", "ipv6.routing.mipv6.home_address"]
    away = care_of(lab, "ethernet")
    rows = on_link.rows(PAYLOAD, addresses)
    # tshark calls the end of the way the destination
    assert {(row[0].split(",")[0], row[2], row[3]) for row in rows} == {(away, HOME, ""), (CN, "", HOME)}
    assert {row[1].split(",")[0] for row in rows} == {CN, away}
    assert len(rows) > 400
    assert on_link.rows("ipv6.nxt == 41", ["frame.number"]) == []


@pytest.mark.req("RR-02", "RR-19", "MCOA-28")
def test_a_lost_link_and_its_return_lose_no_session(lab: Lab) -> None:
    with Capture(lab, "wifi", MOBILE_SIDE) as capture, Streams(lab, STREAMS) as flowing:
        wait_direct_packets(lab, 50)
        lab.change_link("ethernet", LinkAction.DOWN)
        wait_direct(lab, "wifi", "wifi", "lte")
        wait_direct_packets(lab, 100)
        lab.change_link("ethernet", LinkAction.UP)
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "ethernet")
        wait_direct(lab, "ethernet")
        wait_direct_packets(lab, 100)
        fates = flowing.fates()
    lab.monami6("switch", "--auto")
    assert_none_lost(fates, STREAM.name)
    # How soon an emulated machine notices tells nothing; but from then on nothing takes the old way
    away = care_of(lab, "wifi")
    moments = {
        kind: [float(at) for (at,) in capture.rows(condition, ["frame.time_epoch"])]
        for kind, condition in (
            ("end", f"mip6.mhtype == 5 && ipv6.src == {away} && ipv6.dst == {CN}"),
            ("up", f"({PAYLOAD}) && ipv6.src == {away}"),
            ("down", f"({PAYLOAD}) && ipv6.src == {CN}"),
        )
    }
    assert moments["up"][0] - moments["end"][0] < SOON_S
    assert moments["down"][0] - moments["end"][0] < SOON_S


def test_a_switch_loses_nothing(lab: Lab) -> None:
    with Streams(lab, STREAMS) as flowing:
        wait_direct_packets(lab, 50)
        for link in ("lte", "ethernet"):
            lab.monami6("switch", "--timeout", str(PATIENCE_S), link)
            wait_direct(lab, link)
            wait_direct_packets(lab, 100)
        fates = flowing.fates()
    lab.monami6("switch", "--auto")
    for stream in STREAMS:
        assert_none_lost(fates, stream.name)


@pytest.mark.req("PKT-08", "PKT-12", "RR-04")
def test_when_the_correspondent_forgets_it_is_the_tunnel_again_until_it_learns_again(lab: Lab) -> None:
    with (
        Capture(lab, HOME_AGENT, HOST_INTERFACE) as at_home_agent,
        Capture(lab, "ethernet", MOBILE_SIDE) as on_link,
        Streams(lab, STREAMS) as flowing,
    ):
        wait_direct_packets(lab, 50)
        lab.correspondent.call("fault", faults=["no-home-test"])
        lab.correspondent.call("forget")
        lab.wait(lambda status: status["correspondents"][0]["link"] is None, "through the tunnel", PATIENCE_S)
        told = lab.wait(lambda status: status["correspondents"][0]["problem"] is not None, "a reason", PATIENCE_S)
        assert told["correspondents"][0]["problem"] in (
            "it has lost the binding",
            "the home address could not be tested",
        )
        lab.correspondent.call("fault", faults=[])
        wait_direct(lab, "ethernet")
        wait_direct_packets(lab, 50)
        fates = flowing.fates()
    assert_none_lost(fates, STREAM.name)
    assert len(at_home_agent.rows(PAYLOAD, ["frame.number"])) > 20
    errors = on_link.rows("mip6.mhtype == 7", ["ipv6.src", "ipv6.dst", "mip6.be.status", "mip6.be.haddr"])
    assert errors[0] == [CN, care_of(lab, "ethernet"), "1", HOME]


def test_an_agent_that_is_killed_and_started_again_loses_nothing(lab: Lab) -> None:
    with Streams(lab, STREAMS) as flowing:
        wait_direct_packets(lab, 50)
        lab.kill_agent()
        lab.start_agent()
        lab.wait_registered(PATIENCE_S)
        wait_direct(lab, "ethernet")
        wait_direct_packets(lab, 50)
        fates = flowing.fates()
    for stream in STREAMS:
        assert_none_lost(fates, stream.name)


@pytest.mark.req("RR-01", "RR-05", "RR-08", "MH-12")
def test_home_tests_take_the_tunnel_and_care_of_tests_do_not(lab: Lab) -> None:
    before = lab.agent.status()["correspondents"][0]["until"]
    with Capture(lab, "ethernet", MOBILE_SIDE) as capture:
        lab.correspondent.call("refresh", home_address=HOME)
        lab.wait(lambda status: status["correspondents"][0]["until"] > before, "refreshed", PATIENCE_S)
    away = care_of(lab, "ethernet")
    rows = capture.rows("mip6.mhtype", ["mip6.mhtype", "ipv6.src", "ipv6.dst"])
    ways = {kind: (source, destination) for kind, source, destination in rows}
    through_tunnel = (f"{HA},{CN}", f"{away},{HOME}")
    assert {kind: ways[kind] for kind in ("0", "1", "2", "3", "4")} == {
        "0": through_tunnel,
        "1": (f"{away},{HOME}", f"{HA},{CN}"),
        "2": (away, CN),
        "3": through_tunnel,
        "4": (CN, away),
    }


@pytest.mark.req("PKT-06", "PKT-07", "SC-04")
def test_nobody_passes_on_or_reflects_what_strangers_send(lab: Lab) -> None:
    other, stranger, away = str(HOME_ADDRESS + 1), str(lab.layout.link("wifi").router), care_of(lab, "wifi")
    with (
        Capture(lab, HOME_AGENT, HOST_INTERFACE) as at_home_agent,
        Capture(lab, CORRESPONDENT, HOST_INTERFACE) as at_correspondent,
        Capture(lab, "wifi", MOBILE_SIDE) as on_link,
    ):
        lab.run("wifi", sys.executable, "-c", STRANGER, stranger, other, HA, CN, away)
    for capture in (at_home_agent, at_correspondent, on_link):
        seen = {
            kind: capture.rows(
                f"icmpv6.type == {kind} && icmpv6.echo.identifier == 0xbad", ["icmpv6.echo.sequence_number"]
            )
            for kind in (128, 129)
        }
        assert sorted(seen[128]) == [["0"], ["1"], ["2"], ["3"], ["4"], ["9"]], "each once: none was passed on"
        assert seen[129] == [["9"]]
        assert capture.rows(f"mip6.mhtype == 6 && ipv6.dst == {stranger}", ["frame.number"]) == []


@pytest.mark.req("SEC-05", "RR-01")
def test_with_ikev2_home_tests_are_protected(prefix: str) -> None:
    lab = Lab(["ethernet"], prefix=prefix, security="ikev2", agent_toml=f"{ON}[ikev2]\npayload = false\n")
    try:
        lab.lay_out()
        file = lab.configuration["home-agent"]
        file.write_text(file.read_text().replace("ikev2 = { secret", "ikev2 = { payload = false, secret"))
        lab.start_correspondent()
        lab.start()
        with Capture(lab, "ethernet", MOBILE_SIDE) as capture:
            lab.wait_registered(PATIENCE_S)
            wait_direct(lab, "ethernet", "ethernet")
            with Streams(lab, STREAMS) as flowing:
                wait_direct_packets(lab, 50)
                fates = flowing.fates()
        assert_none_lost(fates, STREAM.name)
        away = care_of(lab, "ethernet")
        assert capture.rows("mip6.mhtype == 1 || mip6.mhtype == 3", ["frame.number"]) == []
        tests = capture.rows("mip6.mhtype == 2 || mip6.mhtype == 4", ["mip6.mhtype", "ipv6.src", "ipv6.dst"])
        assert {tuple(one) for one in tests} == {("2", away, CN), ("4", CN, away)}
    finally:
        lab.down()
