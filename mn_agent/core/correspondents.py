"""The binding update list towards correspondents: what has been proved to each, and what it holds (RFC 6275 section
11.1).

The agent says with whom it wants its way to be direct and over which bindings; `routability` sends what is missing;
`correspondent_answers` takes what comes back. A correspondent that does not answer, or says no, is left alone for a
while, and payload takes the tunnel, as it does until a binding is acknowledged.
"""

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from math import inf

from mip6.return_routability import COOKIE_LENGTH
from mn_agent.core.bindings import Binding, Wanted

MAX_RO_FAILURE = 3
"""Messages without an answer, after which the tunnel is used (RFC 6275 section 12)."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 32.0, 600.0
"""How long a correspondent is left alone that did not answer; it doubles each time."""


@dataclass(frozen=True, slots=True)
class Tries:
    """Messages without an answer, and when the next may be sent."""

    count: int = 0
    due_at: float = -inf

    @property
    def fails_at(self) -> float:
        """When it is of no use to wait any longer; infinity for not yet."""
        return self.due_at if self.count >= MAX_RO_FAILURE else inf


NONE = Tries()


@dataclass(frozen=True, slots=True)
class Token:
    """A keygen token: `nonce_index` says to the correspondent how it made it."""

    value: bytes = field(repr=False)
    nonce_index: int
    until_at: float


@dataclass(frozen=True, slots=True)
class Test:
    """Whether one address, the home address or a care-of address, can be proved to be ours. `cookie`: of the last
    message without an answer; empty for none.
    """

    __test__ = False

    cookie: bytes = field(default=b"", repr=False)
    sent_at: float = 0.0
    tries: Tries = NONE
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """A Binding Update that was sent and not answered. `identified`: it has a binding identifier; what ends a binding
    and has none ends all.
    """

    sequence: int
    wanted: Wanted
    lifetime: int
    """In units of 4 s; 0 ends the binding."""
    identified: bool
    key: bytes = field(repr=False)
    sent_at: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Until when it is left alone, and why."""

    until_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One binding with a correspondent."""

    bid: int
    wanted: Wanted | None = None
    """None: it is to end."""
    test: Test = Test()
    """Of the care-of address that is wanted."""
    update: Update | None = None
    tries: Tries = NONE
    """Of updates."""
    binding: Binding | None = None
    """As acknowledged."""
    claimed_until_at: float = 0.0
    """Until when the correspondent may hold one, acknowledged or not; 0 for none."""
    pause: Pause | None = None
    failures: int = 0

    @property
    def care_of(self) -> IPv6Address | None:
        """What packets may be sent from: it is acknowledged and still wanted (RFC 6275 section 11.3.1)."""
        if self.binding is None or self.wanted is None or self.binding.care_of != self.wanted.care_of:
            return None
        return self.binding.care_of

    @property
    def due_at(self) -> float:
        """When it is to be told to the correspondent: what is wanted differs from what it holds, or that runs out."""
        assert self.wanted is not None
        held = self.binding
        if held is None or (held.care_of, held.priority) != (self.wanted.care_of, self.wanted.priority):
            return -inf
        return held.refresh_at


@dataclass(frozen=True, slots=True)
class Correspondent:
    """What is known of one; `sequence` is that of the last update."""

    address: IPv6Address
    sequence: int
    entries: Mapping[int, Entry] = field(default_factory=dict)
    """By binding identifier."""
    home: Test = Test()
    """Of the home address."""
    multiple: bool = True
    """It takes several care-of addresses."""
    leaving: bool = False
    """All bindings with it are to end."""
    pause: Pause | None = None
    failures: int = 0
    recent: Mapping[type, tuple[float, ...]] = field(default_factory=dict)
    """When the last messages were sent, by kind, for the rate limit."""

    @property
    def senders(self) -> list[Entry]:
        """Those whose care-of address works, the preferred first."""
        wanted = [(entry.wanted.priority, bid, entry) for bid, entry in self.entries.items() if entry.wanted]
        return [entry for *_, entry in sorted(wanted, key=lambda one: one[:2])]

    @property
    def is_claimed(self) -> bool:
        """Whether it may hold a binding of ours."""
        return any(entry.claimed_until_at for entry in self.entries.values())


@dataclass(frozen=True, slots=True)
class Correspondents:
    """All of them, by address. `seed`: at random and secret; the cookies are drawn from it."""

    seed: bytes = field(default=b"", repr=False)
    drawn: int = 0
    known: Mapping[IPv6Address, Correspondent] = field(default_factory=dict)

    def cookie(self) -> bytes:
        """The next: nobody who has not the seed can guess it."""
        return hmac.digest(self.seed, self.drawn.to_bytes(8, "big"), "sha256")[:COOKIE_LENGTH]

    def care_of(self, address: IPv6Address, bid: int) -> IPv6Address | None:
        """What packets may be sent to this correspondent from, over this binding's link; None: there is nothing."""
        one = self.known.get(address)
        entry = one.entries.get(bid) if one is not None and not one.leaving else None
        return entry.care_of if entry is not None else None


def change(everybody: Correspondents, one: Correspondent) -> Correspondents:
    """That one is now so."""
    return replace(everybody, known={**everybody.known, one.address: one})


