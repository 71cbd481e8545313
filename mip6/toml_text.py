"""Settings as TOML: what `mip6.config` reads, written. What has its default is left out."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import datetime
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from mip6.form import key_of


def document(settings: Any) -> str:
    """The text for a settings class whose fields are tables."""
    parts = (_field(field.name, getattr(settings, field.name), field.default) for field in fields(settings))
    return "\n".join(part for part in parts if part)


def _field(name: str, value: object, default: object) -> str:
    if value == default:
        return ""
    if isinstance(value, tuple):
        return "\n".join(table(f"[[{name}]]", one) for one in value)
    return table(f"[{name}]", value)


def table(header: str, settings: Any) -> str:
    """A table under `header`, such as `[home]` or `[[node]]`, and behind it those that are in it."""
    told = dict(_told(settings))
    inner = [table(f"[{header.strip('[]')}.{name}]", value) for name, value in told.items() if is_dataclass(value)]
    lines = [f"{name} = {spell(value)}\n" for name, value in told.items() if not is_dataclass(value)]
    # A header without lines of its own says something only if nothing else does
    own = ["".join([f"{header}\n", *lines])] if lines or not inner else []
    return "\n".join([*own, *inner])


def _told(settings: Any) -> Iterator[tuple[str, object]]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            yield key_of(field), value


def spell(value: object) -> str:
    """A plain value, or a list of such. Raises TypeError for what is none."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case bytes():
            return f'"{value.hex()}"'
        case datetime():
            return value.isoformat()
        case IPv6Address() | IPv6Network():
            return f'"{value}"'
        case tuple():
            return f"[{', '.join(map(spell, value))}]"
        case str():
            # JSON's strings are TOML's, but for one character that JSON does not escape
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(f"TOML has no spelling for {value!r}")
