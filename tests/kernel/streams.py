"""Several streams of numbered packets at once between the mobile side and the correspondent, and who forwarded them.

As a program one end of them: `python -m tests.kernel.streams DIRECTION LOCAL PEER STREAMS`, the last as JSON. It says
"ready" when it listens and "connected" when the two ends have met. Then each line on its standard input is a request:
"go"; "stop", which it answers by how many of each it has sent; "report", which it answers by the numbers that it has
received of each when nothing more comes.
"""

import gc
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from ipaddress import IPv6Address
from select import select
from typing import Any, Self

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, MOBILE_NODE, MOBILE_SIDE
from mn_lab.traffic import DOWN, UP

NUMBER = struct.Struct(">I")
ESP = 50
QUIET_S = 0.5
"""So long after the last arrival nothing more comes."""
_SO_RCVBUFFORCE = 33


@dataclass(frozen=True, slots=True)
class Stream:
    """`number`: both ports of UDP and TCP, or the SPI of ESP. A packet of `octets` every `1 / per_second`."""

    name: str
    protocol: str
    number: int
    dscp: int = 0
    per_second: int = 200
    octets: int = 64


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of the packets of a stream in one direction."""

    sent: int
    lost: int
    reordered: int
    duplicates: int


class Streams:
    """They flow while the context lasts, both ways; `fates` ends them. `node`, `address`: their end on the mobile side,
    the mobile node unless told otherwise.
    """

    def __init__(
        self, lab: Lab, streams: Sequence[Stream], node: str = MOBILE_NODE, address: IPv6Address = HOME_ADDRESS
    ) -> None:
        self._lab = lab
        self._node, self._address = node, str(address)
        self._streams = streams
        self._ends: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        correspondent = str(CORRESPONDENT_ADDRESS)
        try:
            self._start(DOWN, CORRESPONDENT, correspondent, self._address)
            self._start(UP, self._node, self._address, correspondent)
            for direction in self._ends:
                assert self._answer(direction) == "connected"
            for direction in self._ends:
                self._tell(direction, "go")
        except BaseException:
            self._end()
            raise
        return self

    def _start(self, direction: str, node: str, local: str, peer: str) -> None:
        streams = json.dumps([astuple(stream) for stream in self._streams])
        argv = self._lab.command(node, sys.executable, "-m", "tests.kernel.streams", direction, local, peer, streams)
        pipe = subprocess.PIPE
        self._ends[direction] = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        assert self._answer(direction) == "ready", f"the {direction} end of the streams does not start"

    def _answer(self, direction: str) -> str:
        output = self._ends[direction].stdout
        assert output is not None
        return output.readline().strip()

    def _tell(self, direction: str, request: str) -> None:
        input_ = self._ends[direction].stdin
        assert input_ is not None
        print(request, file=input_, flush=True)

    def _ask(self, direction: str, request: str) -> Any:
        self._tell(direction, request)
        return json.loads(self._answer(direction))

    def fates(self) -> Mapping[tuple[str, str], Fate]:
        """By stream and direction."""
        sent = {direction: self._ask(direction, "stop") for direction in self._ends}
        found = {}
        for direction, other in ((UP, DOWN), (DOWN, UP)):
            received = self._ask(other, "report")
            for name, numbers in received.items():
                found[name, direction] = _fate(sent[direction][name], numbers)
        return found

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._ends.values():
            process.kill()
            process.communicate()


def _fate(sent: int, numbers: Sequence[int]) -> Fate:
    reordered, latest, seen = 0, -1, set()
    for number in numbers:
        reordered += number < latest and number not in seen
        latest = max(latest, number)
        seen.add(number)
    return Fate(sent, sent - len(seen), reordered, len(numbers) - len(seen))


class Judge:
    """Counts what each access router forwards, by kind of packet and direction, with nftables. `kinds`: names, and
    conditions in nft syntax; in a tunnel, the packet in it begins at `@nh,320`.
    """

    def __init__(self, lab: Lab, kinds: Mapping[str, str]) -> None:
        self._lab = lab
        self._kinds = kinds

    def __enter__(self) -> Self:
        for link in self._lab.layout.links:
            self._nft(link.name, self._table())
        return self

    def __exit__(self, *_: object) -> None:
        for link in self._lab.layout.links:
            self._nft(link.name, "delete table ip6 judge\n")

    def _table(self) -> str:
        names = [f"{kind}_{direction}" for kind in self._kinds for direction in (UP, DOWN)]
        rules = [
            f"{side} {MOBILE_SIDE} {condition} counter name {kind}_{direction}"
            for kind, condition in self._kinds.items()
            for side, direction in (("iifname", UP), ("oifname", DOWN))
        ]
        chain = ["chain forward {", "type filter hook forward priority -10; policy accept;", *rules, "}"]
        counters = [f"counter {name} {{ }}" for name in names]
        return "\n".join(["table ip6 judge {", *counters, *chain, "}", ""])

    def _nft(self, link: str, commands: str) -> None:
        argv = self._lab.command(link, "nft", "-f", "-")
        subprocess.run(argv, input=commands, text=True, check=True)

    def counts(self) -> dict[tuple[str, str, str], int]:
        """Packets by link, kind and direction, where there were any."""
        found = {}
        for link in self._lab.layout.links:
            told = json.loads(self._lab.run(link.name, "nft", "-j", "list", "counters", "table", "ip6", "judge"))
            for entry in told["nftables"]:
                if "counter" in entry and entry["counter"]["packets"]:
                    kind, _, direction = entry["counter"]["name"].rpartition("_")
                    found[link.name, kind, direction] = entry["counter"]["packets"]
        return found

    def places(self) -> dict[str, set[tuple[str, str]]]:
        """Link and direction by kind of packet."""
        found: dict[str, set[tuple[str, str]]] = {}
        for link, kind, direction in self.counts():
            found.setdefault(kind, set()).add((link, direction))
        return found


# One end


class _Datagrams:
    """UDP, or ESP of which only the outside is true."""

    def __init__(self, stream: Stream, local: str, peer: str) -> None:
        self._esp = stream.protocol == "esp"
        if self._esp:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, ESP)
        else:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._head = struct.pack(">II", stream.number, 0) if self._esp else b""
        self._padding = bytes(stream.octets - NUMBER.size)
        port = 0 if self._esp else stream.number
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, stream.dscp << 2)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self._socket.bind((local, port))
        self._socket.connect((peer, port))
        self._socket.setblocking(False)

    def send(self, number: int) -> None:
        self._socket.send(self._head + NUMBER.pack(number) + self._padding)

    def receive(self) -> list[int]:
        numbers: list[int] = []
        with suppress(OSError):  # also when there is nothing more
            while True:
                data = self._socket.recv(1 << 16)
                if data.startswith(self._head):
                    numbers += NUMBER.unpack_from(data, len(self._head))
        return numbers


class _Connection:
    """TCP: numbers come in order, and once."""

    def __init__(self, stream: Stream, local: str, peer: str, server: socket.socket | None) -> None:
        if server is not None:
            self._socket, _ = server.accept()
        else:
            self._socket = socket.create_connection((peer, stream.number), 10, (local, stream.number))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._rest = b""

    def send(self, number: int) -> None:
        self._socket.send(NUMBER.pack(number))

    def receive(self) -> list[int]:
        with suppress(OSError):
            self._rest += self._socket.recv(1 << 16)
        whole = len(self._rest) - len(self._rest) % NUMBER.size
        numbers = [number for (number,) in NUMBER.iter_unpack(self._rest[:whole])]
        self._rest = self._rest[whole:]
        return numbers


def _main(direction: str, local: str, peer: str, description: str) -> None:
    streams = [Stream(*values) for values in json.loads(description)]
    gc.disable()
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    servers = {
        stream.name: socket.create_server((local, stream.number), family=socket.AF_INET6)
        for stream in streams
        if stream.protocol == "tcp" and direction == DOWN
    }
    datagrams = {one.name: _Datagrams(one, local, peer) for one in streams if one.protocol != "tcp"}
    print("ready", flush=True)
    connections = {
        one.name: _Connection(one, local, peer, servers.get(one.name)) for one in streams if one.protocol == "tcp"
    }
    ends: dict[str, _Datagrams | _Connection] = {**datagrams, **connections}
    received: dict[str, list[int]] = {stream.name: [] for stream in streams}
    print("connected", flush=True)
    sys.stdin.readline()
    sent = _send(streams, ends, received)
    print(json.dumps(sent), flush=True)
    sys.stdin.readline()
    _wait(ends, received)
    print(json.dumps(received), flush=True)
    sys.stdin.readline()


def _send(
    streams: Sequence[Stream], ends: Mapping[str, _Datagrams | _Connection], received: dict[str, list[int]]
) -> dict[str, int]:
    """Until somebody says stop; how many of each."""
    sent = dict.fromkeys(received, 0)
    start = time.monotonic()
    due = [(start, stream) for stream in streams]
    while not select([sys.stdin], [], [], 0)[0]:
        at, stream = min(due, key=lambda one: one[0])
        time.sleep(max(0.0, at - time.monotonic()))
        with suppress(OSError):  # what cannot even be sent is lost
            ends[stream.name].send(sent[stream.name])
        sent[stream.name] += 1
        due = [one for one in due if one[1] is not stream] + [(start + sent[stream.name] / stream.per_second, stream)]
        if sum(sent.values()) % 16 == 0:
            _receive(ends, received)
    sys.stdin.readline()
    return sent


def _receive(ends: Mapping[str, _Datagrams | _Connection], received: dict[str, list[int]]) -> bool:
    """Whether there was anything."""
    before = sum(map(len, received.values()))
    for name, end in ends.items():
        received[name] += end.receive()
    return sum(map(len, received.values())) > before


def _wait(ends: Mapping[str, _Datagrams | _Connection], received: dict[str, list[int]]) -> None:
    """Until nothing more comes."""
    end_at = time.monotonic() + QUIET_S
    while time.monotonic() < end_at:
        if _receive(ends, received):
            end_at = time.monotonic() + QUIET_S
        time.sleep(0.01)


if __name__ == "__main__":
    _main(*sys.argv[1:])
