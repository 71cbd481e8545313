"""The D-Bus system bus: a connection that may be slow, mad or gone, and keeps nobody waiting.

The package `dbus-fast` turns messages into octets and back, and writes them. It sends nothing but what is asked for
here, and somebody hears of every future of its that fails: a failure that nobody hears of ends the daemon. What comes
is read here: anybody on this machine can send us a message of 32 MB, which would take the library seconds.
"""

import asyncio
import io
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Never, TypeVar

from dbus_fast import BusType, Message, MessageFlag, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller
from dbus_fast.aio import MessageBus

from mip6.tasks import spawn

ANSWER_S = 5.0
"""Patience with the bus, and with what is asked over it."""
RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
"""How long after the bus went away it is looked for again, and then twice as long each time."""

LONGEST = 1 << 17
"""Octets of a message that is read at all: the worst of this length takes 15 ms."""

BUS, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
"""The bus itself, as somebody to talk to."""
PROPERTIES = "org.freedesktop.DBus.Properties"
ERROR = "org.freedesktop.DBus.Error."

THE_BUS = "the D-Bus system bus"
"""How people hear of it."""
_AWAY = {f"{ERROR}{name}" for name in ("ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected")}
_DENIED = f"{ERROR}AccessDenied"

_CHUNK = 1 << 15
_HEAD = 16
_LONGEST_EVER = 1 << 27
"""By the D-Bus specification."""
_LENGTHS = {"l": struct.Struct("<4xI4xI"), "B": struct.Struct(">4xI4xI")}
"""Of body and header fields, by byte order."""

# A bus that makes no sense is told as a trouble, once: no traceback for each message
logging.getLogger("dbus_fast").setLevel(logging.CRITICAL)

_ResultT = TypeVar("_ResultT")


class AwayError(Exception):
    """The bus, or who is asked over it, is not there: nothing is wrong with that."""


class BusError(Exception):
    """The bus, or who is asked over it, says nothing or nonsense."""


class Bus:
    """A connection to the bus, which may be anything. Only errors of this module come out of it."""

    def __init__(self, bus: MessageBus, hear: Callable[[Message | None], None]) -> None:
        """`hear` hears signals, and None when the connection is lost. Raises AwayError or BusError."""
        self._bus = bus
        self._hear = hear
        self._serve: Callable[[Message], None] | None = None
        self._waiting: dict[int, asyncio.Future[Message | None]] = {}
        """For answers, by serial number; None: none will come."""
        self._inbox = _Inbox()
        assert bus._sock is not None
        self._socket = bus._sock
        self._end = spawn(self._watch())
        with _library():  # which may have lost the connection already
            asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        self._bus.disconnect()

    def insist(self) -> None:
        """Raise AwayError, or BusError, when the connection is lost."""
        if self._end.done():
            raise self._end.result()

    def serve(self, answer: Callable[[Message], None]) -> None:
        """Hear calls, too: each wants an answer."""
        self._serve = answer

    async def reply(self, call: Message, signature: str, *results: object) -> None:
        """Answer a call."""
        if not call.flags & MessageFlag.NO_REPLY_EXPECTED:
            await self._tell(lambda: Message.new_method_return(call, signature, list(results)))

    async def reject(self, call: Message, name: str, text: str) -> None:
        """Answer a call by an error. `name`: for programs."""
        if not call.flags & MessageFlag.NO_REPLY_EXPECTED:
            await self._tell(lambda: Message.new_error(call, name, text))

    async def signal(self, path: str, interface: str, member: str, signature: str, *arguments: object) -> None:
        """To everybody who listens."""
        await self._tell(lambda: Message.new_signal(path, interface, member, signature, list(arguments)))

    async def _tell(self, message: Callable[[], Message]) -> None:
        self.insist()
        with _library():
            await self._send(message())

    async def listen(self, *rules: str) -> None:
        """Hear the signals that match these."""
        async with patience(THE_BUS):
            for rule in rules:
                await self.call(BUS, BUS_PATH, BUS, "AddMatch", "s", rule)

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        *arguments: object,
        flags: MessageFlag = MessageFlag.NO_AUTOSTART,  # whether others run is not for us to decide
    ) -> Message | None:
        """The answer; None when there is nobody of that path who could give one, or he says no."""
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
                    flags=flags,
                    signature=signature,
                    body=list(arguments),
                    serial=serial,
                )
                await self._send(message)
            reply = await waiting
        except AwayError:
            reply = None
        finally:
            del self._waiting[serial]
        if reply is None:
            raise await asyncio.shield(self._end)  # who gives up waiting here must not end that
        if reply.message_type is not MessageType.ERROR:
            return reply
        if reply.error_name in _AWAY:
            raise AwayError
        if reply.error_name == _DENIED:
            raise BusError(f"the bus does not let us ask {destination}: {' '.join(map(str, reply.body))}")
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

    def _read(self) -> None:
        try:
            octets = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._bus._finalize(error)
            return
        try:
            messages = self._inbox.take(octets)
        except Exception as error:
            self._bus._finalize(error)
            return
        for message in messages:
            self._receive(message)

    def _receive(self, message: Message) -> None:
        match message.message_type:
            case MessageType.SIGNAL:
                self._hear(message)
            case MessageType.METHOD_CALL if self._serve is not None:
                self._serve(message)
            case MessageType.METHOD_RETURN | MessageType.ERROR:
                waiting = self._waiting.get(message.reply_serial)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)

    async def _watch(self) -> Exception:
        """Why it is lost, when it is."""
        why: Exception = AwayError()
        try:
            with _library():
                await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (AwayError, BusError) as error:
            why = error
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(None)
        self._hear(None)
        return why


