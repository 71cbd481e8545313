"""When the DNS is asked for home agents, and what its answers change."""

from dataclasses import replace
from math import inf

from mn_agent.core import dns, home_agents
from mn_agent.core.bindings import carrying
from mn_agent.core.commands import AskDns, Command
from mn_agent.core.state import Going, State

TROUBLE = "DNS"
"""What a trouble is about that has to do with it."""


def due_at(state: State) -> float:
    """When to ask; infinity where home agents have addresses."""
    if dns.question(state.settings.home) is None or state.registration.leaving:
        return inf
    care_of = state.ways_out()
    return dns.due_at(state.lookup, care_of, home_agents.unserved_at(state)) if care_of else inf


def ask(state: State, now: float) -> tuple[State, list[Command]]:
    """Ask, if it is time."""
    question = dns.question(state.settings.home)
    if question is None or due_at(state) > now:
        return state, []
    asked, query = dns.ask(state.lookup, question, state.ways_out(), now)
    return replace(state, lookup=asked), [AskDns(query)]


def hear(
    state: State, question: dns.Question, answer: dns.Answer | dns.Failure, now: float
) -> tuple[State, list[Command]]:
    """The home agents that the DNS has take the place of those that it had. One that serves us stays in use: to leave
    it would cost packets.
    """
    before, home = state.lookup, state.settings.home
    lookup, more = dns.hear(before, question, answer, home, now)
    if lookup.round is not None or lookup is before:
        return replace(state, lookup=lookup), [AskDns(query) for query in more]
    home = dns.with_known(home, before, lookup)
    troubles = {what: why for what, why in state.troubles.items() if what != TROUBLE}
    troubles |= {TROUBLE: lookup.problem} if lookup.problem is not None else {}
    going = state.going
    if going is None and home.agent in lookup.former and not carrying(state.registration):
        going = Going(tuple(lookup.names), now, "is no longer in the DNS")
    settings = replace(state.settings, home=home) if home != state.settings.home else state.settings
    return replace(state, lookup=lookup, settings=settings, troubles=troubles, going=going), []
