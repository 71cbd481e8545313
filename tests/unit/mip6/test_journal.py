"""What the journal gets, and when it gets it."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mip6 import journal
from mip6.journal import JournalHandler


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "socket"))
        heard.settimeout(1)
        yield heard


@pytest.fixture
def log(tmp_path: Path, heard: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/monami6d"])
    log = logging.getLogger("test-journal")
    log.propagate = False
    log.setLevel(logging.INFO)
    handler = JournalHandler(tmp_path / "socket")
    log.addHandler(handler)
    yield log
    log.removeHandler(handler)
    handler.close()


def test_an_event_has_fields_of_its_own(log: logging.Logger, heard: socket.socket) -> None:
    log.info("%s: %s", "binding", "wifi: refused", extra={"event": "binding", "link": "wifi", "status": 129})
    assert heard.recv(1000).splitlines() == [
        b"MESSAGE=binding: wifi: refused",
        b"PRIORITY=6",
        b"SYSLOG_IDENTIFIER=monami6d",
        b"MONAMI6_EVENT=binding",
        b"MONAMI6_LINK=wifi",
        b"MONAMI6_STATUS=129",
    ]


def test_several_lines_are_one_message(log: logging.Logger, heard: socket.socket) -> None:
    log.error("one\ntwo")
    assert heard.recv(1000).startswith(b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nPRIORITY=3\n")


@pytest.mark.parametrize(("level", "severity"), [(logging.WARNING, b"4"), (logging.CRITICAL, b"3")])
def test_levels_are_syslogs(log: logging.Logger, heard: socket.socket, level: int, severity: bytes) -> None:
    log.log(level, "x")
    assert b"\nPRIORITY=" + severity + b"\n" in heard.recv(1000)


def test_without_a_journal_it_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = JournalHandler(tmp_path / "nobody")
    handler.handle(logging.LogRecord("x", logging.INFO, "f", 1, "hello", None, None))
    handler.close()
    assert capsys.readouterr().err == "hello\n"


@pytest.mark.parametrize("is_journal", [True, False])
def test_the_journal_gets_it_if_standard_error_leads_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_journal: bool
) -> None:
    with (tmp_path / "stderr").open("w") as file:
        status = os.fstat(file.fileno())
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino if is_journal else 1}")
        taken: list[logging.Handler] = []
        monkeypatch.setattr(logging, "basicConfig", lambda **options: taken.extend(options["handlers"]))
        journal.set_up_logging()
    (handler,) = taken
    assert isinstance(handler, JournalHandler) is is_journal
    handler.close()
