from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from monami6.client import Client
from monami6.exits import NOT_RUNNING
from tests.unit.monami6.fake import NOW, FakeDaemon, result

Run = Callable[..., Result]

EVENTS = [
    {"at": NOW, "event": "carrier", "text": "wifi carries the traffic: it was asked for", "link": "wifi"},
    {"at": NOW + 61.5, "event": "single-care-of-address", "text": "the home agent takes a single care-of address"},
]


def test_one_line_each_with_local_time(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"monitor": b"".join(map(result, EVENTS))}):
        done = run("monitor")
    assert done.stdout.splitlines() == [
        "14:03:12 carrier        wifi carries the traffic: it was asked for",
        "14:04:13 single-care-of-address the home agent takes a single care-of address",
    ]


def test_when_the_agent_goes_it_is_not_running(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"monitor": b""}):
        done = run("monitor")
    assert done.exit_code == NOT_RUNNING
    assert "gone away" in done.stderr


def test_json_is_what_the_agent_sends(run: Run, socket_path: Path) -> None:
    event = b'{"at":1.50,"event":"x","text":"\xc3\xa4"}'
    with FakeDaemon(socket_path, {"monitor": b'{"version":1,"result":' + event + b"}\n"}):
        assert run("monitor", "--json").stdout_bytes == event + b"\n"


def test_ctrl_c_ends_it_quietly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_self: Client, _method: str) -> Iterator[bytes]:
        yield result(EVENTS[0])[22:-2]
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "listen", interrupted)
    done = run("monitor")
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
