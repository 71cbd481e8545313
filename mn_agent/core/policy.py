"""The policy engine: which link carries what, and why.

`decide` is a function of the policy, the links as they are, what was decided before, and the time. Traffic leaves a
link that fails at once. It returns to a better one when that has proved itself: a link that had failed has to be good
for `return_after_s`, twice as long after each further failure, but never longer than `LONGEST_WAIT_S`; a link that
never failed needs no proof, unless it is better by what was measured only. To be taken down as announced is no failure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import inf

from mn_agent.core.links import called
from mn_agent.core.policy_file import FlowRule, Policy

LONGEST_WAIT_S = 300.0
FORGIVE_S = 600.0
"""A link that was good for so long starts anew."""

_KEPT = "it was the steadiest link when one was needed, and is kept as long as it works"

_MEASURED = ("loss", "rtt")
"""Criteria that change by themselves: a difference counts when it lasts."""


@dataclass(frozen=True, slots=True)
class View:
    """A link as the policy sees it. What nobody knows is None."""

    bid: int
    name: str
    kind: str
    interface: str
    works: bool
    """Whether traffic can flow over it now."""
    leaving: bool = False
    """Whether it is about to be taken down."""
    metered: bool = False
    captive: bool | None = None
    rtt_s: float | None = None
    loss: float | None = None
    """Of the probes, 0 to 1."""
    lasting: bool = True
    """Whether its care-of address stays as it is."""

    def iscalled(self, pattern: str) -> bool:
        return pattern in (self.name, self.kind) or fnmatchcase(self.interface, pattern)


@dataclass(frozen=True, slots=True)
class Pins:
    """What people asked for, by link name: for all traffic, for single flows, for IKEv2."""

    all: str | None = None
    flows: Mapping[str, str] = field(default_factory=dict)
    ike: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """How a link has done: how often it failed lately, and since when it works, None if it does not."""

    failures: int = 0
    works_since_at: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The links that carry something, the first of them for what cannot be copied; since when, and why."""

    bids: tuple[int, ...]
    since_at: float
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided, and what the next decision has to know."""

    default: Choice | None = None
    flows: Mapping[str, Choice] = field(default_factory=dict)
    ike: Choice | None = None
    records: Mapping[int, Record] = field(default_factory=dict)
    waiting: Mapping[int, float] = field(default_factory=dict)
    """Links that work but still have to prove themselves, and until when."""
    better: tuple[int, float] | None = None
    """A link that measures better than the default's, and since when."""
    again_at: float = inf
    """When to decide again, if nothing happens before."""


def decide(
    policy: Policy, order: Sequence[str], views: Sequence[View], pins: Pins, before: Decision, now: float
) -> Decision:
    """`order`: the agent's own, for policies without one."""
    records = {view.bid: _record(view, before.records.get(view.bid), now) for view in views}
    records = {**before.records, **records}
    waiting = {view.bid: until_at for view in views if (until_at := _waits_until(policy, view, records)) > now}
    ranked = sorted((view for view in views if view.works), key=lambda view: rank(policy, order, view))
    default, better = _default(policy, order, ranked, waiting, pins, before, now)
    flows = {
        rule.name: _flow(rule, ranked, waiting, pins, default, before.flows.get(rule.name), now)
        for rule in policy.flow
        if default is not None
    }
    return Decision(
        default=default,
        flows=flows,
        ike=_ike(ranked, records, pins, before.ike, now),
        records=records,
        waiting=waiting,
        better=better,
        again_at=min([*waiting.values(), better[1] + policy.links.return_after_s if better else inf]),
    )


def forgive(decision: Decision, bid: int) -> Decision:
    """Somebody wants this link now: it need not prove itself."""
    record = decision.records.get(bid)
    if record is None:
        return decision
    return replace(decision, records={**decision.records, bid: replace(record, failures=0)})


