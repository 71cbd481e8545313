"""How IPsec protects what goes between a mobile node and its home agent, as the kernel's policies and states. Pure.

What RFC 4877 section 6 lists, seen from either end. In the transport mode of ESP, between home address and home agent
whichever care-of address is in use: all mobility messages, and mobile prefix discovery. The kernel's mode "route
optimization" puts a Home Address option or a type 2 routing header around it; its states say which care-of address goes
into what is sent, and take what arrives from any: which of them may be used is the mobility layer's to say. In tunnel
mode: the messages of return routability, which go through the home agent, and payload.

There is one tunnel for return routability, and one for the payload of each binding, called by its binding identifier
(RFC 5648 section 9.3). What is to go through a tunnel is routed to its device, and so meets the tunnel's own policy.
Policy and state name addresses that only stand for the tunnel: nftables puts the care-of address there that is in use
(mip6.tunnels tells of these states). What comes out of any tunnel is taken as one: which care-of address it was sent
from is the mobility layer's business again.

The states with the keys are no part of this: they are the key management's, or come from a file. A policy finds them by
its reqid, which no other use and no other mobile node has.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import IPv6Address, IPv6Network
from itertools import product
from typing import Annotated

from mip6.form import SPI, Key
from mip6.kernel import ANYWHERE, Device, host
from mip6.mark import Mark
from mip6.wire.registry import NextHeader
from mip6.xfrm import (
    REQIDS,
    STATIC_REQIDS,
    Direction,
    Endpoints,
    Migration,
    Mode,
    Move,
    Policy,
    PolicyId,
    Protocol,
    Selector,
    State,
    Template,
    aes_cbc_sha256,
)

MOST_NODES = 1 << 15
"""Mobile nodes of a home agent, so that each has reqids of its own."""

_ANY_CARE_OF = IPv6Address(0)
_HERE, _FIRST, _THEN, _LAST = 500, 1000, 1500, 2000
"""Priorities: what is in no tunnel, what is for the home agent itself, what goes through it of return
routability, and payload."""


class Side(Enum):
    """Whose kernel it is."""

    MOBILE_NODE = "mobile node"
    HOME_AGENT = "home agent"


class Use(IntEnum):
    """What a pair of security associations is for."""

    MOBILITY = 0
    """All that goes between home address and home agent themselves."""
    RETURN_ROUTABILITY = 2
    PAYLOAD = 3
    """Of all care-of addresses: a tunnel for each."""


PREFIX_DISCOVERY = Mark(0x003D_0092, 0xFFFF_FFFF)
"""On messages of mobile prefix discovery, as they leave and when they have arrived. The kernel cannot select those that
arrive by their type, and all other ICMPv6 between home address and home agent goes through the tunnel."""

RETURN_ROUTABILITY = 0
"""Number of the tunnel for it; the number of any other is the binding identifier whose payload goes through it."""
MOST_TUNNELS = 16
"""For payload: the highest binding identifier that can have one."""

REPLAY_WINDOW = 1024
"""Packets that may be late: those of a tunnel take one way mostly, but not while its binding moves."""

TUNNELS = IPv6Network("100::6d39:0:0/96")
"""Addresses that stand for tunnels; no packet leaves the machine with one (RFC 6666)."""


@dataclass(frozen=True, slots=True)
class Association:
    """A mobile node and its home agent. `place`: of the mobile node in the home agent's configuration; 0 on its own.
    `networks`: behind it, if it is a mobile router.
    """

    home_address: IPv6Address
    home_agent: IPv6Address
    place: int = 0
    networks: tuple[IPv6Network, ...] = ()

    def reqid(self, use: Use) -> int:
        """Of the security associations for this use, which somebody negotiates."""
        return REQIDS.start + (self.place << 8) + use

    def static_reqid(self, use: Use) -> int:
        """The same, if the keys are in a file."""
        return STATIC_REQIDS.start + (self.place << 8) + use

    def mobile_end(self, use: Use) -> tuple[IPv6Network, ...]:
        """What the tunnels for this use lead to: the home address, and with payload the networks behind it, too."""
        home = host(self.home_address)
        return (home, *self.networks) if use is Use.PAYLOAD else (home,)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticKeys:
    """A security association whose keys never change: AES in CBC mode with HMAC-SHA-256-128. Replays are not noticed
    (RFC 3776 section 4.4).
    """

    spi: Annotated[int, SPI]
    encryption_key: Key
    integrity_key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticPair:
    """From the mobile node, and to it."""

    up: StaticKeys
    down: StaticKeys


ENCRYPTION_KEY_OCTETS, INTEGRITY_KEY_OCTETS = (16, 24, 32), 32

_SENDING, _RECEIVING = 0x20, 0x40
"""In reqids of our states of tunnels: this plus the tunnel's number, and this plus the use."""
_HOME_ADDRESS_OPTION, _ROUTING_HEADER = 0x80, 0x81
"""In reqids of states of mode "route optimization"."""

