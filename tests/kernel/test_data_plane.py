"""Packets through the tunnels, on real links, judged by tshark, ping, ip and nft."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

import pytest

from mip6.kernel import AGAIN, DELIVER, FORWARD, OWN_USE
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, HOST_INTERFACE, MOBILE_SIDE
from tests.kernel.wire import Capture

CN, HA, HOME = str(CORRESPONDENT_ADDRESS), str(HOME_AGENT_ADDRESS), str(HOME_ADDRESS)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(prefix="m6-d-") as lab:
        yield lab


def care_of(lab: Lab, link: str) -> str:
    (address,) = [one["care_of_address"] for one in lab.agent.status()["links"] if one["name"] == link]
    return str(address)


def ping(lab: Lab, node: str, target: str, *options: str, count: int = 3) -> str:
    """What ping says; raises when nothing at all came back."""
    return lab.run(node, "ping", "-6", "-n", "-c", str(count), "-i", "0.05", "-W", "2", *options, target)


def arrives(lab: Lab, node: str, target: str, *options: str) -> bool:
    try:
        return " 0% packet loss" in ping(lab, node, target, *options)
    except subprocess.CalledProcessError:
        return False


def ip(lab: Lab, node: str, *arguments: str) -> str:
    return lab.run(node, "ip", "-6", *arguments)


def counter(lab: Lab, name: str) -> int:
    return int(lab.home_agent.status()["counters"].get(name, 0))


@pytest.mark.req("PKT-03", "HA-16", "SRC-02")
def test_plain_ipv6_in_ipv6_both_ways_without_a_routing_header(lab: Lab) -> None:
    with Capture(lab, "ethernet", MOBILE_SIDE, "ip6 proto 41 or ip6 proto 43") as capture:
        assert arrives(lab, "mn", CN)
    rows = capture.rows("icmpv6.type >= 128 && icmpv6.type <= 129", ["ipv6.src", "ipv6.dst", "ipv6.nxt", "icmpv6.type"])
    own = care_of(lab, "ethernet")
    up = [f"{own},{HOME}", f"{HA},{CN}", "41,58", "128"]
    down = [f"{HA},{CN}", f"{own},{HOME}", "41,58", "129"]
    assert rows == [up, down] * 3


@pytest.mark.req("SRC-01", "SRC-02")
def test_what_says_nothing_about_its_source_gets_the_home_address(lab: Lab) -> None:
    assert f"from {HOME}" not in ping(lab, "mn", CN), "ping was not told to"
    assert f"src {HOME}" in ip(lab, "mn", "route", "get", CN)


def test_neighbours_on_the_link_are_reached_directly(lab: Lab) -> None:
    router = str(lab.layout.link("wifi").router)
    with Capture(lab, "wifi", MOBILE_SIDE, "icmp6") as capture:
        assert arrives(lab, "mn", router)
    assert [care_of(lab, "wifi"), router] in capture.rows("icmpv6.type == 128", ["ipv6.src", "ipv6.dst"])


def test_a_care_of_address_leaves_by_its_own_interface(lab: Lab) -> None:
    for link in ("ethernet", "wifi", "lte"):
        with Capture(lab, link, MOBILE_SIDE, "icmp6") as capture:
            assert arrives(lab, "mn", CN, "-I", care_of(lab, link))
        rows = capture.rows("icmpv6.type == 128 && !(ipv6.nxt == 41)", ["ipv6.src", "ipv6.dst"])
        assert rows == [[care_of(lab, link), CN]] * 3


def test_the_home_agent_itself_can_be_talked_to(lab: Lab) -> None:
    assert arrives(lab, "mn", HA, "-I", HOME)
    assert arrives(lab, "ha", HOME)


@pytest.mark.req("HA-16")
def test_a_home_address_without_binding_is_unreachable(lab: Lab) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        ping(lab, "cn", str(HOME_ADDRESS + 1))
    assert "Destination unreachable" in caught.value.stdout


DIRECT = """
import sys
from scapy.all import HAO, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, send
source, target, *homes = sys.argv[1:]
for home in homes:
    header = IPv6(src=source, dst=target) / IPv6ExtHdrDestOpt(options=[HAO(hoa=home)])
    send(header / ICMPv6EchoRequest(id=0xBAD), verbose=False)
