"""What others send: a message changes what we know, or is counted."""

from dataclasses import replace
from ipaddress import IPv6Address

from mip6 import path_mtu, reception
from mip6.reception import Discard, IcmpError
from mip6.relay import read_too_big
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingRefreshRequest,
    BindingRevocationIndication,
    HomeAgentSwitch,
    Message,
)
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import Status
from mn_agent.core import (
    bindings,
    correspondent_answers,
    correspondents,
    discovery,
    home_agents,
    mobile_network,
    prefix_discovery,
    probing,
    revocation,
)
from mn_agent.core.answers import Problem, acknowledge
from mn_agent.core.bindings import carrying
from mn_agent.core.commands import Command, Send, SendIcmp, Tell
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.state import Going, State


def receive(state: State, packet: Packet | DecodeError, now: float) -> tuple[State, list[Command]]:
    """A mobility message, or what ought to be one."""
    if isinstance(packet, DecodeError):
        return _ignore(state, packet.reason.value, None, now)
    message = reception.receive(packet, from_mobile_node=False)
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


def hear_advertisement(state: State, packet: Packet, now: float) -> tuple[State, list[Command]]:
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


def hear_icmp(state: State, data: bytes, now: float) -> tuple[State, list[Command]]:
    """An answer to our question for home agents, or what became of a packet that we or others sent."""
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
