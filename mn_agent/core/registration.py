"""Registration with the home agent: which Binding Update to send, when, and from which address.

It sends the most urgent update that brings what the home agent holds nearer to what is wanted (RFC 6275 section 11.7,
RFC 5648 section 5). A retransmission is nothing special: the difference is still there, so an update is made again,
with a new sequence number and a longer wait (RFC 6275 section 11.8).

Sequence numbers are shared by all bindings and paths differ in delay, so an update that overtakes another would make
the home agent refuse the slower one. Hence one update is outstanding at a time; only what cannot wait (a link was
lost) overtakes, and what is slow to be answered gives way after `PATIENCE_S`.
"""

from collections.abc import Iterable, Set
from dataclasses import replace
from ipaddress import IPv6Address
from math import inf
from types import MappingProxyType
from typing import assert_never

from mip6 import auth
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate, encode, lifetime_seconds, lifetime_units
from mip6.wire.options import (
    AlternateCareOfAddress,
    BindingIdentifier,
    LinkLayerAddress,
    MessageReplayProtection,
    MobileNodeIdentifier,
    Option,
)
from mip6.wire.registry import BindingUpdateFlag, IdentifierSubtype, LinkLayerAddressCode
from mn_agent.core import flow_bindings
from mn_agent.core.bindings import (
    Attempt,
    Deregister,
    Entry,
    EntryState,
    Leave,
    LeaveHome,
    MoveEndpoint,
    Plain,
    Purpose,
    Refresh,
    Register,
    Registration,
    Return,
    TellFlows,
    Update,
    Wanted,
    by_priority,
    ends_at,
    enter,
    has_left_for,
    is_as_wanted,
    is_registered_here,
    primary,
)
from mn_agent.core.flow_bindings import NOTHING, Told
from mn_agent.core.settings import Settings

# RFC 6275 section 12
INITIAL_BINDACK_TIMEOUT_S = 1.0
MAX_BINDACK_TIMEOUT_S = 32.0
MAX_UPDATE_RATE = 3
"""Binding Updates per second."""

ROUTINE_UPDATE_RATE = 2
"""The same for updates that can wait: the last place is kept for a link that is lost."""

PATIENCE_S = 1.5
"""How long an update has the home agent's attention for itself: a home agent that still has to check the home address
answers only after a second."""
_URGENT = (Deregister, Plain, MoveEndpoint, LeaveHome, Return, Leave)

_FLOW_ROOM = 1280 - 40 - 24 - (12 + 3 + 16 + 24 + 8)
"""Octets for flows and binding identifiers in a packet of the minimum MTU (RFC 6089 section 6), which also has an IPv6
header, a Home Address option, and in the update its fixed part, the head of the identity, timestamp, authenticator and
padding."""
_IDENTIFIER_OCTETS = 24
_LINK_LAYER_OCTETS = 16


def purposes(registration: Registration, settings: Settings, now: float) -> list[Purpose]:
    """What there is to tell the home agent, the most urgent first."""
    entries = registration.entries.values()
    if registration.leaving:
        claimed = any(entry.claimed_until_at > 0 for entry in entries)
        return [Leave()] if claimed and any(entry.wanted for entry in entries) else []
    if registration.returning:
        return [Return()]
    wanted = sorted((entry for entry in entries if entry.wanted and not entry.refusal), key=by_priority)
    if not registration.multiple:
        return _plain(registration, wanted, now)
    unregistered = [entry for entry in wanted if not is_registered_here(registration, entry)]
    registered = [entry for entry in wanted if is_registered_here(registration, entry)]
    bulk_all = registration.bulk and not settings.registration.verify_links
    found: list[Purpose] = []
    if registered and not registration.overwrite:
        gone = [entry for entry in entries if has_left_for(registration, entry, settings.home.address)]
        found += [LeaveHome()] if gone and _away(registration, settings) else []
        found += _deregistrations(entry for entry in entries if entry not in gone)
    due = [entry for entry in registered if registration.overwrite or _is_due(registration, entry, now)]
    if registration.bulk:
        found += [Refresh()] if due or (bulk_all and unregistered) else []
    else:
        found += [_register(entry) for entry in due]
    if not bulk_all and not (registration.overwrite and found):
        found += [_register(entry) for entry in unregistered]
    moving = endpoint(registration)
    if moving is not None and moving in registered and not registration.overwrite:
        found.append(MoveEndpoint(moving.bid, moving.target.care_of))
    if registration.flow_bindings and not registration.overwrite:
        bids = [entry.bid for entry in registered]
        found += [TellFlows()] if bids and flow_bindings.is_due(registration.flows, bids) else []
    return found


