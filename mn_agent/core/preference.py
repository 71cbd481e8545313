"""How the home agent gets to know which link we prefer: BID-PRI (RFC 6089 section 4.1)."""

from collections.abc import Mapping, Sequence

from mn_agent.core.bindings import LAST_PRIORITY
from mn_agent.core.policy import Decision, View, place
from mn_agent.core.policy_file import Policy

FIRST_PRIORITY = 1
_LINKS_PER_PLACE = 8
_LAST_PLACE = 6
_WAITS = 64


def priorities(policy: Policy, order: Sequence[str], views: Sequence[View], decision: Decision) -> Mapping[int, int]:
    """BID-PRI of each link, 1 to 127, lower is better.

    A link's number depends on nothing but the link, as far as possible: when some other link comes or goes it stays,
    and the home agent falls back to the next best by itself. A link that has to prove itself first stands behind those
    that have, and one that is about to go behind all; and if the default's link is not the first by these numbers, it
    gets the number that is.
    """
    numbers = {view.bid: _number(policy, order, view, waits=_waits(policy, view, decision)) for view in views}
    carrier = decision.default.bids[0] if decision.default is not None else None
    others = [numbers[view.bid] for view in views if view.works and view.bid != carrier]
    if carrier in numbers and any(number <= numbers[carrier] for number in others):
        return {**numbers, carrier: FIRST_PRIORITY}
    return numbers


def _number(policy: Policy, order: Sequence[str], view: View, *, waits: bool) -> int:
    if view.leaving:
        return LAST_PRIORITY
    listed = min(place(policy, order, view), _LAST_PLACE)
    number = FIRST_PRIORITY + 1 + _LINKS_PER_PLACE * listed + (view.bid - 1) % _LINKS_PER_PLACE
    return number + _WAITS if waits else number


def _waits(policy: Policy, view: View, decision: Decision) -> bool:
    """Or will have to, when it works again."""
    record = decision.records.get(view.bid)
    will_wait = record is not None and record.failures > 0 and not view.works and policy.links.return_after_s > 0
    return will_wait or view.bid in decision.waiting
