"""The agent: events and the time go in, commands come out.

`step` is the only way in. What should be in the kernel (kernel.py), what people see (report.py), what survives a
restart (saved.py) and when to wake up (`deadline`) are computed from the state.
"""

from dataclasses import replace
from ipaddress import IPv6Address
from math import inf
from types import MappingProxyType
from typing import assert_never

from mip6 import path_mtu, tunnels
from mip6.ipsec import Side
from mip6.tunnels import Negotiated
from mip6.wire.extension import is_routable
from mn_agent.core import (
    bindings,
    correspondents,
    discovery,
    dns,
    flow_bindings,
    home_agents,
    home_link,
    ike,
    incoming,
    keying,
    lookups,
    mobile_network,
    movement,
    policy,
    prefix_discovery,
    probing,
    registration,
    routability,
    routers,
)
from mn_agent.core.bindings import Registration, Wanted, carrying
from mn_agent.core.changes import changes
from mn_agent.core.commands import (
    Command,
    CountTraffic,
    EstablishIke,
    Send,
    SendIcmp,
    SendProbe,
    SendSolicitation,
    Tell,
)
from mn_agent.core.correspondents import Correspondents
from mn_agent.core.discovery import Discovery
from mn_agent.core.events import (
    AdvertisementReceived,
    CorrespondentsSeen,
    DevicesChanged,
    DnsAnswered,
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
from mn_agent.core.flow_bindings import FlowBinding
from mn_agent.core.flows import Flows
from mn_agent.core.links import called, find_links
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.policy import Pins
from mn_agent.core.preference import priorities
from mn_agent.core.prefix_discovery import PrefixDiscovery
from mn_agent.core.saved import Saved, restore
from mn_agent.core.settings import Security, Settings
from mn_agent.core.state import State

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
    """
    fresh = Registration(
        sequence=sequence,
        clock_offset_s=clock_offset_s,
        key_mobility=key_mobility,
        network=mobile_network.configured(settings.router),
    )
    asks = Discovery(sequence), PrefixDiscovery(sequence)
    known = State(settings, fresh, flows, *asks, correspondents=Correspondents(seed))
    return known if saved is None else restore(known, saved, same_boot=same_boot)


def adopt(state: State, present: Negotiated) -> State:
    """The agent before its first event, on a machine that has these states of IPsec, by reqid."""
    if state.settings.security is not Security.IKEV2:
        return state
    there = tunnels.restored(state.settings.association, Side.MOBILE_NODE, present)
    return replace(state, ike=replace(state.ike, tunnels=there))


def aspects(state: State) -> tuple[object, ...]:
    """What the wanted kernel and what is saved are made from: while these are the same objects, so are those."""
    kernel = state.links, state.slots, state.flows, state.decision, state.ike.tunnels, state.path_mtus
    inwards = state.interfaces if state.settings.router.prefixes else None
    around = inwards, state.homecoming, state.home_link, state.settings.home, state.lookup.names, state.lookup.former
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
        lookups.due_at(state),
        _solicits_at(state),
        state.prefixes.valid_until_at,
        path_mtu.due_at(state.path_mtus),
        movement.overdue_at(state),
        home_link.deadline(state),
    )


def _sends_at(state: State, now: float) -> float:
    """When there is a Binding Update to send, or something to do about IKE."""
    updates_at = registration.deadline(state.registration, state.settings, now) if state.can_protect else inf
    return min(updates_at, routability.deadline(state.correspondents), keying.due_at(state))


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
            state, commands = incoming.receive(state, packet, now)
        case AdvertisementReceived(packet):
            state, commands = incoming.hear_advertisement(state, packet, now)
        case IcmpReceived(data):
            state, commands = incoming.hear_icmp(state, data, now)
        case DnsAnswered(question, answer):
            state, commands = lookups.hear(state, question, answer, now)
        case NeighborHeard(heard):
            state, commands = home_link.hear_neighbor(state, heard)
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
            state = keying.looked(state, sas, negotiated, now)
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
    state, said = home_link.come_home(state, now)
    commands += said
    state = _decide(replace(state, registration=bindings.expire(state.registration, now)), now)
    state, questions = movement.ask(before, state, now)
    commands += [*looks, *questions]
    if isinstance(event, _OFTEN) and _is_quiet(before, state, now):
        return state, commands
    if state.home_agents_tried and carrying(state.registration):
        state = replace(state, home_agents_tried=0)
    state = _want(state, now)
    state, establishing = keying.establish(state, now)
    state, direct = _optimize(state, now)
    state, packets = _send(state, now)
    state, discovering = _discover(state, now)
    state, asking = lookups.ask(state, now)
    state, solicitations = _solicit(state, now)
    if not state.registration.multiple:
        # A home agent that takes one care-of address has the new one as soon as it has the update, which left just now
        state = _decide(state, now)
    notices = [Tell(notice) for notice in changes(before, state)]
    moving = keying.follow(before, state)
    for command in moving:
        if isinstance(command, EstablishIke):
            state = replace(state, ike=ike.asked(state.ike, command.care_of, now))
    sent = [*packets, *direct, *discovering, *asking, *solicitations]
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
        and lookups.due_at(after) > now
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
        lookup=dns.start_anew(state.lookup),
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
    is_known = state.settings.home.is_agent_known
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
        lookup=dns.hasten(state.lookup) if is_known else state.lookup,
        prefixes=prefix_discovery.left(state.prefixes),
        revoked=None,
        going=None,
        home_agent_since_at=now,
        home_agents_tried=state.home_agents_tried + is_known,
    )
    # Which of a link's addresses is the best depends on the home agent's
    return _look(changed, now), [Tell(Notice(NoticeKind.HOME_AGENT, text))] if is_known else []


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
    if state.home_for_good is not None or not state.settings.home.is_agent_known:
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
    # What stays on a link, or goes to many, gets no Home Address option (RFC 6275 section 11.3.1)
    seen = {address for address in state.seen if wishes.includes(address) and is_routable(address)}
    asked = wishes.hosts | seen
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


def _discovers_at(state: State) -> float:
    """When to ask which home agents there are."""
    can_ask = state.settings.home.discover and bool(state.ways_out()) and not state.registration.leaving
    return state.discovery.due_at if can_ask else inf


def _discover(state: State, now: float) -> tuple[State, list[Command]]:
    if _discovers_at(state) > now:
        return state, []
    care_of = state.ways_out()
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
