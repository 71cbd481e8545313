"""What a setting may look like: annotations for the settings classes, read by `mip6.config`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `least` to `most`, both included."""

    least: float
    most: float
    what: str = "a number"

    def allows(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"{self.what} from {self.least} to {self.most}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def allows(self, value: str) -> bool:
        return value in self.words

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Spelled:
    """A value with a spelling of its own. `read` makes it of what TOML gives, or raises ValueError or TypeError."""

    what: str
    read: Callable[[Any], Any]

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in the file that TOML names, relative to the configuration file. `secret`: nobody else may read it."""

    secret: bool = False

    def __str__(self) -> str:
        return "the name of a file"


def _moment(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError
    if value.tzinfo is None:
        raise ValueError
    return value


SPI = Range(256, 0xFFFFFFFF, "a whole number")
"""Security parameter indices (RFC 4285 section 5.1)."""

Identity: TypeAlias = Annotated[str, 'a network access identifier, such as "laptop@example.org"']
Certificate: TypeAlias = Annotated[bytes, Contents()]
PrivateKey: TypeAlias = Annotated[bytes, Contents(secret=True)]
Key: TypeAlias = Annotated[bytes, "a secret of 16 to 64 octets as hexadecimal digits"]
Moment: TypeAlias = Annotated[
    datetime, Spelled("a date and time with its zone, such as 2027-01-31T00:00:00Z, without quotes", _moment)
]
