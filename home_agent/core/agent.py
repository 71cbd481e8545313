"""The home agent: events and the time go in, commands come out.

`step` is the only way in. What should be in the kernel (kernel.py), what people see (report.py) and when to wake up
(`deadline`) are computed from the state.
"""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address
from math import inf
from typing import assert_never

from home_agent.core import discovery, home_agents, home_binding, home_link, prefix_discovery, prefixes
from home_agent.core.cache import Binding, Cache, CacheEntry, expire, with_bindings
from home_agent.core.cache import deadline as cache_deadline
from home_agent.core.events import (
    Command,
    Event,
    HomeLinkChanged,
    IcmpReceived,
    IkeLooked,
    MoveIke,
    NeighborHeard,
    NoticeKind,
    PacketReceived,
    Refused,
    RevocationRequested,
    Send,
    SendAdvertisement,
    SendIcmp,
    SendNeighbor,
    SettingsChanged,
    SolicitationReceived,
    SwitchRequested,
    Tell,
    Tick,
    UnboundReceived,
    UplinkChanged,
)
from home_agent.core.ike import adopt, connection_name, due_at, established, looked
from home_agent.core.prefix_discovery import Telling
from home_agent.core.prefixes import Heard
from home_agent.core.responder import Answer, respond
from home_agent.core.revocation import Revocation, Revoked, bindings_of, indication, is_answer, spell, tried
from home_agent.core.settings import Node, Settings
from home_agent.core.state import State
from home_agent.core.switch import Switch, told
from home_agent.core.switch import message as switch_message
from mip6 import address_check, path_mtu
from mip6.ike_sas import IkeSa
from mip6.reception import Discard, IcmpError, receive, unknown_binding
from mip6.relay import read_too_big
from mip6.tunnels import Negotiated
from mip6.wire.discovery import MobilePrefixAdvertisement, MobilePrefixSolicitation
from mip6.wire.discovery import decode as decode_discovery
from mip6.wire.discovery import encode as encode_discovery
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingRefreshRequest, BindingRevocationAcknowledgement, BindingUpdate, encode
from mip6.wire.neighbor import NeighborMessage, NeighborSolicitation, RouterSolicitation
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import RevocationStatus, RevocationTrigger, Status
from mip6.wire.router import RouterAdvertisement


def start(settings: Settings, cache: Cache, *, epoch_offset_s: float) -> State:
    """The home agent before its first event. `cache`: what it held when it stopped, with instants of this boot."""
    nodes, owners = _nodes(settings)
    known = {one: entry.limited_to(owners[one].prefixes) for one, entry in cache.items() if one in owners}
    return _with_prefixes(State(settings, nodes, epoch_offset_s, owners, known))


def _nodes(settings: Settings) -> tuple[dict[bytes, Node], dict[IPv6Address, Node]]:
    """By identity, and by home address."""
    return (
        {node.identity.encode(): node for node in settings.node},
        {node.home_address: node for node in settings.node},
    )


def _reconfigure(state: State, settings: Settings) -> State:
    """What is bound stays, unless its mobile node is served no more, or proves itself otherwise from now on: then
    whoever bound it may be somebody who should not.
    """
    nodes, owners = _nodes(settings)

    def stays(home_address: IPv6Address) -> bool:
        old, new = state.owners[home_address], owners.get(home_address)
        return new is not None and replace(new, name=old.name, prefixes=old.prefixes) == old

    cache = {one: entry.limited_to(owners[one].prefixes) for one, entry in state.cache.items() if stays(one)}
    tunnels = {home_address: found for home_address, found in state.tunnels.items() if stays(home_address)}
    renewed = replace(state, settings=settings, nodes=nodes, owners=owners, cache=cache, tunnels=tunnels)
    return _with_prefixes(renewed)


def deadline(state: State) -> float:
    """When `step` wants a Tick; infinity for never."""
    requests = [binding.refresh_request_at for entry in state.cache.values() for binding in entry.bindings.values()]
    telling = [one.until_at for one in state.checks.values()] + [one.due_at for one in state.defences.values()]
    telling += [one.due_at for one in state.revocations.values()] + [one.due_at for one in state.switches.values()]
    ends = cache_deadline(state.cache), due_at(state.tunnels), path_mtu.due_at(state.path_mtus)
    telling += [home_agents.due_at(state.home_agents), prefix_discovery.due_at(state.tellings)]
    return min([*ends, *requests, *telling])


