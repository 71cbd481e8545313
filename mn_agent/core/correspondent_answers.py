"""What a correspondent's messages change (RFC 6275 sections 11.3.6, 11.6.2, 11.7.3 and 11.7.4).

Each has to fit something that we sent: a test by its address and cookie, an acknowledgement by its sequence number and
its signature. Only that nonces have expired a correspondent cannot sign.
"""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from enum import Enum
from ipaddress import IPv6Address

from mip6.return_routability import MAX_TOKEN_LIFETIME_S, verify
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.icmp import parse_parameter_problem
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    CareOfTest,
    HomeTest,
    Message,
    lifetime_seconds,
)
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import BindingErrorStatus, NextHeader, Status
from mn_agent.core.answers import REFRESH_FRACTION
from mn_agent.core.bindings import Binding
from mn_agent.core.correspondents import (
    NONE,
    Correspondent,
    Correspondents,
    Entry,
    Pause,
    Test,
    Token,
    Tries,
    Update,
    fail,
)
from mn_agent.core.status_text import status_text

DO_NOT_SEND_S = 600.0
"""How long a correspondent is left alone that refuses, or does not know what it is asked."""
ERROR_PAUSE_S = 1.0
"""The same for one that has lost a binding. Anybody may say so in its name: it must not cost much."""

_UNRECOGNIZED_NEXT_HEADER = 1
# Of an IPv6 header and a test behind it
_NEXT_HEADER, _DESTINATION, _COOKIE, _QUOTED = 6, slice(24, 40), slice(48, 56), 56

_EXPIRED_HOME = Status.EXPIRED_HOME_NONCE_INDEX, Status.EXPIRED_NONCES
_EXPIRED_CARE_OF = Status.EXPIRED_CARE_OF_NONCE_INDEX, Status.EXPIRED_NONCES


class Problem(Enum):
    """Why a message was ignored."""

    UNEXPECTED = "correspondent's message that answers none of ours"
    NOT_AUTHENTIC = "correspondent's acknowledgement not authentic"


def hear(
    one: Correspondent, home_address: IPv6Address, packet: Packet, message: Message, now: float
) -> Correspondent | Problem:
    """Take a message from this correspondent. One to the home address itself has come through the tunnel: others do
    not get as far as here (mn_agent.core.kernel).
    """
    match message:
        case HomeTest() if (packet.destination, packet.home_address) == (home_address, None):
            home = _tested(one.home, message)
            return Problem.UNEXPECTED if home is None else replace(one, home=home)
        case CareOfTest() if packet.home_address is None:
            return _hear_care_of_test(one, packet, message)
        case BindingAcknowledgement() if packet.home_address == home_address:
            return _acknowledge(one, home_address, packet, message, now)
        case BindingError():
            return _error(one, home_address, packet, message, now)
        case BindingRefreshRequest(options) if one.is_claimed:
            bids = {option.bid for option in options if isinstance(option, BindingIdentifier)}
            return _refresh(one, bids or one.entries.keys(), now)
    return Problem.UNEXPECTED


def _tested(test: Test, answer: HomeTest | CareOfTest) -> Test | None:
    if not test.cookie or answer.cookie != test.cookie:
        return None
    return Test(token=Token(answer.keygen_token, answer.nonce_index, test.sent_at + MAX_TOKEN_LIFETIME_S))


def _hear_care_of_test(one: Correspondent, packet: Packet, message: CareOfTest) -> Correspondent | Problem:
    for entry in one.entries.values():
        if entry.wanted is not None and entry.wanted.care_of == packet.destination:
            test = _tested(entry.test, message)
            return Problem.UNEXPECTED if test is None else _change(one, replace(entry, test=test))
    return Problem.UNEXPECTED


def _change(one: Correspondent, entry: Entry) -> Correspondent:
    return replace(one, entries={**one.entries, entry.bid: entry})


def _acknowledge(
    one: Correspondent, home_address: IPv6Address, packet: Packet, answer: BindingAcknowledgement, now: float
) -> Correspondent | Problem:
    asked = ((entry, entry.update) for entry in one.entries.values() if entry.update is not None)
    for entry, update in asked:
        signed_for = update.wanted.care_of if update.lifetime else home_address
        if answer.sequence == update.sequence and answer.status in (*_EXPIRED_HOME, *_EXPIRED_CARE_OF):
            return _expired(one, entry, answer.status)
        is_number = answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
        if answer.sequence == update.sequence or is_number:
            if verify(packet.data, update.key, signed_for, one.address):
                return _answered(one, entry, update, answer, now)
            if not is_number:
                return Problem.NOT_AUTHENTIC
    return Problem.UNEXPECTED


def _expired(one: Correspondent, entry: Entry, status: int) -> Correspondent:
    """It is asked for new tokens at once. What has been tried counts: this could go on for ever."""
    if status in _EXPIRED_HOME:
        one = replace(one, home=Test(tries=one.home.tries))
    if status in _EXPIRED_CARE_OF:
        entry = replace(entry, test=Test(tries=entry.test.tries))
    return _change(one, replace(entry, update=None, tries=Tries(entry.tries.count)))


