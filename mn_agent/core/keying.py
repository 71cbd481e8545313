"""When the IKE SA and its tunnels are established, and from where."""

from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

from mip6 import tunnels
from mip6.ike_sas import IkeSa
from mip6.tunnels import Negotiated
from mn_agent.core import ike, policy
from mn_agent.core.bindings import Endpoint
from mn_agent.core.commands import Command, EstablishIke, EstablishTunnel, MoveIke
from mn_agent.core.settings import Security
from mn_agent.core.state import State

UNHEARD = 5
"""Updates of each kind without an answer, before the IKE SA is made anew: half a minute. Protected payload stops for
that moment, and the home agent may only have been started anew.
"""


def due_at(state: State) -> float:
    """When there is something to do about IKE."""
    tunnels_at = [ike.tunnel_due_at(state.ike, number) for number in _missing_tunnels(state)]
    return min(_sa_due_at(state), tunnels.due_at(state.ike.tunnels), *tunnels_at)


def looked(state: State, sas: tuple[IkeSa, ...] | None, negotiated: Negotiated, now: float) -> State:
    """What IKEv2 has is known."""
    seen = ike.looked(state.ike, state.settings.association, sas, negotiated, now)
    registered = state.registration
    if seen.is_ready and seen.care_of is not None:
        there = registered.endpoint.care_of if registered.endpoint is not None else None
        if not state.ike.is_ready:
            # What was sent before could not be protected, or not be understood
            registered = replace(registered, attempts={})
        if there != seen.care_of:
            registered = replace(registered, endpoint=Endpoint(seen.care_of, None))
    return replace(state, ike=seen, registration=registered)


def _candidates(state: State) -> list[IPv6Address]:
    """Care-of addresses that IKEv2 may run from: the policy's choice first, which there is once links are registered;
    until then all that may work.
    """
    if not state.settings.home.is_agent_known:
        return []
    chosen = state.decision.ike.bids[0] if state.decision.ike is not None else None
    views = [view for view in state.views() if state.links[view.bid].carries and not state.is_dead(view.bid)]
    order = state.settings.links.prefer
    views.sort(key=lambda view: (view.bid != chosen, not view.lasting, policy.rank(state.flows.policy, order, view)))
    found = [state.links[view.bid].care_of for view in views]
    return [care_of for care_of in found if care_of is not None]


def _sa_due_at(state: State) -> float:
    if state.settings.security is not Security.IKEV2 or state.registration.leaving:
        return inf
    candidates = _candidates(state)
    if not candidates:
        return inf
    return ike.unheard_at(state.ike) if _is_unheard(state) else ike.due_at(state.ike, candidates)


def _is_unheard(state: State) -> bool:
    """Whether nothing that we send is answered, though it is protected: the home agent may have lost its IKE SA."""
    attempts = state.registration.attempts.values()
    return state.ike.charon and state.ike.is_ready and bool(attempts) and all(one.count >= UNHEARD for one in attempts)


def establish(state: State, now: float) -> tuple[State, list[Command]]:
    """Ask IKEv2 for what is missing, if it is time."""
    if now < _sa_due_at(state):
        return _establish_tunnels(state, now)
    if _is_unheard(state):
        state = replace(state, ike=ike.unheard(state.ike))
    care_of = ike.next_care_of(state.ike, _candidates(state))
    return replace(state, ike=ike.asked(state.ike, care_of, now)), [EstablishIke(care_of)]


def _missing_tunnels(state: State) -> list[int]:
    if state.settings.security is not Security.IKEV2 or state.registration.leaving:
        return []
    default = state.decision.default
    first = default.bids[0] if default is not None else None
    bids = [link.bid for link in state.links.values() if link.care_of is not None]
    return ike.missing(state.ike, sorted(bids, key=lambda bid: bid != first), payload=state.settings.protects_payload)


def _establish_tunnels(state: State, now: float) -> tuple[State, list[Command]]:
    commands: list[Command] = []
    for number in _missing_tunnels(state):
        if ike.tunnel_due_at(state.ike, number) <= now:
            state = replace(state, ike=ike.asked_tunnel(state.ike, number, now))
            commands.append(EstablishTunnel(number))
    return state, commands


def follow(before: State, after: State) -> list[Command]:
    """What becomes of the IKE SA when the home agent has answered."""
    endpoint = after.registration.endpoint
    if endpoint is None or endpoint is before.registration.endpoint or endpoint.moved is None:
        return []
    return [MoveIke(endpoint.care_of) if endpoint.moved else EstablishIke(endpoint.care_of)]
