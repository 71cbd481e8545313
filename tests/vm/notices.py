"""Programs that say when they are ready, as they would to systemd (sd_notify(3))."""

import os
import select
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Started(NamedTuple):
    """A program that is ready."""

    pid: int
    told: Mapping[str, str]
    """What it has said of itself until then."""


@contextmanager
def started(command: Sequence[str], directory: Path, start_s: float = 60.0) -> Iterator[Started]:
    """One that runs while this lasts, from when it is ready; what it prints goes to our standard output and error.
    Its socket for notices is in `directory`.
    """
    # Closed as soon as nobody reads any more: whoever goes on to tell would have to wait
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(directory / "notices"))
        environment = {**os.environ, "NOTIFY_SOCKET": str(directory / "notices")}
        process = subprocess.Popen(command, env=environment)
        try:
            told = _wait_until_ready(notices, process.pid, start_s)
        except BaseException:
            process.terminate()
            raise
    with process:
        try:
            yield Started(process.pid, told)
        finally:
            process.terminate()


def _wait_until_ready(notices: socket.socket, pid: int, start_s: float) -> dict[str, str]:
    notice, end = notices.fileno(), os.pidfd_open(pid)
    told: dict[str, str] = {}
    try:
        while notice in select.select([notice, end], [], [], start_s)[0]:
            lines = notices.recv(1 << 10).decode().splitlines()
            told |= dict(line.split("=", 1) for line in lines if "=" in line)
            if told.get("READY") == "1":
                return told
        raise AssertionError(f"process {pid} does not get ready; it has said: {told}")
    finally:
        os.close(end)
