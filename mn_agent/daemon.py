"""monami6d: the agent's core, the kernel, the network and the control socket, put together.

The only file that names them all.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from ipaddress import IPv6Address
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import msgspec

from mip6 import statefile
from mip6.config import ConfigError
from mip6.control import ControlError, Method
from mip6.daemon import Daemon, boottime
from mip6.ike import MOBILITY, tunnel_name
from mip6.ipsec import Association, Side, ike_move
from mip6.kernel import Kernel
from mip6.table import Counter
from mip6.tunnels import Negotiated
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.icmp import echo_request, parse_echo_reply
from mip6.wire.registry import IcmpType
from mn_agent.core import agent
from mn_agent.core.bindings import EntryState
from mn_agent.core.changes import status_text
from mn_agent.core.commands import (
    Command,
    CountTraffic,
    EstablishIke,
    EstablishTunnel,
    ForgetNeighbour,
    MoveIke,
    Send,
    SendIcmp,
    SendProbe,
    Tell,
)
from mn_agent.core.devices import Devices
from mn_agent.core.events import (
    DevicesChanged,
    EchoReceived,
    Event,
    IcmpReceived,
    IkeLooked,
    IkeTried,
    InterfacesChanged,
    PacketReceived,
    PolicyChosen,
    Refused,
    Resumed,
    SettingsChanged,
    StopRequested,
    Subject,
    SwitchRequested,
    Tick,
    TrafficCounted,
)
from mn_agent.core.explain import Packet as AskedPacket
from mn_agent.core.explain import explain
from mn_agent.core.flow_bindings import is_due
from mn_agent.core.ike import CONNECTION, TRY_S, connection
from mn_agent.core.kernel import TABLE_NAME, counter_name, wanted_kernel
from mn_agent.core.links import Link, called
from mn_agent.core.probing import Probe
from mn_agent.core.registration import endpoint
from mn_agent.core.report import status
from mn_agent.core.settings import Security, Settings
from mn_agent.core.state import Saved, State
from mn_agent.system import policies
from mn_agent.system.watcher import Watcher

if TYPE_CHECKING:
    from mip6.charon import Charon, Sas
    from mn_agent.system.logind import Logind
    from mn_agent.system.networkmanager import NetworkManager


CGROUPS_S = 5.0
"""How often to look for the control groups that the policy names."""
SWITCH_S = 60.0
"""How long somebody who asked for a switch may wait for the home agent's word."""
USE_S = 3.0
"""The same for who asked for a policy, who can do without."""
LEAVE_S = 3.0
"""The same for NetworkManager, which takes a link down when that is over."""
UNKNOWN_RTT_S = 0.2
"""Reckoned with while a path's is not known."""
SAME_SLEEP_S = 10.0
"""The clocks tell that the machine has slept, and logind a moment later."""


