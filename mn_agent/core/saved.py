"""What a restarted agent goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from mip6.wire.traffic_selectors import Ipv6Selector, decode_selector, encode_selector
from mn_agent.core import correspondents, dns, home_agents
from mn_agent.core.bindings import Binding, Entry, EntryState, Registration, Wanted
from mn_agent.core.correspondents import Correspondent, Correspondents
from mn_agent.core.flow_bindings import FlowBinding, FlowEntry
from mn_agent.core.homecoming import AWAY, Homecoming, Phase
from mn_agent.core.policy import Pins
from mn_agent.core.settings import Home
from mn_agent.core.state import State


@dataclass(frozen=True, slots=True)
class SavedBinding:
    """A binding as it was acknowledged; instants are of this boot."""

    bid: int
    care_of: IPv6Address
    priority: int
    registered_at: float
    refresh_at: float
    expires_at: float
    status: int = 0


@dataclass(frozen=True, slots=True)
class SavedFlow:
    """A flow as the home agent acknowledged it; its selector as on the wire, in hexadecimal."""

    fid: int
    priority: int
    selector: str
    bids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SavedCorrespondent:
    """What a correspondent acknowledged."""

    address: IPv6Address
    sequence: int
    multiple: bool
    bindings: tuple[SavedBinding, ...]


@dataclass(frozen=True, slots=True)
class SavedHost:
    """A home agent that the DNS had."""

    address: IPv6Address
    name: str


@dataclass(frozen=True, slots=True)
class SavedLookup:
    """What the DNS had, and what it was asked for."""

    question: str
    hosts: tuple[SavedHost, ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a restarted agent goes on from, so that nobody notices (RFC 6275 section 15.3 for the sequence number)."""

    sequence: int
    clock_offset_s: float
    multiple: bool
    bulk: bool
    flow_bindings: bool
    policy: str | None
    """The policy that somebody chose; None for the configuration's."""
    pins: Pins
    bids: Mapping[str, int]
    bindings: tuple[SavedBinding, ...]
    flows: tuple[SavedFlow, ...]
    home_agent: IPv6Address | None = None
    """Who acknowledged these."""
    correspondents: tuple[SavedCorrespondent, ...] = ()
    home: int | None = None
    """The binding identifier of the link on which we are at home for good."""
    lookup: SavedLookup | None = None


def save(state: State) -> Saved:
    """What a restarted agent needs."""
    return Saved(
        sequence=state.registration.sequence,
        clock_offset_s=state.registration.clock_offset_s,
        multiple=state.registration.multiple,
        bulk=state.registration.bulk,
        flow_bindings=state.registration.flow_bindings,
        policy=state.chosen,
        pins=state.pins,
        bids=state.bids,
        bindings=tuple(
            _saved_binding(entry.bid, entry.binding) for entry in state.registration.entries.values() if entry.binding
        ),
        flows=tuple(
            SavedFlow(fid, entry.held.priority, encode_selector(entry.held.selector)[0].hex(), entry.held.bids)
            for fid, entry in state.registration.flows.items()
            if entry.held
        ),
        home_agent=state.settings.home.agent if state.settings.home.is_agent_known else None,
        correspondents=tuple(
            SavedCorrespondent(
                one.address,
                one.sequence,
                one.multiple,
                tuple(_saved_binding(bid, entry.binding) for bid, entry in one.entries.items() if entry.binding),
            )
            for one in state.correspondents.known.values()
            if one.is_claimed
        ),
        home=state.homecoming.bid if state.homecoming.phase is Phase.HOME else None,
        lookup=_saved_lookup(state),
    )


def keep(state: State) -> Saved | None:
    """What outlives an orderly stop: which home agents the DNS had, for a start without it."""
    if _saved_lookup(state) is None:
        return None
    ended = Registration(sequence=state.registration.sequence, clock_offset_s=state.registration.clock_offset_s)
    unused = replace(state, registration=ended, chosen=None, pins=Pins(), bids={}, correspondents=Correspondents())
    return save(replace(unused, homecoming=AWAY))


def _saved_lookup(state: State) -> SavedLookup | None:
    question, names = dns.question(state.settings.home), {**state.lookup.names, **state.lookup.former}
    if question is None or not names:
        return None
    return SavedLookup(str(question), tuple(SavedHost(address, name) for address, name in names.items()))


def _saved_binding(bid: int, binding: Binding) -> SavedBinding:
    return SavedBinding(
        bid=bid,
        care_of=binding.care_of,
        priority=binding.priority,
        registered_at=binding.registered_at,
        refresh_at=binding.refresh_at,
        expires_at=binding.expires_at,
        status=binding.status,
    )


def restore(fresh: State, saved: Saved, *, same_boot: bool) -> State:
    """The agent before its first event, going on from what was saved.

    Bindings saved since the last boot count as registered: the first update restates all of them, and if that still
    holds, nothing changes.
    """
    lookup = _restored_lookup(fresh.settings.home, saved.lookup)
    there = dns.with_known(fresh.settings.home, fresh.lookup, lookup)
    home = home_agents.with_agent(there, saved.home_agent)
    settings = replace(fresh.settings, home=home)
    known = replace(fresh, settings=settings, lookup=lookup, bids=saved.bids, pins=saved.pins, chosen=saved.policy)
    registered = replace(fresh.registration, sequence=saved.sequence)
    if not same_boot or saved.home_agent != home.agent:
        return replace(known, registration=registered)
    registered = replace(
        registered,
        entries={one.bid: _restored(one) for one in saved.bindings},
        clock_offset_s=saved.clock_offset_s,
        multiple=saved.multiple,
        bulk=saved.bulk,
        flows={one.fid: _restored_flow(one) for one in saved.flows},
        flow_bindings=saved.flow_bindings,
        # Where only single updates are allowed, replacing everything would drop the others for a moment
        overwrite=saved.bulk,
    )
    asked = {one.address: _restored_correspondent(one) for one in saved.correspondents}
    return replace(
        known,
        registration=registered,
        correspondents=replace(fresh.correspondents, known=asked),
        homecoming=AWAY if saved.home is None else Homecoming(Phase.HOME, saved.home),
    )


def _restored_lookup(home: Home, saved: SavedLookup | None) -> dns.Lookup:
    """What the DNS had, if it was asked for the same."""
    if saved is None or saved.question != str(dns.question(home)):
        return dns.Lookup()
    return dns.Lookup({one.address: one.name for one in saved.hosts})


def _restored(one: SavedBinding) -> Entry:
    wanted, binding = Wanted(one.care_of, one.priority), _restored_binding(one)
    state = EntryState.REGISTERED
    return Entry(one.bid, state, one.registered_at, wanted, binding, claimed_until_at=one.expires_at)


def _restored_binding(one: SavedBinding) -> Binding:
    return Binding(one.care_of, one.priority, one.registered_at, one.refresh_at, one.expires_at, one.status)


def _restored_correspondent(one: SavedCorrespondent) -> Correspondent:
    """Its tokens were not saved: it is asked for others at once."""
    entries = {
        held.bid: correspondents.Entry(
            held.bid,
            Wanted(held.care_of, held.priority),
            binding=_restored_binding(held),
            claimed_until_at=held.expires_at,
        )
        for held in one.bindings
    }
    return Correspondent(one.address, one.sequence, entries, multiple=one.multiple)


def _restored_flow(one: SavedFlow) -> FlowEntry:
    selector = decode_selector(bytes.fromhex(one.selector))
    assert isinstance(selector, Ipv6Selector)
    return FlowEntry(one.fid, held=FlowBinding(one.priority, selector, one.bids), claimed=True)
