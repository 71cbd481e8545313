"""Traffic between two namespaces, and what became of it."""

import subprocess
import sys
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Self

from mn_lab.commands import LabError
from mn_lab.meter import STREAM_INTERVAL_NS, Series

UP, DOWN = "up", "down"
"""From the mobile node, and to it."""
RATE = 1000
"""UDP packets a second, unless told otherwise."""

_MS = 1_000_000
_ARRIVE_NS = 100 * _MS
"""After so long, what has not arrived is lost."""
_PATIENCE_S = 30.0
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of the packets sent in some time."""

    sent: int
    lost: int
    reordered: int
    """Arrived after one that was sent later (RFC 4737 section 3.3)."""
    gap_ms: float
    """The longest time without an arrival, as it would have been had the sender been on time."""


@dataclass(frozen=True, slots=True)
class Record:
    """One direction of the traffic: when each packet was sent, and the arrivals in their order, as number and time."""

    sent: Sequence[int]
    arrivals: Sequence[tuple[int, int]]
    interval_ns: int

    @classmethod
    def read(cls, sent: Path, received: Path, interval_ns: int) -> Self:
        numbers = Series.read(received)
        return cls(Series.read(sent), list(zip(numbers[::2], numbers[1::2], strict=True)), interval_ns)

    def figures(self, start_ns: int, end_ns: int) -> Figures:
        """Of what was sent from `start_ns` on and before `end_ns`."""
        span = range(bisect_left(self.sent, start_ns), bisect_left(self.sent, end_ns))
        arrived = {number for number, _ in self.arrivals if number in span}
        return Figures(
            sent=len(span),
            lost=len(span) - len(arrived),
            reordered=self._reordered(span),
            gap_ms=round(self._gap_ns(span) / _MS, 1),
        )

    def _reordered(self, span: range) -> int:
        reordered, latest = 0, -1
        for number, _ in self.arrivals:
            reordered += number < latest and number in span
            latest = max(latest, number)
        return reordered

    def _gap_ns(self, span: range) -> int:
        """Touching the span. A packet sent late would have arrived earlier by as much, had it been on time."""
        on_time = [
            (number, arrived_at - (self.sent[number] - number * self.interval_ns))
            for number, arrived_at in self.arrivals
        ]
        gaps = [
            later_at - earlier_at
            for (earlier, earlier_at), (later, later_at) in pairwise(on_time)
            if later >= span.start and earlier < span.stop
        ]
        last = max((number for number, _ in self.arrivals), default=span.start - 1)
        return max([*gaps, (span.stop - 1 - last) * self.interval_ns])


@dataclass(frozen=True, slots=True)
class End:
    """Where one end of the traffic runs: what goes before a command to run it there, and the address to use."""

    wrapper: Sequence[str]
    address: str


class Traffic:
    """UDP packets at a steady rate and a TCP stream, both ways, while the context lasts; so long there are records."""

    def __init__(self, mobile_node: End, correspondent: End, rate: int = RATE) -> None:
        """`rate`: UDP packets a second; a multiple of 100."""
        self._interval_ns = 1_000_000_000 // rate
        self._ends = {UP: mobile_node, DOWN: correspondent}
        # Writing to a file system on a disk may take its time, and the packets would be late
        self._records = TemporaryDirectory(prefix="monami6-", dir=_MEMORY if _MEMORY.is_dir() else None)
        self._directory = Path(self._records.name)
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            self._start(DOWN, UP, "--listen")
            self._start(UP, DOWN)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._records.cleanup()

    def _start(self, name: str, peer: str, *options: str) -> None:
        end, other = self._ends[name], self._ends[peer]
        meter = [*end.wrapper, sys.executable, "-m", "mn_lab.meter", str(self._directory), name]
        arguments = [end.address, other.address, str(self._interval_ns), *options]
        process = subprocess.Popen([*meter, *arguments], stdout=subprocess.PIPE, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        if not process.stdout.readline():
            raise LabError(f"the traffic meter at {end.address} does not start")

    def _stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.communicate()

    def catch_up(self, end_ns: int) -> None:
        """Wait until what was sent before `end_ns` has arrived, or is lost. Both ends send and receive in turn, and may
        have been without a processor for a while. Raises LabError when one of them has stopped.
        """
        give_up_at = monotonic() + _PATIENCE_S
        while any(Series.last(self._directory / f"{end}.udp.sent") < end_ns + _ARRIVE_NS for end in (UP, DOWN)):
            if monotonic() > give_up_at:
                raise LabError(f"the traffic has stopped for {_PATIENCE_S:g} s")
            sleep(_ARRIVE_NS / 1e9)

    def record(self, direction: str) -> Record:
        """Of the packets in one direction, up to now."""
        return self._record(direction, "udp", self._interval_ns)

    def stream(self, direction: str) -> Record:
        """Of the writes on the TCP connection."""
        return self._record(direction, "tcp", STREAM_INTERVAL_NS)

    def _record(self, direction: str, kind: str, interval_ns: int) -> Record:
        sender, receiver = (UP, DOWN) if direction == UP else (DOWN, UP)
        sent = self._directory / f"{sender}.{kind}.sent"
        return Record.read(sent, self._directory / f"{receiver}.{kind}.received", interval_ns)
