"""IKEv2 between agent and home agent, through strongSwan: from nothing, and when its care-of address changes."""

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv6Address
from time import monotonic, sleep

import pytest

from mip6.ike import MOBILITY
from mn_lab import strongswan
from mn_lab.control import Status
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, HOST_INTERFACE, MOBILE_NODE
from mn_lab.network import LinkAction
from tests.kernel.wire import Capture
from tests.vm.ike_of_lab import endpoints, ike_sa, is_made_anew
from tests.vm.rekeying import rekey

HOME, CN = str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS)
PATIENCE_S = 90.0
"""Emulated, everything takes its time."""
MH_IN_CLEAR, IKE = "mip6.mhtype", "udp.port == 500 || udp.port == 4500"


@pytest.fixture
def lab(prefix: str) -> Iterator[Lab]:
    lab = Lab(prefix=prefix, security="ikev2")
    try:
        yield lab
    finally:
        lab.down()


def care_of(status: Status, link: str) -> IPv6Address:
    (address,) = [one["care_of_address"] for one in status["links"] if one["name"] == link]
    return IPv6Address(address)


def wait_until(is_met: Callable[[], bool], what: str) -> None:
    """Where nobody announces anything."""
    end_at = monotonic() + PATIENCE_S
    while not is_met():
        assert monotonic() < end_at, what
        sleep(0.2)


def has_all_tunnels(status: Status) -> bool:
    """Those of links come first: a link is registered when it has one."""
    return any(one["use"] == "return routability" for one in status["associations"])


@pytest.mark.req("SEC-15", "SEC-18", "SEC-19", "SEC-20", "SEC-27", "HA-11", "REG-05", "REG-26", "MCOA-31")
def test_from_nothing_then_moved_by_people_then_by_a_lost_link(lab: Lab) -> None:
    lab.lay_out()
    with Capture(lab, "ha", HOST_INTERFACE, "ip6") as capture:
        lab.start()
        lab.wait_registered(timeout_s=PATIENCE_S)
        status = lab.wait(has_all_tunnels, "all keys negotiated", PATIENCE_S)
        lab.run("mn", "ping", "-6", "-c", "1", "-w", "10", "-I", HOME, CN)
    assert capture.rows(MH_IN_CLEAR, ["frame.number"]) == []
    assert len(capture.rows("esp && ipv6.dstopts", ["frame.number"])) >= 3
    assert capture.rows(IKE, ["frame.number"])
    first = IPv6Address(status["ike"]["care_of_address"])
    assert endpoints(lab) == (first, first)
    before = ike_sa(lab, "mn").unique_id

    wifi = care_of(status, "wifi")
    with Capture(lab, "ha", HOST_INTERFACE, "ip6") as capture:
        lab.monami6("switch", "--ike", "wifi", "--timeout", str(PATIENCE_S))
        wait_until(lambda: endpoints(lab) == (wifi, wifi), "the IKE SA moved at both ends")
    assert capture.rows(IKE, ["frame.number"]) == []
    assert capture.rows(MH_IN_CLEAR, ["frame.number"]) == []

    lab.monami6("switch", "--ike", "--auto")
    with Capture(lab, "ha", HOST_INTERFACE, "ip6") as capture:
        lab.change_link("wifi", LinkAction.DOWN)
        lab.wait(lambda status: status["ike"]["link"] not in ("wifi", None), "IKEv2 elsewhere", PATIENCE_S)
        there = IPv6Address(lab.agent.status()["ike"]["care_of_address"])
        wait_until(lambda: endpoints(lab) == (there, there), "the IKE SA moved at both ends")
    assert capture.rows(IKE, ["frame.number"]) == []
    assert ike_sa(lab, "mn").unique_id == before, "it is the same IKE SA"

    lab.change_link("wifi", LinkAction.UP)
    lab.wait_registered(timeout_s=PATIENCE_S)
    run_rekey(lab)


def run_rekey(lab: Lab) -> None:
    """The keys are negotiated anew over the care-of address that the IKE SA was moved to."""
    (old,) = _mobility_spis(lab)
    rekey(lab.layout.namespace(MOBILE_NODE), HOME_AGENT_ADDRESS, old)

    def is_new() -> bool:
        return old not in _mobility_spis(lab) and len(_mobility_spis(lab)) == 1

    wait_until(is_new, "the CHILD_SA rekeyed")
    lab.switch("lte")
    lab.switch(None)


def _mobility_spis(lab: Lab) -> set[int]:
    children = ike_sa(lab, "mn").children
    return {one.spi_out for one in children if one.spi_out and (one.name, one.state) == (MOBILITY, "INSTALLED")}


@pytest.mark.req("SEC-19", "HA-11", "REG-26")
def test_a_home_agent_that_cannot_move_it(prefix: str) -> None:
    lab = Lab(prefix=prefix, security="ikev2", home_agent_toml="[ikev2]\nkey_mobility = false\n")
    try:
        lab.up(timeout_s=PATIENCE_S)
        status = lab.wait(has_all_tunnels, "all keys negotiated", PATIENCE_S)
        other = next(name for name in ("wifi", "lte") if name != status["ike"]["link"])
        there = care_of(status, other)
        before = ike_sa(lab, "mn").initiator_spi
        lab.monami6("switch", "--ike", other, "--timeout", str(PATIENCE_S))
        wait_until(lambda: is_made_anew(lab, before) and endpoints(lab) == (there, there), "the IKE SA made anew")
        assert ike_sa(lab, "mn").initiator_spi == ike_sa(lab, "ha").initiator_spi != before
        lab.wait_registered(timeout_s=PATIENCE_S)
        lab.run("mn", "ping", "-6", "-c", "1", "-w", "30", "-I", HOME, CN)
    finally:
        lab.down()


def test_whoever_is_killed_the_rest_goes_on_and_nobody_has_to_help(lab: Lab) -> None:
    lab.up(timeout_s=PATIENCE_S)
    before = ike_sa(lab, "mn").initiator_spi
    lab.kill_agent()
    lab.start_agent()
    lab.wait_registered(timeout_s=PATIENCE_S)
    assert ike_sa(lab, "mn").initiator_spi == before, "the agent found the IKE SA"
    lab.kill_home_agent()
    lab.start_home_agent()
    lab.monami6("switch", "--timeout", str(PATIENCE_S), "lte")
    for node in ("mn", "ha"):
        lab.kill_charon(node)
        strongswan.vici(lab.directory, node).unlink(missing_ok=True)
        lab.start_charon(node)
        wait_until(partial(is_made_anew, lab, before), f"an IKE SA after charon of {node} was killed")
        before = ike_sa(lab, "mn").initiator_spi
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "wifi")
        lab.monami6("switch", "--timeout", str(PATIENCE_S), "--auto")
    lab.run("mn", "ping", "-6", "-c", "1", "-w", "10", "-I", HOME, CN)
