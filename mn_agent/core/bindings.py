"""The binding update list: what we want the home agent to hold, what it acknowledged, and what is under way.

The agent says which bindings it wants; `registration` compares that with what the home agent has acknowledged and
sends Binding Updates until the two are the same; `answers` takes the acknowledgements. Every change of an entry's
state passes `enter`, which insists on TRANSITIONS (RFC 6275 section 11.1, RFC 5648 section 5).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv6Address
from math import inf
from types import MappingProxyType
from typing import TypeAlias

from mip6.wire.messages import lifetime_seconds
from mn_agent.core import flow_bindings
from mn_agent.core.flow_bindings import NOTHING, FlowList, Told
from mn_agent.core.mobile_network import MobileNetwork

LAST_PRIORITY = 127
"""The highest number that BID-PRI can be (RFC 6089 section 4.1)."""
LATE_ANSWER_S = 64.0
"""How long an answer to a deregistration may take and still count."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A binding that the agent wants: the care-of address, its BID-PRI and how long the address is valid."""

    care_of: IPv6Address
    priority: int
    valid_until_at: float = inf


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding that the home agent acknowledged."""

    care_of: IPv6Address
    priority: int
    registered_at: float
    refresh_at: float
    expires_at: float
    status: int = 0
    """With which it was accepted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The home agent's no: the status it gave, and when to ask again."""

    status: int
    retry_at: float


class EntryState(Enum):
    """Where a binding stands."""

    REGISTERING = "registering"
    REGISTERED = "registered"
    UPDATING = "updating"
    DEREGISTERING = "deregistering"
    REFUSED = "refused"
    STANDBY = "standby"
    GONE = "gone"


TRANSITIONS: Mapping[EntryState, Mapping[EntryState, str]] = {
    EntryState.GONE: {
        EntryState.REGISTERING: "the link offers a care-of address",
        EntryState.STANDBY: "the link offers a care-of address, the home agent takes one only",
    },
    EntryState.REGISTERING: {
        EntryState.REGISTERED: "accepted",
        EntryState.UPDATING: "accepted, but something else is wanted by now",
        EntryState.REFUSED: "refused",
        EntryState.DEREGISTERING: "link lost while an update was under way",
        EntryState.STANDBY: "the home agent takes one care-of address only",
        EntryState.GONE: "link lost before anything was sent",
    },
    EntryState.REGISTERED: {
        EntryState.UPDATING: "another care-of address or priority is wanted",
        EntryState.REGISTERING: "expired or overwritten",
        EntryState.REFUSED: "refresh refused",
        EntryState.DEREGISTERING: "link lost",
        EntryState.STANDBY: "the home agent takes one care-of address only",
        EntryState.GONE: "link lost, and the home agent holds nothing for it",
    },
    EntryState.UPDATING: {
        EntryState.REGISTERED: "accepted",
        EntryState.REGISTERING: "expired or overwritten",
        EntryState.REFUSED: "refused",
        EntryState.DEREGISTERING: "link lost",
        EntryState.STANDBY: "the home agent takes one care-of address only",
        EntryState.GONE: "link lost, and the home agent holds nothing for it",
    },
    EntryState.DEREGISTERING: {
        EntryState.GONE: "acknowledged, or expired",
        EntryState.REGISTERED: "the link returned as it was, and nothing had been sent",
        EntryState.UPDATING: "the link returned changed, and nothing had been sent",
        EntryState.REGISTERING: "the link returned",
    },
    EntryState.REFUSED: {
        EntryState.REGISTERING: "time to ask again, or another care-of address",
        EntryState.REGISTERED: "a late answer accepts",
        EntryState.UPDATING: "a late answer accepts what is no longer wanted",
        EntryState.STANDBY: "the home agent takes one care-of address only",
        EntryState.DEREGISTERING: "link lost while an update was under way",
        EntryState.GONE: "link lost",
    },
    EntryState.STANDBY: {
        EntryState.REGISTERING: "the better link is gone",
        EntryState.REGISTERED: "accepted",
        EntryState.UPDATING: "accepted, but something else is wanted by now",
        EntryState.REFUSED: "refused",
        EntryState.GONE: "link lost",
    },
}
"""Every way from one state to another, and what it means: docs/architecture.md draws it, `enter` insists on it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the binding update list (RFC 6275 section 11.1). The sequence number, the time of the last update
    and the back-off are shared or kept by purpose, in Registration.
    """

    bid: int
    state: EntryState = EntryState.GONE
    since_at: float = 0.0
    wanted: Wanted | None = None
    binding: Binding | None = None
    refusal: Refusal | None = None
    claimed_until_at: float = 0.0
    """Until when the home agent may hold a binding: from the first update sent, answered or not; 0 for none."""

    @property
    def target(self) -> Wanted:
        """What an update about this entry says: what is wanted, or, to let go of it, what there was."""
        if self.wanted is not None:
            return self.wanted
        held = self.binding
        return Wanted(held.care_of, held.priority) if held else Wanted(IPv6Address(0), LAST_PRIORITY)


