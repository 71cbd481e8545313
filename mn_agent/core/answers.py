"""What the home agent's answers change (RFC 6275 section 11.7.3, RFC 5648 section 5.7, RFC 4285 section 6)."""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import replace
from enum import Enum
from ipaddress import IPv6Address
from math import inf

from mip6 import auth
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, lifetime_seconds
from mip6.wire.options import BindingIdentifier, BindingRefreshAdvice, FlowIdentification, MessageReplayProtection
from mip6.wire.registry import BindingAcknowledgementFlag, Status
from mn_agent.core import flow_bindings, mobile_network
from mn_agent.core.bindings import Binding, Endpoint, Purpose, Refusal, Registration, Return, Update, enter
from mn_agent.core.settings import Home, Settings

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
    signed = secret is not None and auth.verify(
        packet.data, answer, secret.key, packet.destination, settings.home.address
    )
    if secret is not None and not signed:
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
    if secret is not None and timestamps != [update.timestamp]:
        return registration, Problem.TIMESTAMP
    if update.lifetime and mobile_network.is_refused(registration.network, answer):
        return enter(_not_as_router(registration, settings.home, answer.status, now), now), update
    if isinstance(update.purpose, Return):
        return enter(_returned(registration, update, answer), now), update
    return enter(_answer(registration, update, answer, settings.home.address, now), now), update


def _not_as_router(registration: Registration, home: Home, status: int, now: float) -> Registration:
    """Nothing is bound any more (RFC 3963 section 5.4): another home agent may serve us, or this one otherwise."""
    network = mobile_network.refuse(registration.network, home, status)
    known = replace(registration, network=network, unanswered=(), overwrite=True)
    known = replace(forget(known, known.entries), flows=flow_bindings.forget(known.flows))
    if network.mode is registration.network.mode:
        return replace(known, refusal=Refusal(status, now + DO_NOT_SEND_S))
    return _resynchronise(known)


def _correct_sequence(registration: Registration, accepted: int) -> Registration:
    """The one answer that need not match an update: it tells the number to go on from. If the home agent has not got
    as far as our last update, an older one was overtaken on the way, and nothing is wrong.
    """
    ahead = (registration.sequence - accepted) % 0x10000
    if 1 <= ahead <= MAX_AHEAD:
        return registration
    return _resynchronise(replace(registration, sequence=accepted))


def _answered(registration: Registration, answer: BindingAcknowledgement) -> Update | None:
    return next((update for update in registration.unanswered if update.sequence == answer.sequence), None)


def _resynchronise(registration: Registration) -> Registration:
    """Send at once again what was refused for its number or its time only, unless that goes on and on.

    What was refused stays unanswered: the refusal may be of a duplicate, and the first copy accepted.
    """
    count = registration.resynchronisations + 1
    attempts = registration.attempts if count > MAX_RESYNCHRONISATIONS else {}
    return replace(registration, attempts=attempts, resynchronisations=count)


def _returned(registration: Registration, update: Update, answer: BindingAcknowledgement) -> Registration:
    """The answer to the update that ends all bindings because we are at home. After a no it is asked again."""
    if not _is_yes(update, answer, answer.status):
        unanswered = tuple(one for one in registration.unanswered if one != update)
        return replace(registration, unanswered=unanswered)
    left = forget(replace(registration, unanswered=(), attempts={}), registration.entries)
    flows = flow_bindings.forget(registration.flows)
    return replace(left, returning=False, overwrite=True, flows=flows, resynchronisations=0)


