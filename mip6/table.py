"""An nftables table as a value, and the transaction that turns one into another. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import NamedTuple

Element = str | int | IPv6Address
"""Its text is nft syntax."""
Elements = frozenset[Element] | Mapping[Element, Element]

SPI = "@th,0,32"
"""Of an ESP packet, in nft syntax; in elements it is a number."""

_BEFORE_REASSEMBLY = -450


class Counter(NamedTuple):
    """What a named counter has seen."""

    packets: int = 0
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Set:
    """A set or a map of nftables, without its elements; `definition` in nft syntax. `kind`: set or map."""

    kind: str
    definition: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of rules in nft syntax. `hook`: where a base chain comes in; empty for one that others go to."""

    rules: tuple[str, ...]
    hook: str = ""


def reassembly(*kept: str) -> dict[str, Chain]:
    """Chains that have the kernel put fragments together before prerouting, but for the packets of these rules, which
    end in notrack. Nothing ever goes to `reassemble`: that there is such a rule is enough.
    """
    hook = f"type filter hook prerouting priority {_BEFORE_REASSEMBLY}; policy accept;"
    return {"reassemble": Chain(("meta l4proto tcp tproxy to :1",)), "keep_fragments": Chain(kept, hook)}


@dataclass(frozen=True, slots=True)
class Table:
    """An nftables table of ours. Whatever differs is changed, in one transaction; only when a set gets another
    definition, or a base chain another hook, is the table made anew, and its counters begin at 0.
    """

    name: str
    sets: Mapping[str, Set] = field(default_factory=dict)
    elements: Mapping[str, Elements] = field(default_factory=dict)
    """Elements of each named set, or key to value of each named map."""
    counters: frozenset[str] = frozenset()
    chains: Mapping[str, Chain] = field(default_factory=dict)

    def commands_to_create(self) -> str:
        """The transaction that makes the table what it should be, whatever it was before."""
        start = [f"table ip6 {self.name}", f"delete table ip6 {self.name}", f"table ip6 {self.name}"]
        return _lines([*start, *Table(self.name)._changes(self)])

    def commands_to_become(self, wanted: "Table") -> str:
        """The transaction that turns this table, as it stands in the kernel, into `wanted`; empty if it is already."""
        return _lines(self._changes(wanted)) if self.may_become(wanted) else wanted.commands_to_create()

    def may_become(self, wanted: "Table") -> bool:
        """Whether it need not be made anew."""
        hooks = (self.chains[name].hook == chain.hook for name, chain in wanted.chains.items() if name in self.chains)
        sets = (self.sets[name] == one for name, one in wanted.sets.items() if name in self.sets)
        return self.name == wanted.name and all(hooks) and all(sets)

    def can_wait(self, wanted: "Table") -> bool:
        """Whether traffic may move before this change: it adds nothing that the traffic might need."""
        return (
            self.may_become(wanted)
            and self.sets.keys() >= wanted.sets.keys()
            and self.chains.keys() >= wanted.chains.keys()
            and all(chain == self.chains[name] for name, chain in wanted.chains.items() if chain.hook)
            and all(
                _pairs(elements) <= _pairs(self.elements.get(name, frozenset()))
                for name, elements in wanted.elements.items()
            )
        )

    def _changes(self, wanted: "Table") -> Iterator[str]:
        """Commands; what refers to something comes after it, and goes before it."""
        table = f"ip6 {self.name}"
        for name in sorted(wanted.chains.keys() - self.chains.keys()):
            hook = wanted.chains[name].hook
            yield f"add chain {table} {name}" + (f" {{ {hook} }}" if hook else "")
        # Behind the chains: nft sends the first elements of a map of ranges together with the map
        for name in sorted(wanted.sets.keys() - self.sets.keys()):
            yield f"add {wanted.sets[name].kind} {table} {name} {{ {wanted.sets[name].definition} }}"
        yield from (f"add counter {table} {name}" for name in sorted(wanted.counters - self.counters))
        gone = sorted(self.chains.keys() - wanted.chains.keys())
        yield from (f"flush chain {table} {name}" for name in gone)
        for name, chain in wanted.chains.items():
            if chain.rules != (self.chains[name].rules if name in self.chains else ()):
                yield f"flush chain {table} {name}"
                yield from (f"add rule {table} {name} {rule}" for rule in chain.rules)
        for name in wanted.sets:
            old, new = _pairs(self.elements.get(name, frozenset())), _pairs(wanted.elements.get(name, frozenset()))
            yield from self._command("delete", name, old - new)
            yield from self._command("add", name, new - old)
        for name in sorted(self.sets.keys() - wanted.sets.keys()):
            yield f"delete {self.sets[name].kind} {table} {name}"
        yield from (f"delete chain {table} {name}" for name in gone)
        yield from (f"delete counter {table} {name}" for name in sorted(self.counters - wanted.counters))

    def _command(self, verb: str, name: str, elements: AbstractSet[tuple[Element, ...]]) -> Iterator[str]:
        if elements:
            spelled = sorted(" : ".join(map(str, element)) for element in elements)
            yield f"{verb} element ip6 {self.name} {name} {{ {', '.join(spelled)} }}"


def _pairs(elements: Elements) -> AbstractSet[tuple[Element, ...]]:
    """Of a map its keys with their values; what is in a set stands alone."""
    return elements.items() if isinstance(elements, Mapping) else {(element,) for element in elements}


def _lines(commands: Iterable[str]) -> str:
    return "".join(f"{command}\n" for command in commands)
