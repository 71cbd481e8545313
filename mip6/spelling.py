"""Traffic selectors for people."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range
from typing import Any

from mip6.protocols import PROTOCOLS
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span

_NAMES = {number: name for name, number in PROTOCOLS.items()}


def spell(selector: Ipv4Selector | Ipv6Selector) -> str:
    """Such as `udp from 2001:db8::1 port 5060`: as packets to the mobile node look."""
    return " ".join(_parts(selector)) or "everything"


def _parts(selector: Ipv4Selector | Ipv6Selector) -> Iterator[str]:
    protocol = selector.next_header if isinstance(selector, Ipv6Selector) else selector.protocol
    if protocol is not None:
        name = _NAMES.get(protocol.first) if protocol.first == protocol.last else None
        yield name or f"protocol {_span(protocol)}"
    for word, address, port in (
        ("from", selector.source, selector.source_port),
        ("to", selector.destination, selector.destination_port),
    ):
        if address is not None or port is not None:
            yield word
        if address is not None:
            yield _addresses(address)
        if port is not None:
            yield f"port {_span(port)}"
    if selector.spi is not None:
        yield f"spi {_span(selector.spi)}"
    if isinstance(selector, Ipv6Selector) and selector.flow_label is not None:
        yield f"flow label {_span(selector.flow_label)}"
    if selector.dscp is not None:
        yield f"dscp {_span(selector.dscp)}"


def _addresses(span: Span[Any]) -> str:
    """As a prefix, if it is one."""
    first, last = span.first, span.last
    assert isinstance(first, IPv4Address | IPv6Address)
    prefixes = list(summarize_address_range(first, last))
    return str(prefixes[0]) if first != last and len(prefixes) == 1 else _span(span)


def _span(span: Span[Any]) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"
