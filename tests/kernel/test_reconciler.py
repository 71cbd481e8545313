"""The kernel becomes what is wanted, whatever it was; `ip` and `nft` are the judges."""

import errno
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from random import Random

import pytest
from pyroute2.netlink.rtnl.fibmsg import fibmsg

from mip6.kernel import (
    ANYWHERE,
    DELIVER,
    Address,
    Encapsulate,
    Kernel,
    Neighbor,
    Route,
    Rule,
    decapsulation_route,
    host,
    tunnel_route_mtu,
)
from mip6.linux import routing
from mip6.linux.netlink import NLM_F_CREATE, Netlink, NetlinkError, Notifications, message
from mip6.linux.reconciler import Reconciler
from mip6.mark import Mark
from mip6.table import Chain, Set, Table
from tests.kernel.namespace import cable, ip, ip_batch, ip_json, own_namespace

TABLE = "m6test"
HOME, PEER, GATEWAY = (IPv6Address(text) for text in ("2001:db8:f00::10", "2001:db8:aa::1", "fe80::1"))
FILTER = Table(
    TABLE,
    sets={"care_of": Set("set", "typeof ip6 saddr;"), "source": Set("map", "typeof oif : ip6 saddr;")},
    counters=frozenset(("seen",)),
    chains={
        "input": Chain(("ip6 saddr @care_of counter name seen",), "type filter hook input priority 0; policy accept;")
    },
)


@pytest.fixture
def index() -> Iterator[int]:
    """Of up0, in a namespace with one cable."""
    with own_namespace():
        cable("up0", "down0")
        yield ip_json("link", "show", "up0")[0]["ifindex"]


@pytest.fixture
def reconciler(index: int) -> Iterator[Reconciler]:  # the namespace comes first
    reconciler = Reconciler(TABLE)
    yield reconciler
    reconciler.close()


def everything(index: int) -> Kernel:
    """One of each thing that can be wanted."""
    source = Route(302, ANYWHERE, index, source=HOME, mtu=tunnel_route_mtu(1500), tunnel=Encapsulate(PEER))
    return Kernel(
        addresses=frozenset((Address(HOME), Address(HOME, index))),
        neighbors=frozenset((Neighbor(index, PEER, bytes.fromhex("026d36000009")),)),
        rules=(
            Rule(0, 300, destination=host(DELIVER)),
            Rule(
                0,
                301,
                destination=IPv6Network("2001:db8:aa::/64"),
                mark=Mark(0x01000000, 0xFF000000),
                ip_protocol=41,
                order=1,
            ),
            Rule(0, 302, source=host(HOME), order=2),
            Rule(32764, 254, suppress_prefix_length=0, local_only=True),
        ),
        routes=frozenset(
            (
                decapsulation_route(300, DELIVER, 255),
                Route(301, ANYWHERE, index, gateway=GATEWAY),
                source,
                Route(303, IPv6Network("2001:db8:1::/48")),
                Route(303, IPv6Network("2001:db8:2::/48"), index, metric=7),
            )
        ),
        table=replace(FILTER, elements={"care_of": frozenset((PEER,)), "source": {index: HOME}}),
    )


