"""A Binding Update arrives: who sent it, is it fresh, what does it change, and the answer.

The checks come in the order of RFC 6275 sections 9.5.1 and 10.3.1, RFC 4285 sections 5 and 6, RFC 5648 section 6.2.
Nothing of an update that is not authentic leaves a trace but a counter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from math import inf
from types import MappingProxyType
from typing import TypeVar

from home_agent.core.cache import Cache, CacheEntry, is_fresh, with_bindings
from home_agent.core.change import change
from home_agent.core.flows import FlowOutcome, change_flows
from home_agent.core.home_binding import hardware_address
from home_agent.core.home_link import HomeLink
from home_agent.core.mobile_networks import HOST
from home_agent.core.mobile_networks import change as change_network
from home_agent.core.prefixes import HomePrefix
from home_agent.core.settings import HomeAgent, Node
from mip6 import auth
from mip6.wire.extension import Packet, is_routable
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, encode
from mip6.wire.options import (
    BindingIdentifier,
    FlowIdentification,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNodeIdentifier,
    NonceIndices,
    Option,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, Status

_SECONDS, _FRACTION = 0xFFFFFFFF00000000, 0x00000000FFFFFFFF


@dataclass(frozen=True, slots=True)
class Answer:
    """What an update led to: the new cache, the acknowledgement if there is to be one, and, when the update was
    refused or dropped, the reason under which it is counted.
    """

    cache: Cache
    acknowledgement: Packet | None = None
    reason: str | None = None
    authentic: bool = False
    endpoint: IPv6Address | None = None
    """Where the mobile node's end of the IKE SA is from now on, if it is to be moved."""


@dataclass(frozen=True, slots=True)
class _Update:
    """An authentic update on its way through the checks."""

    packet: Packet
    message: BindingUpdate
    node: Node
    settings: HomeAgent
    stamp: MessageReplayProtection | None
    """The one to put into the answer: the update's own, unless it was refused for it."""
    key_mobility: bool = False
    """Whether there is an IKE SA, and we can move it."""
    refusal: Status | None = None
    """What it is refused with, if it wants to bind anything."""
    prefix: HomePrefix | None = None
    """That the home address is from; None for one that is good for ever."""
    home_link: HomeLink | None = None
    """Where the mobile node may be at home."""


def respond(
    cache: Cache,
    settings: HomeAgent,
    nodes: Mapping[bytes, Node],
    packet: Packet,
    message: BindingUpdate,
    now: float,
    unix_ns: int,
    *,
    owner: Node | None,
    key_mobility: bool,
    refusal: Status | None = None,
    prefix: HomePrefix | None = None,
    home_link: HomeLink | None = None,
) -> Answer:
    """Take a Binding Update. `nodes`: by identity. `packet.home_address`: from the Home Address option. `unix_ns`: the
    time of day, for timestamps. `owner`: of the home address. `key_mobility`: it has an IKE SA that we can move.
    `refusal`: what it is refused with, if it wants to bind anything; None for nothing. `prefix`: that the home address
    is from; None for one that is good for ever. `home_link`: where a mobile node may be at home, if IPsec does not
    protect its messages.
    """
    home_address = packet.home_address or packet.source
    if not is_routable(packet.source):
        return Answer(cache, reason="care-of address not routable")
    if _first(message, NonceIndices) is not None:
        return Answer(cache, reason="home registration with nonce indices")
    if owner is not None and owner.is_ipsec:
        if not packet.protected:
            return Answer(cache, reason="not protected by IPsec")
        update = _Update(packet, message, owner, settings, None, key_mobility, refusal, prefix)
        return replace(_authentic(cache, update, home_address, now, unix_ns), authentic=True)
    identifier, secret = _first(message, MobileNodeIdentifier), _first(message, MessageAuthentication)
    if identifier is None or secret is None:
        return Answer(cache, reason="not authenticated")
    node = nodes.get(identifier.identifier)
    if node is None:
        return Answer(cache, reason="unknown mobile node")
    if node.spi != secret.spi:
        return Answer(cache, reason="unknown security parameter index")
    stamp = _first(message, MessageReplayProtection)
    update = _Update(packet, message, node, settings, stamp, refusal=refusal, prefix=prefix, home_link=home_link)
    if node.key is None or not auth.verify(packet.data, message, node.key, packet.source, home_address):
        return Answer(cache, _acknowledgement(update, Status.MIPV6_AUTH_FAIL), "authenticator is wrong")
    return replace(_authentic(cache, update, home_address, now, unix_ns), authentic=True)


