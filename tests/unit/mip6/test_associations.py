"""What people see of security associations."""

from dataclasses import replace
from ipaddress import IPv6Address

from mip6.association_status import AssociationStatus
from mip6.associations import associations
from mip6.ipsec import Association, Side, StaticKeys, StaticPair, Use, receiving, sending, states, static_states
from mip6.tunnels import Tunnel
from mip6.xfrm import Mode, Protocol, State, Usage

HOME, AGENT = IPv6Address("2001:db8:f00::10"), IPv6Address("2001:db8:aa::1")
OURS, OTHER = Association(HOME, AGENT, 1), Association(HOME + 1, AGENT, 2)


def usage(added_at: int, **changes: int) -> Usage:
    usual = {"octets": 0, "packets": 0, "sent_sequence": 0, "received_sequence": 0, "replays": 0, "too_late": 0}
    return Usage(added_at=added_at, used_at=None, integrity_failures=0, **usual | changes)


def negotiated(association: Association, spi: int, *, up: bool) -> State:
    source, destination = (association.home_address, AGENT) if up else (AGENT, association.home_address)
    reqid = association.reqid(Use.MOBILITY)
    return State(
        protocol=Protocol.ESP, mode=Mode.TRANSPORT, source=source, destination=destination, spi=spi, reqid=reqid
    )


def test_the_newest_come_first_and_nothing_of_another_mobile_node() -> None:
    usages = {
        negotiated(OURS, 0x1000, up=True): usage(1000, packets=5, octets=440),
        negotiated(OURS, 0x1001, up=False): usage(2000, replays=1, too_late=2),
        negotiated(OTHER, 0x1002, up=True): usage(3000),
    }
    down, up = associations(OURS, Side.HOME_AGENT, usages, {})
    assert up == AssociationStatus(
        use="mobility",
        bid=None,
        direction="up",
        spi="0x00001000",
        since=1000.0,
        packets=5,
        octets=440,
        replays=0,
        failures=0,
    )
    assert (down.direction, down.replays) == ("down", 3)


def test_static_ones_are_told_too_but_not_what_only_exchanges_addresses() -> None:
    keys = StaticKeys(spi=256, encryption_key=bytes(16), integrity_key=bytes(32))
    from_file = static_states(OURS, StaticPair(up=keys, down=keys))
    there = [*from_file, *states(OURS, Side.MOBILE_NODE)]
    assert len(associations(OURS, Side.MOBILE_NODE, {state: usage(1) for state in there}, {})) == 2


def test_of_a_tunnel_those_are_told_that_packets_go_through() -> None:
    pair = {
        Side.MOBILE_NODE: (sending(OURS, Side.MOBILE_NODE, 2), receiving(OURS, Side.MOBILE_NODE, Use.PAYLOAD)),
        Side.HOME_AGENT: (sending(OURS, Side.HOME_AGENT, 2), receiving(OURS, Side.HOME_AGENT, Use.PAYLOAD)),
    }
    for side, here in ((Side.MOBILE_NODE, HOME), (Side.HOME_AGENT, AGENT)):
        out, into = pair[side]
        sent = State(
            protocol=Protocol.ESP,
            mode=Mode.TUNNEL,
            source=out.source,
            destination=out.destination,
            spi=1,
            reqid=out.reqid,
        )
        received = replace(sent, spi=2, destination=here, reqid=into.reqid)
        unused = replace(sent, spi=1, destination=HOME + 9, reqid=OURS.reqid(Use.PAYLOAD))
        tunnels = {2: Tunnel(sent, frozenset((2,))), 3: Tunnel(replace(sent, reqid=0), frozenset((3,)))}
        told = associations(OURS, side, {one: usage(1) for one in (sent, received, unused)}, tunnels)
        directions = ("up", "down") if side is Side.MOBILE_NODE else ("down", "up")
        assert {(one.spi[-1], one.direction) for one in told} == {("1", directions[0]), ("2", directions[1])}
        assert {(one.use, one.bid) for one in told} == {("payload", 2)}
    routability = {0: Tunnel(replace(sent, reqid=sending(OURS, side, 0).reqid), frozenset())}
    state = routability[0].sending
    (one,) = associations(OURS, side, {state: usage(1)}, routability)
    assert (one.use, one.bid) == ("return routability", None)
