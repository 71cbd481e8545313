"""How IPsec protects what goes between a mobile node and its home agent, as the kernel's policies and states. Pure.

What RFC 4877 section 6 lists, seen from either end. In the transport mode of ESP, between home address and home agent
whichever care-of address is in use: all mobility messages, and mobile prefix discovery. The kernel's mode "route
optimization" puts a Home Address option or a type 2 routing header around it; its states say which care-of address goes
into what is sent, and take what arrives from any: which of them may be used is the mobility layer's to say. In tunnel
mode: the messages of return routability, which go through the home agent.

The states with the keys are no part of this: they are the key management's, or come from a file. A policy finds them by
its reqid, which no other use and no other mobile node has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from ipaddress import IPv6Address
from typing import Annotated

from mip6.form import SPI, Key
from mip6.kernel import host
from mip6.wire.registry import IcmpType
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
_FIRST, _THEN = 1000, 2000
"""Priorities; what goes through the home agent comes after what is for itself."""


class Side(Enum):
    """Whose kernel it is."""

    MOBILE_NODE = "mobile node"
    HOME_AGENT = "home agent"


class Use(IntEnum):
    """What a pair of security associations is for."""

    MOBILITY = 0
    PREFIX_DISCOVERY = 1
    RETURN_ROUTABILITY = 2


@dataclass(frozen=True, slots=True)
class Association:
    """A mobile node and its home agent. `place`: of the mobile node in the home agent's configuration; 0 on its own."""

    home_address: IPv6Address
    home_agent: IPv6Address
    place: int = 0

    def reqid(self, use: Use) -> int:
        """Of the security associations for this use, which somebody negotiates."""
        return REQIDS.start + (self.place << 8) + use

    def static_reqid(self, use: Use) -> int:
        """The same, if the keys are in a file."""
        return STATIC_REQIDS.start + (self.place << 8) + use


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

_HOME_ADDRESS_OPTION, _ROUTING_HEADER = 0x80, 0x81
"""In reqids of states of mode "route optimization"."""

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
    template = _exchange_template(association, sender)
    return State(
        protocol=template.protocol,
        mode=Mode.ROUTE_OPTIMIZATION,
        source=template.source,
        destination=template.destination,
        reqid=template.reqid,
        care_of=care_of,
    )


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
    for sender in Side:
        direction = Direction.OUT if sender is side else Direction.IN
        exchange = _exchange_template(association, sender)
        for use, selector in _to_home_agent(association, sender):
            reqid = association.static_reqid(Use.MOBILITY) if static else association.reqid(use)
            protected = Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=reqid)
            yield Policy(PolicyId(direction, selector), (protected, exchange), _FIRST)
        if direction is Direction.IN:
            # A kernel with xfrm_interface looks for a policy after the header around ESP already
            source, destination = host(exchange.source), host(exchange.destination)
            yield Policy(PolicyId(direction, Selector(source, destination, Protocol.ESP)), (exchange,), _FIRST)


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


def _to_home_agent(association: Association, sender: Side) -> Iterator[tuple[Use, Selector]]:
    home_address, home_agent = host(association.home_address), host(association.home_agent)
    if sender is Side.MOBILE_NODE:
        yield Use.MOBILITY, Selector.mobility(home_address, home_agent)
        solicitation = IcmpType.MOBILE_PREFIX_SOLICITATION
        yield Use.PREFIX_DISCOVERY, Selector.icmp(home_address, home_agent, solicitation)
    else:
        yield Use.MOBILITY, Selector.mobility(home_agent, home_address)
        advertisement = IcmpType.MOBILE_PREFIX_ADVERTISEMENT
        yield Use.PREFIX_DISCOVERY, Selector.icmp(home_agent, home_address, advertisement)