def _plain(registration: Registration, wanted: list[Entry], now: float) -> list[Purpose]:
    chosen = next((entry for entry in wanted if entry.bid == primary(registration)), None)
    if chosen is None or (chosen.binding is not None and not _is_due(registration, chosen, now)):
        return []
    return [Plain(chosen.bid, chosen.target.care_of)]


def _is_due(registration: Registration, entry: Entry, now: float) -> bool:
    """Of one that is registered here."""
    held = entry.binding
    assert held is not None
    return now >= held.refresh_at or not is_as_wanted(registration, entry)


def _register(entry: Entry) -> Register:
    return Register(entry.bid, entry.target.care_of)


def _deregistrations(entries: Iterable[Entry]) -> list[Purpose]:
    bids = tuple(sorted(entry.bid for entry in entries if _is_lost(entry)))
    return [Deregister(bids)] if bids else []


def _is_lost(entry: Entry) -> bool:
    return entry.state is EntryState.DEREGISTERING


def deadline(registration: Registration, settings: Settings, now: float) -> float:
    """When something is to be sent, refreshed or dropped; infinity for never."""
    ready = [_ready_at(registration, purpose) for purpose in purposes(registration, settings, now)]
    held = [entry.binding for entry in registration.entries.values() if entry.binding]
    refreshes = [binding.refresh_at for binding in held if binding.refresh_at > now]
    return min([ends_at(registration), *ready, *refreshes])


def _ready_at(registration: Registration, purpose: Purpose) -> float:
    """When an update for this purpose may be sent."""
    moments = [-inf]
    rate = MAX_UPDATE_RATE if isinstance(purpose, _URGENT) else ROUTINE_UPDATE_RATE
    if len(registration.recent) >= rate:
        moments.append(registration.recent[-rate] + 1.0)
    if purpose in registration.attempts:
        moments.append(registration.attempts[purpose].due_at)
    if registration.refusal is not None:
        moments.append(registration.refusal.retry_at)
    if registration.unanswered and not isinstance(purpose, _URGENT):
        last = registration.unanswered[-1]
        moments += [last.sent_at + PATIENCE_S] if last.purpose != purpose else []
    return max(moments)


def poll(registration: Registration, settings: Settings, now: float) -> tuple[Registration, Packet | None]:
    """The next Binding Update to send, if one is to be sent now. Call again until there is none."""
    ready = [purpose for purpose in purposes(registration, settings, now) if _ready_at(registration, purpose) <= now]
    if not ready:
        return registration, None
    # What was tried less often goes first: a link that is dead must not keep the others waiting
    purpose = min(ready, key=lambda purpose: (not isinstance(purpose, _URGENT), _tries(registration, purpose)))
    update = _update(registration, settings, purpose, now)
    return _sent(registration, settings, update), _packet(registration, settings, update)


def _update(registration: Registration, settings: Settings, purpose: Purpose, now: float) -> Update:
    """The Binding Update that serves a purpose."""
    chosen = _chosen(registration, settings, purpose)
    ends = isinstance(purpose, Deregister | Return | Leave)
    bindings = {entry.bid: entry.target for entry in chosen}
    home = next((bid for bid, wanted in bindings.items() if wanted.care_of == settings.home.address), None)
    overwrite = isinstance(purpose, Register | Refresh) and _replaces(registration)
    identified = not isinstance(purpose, Plain | Return | Leave)
    return Update(
        purpose=purpose,
        sequence=(registration.sequence + 1) & 0xFFFF,
        timestamp=_timestamp(registration, now),
        source=_source(registration, settings, purpose, chosen),
        bindings=MappingProxyType(bindings),
        lifetime=0 if ends else _lifetime(settings, bindings.values(), now),
        identified=identified,
        overwrite=overwrite,
        sent_at=now,
        key_mobility=_moves_endpoint(registration, chosen) and not ends,
        told=_told(registration, settings, bindings.keys(), ends=ends, overwrite=overwrite) if identified else NOTHING,
        home=None if ends else home,
    )


def endpoint(registration: Registration) -> Entry | None:
    """The entry to whose care-of address the IKE SA has still to be moved."""
    entry = registration.entries.get(registration.endpoint_wanted or 0)
    if not registration.key_mobility or entry is None or entry.wanted is None:
        return None
    there = registration.endpoint.care_of if registration.endpoint else None
    return entry if entry.target.care_of != there else None


def _moves_endpoint(registration: Registration, chosen: list[Entry]) -> bool:
    """An update about several bindings would not say to which of them."""
    return registration.key_mobility and [entry.bid for entry in chosen] == [registration.endpoint_wanted]


