"""Hostile packets and things that break: nothing raises, nothing changes, and people can see why."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, MOBILE_SIDE
from mn_lab.network import LinkAction
from mn_lab.traffic import Traffic
from tests.kernel.test_data_plane import arrives, care_of, ip

CN, HA, HOME = str(CORRESPONDENT_ADDRESS), str(HOME_AGENT_ADDRESS), str(HOME_ADDRESS)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(prefix="m6-b-") as lab:
        yield lab


def dropped(lab: Lab) -> dict[str, int]:
    counters: dict[str, int] = lab.home_agent.status()["counters"]
    return counters


HOSTILE = """
import sys
from ipaddress import IPv6Address
from scapy.all import Raw, IPv6, IPv6ExtHdrDestOpt, HAO, PadN, send
from mip6 import auth
from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet, build_from_mobile_node
from mip6.wire.messages import BindingUpdate, encode
from mip6.wire.options import BindingIdentifier, MessageReplayProtection, MobileNodeIdentifier
from mip6.wire.registry import BindingUpdateFlag
source, home_agent, home, kind = sys.argv[1:5]
identity, key, spi, stamp = b"mn@example.org", bytes(16), 256, 1
source, home_agent, home = IPv6Address(source), IPv6Address(home_agent), IPv6Address(home)
options = (
    BindingIdentifier(1, care_of=source),
    MobileNodeIdentifier(1, sys.argv[5].encode()),
    MessageReplayProtection(stamp),
)
message = BindingUpdate(1, BindingUpdateFlag(0xC000), 100, options)
data = encode(message) if kind == "unsigned" else auth.sign(message, key, int(sys.argv[6]), source, home)
if kind == "truncated":
    data = data[:20]
if kind == "type":
    data = data[:2] + b"c" + data[3:]
wire = build_from_mobile_node(Packet(source, home_agent, home, data))
if kind == "checksum":
    wire = wire[:69] + bytes((wire[69] ^ 1,)) + wire[70:]
send(IPv6(wire), count=3, verbose=False)
"""


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong key", "authenticator is wrong"),
        ("unsigned", "not authenticated"),
        ("truncated", "fewer octets than the header announces"),
        ("type", "unknown message type"),
        ("checksum", "bad checksum"),
        ("stranger", "unknown mobile node"),
        ("index", "unknown security parameter index"),
    ],
)
@pytest.mark.req("MH-08", "MH-09", "AUTH-04", "SC-01")
def test_a_hostile_update_is_counted_by_reason_and_changes_nothing(lab: Lab, kind: str, reason: str) -> None:
    before, bindings = dropped(lab), held(lab)
    (node,) = lab.home_agent.status()["nodes"]
    identity = "nobody@example.org" if kind == "stranger" else node["identity"]
    spi = "4000" if kind == "index" else str(spi_of(lab))
    lab.run("wifi", sys.executable, "-c", HOSTILE, str(lab.layout.link("wifi").router), HA, HOME, kind, identity, spi)
    arrives(lab, "mn", CN)
    after = dropped(lab)
    assert after.get(reason, 0) == before.get(reason, 0) + 3
    assert held(lab) == bindings


def held(lab: Lab) -> list[tuple[int, str]]:
    (node,) = lab.home_agent.status()["nodes"]
    return [(binding["bid"], binding["care_of_address"]) for binding in node["bindings"]]


def spi_of(lab: Lab) -> int:
    text = lab.configuration["agent"].read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("spi")]
    return int(line.partition("=")[2])


NOISE = """
import sys
from random import Random
from ipaddress import IPv6Address
from scapy.all import IPv6, conf
from mip6.wire.extension import Packet, build_from_mobile_node, build_to_mobile_node
toward, (source, destination, home) = sys.argv[1], map(IPv6Address, sys.argv[2:])
random = Random(7)
build = build_from_mobile_node if toward == "ha" else build_to_mobile_node
socket = conf.L3socket6()
for number in range(2000):
    head = (random.choice((59, 59, 6)), random.randrange(4), random.choice((5, 6, 0, 7, 12, 16, 99)))
    body = bytes(head) + random.randbytes(random.randrange(5, 60))
    packet = bytearray(build(Packet(source, destination, home if number % 2 else None, body)))
    if number % 5 == 0:
        packet[random.randrange(40, len(packet))] ^= 1 << random.randrange(8)
    socket.send(IPv6(bytes(packet)))
