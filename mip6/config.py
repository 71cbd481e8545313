"""Read a TOML file into settings classes (frozen dataclasses), and say precisely what is wrong with it.

An error names file, line, key, value and the right form. Unknown keys are errors, with the key that was probably
meant. Nothing is taken from a file that has an error.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib.util import find_spec
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

from mip6.form import Choice, Contents, Range, Spelled, key_of
from mip6.ipsec import ENCRYPTION_KEY_OCTETS, INTEGRITY_KEY_OCTETS, StaticPair

_T = TypeVar("_T")

Where: TypeAlias = tuple[str | int, ...]
"""Path of a value: keys, and places in lists."""

KEY_OCTETS = range(16, 65)


class ConfigError(Exception):
    """The file does not say what to do; the text is for people."""


class _Fault(NamedTuple):
    where: Where
    text: str


class _WrongError(Exception):
    def __init__(self, *faults: _Fault) -> None:
        self.faults = faults


def load(path: Path, kind: type[_T]) -> _T:
    """Read the file into `kind`. Raises ConfigError."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: {error}") from None
    return parse(text, kind, path)


def parse(text: str, kind: type[_T], path: Path) -> _T:
    """The same for a text; `path` is for the messages, and key files are looked for beside it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\(at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else str(path)
        raise ConfigError(f"{place}: not TOML: {error}") from None
    lines = line_numbers(text)
    try:
        settings: _T = _Reader(path.parent).table(kind, document, ())
    except _WrongError as error:
        raise ConfigError("\n".join(_message(path, lines, fault) for fault in error.faults)) from None
    return settings


def fault(path: Path, where: Where, what: str) -> ConfigError:
    """An error about a value that is well formed but cannot be used."""
    return ConfigError(_message(path, line_numbers(path.read_text()), _Fault(where, what)))


def check_ikev2(path: Path, where: Where) -> None:
    """Raises ConfigError when what talks to strongSwan is not installed."""
    if find_spec("vici") is None:
        raise fault(path, where, ": needs the Python package vici: pip install 'monami6[ikev2]'")


def check_dns(path: Path, where: Where) -> None:
    """Raises ConfigError when what asks the DNS is not installed."""
    if find_spec("dns") is None:
        raise fault(path, where, ": needs the Python package dnspython: pip install 'monami6[dns]'")


def check_static_keys(path: Path, pair: StaticPair, where: Where) -> None:
    """Raises ConfigError when the keys of one direction cannot be used."""
    for name, keys in (("up", pair.up), ("down", pair.down)):
        if len(keys.encryption_key) not in ENCRYPTION_KEY_OCTETS:
            raise fault(path, (*where, name, "encryption_key"), ": must be 16, 24 or 32 octets as hexadecimal digits")
        if len(keys.integrity_key) != INTEGRITY_KEY_OCTETS:
            raise fault(path, (*where, name, "integrity_key"), ": must be 32 octets as hexadecimal digits")
    if path.stat().st_mode & 0o077:
        raise fault(path, where, ": others may read these keys: chmod 600 the file")


def _message(path: Path, lines: Mapping[Where, int], fault: _Fault) -> str:
    where = fault.where
    while where and where not in lines:
        where = where[:-1]
    line = f":{lines[where]}" if where in lines else ""
    return f"{path}{line}: {_spell(fault.where)}{fault.text}"


def _spell(where: Where) -> str:
    """`node[2].key`: list places count from 1, as people do."""
    text = ""
    for part in where:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Reader:
    """Turns TOML values into what the annotations of a settings class say. Collects the faults of a whole table."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def table(self, kind: type[Any], table: object, where: Where) -> Any:
        if not isinstance(table, dict):
            raise _WrongError(_Fault(where, f" = {_show(table)}: must be a table"))
        hints = get_type_hints(kind, include_extras=True)
        table, faults = self._with_key_files(hints, table, where)
        known = {field.name: field for field in fields(kind)}
        keys = {key_of(field): field for field in known.values()}
        faults += [_unknown(key, value, keys, (*where, key)) for key, value in table.items() if key not in keys]
        table = _by_field(hints, known, table)
        values = {}
        for name, field in known.items():
            here = (*where, name)
            if name in table:
                try:
                    values[name] = self.value(hints[name], table[name], here)
                except _WrongError as error:
                    faults += error.faults
            elif field.default is MISSING and field.default_factory is MISSING and not _is_blamed(faults, here):
                faults.append(_Fault(here, f": is missing; it must be {_form(hints[name])}"))
        if faults:
            raise _WrongError(*faults)
        return kind(**values)

    def value(self, hint: Any, value: object, where: Where) -> Any:
        plain, limits = _strip(hint)
        spelled = _spelled(hint)
        contents = _contents(hint)
        if contents is not None:
            return self._read(contents, value, where)
        if spelled is None and is_dataclass(plain):
            return self.table(plain, value, where)  # type: ignore[arg-type]
        if get_origin(plain) is tuple:
            return self._sequence(get_args(plain)[0], value, where)
        try:
            converted = spelled.read(value) if spelled else _CONVERTERS[plain](value)
        except (ValueError, TypeError):
            raise _wrong(hint, value, where) from None
        if any(not limit.allows(converted) for limit in limits):
            raise _wrong(hint, value, where)
        return converted

    def _read(self, contents: Contents, value: object, where: Where) -> bytes:
        """What is in the file."""
        if not isinstance(value, str):
            raise _WrongError(_Fault(where, f" = {_show(value)}: must be {contents}"))
        file = self._directory / value
        try:
            if contents.secret and file.stat().st_mode & 0o077:
                raise _WrongError(_Fault(where, f" = {_show(value)}: others may read it: chmod 600 {file}"))
            return file.read_bytes()
        except OSError as error:
            raise _WrongError(_Fault(where, f" = {_show(value)}: {error.strerror}")) from None

    def _sequence(self, element: Any, value: object, where: Where) -> tuple[Any, ...]:
        """A list; a value that is alone needs no brackets."""
        if isinstance(value, dict):
            raise _WrongError(_Fault(where, f": begin it by [[{where[-1]}]], for there may be several"))
        if not isinstance(value, list):
            return (self.value(element, value, where),)
        elements: list[Any] = []
        faults: list[_Fault] = []
        for place, one in enumerate(value):
            try:
                elements.append(self.value(element, one, (*where, place)))
            except _WrongError as error:
                faults += error.faults
        if faults:
            raise _WrongError(*faults)
        return tuple(elements)

    def _with_key_files(
        self, hints: Mapping[str, Any], table: Mapping[str, Any], where: Where
    ) -> tuple[dict[str, Any], list[_Fault]]:
        """A secret may stand in a file of its own: `key_file` instead of `key`."""
        merged = dict(table)
        faults: list[_Fault] = []
        secrets = [name for name, hint in hints.items() if _strip(hint)[0] is bytes and _contents(hint) is None]
        for name in secrets:
            file = merged.pop(f"{name}_file", None)
            if file is None:
                continue
            here = (*where, f"{name}_file")
            if name in table:
                faults.append(_Fault(here, f": give either {name} or {name}_file, not both"))
                continue
            try:
                merged[name] = (self._directory / file).read_text().strip()
                _CONVERTERS[bytes](merged[name])
            except (OSError, TypeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "must be the path of a file"
                faults.append(_Fault(here, f" = {_show(file)}: {reason}"))
            except ValueError:
                del merged[name]
                faults.append(_Fault(here, f" = {_show(file)}: the file must hold {_form(hints[name])}"))
        return merged, faults


def _by_field(hints: Mapping[str, Any], known: Mapping[str, Field[Any]], table: Mapping[str, Any]) -> dict[str, Any]:
    """With each value that stands in place of another under the name of its own field."""
    named = dict(table)
    for name, field in known.items():
        key, spelled = key_of(field), _spelled(hints[name])
        if key != name and key in table and spelled is not None:
            with suppress(ValueError, TypeError):
                spelled.read(table[key])
                named[name] = named.pop(key)
    return named


def _is_blamed(faults: Sequence[_Fault], where: Where) -> bool:
    return any(fault.where in (where, (*where[:-1], f"{where[-1]}_file")) for fault in faults)


def _unknown(key: str, value: object, known: Mapping[str, Any], where: Where) -> _Fault:
    near = difflib.get_close_matches(key, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    shown = "" if isinstance(value, dict | list) else f" = {_show(value)}"
    return _Fault(where, f"{shown}: unknown key; {hint}")


def _wrong(hint: Any, value: object, where: Where) -> _WrongError:
    # A secret that is nearly right is still a secret
    shown = "" if _strip(hint)[0] is bytes else f" = {_show(value)}"
    return _WrongError(_Fault(where, f"{shown}: must be {_form(hint)}"))


def _show(value: object) -> str:
    """As TOML spells it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case dict():
            return "{...}"
        case list():
            return f"[{', '.join(_show(one) for one in value)}]"
    return str(value)


def _strip(hint: Any) -> tuple[Any, list[Range | Choice]]:
    """The bare type behind `Annotated` and `| None`, and the limits found on the way."""
    limits: list[Range | Choice] = []
    while get_origin(hint) in (Annotated, Union, UnionType):
        if get_origin(hint) is Annotated:
            hint, *notes = get_args(hint)
            limits += [note for note in notes if isinstance(note, Range | Choice)]
        else:
            (hint,) = [option for option in get_args(hint) if option is not type(None)]
    return hint, limits


def _spelled(hint: Any) -> Spelled | None:
    """The spelling that the annotation gives, also behind `| None`."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = [option for option in get_args(hint) if option is not type(None)]
    return next((note for note in getattr(hint, "__metadata__", ()) if isinstance(note, Spelled)), None)


def _contents(hint: Any) -> Contents | None:
    """Whether the value is what is in a file."""
    return next((note for note in getattr(hint, "__metadata__", ()) if isinstance(note, Contents)), None)


def _form(hint: Any) -> str:
    """The right form, in words."""
    kinds = str | Range | Choice | Spelled | Contents
    notes = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, kinds)]
    if notes:
        return str(notes[0])
    if spelled := _spelled(hint):
        return str(spelled)
    plain, limits = _strip(hint)
    if limits:
        return str(limits[0])
    if is_dataclass(plain):
        return f"a table with {', '.join(field.name for field in fields(plain) if field.default is MISSING)}"
    if get_origin(plain) is tuple:
        return f"{_form(get_args(plain)[0])}, or a list of such"
    return _FORMS[plain]


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _string(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError
    return value


def _address(value: object) -> IPv6Address:
    address = IPv6Address(_string(value))
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_loopback:
        raise ValueError
    return address


def _secret(value: object) -> bytes:
    secret = bytes.fromhex(_string(value).removeprefix("0x"))
    if len(secret) not in KEY_OCTETS:
        raise ValueError
    return secret


_CONVERTERS: Mapping[Any, Any] = {
    int: _integer,
    float: _number,
    bool: _boolean,
    str: _string,
    bytes: _secret,
    IPv6Address: _address,
    IPv6Network: lambda value: IPv6Network(_string(value)),
}

_FORMS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text in quotes that is not empty",
    bytes: "a secret as hexadecimal digits",
    IPv6Address: 'a global or unique local IPv6 address, such as "2001:db8::1"',
    IPv6Network: 'an IPv6 prefix without host bits, such as "2001:db8::/48"',
}

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_KEY_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")


def line_numbers(text: str) -> dict[Where, int]:
    """The line, from 1, on which each table, list entry and key of a TOML text begins."""
    lines: dict[Where, int] = {}
    counts: dict[Where, int] = {}
    table: Where = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            name: Where = tuple(_parts(header[2]))
            table = name
            if header[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                table = (*name, counts[name])
            lines.setdefault(name, number)
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(line):
            lines.setdefault((*table, *_parts(assignment[1])), number)
    return lines


def _parts(key: str) -> list[str]:
    return [part.strip("\"'") for part in _KEY_PART.findall(key)]
