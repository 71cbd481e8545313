"""Home Test Init and Home Test in a tunnel of their own, over whichever care-of address; both made by hand."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import (
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT_ADDRESS,
    HOST_INTERFACE,
    MOBILE_NODE,
    MOBILE_SIDE,
)
from tests.kernel.wire import Capture

HOME, HA, CN = str(HOME_ADDRESS), str(HOME_AGENT_ADDRESS), str(CORRESPONDENT_ADDRESS)
PATIENCE_S = 90.0

# Answers one Home Test Init by a Home Test (RFC 6275 sections 6.1.3 and 6.1.5), and tells what came
ANSWER = """
import socket
from mip6.wire.checksum import with_checksum
from ipaddress import IPv6Address
mobility = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
mobility.bind(({cn!r}, 0))
mobility.settimeout(60)
print("ready", flush=True)
data, (source, *_) = mobility.recvfrom(2048)
assert data[2] == 1, data
answer = bytes((59, 2, 3, 0, 0, 0, 0, 1)) + data[8:16] + bytes(range(8))
answer = with_checksum(answer, IPv6Address({cn!r}), IPv6Address(source))
mobility.sendto(answer, (source, 0))
print(source, flush=True)
"""
ASK = """
import socket
from mip6.wire.checksum import with_checksum
from ipaddress import IPv6Address
mobility = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
mobility.bind(({home!r}, 0))
mobility.settimeout(60)
init = bytes((59, 1, 1, 0, 0, 0, 0, 0)) + b"a cookie"
mobility.sendto(with_checksum(init, IPv6Address({home!r}), IPv6Address({cn!r})), ({cn!r}, 0))
while True:
    data, (source, *_) = mobility.recvfrom(2048)
    if data[2] == 3:
        break
assert data[8:16] == b"a cookie", data
print(source, flush=True)
"""
IN_PAYLOAD = """
import sys
from scapy.all import IPv6, Raw, send
send(IPv6(src=sys.argv[1], dst=sys.argv[2], nh=41) / IPv6(src=sys.argv[3], dst=sys.argv[4], nh=135) /
     Raw(bytes.fromhex("3b010100000000006120636f6f6b6965")), verbose=False)
"""


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    lab = Lab(prefix=prefix, security="ikev2")
    try:
        lab.up(timeout_s=PATIENCE_S)
        yield lab
    finally:
        lab.down()


def ask(lab: Lab) -> None:
    """Both ends see each other's own address."""
    script = ANSWER.format(cn=CN)
    argv = lab.command(CORRESPONDENT, sys.executable, "-c", script)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as answering:
        assert answering.stdout is not None
        assert answering.stdout.readline() == "ready\n"
        assert lab.run(MOBILE_NODE, sys.executable, "-c", ASK.format(home=HOME, cn=CN)) == f"{CN}\n"
        assert answering.stdout.readline() == f"{HOME}\n"


@pytest.mark.req("SEC-05", "SEC-10", "SEC-25", "SEC-29", "MCOA-68", "HA-18")
def test_one_tunnel_for_all_home_tests_over_any_care_of_address(lab: Lab) -> None:
    pair = {
        (one["direction"], int(one["spi"], 16))
        for one in lab.agent.status()["associations"]
        if one["use"] == "return routability"
    }
    assert {direction for direction, _ in pair} == {"up", "down"}
    care_of = {link["name"]: link["care_of_address"] for link in lab.agent.status()["links"]}
    for link in ("wifi", "lte"):
        lab.monami6("switch", "--timeout", str(PATIENCE_S), link)
        with Capture(lab, link, MOBILE_SIDE, "ip6 proto 50 or ip6 proto 135 or ip6 proto 41") as capture:
            ask(lab)
        spis = {spi for _, spi in pair}
        rows = [row for row in capture.rows("esp", ["ipv6.src", "ipv6.dst", "esp.spi"]) if int(row[2], 16) in spis]
        assert [row[:2] for row in rows] == [[care_of[link], HA], [HA, care_of[link]]]
        assert capture.rows("mip6.mhtype || ipv6.nxt == 41", ["frame.number"]) == []


@pytest.mark.req("SEC-05", "SEC-25")
def test_a_home_test_init_in_clear_is_not_passed_on(lab: Lab) -> None:
    (care_of,) = [link["care_of_address"] for link in lab.agent.status()["links"] if link["name"] == "wifi"]
    with Capture(lab, CORRESPONDENT, HOST_INTERFACE, "ip6 proto 135") as capture:
        command = [sys.executable, "-c", IN_PAYLOAD, care_of, HA, HOME, CN]
        subprocess.run(lab.command("wifi", *command), check=True)
        lab.home_agent.wait_until(
            lambda status: status["counters"].get("not_protected", 0) >= 1,
            "counted",
            timeout_s=PATIENCE_S,
            check=lambda: None,
        )
        ask(lab)
    assert len(capture.rows("mip6.mhtype == 1", ["frame.number"])) == 1, "only the protected one"