# What a Binding Update is for. It is also the key of its back-off, so what it is about belongs to it.


@dataclass(frozen=True, slots=True)
class Register:
    """One binding, from its own care-of address."""

    bid: int
    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class Refresh:
    """All bindings in one update."""


@dataclass(frozen=True, slots=True)
class Plain:
    """The only binding of a home agent that knows no binding identifiers."""

    bid: int
    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class Deregister:
    """Bindings of links that were lost."""

    bids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TellFlows:
    """What has changed of the flows; the bindings stay as they are."""


@dataclass(frozen=True, slots=True)
class MoveEndpoint:
    """The end point of IKEv2, to a binding that the home agent has already."""

    bid: int
    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class LeaveHome:
    """The home binding has ended: an update about others says so (RFC 5648 section 5.6.5)."""


@dataclass(frozen=True, slots=True)
class Return:
    """All bindings have ended, for we are at home."""


@dataclass(frozen=True, slots=True)
class Leave:
    """All bindings, for good."""


Purpose: TypeAlias = Register | Refresh | Plain | Deregister | TellFlows | MoveEndpoint | LeaveHome | Return | Leave


@dataclass(frozen=True, slots=True)
class Attempt:
    """Back-off of one purpose: when it may be tried again, how long to wait after that try, how many there were."""

    due_at: float
    timeout_s: float
    count: int


@dataclass(frozen=True, slots=True)
class Update:
    """A Binding Update that was sent and not answered."""

    purpose: Purpose
    sequence: int
    timestamp: int
    source: IPv6Address
    bindings: Mapping[int, Wanted]
    """What it asks for, by BID; when it deregisters, what it lets go of."""
    lifetime: int
    """In units of 4 s; 0 deregisters."""
    identified: bool
    """Whether it carries binding identifiers."""
    overwrite: bool
    sent_at: float
    key_mobility: bool = False
    """Whether it asks the home agent to move the IKE SA to its care-of address (flag K)."""
    told: Told | None = NOTHING
    """What it says of flows; None when a later update has been accepted, which says it all anew."""
    home: int | None = None
    """Which of the bindings is the home binding."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The care-of address of IKEv2 that the home agent acknowledged, and whether it moved the IKE SA there (RFC 6275
    section 10.3.1); otherwise it has to be established anew. None: the IKE SA was there already.
    """

    care_of: IPv6Address
    moved: bool | None


@dataclass(frozen=True, slots=True)
class Registration:
    """The binding update list towards one home agent, for one home address."""

    entries: Mapping[int, Entry] = field(default_factory=dict)
    sequence: int = 0
    """Of the last update sent."""
    clock_offset_s: float = 0.0
    """The home agent's time of day, as far as we know, less `now`."""
    timestamp: int = 0
    """NTP timestamp of the last update sent."""
    overwrite: bool = True
    """We do not know what the home agent holds: the next update replaces all of it (RFC 5648 section 5.9)."""
    multiple: bool = True
    """The home agent takes several care-of addresses."""
    bulk: bool = True
    """The home agent takes several bindings in one update."""
    flows: FlowList = field(default_factory=dict)
    flow_bindings: bool = True
    """The home agent binds flows."""
    key_mobility: bool = False
    """Our IKE SA can move to another care-of address."""
    endpoint_wanted: int | None = None
    """The binding whose care-of address is to be that of IKEv2."""
    endpoint: Endpoint | None = None
    network: MobileNetwork = field(default_factory=MobileNetwork)
    """What is behind this machine, and how home agents are asked to serve it."""
    leaving: bool = False
    returning: bool = False
    """All bindings are to end, for we are at home."""
    beside: bool = True
    """The home agent takes a home binding beside others (RFC 5648 section 5.6)."""
    hardware_address: bytes = b""
    """Ours on the home link."""
    refusal: Refusal | None = None
    """The home agent does not want to serve us at all ("do not send", RFC 6275 section 11.1)."""
    unanswered: tuple[Update, ...] = ()
    attempts: Mapping[Purpose, Attempt] = field(default_factory=dict)
    recent: tuple[float, ...] = ()
    """When the last updates were sent, for the rate limit."""
    resynchronisations: int = 0