def nft(*arguments: str) -> str:
    return subprocess.run(["nft", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def seen(table: str) -> list[str]:
    return sorted(line.strip() for line in ip("-6", "route", "show", "table", table).splitlines())


def test_ip_and_nft_show_what_was_asked_for(reconciler: Reconciler, index: int) -> None:
    assert reconciler.apply(everything(index)) == []
    assert seen("300") == [
        "local 100::6d36:1  encap seg6local action End.DT6 table local dev lo proto 146 metric 1024 pref medium"
    ]
    assert seen("301") == ["default via fe80::1 dev up0 proto 146 metric 1024 pref medium"]
    (tunnel,) = seen("302")
    assert tunnel.startswith("default  encap seg6 mode")
    assert "segs 1 [ 2001:db8:aa::1 ] dev up0 proto 146 src 2001:db8:f00::10 metric 1024 mtu 1524" in tunnel
    assert seen("303") == [
        "2001:db8:2::/48 dev up0 proto 146 metric 7 pref medium",
        "unreachable 2001:db8:1::/48 dev lo proto 146 metric 1024 pref medium",
    ]
    rules = [line.split(":", 1) for line in ip("-6", "rule", "show").splitlines()]
    ours = [(int(priority), text.strip()) for priority, text in rules if "proto 146" in text]
    assert ours == [
        (0, "from all to 100::6d36:1 lookup 300 proto 146"),
        (0, "from all to 2001:db8:aa::/64 fwmark 0x1000000/0xff000000 ipproto ipv6 lookup 301 proto 146"),
        (0, "from 2001:db8:f00::10 lookup 302 proto 146"),
        (32764, "from all iif lo lookup main suppress_prefixlength 0 proto 146"),
    ]
    assert "inet6 2001:db8:f00::10/128 scope global" in ip("-6", "address", "show", "dev", "lo")
    table = json.loads(nft("-j", "list", "table", "ip6", TABLE))["nftables"]
    elements = {one["set"]["name"]: one["set"]["elem"] for one in table if "set" in one}
    elements |= {one["map"]["name"]: one["map"]["elem"] for one in table if "map" in one}
    assert elements == {"care_of": [str(PEER)], "source": [["up0", str(HOME)]]}


def test_what_the_kernel_says_is_what_was_asked_for(reconciler: Reconciler, index: int) -> None:
    wanted = everything(index)
    reconciler.apply(wanted)
    fresh, news = Reconciler(TABLE), Notifications(routing.RTMGRP_IPV6_ROUTE | routing.RTMGRP_IPV6_RULE)
    assert fresh.apply(replace(wanted, table=None)) == []
    assert news.read() == set(), "adopted as it was"
    fresh.close()
    news.close()


def test_rules_that_are_there_are_not_put_there_again(reconciler: Reconciler, index: int) -> None:
    wanted = everything(index)
    wanted = replace(wanted, rules=wanted.rules[::-1])
    reconciler.apply(wanted)
    news = Notifications(routing.RTMGRP_IPV6_RULE)
    reconciler.apply(replace(wanted, routes=frozenset()))
    reconciler.apply(wanted)
    assert news.read() == set()
    news.close()


@pytest.mark.parametrize("seed", range(5))
def test_any_state_becomes_any_other(reconciler: Reconciler, index: int, seed: int) -> None:
    """Each is read back by somebody who knows nothing of what was there."""
    random, full = Random(seed), everything(index)
    for _ in range(12):
        wanted = Kernel(
            addresses=full.addresses,  # routes name it as source
            rules=tuple(rule for rule in full.rules if random.random() < 0.6),
            routes=frozenset(route for route in full.routes if random.random() < 0.6),
            table=random.choice((full.table, None)),
        )
        assert reconciler.apply(wanted) == []
        fresh = Reconciler(TABLE)
        assert fresh._actual == replace(wanted, table=None)
        fresh.close()
        assert (TABLE in nft("list", "tables")) == (wanted.table is not None)
    assert reconciler.apply(Kernel()) == []
    assert "proto 146" not in ip("-6", "route", "show", "table", "all") + ip("-6", "rule", "show")


def test_what_is_somebody_elses_stays(reconciler: Reconciler, index: int) -> None:
    ip_batch(
        "address add 2001:db8:f00::99/128 dev lo",
        "rule add from 2001:db8::7 table 302 priority 5",
        "route add 2001:db8:77::/48 dev up0 table 302",
        "route add 2001:db8:1::/48 dev up0 table 303 metric 5",
    )
    nft("add table ip6 others")
    before = [ip("-6", "address"), ip("-6", "rule"), ip("-6", "route", "show", "table", "all")]
    reconciler.apply(everything(index))
    reconciler.apply(Kernel())
    assert [ip("-6", "address"), ip("-6", "rule"), ip("-6", "route", "show", "table", "all")] == before
    assert nft("list", "tables") == "table ip6 others\n"


def test_what_the_kernel_refuses_is_told_and_done_later(reconciler: Reconciler, index: int) -> None:
    good, bad = Route(301, ANYWHERE, index, gateway=GATEWAY), Route(302, ANYWHERE, 4711)
    (refusal,) = reconciler.apply(Kernel(routes=frozenset((good, bad))))
    assert "4711" in refusal.what
    assert "No such device" in refusal.why
    assert seen("301") == ["default via fe80::1 dev up0 proto 146 metric 1024 pref medium"], "the rest was done"
    ip("link", "add", "late0", "index", "4711", "type", "veth", "peer", "name", "late1")
    ip("link", "set", "late0", "up")
    assert reconciler.apply(Kernel(routes=frozenset((good, bad)))) == []


def test_a_home_address_that_somebody_replaces_becomes_one_again(reconciler: Reconciler) -> None:
    """NetworkManager does so when it puts back what it has taken from the loopback interface."""
    wanted = Kernel(addresses=frozenset((Address(HOME),)))
    reconciler.apply(wanted)
    ip("address", "replace", f"{HOME}/128", "dev", "lo")
    assert "home" not in ip("-6", "address", "show", "dev", "lo")
    assert reconciler.heed()
    assert reconciler.apply(wanted) == []
    assert f"inet6 {HOME}/128 scope global nodad home" in ip("-6", "address", "show", "dev", "lo")
    assert not reconciler.heed()


def test_a_table_that_nftables_refuses_changes_nothing(reconciler: Reconciler) -> None:
    (refusal,) = reconciler.apply(Kernel(table=Table(TABLE, sets={"broken": Set("set", "type nonsense;")})))
    assert refusal.what == "nftables"
    assert "unknown datatype nonsense" in refusal.why
    assert nft("list", "tables") == ""


def test_counters_go_on_when_only_elements_change(reconciler: Reconciler, index: int) -> None:
    wanted = everything(index)
    assert wanted.table is not None
    reconciler.apply(wanted)
    ip("address", "add", f"{PEER}/128", "dev", "lo", "nodad")
    subprocess.run(["ping", "-6", "-c", "2", "-i", "0.01", str(PEER)], check=True, stdout=subprocess.DEVNULL)
    counted = reconciler.counters()["seen"]
    assert counted.packets >= 2, "at least one request and its answer"
    assert counted.octets == counted.packets * (40 + 64)
    more = replace(wanted.table, elements={"care_of": frozenset((PEER, HOME)), "source": {}})
    reconciler.apply(replace(wanted, table=more))
    assert reconciler.counters()["seen"] == counted


def test_an_attribute_that_pyroute2_does_not_know_is_refused() -> None:
    """It would drop it in silence: a rule with a misspelt selector matches everything."""
    with pytest.raises(ValueError, match="has no attribute FRA_SPORT"):
        message(fibmsg, {}, {"FRA_SPORT": 53})
    with pytest.raises(ValueError, match="has no field colour"):
        message(fibmsg, {"colour": 1}, {})
    nested = {"RTA_ENCAP_TYPE": routing.SEG6LOCAL, "RTA_ENCAP": {"attrs": [("SEG6_LOCAL_COLOUR", 1)]}}
    with pytest.raises(ValueError, match="has no attribute SEG6_LOCAL_COLOUR"):
        message(routing.RouteMessage, {}, nested)


def test_the_kernels_own_words_come_with_a_refusal(index: int) -> None:
    ip("address", "add", "2001:db8::1/64", "dev", "up0", "nodad")
    via_ourselves = routing.route_message(Route(301, ANYWHERE, index, gateway=IPv6Address("2001:db8::1")))
    netlink = Netlink()
    with pytest.raises(NetlinkError, match="Gateway can not be a local address") as caught:
        netlink.request(routing.RTM_NEWROUTE, via_ourselves, NLM_F_CREATE)
    netlink.close()
    assert caught.value.errno == errno.EINVAL


@pytest.mark.req("MCOA-44", "MCOA-49")
def test_where_somebody_is_on_a_link_and_that_we_are_there_too(reconciler: Reconciler, index: int) -> None:
    here, there = Address(HOME, index), Neighbor(index, PEER, bytes.fromhex("026d36000009"))
    reconciler.apply(Kernel(addresses=frozenset((here,)), neighbors=frozenset((there,))))
    (told,) = [one for one in ip_json("-6", "address", "show", "up0")[0]["addr_info"] if one["scope"] == "global"]
    assert (told["local"], told["prefixlen"], told.get("nodad")) == (str(HOME), 128, True)
    assert ip_json("-6", "route", "show", "dev", "up0", str(HOME)) == [], "others on the link have other addresses"
    (told,) = ip_json("-6", "neighbor", "show", "nud", "permanent", "dev", "up0")
    assert (told["dst"], told["lladdr"]) == (str(PEER), "02:6d:36:00:00:09")
    moved = replace(there, hardware_address=bytes.fromhex("026d3600000a"))
    reconciler.apply(Kernel(addresses=frozenset((here,)), neighbors=frozenset((moved,))))
    (told,) = ip_json("-6", "neighbor", "show", "nud", "permanent", "dev", "up0")
    assert told["lladdr"] == "02:6d:36:00:00:0a"
    ip("address", "delete", f"{HOME}/128", "dev", "up0")
    assert reconciler.heed()
    reconciler.apply(Kernel())
    assert ip_json("-6", "neighbor", "show", "nud", "permanent", "dev", "up0") == []
