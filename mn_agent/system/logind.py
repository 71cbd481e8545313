"""Follows logind over D-Bus: it says when the machine has slept (org.freedesktop.login1(5)).

Nothing has to be done before it sleeps: bindings stay, and whoever sends to a machine that sleeps has to wait anyway.
So no inhibitor is taken. Without logind the clocks tell, at the latest with the next event (mip6/daemon.py): it is no
trouble when it, or the bus, is not there.
"""

import asyncio
from collections.abc import Callable
from typing import Never

from dbus_fast import Message

from mip6.tasks import spawn
from mn_agent.system.bus import BUS, BUS_PATH, THE_BUS, AwayError, Bus, patience, stay

_NAME = "org.freedesktop.login1"
_MANAGER_PATH, _MANAGER = "/org/freedesktop/login1", f"{_NAME}.Manager"
_MEMBER = "PrepareForSleep"
_RULE = f"type='signal',sender='{_NAME}',path='{_MANAGER_PATH}',interface='{_MANAGER}',member='{_MEMBER}'"


class Logind:
    """What is heard of sleep."""

    def __init__(self, resumed: Callable[[], None]) -> None:
        """`resumed` is called when the machine has slept."""
        self._resumed = resumed
        self._senders: set[str | None] = set()
        """Who says that it has slept: anybody can send us that."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[Never] | None = None

    def start(self) -> None:
        """Follow it from now on."""
        self._task = spawn(stay(self._follow, self._hear, lambda _: None, asyncio.Event()))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _hear(self, message: Message | None) -> None:
        """A signal, whoever sent it; None: the connection is lost."""
        if message is None:
            self._wake.set()
        elif (message.interface, message.member, message.body) == (_MANAGER, _MEMBER, [False]):
            self._senders.add(message.sender)
            self._wake.set()

    async def _follow(self, bus: Bus) -> Never:
        await bus.listen(_RULE)
        while True:
            await self._wake.wait()
            self._wake.clear()
            senders, self._senders = self._senders, set()
            if await self._owner(bus) in senders:
                self._resumed()

    async def _owner(self, bus: Bus) -> object:
        """What logind is called on the bus; "" when it is not there."""
        try:
            async with patience(THE_BUS):
                reply = await bus.call(BUS, BUS_PATH, BUS, "GetNameOwner", "s", _NAME)
        except AwayError:
            bus.insist()
            return ""
        return reply.body[0] if reply is not None and reply.body else ""
