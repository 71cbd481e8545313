from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mn_agent.core.status import DefaultTraffic
from monami6.__main__ import main
from monami6.exits import FAILED, NO_SUCH_THING, NOT_RUNNING, REFUSED, TIMED_OUT, USAGE
from tests.unit.monami6.fake import NOW, FakeDaemon, link, refusal, result, status

Run = Callable[..., Result]

PINNED = DefaultTraffic(link="wlan0", since=NOW, why="it was asked for", pinned="wlan0")
WIFI = link("wlan0", interface="wlan0", kind="wifi", bid=2)


def test_it_asks_for_the_link_and_says_what_happened(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": result(status(default=PINNED))}) as daemon:
        done = run("switch", "wifi")
    assert daemon.requests[0]["arguments"] == {"link": "wifi"}
    assert done.exit_code == 0
    assert done.stdout == (
        "wlan0 carries the traffic: it was asked for; it stays there until `monami6 switch --auto`\n"
    )


def test_auto_gives_the_choice_back(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": result(status())}) as daemon:
        done = run("switch", "--auto")
    assert daemon.requests[0]["arguments"] == {"link": None}
    assert done.stdout == "office carries the traffic: it is the only registered link\n"


def test_it_may_be_that_nothing_carries_the_traffic(run: Run, socket_path: Path) -> None:
    nothing = DefaultTraffic(link=None, since=None, why="no link is registered", pinned=None)
    with FakeDaemon(socket_path, {"switch": result(status(default=nothing))}):
        assert run("switch", "--auto").stdout == "no link carries traffic: no link is registered\n"


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [("no-such-link", NO_SUCH_THING), ("unusable", FAILED), ("refused", REFUSED), ("forbidden", FAILED)],
)
def test_the_agents_no_has_an_exit_code(run: Run, socket_path: Path, kind: str, exit_code: int) -> None:
    with FakeDaemon(socket_path, {"switch": refusal(kind, "that is why")}):
        done = run("switch", "wifi")
    assert done.exit_code == exit_code
    assert "that is why" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("arguments", [[], ["wifi", "--auto"], ["wifi", "--timeout", "0"], ["wifi", "--timeout", "x"]])
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    done = run("switch", *arguments)
    assert done.exit_code == USAGE
    assert "Usage:" in done.stderr


def test_without_an_agent(run: Run) -> None:
    assert run("switch", "wifi").exit_code == NOT_RUNNING


@pytest.mark.parametrize(
    ("state", "problem", "exit_code"),
    [
        ("registering", "the home agent does not answer over this link (3 updates sent)", TIMED_OUT),
        ("registering", None, TIMED_OUT),
        ("refused", "refused by the home agent: administratively prohibited (129)", REFUSED),
    ],
)
@pytest.mark.parametrize("name", ["wlan0", "wifi"])
def test_a_timeout_says_how_far_it_got(
    run: Run, socket_path: Path, state: str, problem: str | None, exit_code: int, name: str
) -> None:
    now = status(links=[link(), link("wlan0", interface="wlan0", kind="wifi", state=state, problem=problem)])
    with FakeDaemon(socket_path, {"switch": None, "status": result(now)}):
        done = run("switch", name, "--timeout", "0.1")
    assert done.exit_code == exit_code
    assert f"wlan0 is {state}" in done.stderr
    assert (problem or "") in done.stderr
    assert "None" not in done.stderr


@pytest.mark.parametrize("arguments", [["--auto"], ["wifi"]])
def test_a_timeout_without_a_link_to_tell_about(run: Run, socket_path: Path, arguments: list[str]) -> None:
    with FakeDaemon(socket_path, {"switch": None, "status": result(status())}):
        done = run("switch", *arguments, "--timeout", "0.1")
    assert done.exit_code == TIMED_OUT
    assert "did not answer within 0.1 s; office carries the traffic" in done.stderr


def completions(socket_path: Path, word: str) -> list[str]:
    environment = {
        "_MONAMI6_COMPLETE": "bash_complete",
        "COMP_WORDS": f"monami6 --socket {socket_path} switch {word}",
        "COMP_CWORD": "4",
    }
    return CliRunner().invoke(main, [], prog_name="monami6", env=environment).stdout.split()


def test_links_are_completed_from_the_running_agent(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": result(status(links=[link(), WIFI]))}):
        assert completions(socket_path, "") == ["plain,office", "plain,wlan0"]
        assert completions(socket_path, "w") == ["plain,wlan0"]


def test_without_an_agent_nothing_is_completed(socket_path: Path) -> None:
    assert completions(socket_path, "") == []
