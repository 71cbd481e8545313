"""A terminal of 80 columns in UTC, and a way to run the command line in it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from monami6.__main__ import main


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@pytest.fixture
def run(socket_path: Path) -> Callable[..., Result]:
    """Runs `monami6 --socket ...` with arguments."""

    def invoke(*arguments: str, command: click.Command = main) -> Result:
        options = ["--socket", str(socket_path)] if command is main else []
        return CliRunner().invoke(command, [*options, *arguments], prog_name="monami6")

    return invoke