def step(state: State, event: Event, now: float) -> tuple[State, list[Command]]:
    """Take one event. `now`: seconds of a clock that never jumps and counts sleep (CLOCK_BOOTTIME)."""
    before = state
    commands: list[Command] = []
    state = replace(state, cache=expire(state.cache, now), tunnels=adopt(state.tunnels, now))
    state = replace(state, path_mtus=path_mtu.expire(state.path_mtus, now))
    state = replace(state, home_agents=home_agents.expire(state.home_agents, now))
    match event:
        case PacketReceived(packet):
            state, commands = _receive(state, packet, now)
        case IcmpReceived(data, source):
            reply = discovery.answer(state.settings, state.home_agents, data, source)
            state, commands = _relay(state, data, now) if reply is None else _send_limited(state, reply, now)
        case SolicitationReceived(packet):
            state, commands = _solicited(state, packet, now)
        case UnboundReceived(source, home_address):
            state, commands = _unbound(state, source, home_address, now)
        case UplinkChanged(uplink):
            state = replace(state, uplink=uplink)
        case HomeLinkChanged(link):
            state = _with_prefixes(replace(state, home_link=link, defences={}, home_agents={}, heard=Heard()))
            commands = [SendNeighbor(RouterSolicitation(link.address))] if link is not None else []
        case NeighborHeard(heard):
            state, commands = _hear(state, heard, now)
        case IkeLooked(sas, negotiated):
            state, commands = _look(state, sas, negotiated, now)
        case SettingsChanged(settings):
            state = _reconfigure(state, settings)
        case RevocationRequested(home_address, bids, trigger):
            state = _revoke(state, home_address, bids, trigger, now)
        case SwitchRequested(home_address, listed):
            state = replace(state, switches={**state.switches, home_address: Switch(listed, now)})
        case Refused(what, why):
            troubles = {known: text for known, text in state.troubles.items() if known != what}
            state = replace(state, troubles=troubles | ({what: why} if why is not None else {}))
        case Tick():
            pass
        case _:
            assert_never(event)
    state, requests = _request_refresh(state, now)
    state, indications = _indicate(state, now)
    state, switches = _switch(state, now)
    state, checked = _end_checks(state, now)
    state, advertised = _advertise(state, now)
    state, announced = _defend(state, now)
    told = *requests, *indications, *switches, *checked, *advertised, *announced
    return state, [*commands, *told, *_notices(before, state)]


def _receive(
    state: State, packet: Packet | DecodeError, now: float, *, is_duplicate: bool | None = None
) -> tuple[State, list[Command]]:
    """`is_duplicate`: whether the home address was found to be somebody else's; None: nobody has looked yet."""
    if isinstance(packet, DecodeError):
        return _drop(state, packet.reason.value, None, now)
    message = receive(packet, from_mobile_node=True)
    if isinstance(message, Discard):
        return _drop(state, message.reason, message.reply, now)
    owner = state.owners.get(packet.home_address or packet.source)
    if isinstance(message, BindingRevocationAcknowledgement):
        return _revocation_answered(state, owner, packet, message, now)
    if not isinstance(message, BindingUpdate):
        return _drop(state, f"{type(message).__name__} is not expected", None, now)
    answer = respond(
        state.cache,
        state.settings.home_agent,
        state.nodes,
        packet,
        message,
        now,
        _unix_ns(state, now),
        owner=owner,
        key_mobility=owner is not None and _can_move(state, owner),
        refusal=_refusal(state, owner, is_duplicate=bool(is_duplicate)),
        prefix=next(iter(state.prefixes.get(packet.home_address or packet.source, ())), None),
        home_link=state.home_link,
    )
    if is_duplicate is None and owner is not None and _is_to_be_checked(state, owner.home_address, answer):
        return _check(state, owner.home_address, packet, now)
    state = replace(state, cache=answer.cache)
    if not answer.authentic:
        return _drop(state, answer.reason or "", answer.acknowledgement, now)
    if answer.reason is not None:
        state, _ = _drop(state, answer.reason, None, now)
    state = _remember_sender(state, packet, message)
    commands: list[Command] = []
    if answer.endpoint is not None and packet.home_address is not None:
        commands.append(MoveIke(packet.home_address, answer.endpoint))
    if answer.acknowledgement is not None:
        commands.append(Send(answer.acknowledgement))
    return state, commands


