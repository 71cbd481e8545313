"""A message bus with a NetworkManager, written from the D-Bus specification: a judge of the library that we use, and
able to misbehave as no library is.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SENDER, _SIGNATURE = range(1, 9)
_ALIGNMENT = {"y": 1, "g": 1, "b": 4, "u": 4, "i": 4, "s": 4, "o": 4, "a": 4, "v": 1, "(": 8, "{": 8}


@dataclass(frozen=True)
class Variant:
    """A value with its type."""

    type: str
    value: object


Properties: TypeAlias = Mapping[str, Variant]


def encode(types: str, values: list[object]) -> bytes:
    """In little endian; types are one of y, b, u, i, s, o, g, v, an array of these, or a{sv}."""
    out = bytearray()
    for one, value in zip(_split(types), values, strict=True):
        _put(out, one, value)
    return bytes(out)


def _split(types: str) -> list[str]:
    found, rest = [], types
    while rest:
        length = 1 + (5 if rest.startswith("a{") else 1) if rest[0] == "a" else 1
        length = rest.index("}") + 1 if rest.startswith("a{") else length
        found.append(rest[:length])
        rest = rest[length:]
    return found


def _align(out: bytearray, octets: int) -> None:
    out += bytes(-len(out) % octets)


def _put(out: bytearray, kind: str, value: object) -> None:
    _align(out, _ALIGNMENT[kind[0]])
    match kind[0]:
        case "y":
            out.append(value)  # type: ignore[arg-type]
        case "b" | "u":
            out += struct.pack("<I", value)
        case "i":
            out += struct.pack("<i", value)
        case "s" | "o":
            text = str(value).encode()
            out += struct.pack("<I", len(text)) + text + b"\0"
        case "g":
            text = str(value).encode()
            out += bytes((len(text),)) + text + b"\0"
        case "v":
            assert isinstance(value, Variant)
            _put(out, "g", value.type)
            _put(out, value.type, value.value)
        case "a":
            _put_array(out, kind[1:], value)


def _put_array(out: bytearray, kind: str, values: object) -> None:
    at = len(out)
    out += bytes(4)
    _align(out, _ALIGNMENT[kind[0]])
    begin = len(out)
    if kind == "{sv}":
        for name, value in values.items():  # type: ignore[attr-defined]
            _align(out, 8)
            _put(out, "s", name)
            _put(out, "v", value)
    else:
        for value in values:  # type: ignore[attr-defined]
            _put(out, kind, value)
    out[at : at + 4] = struct.pack("<I", len(out) - begin)


def message(kind: int, fields: list[tuple[int, Variant]], types: str = "", *values: object, serial: int = 1) -> bytes:
    body = encode(types, list(values))
    if types:
        fields = [*fields, (_SIGNATURE, Variant("g", types))]
    header = bytearray(struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, 0))
    for code, value in fields:
        _align(header, 8)
        header.append(code)
        _put(header, "v", value)
    header[12:16] = struct.pack("<I", len(header) - 16)
    _align(header, 8)
    return bytes(header) + body


def signal(path: str, interface: str, member: str, types: str = "", *values: object) -> bytes:
    fields = [
        (_PATH, Variant("o", path)),
        (_INTERFACE, Variant("s", interface)),
        (_MEMBER, Variant("s", member)),
        (_SENDER, Variant("s", ":1.1")),
    ]
    return message(SIGNAL, fields, types, *values)


def method_call(**changes: Variant | None) -> bytes:
    """Of somebody who takes us for a service. `changes`: other header fields, or none of them."""
    usual = {"path": Variant("o", "/"), "member": Variant("s", "Quit"), "sender": Variant("s", ":1.1")}
    codes = {"path": _PATH, "interface": _INTERFACE, "member": _MEMBER, "sender": _SENDER}
    return message(CALL, [(codes[name], value) for name, value in (usual | changes).items() if value is not None])


@dataclass(frozen=True)
class Call:
    """What somebody asks."""

    serial: int
    flags: int
    destination: str
    path: str
    member: str
    argument: str

    def reply(self, types: str = "", *values: object) -> bytes:
        return message(RETURN, [(_REPLY_SERIAL, Variant("u", self.serial))], types, *values)

    def error(self, name: str, text: str = "no") -> bytes:
        fields = [(_REPLY_SERIAL, Variant("u", self.serial)), (_ERROR_NAME, Variant("s", name))]
        return message(ERROR, fields, "s", text)


class Peer:
    """The other end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def hears_line(self) -> bytes:
        return await self._reader.readuntil(b"\r\n")

    async def hears(self) -> Call:
        head = await self._reader.readexactly(16)
        flags, body_octets, serial, fields_octets = struct.unpack("<xxBxIII", head)
        fields = (await self._reader.readexactly(fields_octets + -fields_octets % 8))[:fields_octets]
        body = await self._reader.readexactly(body_octets)
        found = _fields(fields)
        argument = body[4:-1].decode() if body else ""
        return Call(serial, flags, found.get(_DESTINATION, ""), found[_PATH], found[_MEMBER], argument)

    async def says(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def is_left(self) -> bool:
        """Whether nothing comes but the connection's end."""
        return await self._reader.read() == b""

    async def welcomes(self) -> None:
        """Lets somebody onto the bus."""
        line = await self.hears_line()
        assert line.startswith(b"\0AUTH EXTERNAL ")
        await self.says(b"OK 0123456789abcdef0123456789abcdef\r\n")
        assert await self.hears_line() == b"BEGIN\r\n"
        hello = await self.hears()
        assert hello.member == "Hello"
        await self.says(hello.reply("s", ":1.7"))

    async def subscribes(self) -> list[str]:
        """Takes match rules until something else is asked, which is put back."""
        rules = []
        while True:
            call = await self.hears()
            assert call.member == "AddMatch"
            rules.append(call.argument)
            await self.says(call.reply())
            if len(rules) == RULES:
                return rules


RULES = 8
Behaviour: TypeAlias = Callable[[Peer], Awaitable[None]]


def _fields(data: bytes) -> dict[int, str]:
    """Those whose values are text."""
    found: dict[int, str] = {}
    at = 0
    while at < len(data):
        at += -at % 8
        code, kind = data[at], data[at + 2 : at + 3].decode()
        at += 4
        if kind == "g":
            length, size = data[at], 1
        else:
            at += -at % 4
            (length,) = struct.unpack_from("<I", data, at)
            size = 4
        found[code] = data[at + size : at + size + length].decode()
        at += size + length + 1
    return found


@asynccontextmanager
async def serving(path: Path, behaviour: Behaviour) -> AsyncIterator[None]:
    """A bus that treats every connection so, and then ends it. What goes wrong in there ends the test."""
    failures: list[Exception] = []
    conversations: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await behaviour(Peer(reader, writer))
        except (EOFError, ConnectionError):
            pass  # the client left
        except Exception as failure:
            failures.append(failure)
        finally:
            writer.close()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations[asyncio.get_running_loop().create_task(converse(reader, writer))] = writer

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        server.close()
        await asyncio.sleep(0)  # who was let in just now is served yet
        for conversation, writer in conversations.items():
            conversation.cancel()
            writer.close()  # it may not have begun
        await asyncio.gather(*conversations, return_exceptions=True)
    if failures:
        raise failures[0]
