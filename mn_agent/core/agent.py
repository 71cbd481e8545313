"""The agent: events and the time go in, commands come out.

`step` is the only way in. What should be in the kernel (kernel.py), what people see (report.py), what survives a
restart (`saved`) and when to wake up (`deadline`) are computed from the state.
"""

from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

from mip6.reception import Discard, IcmpError, receive
from mip6.relay import read_too_big
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, BindingRefreshRequest
from mip6.wire.options import BindingIdentifier
from mn_agent.core import bindings, registration
from mn_agent.core.answers import Problem, acknowledge
from mn_agent.core.bindings import Binding, Entry, Registration, Wanted
from mn_agent.core.changes import changes
from mn_agent.core.commands import Command, ForgetNeighbour, Send, SendIcmp, Tell
from mn_agent.core.events import (
    Event,
    IcmpReceived,
    InterfacesChanged,
    PacketReceived,
    Refused,
    StopRequested,
    SwitchRequested,
    Tick,
)
from mn_agent.core.interfaces import Snapshot
from mn_agent.core.links import find_links
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.preference import priority
from mn_agent.core.settings import Settings
from mn_agent.core.state import Carrier, Saved, SavedBinding, State


def start(settings: Settings, saved: Saved | None, *, same_boot: bool, sequence: int, clock_offset_s: float) -> State:
    """The agent before its first event, which has to be the first look at the interfaces.

    `sequence`: random, for the case that none was saved. `clock_offset_s`: time of day less the time given to `step`.
    Bindings saved since the last boot count as registered: the first update restates all of them, and if that still
    holds, nothing changes.
    """
    if saved is None:
        return State(settings, Registration(sequence=sequence, clock_offset_s=clock_offset_s))
    if not same_boot:
        fresh = Registration(sequence=saved.sequence, clock_offset_s=clock_offset_s)
        return State(settings, fresh, bids=saved.bids, pinned=saved.pinned)
    entries = {one.bid: _restored(one) for one in saved.bindings}
    restored = Registration(
        entries=entries,
        sequence=saved.sequence,
        clock_offset_s=saved.clock_offset_s,
        multiple=saved.multiple,
        bulk=saved.bulk,
        # Where only single updates are allowed, replacing everything would drop the others for a moment
        overwrite=saved.bulk,
    )
    return State(settings, restored, bids=saved.bids, pinned=saved.pinned)


def _restored(one: SavedBinding) -> Entry:
    binding = Binding(one.care_of, one.priority, one.registered_at, one.refresh_at, one.expires_at)
    wanted = Wanted(one.care_of, one.priority)
    state = bindings.EntryState.REGISTERED
    return Entry(
        one.bid,
        state,
        one.registered_at,
        wanted,
        binding,
        claimed_until_at=one.expires_at,
    )


def saved(state: State) -> Saved:
    """What a restarted agent needs."""
    return Saved(
        sequence=state.registration.sequence,
        clock_offset_s=state.registration.clock_offset_s,
        multiple=state.registration.multiple,
        bulk=state.registration.bulk,
        pinned=state.pinned,
        bids=state.bids,
        bindings=tuple(
            SavedBinding(
                entry.bid,
                entry.binding.care_of,
                entry.binding.priority,
                entry.binding.registered_at,
                entry.binding.refresh_at,
                entry.binding.expires_at,
            )
            for entry in state.registration.entries.values()
            if entry.binding
        ),
    )


def deadline(state: State, now: float) -> float:
    """When `step` wants a Tick; infinity for never. A moment that is past means at once."""
    return registration.deadline(state.registration, state.settings, now)


def is_finished(state: State) -> bool:
    """After StopRequested: whether the home agent holds nothing of ours any more, or cannot be told."""
    wanted = any(entry.wanted for entry in state.registration.entries.values())
    claimed = any(entry.claimed_until_at for entry in state.registration.entries.values())
    return state.registration.leaving and not (wanted and claimed)


def step(state: State, event: Event, now: float) -> tuple[State, list[Command]]:
    """Take one event. `now`: seconds of a clock that never jumps and counts sleep (CLOCK_BOOTTIME)."""
    before = state
    commands: list[Command] = []
    match event:
        case InterfacesChanged(snapshot):
            state = _look(state, snapshot, now)
        case PacketReceived(packet):
            state, commands = _receive(state, packet, now)
        case IcmpReceived(data):
            state, commands = _relay(state, data, now)
        case SwitchRequested(link):
            state = replace(state, pinned=link)
        case Refused(what, why):
            troubles = {known: text for known, text in state.troubles.items() if known != what}
            state = replace(state, troubles=troubles | ({what: why} if why is not None else {}))
        case StopRequested():
            state = replace(state, registration=bindings.leave(state.registration))
        case Tick():
            pass
        case _:
            assert_never(event)
    state = _want(replace(state, registration=bindings.expire(state.registration, now)), now)
    state, packets = _send(state, now)
    state = _choose(state, now)
    told = [Tell(notice) for notice in changes(before, state)]
    return state, [*commands, *packets, *_forget_routers(before, state), *told]