def _remember_sender(state: State, packet: Packet, message: BindingUpdate) -> State:
    """Who is at home is answered there, also who is refused, and may not have the home address yet (RFC 6275 section
    10.3.2).
    """
    home_address = packet.home_address or packet.source
    told = home_binding.hardware_address(message, state.home_link) if packet.home_address is None else b""
    if told == state.senders.get(home_address, b""):
        return state
    others = {known: one for known, one in state.senders.items() if known != home_address}
    return replace(state, senders={**others, home_address: told} if told else others)


def _look(
    state: State, sas: tuple[IkeSa, ...] | None, negotiated: Negotiated, now: float
) -> tuple[State, list[Command]]:
    """A mobile node whose IKE SA is gone, but not what it negotiated, does not know: asked to refresh its bindings, it
    finds out.
    """
    if sas is None:
        return replace(state, sas=None), []
    there = established(sas)
    lost = [node for node in state.settings.node if connection_name(node) in state.established - there]
    entries = [state.cache[node.home_address] for node in lost if node.home_address in state.cache]
    requests = [Send(_refresh_request(state, entry, entry.bindings)) for entry in entries if entry.bindings]
    found = looked(state.tunnels, state.settings, sas, negotiated, now)
    return replace(state, sas=sas, established=there, tunnels=found), [*requests]


def _can_move(state: State, node: Node) -> bool:
    """Whether there is an IKE SA with the mobile node, and we can move it (RFC 6275 section 10.3.1)."""
    ikev2 = state.settings.ikev2
    is_able = ikev2 is not None and ikev2.key_mobility and state.sas is not None
    return is_able and connection_name(node) in state.established


def _drop(state: State, reason: str, reply: Packet | IcmpError | None, now: float) -> tuple[State, list[Command]]:
    """Count it; tell whoever sent it, within limits, for it may be anybody."""
    state = replace(state, dropped={**state.dropped, reason: state.dropped.get(reason, 0) + 1})
    return _send_limited(state, reply, now) if reply is not None else (state, [])


def _send_limited(state: State, reply: Packet | IcmpError, now: float) -> tuple[State, list[Command]]:
    limit = state.error_limit.take(now)
    if limit is None:
        return state, []
    return replace(state, error_limit=limit), [Send(reply) if isinstance(reply, Packet) else SendIcmp(reply)]


def _unbound(state: State, source: IPv6Address, home_address: IPv6Address, now: float) -> tuple[State, list[Command]]:
    """Nothing is said of a binding that is new: the packet filter did not know it yet."""
    entry = state.cache.get(home_address)
    if entry is not None and source in {binding.care_of for binding in entry.bindings.values()}:
        return state, []
    error = unknown_binding(state.settings.home_agent.address, source, home_address)
    return _drop(state, "Home Address option without a binding", error, now)


def _relay(state: State, data: bytes, now: float) -> tuple[State, list[Command]]:
    """Pass on that a tunnelled packet was too big, if it was one of ours; of one that IPsec protects, note it."""
    protected = path_mtu.read_too_big(data)
    if protected is not None:
        return _note(state, protected, now)
    too_big = read_too_big(data)
    own = state.settings.home_agent.address
    if too_big is None or too_big.outer_source != own:
        return state, []
    entry = _entry_for(state, too_big.inner_destination)
    if entry is None or too_big.outer_destination not in {binding.care_of for binding in entry.bindings.values()}:
        return _drop(state, "packet too big about no binding", None, now)
    return _send_limited(state, too_big.relay(own), now)


def _entry_for(state: State, address: IPv6Address) -> CacheEntry | None:
    """Of the mobile node that has the address, or has it behind it."""
    behind = (entry for entry in state.cache.values() if any(address in prefix for prefix in entry.network.prefixes))
    return state.cache.get(address) or next(behind, None)


