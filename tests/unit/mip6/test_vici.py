"""Conversations with charon, octet by octet as its manual has them (README.md of its plugin vici)."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from mip6 import vici
from mip6.ike import Request, initiation
from mip6.vici import Announced, Connected, Event, Lost, Vici, ViciError

VERSION = b"\x03\x06daemon\x00\x0bcharon-test\x03\x07version\x00\x055.9.8"
ONE = b"\x01\x04home" + b"\x03\x08uniqueid\x00\x011" + b"\x04\x05hosts" + b"\x05\x00\x02::\x05\x00\x03::1\x06" + b"\x02"
TWO = b"\x01\x05other\x02"
REFUSAL = b"\x03\x07success\x00\x02no\x03\x06errmsg\x00\x0dno such thing"

RESPONSE, UNKNOWN_COMMAND, CONFIRMED, UNKNOWN_EVENT, EVENT = b"\x01", b"\x02", b"\x05", b"\x06", b"\x07"

ResultT = TypeVar("ResultT")


class Charon:
    """The other end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def hears(self) -> bytes:
        """A packet without its length."""
        (length,) = struct.unpack("!I", await self._reader.readexactly(4))
        return await self._reader.readexactly(length)

    def says(self, *packets: bytes) -> None:
        for packet in packets:
            self._writer.write(struct.pack("!I", len(packet)) + packet)

    def says_octets(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def is_left(self) -> bool:
        """Whether nothing comes but the connection's end."""
        return await self._reader.read(1) == b""


Behaviour = Callable[[Charon], Awaitable[None]]


def event(name: str, message: bytes) -> bytes:
    return EVENT + bytes([len(name)]) + name.encode() + message


@asynccontextmanager
async def serving(path: Path, behaviour: Behaviour) -> AsyncIterator[None]:
    """A charon that treats every connection so, and then ends it. What goes wrong in there ends the test."""
    failures: list[Exception] = []
    conversations: set[asyncio.Future[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        conversations.add(ended)
        try:
            await behaviour(Charon(reader, writer))
        except (EOFError, ConnectionError):
            pass  # the client left
        except Exception as failure:
            failures.append(failure)
        finally:
            writer.close()
            ended.set_result(None)

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield
    finally:
        for _ in range(5):
            await asyncio.sleep(0)  # a connection just accepted becomes a conversation
        server.close()
        await asyncio.gather(*conversations)
        if failures:
            raise failures[0]


def with_charon(path: Path, behaviour: Behaviour, ask: Callable[[Vici], Awaitable[ResultT]]) -> ResultT:
    async def run() -> ResultT:
        async with serving(path, behaviour), asyncio.timeout(10):
            return await ask(Vici(path))

    return asyncio.run(run())


def test_a_request_and_its_answer(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def charon(peer: Charon) -> None:
        heard.append(await peer.hears())
        peer.says(RESPONSE + VERSION)
        assert await peer.is_left()

    asked = initiation("home", "bid2", 2.5)
    answer = with_charon(tmp_path / "vici", charon, lambda vici: vici.request(asked))
    assert answer == {"daemon": "charon-test", "version": "5.9.8"}
    assert heard == [
        b"\x00\x08initiate" + b"\x03\x03ike\x00\x04home" + b"\x03\x05child\x00\x04bid2" + b"\x03\x07timeout\x00\x042500"
    ]


def test_sections_and_lists_and_octets_are_sent(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def charon(peer: Charon) -> None:
        heard.append(await peer.hears())
        peer.says(RESPONSE)

    request = Request("load-conn", {"home": {"certs": [b"\x00\xff"], "ids": ["mn", "ha"], "local": {}}, "x": ""})
    assert with_charon(tmp_path / "vici", charon, lambda vici: vici.request(request)) == {}
    assert heard == [
        b"\x00\x09load-conn"
        + b"\x01\x04home"
        + (b"\x04\x05certs" + b"\x05\x00\x02\x00\xff" + b"\x06")
        + (b"\x04\x03ids" + b"\x05\x00\x02mn" + b"\x05\x00\x02ha" + b"\x06")
        + (b"\x01\x05local" + b"\x02")
        + b"\x02"
        + b"\x03\x01x\x00\x00"
    ]


def test_a_listing(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def charon(peer: Charon) -> None:
        heard.append(await peer.hears())
        peer.says(CONFIRMED)
        heard.append(await peer.hears())
        peer.says(event("list-sa", ONE), event("list-sa", TWO), RESPONSE)

    listing = with_charon(tmp_path / "vici", charon, lambda vici: vici.listing(Request("list-sas"), "list-sa"))
    assert listing == [{"home": {"uniqueid": "1", "hosts": ["::", "::1"]}}, {"other": {}}]
    assert heard == [b"\x03\x07list-sa", b"\x00\x08list-sas"]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (RESPONSE + REFUSAL, "no such thing"),
        (RESPONSE + b"\x03\x07success\x00\x02no", "charon refuses version"),
        (UNKNOWN_COMMAND, "charon has no command version"),
        (RESPONSE + b"\x03\x07success", "charon sends a broken message"),
        (RESPONSE + b"\x01\x04home", "charon sends a broken message"),
        (RESPONSE + b"\x02", "charon sends a broken message"),
        (RESPONSE + b"\x03\x01\xff\x00\x00", "charon sends a broken message"),
        (b"", "charon sends a broken packet"),
        (EVENT + b"\x07lis", "charon has no command version"),
    ],
)
def test_what_cannot_be_had_is_one_error(tmp_path: Path, answer: bytes, complaint: str) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        peer.says(answer, UNKNOWN_COMMAND)

    with pytest.raises(ViciError, match=complaint):
        with_charon(tmp_path / "vici", charon, lambda vici: vici.request(Request("version")))


def test_an_event_that_charon_does_not_have(tmp_path: Path) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        peer.says(UNKNOWN_EVENT)

    with pytest.raises(ViciError, match="charon has no event nonsense"):
        with_charon(tmp_path / "vici", charon, lambda vici: vici.listing(Request("list-sas"), "nonsense"))


def test_a_length_beyond_all_limits_is_not_waited_for(tmp_path: Path) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        peer.says_octets(struct.pack("!I", 512 * 1024 + 1))
        assert await peer.is_left()

    with pytest.raises(ViciError, match="charon sends a packet of 524289 octets"):
        with_charon(tmp_path / "vici", charon, lambda vici: vici.request(Request("version")))


def test_charon_goes_away_before_it_answers(tmp_path: Path) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        peer.says_octets(b"\x00\x00")

    with pytest.raises(ViciError, match="charon closed the connection"):
        with_charon(tmp_path / "vici", charon, lambda vici: vici.request(Request("version")))


def test_charon_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ViciError, match="vici: No such file or directory"):
        asyncio.run(Vici(tmp_path / "vici").request(Request("version")))


def test_an_answer_that_does_not_come(tmp_path: Path) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        assert await peer.is_left()

    with pytest.raises(ViciError, match=r"charon has not answered for 0.05 s"):
        with_charon(tmp_path / "vici", charon, lambda vici: vici.request(Request("version", answer_s=0.05)))


def test_a_value_that_is_too_long_is_not_told(tmp_path: Path) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()

    request = Request("load-key", {"data": b"secret" * 20_000})
    with pytest.raises(ViciError) as error:
        with_charon(tmp_path / "vici", charon, lambda vici: vici.request(request))
    assert str(error.value) == "load-key: a name or a value is too long"


def test_a_request_does_not_wait_for_another(tmp_path: Path) -> None:
    async def run() -> None:
        slow_may_end = asyncio.Event()

        async def charon(peer: Charon) -> None:
            if b"initiate" in await peer.hears():
                await slow_may_end.wait()
            peer.says(RESPONSE)

        async with serving(tmp_path / "vici", charon), asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            vici = Vici(tmp_path / "vici")
            slow = tasks.create_task(vici.request(initiation("home", "bid2", 5)))
            await vici.request(Request("version"))
            assert not slow.done()
            slow_may_end.set()

    asyncio.run(run())


async def told(path: Path, count: int, names: tuple[str, ...] = ("ike-updown", "child-updown")) -> list[Event]:
    """The first that are told."""
    events: list[Event] = []
    enough = asyncio.Event()

    def tell(event: Event) -> None:
        events.append(event)
        if len(events) == count:
            enough.set()

    listening = asyncio.ensure_future(Vici(path).listen(names, tell))  # noqa: TID251 - it never ends by itself
    await asyncio.wait_for(enough.wait(), 10)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening
    return events


def test_events_and_a_new_charon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vici, "RETRY_S", 0.01)
    heard: list[bytes] = []

    async def charon(peer: Charon) -> None:
        heard.append(await peer.hears())
        # Between two confirmations: whoever is told that charon is there looks anyway
        peer.says(CONFIRMED, event("ike-updown", TWO))
        heard.append(await peer.hears())
        peer.says(CONFIRMED, event("ike-updown", ONE), event("child-updown", TWO))

    async def run() -> list[Event]:
        async with serving(tmp_path / "vici", charon):
            return await told(tmp_path / "vici", 8)

    one = Announced("ike-updown", {"home": {"uniqueid": "1", "hosts": ["::", "::1"]}})
    two = Announced("child-updown", {"other": {}})
    assert asyncio.run(run()) == 2 * [Connected(), one, two, Lost("charon closed the connection")]
    assert heard[:2] == [b"\x03\x0aike-updown", b"\x03\x0cchild-updown"]


def test_one_that_is_not_there_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vici, "RETRY_S", 0.01)
    tries = 0

    async def charon(peer: Charon) -> None:
        nonlocal tries
        tries += 1
        await peer.hears()
        peer.says(UNKNOWN_EVENT if tries < 3 else CONFIRMED)
        assert await peer.is_left()

    async def run() -> list[Event]:
        async with serving(tmp_path / "vici", charon):
            return await told(tmp_path / "vici", 2, ("ike-updown",))

    assert asyncio.run(run()) == [Lost("charon has no event ike-updown"), Connected()]
    assert tries == 3, "why it is not there is told once"


@pytest.mark.parametrize("packet", [RESPONSE, EVENT + b"\x01x\x02", EVENT])
def test_nonsense_among_the_events_ends_the_connection(tmp_path: Path, packet: bytes) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        peer.says(CONFIRMED, packet)
        assert await peer.is_left()

    async def run() -> list[Event]:
        async with serving(tmp_path / "vici", charon):
            return await told(tmp_path / "vici", 2, ("ike-updown",))

    connected, lost = asyncio.run(run())
    assert connected == Connected()
    assert isinstance(lost, Lost)
    assert lost.why != "charon closed the connection"


def test_a_fault_of_the_listener_is_not_charon_s(tmp_path: Path) -> None:
    async def charon(peer: Charon) -> None:
        await peer.hears()
        peer.says(CONFIRMED)
        assert await peer.is_left()

    def fail(event: Event) -> None:
        raise OSError(str(event))

    with pytest.raises(OSError, match="Connected"):
        with_charon(tmp_path / "vici", charon, lambda vici: vici.listen(["ike-updown"], fail))
