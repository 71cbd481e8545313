"""The agent: events and the time go in, commands come out.

`step` is the only way in. What should be in the kernel (kernel.py), what people see (report.py), what survives a
restart (`saved`) and when to wake up (`deadline`) are computed from the state.
"""

from dataclasses import replace
from ipaddress import IPv6Address
from math import inf
from types import MappingProxyType
from typing import assert_never

from mip6 import path_mtu, tunnels
from mip6.ike_sas import IkeSa
from mip6.ipsec import Side
from mip6.reception import Discard, IcmpError, receive
from mip6.relay import read_too_big
from mip6.tunnels import Negotiated
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingRevocationIndication,
    HomeAgentSwitch,
    Message,
)
from mip6.wire.neighbor import NeighborAdvertisement, NeighborMessage
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import Status
from mip6.wire.traffic_selectors import Ipv6Selector, decode_selector, encode_selector
from mn_agent.core import (
    bindings,
    correspondent_answers,
    correspondents,
    discovery,
    flow_bindings,
    home_agents,
    homecoming,
    ike,
    mobile_network,
    movement,
    policy,
    prefix_discovery,
    probing,
    registration,
    revocation,
    routability,
    routers,
)
from mn_agent.core.answers import Problem, acknowledge
from mn_agent.core.bindings import Binding, Endpoint, Entry, Registration, Return, Wanted, carrying
from mn_agent.core.changes import changes
from mn_agent.core.commands import (
    Command,
    CountTraffic,
    EstablishIke,
    EstablishTunnel,
    KnowNeighbour,
    MoveIke,
    Send,
    SendIcmp,
    SendNeighbor,
    SendProbe,
    SendSolicitation,
    Tell,
)
from mn_agent.core.correspondents import Correspondent, Correspondents
from mn_agent.core.discovery import Discovery
from mn_agent.core.events import (
    AdvertisementReceived,
    CorrespondentsSeen,
    DevicesChanged,
    EchoReceived,
    Event,
    IcmpReceived,
    IkeLooked,
    IkeTried,
    InterfacesChanged,
    NeighborHeard,
    PacketReceived,
    PolicyChosen,
    RefreshRequested,
    Refused,
    Resumed,
    RouterHeard,
    SettingsChanged,
    StopRequested,
    Subject,
    SwitchRequested,
    Tick,
    TrafficCounted,
)
from mn_agent.core.flow_bindings import FlowBinding, FlowEntry
from mn_agent.core.flows import Flows
from mn_agent.core.links import Link, called, find_links
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.policy import Pins
from mn_agent.core.preference import priorities
from mn_agent.core.prefix_discovery import PrefixDiscovery
from mn_agent.core.settings import Security, Settings
from mn_agent.core.state import Going, Saved, SavedBinding, SavedCorrespondent, SavedFlow, State

UNHEARD = 5
"""Updates of each kind without an answer, before the IKE SA is made anew: half a minute. Protected payload stops for
that moment, and the home agent may only have been started anew.
"""
SLOTS = 7
"""Links whose flows can be told apart: bits in the mark of a packet, of which one more is for the default traffic."""
_OFTEN = DevicesChanged | EchoReceived | RouterHeard | TrafficCounted | Tick
"""What mostly changes nothing."""


def start(
    settings: Settings,
    flows: Flows,
    saved: Saved | None,
    *,
    same_boot: bool,
    sequence: int,
    clock_offset_s: float,
    key_mobility: bool = False,
    seed: bytes = b"",
) -> State:
    """The agent before its first event, which has to be the first look at the interfaces.

    `sequence`: random, for the case that none was saved. `clock_offset_s`: time of day less the time given to `step`.
    `key_mobility`: our IKE SA can move to another care-of address. `seed`: 32 octets at random, which stay secret.
    Bindings saved since the last boot count as registered: the first update restates all of them, and if that still
    holds, nothing changes.
    """
    fresh = Registration(
        sequence=sequence,
        clock_offset_s=clock_offset_s,
        key_mobility=key_mobility,
        network=mobile_network.configured(settings.router),
    )
    nobody = Correspondents(seed)
    if saved is None:
        return State(settings, fresh, flows, Discovery(sequence), PrefixDiscovery(sequence), correspondents=nobody)
    settings = replace(settings, home=home_agents.with_agent(settings.home, saved.home_agent))
    known = State(
        settings,
        fresh,
        flows,
        Discovery(sequence),
        PrefixDiscovery(sequence),
        bids=saved.bids,
        pins=saved.pins,
        chosen=saved.policy,
        correspondents=nobody,
    )
    if not same_boot or saved.home_agent != settings.home.agent:
        return replace(known, registration=replace(fresh, sequence=saved.sequence))
    restored = replace(
        fresh,
        entries={one.bid: _restored(one) for one in saved.bindings},
        sequence=saved.sequence,
        clock_offset_s=saved.clock_offset_s,
        multiple=saved.multiple,
        bulk=saved.bulk,
        flows={one.fid: _restored_flow(one) for one in saved.flows},
        flow_bindings=saved.flow_bindings,
        # Where only single updates are allowed, replacing everything would drop the others for a moment
        overwrite=saved.bulk,
    )
    everybody = replace(nobody, known={one.address: _restored_correspondent(one) for one in saved.correspondents})
    home = homecoming.AWAY if saved.home is None else homecoming.Homecoming(homecoming.Phase.HOME, saved.home)
    return replace(known, registration=restored, correspondents=everybody, homecoming=home)


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


