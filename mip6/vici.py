"""Talk to charon, strongSwan's IKE daemon, over its vici socket.

The package `vici` turns messages into bytes and back; this module owns the sockets. A request has a connection of its
own: charon answers one after the other on each, and an initiation takes as long as the peer. Events have a connection
that stays, and is made anew when charon comes back.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Never, TypeAlias, cast

from vici.exception import DeserializationException
from vici.protocol import Message, Packet

from mip6.ike import ANSWER_S, Request, Section

SOCKET = Path("/run/charon.vici")
"""Where charon has it unless told otherwise."""
RETRY_S = 1.0
"""How long after charon went away, or was not there, it is looked for again."""

_LENGTH = struct.Struct("!I")
_LONGEST = 512 * 1024
"""Octets: no packet is longer."""
_CLOSED = "charon closed the connection"


class ViciError(Exception):
    """Charon is not there, refuses, or says something that is not vici."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Charon is there and tells events. It may have been started anew: load what it has to know, see what it has."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Charon is not there. The states that it made are still in the kernel."""

    why: str


@dataclass(frozen=True, slots=True)
class Announced:
    """An event of charon's."""

    name: str
    message: Section


Event: TypeAlias = Connected | Lost | Announced


class Vici:
    """Charon, by the path of its socket."""

    def __init__(self, path: Path = SOCKET) -> None:
        self._path = path

    async def request(self, request: Request) -> Section:
        """Charon's answer. Raises ViciError, also when charon cannot do what is asked."""
        async with self._connection() as connection, _patience(request.answer_s):
            return await connection.request(request, _ignore)

    async def listing(self, request: Request, event: str) -> list[Section]:
        """What charon lists: each item is an event of that name. Raises ViciError."""
        items: list[Section] = []
        async with self._connection() as connection, _patience(request.answer_s):
            await connection.register(event)
            await connection.request(request, lambda item: items.append(item.message))
        return items

    async def listen(self, names: Sequence[str], tell: Callable[[Event], None]) -> Never:
        """Tell the events of these names, and whether charon is there, until cancelled.

        What happens before `Connected` is not told: whoever hears that looks what there is.
        """
        is_lost = False
        while True:
            try:
                async with self._connection() as connection:
                    async with _patience(ANSWER_S):
                        for name in names:
                            await connection.register(name)
                    is_lost = False
                    tell(Connected())
                    await connection.listen(tell)
            except ViciError as error:
                if not is_lost:
                    is_lost = True
                    tell(Lost(str(error)))
            await asyncio.sleep(RETRY_S)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["_Connection"]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise ViciError(f"{self._path}: {error.strerror or error}") from error
        try:
            yield _Connection(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def _patience(answer_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(answer_s):
            yield
    except TimeoutError:
        raise ViciError(f"charon has not answered for {answer_s:g} s") from None


def _ignore(_event: Announced) -> None:
    pass


class _Answer(NamedTuple):
    """A packet that answers ours: its type, and a stream for `_section`."""

    type: int
    payload: Any


class _Connection:
    """For one request after the other, or for events."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def register(self, event: str) -> None:
        """After this, charon tells events of that name."""
        answer = await self._exchange(Packet.register_event(event), _ignore)
        if answer.type != Packet.EVENT_CONFIRM:
            raise ViciError(f"charon has no event {event}")

    async def request(self, request: Request, tell: Callable[[Announced], None]) -> Section:
        """The answer; `tell` hears the events before it."""
        try:
            packet = Packet.request(request.command, Message.serialize(request.message))
        except struct.error as error:
            raise ViciError(f"{request.command}: a name or a value is too long") from error
        answer = await self._exchange(packet, tell)
        if answer.type != Packet.CMD_RESPONSE:
            raise ViciError(f"charon has no command {request.command}")
        result = _section(answer.payload)
        if result.get("success", "yes") != "yes":
            raise ViciError(str(result.get("errmsg", f"charon refuses {request.command}")))
        return result

    async def listen(self, tell: Callable[[Announced], None]) -> Never:
        """Until the connection is lost, which is a ViciError."""
        while True:
            match await self._receive():
                case Announced() as event:
                    tell(event)
                case _Answer(type_):
                    raise ViciError(f"charon answers what nobody asked (type {type_})")

    async def _exchange(self, packet: bytes, tell: Callable[[Announced], None]) -> _Answer:
        try:
            self._writer.write(_LENGTH.pack(len(packet)) + packet)
            await self._writer.drain()
        except OSError as error:
            raise ViciError(_CLOSED) from error
        while True:
            match await self._receive():
                case Announced() as event:
                    tell(event)
                case _Answer() as answer:
                    return answer

    async def _receive(self) -> Announced | _Answer:
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > _LONGEST:
                raise ViciError(f"charon sends a packet of {length} octets")
            packet = Packet.parse(await self._reader.readexactly(length))
        except (EOFError, OSError) as error:
            raise ViciError(_CLOSED) from error
        except struct.error as error:
            raise ViciError(f"charon sends a broken packet: {error}") from error
        if packet.response_type == Packet.EVENT:
            return Announced(packet.event_type.decode(errors="replace"), _section(packet.payload))
        return _Answer(packet.response_type, packet.payload)


def _section(payload: Any) -> Section:
    """A message, its values as text."""
    try:
        return cast("Section", _as_text(Message.deserialize(payload)))
    except (DeserializationException, struct.error, UnicodeDecodeError) as error:
        raise ViciError(f"charon sends a broken message: {error}") from error


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return value.decode(errors="replace")
