"""The home agent ends bindings: Binding Revocation (RFC 5846 section 10)."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum

from mip6 import auth
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingRevocationAcknowledgement, BindingRevocationIndication, encode
from mip6.wire.options import BindingIdentifier, Ipv4HomeAddress, MessageReplayProtection, Option
from mip6.wire.registry import RevocationFlag, RevocationStatus, RevocationTrigger, Status
from mn_agent.core import flow_bindings
from mn_agent.core.answers import DO_NOT_SEND_S, REFUSAL_RETRY_S, forget
from mn_agent.core.bindings import Refusal, Registration, enter
from mn_agent.core.settings import Settings

WINDOW_S = 15.0
"""How far the time in a revocation may be from the home agent's as we reckon it: its own window is 7 s."""

_ANSWERED = RevocationFlag.PROXY_BINDING | RevocationFlag.IPV4_HOME_ADDRESS_BINDING_ONLY | RevocationFlag.GLOBAL
_GLOBAL = RevocationTrigger.PER_PEER_POLICY
"""From here on triggers are about many mobile nodes, which is nothing to tell one."""


class Problem(Enum):
    """Why a revocation was ignored."""

    NOT_FOR_US = "revocation not for our home address"
    NOT_AUTHENTIC = "revocation not authentic"
    TIMESTAMP = "revocation from another time"
    NOTHING = "revocation of nothing"


@dataclass(frozen=True, slots=True)
class Revoked:
    """The last revocation that was answered, and how: sent again, it gets the same answer."""

    sequence: int
    timestamp: int
    """The highest there was."""
    status: RevocationStatus


def revoke(
    registration: Registration,
    last: Revoked | None,
    settings: Settings,
    packet: Packet,
    message: BindingRevocationIndication,
    now: float,
) -> tuple[Registration, Revoked, Packet] | Problem:
    """Take a Binding Revocation Indication; gives the answer to it as well. `last`: the one before."""
    if packet.home_address != settings.home.address:
        return Problem.NOT_FOR_US
    timestamp = 0
    if settings.authentication is not None:
        key, care_of = settings.authentication.key, packet.destination
        if not auth.verify(packet.data, message, key, care_of, settings.home.address):
            return Problem.NOT_AUTHENTIC
        stamps = [option.timestamp for option in message.options if isinstance(option, MessageReplayProtection)]
        timestamp = next(iter(stamps), 0)
        error_s = abs(auth.unix_ns(timestamp) / 1e9 - (now + registration.clock_offset_s))
        if error_s > WINDOW_S or (last is not None and timestamp <= last.timestamp):
            return Problem.TIMESTAMP
    if last is not None and last.sequence == message.sequence:
        return (
            registration,
            replace(last, timestamp=timestamp),
            _answer(settings, packet, message, last.status, timestamp),
        )
    held = {bid for bid, entry in registration.entries.items() if entry.claimed_until_at}
    if not held:
        return Problem.NOTHING
    named = {option.bid for option in message.options if isinstance(option, BindingIdentifier)}
    going = held & named if named else held
    status = _status(message, going, named)
    if status in (RevocationStatus.SUCCESS, RevocationStatus.PARTIAL_SUCCESS):
        registration = _end(registration, going, message.trigger, now, everything=going == held)
    revoked = Revoked(message.sequence, timestamp, status)
    return registration, revoked, _answer(settings, packet, message, status, timestamp)


def _status(message: BindingRevocationIndication, going: AbstractSet[int], named: AbstractSet[int]) -> RevocationStatus:
    if RevocationFlag.PROXY_BINDING in message.flags:
        return RevocationStatus.PROXY_BINDING_REVOCATION_NOT_SUPPORTED
    if RevocationFlag.GLOBAL in message.flags or message.trigger >= _GLOBAL:
        return RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED
    if RevocationFlag.IPV4_HOME_ADDRESS_BINDING_ONLY in message.flags:
        return _ipv4_status(message)
    if not going:
        return RevocationStatus.BINDING_DOES_NOT_EXIST
    return RevocationStatus.SUCCESS if named <= going else RevocationStatus.PARTIAL_SUCCESS


def _ipv4_status(message: BindingRevocationIndication) -> RevocationStatus:
    """We have no IPv4 home address."""
    if any(isinstance(option, Ipv4HomeAddress) for option in message.options):
        return RevocationStatus.BINDING_DOES_NOT_EXIST
    return RevocationStatus.IPV4_HOME_ADDRESS_OPTION_REQUIRED


def _end(
    registration: Registration, going: AbstractSet[int], trigger: int, now: float, *, everything: bool
) -> Registration:
    """The home agent holds these no more; what it was asked before it may still take. If it only was not sure of them
    they are registered again at once, otherwise it is left alone for a while, as after a refusal.
    """
    again = trigger == RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE
    refusal = None if again else Refusal(Status.ADMINISTRATIVELY_PROHIBITED, now + REFUSAL_RETRY_S)
    registration = forget(registration, going)
    entries = {
        bid: replace(entry, refusal=refusal) if bid in going else entry for bid, entry in registration.entries.items()
    }
    registration = replace(registration, entries=entries)
    if everything:
        stays_away = None if again else Refusal(Status.ADMINISTRATIVELY_PROHIBITED, now + DO_NOT_SEND_S)
        flows = flow_bindings.forget(registration.flows)
        registration = replace(registration, flows=flows, refusal=stays_away, overwrite=True)
    return enter(registration, now)


def _answer(
    settings: Settings, packet: Packet, message: BindingRevocationIndication, status: RevocationStatus, timestamp: int
) -> Packet:
    """Over the link that the revocation came over."""
    home, care_of = settings.home, packet.destination
    answer = BindingRevocationAcknowledgement(status, message.sequence, message.flags & _ANSWERED)
    secret = settings.authentication
    if secret is None:
        return Packet(care_of, home.agent, home.address, encode(answer), protected=True)
    options: tuple[Option, ...] = (MessageReplayProtection(timestamp),)
    data = auth.sign(replace(answer, options=options), secret.key, secret.spi, care_of, home.address)
    return Packet(care_of, home.agent, home.address, data)