def _note(state: State, too_big: path_mtu.TooBig, now: float) -> tuple[State, list[Command]]:
    care_of = too_big.destination
    for home_address, found in state.tunnels.items():
        entry = state.cache.get(home_address)
        bound = {binding.care_of for binding in entry.bindings.values()} if entry is not None else set()
        is_ours = too_big.spi in {tunnel.sending.spi for tunnel in found.values()} and care_of in bound
        if is_ours and too_big.source == state.settings.home_agent.address:
            return replace(state, path_mtus=path_mtu.learn(state.path_mtus, care_of, too_big.mtu, now)), []
    return _drop(state, "packet too big about no binding", None, now)


def _request_refresh(state: State, now: float) -> tuple[State, list[Command]]:
    """Ask for the refresh of bindings that are about to expire (RFC 5648 section 6.4)."""
    commands: list[Command] = []
    cache = dict(state.cache)
    for entry in state.cache.values():
        due = {bid: binding for bid, binding in entry.bindings.items() if binding.refresh_request_at <= now}
        if not due:
            continue
        asked = {bid: replace(binding, refresh_requested=True) for bid, binding in due.items()}
        cache[entry.home_address] = replace(entry, bindings={**entry.bindings, **asked})
        commands.append(Send(_refresh_request(state, entry, due)))
    return (replace(state, cache=cache), commands) if commands else (state, [])


def _refresh_request(state: State, entry: CacheEntry, due: Mapping[int, Binding]) -> Packet:
    options = tuple(BindingIdentifier(bid) for bid in due if bid)
    source, destination = state.settings.home_agent.address, entry.preferred.care_of
    protected = state.owners[entry.home_address].is_ipsec
    home_address = home_binding.routed(entry.home_address, destination)
    return Packet(source, destination, home_address, encode(BindingRefreshRequest(options)), protected)


def _unix_ns(state: State, now: float) -> int:
    """The time of day."""
    return int((now + state.epoch_offset_s) * 1e9)


def _revoke(
    state: State, home_address: IPv6Address, bids: frozenset[int], trigger: RevocationTrigger, now: float
) -> State:
    """One that is under way is forgotten: the operator wants something else by now."""
    # In milliseconds: it is another number each time, also after a restart
    sequence = _unix_ns(state, now) // 1_000_000 % 0x10000
    revocation = Revocation(sequence, trigger, bids, now)
    return replace(state, revocations={**state.revocations, home_address: revocation})


def _revocation_answered(
    state: State, owner: Node | None, packet: Packet, message: BindingRevocationAcknowledgement, now: float
) -> tuple[State, list[Command]]:
    """Whatever the mobile node thinks of it, the bindings are gone."""
    revocation = state.revocations.get(owner.home_address) if owner is not None else None
    if owner is None or revocation is None or not is_answer(revocation, owner, packet, message):
        return _drop(state, "unexpected answer to a revocation", None, now)
    return _end(state, owner.home_address, message.status, now), []


def _end(state: State, home_address: IPv6Address, status: int | None, now: float) -> State:
    revocation, entry = state.revocations[home_address], state.cache.get(home_address)
    left = {known: one for known, one in state.revocations.items() if known != home_address}
    revoked = {**state.revoked, home_address: Revoked(revocation.bids, status)}
    state = replace(state, revocations=left, revoked=revoked)
    gone = bindings_of(revocation, entry) if entry is not None else {}
    if entry is None or not gone:
        return state
    stay = {bid: one for bid, one in entry.bindings.items() if bid not in gone}
    return replace(state, cache={**state.cache, home_address: with_bindings(entry, stay, now)})


def _indicate(state: State, now: float) -> tuple[State, list[Command]]:
    """Tell mobile nodes of revocations, whose bindings may have ended meanwhile."""
    commands: list[Command] = []
    for home_address, revocation in state.revocations.items():
        entry = state.cache.get(home_address)
        if entry is None or not bindings_of(revocation, entry):
            state = _end(state, home_address, RevocationStatus.SUCCESS, now)
        elif revocation.due_at <= now and revocation.is_over:
            state = _end(state, home_address, None, now)
        elif revocation.due_at <= now:
            again = tried(revocation, now, _unix_ns(state, now))
            state = replace(state, revocations={**state.revocations, home_address: again})
            node, own = state.owners[home_address], state.settings.home_agent.address
            commands.append(Send(indication(again, entry, node, own)))
    return state, commands


