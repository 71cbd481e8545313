from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from monami6.exits import TIMED_OUT
from tests.unit.monami6.fake import FakeDaemon, refusal, result

Run = Callable[..., Result]


def test_it_waits_in_silence(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"leave": result({"interface": "wlan0", "took_s": 0.01})}) as daemon:
        done = run("leave", "wlan0")
    assert daemon.requests[0]["arguments"] == {"interface": "wlan0"}
    assert (done.exit_code, done.output) == (0, "")


def test_traffic_that_stays(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"leave": refusal("timeout", "there is still traffic over wlan0 after 3 s")}):
        done = run("leave", "wlan0")
    assert done.exit_code == TIMED_OUT
    assert "there is still traffic over wlan0 after 3 s" in done.stderr