def _answer(
    registration: Registration, update: Update, answer: BindingAcknowledgement, home_address: IPv6Address, now: float
) -> Registration:
    """What an authentic answer to one of our updates changes."""
    place = registration.unanswered.index(update)
    earlier, later = registration.unanswered[:place], registration.unanswered[place + 1 :]
    registration = replace(registration, unanswered=earlier + later)
    # Links that went meanwhile, and of which the home agent holds nothing, are forgotten
    known = {bid: wanted for bid, wanted in update.bindings.items() if bid in registration.entries}
    update = replace(update, bindings=known)
    results = {option.bid: option.status for option in answer.options if isinstance(option, BindingIdentifier)}
    if update.identified and not results:
        # RFC 5648 section 5.7: a home agent without the extension, which may have made a plain binding of it
        registration = forget(registration, registration.entries)
        registration = replace(registration, flows=flow_bindings.forget(registration.flows))
        if update.home is not None:
            # RFC 5648 section 6.3: it has deregistered us, or made a plain binding of it
            return _resynchronise(replace(registration, beside=False))
        registration = replace(registration, multiple=False)
        if update.lifetime == 0:
            return _resynchronise(registration)
        own = {bid: wanted for bid, wanted in update.bindings.items() if wanted.care_of == update.source}
        update = replace(update, bindings=own, identified=False)
    statuses = {bid: _status(update, results, answer, bid) for bid in update.bindings}
    done = {bid for bid, status in statuses.items() if _is_yes(update, answer, status)}
    # There is one home binding at the most, and an update that does not name it has ended it
    ended = set(_home_bindings(registration, update, home_address)) if done and update.lifetime else set()
    if done:
        # The home agent takes updates in their order: what earlier ones said of these is settled
        settled = tuple(rest for one in earlier if (rest := _rest(one, update, done | ended)).bindings)
        registration = replace(registration, unanswered=settled + later)
        registration = _done(registration, update.purpose) if len(done) == len(statuses) else registration
        registration = _flows_answered(registration, update, answer, is_last=not later, now=now)
    if update.lifetime == 0:
        return forget(registration, done)
    registration = forget(registration, ended)
    if done and (update.overwrite or not update.identified):
        others = registration.entries.keys() - update.bindings.keys()
        registration = replace(forget(registration, others), overwrite=False)
    if done and update.key_mobility:
        (wanted,) = update.bindings.values()
        moved = bool(answer.flags & BindingAcknowledgementFlag.KEY_MANAGEMENT_MOBILITY)
        registration = replace(registration, endpoint=Endpoint(wanted.care_of, moved))
    for bid, status in statuses.items():
        if bid not in done:
            registration = _refused(registration, bid, status, now, is_home=bid == update.home)
        elif not any(_takes_away(one, bid) for one in later):  # or else it may be gone again already
            registration = _accepted(registration, update, bid, answer, status, now)
    return registration


def _home_bindings(registration: Registration, update: Update, home_address: IPv6Address) -> Iterator[int]:
    """Those that the update does not name."""
    for bid, entry in registration.entries.items():
        if entry.binding is not None and entry.binding.care_of == home_address and bid not in update.bindings:
            yield bid


def _flows_answered(
    registration: Registration, update: Update, answer: BindingAcknowledgement, *, is_last: bool, now: float
) -> Registration:
    """What the answer to an update that was taken says of flows."""
    if update.told is None:
        return registration
    answers = [option for option in answer.options if isinstance(option, FlowIdentification)]
    if update.told.described and not answers:
        # RFC 6089 section 5.2.6: a home agent without the extension
        return replace(registration, flow_bindings=False, flows=flow_bindings.forget(registration.flows))
    retry_at = now + REFUSAL_RETRY_S
    flows = flow_bindings.acknowledged(registration.flows, update.told, answers, is_last=is_last, retry_at=retry_at)
    return replace(registration, flows=flows)


def _status(update: Update, results: Mapping[int, int], answer: BindingAcknowledgement, bid: int) -> int:
    """Of one binding: its option's, unless that leaves it to the message's (RFC 5648 section 4.3)."""
    return (results.get(bid, Status.UNSPECIFIED) or answer.status) if update.identified else answer.status


def _is_yes(update: Update, answer: BindingAcknowledgement, status: int) -> bool:
    if update.lifetime == 0:
        # What the home agent never had is as good as deregistered (RFC 5648 section 6.2)
        none = (Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE, Status.MCOA_UNKNOWN_COA)
        return status < Status.UNSPECIFIED or status in none
    return status < Status.UNSPECIFIED and answer.lifetime > 0


