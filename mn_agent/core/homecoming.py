"""The way home for good (RFC 6275 section 11.5.5, RFC 5648 section 5.5.1): the home address moves to the home link, and
there are no bindings any more.

Whether the home agent may hold bindings decides how it begins. If so, it stands in for us there, and an update from the
home address ends them all; with it the home address is on the home link, and when it is acknowledged everybody there is
told. If not, the address has to be free: that is asked first, as by RFC 4862. Should somebody answer, it may still be
the home agent, from a time that we know nothing of: so it is told, too, and then asked again.
"""

from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv6Address
from math import inf

from mip6 import address_check
from mip6.address_check import ANNOUNCEMENTS, BETWEEN_S, CHECK_S
from mip6.wire.neighbor import (
    ALL_NODES,
    NeighborAdvertisement,
    NeighborMessage,
)
from mn_agent.core.links import Link


class Phase(Enum):
    """How far it is."""

    AWAY = "away"
    ASKING = "asking"
    RETURNING = "returning"
    HOME = "home"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Homecoming:
    """`bid`: of the home link. `doubtful`: nothing says that the home agent holds bindings."""

    phase: Phase = Phase.AWAY
    bid: int | None = None
    doubtful: bool = False
    told: bool = False
    """The update that ends all bindings was sent."""
    until_at: float = inf
    """When it is clear that nobody else has the address."""
    announcements: int = 0
    """So many are still to be made, the next at `announce_at`."""
    announce_at: float = inf

    @property
    def has_address(self) -> bool:
        """Whether the home address is on the home link."""
        return self.phase in (Phase.RETURNING, Phase.HOME)

    @property
    def is_home(self) -> bool:
        """Whether packets are sent from there, which is not before the home agent is told (RFC 6275 section 11.5.5)."""
        return self.phase is Phase.HOME or (self.phase is Phase.RETURNING and self.told)


AWAY = Homecoming()


def arrive(bid: int, now: float, *, claimed: bool) -> Homecoming:
    """We are on the home link; `claimed`: the home agent may hold bindings."""
    return Homecoming(Phase.RETURNING, bid) if claimed else _ask(bid, now, told=False)


def _ask(bid: int, now: float, *, told: bool) -> Homecoming:
    return Homecoming(Phase.ASKING, bid, doubtful=True, told=told, until_at=now + CHECK_S)


def proceed(known: Homecoming, now: float, *, told: bool, ended: bool) -> Homecoming:
    """What is next. `told`, `ended`: the update that ends all bindings was sent, was acknowledged."""
    if known.phase is Phase.RETURNING and ended:
        assert known.bid is not None
        return _settled(known, now) if not known.doubtful else _ask(known.bid, now, told=True)
    if known.phase is Phase.RETURNING and told and not known.told:
        return replace(known, told=True)
    if known.phase is Phase.ASKING and known.until_at <= now:
        return _settled(known, now)
    return known


def _settled(known: Homecoming, now: float) -> Homecoming:
    return Homecoming(Phase.HOME, known.bid, announcements=ANNOUNCEMENTS, announce_at=now)


def contradicted(known: Homecoming) -> Homecoming:
    """Somebody has the address, or would like to: the home agent, or, when that has been told, somebody else."""
    if known.told:
        return replace(known, phase=Phase.DUPLICATE, until_at=inf)
    return replace(known, phase=Phase.RETURNING, until_at=inf)


def announced(known: Homecoming, now: float) -> Homecoming:
    """After it has been told once more that the address is here."""
    left = known.announcements - 1
    return replace(known, announcements=left, announce_at=now + BETWEEN_S if left else inf)


def is_contradiction(known: Homecoming, heard: NeighborMessage, link: Link) -> bool:
    """Whether it says that somebody has the address that we are asking for, or is about to take it."""
    return known.phase is Phase.ASKING and address_check.is_contradiction(heard, link.hardware_address)


def announcement(link: Link, home_address: IPv6Address) -> NeighborAdvertisement:
    """To everybody on the home link: whatever is known of the address, it is here."""
    return NeighborAdvertisement(
        home_address,
        ALL_NODES,
        home_address,
        hardware_address=link.hardware_address,
        router=False,
        solicited=False,
        override=True,
    )


def deadline(known: Homecoming, *, told: bool) -> float:
    """When something is to be done; `told`: see `proceed`."""
    if known.phase is Phase.RETURNING and told and not known.told:
        return -inf
    return min(known.until_at, known.announce_at)
