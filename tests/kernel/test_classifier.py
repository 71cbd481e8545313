"""The classifier on the real kernel: packets by the hundred, and the counters of the flows that they went to."""

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import fields
from ipaddress import IPv6Address
from random import Random

import pytest

from mip6.classifier import MOST_RULES, Flow, Lookup, layers, lookup
from mip6.kernel import Kernel
from mip6.linux.reconciler import Reconciler
from mip6.table import Chain, Table
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from tests.kernel.namespace import cable, ip_json, own_namespace
from tests.unit.mip6.packets import WITH_PORTS, Sample, random_sample, random_selector, selects

HOME = IPv6Address("2001:db8:f00::10")
TABLE = "m6test"
PACKETS, FLOWS = 400, 30


@pytest.fixture
def send() -> Iterator[Callable[[bytes], None]]:
    """Puts an IPv6 packet on the wire, from where it comes in at up0."""
    with own_namespace():
        cable("up0", "down0")
        mac = bytes.fromhex(ip_json("link", "show", "up0")[0]["address"].replace(":", ""))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("down0", 0))
            yield lambda packet: raw.sendall(mac + bytes(6) + b"\x86\xdd" + packet)


def transport(sample: Sample) -> bytes:
    if sample.protocol in WITH_PORTS:
        return struct.pack(">HH16x", sample.first, sample.second)
    if sample.protocol == 50:
        return struct.pack(">I16x", sample.spi)
    if sample.protocol == 51:
        return struct.pack(">BBHI16x", 59, 4, 0, sample.spi)
    return struct.pack(">HH16x", sample.first, sample.second)


def packet(sample: Sample, *, options: bool = False) -> bytes:
    """`options`: with an extension header before the protocol."""
    payload = transport(sample)
    first = sample.protocol
    if options:
        payload, first = bytes((sample.protocol, 0, 1, 4, 0, 0, 0, 0)) + payload, 60
    head = struct.pack(">IHBB", 6 << 28 | sample.dscp << 22 | sample.label, len(payload), first, 64)
    return head + sample.source.packed + sample.destination.packed + payload


def mirrored(sample: Sample) -> Sample:
    """The answer to a packet, as the mobile node sends it."""
    return Sample(
        sample.destination,
        sample.source,
        sample.protocol,
        sample.second,
        sample.first,
        sample.spi,
        sample.label,
        sample.dscp,
    )


def says(selector: Ipv6Selector) -> int:
    """How much."""
    return sum(getattr(selector, field.name) is not None for field in fields(selector))


def table(found: Lookup, rules: tuple[str, ...], count: int) -> Table:
    names = [f"flow_{place}" for place in range(count)]
    chains = {name: Chain((f"counter name {name}",)) for name in names}
    chains["flows"] = Chain((*rules, "counter name other"))
    # Neighbour discovery would be counted too
    chains["base"] = Chain(("ip6 hoplimit 64 jump flows",), "type filter hook prerouting priority mangle;")
    return Table(TABLE, found.sets, found.elements, frozenset((*names, "other")), chains)


@pytest.mark.req("FLOW-08", "FLOW-09", "FLOW-11", "FLOW-12", "FLOW-35")
@pytest.mark.parametrize("downstream", [True, False], ids=["to the mobile node", "from the mobile node"])
@pytest.mark.parametrize("most_rules", [0, FLOWS], ids=["maps", "rules"])
@pytest.mark.parametrize("seed", range(6))
def test_every_packet_goes_to_the_first_flow_that_selects_it(
    send: Callable[[bytes], None], seed: int, most_rules: int, monkeypatch: pytest.MonkeyPatch, *, downstream: bool
) -> None:
    monkeypatch.setattr("mip6.classifier.MOST_RULES", most_rules)
    monkeypatch.setattr("mip6.classifier.MOST_EXACT_RULES", most_rules)
    random = Random(seed)
    # Those that say much first: one that says little has all that is left
    wanted = sorted((random_selector(random) for _ in range(FLOWS)), key=says, reverse=True)
    found = lookup(layers(Flow(f"flow_{place}", selector) for place, selector in enumerate(wanted)), "flows")
    reconciler = Reconciler(TABLE)
    rules = found.to_mobile_node if downstream else found.from_mobile_node
    assert reconciler.apply(Kernel(table=table(found, rules, len(wanted)))) == []
    expected = dict.fromkeys([f"flow_{place}" for place in range(len(wanted))] + ["other"], 0)
    for number in range(PACKETS):
        sample = random_sample(random, HOME)
        matching = [place for place, selector in enumerate(wanted) if selects(selector, sample)]
        expected[f"flow_{matching[0]}" if matching else "other"] += 1
        send(packet(sample if downstream else mirrored(sample), options=number % 5 == 0))
    counted = {name: counter.packets for name, counter in reconciler.counters().items()}
    reconciler.close()
    assert counted == expected
    assert sum(count > 0 for count in expected.values()) > 6, "or else it shows little"


@pytest.mark.parametrize("ranges", [False, True], ids=["prefixes", "ranges"])
def test_addresses_that_touch_can_be_told_apart(send: Callable[[bytes], None], *, ranges: bool) -> None:
    first = 0x20010DB8 << 96
    size = 3 if ranges else 1 << 64
    spans = [(first + size * n, first + size * (n + 1) - 1) for n in range(2 * MOST_RULES)]
    wanted = [Ipv6Selector(source=Span(IPv6Address(low), IPv6Address(high))) for low, high in spans]
    found = lookup(layers(Flow(f"flow_{place}", selector) for place, selector in enumerate(wanted)), "flows")
    (one,) = found.sets.values()
    assert ("interval" in one.definition) == ranges
    reconciler = Reconciler(TABLE)
    assert reconciler.apply(Kernel(table=table(found, found.to_mobile_node, len(wanted)))) == []
    for end in (end for span in spans for end in span):
        send(packet(Sample(IPv6Address(end), HOME, 17, 1, 2, 0, 0, 0)))
    counted = {name: counter.packets for name, counter in reconciler.counters().items()}
    reconciler.close()
    assert counted == {**{f"flow_{place}": 2 for place in range(len(wanted))}, "other": 0}