def want(
    everybody: Correspondents, addresses: frozenset[IPv6Address], wanted: Mapping[int, Wanted], sequence: int
) -> Correspondents:
    """Tell with whom the way is to be direct, and by which bindings, each of which the home agent holds. `sequence`: to
    begin with.
    """
    known = {}
    for address in sorted(everybody.known.keys() | addresses):
        one = everybody.known.get(address) or Correspondent(address, sequence)
        one = _want(one, wanted, leaving=address not in addresses)
        if not one.leaving or one.is_claimed:
            known[address] = one
    return everybody if known == everybody.known else replace(everybody, known=known)


def _want(one: Correspondent, wanted: Mapping[int, Wanted], *, leaving: bool) -> Correspondent:
    if not one.multiple and wanted:
        # An update about one replaces the other: none has to end
        first = min(wanted, key=lambda bid: (wanted[bid].priority, bid))
        kept = {bid: entry for bid, entry in one.entries.items() if bid == first}
        wanted, one = {first: wanted[first]}, replace(one, entries=kept)
    entries = {bid: _entry(entry, wanted.get(bid)) for bid, entry in one.entries.items()}
    entries |= {bid: Entry(bid, each) for bid, each in wanted.items() if bid not in entries}
    return replace(one, entries=_kept(entries), leaving=leaving)


def _kept(entries: Mapping[int, Entry]) -> dict[int, Entry]:
    return {bid: entry for bid, entry in entries.items() if entry.wanted or entry.claimed_until_at}


def _entry(entry: Entry, wanted: Wanted | None) -> Entry:
    old = entry.wanted
    if old is not None and wanted is not None and old.care_of == wanted.care_of:
        return replace(entry, wanted=wanted)
    if old is wanted:
        return entry
    return replace(entry, wanted=wanted, test=Test(), tries=NONE, pause=None, failures=0)


def shorten(everybody: Correspondents, until_at: float, now: float) -> Correspondents:
    """Tell anew, at once, what they would hold for longer than that (RFC 6275 section 11.4.2)."""
    known = {}
    for address, one in everybody.known.items():
        entries = {
            bid: replace(entry, binding=replace(entry.binding, refresh_at=now))
            if entry.binding is not None and entry.binding.expires_at > until_at
            else entry
            for bid, entry in one.entries.items()
        }
        known[address] = replace(one, entries=entries)
    return replace(everybody, known=known)


def ends_at(everybody: Correspondents) -> float:
    """When something runs out next; infinity for never."""
    return min((moment for one in everybody.known.values() for moment in _ends(one)), default=inf)


def _ends(one: Correspondent) -> Iterator[float]:
    yield from _test_ends(one.home)
    yield one.pause.until_at if one.pause else inf
    for entry in one.entries.values():
        yield from _test_ends(entry.test)
        yield entry.tries.fails_at
        yield entry.binding.expires_at if entry.binding else inf
        yield entry.claimed_until_at or inf
        yield entry.pause.until_at if entry.pause else inf


def _test_ends(test: Test) -> Iterator[float]:
    yield test.tries.fails_at
    yield test.token.until_at if test.token else inf


def expire(everybody: Correspondents, now: float) -> Correspondents:
    """Drop what has run out, and give up what had no answer."""
    if ends_at(everybody) > now:
        return everybody
    return replace(everybody, known={address: _expire(one, now) for address, one in everybody.known.items()})


def _expire(one: Correspondent, now: float) -> Correspondent:
    if one.leaving and any(entry.tries.fails_at <= now for entry in one.entries.values()):
        return replace(one, entries={})
    if one.pause is not None and one.pause.until_at <= now:
        one = replace(one, pause=None)
    one = replace(one, home=_expire_test(one.home, now))
    if one.home.tries.fails_at <= now:
        # The home agent may be what does not answer: what the correspondent holds is as good as before
        pause = Pause(now + pause_s(one.failures), "the home address could not be tested")
        one = replace(one, home=Test(token=one.home.token), pause=pause, failures=one.failures + 1)
    entries = {bid: _expire_entry(entry, now) for bid, entry in one.entries.items()}
    return replace(one, entries=_kept(entries))


def _expire_test(test: Test, now: float) -> Test:
    return replace(test, token=None) if test.token is not None and test.token.until_at <= now else test


def _expire_entry(entry: Entry, now: float) -> Entry:
    entry = replace(
        entry,
        test=_expire_test(entry.test, now),
        binding=None if entry.binding and entry.binding.expires_at <= now else entry.binding,
        claimed_until_at=entry.claimed_until_at if entry.claimed_until_at > now else 0.0,
        pause=None if entry.pause and entry.pause.until_at <= now else entry.pause,
    )
    if entry.wanted is None and entry.tries.fails_at <= now:
        return replace(entry, claimed_until_at=0.0)
    if entry.test.tries.fails_at <= now:
        return fail(entry, now, "the care-of address could not be tested")
    if entry.tries.fails_at <= now:
        return fail(entry, now, "no acknowledgement")
    return entry


def fail(entry: Entry, now: float, why: str) -> Entry:
    """The direct way does not work: the tunnel is used, and after a while it is tried again."""
    pause = Pause(now + pause_s(entry.failures), why)
    return replace(entry, test=Test(), update=None, tries=NONE, binding=None, pause=pause, failures=entry.failures + 1)


def pause_s(failures: int) -> float:
    """How long to leave it alone after this many failures before."""
    return min(FIRST_PAUSE_S * 2.0**failures, LONGEST_PAUSE_S)