def _answered(
    one: Correspondent, entry: Entry, update: Update, answer: BindingAcknowledgement, now: float
) -> Correspondent:
    """What an authentic answer changes."""
    if answer.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW:
        one = replace(one, sequence=answer.sequence)
        return _change(one, replace(entry, update=None, tries=Tries(entry.tries.count)))
    if not update.lifetime:
        return _ended(one, entry, update)
    granted_s = lifetime_seconds(min(answer.lifetime, update.lifetime))
    if answer.status == Status.MCOA_PROHIBITED:
        return replace(_change(one, replace(entry, update=None, tries=NONE)), multiple=False)
    if answer.status >= Status.UNSPECIFIED or not granted_s:
        failed = fail(entry, now, status_text(answer.status))
        return _change(one, replace(failed, pause=Pause(now + DO_NOT_SEND_S, status_text(answer.status))))
    binding = Binding(
        care_of=update.wanted.care_of,
        priority=update.wanted.priority,
        registered_at=now,
        # It runs from when it was asked for (RFC 6275 section 11.7.3)
        refresh_at=update.sent_at + REFRESH_FRACTION * granted_s,
        expires_at=update.sent_at + granted_s,
    )
    entry = replace(
        entry, update=None, tries=NONE, binding=binding, claimed_until_at=binding.expires_at, pause=None, failures=0
    )
    knows = any(isinstance(option, BindingIdentifier) for option in answer.options)
    # Without the extension it has made a plain binding of it, in place of all others (RFC 5648 section 5.7)
    return replace(_change(one, entry), multiple=one.multiple and knows, failures=0)


def _ended(one: Correspondent, entry: Entry, update: Update) -> Correspondent:
    """Whatever the answer: what it may hold still runs out by itself. What proved a binding that was ended proves none
    any more (RFC 6275 section 9.5.3).
    """
    gone = {entry.bid} if update.identified else one.entries.keys()
    entries = {bid: _without_binding(each) if bid in gone else each for bid, each in one.entries.items()}
    return replace(one, entries=entries)


def _without_binding(entry: Entry) -> Entry:
    return replace(entry, test=Test(), update=None, tries=NONE, binding=None, claimed_until_at=0.0)


def _error(
    one: Correspondent, home_address: IPv6Address, packet: Packet, message: BindingError, now: float
) -> Correspondent | Problem:
    """It counts only from one that holds a binding, or is being asked for one."""
    if message.status == BindingErrorStatus.UNRECOGNIZED_MH_TYPE:
        is_asked = any(_cookies(one)) or any(entry.update for entry in one.entries.values())
        return _does_not_know(one, now) if is_asked else Problem.UNEXPECTED
    if message.home_address != home_address:
        return Problem.UNEXPECTED
    pause = Pause(now + ERROR_PAUSE_S, "it has lost the binding")
    for entry in one.entries.values():
        if entry.binding is not None and entry.binding.care_of == packet.destination:
            # It may have forgotten the others and its nonces as well
            one = _refresh(one, one.entries.keys() - {entry.bid}, now)
            return _change(one, replace(_without_binding(entry), pause=pause))
    return Problem.UNEXPECTED


def _cookies(one: Correspondent) -> list[bytes]:
    return [one.home.cookie, *(entry.test.cookie for entry in one.entries.values())]


def _does_not_know(one: Correspondent, now: float) -> Correspondent:
    pause = Pause(now + DO_NOT_SEND_S, "it does not know Mobile IPv6")
    entries = {bid: _without_binding(entry) for bid, entry in one.entries.items()}
    return replace(one, entries=entries, home=Test(), pause=pause)


def hear_of_problem(everybody: Correspondents, data: bytes, now: float) -> Correspondent | None:
    """What an ICMPv6 error makes of a correspondent: a host that does not know Mobility Headers says so, about a test
    of ours that it quotes (RFC 6275 section 11.3.5). None: it is about something else.
    """
    try:
        code, packet = parse_parameter_problem(data)
    except DecodeError:
        return None
    if code != _UNRECOGNIZED_NEXT_HEADER or len(packet) < _QUOTED or packet[_NEXT_HEADER] != NextHeader.MOBILITY:
        return None
    one = everybody.known.get(IPv6Address(packet[_DESTINATION]))
    cookie = packet[_COOKIE]
    return _does_not_know(one, now) if one is not None and cookie in _cookies(one) else None


def _refresh(one: Correspondent, bids: AbstractSet[int], now: float) -> Correspondent:
    """It asks for these to be refreshed, which takes new tokens (RFC 6275 section 11.7.4)."""
    entries = {
        bid: replace(entry, test=Test(tries=entry.test.tries), binding=replace(entry.binding, refresh_at=now))
        if bid in bids and entry.binding is not None
        else entry
        for bid, entry in one.entries.items()
    }
    return replace(one, entries=entries, home=Test(tries=one.home.tries))
