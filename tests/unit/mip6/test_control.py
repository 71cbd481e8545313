"""The control socket: one line in, one line out, and who may do what."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mip6.control import Authority, ControlError, ControlServer, Method, Peer, groups, nobody_else

PEER = "mip6.control._peer"


async def echo(arguments: Mapping[str, Any]) -> object:
    return dict(arguments)


async def fail(arguments: Mapping[str, Any]) -> object:
    raise ControlError("no-such-link", f"no link is called {arguments['link']}")


METHODS = {"echo": Method(echo), "change": Method(echo, "org.example.change"), "fail": Method(fail)}

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, ControlServer], Awaitable[None]]


def serve(path: Path, talk: Talk, authority: Authority = nobody_else) -> None:
    """Run a conversation with a server."""

    async def run() -> None:
        server = ControlServer(path, METHODS, events="monitor", authority=authority)
        await server.start()
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                async with asyncio.timeout(5):
                    await talk(reader, writer, server)
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
        finally:
            await server.close()

    asyncio.run(run())


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: object) -> Any:
    writer.write((request if isinstance(request, bytes) else json.dumps(request).encode()) + b"\n")
    return json.loads(await reader.readline())


def test_requests_are_answered_in_order(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ControlServer) -> None:
        for number in range(3):
            request = {"version": 1, "method": "echo", "arguments": {"n": number}}
            assert await ask(reader, writer, request) == {"version": 1, "result": {"n": number}}

    serve(tmp_path / "s", talk)


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ({"version": 1, "method": "nothing"}, "method"),
        ({"version": 2, "method": "echo"}, "version"),
        ({"version": 1, "method": "fail", "arguments": {"link": "x"}}, "no-such-link"),
        ({"version": 1}, "request"),
        ({"version": 1, "method": "echo", "more": 1}, "request"),
        (b"[]", "request"),
        (b"\xff\xfe", "request"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_conversation_goes_on(tmp_path: Path, request_: object, kind: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ControlServer) -> None:
        answer = await ask(reader, writer, request_)
        assert answer["error"]["kind"] == kind
        assert answer["error"]["text"]
        assert "result" in await ask(reader, writer, {"version": 1, "method": "echo"})

    serve(tmp_path / "s", talk)


def test_a_line_without_end_ends_the_conversation(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ControlServer) -> None:
        writer.write(b"x" * (1 << 18))
        with suppress(ConnectionResetError):
            assert await reader.read() == b""

    serve(tmp_path / "s", talk)


def test_root_may_change_things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ControlServer) -> None:
        assert "result" in await ask(reader, writer, {"version": 1, "method": "change"})

    monkeypatch.setattr(PEER, lambda _: Peer(1, 0, frozenset()))
    serve(tmp_path / "s", talk)


def test_others_may_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ControlServer) -> None:
        answer = await ask(reader, writer, {"version": 1, "method": "change"})
        assert answer["error"]["kind"] == "forbidden"
        assert "result" in await ask(reader, writer, {"version": 1, "method": "echo"})

    monkeypatch.setattr(PEER, lambda _: Peer(0, 65534, frozenset((65534,))))
    serve(tmp_path / "s", talk)
    assert (tmp_path / "s").exists() is False, "the socket goes with the server"


@pytest.mark.parametrize("why", [None, "polkit does not allow it"])
def test_an_authority_has_its_say_about_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str | None
) -> None:
    asked: list[tuple[Peer, str]] = []
    peer = Peer(7, 65534, frozenset((65534,)))

    async def authority(peer: Peer, action: str) -> str | None:
        asked.append((peer, action))
        return why

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ControlServer) -> None:
        assert "result" in await ask(reader, writer, {"version": 1, "method": "echo"})
        assert asked == [], "what changes nothing is for everybody"
        answer = await ask(reader, writer, {"version": 1, "method": "change"})
        assert asked == [(peer, "org.example.change")]
        assert answer.get("error") == ({"kind": "forbidden", "text": why} if why else None)

    monkeypatch.setattr(PEER, lambda _: peer)
    serve(tmp_path / "s", talk, authority)


def test_the_kernel_says_who_is_there(tmp_path: Path) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: ControlServer) -> None:
        from mip6.control import _peer

        assert _peer(writer) == Peer(os.getpid(), os.getuid(), frozenset((os.getgid(), *os.getgroups())))

    serve(tmp_path / "s", talk)


def test_a_group_may_change_things(monkeypatch: pytest.MonkeyPatch) -> None:
    class Group:
        gr_gid = 4711

    monkeypatch.setattr("grp.getgrnam", lambda _: Group)
    assert Peer(1, 1000, frozenset((1000, 4711))).may_change
    assert not Peer(1, 1000, frozenset((1000,))).may_change
    assert groups(os.getpid()) == set(os.getgroups())
    assert groups(1 << 22) == set(), "a process that is gone is in no group"


def test_events_go_to_everybody_who_listens(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: ControlServer) -> None:
        writer.write(b'{"version": 1, "method": "monitor"}\n')
        while not server._listeners:
            await asyncio.sleep(0)
        server.publish({"event": "carrier"})
        assert json.loads(await reader.readline()) == {"version": 1, "result": {"event": "carrier"}}

    serve(tmp_path / "s", talk)


def test_who_does_not_keep_up_loses_events_and_holds_nobody_up(tmp_path: Path) -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter, server: ControlServer) -> None:
        writer.write(b'{"version": 1, "method": "monitor"}\n')
        while not server._listeners:
            await asyncio.sleep(0)
        for number in range(3000):
            server.publish(number)

    serve(tmp_path / "s", talk)


def test_what_a_killed_server_left_is_taken_over_but_a_living_one_is_not(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "deep" / "s"
        first = ControlServer(path, METHODS)
        await first.start()
        with pytest.raises(OSError, match="another process serves it"):
            await ControlServer(path, METHODS).start()
        assert first._server is not None
        first._server.close()  # as after a kill: nobody listens, the socket is still there
        second = ControlServer(path, METHODS)
        await second.start()
        await second.close()

    asyncio.run(run())
