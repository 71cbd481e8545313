"""Mobility messages that IPsec protects, on the wire, and what is not taken without."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, HOST_INTERFACE
from tests.kernel.wire import Capture

HOME, HA, CN = str(HOME_ADDRESS), str(HOME_AGENT_ADDRESS), str(CORRESPONDENT_ADDRESS)

# A Binding Update in clear, with a Home Address option, as anybody can send it
CLEAR = """
import socket, sys
from ipaddress import IPv6Address
from mip6.wire.extension import Packet, build_from_mobile_node
from mip6.wire.messages import BindingUpdate, encode
from mip6.wire.registry import BindingUpdateFlag as Flag
care_of, home_agent, home = map(IPv6Address, sys.argv[1:4])
update = encode(BindingUpdate(7, Flag.ACKNOWLEDGE | Flag.HOME_REGISTRATION, 100, ()))
packet = Packet(care_of, home_agent, home, update)
whole = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
whole.sendto(build_from_mobile_node(packet), (str(home_agent), 0))
"""


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    lab = Lab(prefix=prefix, security="manual", router=True)
    try:
        yield lab
    finally:
        lab.down()


@pytest.mark.req("SEC-01", "SEC-02", "SEC-03", "SEC-08", "SEC-21", "SEC-28", "PKT-10", "PKT-11", "HA-23")
def test_registration_with_keys_that_never_change(lab: Lab) -> None:
    """From nothing: no message in clear on the way, each from the care-of address that it registers. The first update
    has a Home Address option that no binding vouches for; policies know home addresses only. The network behind the
    mobile node is registered and reached with it, in tunnels that are in clear: these keys protect messages.
    """
    lab.lay_out()
    with Capture(lab, "ha", HOST_INTERFACE, "ip6") as capture:
        lab.start()
        status = lab.wait_registered(timeout_s=120)
        lab.wait_hosts(timeout_s=120)
        lab.run("mn", "ping", "-6", "-c", "1", "-w", "10", "-I", HOME, CN)
        lab.run("host1", "ping", "-6", "-c", "1", "-w", "10", CN)
    care_of = {link["care_of_address"] for link in status["links"]}
    assert capture.rows("mip6.mhtype", ["frame.number"]) == []
    updates = capture.rows("esp && ipv6.dstopts", ["ipv6.src", "ipv6.dst", "ipv6.opt.mipv6.home_address"])
    assert {row[0] for row in updates} == care_of
    assert {tuple(row[1:]) for row in updates} == {(HA, HOME)}
    answers = capture.rows("esp && ipv6.routing", ["ipv6.src", "ipv6.dst", "ipv6.routing.mipv6.home_address"])
    assert {row[0] for row in answers} == {HA}
    assert {row[1].split(",")[0] for row in answers} <= care_of
    assert {row[2] for row in answers} == {HOME}
    policies = lab.run("ha", "ip", "xfrm", "policy")
    assert f"src {HOME}/128 dst {HA}/128 proto mobility-header" in policies
    assert [address for address in care_of if address in policies] == []
    clear_update_changes_nothing(lab, next(iter(care_of)))


def clear_update_changes_nothing(lab: Lab, care_of: str) -> None:
    before = held(lab)
    (link,) = [one["name"] for one in lab.agent.status()["links"] if one["care_of_address"] == care_of]
    subprocess.run(lab.command(link, sys.executable, "-c", CLEAR, care_of, HA, HOME), check=True)
    reason = "not protected by IPsec"
    lab.home_agent.wait_until(
        lambda status: status["counters"].get(reason) == 1, "message dropped", timeout_s=20, check=lambda: None
    )
    assert held(lab) == before


def held(lab: Lab) -> dict[int, str]:
    """The care-of addresses that the home agent holds."""
    (node,) = lab.home_agent.status()["nodes"]
    return {binding["bid"]: binding["care_of_address"] for binding in node["bindings"]}
