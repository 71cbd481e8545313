from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from monami6.exits import FAILED, REFUSED, TIMED_OUT
from tests.unit.monami6.fake import FakeDaemon, link, refusal, registered, result, status

Run = Callable[..., Result]


def test_it_says_what_is_registered(run: Run, socket_path: Path) -> None:
    links = [link("office"), link("train", state="unusable"), link("lte")]
    with FakeDaemon(socket_path, {"refresh": result(status(links=links))}) as daemon:
        done = run("refresh")
    assert daemon.requests[0]["arguments"] == {}
    assert (done.exit_code, done.output) == (0, "registered anew: office, lte\n")


def test_at_home_there_is_nothing_to_register(run: Run, socket_path: Path) -> None:
    at_home = registered(state="at home", since=None, until=None)
    with FakeDaemon(socket_path, {"refresh": result(status(registration=at_home))}):
        done = run("refresh")
    assert (done.exit_code, done.output) == (0, "at home: there is nothing to register\n")


def test_nothing_is_registered(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"refresh": result(status(links=[link(state="unusable")]))}):
        done = run("refresh")
    assert done.exit_code == FAILED
    assert "no link is registered" in done.stderr


@pytest.mark.parametrize(
    ("kind", "code"), [("timeout", TIMED_OUT), ("refused", REFUSED), ("forbidden", FAILED)], ids=str
)
def test_what_keeps_it_from_that(run: Run, socket_path: Path, kind: str, code: int) -> None:
    with FakeDaemon(socket_path, {"refresh": refusal(kind, "because")}):
        done = run("refresh")
    assert done.exit_code == code
    assert "because" in done.stderr