def _told(registration: Registration, settings: Settings, bids: Set[int], *, ends: bool, overwrite: bool) -> Told:
    """What an update about these bindings says of flows. They may be bound to what there is when it has been taken."""
    if not registration.flow_bindings:
        return NOTHING
    held = {bid for bid, entry in registration.entries.items() if is_registered_here(registration, entry)}
    there = held - bids if ends else bids if overwrite else held | bids
    secret = settings.authentication
    others = (
        _IDENTIFIER_OCTETS * len(bids)
        + registration.network.octets
        + (len(secret.identity.encode()) if secret is not None else 0)
    )
    others += _LINK_LAYER_OCTETS if registration.hardware_address else 0
    return flow_bindings.tell(registration.flows, there, _FLOW_ROOM - others)


def _replaces(registration: Registration) -> bool:
    """Whether an update has to replace all that the home agent holds: we do not know what that is, or none of it is
    worth keeping and no registered link is left from which to deregister it.
    """
    entries = registration.entries.values()
    registered = any(entry.wanted and is_registered_here(registration, entry) for entry in entries)
    return registration.overwrite or (not registered and any(_is_lost(entry) for entry in entries))


def _chosen(registration: Registration, settings: Settings, purpose: Purpose) -> list[Entry]:
    """The entries that an update is about. An update that does not name the home binding would end it."""
    entries = registration.entries
    match purpose:
        case Plain(bid) | MoveEndpoint(bid):
            return [entries[bid]]
        case Register(bid):
            return _with_home(registration, settings, [entries[bid]])
        case LeaveHome():
            away = _away(registration, settings)
            return [away[_tries(registration, purpose) % len(away)]]
        case TellFlows():
            registered = _registered(registration)
            return _with_home(registration, settings, [registered[_tries(registration, purpose) % len(registered)]])
        case Deregister(bids):
            return [entries[bid] for bid in bids]
        case Return() | Leave():
            return [entry for entry in entries.values() if entry.claimed_until_at]
        case Refresh():
            wanted = [entry for entry in entries.values() if entry.wanted and not entry.refusal]
            verify = settings.registration.verify_links
            chosen = [entry for entry in wanted if not verify or is_registered_here(registration, entry)]
            return _with_home(registration, settings, chosen)
        case _:
            assert_never(purpose)


def _with_home(registration: Registration, settings: Settings, chosen: list[Entry]) -> list[Entry]:
    """These, and the home binding if the home agent may hold it."""
    home = [
        entry
        for entry in registration.entries.values()
        if entry.wanted and entry.wanted.care_of == settings.home.address and not entry.refusal
    ]
    return [*chosen, *(entry for entry in home if entry.claimed_until_at and entry not in chosen)]


def _away(registration: Registration, settings: Settings) -> list[Entry]:
    """Those of the bindings that are surely held which are not the home binding, the preferred first."""
    return [entry for entry in _registered(registration) if entry.target.care_of != settings.home.address]


def _registered(registration: Registration) -> list[Entry]:
    """Those that are wanted and surely bound, the preferred first."""
    entries = registration.entries.values()
    found = [entry for entry in entries if entry.wanted and is_registered_here(registration, entry)]
    return sorted(found, key=by_priority)


def _source(registration: Registration, settings: Settings, purpose: Purpose, chosen: list[Entry]) -> IPv6Address:
    """The care-of address to send from; at home it is the home address.

    One that is to be registered alone speaks for itself. Otherwise the preferred of those that are registered, and at
    every further try another, for the path may be dead.
    """
    if isinstance(purpose, Register) and purpose.care_of == settings.home.address:
        # A home agent that does not know home bindings cannot answer there: it cannot ask where we are
        ways = [purpose.care_of, *(entry.target.care_of for entry in _away(registration, settings))]
        return ways[_tries(registration, purpose) % len(ways)]
    if isinstance(purpose, Register | Plain | MoveEndpoint):
        return purpose.care_of
    if isinstance(purpose, TellFlows | LeaveHome):
        return chosen[0].target.care_of
    if isinstance(purpose, Return):
        return settings.home.address
    # A refresh is from one of the bindings that it is about
    entries = chosen if isinstance(purpose, Refresh) else registration.entries.values()
    wanted = sorted((entry for entry in entries if entry.wanted), key=by_priority)
    registered = [
        entry.binding.care_of for entry in wanted if entry.binding and is_registered_here(registration, entry)
    ]
    senders = registered or [entry.target.care_of for entry in wanted]
    return senders[_tries(registration, purpose) % len(senders)]


def _tries(registration: Registration, purpose: Purpose) -> int:
    attempt = registration.attempts.get(purpose)
    return attempt.count if attempt is not None else 0


