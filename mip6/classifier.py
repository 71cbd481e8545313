"""Which packet belongs to which flow, by nftables, at a cost that hardly grows with the number of flows.

The first flow in the order of priorities that matches has the packet (RFC 6089 section 5.3.6). Selectors become
elements of verdict maps, which nftables looks up at once, ranges included. What one map holds must not overlap, and
speaks of the same fields, with ranges or without; so there are a few maps, looked up one after the other: as many as
there are kinds of flows, and more only for flows that overlap. A small map costs more than its elements as rules, so
rules it is. Both ends use this, each from its own side: selectors are written as the home agent sees packets to the
mobile node, and the mobile node mirrors them (RFC 6088 section 3).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
"""Of one without: a lookup in such a map takes 50 ns. Prefixes are no ranges, where they have the same length."""

_ESP, _AH = PROTOCOLS["esp"], PROTOCOLS["ah"]

_ALL_ADDRESSES, _ALL_PORTS, _ALL_PROTOCOLS = (0, (1 << 128) - 1), (0, 0xFFFF), (0, 0xFF)
_ALL_SPIS, _ALL_LABELS, _ALL_DSCPS = (0, 0xFFFFFFFF), (0, 0xFFFFF), (0, 63)


@dataclass(frozen=True, slots=True)
class Field:
    """What a packet is told by: an attribute of a box, and nftables' expressions for packets to and from the mobile
    node. `everything`: the interval that says nothing.
    """

    name: str
    to_mobile_node: str
    from_mobile_node: str
    everything: Interval | None

    @property
    def is_address(self) -> bool:
        return self.everything == _ALL_ADDRESSES

    def of(self, box: "Box") -> Interval:
        interval: Interval = getattr(box, self.name)
        return interval

    def spell(self, first: int, last: int) -> str:
        """In nft syntax."""
        return _range(IPv6Address(first), IPv6Address(last)) if self.is_address else _range(first, last)


def _range(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}-{last}"


_SOURCE = Field("source", "ip6 saddr", "ip6 daddr", _ALL_ADDRESSES)
_DESTINATION = Field("destination", "ip6 daddr", "ip6 saddr", _ALL_ADDRESSES)
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


@dataclass(frozen=True, slots=True)
class Kind:
    """What the boxes of a map have in common: the fields that they speak of, and the condition, in nft syntax, under
    which a packet is looked up.
    """

    key: Key
    fields: tuple[Field, ...]
    free_bits: tuple[int | None, ...]
    """Of each field: the bits that may be anything, if all boxes say a number or a prefix of the same length; None for
    ranges."""
    condition: str

    @property
    def hashed(self) -> dict[Field, int]:
        """The fields for which nftables needs no more than a hash, and their free bits."""
        return {field: free for field, free in zip(self.fields, self.free_bits, strict=True) if free is not None}

    @property
    def is_exact(self) -> bool:
        """Whether a hash is enough for all."""
        return bool(self.fields) and None not in self.free_bits


class Layer:
    """What can be one map: boxes of a kind that do not overlap. Once `layers` has given it, it stays as it is."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.chains: dict[Box, str] = {}


def layers(flows: Iterable[Flow]) -> list[Layer]:
    """Those of these flows, which come in the order of their priorities; to be looked up in this order."""
    found: list[Layer] = []
    for flow in flows:
        boxes = list(_boxes(flow.selector))
        # All that has priority over it has to be looked up before
        first = 1 + max((place for place, layer in enumerate(found) if _any_overlap(layer.chains, boxes)), default=-1)
        for box in boxes:
            kind = _kind(flow, box)
            layer = next((layer for layer in found[first:] if layer.kind == kind), None)
            if layer is None:
                layer = Layer(kind)
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
    if any(_HAS_PORTS in layer.kind.condition for layer in found):
        sets["with_ports"], elements["with_ports"] = Set("set", "type inet_proto;"), frozenset(WITH_PORTS)
    to_mobile_node: list[str] = []
    from_mobile_node: list[str] = []
    for place, layer in enumerate(found):
        few = len(layer.chains) <= (MOST_EXACT_RULES if layer.kind.is_exact else MOST_RULES)
        part = _as_rules(layer) if few else _as_map(layer, f"{prefix}_{place}")
        sets |= part.sets
        elements |= part.elements
        to_mobile_node += part.to_mobile_node
        from_mobile_node += part.from_mobile_node
    return Lookup(sets, elements, tuple(to_mobile_node), tuple(from_mobile_node))


