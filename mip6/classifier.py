"""Which packet belongs to which flow, by nftables, at a cost that does not grow with the number of flows.

The first flow in the order of priorities that matches has the packet (RFC 6089 section 5.3.6). Selectors become
elements of verdict maps, which nftables looks up at once, ranges included. Elements of one map must not overlap; so
flows that overlap go into different maps, and these are looked up one after the other. Both ends use this, each from
its own side: selectors are written as the home agent sees packets to the mobile node, and the mobile node mirrors them
(RFC 6088 section 3).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import TypeAlias

from mip6.protocols import PROTOCOLS, WITH_PORTS
from mip6.table import Elements, Set
from mip6.wire.traffic_selectors import Ipv6Selector, Span

Interval: TypeAlias = tuple[int, int]
"""The first and the last number."""

_ESP, _AH = PROTOCOLS["esp"], PROTOCOLS["ah"]

_ALL_ADDRESSES, _ALL_PORTS, _ALL_PROTOCOLS = (0, (1 << 128) - 1), (0, 0xFFFF), (0, 0xFF)


class Key(Enum):
    """What a map is looked up by: its type, and the expressions for packets to and from the mobile node."""

    PLAIN = (
        "type ipv6_addr . ipv6_addr . inet_proto",
        "ip6 saddr . ip6 daddr . meta l4proto",
        "ip6 daddr . ip6 saddr . meta l4proto",
    )
    PORTS = (
        "type ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service",
        "ip6 saddr . ip6 daddr . meta l4proto . th sport . th dport",
        "ip6 daddr . ip6 saddr . meta l4proto . th dport . th sport",
    )
    # An SPI has no mirror image: who wants a flow bound in both directions gives both associations the same
    ESP = (
        "typeof ip6 saddr . ip6 daddr . esp spi",
        "ip6 saddr . ip6 daddr . esp spi",
        "ip6 daddr . ip6 saddr . esp spi",
    )
    AH = (
        "typeof ip6 saddr . ip6 daddr . ah spi",
        "ip6 saddr . ip6 daddr . ah spi",
        "ip6 daddr . ip6 saddr . ah spi",
    )
    LABEL = (
        "typeof ip6 saddr . ip6 daddr . meta l4proto . ip6 flowlabel",
        "ip6 saddr . ip6 daddr . meta l4proto . ip6 flowlabel",
        "ip6 daddr . ip6 saddr . meta l4proto . ip6 flowlabel",
    )

    def __init__(self, kind: str, to_mobile_node: str, from_mobile_node: str) -> None:
        self.kind = kind
        self.to_mobile_node = to_mobile_node
        self.from_mobile_node = from_mobile_node


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets that match `selector`, and the chain that they go to. `condition`: what else has to be so, in nft
    syntax; only the sender knows of such things.
    """

    chain: str
    selector: Ipv6Selector
    condition: str = ""


@dataclass(frozen=True, slots=True)
class _Box:
    """Everything that a selector says, as intervals of numbers: a packet is a point, and may be in it or not."""

    source: Interval
    destination: Interval
    source_port: Interval
    destination_port: Interval
    spi: Interval
    label: Interval
    dscp: Interval
    protocol: Interval

    def overlaps(self, other: "_Box") -> bool:
        return (
            _meet(self.destination_port, other.destination_port)
            and _meet(self.source_port, other.source_port)
            and _meet(self.protocol, other.protocol)
            and _meet(self.source, other.source)
            and _meet(self.destination, other.destination)
            and _meet(self.spi, other.spi)
            and _meet(self.label, other.label)
            and _meet(self.dscp, other.dscp)
        )


def _meet(one: Interval, other: Interval) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


class Layer:
    """A map, and the condition under which it is looked up. Once `layers` has given it, it stays as it is."""

    def __init__(self, key: Key, condition: str) -> None:
        self.key = key
        self.condition = condition
        self.elements: dict[str, str] = {}
        """The chain of each range of packets."""
        self.boxes: list[_Box] = []


def layers(flows: Iterable[Flow]) -> list[Layer]:
    """The maps for these flows, which come in the order of their priorities; to be looked up in this order."""
    found: list[Layer] = []
    for flow in flows:
        condition = _condition(flow)
        boxes = list(_boxes(flow.selector))
        # All that has priority over it has to be looked up before
        first = 1 + max((place for place, layer in enumerate(found) if _any_overlap(layer.boxes, boxes)), default=-1)
        for box in boxes:
            key = _key(flow.selector, box)
            layer = next((one for one in found[first:] if (one.key, one.condition) == (key, condition)), None)
            if layer is None:
                layer = Layer(key, condition)
                found.append(layer)
            layer.elements[_element(key, box)] = flow.chain
            layer.boxes.append(box)
    return found


