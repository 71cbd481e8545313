"""A link whose network changes though its carrier stays: another router, another prefix. That is what a Wi-Fi card sees
that goes from one access point to another.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from time import monotonic

import pytest

from mn_lab import processes
from mn_lab.control import Status
from mn_lab.lab import Lab
from mn_lab.layout import MOBILE_SIDE
from tests.kernel.conftest import Use
from tests.kernel.streams import Stream, Streams
from tests.kernel.test_data_plane import arrives, care_of, ip
from tests.kernel.test_flows import CN
from tests.kernel.wire import Capture

POLICY = """
description = "One kind of flow is elsewhere"
[links]
order = ["wifi", "ethernet", "lte"]
[[flow]]
name = "elsewhere"
protocol = "udp"
port = "6000"
via = ["lte"]
"""
ELSEWHERE = Stream("elsewhere", "udp", 6000)
HERE = Stream("here", "udp", 7000)
SECOND = "second"
OTHER = IPv6Network("2001:db8:22::/64")
RADVD = f"""\
interface {SECOND} {{
  AdvSendAdvert on;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 4;
  AdvIntervalOpt on;
  prefix {OTHER} {{ }};
}};
"""


@pytest.fixture
def _wifi_is_used(lab: Lab, use: Use) -> None:
    use(POLICY)
    lab.wait_carried_by("wifi")


@contextmanager
def second_router(lab: Lab) -> Iterator[None]:
    """Another one on the same link, with another prefix."""
    ip(lab, "wifi", "link", "add", "link", MOBILE_SIDE, "name", SECOND, "type", "macvlan", "mode", "bridge")
    ip(lab, "wifi", "address", "add", f"{OTHER[1]}/64", "dev", SECOND)
    ip(lab, "wifi", "link", "set", SECOND, "up")
    ip(lab, "net", "route", "add", str(OTHER), "via", str(lab.layout.link("wifi").uplink))
    file = lab.directory / "second.conf"
    file.write_text(RADVD)
    radvd = ("radvd", "-n", "-m", "stderr", "-C", str(file), "-p", str(lab.directory / "second.pid"))
    process = processes.start(lab.command("wifi", *radvd), lab.directory / "second.log")
    try:
        yield
    finally:
        processes.end([process.pid], signal.SIGKILL)
        ip(lab, "wifi", "link", "del", SECOND)
        ip(lab, "net", "route", "del", str(OTHER))


def router(lab: Lab) -> str:
    """By its link-local address."""
    (route,) = json.loads(lab.run("mn", "ip", "-6", "-j", "route", "show", "default", "dev", "wlan0"))
    return str(route["gateway"])


def wait_for_address_of(lab: Lab, network: IPv6Network) -> None:
    """Until the mobile node has one that is known to be nobody else's."""
    with subprocess.Popen(
        lab.command("mn", "ip", "-6", "monitor", "address"), stdout=subprocess.PIPE, text=True
    ) as news:
        assert news.stdout is not None
        try:
            while not ip(lab, "mn", "address", "show", "dev", "wlan0", "to", str(network), "-tentative"):
                news.stdout.readline()
        finally:
            news.kill()


def take_away(lab: Lab) -> None:
    """The first router is not there any more; its radvd says nothing of it."""
    processes.end([lab.processes["radvd-wifi"].pid], signal.SIGKILL)
    ip(lab, "wifi", "link", "set", MOBILE_SIDE, "address", "02:6d:36:00:00:99")
    ip(lab, "wifi", "address", "flush", "dev", MOBILE_SIDE)


def is_elsewhere(status: Status) -> bool:
    """Whether the wifi link is registered from the other network."""
    return any(
        one["name"] == "wifi" and one["state"] == "registered" and one["care_of_address"].startswith(str(OTHER[0])[:-1])
        for one in status["links"]
    )


@pytest.mark.usefixtures("_wifi_is_used")
@pytest.mark.req("MOV-01", "MOV-02", "MOV-06", "MOV-08")
def test_a_router_is_kept_while_it_answers_and_left_with_its_address_when_it_does_not(lab: Lab) -> None:
    old, own = router(lab), care_of(lab, "wifi")
    with Capture(lab, "wifi", MOBILE_SIDE, "icmp6") as capture, second_router(lab):
        with Streams(lab, (HERE, ELSEWHERE)) as flowing:
            wait_for_address_of(lab, OTHER)
            fates = flowing.fates()
        assert {fate.lost for fate in fates.values()} == {0}
        assert care_of(lab, "wifi") == own
        asked = capture.rows(f"icmpv6.type == 135 && ipv6.dst == {old}", ["icmpv6.nd.ns.target_address"])
        assert asked, "the new router is a reason to ask the old one"
        with Streams(lab, (HERE, ELSEWHERE)) as flowing:
            take_away(lab)
            gone_at = monotonic()
            lab.wait_carried_by("ethernet")
            left_s = monotonic() - gone_at
            lab.wait(is_elsewhere, "wifi registered from the other network")
            back_s = monotonic() - gone_at
            fates = flowing.fates()
        print(f"traffic left after {left_s:.2f} s, the link was back after {back_s:.2f} s: {fates}")
        assert {fate.lost for (name, _), fate in fates.items() if name == ELSEWHERE.name} == {0}
        assert max(fate.lost for fate in fates.values()) < 1.5 * HERE.per_second
        assert back_s < 8
        lab.wait_carried_by("wifi")
        assert arrives(lab, "mn", CN)


def registered_again_after_s(lab: Lab, link: str, interface: str) -> float:
    """How long it takes from the link to the binding."""
    ip(lab, "mn", "link", "set", interface, "down")
    lab.wait(lambda status: any(one["name"] == link and one["problem"] for one in status["links"]), "no link")
    up_at = monotonic()
    ip(lab, "mn", "link", "set", interface, "up")
    lab.wait_registered()
    return monotonic() - up_at


@pytest.mark.req("MOV-10")
def test_a_link_that_comes_up_is_registered_as_soon_as_its_address_is_known_to_be_ours_alone(lab: Lab) -> None:
    fields = ["ipv6.src", "icmpv6.type", "mip6.mhtype", "icmpv6.nd.ns.target_address"]
    with Capture(lab, "lte", MOBILE_SIDE, "icmp6 or ip6[6] == 135 or ip6[6] == 60") as capture:
        registered_again_after_s(lab, "lte", "wwan0")
    steps = [
        "is checked"
        if source == "::" and target.startswith("2001:")
        else "checks its link-local address"
        if source == "::" and target
        else {"134": "hears a router"}.get(icmp) or {"5": "is registered"}.get(mobility)
        for source, icmp, mobility, target in capture.rows("ipv6", fields)
    ]
    # A router may say something of itself at any time, also before it is asked
    assert steps.index("hears a router") < steps.index("is checked") < steps.index("is registered")
    assert steps.index("checks its link-local address") < steps.index("is checked")


@pytest.mark.req("MOV-07")
def test_where_the_kernel_is_optimistic_a_new_address_is_registered_while_it_is_checked(lab: Lab) -> None:
    usual_s = registered_again_after_s(lab, "lte", "wwan0")
    lab.run("mn", "sysctl", "-qw", "net.ipv6.conf.wwan0.optimistic_dad=1")
    optimistic_s = registered_again_after_s(lab, "lte", "wwan0")
    shown = ip(lab, "mn", "address", "show", "dev", "wwan0", "scope", "global")
    print(f"registered {usual_s:.2f} s after the link came up, {optimistic_s:.2f} s where the kernel is optimistic")
    assert "optimistic" in shown
    assert optimistic_s < 0.7 * usual_s
