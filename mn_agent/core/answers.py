"""What the home agent's answers change (RFC 6275 section 11.7.3, RFC 5648 section 5.7, RFC 4285 section 6)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from math import inf

from mip6 import auth
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, lifetime_seconds
from mip6.wire.options import BindingIdentifier, BindingRefreshAdvice, MessageReplayProtection
from mip6.wire.registry import Status
from mn_agent.core.bindings import Binding, Purpose, Refusal, Registration, Update, enter
from mn_agent.core.settings import Settings

REFRESH_FRACTION = 0.8
"""Of the lifetime, after which a binding is refreshed: the rest is for retransmissions."""
REFUSAL_RETRY_S = 60.0
"""How long one refused binding is left alone."""
DO_NOT_SEND_S = 600.0
"""How long a home agent is left alone that refused to serve us at all."""
MAX_AHEAD = 0x7FFF
"""How far a sequence number may be ahead of the last accepted one (RFC 6275 section 9.5.1)."""
MAX_RESYNCHRONISATIONS = 3
"""Answers in a row that only correct a counter or a clock, before the usual back-off applies to them too."""


class Problem(Enum):
    """Why an acknowledgement was ignored."""

    UNEXPECTED = "acknowledgement without an outstanding update"
    NOT_AUTHENTIC = "acknowledgement not authentic"
    UNVERIFIED_REFUSAL = "home agent refuses our key"
    TIMESTAMP = "acknowledgement does not echo the timestamp"


def acknowledge(
    registration: Registration, settings: Settings, packet: Packet, answer: BindingAcknowledgement, now: float
) -> tuple[Registration, Update | Problem]:
    """Take a Binding Acknowledgement; gives the update that it answers, or why it was ignored (RFC 6275 section
    11.7.3, RFC 4285 section 6).
    """
    secret = settings.authentication
    if not auth.verify(packet.data, answer, secret.key, packet.destination, settings.home.address):
        refuses_key = answer.status == Status.MIPV6_AUTH_FAIL and _answered(registration, answer) is not None
        return registration, Problem.UNVERIFIED_REFUSAL if refuses_key else Problem.NOT_AUTHENTIC
    update = _answered(registration, answer)
    if answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW and registration.unanswered:
        return _correct_sequence(registration, answer.sequence), registration.unanswered[-1]
    if update is None:
        return registration, Problem.UNEXPECTED
    timestamps = [option.timestamp for option in answer.options if isinstance(option, MessageReplayProtection)]
    if answer.status == Status.MIPV6_ID_MISMATCH and timestamps:
        offset_s = (auth.unix_ns(timestamps[0]) / 1e9) - now
        return _resynchronise(replace(registration, clock_offset_s=offset_s, timestamp=0)), update
    if timestamps != [update.timestamp]:
        return registration, Problem.TIMESTAMP
    return enter(_answer(registration, update, answer, now), now), update


def _correct_sequence(registration: Registration, accepted: int) -> Registration:
    """The one answer that need not match an update: it tells the number to go on from. If the home agent has not got
    as far as our last update, an older one was overtaken on the way, and nothing is wrong.
    """
    ahead = (registration.sequence - accepted) % 0x10000
    if 1 <= ahead <= MAX_AHEAD:
        return registration
    unanswered = registration.unanswered if ahead == 0 else ()
    return replace(_resynchronise(replace(registration, sequence=accepted)), unanswered=unanswered)


def _answered(registration: Registration, answer: BindingAcknowledgement) -> Update | None:
    return next((update for update in registration.unanswered if update.sequence == answer.sequence), None)


def _resynchronise(registration: Registration) -> Registration:
    """Send at once again what was refused for its number or its time only, unless that goes on and on."""
    count = registration.resynchronisations + 1
    attempts = registration.attempts if count > MAX_RESYNCHRONISATIONS else {}
    return replace(registration, unanswered=(), attempts=attempts, resynchronisations=count)


def _answer(registration: Registration, update: Update, answer: BindingAcknowledgement, now: float) -> Registration:
    """What an authentic answer to one of our updates changes."""
    after = registration.unanswered.index(update) + 1
    registration = replace(registration, unanswered=registration.unanswered[after:])
    # Links that went meanwhile, and of which the home agent holds nothing, are forgotten
    known = {bid: wanted for bid, wanted in update.bindings.items() if bid in registration.entries}
    update = replace(update, bindings=known)
    results = {option.bid: option.status for option in answer.options if isinstance(option, BindingIdentifier)}
    if update.identified and not results:
        # RFC 5648 section 5.7: a home agent without the extension, which may have made a plain binding of it
        registration = replace(_forget(registration, registration.entries), multiple=False)
        if update.lifetime == 0:
            return _resynchronise(registration)
        own = {bid: wanted for bid, wanted in update.bindings.items() if wanted.care_of == update.source}
        update = replace(update, bindings=own, identified=False)
    if update.lifetime == 0:
        return _deregistered(registration, update, results, answer.status)
    statuses = {
        bid: (results.get(bid, Status.UNSPECIFIED) or answer.status) if update.identified else answer.status
        for bid in update.bindings
    }
    for bid, status in statuses.items():
        if status < Status.UNSPECIFIED and answer.lifetime:
            registration = _accepted(registration, update, bid, answer, now)
        else:
            registration = _refused(registration, bid, status, now)
    return registration


def _change(registration: Registration, bid: int, **changes: object) -> Registration:
    entries = {**registration.entries, bid: replace(registration.entries[bid], **changes)}  # type: ignore[arg-type]
    return replace(registration, entries=entries)


def _forget(registration: Registration, bids: Iterable[int]) -> Registration:
    """The home agent holds nothing for these, unless an update that it has still to answer asks for it."""
    asked = {bid for update in registration.unanswered if update.lifetime for bid in update.bindings}
    for bid in bids:
        claimed_until_at = registration.entries[bid].claimed_until_at if bid in asked else 0.0
        registration = _change(registration, bid, binding=None, claimed_until_at=claimed_until_at)
    return registration


def _done(registration: Registration, purpose: Purpose) -> Registration:
    attempts = {kept: attempt for kept, attempt in registration.attempts.items() if kept != purpose}
    return replace(registration, attempts=attempts, resynchronisations=0)


def _deregistered(registration: Registration, update: Update, results: Mapping[int, int], status: int) -> Registration:
    gone = (Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, Status.MCOA_UNKNOWN_COA)  # it had none (RFC 5648 section 6.2)
    bids = [
        bid
        for bid in update.bindings
        if (result := results.get(bid, status) or status) < Status.UNSPECIFIED or result in gone
    ]
    if bids != list(update.bindings):
        return _forget(registration, bids)  # the rest is tried again by the usual back-off
    return _done(_forget(registration, bids), update.purpose)


def _accepted(
    registration: Registration, update: Update, bid: int, answer: BindingAcknowledgement, now: float
) -> Registration:
    """The lifetime runs from the sending of the update, and is never longer than asked for (RFC 6275 section
    11.7.3).
    """
    granted_s = lifetime_seconds(min(answer.lifetime, update.lifetime))
    advised_s = [
        lifetime_seconds(option.interval) for option in answer.options if isinstance(option, BindingRefreshAdvice)
    ]
    refresh_s = min([REFRESH_FRACTION * granted_s, *advised_s])
    if update.overwrite or not update.identified:
        others = [other for other in registration.entries if other not in update.bindings]
        registration = replace(_forget(registration, others), overwrite=False)
    wanted, entry = update.bindings[bid], registration.entries[bid]
    same = entry.binding is not None and entry.binding.care_of == wanted.care_of
    binding = Binding(
        care_of=wanted.care_of,
        priority=wanted.priority,
        registered_at=entry.binding.registered_at if same and entry.binding else now,
        refresh_at=update.sent_at + refresh_s,
        expires_at=update.sent_at + granted_s,
    )
    registration = _change(registration, bid, binding=binding, refusal=None, claimed_until_at=binding.expires_at)
    return _done(registration, update.purpose)


# What a refusal means, by status (RFC 6275 section 11.7.3, RFC 5648 section 5.7); all others end in a pause
_NOT_OUR_HOME_AGENT = {
    Status.HOME_REGISTRATION_NOT_SUPPORTED,
    Status.NOT_HOME_SUBNET,
    Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE,
    Status.DUPLICATE_ADDRESS_DETECTION_FAILED,
}
_DO_NOT_SEND = _NOT_OUR_HOME_AGENT | {
    Status.REGISTRATION_TYPE_CHANGE_DISALLOWED,
    Status.MIPV6_AUTH_FAIL,
    Status.SERVICE_AUTHORIZATION_FAILED,
}


def _refused(registration: Registration, bid: int, status: int, now: float) -> Registration:
    match status:
        case Status.MCOA_NON_MCOA_BINDING_EXISTS:
            return _resynchronise(replace(registration, overwrite=True))
        case Status.MCOA_PROHIBITED:
            return _resynchronise(replace(registration, multiple=False))
        case Status.MCOA_UNKNOWN_COA:
            return _resynchronise(_forget(registration, [bid]))
        case Status.MCOA_BULK_REGISTRATION_PROHIBITED:
            return _resynchronise(replace(registration, bulk=False))
        case Status.MCOA_MALFORMED:
            return _change(registration, bid, refusal=Refusal(status, inf))  # our own fault: no use in repeating it
        case _ if status in _DO_NOT_SEND:
            if status in _NOT_OUR_HOME_AGENT:
                registration = _forget(registration, registration.entries)
            # The home address is somebody else's for good (RFC 6275 section 11.7.1); the rest can be put right
            pause_s = inf if status == Status.DUPLICATE_ADDRESS_DETECTION_FAILED else DO_NOT_SEND_S
            return replace(registration, refusal=Refusal(status, now + pause_s))
    held = registration.entries[bid].binding
    refusal = Refusal(status, now + REFUSAL_RETRY_S)
    return _change(registration, bid, refusal=refusal, announced=held.care_of if held else None)
