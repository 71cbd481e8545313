"""Flows as maps: the first that matches has the packet, and maps have no overlaps."""

import re
from ipaddress import IPv6Address
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.classifier import MOST_EXACT_RULES, MOST_RULES, Flow, Key, Layer, layers, lookup
from mip6.table import Set
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from tests.unit.mip6.packets import WITH_PORTS, Sample, samples, selectors, selects

PACKETS = {"source_port": "first", "destination_port": "second"}
"""What a sample calls the fields that have another name there."""
CONDITIONS = {"ip6 dscp": "dscp", "ip6 flowlabel": "label"}


def applies(layer: Layer, packet: Sample) -> bool:
    """Whether nftables looks this packet up in this layer: it has what the key and the condition ask for."""
    if layer.kind.key is Key.ESP and packet.protocol != 50:
        return False
    if layer.kind.key is Key.AH and packet.protocol != 51:
        return False
    if "meta l4proto @with_ports" in layer.kind.condition and packet.protocol not in WITH_PORTS:
        return False
    found = re.findall(r"(ip6 \w+) (\d+)-?(\d*)", layer.kind.condition)
    return all(int(first) <= getattr(packet, CONDITIONS[name]) <= int(last or first) for name, first, last in found)


def chains(layer: Layer, packet: Sample) -> list[str]:
    """All elements that have the packet, as nftables would find them."""
    if not applies(layer, packet):
        return []
    values = [(field, int(getattr(packet, PACKETS.get(field.name, field.name)))) for field in layer.kind.fields]
    return [
        chain
        for box, chain in layer.chains.items()
        if all(field.of(box)[0] <= value <= field.of(box)[1] for field, value in values)
    ]


@pytest.mark.req("FLOW-08", "FLOW-09", "FLOW-11", "FLOW-27")
@given(st.lists(selectors(), max_size=8), st.lists(samples(), min_size=1, max_size=20))
def test_the_first_flow_that_matches_has_the_packet(wanted: list[Ipv6Selector], packets: list[Sample]) -> None:
    found = layers(Flow(f"flow_{place}", selector) for place, selector in enumerate(wanted))
    for packet in packets:
        hits = [chains(layer, packet) for layer in found]
        assert all(len(some) <= 1 for some in hits), "nftables takes no overlaps"
        first = next((some[0] for some in hits if some), None)
        expected = [f"flow_{place}" for place, selector in enumerate(wanted) if selects(selector, packet)]
        assert first == (expected[0] if expected else None)


@given(st.lists(selectors(), max_size=8))
def test_the_boxes_of_a_map_never_overlap(wanted: list[Ipv6Selector]) -> None:
    for layer in layers(Flow(f"flow_{place}", selector) for place, selector in enumerate(wanted)):
        assert not any(one.overlaps(other) for one, other in combinations(layer.chains, 2))


def udp(**spans: Any) -> Ipv6Selector:
    return Ipv6Selector(**spans, next_header=Span.only(17))


def network(number: int) -> Span[IPv6Address]:
    first = IPv6Address(0x20010DB8 << 96 | number << 64)
    return Span(first, first + 0xFFFFFFFFFFFFFFFF)


def test_many_flows_that_do_not_overlap_are_one_lookup() -> None:
    (layer,) = layers(Flow(f"f{port}", udp(source_port=Span.only(port))) for port in range(99))
    assert (layer.kind.key, len(layer.chains)) == (Key.PORTS, 99)


def test_flows_that_speak_of_other_fields_are_looked_up_elsewhere() -> None:
    """Else all that say nothing of a field would fit there, and nftables would have to keep them all in mind."""
    flows = [Flow(f"port{port}", udp(source_port=Span.only(port))) for port in range(99)]
    flows += [Flow(f"net{n}", Ipv6Selector(source=network(n), source_port=Span.only(443))) for n in range(99)]
    found = layers(flows)
    assert [([field.name for field in layer.kind.fields], len(layer.chains)) for layer in found] == [
        (["protocol", "source_port"], 99),
        (["source", "source_port"], 99),
    ]


