"""Flows as maps: the first that matches has the packet, and maps have no overlaps."""

import re
from ipaddress import IPv6Address
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.classifier import Flow, Key, Layer, layers, lookup
from mip6.table import Set
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from tests.unit.mip6.packets import WITH_PORTS, Sample, samples, selectors, selects

FIELDS = {
    Key.PLAIN: ("source", "destination", "protocol"),
    Key.PORTS: ("source", "destination", "protocol", "first", "second"),
    Key.ESP: ("source", "destination", "spi"),
    Key.AH: ("source", "destination", "spi"),
    Key.LABEL: ("source", "destination", "protocol", "label"),
}
CONDITIONS = {"ip6 dscp": "dscp", "ip6 flowlabel": "label"}


def number(text: str) -> int:
    return int(IPv6Address(text)) if ":" in text else int(text)


def within(interval: str, value: object) -> bool:
    first, _, last = interval.partition("-")
    return number(first) <= int(value) <= number(last or first)  # type: ignore[call-overload, no-any-return]


def applies(layer: Layer, packet: Sample) -> bool:
    """Whether nftables looks this packet up in this map: it has what the key is made of."""
    if layer.key is Key.ESP and packet.protocol != 50:
        return False
    if layer.key is Key.AH and packet.protocol != 51:
        return False
    found = re.findall(r"(ip6 \w+) (\S+)", layer.condition)
    return all(within(interval, getattr(packet, CONDITIONS[name])) for name, interval in found)


def chains(layer: Layer, packet: Sample) -> list[str]:
    """All elements that have the packet, as nftables would find them."""
    if not applies(layer, packet):
        return []
    values = [getattr(packet, name) for name in FIELDS[layer.key]]
    return [
        chain
        for element, chain in layer.elements.items()
        if all(within(interval, value) for interval, value in zip(element.split(" . "), values, strict=True))
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
        assert not any(one.overlaps(other) for one, other in combinations(layer.boxes, 2))


def test_many_flows_that_do_not_overlap_are_one_lookup() -> None:
    selectors = [Ipv6Selector(source_port=Span.only(port), next_header=Span.only(17)) for port in range(99)]
    (layer,) = layers(Flow(f"f{place}", selector) for place, selector in enumerate(selectors))
    assert (layer.key, len(layer.elements)) == (Key.PORTS, 99)


def test_flows_with_the_same_condition_share_a_map() -> None:
    flows = [
        Flow("a", Ipv6Selector(dscp=Span.only(46), next_header=Span.only(6))),
        Flow("b", Ipv6Selector(dscp=Span.only(46), next_header=Span.only(17))),
        Flow("c", Ipv6Selector(next_header=Span.only(6)), "meta skuid 7"),
        Flow("d", Ipv6Selector(next_header=Span.only(17)), "meta skuid 7"),
    ]
    assert [(one.condition, list(one.elements.values())) for one in layers(flows)] == [
        ("ip6 dscp 46", ["a", "b"]),
        ("meta skuid 7", ["c", "d"]),
    ]


def test_without_a_protocol_ports_are_those_of_all_that_have_some() -> None:
    (layer,) = layers([Flow("a", Ipv6Selector(destination_port=Span(1, 9)))])
    protocols = [element.split(" . ")[2] for element in layer.elements]
    assert protocols == [str(number) for number in WITH_PORTS]


def test_what_no_packet_has_is_nowhere() -> None:
    impossible = [
        Ipv6Selector(spi=Span.only(7), source_port=Span.only(7)),
        Ipv6Selector(source_port=Span.only(7), next_header=Span.only(58)),
        Ipv6Selector(spi=Span.only(7), next_header=Span.only(17)),
    ]
    assert layers(Flow("a", selector) for selector in impossible) == []


@pytest.mark.req("FLOW-12", "FLOW-35")
def test_the_mobile_node_looks_from_the_other_side() -> None:
    found = lookup(
        layers(
            [
                Flow("web", Ipv6Selector(source_port=Span.only(443), next_header=Span.only(6))),
                Flow("vpn", Ipv6Selector(spi=Span.only(0x100), dscp=Span(40, 46))),
            ]
        ),
        "x",
    )
    everything = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    assert found.sets["x_0_ports"] == Set(
        "map", "type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service : verdict; flags interval;"
    )
    assert found.elements["x_0_ports"] == {f"{everything} . {everything} . 6 . 443 . 0-65535": "goto web"}
    assert found.elements["x_1_esp"] == {f"{everything} . {everything} . 256": "goto vpn"}
    assert found.to_mobile_node == (
        "ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport vmap @x_0_ports",
        "ip6 dscp 40-46 ip6 saddr . ip6 daddr . esp spi vmap @x_1_esp",
        "ip6 dscp 40-46 ip6 saddr . ip6 daddr . ah spi vmap @x_2_ah",
    )
    assert found.from_mobile_node == (
        "ip6 daddr . ip6 saddr . meta l4proto . th dport . th sport vmap @x_0_ports",
        "ip6 dscp 40-46 ip6 daddr . ip6 saddr . esp spi vmap @x_1_esp",
        "ip6 dscp 40-46 ip6 daddr . ip6 saddr . ah spi vmap @x_2_ah",
    )
