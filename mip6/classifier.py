"""Which packet belongs to which flow, by nftables, at a cost that hardly grows with the number of flows.

The first flow in the order of priorities that matches has the packet (RFC 6089 section 5.3.6). Selectors become
elements of verdict maps, which nftables looks up at once, ranges included. What one map holds must not overlap, and
speaks of the same fields, with ranges or without; so there are a few maps, looked up one after the other: as many as
there are kinds of flows, and more only for flows that overlap. A small map costs more than its elements as rules, so
rules it is. Both ends use this, each from its own side: selectors are written as the home agent sees packets to the
mobile node, and the mobile node mirrors them (RFC 6088 section 3).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from operator import attrgetter
from typing import TypeAlias

from mip6.protocols import PROTOCOLS, WITH_PORTS
from mip6.table import Elements, Set
from mip6.wire.traffic_selectors import Ipv6Selector, Span

Interval: TypeAlias = tuple[int, int]
"""The first and the last number."""

MOST_RULES = 16
"""Of a layer with ranges: a rule takes 15 to 20 ns, a lookup in a map of ranges up to 300, and such a map of addresses
takes 300 KiB of the kernel's memory, however little it holds."""
MOST_EXACT_RULES = 3
"""Of one without: a lookup in such a map takes 50 ns."""

_ESP, _AH = PROTOCOLS["esp"], PROTOCOLS["ah"]

_ALL_ADDRESSES, _ALL_PORTS, _ALL_PROTOCOLS = (0, (1 << 128) - 1), (0, 0xFFFF), (0, 0xFF)
_ALL_SPIS, _ALL_LABELS, _ALL_DSCPS = (0, 0xFFFFFFFF), (0, 0xFFFFF), (0, 63)


def _numbers(interval: Interval) -> str:
    first, last = interval
    return str(first) if first == last else f"{first}-{last}"


def _spell_addresses(interval: Interval) -> str:
    first, last = interval
    return str(IPv6Address(first)) if first == last else f"{IPv6Address(first)}-{IPv6Address(last)}"


@dataclass(frozen=True, slots=True)
class Field:
    """What a packet can be told by: an attribute of a box, and nftables' expressions for packets to and from the mobile
    node. `everything`: the interval that says nothing.
    """

    name: str
    to_mobile_node: str
    from_mobile_node: str
    everything: Interval | None
    spell: Callable[[Interval], str] = _numbers

    def of(self, box: "Box") -> Interval:
        interval: Interval = getattr(box, self.name)
        return interval


_SOURCE = Field("source", "ip6 saddr", "ip6 daddr", _ALL_ADDRESSES, _spell_addresses)
_DESTINATION = Field("destination", "ip6 daddr", "ip6 saddr", _ALL_ADDRESSES, _spell_addresses)
_PROTOCOL = Field("protocol", "meta l4proto", "meta l4proto", _ALL_PROTOCOLS)
_SOURCE_PORT = Field("source_port", "th sport", "th dport", _ALL_PORTS)
_DESTINATION_PORT = Field("destination_port", "th dport", "th sport", _ALL_PORTS)
_LABEL = Field("label", "ip6 flowlabel", "ip6 flowlabel", _ALL_LABELS)
# An SPI has no mirror image: who wants a flow bound in both directions gives both associations the same. Whatever it
# is, it says that the packet has one
_ESP_SPI = Field("spi", "esp spi", "esp spi", None)
_AH_SPI = Field("spi", "ah spi", "ah spi", None)

# Not a set within the rule: with hundreds of those in a transaction the kernel takes seconds
_HAS_PORTS = "meta l4proto @with_ports"

_TO_MOBILE_NODE: Callable[[Field], str] = attrgetter("to_mobile_node")
_FROM_MOBILE_NODE: Callable[[Field], str] = attrgetter("from_mobile_node")