"""


@pytest.mark.req("PKT-07", "PKT-08", "FMT-07")
def test_payload_with_a_home_address_option_needs_a_binding(lab: Lab) -> None:
    router, bound, other = str(lab.layout.link("wifi").router), care_of(lab, "wifi"), str(HOME_ADDRESS + 1)
    before = counter(lab, "Home Address option without a binding")
    with Capture(lab, "ha", HOST_INTERFACE) as capture:
        lab.run("wifi", sys.executable, "-c", DIRECT, router, HA, HOME, other, "ff0e::1", "fe80::1")
        lab.run("wifi", sys.executable, "-c", DIRECT, bound, HA, HOME, other)
        assert arrives(lab, "wifi", HA)
    errors = capture.rows("mip6.mhtype == 7 && !icmpv6", ["ipv6.src", "ipv6.dst", "mip6.be.status", "mip6.be.haddr"])
    assert errors == [[HA, router, "1", HOME], [HA, router, "1", other], [HA, bound, "1", other]]
    assert counter(lab, "Home Address option without a binding") == before + 3
    assert capture.rows("icmpv6.type == 129 && icmpv6.echo.identifier == 0xbad", ["frame.number"]) == []
    problems = capture.rows("icmpv6.type == 4 && icmpv6.code == 2", ["ipv6.src", "ipv6.dst"])
    assert problems == [[f"{HA},{bound}", f"{bound},{HA}"]], "it is bound, but this kernel takes no such packet"


JOIN = """
import socket, struct, sys
group = socket.inet_pton(socket.AF_INET6, sys.argv[1])
member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for number in (0, *(index for index, name in socket.if_nameindex() if name in sys.argv[2:])):
    try:
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("=I", number))
    except OSError as error:
        assert number, error  # the one that the kernel has chosen for 0
