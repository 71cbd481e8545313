"""All that the agent knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from mip6.reception import ErrorLimit
from mn_agent.core.bindings import Entry, Registration, source
from mn_agent.core.links import Link
from mn_agent.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Carrier:
    """The link that carries the default traffic, since when and why."""

    bid: int
    since_at: float
    why: str


@dataclass(frozen=True, slots=True)
class State:
    """The agent's state. Maps are by binding identifier unless they say otherwise."""

    settings: Settings
    registration: Registration
    links: Mapping[int, Link] = field(default_factory=dict)
    links_since: Mapping[int, float] = field(default_factory=dict)
    """Since when each link has been usable, or not for its present reason."""
    bids: Mapping[str, int] = field(default_factory=dict)
    """The identifier of every interface name ever seen."""
    pinned: str | None = None
    """The link that somebody asked for."""
    carrier: Carrier | None = None
    troubles: Mapping[str, str] = field(default_factory=dict)
    """What the operating system refuses, by what it is about."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Received messages that changed nothing, by reason."""
    error_limit: ErrorLimit = field(default_factory=ErrorLimit)

    def source_address(self, entry: Entry) -> IPv6Address | None:
        """The care-of address for the outer header of this binding's packets; None when the link has it no more."""
        link = self.links.get(entry.bid)
        care_of = source(self.registration, entry)
        return care_of if link is not None and care_of in link.addresses else None

    def carries(self, entry: Entry) -> bool:
        """Whether packets sent through this binding's tunnel get out."""
        return self.source_address(entry) is not None and self.links[entry.bid].carries

    def link_called(self, name: str) -> Link | None:
        """The link with this name, interface name, or kind if only one has it."""
        links = list(self.links.values())
        for found in (
            [link for link in links if link.name == name],
            [link for link in links if link.interface == name],
            [link for link in links if link.kind == name],
        ):
            if len(found) == 1:
                return found[0]
        return None


@dataclass(frozen=True, slots=True)
class SavedBinding:
    """A binding as the home agent acknowledged it; instants are of this boot."""

    bid: int
    care_of: IPv6Address
    priority: int
    registered_at: float
    refresh_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Saved:
    """What a restarted agent goes on from, so that nobody notices (RFC 6275 section 15.3 for the sequence number)."""

    sequence: int
    clock_offset_s: float
    multiple: bool
    bulk: bool
    pinned: str | None
    bids: Mapping[str, int]
    bindings: tuple[SavedBinding, ...]
