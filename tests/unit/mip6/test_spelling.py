"""Traffic selectors for people."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from mip6.spelling import spell
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span

ONE, OTHER = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::9")


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        (Ipv6Selector(), "everything"),
        (
            Ipv6Selector(next_header=Span.only(17), source=Span.only(ONE), source_port=Span.only(5060)),
            "udp from 2001:db8::1 port 5060",
        ),
        (Ipv6Selector(source_port=Span(80, 443)), "from port 80-443"),
        (Ipv6Selector(destination=Span(ONE, OTHER)), "to 2001:db8::1-2001:db8::9"),
        (Ipv6Selector(source=Span(OTHER, OTHER)), "from 2001:db8::9"),
        (Ipv6Selector(source=Span(IPv6Address("2001:db8::"), IPv6Address("2001:db8::ffff"))), "from 2001:db8::/112"),
        (Ipv6Selector(next_header=Span.only(200), destination_port=Span.only(9)), "protocol 200 to port 9"),
        (Ipv6Selector(next_header=Span(6, 17)), "protocol 6-17"),
        (Ipv6Selector(next_header=Span.only(50), spi=Span.only(4096)), "esp spi 4096"),
        (Ipv6Selector(flow_label=Span.only(7), dscp=Span.only(46)), "flow label 7 dscp 46"),
        (Ipv4Selector(protocol=Span.only(6), source=Span.only(IPv4Address("192.0.2.1"))), "tcp from 192.0.2.1"),
    ],
)
def test_as_packets_to_the_mobile_node_look(selector: Ipv4Selector | Ipv6Selector, text: str) -> None:
    assert spell(selector) == text