_LINK_LOCAL = IPv6Network("fe80::/10")
_NOWHERE = IPv6Address("100::6d38:0:0")
"""Addresses of packets that never are (RFC 6666)."""


def sending_state(association: Association, side: Side, care_of: IPv6Address) -> State:
    """The care-of address that the next message is sent from, or to."""
    return _exchange(association, side, care_of)


def states(association: Association, side: Side) -> Iterator[State]:
    """Those that need no keys. What is sent first has no care-of address yet."""
    other = Side.HOME_AGENT if side is Side.MOBILE_NODE else Side.MOBILE_NODE
    yield _exchange(association, side, _ANY_CARE_OF)
    yield _exchange(association, other, _ANY_CARE_OF)


def static_states(association: Association, pair: StaticPair) -> Iterator[State]:
    """The same at both ends."""
    ends = association.home_address, association.home_agent
    for keys, (source, destination) in ((pair.up, ends), (pair.down, ends[::-1])):
        yield State(
            protocol=Protocol.ESP,
            mode=Mode.TRANSPORT,
            source=source,
            destination=destination,
            spi=keys.spi,
            reqid=association.static_reqid(Use.MOBILITY),
            algorithms=aes_cbc_sha256(keys.encryption_key, keys.integrity_key),
        )


def _exchange(association: Association, sender: Side, care_of: IPv6Address) -> State:
    return _exchange_template(association, sender).route_optimization(care_of)


def _exchange_template(association: Association, sender: Side) -> Template:
    home_address, home_agent = association.home_address, association.home_agent
    base = STATIC_REQIDS.start + (association.place << 8)
    if sender is Side.MOBILE_NODE:
        return Template(
            protocol=Protocol.HAO,
            mode=Mode.ROUTE_OPTIMIZATION,
            reqid=base + _HOME_ADDRESS_OPTION,
            source=home_address,
            destination=home_agent,
        )
    return Template(
        protocol=Protocol.ROUTE2,
        mode=Mode.ROUTE_OPTIMIZATION,
        reqid=base + _ROUTING_HEADER,
        source=home_agent,
        destination=home_address,
    )


def policies(association: Association, side: Side, *, static: bool) -> Iterator[Policy]:
    """`static`: the keys never change, and one pair of associations has all uses."""
    if not static:
        yield carrier(association)
    reqid = association.static_reqid(Use.MOBILITY) if static else association.reqid(Use.MOBILITY)
    protected = Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=reqid)
    for sender in Side:
        direction = Direction.OUT if sender is side else Direction.IN
        exchange = _exchange_template(association, sender)
        ends = host(exchange.source), host(exchange.destination)
        discovery = PolicyId(direction, Selector(*ends, NextHeader.ICMPV6), mark=PREFIX_DISCOVERY)
        for id_ in (PolicyId(direction, Selector.mobility(*ends)), discovery):
            yield Policy(id_, (protected, exchange), _FIRST)
        if direction is Direction.IN:
            # A kernel with xfrm_interface looks for a policy after the header around ESP already
            yield Policy(PolicyId(direction, Selector(*ends, Protocol.ESP)), (exchange,), _FIRST)


def tunnel_use(number: int) -> Use:
    """What the tunnel with this number is for."""
    return Use.RETURN_ROUTABILITY if number == RETURN_ROUTABILITY else Use.PAYLOAD


