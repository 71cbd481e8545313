"""What a setting may look like: annotations for the settings classes, read by `mip6.config`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass
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


_IN_PLACE_OF = "in place of"


def in_place_of(key: str) -> Mapping[str, str]:
    """Metadata of a field of a settings class: in the file the value stands under another key, whose own values look
    different.
    """
    return {_IN_PLACE_OF: key}


def key_of(field: "Field[Any]") -> str:
    """The key of a field in the file."""
    key: str = field.metadata.get(_IN_PLACE_OF, field.name)
    return key


_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_HOST_NAME_OCTETS = 253


def host_name(value: Any) -> str:
    """In lower case, without a final dot (RFC 1123 section 2.1). What could be an IPv4 address is none."""
    if not isinstance(value, str):
        raise TypeError
    name = value.lower().removesuffix(".")
    labels = name.split(".")
    good = len(labels) > 1 and len(name) <= _HOST_NAME_OCTETS and all(map(_LABEL.fullmatch, labels))
    if not good or labels[-1].isdigit():
        raise ValueError
    return name


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
HostName: TypeAlias = Annotated[str, Spelled('a whole host name, such as "ha.example.net"', host_name)]
DomainName: TypeAlias = Annotated[str, Spelled('a domain, such as "example.net"', host_name)]
Moment: TypeAlias = Annotated[
    datetime, Spelled("a date and time with its zone, such as 2027-01-31T00:00:00Z, without quotes", _moment)
]
