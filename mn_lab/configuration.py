"""The configuration files of a lab's programs. Pure."""

import json
import tomllib
from collections.abc import Mapping
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

from mn_lab.layout import HOME_ADDRESS, HOME_AGENT_ADDRESS, HOME_PREFIX, INSIDE, MOBILE_NETWORK, Layout
from mn_lab.security import IDENTITY, Security

Table = Mapping[str, Any]


def agent(layout: Layout, directory: Path, security: Security, extra: str = "") -> str:
    """The agent's, with `extra` (TOML) laid over it; where that has the home agent's domain, without its address."""
    base: dict[str, Any] = {
        "home": {"address": str(HOME_ADDRESS), "agent": str(HOME_AGENT_ADDRESS)},
        **security.of_agent,
        "paths": {"socket": str(directory / "agent.sock"), "state": str(directory / "agent.json")},
        "link": [{"interface": link.interface, "name": link.name, "kind": link.kind} for link in layout.links],
    }
    if layout.router:
        base["router"] = {"prefixes": [str(MOBILE_NETWORK)], "interfaces": [INSIDE]}
    more = tomllib.loads(extra)
    if "domain" in more.get("home", {}):
        del base["home"]["agent"]
    return write(merge(base, more))


def home_agent(layout: Layout, directory: Path, security: Security, extra: str = "") -> str:
    """The home agent's, likewise."""
    prefixes = {"prefixes": [str(MOBILE_NETWORK)]} if layout.router else {}
    node = {"name": "mn", "identity": IDENTITY, "home_address": str(HOME_ADDRESS), **prefixes, **security.of_node}
    base = {
        "home_agent": {"address": str(HOME_AGENT_ADDRESS), "prefixes": [str(HOME_PREFIX)]},
        **security.of_home_agent,
        "paths": {"socket": str(directory / "home-agent.sock"), "state": str(directory / "home-agent.json")},
        "node": [node],
    }
    return write(merge(base, tomllib.loads(extra)))


def router_advertisements(interface: str, prefix: IPv6Network, mtu: int | None = None) -> str:
    """radvd's, for one interface."""
    link_mtu = f"\n  AdvLinkMTU {mtu};" if mtu is not None else ""
    return f"""\
interface {interface} {{
  AdvSendAdvert on;
  MinRtrAdvInterval 10;
  MaxRtrAdvInterval 30;
  AdvDefaultLifetime 1800;{link_mtu}
  prefix {prefix} {{ }};
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
