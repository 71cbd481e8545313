"""Asks the DNS servers that the system has, without waiting for them.

What a server says may be anything: an answer comes out, or why there is none, and no error.
"""

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver

from mip6.tasks import spawn
from mn_agent.core.dns import Answer, Failure, Kind, Query, Question

TIMEOUT_S = 2.0
"""For one server; then the next one is asked."""
LIFETIME_S = 5.0
"""For all of them."""

Tell = Callable[[Question, Answer | Failure], None]


class Resolver:
    """The servers that a file names, as /etc/resolv.conf does. It is read for every question: networks come and go."""

    def __init__(self, file: Path, tell: Tell, port: int = 53) -> None:
        """`tell` hears what came of each question."""
        self._file = file
        self._port = port
        self._tell = tell
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, query: Query) -> None:
        """Ask for it, and tell before long."""
        task = spawn(self._ask(query))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, query: Query) -> None:
        try:
            answer = await self._answer(query)
        except (dns.exception.DNSException, OSError, ValueError) as error:
            answer = Failure(_why(error))
        self._tell(query.question, answer)

    async def _answer(self, query: Query) -> Answer | Failure:
        """From the first server that has one. Raises what dnspython raises."""
        question = query.question
        servers = dns.asyncresolver.Resolver(filename=str(self._file)).nameservers
        failure = Failure(f"{self._file} names no server")
        for server in servers:
            resolver = dns.asyncresolver.Resolver(configure=False)
            resolver.nameservers = [server]
            resolver.port = self._port
            resolver.timeout = TIMEOUT_S
            try:
                found = await resolver.resolve(
                    f"{question.name}.",
                    dns.rdatatype.from_text(question.kind.value),
                    source=source(str(server), query.care_of),
                    lifetime=min(TIMEOUT_S, LIFETIME_S / len(servers)),
                    search=False,
                )
            except dns.resolver.NXDOMAIN:
                return Failure("no such name")
            except dns.resolver.NoAnswer:
                return Failure(f"the name has no {question.kind.value} record")
            except (dns.exception.DNSException, OSError, ValueError) as error:
                failure = Failure(f"{server}: {_why(error)}")
                continue
            return _read(question, found)
        return failure


def source(server: str, care_of: IPv6Address) -> str | None:
    """Where to ask a server from: not from the home address, for the tunnel may be what does not work. Servers on the
    link, on this machine and those of IPv4 are not reached through it.
    """
    address = ip_address(server)
    tunnelled = address.version == 6 and not (address.is_link_local or address.is_loopback)
    return str(care_of) if tunnelled else None


def _read(question: Question, found: dns.resolver.Answer) -> Answer:
    """Hosts in the order of their priorities, and by chance according to their weights (RFC 2782)."""
    assert found.rrset is not None
    ttl_s = float(found.rrset.ttl)
    if question.kind is Kind.HOSTS:
        records = found.rrset.processing_order()
        return Answer(ttl_s, hosts=tuple(_name(record) for record in records))
    return Answer(ttl_s, addresses=tuple(IPv6Address(record.address) for record in found.rrset))


def _name(record: Any) -> str:
    """The target, without its final dot, but for the root, which is nothing else."""
    text: str = record.target.to_text()
    return text if text == "." else text.lower().removesuffix(".")


def _why(error: Exception) -> str:
    """In one line."""
    if isinstance(error, dns.exception.Timeout):
        return "no answer"
    return " ".join(str(error).split()) or type(error).__name__