def protected_mtu(link_mtu: int) -> int:
    """MTU of a route into a tunnel over such a link: AES in CBC mode fills blocks of 16 octets, two of which are
    padding's, and needs an initialization vector; the check value of HMAC-SHA-256-128 is 16 octets, ESP's header 8, the
    outer one 40 (RFC 4303 section 2).
    """
    return max((link_mtu - 40 - 8 - 16 - 16) // 16 * 16 - 2, 1280)


def tunnel_address(association: Association, number: int) -> IPv6Address:
    """What stands for the far end of a tunnel."""
    return TUNNELS[association.place << 8 | number]


def sending(association: Association, side: Side, number: int) -> Template:
    """What is done to packets that go into a tunnel."""
    return Template(
        protocol=Protocol.ESP,
        mode=Mode.TUNNEL,
        reqid=STATIC_REQIDS.start + (association.place << 8) + _SENDING + number,
        source=_NOWHERE if side is Side.MOBILE_NODE else association.home_agent,
        destination=tunnel_address(association, number),
    )


def receiving(association: Association, side: Side, use: Use) -> Template:
    """What must have been done to packets that come out of the tunnels for this use. At the home agent it is whatever
    the key management negotiated; a mobile node's care-of addresses come and go, but not the address of our states.
    """
    if side is Side.HOME_AGENT:
        return Template(protocol=Protocol.ESP, mode=Mode.TUNNEL, reqid=association.reqid(use))
    return Template(
        protocol=Protocol.ESP,
        mode=Mode.TUNNEL,
        reqid=STATIC_REQIDS.start + (association.place << 8) + _RECEIVING + use,
        source=association.home_agent,
        destination=association.home_address,
    )


def tunnel_policies(association: Association, side: Side, numbers: Iterable[int], *, payload: bool) -> Iterator[Policy]:
    """`numbers`: of the tunnels that something may be sent through. `payload`: nothing of it goes, nor comes, without
    protection.
    """
    for number in numbers:
        template, if_id = sending(association, side, number), Device(number).if_id
        for selector, priority in _tunnelled(association, side, Direction.OUT, tunnel_use(number)):
            yield Policy(PolicyId(Direction.OUT, selector, if_id=if_id), (template,), priority)
    forwards = side is Side.HOME_AGENT or association.networks
    directions = (Direction.IN, Direction.FORWARD) if forwards else (Direction.IN,)
    uses = (Use.RETURN_ROUTABILITY, Use.PAYLOAD) if payload else (Use.RETURN_ROUTABILITY,)
    for use, direction in product(uses, directions):
        for selector, priority in _tunnelled(association, side, direction, use):
            yield Policy(PolicyId(direction, selector), (receiving(association, side, use),), priority)
    if side is Side.MOBILE_NODE and payload:
        yield from _inside_policies(association)


def _tunnelled(association: Association, side: Side, direction: Direction, use: Use) -> Iterator[tuple[Selector, int]]:
    """Which packets pass this side in this direction, with the priority of a policy for them."""
    protocol, priority = (NextHeader.MOBILITY, _THEN) if use is Use.RETURN_ROUTABILITY else (0, _LAST)
    is_up = (side is Side.MOBILE_NODE) == (direction is Direction.OUT)
    for network in association.mobile_end(use):
        ends = (network, ANYWHERE) if is_up else (ANYWHERE, network)
        yield Selector(*ends, protocol), priority


def _inside_policies(association: Association) -> Iterator[Policy]:
    """What goes between the home address and the networks behind it never was in a tunnel; nftables drops what somebody
    outside forges of it. For neighbor discovery those in the networks use link-local addresses, too.
    """
    ours, networks = association.mobile_end(Use.PAYLOAD), association.networks
    # A selector with the interface lo would also meet what has had a routing header taken off
    selectors = [(Direction.IN, Selector(*ends)) for ends in product(ours, ours)]
    selectors += [(Direction.IN, Selector(_LINK_LOCAL, network, NextHeader.ICMPV6)) for network in networks]
    selectors += [(Direction.FORWARD, Selector(*ends)) for ends in product(networks, networks)]
    reqid = receiving(association, Side.MOBILE_NODE, Use.PAYLOAD).reqid
    untouched = Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=reqid, optional=True)
    for direction, selector in selectors:
        yield Policy(PolicyId(direction, selector), (untouched,), _HERE)


def carrier(association: Association) -> Policy:
    """A policy that is for no packets: the kernel takes messages about the endpoints of IKE only with one, and the key
    management finds the IKE SA by its reqid.
    """
    ends = _carrier_ends(association)
    tunnel = Template(
        protocol=Protocol.ESP,
        mode=Mode.TUNNEL,
        reqid=association.reqid(Use.MOBILITY),
        source=ends.source,
        destination=ends.destination,
    )
    return Policy(PolicyId(Direction.OUT, Selector(host(ends.source), host(ends.destination))), (tunnel,), _FIRST)


def ike_move(association: Association, side: Side, care_of: IPv6Address) -> Migration:
    """The mobile node's end of the IKE SA is this care-of address from now on (RFC 4877 section 7.4)."""
    ends = _carrier_ends(association)
    ike = Endpoints(care_of, association.home_agent)
    if side is Side.HOME_AGENT:
        ike = Endpoints(association.home_agent, care_of)
    return Migration(carrier(association).id, (Move(ends, ends, association.reqid(Use.MOBILITY)),), ike)


def _carrier_ends(association: Association) -> Endpoints:
    first = _NOWHERE + (association.place << 1)
    return Endpoints(first, first + 1)
