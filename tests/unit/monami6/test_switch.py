from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from monami6.exits import FAILED, NO_SUCH_THING, NOT_RUNNING, REFUSED, TIMED_OUT, USAGE
from tests.unit.monami6.fake import NOW, FakeDaemon, flow, ike, link, refusal, result, status
from tests.unit.monami6.fake import default as default_traffic

Run = Callable[..., Result]

PINNED = default_traffic(link="wlan0", since=NOW, why="it was asked for", pinned="wlan0")


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
    nothing = default_traffic(link=None, since=None, why="no link is registered", pinned=None)
    with FakeDaemon(socket_path, {"switch": result(status(default=nothing))}):
        assert run("switch", "--auto").stdout == "no link carries the traffic: no link is registered\n"


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        ("no-such-link", NO_SUCH_THING),
        ("no-such-flow", NO_SUCH_THING),
        ("unusable", FAILED),
        ("refused", REFUSED),
        ("forbidden", FAILED),
    ],
)
@pytest.mark.parametrize("options", [(), ("--flow", "call"), ("--ike",)])
def test_the_agents_no_has_an_exit_code(
    run: Run, socket_path: Path, kind: str, exit_code: int, options: tuple[str, ...]
) -> None:
    with FakeDaemon(socket_path, {"switch": refusal(kind, "that is why")}):
        done = run("switch", *options, "wifi")
    assert done.exit_code == exit_code
    assert "that is why" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["wifi", "--auto"],
        ["wifi", "--timeout", "0"],
        ["wifi", "--timeout", "x"],
        ["--flow", "call"],
        ["--ike"],
        ["--ike", "--flow", "call", "wifi"],
        ["--ike", "--flow", "call", "--auto"],
        ["--flow", "call", "--auto", "wifi"],
    ],
)
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    done = run("switch", *arguments)
    assert done.exit_code == USAGE
    assert "Usage:" in done.stderr


def test_without_an_agent(run: Run) -> None:
    assert run("switch", "wifi").exit_code == NOT_RUNNING


def test_a_flow_is_moved_alone(run: Run, socket_path: Path) -> None:
    moved = flow(links=["wlan0"], why="it was asked for", pinned="wlan0")
    with FakeDaemon(socket_path, {"switch": result(status(flows=[flow("download"), moved]))}) as daemon:
        done = run("switch", "--flow", "call", "wifi")
    assert daemon.requests[0]["arguments"] == {"link": "wifi", "flow": "call"}
    assert (done.exit_code, done.stdout) == (
        0,
        "wlan0 carries flow call: it was asked for; it stays there until `monami6 switch --flow call --auto`\n",
    )


def test_auto_gives_the_choice_of_a_flow_back(run: Run, socket_path: Path) -> None:
    free = flow("my call", links=["office", "wlan0"])
    with FakeDaemon(socket_path, {"switch": result(status(flows=[free]))}) as daemon:
        done = run("switch", "--flow", "my call", "--auto")
    assert daemon.requests[0]["arguments"] == {"link": None, "flow": "my call"}
    assert done.stdout == "office, wlan0 carry flow my call: the flow goes via office, wifi\n"


def test_ikev2_is_moved_alone(run: Run, socket_path: Path) -> None:
    moved = ike(link="wlan0", why="it was asked for", pinned="wlan0")
    with FakeDaemon(socket_path, {"switch": result(status(ike=moved))}) as daemon:
        done = run("switch", "--ike", "wifi")
    assert daemon.requests[0]["arguments"] == {"link": "wifi", "ike": True}
    assert (done.exit_code, done.stdout) == (
        0,
        "wlan0 has the care-of address for IKEv2: it was asked for; it stays there until "
        "`monami6 switch --ike --auto`\n",
    )