class AgentDaemon(Daemon[Settings, State, Event, Command]):
    """The agent on a real machine."""

    fixed = frozenset({("home",), ("manual",), ("ikev2",), ("paths",)})

    def __init__(self, read: Callable[[], Settings]) -> None:
        """`read` reads the configuration. Raises ConfigError."""
        settings = read()
        self._home = settings.home
        state_file = Path(settings.paths.state)
        super().__init__(
            read,
            _start(settings, state_file),
            table_name=TABLE_NAME,
            socket=Path(settings.paths.socket),
            state_file=state_file,
            is_mobile_node=True,
        )
        self._watcher: Watcher | None = None
        self._charon: Charon | None = None
        self._network_manager: NetworkManager | None = None
        self._logind: Logind | None = None
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
        return agent.saved(self.state)

    def tick(self) -> Event:
        return Tick()

    def packet_received(self, packet: Packet | DecodeError) -> Event:
        return PacketReceived(packet)

    def icmp_types(self) -> tuple[IcmpType, ...]:
        return IcmpType.PACKET_TOO_BIG, IcmpType.ECHO_REPLY

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
            case SendIcmp(error):
                self.send_icmp(error)
            case ForgetNeighbour(interface, address):
                assert self._watcher is not None
                self._watcher.forget_neighbour(interface, address)
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
        if self._watcher is not None:
            self.handle(InterfacesChanged(self._watcher.look()))
        if flows != self.state.flows:
            self.handle(PolicyChosen(flows, by_people=self.state.chosen is not None))

    def _send_probe(self, probe: Probe) -> None:
        """One that cannot be sent is one that is not answered."""
        if self.icmp is not None:
            data = echo_request(self._identifier, probe.sequence, bytes(8))
            with suppress(OSError):
                self.icmp.send(data, probe.care_of, self.state.settings.home.agent)

    def _count(self) -> TrafficCounted:
        """Which links have had tunnelled packets since the last time."""
        before, self._counted = self._counted, self.counters()

        def has_grown(bid: int, direction: str) -> bool:
            name = counter_name("link", bid, direction)
            return self._counted.get(name, Counter()).packets > before.get(name, Counter()).packets

        arrived = frozenset(bid for bid in self.state.links if has_grown(bid, "down"))
        left = frozenset(bid for bid in self.state.links if has_grown(bid, "up"))
        return TrafficCounted(arrived, left)

    # world

    def open(self) -> None:
        if self._watcher is None:
            watcher = Watcher()
            snapshot = watcher.look()
            self._watcher = watcher
            self._open_charon()
            self._open_bus()
            self.watch(watcher.fileno(), self._look)
            self.handle(InterfacesChanged(snapshot))
            self._look_for_cgroups()

    def _open_charon(self) -> None:
        ikev2 = self.state.settings.ikev2
        if ikev2 is not None:
            from mip6.charon import Charon  # it needs a package that others do without

            self._charon = Charon(Path(ikev2.vici), self._ike_looked, lambda why: self.trouble("IKE", why))
            self._charon.start()

    def _open_bus(self) -> None:
        try:
            from mn_agent.system.logind import Logind  # they need a package that others do without
            from mn_agent.system.networkmanager import NetworkManager
        except ModuleNotFoundError as error:
            self.log.info("D-Bus is not used: %s", error)
            return
        self._network_manager = NetworkManager(self._devices_changed, lambda why: self.trouble("NetworkManager", why))
        self._network_manager.start()
        self._logind = Logind(self._logind_tells)
        self._logind.start()

    def _logind_tells(self) -> None:
        self.heed_sleep()
        if boottime() > self._resumed_at + SAME_SLEEP_S:
            self.resumed()

    def resumed(self) -> None:
        if self._watcher is not None:
            self._resumed_at = boottime()
            self.handle(Resumed(self._watcher.look()))

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

    def _look_for_cgroups(self) -> None:
        """Control groups come and go with what runs in them, and nobody tells."""
        flows = self.state.flows
        renewed = policies.renew(flows)
        if renewed != flows:
            self.handle(PolicyChosen(renewed, by_people=self.state.chosen is not None))
        asyncio.get_running_loop().call_later(CGROUPS_S, self._look_for_cgroups)

    async def leave(self) -> None:
        self.handle(StopRequested())
        await self._until(agent.is_finished)
        if self._charon is not None:
            await self._charon.end(CONNECTION)

    # control socket

    def methods(self) -> Mapping[str, Method]:
        return {
            "status": Method(self._status),
            "switch": Method(self._switch, changes=True),
            "use": Method(self._use, changes=True),
            "explain": Method(self._explain),
            "interfaces": Method(self._interfaces),
            "leave": Method(self._leave),
        }

    async def _status(self, arguments: Mapping[str, Any]) -> object:
        _expect(arguments)
        return status(
            self.state,
            boottime(),
            unix_time=time.time(),
            version=version("monami6"),
            pid=os.getpid(),
            counters=self.counters(),
            usages=self.usages(),
            dropped=self.dropped(),
        )

    async def _interfaces(self, arguments: Mapping[str, Any]) -> object:
        """The addresses as the agent sees them, by interface name."""
        _expect(arguments)
        snapshot = self._watcher.look() if self._watcher else ()
        return {interface.name: [str(address.address) for address in interface.addresses] for interface in snapshot}

    async def _switch(self, arguments: Mapping[str, Any]) -> object:
        """Move all traffic, the flow `flow`, or IKEv2 if `ike` is true, to `link` and keep it there; null gives the
        choice back. Answers when the home agent has confirmed it.
        """
        _expect(arguments, "link", "flow", "ike")
        name, flow = arguments.get("link"), arguments.get("flow")
        rules = [rule.name for rule in self.state.flows.policy.flow]
        if flow is not None and flow not in rules:
            raise ControlError("no-such-flow", f"no flow is called {flow}; there are: {', '.join(rules) or 'none'}")
        link = self._link(name) if name is not None else None
        subject = Subject.FLOW if flow is not None else Subject.IKE if arguments.get("ike") else Subject.ALL
        self.handle(SwitchRequested(link.name if link else None, subject, flow or ""))

        def is_met(state: State) -> bool:
            there = link is None or _is_on(state, link.bid, subject, flow)
            return (_is_settled(state) and there) or _is_refused(state, link)

        try:
            await asyncio.wait_for(self._until(is_met), SWITCH_S)
        except TimeoutError:
            raise ControlError("timeout", f"the home agent has not confirmed it within {SWITCH_S:g} s") from None
        if link is not None and _is_refused(self.state, link):
            raise self._refusal(link)
        return await self._status({})

    async def _leave(self, arguments: Mapping[str, Any]) -> object:
        """Answers when nothing goes over the interface `interface` any more, should NetworkManager be about to take it
        down; how long that took, in seconds.
        """
        _expect(arguments, "interface")
        name, begun_at = arguments.get("interface"), boottime()
        try:
            async with asyncio.timeout(LEAVE_S):
                if self._network_manager is not None:
                    await self._network_manager.look()
                await self._until(lambda state: _is_left(state, name))
        except TimeoutError:
            raise ControlError("timeout", f"there is still traffic over {name} after {LEAVE_S:g} s") from None
        leaving = [link for link in self.state.links.values() if link.interface == name and link.leaving]
        for link in leaving:
            # What the home agent sent there before it knew may still be on its way
            path = self.state.probing.paths.get(link.bid)
            await asyncio.sleep((path.rtt_s if path is not None else None) or UNKNOWN_RTT_S)
        return {"interface": name, "took_s": boottime() - begun_at}

    async def _use(self, arguments: Mapping[str, Any]) -> object:
        """Use the policy `policy`, also after a restart; null goes back to the configuration's. Answers when the home
        agent has confirmed what follows from it, or does not for a while: it is in use all the same.
        """
        _expect(arguments, "policy")
        name = arguments.get("policy")
        try:
            flows = policies.use(self.state.settings.policy if name is None else str(name))
        except ConfigError as error:
            raise ControlError("no-such-policy" if name not in policies.names() else "policy", str(error)) from None
        self.handle(PolicyChosen(flows, by_people=name is not None))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._until(_is_settled), USE_S)
        return await self._status({})

    async def _explain(self, arguments: Mapping[str, Any]) -> object:
        """Why everything is where it is, and where a packet would go that has what `packet` says."""
        _expect(arguments, "packet")
        try:
            packet = msgspec.convert(
                arguments.get("packet"), AskedPacket | None, dec_hook=lambda kind, text: kind(text)
            )
        except msgspec.ValidationError as error:
            raise ControlError("request", str(error)) from None
        return explain(self.state, packet)

    def _refusal(self, link: Link) -> ControlError:
        entry = self.state.registration.entries[link.bid]
        refusal = self.state.registration.refusal or entry.refusal
        assert refusal is not None
        return ControlError("refused", f"the home agent refuses {link.name}: {status_text(refusal.status)}")

    def _link(self, name: object) -> Link:
        link = called(name, self.state.links.values()) if isinstance(name, str) else None
        if link is None:
            names = ", ".join(link.name for link in self.state.links.values())
            raise ControlError("no-such-link", f"no link is called {name}; there are: {names or 'none'}")
        if link.problem:
            raise ControlError("unusable", f"{link.name} cannot carry traffic: {link.problem}")
        if _is_refused(self.state, link):
            raise self._refusal(link)
        return link


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
    )


