"""What `monami6 status` and `monami6 policy explain` show, as plain structures. A leaf: the command line shares it and
nothing else of the agent.

Instants are Unix times in seconds, None where there is none.
"""

import msgspec

from mip6.association_status import AssociationStatus

SCHEMA = 1
EXPLANATION_SCHEMA = 1


class Traffic(msgspec.Struct, frozen=True):
    """What went in one direction."""

    packets: int
    octets: int


class PathStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The path to the home agent over a link, as far as probes and traffic tell."""

    state: str
    """alive, dead, unknown."""
    rtt_ms: float | None
    jitter_ms: float | None
    loss: float | None
    """Of the last probes, 0 to 1."""


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One link and its binding."""

    name: str
    interface: str
    kind: str
    bid: int
    care_of_address: str | None
    state: str
    """registering, registered, updating, deregistering, refused, standby; unusable when there is no address; coming
    home or at home for the home link while it is the only one in use."""
    since: float | None
    until: float | None
    """When the binding expires."""
    carries_default: bool
    priority: int | None
    metered: bool
    captive: bool | None
    """Whether a captive portal is in the way; None when nobody knows."""
    leaving: bool
    """Whether NetworkManager is about to take it down."""
    connectivity: str | None
    """How far one gets over it: full, limited, portal, none; this and what follows as NetworkManager says."""
    connection: str | None
    """The name of what is active on it."""
    ssid: str | None
    signal_percent: int | None
    path: PathStatus
    waits_until: float | None
    """Until when it has to prove itself before traffic returns to it."""
    sent: Traffic | None
    """Through the tunnel; None when the kernel does not tell."""
    received: Traffic | None
    problem: str | None
    """Why the link is not used, or not as it should be."""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The registration as a whole."""

    state: str
    """registered, partly registered, registering, refused, no link, coming home, at home."""
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
    sent: dict[str, Traffic]
    """By link; without that of flows."""
    received: dict[str, Traffic]


class FlowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A flow of the policy."""

    name: str
    packets: list[str]
    """Which packets belong to it, as they come from the correspondent; and whose they are."""
    links: list[str]
    """Those that carry it, in the order of the policy."""
    since: float | None
    why: str
    pinned: str | None
    bound: str
    """Whether the home agent sends it there too: yes, not yet, unknown to it (only this machine can tell its packets),
    not supported, or refused and why.
    """
    sent: dict[str, Traffic]
    """By link."""
    received: dict[str, Traffic]


class IkeSaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The IKE SA with the home agent, as strongSwan has it."""

    care_of_address: str | None
    since: float


class IkeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The one care-of address for IKEv2 (RFC 5648 section 9.1)."""

    link: str | None
    care_of_address: str | None
    since: float | None
    why: str
    pinned: str | None
    strongswan: bool | None
    """Whether it is there; None when it is not asked for."""
    sa: IkeSaStatus | None
    """None: there is none that protects our messages."""


class CorrespondentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody to whom the way is to be direct (RFC 6275 section 11.6)."""

    address: str
    link: str | None
    """Over which payload goes directly; None: it goes through the tunnel."""
    care_of_addresses: dict[str, str]
    """Those that the correspondent has acknowledged, by link."""
    until: float | None
    """When the first of these bindings runs out."""
    again_at: float | None
    """When it is tried again."""
    problem: str | None


class NetworkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A network behind a mobile router."""

    prefix: str
    sent: Traffic | None
    """Through the tunnel; None when the kernel does not tell."""
    received: Traffic | None


class HostStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A host there that was heard of in the last hour."""

    address: str
    sent: Traffic | None
    received: Traffic | None


class RouterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is behind a mobile router (RFC 3963)."""

    mode: str
    """explicit, implicit; host: no home agent serves us as a router."""
    interfaces: list[str]
    """Those that lead inwards."""
    networks: list[NetworkStatus]
    hosts: list[HostStatus]
    problem: str | None


class LookupStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the DNS is asked for home agents (RFC 5026 section 5.1)."""

    question: str
    answered: float | None
    """None: not yet."""
    again: float | None
    """When it is asked next; None: it is being asked."""
    problem: str | None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `status`."""

    schema: int = SCHEMA
    home_address: str
    home_agent: str | None
    """None: nobody has told its address yet."""
    home_agent_name: str | None = None
    """What the DNS calls it."""
    home_agent_from: str = "configuration"
    """Where its address comes from: configuration; DNS; state file, as the DNS said before the agent was started; home
    agents, one of which told of it, or maybe the configuration.
    """
    lookup: LookupStatus | None = None
    """None: the DNS is not asked."""
    alternatives: list[str]
    """Home agents that are asked, in this order, when this one does not serve us."""
    preferred_until: float | None
    """From when the home address should be given up; None: nobody says so."""
    valid_until: float | None
    """From when it is none any more; None: nobody says so."""
    identity: str
    security: str
    registration: Registered
    policy: str
    default: DefaultTraffic
    flows: list[FlowStatus]
    ike: IkeStatus
    associations: list[AssociationStatus]
    """Those of IPsec that protect the messages to and from the home agent."""
    correspondents: list[CorrespondentStatus]
    router: RouterStatus | None = None
    """None for a host."""
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


class LinkReason(msgspec.Struct, frozen=True, kw_only=True):
    """Where a link stands, and why."""

    link: str
    place: int | None
    """From 1; None if it does not work."""
    criteria: dict[str, str]
    """What the policy ranks by, in its order, and what is known of this link."""
    why_not: str | None
    """Why nothing is sent over it, if that is so."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Where traffic goes, and why."""

    what: str
    links: list[str]
    why: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `explain`."""

    schema: int = EXPLANATION_SCHEMA
    policy: str
    description: str
    links: list[LinkReason]
    traffic: list[Reason]
    packet: Reason | None
    """Of the packet that was asked about: its flow, and where that goes."""