def _switch(state: State, now: float) -> tuple[State, list[Command]]:
    """Tell mobile nodes to go, until they have gone."""
    commands: list[Command] = []
    left = {}
    for home_address, switch in state.switches.items():
        entry = state.cache.get(home_address)
        if entry is None or not entry.bindings:
            continue
        if switch.due_at <= now:
            switch = told(switch, now)
            commands.append(Send(switch_message(switch, entry, state.settings.home_agent.address)))
        left[home_address] = switch
    return (replace(state, switches=left), commands) if left != state.switches else (state, [])


def _refusal(state: State, owner: Node | None, *, is_duplicate: bool) -> Status | None:
    if is_duplicate:
        return Status.DUPLICATE_ADDRESS_DETECTION_FAILED
    is_to_leave = owner is not None and owner.home_address in state.switches
    return Status.ADMINISTRATIVELY_PROHIBITED if is_to_leave else None


def _is_to_be_checked(state: State, home_address: IPv6Address, answer: Answer) -> bool:
    """Whether the home address gets its first binding (RFC 6275 section 10.3.1)."""
    before, after = state.cache.get(home_address), answer.cache.get(home_address)
    is_first = not (before is not None and before.bindings) and after is not None and bool(after.bindings)
    is_there = state.home_link is not None and state.owners[home_address].is_on_home_link
    return answer.authentic and is_first and is_there


def _check(state: State, home_address: IPv6Address, packet: Packet, now: float) -> tuple[State, list[Command]]:
    """The last of its updates waits, if there are several."""
    check = state.checks.get(home_address)
    if check is not None:
        waiting = replace(check, packet=packet)
        return replace(state, checks={**state.checks, home_address: waiting}), []
    checks = {**state.checks, home_address: home_link.Check(packet, now + address_check.CHECK_S)}
    return replace(state, checks=checks), [SendNeighbor(address_check.question(home_address))]


def _end_checks(state: State, now: float) -> tuple[State, list[Command]]:
    """Nobody has said that these are his."""
    commands: list[Command] = []
    for home_address, check in state.checks.items():
        if check.until_at <= now:
            state, answers = _end_check(state, home_address, now, is_duplicate=False)
            commands += answers
    return state, commands


def _end_check(
    state: State, home_address: IPv6Address, now: float, *, is_duplicate: bool
) -> tuple[State, list[Command]]:
    check = state.checks[home_address]
    others = {known: one for known, one in state.checks.items() if known != home_address}
    return _receive(replace(state, checks=others), check.packet, now, is_duplicate=is_duplicate)


def _hear(state: State, heard: NeighborMessage | RouterAdvertisement, now: float) -> tuple[State, list[Command]]:
    link = state.home_link
    if link is None:
        return state, []
    if isinstance(heard, RouterAdvertisement):
        served = state.settings.home_agent.prefixes
        state = _with_prefixes(replace(state, heard=prefixes.hear(state.heard, heard, served, now)))
        is_own = heard.source == link.address
        return state if is_own else replace(state, home_agents=home_agents.hear(state.home_agents, heard, now)), []
    if home_link.contradicts(heard, link, state.checks):
        return _end_check(state, heard.target, now, is_duplicate=True)
    if isinstance(heard, NeighborSolicitation) and heard.target in state.defences:
        return state, [SendNeighbor(home_link.answer(link, heard, router=_is_router(state, heard.target)))]
    return state, []


def _with_prefixes(state: State) -> State:
    """What is known of prefixes has changed. No binding lasts longer than its home address is valid (RFC 6275 section
    10.3.1).
    """
    known = {one: prefixes.listed(state.settings, state.heard, one, state.epoch_offset_s) for one in state.owners}
    cache = {}
    for home_address, entry in state.cache.items():
        until_at = known[home_address][0].valid.until_at
        bindings = {
            bid: replace(binding, expires_at=min(binding.expires_at, until_at))
            for bid, binding in entry.bindings.items()
        }
        cache[home_address] = replace(entry, bindings=bindings)
    return replace(state, prefixes=known, cache=cache if cache != state.cache else state.cache)


