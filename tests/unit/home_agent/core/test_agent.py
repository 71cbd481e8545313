"""The home agent between updates: expiry, requests to refresh, packets that were too big, and what it tells."""

from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

import pytest

from home_agent.core import agent
from home_agent.core.cache import shift
from home_agent.core.events import (
    Command,
    Event,
    IcmpReceived,
    NoticeKind,
    PacketReceived,
    Refused,
    Send,
    SendIcmp,
    SettingsChanged,
    Tell,
    Tick,
    UnboundReceived,
    UplinkChanged,
)
from home_agent.core.settings import Node
from mip6.reception import ERROR_BURST
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.icmp import packet_too_big, parse_packet_too_big
from mip6.wire.messages import BindingError, BindingRefreshRequest, decode
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import BindingErrorStatus
from tests.unit.home_agent.core.updates import EPOCH_S, ETHERNET, HOME, LAPTOP, OWN, ROUTER, WIFI, Bench, bid, settings

CORRESPONDENT = IPv6Address("2001:db8:c::2")
ROUTER_ADDRESS = IPv6Address("2001:db8:1::1")


def step(bench: Bench, event: Event) -> list[Command]:
    bench.state, commands = agent.step(bench.state, event, bench.now)
    return commands


@pytest.mark.req("HA-08", "HA-19", "MCOA-60")
def test_a_binding_ends_with_its_lifetime_and_not_before() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET), lifetime=25)
    bench.update(bid(2, WIFI), source=WIFI, lifetime=150)
    bench.now += 99.9
    step(bench, Tick())
    assert set(bench.bindings()) == {1, 2}
    bench.now += 0.1
    step(bench, Tick())
    assert set(bench.bindings()) == {2}


def test_the_deadline_is_the_next_thing_that_happens() -> None:
    bench = Bench()
    assert agent.deadline(bench.state) == inf
    bench.update(bid(1, ETHERNET), lifetime=25)
    assert agent.deadline(bench.state) == bench.now + 90
    step_at = bench.now + 90
    bench.now = step_at
    step(bench, Tick())
    assert agent.deadline(bench.state) == pytest.approx(step_at + 10)


@pytest.mark.req("MCOA-67", "FMT-01", "MH-13")
def test_the_mobile_node_is_asked_once_to_refresh_what_is_about_to_expire() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET, priority=2), lifetime=25)
    bench.update(bid(2, WIFI, priority=1), source=WIFI, lifetime=150)
    bench.now += 91
    (command,) = step(bench, Tick())
    assert isinstance(command, Send)
    assert decode(command.packet.data) == BindingRefreshRequest((BindingIdentifier(1),))
    assert (command.packet.source, command.packet.destination, command.packet.home_address) == (OWN, WIFI, HOME)
    assert step(bench, Tick()) == []


def test_a_plain_binding_is_asked_for_without_identifier() -> None:
    bench = Bench()
    bench.update(lifetime=25)
    bench.now += 91
    (command,) = step(bench, Tick())
    assert isinstance(command, Send)
    assert decode(command.packet.data) == BindingRefreshRequest(())


def test_a_restarted_home_agent_goes_on_with_what_it_held() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    stranger = IPv6Address("2001:db8:f00::999")
    entry = bench.state.cache[HOME]
    cache = {HOME: entry, stranger: replace(entry, home_address=stranger)}
    state = agent.start(settings(), cache, epoch_offset_s=EPOCH_S)
    assert state.cache == {HOME: entry}, "but not for who is no longer configured"


def test_instants_of_another_boot_are_moved() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    entry = bench.state.cache[HOME]
    moved = shift(entry, -100)
    assert moved.bindings[1].expires_at == entry.bindings[1].expires_at - 100
    bench.update(lifetime=0)
    ended = bench.state.cache[HOME]
    assert ended.remembered_until_at is not None
    assert shift(ended, -100).remembered_until_at == ended.remembered_until_at - 100


def too_big(
    care_of: IPv6Address, *, home: IPv6Address = HOME, outer_source: IPv6Address = OWN, mtu: int = 1500
) -> bytes:
    """What the kernel says about a tunnelled packet from the correspondent."""
    inner = bytes((0x60, 0, 0, 0, 5, 160, 17, 63)) + CORRESPONDENT.packed + home.packed + bytes(1440)
    outer = bytes((0x60, 0, 0, 0, 5, 200, 41, 64)) + outer_source.packed + care_of.packed + inner
    return packet_too_big(mtu, outer, OWN, outer_source)


@pytest.mark.req("PKT-16", "PKT-19")
def test_too_big_a_packet_in_the_tunnel_is_told_to_who_sent_it() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    (command,) = step(bench, IcmpReceived(too_big(ETHERNET), ROUTER_ADDRESS))
    assert isinstance(command, SendIcmp)
    assert (command.error.source, command.error.destination) == (OWN, CORRESPONDENT)
    mtu, quoted = parse_packet_too_big(command.error.data)
    assert mtu == 1460
    assert quoted[8:24] == CORRESPONDENT.packed
    assert len(command.error.data) <= 1240


@pytest.mark.req("PKT-19")
def test_nobody_is_told_of_a_packet_size_below_the_minimum() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    (command,) = step(bench, IcmpReceived(too_big(ETHERNET, mtu=1280), ROUTER_ADDRESS))
    assert isinstance(command, SendIcmp)
    assert parse_packet_too_big(command.error.data)[0] == 1280