def want(registration: Registration, wanted: Mapping[int, Wanted], now: float) -> Registration:
    """Tell which bindings should exist, by BID."""
    entries = {bid: entry for bid, entry in registration.entries.items() if entry.state != EntryState.GONE}
    for bid in entries.keys() | wanted.keys():
        entry, now_wanted = entries.get(bid, Entry(bid)), wanted.get(bid)
        if now_wanted != entry.wanted:
            stays = now_wanted is not None and entry.wanted is not None and now_wanted.care_of == entry.wanted.care_of
            entries[bid] = replace(entry, wanted=now_wanted, refusal=entry.refusal if stays else None)
    return enter(replace(registration, entries=entries), now)


def leave(registration: Registration) -> Registration:
    """Deregister everything: the agent stops."""
    return replace(registration, leaving=True, unanswered=(), attempts={})


def come_home(registration: Registration) -> Registration:
    """Have all bindings ended by an update from the home address."""
    return replace(registration, returning=True, attempts={})


def has_left(registration: Registration) -> bool:
    """Whether the home agent holds nothing of ours any more, or cannot be told, since `leave`."""
    wanted = any(entry.wanted for entry in registration.entries.values())
    claimed = any(entry.claimed_until_at for entry in registration.entries.values())
    return registration.leaving and not (wanted and claimed)


def expire(registration: Registration, now: float) -> Registration:
    """Drop what has run out (RFC 6275 section 11.1)."""
    if ends_at(registration) > now:
        return registration
    entries = {}
    for bid, entry in registration.entries.items():
        lapsed = entry.binding is not None and entry.binding.expires_at <= now
        forgiven = entry.refusal is not None and entry.refusal.retry_at <= now
        entries[bid] = replace(
            entry,
            binding=None if lapsed else entry.binding,
            refusal=None if forgiven else entry.refusal,
            claimed_until_at=entry.claimed_until_at if entry.claimed_until_at > now else 0.0,
        )
    refusal = registration.refusal
    return enter(
        replace(
            registration,
            entries=entries,
            refusal=None if refusal and refusal.retry_at <= now else refusal,
            unanswered=tuple(update for update in registration.unanswered if _answered_until_at(update) > now),
            flows=flow_bindings.expire(registration.flows, now),
        ),
        now,
    )


def ends_at(registration: Registration) -> float:
    """When something runs out next; infinity for never."""
    moments = [registration.refusal.retry_at] if registration.refusal else []
    moments += [_answered_until_at(update) for update in registration.unanswered]
    moments += [flow.refusal.retry_at for flow in registration.flows.values() if flow.refusal]
    for entry in registration.entries.values():
        moments += [entry.claimed_until_at] if entry.claimed_until_at else []
        moments += [entry.refusal.retry_at] if entry.refusal else []
        moments += [entry.binding.expires_at] if entry.binding else []
    return min(moments, default=inf)


def _answered_until_at(update: Update) -> float:
    """An update may be answered as long as the home agent may hold what it asks for."""
    return update.sent_at + (lifetime_seconds(update.lifetime) if update.lifetime else LATE_ANSWER_S)


def refresh(registration: Registration, bids: Collection[int], now: float) -> Registration:
    """Refresh these bindings now, or all if none is named: the home agent asked for it (RFC 5648 section 5.8)."""
    entries = {
        bid: replace(entry, binding=replace(entry.binding, refresh_at=now))
        if entry.binding and (bid in bids or not bids)
        else entry
        for bid, entry in registration.entries.items()
    }
    return replace(registration, entries=entries)