def _restored(one: SavedBinding) -> Entry:
    binding = _restored_binding(one)
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


def _restored_flow(one: SavedFlow) -> FlowEntry:
    selector = decode_selector(bytes.fromhex(one.selector))
    assert isinstance(selector, Ipv6Selector)
    return FlowEntry(one.fid, held=FlowBinding(one.priority, selector, one.bids), claimed=True)


def saved(state: State) -> Saved:
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
        home_agent=state.settings.home.agent,
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
        home=state.homecoming.bid if state.homecoming.phase is homecoming.Phase.HOME else None,
    )


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


def adopt(state: State, present: Negotiated) -> State:
    """The agent before its first event, on a machine that has these states of IPsec, by reqid."""
    if state.settings.security is not Security.IKEV2:
        return state
    there = tunnels.restored(state.settings.association, Side.MOBILE_NODE, present)
    return replace(state, ike=replace(state.ike, tunnels=there))


def aspects(state: State) -> tuple[object, ...]:
    """What the wanted kernel and `saved` are made from: while these are the same objects, so are those."""
    kernel = state.links, state.slots, state.flows, state.decision, state.ike.tunnels, state.path_mtus
    inwards = state.interfaces if state.settings.router.prefixes else None
    around = inwards, state.homecoming, state.home_link
    return *kernel, *around, state.correspondents, state.registration, state.pins, state.bids, state.chosen


def deadline(state: State, now: float) -> float:
    """When `step` wants a Tick; infinity for never. A moment that is past means at once."""
    return min(
        _sends_at(state, now),
        probing.deadline(state.probing, state.targets(), state.settings.probing),
        state.probing.look_at if state.probing.paths and state.probing.matters else inf,
        state.decision.again_at,
        home_agents.leave_at(state),
        _discovers_at(state),
        _solicits_at(state),
        state.prefixes.valid_until_at,
        path_mtu.due_at(state.path_mtus),
        movement.overdue_at(state),
        homecoming.deadline(state.homecoming, told=_has_told_to_return(state)),
    )


def _sends_at(state: State, now: float) -> float:
    """When there is a Binding Update to send, or something to do about IKE."""
    updates_at = registration.deadline(state.registration, state.settings, now) if state.can_protect else inf
    tunnels_at = [ike.tunnel_due_at(state.ike, number) for number in _missing_tunnels(state)]
    optimized_at = routability.deadline(state.correspondents)
    return min(updates_at, optimized_at, _ike_due_at(state), tunnels.due_at(state.ike.tunnels), *tunnels_at)


def is_finished(state: State) -> bool:
    """After StopRequested: whether the home agent holds nothing of ours any more, or cannot be told."""
    return bindings.has_left(state.registration)