def _look(state: State, snapshot: Snapshot, now: float) -> State:
    known = {link.index: link for link in state.links.values()}
    links = {link.bid: link for link in find_links(snapshot, state.settings, known, state.bids)}
    since = {
        bid: state.links_since[bid] if bid in state.links and state.links[bid].problem == link.problem else now
        for bid, link in links.items()
    }
    bids = {**state.bids, **{link.interface: link.bid for link in links.values()}}
    return replace(state, links=MappingProxyType(links), links_since=since, bids=bids)


def _want(state: State, now: float) -> State:
    """Want a binding for every link that has a care-of address."""
    pinned = state.link_called(state.pinned) if state.pinned else None
    wanted = {
        link.bid: Wanted(
            link.care_of, priority(link, state.settings.links, is_pinned=link == pinned), link.care_of_until_at
        )
        for link in state.links.values()
        if link.care_of is not None
    }
    return replace(state, registration=bindings.want(state.registration, wanted, now))


def _send(state: State, now: float) -> tuple[State, list[Command]]:
    commands: list[Command] = []
    while True:
        registered, packet = registration.poll(state.registration, state.settings, now)
        state = replace(state, registration=registered)
        if packet is None:
            return state, commands
        commands.append(Send(packet))


def _forget_routers(before: State, after: State) -> list[Command]:
    """Packets that were sent when the carrier was gone already wait for the router there, for three seconds. Until then
    TCP takes them for not yet sent, and does not repeat them over the link that took over.
    """
    commands: list[Command] = []
    for bid, link in after.links.items():
        old = before.links.get(bid)
        if old is not None and old.carries and not link.carries and link.up and old.router is not None:
            commands.append(ForgetNeighbour(link.index, old.router))
    return commands


def _choose(state: State, now: float) -> State:
    """Give the default traffic to the best link over which the home agent takes it."""
    entries = [entry for entry in bindings.carrying(state.registration) if state.carries(entry)]
    if not entries:
        return replace(state, carrier=None)
    bid = entries[0].bid
    pinned = state.link_called(state.pinned) if state.pinned else None
    if pinned is not None and pinned.bid == bid:
        why = "it was asked for"
    elif state.pinned is not None:
        why = f"{state.pinned} was asked for, but is not registered"
    elif len(entries) == 1:
        why = "it is the only registered link"
    else:
        why = "it is the best registered link in the configured order"
    if state.carrier is not None and (state.carrier.bid, state.carrier.why) == (bid, why):
        return state
    since_at = state.carrier.since_at if state.carrier is not None and state.carrier.bid == bid else now
    return replace(state, carrier=Carrier(bid, since_at, why))


def _relay(state: State, data: bytes, now: float) -> tuple[State, list[Command]]:
    """A packet of our own was too big inside the tunnel: its sender is this machine, and hears of it from us."""
    too_big = read_too_big(data)
    home = state.settings.home
    if too_big is None or (too_big.outer_destination, too_big.inner_source) != (home.agent, home.address):
        return state, []
    return _send_limited(state, too_big.relay(home.address), now)


def _receive(state: State, packet: Packet | DecodeError, now: float) -> tuple[State, list[Command]]:
    if isinstance(packet, DecodeError):
        return _ignore(state, packet.reason.value, None, now)
    message = receive(packet, from_mobile_node=False)
    if isinstance(message, Discard):
        return _ignore(state, message.reason, message.reply, now)
    from_home_agent = packet.source == state.settings.home.agent
    for_us = packet.home_address in (None, state.settings.home.address)
    if not (from_home_agent and for_us):
        return _ignore(state, "not from our home agent, or not for our home address", None, now)
    match message:
        case BindingAcknowledgement():
            registered, result = acknowledge(state.registration, state.settings, packet, message, now)
            state = replace(state, registration=registered)
            return _ignore(state, result.value, None, now) if isinstance(result, Problem) else (state, [])
        case BindingRefreshRequest(options):
            bids = {option.bid for option in options if isinstance(option, BindingIdentifier)}
            return replace(state, registration=bindings.refresh(state.registration, bids, now)), []
    return _ignore(state, f"{type(message).__name__} is not expected", None, now)


def _ignore(state: State, reason: str, reply: Packet | IcmpError | None, now: float) -> tuple[State, list[Command]]:
    """Count a message that changes nothing; tell the first of its kind, answer within limits."""
    commands: list[Command] = []
    if reason not in state.ignored:
        commands.append(Tell(Notice(NoticeKind.IGNORED, f"message ignored: {reason}")))
    state = replace(state, ignored={**state.ignored, reason: state.ignored.get(reason, 0) + 1})
    if reply is None:
        return state, commands
    state, replies = _send_limited(state, reply, now)
    return state, commands + replies


def _send_limited(state: State, reply: Packet | IcmpError, now: float) -> tuple[State, list[Command]]:
    limit = state.error_limit.take(now)
    if limit is None:
        return state, []
    return replace(state, error_limit=limit), [Send(reply) if isinstance(reply, Packet) else SendIcmp(reply)]
