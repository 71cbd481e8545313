"""What a daemon tells of itself; what its core tells is in the core's notices. docs/events.md says what all mean."""

import logging
from collections.abc import Mapping
from enum import Enum


class Occurrence(Enum):
    """The names."""

    CONFIGURATION = "configuration"
    CONFIGURATION_REFUSED = "configuration-refused"


LEVELS: Mapping[str, int] = {
    "configuration-refused": logging.ERROR,
    "home-agent": logging.WARNING,
    "refused": logging.WARNING,
    "router": logging.WARNING,
    "trouble": logging.WARNING,
}
"""How bad what has this name is; all else is for information."""