def step(state: State, event: Event, now: float) -> tuple[State, list[Command]]:
    """Take one event. `now`: seconds of a clock that never jumps and counts sleep (CLOCK_BOOTTIME)."""
    before = state
    commands: list[Command] = []
    match event:
        case InterfacesChanged(snapshot):
            state = _look(replace(state, interfaces=snapshot), now)
        case RouterHeard(index, advertisement):
            state = _look(replace(state, routers=routers.hear(state.routers, index, advertisement, now)), now)
        case DevicesChanged(devices):
            state = _look(replace(state, devices=devices), now)
        case PacketReceived(packet):
            state, commands = _receive(state, packet, now)
        case AdvertisementReceived(packet):
            state, commands = _hear_advertisement(state, packet, now)
        case IcmpReceived(data):
            state, commands = _icmp(state, data, now)
        case NeighborHeard(heard):
            state, commands = _hear_neighbor(state, heard)
        case EchoReceived(sequence):
            state = replace(state, probing=probing.answered(state.probing, sequence, now))
        case TrafficCounted(arrived, left):
            counted = probing.counted(state.probing, arrived, left, state.settings.probing, now)
            state = replace(state, probing=counted)
        case SwitchRequested(link, subject, flow):
            state = _pin(state, link, subject, flow)
        case PolicyChosen(flows, by_people):
            state = replace(state, flows=flows, chosen=flows.name if by_people else state.chosen)
        case CorrespondentsSeen(addresses):
            state = replace(state, seen=addresses)
        case IkeLooked(sas, negotiated):
            state = _ike_looked(state, sas, negotiated, now)
        case IkeTried(care_of):
            state = replace(state, ike=ike.ended(state.ike, care_of, now))
        case Refused(what, why):
            troubles = {known: text for known, text in state.troubles.items() if known != what}
            state = replace(state, troubles=troubles | ({what: why} if why is not None else {}))
        case SettingsChanged(settings):
            state = replace(state, settings=replace(settings, home=state.settings.home))
        case RefreshRequested(snapshot):
            state = _start_anew(replace(state, interfaces=snapshot), now)
        case Resumed(snapshot):
            state = _start_anew(replace(state, interfaces=snapshot), now)
            commands.append(Tell(Notice(NoticeKind.RESUMED, "the machine has slept")))
        case StopRequested():
            state = replace(state, registration=bindings.leave(state.registration))
        case Tick():
            pass
        case _:
            assert_never(event)
    state = replace(state, ike=ike.adopt(state.ike, now), path_mtus=path_mtu.expire(state.path_mtus, now))
    state = replace(state, prefixes=prefix_discovery.expire(state.prefixes, now))
    if home_agents.leave_at(state) <= now:
        state, told = _change_home_agent(state, now)
        commands += told
    state = replace(state, correspondents=correspondents.expire(state.correspondents, now))
    state, looks = _probe(state, now)
    state, said = _come_home(state, now)
    commands += said
    state = _decide(replace(state, registration=bindings.expire(state.registration, now)), now)
    state, questions = movement.ask(before, state, now)
    commands += [*looks, *questions]
    if isinstance(event, _OFTEN) and _is_quiet(before, state, now):
        return state, commands
    if state.home_agents_tried and carrying(state.registration):
        state = replace(state, home_agents_tried=0)
    state = _want(state, now)
    state, establishing = _establish(state, now)
    state, direct = _optimize(state, now)
    state, packets = _send(state, now)
    state, discovering = _discover(state, now)
    state, solicitations = _solicit(state, now)
    if not state.registration.multiple:
        # A home agent that takes one care-of address has the new one as soon as it has the update, which left just now
        state = _decide(state, now)
    notices = [Tell(notice) for notice in changes(before, state)]
    moving = _ike(before, state)
    for command in moving:
        if isinstance(command, EstablishIke):
            state = replace(state, ike=ike.asked(state.ike, command.care_of, now))
    sent = [*packets, *direct, *discovering, *solicitations]
    return state, [*commands, *sent, *movement.forget(before, state), *establishing, *moving, *notices]


def _is_quiet(before: State, after: State, now: float) -> bool:
    """Whether nothing has happened that anybody has to hear of. That is so most of the time."""
    return (
        after.links is before.links
        and after.settings is before.settings
        and after.decision == before.decision
        and after.homecoming is before.homecoming
        and all(after.is_dead(bid) == before.is_dead(bid) for bid in after.links)
        and after.registration is before.registration
        and after.prefixes is before.prefixes
        and _sends_at(after, now) > now
        and _discovers_at(after) > now
        and _solicits_at(after) > now
    )


