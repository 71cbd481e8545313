"""A mobile node and a home agent, both real cores, in virtual time, with links between them that can be bad."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from itertools import count
from math import inf
from operator import is_not
from random import Random

from home_agent.core import agent as ha
from home_agent.core import events as ha_events
from home_agent.core import flows as ha_flows
from home_agent.core import settings as ha_settings
from home_agent.core.kernel import wanted_kernel as ha_kernel
from home_agent.core.state import State as HomeAgentState
from home_agent.core.state import Uplink
from mip6.reception import IcmpError
from mip6.wire.checksum import with_checksum
from mip6.wire.discovery import HomeAgentAddressDiscoveryRequest
from mip6.wire.discovery import decode as decode_discovery
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, Message, decode
from mip6.wire.neighbor import NeighborAdvertisement, NeighborMessage, NeighborSolicitation
from mip6.wire.registry import IcmpType
from mn_agent.core import agent as mn
from mn_agent.core import commands, events
from mn_agent.core.devices import Device
from mn_agent.core.dns import Answer, Failure, Query
from mn_agent.core.flows import prepare
from mn_agent.core.interfaces import Interface, InterfaceAddress, Snapshot
from mn_agent.core.kernel import wanted_kernel
from mn_agent.core.policy_file import Policy, Ranking
from mn_agent.core.probing import Probe
from mn_agent.core.saved import save
from mn_agent.core.settings import Authentication, Home, LinksSettings, ProbingSettings, RegistrationSettings, Settings

HOME = IPv6Address("2001:db8:f00::100")
AGENT = IPv6Address("2001:db8:a::2")
KEY = bytes(range(16))
IDENTITY = "laptop@example.org"
SPI = 256
SEED = bytes(range(32))
EPOCH_S = 1_790_000_000.0
"""Time of day at virtual time 0."""

AT_ONCE = Policy(description="the usual order, without delay", links=Ranking(return_after_s=0))

NODE = ha_settings.Node(name="laptop", identity=IDENTITY, home_address=HOME, spi=SPI, key=KEY)


SELDOM = ProbingSettings(every_s=300, metered_every_s=300)
"""For stories that are about something else, and last long."""


def mobile_node_settings(probing: ProbingSettings = SELDOM, **registration: object) -> Settings:
    return Settings(
        home=Home(address=HOME, agent=AGENT),
        authentication=Authentication(identity=IDENTITY, spi=SPI, key=KEY),
        registration=RegistrationSettings(**registration),  # type: ignore[arg-type]
        probing=probing,
        links=LinksSettings(exclude=()),
    )


def home_agent_settings(**changes: object) -> ha_settings.Settings:
    own = ha_settings.HomeAgent(address=AGENT, prefixes=(IPv6Network("2001:db8:f00::/48"),), **changes)  # type: ignore[arg-type]
    return ha_settings.Settings(home_agent=own, node=(NODE,))


IkeCommand = commands.MoveIke | commands.EstablishIke | commands.EstablishTunnel


@dataclass
class TestLink:
    """One of the mobile node's interfaces and the path from it to the home agent."""

    __test__ = False

    interface: Interface
    delay_s: float = 0.01
    loss: float = 0.0
    duplicate: float = 0.0
    jitter_s: float = 0.0
    blackhole: bool = False

    @property
    def address(self) -> IPv6Address:
        return self.interface.addresses[0].address


def make_link(number: int, name: str, kind: str, **path: float) -> TestLink:
    address = IPv6Address(f"2001:db8:{number:x}::64")
    interface = Interface(
        index=number,
        name=name,
        kind=kind,
        addresses=(InterfaceAddress(address),),
        routers=(IPv6Address("fe80::1"),),
        prefixes=(IPv6Network(f"2001:db8:{number:x}::/64"),),
    )
    return TestLink(interface, **path)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Sent:
    """A message that one of the two sent."""

    at: float
    packet: Packet
    message: Message


@dataclass(frozen=True)
class Question:
    """Which home agents are there?"""

    at: float
    source: IPv6Address
    destination: IPv6Address
    identifier: int


@dataclass
class Stream:
    """What became of packets sent at regular moments."""

    sent_up: int = 0
    sent_down: int = 0
    arrived_up: int = 0
    arrived_down: int = 0

    def arrive_up(self, *, good: bool) -> None:
        self.arrived_up += good

    def arrive_down(self, *, good: bool) -> None:
        self.arrived_down += good

    @property
    def lost(self) -> tuple[int, int]:
        return self.sent_up - self.arrived_up, self.sent_down - self.arrived_down


