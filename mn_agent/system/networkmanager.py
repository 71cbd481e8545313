"""Follows NetworkManager over D-Bus.

Signals wake, properties inform: whatever is announced, NetworkManager is asked what there is. It may be started anew at
any time, and so may the bus; what it said last holds for a while then. Neither has to be there at all.
"""

import asyncio
from collections.abc import Callable
from typing import Never, TypeVar

import msgspec
from dbus_fast import Message
from dbus_fast.unpack import unpack_variants

from mip6.tasks import spawn
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
from mn_agent.system.bus import BUS, PROPERTIES, AwayError, Bus, BusError, patience, stay

PAUSE_S = 0.05
"""Between reading and reading again; more where that takes long."""
FORGET_S = 10.0
"""How long what NetworkManager said holds when it is gone: to be started anew takes less."""

_NAME = "org.freedesktop.NetworkManager"
_MANAGER_PATH = "/org/freedesktop/NetworkManager"
_DEVICE, _WIRELESS = f"{_NAME}.Device", f"{_NAME}.Device.Wireless"
_CONNECTION, _ACCESS_POINT = f"{_NAME}.Connection.Active", f"{_NAME}.AccessPoint"

_RULES = (
    f"type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{_NAME}'",
    *(
        f"type='signal',sender='{_NAME}',interface='{interface}',member='StateChanged'"
        for interface in (_DEVICE, _CONNECTION)
    ),
    *(
        f"type='signal',sender='{_NAME}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{interface}'"
        for interface in (_NAME, _DEVICE, _WIRELESS, _CONNECTION, _ACCESS_POINT)
    ),
)

_AT_ONCE = 16
"""Devices to ask about: so many answers do not keep the loop long."""
_REST = 4
"""After reading it is quiet for so many times as long as that took."""

_KindT = TypeVar("_KindT")


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
        self._task = spawn(stay(self._follow, self._hear, self._lose, self._wake))

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

    async def _follow(self, bus: Bus) -> Never:
        await bus.listen(*_RULES)
        await self._keep_reading(bus)

    def _hear(self, message: Message | None) -> None:
        """A signal, whoever sent it; None: the connection is lost."""
        is_other_access_point = (
            message is not None and message.body[:1] == [_ACCESS_POINT] and message.path not in self._access_points
        )
        if not is_other_access_point:
            self._wake.set()

    async def _keep_reading(self, bus: Bus) -> Never:
        loop = asyncio.get_running_loop()
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked = list(self._asked)
            begun_at = loop.time()
            try:
                async with patience("NetworkManager"):
                    devices = await self._read(bus)
            except AwayError:
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

    async def _read(self, bus: Bus) -> Devices:
        self._complaint = None
        manager = await self._get(bus, _MANAGER_PATH, _NAME, ManagerProperties)
        if manager is None:
            raise AwayError
        self._access_points = set()
        found: dict[str, Device] = {}
        paths = iter(manager.all_devices)

        async def read_on() -> None:
            for path in paths:
                if (one := await self._device(bus, path, manager)) is not None:
                    found[one.interface] = one

        await asyncio.gather(*(read_on() for _ in range(_AT_ONCE)))
        return dict(sorted(found.items()))

    async def _device(self, bus: Bus, path: str, manager: ManagerProperties) -> Device | None:
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

    async def _get(self, bus: Bus, path: str, interface: str, kind: type[_KindT]) -> _KindT | None:
        """None when there is no such object any more, or it makes no sense."""
        if path == NO_OBJECT:
            return None
        reply = await bus.call(_NAME, path, PROPERTIES, "GetAll", "s", interface)
        if reply is None:
            return None
        if reply.signature != "a{sv}":
            raise BusError(f'what NetworkManager says of {path} makes no sense: its type is "{reply.signature}"')
        try:
            return msgspec.convert(unpack_variants(reply.body[0]), kind)
        except msgspec.ValidationError as error:
            self._complaint = f"what NetworkManager says of {path} makes no sense: {error}"
            return None