def rank(policy: Policy, order: Sequence[str], view: View) -> tuple[float, ...]:
    """Lowest is best; one number for each criterion of the policy."""
    return tuple(_RANKS[criterion](policy, order, view) for criterion in (*policy.links.rank, "bid"))


def place(policy: Policy, order: Sequence[str], view: View) -> int:
    """In the order of preference, from 0; behind its end when not listed."""
    wanted = policy.links.order or order
    return next((number for number, pattern in enumerate(wanted) if view.iscalled(pattern)), len(wanted))


def criterion_text(policy: Policy, order: Sequence[str], criterion: str, view: View) -> str:
    """What is known of a link, for people."""
    match criterion:
        case "captive":
            return "unknown" if view.captive is None else "behind a captive portal" if view.captive else "no portal"
        case "metered":
            return "metered" if view.metered else "not metered"
        case "loss":
            return "unknown" if view.loss is None else f"{view.loss * 100:.0f} % of probes lost"
        case "rtt":
            return "unknown" if view.rtt_s is None else f"{view.rtt_s * 1000:.1f} ms"
        case _:
            return f"place {place(policy, order, view) + 1}"


def _rtt(policy: Policy, _: Sequence[str], view: View) -> float:
    return inf if view.rtt_s is None else view.rtt_s * 1000 // policy.links.rtt_margin_ms


def _loss(policy: Policy, _: Sequence[str], view: View) -> float:
    return view.loss is not None and view.loss * 100 > policy.links.most_loss_percent


_RANKS: Mapping[str, Callable[[Policy, Sequence[str], View], float]] = {
    "captive": lambda _policy, _order, view: view.captive is True,
    "metered": lambda _policy, _order, view: view.metered,
    "loss": _loss,
    "rtt": _rtt,
    "order": place,
    "bid": lambda _policy, _order, view: view.bid,
}


def _record(view: View, before: Record | None, now: float) -> Record:
    if before is None:
        return Record(0, now if view.works else None)
    if view.works:
        return before if before.works_since_at is not None else replace(before, works_since_at=now)
    if before.works_since_at is None:
        return before
    if view.leaving:
        return replace(before, works_since_at=None)
    was_good = now - before.works_since_at >= FORGIVE_S
    return Record(1 if was_good else before.failures + 1, None)


def _waits_until(policy: Policy, view: View, records: Mapping[int, Record]) -> float:
    record = records[view.bid]
    if record.works_since_at is None or record.failures == 0:
        return -inf
    wait_s = min(policy.links.return_after_s * 2.0 ** (record.failures - 1), LONGEST_WAIT_S)
    return record.works_since_at + wait_s


def _default(
    policy: Policy,
    order: Sequence[str],
    ranked: Sequence[View],
    waiting: Mapping[int, float],
    pins: Pins,
    before: Decision,
    now: float,
) -> tuple[Choice | None, tuple[int, float] | None]:
    """The choice, and the link that measures better but not long enough."""
    if not ranked:
        return None, None
    ready = [view for view in ranked if view.bid not in waiting]
    old = before.default
    current = next((view for view in ranked if old is not None and view.bid == old.bids[0]), None)
    pinned = called(pins.all, ready)
    if pinned is not None:
        return _chosen((pinned,), "it was asked for", old, now), None
    best = ready[0] if ready else current or ranked[0]
    better = None
    if current is not None and current != best:
        by = _first_difference(policy, order, best, current)
        if ready and by in _MEASURED and _beats(policy, order, best, current) and current.bid not in waiting:
            since_at = before.better[1] if before.better and before.better[0] == best.bid else now
            if now < since_at + policy.links.return_after_s:
                best, better = current, (best.bid, since_at)
        elif not _beats(policy, order, best, current):
            best = current  # the best of those that are ready, but no better than where the traffic is
    why = _why(policy, order, best, ranked, waiting, pins)
    return _chosen((best,), why, old, now), better


