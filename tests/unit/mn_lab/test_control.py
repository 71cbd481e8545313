"""A daemon's control socket, from the lab's side."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest

from mn_lab.commands import LabError
from mn_lab.control import Control, RefusedError


class Daemon:
    """Answers `status` with the number of times it was asked, and announces something after each."""

    def __init__(self, path: Path) -> None:
        self.requests: list[dict[str, Any]] = []
        self._listeners: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for open_socket in (self._server, *self._listeners):
            open_socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            request = json.loads(connection.makefile("rb").readline())
            self.requests.append(request)
            if request["method"] == "monitor":
                self._listeners.append(connection)
                continue
            with connection:
                connection.sendall(json.dumps(self._answer(request["method"])).encode() + b"\n")
            for listener in self._listeners:
                with suppress(OSError):
                    listener.sendall(b"{}\n")

    def _answer(self, method: str) -> dict[str, Any]:
        asked = [request for request in self.requests if request["method"] == "status"]
        if method == "status":
            return {"version": 1, "result": {"asked": len(asked)}}
        return {"version": 1, "error": {"kind": "no-such-link", "text": "no link is called moon"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@pytest.fixture
def daemon(path: Path) -> Iterator[Daemon]:
    with Daemon(path) as daemon:
        yield daemon


def no_check() -> None:
    """All is well."""


def test_the_result_of_a_call(path: Path, daemon: Daemon) -> None:
    assert Control(path).status() == {"asked": 1}
    assert daemon.requests == [{"version": 1, "method": "status", "arguments": {}}]


def test_a_refusal(path: Path, daemon: Daemon) -> None:
    with pytest.raises(RefusedError, match="no link is called moon") as caught:
        Control(path).call("switch", link="moon")
    assert caught.value.kind == "no-such-link"
    assert daemon.requests[0]["arguments"] == {"link": "moon"}


def test_nobody_answers(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Control(path).status()


def test_waiting_for_what_happens(path: Path, daemon: Daemon) -> None:
    status = Control(path).wait_until(lambda status: status["asked"] == 5, "five", timeout_s=10, check=no_check)
    assert status == {"asked": 5}
    assert len(daemon.requests) == 6


def test_waiting_for_a_daemon_that_starts(path: Path) -> None:
    started: list[Daemon] = []
    timer = threading.Timer(0.05, lambda: started.append(Daemon(path).__enter__()))
    timer.start()
    assert Control(path).wait_until(lambda _: True, "it", timeout_s=5, check=no_check) == {"asked": 1}
    timer.join()
    started[0].__exit__()


def test_waiting_in_vain(path: Path, daemon: Daemon) -> None:
    with pytest.raises(LabError, match=r"not within 0.1 s: the moon; last status: \{\"asked\": "):
        Control(path).wait_until(lambda _: False, "the moon", timeout_s=0.1, check=no_check)


def test_waiting_for_one_that_has_failed(path: Path) -> None:
    def check() -> None:
        raise LabError("the agent does not run")

    with pytest.raises(LabError, match="does not run"):
        Control(path).wait_until(lambda _: True, "it", timeout_s=10, check=check)
