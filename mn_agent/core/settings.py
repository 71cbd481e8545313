"""What the operator decided. The configuration file has the same shape (mn_agent/config.py)."""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, IPv6Network, collapse_addresses
from typing import Annotated

from mip6.form import SPI, Choice, DomainName, HostName, Identity, Key, Range, in_place_of
from mip6.ike import Certificates
from mip6.ipsec import Association, StaticPair

ALL_LINKS, HOME_LINK, OTHER_LINKS = "all-links", "home-link", "other-links"


UNKNOWN = IPv6Address("::")
"""In place of a home agent's address that nobody has told yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The permanent address, and who serves it."""

    address: IPv6Address
    agent: Annotated[
        IPv6Address,
        'a global or unique local IPv6 address, or a whole host name, such as "2001:db8::1" or "ha.example.net"',
    ] = UNKNOWN
    agent_name: HostName | None = field(default=None, metadata=in_place_of("agent"))
    """The host that is the home agent, of which the DNS has the address."""
    domain: DomainName | None = None
    """The domain of which the DNS has the home agents (RFC 5026 section 5.1). Exactly one of these three is in the
    file."""
    alternatives: tuple[IPv6Address, ...] = ()
    """Other home agents that serve the same address and know us by the same name and keys, asked one after the other
    when `agent` does not answer."""
    discover: bool = False
    """Ask which others there are (RFC 6275 section 5.3)."""
    at_home: Annotated[str, Choice((ALL_LINKS, HOME_LINK, OTHER_LINKS))] = ALL_LINKS
    """What to use while one of the links is the home link (RFC 5648 section 5.5 and 5.6)."""

    @property
    def is_agent_known(self) -> bool:
        return self.agent != UNKNOWN

    @property
    def prefix(self) -> IPv6Network:
        """Of the home link."""
        return IPv6Network((self.address, 64), strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """The secret shared with the home agent (RFC 4285): `spi` names it, `identity` (user@realm) names us."""

    identity: Identity
    spi: Annotated[int, SPI]
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Ikev2:
    """IPsec with keys that strongSwan negotiates (RFC 4877)."""

    identity: Identity
    home_agent_identity: str
    secret: Key | None = None
    """Shared with the home agent."""
    certificates: Certificates | None = None
    """Exactly one of these two has to be there."""
    payload: bool = True
    """Whether all that goes through the tunnels is protected, and not only the messages; the same at the home agent."""
    vici: str = "/run/charon.vici"
    """Where strongSwan's charon is reached."""


class Security(Enum):
    """How messages to and from the home agent are protected; the same there. Never not at all."""

    AUTH_OPTION = "auth-option"
    MANUAL = "manual"
    IKEV2 = "ikev2"

    @property
    def is_ipsec(self) -> bool:
        return self is not Security.AUTH_OPTION


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationSettings:
    """How to register with the home agent."""

    lifetime_s: Annotated[int, Range(16, 262140, "a whole number of seconds")] = 600
    first_timeout_s: Annotated[float, Range(1, 30, "a number of seconds")] = 1.5
    """How long to wait for the first answer, while the home agent may be checking the home address
    (InitialBindackTimeoutFirstReg, RFC 6275 section 12)."""
    verify_links: bool = True
    """Register each new care-of address by an update of its own, sent from it: the home agent then sees that the
    address is reachable, and we that the link works (RFC 5648 section 10). Otherwise new ones share an update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbingSettings:
    """How to find out whether the path over a link is good."""

    notice_s: Annotated[float, Range(0.1, 60, "a number of seconds")] = 0.6
    """How soon to notice that the path is dead while traffic leaves over it; on a slow path a round trip later."""
    every_s: Annotated[float, Range(1, 3600, "a number of seconds")] = 10.0
    """How often to measure a path that need not be watched."""
    metered_every_s: Annotated[float, Range(1, 86400, "a number of seconds")] = 60.0
    """The same for metered links."""
    metered_octets_per_hour: Annotated[int, Range(1120, 1 << 30, "a whole number")] = 65536
    """What probes may cost on each metered link, answers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksSettings:
    """Which links to use, and in which order."""

    prefer: tuple[str, ...] = ("ethernet", "wifi", "lte")
    """Links by name, interface pattern or kind, the best first; links not listed come last."""
    exclude: tuple[str, ...] = (
        *("docker*", "br-*", "veth*", "virbr*"),
        *("tun*", "tap*", "wg*", "tailscale*", "ip6tnl*", "ip6gre*", "ip6_vti*", "sit*", "gre*"),
    )
    """Patterns of interface names that are no uplinks."""
    temporary_addresses: bool = False
    """Register temporary addresses (RFC 8981) rather than stable ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What an interface is called and what it is, where its own name does not tell."""

    interface: str
    """Pattern of interface names."""
    name: str | None = None
    kind: str | None = None
    metered: bool | None = None
    """Whether traffic costs; None: if it is an LTE link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptimizationSettings:
    """With whom payload goes directly, and not through the home agent (RFC 6275 section 11.6)."""

    correspondents: tuple[IPv6Network, ...] = ()
    """Single addresses, of which each is asked; of a network, those with whom there is traffic."""

    @property
    def hosts(self) -> frozenset[IPv6Address]:
        return frozenset(one.network_address for one in self.correspondents if one.prefixlen == one.max_prefixlen)

    @property
    def networks(self) -> tuple[IPv6Network, ...]:
        """None within another."""
        return tuple(collapse_addresses(one for one in self.correspondents if one.prefixlen < one.max_prefixlen))

    def includes(self, address: IPv6Address) -> bool:
        return any(address in one for one in self.correspondents)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """The networks behind this machine, if it is a mobile router (RFC 3963)."""

    prefixes: tuple[IPv6Network, ...] = ()
    """Theirs, as the home agent has them for us; none: this machine is a host."""
    interfaces: tuple[str, ...] = ()
    """Patterns of the interfaces that lead to them. They are no uplinks."""
    mode: Annotated[str, Choice(("explicit", "implicit"))] = "explicit"
    """Whether the home agent is told the prefixes, or knows them (RFC 3963 section 5.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the agent is reached, where it remembers, and where it learns which DNS servers there are."""

    socket: str = "/run/monami6/agent.sock"
    state: str = "/var/lib/monami6/agent.json"
    resolver: str = "/etc/resolv.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration of the agent."""

    home: Home
    authentication: Authentication | None = None
    manual: StaticPair | None = None
    """IPsec with keys that never change."""
    ikev2: Ikev2 | None = None
    """Exactly one of these three has to be there."""
    policy: str = "prefer-wired"
    """Name of the policy to begin with."""
    registration: RegistrationSettings = RegistrationSettings()
    probing: ProbingSettings = ProbingSettings()
    links: LinksSettings = LinksSettings()
    link: tuple[LinkSettings, ...] = ()
    route_optimization: RouteOptimizationSettings = RouteOptimizationSettings()
    router: RouterSettings = RouterSettings()
    paths: Paths = Paths()

    @property
    def security(self) -> Security:
        if self.ikev2 is not None:
            return Security.IKEV2
        return Security.AUTH_OPTION if self.authentication is not None else Security.MANUAL

    @property
    def association(self) -> Association:
        """Ours, for IPsec."""
        return Association(self.home.address, self.home.agent, networks=self.router.prefixes)

    @property
    def can_be_at_home(self) -> bool:
        """Messages that IPsec protects have no way from home, and what is behind a router has its way through the
        tunnel: for these the home link is a link like any other.
        """
        return not (self.security.is_ipsec or self.router.prefixes or self.router.interfaces)

    @property
    def protects_payload(self) -> bool:
        return self.ikev2 is not None and self.ikev2.payload

    @property
    def identity(self) -> str:
        """By which the home agent knows us: without another it is the home address."""
        known = self.authentication or self.ikev2
        return known.identity if known is not None else str(self.home.address)
