"""How the messages of a lab are protected: what both configuration files say of it, with new secrets."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mn_lab import strongswan
from mn_lab.layout import HOME_AGENT, MOBILE_NODE

IDENTITY, HOME_AGENT_IDENTITY = "mobile@lab.example.org", "ha.lab.example.org"
_SPI = 1000

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Security:
    """Tables of the agent's configuration, what the home agent's [[node]] says, and tables beside that. `has_ike`:
    strongSwan has to run at both ends.
    """

    of_agent: Table
    of_node: Table
    of_home_agent: Table = field(default_factory=dict)
    has_ike: bool = False


def auth_option(directory: Path) -> Security:  # noqa: ARG001
    """The authentication option (RFC 4285)."""
    secret = {"spi": _SPI, "key": secrets.token_hex(16)}
    return Security({"authentication": {"identity": IDENTITY, **secret}}, secret)


def manual(directory: Path) -> Security:  # noqa: ARG001
    """IPsec with keys that never change."""
    pair = {"up": _static_keys(_SPI), "down": _static_keys(_SPI + 1)}
    return Security({"manual": pair}, {"manual": pair})


def _static_keys(spi: int) -> Table:
    return {"spi": spi, "encryption_key": secrets.token_hex(16), "integrity_key": secrets.token_hex(32)}


def ikev2(directory: Path) -> Security:
    """IPsec with keys that strongSwan negotiates."""
    secret = secrets.token_hex(32)
    identities = {"identity": IDENTITY, "home_agent_identity": HOME_AGENT_IDENTITY}
    vici = {node: str(strongswan.vici(directory, node)) for node in (MOBILE_NODE, HOME_AGENT)}
    return Security(
        {"ikev2": {**identities, "secret": secret, "vici": vici[MOBILE_NODE]}},
        {"ikev2": {"secret": secret}},
        {"ikev2": {"identity": HOME_AGENT_IDENTITY, "vici": vici[HOME_AGENT]}},
        has_ike=True,
    )


MODES: Mapping[str, Callable[[Path], Security]] = {"auth-option": auth_option, "manual": manual, "ikev2": ikev2}
"""Each is given the lab's directory."""
