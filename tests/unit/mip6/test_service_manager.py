"""What systemd hears."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mip6.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        name = str(tmp_path / "notify")
        heard.bind(name if request.param == "path" else f"\0{name}")
        heard.settimeout(1)
        yield heard, name if request.param == "path" else f"@{name}"


def test_it_hears_what_it_is_told(listener: tuple[socket.socket, str]) -> None:
    heard, name = listener
    manager = ServiceManager({"NOTIFY_SOCKET": name})
    manager.tell("READY=1", "STATUS=well")
    manager.tell("WATCHDOG=1")
    assert [heard.recv(100), heard.recv(100)] == [b"READY=1\nSTATUS=well", b"WATCHDOG=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_nobody_listens_and_nothing_happens(environment: dict[str, str]) -> None:
    ServiceManager(environment).tell("READY=1")


def test_one_who_does_not_read_holds_nobody_up(listener: tuple[socket.socket, str]) -> None:
    heard, name = listener
    manager = ServiceManager({"NOTIFY_SOCKET": name})
    for _ in range(2000):
        manager.tell("WATCHDOG=1")
    assert heard.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "nonsense"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_it_watches_whom_it_means(environment: dict[str, str], expected: float | None) -> None:
    assert ServiceManager(environment).watchdog_s == expected
