"""The firewall mark, which a packet carries through the kernel and nobody sees on the wire."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mark:
    """The bits of a mark that somebody looks at or sets."""

    value: int
    mask: int
