"""What `monami6-ha status` shows, as plain structures. Instants are Unix times in seconds."""

import msgspec

from mip6.association_status import AssociationStatus

SCHEMA = 1


class BindingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One care-of address of a mobile node."""

    bid: int | None
    """None: the mobile node uses no binding identifiers."""
    care_of_address: str
    priority: int | None
    since: float
    until: float
    preferred: bool
    """Whether it gets what nothing else decides."""


class FlowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A flow of a mobile node, and what went over each of its bindings."""

    fid: int
    priority: int
    packets: str
    """Which packets belong to it."""
    bids: list[int]
    active: bool
    """Whether one of its bindings is there."""
    sent: dict[str, list[int]]
    """Packets and octets, by binding identifier."""


class PrefixStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Of a network behind a mobile router."""

    prefix: str
    forwarded: bool
    """Whether packets for it go through a tunnel now."""


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A mobile node."""

    name: str
    identity: str
    home_address: str
    security: str
    """How its messages are protected: auth-option, manual, ikev2."""
    ike_sa: bool | None
    """Whether strongSwan has an IKE SA with it; None when it needs none, or that is unknown."""
    associations: list[AssociationStatus]
    """Those of IPsec that protect its messages."""
    bindings: list[BindingStatus]
    flows: list[FlowStatus]
    router: bool = False
    """Whether it is bound as a mobile router."""
    prefixes: list[PrefixStatus] = []
    """Of the networks behind it."""


class HomeAgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Another home agent, which mobile nodes are told of."""

    address: str
    preference: int
    heard: bool
    """Whether it told of itself on the home link; otherwise the configuration names it."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `status`."""

    schema: int = SCHEMA
    address: str
    prefixes: list[str]
    interface: int | None
    """Index of the interface that has the address; None when none has it."""
    home_agents: list[HomeAgentStatus]
    """Others, the most preferred first."""
    nodes: list[NodeStatus]
    troubles: dict[str, str]
    counters: dict[str, int]
    """Packets and messages dropped, by reason, and tunnelled packets taken in."""
    version: str
    pid: int
    at: float
