"""What to tell people about a step: the difference between two states."""

from collections.abc import Iterator
from math import inf

from mn_agent.core import dns
from mn_agent.core.bindings import EntryState
from mn_agent.core.homecoming import Phase
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.state import State
from mn_agent.core.status_text import flow_status_text, status_text


def changes(before: State, after: State) -> list[Notice]:
    """One notice for everything that is now different and that people want to know."""
    parts = (_links, _paths, _bindings, _home, _dns, _service, _home_address, _traffic, _correspondents, _troubles)
    return [notice for part in parts for notice in part(before, after)]


def _name(state: State, bid: int) -> str:
    return state.links[bid].name if bid in state.links else f"link {bid}"


def _links(before: State, after: State) -> Iterator[Notice]:
    for bid in sorted(before.links.keys() - after.links.keys()):
        name = _name(before, bid)
        yield Notice(NoticeKind.LINK_GONE, f"{name}: interface is gone", name)
    for bid, link in after.links.items():
        old = before.links.get(bid)
        if link.leaving and not (old is not None and old.leaving):
            yield Notice(NoticeKind.LINK_LEAVING, f"{link.name}: NetworkManager is about to take it down", link.name)
        if old is not None and (old.care_of, old.problem) == (link.care_of, link.problem):
            continue
        if link.care_of is None and link.problem:
            yield Notice(NoticeKind.LINK_UNUSABLE, f"{link.name}: {link.problem}", link.name)
        elif link.care_of is not None:
            yield Notice(NoticeKind.LINK_USABLE, f"{link.name}: care-of address {link.care_of}", link.name)


def _bindings(before: State, after: State) -> Iterator[Notice]:
    old, new = before.registration.entries, after.registration.entries
    for bid in sorted(old.keys() | new.keys()):
        was = old[bid].state if bid in old else EntryState.GONE
        now = new[bid].state if bid in new else EntryState.GONE
        if now is was:
            continue
        name = _name(after if bid in after.links else before, bid)
        refusal = new[bid].refusal if bid in new else None
        if refusal is not None:
            text = f"{name}: refused by the home agent: {status_text(refusal.status)}"
            yield Notice(NoticeKind.BINDING, text, name, refusal.status)
        else:
            yield Notice(NoticeKind.BINDING, f"{name}: {was.value} -> {now.value}", name)


def _home(before: State, after: State) -> Iterator[Notice]:
    was, now = before.homecoming, after.homecoming
    if now.phase is was.phase:
        return
    name = _name(after, now.bid) if now.bid is not None else None
    if now.phase is Phase.HOME:
        yield Notice(NoticeKind.HOME, f"at home on {name}: nothing is tunnelled", name)
    elif now.phase is Phase.DUPLICATE:
        yield Notice(NoticeKind.HOME, f"{name}: somebody else on the home link has the home address", name)
    elif was.phase is Phase.HOME:
        yield Notice(NoticeKind.HOME, "away from home")


def _dns(before: State, after: State) -> Iterator[Notice]:
    names = after.lookup.names
    # Their order is by chance, at least in part
    if names.items() != before.lookup.names.items():
        hosts = ", ".join(f"{name} is {address}" for address, name in names.items())
        yield Notice(NoticeKind.DNS, f"{dns.question(after.settings.home)}: {hosts}")


def _service(before: State, after: State) -> Iterator[Notice]:
    if after.settings.home.agent != before.settings.home.agent:
        return  # this one has not said anything yet
    refusal = after.registration.refusal
    if refusal != before.registration.refusal:
        if refusal is not None:
            text = f"the home agent does not serve us: {status_text(refusal.status)}"
            yield Notice(NoticeKind.REFUSED, text, status=refusal.status)
        else:
            yield Notice(NoticeKind.SERVED_AGAIN, "asking the home agent again")
    if before.registration.multiple and not after.registration.multiple:
        yield Notice(NoticeKind.SINGLE_CARE_OF_ADDRESS, "the home agent takes a single care-of address")
    network = after.registration.network
    if network.mode is not before.registration.network.mode:
        text = network.problem or f"asking to be served as a mobile router, in {network.mode.value} mode"
        yield Notice(NoticeKind.ROUTER, text)
    if before.registration.flow_bindings and not after.registration.flow_bindings:
        yield Notice(NoticeKind.FLOW, "the home agent binds no flows: what it sends takes the default's link")
    if before.flows.name != after.flows.name:
        yield Notice(NoticeKind.POLICY, f"policy {after.flows.name}: {after.flows.policy.description}")


