"""What a daemon wants of charon, kept so: connections loaded, and a picture of the IKE_SAs that is never old.

Announcements wake, listings inform: whatever charon announces, it is asked what it has. Charon may be started anew at
any time; it then gets the connections again.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from mip6.ike import Connection, initiation, loading, termination
from mip6.ike_sas import EVENTS, SAS, SAS_EVENT, IkeDecodeError, IkeSa, sas_from
from mip6.tasks import spawn
from mip6.vici import Connected, Event, Lost, Vici, ViciError

Sas = tuple[IkeSa, ...] | None
"""All that charon has; None while it is not there."""


class Charon:
    """Charon, and what we want of it."""

    def __init__(self, path: Path, tell: Callable[[Sas], None], trouble: Callable[[str | None], None]) -> None:
        """`tell` hears what charon has, whenever that may have changed. `trouble` hears what charon cannot do, and None
        when it can again.
        """
        self._vici = Vici(path)
        self._tell = tell
        self._trouble = trouble
        self._connections: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._is_looking = False
        """Whether it will be asked, but was not yet."""

    def start(self) -> None:
        """Listen from now on."""
        self._spawn(self._vici.listen(EVENTS, self._hear))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def load(self, connections: Iterable[Connection]) -> None:
        """Have charon know these connections, whenever it is there. Call it before `start`."""
        self._connections = {connection.name: connection for connection in connections}

    def renew(self, connections: Iterable[Connection]) -> None:
        """Have charon know these from now on, and end what it has of those that are no longer among them."""
        before = self._connections.keys()
        self.load(connections)
        for name in before - self._connections.keys():
            self._spawn(self.end(name))
        self._spawn(self._load(list(self._connections.values())))

    def establish(self, connection: Connection, child: str, timeout_s: float, tried: Callable[[], None]) -> None:
        """Negotiate this CHILD_SA anew, from where the connection says; an IKE_SA that is there ends. Calls `tried`
        when it is there, and `tell` has told, or cannot be.
        """
        self._connections[connection.name] = connection
        self._spawn(self._establish(connection, child, timeout_s, tried))

    def negotiate(self, connection: str, child: str, timeout_s: float) -> None:
        """Negotiate this CHILD_SA too, over the IKE_SA that the connection has."""
        self._spawn(self._initiate(connection, child, timeout_s))

    def look(self) -> None:
        """Ask what charon has, and tell it."""
        if not self._is_looking:
            self._is_looking = True
            self._spawn(self._look())

    async def end(self, connection: str) -> None:
        """End the IKE_SA of a connection."""
        async with self._turn:
            try:
                await self._vici.request(termination(connection))
            except ViciError as error:
                self._trouble(str(error))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hear(self, event: Event) -> None:
        match event:
            case Lost(why):
                self._trouble(why)
                self._tell(None)
            case Connected():
                self._trouble(None)
                self._spawn(self._load(list(self._connections.values())))
                self.look()
            case _:
                self.look()

    async def _load(self, connections: Iterable[Connection]) -> None:
        async with self._turn:
            try:
                for connection in connections:
                    for request in loading(connection):
                        await self._vici.request(request)
            except ViciError as error:
                self._trouble(str(error))

    async def _establish(self, connection: Connection, child: str, timeout_s: float, tried: Callable[[], None]) -> None:
        async with self._turn:
            try:
                for request in loading(connection):
                    await self._vici.request(request)
                if any(sa.connection == connection.name for sa in await self._sas()):
                    await self._vici.request(termination(connection.name))
                await self._vici.request(initiation(connection.name, child, timeout_s))
            except (ViciError, IkeDecodeError) as error:
                self._trouble(str(error))
            else:
                self._trouble(None)
        await self._look()
        tried()

    async def _initiate(self, connection: str, child: str, timeout_s: float) -> None:
        async with self._turn:
            try:
                await self._vici.request(initiation(connection, child, timeout_s))
            except ViciError as error:
                self._trouble(str(error))
            else:
                self._trouble(None)
        self.look()

    async def _look(self) -> None:
        self._is_looking = False
        try:
            self._tell(tuple(await self._sas()))
        except ViciError:
            return  # whoever listens hears that it is lost
        except IkeDecodeError as error:
            self._trouble(str(error))

    async def _sas(self) -> list[IkeSa]:
        return sas_from(await self._vici.listing(SAS, SAS_EVENT))
