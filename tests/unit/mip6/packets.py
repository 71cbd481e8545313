"""Packets and selectors drawn at random, few values of each, so that they meet; and what selects what, said plainly."""

from dataclasses import dataclass
from ipaddress import IPv6Address
from random import Random
from typing import Any

from hypothesis import strategies as st

from mip6.wire.traffic_selectors import Ipv6Selector, Span

WITH_PORTS = (6, 17, 33, 132, 136)


@dataclass(frozen=True)
class Sample:
    """A packet to the mobile node; `first` and `second` are what is where ports are."""

    source: IPv6Address
    destination: IPv6Address
    protocol: int
    first: int
    second: int
    spi: int
    label: int
    dscp: int


def selects(selector: Ipv6Selector, packet: Sample) -> bool:
    """As RFC 6088 section 3.2 has it."""
    has_ports, has_spi = packet.protocol in WITH_PORTS, packet.protocol in (50, 51)
    values: list[tuple[Span[Any] | None, Any]] = [
        (selector.source, packet.source),
        (selector.destination, packet.destination),
        (selector.spi, packet.spi if has_spi else None),
        (selector.flow_label, packet.label),
        (selector.source_port, packet.first if has_ports else None),
        (selector.destination_port, packet.second if has_ports else None),
        (selector.dscp, packet.dscp),
        (selector.next_header, packet.protocol),
    ]
    return all(span is None or (value is not None and span.first <= value <= span.last) for span, value in values)


ADDRESSES = [IPv6Address(f"2001:db8::{number:x}") for number in (1, 2, 0x10, 0xFF, 0x100)]
NUMBERS = [0, 1, 53, 0x100, 0xFFFF]
SPIS = [0x100, 0x101, 0x10000, 0xFFFFFFFF]
LABELS = [0, 5, 0x100, 0xFFFFF]
DSCPS = [0, 10, 46, 63]
PROTOCOLS = [6, 17, 50, 51, 58, 132, 253]


def spans(values: list[Any]) -> st.SearchStrategy[Span[Any] | None]:
    two = st.lists(st.sampled_from(values), min_size=2, max_size=2).map(lambda some: Span(min(some), max(some)))
    return st.one_of(st.none(), st.none(), st.sampled_from(values).map(Span.only), two)


def selectors() -> st.SearchStrategy[Ipv6Selector]:
    return st.builds(
        Ipv6Selector,
        source=spans(ADDRESSES),
        destination=spans(ADDRESSES),
        spi=spans(SPIS),
        flow_label=spans(LABELS),
        source_port=spans(NUMBERS),
        destination_port=spans(NUMBERS),
        dscp=spans(DSCPS),
        next_header=spans(PROTOCOLS),
    )


def samples() -> st.SearchStrategy[Sample]:
    return st.builds(
        Sample,
        st.sampled_from(ADDRESSES),
        st.sampled_from(ADDRESSES),
        st.sampled_from(PROTOCOLS),
        st.sampled_from(NUMBERS),
        st.sampled_from(NUMBERS),
        st.sampled_from(SPIS),
        st.sampled_from(LABELS),
        st.sampled_from(DSCPS),
    )


def random_sample(random: Random, destination: IPv6Address) -> Sample:
    choose = random.choice
    ports = choose(NUMBERS), choose(NUMBERS)
    return Sample(
        choose(ADDRESSES), destination, choose(PROTOCOLS), *ports, choose(SPIS), choose(LABELS), choose(DSCPS)
    )


def random_selector(random: Random, share: float = 0.35) -> Ipv6Selector:
    """`share`: how many of its fields say something."""

    def span(values: list[Any]) -> Span[Any] | None:
        if random.random() >= share:
            return None
        some = [random.choice(values), random.choice(values)]
        return Span(min(some), max(some))

    return Ipv6Selector(
        span(ADDRESSES), None, span(SPIS), span(LABELS), span(NUMBERS), span(NUMBERS), span(DSCPS), span(PROTOCOLS)
    )