def _look(state: State, now: float) -> State:
    """What interfaces, routers and devices say of the links."""
    state = replace(state, routers=routers.follow(state.routers, state.interfaces))
    known = {link.index: link for link in state.links.values()}
    found = find_links(state.interfaces, state.settings, known, state.bids, state.devices, state.routers)
    links = {link.bid: link for link in found}
    if links == state.links:
        return state
    since = {
        bid: state.links_since[bid] if bid in state.links and state.links[bid].problem == link.problem else now
        for bid, link in links.items()
    }
    bids = {name: bid for name, bid in state.bids.items() if bid not in links}
    bids |= {link.interface: link.bid for link in links.values()}
    slots = {bid: slot for bid, slot in state.slots.items() if bid in links}
    free = [slot for slot in range(SLOTS) if slot not in slots.values()]
    slots |= dict(zip((bid for bid in links if bid not in slots), free, strict=False))
    return replace(state, links=MappingProxyType(links), links_since=since, bids=bids, slots=slots)


def _start_anew(state: State, now: float) -> State:
    """Believe nothing that is known of the home agent and the paths to it, and find out at once."""
    return replace(
        _look(state, now),
        registration=replace(
            bindings.start_anew(state.registration, now), network=mobile_network.configured(state.settings.router)
        ),
        ike=ike.start_anew(state.ike),
        probing=probing.start_anew(state.probing),
    )


def _pin(state: State, link: str | None, subject: Subject, flow: str) -> State:
    """What people ask for holds until they ask for something else."""
    match subject:
        case Subject.ALL:
            pins = Pins(link, {}, state.pins.ike)
        case Subject.FLOW:
            others = {name: pinned for name, pinned in state.pins.flows.items() if name != flow}
            pins = replace(state.pins, flows=others | ({flow: link} if link is not None else {}))
        case Subject.IKE:
            pins = replace(state.pins, ike=link)
        case _:
            assert_never(subject)
    wanted = called(link, state.links.values())
    decision = policy.forgive(state.decision, wanted.bid) if wanted is not None else state.decision
    return replace(state, pins=pins, decision=decision)


def _probe(state: State, now: float) -> tuple[State, list[Command]]:
    """Look after the paths of all links."""
    targets, settings = state.targets(), state.settings.probing
    elsewhere = bool(state.settings.home.alternatives)
    followed = probing.follow(state.probing, targets, settings, now, elsewhere=elsewhere)
    followed, probes = probing.step(followed, targets, settings, now)
    commands: list[Command] = [SendProbe(probe) for probe in probes]
    if followed.paths and followed.matters and followed.look_at <= now:
        followed = replace(followed, look_at=inf)
        commands.append(CountTraffic())
    return replace(state, probing=followed), commands


def _change_home_agent(state: State, now: float) -> tuple[State, list[Command]]:
    """The next one knows nothing of us yet; what the old one knows ends there with its lifetime."""
    known, going = state.registration, state.going
    home = home_agents.following(state.settings.home, going.home_agents if going is not None else ())
    why = "does not serve us" if known.refusal is not None else "does not answer"
    why = going.why if going is not None else why
    text = f"{state.settings.home.agent} {why}: {home.agent} is asked from now on"
    fresh = Registration(
        sequence=known.sequence,
        clock_offset_s=known.clock_offset_s,
        key_mobility=known.key_mobility,
        recent=known.recent,
        network=known.network,
    )
    changed = replace(
        state,
        settings=replace(state.settings, home=home),
        registration=fresh,
        ike=ike.left(state.ike),
        path_mtus={},
        probing=probing.Probing(sequence=state.probing.sequence),
        discovery=Discovery(state.discovery.identifier),
        prefixes=prefix_discovery.left(state.prefixes),
        revoked=None,
        going=None,
        home_agent_since_at=now,
        home_agents_tried=state.home_agents_tried + 1,
    )
    return changed, [Tell(Notice(NoticeKind.HOME_AGENT, text))]


def _has_told_to_return(state: State) -> bool:
    return Return() in state.registration.attempts


def _come_home(state: State, now: float) -> tuple[State, list[Command]]:
    """Be at home for good, where that is so (RFC 6275 section 11.5.5)."""
    link, known, registered = state.home_for_good, state.homecoming, state.registration
    if link is None:
        still_there = any(one.bid == known.bid and one.at_home and one.carries for one in state.links.values())
        if known is homecoming.AWAY or (known.phase is homecoming.Phase.DUPLICATE and still_there):
            return state, []
        left = replace(registered, returning=False)
        return replace(state, homecoming=homecoming.AWAY, registration=left), []
    if known.bid != link.bid:
        claimed = any(entry.claimed_until_at for entry in registered.entries.values())
        new = homecoming.arrive(link.bid, now, claimed=claimed)
    else:
        told = _has_told_to_return(state)
        new = homecoming.proceed(known, now, told=told, ended=not registered.returning)
    commands: list[Command] = []
    address = state.settings.home.address
    if new.phase is not known.phase and (new.phase is homecoming.Phase.ASKING or _is_defended_on(state, link)):
        commands.append(SendNeighbor(link.index, homecoming.question(address)))
    if new.announce_at <= now:
        new = homecoming.announced(new, now)
        commands.append(SendNeighbor(link.index, homecoming.announcement(link, address)))
    if new.phase is homecoming.Phase.RETURNING and known.phase is not new.phase:
        registered = bindings.come_home(registered)
    return replace(state, homecoming=new, registration=registered), commands


