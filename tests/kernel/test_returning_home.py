"""From home to two foreign links and back, under traffic: with one binding at home beside those away (flag H of RFC
5648), and for good. tshark is the judge of what is said on the home link.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from mn_lab import network, processes
from mn_lab.commands import ip_batch, run
from mn_lab.control import Status
from mn_lab.lab import Lab
from mn_lab.layout import HOME_ADDRESS, HOME_AGENT, HOME_AGENT_ADDRESS, HOME_PREFIX, MOBILE_NODE
from mn_lab.traffic import DOWN, UP, Traffic
from tests.kernel.home_link import HomeLink
from tests.kernel.wire import Capture

LINK, PORT = "eth9", "port9"
OWN = "02:6d:36:00:00:09"
RATE = 200
ROUTER = """
interface to-home {{
  AdvSendAdvert on;
  MinRtrAdvInterval 3;
  MaxRtrAdvInterval 4;
  prefix {prefix} {{ }};
}};
"""
HOME = str(HOME_ADDRESS)


@dataclass
class Place:
    """The mobile node, with two foreign links, and its home link, to which it is not plugged yet."""

    lab: Lab
    link: HomeLink

    def plug(self, *, on: bool) -> None:
        """The home link's cable."""
        run(*ip_batch([f"link set {PORT} {'up' if on else 'down'}"], self.link.switch))

    def wait(self, state: str, what: str) -> None:
        """Until the home link is in this state."""

        def is_met(status: Status) -> bool:
            return any(link["name"] == LINK and link["state"] == state for link in status["links"])

        self.lab.wait(is_met, what)

    def move(self, link: str) -> None:
        self.lab.switch(link)
        self.lab.wait_carried_by(link)


@contextmanager
def place(prefix: str, at_home: str) -> Iterator[Place]:
    agent = f'[home]\nat_home = "{at_home}"\n'
    lab = Lab(("ethernet", "wifi"), prefix=prefix, agent_toml=agent, home_agent_toml='[home_agent]\nhome_link = "eth1"')
    with HomeLink(lab) as link:
        mobile_node = lab.layout.namespace(MOBILE_NODE)
        run(*ip_batch([f"link add {PORT} netns {link.switch} type veth peer name {LINK} netns {mobile_node}"]))
        run(*ip_batch([f"link set {PORT} master switch down"], link.switch))
        run(*ip_batch([f"link set {LINK} address {OWN} up"], mobile_node))
        file = lab.directory / "radvd-home.conf"
        file.write_text(ROUTER.format(prefix=HOME_PREFIX))
        advertises = ("radvd", "-n", "-m", "stderr", "-C", str(file), "-p", str(lab.directory / "radvd-home.pid"))
        processes.start(network.in_namespace(link.core, *advertises), lab.directory / "radvd-home.log")
        lab.start()
        lab.wait_registered()
        yield Place(lab, link)


@dataclass
class Meter:
    """What was lost since the last look."""

    traffic: Traffic
    start_ns: int

    def lost(self, what: str) -> int:
        """In both directions."""
        end_ns = time.time_ns()
        self.traffic.catch_up(end_ns)
        found = {direction: self.traffic.record(direction).figures(self.start_ns, end_ns) for direction in (UP, DOWN)}
        self.start_ns = end_ns
        told = (f"{name} {one.lost} of {one.sent} lost, {one.gap_ms} ms" for name, one in found.items())
        print(f"{what}: {'; '.join(told)}")
        return sum(one.lost for one in found.values())


@contextmanager
def metered(lab: Lab) -> Iterator[Meter]:
    with lab.traffic(RATE) as traffic:
        time.sleep(1)  # some traffic before, to compare with
        yield Meter(traffic, time.time_ns())


FIELDS = (
    *("ipv6.src", "ipv6.dst", "ipv6.nxt", "mip6.bu.lifetime"),
    *("mip6.bi.bid", "mip6.bi.h_flag", "mip6.lla.optcode"),
)


