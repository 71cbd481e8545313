"""Follows NetworkManager over D-Bus.

Signals wake, properties inform: whatever is announced, NetworkManager is asked what there is. It may be started anew at
any time, and so may the bus; what it said last holds for a while then. Neither has to be there at all.

The package `dbus-fast` turns messages into octets and back, and owns the socket. It sends nothing but what is asked for
here, and somebody hears of every future of its that fails: a failure that nobody hears of ends the daemon.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Never, TypeVar, cast

import msgspec
from dbus_fast import BusType, Message, MessageFlag, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.unpack import unpack_variants

from mn_agent.core.devices import (
    NO_OBJECT,
    AccessPointProperties,
    ConnectionProperties,
    Device,
    DeviceProperties,
    Devices,
    ManagerProperties,
    WirelessProperties,
    device,
)

ANSWER_S = 5.0
"""Patience with the bus, and for reading all that there is."""
RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
"""How long after the bus went away it is looked for again, and then twice as long each time."""
PAUSE_S = 0.05
"""Between reading and reading again; more where that takes long."""
FORGET_S = 10.0
"""How long what NetworkManager said holds when it is gone: to be started anew takes less."""

_NAME = "org.freedesktop.NetworkManager"
_MANAGER_PATH = "/org/freedesktop/NetworkManager"
_DEVICE, _WIRELESS = f"{_NAME}.Device", f"{_NAME}.Device.Wireless"
_CONNECTION, _ACCESS_POINT = f"{_NAME}.Connection.Active", f"{_NAME}.AccessPoint"

_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_RULES = (
    f"type='signal',sender='{_BUS}',member='NameOwnerChanged',arg0='{_NAME}'",
    *(
        f"type='signal',sender='{_NAME}',interface='{interface}',member='StateChanged'"
        for interface in (_DEVICE, _CONNECTION)
    ),
    *(
        f"type='signal',sender='{_NAME}',interface='{_PROPERTIES}',member='PropertiesChanged',arg0='{interface}'"
        for interface in (_NAME, _DEVICE, _WIRELESS, _CONNECTION, _ACCESS_POINT)
    ),
)

_THE_BUS = "the D-Bus system bus"
_ERROR = "org.freedesktop.DBus.Error."
_AWAY = {f"{_ERROR}{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected")}
_DENIED = f"{_ERROR}AccessDenied"
_AT_ONCE = 16
"""Devices to ask about: so many answers do not keep the loop long."""
_REST = 4
"""After reading it is quiet for so many times as long as that took."""

# A bus that makes no sense is told as a trouble, once: no traceback for each message
logging.getLogger("dbus_fast").setLevel(logging.CRITICAL)

_KindT = TypeVar("_KindT")


class _AwayError(Exception):
    """The bus, or NetworkManager, is not there: nothing is wrong with that."""


class _BusError(Exception):
    """The bus, or NetworkManager, says nothing or nonsense."""


class NetworkManager:
    """What NetworkManager knows, kept so that it is never old."""

    def __init__(self, tell: Callable[[Devices], None], trouble: Callable[[str | None], None]) -> None:
        """`tell` hears what NetworkManager says, whenever that is something else. `trouble` hears what is wrong, and
        None when nothing is.
        """
        self._tell = tell
        self._trouble = trouble
        self._told: Devices = {}
        self._wake = asyncio.Event()
        self._asked: list[asyncio.Future[None]] = []
        self._forgetting: asyncio.TimerHandle | None = None
        self._access_points: set[str] = set()
        self._complaint: str | None = None
        self._task: asyncio.Task[Never] | None = None

    def start(self) -> None:
        """Follow it from now on."""
        self._task = _spawn(self._follow())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._forgetting is not None:
            self._forgetting.cancel()

    async def look(self) -> None:
        """Return when what NetworkManager says now has been told; that may be never."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(future)
        self._wake.set()
        try:
            await future
        finally:
            self._asked.remove(future)

    async def _follow(self) -> Never:
        pause_s = RETRY_S
        while True:
            try:
                async with _connection(self._hear) as bus:
                    pause_s = RETRY_S
                    async with _patience(_THE_BUS):
                        for rule in _RULES:
                            await bus.call(_BUS, _BUS_PATH, _BUS, "AddMatch", rule)
                    await self._keep_reading(bus)
            except _AwayError:
                self._lose(None)
            except _BusError as error:
                self._lose(str(error))
            self._wake.clear()
            with suppress(TimeoutError):  # whoever asks need not wait
                await asyncio.wait_for(self._wake.wait(), pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)

    def _hear(self, message: Message | None) -> None:
        """A signal, whoever sent it; None: the connection is lost."""
        is_other_access_point = (
            message is not None and message.body[:1] == [_ACCESS_POINT] and message.path not in self._access_points
        )
        if not is_other_access_point:
            self._wake.set()

    async def _keep_reading(self, bus: "_Bus") -> Never:
        loop = asyncio.get_running_loop()
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked = list(self._asked)
            begun_at = loop.time()
            try:
                async with _patience("NetworkManager"):
                    devices = await self._read(bus)
            except _AwayError:
                bus.insist()
                self._lose(self._complaint)
            else:
                self._keep(devices)
            for future in asked:
                if not future.done():
                    future.set_result(None)
            await asyncio.sleep(max(PAUSE_S, _REST * (loop.time() - begun_at)))

    def _keep(self, devices: Devices) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        self._trouble(self._complaint)
        if devices != self._told:
            self._told = devices
            self._tell(devices)

    def _lose(self, why: str | None) -> None:
        self._trouble(why)
        if self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().call_later(FORGET_S, self._forget)

    def _forget(self) -> None:
        if self._told:
            self._told = {}
            self._tell({})

    async def _read(self, bus: "_Bus") -> Devices:
        self._complaint = None
        manager = await self._get(bus, _MANAGER_PATH, _NAME, ManagerProperties)
        if manager is None:
            raise _AwayError
        self._access_points = set()
        found: dict[str, Device] = {}
        paths = iter(manager.all_devices)

        async def read_on() -> None:
            for path in paths:
                if (one := await self._device(bus, path, manager)) is not None:
                    found[one.interface] = one

        await asyncio.gather(*(read_on() for _ in range(_AT_ONCE)))
        return dict(sorted(found.items()))

    async def _device(self, bus: "_Bus", path: str, manager: ManagerProperties) -> Device | None:
        properties = await self._get(bus, path, _DEVICE, DeviceProperties)
        if properties is None:
            return None
        if manager.startup and not properties.is_activated:
            return self._told.get(properties.name)  # NetworkManager is about to find out again
        connection = await self._get(bus, properties.active_connection, _CONNECTION, ConnectionProperties)
        access_point = None
        if properties.is_wifi:
            wireless = await self._get(bus, path, _WIRELESS, WirelessProperties)
            if wireless is not None:
                self._access_points.add(wireless.active_access_point)
                access_point = await self._get(bus, wireless.active_access_point, _ACCESS_POINT, AccessPointProperties)
        return device(properties, connection, access_point)

    async def _get(self, bus: "_Bus", path: str, interface: str, kind: type[_KindT]) -> _KindT | None:
        """None when there is no such object any more, or it makes no sense."""
        if path == NO_OBJECT:
            return None
        values = await bus.properties(path, interface)
        if values is None:
            return None
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            self._complaint = f"what NetworkManager says of {path} makes no sense: {error}"
            return None