def _is_defended_on(state: State, link: Link) -> bool:
    """Whether the home agent is on this link, and stands in for us there: who asks for the home address learns its
    hardware address, and gives away nothing of his own (RFC 6275 section 11.5.5).
    """
    bound = any(entry.binding for entry in state.registration.entries.values())
    return bound and link.reaches(state.settings.home.agent)


def _hear_neighbor(state: State, heard: NeighborMessage) -> tuple[State, list[Command]]:
    """Somebody has the home address: the home agent, as long as it may hold bindings, or somebody who should not."""
    link, home = state.home_for_good, state.settings.home
    if link is None or heard.target != home.address:
        return state, []
    if homecoming.is_contradiction(state.homecoming, heard, link):
        contradicted = homecoming.contradicted(state.homecoming)
        returning = contradicted.phase is homecoming.Phase.RETURNING
        registered = bindings.come_home(state.registration) if returning else state.registration
        return replace(state, homecoming=contradicted, registration=registered), []
    if isinstance(heard, NeighborAdvertisement) and state.registration.returning and link.reaches(home.agent):
        return state, [KnowNeighbour(link.index, home.agent, heard.hardware_address)]
    return state, []


def _decide(state: State, now: float) -> State:
    """Which link carries what."""
    chosen = policy.decide(
        state.flows.policy, state.settings.links.prefer, state.views(), state.pins, state.decision, now
    )
    return state if chosen == state.decision else replace(state, decision=chosen)


def _want(state: State, now: float) -> State:
    """Want a binding for every link that has a care-of address and a path, and every flow where it was decided."""
    offers = _offers(state)
    views = [view for view in state.views() if view.bid in offers]
    numbers = priorities(state.flows.policy, state.settings.links.prefer, views, state.decision)
    end_at = state.prefixes.valid_until_at
    wanted = {bid: Wanted(care_of, numbers[bid], min(until_at, end_at)) for bid, (care_of, until_at) in offers.items()}
    chosen = state.decision.flows
    flows = {
        one.fid: FlowBinding(one.fid, one.selector, chosen[one.rule.name].bids)
        for one in state.flows.selected
        if one.rule.name in chosen
    }
    endpoint = state.decision.ike
    registered = replace(
        bindings.want(state.registration, wanted, now),
        flows=flow_bindings.want(state.registration.flows, flows),
        endpoint_wanted=endpoint.bids[0] if endpoint is not None else None,
        hardware_address=state.home_link.hardware_address if state.home_link is not None else b"",
    )
    return replace(state, registration=registered)


def _offers(state: State) -> dict[int, tuple[IPv6Address, float]]:
    """What there is to be bound: a care-of address for each link, and how long it lasts; none while we are at home for
    good, and on the home link nothing but the home address (RFC 5648 section 5.6).
    """
    home = state.home_link
    if state.home_for_good is not None:
        return {}
    offers = {
        bid: (link.care_of, link.care_of_until_at)
        for bid, link in state.links.items()
        if link.care_of is not None
        and not link.at_home
        and not state.is_dead(bid)
        and (state.has_tunnel(bid) or bid in state.registration.entries)
    }
    return offers if home is None else {**offers, home.bid: (state.settings.home.address, inf)}


def _send(state: State, now: float) -> tuple[State, list[Command]]:
    commands: list[Command] = []
    while state.can_protect:
        registered, packet = registration.poll(state.registration, state.settings, now)
        state = replace(state, registration=registered)
        if packet is None:
            break
        commands.append(Send(packet))
    return state, commands