"""


@pytest.mark.req("SRC-04")
def test_groups_are_joined_on_the_links_and_not_through_the_tunnel(lab: Lab) -> None:
    """Reports have link-local addresses (RFC 3810 section 5.2.13). The home agent asks for none."""
    group = "ff0e::6d36"
    with Capture(lab, "ethernet", MOBILE_SIDE) as ethernet, Capture(lab, "wifi", MOBILE_SIDE) as wifi:
        lab.run("mn", sys.executable, "-c", JOIN, group, "eth0", "wlan0")
        assert arrives(lab, "mn", CN)
    for capture in (ethernet, wifi):
        reports = capture.rows(
            f"icmpv6.mldr.mar.multicast_address == {group}", ["ipv6.src", "ipv6.dst", "ipv6.nxt", "ipv6.opt.type"]
        )
        assert reports
        for source, destination, headers, options in reports:
            assert source.startswith("fe80::")
            assert (destination, headers) == ("ff02::16", "0"), "hop-by-hop options, and no tunnel"
            assert "201" not in options.split(",")


class TestOuterSource:
    """The outer source is the registered care-of address, whatever the kernel would choose."""

    def sources(self, lab: Lab) -> set[str]:
        with Capture(lab, "ethernet", MOBILE_SIDE, "ip6 proto 41") as capture:
            arrives(lab, "mn", CN)
        return {row[0].split(",")[0] for row in capture.rows("icmpv6.type == 128", ["ipv6.src"])}

    @pytest.fixture
    def more(self, lab: Lab) -> Iterator[str]:
        """A second address on the interface in use, newer than the care-of address."""
        prefix = lab.layout.link("ethernet").prefix
        more = str(prefix[0xAAAA])
        ip(lab, "mn", "address", "add", f"{more}/64", "dev", "eth0", "nodad")
        yield more
        ip(lab, "mn", "address", "del", f"{more}/64", "dev", "eth0")

    def test_with_several_addresses_on_the_interface(self, lab: Lab, more: str) -> None:
        assert self.sources(lab) == {care_of(lab, "ethernet")}
        assert care_of(lab, "ethernet") != more

    def test_when_only_another_interface_has_an_address_that_is_not_deprecated(self, lab: Lab) -> None:
        own = care_of(lab, "ethernet")
        ip(lab, "mn", "address", "change", f"{own}/64", "dev", "eth0", "preferred_lft", "0", "valid_lft", "600")
        try:
            # The kernel alone would take another link's, which the home agent does not expect there
            assert self.sources(lab) <= {own, care_of(lab, "wifi")}
            lab.wait_carried_by("wifi")
            assert arrives(lab, "mn", CN)
        finally:
            ip(
                lab,
                "mn",
                "address",
                "change",
                f"{own}/64",
                "dev",
                "eth0",
                "preferred_lft",
                "forever",
                "valid_lft",
                "forever",
            )
            lab.wait_carried_by("ethernet")


class TestSize:
    """What is too big for the tunnel is told to who sent it, and the rest fills the link."""

    def test_from_the_mobile_node(self, lab: Lab) -> None:
        assert arrives(lab, "mn", CN, "-s", "1412", "-M", "do"), "1460 octets and the outer header fill 1500"
        with pytest.raises(subprocess.CalledProcessError):
            ping(lab, "mn", CN, "-s", "1413", "-M", "do")

    @pytest.mark.req("PKT-16", "PKT-19")
    def test_from_the_correspondent(self, lab: Lab) -> None:
        assert arrives(lab, "cn", HOME, "-s", "1412", "-M", "do")
        with Capture(lab, "cn", "eth0", "icmp6") as capture, pytest.raises(subprocess.CalledProcessError):
            ping(lab, "cn", HOME, "-s", "1452", "-M", "do", count=2)
        told = capture.rows("icmpv6.type == 2", ["ipv6.src", "ipv6.dst", "icmpv6.mtu"])
        assert [row[-1] for row in told[:1]] == ["1460"]
        assert told[0][0].startswith(HA)
        assert "mtu 1460" in ip(lab, "cn", "route", "get", HOME), "the correspondent's kernel has understood"

    @pytest.mark.req("PKT-16", "PKT-19")
    def test_when_a_link_on_the_way_is_narrow(self, lab: Lab) -> None:
        """Only the access router knows: it tells the home agent, which tells the correspondent."""
        lab.run("ethernet", "ip", "link", "set", MOBILE_SIDE, "mtu", "1400")
        try:
            with pytest.raises(subprocess.CalledProcessError):
                ping(lab, "cn", HOME, "-s", "1400", "-M", "do", count=2)
            assert "mtu 1360" in ip(lab, "cn", "route", "get", HOME)
        finally:
            lab.run("ethernet", "ip", "link", "set", MOBILE_SIDE, "mtu", "1500")
            ip(lab, "cn", "route", "flush", "cache")
            ip(lab, "ha", "route", "flush", "cache")

    def test_a_large_datagram_goes_in_fragments(self, lab: Lab) -> None:
        ping(lab, "cn", HOME, "-s", "1452", "-M", "want", count=2)  # learns the path's MTU
        assert arrives(lab, "mn", CN, "-s", "4000")
        assert arrives(lab, "cn", HOME, "-s", "4000")

    def test_a_large_transfer_goes_through(self, lab: Lab) -> None:
        command = lab.command("cn", "iperf3", "--server", "--one-off", "--forceflush")
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        assert any("listening" in line for line in server.stdout)
        lab.run("mn", "iperf3", "-6", "-c", CN, "-R", "-n", "20M")
        server.communicate(timeout=10)


SPOOF = """
import sys
from scapy.all import IPv6, UDP, Raw, send, conf
outer_source, outer_destination, inner_source, inner_destination = sys.argv[1:5]
inner = IPv6(src=inner_source, dst=inner_destination) / UDP(sport=7, dport=7777) / Raw(b"spoofed")
send(IPv6(src=outer_source, dst=outer_destination) / inner, count=10, verbose=False)
"""


FORGE = """
import sys
from functools import reduce
from operator import truediv
from socket import AF_INET6, IPPROTO_RAW, SOCK_RAW, socket
from scapy.all import IPv6, UDP, Raw
headers = [IPv6(src=source, dst=destination) for source, destination in zip(sys.argv[1::2], sys.argv[2::2])]
packet = bytes(reduce(truediv, headers) / UDP(sport=7, dport=7777) / Raw(b"spoofed"))
with socket(AF_INET6, SOCK_RAW, IPPROTO_RAW) as sender:
    for _ in range(10):
        sender.sendto(packet, (sys.argv[2], 0))
