"""monami6-ha: the home agent's core, the kernel, the network and the control socket, put together.

The only file that names them all.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from ipaddress import IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from home_agent.core import agent
from home_agent.core.cache import Cache, shift
from home_agent.core.discovery import anycast_addresses
from home_agent.core.events import (
    Command,
    Event,
    HomeLinkChanged,
    IcmpReceived,
    IkeLooked,
    MoveIke,
    NeighborHeard,
    PacketReceived,
    Refused,
    RevocationRequested,
    Send,
    SendAdvertisement,
    SendIcmp,
    SendNeighbor,
    SettingsChanged,
    SolicitationReceived,
    SwitchRequested,
    Tell,
    Tick,
    UnboundReceived,
    UplinkChanged,
)
from home_agent.core.home_link import HomeLink
from home_agent.core.ike import connections, restored
from home_agent.core.kernel import TABLE_NAME, associations, wanted_kernel
from home_agent.core.report import status
from home_agent.core.revocation import spell
from home_agent.core.saved import SavedEntry, restore, save
from home_agent.core.settings import Node, Settings
from home_agent.core.state import State, Uplink
from mip6 import statefile
from mip6.control import ControlError, Method, converted
from mip6.daemon import Daemon, boottime
from mip6.ipsec import Association, Side, ike_move
from mip6.kernel import Kernel
from mip6.linux import routing
from mip6.linux.neighbor_socket import NeighborSocket
from mip6.linux.netlink import Netlink, Notifications, message
from mip6.linux.unbound_socket import UnboundSocket
from mip6.tunnels import Negotiated
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mip6.wire.neighbor import NeighborMessage, RouterSolicitation, solicited_node
from mip6.wire.registry import IcmpType, RevocationTrigger

if TYPE_CHECKING:
    from mip6.charon import Charon, Sas


END = "end bindings"
"""What only root and our group may do: nobody else is asked."""
SWITCH_S = 30.0
"""How long somebody who sends a mobile node away may wait until it has gone."""


class HomeAgentDaemon(Daemon[Settings, State, Event, Command]):
    """The home agent on a real machine."""

    fixed = frozenset({("home_agent", "address"), ("home_agent", "home_link"), ("ikev2",), ("paths",)})

    def __init__(self, read: Callable[[], Settings]) -> None:
        """`read` reads the configuration. Raises ConfigError."""
        settings = read()
        state_file = Path(settings.paths.state)
        super().__init__(
            read,
            _start(settings, state_file),
            table_name=TABLE_NAME,
            socket=Path(settings.paths.socket),
            state_file=state_file,
            is_mobile_node=False,
        )
        self._uplinks: _UplinkWatcher | None = None
        self._neighbors: NeighborSocket | None = None
        self._unbound: UnboundSocket | None = None
        self._charon: Charon | None = None

    # core

    def step(self, event: Event, now: float) -> list[Command]:
        self.state, commands = agent.step(self.state, event, now)
        return commands

    def wanted_kernel(self) -> Kernel:
        return wanted_kernel(self.state)

    def aspects(self) -> tuple[object, ...]:
        state = self.state
        return state.cache, state.uplink, state.home_link, state.senders, state.tunnels, state.path_mtus

    def deadline(self, now: float) -> float:  # noqa: ARG002
        return agent.deadline(self.state)

    def to_save(self) -> object:
        return save(self.state.cache)

    def tick(self) -> Event:
        return Tick()

    def packet_received(self, packet: Packet | DecodeError) -> Event:
        return PacketReceived(packet)

    def prefix_discovery_received(self, packet: Packet) -> Event:
        return SolicitationReceived(packet)

    def icmp_types(self) -> tuple[IcmpType, ...]:
        return IcmpType.PACKET_TOO_BIG, IcmpType.HOME_AGENT_ADDRESS_DISCOVERY_REQUEST

    def icmp_received(self, data: bytes, source: IPv6Address) -> Event:
        return IcmpReceived(data, source)

    def refused(self, what: str, why: str | None) -> Event:
        return Refused(what, why)

    def association(self, home_address: IPv6Address) -> Association:
        return next(one for one in associations(self.state.settings) if one.home_address == home_address)

    def adopt(self, present: Negotiated) -> None:
        self.state = replace(self.state, tunnels=restored(self.state.settings, present))

    def look_at_ike(self) -> None:
        if self._charon is not None:
            self._charon.look()

    def perform(self, command: Command) -> None:
        match command:
            case Send(packet):
                self.send(packet)
            case SendAdvertisement(packet):
                self.send_prefix_discovery(packet)
            case SendIcmp(error):
                self.send_icmp(error)
            case SendNeighbor(said):
                self._say(said)
            case MoveIke(home_address, care_of):
                self.migrate(ike_move(self.association(home_address), Side.HOME_AGENT, care_of))
                assert self._charon is not None
                self._charon.look()
            case Tell(notice, text):
                self.announce(notice.value, text)

    @property
    def settings(self) -> Settings:
        return self.state.settings

    def take(self, settings: Settings) -> None:
        self.handle(SettingsChanged(settings))
        self._be_found()
        self._join_groups()
        if self._charon is not None:
            self._charon.renew(connections(settings))

    # world

    def open(self) -> None:
        if self._uplinks is None:
            self._uplinks = _UplinkWatcher(self.state.settings.home_agent.address)
            self.watch(self._uplinks.fileno(), self._look)
            self._open_charon()
        if self._unbound is None:
            self._unbound = UnboundSocket()
            self.watch(self._unbound.fileno(), self._receive_unbound)
        self._look()
        self._be_found()

    def _receive_unbound(self) -> None:
        assert self._unbound is not None
        for source, home_address in self._unbound.receive():
            self.handle(UnboundReceived(source, home_address))

    def _be_found(self) -> None:
        """Where mobile nodes ask which home agents there are."""
        icmp = self.icmp
        if icmp is not None:
            link = self.state.home_link
            interface, addresses = link.index if link is not None else None, anycast_addresses(self.state.settings)
            self._try("discovery", lambda: icmp.join_anycast(addresses, interface))

    def _open_charon(self) -> None:
        ikev2 = self.state.settings.ikev2
        if ikev2 is not None:
            from mip6.charon import Charon  # it needs a package that others do without

            self._charon = Charon(Path(ikev2.vici), self._ike_looked, lambda why: self.trouble("IKE", why))
            self._charon.load(connections(self.state.settings))
            self._charon.start()

    def _ike_looked(self, sas: "Sas") -> None:
        self.handle(IkeLooked(sas, self.negotiated()))
        if sas is not None:
            self.sweep_states(sas)

    def _say(self, said: NeighborMessage | RouterSolicitation) -> None:
        neighbors = self._neighbors
        if neighbors is not None:
            self._try("home link", lambda: neighbors.send(said))

    def _hear_neighbors(self) -> None:
        assert self._neighbors is not None
        for heard in self._neighbors.receive():
            self.handle(NeighborHeard(heard))

    def _look_at_home_link(self) -> None:
        """Hear what is asked there for the home addresses of all mobile nodes."""
        assert self._uplinks is not None
        name = self.state.settings.home_agent.home_link
        link = self._uplinks.home_link(name) if name is not None else None
        self.trouble("home link", f"there is no interface {name} that is up" if name is not None and not link else None)
        if link == self.state.home_link:
            return
        if self._neighbors is not None:
            self.unwatch(self._neighbors.fileno())
            self._neighbors.close()
            self._neighbors = None
        if link is not None:
            self._neighbors = NeighborSocket(link.index)
            self.watch(self._neighbors.fileno(), self._hear_neighbors)
            self._join_groups()
        self.handle(HomeLinkChanged(link))
        self._be_found()

    def _join_groups(self) -> None:
        neighbors = self._neighbors
        if neighbors is not None:
            groups = {solicited_node(node.home_address) for node in self.state.settings.node}
            self._try("home link", lambda: neighbors.join(groups))

    def _look(self) -> None:
        assert self._uplinks is not None
        self._look_at_home_link()
        uplink = self._uplinks.look()
        if uplink != self.state.uplink:
            self.handle(UplinkChanged(uplink))
        own = self.state.settings.home_agent.address
        self.trouble("interfaces", None if uplink else f"no interface has the home agent's address {own}")

    # control socket

    def methods(self) -> Mapping[str, Method]:
        return {
            "status": Method(self._status),
            "revoke": Method(self._revoke, END),
            "switch-away": Method(self._switch_away, END),
        }

    async def _status(self, arguments: Mapping[str, Any]) -> object:
        if arguments:
            raise ControlError("request", "status takes no arguments")
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

    async def _revoke(self, arguments: Mapping[str, Any]) -> object:
        """End the bindings `bids` of the mobile node `node`, or all if there are none; `renew`: it shall register them
        anew. Answers when they are gone, with the status that the mobile node gave, null for none, and what that means.
        """
        wanted: _Revoke = converted(arguments, _Revoke)
        node = self._node(wanted.node)
        home_address = node.home_address
        entry = self.state.cache.get(home_address)
        held = [bid for bid in entry.bindings if bid] if entry is not None else []
        if entry is None or not entry.bindings or not wanted.bids <= set(held):
            there = ", ".join(map(str, held)) or "none"
            raise ControlError("no-such-binding", f"{node.name} has no such binding; there are: {there}")
        trigger = _RENEW if wanted.renew else RevocationTrigger.ADMINISTRATIVE_REASON
        before = self.state.revoked.get(home_address)
        self.handle(RevocationRequested(home_address, wanted.bids, trigger))
        await self.until(lambda state: state.revoked.get(home_address) is not before)
        revoked = self.state.revoked[home_address]
        return {"status": revoked.status, "text": spell(revoked)}

    async def _switch_away(self, arguments: Mapping[str, Any]) -> object:
        """Have the mobile node `node` go to one of the home agents `home_agents`, or to any other when there are none.
        Answers when it has gone.
        """
        wanted: _SwitchAway = converted(arguments, _SwitchAway)
        node = self._node(wanted.node)
        entry = self.state.cache.get(node.home_address)
        if entry is None or not entry.bindings:
            raise ControlError("no-such-binding", f"{node.name} is not here")
        if not node.is_ipsec:
            text = f"{node.name} could not know that it is us: it needs IPsec. `revoke` makes it leave, too"
            raise ControlError("not-protected", text)
        self.handle(SwitchRequested(node.home_address, wanted.home_agents))
        try:
            await asyncio.wait_for(self.until(lambda state: node.home_address not in state.switches), SWITCH_S)
        except TimeoutError:
            text = f"{node.name} has not gone within {SWITCH_S:g} s; it is told again until it has"
            raise ControlError("timeout", text) from None
        return {}

    def _node(self, name: str) -> Node:
        node = next((one for one in self.state.settings.node if one.name == name), None)
        if node is None:
            names = ", ".join(one.name for one in self.state.settings.node) or "none"
            raise ControlError("no-such-node", f"no mobile node is called {name}; there are: {names}")
        return node


_RENEW = RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE


class _Revoke(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `revoke`."""

    node: str
    bids: frozenset[int] = frozenset()
    renew: bool = False