def _rest(earlier: Update, update: Update, done: Set[int]) -> Update:
    """What of an earlier update is still open when a later one has been accepted for some bindings."""
    replaces_all = update.overwrite or not update.identified
    rest = {bid: wanted for bid, wanted in earlier.bindings.items() if bid not in done and not replaces_all}
    return replace(earlier, bindings=rest, overwrite=False, told=None)


def _change(registration: Registration, bid: int, **changes: object) -> Registration:
    entries = {**registration.entries, bid: replace(registration.entries[bid], **changes)}  # type: ignore[arg-type]
    return replace(registration, entries=entries)


def forget(registration: Registration, bids: Iterable[int]) -> Registration:
    """The home agent holds nothing for these, unless an update that it has still to answer asks for it."""
    asked = {bid for update in registration.unanswered if update.lifetime for bid in update.bindings}
    for bid in bids:
        claimed_until_at = registration.entries[bid].claimed_until_at if bid in asked else 0.0
        registration = _change(registration, bid, binding=None, claimed_until_at=claimed_until_at)
    return registration


def _done(registration: Registration, purpose: Purpose) -> Registration:
    attempts = {kept: attempt for kept, attempt in registration.attempts.items() if kept != purpose}
    return replace(registration, attempts=attempts, resynchronisations=0)


def _accepted(
    registration: Registration, update: Update, bid: int, answer: BindingAcknowledgement, status: int, now: float
) -> Registration:
    """The lifetime runs from the sending of the update, and is never longer than asked for (RFC 6275 section
    11.7.3).
    """
    granted_s = lifetime_seconds(min(answer.lifetime, update.lifetime))
    advised_s = [
        lifetime_seconds(option.interval) for option in answer.options if isinstance(option, BindingRefreshAdvice)
    ]
    refresh_s = min([REFRESH_FRACTION * granted_s, *advised_s])
    wanted, entry = update.bindings[bid], registration.entries[bid]
    same = entry.binding is not None and entry.binding.care_of == wanted.care_of
    binding = Binding(
        care_of=wanted.care_of,
        priority=wanted.priority,
        registered_at=entry.binding.registered_at if same and entry.binding else now,
        refresh_at=update.sent_at + refresh_s,
        expires_at=update.sent_at + granted_s,
        status=status,
    )
    return _change(registration, bid, binding=binding, refusal=None, claimed_until_at=binding.expires_at)


def _takes_away(update: Update, bid: int) -> bool:
    return bid in update.bindings if update.lifetime == 0 else update.overwrite and bid not in update.bindings


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


def _refused(registration: Registration, bid: int, status: int, now: float, *, is_home: bool) -> Registration:
    match status:
        case Status.MCOA_NON_MCOA_BINDING_EXISTS:
            return _resynchronise(replace(registration, overwrite=True))
        case Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED if is_home:
            return _resynchronise(replace(registration, beside=False))
        case Status.MCOA_PROHIBITED:
            return _resynchronise(replace(registration, multiple=False))
        case Status.MCOA_UNKNOWN_COA:
            return _resynchronise(forget(registration, [bid]))
        case Status.MCOA_BULK_REGISTRATION_PROHIBITED:
            return _resynchronise(replace(registration, bulk=False))
        case Status.MCOA_MALFORMED:
            return _change(registration, bid, refusal=Refusal(status, inf))  # our own fault: no use in repeating it
        case _ if status in _DO_NOT_SEND:
            if status in _NOT_OUR_HOME_AGENT:
                flows = flow_bindings.forget(registration.flows)
                registration = replace(forget(registration, registration.entries), flows=flows)
            # The home address is somebody else's for good (RFC 6275 section 11.7.1); the rest can be put right
            pause_s = inf if status == Status.DUPLICATE_ADDRESS_DETECTION_FAILED else DO_NOT_SEND_S
            return replace(registration, refusal=Refusal(status, now + pause_s))
    return _change(registration, bid, refusal=Refusal(status, now + REFUSAL_RETRY_S))
