"""Checks of the packet filter: whether other tables drop what the agent lives on.

nftables is read as JSON and judged as far as rules can be without a packet: a rule whose matches we do not know counts
as one that does not let our packets through.
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from monami6.checks import Check, Finding, Patient, ok, warning

TUNNEL, MOBILITY_HEADER = 41, 135
_CARRIES = {TUNNEL: "tunnelled packets", MOBILITY_HEADER: "mobility messages"}
FAMILIES = ("ip6", "inet")
AGENTS_PRIORITY = -300
"""Of the agent's own chain in prerouting (raw)."""

_LWTUNNEL_HOOKS = Path("/proc/sys/net/netfilter/nf_hooks_lwtunnel")

Rule = list[dict[str, Any]]
"""The expressions of a rule."""
Ruleset = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Packet:
    """What has to pass; `side` is the field that has the home agent's address."""

    protocol: int
    side: str
    home_agent: str


class Passes(IntEnum):
    """How much of a protocol a chain lets through."""

    NOTHING = 0
    REPLIES = 1
    EVERYTHING = 2


def from_home_agent(patient: Patient) -> Finding:
    """Mobility messages, and tunnelled packets if they get that far."""
    return _finding(patient, "input", "saddr")


def to_home_agent(patient: Patient) -> Finding:
    """The same on their way out."""
    return _finding(patient, "output", "daddr")


def reverse_path(patient: Patient) -> Finding:
    """A filter that takes packets only by the link that answers to them would take.

    The agent sends what comes out of a tunnel on to an address of its own, and from there on answers would leave by the
    link that carries the traffic; a filter that looks before that finds the link of each care-of address.
    """
    for chain in _base_chains(patient.ruleset, "prerouting", "input"):
        looks_before = chain["hook"] == "prerouting" and chain["prio"] <= AGENTS_PRIORITY
        if not looks_before and any(_is_strict_path_filter(rule) for rule in _rules(patient.ruleset, chain)):
            return warning(
                f"{_name(chain)} drops what comes by another link than the one that carries the traffic",
                _PATH_REMEDY[chain["hook"]].format(place=_place(chain), home_agent=patient.home_agent),
            )
    return ok("no filter takes packets by one link only")


_AND_IN_FILES = "and the same in the firewall's own files"
_PATH_REMEDY = {
    "prerouting": "nft 'insert rule {place} ip6 saddr {home_agent} accept', "
    f"{_AND_IN_FILES}; with firewalld: IPv6_rpfilter=loose",
    "input": "leave `iif` out of the rule with `fib saddr` there: then any way back will do",
}


def _finding(patient: Patient, hook: str, side: str) -> Finding:
    home_agent = patient.home_agent
    packets = [_Packet(protocol, side, home_agent) for protocol in _protocols()]
    for chain in _base_chains(patient.ruleset, hook):
        if _drops_the_rest(patient.ruleset, chain):
            passing = {packet.protocol: _passes(patient.ruleset, chain, packet) for packet in packets}
            if min(passing.values()) is not Passes.EVERYTHING:
                return _dropped(chain, passing, f"ip6 {side} {home_agent}")
    return ok(f"no other table drops packets {'from' if side == 'saddr' else 'to'} the home agent")


def _dropped(chain: Mapping[str, Any], passing: Mapping[int, Passes], which: str) -> Finding:
    blocked = [protocol for protocol, passes in passing.items() if passes is not Passes.EVERYTHING]
    numbers = ", ".join(str(protocol) for protocol in blocked)
    protocols = f"{{ {numbers} }}" if len(blocked) > 1 else numbers
    kept = "only answers" if min(passing.values()) is Passes.REPLIES else "none"
    return warning(
        f"{_name(chain)} drops what no rule accepts: of {' and '.join(_CARRIES[protocol] for protocol in blocked)} "
        f"(protocol {numbers}) {kept} would pass",
        f"nft 'insert rule {_place(chain)} {which} meta l4proto {protocols} accept', {_AND_IN_FILES}",
    )


def _protocols() -> tuple[int, ...]:
    """What has to pass. The kernel shows the outside of a tunnel that is a route to these hooks only if told to."""
    shown = _LWTUNNEL_HOOKS.exists() and _LWTUNNEL_HOOKS.read_text().strip() == "1"
    return (TUNNEL, MOBILITY_HEADER) if shown else (MOBILITY_HEADER,)