def shorten(registration: Registration, until_at: float, now: float) -> Registration:
    """Refresh now what the home agent would hold for longer than that."""
    bids = [bid for bid, entry in registration.entries.items() if entry.binding and entry.binding.expires_at > until_at]
    return refresh(registration, bids, now) if bids else registration


def start_anew(registration: Registration, now: float) -> Registration:
    """Tell the home agent everything now, also what it refused: nobody knows what has become of it meanwhile. What was
    tried in vain is no reason to wait. The rate limit stays, and what it has not answered stays in doubt.
    """
    refreshed = refresh(registration, (), now)
    entries = {bid: replace(entry, refusal=None) for bid, entry in refreshed.entries.items()}
    flows = flow_bindings.expire(registration.flows, inf)
    return enter(replace(refreshed, entries=entries, flows=flows, refusal=None, attempts={}, endpoint=None), now)


def carrying(registration: Registration) -> list[Entry]:
    """Entries over which traffic may flow as far as the home agent is concerned: it accepts packets from them. One with
    a single binding accepts the new care-of address as soon as it has the update, which left before.
    """
    return [
        entry
        for entry in registration.entries.values()
        if entry.binding is not None or _is_plain_and_sent(registration, entry)
    ]


def _is_plain_and_sent(registration: Registration, entry: Entry) -> bool:
    return not registration.multiple and entry.claimed_until_at > 0 and entry.bid == primary(registration)


def by_priority(entry: Entry) -> tuple[int, int]:
    """Sort key: the preferred first."""
    return entry.target.priority, entry.bid


def primary(registration: Registration) -> int | None:
    """The one binding to have with a home agent that takes only one."""
    entries = [entry for entry in registration.entries.values() if entry.wanted and not entry.refusal]
    return min(entries, key=by_priority).bid if entries else None


def _state(registration: Registration, entry: Entry) -> EntryState:
    if entry.wanted is None:
        held = registration.multiple and entry.claimed_until_at > 0
        return EntryState.DEREGISTERING if held else EntryState.GONE
    if entry.refusal is not None:
        return EntryState.REFUSED
    if not registration.multiple and entry.bid != primary(registration):
        return EntryState.STANDBY
    if entry.binding is None:
        return EntryState.REGISTERING
    return EntryState.REGISTERED if is_as_wanted(registration, entry) else EntryState.UPDATING


def _told(registration: Registration, entry: Entry) -> Iterator[Wanted]:
    """What the home agent may hold for this entry: what it acknowledged, and what it was told since, oldest first."""
    if entry.binding is not None:
        yield Wanted(entry.binding.care_of, entry.binding.priority)
    for update in registration.unanswered:
        if update.lifetime and entry.bid in update.bindings:
            yield update.bindings[entry.bid]


def source(registration: Registration, entry: Entry) -> IPv6Address | None:
    """The care-of address to send packets from: the one in the last update, answered or not. The update and the
    packets behind it take the same way, so it arrives first (RFC 6275 section 11.6.3).
    """
    told = list(_told(registration, entry))
    return told[-1].care_of if told else None


def is_registered_here(registration: Registration, entry: Entry) -> bool:
    """Whether the home agent surely holds the care-of address that this entry is about."""
    known = entry.binding is not None
    return known and all(told.care_of == entry.target.care_of for told in _told(registration, entry))


def has_left_for(registration: Registration, entry: Entry, home_address: IPv6Address) -> bool:
    """Whether the home agent may hold a home binding for this entry, and another is wanted or none."""
    told = any(told.care_of == home_address for told in _told(registration, entry))
    return told and (entry.wanted is None or entry.wanted.care_of != home_address)


def is_as_wanted(registration: Registration, entry: Entry) -> bool:
    """Whether the home agent surely holds just what is wanted."""
    same_priority = all(told.priority == entry.target.priority for told in _told(registration, entry))
    return is_registered_here(registration, entry) and (same_priority or not registration.multiple)


def enter(registration: Registration, now: float) -> Registration:
    """Work out the state of each entry again; a way that TRANSITIONS does not know is a bug and fails with KeyError."""
    entries = {}
    for bid, entry in registration.entries.items():
        state = _state(registration, entry)
        if state is not entry.state:
            TRANSITIONS[entry.state][state]
            entry = replace(entry, state=state, since_at=now)
        entries[bid] = entry
    return replace(registration, entries=MappingProxyType(entries))