def _beats(policy: Policy, order: Sequence[str], one: View, other: View) -> bool:
    return rank(policy, order, one) < rank(policy, order, other)


def _first_difference(policy: Policy, order: Sequence[str], one: View, other: View) -> str:
    """The criterion that tells two links apart."""
    pairs = zip(policy.links.rank, rank(policy, order, one), rank(policy, order, other), strict=False)
    return next((criterion for criterion, mine, theirs in pairs if mine != theirs), "bid")


def _why(
    policy: Policy,
    order: Sequence[str],
    chosen: View,
    ranked: Sequence[View],
    waiting: Mapping[int, float],
    pins: Pins,
) -> str:
    if pins.all is not None:
        return f"{pins.all} was asked for, but {_why_not(pins.all, ranked, waiting)}"
    others = [view for view in ranked if view != chosen]
    if not others:
        return "it is the only link that works"
    ahead = [view for view in others if _beats(policy, order, view, chosen)]
    if ahead:
        reason = "has to prove itself first" if ahead[0].bid in waiting else "is not better for long enough yet"
        return f"{ahead[0].name} would be better, but {reason}"
    return f"it is better than {others[0].name} by {_first_difference(policy, order, chosen, others[0])}"


def _why_not(name: str, ranked: Sequence[View], waiting: Mapping[int, float]) -> str:
    view = called(name, ranked)
    return "has to prove itself first" if view is not None and view.bid in waiting else "does not work"


def _flow(
    rule: FlowRule,
    ranked: Sequence[View],
    waiting: Mapping[int, float],
    pins: Pins,
    default: Choice | None,
    old: Choice | None,
    now: float,
) -> Choice:
    assert default is not None
    carrier = next(view for view in ranked if view.bid == default.bids[0])
    ready = [view for view in ranked if view.bid not in waiting or view == carrier]
    own = pins.flows.get(rule.name)
    asked = own if own is not None else pins.all
    pinned = called(asked, ready)
    if pinned is not None:
        return _chosen((pinned,), "it was asked for", old, now)
    candidates = list(_candidates(rule, ready, carrier))
    chosen = candidates[: rule.copies] or [carrier]
    if own is not None:
        why = f"{own} was asked for, but {_why_not(own, ranked, waiting)}"
    elif not candidates:
        why = f"none of {', '.join(rule.via)} works"
    elif rule.via:
        why = f"the flow goes via {', '.join(rule.via)}"
    else:
        why = "the flow names no links"
    return _chosen(chosen, why, old, now)


def _candidates(rule: FlowRule, ready: Sequence[View], carrier: View) -> Iterator[View]:
    """In the order of the rule; without one the default's link first, then the others by rank."""
    if not rule.via:
        yield carrier
        yield from (view for view in ready if view != carrier)
        return
    found: list[View] = []
    for pattern in rule.via:
        for view in ready:
            if view not in found and view.iscalled(pattern):
                found.append(view)
                yield view


def _ike(
    ranked: Sequence[View], records: Mapping[int, Record], pins: Pins, old: Choice | None, now: float
) -> Choice | None:
    """One care-of address for IKEv2, kept as long as it works (RFC 5648 section 9.1)."""
    if not ranked:
        return None
    pinned = called(pins.ike, ranked)
    if pinned is not None:
        return _chosen((pinned,), "it was asked for", old, now)
    current = next((view for view in ranked if old is not None and view.bid == old.bids[0]), None)
    if current is not None:
        return _chosen((current,), _KEPT, old, now)
    best = min(ranked, key=lambda view: (records[view.bid].failures, not view.lasting, ranked.index(view)))
    return _chosen((best,), _KEPT, old, now)


def _chosen(views: Iterable[View], why: str, old: Choice | None, now: float) -> Choice:
    bids = tuple(view.bid for view in views)
    if old is not None and old.bids == bids:
        return old if old.why == why else replace(old, why=why)
    return Choice(bids, now, why)
