"""What a policy says: how links rank, when traffic returns to a better one, and which flows go where.

A policy file has the same shape (policies/README.md); mip6.config reads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Network
from typing import Annotated, TypeAlias

from mip6.form import Choice, Range, Spelled
from mip6.protocols import PROTOCOLS
from mip6.wire.traffic_selectors import Span

CRITERIA = ("captive", "loss", "metered", "rtt", "order")
"""What links can be ranked by: whether a captive portal is in the way, whether they lose more than
`most_loss_percent`, whether they are metered, their round-trip time, their place in `order`."""

_DSCP = {
    **{f"cs{number}": 8 * number for number in range(8)},
    **{f"af{row}{drop}": 8 * row + 2 * drop for row in range(1, 5) for drop in range(1, 4)},
    "ef": 46,
}


def _number(word: str, names: dict[str, int], most: int) -> int:
    number = names[word.lower()] if word.lower() in names else int(word, 0)
    if not 0 <= number <= most:
        raise ValueError
    return number


def _protocol(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return _number(str(value), PROTOCOLS, 255)


def _span(names: dict[str, int], most: int) -> Callable[[object], Span[int]]:
    """Reads `5060`, `"5060"` or `"16384-32767"`."""

    def read(value: object) -> Span[int]:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise TypeError
        first, dash, last = str(value).partition("-")
        span = Span(_number(first.strip(), names, most), _number((last if dash else first).strip(), names, most))
        if span.first > span.last:
            raise ValueError
        return span

    return read


Protocol: TypeAlias = Annotated[int, Spelled(f"a protocol: {', '.join(PROTOCOLS)}, or its number", _protocol)]
Ports: TypeAlias = Annotated[Span[int], Spelled('a port, or a range such as "16384-32767"', _span({}, 0xFFFF))]
Dscp: TypeAlias = Annotated[Span[int], Spelled('a DSCP such as "ef", "af41" or 46, or a range', _span(_DSCP, 63))]
Spi: TypeAlias = Annotated[
    Span[int], Spelled('an SPI such as 0x1000, or a range "0x1000-0x1fff"', _span({}, 0xFFFFFFFF))
]
Label: TypeAlias = Annotated[Span[int], Spelled("a flow label of 20 bits, or a range", _span({}, 0xFFFFF))]
Criterion: TypeAlias = Annotated[str, Choice(CRITERIA)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """How links rank."""

    rank: tuple[Criterion, ...] = ("captive", "loss", "order")
    """The first criterion that tells two links apart decides."""
    order: tuple[str, ...] = ()
    """Links by name, interface pattern or kind, the best first; empty: as the agent's configuration has it."""
    return_after_s: Annotated[float, Range(0, 3600, "a number of seconds")] = 5.0
    """How long a link that had failed has to be good again before traffic returns to it; and how long another has to
    measure better. Doubled each time the link fails again."""
    most_loss_percent: Annotated[float, Range(0, 100, "a number of percent")] = 5.0
    rtt_margin_ms: Annotated[float, Range(1, 1000, "a number of milliseconds")] = 20.0
    """Round-trip times in the same step of this size are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRule:
    """Packets, and the links for them. A packet has to match everything that is said, one value of each list."""

    name: str
    via: tuple[str, ...] = ()
    """Links by name, interface pattern or kind: the first that works; without any that does, the default's."""
    copies: Annotated[int, Range(1, 7, "a whole number")] = 1
    """On how many links to send the same packets at once."""
    protocol: tuple[Protocol, ...] = ()
    port: tuple[Ports, ...] = ()
    """Of the correspondent."""
    local_port: tuple[Ports, ...] = ()
    to: tuple[IPv6Network, ...] = ()
    """Correspondents."""
    local: tuple[IPv6Network, ...] = ()
    """Of this end: hosts behind a mobile router."""
    dscp: tuple[Dscp, ...] = ()
    spi: tuple[Spi, ...] = ()
    flow_label: tuple[Label, ...] = ()
    user: str | None = None
    """Whose packets: a user's name or number. The home agent cannot know it: for what comes back, say more."""
    cgroup: str | None = None
    """Packets of a control group, such as "user.slice/backup.service"; likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole policy. Flows are in the order of their priorities: the first that matches has the packet."""

    description: str
    links: Ranking = Ranking()
    flow: tuple[FlowRule, ...] = ()
