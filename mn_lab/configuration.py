"""The configuration files of a lab's programs. Pure."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mn_lab.layout import HOME_ADDRESS, HOME_AGENT_ADDRESS, HOME_PREFIX, MOBILE_SIDE, Layout, Link
from mn_lab.security import IDENTITY, Security

Table = Mapping[str, Any]


def agent(layout: Layout, directory: Path, security: Security, extra: str = "") -> str:
    """The agent's, with `extra` (TOML) laid over it."""
    base = {
        "home": {"address": str(HOME_ADDRESS), "agent": str(HOME_AGENT_ADDRESS)},
        **security.of_agent,
        "paths": {"socket": str(directory / "agent.sock"), "state": str(directory / "agent.json")},
        "link": [{"interface": link.interface, "name": link.name, "kind": link.kind} for link in layout.links],
    }
    return write(merge(base, tomllib.loads(extra)))


def home_agent(directory: Path, security: Security, extra: str = "") -> str:
    """The home agent's, likewise."""
    node = {"name": "mn", "identity": IDENTITY, "home_address": str(HOME_ADDRESS), **security.of_node}
    base = {
        "home_agent": {"address": str(HOME_AGENT_ADDRESS), "prefixes": [str(HOME_PREFIX)]},
        **security.of_home_agent,
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
    """TOML of a document made of tables, lists of tables, and in these plain values, lists of them, and tables."""
    lines: list[str] = []
    for name, content in document.items():
        for table in content if isinstance(content, list) else [content]:
            lines.append(f"[[{name}]]" if isinstance(content, list) else f"[{name}]")
            lines += [f"{key} = {_value(value)}" for key, value in table.items()]
            lines.append("")
    return "\n".join(lines)


def _value(value: object) -> str:
    """Numbers, strings, booleans and lists of them look the same in JSON."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_value(inner)}' for key, inner in value.items())} }}"
    return json.dumps(value)