class _SwitchAway(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments of `switch-away`."""

    node: str
    home_agents: tuple[IPv6Address, ...] = ()


_IFF_RUNNING = 0x40
_IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x08, 0x40


class _UplinkWatcher:
    """Finds the interface that has an address, and the one towards the home link."""

    def __init__(self, own: IPv6Address) -> None:
        self._own = str(own)
        self._netlink = Netlink()
        self._news = Notifications(routing.RTMGRP_LINK | routing.RTMGRP_IPV6_IFADDR)

    def fileno(self) -> int:
        return self._news.fileno()

    def look(self) -> Uplink | None:
        self._news.read()
        request = message(ifaddrmsg, {"family": socket.AF_INET6}, {})
        for answer in self._netlink.dump(routing.RTM_GETADDR, request):
            if answer.get_attr("IFA_LOCAL") == self._own or answer.get_attr("IFA_ADDRESS") == self._own:
                return Uplink(answer["index"], self._mtu(answer["index"]))
        return None

    def home_link(self, name: str) -> HomeLink | None:
        """The interface of this name, if it is up and has a link-local address that may be used."""
        links = self._netlink.dump(routing.RTM_GETLINK, message(ifinfmsg, {"family": socket.AF_UNSPEC}, {}))
        found = next((one for one in links if one.get_attr("IFLA_IFNAME") == name), None)
        if found is None or not found["flags"] & _IFF_RUNNING:
            return None
        request = message(ifaddrmsg, {"family": socket.AF_INET6}, {})
        for answer in self._netlink.dump(routing.RTM_GETADDR, request):
            address = IPv6Address(answer.get_attr("IFA_ADDRESS"))
            is_usable = not answer["flags"] & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED)
            if answer["index"] == found["index"] and address.is_link_local and is_usable:
                hardware_address = bytes.fromhex(found.get_attr("IFLA_ADDRESS").replace(":", ""))
                return HomeLink(found["index"], hardware_address, address)
        return None

    def _mtu(self, index: int) -> int:
        answers = self._netlink.dump(routing.RTM_GETLINK, message(ifinfmsg, {"family": socket.AF_UNSPEC}, {}))
        mtu: int = next(answer.get_attr("IFLA_MTU") for answer in answers if answer["index"] == index)
        return mtu


def _start(settings: Settings, state_file: Path) -> State:
    loaded = statefile.load(state_file, tuple[SavedEntry, ...])
    cache: Cache = {}
    if loaded is not None:
        with suppress(ValueError):  # damaged, which is as good as none
            cache = {home: shift(entry, loaded.shift_s) for home, entry in restore(loaded.state).items()}
    return agent.start(settings, cache, epoch_offset_s=time.time() - boottime())
