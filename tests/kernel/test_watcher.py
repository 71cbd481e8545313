"""The watcher's snapshots, against what `ip` did and getifaddrs says."""

import socket
import struct
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from select import select

import netifaces
import pytest

from mip6.linux.netlink import Notifications
from mip6.linux.routing import RTM_NEWADDR, RTMGRP_IPV6_IFADDR
from mn_agent.core.interfaces import Interface, InterfaceAddress, Snapshot
from mn_agent.system.watcher import Watcher
from tests.kernel.namespace import cable, ip, ip_batch, own_namespace

PATIENCE_S = 5.0
NEW_ADDRESS = struct.pack("=IHHII", 16, RTM_NEWADDR, 0, 0, 0)


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """In a namespace with one cable: up0 has carrier, down0 is its other end."""
    with own_namespace():
        cable("up0", "down0")
        watcher = Watcher()
        watcher.look()
        yield watcher
        watcher.close()


def interface(snapshot: Snapshot, name: str = "up0") -> Interface:
    (found,) = [one for one in snapshot if one.name == name]
    return found


def address(snapshot: Snapshot, text: str) -> InterfaceAddress | None:
    return next((one for one in interface(snapshot).addresses if one.address == IPv6Address(text)), None)


def heed(watcher: Watcher) -> Snapshot:
    """The next snapshot that the kernel's word leads to."""
    end_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_at:
        select([watcher.fileno()], [], [], PATIENCE_S)
        if (snapshot := watcher.heed()) is not None:
            return snapshot
    pytest.fail("no news")


def heed_address(watcher: Watcher, text: str) -> InterfaceAddress:
    """The address when it is there; what else happens to the new cable may come before it."""
    while (found := address(heed(watcher), text)) is None:
        pass
    return found


def test_an_address_comes_is_checked_and_goes(watcher: Watcher) -> None:
    ip("address", "add", "2001:db8::1/64", "dev", "up0")
    found = heed_address(watcher, "2001:db8::1")
    assert found.tentative
    while found.tentative:
        found = heed_address(watcher, "2001:db8::1")
    assert not found.duplicate
    ip("address", "del", "2001:db8::1/64", "dev", "up0")
    assert address(heed(watcher), "2001:db8::1") is None


def test_an_address_that_somebody_else_has_is_marked(watcher: Watcher) -> None:
    ip("address", "add", "2001:db8::1/64", "dev", "down0", "nodad")
    ip("address", "add", "2001:db8::1/64", "dev", "up0")
    while not heed_address(watcher, "2001:db8::1").duplicate:
        pass


def test_an_address_that_is_deprecated_is_marked_and_its_end_known(watcher: Watcher) -> None:
    ip("address", "add", "2001:db8::2/64", "dev", "up0", "nodad", "preferred_lft", "0", "valid_lft", "100")
    found = heed_address(watcher, "2001:db8::2")
    assert found.deprecated
    assert 95 < found.valid_until_at - time.clock_gettime(time.CLOCK_BOOTTIME) <= 100


def test_carrier_and_the_administrators_wish_are_told_apart(watcher: Watcher) -> None:
    assert (interface(watcher.look()).up, interface(watcher.look()).carrier) == (True, True)
    ip("link", "set", "down0", "down")
    lost = interface(heed(watcher))
    assert (lost.up, lost.carrier, lost.running) == (True, False, False)
    ip("link", "set", "up0", "down")
    shut = interface(heed(watcher))
    assert (shut.up, shut.running) == (False, False)


def test_the_mtu_is_what_a_router_may_have_lowered(watcher: Watcher) -> None:
    assert interface(watcher.look()).mtu == 1500
    with open("/proc/sys/net/ipv6/conf/up0/mtu", "w") as mtu:
        mtu.write("1400")
    assert interface(watcher.look()).mtu == 1400


def test_default_routers_come_in_the_order_of_their_metrics(watcher: Watcher) -> None:
    ip_batch(
        "address add 2001:db8::1/64 dev up0 nodad",
        "route add default via fe80::b dev up0 metric 20",
        "route add default via fe80::a dev up0 metric 10",
        "route add default nexthop via fe80::c dev up0 nexthop via fe80::d dev down0",
        "route add default dev down0 metric 5",
        "route add default via fe80::e dev up0 table 77",
        "route add unreachable default metric 9999",
    )
    snapshot = watcher.look()
    assert interface(snapshot).routers == tuple(map(IPv6Address, ("fe80::a", "fe80::b", "fe80::c")))
    assert interface(snapshot, "down0").routers == (None, IPv6Address("fe80::d"))
    assert interface(snapshot).prefixes == (IPv6Network("2001:db8::/64"),)


def test_a_lifetime_that_only_runs_down_is_no_news(watcher: Watcher) -> None:
    ip("address", "add", "2001:db8::1/64", "dev", "up0", "nodad", "valid_lft", "1000", "preferred_lft", "1000")
    heed(watcher)
    before = watcher.look()
    ip("address", "change", "2001:db8::1/64", "dev", "up0", "valid_lft", "1000", "preferred_lft", "1000")
    select([watcher.fileno()], [], [], PATIENCE_S)
    assert watcher.heed() is None
    assert watcher.look() == before
    ip("address", "change", "2001:db8::1/64", "dev", "up0", "valid_lft", "2000", "preferred_lft", "1000")
    assert heed(watcher) != before


def test_it_sees_the_addresses_that_getifaddrs_sees(watcher: Watcher) -> None:
    ip_batch(*(f"address add 2001:db8::{number:x}/64 dev up0 nodad" for number in range(1, 20)))
    theirs = {entry["addr"] for entry in netifaces.ifaddresses("up0")[netifaces.AF_INET6]}
    assert {str(one.address) for one in interface(watcher.look()).addresses} == theirs


def test_an_overrun_loses_nothing(watcher: Watcher) -> None:
    """The kernel drops announcements when nobody reads them: all is read again then."""
    news = Notifications(RTMGRP_IPV6_IFADDR)
    numbers = range(1, 1500)
    ip_batch(*(f"address add 2001:db8::{number:x}/64 dev up0 nodad" for number in numbers))
    ip("link", "set", "down0", "down")
    assert news.read() is None, "this many do not fit into the socket: the test would show nothing"
    assert news.read() == set(), "and after that all is as ever"
    news.close()
    seen = watcher.heed()
    assert seen is not None
    assert len(interface(seen).addresses) == len(numbers)
    assert not interface(seen).carrier
    fresh = Watcher()
    assert fresh.look() == seen
    fresh.close()


def test_only_the_kernel_is_believed() -> None:
    """CVE-2010-2522 of another program: anybody may send to a netlink socket."""
    with own_namespace():
        news = Notifications(RTMGRP_IPV6_IFADDR)
        with (
            socket.fromfd(news.fileno(), socket.AF_NETLINK, socket.SOCK_RAW) as ours,
            socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as liar,
        ):
            liar.sendto(NEW_ADDRESS, ours.getsockname())
        assert select([news.fileno()], [], [], PATIENCE_S)[0], "it arrived"
        assert news.read() == set()
        news.close()