@dataclass(frozen=True, slots=True)
class Lookup:
    """Layers as parts of an nftables table. A packet that a rule finds goes to its flow's chain, and from there back
    behind the chain that has these rules.
    """

    sets: dict[str, Set]
    elements: dict[str, Elements]
    to_mobile_node: tuple[str, ...]
    from_mobile_node: tuple[str, ...]


def lookup(found: Sequence[Layer], prefix: str) -> Lookup:
    """`prefix`: of the names of the maps."""
    sets: dict[str, Set] = {}
    elements: dict[str, Elements] = {}
    to_mobile_node, from_mobile_node = [], []
    for place, layer in enumerate(found):
        # A map of this name always has this type
        name = f"{prefix}_{place}_{layer.key.name.lower()}"
        sets[name] = Set("map", f"{layer.key.kind} : verdict; flags interval;")
        elements[name] = {packets: f"goto {chain}" for packets, chain in layer.elements.items()}
        condition = f"{layer.condition} " if layer.condition else ""
        to_mobile_node.append(f"{condition}{layer.key.to_mobile_node} vmap @{name}")
        from_mobile_node.append(f"{condition}{layer.key.from_mobile_node} vmap @{name}")
    return Lookup(sets, elements, tuple(to_mobile_node), tuple(from_mobile_node))


def _any_overlap(there: Sequence[_Box], boxes: Sequence[_Box]) -> bool:
    return any(old.overlaps(new) for new in boxes for old in there)


def _condition(flow: Flow) -> str:
    """What no map is looked up by: DSCP, a flow label together with ports or SPI, and what only the sender knows."""
    selector = flow.selector
    parts = [flow.condition] if flow.condition else []
    if selector.dscp is not None:
        parts.append(f"ip6 dscp {_numbers((selector.dscp.first, selector.dscp.last))}")
    if selector.flow_label is not None and (_has_ports(selector) or selector.spi is not None):
        parts.append(f"ip6 flowlabel {_numbers((selector.flow_label.first, selector.flow_label.last))}")
    return " ".join(parts)


def _has_ports(selector: Ipv6Selector) -> bool:
    return selector.source_port is not None or selector.destination_port is not None


def _boxes(selector: Ipv6Selector) -> Iterator[_Box]:
    """One for each protocol that has what the selector asks for; none if it asks for what no packet has."""
    wanted = _interval(selector.next_header, _ALL_PROTOCOLS)
    protocols: list[Interval] = [wanted]
    if _has_ports(selector) and selector.spi is not None:
        return
    if _has_ports(selector):
        protocols = [(number, number) for number in WITH_PORTS if _meet((number, number), wanted)]
    elif selector.spi is not None:
        protocols = [(number, number) for number in (_ESP, _AH) if _meet((number, number), wanted)]
    for protocol in protocols:
        yield _Box(
            source=_addresses(selector.source),
            destination=_addresses(selector.destination),
            source_port=_interval(selector.source_port, _ALL_PORTS),
            destination_port=_interval(selector.destination_port, _ALL_PORTS),
            spi=_interval(selector.spi, (0, 0xFFFFFFFF)),
            label=_interval(selector.flow_label, (0, 0xFFFFF)),
            dscp=_interval(selector.dscp, (0, 63)),
            protocol=protocol,
        )


def _key(selector: Ipv6Selector, box: _Box) -> Key:
    if selector.spi is not None:
        return Key.ESP if box.protocol == (_ESP, _ESP) else Key.AH
    if _has_ports(selector):
        return Key.PORTS
    return Key.PLAIN if selector.flow_label is None else Key.LABEL


def _element(key: Key, box: _Box) -> str:
    """In nft syntax."""
    addresses = f"{_spell_addresses(box.source)} . {_spell_addresses(box.destination)}"
    match key:
        case Key.PLAIN:
            return f"{addresses} . {_numbers(box.protocol)}"
        case Key.PORTS:
            ports = f"{_numbers(box.source_port)} . {_numbers(box.destination_port)}"
            return f"{addresses} . {_numbers(box.protocol)} . {ports}"
        case Key.LABEL:
            return f"{addresses} . {_numbers(box.protocol)} . {_numbers(box.label)}"
    return f"{addresses} . {_numbers(box.spi)}"


def _numbers(interval: Interval) -> str:
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"


def _spell_addresses(interval: Interval) -> str:
    first, last = interval
    return str(IPv6Address(first)) if first == last else f"{IPv6Address(first)}-{IPv6Address(last)}"


def _interval(span: Span[int] | None, everything: Interval) -> Interval:
    return everything if span is None else (span.first, span.last)


def _addresses(span: Span[IPv6Address] | None) -> Interval:
    return _ALL_ADDRESSES if span is None else (int(span.first), int(span.last))