def test_flows_with_the_same_condition_share_a_layer() -> None:
    flows = [
        Flow("a", Ipv6Selector(dscp=Span.only(46), next_header=Span.only(6))),
        Flow("b", Ipv6Selector(dscp=Span.only(46), next_header=Span.only(17))),
        Flow("c", Ipv6Selector(next_header=Span.only(6)), "meta skuid 7"),
        Flow("d", Ipv6Selector(next_header=Span.only(17)), "meta skuid 7"),
    ]
    assert [(one.kind.condition, list(one.chains.values())) for one in layers(flows)] == [
        ("ip6 dscp 46 ", ["a", "b"]),
        ("meta skuid 7 ", ["c", "d"]),
    ]


def test_without_a_protocol_ports_are_those_of_all_that_have_some() -> None:
    found = lookup(layers([Flow("a", Ipv6Selector(destination_port=Span(1, 9)))]), "x")
    assert found.to_mobile_node == ("th dport 1-9 meta l4proto @with_ports goto a",)
    assert found.elements == {"with_ports": frozenset(WITH_PORTS)}
    assert found.sets.keys() == {"with_ports"}


def test_with_a_range_of_protocols_ports_are_those_of_some_of_it() -> None:
    found = lookup(layers([Flow("a", Ipv6Selector(destination_port=Span(1, 9), next_header=Span(6, 17)))]), "x")
    assert found.to_mobile_node == ("meta l4proto 6 th dport 1-9 goto a", "meta l4proto 17 th dport 1-9 goto a")


def test_what_no_packet_has_is_nowhere() -> None:
    impossible = [
        Ipv6Selector(spi=Span.only(7), source_port=Span.only(7)),
        Ipv6Selector(source_port=Span.only(7), next_header=Span.only(58)),
        Ipv6Selector(spi=Span.only(7), next_header=Span.only(17)),
    ]
    assert layers(Flow("a", selector) for selector in impossible) == []


@pytest.mark.req("FLOW-12", "FLOW-35")
def test_the_mobile_node_looks_from_the_other_side() -> None:
    flows = [
        Flow("web", Ipv6Selector(source_port=Span.only(443), source=network(1), next_header=Span.only(6))),
        Flow("vpn", Ipv6Selector(spi=Span.only(0x100), dscp=Span(40, 46))),
    ]
    found = lookup(layers(flows), "x")
    assert (found.sets, found.elements) == ({}, {})
    network_1 = "2001:db8:0:1::-2001:db8:0:1:ffff:ffff:ffff:ffff"
    assert found.to_mobile_node == (
        f"ip6 saddr {network_1} meta l4proto 6 th sport 443 goto web",
        "esp spi 256 ip6 dscp 40-46 goto vpn",
        "ah spi 256 ip6 dscp 40-46 goto vpn",
    )
    assert found.from_mobile_node == (
        f"ip6 daddr {network_1} meta l4proto 6 th dport 443 goto web",
        "esp spi 256 ip6 dscp 40-46 goto vpn",
        "ah spi 256 ip6 dscp 40-46 goto vpn",
    )


def neither(number: int) -> Ipv6Selector:
    """All packets of some addresses that are no prefix."""
    return Ipv6Selector(source=Span(IPv6Address(1000 * number + 1), IPv6Address(1000 * number + 2)))


def test_a_few_are_rules() -> None:
    found = lookup(layers(Flow(f"f{port}", udp(source_port=Span.only(port))) for port in range(MOST_EXACT_RULES)), "x")
    assert (len(found.to_mobile_node), found.sets) == (MOST_EXACT_RULES, {})
    found = lookup(layers(Flow(f"f{n}", neither(n)) for n in range(MOST_RULES)), "x")
    assert (len(found.to_mobile_node), found.sets) == (MOST_RULES, {})