def _solicited(state: State, packet: Packet, now: float) -> tuple[State, list[Command]]:
    """Protected, by a mobile node that has a binding with the care-of address that it comes from."""
    home_address = packet.home_address
    telling = state.tellings.get(home_address) if home_address is not None else None
    if home_address is None or telling is None or not packet.protected:
        return _drop(state, "prefix solicitation of nobody who is bound and protected", None, now)
    bindings = state.cache[home_address].bindings.values()
    if packet.source not in {binding.care_of for binding in bindings}:
        return _drop(state, "prefix solicitation from no care-of address", None, now)
    try:
        message = decode_discovery(packet.data)
    except DecodeError as error:
        return _drop(state, error.reason.value, None, now)
    if not isinstance(message, MobilePrefixSolicitation):
        return _drop(state, f"{type(message).__name__} is not expected", None, now)
    asked = prefix_discovery.ask(telling, prefix_discovery.Question(message.identifier, packet.source), now)
    return replace(state, tellings={**state.tellings, home_address: asked}), []


def _advertise(state: State, now: float) -> tuple[State, list[Command]]:
    """Tell mobile nodes of their prefixes."""
    protected = [node.home_address for node in state.settings.node if node.is_ipsec]
    entries = {one: state.cache[one] for one in protected if one in state.cache and state.cache[one].bindings}
    known, settings = {one: state.prefixes[one] for one in entries}, state.settings.prefix_discovery
    tellings = dict(prefix_discovery.follow(state.tellings, known, settings, now))
    commands: list[Command] = []
    for home_address, telling in tellings.items():
        if telling.due_at <= now:
            commands.append(SendAdvertisement(_advertisement(state, telling, entries[home_address], now)))
            tellings[home_address] = prefix_discovery.sent(telling, known[home_address], settings, now)
    return (replace(state, tellings=tellings), commands) if tellings != state.tellings else (state, [])


def _advertisement(state: State, telling: Telling, entry: CacheEntry, now: float) -> Packet:
    own, question = state.settings.home_agent.address, telling.question
    identifier, care_of = prefix_discovery.UNASKED, entry.preferred.care_of
    if question is not None:
        identifier, care_of = question.identifier, question.care_of
    told = tuple(prefixes.information(one, own, now) for one in state.prefixes[entry.home_address])
    message = MobilePrefixAdvertisement(identifier, state.heard.managed, state.heard.other, told)
    data = encode_discovery(message, own, entry.home_address)
    return Packet(own, care_of, entry.home_address, data, protected=True)


def _defend(state: State, now: float) -> tuple[State, list[Command]]:
    """Stand in for those that are away, and for no others."""
    link = state.home_link
    if link is None:
        return state, []
    commands: list[Command] = []
    new = home_link.Defence(address_check.ANNOUNCEMENTS, now)
    bound = [one for one, entry in state.cache.items() if entry.bindings and state.owners[one].is_on_home_link]
    defences = {home_address: state.defences.get(home_address, new) for home_address in bound}
    for home_address, defence in defences.items():
        if defence.due_at <= now:
            left = defence.left - 1
            defences[home_address] = home_link.Defence(left, now + address_check.BETWEEN_S if left else inf)
            router = _is_router(state, home_address)
            commands.append(SendNeighbor(home_link.announcement(link, home_address, router=router)))
    return (replace(state, defences=defences), commands) if defences != state.defences else (state, [])


def _is_router(state: State, home_address: IPv6Address) -> bool:
    return state.cache[home_address].network.is_router


def _notices(before: State, after: State) -> list[Command]:
    notices: list[Command] = []
    for home_address in before.cache.keys() | after.cache.keys():
        old, new = _care_of(before, home_address), _care_of(after, home_address)
        if old != new:
            what = ", ".join(f"{bid}: {care_of}" for bid, care_of in sorted(new.items())) or "no binding"
            notices.append(Tell(NoticeKind.BINDING, f"{home_address}: {what}"))
    for home_address, revoked in after.revoked.items():
        if revoked is not before.revoked.get(home_address):
            notices.append(Tell(NoticeKind.REVOKED, f"{home_address}: {spell(revoked)}"))
    notices += [
        Tell(NoticeKind.TROUBLE, f"{what}: {why}") for what, why in after.troubles.items() - before.troubles.items()
    ]
    return notices


def _care_of(state: State, home_address: IPv6Address) -> dict[int, IPv6Address]:
    entry = state.cache.get(home_address)
    return {bid: binding.care_of for bid, binding in entry.bindings.items()} if entry else {}