def _lifetime(settings: Settings, wanted: Iterable[Wanted], now: float) -> int:
    """At most as long as every care-of address is valid, but never 0, which would mean the opposite (RFC 6275
    section 11.7.1).
    """
    shortest = min([float(settings.registration.lifetime_s), *(each.valid_until_at - now for each in wanted)])
    return max(1, lifetime_units(max(shortest, 0.0)))


def _timestamp(registration: Registration, now: float) -> int:
    """The home agent's time of day, and always later than the one before (RFC 4285 section 6)."""
    return max(auth.ntp_timestamp(int((now + registration.clock_offset_s) * 1e9)), registration.timestamp + 1)


def _packet(registration: Registration, settings: Settings, update: Update) -> Packet:
    network = registration.network
    flags = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION | network.flags
    if update.overwrite:
        flags |= BindingUpdateFlag.OVERWRITE
    if update.key_mobility:
        flags |= BindingUpdateFlag.KEY_MANAGEMENT_MOBILITY
    options: list[Option] = [_identifier(update, bid) for bid in sorted(update.bindings) if update.identified]
    if update.home is not None:
        options.append(LinkLayerAddress(LinkLayerAddressCode.MOBILE_NODE, registration.hardware_address))
    # When all bindings end so do the prefixes, which need not be named (RFC 3963 section 5.8)
    options += network.options if update.lifetime or update.identified else []
    options += update.told.options if update.told else []
    secret, home = settings.authentication, settings.home
    if secret is None:
        if not update.identified:
            # ESP does not cover the IPv6 header (RFC 6275 section 11.7.1)
            options.append(AlternateCareOfAddress(update.source))
        message = BindingUpdate(update.sequence, flags, update.lifetime, tuple(options))
        return Packet(update.source, home.agent, home.address, encode(message), protected=True)
    options.append(MobileNodeIdentifier(IdentifierSubtype.NAI, secret.identity.encode()))
    options.append(MessageReplayProtection(update.timestamp))
    message = BindingUpdate(update.sequence, flags, update.lifetime, tuple(options))
    data = auth.sign(message, secret.key, secret.spi, update.source, home.address)
    # At home there is no Home Address option (RFC 6275 section 11.5.5)
    return Packet(update.source, home.agent, None if update.source == home.address else home.address, data)


def _identifier(update: Update, bid: int) -> BindingIdentifier:
    """The care-of address always goes with it, so that a home agent which lost its memory can still take the binding;
    not when the binding ends, where it may be left out (RFC 5648 sections 5.1 and 5.4). A priority is never 0 (RFC 6089
    section 4.1).
    """
    wanted, care_of = update.bindings[bid], update.bindings[bid].care_of if update.lifetime else None
    return BindingIdentifier(bid, home=bid == update.home, priority=wanted.priority, care_of=care_of)


def _sent(registration: Registration, settings: Settings, update: Update) -> Registration:
    now = update.sent_at
    known = any(entry.binding for entry in registration.entries.values())
    # The home agent may have to check a home address that is new to it (RFC 6275 section 11.7.1)
    first_timeout_s = INITIAL_BINDACK_TIMEOUT_S if known else settings.registration.first_timeout_s
    before = registration.attempts.get(update.purpose, Attempt(now, first_timeout_s, 0))
    attempt = Attempt(
        due_at=now + before.timeout_s,
        timeout_s=min(2 * before.timeout_s, MAX_BINDACK_TIMEOUT_S),
        count=before.count + 1,
    )
    current = set(purposes(registration, settings, now))
    claimed_until_at = now + lifetime_seconds(update.lifetime)
    entries = dict(registration.entries)
    for bid, entry in registration.entries.items():
        if update.lifetime and bid in update.bindings:
            entries[bid] = replace(entry, claimed_until_at=max(entry.claimed_until_at, claimed_until_at))
        elif update.overwrite or bid in update.bindings:
            # It is taken from the home agent. The answer may get lost, so it counts as gone from now on
            entries[bid] = replace(entry, binding=None)
    sent = replace(
        registration,
        entries=entries,
        flows=flow_bindings.sent(registration.flows, update.told or NOTHING),
        sequence=update.sequence,
        timestamp=update.timestamp,
        unanswered=(*registration.unanswered, update),
        overwrite=registration.overwrite or isinstance(update.purpose, Return),
        attempts={purpose: kept for purpose, kept in registration.attempts.items() if purpose in current}
        | {update.purpose: attempt},
        recent=(*registration.recent, now)[-MAX_UPDATE_RATE:],
    )
    return enter(sent, now)
