"""The transaction that turns one nftables table into another."""

from collections.abc import Container
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mip6.table import Chain, Elements, Set, Table

HOOK = "type filter hook input priority 0; policy accept;"
OLD = Table(
    "t",
    sets={"a": Set("set", "type x;"), "m": Set("map", "type x : verdict;")},
    elements={"a": frozenset(("x", "y")), "m": {1: "goto one", 3: "goto one"}},
    counters=frozenset(("seen",)),
    chains={"one": Chain(("counter name seen",)), "base": Chain(("ip6 saddr @a counter", "vmap @m"), HOOK)},
)


def test_a_table_is_made_whole_and_what_others_refer_to_comes_first() -> None:
    assert OLD.commands_to_create().splitlines() == [
        "table ip6 t",
        "delete table ip6 t",
        "table ip6 t",
        f"add chain ip6 t base {{ {HOOK} }}",
        "add chain ip6 t one",
        "add set ip6 t a { type x; }",
        "add map ip6 t m { type x : verdict; }",
        "add counter ip6 t seen",
        "flush chain ip6 t one",
        "add rule ip6 t one counter name seen",
        "flush chain ip6 t base",
        "add rule ip6 t base ip6 saddr @a counter",
        "add rule ip6 t base vmap @m",
        "add element ip6 t a { x, y }",
        "add element ip6 t m { 1 : goto one, 3 : goto one }",
    ]


def test_only_what_differs_is_touched() -> None:
    new = replace(
        OLD,
        elements={"a": frozenset(("y", "z")), "m": {1: "goto two", 3: "goto one"}},
        counters=frozenset(("more",)),
        chains={**OLD.chains, "one": Chain(()), "two": Chain(("counter name more",))},
    )
    assert OLD.commands_to_become(new).splitlines() == [
        "add chain ip6 t two",
        "add counter ip6 t more",
        "flush chain ip6 t one",
        "flush chain ip6 t two",
        "add rule ip6 t two counter name more",
        "delete element ip6 t a { x }",
        "add element ip6 t a { z }",
        "delete element ip6 t m { 1 : goto one }",
        "add element ip6 t m { 1 : goto two }",
        "delete counter ip6 t seen",
    ]
    assert new.commands_to_become(new) == ""


def test_what_goes_lets_go_of_others_first() -> None:
    bare = Table("t", chains={"base": Chain((), HOOK)})
    assert OLD.commands_to_become(bare).splitlines() == [
        "flush chain ip6 t one",
        "flush chain ip6 t base",
        "delete set ip6 t a",
        "delete map ip6 t m",
        "delete chain ip6 t one",
        "delete counter ip6 t seen",
    ]


def test_another_definition_or_hook_makes_it_anew() -> None:
    for other in (
        replace(OLD, sets={**OLD.sets, "a": Set("set", "type y;")}),
        replace(OLD, chains={**OLD.chains, "base": Chain((), HOOK.replace("input", "output"))}),
        replace(OLD, name="u"),
    ):
        assert not OLD.may_become(other)
        assert not OLD.can_wait(other)
        assert OLD.commands_to_become(other) == other.commands_to_create()


def test_traffic_may_move_before_what_only_goes_or_changes_where_it_goes() -> None:
    assert OLD.can_wait(OLD)
    assert OLD.can_wait(replace(OLD, elements={"a": frozenset(("x",)), "m": {}}))
    assert OLD.can_wait(replace(OLD, chains={**OLD.chains, "one": Chain(())}))
    assert not OLD.can_wait(replace(OLD, elements={**OLD.elements, "a": frozenset(("x", "y", "z"))}))
    assert not OLD.can_wait(replace(OLD, elements={**OLD.elements, "m": {1: "goto two"}}))
    assert not OLD.can_wait(replace(OLD, chains={**OLD.chains, "two": Chain(())}))
    assert not OLD.can_wait(replace(OLD, chains={**OLD.chains, "base": Chain((), HOOK)}))
    assert not OLD.can_wait(replace(OLD, sets={**OLD.sets, "b": Set("set", "type x;")}))


