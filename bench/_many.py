"""Many flows of one mobile node, and many mobile nodes: as policy, configuration and what a home agent saved. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from home_agent.core.saved import SavedEntry, SavedFlow
from mip6.protocols import PROTOCOLS
from mip6.wire.traffic_selectors import Span, encode_selector
from mn_agent.core.flows import Flows, prepare
from mn_agent.core.policy_file import FlowRule, Policy
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_PREFIX, HOSTS, MOBILE_NETWORK, host_address

FLOW_PORT, OTHER_PORT = 5201, 5202
"""Of the correspondent: what goes there belongs to the last of all flows, or to none."""

_UDP = (PROTOCOLS["udp"],)
_RANGES = (Span(5060, 5061), Span(16384, 32767), Span(5004, 5099))
_FIRST_PORT, _FIRST_HOST, _FIRST_SITE = 10000, 0x1000, IPv6Address("2001:db8:1000::")
_CORRESPONDENT = (IPv6Network(CORRESPONDENT_ADDRESS),)


def policy(flows: int, link: str) -> Flows:
    """So many flows over a link, each of one selector: a third each are a port of the correspondent, a network, and a
    range of UDP ports in a network. The last is one more port of the correspondent.
    """
    rules = [_rule(number, 3 * number // flows, link) for number in range(flows - 1)]
    rules.append(FlowRule(name="measured", via=(link,), to=_CORRESPONDENT, port=(Span.only(FLOW_PORT),)))
    return prepare("bench", Policy(description="many flows", flow=tuple(rules)), {})


def hosts_policy(flows: int, link: str) -> Flows:
    """So many flows over a link, each of another host behind a mobile router; the last is of the lab's first."""
    hosts = [*hosts_behind(flows - 1), host_address(HOSTS[0])]
    rules = [
        FlowRule(name=f"host{number}", via=(link,), local=(IPv6Network(host),), port=(Span.only(FLOW_PORT),))
        for number, host in enumerate(hosts)
    ]
    return prepare("bench", Policy(description="many hosts", flow=tuple(rules)), {})


def hosts_behind(number: int) -> list[IPv6Address]:
    """Addresses of so many hosts behind the lab's mobile router, which are not there."""
    return [MOBILE_NETWORK[_FIRST_HOST + host] for host in range(number)]


def _rule(number: int, third: int, link: str) -> FlowRule:
    name, via, network = f"flow{number}", (link,), (IPv6Network((_site(0, number), 64)),)
    match third:
        case 0:
            return FlowRule(name=name, via=via, to=_CORRESPONDENT, port=(Span.only(_FIRST_PORT + number),))
        case 1:
            return FlowRule(name=name, via=via, to=network)
        case _:
            ports = _RANGES[number % len(_RANGES)]
            return FlowRule(name=name, via=via, to=network, protocol=_UDP, port=(ports,))


def _site(group: int, number: int) -> IPv6Address:
    """A network of its own for each number."""
    return IPv6Address(int(_FIRST_SITE) + (group << 80) + (number << 64))


def saved_flows(flows: Flows, bid: int) -> tuple[SavedFlow, ...]:
    """As a home agent saves them, all bound to this binding."""
    return tuple(
        SavedFlow(flow.fid, flow.fid, encode_selector(flow.selector)[0].hex(), (bid,)) for flow in flows.selected
    )


def saved_entries(measured: SavedEntry, nodes: int) -> tuple[SavedEntry, ...]:
    """Binding cache entries of so many mobile nodes, all like the last, which is `measured`."""
    return (*(_like(measured, number) for number in range(nodes - 1)), measured)


def _like(entry: SavedEntry, number: int) -> SavedEntry:
    bindings = tuple(
        replace(binding, care_of=_site(1 + place, number) + 1) for place, binding in enumerate(entry.bindings)
    )
    return replace(entry, home_address=_home_address(number), bindings=bindings)


def configuration(measured: Mapping[str, Any], nodes: int) -> dict[str, Any]:
    """A home agent's configuration with so many mobile nodes; the last is the one that `measured` has."""
    (last,) = measured["node"]
    return {**measured, "node": [*(_node(last, number) for number in range(nodes - 1)), last]}


def _node(like: Mapping[str, Any], number: int) -> dict[str, Any]:
    name = f"node{number}"
    return {
        **like,
        "name": name,
        "identity": f"{name}@lab.example.org",
        "home_address": str(_home_address(number)),
        "key": f"{number:032x}",
    }


def _home_address(number: int) -> IPv6Address:
    return HOME_PREFIX[_FIRST_HOST + number]
