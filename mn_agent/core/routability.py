"""Return routability and registration with correspondents: what to send, when, and from which address.

Both tests begin at once (RFC 6275 section 11.6.1): the home test goes through the home agent, a care-of test directly
from each care-of address that is to be bound. With both tokens there is a key, and a Binding Update for each binding,
from its own care-of address (RFC 5648 section 5.2: correspondents take no bulk). Tokens are renewed before they run out
as long as there is a binding: so what changes, first of all a link that is lost, can be told at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from math import inf
from typing import TypeAlias

from mip6.return_routability import MAX_RR_BINDING_LIFETIME_S, management_key, sign
from mip6.wire.extension import Packet
from mip6.wire.messages import (
    BindingUpdate,
    CareOfTestInit,
    HomeTestInit,
    encode,
    lifetime_seconds,
    lifetime_units,
)
from mip6.wire.options import BindingIdentifier, NonceIndices, Option
from mip6.wire.registry import BindingUpdateFlag
from mn_agent.core.bindings import Wanted
from mn_agent.core.correspondents import (
    Correspondent,
    Correspondents,
    Entry,
    Test,
    Tries,
    Update,
    change,
    ends_at,
)
from mn_agent.core.registration import INITIAL_BINDACK_TIMEOUT_S, MAX_BINDACK_TIMEOUT_S, MAX_UPDATE_RATE

RENEW_S = 30.0
"""How long before a token runs out there is to be another."""
PATIENCE_S = 1.0
"""How long an update is alone on its way: one that overtakes it makes the correspondent refuse it."""


@dataclass(frozen=True, slots=True)
class TestHome:
    """Send a Home Test Init."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class TestCareOf:
    """Send a Care-of Test Init."""

    __test__ = False

    bid: int


@dataclass(frozen=True, slots=True)
class Register:
    """Send a Binding Update for this binding."""

    bid: int


@dataclass(frozen=True, slots=True)
class End:
    """Send one that ends this binding, or all if it is not identified."""

    bid: int
    identified: bool


Action: TypeAlias = TestHome | TestCareOf | Register | End

_KINDS: dict[type, type] = {
    TestHome: HomeTestInit,
    TestCareOf: CareOfTestInit,
    Register: BindingUpdate,
    End: BindingUpdate,
}


def deadline(everybody: Correspondents) -> float:
    """When something is to be sent or dropped; infinity for never."""
    ready = [ready_at for one in everybody.known.values() for _, ready_at in _actions(one)]
    return min([ends_at(everybody), *ready])


def poll(everybody: Correspondents, home_address: IPv6Address, now: float) -> tuple[Correspondents, Packet | None]:
    """The next message to send, if one is to be sent now. Call again until there is none."""
    for one in everybody.known.values():
        for action, ready_at in _actions(one):
            if ready_at <= now:
                return _send(everybody, one, action, home_address, now)
    return everybody, None


def _actions(one: Correspondent) -> Iterator[tuple[Action, float]]:
    """All that there is to do, the most urgent first, and when each may be done."""
    if one.pause is not None or not one.senders:
        return
    updates = list(_updates(one))
    yield from ((action, _not_too_often(one, action, at)) for action, at in _tests(one, updates))
    yield from (
        (action, _not_too_often(one, action, max(at, _alone_at(one, action))))
        for action, at in updates
        if _has_tokens(one, action)
    )


def _updates(one: Correspondent) -> Iterator[tuple[Register | End, float]]:
    """What there is to tell, and when."""
    ending = [
        entry for entry in one.entries.values() if entry.claimed_until_at and (one.leaving or entry.wanted is None)
    ]
    identified = one.multiple and not one.leaving
    for entry in ending if identified else ending[:1]:
        yield End(entry.bid, identified), entry.tries.due_at
    if not one.leaving:
        for entry in one.senders:
            if entry.pause is None:
                yield Register(entry.bid), max(entry.due_at, entry.tries.due_at)


def _tests(one: Correspondent, updates: list[tuple[Register | End, float]]) -> Iterator[tuple[Action, float]]:
    """Both tests begin when something is to be told, and when a token that proves a binding gets old."""
    wanted_at = min((_told_at(one, action) for action, _ in updates), default=inf)
    if any(entry.binding for entry in one.entries.values()):
        wanted_at = -inf
    yield TestHome(), _test_at(one.home, wanted_at)
    for action, _ in updates:
        if isinstance(action, Register):
            entry = one.entries[action.bid]
            yield TestCareOf(entry.bid), _test_at(entry.test, -inf if entry.binding else entry.due_at)


def _told_at(one: Correspondent, action: Register | End) -> float:
    return one.entries[action.bid].due_at if isinstance(action, Register) else -inf


