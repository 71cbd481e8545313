"""Payload in IPsec: which packets meet which policy, of a mobile router and of a host."""

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from socket import IPPROTO_UDP

import pytest

from mip6.ike import Lifetime, TrafficSelector, tunnel_child
from mip6.ipsec import RETURN_ROUTABILITY, Association, Side, Use, receiving, sending, tunnel_policies
from mip6.kernel import ANYWHERE, Device
from mip6.wire.registry import NextHeader
from mip6.xfrm import Direction, Policy, PolicyId

HOME, AGENT, CORRESPONDENT = (IPv6Address(f"2001:db8:{end}") for end in ("f00::10", "aa::1", "cc::1"))
BUS, TRAIN = IPv6Network("2001:db8:b05::/56"), IPv6Network("2001:db8:7a11::/64")
NEIGHBOUR, LIFETIME = IPv6Address("fe80::1"), Lifetime(60)
HOST, ROUTER = Association(HOME, AGENT), Association(HOME, AGENT, networks=(BUS, TRAIN))


def policies(association: Association, side: Side, *, payload: bool = True) -> dict[PolicyId, Policy]:
    found = list(tunnel_policies(association, side, (RETURN_ROUTABILITY, 1), payload=payload))
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


def met(
    known: dict[PolicyId, Policy],
    direction: Direction,
    source: IPv6Address,
    destination: IPv6Address,
    protocol: int = IPPROTO_UDP,
) -> Policy | None:
    """The policy that such a packet meets."""
    if_id = Device(1).if_id if direction is Direction.OUT else 0

    def fitting() -> Iterator[Policy]:
        for id_, policy in known.items():
            selector = id_.selector
            there = source in selector.source and destination in selector.destination
            if (id_.direction, id_.if_id) == (direction, if_id) and there and selector.protocol in (0, protocol):
                yield policy

    return min(fitting(), key=lambda policy: policy.priority, default=None)


@pytest.mark.req("SEC-07", "NEMO-18")
@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("own", [HOME, BUS[7], TRAIN[7]])
def test_the_networks_are_protected_as_the_home_address_is(side: Side, own: IPv6Address) -> None:
    known = policies(ROUTER, side)
    out, into = (own, CORRESPONDENT), (CORRESPONDENT, own)
    if side is Side.HOME_AGENT:
        out, into = into, out
    sent = met(known, Direction.OUT, *out)
    assert sent is not None
    assert sent.templates == (sending(ROUTER, side, 1),)
    for direction in (Direction.IN, Direction.FORWARD):
        got = met(known, direction, *into)
        assert got is not None
        assert got.templates == (receiving(ROUTER, side, Use.PAYLOAD),)
        assert not got.templates[0].optional


@pytest.mark.parametrize(
    ("direction", "source", "destination", "protocol"),
    [
        (Direction.IN, BUS[7], BUS[1], IPPROTO_UDP),
        (Direction.IN, TRAIN[7], BUS[1], IPPROTO_UDP),
        (Direction.IN, BUS[7], HOME, IPPROTO_UDP),
        (Direction.IN, HOME, BUS[1], IPPROTO_UDP),
        (Direction.IN, HOME, HOME, IPPROTO_UDP),
        (Direction.IN, NEIGHBOUR, BUS[1], NextHeader.ICMPV6),
        (Direction.FORWARD, BUS[7], TRAIN[7], IPPROTO_UDP),
    ],
)
def test_what_stays_inside_was_never_in_a_tunnel(
    direction: Direction, source: IPv6Address, destination: IPv6Address, protocol: int
) -> None:
    got = met(policies(ROUTER, Side.MOBILE_NODE), direction, source, destination, protocol)
    assert got is not None
    assert [template.optional for template in got.templates] == [True]


@pytest.mark.parametrize(
    ("source", "destination", "protocol"),
    [(NEIGHBOUR, HOME, NextHeader.ICMPV6), (NEIGHBOUR, BUS[1], IPPROTO_UDP), (AGENT, BUS[1], IPPROTO_UDP)],
)
def test_from_others_nothing_is_taken_without(source: IPv6Address, destination: IPv6Address, protocol: int) -> None:
    got = met(policies(ROUTER, Side.MOBILE_NODE), Direction.IN, source, destination, protocol)
    assert got is not None
    assert [template.optional for template in got.templates] == [False]


@pytest.mark.parametrize("side", list(Side))
def test_messages_alone_are_never_those_of_the_networks(side: Side) -> None:
    named = {
        network
        for id_ in policies(ROUTER, side, payload=False)
        for network in (id_.selector.source, id_.selector.destination)
        if id_.if_id != Device(1).if_id
    }
    assert named == {ANYWHERE, IPv6Network(HOME)}


def test_a_host_forwards_nothing() -> None:
    directions = {id_.direction for id_ in policies(HOST, Side.MOBILE_NODE)}
    assert directions == {Direction.IN, Direction.OUT}


@pytest.mark.req("SEC-07")
def test_strongswan_negotiates_the_networks_too() -> None:
    mine, its = (tunnel_child(ROUTER, side, 1, LIFETIME) for side in (Side.MOBILE_NODE, Side.HOME_AGENT))
    assert [str(one) for one in mine.local] == [f"{HOME}/128", str(BUS), str(TRAIN)]
    assert mine.remote == (TrafficSelector(ANYWHERE),)
    assert (its.remote, its.local) == (mine.local, mine.remote)
    messages = tunnel_child(ROUTER, Side.MOBILE_NODE, RETURN_ROUTABILITY, LIFETIME)
    assert [str(one) for one in messages.local] == [f"{HOME}/128[135]"]