def _base_chains(ruleset: Ruleset, *hooks: str) -> list[dict[str, Any]]:
    chains = [entry["chain"] for entry in ruleset if "chain" in entry]
    return [chain for chain in chains if chain["family"] in FAMILIES and chain.get("hook") in hooks]


def _name(chain: Mapping[str, Any]) -> str:
    return f"chain {chain['name']} of table {chain['family']} {chain['table']}"


def _place(chain: Mapping[str, Any]) -> str:
    return f"{chain['family']} {chain['table']} {chain['name']}"


def _rules(ruleset: Ruleset, chain: Mapping[str, Any]) -> Iterator[Rule]:
    """The expressions of each rule of the chain and of those that it leads to."""
    names, seen = [chain["name"]], set()
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        for rule in (entry["rule"] for entry in ruleset if "rule" in entry):
            if (rule["family"], rule["table"], rule["chain"]) == (chain["family"], chain["table"], name):
                yield rule["expr"]
                names += [target["target"] for target in (*_found("jump", rule["expr"]), *_found("goto", rule["expr"]))]


def _found(key: str, value: object) -> Iterator[Any]:
    """Every value of this key, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from _found(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(key, inner)


def _drops_the_rest(ruleset: Ruleset, chain: Mapping[str, Any]) -> bool:
    """By policy, or by a rule at its end."""
    return chain.get("policy") == "drop" or any(
        ("drop" in verdict or "reject" in verdict) and not list(_found("match", rule))
        for rule in _rules(ruleset, chain)
        for verdict in rule
    )


def _passes(ruleset: Ruleset, chain: Mapping[str, Any], packet: _Packet) -> Passes:
    accepting = [rule for rule in _rules(ruleset, chain) if any("accept" in verdict for verdict in rule)]
    return max((_lets_pass(rule, packet) for rule in accepting), default=Passes.NOTHING)


def _lets_pass(rule: Rule, packet: _Packet) -> Passes:
    """What an accepting rule's matches leave of such packets."""
    matches = [expression["match"] for expression in rule if "match" in expression]
    return min((_match(match, packet) for match in matches), default=Passes.EVERYTHING)


def _match(comparison: Mapping[str, Any], packet: _Packet) -> Passes:
    values = list(_values(comparison["right"]))
    match comparison["left"]:
        case {"meta": {"key": "l4proto"}} | {"payload": {"protocol": "ip6", "field": "nexthdr"}}:
            fits = any(_number(value) == packet.protocol for value in values)
        case {"payload": {"protocol": "ip6", "field": packet.side}}:
            fits = any(_covers(value, packet.home_agent) for value in values)
        case {"ct": {"key": "state"}}:
            return Passes.EVERYTHING if "new" in values else Passes.REPLIES
        case _:
            return Passes.NOTHING
    return Passes.EVERYTHING if fits == (comparison["op"] == "==") else Passes.NOTHING


def _values(right: object) -> Iterator[object]:
    """One value, or those of a list or a set."""
    if isinstance(right, dict) and "set" in right:
        yield from right["set"]
    elif isinstance(right, list):
        yield from right
    else:
        yield right


def _number(protocol: object) -> int | None:
    """It is called by its name in /etc/protocols, if it has one there."""
    if isinstance(protocol, int):
        return protocol
    try:
        return socket.getprotobyname(str(protocol))
    except OSError:
        return None


def _covers(value: object, address: str) -> bool:
    if isinstance(value, dict) and "prefix" in value:
        value = f"{value['prefix']['addr']}/{value['prefix']['len']}"
    try:
        return IPv6Address(address) in IPv6Network(str(value))
    except ValueError:
        return False


def _is_strict_path_filter(rule: Rule) -> bool:
    """`fib saddr . iif oif missing drop`; without iif any way back will do."""
    lookups = [fib for fib in _found("fib", rule) if "saddr" in fib["flags"] and fib["result"] == "oif"]
    return any("iif" in fib["flags"] for fib in lookups) and any("drop" in verdict for verdict in rule)


CHECKS = (
    Check("inbound", from_home_agent),
    Check("outbound", to_home_agent),
    Check("reverse path", reverse_path),
)
