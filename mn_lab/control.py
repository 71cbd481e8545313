"""A daemon's control socket, from the client's side (mip6/control.py has the protocol)."""

import json
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from mn_lab.commands import LabError

_LONGEST_WAIT_S = 0.2
"""Not everything is announced, and a daemon that starts has no socket yet: look again after this long."""

Status = dict[str, Any]
"""The answer to `status` (mn_agent/core/status.py, home_agent/core/status.py)."""


class RefusedError(LabError):
    """The daemon would not do it; `kind` is for programs."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


class Control:
    """The control socket at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, method: str, *, timeout_s: float = 10.0, **arguments: object) -> Any:
        """The result of a method. Raises RefusedError, or OSError when nobody answers."""
        with self._connect(timeout_s) as connection, connection.makefile("rb") as answers:
            _request(connection, method, arguments)
            answer = json.loads(answers.readline())
        if "error" in answer:
            raise RefusedError(answer["error"]["kind"], answer["error"]["text"])
        return answer["result"]

    def status(self) -> Status:
        """Raises OSError when nobody answers."""
        status: Status = self.call("status")
        return status

    def wait_until(
        self, condition: Callable[[Status], bool], what: str, *, timeout_s: float, check: Callable[[], None]
    ) -> Status:
        """The first status that fulfils the condition. Raises LabError, which says `what` did not happen, after
        `timeout_s`. The daemon need not answer yet; `check` is called meanwhile, and may raise.
        """
        end_at = monotonic() + timeout_s
        status: Status | None = None
        while monotonic() < end_at:
            check()
            with suppress(OSError, ValueError), self._listening() as wait:
                while monotonic() < end_at:
                    status = self.status()
                    if condition(status):
                        return status
                    wait(_LONGEST_WAIT_S)
            select.select([], [], [], _LONGEST_WAIT_S / 10)
        raise LabError(f"not within {timeout_s:g} s: {what}; last status: {json.dumps(status)}")

    @contextmanager
    def _listening(self) -> Iterator[Callable[[float], None]]:
        """Gives a function that waits until the daemon announces something, but no longer than it is told."""
        with self._connect(_LONGEST_WAIT_S) as connection:
            _request(connection, "monitor", {})

            def wait(timeout_s: float) -> None:
                if select.select([connection], [], [], timeout_s)[0] and not connection.recv(1 << 16):
                    raise ConnectionResetError("the daemon went away")

            yield wait

    def _connect(self, timeout_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout_s)
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            raise
        return connection


def _request(connection: socket.socket, method: str, arguments: dict[str, object]) -> None:
    request: dict[str, object] = {"version": 1, "method": method, "arguments": arguments}
    connection.sendall(json.dumps(request).encode() + b"\n")
