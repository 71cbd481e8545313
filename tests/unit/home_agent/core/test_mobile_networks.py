"""What a home agent makes of Binding Updates of mobile routers (RFC 3963 section 6)."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from types import MappingProxyType

import pytest

from home_agent.core import agent, saved
from home_agent.core.cache import CacheEntry
from home_agent.core.discovery import answer
from home_agent.core.events import (
    HomeLinkChanged,
    IcmpReceived,
    NeighborHeard,
    SendIcmp,
    SendNeighbor,
    SettingsChanged,
    Tick,
)
from home_agent.core.home_agents import HomeAgents, hear
from home_agent.core.home_link import HomeLink
from home_agent.core.kernel import HOME_TABLE, SLOT_TABLES, wanted_kernel
from home_agent.core.mobile_networks import HOST, MobileNetwork, conflict
from home_agent.core.report import status
from home_agent.core.settings import Node, Peer, Settings
from mip6.kernel import Encapsulate
from mip6.wire.discovery import (
    HomeAgentAddressDiscoveryReply,
    HomeAgentAddressDiscoveryRequest,
    PrefixInformation,
    decode,
    encode,
)
from mip6.wire.flows import BindingReference
from mip6.wire.icmp import packet_too_big
from mip6.wire.neighbor import NeighborAdvertisement, NeighborSolicitation
from mip6.wire.options import FlowIdentification, MobileNetworkPrefix
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, Status
from mip6.wire.router import HomeAgentInformation, RouterAdvertisement
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from tests.unit.home_agent.core.updates import ETHERNET, HOME, LAPTOP, OWN, ROUTER, WIFI, A, Bench, H, R, bid, settings

BUS, TRAIN = IPv6Network("2001:db8:f00:10::/64"), IPv6Network("2001:db8:b05::/56")
ROUTING = replace(LAPTOP, prefixes=(BUS, TRAIN))
LINK = HomeLink(7, bytes.fromhex("026d36000001"), IPv6Address("fe80::1"))


def with_node(node: Node, **changes: object) -> Settings:
    return replace(settings(**changes), node=(node, ROUTER))


def bench(node: Node = ROUTING, **changes: object) -> Bench:
    made = Bench(**changes)
    reconfigure(made, node, **changes)
    return made


def reconfigure(made: Bench, node: Node, **changes: object) -> None:
    made.state, made.commands = agent.step(made.state, SettingsChanged(with_node(node, **changes)), made.now)


def network(*prefixes: IPv6Network) -> list[MobileNetworkPrefix]:
    return [MobileNetworkPrefix(prefix.prefixlen, prefix.network_address) for prefix in prefixes]


def update(
    made: Bench,
    *prefixes: IPv6Network,
    flags: BindingUpdateFlag = A | H | R,
    number: int = 1,
    source: IPv6Address = ETHERNET,
    lifetime: int = 150,
) -> Status:
    told = made.update(bid(number, source), *network(*prefixes), flags=flags, source=source, lifetime=lifetime)
    assert told is not None
    assert bool(told.flags & BindingAcknowledgementFlag.MOBILE_ROUTER) == bool(flags & R)
    return Status(told.status)


def held(made: Bench) -> MobileNetwork:
    assert made.entry is not None
    return made.entry.network


@pytest.mark.req("NEMO-03", "NEMO-16")
def test_in_explicit_mode_it_gets_what_it_names_and_in_implicit_mode_all() -> None:
    made = bench()
    assert update(made, TRAIN, TRAIN) is Status.ACCEPTED
    assert held(made) == MobileNetwork(is_router=True, prefixes=(TRAIN,))
    assert update(made) is Status.ACCEPTED
    assert held(made) == MobileNetwork(is_router=True, prefixes=(BUS, TRAIN))


@pytest.mark.req("NEMO-14", "MCOA-34")
def test_each_update_says_anew_which_prefixes_there_are() -> None:
    made = bench()
    update(made, BUS, TRAIN)
    assert update(made, BUS, number=2, source=WIFI) is Status.ACCEPTED
    assert held(made).prefixes == (BUS,)
    assert set(made.bindings()) == {1, 2}


@pytest.mark.req("NEMO-15", "NEMO-05")
@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ((BUS, IPv6Network("2001:db8:bad::/48")), Status.NOT_AUTHORIZED_FOR_PREFIX),
        ((TRAIN, IPv6Network("2001:db8:b05::/64")), Status.NOT_AUTHORIZED_FOR_PREFIX),
    ],
)
def test_all_prefixes_or_none(asked: tuple[IPv6Network, ...], status: Status) -> None:
    made = bench()
    assert update(made, *asked) is status
    assert made.bindings() == {}


@pytest.mark.req("NEMO-15")
@pytest.mark.parametrize(("length", "prefix"), [(64, "2001:db8:f00:10::1"), (129, "2001:db8:f00:10::")])
def test_what_is_no_prefix_is_refused_with_141(length: int, prefix: str) -> None:
    made = bench()
    told = made.update(bid(1, ETHERNET), MobileNetworkPrefix(length, IPv6Address(prefix)), flags=A | H | R)
    assert told is not None
    assert told.status == Status.INVALID_PREFIX
    assert made.bindings() == {}


@pytest.mark.req("NEMO-15")
def test_a_node_without_prefixes_is_no_router_in_any_mode() -> None:
    made = bench(LAPTOP)
    assert update(made) is Status.FORWARDING_SETUP_FAILED
    assert update(made, BUS) is Status.NOT_AUTHORIZED_FOR_PREFIX


@pytest.mark.req("NEMO-13", "NEMO-01")
def test_a_router_is_at_home_with_its_home_agent_only() -> None:
    made = bench()
    assert update(made, flags=A | R) is Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED


@pytest.mark.req("NEMO-13")
def test_a_router_stays_one_and_a_host_too_until_it_deregisters() -> None:
    made = bench()
    assert update(made, flags=A | H) is Status.ACCEPTED
    assert update(made) is Status.REGISTRATION_TYPE_CHANGE_DISALLOWED
    assert held(made) == HOST
    assert set(made.bindings()) == {1}
    assert update(made, lifetime=0) is Status.ACCEPTED
    assert update(made) is Status.ACCEPTED
    assert update(made, flags=A | H) is Status.REGISTRATION_TYPE_CHANGE_DISALLOWED
    assert held(made).is_router


def test_a_router_that_is_refused_as_such_may_come_as_a_host() -> None:
    made = bench()
    assert update(made, BUS) is Status.ACCEPTED
    assert update(made, IPv6Network("2001:db8:bad::/48")) is Status.NOT_AUTHORIZED_FOR_PREFIX
    assert made.bindings() == {}
    assert update(made, flags=A | H) is Status.ACCEPTED
    assert held(made) == HOST


@pytest.mark.req("NEMO-19")
def test_prefixes_end_with_the_last_binding_and_not_before() -> None:
    made = bench()
    update(made, BUS)
    update(made, BUS, number=2, source=WIFI)
    assert update(made, TRAIN, lifetime=0) is Status.ACCEPTED, "what it names then means nothing"
    assert held(made) == MobileNetwork(is_router=True, prefixes=(BUS,))
    assert update(made, number=2, source=WIFI, lifetime=0) is Status.ACCEPTED
    assert held(made) == HOST


@pytest.mark.req("NEMO-19")
def test_prefixes_expire_with_the_last_binding() -> None:
    made = bench()
    update(made, BUS)
    made.state, _ = agent.step(made.state, Tick(), made.now + 601)
    assert held(made) == HOST


def test_an_update_that_binds_nothing_changes_no_prefixes() -> None:
    made = bench(max_bindings=1)
    update(made, BUS)
    assert update(made, TRAIN, number=2, source=WIFI) is Status.INSUFFICIENT_RESOURCES
    assert held(made).prefixes == (BUS,)
    fresh = bench(max_bindings=1)
    told = fresh.update(bid(0, ETHERNET), *network(BUS), flags=A | H | R)
    assert told is not None
    assert told.status == Status.MCOA_MALFORMED
    assert held(fresh) == HOST


def test_a_prefix_that_the_configuration_takes_away_is_gone_and_the_rest_stays() -> None:
    made = bench()
    update(made)
    reconfigure(made, replace(LAPTOP, prefixes=(TRAIN,)))
    assert held(made).prefixes == (TRAIN,)
    assert set(made.bindings()) == {1}
    reconfigure(made, ROUTING)
    assert held(made).prefixes == (TRAIN,), "it has not asked for the other since"


def test_what_was_saved_is_limited_to_what_is_configured_now() -> None:
    made = bench()
    update(made)
    cache = saved.restore(saved.save(made.state.cache))
    assert cache == made.state.cache
    again = agent.start(with_node(replace(LAPTOP, prefixes=(BUS,))), cache, epoch_offset_s=0.0)
    assert again.cache[HOME].network.prefixes == (BUS,)


# Who asks for home agents


def asked(
    known: Settings, *, mobile_router: bool, heard: HomeAgents = MappingProxyType({})
) -> tuple[bool, tuple[IPv6Address, ...]]:
    request = HomeAgentAddressDiscoveryRequest(6, mobile_router=mobile_router)
    reply = answer(known, heard, encode(request, ETHERNET, OWN), ETHERNET)
    assert reply is not None
    message = decode(reply.data)
    assert isinstance(message, HomeAgentAddressDiscoveryReply)
    return message.mobile_router, message.home_agents


@pytest.mark.req("DHAAD-06", "NEMO-21")
def test_routers_are_told_of_home_agents_for_routers() -> None:
    peers = tuple(Peer(address=OWN + number, mobile_routers=number == 2) for number in (1, 2))
    known = replace(with_node(ROUTING), peer=peers)
    assert asked(known, mobile_router=False) == (False, (OWN, OWN + 1, OWN + 2))
    assert asked(known, mobile_router=True) == (True, (OWN, OWN + 2))
    for_hosts = replace(known, node=(LAPTOP,))
    assert asked(for_hosts, mobile_router=True) == (True, (OWN + 2,))
    for_nobody = replace(for_hosts, peer=peers[:1])
    assert asked(for_nobody, mobile_router=True) == (False, (OWN, OWN + 1))


@pytest.mark.req("NEMO-21")
@pytest.mark.parametrize("serves", [True, False])
def test_home_agents_on_the_home_link_say_whether_they_serve_routers(*, serves: bool) -> None:
    own = PrefixInformation(
        64,
        on_link=True,
        autonomous=True,
        router_address=True,
        valid_lifetime=600,
        preferred_lifetime=600,
        prefix=OWN + 3,
    )
    options = own, HomeAgentInformation(serves, 0, 600)
    heard = hear({}, RouterAdvertisement(LINK.address, False, False, True, 600, options), 0.0)
    assert asked(with_node(LAPTOP), mobile_router=True, heard=heard)[0] is serves
    assert OWN + 3 in asked(with_node(LAPTOP), mobile_router=True, heard=heard)[1]


# On the home link


@pytest.mark.req("NEMO-17")
def test_it_is_announced_as_a_router_there() -> None:
    made = bench(home_link="eth1")
    made.state, _ = agent.step(made.state, HomeLinkChanged(LINK), made.now)
    update_later(made)
    question = NeighborSolicitation(IPv6Address("fe80::2"), HOME, HOME)
    spoken = [command.message for command in made.commands if isinstance(command, SendNeighbor)]
    made.state, made.commands = agent.step(made.state, NeighborHeard(question), made.now)
    spoken += [command.message for command in made.commands if isinstance(command, SendNeighbor)]
    assert len(spoken) == 2
    assert all(isinstance(one, NeighborAdvertisement) and one.router for one in spoken)


def update_later(made: Bench) -> None:
    """The home address is checked first."""
    assert made.update(bid(1, ETHERNET), flags=A | H | R) is None
    made.now += 1.0
    made.state, made.commands = agent.step(made.state, Tick(), made.now)


@pytest.mark.req("NEMO-17")
def test_a_home_address_from_behind_the_router_is_not_looked_for_there() -> None:
    made = bench(replace(LAPTOP, prefixes=(BUS, IPv6Network("2001:db8:f00::100/120"))), home_link="eth1")
    made.state, _ = agent.step(made.state, HomeLinkChanged(LINK), made.now)
    assert update(made) is Status.ACCEPTED, "at once"
    assert not any(isinstance(command, SendNeighbor) for command in made.commands)


# Packets too big for the tunnel


@pytest.mark.req("PKT-19")
def test_who_sends_too_much_to_a_host_behind_the_router_is_told() -> None:
    made = bench()
    update(made)
    correspondent = IPv6Address("2001:db8:cc::1")

    def header(next_header: int, source: IPv6Address, destination: IPv6Address) -> bytes:
        return bytes([0x60, 0, 0, 0, 0, 40, next_header, 64]) + source.packed + destination.packed

    for host, told in ((BUS[5], [correspondent]), (IPv6Address("2001:db8:bad::5"), [])):
        packet = header(41, OWN, ETHERNET) + header(17, correspondent, host)
        data = packet_too_big(1400, packet, WIFI, OWN)
        made.state, commands = agent.step(made.state, IcmpReceived(data, WIFI), made.now)
        assert [one.error.destination for one in commands if isinstance(one, SendIcmp)] == told


# Configuration


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        ("2001:db8:f00:10::/64", None),
        ("::/0", "must be a global or unique local prefix"),
        ("fe80::/64", "must be a global or unique local prefix"),
        ("2001:db8:a::/48", "the home agent's own address is in it"),
        ("2001:db8:f00::/40", "a whole home prefix is in it"),
        ("2001:db8:f00::/64", "the home address of router is in it"),
        ("2001:db8:b05::/64", "overlaps a prefix of router"),
        ("2001:db8:b00::/40", "overlaps a prefix of router"),
    ],
)
def test_a_prefix_belongs_to_one_node_only(prefix: str, why: str | None) -> None:
    known = replace(settings(), node=(LAPTOP, replace(ROUTER, prefixes=(TRAIN,))))
    network = IPv6Network(prefix)
    assert conflict(known, replace(LAPTOP, prefixes=(network,))) == (None if why is None else (network, why))


def test_an_entry_keeps_what_it_may_have() -> None:
    entry = CacheEntry(HOME, 1, 0, network=MobileNetwork(is_router=True, prefixes=(BUS,)))
    assert entry.limited_to((BUS, TRAIN)) is entry


# In the kernel


def routes(made: Bench) -> dict[IPv6Network, list[IPv6Address | None]]:
    """Where prefixes and home addresses go, by table; None: nowhere."""
    found: dict[IPv6Network, list[IPv6Address | None]] = {}
    for route in sorted(wanted_kernel(made.state).routes, key=lambda route: route.table):
        if route.table == HOME_TABLE or SLOT_TABLES <= route.table < SLOT_TABLES + 8:
            peer = route.tunnel.peer if isinstance(route.tunnel, Encapsulate) else None
            found.setdefault(route.destination, []).append(peer)
    return found


def elements(made: Bench, name: str) -> set[str]:
    table = wanted_kernel(made.state).table
    assert table is not None
    return {str(element) for element in table.elements[name]}


@pytest.mark.req("NEMO-18")
def test_prefixes_go_where_the_home_address_goes() -> None:
    made = bench()
    assert routes(made)[BUS] == routes(made)[TRAIN] == [None]
    update(made, BUS)
    assert routes(made)[BUS] == [ETHERNET]
    assert routes(made)[TRAIN] == [None]
    update(made, lifetime=0)
    assert routes(made)[BUS] == [None]


@pytest.mark.req("NEMO-18", "SC-10")
def test_what_comes_from_a_prefix_comes_from_the_care_of_addresses_of_its_router() -> None:
    made = bench(replace(ROUTING, prefixes=(*ROUTING.prefixes, IPv6Network("2001:db8:b06::/62"))))
    update(made)
    update(made, number=2, source=WIFI)
    assert elements(made, "network_56") == {f"{one} . 0x20010db80b0500" for one in (ETHERNET, WIFI)}
    assert elements(made, "network_64") == {
        f"{one} . {two}"
        for one in (ETHERNET, WIFI)
        for two in (
            "0x20010db80f000010",
            "0x20010db80b060000",
            "0x20010db80b060001",
            "0x20010db80b060002",
            "0x20010db80b060003",
        )
    }
    table = wanted_kernel(made.state).table
    assert table is not None
    assert (
        "ip6 saddr . @th,64,56 @network_56 counter name tunnelled goto decapsulate" in table.chains["from_tunnel"].rules
    )


def test_flows_of_a_router_are_those_of_its_network() -> None:
    made = bench()
    flow = FlowIdentification(1, 1, 0, (Ipv6Selector(destination=Span.only(BUS[5])), BindingReference((2, 1))))
    update(made, BUS)
    told = made.update(bid(2, WIFI), *network(BUS), flow, flags=A | H | R, source=WIFI)
    assert told is not None
    assert elements(made, "network") == {str(BUS)}
    assert routes(made)[BUS] == [WIFI, ETHERNET, WIFI], "the last heard of, then by slot"
    assert elements(made, "copy_network_1") == {str(BUS)}


def test_a_home_agent_without_routers_has_none_of_this() -> None:
    made = bench(LAPTOP)
    made.update(bid(1, ETHERNET))
    table = wanted_kernel(made.state).table
    assert table is not None
    assert not [name for name in (*table.sets, *table.elements) if "network" in name]


def test_on_a_home_link_a_prefix_that_is_not_bound_is_not_cut_off() -> None:
    assert BUS not in routes(bench(home_link="eth1"))


def test_what_people_see_of_it() -> None:
    made = bench()
    update(made, BUS)
    shown, other = status(made.state, made.now, unix_time=0.0, version="1", pid=2, counters={}).nodes
    assert shown.router
    assert {one.prefix: one.forwarded for one in shown.prefixes} == {str(BUS): True, str(TRAIN): False}
    assert (other.router, other.prefixes) == (False, [])
