"""What the kernel announces about policies and states, as values. `mip6.linux.xfrm.monitor` reads them. Pure."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address

from mip6.xfrm import Kind, Migration, Policy, Protocol, Selector, State


class Change(Enum):
    """What became of it."""

    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Acquired:
    """A packet needs a state that is not there: the key management is asked for one. The packet is lost."""

    protocol: Protocol
    source: IPv6Address
    destination: IPv6Address
    """Of the state."""
    selector: Selector
    """Of this packet alone."""
    policy: Policy
    """That asks for the state."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A state's lifetime is over; it is gone if `hard`. Its algorithms are not told."""

    state: State
    hard: bool


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Somebody added, updated or removed a state."""

    change: Change
    state: State


@dataclass(frozen=True, slots=True)
class StatesFlushed:
    """All states are gone, or those of one protocol."""

    protocol: Protocol | None


@dataclass(frozen=True, slots=True)
class PolicyChanged:
    """Somebody added, replaced or removed a policy."""

    change: Change
    policy: Policy


@dataclass(frozen=True, slots=True)
class PoliciesFlushed:
    """All policies of this kind are gone."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Migrated:
    """Somebody moved a tunnel."""

    migration: Migration


@dataclass(frozen=True, slots=True)
class Missed:
    """The kernel had to drop some announcements: ask for what matters."""


Event = Acquired | Expired | StateChanged | StatesFlushed | PolicyChanged | PoliciesFlushed | Migrated | Missed
