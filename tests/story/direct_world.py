"""The world with a correspondent in it that knows Mobile IPv6, and the direct ways to it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network

from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate, CareOfTestInit, HomeTestInit, decode
from mn_agent.core import events
from mn_agent.core.settings import RouteOptimizationSettings, Settings
from mn_lab.correspondent import Correspondent
from tests.story.world import HOME, Sent, Stream, TestLink, World, mobile_node_settings

CN = IPv6Address("2001:db8:cc::1")
CORE_S = 0.005
"""From the home agent to the correspondent."""


def optimizing(*correspondents: object, **registration: object) -> Settings:
    """`correspondents`: addresses or networks."""
    networks = tuple(IPv6Network(str(one)) for one in correspondents or (CN,))
    chosen = RouteOptimizationSettings(correspondents=networks)
    return replace(mobile_node_settings(**registration), route_optimization=chosen)  # type: ignore[arg-type]


@dataclass
class DirectWorld(World):
    """Every link also leads directly to the correspondent, unless its name is in `walls`."""

    settings: Settings = field(default_factory=optimizing)
    walls: set[str] = field(default_factory=set)
    asked: list[Sent] = field(default_factory=list)
    """What the mobile node sent to the correspondent."""
    told: list[Sent] = field(default_factory=list)
    """What the correspondent sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cn = Correspondent(CN, self.random.randbytes)
        self._talks = 0
        self._direct_left: set[int] = set()
        self._direct_arrived: set[int] = set()

    # what a story does

    def configure(self, settings: Settings) -> None:
        self.settings = settings
        self.mobile_node(events.SettingsChanged(settings))

    def talk(self, seconds: float, every_s: float = 0.01) -> Stream:
        """Packets between the home address and the correspondent, from now on, whichever way they go."""
        stream = Stream()
        self._talks += 1
        self.at(self.now + seconds + 1, self._fall_silent)
        if not self._has_traffic:
            self._has_traffic = True
            self._count()
        for number in range(int(seconds / every_s)):
            self.at(self.now + number * every_s, lambda: self._to_correspondent(stream))
            self.at(self.now + number * every_s, lambda: self._from_correspondent(stream))
        return stream

    def ask_for_refresh(self, *bids: int) -> None:
        for packet in self.cn.ask_for_refresh(HOME, *bids):
            self._from_cn(packet)

    # what a story looks at

    def bound(self) -> dict[int, IPv6Address]:
        """What the correspondent holds."""
        return self.cn.bindings(HOME, self.now)

    def care_of(self) -> IPv6Address | None:
        """What the mobile node's packets to the correspondent are sent from directly."""
        return self.mn.direct_from(CN)

    def directly(self) -> bool:
        """Whether packets go directly, both ways and over the same link, and arrive."""
        up, down = self.care_of(), self.cn.destination(HOME, self.now)
        return up is not None and up == down and up in self.bound().values() and self._way(up) is not None

    def sent(self, kind: type, since: float = 0.0) -> list[Sent]:
        return [one for one in self.asked if isinstance(one.message, kind) and one.at >= since]

    def updates_to_correspondent(self, since: float = 0.0) -> list[BindingUpdate]:
        return [one.message for one in self.sent(BindingUpdate, since) if isinstance(one.message, BindingUpdate)]

    def tests(self, since: float = 0.0) -> int:
        return len(self.sent(HomeTestInit, since)) + len(self.sent(CareOfTestInit, since))

    # inside

    def _fall_silent(self) -> None:
        self._talks -= 1
        self._has_traffic = self._talks > 0

    def _count(self) -> None:
        """As the daemon does."""
        self._left |= self._direct_left - self._direct_arrived
        self._direct_left, self._direct_arrived = set(), set()
        super()._count()

    def _way(self, care_of: IPv6Address | None) -> TestLink | None:
        """The direct one."""
        link = self._link(care_of)
        return link if link is not None and not any(self.links.get(name) is link for name in self.walls) else None

    def _carry(self, packet: Packet, care_of: IPv6Address, arrive: Callable[[Packet], None]) -> None:
        if packet.destination != CN:
            super()._carry(packet, care_of, arrive)
            return
        self.asked.append(Sent(self.now, packet, decode(packet.data)))
        if packet.source == HOME:
            outer = self.upward()
            self._over(self._link(outer), lambda: self._through_home_agent(packet, outer))
        else:
            self._over(self._way(packet.source), lambda: self._to_cn(packet))

    def _over(self, link: TestLink | None, arrive: Callable[[], None]) -> None:
        if link is None:
            return
        for _ in range(2 if self.random.random() < link.duplicate else 1):
            if self.random.random() >= link.loss:
                self.at(self.now + link.delay_s + self.random.random() * link.jitter_s, arrive)

    def _through_home_agent(self, packet: Packet, outer: IPv6Address | None) -> None:
        if outer in self.bindings().values():
            self.at(self.now + CORE_S, lambda: self._to_cn(packet))

    def _to_cn(self, packet: Packet) -> None:
        summed = with_checksum(packet.data, packet.home_address or packet.source, packet.destination)
        for answer in self.cn.receive(replace(packet, data=summed), self.now):
            self._from_cn(answer)
        self._watch()

    def _from_cn(self, packet: Packet) -> None:
        self.told.append(Sent(self.now, packet, decode(packet.data)))
        if packet.destination == HOME:
            self.at(self.now + CORE_S, lambda: self._down_through_home_agent(packet))
        else:
            self._over(self._way(packet.destination), lambda: self._arrive_at(packet, packet.destination))

    def _down_through_home_agent(self, packet: Packet) -> None:
        outer = self.downward()
        self._over(self._link(outer), lambda: self._arrive_at(packet, outer))

    def _arrive_at(self, packet: Packet, care_of: IPv6Address | None) -> None:
        """Only what has got as far as this link's address."""
        if self._link(care_of) is not None:
            self._arrive_down(packet)

    def _to_correspondent(self, stream: Stream) -> None:
        stream.sent_up += 1
        care_of = self.care_of()
        if care_of is not None:
            self._direct_left |= {self.mn.carrier.bid} if self.mn.carrier is not None else set()
            self._over(self._way(care_of), lambda: self._payload(stream, care_of))
            return
        outer = self.upward()
        self._over(self._link(outer), lambda: stream.arrive_up(good=outer in self.bindings().values()))

    def _payload(self, stream: Stream, care_of: IPv6Address) -> None:
        errors = self.cn.payload(care_of, HOME, self.now)
        stream.arrive_up(good=not errors)
        for error in errors:
            self._from_cn(error)

    def _from_correspondent(self, stream: Stream) -> None:
        stream.sent_down += 1
        care_of = self.cn.destination(HOME, self.now)
        if care_of is not None:
            self._over(self._way(care_of), lambda: self._direct_arrives(stream, care_of))
            return
        outer = self.downward()
        self._over(self._link(outer), lambda: stream.arrive_down(good=self._link(outer) is not None))

    def _direct_arrives(self, stream: Stream, care_of: IPv6Address) -> None:
        link = self._link(care_of)
        stream.arrive_down(good=link is not None)
        self._direct_arrived |= {
            one.bid for one in self.mn.links.values() if link and one.index == link.interface.index
        }
