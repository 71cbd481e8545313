"""What both daemons do around their core: one loop, one order.

    step -> reconcile the kernel -> send -> tell -> save -> arm one timer

Everything happens in callbacks of one asyncio loop, and none of them waits: a disk may take its time, so a thread
writes the state file. What the operating system refuses becomes an event of the core and is tried again; an exception
that nobody expected ends the process.
"""

import asyncio
import errno
import gc
import logging
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import IPv6Address
from math import isinf
from operator import is_not
from pathlib import Path
from typing import Any, Generic, TypeVar

from mip6 import statefile
from mip6.config import ConfigError
from mip6.config_changes import Change, changes
from mip6.control import ControlServer, Method, Peer, nobody_else
from mip6.ike_sas import IkeSa
from mip6.ipsec import Association, Side, sending_state
from mip6.kernel import Kernel
from mip6.linux.mobility_socket import IcmpSocket, MobilitySocket
from mip6.linux.prefix_discovery_socket import PrefixDiscoverySocket
from mip6.linux.reconciler import Reconciler
from mip6.linux.timer import Timer
from mip6.occurrences import LEVELS, Occurrence
from mip6.reception import IcmpError
from mip6.service_manager import ServiceManager
from mip6.table import Counter
from mip6.tunnels import Negotiated, by_reqid
from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet, build_from_mobile_node, build_to_mobile_node
from mip6.wire.registry import IcmpType
from mip6.xfrm import Migration, State, Usage

RETRY_S = 1.0
"""How long after the operating system refused something it is asked again."""
LEAVE_S = 1.0
"""How long an orderly stop may take."""
SLEPT_S = 1.0
"""The machine has slept when the clock that counts sleep is so far ahead of the other one: reading both takes time."""

StateT = TypeVar("StateT")
EventT = TypeVar("EventT")
CommandT = TypeVar("CommandT")
SettingsT = TypeVar("SettingsT")