@pytest.mark.req("MCOA-42", "MCOA-43", "MCOA-44", "MCOA-45", "MCOA-46", "MCOA-48", "MCOA-49", "SEC-04")
def test_beside_foreign_links(prefix: str) -> None:
    with place(prefix, "all-links") as here, metered(here.lab) as meter:
        lab = here.lab
        with Capture(lab, MOBILE_NODE, LINK) as capture:
            here.plug(on=True)
            here.wait("registered", "the home binding")
            time.sleep(1)
            assert meter.lost("home, beside foreign links") == 0
            for link in (LINK, "wifi", LINK, "ethernet"):
                here.move(link)
                time.sleep(1)
                assert meter.lost(f"moved to {link}") == 0
            here.move(LINK)
            route = json.loads(lab.run(HOME_AGENT, "ip", "-6", "-j", "route", "get", HOME))[0]
            assert (route["dev"], route.get("gateway")) == ("eth1", None)
            assert here.link.neighbor(here.link.first, "eth1") == OWN
            assert here.link.neighbor(here.link.core, "to-home") == here.link.hardware_address(here.link.first, "eth1")
            assert HOME not in lab.run(MOBILE_NODE, "ip", "-6", "address", "show", "dev", LINK)
            meter.lost("moved home")
            here.plug(on=False)
            lab.wait(lambda status: bool(status["default"]["link"] != LINK), "traffic elsewhere")
            lab.wait(lambda _: here.link.neighbor(here.link.first, "eth1") is None, "no way home")
            time.sleep(1)
            meter.lost("the home link is gone")
        sent = capture.rows(f"mip6.mhtype == 5 and ipv6.src == {HOME}", FIELDS)
        assert sent[0] == [HOME, str(HOME_AGENT_ADDRESS), "135", "150", "1", "1", "2"]
        for *_, bids, flags, code in sent:
            assert dict(zip(bids.split(","), flags.split(","), strict=True))["1"] == "1", "each names the home binding"
            assert code == "2"
        assert capture.rows(f"icmpv6.nd.na.target_address == {HOME} and eth.src == {OWN}", ["frame.number"]) == []
        assert capture.rows(f"icmpv6.nd.ns.target_address == {HOME}", ["frame.number"]) == [], "nobody asks"
        assert capture.rows(f"ipv6.src == {HOME} and udp", ["frame.number"]), "payload is not tunnelled"
        assert capture.rows("ipv6.nxt == 41", ["frame.number"]) == []


@pytest.mark.req("HOME-01", "HOME-02", "HOME-03", "HOME-06", "HOME-07", "HOME-10", "MCOA-40", "SEC-04")
def test_for_good(prefix: str) -> None:
    with place(prefix, "home-link") as here, metered(here.lab) as meter:
        lab = here.lab
        with Capture(lab, MOBILE_NODE, LINK) as capture:
            here.plug(on=True)
            here.wait("at home", "at home")
            time.sleep(4)  # three announcements take two seconds
            assert meter.lost("home, and nowhere else") == 0
            assert here.link.neighbor(here.link.core, "to-home") == OWN
            run(["ip", "-n", here.link.core, "-6", "neighbor", "flush", "dev", "to-home"])
            lab.run("cn", "ping", "-6", "-c", "1", "-W", "2", HOME)
            assert here.link.neighbor(here.link.core, "to-home") == OWN, "it answers who asks, whichever way packets go"
            assert meter.lost("asked for anew") == 0
            marked = ("from", HOME, "oif", LINK, "mark", "0x80000000")
            (way,) = json.loads(lab.run(MOBILE_NODE, "ip", "-6", "-j", "route", "get", "fe80::1", *marked))
            assert "gateway" not in way, "neighbours are answered directly, and not by way of the router"
            lab.kill_agent()
            lab.start_agent()
            here.wait("at home", "at home again")
            assert meter.lost("agent killed") == 0
            here.plug(on=False)
            lab.wait_registered()
            time.sleep(1)
            meter.lost("the home link is gone")
            here.plug(on=True)
            here.wait("at home", "home again")
            time.sleep(1)
            assert meter.lost("home again") == 0
        rows = capture.rows(f"ipv6.addr == {HOME} or icmpv6.nd.na.target_address == {HOME}", SEEN)
        said = [dict(zip(SEEN, row, strict=True)) for row in rows]
        from_home = [one for one in said if one["eth.src"] == OWN]
        first = from_home[0]
        assert (first["mip6.mhtype"], first["mip6.bu.lifetime"]) == ("5", "0"), "before anything else is sent"
        told = [one for one in from_home if one["ipv6.dst"] == "ff02::1"]
        assert len(told) >= 3
        assert {tuple(one[field] for field in SEEN[-3:]) for one in told} == {("0", "1", OWN)}
        answers = [one for one in from_home if one["icmpv6.type"] == "136" and one not in told]
        assert answers, "the home agent asked where we are"
        assert all(one["icmpv6.nd.na.flag.s"] == "1" for one in answers)


SEEN = (
    *("eth.src", "ipv6.dst", "mip6.mhtype", "mip6.bu.lifetime", "icmpv6.type"),
    *("icmpv6.nd.na.flag.s", "icmpv6.nd.na.flag.o", "icmpv6.opt.linkaddr"),
)
"""Of what has to do with the home address on the home link."""