"""
PROBE = "udp port 7777"


def spoof(lab: Lab, node: str, *addresses: str) -> None:
    """Ten tunnelled packets: outer source and destination, inner source and destination."""
    lab.run(node, sys.executable, "-c", SPOOF, *addresses)


def forge(lab: Lab, node: str, *addresses: str) -> None:
    """The same with any number of headers, sent where the node's routes lead."""
    lab.run(node, sys.executable, "-c", FORGE, *addresses)


@pytest.mark.req("HA-17", "PKT-09", "SC-03")
class TestSpoofed:
    """The home agent accepts a packet from any registered care-of address and from no other."""

    def strays(self, lab: Lab, node: str, *addresses: str) -> int:
        with Capture(lab, "cn", "eth0", PROBE) as capture:
            spoof(lab, node, *addresses)
            arrives(lab, "cn", HA)
        return len(capture.rows("udp.port == 7777", ["ipv6.src"]))

    def test_a_stranger_as_outer_source(self, lab: Lab) -> None:
        before = counter(lab, "spoofed_outer_source")
        stranger = str(lab.layout.link("wifi").prefix[0xBAD])
        assert self.strays(lab, "wifi", stranger, HA, HOME, CN) == 0
        assert counter(lab, "spoofed_outer_source") == before + 10

    def test_another_address_inside(self, lab: Lab) -> None:
        before = counter(lab, "spoofed_inner_source")
        assert self.strays(lab, "wifi", care_of(lab, "wifi"), HA, str(HOME_ADDRESS + 1), CN) == 0
        assert counter(lab, "spoofed_inner_source") == before + 10

    def test_every_registered_care_of_address_is_good(self, lab: Lab) -> None:
        for link in ("ethernet", "wifi", "lte"):
            assert self.strays(lab, link, care_of(lab, link), HA, HOME, CN) == 10


@pytest.mark.req("PKT-04")
def test_the_mobile_node_takes_tunnelled_packets_from_its_home_agent_only(lab: Lab) -> None:
    before = lab.agent.status()["counters"]
    with Capture(lab, "mn", "lo", PROBE) as capture:
        spoof(lab, "wifi", CN, care_of(lab, "wifi"), CN, HOME)
        arrives(lab, "mn", HA)
    assert capture.rows("udp", ["ipv6.src"]) == []
    after = lab.agent.status()["counters"]
    assert after["not_from_home_agent"] == before["not_from_home_agent"] + 10


@pytest.mark.req("HA-17", "PKT-04", "SC-03")
class TestOwnUse:
    """Nobody says himself that his packets are good: with a destination that only we give to those that were looked at,
    from the same link or inside a good packet.
    """

    @pytest.mark.parametrize("destination", [DELIVER, FORWARD, AGAIN])
    def test_from_the_same_link_to_the_mobile_node(self, lab: Lab, destination: IPv6Address) -> None:
        before = lab.agent.status()["counters"]["not_from_home_agent"]
        with self.way(lab, "wifi", care_of(lab, "wifi"), MOBILE_SIDE), Capture(lab, "mn", "lo", PROBE) as capture:
            forge(lab, "wifi", CN, str(destination), CN, HOME)
            arrives(lab, "mn", HA)
        assert capture.rows("udp", ["ipv6.src"]) == []
        assert lab.agent.status()["counters"]["not_from_home_agent"] == before + 10

    @pytest.mark.parametrize("destination", [DELIVER, FORWARD, AGAIN])
    def test_from_the_same_link_to_the_home_agent(self, lab: Lab, destination: IPv6Address) -> None:
        before = counter(lab, "spoofed_outer_source")
        with self.way(lab, "net", HA, "to-ha"), Capture(lab, "cn", "eth0", PROBE) as capture:
            forge(lab, "net", CN, str(destination), str(HOME_ADDRESS + 1), CN)
            arrives(lab, "cn", HA)
        assert capture.rows("udp", ["ipv6.src"]) == []
        assert counter(lab, "spoofed_outer_source") == before + 10

    def test_inside_a_good_packet(self, lab: Lab) -> None:
        before = counter(lab, "spoofed_inner_source")
        with Capture(lab, "cn", "eth0", PROBE) as capture:
            forge(lab, "wifi", care_of(lab, "wifi"), HA, HOME, str(FORWARD), str(HOME_ADDRESS + 1), CN)
            arrives(lab, "cn", HA)
        assert capture.rows("udp", ["ipv6.src"]) == []
        assert counter(lab, "spoofed_inner_source") == before + 10

    @contextmanager
    def way(self, lab: Lab, node: str, neighbour: str, interface: str) -> Iterator[None]:
        """While it lasts the node sends what has such a destination to its neighbour."""
        ip(lab, node, "route", "add", str(OWN_USE), "via", neighbour, "dev", interface)
        try:
            yield
        finally:
            ip(lab, node, "route", "del", str(OWN_USE))


