"""A policy's flows as traffic selectors, and as what nftables looks up."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from itertools import product
from typing import TypeVar

from mip6.classifier import Flow, Lookup, layers, lookup
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from mn_agent.core.policy_file import FlowRule, Policy

MOST_SELECTORS = 400
"""Of a policy: a Binding Update names them all, and has to fit into a packet of the minimum MTU."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Selected:
    """One traffic selector of a flow. `fid` is also its priority (FID-PRI): flows come in the order of the policy."""

    fid: int
    rule: FlowRule
    selector: Ipv6Selector


@dataclass(frozen=True, slots=True)
class Flows:
    """A policy, ready for use."""

    name: str
    policy: Policy
    selected: tuple[Selected, ...] = ()
    """What the home agent gets to know."""
    found: Lookup = field(default_factory=lambda: Lookup({}, {}, (), ()))
    missing: frozenset[str] = frozenset()
    """Flows that wait for a control group that does not exist."""


def prepare(name: str, policy: Policy, cgroups: Mapping[str, int]) -> Flows:
    """`cgroups`: those that exist, each with a number that changes when it is made anew."""
    missing = frozenset(rule.name for rule in policy.flow if rule.cgroup is not None and rule.cgroup not in cgroups)
    flows: list[Flow] = []
    selected: list[Selected] = []
    for place, rule in enumerate(policy.flow):
        if rule.name in missing:
            continue
        for selector in selectors(rule):
            flows.append(Flow(chain_name(place), selector, _condition(rule)))
            if selector != Ipv6Selector():  # else nothing is said that the home agent could know
                selected.append(Selected(len(selected) + 1, rule, selector))
    # A control group that was made anew has the same name: only a new rule finds it
    used = {rule.cgroup for rule in policy.flow}
    numbers = sorted(number for cgroup, number in cgroups.items() if cgroup in used)
    prefix = "_".join(["flows", *map(str, numbers)])
    return Flows(name, policy, tuple(selected), lookup(layers(flows), prefix), missing)


def chain_name(place: int) -> str:
    """Of the chain for a flow's packets; `place`: of the flow in the policy."""
    return f"flow_{place}"


def selectors(rule: FlowRule) -> Iterator[Ipv6Selector]:
    """As the home agent sees the packets: the correspondent is the source (RFC 6088 section 3)."""
    for to, local, protocol, port, local_port, dscp, spi, label in product(
        _each(tuple(map(_addresses, rule.to))),
        _each(tuple(map(_addresses, rule.local))),
        _each(tuple(map(Span.only, rule.protocol))),
        _each(rule.port),
        _each(rule.local_port),
        _each(rule.dscp),
        _each(rule.spi),
        _each(rule.flow_label),
    ):
        yield Ipv6Selector(
            source=to,
            destination=local,
            spi=spi,
            flow_label=label,
            source_port=port,
            destination_port=local_port,
            dscp=dscp,
            next_header=protocol,
        )


def _each(values: tuple[_T, ...]) -> tuple[_T | None, ...]:
    return values or (None,)


def _addresses(prefix: IPv6Network) -> Span[IPv6Address]:
    return Span(prefix.network_address, prefix.broadcast_address)


def _condition(rule: FlowRule) -> str:
    """In nft syntax: what only this machine knows of its packets."""
    parts = []
    if rule.user is not None:
        parts.append(f"meta skuid {rule.user}")
    if rule.cgroup is not None:
        level = rule.cgroup.count("/") + 1
        parts.append(f'socket cgroupv2 level {level} "{rule.cgroup}"')
    return " ".join(parts)
