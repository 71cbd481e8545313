"""The world with a home link in it, on which the home agent is too, and perhaps somebody who has the home address."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network

from home_agent.core import events as ha_events
from home_agent.core.home_link import HomeLink
from home_agent.core.kernel import wanted_kernel as ha_kernel
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.kernel import Address
from mip6.wire.extension import Packet
from mip6.wire.neighbor import ALL_NODES, NeighborAdvertisement, NeighborMessage, NeighborSolicitation
from mn_agent.core import events
from mn_agent.core.interfaces import Interface, InterfaceAddress
from mn_agent.core.kernel import wanted_kernel
from mn_agent.core.settings import ProbingSettings, Settings
from tests.story.world import HOME, SELDOM, TestLink, World, home_agent_settings, make_link, mobile_node_settings

HOME_PREFIX = IPv6Network("2001:db8:f00::/64")
OWN, HOME_AGENTS, STRANGERS = (bytes.fromhex(f"026d3600000{number}") for number in (9, 1, 2))
"""Hardware addresses on the home link."""
NIC = 4
"""Index of the mobile node's interface there."""


def home_settings(at_home: str, probing: ProbingSettings = SELDOM) -> Settings:
    settings = mobile_node_settings(probing)
    return replace(settings, home=replace(settings.home, at_home=at_home))


def links(**path: float) -> dict[str, TestLink]:
    """Two foreign links that are up, and the home link, which is not."""
    there = Interface(
        index=NIC,
        name="eth9",
        carrier=False,
        running=False,
        addresses=(InterfaceAddress(HOME_PREFIX[0x64]),),
        routers=(IPv6Address("fe80::1"),),
        prefixes=(HOME_PREFIX,),
        hardware_address=OWN,
    )
    ethernet, wifi = make_link(1, "eth0", "ethernet", **path), make_link(2, "wlan0", "wifi", **path)
    return {"ethernet": ethernet, "wifi": wifi, "home": TestLink(there, **path)}  # type: ignore[arg-type]


@dataclass
class HomeWorld(World):
    """Begins away from home."""

    links: dict[str, TestLink] = field(default_factory=links)
    home_agent: HomeAgentSettings = field(default_factory=lambda: home_agent_settings(home_link="eth1"))
    stranger: bool = False
    """Whether somebody else at home has the home address."""
    said: list[tuple[float, NeighborMessage]] = field(default_factory=list)
    """On the home link, by the mobile node."""
    heard: list[NeighborMessage] = field(default_factory=list)
    """By the home agent."""
    found: bool = False
    """Whether the home agent, another than ours, knows where the mobile node is at home."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.home_agent_is_home()

    def home_agent_is_home(self) -> None:
        if self.home_agent.home_agent.home_link is not None:
            link = HomeLink(7, HOME_AGENTS, IPv6Address("fe80::1"))
            self.home_agent_hears(ha_events.HomeLinkChanged(link))

    def restart_home_agent(self, *, remembers: bool) -> None:
        super().restart_home_agent(remembers=remembers)
        self.home_agent_is_home()

    # what a story looks at

    def is_found_at_home(self) -> bool:
        """Whether the home agent can send to the home address on the home link."""
        has_address = Address(HOME, NIC) in wanted_kernel(self.mn).addresses
        knows = self.found or has_address or bool(ha_kernel(self.ha).neighbors)
        return knows and self._link(HOME) is not None

    def upward(self) -> IPv6Address | None:
        if self.mn.homecoming.is_home:
            return HOME
        carrier = self.mn.carrier
        if not self.mn.registration.returning or carrier is None:
            return super().upward()
        table = wanted_kernel(self.mn).table  # what was told counts, but packets go the old way for a moment
        assert table is not None
        address = table.elements["source"][carrier.index]  # type: ignore[index]
        assert isinstance(address, IPv6Address)
        return address

    def downward(self) -> IPv6Address | None:
        entry = self.ha.cache.get(HOME)
        found = entry.preferred.care_of if entry is not None and entry.bindings else HOME
        return found if found != HOME or self.is_found_at_home() else None

    def takes(self, source: IPv6Address | None) -> bool:
        table = ha_kernel(self.ha).table
        assert table is not None
        return source == HOME or any(str(pair).startswith(f"{source} ") for pair in table.elements["binding"])

    # inside

    def _link(self, care_of: IPv6Address | None) -> TestLink | None:
        if care_of != HOME:
            return super()._link(care_of)
        home = self.links["home"]
        return home if home.interface.carrier and not home.blackhole else None

    def _carry(self, packet: Packet, care_of: IPv6Address, arrive: Callable[[Packet], None]) -> None:
        if packet.destination != HOME or self.is_found_at_home():
            super()._carry(packet, care_of, arrive)

    def _on_home_link(self, hear: Callable[[], None]) -> None:
        link = self._link(HOME)
        if link is not None and self.random.random() >= link.loss:
            self.at(self.now + 0.001, hear)

    def said_at_home(self, said: NeighborMessage) -> None:
        self.said.append((self.now, said))
        self._on_home_link(lambda: self.home_agent_hears(ha_events.NeighborHeard(said)))
        if self.stranger and isinstance(said, NeighborSolicitation):
            taken = NeighborAdvertisement(
                IPv6Address("fe80::2"), ALL_NODES, HOME, STRANGERS, router=False, solicited=False, override=True
            )
            self._on_home_link(lambda: self.mobile_node(events.NeighborHeard(taken)))

    def heard_at_home(self, heard: NeighborMessage) -> None:
        self.heard.append(heard)
        if isinstance(heard, NeighborSolicitation) and self.stranger:
            return  # who has it keeps it; the home agent hears of that in tests of its own
        self._on_home_link(lambda: self.mobile_node(events.NeighborHeard(heard)))
