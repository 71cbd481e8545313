"""All that the agent knows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from math import inf

from mip6.ipsec import RETURN_ROUTABILITY
from mip6.path_mtu import PathMtus
from mip6.reception import ErrorLimit
from mip6.wire.registry import Status
from mn_agent.core.bindings import Entry, Registration, carrying, source
from mn_agent.core.correspondents import Correspondents
from mn_agent.core.devices import Devices
from mn_agent.core.discovery import Discovery
from mn_agent.core.dns import Lookup
from mn_agent.core.flows import Flows
from mn_agent.core.homecoming import AWAY, Homecoming, Phase
from mn_agent.core.ike import Ike
from mn_agent.core.interfaces import Snapshot
from mn_agent.core.links import Link
from mn_agent.core.policy import Decision, Pins, View
from mn_agent.core.prefix_discovery import PrefixDiscovery
from mn_agent.core.probing import Probing, Target
from mn_agent.core.revocation import Revoked
from mn_agent.core.routers import Routers
from mn_agent.core.settings import ALL_LINKS, OTHER_LINKS, Security, Settings

ROUTE_OPTIMIZATION = "route optimization"
"""What a trouble is about without which the way to correspondents could be direct."""


@dataclass(frozen=True, slots=True)
class Going:
    """We leave the home agent for one of these; it may confirm until then that we left."""

    home_agents: tuple[IPv6Address, ...]
    until_at: float
    why: str = "sends us away"


@dataclass(frozen=True, slots=True)
class State:
    """The agent's state. Maps are by binding identifier unless they say otherwise."""

    settings: Settings
    """Their `home` begins with the home agent in use (home_agents.py)."""
    registration: Registration
    flows: Flows
    """The policy in use."""
    discovery: Discovery
    prefixes: PrefixDiscovery
    lookup: Lookup = field(default_factory=Lookup)
    """What the DNS says of home agents."""
    chosen: str | None = None
    """Its name, if somebody chose it; otherwise it is the configuration's."""
    interfaces: Snapshot = ()
    routers: Routers = field(default_factory=dict)
    devices: Devices = field(default_factory=dict)
    """The same interfaces, as NetworkManager sees them."""
    links: Mapping[int, Link] = field(default_factory=dict)
    links_since: Mapping[int, float] = field(default_factory=dict)
    """Since when each link has been usable, or not for its present reason."""
    slots: Mapping[int, int] = field(default_factory=dict)
    """A small number for each link: a bit in the mark of its packets."""
    bids: Mapping[str, int] = field(default_factory=dict)
    """The identifier of every interface name ever seen."""
    pins: Pins = field(default_factory=Pins)
    ike: Ike = field(default_factory=Ike)
    path_mtus: PathMtus = field(default_factory=dict)
    """Of the paths that tunnels take which IPsec protects."""
    decision: Decision = field(default_factory=Decision)
    probing: Probing = field(default_factory=Probing)
    revoked: Revoked | None = None
    homecoming: Homecoming = AWAY
    seen: frozenset[IPv6Address] = frozenset()
    """With whom there is traffic, of those that may be asked for a direct way."""
    correspondents: Correspondents = field(default_factory=Correspondents)
    home_agent_since_at: float = -inf
    """Since when this home agent is in use."""
    going: Going | None = None
    home_agents_tried: int = 0
    """In a row, that have not served us."""
    troubles: Mapping[str, str] = field(default_factory=dict)
    """What the operating system refuses, by what it is about."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Received messages that changed nothing, by reason."""
    error_limit: ErrorLimit = field(default_factory=ErrorLimit)

    def source_address(self, entry: Entry) -> IPv6Address | None:
        """The care-of address for the outer header of this binding's packets; None when the link has it no more."""
        link = self.links.get(entry.bid)
        care_of = source(self.registration, entry)
        if care_of == self.settings.home.address:
            return care_of if link is not None and link is self.home_link else None
        return care_of if link is not None and care_of in link.addresses else None

    @property
    def home_link(self) -> Link | None:
        """The link on which we are at home, if it works and is to be used as such."""
        if self.settings.home.at_home == OTHER_LINKS or self.homecoming.phase is Phase.DUPLICATE:
            return None
        there = (link for link in self.links.values() if link.at_home and link.carries and not link.leaving)
        return next((link for link in there if not self.is_dead(link.bid)), None)

    @property
    def home_for_good(self) -> Link | None:
        """The same, if no binding stays beside it: nobody wants that, or the home agent does not know how (RFC 5648
        section 5.6).
        """
        link, known = self.home_link, self.registration
        able = known.beside and known.multiple and known.bulk and link is not None and link.hardware_address
        return link if not able or self.settings.home.at_home != ALL_LINKS else None

    def why_unused(self, link: Link) -> str | None:
        """What at home speaks against using this link; None: nothing."""
        known = self.homecoming
        if known.bid is None and not link.at_home:
            return None
        home = self.home_link
        if known.phase is Phase.DUPLICATE and link.at_home:
            return "somebody else on the home link has the home address"
        if known.phase is not Phase.DUPLICATE and known.bid not in (None, link.bid):
            return "this machine is at home, and only its home link is used"
        if link.at_home and self.settings.home.at_home == OTHER_LINKS:
            return f'it is the home link, which is not used: at_home = "{OTHER_LINKS}"'
        return "another interface is on the home link, too" if link.at_home and home not in (None, link) else None

    @property
    def holds_home_address(self) -> Link | None:
        """The link on which everybody may know that the home address is there."""
        link = self.home_link
        if link is None or self.homecoming.has_address:
            return link
        entry = self.registration.entries.get(link.bid)
        held = entry.binding if entry is not None else None
        alone = held is not None and held.care_of == self.settings.home.address and held.status == Status.ACCEPTED
        return link if alone else None

    def carries(self, entry: Entry) -> bool:
        """Whether packets sent through this binding's tunnel get out, and to the home agent."""
        gets_out = self.source_address(entry) is not None and self.links[entry.bid].carries
        return gets_out and not self.is_dead(entry.bid) and not self._lacks_tunnel(entry.bid)

    def has_tunnel(self, bid: int) -> bool:
        """Whether packets can be sent through this binding's tunnel as they have to be."""
        return not self.settings.protects_payload or bid in self.ike.tunnels

    def _lacks_tunnel(self, bid: int) -> bool:
        """Whether there is none, and will not be in a moment either: when the IKE SA is made anew, all are missing."""
        tried = self.ike.tunnel_tries.get(bid)
        return not self.has_tunnel(bid) and tried is not None and tried.count > 2

    def is_dead(self, bid: int) -> bool:
        """Whether the path over this link does not reach the home agent, though the link is up."""
        path = self.probing.paths.get(bid)
        return path is not None and path.dead

    @property
    def carrier(self) -> Link | None:
        """The link that carries the default traffic."""
        default = self.decision.default
        return self.links.get(default.bids[0]) if default is not None else None

    @property
    def can_protect(self) -> bool:
        """Whether messages to the home agent can be sent: those that IKE protects have to wait for it."""
        return self.settings.security is not Security.IKEV2 or self.ike.is_ready

    @property
    def optimizes(self) -> bool:
        """Whether the way to correspondents can be direct: the kernel can do that, and the home test, which IPsec may
        have to protect, gets through.
        """
        has_tunnel = self.settings.security is not Security.IKEV2 or RETURN_ROUTABILITY in self.ike.tunnels
        return has_tunnel and ROUTE_OPTIMIZATION not in self.troubles

    def direct_from(self, correspondent: IPv6Address) -> IPv6Address | None:
        """The care-of address that payload goes to a correspondent from directly; None: it goes through the tunnel."""
        default = self.decision.default
        return self.correspondents.care_of(correspondent, default.bids[0]) if default is not None else None

    def direct_link(self, correspondent: IPv6Address) -> int | None:
        """The binding identifier of the link that it goes over."""
        default = self.decision.default
        return default.bids[0] if default is not None and self.direct_from(correspondent) is not None else None

    def views(self) -> list[View]:
        """The links as the policy sees them. One that is about to go works only for want of another."""
        working = {entry.bid for entry in carrying(self.registration) if self.carries(entry)}
        if self.homecoming.is_home and self.home_link is not None:
            working = {self.home_link.bid}
        staying = {bid for bid in working if not self.links[bid].leaving}
        return [self._view(link, works=link.bid in (staying or working)) for link in self.links.values()]

    def _view(self, link: Link, *, works: bool) -> View:
        path = self.probing.paths.get(link.bid)
        return View(
            bid=link.bid,
            name=link.name,
            kind=link.kind,
            interface=link.interface,
            works=works,
            # A link that is not used has not failed either
            leaving=link.leaving or self.why_unused(link) is not None,
            metered=link.metered,
            captive=link.captive,
            rtt_s=path.rtt_s if path else None,
            loss=path.loss if path else None,
            lasting=not link.temporary,
        )

    def targets(self) -> dict[int, Target]:
        """The links that can be probed; none as long as nobody knows where the home agent is."""
        if not self.settings.home.is_agent_known:
            return {}
        return {
            link.bid: Target(link.care_of, link.metered)
            for link in self.links.values()
            if link.care_of is not None and link.carries
        }

    def ways_out(self) -> list[IPv6Address]:
        """Care-of addresses that whoever may know of home agents can be asked from; those with a good path first."""
        links = sorted(self.links.values(), key=lambda link: self.is_dead(link.bid))
        return [link.care_of for link in links if link.care_of is not None and link.carries]
