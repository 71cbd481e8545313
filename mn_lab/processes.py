"""Processes that outlive the one that started them."""

import os
import select
import signal
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mn_lab.commands import LabError

_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process; its start time tells it from another that got its number later."""

    pid: int
    started_at: int
    """In the kernel's ticks since boot."""

    @classmethod
    def find(cls, pid: int) -> Self:
        """The process that has this number now."""
        return cls(pid, _start_time(pid) or 0)

    @property
    def runs(self) -> bool:
        return _start_time(self.pid) == self.started_at


def start(command: Sequence[str], log: Path) -> Process:
    """In a session of its own, so that it outlives us; what it prints is appended to `log`."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawnp(command[0], [*command], os.environ, file_actions=actions, setsid=True)
    return Process.find(pid)


def _start_time(pid: int) -> int | None:
    """None when it has ended, even if nobody has taken note of that yet."""
    try:
        # The name, in brackets, may contain anything
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[18]) if state not in "ZX" else None


def in_networks(inodes: Collection[int]) -> list[int]:
    """All processes in these network namespaces but ourselves."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and _network_of(pid) in inodes]


def _network_of(pid: int) -> int | None:
    """Inode of the process's network namespace; None when it has ended, or is not ours to look at."""
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    return None


def end(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal, and wait until they are gone. Raises LabError when one does not go."""
    handles: dict[int, int] = {}
    for pid in pids:
        with suppress(ProcessLookupError):
            handles[pid] = os.pidfd_open(pid)
    try:
        for handle in handles.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        for pid, handle in handles.items():
            if not select.select([handle], [], [], _PATIENCE_S)[0]:
                raise LabError(f"process {pid} goes on after {number.name}")
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
    finally:
        for handle in handles.values():
            os.close(handle)