def _test_at(test: Test, wanted_at: float) -> float:
    fresh_until_at = test.token.until_at - RENEW_S if test.token else -inf
    return max(wanted_at, fresh_until_at, test.tries.due_at)


def _has_tokens(one: Correspondent, action: Register | End) -> bool:
    away = one.entries[action.bid].test.token
    return one.home.token is not None and (away is not None or isinstance(action, End))


def _alone_at(one: Correspondent, action: Register | End) -> float:
    """When no other update is on its way any more. What ends a binding does not wait: its link is lost."""
    if isinstance(action, End):
        return -inf
    others = (entry.update for bid, entry in one.entries.items() if bid != action.bid)
    return max((update.sent_at + PATIENCE_S for update in others if update is not None), default=-inf)


def _not_too_often(one: Correspondent, action: Action, at: float) -> float:
    sent = one.recent.get(_KINDS[type(action)], ())
    return max(at, sent[-MAX_UPDATE_RATE] + 1.0) if len(sent) >= MAX_UPDATE_RATE else at


def _send(
    everybody: Correspondents, one: Correspondent, action: Action, home_address: IPv6Address, now: float
) -> tuple[Correspondents, Packet]:
    kind = _KINDS[type(action)]
    recent = (*one.recent.get(kind, ()), now)[-MAX_UPDATE_RATE:]
    one = replace(one, recent={**one.recent, kind: recent})
    if isinstance(action, Register | End):
        one, packet = _send_update(one, action, home_address, now)
        return change(everybody, one), packet
    cookie = everybody.cookie()
    everybody = replace(everybody, drawn=everybody.drawn + 1)
    if isinstance(action, TestHome):
        one = replace(one, home=_asked(one.home, cookie, now))
        packet = Packet(home_address, one.address, None, encode(HomeTestInit(cookie)))
    else:
        entry = one.entries[action.bid]
        assert entry.wanted is not None
        one = _change(one, replace(entry, test=_asked(entry.test, cookie, now)))
        packet = Packet(entry.wanted.care_of, one.address, None, encode(CareOfTestInit(cookie)))
    return change(everybody, one), packet


def _asked(test: Test, cookie: bytes, now: float) -> Test:
    return replace(test, cookie=cookie, sent_at=now, tries=_again(test.tries, now))


def _again(tries: Tries, now: float) -> Tries:
    timeout_s = min(INITIAL_BINDACK_TIMEOUT_S * 2.0**tries.count, MAX_BINDACK_TIMEOUT_S)
    return Tries(tries.count + 1, now + timeout_s)


def _change(one: Correspondent, entry: Entry) -> Correspondent:
    return replace(one, entries={**one.entries, entry.bid: entry})


def _send_update(
    one: Correspondent, action: Register | End, home_address: IPv6Address, now: float
) -> tuple[Correspondent, Packet]:
    entry, home = one.entries[action.bid], one.home.token
    assert home is not None
    if isinstance(action, Register):
        wanted, away = entry.wanted, entry.test.token
        assert wanted is not None
        assert away is not None
        source, signed_for, identified = wanted.care_of, wanted.care_of, one.multiple
        nonces, key = NonceIndices(home.nonce_index, away.nonce_index), management_key(home.value, away.value)
        lifetime = _lifetime(wanted, now)
    else:
        # First from where it has heard us; each further try from another, for the path may be dead
        senders = sorted(one.senders, key=lambda sender: not sender.claimed_until_at)
        wanted = senders[entry.tries.count % len(senders)].wanted
        assert wanted is not None
        source, signed_for, identified = wanted.care_of, home_address, action.identified
        nonces, key = NonceIndices(home.nonce_index, 0), management_key(home.value)
        lifetime = 0
    sequence = (one.sequence + 1) & 0xFFFF
    options: list[Option] = [nonces]
    if identified:
        care_of = wanted.care_of if lifetime else None
        options.append(BindingIdentifier(entry.bid, priority=wanted.priority, care_of=care_of))
    message = BindingUpdate(sequence, BindingUpdateFlag.ACKNOWLEDGE, lifetime, tuple(options))
    data = sign(message, key, signed_for, one.address)
    entry = replace(
        entry,
        update=Update(sequence, wanted, lifetime, identified, key, now),
        tries=_again(entry.tries, now),
        binding=entry.binding if lifetime else None,
        claimed_until_at=max(entry.claimed_until_at, now + lifetime_seconds(lifetime)),
    )
    return _change(replace(one, sequence=sequence), entry), Packet(source, one.address, home_address, data)


def _lifetime(wanted: Wanted, now: float) -> int:
    """At most as long as the home agent's binding and the care-of address last (RFC 6275 section 11.7.2), but never 0,
    which would mean the opposite.
    """
    shortest_s = min(MAX_RR_BINDING_LIFETIME_S, max(wanted.valid_until_at - now, 0.0))
    return max(1, lifetime_units(shortest_s))
