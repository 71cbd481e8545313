"""All that the home agent knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from home_agent.core.cache import Cache
from home_agent.core.home_agents import HomeAgents
from home_agent.core.home_link import Check, Defence, HomeLink
from home_agent.core.prefix_discovery import Tellings
from home_agent.core.prefixes import Heard, HomePrefix
from home_agent.core.revocation import Revocation, Revoked
from home_agent.core.settings import Node, Settings
from home_agent.core.switch import Switch
from mip6.ike_sas import IkeSa
from mip6.path_mtu import PathMtus
from mip6.reception import ErrorLimit
from mip6.tunnels import Tunnels


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface that has the home agent's address."""

    index: int
    mtu: int


@dataclass(frozen=True, slots=True)
class State:
    """The home agent's state."""

    settings: Settings
    nodes: Mapping[bytes, Node]
    """By identity."""
    epoch_offset_s: float
    """The time of day less the time given to `step`, fixed when the home agent starts: timestamps of mobile nodes are
    compared with this, and a jump of the wall clock shuts nobody out."""
    owners: Mapping[IPv6Address, Node]
    """By home address."""
    cache: Cache = field(default_factory=dict)
    uplink: Uplink | None = None
    sas: tuple[IkeSa, ...] | None = None
    """What charon has; None while it is not there."""
    established: frozenset[str] = frozenset()
    """Its connections that have an IKE SA, or had when it was there last."""
    tunnels: Mapping[IPv6Address, Tunnels] = field(default_factory=dict)
    """Those that IPsec protects, by home address."""
    path_mtus: PathMtus = field(default_factory=dict)
    """Of the paths that those take."""
    revocations: Mapping[IPv6Address, Revocation] = field(default_factory=dict)
    """Under way, by home address."""
    revoked: Mapping[IPv6Address, Revoked] = field(default_factory=dict)
    """How the last one ended, by home address."""
    switches: Mapping[IPv6Address, Switch] = field(default_factory=dict)
    """Mobile nodes that are to go to another home agent, by home address."""
    home_link: HomeLink | None = None
    senders: Mapping[IPv6Address, bytes] = field(default_factory=dict)
    """Mobile nodes whose last update came from the home link: their hardware addresses there, by home address."""
    checks: Mapping[IPv6Address, Check] = field(default_factory=dict)
    """Home addresses that may be somebody else's on the home link."""
    defences: Mapping[IPv6Address, Defence] = field(default_factory=dict)
    """Home addresses that we stand in for there."""
    home_agents: HomeAgents = field(default_factory=dict)
    """Others there."""
    heard: Heard = field(default_factory=Heard)
    """Of prefixes there."""
    prefixes: Mapping[IPv6Address, tuple[HomePrefix, ...]] = field(default_factory=dict)
    """All that a mobile node is to know, its own first, by home address."""
    tellings: Tellings = field(default_factory=dict)
    """What mobile nodes are told of prefixes."""
    troubles: Mapping[str, str] = field(default_factory=dict)
    """What the operating system refuses, by what it is about."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Messages that were dropped or refused, by reason."""
    error_limit: ErrorLimit = field(default_factory=ErrorLimit)
