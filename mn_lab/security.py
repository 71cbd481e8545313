"""How the messages of a lab are protected: what both configuration files say of it, with new secrets."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

IDENTITY = "mobile@lab.example.org"
_SPI = 1000

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Security:
    """Tables of the agent's configuration, and what it says there in the home agent's [[node]]."""

    of_agent: Table
    of_node: Table


def auth_option() -> Security:
    """The authentication option (RFC 4285)."""
    secret = {"spi": _SPI, "key": secrets.token_hex(16)}
    return Security({"authentication": {"identity": IDENTITY, **secret}}, secret)


def manual() -> Security:
    """IPsec with keys that never change."""
    pair = {"up": _static_keys(_SPI), "down": _static_keys(_SPI + 1)}
    return Security({"manual": pair}, {"manual": pair})


def _static_keys(spi: int) -> Table:
    return {"spi": spi, "encryption_key": secrets.token_hex(16), "integrity_key": secrets.token_hex(32)}


MODES = {"auth-option": auth_option, "manual": manual}
