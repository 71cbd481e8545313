"""monami6d: the agent's core, the kernel, the network and the control socket, put together.

The only file that names them all.
"""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mip6 import statefile
from mip6.control import ControlError, Method
from mip6.daemon import Daemon, boottime
from mip6.kernel import Kernel
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet
from mn_agent.core import agent
from mn_agent.core.bindings import EntryState
from mn_agent.core.changes import status_text
from mn_agent.core.commands import Command, ForgetNeighbour, Send, SendIcmp, Tell
from mn_agent.core.events import (
    Event,
    IcmpReceived,
    InterfacesChanged,
    PacketReceived,
    Refused,
    StopRequested,
    SwitchRequested,
    Tick,
)
from mn_agent.core.kernel import TABLE_NAME, wanted_kernel
from mn_agent.core.links import Link
from mn_agent.core.report import status
from mn_agent.core.settings import Settings
from mn_agent.core.state import Saved, State
from mn_agent.system.watcher import Watcher

SWITCH_S = 60.0
"""How long somebody who asked for a switch may wait for the home agent's word."""


class AgentDaemon(Daemon[State, Event, Command]):
    """The agent on a real machine."""

    def __init__(self, settings: Settings) -> None:
        state_file = Path(settings.paths.state)
        super().__init__(
            _start(settings, state_file),
            table_name=TABLE_NAME,
            socket=Path(settings.paths.socket),
            state_file=state_file,
            is_mobile_node=True,
        )
        self._watcher: Watcher | None = None
        self._waiting: dict[asyncio.Future[None], Callable[[State], bool]] = {}

    # core

    def step(self, event: Event, now: float) -> list[Command]:
        self.state, commands = agent.step(self.state, event, now)
        return commands

    def wanted_kernel(self) -> Kernel:
        return wanted_kernel(self.state)

    def deadline(self, now: float) -> float:
        return agent.deadline(self.state, now)

    def to_save(self) -> Saved:
        return agent.saved(self.state)

    def tick(self) -> Event:
        return Tick()

    def packet_received(self, packet: Packet | DecodeError) -> Event:
        return PacketReceived(packet)

    def icmp_received(self, data: bytes) -> Event:
        return IcmpReceived(data)

    def refused(self, what: str, why: str | None) -> Event:
        return Refused(what, why)

    def perform(self, command: Command) -> None:
        match command:
            case Send(packet):
                self.send(packet)
            case SendIcmp(error):
                self.send_icmp(error)
            case ForgetNeighbour(interface, address):
                assert self._watcher is not None
                self._watcher.forget_neighbour(interface, address)
            case Tell(notice):
                self.log.info("%s: %s", notice.kind.value, notice.text)
                event = {"at": time.time(), "event": notice.kind.value, "text": notice.text}
                extra = {"link": notice.link, "status": notice.status}
                self.control.publish(event | {key: value for key, value in extra.items() if value is not None})

    # world

    def open(self) -> None:
        if self._watcher is None:
            watcher = Watcher()
            snapshot = watcher.look()
            self._watcher = watcher
            self.watch(watcher.fileno(), self._look)
            self.handle(InterfacesChanged(snapshot))

    def _look(self) -> None:
        assert self._watcher is not None
        snapshot = self._watcher.heed()
        if snapshot is not None:
            self.handle(InterfacesChanged(snapshot))

    def settle(self) -> None:
        for future, is_met in list(self._waiting.items()):
            if not future.done() and is_met(self.state):
                future.set_result(None)

    async def leave(self) -> None:
        self.handle(StopRequested())
        await self._until(agent.is_finished)

    async def _until(self, is_met: Callable[[State], bool]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = is_met
        try:
            self.settle()
            await future
        finally:
            del self._waiting[future]

    # control socket

    def methods(self) -> Mapping[str, Method]:
        return {
            "status": Method(self._status),
            "switch": Method(self._switch, changes=True),
            "interfaces": Method(self._interfaces),
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
        )

    async def _interfaces(self, arguments: Mapping[str, Any]) -> object:
        """The addresses as the agent sees them, by interface name."""
        _expect(arguments)
        snapshot = self._watcher.look() if self._watcher else ()
        return {interface.name: [str(address.address) for address in interface.addresses] for interface in snapshot}

    async def _switch(self, arguments: Mapping[str, Any]) -> object:
        """Move the default traffic to `link` and keep it there; null gives the choice back. Answers when the home
        agent has confirmed it.
        """
        _expect(arguments, "link")
        name = arguments.get("link")
        link = self._link(name) if name is not None else None
        self.handle(SwitchRequested(link.name if link else None))

        def is_met(state: State) -> bool:
            return (_is_settled(state) and (link is None or _carries(state, link.bid))) or _is_refused(state, link)

        try:
            await asyncio.wait_for(self._until(is_met), SWITCH_S)
        except TimeoutError:
            raise ControlError("timeout", f"the home agent has not confirmed it within {SWITCH_S:g} s") from None
        if link is not None and _is_refused(self.state, link):
            raise self._refusal(link)
        return await self._status({})

    def _refusal(self, link: Link) -> ControlError:
        entry = self.state.registration.entries[link.bid]
        refusal = self.state.registration.refusal or entry.refusal
        assert refusal is not None
        return ControlError("refused", f"the home agent refuses {link.name}: {status_text(refusal.status)}")

    def _link(self, name: object) -> Link:
        link = self.state.link_called(name) if isinstance(name, str) else None
        if link is None:
            names = ", ".join(link.name for link in self.state.links.values())
            raise ControlError("no-such-link", f"no link is called {name}; there are: {names or 'none'}")
        if link.problem:
            raise ControlError("unusable", f"{link.name} cannot carry traffic: {link.problem}")
        if _is_refused(self.state, link):
            raise self._refusal(link)
        return link


def _start(settings: Settings, state_file: Path) -> State:
    loaded = statefile.load(state_file, Saved)
    return agent.start(
        settings,
        loaded.state if loaded else None,
        same_boot=loaded is not None and loaded.same_boot,
        sequence=secrets.randbelow(0x10000),
        clock_offset_s=time.time() - boottime(),
    )


def _carries(state: State, bid: int) -> bool:
    return state.carrier is not None and state.carrier.bid == bid


def _is_refused(state: State, link: Link | None) -> bool:
    """Whether the home agent does not serve us, or not over this link."""
    entry = state.registration.entries.get(link.bid) if link else None
    return state.registration.refusal is not None or (entry is not None and entry.refusal is not None)


def _is_settled(state: State) -> bool:
    """The home agent has confirmed what is wanted of the links that it knows."""
    return not any(entry.state is EntryState.UPDATING for entry in state.registration.entries.values())


def _expect(arguments: Mapping[str, Any], *names: str) -> None:
    unknown = arguments.keys() - set(names)
    if unknown:
        raise ControlError("request", f"unknown argument {', '.join(sorted(unknown))}")
