"""The control socket from the outside (mip6.control): one request and its answer, or events as they come.

Results stay the octets that the daemon wrote: `--json` prints them, and who wants to look inside decodes them. This
module is on the way of every command, so it imports next to nothing.
"""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from monami6.exits import FAILED, NO_SUCH_THING, NOT_RUNNING, REFUSED, TIMED_OUT, Failure

VERSION = 1
AGENT_SOCKET = Path("/run/monami6/agent.sock")
ANSWER_TIMEOUT_S = 5.0
"""For what a daemon knows by itself."""

_RESULT = re.compile(rb'\s*\{\s*"version"\s*:\s*1\s*,\s*"result"\s*:\s*(.*)\}\s*', re.DOTALL)
_EXIT_CODES = {
    "no-such-link": NO_SUCH_THING,
    "no-such-flow": NO_SUCH_THING,
    "no-such-policy": NO_SUCH_THING,
    "no-such-node": NO_SUCH_THING,
    "no-such-binding": NO_SUCH_THING,
    "refused": REFUSED,
    "timeout": TIMED_OUT,
}
"""By the kind of error that the daemon gives; all others are failures."""


class Client:
    """A daemon's control socket. `daemon` is its name, also as a system service."""

    def __init__(self, path: Path, daemon: str = "monami6d") -> None:
        self.path = path
        self.daemon = daemon

    def ask(self, method: str, timeout_s: float = ANSWER_TIMEOUT_S, **arguments: object) -> bytes:
        """The result, as JSON. Raises the Failure that fits."""
        with self._request(method, arguments, timeout_s) as lines:
            try:
                line = lines.readline()
            except TimeoutError:
                raise Failure(f"{self.daemon} did not answer within {timeout_s:g} s", TIMED_OUT) from None
            except OSError as error:
                raise self._gone(error.strerror) from None
        return self._result(line)

    def listen(self, method: str) -> Iterator[bytes]:
        """Results, as JSON, until the daemon goes away: then Failure."""
        with self._request(method, {}, None) as lines:
            for line in lines:
                yield self._result(line)
        raise self._gone()

    @contextmanager
    def _request(self, method: str, arguments: dict[str, object], timeout_s: float | None) -> Iterator[BinaryIO]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            request = {"version": VERSION, "method": method, "arguments": arguments}
            try:
                connection.connect(str(self.path))
                connection.sendall(json.dumps(request).encode() + b"\n")
            except (FileNotFoundError, ConnectionRefusedError):
                raise Failure(self._how_to_start(), NOT_RUNNING) from None
            except OSError as error:
                raise Failure(f"{self.path}: {error.strerror or error}") from None
            with connection.makefile("rb") as lines:
                yield lines

    def _how_to_start(self) -> str:
        return (
            f"{self.daemon} is not running: nothing listens on {self.path}\n"
            f"Start it with: systemctl start {self.daemon}"
        )

    def _gone(self, why: str | None = None) -> Failure:
        return Failure(f"{self.daemon} has gone away" + (f": {why}" if why else ""), NOT_RUNNING)

    def _result(self, line: bytes) -> bytes:
        if not line:
            raise self._gone()
        if result := _RESULT.fullmatch(line):
            return result[1].rstrip()
        try:
            error = json.loads(line)["error"]
            kind, text = error["kind"], error["text"]
        except (ValueError, LookupError, TypeError):
            raise Failure(f"{self.path}: what answers there is not {self.daemon}: {line[:60]!r}") from None
        if kind == "version":
            text = f"{self.daemon} is of another version ({text}): restart it after an upgrade"
        raise Failure(text, _EXIT_CODES.get(kind, FAILED))


def agent(context: click.Context) -> Client:
    """The agent that `monami6 --socket` names."""
    return Client(context.find_root().params["socket"])
