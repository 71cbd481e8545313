"""Tunnels that ESP protects: what the key management negotiated, and what we make of it. Pure.

Charon makes a pair of states for each tunnel, between the addresses that IKEv2 runs between at that moment. To move
them whenever a care-of address changes, or to have them found there, would cost packets: a state that is moved may use
a sequence number twice, and one that was negotiated anew is elsewhere than the one before. So packets are sent with a
state of our own. It has the same keys, and addresses that stand for the tunnel and never change; nftables puts the
care-of address there after ESP. A mobile node likewise takes packets by states of its own; a home agent's address
never changes, so there charon's do.

New keys are used for sending a little later than charon has them: by then the peer can take them. Those before are
taken for as long as charon keeps them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from math import inf

from mip6.ike import tunnel_name
from mip6.ike_sas import ChildSa, IkeSa
from mip6.ipsec import MOST_TUNNELS, REPLAY_WINDOW, Association, Side, Use, receiving, sending, tunnel_use
from mip6.kernel import Device
from mip6.xfrm import State, StateFlag, Template

ADOPT_S = 1.0
"""How long after their predecessors new keys are used for sending."""

_USES = (Use.RETURN_ROUTABILITY, Use.PAYLOAD)
_NUMBERS = {tunnel_name(number): number for number in range(MOST_TUNNELS + 1)}


@dataclass(frozen=True, slots=True)
class Next:
    """New keys, and when to send with them."""

    sending: State
    at: float


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel that can be used. `spis`: of what may come in. `receiving`: our states for that."""

    sending: State
    spis: frozenset[int]
    receiving: frozenset[State] = frozenset()
    next: Next | None = None


Tunnels = Mapping[int, Tunnel]
"""By number; see mip6.ipsec."""
Negotiated = Mapping[int, Sequence[State]]
"""The states in the kernel that the key management made, whosever, by reqid."""


def looked(
    tunnels: Tunnels,
    association: Association,
    side: Side,
    sas: Iterable[IkeSa],
    negotiated: Negotiated,
    now: float,
) -> Tunnels:
    """The tunnels, as charon and the kernel have them now. `sas`: the IKE SAs of this mobile node and home agent that
    charon has; without any, what they negotiated before is used on, for the peer may have them still.
    """
    up = [sa for sa in sas if sa.is_up]
    if not up:
        return tunnels
    outgoing, incoming = _by_spi(association, side, negotiated)
    children: dict[int, list[ChildSa]] = {}
    for child in (child for sa in up for child in sa.children if child.name in _NUMBERS):
        children.setdefault(_NUMBERS[child.name], []).append(child)
    found = {}
    for number, known in children.items():
        ready = [one for one in known if one.is_installed and one.spi_out in outgoing and one.spi_in in incoming]
        if not ready:
            continue
        newest = max(ready, key=lambda one: one.unique_id)
        assert newest.spi_out is not None
        spis = frozenset(one.spi_in for one in known if one.spi_in in incoming and one.spi_in is not None)
        own = [_copy(incoming[spi], receiving(association, side, tunnel_use(number))) for spi in spis]
        template, device = sending(association, side, number), Device(number)
        out = replace(_copy(outgoing[newest.spi_out], template), replay_window=0, if_id=device.if_id)
        tunnel = Tunnel(out, spis, frozenset(own) if side is Side.MOBILE_NODE else frozenset())
        before = {one.spi_in for one in known if one is not newest}
        found[number] = _later(tunnel, tunnels.get(number), before, now)
    return tunnels if found == tunnels else found


def _by_spi(association: Association, side: Side, negotiated: Negotiated) -> tuple[dict[int, State], dict[int, State]]:
    """What this mobile node and home agent send with, and what they receive with."""
    states = [state for use in _USES for state in negotiated.get(association.reqid(use), ())]
    up = {state.spi: state for state in states if state.destination == association.home_agent}
    down = {state.spi: state for state in states if state.destination != association.home_agent}
    return (up, down) if side is Side.MOBILE_NODE else (down, up)


def _copy(state: State, template: Template) -> State:
    """The same treatment, between the template's addresses."""
    return State(
        protocol=state.protocol,
        mode=state.mode,
        source=template.source,
        destination=template.destination,
        spi=state.spi,
        reqid=template.reqid,
        algorithms=state.algorithms,
        replay_window=REPLAY_WINDOW,
        flags=state.flags & StateFlag.ESN,
    )


def _later(new: Tunnel, held: Tunnel | None, before: AbstractSet[int | None], now: float) -> Tunnel:
    """The new keys are used for sending only after a while, if it was a rekeying: then the peer takes the old ones yet.
    `before`: SPIs of what may come in with keys that others have replaced; charon does not tell of those for sending.
    """
    if held is None or held.sending.spi == new.sending.spi or held.spis.isdisjoint(before):
        return new
    if held.next is not None and held.next.sending == new.sending:
        return replace(new, sending=held.sending, next=held.next)
    return replace(new, sending=held.sending, next=Next(new.sending, now + ADOPT_S))


def adopt(tunnels: Tunnels, now: float) -> Tunnels:
    """Use new keys whose time has come."""
    if due_at(tunnels) > now:
        return tunnels
    return {
        number: replace(tunnel, sending=tunnel.next.sending, next=None)
        if tunnel.next is not None and tunnel.next.at <= now
        else tunnel
        for number, tunnel in tunnels.items()
    }


def due_at(tunnels: Tunnels) -> float:
    """When to call `adopt`; infinity for never."""
    return min((tunnel.next.at for tunnel in tunnels.values() if tunnel.next is not None), default=inf)


def restored(association: Association, side: Side, present: Negotiated) -> Tunnels:
    """The tunnels, as far as the states in the kernel tell, which are there from before a restart. `present`: ours
    among them.
    """
    here = association.home_address if side is Side.MOBILE_NODE else association.home_agent
    found = {}
    for number in range(MOST_TUNNELS + 1):
        out = present.get(sending(association, side, number).reqid)
        if out:
            template = receiving(association, side, tunnel_use(number))
            into = frozenset(state for state in present.get(template.reqid, ()) if state.destination == here)
            spis = frozenset(state.spi for state in into)
            found[number] = Tunnel(out[0], spis, into if side is Side.MOBILE_NODE else frozenset())
    return found


def by_reqid(present: Iterable[State]) -> Negotiated:
    """For `looked` and `restored`."""
    found: dict[int, list[State]] = {}
    for state in present:
        found.setdefault(state.reqid, []).append(state)
    return found


def states(tunnels: Tunnels) -> Iterator[State]:
    """Our own, as the kernel should have them."""
    for tunnel in tunnels.values():
        yield tunnel.sending
        yield from tunnel.receiving