def boottime() -> float:
    """The clock of all protocol time: it never jumps, and counts sleep."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def asleep_s() -> float:
    """How long the machine has slept since it was started."""
    return boottime() - time.clock_gettime(time.CLOCK_MONOTONIC)


class Daemon(ABC, Generic[SettingsT, StateT, EventT, CommandT]):
    """The shell around a core. A subclass names the core's functions and adds its own sources of events."""

    fixed: frozenset[tuple[str, ...]]
    """Keys of the configuration that only a restart can change, and all that is in them."""

    def __init__(
        self,
        read: Callable[[], SettingsT],
        state: StateT,
        *,
        table_name: str,
        socket: Path,
        state_file: Path,
        is_mobile_node: bool,
    ) -> None:
        """`read` reads the configuration anew, or raises ConfigError."""
        self.state = state
        self._read = read
        self._manager = ServiceManager(os.environ)
        self.log = logging.getLogger(type(self).__module__.partition(".")[0])
        self.control = ControlServer(socket, self.methods(), events="monitor", authority=self.authority)
        self._table_name = table_name
        self._is_mobile_node = is_mobile_node
        self._state_file = state_file
        self._aspects: tuple[object, ...] = ()
        self._saved: object = None
        self._saving: asyncio.Future[None] | None = None
        self._reconciler: Reconciler | None = None
        self._mobility: MobilitySocket | None = None
        self.icmp: IcmpSocket | None = None
        self._prefix_discovery: PrefixDiscoverySocket | None = None
        self._timer = Timer()
        self._asleep_s = asleep_s()
        self._retry: asyncio.TimerHandle | None = None
        self._troubles: dict[str, str] = {}
        self._waiting: dict[asyncio.Future[None], Callable[[StateT], bool]] = {}
        self._stopping: asyncio.Future[bool]
        self._failure: BaseException | None = None

    # The core's side

    @abstractmethod
    def step(self, event: EventT, now: float) -> list[CommandT]:
        """Take the event into `self.state`; gives what is to be done."""

    @abstractmethod
    def wanted_kernel(self) -> Kernel: ...

    @abstractmethod
    def aspects(self) -> tuple[object, ...]:
        """What the wanted kernel and the saved state are made from: while these are the same objects, so are those."""

    @abstractmethod
    def deadline(self, now: float) -> float: ...

    @abstractmethod
    def to_save(self) -> object:
        """What a restart goes on from."""

    def to_keep(self) -> object | None:
        """What a start after an orderly stop goes on from; None: nothing."""
        return None

    @abstractmethod
    def tick(self) -> EventT: ...

    @abstractmethod
    def packet_received(self, packet: Any) -> EventT: ...

    @abstractmethod
    def prefix_discovery_received(self, packet: Packet) -> EventT: ...

    @abstractmethod
    def icmp_received(self, data: bytes, source: IPv6Address) -> EventT | None:
        """None when it is nobody's business."""

    def icmp_types(self) -> tuple[IcmpType, ...]:
        """What ICMPv6 messages are wanted."""
        return (IcmpType.PACKET_TOO_BIG,)

    @abstractmethod
    def refused(self, what: str, why: str | None) -> EventT: ...

    @abstractmethod
    def association(self, home_address: IPv6Address) -> Association:
        """Of the mobile node with this home address, whose messages IPsec protects."""

    @abstractmethod
    def adopt(self, present: Negotiated) -> None:
        """Go on, before the first event, with the states of IPsec that are in the kernel; ours are among them."""

    @abstractmethod
    def look_at_ike(self) -> None:
        """The key management may have negotiated or forgotten something."""

    @abstractmethod
    def perform(self, command: CommandT) -> None:
        """Do what the core wants done."""

    @property
    @abstractmethod
    def settings(self) -> SettingsT:
        """What the core goes by."""

    @abstractmethod
    def take(self, settings: SettingsT) -> None:
        """Go by these from now on; nothing `fixed` is different. Raises ConfigError, and has changed nothing then."""

    # The world's side

    @abstractmethod
    def methods(self) -> Mapping[str, Method]:
        """What the control socket offers."""

    async def authority(self, peer: Peer, action: str) -> str | None:
        """Why somebody who is neither root nor of our group may not do this; None if he may."""
        return await nobody_else(peer, action)

    @abstractmethod
    def open(self) -> None:
        """Open the daemon's own sources; called again after `RETRY_S` when it raises OSError, so it must not leave
        anything half done.
        """

    def resumed(self) -> None:
        """The machine has slept."""

    async def leave(self) -> None:
        """Before an orderly stop."""

    # The loop

    async def run(self) -> None:
        """Until a signal: SIGTERM and SIGINT undo everything, SIGUSR1 leaves it for a next run; SIGHUP reads the
        configuration anew. Raises what went wrong inside, and OSError when the control socket cannot be served.
        """
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fail)
        self._stopping = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, partial(self._stop, undo=True))
        loop.add_signal_handler(signal.SIGUSR1, partial(self._stop, undo=False))
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self.watch(self._timer.fileno(), self._wake)
        await self.control.start()
        try:
            self._open_all()
            # What there is now stays: the garbage collector need not look at it again in the middle of a failover
            gc.collect()
            gc.freeze()
            self._manager.tell("READY=1")
            self._feed_watchdog()
            undo = await self._stopping
            self._manager.tell("STOPPING=1")
            if self._failure is not None:
                raise self._failure
            if undo:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.leave(), LEAVE_S)
                self._withdraw()
            await self._is_all_saved()
            if undo:
                self._forget()
        finally:
            await self.control.close()

    def handle(self, event: EventT) -> None:
        """Take one event, in the one order."""
        self.heed_sleep()
        now = boottime()
        commands = self.step(event, now)
        aspects = self.aspects()
        is_news = len(aspects) != len(self._aspects) or any(map(is_not, aspects, self._aspects))
        self._aspects = aspects
        if is_news:
            self._reconcile()
        for command in commands:
            self.perform(command)
        self.settle()
        if is_news:
            self._save()
        self._arm()

    async def until(self, is_met: Callable[[StateT], bool]) -> None:
        """Return when the state is such after a step, or already."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = is_met
        try:
            self.settle()
            await future
        finally:
            del self._waiting[future]

    def settle(self) -> None:
        """After every step: whatever waits for a state looks at it now."""
        for future, is_met in list(self._waiting.items()):
            if not future.done() and is_met(self.state):
                future.set_result(None)

    def heed_sleep(self) -> None:
        """If the machine has slept, and nobody has said so yet, see to that first."""
        before_s, self._asleep_s = self._asleep_s, asleep_s()
        if self._asleep_s - before_s > SLEPT_S:
            self.resumed()

    def send(self, packet: Packet) -> None:
        """Send a mobility message; a refusal of the operating system becomes an event."""
        socket = self._mobility
        if socket is not None:
            send = self._send_protected if packet.protected else self._send_plain
            self._try("sending", lambda: send(socket, packet))

    def _send_plain(self, socket: MobilitySocket, packet: Packet) -> None:
        build = build_from_mobile_node if self._is_mobile_node else build_to_mobile_node
        socket.send(build(packet), packet.source, packet.destination)

    def _send_protected(self, socket: MobilitySocket, packet: Packet) -> None:
        source, destination = self._aim(packet)
        socket.send_protected(with_checksum(packet.data, source, destination), source, destination)

    def send_prefix_discovery(self, packet: Packet) -> None:
        """Send a message of mobile prefix discovery, as `send` does."""
        socket = self._prefix_discovery
        if socket is not None:
            self._try("sending", lambda: socket.send(packet.data, *self._aim(packet)))

    def _aim(self, packet: Packet) -> tuple[IPv6Address, IPv6Address]:
        """Source and destination of what IPsec protects: home address and home agent. The kernel puts the care-of
        address there that it is told before.
        """
        assert packet.home_address is not None
        if self._reconciler is None:
            raise OSError(errno.ESRCH, "IPsec is not set up yet")
        association = self.association(packet.home_address)
        if self._is_mobile_node:
            self._reconciler.aim(sending_state(association, Side.MOBILE_NODE, packet.source))
            return packet.home_address, packet.destination
        self._reconciler.aim(sending_state(association, Side.HOME_AGENT, packet.destination))
        return packet.source, packet.home_address

    def send_icmp(self, error: IcmpError) -> None:
        socket = self.icmp
        if socket is not None:
            self._try("sending", lambda: socket.send(error.data, error.source, error.destination))

    def migrate(self, migration: Migration) -> None:
        """Have the kernel tell the key management where IKE runs from now on."""
        reconciler = self._reconciler
        if reconciler is not None:
            refusal = reconciler.migrate(migration)
            self.trouble("IKE", refusal.why if refusal is not None else None)

    def attempt(self, state: State) -> str | None:
        """Why the kernel would refuse a state of IPsec; None: it would not."""
        refusal = self._reconciler.attempt(state) if self._reconciler is not None else None
        return refusal.why if refusal is not None else None

    def sweep_states(self, sas: Iterable[IkeSa]) -> None:
        """Remove the states that a charon left which is gone. `sas`: all that there are now."""
        known: dict[int, set[int]] = {}
        for child in (child for sa in sas for child in sa.children):
            known.setdefault(child.reqid, set()).update(spi for spi in (child.spi_in, child.spi_out) if spi)
        if self._reconciler is not None:
            self._try("IKE", partial(self._reconciler.sweep, known))

    def negotiated(self) -> Negotiated:
        """The states in the kernel that the key management made."""
        with suppress(OSError):
            return by_reqid(self._reconciler.negotiated()) if self._reconciler else {}
        return {}

    def counters(self) -> Mapping[str, Counter]:
        """Of the kernel; none without it."""
        with suppress(OSError):
            return self._reconciler.counters() if self._reconciler else {}
        return {}

    def addresses(self, name: str) -> Mapping[IPv6Address, Counter]:
        """What is in a set of our nftables table that its rules fill, and what they have counted; nothing without the
        kernel.
        """
        with suppress(OSError):
            return self._reconciler.addresses(name) if self._reconciler else {}
        return {}

    def usages(self) -> Mapping[State, Usage]:
        """Of the security associations; none without the kernel."""
        with suppress(OSError):
            return self._reconciler.usages() if self._reconciler else {}
        return {}

    def dropped(self) -> Mapping[str, int]:
        """What the kernel dropped for IPsec's sake, by reason; nothing without the kernel."""
        return self._reconciler.dropped() if self._reconciler else {}

    def watch(self, fileno: int, callback: Callable[[], None]) -> None:
        """Call when the file descriptor is readable."""
        asyncio.get_running_loop().add_reader(fileno, callback)

    def unwatch(self, fileno: int) -> None:
        asyncio.get_running_loop().remove_reader(fileno)

    def soon(self, event: EventT) -> None:
        """Take an event, but not in the middle of a step."""
        asyncio.get_running_loop().call_soon(self.handle, event)

    def announce(self, event: str, text: str, **more: object) -> None:
        """Tell the log, and everybody who listens. `more`: for programs."""
        self.log.log(LEVELS.get(event, logging.INFO), "%s: %s", event, text, extra={"event": event, **more})
        self.control.publish({"at": time.time(), "event": event, "text": text, **more})

    def trouble(self, what: str, why: str | None) -> None:
        """Tell the core what the operating system refuses, or no longer does; only when that is news."""
        if self._troubles.get(what) == why:
            return
        if why is None:
            del self._troubles[what]
        else:
            self._troubles[what] = why
        self.soon(self.refused(what, why))

    def _try(self, what: str, action: Callable[[], None]) -> bool:
        try:
            action()
        except OSError as error:
            self.trouble(what, str(error))
            return False
        self.trouble(what, None)
        return True

    def _open_all(self) -> None:
        """Open what is not open yet; what cannot be opened now is tried again."""
        opened = [
            self._try("kernel", self._open_reconciler),
            self._try("mobility socket", self._open_mobility),
            self._try("ICMPv6 socket", self._open_icmp),
            self._try("prefix discovery socket", self._open_prefix_discovery),
            self._try("interfaces", self.open),
        ]
        if not all(opened):
            asyncio.get_running_loop().call_later(RETRY_S, self._open_all)
        self.handle(self.tick())

    def _open_reconciler(self) -> None:
        if self._reconciler is None:
            self._reconciler = Reconciler(self._table_name)
            self.adopt(by_reqid(self._reconciler.states | self._reconciler.negotiated()))
            self._aspects = ()
            self.watch(self._reconciler.fileno(), self._heed)

    def _open_mobility(self) -> None:
        if self._mobility is None:
            self._mobility = MobilitySocket(from_mobile_nodes=not self._is_mobile_node)
            self.watch(self._mobility.fileno(), self._receive)

    def _open_icmp(self) -> None:
        if self.icmp is None:
            self.icmp = IcmpSocket(*self.icmp_types())
            self.watch(self.icmp.fileno(), self._receive_icmp)

    def _open_prefix_discovery(self) -> None:
        if self._prefix_discovery is None:
            self._prefix_discovery = PrefixDiscoverySocket(from_mobile_nodes=not self._is_mobile_node)
            self.watch(self._prefix_discovery.fileno(), self._receive_prefix_discovery)

    def _receive_prefix_discovery(self) -> None:
        assert self._prefix_discovery is not None
        for packet in self._prefix_discovery.receive():
            self.handle(self.prefix_discovery_received(packet))

    def _receive(self) -> None:
        assert self._mobility is not None
        for packet in self._mobility.receive():
            self.handle(self.packet_received(packet))

    def _receive_icmp(self) -> None:
        assert self.icmp is not None
        for data, source in self.icmp.receive():
            event = self.icmp_received(data, source)
            if event is not None:
                self.handle(event)

    def _heed(self) -> None:
        assert self._reconciler is not None
        if self._reconciler.heed():
            self._reconcile()
        if self._reconciler.has_other_states:
            self.look_at_ike()

    def _reconcile(self) -> None:
        if self._reconciler is None:
            return
        refusals = self._reconciler.apply(self.wanted_kernel())
        if not refusals:
            self.trouble("routing", None)
            return
        self.trouble("routing", "; ".join(f"{refusal.why} ({refusal.what})" for refusal in refusals))
        if self._retry is not None:
            self._retry.cancel()
        self._retry = asyncio.get_running_loop().call_later(RETRY_S, self._reconcile)

    def _save(self) -> None:
        """Start to write what is new; what changes meanwhile is written afterwards."""
        now = self.to_save()
        if self._saving is None and now != self._saved:
            loop = asyncio.get_running_loop()
            self._saving = loop.run_in_executor(None, statefile.save, self._state_file, now)
            self._saving.add_done_callback(lambda saving: self._is_saved(saving, now))

    def _is_saved(self, saving: asyncio.Future[None], saved: object) -> None:
        self._saving = None
        if self._try("state file", saving.result):
            self._saved = saved
            self._save()

    def _arm(self) -> None:
        at = self.deadline(boottime())
        if isinf(at) and at > 0:
            self._timer.stop()
            self.trouble("sending", None)  # nothing is left to send
        else:
            self._timer.set(at)

    def _wake(self) -> None:
        if self._timer.take():
            self.handle(self.tick())

    def _withdraw(self) -> None:
        """Take everything of ours out of the kernel."""
        if self._reconciler is not None:
            self._reconciler.apply(Kernel())

    def _forget(self) -> None:
        """Leave in the state file only what outlives an orderly stop."""
        kept = self.to_keep()
        if kept is None:
            self._state_file.unlink(missing_ok=True)
        else:
            self._try("state file", partial(statefile.save, self._state_file, kept))

    async def _is_all_saved(self) -> None:
        while self._saving is not None:
            await asyncio.wait([self._saving])

    def _stop(self, *, undo: bool) -> None:
        if not self._stopping.done():
            self._stopping.set_result(undo)

    def _feed_watchdog(self) -> None:
        """From the loop itself: should it hang, systemd starts us anew."""
        if self._manager.watchdog_s is not None:
            self._manager.tell("WATCHDOG=1")
            asyncio.get_running_loop().call_later(self._manager.watchdog_s / 2, self._feed_watchdog)

    def _reload(self) -> None:
        """Read the configuration anew. What is wrong with it, or takes a restart, is told, and nothing changes then."""
        self._manager.tell("RELOADING=1")
        try:
            settings = self._read()
            found = list(changes(self.settings, settings))
            if waiting := [change for change in found if self._is_fixed(change)]:
                raise ConfigError(f"only a restart can change this: {'; '.join(map(str, waiting))}")
            self._aspects = ()
            self.take(settings)
        except ConfigError as error:
            self.announce(Occurrence.CONFIGURATION_REFUSED.value, f"nothing has changed: {error}")
        else:
            for text in map(str, found) if found else ("read again, and nothing has changed",):
                self.announce(Occurrence.CONFIGURATION.value, text)
        self._manager.tell("READY=1")

    def _is_fixed(self, change: Change) -> bool:
        return any(change.where[: len(key)] == key for key in self.fixed)

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A bug in a callback: end, and say so, rather than go on with half a step."""
        loop.default_exception_handler(context)
        self._failure = self._failure or context.get("exception") or RuntimeError(context["message"])
        self._stop(undo=False)