def test_auto_gives_the_choice_of_ikev2_back(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": result(status())}) as daemon:
        done = run("switch", "--auto", "--ike")
    assert daemon.requests[0]["arguments"] == {"link": None, "ike": True}
    assert done.stdout == "office has the care-of address for IKEv2: it is the steadiest\n"


def test_a_pin_that_cannot_be_had_is_no_stay(run: Run, socket_path: Path) -> None:
    elsewhere = flow(why="wlan0 was asked for, but does not work", pinned="wlan0")
    with FakeDaemon(socket_path, {"switch": result(status(flows=[elsewhere]))}):
        done = run("switch", "--flow", "call", "wifi")
    assert done.stdout == (
        "office carries flow call: wlan0 was asked for, but does not work; it is pinned to wlan0 until "
        "`monami6 switch --flow call --auto`\n"
    )


@pytest.mark.parametrize(
    ("bound", "words"),
    [("not supported", "the home agent does not bind flows"), ("unknown to it", "the home agent cannot know it")],
)
def test_a_flow_that_the_home_agent_does_not_bind_is_moved_all_the_same(
    run: Run, socket_path: Path, bound: str, words: str
) -> None:
    with FakeDaemon(socket_path, {"switch": result(status(flows=[flow(bound=bound)]))}):
        done = run("switch", "--flow", "call", "office")
    assert done.exit_code == 0
    assert f"office carries flow call: the flow goes via office, wifi; {words}" in done.stdout


def test_a_flow_that_the_home_agent_refuses(run: Run, socket_path: Path) -> None:
    refused = flow(bound="refused: administratively prohibited (128)", pinned="office")
    with FakeDaemon(socket_path, {"switch": result(status(flows=[refused]))}):
        done = run("switch", "--flow", "call", "office")
        given_back = run("switch", "--flow", "call", "--auto")
    assert (done.exit_code, done.stdout) == (REFUSED, "")
    assert "the home agent refuses it: administratively prohibited (128)" in done.stderr
    assert "it stays there until `monami6 switch --flow call --auto`" in done.stderr
    assert given_back.exit_code == 0  # giving back needs nobody's consent


def test_a_flow_that_the_policy_has_no_longer(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": result(status())}):
        done = run("switch", "--flow", "call", "--auto")
    assert done.stdout == "no link carries flow call: policy prefer-wired has none of this name\n"


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
    assert "and office carries the traffic: it is the only registered link. The agent goes on trying" in done.stderr
    assert "`monami6 switch --auto` takes the wish back" in done.stderr


@pytest.mark.parametrize("arguments", [["--auto"], ["wifi"]])
def test_a_timeout_without_a_link_to_tell_about(run: Run, socket_path: Path, arguments: list[str]) -> None:
    with FakeDaemon(socket_path, {"switch": None, "status": result(status())}):
        done = run("switch", *arguments, "--timeout", "0.1")
    assert done.exit_code == TIMED_OUT
    assert "did not answer within 0.1 s; office carries the traffic" in done.stderr


@pytest.mark.parametrize(
    ("bound", "words", "exit_code"),
    [
        ("not yet", "the home agent does not know it yet", TIMED_OUT),
        ("refused: malformed (130)", "the home agent refuses it: malformed (130)", REFUSED),
    ],
)
def test_a_timeout_says_how_far_a_flow_got(run: Run, socket_path: Path, bound: str, words: str, exit_code: int) -> None:
    moved = flow(why="it was asked for", pinned="office", bound=bound)
    with FakeDaemon(socket_path, {"switch": None, "status": result(status(flows=[moved]))}):
        done = run("switch", "--flow", "call", "office", "--timeout", "0.1")
    assert done.exit_code == exit_code
    assert f"office is registered, and office carries flow call: it was asked for; {words}." in done.stderr
    assert "`monami6 switch --flow call --auto` takes the wish back" in done.stderr


def test_a_timeout_says_where_ikev2_is(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": None, "status": result(status())}):
        done = run("switch", "--ike", "office", "--timeout", "0.1")
    assert done.exit_code == TIMED_OUT
    assert "office has the care-of address for IKEv2: it is the steadiest. The agent" in done.stderr


def test_the_agent_may_give_up_first(run: Run, socket_path: Path) -> None:
    gave_up = refusal("timeout", "the home agent has not confirmed it within 60 s")
    with FakeDaemon(socket_path, {"switch": gave_up, "status": result(status())}):
        done = run("switch", "office", "--timeout", "100")
    assert done.exit_code == TIMED_OUT
    assert "office is registered" in done.stderr


def test_an_agent_of_another_version_is_told_apart(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"switch": result({"schema": 2})}):
        done = run("switch", "office")
    assert done.exit_code == FAILED
    assert "restart" in done.stderr
