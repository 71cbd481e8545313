"""What the operator decided. The configuration file has the same shape (home_agent/config.py)."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated

from mip6.form import SPI, Identity, Key, Moment, Range
from mip6.ike import Certificates
from mip6.ipsec import Association, StaticPair

SLOTS = 8
"""Care-of addresses of one mobile node that its flows can be told apart by: bits in the mark of a packet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAgent:
    """What is served, and with which limits."""

    address: IPv6Address
    prefixes: tuple[IPv6Network, ...]
    """Home prefixes: routed to this machine, and home addresses are taken from them."""
    home_link: str | None = None
    """The interface towards the home link, where hosts with home addresses are at home; None: there is no such link,
    all home addresses are away."""
    preference: Annotated[int, Range(-32768, 32767, "a whole number")] = 0
    """Among the home agents that mobile nodes are told of, the highest first."""
    max_lifetime_s: Annotated[int, Range(16, 262140, "a whole number of seconds")] = 3600
    max_bindings: Annotated[int, Range(1, SLOTS, "a whole number")] = SLOTS
    """Of one mobile node."""
    max_flows: Annotated[int, Range(0, 1000, "a whole number")] = 128
    """Of one mobile node; 0 takes no flow bindings at all."""
    several_care_of_addresses: bool = True
    bulk_registration: bool = True
    """Take several bindings in one update; off, every care-of address has to come in an update of its own (RFC 5648
    section 10)."""
    delegate: tuple[IPv6Network, ...] = ()
    """Routed to this machine: prefixes for networks behind mobile routers are taken from these."""
    mobile_routers: bool = True
    """Serve mobile routers, whose [[node]] has `prefixes` (RFC 3963)."""
    timestamp_window_s: Annotated[float, Range(3, 300, "a number of seconds")] = 7.0
    """How far a mobile node's clock may be off before it is told the time (RFC 4285 section 6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ikev2:
    """How strongSwan negotiates keys with mobile nodes (RFC 4877)."""

    identity: str
    """Ours, such as "ha.example.org"."""
    certificates: Certificates | None = None
    """For mobile nodes that share no secret with us."""
    vici: str = "/run/charon.vici"
    """Where strongSwan's charon is reached."""
    key_mobility: bool = True
    """Whether an IKE SA moves with its mobile node; otherwise it has to be made anew (RFC 6275 section 10.3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIkev2:
    """What a mobile node needs for that."""

    secret: Key | None = None
    """Shared with it; None: it has a certificate."""
    payload: bool = True
    """Whether all that goes through the tunnels is protected, and not only the messages; the same at the mobile node.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A mobile node: its home address, and how its messages are protected: by a secret shared with it (RFC 4285), by
    IPsec with keys that never change, or by IPsec and IKEv2.
    """

    name: str
    identity: Identity
    home_address: IPv6Address
    prefixes: tuple[IPv6Network, ...] = ()
    """Of the networks behind it, if it is a mobile router (RFC 3963)."""
    spi: Annotated[int, SPI] | None = None
    key: Key | None = None
    manual: StaticPair | None = None
    ikev2: NodeIkev2 | None = None

    @property
    def is_on_home_link(self) -> bool:
        """Whether its home address belongs there; not if it is from a network behind it."""
        return not any(self.home_address in prefix for prefix in self.prefixes)

    @property
    def is_ipsec(self) -> bool:
        return self.manual is not None or self.ikev2 is not None

    @property
    def protects_payload(self) -> bool:
        return self.ikev2 is not None and self.ikev2.payload

    @property
    def security(self) -> str:
        """As the mobile node's status calls it."""
        if self.ikev2 is not None:
            return "ikev2"
        return "auth-option" if self.manual is None else "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another home agent that serves the same home addresses: mobile nodes that ask are told of it."""

    address: IPv6Address
    preference: Annotated[int, Range(-32768, 32767, "a whole number")] = 0
    mobile_routers: bool = False
    """Whether it serves mobile routers, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """A home prefix, or one within it, that is to be given up."""

    prefix: IPv6Network
    valid_until: Moment | None = None
    """Until then there are bindings for its home addresses; None: for ever."""
    preferred_until: Moment | None = None
    """Until then nobody needs to look for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixDiscovery:
    """How often mobile nodes are told of prefixes without a question (RFC 6275 section 10.6.2)."""

    max_interval_s: Annotated[int, Range(4, 86400, "a whole number of seconds")] = 86400
    """MaxMobPfxAdvInterval."""
    min_interval_s: Annotated[int, Range(1, 86400, "a whole number of seconds")] = 600
    """MinMobPfxAdvInterval: of what is new nobody is told sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the home agent is reached and where it remembers."""

    socket: str = "/run/monami6/home-agent.sock"
    state: str = "/var/lib/monami6/home-agent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of the home agent."""

    home_agent: HomeAgent
    ikev2: Ikev2 | None = None
    node: tuple[Node, ...] = ()
    peer: tuple[Peer, ...] = ()
    prefix: tuple[Prefix, ...] = ()
    prefix_discovery: PrefixDiscovery = PrefixDiscovery()
    paths: Paths = Paths()

    def association(self, place: int) -> Association:
        """With the mobile node at this place, for IPsec."""
        node = self.node[place]
        return Association(node.home_address, self.home_agent.address, place, node.prefixes)

    @property
    def serves_mobile_routers(self) -> bool:
        return self.home_agent.mobile_routers and any(node.prefixes for node in self.node)
