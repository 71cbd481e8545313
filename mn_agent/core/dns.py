"""Asks the DNS which home agents there are (RFC 5026 section 5.1): the addresses of a host, or of the hosts that a
domain has for the service mip6 over IPv6.

What the DNS said stays known until it says something else; while it says nothing it is asked again and again, each
time from another care-of address. Nobody proves that an answer is true: a home agent that is none of ours cannot
authenticate itself later, and is left again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv6Address
from math import inf

from mip6.wire.extension import is_routable
from mn_agent.core.settings import UNKNOWN, Home

SERVICE = "_mip6._ipv6"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Before a question without an answer is asked again: twice as long each time."""
PATIENCE_S = 30.0
"""For the answers to all questions of one lookup; whoever asks for us gives up before."""
AGAIN_S = 30.0
"""How soon to ask again when no home agent serves us, though what is known is not old yet."""
SHORTEST_S, LONGEST_S = 60.0, 24 * 3600.0
"""How long an answer is good, whatever its time to live."""
MOST = 16
"""Home agents to know, and hosts to ask for."""
NO_SERVICE = "."
"""The only host of a domain that does not offer the service (RFC 2782)."""


class Kind(Enum):
    """What is asked for."""

    ADDRESSES = "AAAA"
    HOSTS = "SRV"


@dataclass(frozen=True, slots=True)
class Question:
    """One question; the name is absolute, without its final dot."""

    name: str
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind.value} of {self.name}"


@dataclass(frozen=True, slots=True)
class Query:
    """A question, and the care-of address that it is to be asked from, where that can be chosen."""

    question: Question
    care_of: IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS has: addresses, or else hosts, the one to be tried first first. It is good for `ttl_s`."""

    ttl_s: float
    addresses: tuple[IPv6Address, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer; for people."""

    why: str


@dataclass(frozen=True, slots=True)
class Round:
    """The questions of one lookup, and what was answered so far."""

    waiting: frozenset[Question]
    care_of: IPv6Address
    """Where it is asked from."""
    ttl_s: float = inf
    hosts: tuple[str, ...] = ()
    addresses: Mapping[str, tuple[IPv6Address, ...]] = field(default_factory=dict)
    """By host."""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """What was asked, and what is known."""

    names: Mapping[IPv6Address, str] = field(default_factory=dict)
    """The host that each home agent is, the one to be tried first first."""
    former: Mapping[IPv6Address, str] = field(default_factory=dict)
    """The same of one in use that the DNS no longer has."""
    due_at: float = -inf
    asked_at: float = -inf
    asked_from: frozenset[IPv6Address] = frozenset()
    """The care-of addresses that there were then."""
    answered_at: float | None = None
    tries: int = 0
    """Since everything was answered."""
    round: Round | None = None
    problem: str | None = None
    """Of the last round."""


def question(home: Home) -> Question | None:
    """What to ask for; None: home agents have addresses."""
    if home.agent_name is not None:
        return Question(home.agent_name, Kind.ADDRESSES)
    if home.domain is not None:
        return Question(f"{SERVICE}.{home.domain}", Kind.HOSTS)
    return None


def due_at(lookup: Lookup, care_of: Sequence[IPv6Address], unserved_at: float) -> float:
    """When to ask. `care_of`: all that there are. `unserved_at`: since when no home agent serves us."""
    if lookup.round is None and lookup.problem is not None and not lookup.asked_from.issuperset(care_of):
        return -inf
    return min(lookup.due_at, max(unserved_at, lookup.asked_at + AGAIN_S))


def hasten(lookup: Lookup) -> Lookup:
    """Ask again soon: a home agent does not serve us."""
    return replace(lookup, due_at=min(lookup.due_at, lookup.asked_at + AGAIN_S))


def start_anew(lookup: Lookup) -> Lookup:
    """Ask at once; what is known stays."""
    return replace(lookup, due_at=-inf, tries=0, round=None)


def ask(lookup: Lookup, first: Question, care_of: Sequence[IPv6Address], now: float) -> tuple[Lookup, Query]:
    """Begin a round with this question."""
    source = care_of[lookup.tries % len(care_of)]
    hosts = (first.name,) if first.kind is Kind.ADDRESSES else ()
    begun = replace(
        lookup,
        due_at=now + PATIENCE_S,
        asked_at=now,
        asked_from=frozenset(care_of),
        tries=lookup.tries + 1,
        round=Round(frozenset((first,)), source, hosts=hosts),
    )
    return begun, Query(first, source)


def hear(
    lookup: Lookup, asked: Question, answer: Answer | Failure, home: Home, now: float
) -> tuple[Lookup, list[Query]]:
    """With an answer, and what is to be asked then. An answer to nothing that was asked changes nothing."""
    known = lookup.round
    if known is None or asked not in known.waiting:
        return lookup, []
    known, more = _heard(replace(known, waiting=known.waiting - {asked}), asked, answer, home)
    if not known.waiting:
        return _finished(lookup, known, home, now), []
    return replace(lookup, round=known), [Query(one, known.care_of) for one in more]


def _heard(known: Round, asked: Question, answer: Answer | Failure, home: Home) -> tuple[Round, list[Question]]:
    if isinstance(answer, Failure):
        return _failed(known, asked, answer.why), []
    known = replace(known, ttl_s=min(known.ttl_s, answer.ttl_s))
    if asked.kind is Kind.HOSTS:
        hosts = tuple(dict.fromkeys(one for one in answer.hosts if one != NO_SERVICE))[:MOST]
        if not hosts:
            return _failed(known, asked, "the domain has no home agent"), []
        more = [Question(one, Kind.ADDRESSES) for one in hosts]
        return replace(known, hosts=hosts, waiting=frozenset(more)), more
    usable = tuple(one for one in answer.addresses if is_routable(one) and one != home.address)
    if not usable:
        return _failed(known, asked, "no address that can be used"), []
    return replace(known, addresses={**known.addresses, asked.name: usable}), []


def _failed(known: Round, asked: Question, why: str) -> Round:
    return replace(known, problems=(*known.problems, f"{asked}: {why}"))


def _finished(lookup: Lookup, round_: Round, home: Home, now: float) -> Lookup:
    """All is answered, or will not be. A host of which nothing was heard has the addresses that it had."""
    found: dict[IPv6Address, str] = {}
    for host in round_.hosts:
        before = tuple(address for address, name in lookup.names.items() if name == host)
        for address in round_.addresses.get(host, before):
            found.setdefault(address, host)
    names = dict(list(found.items())[:MOST]) or lookup.names
    there = {**lookup.names, **lookup.former}
    former = {home.agent: there[home.agent]} if home.agent in there and home.agent not in names else {}
    pause_s = min(FIRST_PAUSE_S * 2.0 ** min(lookup.tries - 1, 10), LONGEST_PAUSE_S)
    good_s = min(max(round_.ttl_s, SHORTEST_S), LONGEST_S)
    failed = bool(round_.problems)
    return replace(
        lookup,
        names=names,
        former=former,
        due_at=now + (pause_s if failed else good_s),
        answered_at=now if round_.addresses else lookup.answered_at,
        tries=lookup.tries if failed else 0,
        round=None,
        problem="; ".join(round_.problems) or None,
    )


def with_known(home: Home, before: Lookup, after: Lookup) -> Home:
    """With the home agents that the DNS has now behind the one in use, and before those from elsewhere."""
    gone = {*before.names, *before.former} - {*after.names}
    known = dict.fromkeys((*after.names, *home.alternatives))
    others = (one for one in known if one not in gone and one not in (home.agent, UNKNOWN))
    return replace(home, alternatives=tuple(others)[:MOST])
