"""What is different between two settings of the same class, for people. Secrets are not shown."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from mip6.form import key_of
from mip6.toml_text import spell


class Change(NamedTuple):
    """`where`: keys, and names of list entries."""

    where: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return f"{'.'.join(self.where)}: {self.what}"


def changes(before: Any, after: Any, where: tuple[str, ...] = ()) -> Iterator[Change]:
    """In the order of the settings class."""
    for field in fields(before):
        yield from _value_changes(getattr(before, field.name), getattr(after, field.name), (*where, key_of(field)))


def _value_changes(before: Any, after: Any, where: tuple[str, ...]) -> Iterator[Change]:
    if before == after:
        return
    if before is None or after is None:
        yield Change(where, "added" if before is None else "removed")
    elif is_dataclass(before):
        yield from changes(before, after, where)
    elif isinstance(before, tuple) and any(map(is_dataclass, (*before, *after))):
        yield from _list_changes(before, after, where)
    elif isinstance(before, bytes):
        yield Change(where, "changed")
    else:
        yield Change(where, f"{spell(before)} -> {spell(after)}")


def _list_changes(before: tuple[Any, ...], after: tuple[Any, ...], where: tuple[str, ...]) -> Iterator[Change]:
    """Of tables that have a name, or something like it, in their first field."""
    old, new = _by_name(before), _by_name(after)
    yield from (Change((*where, name), "removed") for name in old if name not in new)
    for name, table in new.items():
        yield from _value_changes(old.get(name), table, (*where, name))
    if [name for name in old if name in new] != [name for name in new if name in old]:
        yield Change(where, "in another order")


def _by_name(tables: tuple[Any, ...]) -> dict[str, Any]:
    return {str(getattr(table, fields(table)[0].name)): table for table in tables}
