"""The security associations between a mobile node and its home agent as people see them: no keys, but what they did."""

import msgspec


class AssociationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One, in one direction. `octets` are those of the packets inside."""

    use: str
    """What it protects: mobility (messages), return routability, payload."""
    bid: int | None
    """Whose payload."""
    direction: str
    """up: from the mobile node; down."""
    spi: str
    """In hexadecimal, as `ip xfrm state` and tshark show it."""
    since: float
    packets: int
    octets: int
    replays: int
    """Packets dropped because they had come before, or too late to tell."""
    failures: int
    """Packets dropped because they were not authentic."""
