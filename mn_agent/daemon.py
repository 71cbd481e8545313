"""monami6d: the agent's core, the kernel, the network and the control socket, put together.

The only file that names them all.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from mip6 import statefile
from mip6.config import ConfigError
from mip6.control import Method, Peer, nobody_else
from mip6.daemon import Daemon, boottime
from mip6.ike import MOBILITY, tunnel_name
from mip6.ipsec import Association, Side, ike_move
from mip6.kernel import Kernel
from mip6.linux.neighbor_socket import NeighborSocket
from mip6.linux.router_socket import RouterSocket
from mip6.route_optimization import TRIAL
from mip6.table import Counter
from mip6.tunnels import Negotiated
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.icmp import echo_request, parse_echo_reply
from mip6.wire.neighbor import NeighborAdvertisement, NeighborMessage, NeighborSolicitation, solicited_node
from mip6.wire.registry import IcmpType
from mn_agent.api import Api
from mn_agent.core import agent, dns
from mn_agent.core.commands import (
    AskDns,
    AskNeighbour,
    Command,
    CountTraffic,
    EstablishIke,
    EstablishTunnel,
    ForgetNeighbour,
    KnowNeighbour,
    MoveIke,
    Send,
    SendIcmp,
    SendNeighbor,
    SendProbe,
    SendSolicitation,
    Tell,
)
from mn_agent.core.devices import Devices
from mn_agent.core.events import (
    AdvertisementReceived,
    CorrespondentsSeen,
    DevicesChanged,
    DnsAnswered,
    EchoReceived,
    Event,
    IcmpReceived,
    IkeLooked,
    IkeTried,
    InterfacesChanged,
    NeighborHeard,
    PacketReceived,
    PolicyChosen,
    RefreshRequested,
    Refused,
    Resumed,
    RouterHeard,
    SettingsChanged,
    StopRequested,
    Tick,
    TrafficCounted,
)
from mn_agent.core.ike import CONNECTION, TRY_S, connection
from mn_agent.core.interfaces import Snapshot
from mn_agent.core.kernel import SEEN, TABLE_NAME, counter_name, wanted_kernel
from mn_agent.core.probing import Probe
from mn_agent.core.router import HOSTS
from mn_agent.core.saved import Saved, keep, save
from mn_agent.core.settings import Security, Settings
from mn_agent.core.state import ROUTE_OPTIMIZATION, State
from mn_agent.system import policies
from mn_agent.system.watcher import Watcher

if TYPE_CHECKING:
    from mip6.charon import Charon, Sas
    from mn_agent.system.dbus_service import Service
    from mn_agent.system.logind import Logind
    from mn_agent.system.networkmanager import NetworkManager
    from mn_agent.system.resolver import Resolver


CGROUPS_S = 5.0
"""How often to look for the control groups that the policy names."""
CORRESPONDENTS_S = 2.0
"""How often to look whether there is traffic with somebody new, who may be reached directly."""
SAME_SLEEP_S = 10.0
"""The clocks tell that the machine has slept, and logind a moment later."""


class AgentDaemon(Daemon[Settings, State, Event, Command]):
    """The agent on a real machine."""

    fixed = frozenset({("home",), ("manual",), ("ikev2",), ("router",), ("paths",)})

    def __init__(self, read: Callable[[], Settings]) -> None:
        """`read` reads the configuration. Raises ConfigError."""
        settings = read()
        self._home = settings.home
        state_file = Path(settings.paths.state)
        self._api = Api(self)
        super().__init__(
            read,
            _start(settings, state_file),
            table_name=TABLE_NAME,
            socket=Path(settings.paths.socket),
            state_file=state_file,
            is_mobile_node=True,
        )
        self._watcher: Watcher | None = None
        self._router_socket: RouterSocket | None = None
        self._charon: Charon | None = None
        self._resolver: Resolver | None = None
        self._network_manager: NetworkManager | None = None
        self._logind: Logind | None = None
        self._service: Service | None = None
        self._neighbors: NeighborSocket | None = None
        self._resumed_at = -inf
        self._identifier = secrets.randbelow(0x10000)
        self._counted: Mapping[str, Counter] = {}

    # core

    def step(self, event: Event, now: float) -> list[Command]:
        self.state, commands = agent.step(self.state, event, now)
        return commands

    def wanted_kernel(self) -> Kernel:
        return wanted_kernel(self.state)

    def aspects(self) -> tuple[object, ...]:
        return agent.aspects(self.state)

    def deadline(self, now: float) -> float:
        return agent.deadline(self.state, now)

    def to_save(self) -> Saved:
        return save(self.state)

    def to_keep(self) -> Saved | None:
        return keep(self.state)

    def tick(self) -> Event:
        return Tick()

    def packet_received(self, packet: Packet | DecodeError) -> Event:
        return PacketReceived(packet)

    def prefix_discovery_received(self, packet: Packet) -> Event:
        return AdvertisementReceived(packet)

    def icmp_types(self) -> tuple[IcmpType, ...]:
        errors = IcmpType.PACKET_TOO_BIG, IcmpType.PARAMETER_PROBLEM
        return *errors, IcmpType.ECHO_REPLY, IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REPLY

    def icmp_received(self, data: bytes, source: IPv6Address) -> Event | None:
        try:
            identifier, sequence = parse_echo_reply(data)
        except DecodeError:
            return IcmpReceived(data)
        ours = identifier == self._identifier and source == self.state.settings.home.agent
        return EchoReceived(sequence) if ours else None

    def refused(self, what: str, why: str | None) -> Event:
        return Refused(what, why)

    def association(self, home_address: IPv6Address) -> Association:  # noqa: ARG002
        return self.state.settings.association

    def adopt(self, present: Negotiated) -> None:
        self.state = agent.adopt(self.state, present)

    def look_at_ike(self) -> None:
        if self._charon is not None:
            self._charon.look()

    def perform(self, command: Command) -> None:
        match command:
            case Send(packet):
                self.send(packet)
            case SendSolicitation(packet):
                self.send_prefix_discovery(packet)
            case SendIcmp(error):
                self.send_icmp(error)
            case AskDns(query):
                assert self._resolver is not None
                self._resolver.ask(query)
            case SendNeighbor(interface, said):
                self._try("home link", partial(self._say, interface, said))
            case KnowNeighbour(interface, address, hardware_address):
                assert self._watcher is not None
                self._watcher.know_neighbour(interface, address, hardware_address)
            case ForgetNeighbour(interface, address):
                assert self._watcher is not None
                self._watcher.forget_neighbour(interface, address)
            case AskNeighbour(interface, address):
                assert self._watcher is not None
                self._watcher.ask_neighbour(interface, address)
            case SendProbe(probe):
                self._send_probe(probe)
            case CountTraffic():
                self.soon(self._count())
            case MoveIke(care_of):
                self.migrate(ike_move(self.state.settings.association, Side.MOBILE_NODE, care_of))
                assert self._charon is not None
                self._charon.look()
            case EstablishIke(care_of):
                assert self._charon is not None
                tried = partial(self._ike_tried, care_of)
                self._charon.establish(connection(self.state.settings, care_of), MOBILITY, TRY_S, tried)
            case EstablishTunnel(number):
                assert self._charon is not None
                self._charon.negotiate(CONNECTION, tunnel_name(number), TRY_S)
            case Tell(notice):
                more = {"link": notice.link, "status": notice.status}
                known = {key: value for key, value in more.items() if value is not None}
                self.announce(notice.kind.value, notice.text, **known)

    @property
    def settings(self) -> Settings:
        return replace(self.state.settings, home=self._home)

    def take(self, settings: Settings) -> None:
        flows = policies.use(self.state.chosen or settings.policy)
        self.handle(SettingsChanged(settings))
        self._look_for_mobile_ipv6()
        if self._watcher is not None:
            self.handle(InterfacesChanged(self._watcher.look()))
        if flows != self.state.flows:
            self.handle(PolicyChosen(flows, by_people=self.state.chosen is not None))

    def _say(self, interface: int, said: NeighborMessage) -> None:
        """What is said has answers, which are heard as long as we are on that link."""
        if self._neighbors is None or self._neighbors.interface != interface:
            self._close_neighbors()
            self._neighbors = NeighborSocket(interface)
            self._neighbors.join(frozenset((solicited_node(self.state.settings.home.address),)))
            self.watch(self._neighbors.fileno(), self._hear_neighbors)
        self._neighbors.send(said)

    def _hear_neighbors(self) -> None:
        if self._neighbors is not None:
            for heard in self._neighbors.receive():
                if isinstance(heard, NeighborSolicitation | NeighborAdvertisement):
                    self.handle(NeighborHeard(heard))

    def _close_neighbors(self) -> None:
        if self._neighbors is not None:
            self.unwatch(self._neighbors.fileno())
            self._neighbors.close()
            self._neighbors = None

    def _send_probe(self, probe: Probe) -> None:
        """One that cannot be sent is one that is not answered."""
        if self.icmp is not None:
            data = echo_request(self._identifier, probe.sequence, bytes(8))
            with suppress(OSError):
                self.icmp.send(data, probe.care_of, self.state.settings.home.agent)

    def _count(self) -> TrafficCounted:
        """Which links have had tunnelled packets since the last time. What goes to correspondents directly proves no
        path to the home agent, but leaves one in doubt if nothing comes back.
        """
        before, self._counted = self._counted, self.counters()

        def grown(what: str, direction: str) -> frozenset[int]:
            names = {bid: counter_name(what, bid, direction) for bid in self.state.links}
            now = {bid: self._counted.get(name, Counter()).packets for bid, name in names.items()}
            return frozenset(bid for bid, name in names.items() if now[bid] > before.get(name, Counter()).packets)

        unanswered = grown("direct", "up") - grown("direct", "down")
        return TrafficCounted(grown("link", "down"), grown("link", "up") | unanswered)

    # world

    def open(self) -> None:
        self._look_for_mobile_ipv6()
        if self._watcher is None:
            watcher = Watcher()
            snapshot = watcher.look()
            self._watcher = watcher
            self._open_charon()
            self._open_resolver()
            self._open_bus()
            self.watch(watcher.fileno(), self._look)
            self.handle(InterfacesChanged(snapshot))
            self._look_for_cgroups()
            self._look_for_correspondents()
        if self._router_socket is None:
            self._router_socket = RouterSocket()
            self.watch(self._router_socket.fileno(), self._hear_routers)

    def _look_for_mobile_ipv6(self) -> None:
        """Whether the kernel can send to correspondents directly, if that is wanted."""
        wanted = self.state.settings.route_optimization.correspondents
        why = self.attempt(TRIAL) if wanted else None
        self.trouble(ROUTE_OPTIMIZATION, f"the kernel has no Mobile IPv6 ({why})" if why is not None else None)

    def _open_charon(self) -> None:
        ikev2 = self.state.settings.ikev2
        if ikev2 is not None:
            from mip6.charon import Charon  # it needs a package that others do without

            self._charon = Charon(Path(ikev2.vici), self._ike_looked, lambda why: self.trouble("IKE", why))
            self._charon.start()

    def _open_resolver(self) -> None:
        if dns.question(self.state.settings.home) is not None:
            from mn_agent.system.resolver import Resolver  # it needs a package that others do without

            self._resolver = Resolver(Path(self.state.settings.paths.resolver), self._dns_answered)

    def _open_bus(self) -> None:
        try:
            from mn_agent.system.dbus_service import Service  # they need a package that others do without
            from mn_agent.system.logind import Logind
            from mn_agent.system.networkmanager import NetworkManager
        except ModuleNotFoundError as error:
            self.log.info("D-Bus is not used: %s", error)
            return
        self._network_manager = NetworkManager(self._devices_changed, lambda why: self.trouble("NetworkManager", why))
        self._network_manager.start()
        self._logind = Logind(self._logind_tells)
        self._logind.start()
        self._service = Service(self.methods(), self._api.glance, lambda why: self.trouble("D-Bus service", why))
        self._service.start()

    def _logind_tells(self) -> None:
        self.heed_sleep()
        if boottime() > self._resumed_at + SAME_SLEEP_S:
            self.resumed()

    def resumed(self) -> None:
        if self._watcher is not None:
            self._resumed_at = boottime()
            self.handle(Resumed(self.interfaces()))

    def _dns_answered(self, question: dns.Question, answer: dns.Answer | dns.Failure) -> None:
        self.handle(DnsAnswered(question, answer))

    def _devices_changed(self, devices: Devices) -> None:
        self.handle(DevicesChanged(devices))

    def _ike_tried(self, care_of: IPv6Address) -> None:
        self.handle(IkeTried(care_of))

    def _ike_looked(self, sas: "Sas") -> None:
        self.handle(IkeLooked(sas, self.negotiated()))
        if sas is not None:
            self.sweep_states(sas)

    def _look(self) -> None:
        assert self._watcher is not None
        snapshot = self._watcher.heed()
        if snapshot is not None:
            self.handle(InterfacesChanged(snapshot))

    def _hear_routers(self) -> None:
        assert self._router_socket is not None
        for interface, advertisement in self._router_socket.receive():
            self.handle(RouterHeard(interface, advertisement))

    def _look_for_cgroups(self) -> None:
        """Control groups come and go with what runs in them, and nobody tells."""
        flows = self.state.flows
        renewed = policies.renew(flows)
        if renewed != flows:
            self.handle(PolicyChosen(renewed, by_people=self.state.chosen is not None))
        asyncio.get_running_loop().call_later(CGROUPS_S, self._look_for_cgroups)

    def settle(self) -> None:
        if self._service is not None:
            self._service.look()
        if self.state.home_link is None:
            self._close_neighbors()
        super().settle()

    def _look_for_correspondents(self) -> None:
        """Traffic with them is noticed by the kernel, which tells nobody."""
        if self.state.settings.route_optimization.networks:
            seen = frozenset(self.addresses(SEEN))
            if seen != self.state.seen:
                self.handle(CorrespondentsSeen(seen))
        asyncio.get_running_loop().call_later(CORRESPONDENTS_S, self._look_for_correspondents)

    async def leave(self) -> None:
        self.handle(StopRequested())
        await self.until(agent.is_finished)
        if self._charon is not None:
            await self._charon.end(CONNECTION)

    # what people and programs ask

    def methods(self) -> Mapping[str, Method]:
        return self._api.methods()

    async def authority(self, peer: Peer, action: str) -> str | None:
        return await (self._service.authority if self._service is not None else nobody_else)(peer, action)

    def interfaces(self) -> Snapshot:
        """As they are now; none when they cannot be seen."""
        return self._watcher.look() if self._watcher is not None else ()

    async def devices_are_known(self) -> None:
        """Return when what NetworkManager says now is known; that may be never."""
        if self._network_manager is not None:
            await self._network_manager.look()

    def hosts(self) -> Mapping[str, Mapping[IPv6Address, Counter]]:
        """What the hosts behind a mobile router have sent and got, by the names of both sets."""
        return {name: self.addresses(name) for name in HOSTS if self.state.settings.router.prefixes}

    def refresh(self) -> None:
        """Tell the home agent everything anew."""
        self.handle(RefreshRequested(self.interfaces()))


def _start(settings: Settings, state_file: Path) -> State:
    """Raises ConfigError when the policy cannot be used."""
    loaded = statefile.load(state_file, Saved)
    saved = loaded.state if loaded else None
    flows = policies.use(settings.policy)
    if saved is not None and saved.policy is not None:
        try:
            flows = policies.use(saved.policy)
        except ConfigError:
            saved = replace(saved, policy=None)
    return agent.start(
        settings,
        flows,
        saved,
        same_boot=loaded is not None and loaded.same_boot,
        sequence=secrets.randbelow(0x10000),
        clock_offset_s=time.time() - boottime(),
        key_mobility=settings.security is Security.IKEV2,
        seed=secrets.token_bytes(32),
    )