class StrictTable:
    """Takes commands as nft does: what is named has to exist, what exists is not made again, and nothing goes that
    something refers to.
    """

    def __init__(self) -> None:
        self.sets: dict[str, str] = {}
        self.chains: dict[str, list[str]] = {}
        self.counters: set[str] = set()
        self.elements: dict[str, dict[str, str]] = {}

    def perform(self, command: str) -> None:
        verb, kind, _, _, name, *rest = command.split(" ")
        if (verb, kind) == ("flush", "chain"):
            self.chains[name].clear()
        elif kind == "element":
            for element in " ".join(rest)[2:-2].split(", "):
                self._element(verb, name, *element.split(" : "))
        elif (verb, kind) == ("add", "rule"):
            rule = " ".join(rest)
            for word in rule.split():
                assert not word.startswith("@") or word[1:] in self.sets
            assert "counter name" not in rule or rule.split("counter name ")[1].split()[0] in self.counters
            self.chains[name].append(rule)
        elif verb == "add":
            assert name not in self._kind(kind)
            if kind == "chain":
                self.chains[name] = []
            elif kind == "counter":
                self.counters.add(name)
            else:
                self.sets[name], self.elements[name] = kind, {}
        else:
            self._delete(kind, name)

    def _kind(self, kind: str) -> Container[str]:
        return self.chains if kind == "chain" else self.counters if kind == "counter" else self.sets

    def _element(self, verb: str, name: str, key: str, value: str = "") -> None:
        if verb == "add":
            assert key not in self.elements[name]
            assert not value or value.removeprefix("goto ") in self.chains
            self.elements[name][key] = value
        else:
            assert self.elements[name].pop(key) == value

    def _delete(self, kind: str, name: str) -> None:
        rules = [rule for chain in self.chains.values() for rule in chain]
        if kind == "chain":
            assert not any(value == f"goto {name}" for some in self.elements.values() for value in some.values())
            assert self.chains.pop(name) == []
        elif kind == "counter":
            assert not any(f"counter name {name}" in rule for rule in rules)
            self.counters.remove(name)
        else:
            assert not any(f"@{name}" in rule for rule in rules)
            assert self.sets.pop(name) == kind
            del self.elements[name]


NAMES = st.sets(st.sampled_from("abc"))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Where chains refer to sets and counters, and maps to chains."""
    sets, maps, counters, flows = (sorted(draw(NAMES)) for _ in range(4))
    used = [f"ip6 saddr @s{name}" for name in sets] + [f"counter name c{name}" for name in counters]
    chains = {
        f"f{name}": Chain(tuple(draw(st.lists(st.sampled_from(used), max_size=2)) if used else ())) for name in flows
    }
    elements: dict[str, Elements] = {f"s{name}": frozenset(draw(NAMES)) for name in sets}
    for name in maps if flows else ():
        elements[f"m{name}"] = {key: f"goto f{draw(st.sampled_from(flows))}" for key in draw(NAMES)}
    return Table(
        "t",
        sets={f"s{name}": Set("set", "") for name in sets} | {f"m{name}": Set("map", "") for name in maps},
        elements=elements,
        counters=frozenset(f"c{name}" for name in counters),
        chains=chains | {"base": Chain(tuple(f"vmap @m{name}" for name in maps), HOOK)},
    )


def perform(kernel: StrictTable, commands: str) -> None:
    for command in commands.splitlines():
        kernel.perform(command)


@given(tables(), tables())
def test_any_table_becomes_any_other_by_commands_that_a_strict_kernel_takes(one: Table, other: Table) -> None:
    kernel = StrictTable()
    perform(kernel, Table("t").commands_to_become(one))
    perform(kernel, one.commands_to_become(other))
    assert kernel.sets == {name: found.kind for name, found in other.sets.items()}
    assert {name: tuple(rules) for name, rules in kernel.chains.items()} == {
        name: chain.rules for name, chain in other.chains.items()
    }
    assert kernel.counters == other.counters
    for name in other.sets:
        wanted = other.elements.get(name, frozenset())
        assert kernel.elements[name] == (wanted if isinstance(wanted, dict) else dict.fromkeys(wanted, ""))
