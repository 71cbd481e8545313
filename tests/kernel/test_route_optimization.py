"""What route optimization needs of nftables, and what becomes of it on a kernel without Mobile IPv6; the rest takes a
stock kernel (tests/vm).
"""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, MOBILE_NODE, MOBILE_SIDE
from tests.kernel.wire import Capture

CN, HOME = str(CORRESPONDENT_ADDRESS), str(HOME_ADDRESS)
ON = '[route_optimization]\ncorrespondents = ["2001:db8:cc::/48"]\n'
STATE = f"ip xfrm state add src {HOME} dst {CN} proto hao mode ro coa 2001:db8::1"
HOME_TEST = """
import sys
from scapy.all import IPv6, Raw, send
send(IPv6(src=sys.argv[1], dst=sys.argv[2], nh=135) / Raw(bytes([59, 2, 3]) + bytes(21)), verbose=False)
"""


@pytest.fixture(scope="module")
def lab(prefix: str) -> Iterator[Lab]:
    with Lab(prefix=prefix, agent_toml=ON) as lab:
        yield lab


def seen(lab: Lab) -> set[str]:
    text = lab.run(MOBILE_NODE, "nft", "-j", "list", "set", "ip6", "monami6", "seen")
    (listed,) = [one["set"] for one in json.loads(text)["nftables"] if "set" in one]
    return {element["elem"]["val"] for element in listed.get("elem", [])}


def ping(lab: Lab, address: str) -> None:
    lab.run(MOBILE_NODE, "ping", "-6", "-c", "2", "-i", "0.1", "-w", "10", "-I", HOME, address)


@pytest.mark.req("RR-13")
def test_traffic_with_a_network_is_noticed(lab: Lab) -> None:
    assert seen(lab) == set()
    ping(lab, str(lab.layout.link("wifi").uplink))
    assert seen(lab) == set(), "of another network"
    ping(lab, CN)
    assert seen(lab) == {CN}


def test_a_kernel_that_cannot_do_it_is_no_hindrance(lab: Lab) -> None:
    """And is asked by `ip` whether it can."""
    can = subprocess.run(lab.command(CORRESPONDENT, *STATE.split()), check=False, capture_output=True).returncode == 0
    troubles = lab.agent.status()["troubles"]
    assert troubles.keys() == (set() if can else {"route optimization"})
    if not can:
        assert troubles["route optimization"].startswith("the kernel has no Mobile IPv6")
    with Capture(lab, "ethernet", MOBILE_SIDE, "ip6 proto 41") as capture:
        ping(lab, CN)
    assert len(capture.rows("icmpv6.type == 128", ["frame.number"])) == 2


@pytest.mark.req("RR-05")
def test_a_home_test_that_did_not_come_through_the_tunnel_is_dropped(lab: Lab) -> None:
    (care_of,) = [one["care_of_address"] for one in lab.agent.status()["links"] if one["name"] == "wifi"]
    lab.run("wifi", "ip", "-6", "route", "add", HOME, "via", care_of)
    lab.run("wifi", sys.executable, "-c", HOME_TEST, CN, HOME)
    status = lab.wait(lambda status: bool(status["counters"]["not_tunnelled"]), "counted")
    assert status["counters"]["not_tunnelled"] == 1
    assert not any("correspondent" in reason for reason in status["counters"])