_OptionT = TypeVar("_OptionT", bound=Option)


def _first(message: BindingUpdate, kind: type[_OptionT]) -> _OptionT | None:
    return next((option for option in message.options if isinstance(option, kind)), None)


def _authentic(cache: Cache, update: _Update, home_address: IPv6Address, now: float, unix_ns: int) -> Answer:
    message, entry = update.message, cache.get(home_address)
    if home_address != update.node.home_address:
        if any(home_address in prefix for prefix in update.settings.prefixes):
            return Answer(cache, reason="home address of another mobile node")
        return _refuse(cache, update, Status.NOT_HOME_SUBNET)
    if update.stamp is None and not update.node.is_ipsec:
        return _refuse(cache, update, Status.MIPV6_MESG_ID_REQD)
    if update.stamp is not None and not _is_timely(update, update.stamp.timestamp, entry, unix_ns):
        own = auth.ntp_timestamp(unix_ns) & _SECONDS | update.stamp.timestamp & _FRACTION
        return _refuse(cache, replace(update, stamp=MessageReplayProtection(own)), Status.MIPV6_ID_MISMATCH)
    if entry is not None and not is_fresh(message.sequence, entry.sequence):
        return _refuse(cache, update, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=entry.sequence)
    if not message.flags & BindingUpdateFlag.HOME_REGISTRATION:
        if message.flags & BindingUpdateFlag.MOBILE_ROUTER:
            return _refuse(cache, update, Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED)
        if entry is not None and entry.bindings:
            return _refuse(cache, update, Status.REGISTRATION_TYPE_CHANGE_DISALLOWED)
        return Answer(cache, reason="not a home registration")
    if update.refusal is not None and message.lifetime:
        return _refuse(cache, update, update.refusal)
    held = entry.bindings if entry is not None else {}
    old_network = entry.network if entry is not None and held else None
    network = change_network(old_network, message, update.node, update.settings)
    if isinstance(network, Status):
        return _refuse(_without_router(cache, entry, network, now), update, network)
    left_s = update.prefix.valid.left_s(now) if update.prefix is not None else inf
    is_router = BindingUpdateFlag.MOBILE_ROUTER in message.flags
    told = hardware_address(message, update.home_link) if not is_router else b""
    outcome = change(
        held,
        message,
        home_address=home_address,
        packet_source=update.packet.source,
        takes_home=told != b"",
        settings=update.settings,
        now=now,
        left_s=left_s,
    )
    if isinstance(outcome, Status):
        return _refuse(cache, update, outcome)
    flows = FlowOutcome({})
    if update.settings.max_flows:
        old = entry.flows if entry is not None else {}
        flows = change_flows(old, message, tuple(outcome.bindings), update.settings.max_flows)
    timestamp = update.stamp.timestamp if update.stamp is not None else 0
    if not outcome.lifetime:
        network = old_network or HOST
    known = told or (entry.hardware_address if entry is not None else b"")
    renewed = CacheEntry(home_address, message.sequence, timestamp, flows=flows.flows, network=network)
    renewed = replace(renewed, hardware_address=known)
    if update.packet.source == home_address and not outcome.bindings:
        renewed = replace(renewed, former=frozenset(one.care_of for one in held.values()) - {home_address})
    cache = {**cache, home_address: with_bindings(renewed, outcome.bindings, now)}
    refusals = [status for status in outcome.statuses.values() if status >= Status.UNSPECIFIED]
    reason = f"refused: {Status(refusals[0]).name}" if refusals else None
    status, statuses = _result(outcome.statuses)
    if status is Status.ACCEPTED and outcome.lifetime and not _is_prefix_good(update, outcome.lifetime, now):
        status = Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY
    endpoint = _endpoint(update) if status < Status.UNSPECIFIED and outcome.lifetime else None
    moved = endpoint is not None
    acknowledgement = _acknowledgement(update, status, statuses, outcome.lifetime, flows.answers, moved=moved)
    return Answer(cache, acknowledgement, reason, endpoint=endpoint)