def _home_address(before: State, after: State) -> Iterator[Notice]:
    told = after.prefixes
    if told.answered_at != before.prefixes.answered_at:
        parts = [("preferred", told.preferred_until_at), ("valid", told.valid_until_at)]
        spelled = (f"{what} {_for(until_at - told.answered_at)}" for what, until_at in parts)
        yield Notice(NoticeKind.HOME_ADDRESS, f"{after.settings.home.address}: {', '.join(spelled)}")


def _for(seconds: float) -> str:
    if seconds <= 0:
        return "no longer"
    return "for ever" if seconds == inf else f"for {seconds:.0f} s"


def _paths(before: State, after: State) -> Iterator[Notice]:
    for bid, link in after.links.items():
        was, now = before.is_dead(bid), after.is_dead(bid)
        if now and not was:
            text = f"{link.name}: the path is dead, the home agent is reached over other links only"
            yield Notice(NoticeKind.PATH, text, link.name)
        elif was and not now:
            yield Notice(NoticeKind.PATH, f"{link.name}: the path is alive again", link.name)


def _traffic(before: State, after: State) -> Iterator[Notice]:
    old, new = before.decision, after.decision
    if new.default is None and old.default is not None:
        yield Notice(NoticeKind.CARRIER, "no link carries traffic")
    elif new.default is not None and (old.default is None or old.default.bids != new.default.bids):
        name = _name(after, new.default.bids[0])
        yield Notice(NoticeKind.CARRIER, f"{name} carries the traffic: {new.default.why}", name)
    for flow, choice in new.flows.items():
        was = old.flows.get(flow)
        if was is not None and was.bids != choice.bids:
            names = ", ".join(_name(after, bid) for bid in choice.bids)
            yield Notice(NoticeKind.FLOW, f"flow {flow}: {names} carries it: {choice.why}", names)
    for fid, entry in after.registration.flows.items():
        known = before.registration.flows.get(fid)
        if entry.refusal is not None and (known is None or known.refusal is None):
            yield Notice(NoticeKind.FLOW, f"flow {_flow_name(after, fid)}: {flow_status_text(entry.refusal.status)}")
    if new.ike is not None and (old.ike is None or old.ike.bids != new.ike.bids):
        name = _name(after, new.ike.bids[0])
        yield Notice(NoticeKind.IKE, f"{name} has the care-of address for IKEv2: {new.ike.why}", name)


def _correspondents(before: State, after: State) -> Iterator[Notice]:
    if after.correspondents is before.correspondents and after.decision is before.decision:
        return
    for address in sorted(before.correspondents.known.keys() | after.correspondents.known.keys()):
        was, now = before.direct_link(address), after.direct_link(address)
        if now is not None and now != was:
            name = _name(after, now)
            yield Notice(NoticeKind.CORRESPONDENT, f"{address}: directly over {name}", name)
        elif now is None and was is not None:
            yield Notice(NoticeKind.CORRESPONDENT, f"{address}: through the tunnel")


def _flow_name(state: State, fid: int) -> str:
    return next((one.rule.name for one in state.flows.selected if one.fid == fid), str(fid))


def _troubles(before: State, after: State) -> Iterator[Notice]:
    for what, why in after.troubles.items():
        if before.troubles.get(what) != why:
            yield Notice(NoticeKind.TROUBLE, f"{what}: {why}")
    for what in before.troubles.keys() - after.troubles.keys():
        yield Notice(NoticeKind.TROUBLE_OVER, f"{what}: no longer")
