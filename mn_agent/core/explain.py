"""Why everything is where it is: `monami6 policy explain`."""

from dataclasses import dataclass
from ipaddress import IPv6Address

from mip6.wire.traffic_selectors import Ipv6Selector, Span
from mn_agent.core.flows import selectors
from mn_agent.core.policy import Choice, View, criterion_text, rank
from mn_agent.core.policy_file import FlowRule
from mn_agent.core.state import State
from mn_agent.core.status import Explanation, LinkReason, Reason


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of the mobile node's, as far as somebody says; None matches nothing but a rule that does not ask."""

    protocol: int | None = None
    to: IPv6Address | None = None
    port: int | None = None
    local_port: int | None = None
    dscp: int = 0
    spi: int | None = None
    flow_label: int = 0


def explain(state: State, packet: Packet | None) -> Explanation:
    """Of the present decision."""
    views = state.views()
    policy, order = state.flows.policy, state.settings.links.prefer
    working = sorted((view for view in views if view.works), key=lambda view: rank(policy, order, view))
    reasons = [_reason(state, "default traffic", state.decision.default)]
    reasons += [_reason(state, f"flow {rule.name}", state.decision.flows.get(rule.name)) for rule in policy.flow]
    return Explanation(
        policy=state.flows.name,
        description=policy.description,
        links=[_link(state, view, working) for view in views],
        traffic=reasons,
        packet=_packet(state, packet) if packet is not None else None,
    )


def _reason(state: State, what: str, choice: Choice | None) -> Reason:
    if choice is None:
        return Reason(what=what, links=[], why="no link works")
    names = [state.links[bid].name for bid in choice.bids if bid in state.links]
    return Reason(what=what, links=names, why=choice.why)


def _link(state: State, view: View, working: list[View]) -> LinkReason:
    policy, order = state.flows.policy, state.settings.links.prefer
    carries = {
        bid for choice in (state.decision.default, *state.decision.flows.values()) if choice for bid in choice.bids
    }
    return LinkReason(
        link=view.name,
        place=working.index(view) + 1 if view in working else None,
        criteria={criterion: criterion_text(policy, order, criterion, view) for criterion in policy.links.rank},
        why_not=None if view.bid in carries else _why_not(state, view),
    )


def _why_not(state: State, view: View) -> str:
    link = state.links[view.bid]
    if link.problem:
        return link.problem
    if state.is_dead(view.bid):
        return "its path is dead"
    unused = state.why_unused(link)
    if unused is not None:
        return unused
    if view.leaving:
        return "NetworkManager is about to take it down"
    if not view.works:
        return "the home agent has not accepted it yet"
    if view.bid in state.decision.waiting:
        return "it failed before, and has to prove itself first"
    return "others are better, and no flow asks for it"


def _packet(state: State, packet: Packet) -> Reason:
    for rule in state.flows.policy.flow:
        if rule.name not in state.flows.missing and _matches(rule, packet):
            choice = state.decision.flows.get(rule.name)
            local = " (if it is of its user or control group)" if rule.user or rule.cgroup else ""
            return _reason(state, f"flow {rule.name}{local}", choice)
    return _reason(state, "default traffic", state.decision.default)


def _matches(rule: FlowRule, packet: Packet) -> bool:
    return any(_selects(selector, packet) for selector in selectors(rule))


def _selects(selector: Ipv6Selector, packet: Packet) -> bool:
    return (
        _within(selector.next_header, packet.protocol)
        and _within(selector.source_port, packet.port)
        and _within(selector.destination_port, packet.local_port)
        and _within(selector.dscp, packet.dscp)
        and _within(selector.spi, packet.spi)
        and _within(selector.flow_label, packet.flow_label)
        and (selector.source is None or _holds(selector.source, packet.to))
    )


def _within(span: Span[int] | None, value: int | None) -> bool:
    return span is None or (value is not None and span.first <= value <= span.last)


def _holds(span: Span[IPv6Address], address: IPv6Address | None) -> bool:
    return address is not None and span.first <= address <= span.last
