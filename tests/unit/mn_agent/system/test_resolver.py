"""Whatever a DNS server says, an answer or a reason comes out. The server is a socket on the loopback interface."""

import asyncio
import struct
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from mn_agent.core.dns import Answer, Failure, Kind, Query, Question
from mn_agent.system import resolver
from mn_agent.system.resolver import Resolver

CARE_OF = IPv6Address("2001:db8::64")
HOST = Question("ha.example.net", Kind.ADDRESSES)
DOMAIN = Question("_mip6._ipv6.example.net", Kind.HOSTS)
Respond = Callable[[dns.message.Message], bytes | None]


class Server(asyncio.DatagramProtocol):
    """Answers each question by `respond`."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.asked = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        answer = self._respond(dns.message.from_wire(data))
        if answer is not None:
            self._transport.sendto(answer, addr)


def records(*lines: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> Respond:
    """An answer with these in it."""

    def respond(question: dns.message.Message) -> bytes:
        answer = dns.message.make_response(question)
        answer.set_rcode(rcode)
        for line in lines:
            name, ttl, kind, value = line.split(maxsplit=3)
            answer.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, value))
        return answer.to_wire()

    return respond


def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: Question, *responds: Respond) -> Answer | Failure:
    """What comes of a question to servers that respond so, at 127.0.0.1, 127.0.0.2 and so on."""
    monkeypatch.setattr(resolver, "TIMEOUT_S", 0.3)
    file = tmp_path / "resolv.conf"
    file.write_text("".join(f"nameserver 127.0.0.{number}\n" for number in range(1, len(responds) + 1)))

    async def run() -> Answer | Failure:
        loop = asyncio.get_running_loop()
        port, transports = 0, []
        for number, respond in enumerate(responds, 1):
            where = f"127.0.0.{number}", port
            transport, _ = await loop.create_datagram_endpoint(lambda it=respond: Server(it), local_addr=where)  # type: ignore[misc]
            port = transport.get_extra_info("sockname")[1]
            transports.append(transport)
        told: asyncio.Future[tuple[Question, Answer | Failure]] = loop.create_future()
        asked = Resolver(file, lambda *what: told.set_result(what), port=port)
        asked.ask(Query(question, CARE_OF))
        about, answer = await told
        for transport in transports:
            transport.close()
        assert about == question
        return answer

    return asyncio.run(run())


Ask = Callable[..., Answer | Failure]


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    return lambda question, *responds: ask(tmp_path, monkeypatch, question, *responds)


def test_addresses(answer: Ask) -> None:
    found = answer(HOST, records("ha.example.net. 300 AAAA 2001:db8::1"))
    assert found == Answer(300.0, addresses=(IPv6Address("2001:db8::1"),))


def test_an_alias(answer: Ask) -> None:
    lines = "ha.example.net. 300 CNAME other.example.net.", "other.example.net. 60 AAAA 2001:db8::2"
    assert answer(HOST, records(*lines)) == Answer(60.0, addresses=(IPv6Address("2001:db8::2"),))


def test_hosts_by_priority_and_by_chance_according_to_weight(answer: Ask) -> None:
    lines = [
        "_mip6._ipv6.example.net. 300 SRV 20 0 0 Last.example.net.",
        "_mip6._ipv6.example.net. 300 SRV 10 9 0 often.example.net.",
        "_mip6._ipv6.example.net. 300 SRV 10 1 0 seldom.example.net.",
    ]
    found = [answer(DOMAIN, records(*lines)) for _ in range(40)]
    assert all(isinstance(one, Answer) and one.hosts[2] == "last.example.net" for one in found)
    first = [one.hosts[0] for one in found if isinstance(one, Answer)]
    assert first.count("often.example.net") > first.count("seldom.example.net")


def test_the_service_that_is_not_offered(answer: Ask) -> None:
    assert answer(DOMAIN, records("_mip6._ipv6.example.net. 300 SRV 0 0 0 .")) == Answer(300.0, hosts=(".",))


def garbage(_question: dns.message.Message) -> bytes:
    return bytes(range(64))


def cut_off(question: dns.message.Message) -> bytes:
    return records("ha.example.net. 300 AAAA 2001:db8::1")(question)[:-3]  # type: ignore[index]


def pointer_to_itself(question: dns.message.Message) -> bytes:
    """A name that is compressed to where it begins."""
    header = struct.pack(">HHHHHH", question.id, 0x8180, 0, 1, 0, 0)
    return header + b"\xc0\x0c" + struct.pack(">HHIH", 28, 1, 300, 16) + bytes(16)


def silent(_question: dns.message.Message) -> None:
    return None


LOOP = records("ha.example.net. 300 CNAME b.example.net.", "b.example.net. 300 CNAME ha.example.net.")


@pytest.mark.parametrize(
    ("respond", "why"),
    [
        (records(rcode=dns.rcode.NXDOMAIN), "no such name"),
        (records(), "the name has no AAAA record"),
        (records("ha.example.net. 300 A 192.0.2.1"), "the name has no AAAA record"),
        (records("other.example.net. 300 AAAA 2001:db8::1"), "the name has no AAAA record"),
        (LOOP, "127.0.0.1: "),
        (garbage, "127.0.0.1: "),
        (cut_off, "127.0.0.1: "),
        (pointer_to_itself, "127.0.0.1: "),
        (silent, "127.0.0.1: no answer"),
        (records(rcode=dns.rcode.SERVFAIL), "127.0.0.1: "),
    ],
)
def test_what_is_no_answer_is_a_reason(answer: Ask, respond: Respond, why: str) -> None:
    found = answer(HOST, respond)
    assert isinstance(found, Failure)
    assert found.why.startswith(why)
    assert "\n" not in found.why


@pytest.mark.parametrize("respond", [silent, garbage, records(rcode=dns.rcode.SERVFAIL)])
def test_the_next_server_is_asked_when_one_says_nothing_of_use(answer: Ask, respond: Respond) -> None:
    found = answer(HOST, respond, records("ha.example.net. 300 AAAA 2001:db8::1"))
    assert found == Answer(300.0, addresses=(IPv6Address("2001:db8::1"),))


@pytest.mark.parametrize("text", [None, "", "nameserver nonsense\n", "search example.net\n"])
def test_a_file_without_a_server(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "resolv.conf"
    if text is not None:
        file.write_text(text)

    async def run() -> Answer | Failure:
        told: asyncio.Future[Answer | Failure] = asyncio.get_running_loop().create_future()
        Resolver(file, lambda _, answer: told.set_result(answer)).ask(Query(HOST, CARE_OF))
        return await told

    assert isinstance(asyncio.run(run()), Failure)


@pytest.mark.parametrize(
    ("server", "source"),
    [
        ("2001:db8::53", str(CARE_OF)),
        ("fd00::53", str(CARE_OF)),
        ("fe80::1%eth0", None),
        ("::1", None),
        ("127.0.0.53", None),
        ("192.0.2.53", None),
    ],
)
def test_where_a_server_is_asked_from(server: str, source: str | None) -> None:
    assert resolver.source(server, CARE_OF) == source
