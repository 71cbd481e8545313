"""The control socket: newline-delimited JSON over a UNIX socket.

A request is one line, `{"version": 1, "method": "...", ...}`; the answer is one line, `{"version": 1, "result": ...}`
or `{"version": 1, "error": {"kind": ..., "text": ...}}`, or, for a method that streams, any number of results. Who
connects is known from the kernel (peer credentials): everybody may read, root and a group may change things, and others
if whoever has a say in it lets them.
"""

import asyncio
import grp
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

VERSION = 1
GROUP = "monami6"

_PEER = struct.Struct("=iII")
_MAX_REQUEST = 1 << 16
_MAX_WAITING_EVENTS = 1000


class ControlError(Exception):
    """A request that cannot be done; `kind` is for programs."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """A request; `arguments` as the method wants them."""

    version: int
    method: str
    arguments: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end, and the groups of its user."""

    pid: int
    uid: int
    groups: frozenset[int]

    @property
    def may_change(self) -> bool:
        """Root, or a member of the group."""
        if self.uid == 0:
            return True
        try:
            return grp.getgrnam(GROUP).gr_gid in self.groups
        except KeyError:
            return False


Authority: TypeAlias = Callable[[Peer, str], Awaitable[str | None]]
"""Has a say in what others than root and the group may do: why that peer may not do what it takes this action for, or
None if it may.
"""


async def nobody_else(_peer: Peer, _action: str) -> str:
    """Where there is no authority."""
    return f"only root and members of the group {GROUP} may do this"


def groups(pid: int) -> set[int]:
    """Supplementary groups of a process; none when it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("Groups:"):
                return {int(number) for number in line.split()[1:]}
    return set()


@dataclass(frozen=True, slots=True)
class Method:
    """What to do for a request. `call` gets the arguments and gives the result, or raises ControlError. `action`: what
    somebody has to be allowed to do, if it changes anything.
    """

    call: Callable[[Mapping[str, Any]], Awaitable[object]]
    action: str | None = None

    async def insist(self, peer: Peer, authority: Authority) -> None:
        """Raises ControlError when the peer may not ask for it."""
        if self.action is not None and not peer.may_change and (why := await authority(peer, self.action)) is not None:
            raise ControlError("forbidden", why)


def converted(arguments: object, kind: Any) -> Any:
    """Arguments as `kind`, a type, wants them; addresses are text. Raises ControlError."""
    try:
        return msgspec.convert(arguments, kind, dec_hook=lambda kind, text: kind(text))
    except msgspec.ValidationError as error:
        raise ControlError("request", str(error)) from None


class ControlServer:
    """Serves the socket; `publish` sends an event to all who listen."""

    def __init__(
        self,
        path: Path,
        methods: Mapping[str, Method],
        *,
        events: str | None = None,
        authority: Authority = nobody_else,
    ) -> None:
        """`events`: name of the method that streams what is published."""
        self._path = path
        self._methods = methods
        self._events = events
        self._authority = authority
        self._listeners: set[asyncio.Queue[bytes]] = set()
        self._conversations: set[asyncio.WriteTransport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError when another process serves the socket, or the place is not ours."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_socket():
            self._take_over()
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_MAX_REQUEST)
        self._path.chmod(0o666)

    def _take_over(self) -> None:
        """A socket that nobody answers is what a killed process left."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._path))
            except ConnectionRefusedError:
                self._path.unlink()
                return
        raise OSError(f"{self._path}: another process serves it")

    async def close(self) -> None:
        """Stop serving, and end every conversation."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for transport in self._conversations:
            transport.abort()
        await asyncio.sleep(0)  # the loop lets go of them in its next round

    def publish(self, event: object) -> None:
        """To everybody who listens; one who does not keep up loses events."""
        line = _line({"version": VERSION, "result": event})
        for listener in self._listeners:
            with suppress(asyncio.QueueFull):
                listener.put_nowait(line)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = _peer(writer)
        self._conversations.add(writer.transport)
        try:
            while line := await reader.readline():
                async for answer in self._answers(line, peer):
                    writer.write(answer)
                    await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            pass  # the client went away or sent a line beyond all limits, or the server stops
        finally:
            self._conversations.discard(writer.transport)
            writer.close()

    async def _answers(self, line: bytes, peer: Peer) -> AsyncIterator[bytes]:
        try:
            request = msgspec.json.decode(line, type=Request)
            if request.version != VERSION:
                raise ControlError("version", f"this is version {VERSION} of the protocol")
            if self._events is not None and request.method == self._events:
                async for event in self._listen():
                    yield event
                return
            yield _line({"version": VERSION, "result": await self._call(request, peer)})
        except msgspec.MsgspecError as error:
            yield _line({"version": VERSION, "error": {"kind": "request", "text": str(error)}})
        except ControlError as error:
            yield _line({"version": VERSION, "error": {"kind": error.kind, "text": str(error)}})

    async def _call(self, request: Request, peer: Peer) -> object:
        method = self._methods.get(request.method)
        if method is None:
            raise ControlError("method", f"no method {request.method}; there are: {', '.join(sorted(self._methods))}")
        await method.insist(peer, self._authority)
        return await method.call(request.arguments)

    async def _listen(self) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(_MAX_WAITING_EVENTS)
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)


def _peer(writer: asyncio.StreamWriter) -> Peer:
    connection = writer.get_extra_info("socket")
    pid, uid, gid = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return Peer(pid, uid, frozenset((gid, *groups(pid))))


def _line(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=str) + b"\n"
