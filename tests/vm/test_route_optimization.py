"""Payload goes directly to a correspondent that knows Mobile IPv6: on the wire, and as seen from the home agent."""

import os
from collections.abc import Iterator, Mapping

import pytest

from mn_lab.control import Status
from mn_lab.lab import Lab, take_down
from mn_lab.layout import (
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