"""


def test_noise_ends_neither_of_them(lab: Lab) -> None:
    router = str(lab.layout.link("wifi").router)
    for toward, target in (("ha", HA), ("mn", care_of(lab, "wifi"))):
        lab.run("wifi", sys.executable, "-c", NOISE, toward, router, target, HOME)
    assert arrives(lab, "mn", CN)
    assert sum(dropped(lab).values()) > 1000
    assert sum(lab.agent.status()["counters"].values()) > 500
    lab.wait_registered()


def test_the_home_agent_may_be_killed_and_nobody_notices(lab: Lab) -> None:
    with lab.traffic() as traffic:
        lab.kill_home_agent()
        assert arrives(lab, "mn", CN)
        lab.start_home_agent()
        lab.home_agent.wait_until(lambda _: bool(held(lab)), "bindings adopted", timeout_s=10, check=lambda: None)
        assert_nothing_lost(lab, traffic)


def assert_nothing_lost(lab: Lab, traffic: Traffic) -> None:
    """Of the traffic so far."""
    end_ns = time.time_ns()
    traffic.catch_up(end_ns)
    for direction in ("up", "down"):
        figures = traffic.record(direction).figures(0, end_ns)
        assert figures.sent > 100
        assert (figures.lost, figures.reordered) == (0, 0)


def test_a_link_that_is_not_in_use_may_go_and_nobody_notices(lab: Lab) -> None:
    lab.switch("lte")
    with lab.traffic() as traffic:
        ip(lab, "mn", "link", "set", "eth0", "down")
        lab.wait(lambda status: status["links"][0]["state"] == "unusable", "ethernet noticed")
        assert arrives(lab, "mn", CN)
        ip(lab, "mn", "link", "set", "eth0", "up")
        lab.wait_registered()
        assert_nothing_lost(lab, traffic)
    lab.switch(None)


def test_an_interface_that_vanishes_and_returns(lab: Lab) -> None:
    link = lab.layout.link("wifi")
    lab.switch("wifi")
    ip(lab, "mn", "link", "set", "wlan0", "down")
    lab.wait_carried_by("ethernet")
    assert arrives(lab, "mn", CN)
    ip(lab, "mn", "link", "set", "wlan0", "up")
    lab.wait_carried_by("wifi")
    assert arrives(lab, "mn", CN)
    # Really gone, in the middle of a registration, and back under another index
    lab.change_link("wifi", LinkAction.DOWN)
    lab.change_link("wifi", LinkAction.UP)
    ip(lab, "mn", "link", "del", "wlan0")
    lab.wait(lambda status: "wifi" not in [one["name"] for one in status["links"]], "wifi gone")
    assert arrives(lab, "mn", CN)
    namespaces = lab.layout.namespaces
    subprocess.run(
        [
            "ip",
            "link",
            "add",
            "wlan0",
            "index",
            "9000",
            "address",
            link.hardware_address,
            "netns",
            namespaces["mn"],
            "type",
            "veth",
            "peer",
            "name",
            MOBILE_SIDE,
            "index",
            "9001",
            "netns",
            namespaces["wifi"],
        ],
        check=True,
    )
    ip(lab, "wifi", "address", "add", f"{link.router}/64", "dev", MOBILE_SIDE, "nodad")
    ip(lab, "wifi", "link", "set", MOBILE_SIDE, "up")
    ip(lab, "mn", "link", "set", "wlan0", "up")
    status = lab.wait_carried_by("wifi")
    assert [one["bid"] for one in status["links"] if one["name"] == "wifi"] == [2], "the identifier of before"
    assert arrives(lab, "mn", CN)
    lab.switch(None)


def test_an_interface_that_is_renamed_stays_what_it_is(lab: Lab) -> None:
    ip(lab, "mn", "link", "set", "wwan0", "name", "wwan7")
    status = lab.wait(lambda status: "wwan7" in [one["interface"] for one in status["links"]], "the new name")
    assert [one["bid"] for one in status["links"] if one["interface"] == "wwan7"] == [3]
    lab.switch("wwan7")
    assert arrives(lab, "mn", CN)
    ip(lab, "mn", "link", "set", "wwan7", "name", "wwan0")
    lab.wait(lambda status: "wwan0" in [one["interface"] for one in status["links"]], "the old name")
    lab.switch(None)


def test_no_link_at_all_is_said_and_survived(lab: Lab) -> None:
    for link in ("ethernet", "wifi", "lte"):
        lab.change_link(link, LinkAction.DOWN)
    status = lab.wait(lambda status: status["default"]["link"] is None, "no link")
    assert {one["problem"] for one in status["links"]} == {"no carrier"}
    assert status["registration"]["state"] == "no link"
    assert not arrives(lab, "mn", CN)
    for link in ("ethernet", "wifi", "lte"):
        lab.change_link(link, LinkAction.UP)
    lab.wait_registered()
    lab.run("mn", "ping", "-6", "-n", "-c", "1", "-w", "5", CN)


def test_a_home_agent_that_is_not_there_is_said_and_others_are_still_reached(lab: Lab) -> None:
    lab.kill_agent(signal.SIGTERM)
    lab.kill_home_agent()
    ip(lab, "ha", "address", "del", f"{HA}/64", "dev", "eth0")
    try:
        lab.start_agent()
        status = lab.wait(
            lambda status: any("does not answer" in (one["problem"] or "") for one in status["links"]), "no answer"
        )
        assert status["registration"]["state"] == "registering"
        router = str(lab.layout.link("lte").router)
        assert arrives(lab, "mn", router), "without a tunnel the machine goes on as without us"
    finally:
        ip(lab, "ha", "address", "add", f"{HA}/64", "dev", "eth0", "nodad")
        ip(lab, "ha", "route", "replace", "default", "via", str(ha_router(lab)))
        lab.start_home_agent()
    lab.wait_registered(timeout_s=40)
    assert arrives(lab, "mn", CN)


def ha_router(lab: Lab) -> str:
    shown = json.loads(lab.run("net", "ip", "-6", "-j", "route", "show", "2001:db8:f00::/64"))
    prefix = shown[0]["gateway"].rpartition("::")[0]
    addresses = json.loads(lab.run("net", "ip", "-6", "-j", "address"))
    found = [
        address["local"]
        for interface in addresses
        for address in interface["addr_info"]
        if address["local"].startswith(prefix + "::")
    ]
    return str(found[0])


def test_a_stopped_agent_leaves_nothing_behind(lab: Lab) -> None:
    lab.kill_agent(signal.SIGTERM)
    assert "146" not in ip(lab, "mn", "rule")
    assert ip(lab, "mn", "route", "show", "table", "all", "proto", "146") == ""
    assert HOME not in ip(lab, "mn", "address", "show", "dev", "lo")
    assert lab.run("mn", "nft", "list", "tables") == ""
    (node,) = lab.home_agent.status()["nodes"]
    assert node["bindings"] == []
    lab.start_agent()
    lab.wait_registered()


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    toml = f'[paths]\nstate = "{full}/agent.json"\n'
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "none", str(full)], check=True)
    try:
        with Lab(("ethernet",), prefix="m6-f-", agent_toml=toml) as lab:
            status = lab.agent.status()
            assert "No space left on device" in status["troubles"]["state file"]
            assert status["registration"]["state"] == "registered"
            assert arrives(lab, "mn", CN)
    finally:
        subprocess.run(["umount", str(full)], check=True)


def test_without_privileges_it_says_so_and_goes_on(lab: Lab, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:2]:
        os.chmod(parent, 0o755)
    text = lab.configuration["agent"].read_text()
    config = tmp_path / "agent.toml"
    directory = str(lab.directory)
    config.write_text(text.replace(directory, str(tmp_path)))
    config.chmod(0o644)
    command = lab.command(
        "mn",
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        sys.executable,
        "-m",
        "mn_agent",
        "--config",
        str(config),
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("Operation not permitted" in line for line in process.stderr)
            status = Control(tmp_path / "agent.sock").status()
            assert "Operation not permitted" in status["troubles"]["kernel"]
            assert "Operation not permitted" in status["troubles"]["mobility socket"]
            assert status["registration"]["state"] == "registering"
        finally:
            process.terminate()
        assert process.wait(5) == 0


def test_a_bad_configuration_ends_with_2_and_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(lab.configuration["agent"].read_text().replace("[home]", "[home]\nadress = 3"))
    before = ip(lab, "cn", "rule")
    done = subprocess.run(
        lab.command("cn", sys.executable, "-m", "mn_agent", "--config", str(config)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "agent.toml:" in done.stderr
    assert "home.adress = 3: unknown key; did you mean address?" in done.stderr
    assert ip(lab, "cn", "rule") == before