def _optimize(state: State, now: float) -> tuple[State, list[Command]]:
    """Have the way to correspondents direct, over every binding that the home agent holds (RFC 6275 section 11.7.2)."""
    registered = state.registration
    wishes, home = state.settings.route_optimization, state.settings.home
    asked = wishes.hosts | {address for address in state.seen if wishes.includes(address)}
    asked -= {home.address, home.agent, *home.alternatives}
    direct = state.optimizes and not registered.leaving and state.home_for_good is None
    addresses = asked if direct else frozenset()
    if not addresses and not state.correspondents.known:
        return state, []
    wanted = {}
    for bid, entry in registered.entries.items():
        held = entry.binding
        is_away = held is not None and held.care_of != home.address
        if (
            entry.wanted
            and held
            and is_away
            and bindings.is_registered_here(registered, entry)
            and state.carries(entry)
        ):
            until_at = min(entry.wanted.valid_until_at, held.expires_at)
            wanted[bid] = replace(entry.wanted, valid_until_at=until_at)
    everybody = correspondents.want(state.correspondents, addresses, wanted, registered.sequence)
    commands: list[Command] = []
    while True:
        everybody, packet = routability.poll(everybody, state.settings.home.address, now)
        if packet is None:
            return replace(state, correspondents=everybody), commands
        commands.append(Send(packet))


def _ike_looked(state: State, sas: tuple[IkeSa, ...] | None, negotiated: Negotiated, now: float) -> State:
    seen = ike.looked(state.ike, state.settings.association, sas, negotiated, now)
    registered = state.registration
    if seen.is_ready and seen.care_of is not None:
        there = registered.endpoint.care_of if registered.endpoint is not None else None
        if not state.ike.is_ready:
            # What was sent before could not be protected, or not be understood
            registered = replace(registered, attempts={})
        if there != seen.care_of:
            registered = replace(registered, endpoint=Endpoint(seen.care_of, None))
    return replace(state, ike=seen, registration=registered)


def _ike_candidates(state: State) -> list[IPv6Address]:
    """Care-of addresses that IKEv2 may run from: the policy's choice first, which there is once links are registered;
    until then all that may work.
    """
    chosen = state.decision.ike.bids[0] if state.decision.ike is not None else None
    views = [view for view in state.views() if state.links[view.bid].carries and not state.is_dead(view.bid)]
    order = state.settings.links.prefer
    views.sort(key=lambda view: (view.bid != chosen, not view.lasting, policy.rank(state.flows.policy, order, view)))
    found = [state.links[view.bid].care_of for view in views]
    return [care_of for care_of in found if care_of is not None]


def _ike_due_at(state: State) -> float:
    if state.settings.security is not Security.IKEV2 or state.registration.leaving:
        return inf
    candidates = _ike_candidates(state)
    if not candidates:
        return inf
    return ike.unheard_at(state.ike) if _is_unheard(state) else ike.due_at(state.ike, candidates)


def _is_unheard(state: State) -> bool:
    """Whether nothing that we send is answered, though it is protected: the home agent may have lost its IKE SA."""
    attempts = state.registration.attempts.values()
    return state.ike.charon and state.ike.is_ready and bool(attempts) and all(one.count >= UNHEARD for one in attempts)


def _establish(state: State, now: float) -> tuple[State, list[Command]]:
    if now < _ike_due_at(state):
        return _establish_tunnels(state, now)
    if _is_unheard(state):
        state = replace(state, ike=ike.unheard(state.ike))
    care_of = ike.next_care_of(state.ike, _ike_candidates(state))
    return replace(state, ike=ike.asked(state.ike, care_of, now)), [EstablishIke(care_of)]


def _missing_tunnels(state: State) -> list[int]:
    if state.settings.security is not Security.IKEV2 or state.registration.leaving:
        return []
    default = state.decision.default
    first = default.bids[0] if default is not None else None
    bids = [link.bid for link in state.links.values() if link.care_of is not None]
    return ike.missing(state.ike, sorted(bids, key=lambda bid: bid != first), payload=state.settings.protects_payload)


def _establish_tunnels(state: State, now: float) -> tuple[State, list[Command]]:
    commands: list[Command] = []
    for number in _missing_tunnels(state):
        if ike.tunnel_due_at(state.ike, number) <= now:
            state = replace(state, ike=ike.asked_tunnel(state.ike, number, now))
            commands.append(EstablishTunnel(number))
    return state, commands


def _ike(before: State, after: State) -> list[Command]:
    """What becomes of the IKE SA when the home agent has answered."""
    endpoint = after.registration.endpoint
    if endpoint is None or endpoint is before.registration.endpoint or endpoint.moved is None:
        return []
    return [MoveIke(endpoint.care_of) if endpoint.moved else EstablishIke(endpoint.care_of)]


