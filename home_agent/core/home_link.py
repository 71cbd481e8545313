"""The home link: the home agent stands in for mobile nodes that are away from it (RFC 6275 section 10.4.1).

Before the first binding of a home address, the link is asked whether somebody else has it (RFC 4862 section 5.4); the
Binding Update waits for that. Then everybody is told that the address is here, and who asks for it is answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address

from mip6.address_check import is_contradiction
from mip6.wire.extension import Packet
from mip6.wire.neighbor import (
    ALL_NODES,
    NOBODY,
    NeighborAdvertisement,
    NeighborMessage,
    NeighborSolicitation,
)


@dataclass(frozen=True, slots=True)
class HomeLink:
    """The interface towards the home link, and our addresses there."""

    index: int
    hardware_address: bytes
    address: IPv6Address
    """Link-local."""


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a home address is somebody else's, and the Binding Update that waits for that."""

    packet: Packet
    until_at: float


@dataclass(frozen=True, slots=True)
class Defence:
    """A home address that is announced so many times more, next at `due_at`."""

    left: int
    due_at: float


def announcement(link: HomeLink, home_address: IPv6Address, *, router: bool) -> NeighborAdvertisement:
    """To everybody: whatever is known of it, it is here. `router`: its owner is one (RFC 3963 section 6.2)."""
    return _advertisement(link, home_address, ALL_NODES, override=True, router=router)


def answer(link: HomeLink, asked: NeighborSolicitation, *, router: bool) -> NeighborAdvertisement:
    """To who asks for it, or would like to take it."""
    destination = ALL_NODES if asked.source == NOBODY else asked.source
    return _advertisement(link, asked.target, destination, override=False, router=router)


def _advertisement(
    link: HomeLink, home_address: IPv6Address, destination: IPv6Address, *, override: bool, router: bool
) -> NeighborAdvertisement:
    return NeighborAdvertisement(
        link.address,
        destination,
        home_address,
        hardware_address=link.hardware_address,
        router=router,
        solicited=not destination.is_multicast,
        override=override,
    )


def contradicts(message: NeighborMessage, link: HomeLink, checks: Mapping[IPv6Address, Check]) -> bool:
    """Whether it says that an address which is being checked is somebody else's, or about to be."""
    return message.target in checks and is_contradiction(message, link.hardware_address)