@dataclass
class World:
    """Runs both ends. `now` is virtual; every message sent by the mobile node is in `updates`, by the home agent in
    `answers`."""

    links: dict[str, TestLink]
    settings: Settings = field(default_factory=mobile_node_settings)
    home_agent: ha_settings.Settings = field(default_factory=home_agent_settings)
    seed: int = 0
    policy: Policy = AT_ONCE
    echo: bool = True
    """Whether the home agent answers probes."""
    key_mobility: bool = False
    """Whether the mobile node has an IKE SA that can move."""
    home_agent_clock_s: float = 0.0
    """How far the home agent's time of day is ahead."""
    others: tuple[ha_settings.Settings, ...] = ()
    """Of more home agents."""
    silent: set[IPv6Address] = field(default_factory=set)
    """Home agents that hear and say nothing."""
    answers_questions: bool = True
    """Whether somebody tells which home agents there are."""
    questions: list[Question] = field(default_factory=list)
    solicitations: list[tuple[float, Packet]] = field(default_factory=list)
    """Questions about prefixes, and when they were sent."""
    advertisements: list[tuple[float, Packet]] = field(default_factory=list)
    """What the home agent told of them."""
    dns: dict[str, Answer | Failure] = field(default_factory=dict)
    """What the DNS says, by question; nothing to others."""
    queries: list[tuple[float, Query]] = field(default_factory=list)
    """Questions to it, and when they were asked."""
    respond: Callable[[BindingUpdate, Packet], Packet | None] | None = None
    """Another home agent in place of ours."""

    now: float = 1000.0
    updates: list[Sent] = field(default_factory=list)
    answers: list[Sent] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    restarts: list[float] = field(default_factory=list)
    """When the agent was killed."""
    ike: list[commands.Command] = field(default_factory=list)
    tunnels: list[int] = field(default_factory=list)
    """Numbers of those that were asked for."""
    """What was to become of the IKE SA."""
    ike_moves: list[IPv6Address] = field(default_factory=list)
    """Where the home agent's charon was told to find it."""
    charon: Callable[[IkeCommand], None] | None = None
    """The mobile node's; None: there is none."""
    neighbours_asked: list[tuple[int, IPv6Address]] = field(default_factory=list)
    """Routers about which the kernel was to find out whether they are still there."""
    probes: list[float] = field(default_factory=list)
    """When the mobile node sent a probe."""
    watchers: list[Callable[[], None]] = field(default_factory=list)
    """Called after everything that happens."""

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._has_traffic = False
        self._sleeps = False
        self._made: tuple[tuple[object, ...], object] = ((None,), None)
        self._arrived: set[int] = set()
        self._left: set[int] = set()
        self.mn = mn.start(
            self.settings,
            prepare("test", self.policy, {}),
            None,
            same_boot=False,
            sequence=41,
            clock_offset_s=EPOCH_S,
            key_mobility=self.key_mobility,
            seed=SEED,
        )
        self.ha = ha.start(self.home_agent, {}, epoch_offset_s=EPOCH_S + self.home_agent_clock_s)
        self.home_agent_hears(ha_events.UplinkChanged(Uplink(9, 1500)))
        self.other: dict[IPv6Address, HomeAgentState] = {}
        for settings in self.others:
            address = settings.home_agent.address
            self.other[address] = ha.start(settings, {}, epoch_offset_s=EPOCH_S)
            self.other_hears(address, ha_events.UplinkChanged(Uplink(9, 1500)))

    # what a story does

    def start(self) -> "World":
        """The agent looks at its interfaces for the first time."""
        self.look()
        return self

    def look(self) -> None:
        self.mobile_node(events.InterfacesChanged(self._snapshot()))

    def refresh(self) -> None:
        """Somebody asks for it."""
        self.mobile_node(events.RefreshRequested(self._snapshot()))

    def _snapshot(self) -> Snapshot:
        return tuple(link.interface for link in self.links.values())

    def change(self, name: str, **changes: object) -> None:
        """Change an interface, and let the agent see it."""
        self.links[name].interface = replace(self.links[name].interface, **changes)  # type: ignore[arg-type]
        self.look()

    def carrier(self, name: str, *, on: bool) -> None:
        self.change(name, carrier=on, running=on)

    def devices(self, *devices: Device) -> None:
        """What NetworkManager says from now on."""
        self.mobile_node(events.DevicesChanged({device.interface: device for device in devices}))

    def switch(self, name: str | None, **what: object) -> None:
        self.mobile_node(events.SwitchRequested(name, **what))  # type: ignore[arg-type]

    def use(self, policy: Policy) -> None:
        self.policy = policy
        self.mobile_node(events.PolicyChosen(prepare("test", policy, {})))

    def at(self, moment: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (moment, next(self._numbers), action))

    def run(self, seconds: float) -> "World":
        """Let time pass."""
        end = self.now + seconds
        while True:
            moment = self._next()
            if moment > end:
                self.now = end
                return self
            self.now = max(self.now, moment)
            self._happen()

    def sleep(self, seconds: float) -> None:
        """The mobile node does nothing, and what comes for it is lost. Then it wakes up."""
        self._sleeps = True
        self.run(seconds)
        self._sleeps = False
        self.mobile_node(events.Resumed(self._snapshot()))

    def restart_agent(self, *, same_boot: bool = True, remembers: bool = True, sequence: int = 7) -> None:
        """kill -9 and start again, with what was saved or without."""
        self.restarts.append(self.now)
        saved = save(self.mn) if remembers else None
        self.mn = mn.start(
            self.settings,
            prepare("test", self.policy, {}),
            saved,
            same_boot=same_boot,
            sequence=sequence,
            clock_offset_s=EPOCH_S,
            key_mobility=self.key_mobility,
            seed=SEED,
        )
        self.look()

    def stream(self, seconds: float, every_s: float = 0.001, *, down: bool = True) -> "Stream":
        """Packets both ways, or up only, from now on."""
        stream = Stream()
        if not self._has_traffic:
            self._has_traffic = True
            self._count()
        for number in range(int(seconds / every_s)):
            self.at(self.now + number * every_s, lambda: self._packet_up(stream))
            if down:
                self.at(self.now + number * every_s, lambda: self._packet_down(stream))
        return stream

    def restart_home_agent(self, *, remembers: bool) -> None:
        cache = self.ha.cache if remembers else {}
        self.ha = ha.start(self.home_agent, cache, epoch_offset_s=EPOCH_S + self.home_agent_clock_s)
        self.home_agent_hears(ha_events.UplinkChanged(Uplink(9, 1500)))

    # what a story looks at

    def bindings(self) -> dict[int, IPv6Address]:
        """What the home agent holds, by binding identifier."""
        entry = self.serving.cache.get(HOME)
        return {bid: binding.care_of for bid, binding in entry.bindings.items()} if entry else {}

    @property
    def serving(self) -> HomeAgentState:
        """The home agent that the mobile node uses."""
        return self.other.get(self.mn.settings.home.agent, self.ha)

    def flow_bindings(self) -> list[ha_flows.Flow]:
        """The flows that the home agent holds."""
        entry = self.ha.cache.get(HOME)
        return sorted(entry.flows.values(), key=lambda flow: flow.fid) if entry else []

    def upward(self) -> IPv6Address | None:
        """The outer source of the mobile node's packets."""
        default = self.mn.decision.default
        if default is None or default.bids[0] not in self.mn.registration.entries:
            return None
        return self.mn.source_address(self.mn.registration.entries[default.bids[0]])

    def downward(self) -> IPv6Address | None:
        """The outer destination of the home agent's packets."""
        entry = self.serving.cache.get(HOME)
        return entry.preferred.care_of if entry and entry.bindings else None

    def takes(self, source: IPv6Address | None) -> bool:
        """Whether the home agent takes packets that are sent from this address."""
        return source in self.bindings().values()

    def reaches(self, care_of: IPv6Address) -> bool:
        """Whether packets from this address reach the home agent."""
        return self._link(care_of) is not None

    def flows(self) -> bool:
        """Whether a packet sent now would arrive, in both directions."""
        alive = {link.address for link in self.links.values() if link.interface.carrier and not link.blackhole}
        up, down = self.upward(), self.downward()
        return up in alive and down in alive and up in self.bindings().values()

    def restarts_between(self, earlier: float, later: float) -> bool:
        return any(earlier <= at <= later for at in self.restarts)

    def sent_updates(self) -> Iterator[tuple[float, BindingUpdate]]:
        for sent in self.updates:
            if isinstance(sent.message, BindingUpdate):
                yield sent.at, sent.message

    # inside

    def _packet_up(self, stream: "Stream") -> None:
        stream.sent_up += 1
        source = self.upward()
        link = self._link(source)
        if self.mn.carrier is not None:
            self._left.add(self.mn.carrier.bid)
        if link is not None and not self._is_silent():
            self.at(self.now + link.delay_s, lambda: stream.arrive_up(good=self.takes(source)))

    def _packet_down(self, stream: "Stream") -> None:
        stream.sent_down += 1
        destination = self.downward()
        link = self._link(destination)
        if link is not None and not self._is_silent():
            self.at(self.now + link.delay_s, lambda: self._arrive(stream, destination))

    def _arrive(self, stream: "Stream", destination: IPv6Address | None) -> None:
        link = self._link(destination)
        stream.arrive_down(good=link is not None)
        self._arrived |= {one.bid for one in self.mn.links.values() if link and one.index == link.interface.index}

    def _probe(self, probe: Probe) -> None:
        self.probes.append(self.now)
        link = self._link(probe.care_of)
        if self.echo and link is not None and not self._is_silent() and self.random.random() >= link.loss:
            there_and_back_s = 2 * (link.delay_s + self.random.random() * link.jitter_s)
            self.at(self.now + there_and_back_s, lambda: self._echo(probe))

    def _echo(self, probe: Probe) -> None:
        if self._link(probe.care_of) is not None:
            self.mobile_node(events.EchoReceived(probe.sequence))

    def _ask(self, question: IcmpError) -> None:
        message = decode_discovery(question.data)
        assert isinstance(message, HomeAgentAddressDiscoveryRequest)
        self.questions.append(Question(self.now, question.source, question.destination, message.identifier))
        asked = ha_events.IcmpReceived(question.data, question.source)
        if self.answers_questions and not self._is_silent() and self._link(question.source) is not None:
            self.home_agent_hears(asked)

    def _is_silent(self) -> bool:
        return self.mn.settings.home.agent in self.silent

    def _count(self) -> None:
        counted = events.TrafficCounted(frozenset(self._arrived), frozenset(self._left))
        self._arrived, self._left = set(), set()
        self.mobile_node(counted)

    def _link(self, care_of: IPv6Address | None) -> TestLink | None:
        """The link that now carries packets with this care-of address."""
        for link in self.links.values():
            owns = any(address.address == care_of for address in link.interface.addresses)
            if owns and link.interface.carrier and not link.blackhole:
                return link
        return None

    def _next(self) -> float:
        moments = [self._queue[0][0]] if self._queue else []
        deadlines = [ha.deadline(state) for state in (self.ha, *self.other.values())]
        return min([*moments, self._mobile_node_due_at(), *deadlines])

    def _mobile_node_due_at(self) -> float:
        return inf if self._sleeps else mn.deadline(self.mn, self.now)

    def _happen(self) -> None:
        if self._queue and self._queue[0][0] <= self.now:
            heapq.heappop(self._queue)[2]()
        if self._mobile_node_due_at() <= self.now:
            self.mobile_node(events.Tick())
        if ha.deadline(self.ha) <= self.now:
            self.home_agent_hears(ha_events.Tick())
        for address, state in list(self.other.items()):
            if ha.deadline(state) <= self.now:
                self.other_hears(address, ha_events.Tick())

    def mobile_node(self, event: events.Event) -> None:
        if self._sleeps:
            return
        self.mn, todo = mn.step(self.mn, event, self.now)
        self._look_at_kernel()
        for command in todo:
            match command:
                case commands.Send(packet):
                    self.updates.append(Sent(self.now, packet, decode(packet.data)))
                    self._carry(packet, packet.source, self._arrive_up)
                case commands.SendSolicitation(packet):
                    self.solicitations.append((self.now, packet))
                    self._carry(packet, packet.source, self._solicit)
                case commands.SendIcmp(error) if error.data[0] == IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REQUEST:
                    self._ask(error)
                case commands.Tell(notice):
                    self.notices.append(notice.text)
                case commands.AskNeighbour(interface, address):
                    self.neighbours_asked.append((interface, address))
                case commands.SendProbe(probe):
                    self._probe(probe)
                case commands.AskDns(query):
                    self._query(query)
                case commands.SendNeighbor(_, said):
                    self.said_at_home(said)
                case commands.CountTraffic() if self._has_traffic:  # or else it would only cost time
                    self.at(self.now, self._count)
                case commands.MoveIke() | commands.EstablishIke() | commands.EstablishTunnel():
                    if isinstance(command, commands.EstablishTunnel):
                        self.tunnels.append(command.number)
                    else:
                        self.ike.append(command)
                    if self.charon is not None:
                        self.charon(command)
        self._watch()

    def _query(self, query: Query) -> None:
        self.queries.append((self.now, query))
        answer = self.dns.get(str(query.question))
        if answer is not None and self._link(query.care_of) is not None:
            self.at(self.now + 0.02, partial(self.mobile_node, events.DnsAnswered(query.question, answer)))

    def _look_at_kernel(self) -> None:
        """Whatever the state, it has a kernel; and that changes only with what it is made from."""
        before, made = self._made
        aspects = mn.aspects(self.mn)
        self._made = aspects, (wanted_kernel(self.mn), save(self.mn))
        assert any(map(is_not, aspects, before)) or self._made[1] == made

    def home_agent_hears(self, event: ha_events.Event) -> None:
        self.ha, todo = ha.step(self.ha, event, self.now)
        ha_kernel(self.ha)
        for command in todo:
            match command:
                case ha_events.Send(packet):
                    self._answer(packet)
                case ha_events.SendAdvertisement(packet):
                    self.advertisements.append((self.now, packet))
                    self._carry(packet, packet.destination, self._advertise)
                case ha_events.SendIcmp(error) if error.data[0] == IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REPLY:
                    reply = events.IcmpReceived(error.data)
                    self.at(self.now + 0.01, partial(self.mobile_node, reply))
                case ha_events.SendNeighbor(NeighborSolicitation() | NeighborAdvertisement() as heard):
                    self.heard_at_home(heard)
                case ha_events.MoveIke(_, care_of):
                    self.ike_moves.append(care_of)
        self._watch()

    def said_at_home(self, said: NeighborMessage) -> None:
        """The mobile node says something on its home link, which there may be none of."""

    def heard_at_home(self, heard: NeighborMessage) -> None:
        """The home agent does."""

    def other_hears(self, address: IPv6Address, event: ha_events.Event) -> None:
        self.other[address], todo = ha.step(self.other[address], event, self.now)
        ha_kernel(self.other[address])
        for command in todo:
            if isinstance(command, ha_events.Send):
                self._answer(command.packet)

    def _answer(self, packet: Packet) -> None:
        if packet.source in self.silent:
            return
        with suppress(DecodeError):  # a story may forge what is no message
            self.answers.append(Sent(self.now, packet, decode(packet.data)))
        self._carry(packet, packet.destination, self._arrive_down)

    def _watch(self) -> None:
        for watcher in self.watchers:
            watcher()

    def _carry(self, packet: Packet, care_of: IPv6Address, arrive: Callable[[Packet], None]) -> None:
        """Over the link that has the care-of address, unless it is lost on the way."""
        link = self._link(care_of)
        if link is None:
            return
        for _ in range(2 if self.random.random() < link.duplicate else 1):
            if self.random.random() >= link.loss:
                delay_s = link.delay_s + self.random.random() * link.jitter_s
                self.at(self.now + delay_s, lambda: arrive(packet))

    def _arrive_up(self, packet: Packet) -> None:
        source = packet.home_address or packet.source
        summed = replace(packet, data=with_checksum(packet.data, source, packet.destination))
        if packet.destination in self.silent:
            return
        if packet.destination in self.other:
            self.other_hears(packet.destination, ha_events.PacketReceived(summed))
            return
        if self.respond is None:
            self.home_agent_hears(ha_events.PacketReceived(summed))
            return
        message = decode(packet.data)
        assert isinstance(message, BindingUpdate)
        answer = self.respond(message, summed)
        if answer is not None:
            self._answer(answer)

    def _solicit(self, packet: Packet) -> None:
        if packet.destination not in self.silent:
            self.home_agent_hears(ha_events.SolicitationReceived(packet))

    def _advertise(self, packet: Packet) -> None:
        self.mobile_node(events.AdvertisementReceived(packet))

    def _arrive_down(self, packet: Packet) -> None:
        destination = packet.home_address or packet.destination
        summed = replace(packet, data=with_checksum(packet.data, packet.source, destination))
        self.mobile_node(events.PacketReceived(summed))


def acknowledgements(world: World) -> list[BindingAcknowledgement]:
    return [sent.message for sent in world.answers if isinstance(sent.message, BindingAcknowledgement)]


def three_links(**path: float) -> dict[str, TestLink]:
    return {
        "ethernet": make_link(1, "eth0", "ethernet", **path),
        "wifi": make_link(2, "wlan0", "wifi", **path),
        "lte": make_link(3, "wwan0", "lte", **path),
    }