class Key(Enum):
    """What packets have: the fields by which they can be looked up."""

    PLAIN = (_SOURCE, _DESTINATION, _PROTOCOL)
    PORTS = (_SOURCE, _DESTINATION, _PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT)
    ESP = (_SOURCE, _DESTINATION, _ESP_SPI)
    AH = (_SOURCE, _DESTINATION, _AH_SPI)
    LABEL = (_SOURCE, _DESTINATION, _PROTOCOL, _LABEL)


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets that match `selector`, and the chain that they go to. `condition`: what else has to be so, in nft
    syntax; only the sender knows of such things.
    """

    chain: str
    selector: Ipv6Selector
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """Everything that a selector says, as intervals of numbers: a packet is a point, and may be in it or not."""

    source: Interval
    destination: Interval
    source_port: Interval
    destination_port: Interval
    spi: Interval
    label: Interval
    dscp: Interval
    protocol: Interval

    def overlaps(self, other: "Box") -> bool:
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
    """What can be one map: boxes that do not overlap and all speak of the same fields, and the condition under which a
    packet is looked up. Once `layers` has given it, it stays as it is.
    """

    def __init__(self, key: Key, fields: tuple[Field, ...], condition: str, *, exact: bool) -> None:
        """`exact`: without ranges, so that nftables has a hash for them."""
        self.key = key
        self.fields = fields
        self.condition = condition
        self.exact = exact
        self.chains: dict[Box, str] = {}

    def is_like(self, other: "Layer") -> bool:
        """Whether they could be one if nothing overlaps."""
        mine, others = ((one.key, one.fields, one.condition, one.exact) for one in (self, other))
        return mine == others


def layers(flows: Iterable[Flow]) -> list[Layer]:
    """Those of these flows, which come in the order of their priorities; to be looked up in this order."""
    found: list[Layer] = []
    for flow in flows:
        condition = _condition(flow)
        boxes = list(_boxes(flow.selector))
        # All that has priority over it has to be looked up before
        first = 1 + max((place for place, layer in enumerate(found) if _any_overlap(layer.chains, boxes)), default=-1)
        for box in boxes:
            key = _key(flow.selector, box)
            fields = tuple(field for field in key.value if field.of(box) != field.everything)
            exact = bool(fields) and all(field.of(box)[0] == field.of(box)[1] for field in fields)
            new = Layer(key, fields, condition, exact=exact)
            layer = next((one for one in found[first:] if one.is_like(new)), None)
            if layer is None:
                layer = new
                found.append(layer)
            layer.chains[box] = flow.chain
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
    to_mobile_node: list[str] = []
    from_mobile_node: list[str] = []
    if any(_HAS_PORTS in layer.condition for layer in found):
        sets["with_ports"], elements["with_ports"] = Set("set", "type inet_proto;"), frozenset(WITH_PORTS)
    for place, layer in enumerate(found):
        if len(layer.chains) <= (MOST_EXACT_RULES if layer.exact else MOST_RULES):
            to_mobile_node += _rules(layer, _TO_MOBILE_NODE)
            from_mobile_node += _rules(layer, _FROM_MOBILE_NODE)
            continue
        fields, flags = (layer.fields, "") if layer.exact else (_most_telling_first(layer), " flags interval;")
        # A map of this name always has this type
        kind = "exact" if layer.exact else "range"
        name = "_".join([prefix, str(place), kind, layer.key.name.lower(), *(field.name for field in fields)])
        sets[name] = Set("map", f"typeof {_joined(fields, _TO_MOBILE_NODE)} : verdict;{flags}")
        elements[name] = {
            " . ".join(field.spell(field.of(box)) for field in fields): f"goto {chain}"
            for box, chain in layer.chains.items()
        }
        to_mobile_node.append(f"{layer.condition}{_joined(fields, _TO_MOBILE_NODE)} vmap @{name}")
        from_mobile_node.append(f"{layer.condition}{_joined(fields, _FROM_MOBILE_NODE)} vmap @{name}")
    return Lookup(sets, elements, tuple(to_mobile_node), tuple(from_mobile_node))


def _rules(layer: Layer, expression: Callable[[Field], str]) -> Iterator[str]:
    """In one direction."""
    for box, chain in layer.chains.items():
        said = "".join(f"{expression(field)} {field.spell(field.of(box))} " for field in layer.fields)
        yield f"{said}{layer.condition}goto {chain}"


def _most_telling_first(layer: Layer) -> Sequence[Field]:
    """The fields of a map with ranges. nftables looks at one after the other, and keeps a list of what fits so far: it
    should be short from the beginning. A map of one field is another thing to nftables, and has trouble with ranges
    that touch; so there is a second one even if it says nothing.
    """
    silent = [field for field in layer.key.value if field not in layer.fields]
    fields = [*layer.fields, *silent[: max(0, 2 - len(layer.fields))]]
    return sorted(fields, key=lambda field: -len({field.of(box) for box in layer.chains}))


def _joined(fields: Sequence[Field], expression: Callable[[Field], str]) -> str:
    return " . ".join(map(expression, fields))


def _any_overlap(there: Iterable[Box], boxes: Sequence[Box]) -> bool:
    return any(old.overlaps(new) for new in boxes for old in there)


def _condition(flow: Flow) -> str:
    """What no map is looked up by: DSCP, a flow label together with ports or SPI, that there are ports at all, and what
    only the sender knows.
    """
    selector = flow.selector
    parts = [flow.condition] if flow.condition else []
    if selector.dscp is not None:
        parts.append(f"ip6 dscp {_numbers((selector.dscp.first, selector.dscp.last))}")
    if selector.flow_label is not None and (_has_ports(selector) or selector.spi is not None):
        parts.append(f"ip6 flowlabel {_numbers((selector.flow_label.first, selector.flow_label.last))}")
    if _has_ports(selector) and selector.next_header is None:
        parts.append(_HAS_PORTS)
    return "".join(f"{part} " for part in parts)


def _has_ports(selector: Ipv6Selector) -> bool:
    return selector.source_port is not None or selector.destination_port is not None


def _boxes(selector: Ipv6Selector) -> Iterator[Box]:
    """One for each protocol that has what the selector asks for; none if it asks for what no packet has."""
    wanted = _interval(selector.next_header, _ALL_PROTOCOLS)
    protocols: list[Interval] = [wanted]
    if _has_ports(selector) and selector.spi is not None:
        return
    if _has_ports(selector) and selector.next_header is not None:
        protocols = [(number, number) for number in WITH_PORTS if _meet((number, number), wanted)]
    elif selector.spi is not None:
        protocols = [(number, number) for number in (_ESP, _AH) if _meet((number, number), wanted)]
    for protocol in protocols:
        yield Box(
            source=_addresses(selector.source),
            destination=_addresses(selector.destination),
            source_port=_interval(selector.source_port, _ALL_PORTS),
            destination_port=_interval(selector.destination_port, _ALL_PORTS),
            spi=_interval(selector.spi, _ALL_SPIS),
            label=_interval(selector.flow_label, _ALL_LABELS),
            dscp=_interval(selector.dscp, _ALL_DSCPS),
            protocol=protocol,
        )


def _key(selector: Ipv6Selector, box: Box) -> Key:
    if selector.spi is not None:
        return Key.ESP if box.protocol == (_ESP, _ESP) else Key.AH
    if _has_ports(selector):
        return Key.PORTS
    return Key.PLAIN if selector.flow_label is None else Key.LABEL


def _interval(span: Span[int] | None, everything: Interval) -> Interval:
    return everything if span is None else (span.first, span.last)


def _addresses(span: Span[IPv6Address] | None) -> Interval:
    return _ALL_ADDRESSES if span is None else (int(span.first), int(span.last))