def _without_router(cache: Cache, entry: CacheEntry | None, status: Status, now: float) -> Cache:
    """A mobile router that was refused as such counts as not bound (RFC 3963 section 5.4): it may be a host next."""
    if entry is None or status is Status.REGISTRATION_TYPE_CHANGE_DISALLOWED:
        return cache
    return {**cache, entry.home_address: with_bindings(entry, {}, now)}


def _is_prefix_good(update: _Update, lifetime: int, now: float) -> bool:
    return update.prefix is None or update.prefix.is_good_beyond(lifetime, now)


def _endpoint(update: _Update) -> IPv6Address | None:
    """The care-of address that the IKE SA moves to: that of the only binding that the update is about (RFC 5648
    section 9.1).
    """
    options = [option for option in update.message.options if isinstance(option, BindingIdentifier)]
    asked = BindingUpdateFlag.KEY_MANAGEMENT_MOBILITY in update.message.flags
    if not (asked and update.key_mobility) or len(options) > 1:
        return None
    named = next((one.care_of for one in options if isinstance(one.care_of, IPv6Address)), None)
    return named or update.packet.source


def _is_timely(update: _Update, timestamp: int, entry: CacheEntry | None, unix_ns: int) -> bool:
    """Close to our own time of day, and later than all that were accepted (RFC 4285 section 6)."""
    error_s = abs(auth.unix_ns(timestamp) - unix_ns) / 1e9
    return error_s <= update.settings.timestamp_window_s and (entry is None or timestamp > entry.timestamp)


def _result(statuses: Mapping[int, Status]) -> tuple[Status, Mapping[int, Status]]:
    """The status of the whole and those of the options: one that all share is said once (RFC 5648 section 6.2)."""
    distinct = set(statuses.values())
    if len(distinct) == 1:
        return distinct.pop(), dict.fromkeys(statuses, Status.ACCEPTED)
    return (Status.ACCEPTED if max(distinct) < Status.UNSPECIFIED else Status.MCOA_NOTCOMPLETE), statuses


def _refuse(cache: Cache, update: _Update, status: Status, sequence: int | None = None) -> Answer:
    options = [option for option in update.message.options if isinstance(option, BindingIdentifier)]
    statuses = {option.bid: Status.ACCEPTED for option in options}
    acknowledgement = _acknowledgement(update, status, statuses, sequence=sequence)
    return Answer(cache, acknowledgement, f"refused: {status.name}")


def _acknowledgement(
    update: _Update,
    status: Status,
    statuses: Mapping[int, Status] = MappingProxyType({}),
    lifetime: int = 0,
    flows: Sequence[FlowIdentification] = (),
    *,
    sequence: int | None = None,
    moved: bool = False,
) -> Packet:
    """To the address on the wire that the update came from (RFC 6275 section 9.5.4), with all its binding identifiers
    (RFC 5648 section 6.2) and its timestamp.
    """
    packet, message = update.packet, update.message
    asked = {option.bid: option for option in message.options if isinstance(option, BindingIdentifier)}
    options: list[Option] = [
        BindingIdentifier(bid, status=result, priority=asked[bid].priority)
        for bid, result in statuses.items()
        if bid in asked
    ]
    options += flows
    if update.stamp is not None:
        options.append(update.stamp)
    answered = message.sequence if sequence is None else sequence
    flags = BindingAcknowledgementFlag.KEY_MANAGEMENT_MOBILITY if moved else BindingAcknowledgementFlag(0)
    if BindingUpdateFlag.MOBILE_ROUTER in message.flags and update.settings.mobile_routers:
        flags |= BindingAcknowledgementFlag.MOBILE_ROUTER
    reply = BindingAcknowledgement(status, flags, answered, lifetime, tuple(options))
    home_address, node = packet.home_address or packet.source, update.node
    if node.key is None or node.spi is None:
        return Packet(packet.destination, packet.source, packet.home_address, encode(reply), protected=True)
    data = auth.sign(reply, node.key, node.spi, packet.source, home_address)
    return Packet(packet.destination, packet.source, packet.home_address, data)
