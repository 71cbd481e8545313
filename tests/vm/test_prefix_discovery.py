"""A home prefix comes to its end: home agent and mobile node speak of it, protected by IPsec, and not in clear."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import HOME_ADDRESS, HOME_AGENT_ADDRESS, HOME_PREFIX, HOST_INTERFACE
from tests.kernel.wire import Capture

HOME, HA = str(HOME_ADDRESS), str(HOME_AGENT_ADDRESS)
VALID_UNTIL = 4070908800.0
END = f"""
[[prefix]]
prefix = "{HOME_PREFIX}"
valid_until = 2099-01-01T00:00:00Z
preferred_until = 2020-01-01T00:00:00Z
"""

# A solicitation in clear, with a Home Address option, as anybody can send it
CLEAR = """
import socket, sys
from ipaddress import IPv6Address
from mip6.wire.discovery import MobilePrefixSolicitation, encode
from mip6.wire.extension import home_address_option
care_of, home_agent, home = map(IPv6Address, sys.argv[1:4])
behind = home_address_option(home, 58) + encode(MobilePrefixSolicitation(7), home, home_agent)
header = bytes((0x60, 0, 0, 0)) + len(behind).to_bytes(2, "big") + bytes((60, 64)) + care_of.packed + home_agent.packed
whole = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
whole.sendto(header + behind, (str(home_agent), 0))
"""


@pytest.fixture(params=["manual", "ikev2"])
def lab(prefix: str, request: pytest.FixtureRequest) -> Iterator[Lab]:
    lab = Lab(("ethernet", "wifi"), prefix=prefix, security=request.param)
    try:
        lab.lay_out()
        with (lab.directory / "home-agent.toml").open("a") as configuration:
            configuration.write(END)
        yield lab
    finally:
        lab.down()


@pytest.mark.req("SEC-06", "SEC-11", "SC-06", "MPD-01", "MPD-06", "HA-09")
def test_the_mobile_node_learns_until_when_its_home_address_is_good(lab: Lab) -> None:
    with Capture(lab, "ha", HOST_INTERFACE, "ip6") as capture:
        lab.start()
        lab.wait_registered(timeout_s=120)
        status = lab.wait(lambda status: bool(status["valid_until"]), "the answer", timeout_s=60)
    assert status["valid_until"] == pytest.approx(VALID_UNTIL, abs=5)
    assert status["preferred_until"] == pytest.approx(status["at"], abs=60)
    assert capture.rows("icmpv6.type == 146 || icmpv6.type == 147", ["frame.number"]) == []
    care_of = {link["care_of_address"] for link in status["links"]}
    asked = capture.rows("esp && ipv6.dstopts", ["ipv6.src", "ipv6.opt.mipv6.home_address"])
    assert {row[0] for row in asked} <= care_of
    assert {row[1] for row in asked} == {HOME}
    # A solicitation is shorter than every Binding Update, and of no type that could be seen
    clear_solicitation_is_not_taken(lab, status)


def clear_solicitation_is_not_taken(lab: Lab, status: dict[str, Any]) -> None:
    link = status["links"][0]
    before = lab.home_agent.status()["counters"]
    argv = lab.command(link["name"], sys.executable, "-c", CLEAR, link["care_of_address"], HA, HOME)
    subprocess.run(argv, check=True)
    reason = "ESP missing, or of another association"
    lab.home_agent.wait_until(
        lambda told: told["counters"].get(reason, 0) > before.get(reason, 0),
        "message dropped",
        timeout_s=20,
        check=lambda: None,
    )
