"""One end of the traffic: UDP packets at a steady pace, and small writes on a TCP connection, both ways.

    python -m mn_lab.meter DIRECTORY NAME LOCAL PEER INTERVAL-NS [--listen]

It says "ready" when it listens, and "started" when the two ends have met and traffic flows; from then on it runs until
it is killed. What it sends and receives is in files of the directory while it runs (`Series`). Only the standard
library, and little of it: it has to start quickly and to be on time.
"""

import gc
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

PORT = 5800
STREAM_INTERVAL_NS = 10_000_000
"""Between writes on the TCP connection; the interval between packets has to divide it."""

HEADER = struct.Struct("!4sI")
"""What the payload of a packet begins with: a mark, and the packet's number."""
MARK = b"m6lm"

_PAYLOAD_OCTETS = 160
_PACKETS_PER_LOOK = 5
_LONGEST_RUN_NS = 3600 * 1_000_000_000
_WRITE = struct.Struct("!Q")
_TIMESPEC = struct.Struct("@ll")
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_RECEIVE_BUFFER = 8 << 20
_MEETING_S = 10.0


class Series:
    """Whole numbers in a file, appended by one process and read by another at any time: their count comes first. The
    file is as large as the series may grow, but empty inside.
    """

    def __init__(self, path: Path, capacity: int) -> None:
        with path.open("wb+") as file:
            file.truncate(8 * (capacity + 1))
            self._numbers = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
        self._count = 0

    def append(self, *numbers: int) -> None:
        for number in numbers:
            self._count += 1
            self._numbers[self._count] = number
        self._numbers[0] = self._count

    @staticmethod
    def last(path: Path) -> int:
        """The latest number; 0 before there is one."""
        with path.open("rb") as file:
            (number,) = struct.unpack("=q", file.read(8))
            file.seek(8 * number)
            return int(struct.unpack("=q", file.read(8))[0]) if number else 0

    @staticmethod
    def read(path: Path) -> list[int]:
        """All numbers so far."""
        with path.open("rb") as file:
            (number,) = struct.unpack("=q", file.read(8))
            return list(memoryview(file.read(8 * number)).cast("q"))


class Flow:
    """What was sent, by the time of each packet, and what was received, as pairs of number and time. Times are of the
    system's clock, in nanoseconds.
    """

    def __init__(self, directory: Path, name: str, interval_ns: int) -> None:
        capacity = _LONGEST_RUN_NS // interval_ns
        self.sent = Series(directory / f"{name}.sent", capacity)
        self.received = Series(directory / f"{name}.received", 2 * capacity)


class Meter:
    """Both sockets. `run` never returns."""

    def __init__(self, directory: Path, name: str, local: str, peer: str, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._packets = Flow(directory, f"{name}.udp", interval_ns)
        self._writes = Flow(directory, f"{name}.tcp", STREAM_INTERVAL_NS)
        self._local, self._peer = local, peer
        self._udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        _enlarge_receive_buffer(self._udp)
        self._udp.bind((local, PORT))
        self._udp.connect((peer, PORT))
        self._udp.setblocking(False)
        self._tcp: socket.socket
        self._rest = b""

    def meet(self, *, listen: bool) -> None:
        """Set up the TCP connection; both ends receive packets from then on."""
        if listen:
            with socket.create_server((self._local, PORT), family=socket.AF_INET6) as server:
                print("ready", flush=True)
                self._tcp, _ = server.accept()
        else:
            self._tcp = socket.create_connection((self._peer, PORT), _MEETING_S, (self._local, 0))
        self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tcp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._tcp.setblocking(False)

    def run(self) -> None:
        """Send on schedule: what is late is sent at once, and the schedule stays."""
        print("started", flush=True)
        padding = bytes(_PAYLOAD_OCTETS - HEADER.size)
        writes, packets_per_write = count(), STREAM_INTERVAL_NS // self._interval_ns
        for number, due_at in enumerate(_schedule(self._interval_ns)):
            delay_ns = due_at - time.monotonic_ns()
            if delay_ns > 0:
                time.sleep(delay_ns / 1e9)
            self._packets.sent.append(time.time_ns())
            # A packet that cannot even be sent is a lost one
            with suppress(OSError):
                self._udp.send(HEADER.pack(MARK, number) + padding)
            if number % packets_per_write == 0:
                self._write(next(writes))
            # The kernel notes the arrivals, so there is no hurry to read them
            if number % _PACKETS_PER_LOOK == 0:
                self._receive()
                self._read()

    def _write(self, number: int) -> None:
        self._writes.sent.append(time.time_ns())
        with suppress(OSError):
            self._tcp.send(_WRITE.pack(number))

    def _receive(self) -> None:
        with suppress(OSError):  # also when there is nothing more
            while True:
                data, ancillary, _flags, _address = self._udp.recvmsg(_PAYLOAD_OCTETS, 64)
                _mark, number = HEADER.unpack_from(data)
                self._packets.received.append(number, _arrival(ancillary))

    def _read(self) -> None:
        with suppress(OSError):
            data, ancillary, _flags, _address = self._tcp.recvmsg(1 << 16, 64)
            data = self._rest + data
            whole = len(data) - len(data) % _WRITE.size
            for (number,) in _WRITE.iter_unpack(data[:whole]):
                self._writes.received.append(number, _arrival(ancillary))
            self._rest = data[whole:]


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> int:
    """When the kernel received it, by the system's clock; the end of the stream has no time and is an OSError."""
    if not ancillary:
        raise ConnectionResetError
    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
    return int(seconds * 1_000_000_000 + nanoseconds)


def _schedule(interval_ns: int) -> Iterator[int]:
    start = time.monotonic_ns()
    return (start + number * interval_ns for number in range(_LONGEST_RUN_NS // interval_ns))


def _enlarge_receive_buffer(receiver: socket.socket) -> None:
    """A moment without a turn on the processor must not look like lost packets."""
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    with suppress(PermissionError):
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)


def _hurry() -> None:
    """Run as soon as it is time, if we may."""
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        with suppress(PermissionError):
            os.nice(-10)


def main(argv: list[str]) -> None:
    """Never returns."""
    directory, name, local, peer, interval_ns, *options = argv
    _hurry()
    meter = Meter(Path(directory), name, local, peer, int(interval_ns))
    meter.meet(listen="--listen" in options)
    meter.run()


if __name__ == "__main__":
    main(sys.argv[1:])
