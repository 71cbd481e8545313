"""Which of several home agents serves us: the next one, when this one does not answer or does not want to. When others
are to be discovered they are looked for anew then, and this one is asked once more.

They stand in a ring that begins with the one in use. Nobody goes back to the one before as long as this one serves us:
traffic would be lost for nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

from mn_agent.core.bindings import has_left
from mn_agent.core.settings import UNKNOWN, Home, Security
from mn_agent.core.state import State

SILENCE_S = 3.0
"""How long a home agent may say nothing to what it has to answer."""
LONGEST_S = 64.0
"""When none answers the pauses get longer: twice as long after each, but no longer than that."""
GOING_S = 2.0
"""How long one that sent us away may take to confirm that we left."""
QUESTIONS = 3
"""So much it has to leave unanswered: a single one may get lost."""


def following(home: Home, listed: Sequence[IPv6Address] = ()) -> Home:
    """With the first of these in use, or else the next that is known; the others wait behind it."""
    ring = dict.fromkeys((*listed, *home.alternatives, home.agent))
    first, *others = (one for one in ring if one != UNKNOWN)
    return replace(home, agent=first, alternatives=tuple(others))


def with_agent(home: Home, agent: IPv6Address | None) -> Home:
    """With this one in use, if it is one of them, or was discovered."""
    if agent is not None and home.discover:
        return following(home, (agent,)) if agent != home.agent else home
    for _ in home.alternatives:
        if home.agent == agent:
            break
        home = following(home)
    return home


def leave_at(state: State) -> float:
    """When to go on to the next home agent; infinity as long as there is no reason."""
    if state.going is not None:
        return -inf if has_left(state.registration) else state.going.until_at
    home = state.settings.home
    if not (home.alternatives or home.discover) or state.registration.leaving:
        return inf
    if not home.is_agent_known:
        return -inf if home.alternatives else inf
    pause_s = min(SILENCE_S * 2.0 ** min(state.home_agents_tried, 10), LONGEST_S)
    return max(unserved_at(state), state.home_agent_since_at + pause_s)


def unserved_at(state: State) -> float:
    """Since when it is sure that this home agent does not serve us."""
    if state.registration.refusal is not None or _is_unreachable_for_ike(state):
        return -inf
    paths = state.probing.paths.values()
    heard_at = max((path.proof_at for path in paths), default=-inf)
    asked = [update.sent_at for update in state.registration.unanswered if update.sent_at > heard_at]
    count = len(asked)
    for path in paths:
        if path.rtt_s is not None and path.asked_at > heard_at:
            asked.append(path.asked_at)
            count += path.unproved
    # No other one is asked before (RFC 6275 section 11.4.1)
    patience_s = max(SILENCE_S, state.settings.registration.first_timeout_s)
    return min(asked) + patience_s if count >= QUESTIONS else inf


def _is_unreachable_for_ike(state: State) -> bool:
    """Whether charon has tried from every care-of address, and got no answer."""
    ike = state.ike
    tried = state.settings.security is Security.IKEV2 and ike.charon and not ike.is_ready
    return tried and state.settings.home.is_agent_known and ike.tries > len(state.targets())