@pytest.mark.req("REG-02", "FMT-14", "FMT-16", "MCOA-02", "HA-13")
def test_tshark_understands_our_signalling(lab: Lab) -> None:
    with Capture(lab, "wifi", MOBILE_SIDE, "ip6 proto 60 or ip6 proto 43") as capture:
        lab.switch("wifi")
        lab.switch(None)
        arrives(lab, "mn", HA)
    fields = ["ipv6.src", "ipv6.dst", "mip6.mhtype", "mip6.bu.a_flag", "mip6.bu.h_flag"]
    own = care_of(lab, "wifi")
    update, answer, *_ = capture.rows("mip6.mhtype", fields)
    assert update == [own, HA, "5", "1", "1"]
    assert answer[:3] == [HA, own, "6"]
    assert capture.rows("_ws.malformed", ["frame.number"]) == []
    assert capture.rows("mip6.mhtype && !ipv6.dstopts && !ipv6.routing", ["frame.number"]) == []


class TestForeignHands:
    """Others change what is ours: it comes back by itself."""

    def wait_for_traffic(self, lab: Lab) -> None:
        lab.run("mn", "ping", "-6", "-n", "-c", "1", "-w", "5", CN)

    def test_nftables_flushed_on_both_ends(self, lab: Lab) -> None:
        for node in ("mn", "ha"):
            lab.run(node, "nft", "flush", "ruleset")
        self.wait_for_traffic(lab)
        assert "monami6" in lab.run("mn", "nft", "list", "tables")
        assert "monami6_ha" in lab.run("ha", "nft", "list", "tables")

    def test_routes_flushed(self, lab: Lab) -> None:
        for node in ("mn", "ha"):
            ip(lab, node, "route", "flush", "table", "all", "proto", "146")
        self.wait_for_traffic(lab)

    def test_rules_deleted(self, lab: Lab) -> None:
        before = [ip(lab, node, "rule") for node in ("mn", "ha")]
        for node in ("mn", "ha"):
            ip(lab, node, "rule", "flush", "protocol", "146")
        self.wait_for_traffic(lab)
        end_at = time.monotonic() + 5
        while (after := [ip(lab, node, "rule") for node in ("mn", "ha")]) != before and time.monotonic() < end_at:
            self.wait_for_traffic(lab)
        assert [sorted(rules.splitlines()) for rules in after] == [sorted(rules.splitlines()) for rules in before]

    def test_home_address_deleted(self, lab: Lab) -> None:
        ip(lab, "mn", "address", "del", f"{HOME}/128", "dev", "lo")
        self.wait_for_traffic(lab)
        assert HOME in ip(lab, "mn", "address", "show", "dev", "lo")

    def test_rules_of_programs_that_let_the_kernel_choose_come_behind_ours(self, lab: Lab) -> None:
        """As wg-quick does: everything without its mark goes into its own table."""
        ip(lab, "mn", "rule", "add", "not", "fwmark", "0xca6c", "table", "51820")
        ip(lab, "mn", "route", "add", "unreachable", "default", "table", "51820")
        try:
            assert arrives(lab, "mn", CN, "-I", HOME)
            lab.switch("lte")
            lab.switch(None)
            assert arrives(lab, "mn", CN, "-I", HOME)
        finally:
            ip(lab, "mn", "rule", "del", "table", "51820")
            ip(lab, "mn", "route", "flush", "table", "51820")
