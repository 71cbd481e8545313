"""The configuration files of a lab's programs. Pure."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mn_lab.layout import HOME_ADDRESS, HOME_AGENT_ADDRESS, HOME_PREFIX, MOBILE_SIDE, Layout, Link

_IDENTITY, _SPI = "mobile@lab.example.org", 1000

Table = Mapping[str, Any]


def agent(layout: Layout, directory: Path, key: str, extra: str = "") -> str:
    """The agent's, with `extra` (TOML) laid over it. `key`: the secret, in hexadecimal."""
    base = {
        "home": {"address": str(HOME_ADDRESS), "agent": str(HOME_AGENT_ADDRESS)},
        "authentication": {"identity": _IDENTITY, "spi": _SPI, "key": key},
        "paths": {"socket": str(directory / "agent.sock"), "state": str(directory / "agent.json")},
        "link": [{"interface": link.interface, "name": link.name, "kind": link.kind} for link in layout.links],
    }
    return write(merge(base, tomllib.loads(extra)))


def home_agent(directory: Path, key: str, extra: str = "") -> str:
    """The home agent's, likewise."""
    node = {"name": "mn", "identity": _IDENTITY, "home_address": str(HOME_ADDRESS), "spi": _SPI, "key": key}
    base = {
        "home_agent": {"address": str(HOME_AGENT_ADDRESS), "prefixes": [str(HOME_PREFIX)]},
        "paths": {"socket": str(directory / "home-agent.sock"), "state": str(directory / "home-agent.json")},
        "node": [node],
    }
    return write(merge(base, tomllib.loads(extra)))


def router_advertisements(link: Link) -> str:
    """radvd's, for an access router."""
    return f"""\
interface {MOBILE_SIDE} {{
  AdvSendAdvert on;
  MinRtrAdvInterval 10;
  MaxRtrAdvInterval 30;
  AdvDefaultLifetime 1800;
  prefix {link.prefix} {{ }};
}};
"""


def merge(base: Table, extra: Table) -> dict[str, Any]:
    """`base` with the values of `extra`; tables are merged, anything else is replaced."""
    merged = dict(base)
    for key, value in extra.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def write(document: Table) -> str:
    """TOML of a document made of tables, lists of tables, and in these plain values and lists of them."""
    lines: list[str] = []
    for name, content in document.items():
        for table in content if isinstance(content, list) else [content]:
            lines.append(f"[[{name}]]" if isinstance(content, list) else f"[{name}]")
            # Numbers, strings, booleans and lists of them look the same in JSON
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
            lines.append("")
    return "\n".join(lines)
