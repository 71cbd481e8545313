"""How the kernel of a mobile node sends payload directly to a correspondent, and takes it (RFC 6275 sections 11.3.1 and
11.3.3). Pure.

What leaves for the correspondent gets a Home Address option and the care-of address as source, what comes from it has a
type 2 routing header, which is taken off. Above that everything is between home address and correspondent. The policies
are of kind SUB: those for IPsec, of kind MAIN, count besides.
"""

from collections.abc import Iterator
from ipaddress import IPv6Address

from mip6.kernel import host
from mip6.xfrm import (
    STATIC_REQIDS,
    Direction,
    Kind,
    Mode,
    Policy,
    PolicyId,
    Protocol,
    Selector,
    State,
    Template,
)

_ANY_CARE_OF = IPv6Address(0)
_HOME_ADDRESS_OPTION, _ROUTING_HEADER, _NOTHING = (STATIC_REQIDS.start + number for number in (0x90, 0x91, 0x92))
_MESSAGES, _PAYLOAD = 500, 1000
"""Priorities."""

TRIAL = State(
    protocol=Protocol.HAO,
    mode=Mode.ROUTE_OPTIMIZATION,
    source=IPv6Address("100::6d38:1:0"),
    destination=IPv6Address("100::6d38:1:1"),
    reqid=_HOME_ADDRESS_OPTION,
    care_of=_ANY_CARE_OF,
)
"""A state for packets that never are (RFC 6666): a kernel without Mobile IPv6 refuses it."""


def sending_state(home_address: IPv6Address, correspondent: IPv6Address, care_of: IPv6Address) -> State:
    """Of what leaves, and from which care-of address."""
    return _sending(home_address, correspondent).route_optimization(care_of)


def receiving_state(home_address: IPv6Address, correspondent: IPv6Address) -> State:
    """Of what comes, to whichever care-of address: while a binding moves it comes to the old one and to the new."""
    return _receiving(home_address, correspondent).route_optimization(_ANY_CARE_OF)


def sending_policies(home_address: IPv6Address, correspondent: IPv6Address) -> Iterator[Policy]:
    """All payload goes directly. Mobility messages from the home address do not: a Home Test Init takes the tunnel,
    whatever there is of bindings (RFC 6275 section 6.1).
    """
    out = Selector(host(home_address), host(correspondent))
    yield _policy(Direction.OUT, out, _sending(home_address, correspondent), _PAYLOAD)
    nothing = Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=_NOTHING, optional=True)
    yield _policy(Direction.OUT, Selector.mobility(out.source, out.destination), nothing, _MESSAGES)


def receiving_policy(home_address: IPv6Address, correspondent: IPv6Address) -> Policy:
    """Some comes through the tunnel still."""
    into = Selector(host(correspondent), host(home_address))
    return _policy(Direction.IN, into, _receiving(home_address, correspondent), _PAYLOAD)


def _policy(direction: Direction, selector: Selector, template: Template, priority: int) -> Policy:
    return Policy(PolicyId(direction, selector, Kind.SUB), (template,), priority)


def _sending(home_address: IPv6Address, correspondent: IPv6Address) -> Template:
    return Template(
        protocol=Protocol.HAO,
        mode=Mode.ROUTE_OPTIMIZATION,
        reqid=_HOME_ADDRESS_OPTION,
        source=home_address,
        destination=correspondent,
    )


def _receiving(home_address: IPv6Address, correspondent: IPv6Address) -> Template:
    return Template(
        protocol=Protocol.ROUTE2,
        mode=Mode.ROUTE_OPTIMIZATION,
        reqid=_ROUTING_HEADER,
        source=correspondent,
        destination=home_address,
        optional=True,
    )