class _Inbox:
    """Octets to messages. What is longer than `LONGEST` is left out."""

    def __init__(self) -> None:
        self._octets = b""
        self._left_out = 0
        """Octets still to come that nobody reads."""

    def take(self, octets: bytes) -> list[Message]:
        """The messages that are complete now; no octets: the end. What is none can raise anything."""
        if not octets:
            raise EOFError
        self._octets += octets
        messages = []
        while True:
            skipped = min(self._left_out, len(self._octets))
            self._left_out -= skipped
            self._octets = self._octets[skipped:]
            length = self._length()
            if length > LONGEST:
                self._left_out = length
            elif length and length <= len(self._octets):
                message = Unmarshaller(io.BytesIO(self._octets[:length])).unmarshall()  # type: ignore[arg-type]  # it only reads
                assert message is not None
                messages.append(message)
                self._octets = self._octets[length:]
            else:
                return messages

    def _length(self) -> int:
        """Of the message that comes first, in octets; 0 as long as nobody knows."""
        if len(self._octets) < _HEAD:
            return 0
        body, fields = _LENGTHS[chr(self._octets[0])].unpack_from(self._octets)
        length: int = _HEAD + fields + -fields % 8 + body
        if length > _LONGEST_EVER:
            raise ValueError(f"a message of {length} octets")
        return length


@asynccontextmanager
async def connection(hear: Callable[[Message | None], None]) -> AsyncIterator[Bus]:
    """To the system bus. Raises AwayError or BusError."""
    async with patience(THE_BUS):
        with _library():
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    found = Bus(bus, hear)
    try:
        yield found
    finally:
        found.close()


async def stay(
    use: Callable[[Bus], Awaitable[Never]],
    hear: Callable[[Message | None], None],
    lose: Callable[[str | None], None],
    sooner: asyncio.Event,
) -> Never:
    """Use a connection as long as it holds, and another when it is lost. `lose` hears why, None when it is only that
    nobody is there; `sooner` ends the pause before the next.
    """
    pause_s = RETRY_S
    while True:
        try:
            async with connection(hear) as bus:
                pause_s = RETRY_S
                await use(bus)
        except AwayError:
            lose(None)
        except BusError as error:
            lose(str(error))
        sooner.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(sooner.wait(), pause_s)
        pause_s = min(2 * pause_s, LONGEST_RETRY_S)


@asynccontextmanager
async def patience(whose: str, limit_s: float | None = None) -> AsyncIterator[None]:
    """Raises BusError when it takes longer, `ANSWER_S` if nothing else is said."""
    limit_s = ANSWER_S if limit_s is None else limit_s
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise BusError(f"{whose} has not answered for {limit_s:g} s") from None


@contextmanager
def _library() -> Iterator[None]:
    """What comes from a bus that speaks no D-Bus can make it raise anything."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise AwayError from error
    except Exception as error:
        raise BusError(f"what {THE_BUS} says makes no sense: {error or type(error).__name__}") from error