def _is_on(state: State, bid: int, subject: Subject, flow: str | None) -> bool:
    decision = state.decision
    match subject:
        case Subject.ALL:
            choice = decision.default
        case Subject.FLOW:
            choice = decision.flows.get(flow or "")
        case Subject.IKE:
            choice = decision.ike
        case _:
            assert_never(subject)
    return choice is not None and choice.bids[0] == bid


def _is_refused(state: State, link: Link | None) -> bool:
    """Whether the home agent does not serve us, or not over this link."""
    entry = state.registration.entries.get(link.bid) if link else None
    return state.registration.refusal is not None or (entry is not None and entry.refusal is not None)


def _is_settled(state: State) -> bool:
    """The home agent has confirmed what is wanted of the links and flows that it knows."""
    registered = state.registration
    updating = any(entry.state is EntryState.UPDATING for entry in registered.entries.values())
    bound = [entry.bid for entry in registered.entries.values() if entry.binding is not None]
    telling = registered.flow_bindings and is_due(registered.flows, bound)
    return not updating and not telling and endpoint(registered) is None


def _is_left(state: State, interface: object) -> bool:
    """Whether nothing goes over it any more that could go elsewhere; also when it is not about to go."""
    leaving = {bid for bid, link in state.links.items() if link.interface == interface and link.leaving}
    choices = [state.decision.default, state.decision.ike, *state.decision.flows.values()]
    carrying = {bid for choice in choices if choice is not None for bid in choice.bids}
    is_alone = not any(view.works and not view.leaving for view in state.views())
    return not leaving or is_alone or (not leaving & carrying and _is_settled(state))


def _expect(arguments: Mapping[str, Any], *names: str) -> None:
    unknown = arguments.keys() - set(names)
    if unknown:
        raise ControlError("request", f"unknown argument {', '.join(sorted(unknown))}")