def test_forged_complaints_are_not_passed_on() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    for data in (
        too_big(WIFI),
        too_big(ETHERNET, home=HOME + 1),
        too_big(ETHERNET, outer_source=WIFI),
        b"",
        too_big(ETHERNET)[:60],
        bytes((1, 0)) + too_big(ETHERNET)[2:],
        too_big(ETHERNET)[:14] + b"\x06" + too_big(ETHERNET)[15:],
    ):
        assert step(bench, IcmpReceived(data, ROUTER_ADDRESS)) == []
    assert bench.state.dropped == {"packet too big about no binding": 2}


def test_no_more_complaints_are_passed_on_than_a_router_may_send() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    passed_on = sum(len(step(bench, IcmpReceived(too_big(ETHERNET), ROUTER_ADDRESS))) for _ in range(500))
    assert passed_on == ERROR_BURST


def test_broken_extension_headers_are_counted() -> None:
    bench = Bench()
    assert step(bench, PacketReceived(DecodeError(DecodeReason.NO_HOME_ADDRESS))) == []
    assert bench.state.dropped == {"no home address option": 1}


def test_it_tells_what_changed() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    assert Tell(NoticeKind.BINDING, f"{HOME}: 1: {ETHERNET}") in bench.commands
    bench.update(lifetime=0)
    assert Tell(NoticeKind.BINDING, f"{HOME}: no binding") in bench.commands


def test_what_the_operating_system_refuses_is_told_until_it_is_over() -> None:
    bench = Bench()
    assert step(bench, Refused("routing", "Operation not permitted")) == [
        Tell(NoticeKind.TROUBLE, "routing: Operation not permitted")
    ]
    assert bench.state.troubles == {"routing": "Operation not permitted"}
    assert step(bench, Refused("routing", None)) == []
    assert bench.state.troubles == {}


def test_the_uplink_may_go() -> None:
    bench = Bench()
    step(bench, UplinkChanged(None))
    assert bench.state.uplink is None


def reconfigured(bench: Bench, *nodes: Node, **changes: object) -> list[Command]:
    return step(bench, SettingsChanged(replace(settings(**changes), node=nodes)))


def test_what_is_bound_stays_when_the_configuration_changes_around_it() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    visitor = Node(name="new", identity="new@example.org", home_address=CORRESPONDENT, spi=300, key=bytes(16))
    assert reconfigured(bench, ROUTER, replace(LAPTOP, name="renamed"), visitor, max_bindings=1) == []
    assert set(bench.bindings()) == {1}
    refused = bench.update(bid(2, WIFI), source=WIFI)
    assert refused is not None
    assert refused.status >= 128, "what is asked for from now on meets the new limit"


@pytest.mark.parametrize(
    "nodes",
    [
        (ROUTER,),
        (ROUTER, replace(LAPTOP, key=bytes(20))),
        (replace(ROUTER, home_address=HOME), replace(LAPTOP, home_address=ROUTER.home_address)),
    ],
)
def test_who_is_served_no_more_or_proves_himself_otherwise_is_unbound(nodes: tuple[Node, ...]) -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    assert reconfigured(bench, *nodes) == [Tell(NoticeKind.BINDING, f"{HOME}: no binding")]
    assert HOME not in bench.state.cache


def test_a_node_that_was_added_is_served() -> None:
    bench = Bench()
    reconfigured(bench, ROUTER)
    assert bench.update(bid(1, ETHERNET)) is None
    reconfigured(bench, ROUTER, LAPTOP)
    answer = bench.update(bid(1, ETHERNET))
    assert answer is not None
    assert answer.status == 0


@pytest.mark.req("PKT-08", "FMT-07")
def test_payload_from_where_its_home_address_is_not_bound_draws_a_binding_error() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    assert step(bench, UnboundReceived(ETHERNET, HOME)) == [], "bound since the packet filter looked"
    for source, home_address in ((WIFI, HOME), (ETHERNET, CORRESPONDENT)):
        (command,) = step(bench, UnboundReceived(source, home_address))
        assert isinstance(command, Send)
        packet = command.packet
        assert decode(packet.data) == BindingError(BindingErrorStatus.UNKNOWN_BINDING, home_address)
        assert (packet.source, packet.destination, packet.home_address) == (OWN, source, None)
        assert not packet.protected
    assert bench.state.dropped == {"Home Address option without a binding": 2}


@pytest.mark.req("MH-20")
@pytest.mark.parametrize("source", ["::", "fe80::1", "ff02::1"])
def test_no_binding_error_goes_to_what_is_no_care_of_address(source: str) -> None:
    bench = Bench()
    assert step(bench, UnboundReceived(IPv6Address(source), HOME)) == []
    assert bench.state.dropped == {"Home Address option without a binding": 1}


@pytest.mark.req("MH-20", "PKT-08")
def test_binding_errors_about_payload_are_limited() -> None:
    bench = Bench()
    said = [step(bench, UnboundReceived(WIFI, HOME)) for _ in range(int(ERROR_BURST) + 10)]
    assert [bool(commands) for commands in said] == [True] * int(ERROR_BURST) + [False] * 10