def _as_rules(layer: Layer) -> Lookup:
    def rules(expression: Callable[[Field], str]) -> Iterator[str]:
        for box, chain in layer.chains.items():
            said = "".join(f"{expression(field)} {field.spell(*field.of(box))} " for field in layer.kind.fields)
            yield f"{said}{layer.kind.condition}goto {chain}"

    return Lookup({}, {}, tuple(rules(_TO_MOBILE_NODE)), tuple(rules(_FROM_MOBILE_NODE)))


def _as_map(layer: Layer, prefix: str) -> Lookup:
    """With ranges, it is looked up for addresses that are in it only, as far as a hash can tell."""
    kind, hashed = layer.kind, layer.kind.hashed
    fields = kind.fields if kind.is_exact else _most_telling_first(layer)
    what, flags, free = ("exact", "", hashed) if kind.is_exact else ("ranges", " flags interval;", {})
    # A map of this name always has this type
    name = "_".join([prefix, what, kind.key.name.lower(), *(field.name for field in fields)])
    sets = {name: Set("map", f"typeof {_sought(fields, {}, _TO_MOBILE_NODE)} : verdict;{flags}")}
    elements: dict[str, Elements] = {
        name: {_element(box, fields, free): f"goto {chain}" for box, chain in layer.chains.items()}
    }
    addresses = [] if kind.is_exact else [field for field in hashed if field.is_address]
    own = "_".join([prefix, *(field.name for field in addresses)])
    if addresses:
        sets[own] = Set("set", f"typeof {_sought(addresses, {}, _TO_MOBILE_NODE)};")
        elements[own] = frozenset(_element(box, addresses, hashed) for box in layer.chains)

    def rule(expression: Callable[[Field], str]) -> str:
        known = f"{_sought(addresses, hashed, expression)} @{own} " if addresses else ""
        return f"{kind.condition}{known}{_sought(fields, free, expression)} vmap @{name}"

    return Lookup(sets, elements, (rule(_TO_MOBILE_NODE),), (rule(_FROM_MOBILE_NODE),))


def _most_telling_first(layer: Layer) -> Sequence[Field]:
    """The fields of a map with ranges. nftables looks at one after the other, and keeps a list of what fits so far: it
    should be short from the beginning. A map of one field is another thing to nftables, and has trouble with ranges
    that touch; so there is a second one even if it says nothing.
    """
    silent = [field for field in layer.kind.key.value if field not in layer.kind.fields]
    fields = [*layer.kind.fields, *silent[: max(0, 2 - len(layer.kind.fields))]]
    return sorted(fields, key=lambda field: -len({field.of(box) for box in layer.chains}))


def _element(box: Box, fields: Iterable[Field], free: Mapping[Field, int]) -> str:
    """In nft syntax: free bits are 0."""
    intervals = ((field, *field.of(box)) for field in fields)
    return " . ".join(field.spell(first, last - free.get(field, 0)) for field, first, last in intervals)


def _sought(fields: Iterable[Field], free: Mapping[Field, int], expression: Callable[[Field], str]) -> str:
    """What is looked up, in nft syntax and one direction."""
    masks = {field: f" & {IPv6Address(_ALL_ADDRESSES[1] ^ bits)}" for field, bits in free.items() if bits}
    return " . ".join(expression(field) + masks.get(field, "") for field in fields)


def _any_overlap(there: Iterable[Box], boxes: Sequence[Box]) -> bool:
    return any(old.overlaps(new) for new in boxes for old in there)


def _kind(flow: Flow, box: Box) -> Kind:
    key = _key(flow.selector, box)
    fields = tuple(field for field in key.value if field.of(box) != field.everything)
    return Kind(key, fields, tuple(_free_bits(field, *field.of(box)) for field in fields), _condition(flow))


def _free_bits(field: Field, first: int, last: int) -> int | None:
    """Of a number or, of addresses, a prefix; None for a range."""
    free = last - first
    is_prefix = free & (free + 1) == 0 and first & free == 0
    return free if free == 0 or (field.is_address and is_prefix) else None


def _condition(flow: Flow) -> str:
    """What no map is looked up by: DSCP, a flow label together with ports or SPI, that there are ports at all, and what
    only the sender knows.
    """
    selector = flow.selector
    parts = [flow.condition] if flow.condition else []
    if selector.dscp is not None:
        parts.append(f"ip6 dscp {_range(selector.dscp.first, selector.dscp.last)}")
    if selector.flow_label is not None and (_has_ports(selector) or selector.spi is not None):
        parts.append(f"ip6 flowlabel {_range(selector.flow_label.first, selector.flow_label.last)}")
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