def _discovers_at(state: State) -> float:
    """When to ask which home agents there are."""
    can_ask = state.settings.home.discover and bool(state.targets()) and not state.registration.leaving
    return state.discovery.due_at if can_ask else inf


def _discover(state: State, now: float) -> tuple[State, list[Command]]:
    if _discovers_at(state) > now:
        return state, []
    care_of = [target.care_of for target in state.targets().values()]
    mobile_router = state.registration.network.is_router
    asked, question = discovery.ask(state.discovery, state.settings.home, care_of, now, mobile_router=mobile_router)
    return replace(state, discovery=asked), [SendIcmp(question)]


def _solicits_at(state: State) -> float:
    """When to ask about prefixes: it takes IPsec, and a binding."""
    if state.prefixes.due_at == inf:
        return inf
    can_ask = state.settings.security.is_ipsec and state.can_protect and not state.registration.leaving
    return state.prefixes.due_at if can_ask and _solicitors(state) else inf


def _solicitors(state: State) -> list[IPv6Address]:
    """Care-of addresses that the home agent holds and packets get out from, the preferred first."""
    entries = sorted(carrying(state.registration), key=bindings.by_priority)
    return [entry.binding.care_of for entry in entries if entry.binding is not None and state.carries(entry)]


def _solicit(state: State, now: float) -> tuple[State, list[Command]]:
    if _solicits_at(state) > now:
        return state, []
    care_of = _solicitors(state)
    source = care_of[state.prefixes.tries % len(care_of)]
    asked, packet = prefix_discovery.ask(state.prefixes, state.settings.home, source, now)
    return replace(state, prefixes=asked), [SendSolicitation(packet)]


def _hear_advertisement(state: State, packet: Packet, now: float) -> tuple[State, list[Command]]:
    """Of the home agent that holds our bindings (RFC 6275 section 11.4.3). Nothing is bound for longer than the home
    address is good.
    """
    home = state.settings.home
    is_ours = (packet.source, packet.home_address) == (home.agent, home.address) and packet.protected
    if not is_ours or not carrying(state.registration):
        return _ignore(state, "prefix advertisement not from the home agent that serves us", None, now)
    heard = prefix_discovery.hear(state.prefixes, home, packet, now)
    if isinstance(heard, str):
        return _ignore(state, heard, None, now)
    until_at = heard.valid_until_at
    return replace(
        state,
        prefixes=heard,
        registration=bindings.shorten(state.registration, until_at, now),
        correspondents=correspondents.shorten(state.correspondents, until_at, now),
    ), []


def _icmp(state: State, data: bytes, now: float) -> tuple[State, list[Command]]:
    refused = correspondent_answers.hear_of_problem(state.correspondents, data, now)
    if refused is not None:
        return replace(state, correspondents=correspondents.change(state.correspondents, refused)), []
    mobile_router = state.registration.network.is_router
    found = discovery.answered(state.discovery, state.settings.home, data, now, mobile_router=mobile_router)
    if found is None:
        return _relay(state, data, now)
    known, home = found
    return replace(state, discovery=known, settings=replace(state.settings, home=home)), []


def _relay(state: State, data: bytes, now: float) -> tuple[State, list[Command]]:
    """A packet of our own was too big inside the tunnel: its sender is this machine, or behind it, and hears of it from
    us. If IPsec protects it nobody can tell whose it was, and it is the tunnel that gets smaller.
    """
    protected = path_mtu.read_too_big(data)
    if protected is not None:
        return _note(state, protected, now), []
    too_big = read_too_big(data)
    home = state.settings.home
    if too_big is None or too_big.outer_destination != home.agent or not _is_ours(state, too_big.inner_source):
        return state, []
    return _send_limited(state, too_big.relay(home.address), now)


def _is_ours(state: State, address: IPv6Address) -> bool:
    """Whether packets from it go through our tunnels."""
    return address == state.settings.home.address or any(address in one for one in state.settings.router.prefixes)


def _note(state: State, too_big: path_mtu.TooBig, now: float) -> State:
    addresses = {address for link in state.links.values() for address in link.addresses}
    spis = {tunnel.sending.spi for tunnel in state.ike.tunnels.values()}
    if too_big.destination != state.settings.home.agent or too_big.source not in addresses or too_big.spi not in spis:
        return state
    return replace(state, path_mtus=path_mtu.learn(state.path_mtus, too_big.source, too_big.mtu, now))