class _Bus:
    """A connection to the bus, which may be anything. Only errors of this module come out of it."""

    def __init__(self, bus: MessageBus, hear: Callable[[Message | None], None]) -> None:
        """`hear` hears signals, and None when the connection is lost."""
        self._bus = bus
        self._hear = hear
        self._waiting: dict[int, asyncio.Future[Message | None]] = {}
        """For answers, by serial number; None: none will come."""
        self._end = _spawn(self._watch())
        bus.add_message_handler(self._receive)

    def close(self) -> None:
        self._bus.disconnect()

    def insist(self) -> None:
        """Raise _AwayError, or _BusError, when the connection is lost."""
        if self._end.done():
            raise self._end.result()

    async def properties(self, path: str, interface: str) -> Mapping[str, object] | None:
        """All of an object's; None when there is no such object."""
        reply = await self.call(_NAME, path, _PROPERTIES, "GetAll", interface)
        if reply is None:
            return None
        if reply.signature != "a{sv}":
            raise _BusError(f'what NetworkManager says of {path} makes no sense: its type is "{reply.signature}"')
        return cast("Mapping[str, object]", unpack_variants(reply.body[0]))

    async def call(self, destination: str, path: str, interface: str, member: str, argument: str) -> Message | None:
        """The answer; None when there is nobody of that path who could give one."""
        self.insist()
        serial = self._bus.next_serial()
        waiting: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = waiting
        try:
            with _library():
                message = Message(
                    destination=destination,
                    path=path,
                    interface=interface,
                    member=member,
                    flags=MessageFlag.NO_AUTOSTART,  # whether NetworkManager runs is not for us to decide
                    signature="s",
                    body=[argument],
                    serial=serial,
                )
                await self._send(message)
            reply = await waiting
        except _AwayError:
            reply = None
        finally:
            del self._waiting[serial]
        if reply is None:
            raise await self._end
        if reply.message_type is not MessageType.ERROR:
            return reply
        if reply.error_name in _AWAY:
            raise _AwayError
        if reply.error_name == _DENIED:
            raise _BusError(f"the bus does not let us ask {destination}: {' '.join(map(str, reply.body))}")
        return None

    async def _send(self, message: Message) -> None:
        if not self._bus.connected:
            raise ConnectionResetError
        try:
            await self._bus.send(message)
        except OSError:
            # It forgets the future of what fails at once, and nobody else can hear of that failure
            writer = self._bus._writer
            if writer is not None and writer.fut is not None and writer.fut.done():
                writer.fut.exception()
            raise

    def _receive(self, message: Message) -> bool:
        """Whether nothing more is to be done about it: the library would answer calls, and nobody has to call us."""
        match message.message_type:
            case MessageType.SIGNAL:
                self._hear(message)
            case MessageType.METHOD_RETURN | MessageType.ERROR:
                waiting = self._waiting.get(message.reply_serial)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        return True

    async def _watch(self) -> Exception:
        """Why it is lost, when it is."""
        why: Exception = _AwayError()
        try:
            with _library():
                await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (_AwayError, _BusError) as error:
            why = error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        self._hear(None)
        return why


@asynccontextmanager
async def _connection(hear: Callable[[Message | None], None]) -> AsyncIterator[_Bus]:
    async with _patience(_THE_BUS):
        with _library():
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    connection = _Bus(bus, hear)
    try:
        yield connection
    finally:
        connection.close()


@asynccontextmanager
async def _patience(whose: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ANSWER_S):
            yield
    except TimeoutError:
        raise _BusError(f"{whose} has not answered for {ANSWER_S:g} s") from None


@contextmanager
def _library() -> Iterator[None]:
    """What comes from a bus that speaks no D-Bus can make it raise anything."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise _AwayError from error
    except Exception as error:
        raise _BusError(f"what {_THE_BUS} says makes no sense: {error or type(error).__name__}") from error


def _spawn(work: Coroutine[Any, Any, _KindT]) -> asyncio.Task[_KindT]:
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_done)
    return task


def _done(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error  # a bug of our own: the loop's exception handler ends the daemon
