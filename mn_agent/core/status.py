"""What `monami6 status` shows, as plain structures. A leaf: the command line shares it and nothing else of the agent.

Instants are Unix times in seconds, None where there is none.
"""

import msgspec

SCHEMA = 1


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One link and its binding."""

    name: str
    interface: str
    kind: str
    bid: int
    care_of_address: str | None
    state: str
    """registering, registered, updating, deregistering, refused, standby; unusable when there is no address."""
    since: float | None
    until: float | None
    """When the binding expires."""
    carries_default: bool
    priority: int | None
    problem: str | None
    """Why the link is not used, or not as it should be."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The registration as a whole."""

    state: str
    """registered, partly registered, registering, refused, no link."""
    since: float | None
    until: float | None
    care_of_addresses: str
    """several or one: how many the home agent takes."""
    problem: str | None


class DefaultTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Which link carries the traffic that no rule of its own claims."""

    link: str | None
    since: float | None
    why: str
    pinned: str | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `status`."""

    schema: int = SCHEMA
    home_address: str
    home_agent: str
    identity: str
    security: str
    registration: Registered
    default: DefaultTraffic
    links: list[LinkStatus]
    clock_offset_s: float | None
    """The home agent's time of day less ours, as far as its answers tell; None before the first."""
    troubles: dict[str, str]
    """What the operating system refuses, by what it is about."""
    counters: dict[str, int]
    """Packets and messages that were dropped, by reason, and tunnelled packets taken in."""
    version: str
    pid: int
    at: float
