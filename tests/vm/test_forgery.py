"""ESP made by hand, with keys and without the right: what the home agent does not take, and how it is counted."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mn_lab import configuration, security
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, MOBILE_SIDE
from tests.kernel.wire import Capture

HOME, HA, CN = str(HOME_ADDRESS), str(HOME_AGENT_ADDRESS), str(CORRESPONDENT_ADDRESS)
PATIENCE_S = 90.0

FORGE = """
import hmac, os, struct, subprocess, sys
from ipaddress import IPv6Address
from scapy.all import IPv6, IPv6ExtHdrDestOpt, HAO, Raw, send
from mip6.wire.checksum import with_checksum
from mip6.wire.messages import BindingUpdate, encode
from mip6.wire.registry import BindingUpdateFlag as Flag
care_of, home_agent, home, spi, encryption, integrity = sys.argv[1:7]
update = encode(BindingUpdate(60000, Flag.ACKNOWLEDGE | Flag.HOME_REGISTRATION, 100, ()))
data = with_checksum(update, IPv6Address(home), IPv6Address(home_agent))
padding = bytes(range(1, 1 + -(len(data) + 2) % 16))
plain, iv = data + padding + bytes((len(padding), 135)), os.urandom(16)
openssl = ["openssl", "enc", "-aes-128-cbc", "-nopad", "-K", encryption, "-iv", iv.hex()]
encrypted = subprocess.run(openssl, input=plain, stdout=subprocess.PIPE, check=True).stdout
esp = struct.pack(">II", int(spi), 1) + iv + encrypted
esp += hmac.digest(bytes.fromhex(integrity), esp, "sha256")[:16]
header = IPv6ExtHdrDestOpt(nh=50, options=[HAO(hoa=home)])
send(IPv6(src=care_of, dst=home_agent, nh=60) / header / Raw(esp), verbose=False)
"""

REPLAY = """
import sys
from scapy.all import rdpcap, send, IPv6
packets = [one[IPv6] for one in rdpcap(sys.argv[1]) if one[IPv6].nh == 60]
send(packets, verbose=False)
print(len(packets))
"""


def forge(lab: Lab, home: str, keys: security.Table) -> None:
    arguments = [str(lab.layout.link("wifi").prefix[0xBAD]), HA, home]
    arguments += [str(keys[key]) for key in ("spi", "encryption_key", "integrity_key")]
    subprocess.run(lab.command("wifi", sys.executable, "-c", FORGE, *arguments), check=True)


def wait_counted(lab: Lab, reason: str, count: int) -> None:
    lab.home_agent.wait_until(
        lambda status: status["counters"].get(reason, 0) >= count, reason, timeout_s=PATIENCE_S, check=lambda: None
    )


def held(lab: Lab) -> dict[str, dict[int, str]]:
    """The care-of addresses that the home agent holds, by mobile node."""
    nodes = lab.home_agent.status()["nodes"]
    return {node["name"]: {one["bid"]: one["care_of_address"] for one in node["bindings"]} for node in nodes}


@pytest.fixture
def lab(prefix: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(prefix=prefix, security=request.param)
    try:
        yield lab
    finally:
        lab.down()


@pytest.mark.req("SEC-17", "SEC-31", "SC-01")
@pytest.mark.parametrize("lab", ["manual"], indirect=True)
def test_one_mobile_node_cannot_speak_for_another(lab: Lab, tmp_path: Path) -> None:
    lab.lay_out()
    pair = dict(security.manual(tmp_path).of_node["manual"])
    for direction, spi in (("up", 2000), ("down", 2001)):
        pair[direction] = {**pair[direction], "spi": spi}
    other = {"name": "other", "identity": "o@lab.example.org", "home_address": str(HOME_ADDRESS + 1), "manual": pair}
    with lab.configuration["home-agent"].open("a") as file:
        file.write(configuration.write({"node": [other]}))
    lab.start()
    lab.wait_registered(timeout_s=PATIENCE_S)
    before = held(lab)
    forge(lab, HOME, pair["up"])
    wait_counted(lab, "ESP missing, or of another association", 1)
    assert held(lab) == before
    wrong = {**pair["up"], "integrity_key": "00" * 32}
    forge(lab, str(HOME_ADDRESS + 1), wrong)
    wait_counted(lab, "ESP not authentic", 1)
    forge(lab, str(HOME_ADDRESS + 1), {**pair["up"], "spi": 3000})
    wait_counted(lab, "ESP of an unknown association", 1)
    assert held(lab) == before
    forge(lab, str(HOME_ADDRESS + 1), pair["up"])
    lab.home_agent.wait_until(
        lambda status: bool(status["nodes"][1]["bindings"]), "its own binding", timeout_s=PATIENCE_S, check=lambda: None
    )
    assert held(lab)["mn"] == before["mn"], "for itself it may speak, and touches nothing else"


@pytest.mark.req("SEC-26")
@pytest.mark.parametrize("lab", ["ikev2"], indirect=True)
def test_what_is_played_back_is_dropped(lab: Lab) -> None:
    lab.lay_out()
    with Capture(lab, "wifi", MOBILE_SIDE, "ip6 proto 60") as capture:
        lab.start()
        lab.wait_registered(timeout_s=PATIENCE_S)
        lab.run("mn", "ping", "-6", "-c", "1", "-w", "10", "-I", HOME, CN)
    before = held(lab)
    command = lab.command("wifi", sys.executable, "-c", REPLAY, str(capture.path))
    count = int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert count > 0
    wait_counted(lab, "ESP replayed", count)
    assert held(lab) == before
    (node,) = lab.home_agent.status()["nodes"]
    assert sum(one["replays"] for one in node["associations"] if one["direction"] == "up") == count