def _receive(state: State, packet: Packet | DecodeError, now: float) -> tuple[State, list[Command]]:
    if isinstance(packet, DecodeError):
        return _ignore(state, packet.reason.value, None, now)
    message = receive(packet, from_mobile_node=False)
    if isinstance(message, Discard):
        return _ignore(state, message.reason, message.reply, now)
    if packet.source in state.correspondents.known:
        return _hear_correspondent(state, packet, message, now)
    from_home_agent = packet.source == state.settings.home.agent
    for_us = packet.home_address in (None, state.settings.home.address)
    if not (from_home_agent and for_us):
        return _ignore(state, "not from our home agent, or not for our home address", None, now)
    if state.settings.security.is_ipsec and not packet.protected:
        return _ignore(state, "not protected by IPsec", None, now)
    match message:
        case BindingAcknowledgement():
            registered, result = acknowledge(state.registration, state.settings, packet, message, now)
            state = replace(state, registration=registered)
            if isinstance(result, Problem):
                return _ignore(state, result.value, None, now)
            state = _leave_for_network(replace(state, ike=replace(state.ike, unheard=0)), message, now)
            if message.status == Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY:
                state = replace(state, prefixes=prefix_discovery.wish(state.prefixes, now, hinted=True))
            return replace(state, probing=probing.heard(state.probing, packet.destination, now)), []
        case BindingRefreshRequest(options):
            bids = {option.bid for option in options if isinstance(option, BindingIdentifier)}
            # The home agent may have lost its IKE SA: the answer to an update with the K bit tells
            registered = replace(bindings.refresh(state.registration, bids, now), endpoint=None)
            return replace(state, registration=registered), []
        case BindingRevocationIndication():
            outcome = revocation.revoke(state.registration, state.revoked, state.settings, packet, message, now)
            if isinstance(outcome, revocation.Problem):
                return _ignore(state, outcome.value, None, now)
            registered, revoked, answer = outcome
            return replace(state, registration=registered, revoked=revoked), [Send(answer)]
        case HomeAgentSwitch(listed):
            return _go(state, packet, listed, now)
    return _ignore(state, f"{type(message).__name__} is not expected", None, now)


def _go(state: State, packet: Packet, listed: tuple[IPv6Address, ...], now: float) -> tuple[State, list[Command]]:
    """Leave this home agent for another one: that we deregister is the answer to it (RFC 5142 section 6)."""
    own, others = state.settings.home.agent, state.settings.home.alternatives
    if packet.home_address is None or not packet.protected:
        return _ignore(state, "home agent switch not protected by IPsec", None, now)
    if not ({*listed, *others} - {own}):
        return _ignore(state, "home agent switch to nowhere", None, now)
    if state.registration.leaving:
        return state, []
    going = Going(tuple(one for one in listed if one != own), now + home_agents.GOING_S)
    return replace(state, going=going, registration=bindings.leave(state.registration)), []


def _leave_for_network(state: State, answer: BindingAcknowledgement, now: float) -> State:
    """Leave a home agent that took us for a host though we are a router, for the next one; and one that still holds us
    as the other of these, to be served anew (RFC 3963 sections 5.3 and 6.2).
    """
    registered, home = state.registration, state.settings.home
    if registered.leaving or not state.settings.router.prefixes:
        return state
    going = None
    if mobile_network.is_ignored(registered.network, answer):
        refused = mobile_network.refuse(registered.network, home, Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED)
        registered = replace(registered, network=refused)
        going = Going((), now + home_agents.GOING_S, "serves no mobile routers")
    elif answer.status == Status.REGISTRATION_TYPE_CHANGE_DISALLOWED and state.home_agents_tried == 0:
        registered = replace(registered, refusal=None)
        going = Going((home.agent,), now + home_agents.GOING_S, "holds us as something else")
    return state if going is None else replace(state, going=going, registration=bindings.leave(registered))


def _hear_correspondent(state: State, packet: Packet, message: Message, now: float) -> tuple[State, list[Command]]:
    one = state.correspondents.known[packet.source]
    heard = correspondent_answers.hear(one, state.settings.home.address, packet, message, now)
    if isinstance(heard, correspondent_answers.Problem):
        return _ignore(state, heard.value, None, now)
    return replace(state, correspondents=correspondents.change(state.correspondents, heard)), []


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