def test_more_are_a_map_and_those_with_ranges_one_of_their_own() -> None:
    flows = [Flow(f"f{port}", udp(source_port=Span.only(port))) for port in range(MOST_EXACT_RULES + 1)]
    ranges = [Flow(f"r{n}", udp(source_port=Span(100 * n, 100 * n + 7))) for n in range(1, MOST_RULES + 2)]
    found = lookup(layers([*flows, *ranges]), "x")
    exact, ranged = sorted(found.sets)
    assert found.sets[exact] == Set("map", "typeof meta l4proto . th sport : verdict;")
    assert found.elements[exact] == {f"17 . {n}": f"goto f{n}" for n in range(len(flows))}
    assert found.sets[ranged] == Set("map", "typeof th sport . meta l4proto : verdict; flags interval;")
    assert found.elements[ranged] == {f"{100 * n}-{100 * n + 7} . 17": f"goto r{n}" for n in range(1, MOST_RULES + 2)}
    assert found.to_mobile_node == (f"meta l4proto . th sport vmap @{exact}", f"th sport . meta l4proto vmap @{ranged}")
    assert found.from_mobile_node == (
        f"meta l4proto . th dport vmap @{exact}",
        f"th dport . meta l4proto vmap @{ranged}",
    )


def test_prefixes_of_one_length_need_no_ranges() -> None:
    networks = [udp(source=network(n)) for n in range(99)]
    wide = [Ipv6Selector(source=Span(IPv6Address(n << 80), IPv6Address((n + 1 << 80) - 1))) for n in range(1, 99)]
    found = lookup(layers(Flow(f"f{place}", selector) for place, selector in enumerate([*networks, *wide])), "x")
    narrow, broad = found.sets
    assert found.sets[narrow] == Set("map", "typeof ip6 saddr . meta l4proto : verdict;")
    assert dict(found.elements[narrow])["2001:db8:0:7:: . 17"] == "goto f7"  # type: ignore[arg-type]
    assert dict(found.elements[broad])["0:0:5::"] == "goto f103"  # type: ignore[arg-type]
    assert found.from_mobile_node == (
        f"ip6 daddr & ffff:ffff:ffff:ffff:: . meta l4proto vmap @{narrow}",
        f"ip6 daddr & ffff:ffff:ffff:: vmap @{broad}",
    )


def test_ranges_are_looked_up_for_their_own_networks_only() -> None:
    flows = [Flow(f"f{n}", udp(source=network(n), destination_port=Span(9 * n, 9 * n + 7))) for n in range(1, 99)]
    found = lookup(layers(flows), "x")
    ranges, own = found.sets
    assert found.sets[own] == Set("set", "typeof ip6 saddr;")
    assert found.elements[own] == frozenset(f"2001:db8:0:{n:x}::" for n in range(1, 99))
    assert found.from_mobile_node == (
        f"ip6 daddr & ffff:ffff:ffff:ffff:: @{own} ip6 daddr . th sport . meta l4proto vmap @{ranges}",
    )


def definition(*selectors: Ipv6Selector) -> str:
    """Of the one map that they make."""
    found = lookup(layers(Flow(f"f{place}", selector) for place, selector in enumerate(selectors)), "x")
    (one,) = (one for one in found.sets.values() if one.kind == "map")
    return one.definition


def test_a_map_with_ranges_begins_with_what_tells_its_elements_apart() -> None:
    ports = (Ipv6Selector(source=network(1), source_port=Span(9 * n, 9 * n + 7)) for n in range(1, 99))
    assert definition(*ports) == "typeof th sport . ip6 saddr : verdict; flags interval;"
    networks = (Ipv6Selector(source=network(n), source_port=Span(1, 9)) for n in range(99))
    assert definition(*networks) == "typeof ip6 saddr . th sport : verdict; flags interval;"


def test_a_map_with_ranges_has_at_least_two_fields() -> None:
    wanted = (neither(n) for n in range(99))
    assert definition(*wanted) == "typeof ip6 saddr . ip6 daddr : verdict; flags interval;"
