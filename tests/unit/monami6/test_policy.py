import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from mn_agent.system import policies
from monami6.exits import FAILED, NO_SUCH_THING, NOT_RUNNING, TIMED_OUT, USAGE
from tests.unit.monami6.fake import FakeDaemon, refusal, result, status

Run = Callable[..., Result]

WIRED = """\
# A comment that has to stay,  as it is
description = "A cable if there is one"

[links]
order = ["ethernet"]
"""
VOICE = """\
description = "Calls over LTE"

[[flow]]
name = "call"
protocol = ["udp", "tcp"]
port = [5060, 5061]
via = "lte"

[[flow]]
name = "mine"
user = "0"
"""


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The administrator's, with one policy, and the package's, with one of the same name and another."""
    mine, theirs = tmp_path / "etc", tmp_path / "share"
    for directory in (mine, theirs):
        directory.mkdir()
    (mine / "wired.toml").write_text(WIRED)
    (theirs / "wired.toml").write_text('description = "Hidden"')
    (theirs / "voice.toml").write_text(VOICE)
    monkeypatch.setattr(policies, "DIRECTORIES", (mine, theirs, tmp_path / "none"))
    return mine, theirs


# list


def listed(run: Run, *options: str) -> str:
    done = run("policy", "list", *options)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def listed_with(run: Run, path: Path, in_use: str, *options: str) -> str:
    with FakeDaemon(path, {"status": result(status(policy=in_use))}):
        return listed(run, *options)


def test_all_policies_are_listed_and_the_one_in_use_is_marked(
    run: Run, socket_path: Path, directories: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    mine, theirs = directories
    lines = listed_with(run, socket_path, "voice").splitlines()
    assert [re.split(r"  +", line.strip()) for line in lines] == [
        ["POLICY", "DESCRIPTION AND FILE"],
        ["voice", "Calls over LTE"],
        ["in use", f"{theirs}/voice.toml"],
        ["wired", "A cable if there is one"],
        [f"{mine}/wired.toml"],
    ]


def test_json_has_the_same(run: Run, socket_path: Path, directories: tuple[Path, Path]) -> None:
    mine, theirs = directories
    assert json.loads(listed_with(run, socket_path, "voice", "--json")) == {
        "schema": 1,
        "in_use": "voice",
        "policies": [
            {"name": "voice", "description": "Calls over LTE", "file": f"{theirs}/voice.toml", "problem": None},
            {"name": "wired", "description": "A cable if there is one", "file": f"{mine}/wired.toml", "problem": None},
        ],
    }


def test_without_an_agent_it_is_unknown_which_is_in_use(run: Run) -> None:
    text = listed(run)
    assert "Calls over LTE" in text
    assert "in use  " not in text
    assert "Which one is in use is not known: monami6d is not running" in " ".join(text.split())
    assert json.loads(listed(run, "--json"))["in_use"] is None


def test_an_agent_that_does_not_answer_or_say_keeps_nothing_back(
    run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monami6.client.Client.ask.__defaults__", (0.1,))
    with FakeDaemon(socket_path, {"status": None}) as daemon:
        assert "is not known: monami6d did not answer within 0.1 s" in " ".join(listed(run).split())
        daemon.answers["status"] = result({"schema": 1})
        assert "is not known: monami6d does not say" in listed(run)


def test_a_file_that_is_wrong_is_listed_with_what_is_wrong(
    run: Run, directories: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = directories[0] / "broken.toml"
    path.write_text('description = "x"\nlink = 1\n')
    text = listed(run)
    assert f"{path}:2: link = 1: unknown key; did you mean links?" in text
    (broken,) = [one for one in json.loads(listed(run, "--json"))["policies"] if one["name"] == "broken"]
    assert broken["description"] is None
    assert broken["file"] == str(path)
    assert "did you mean links?" in broken["problem"]


def test_a_file_elsewhere_that_is_in_use_is_listed_too(run: Run, socket_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.toml"
    path.write_text('description = "From elsewhere"')
    (found,) = json.loads(listed_with(run, socket_path, str(path), "--json"))["policies"][2:]
    assert found == {"name": str(path), "description": "From elsewhere", "file": str(path), "problem": None}


def test_a_policy_in_use_whose_file_is_gone_is_listed_too(run: Run, socket_path: Path) -> None:
    text = listed_with(run, socket_path, "gone")
    lines = text.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("gone ")]
    assert "its file is no longer there" in lines[at]
    assert lines[at + 1].strip() == "in use"


def test_without_any_policy_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "DIRECTORIES", ())
    assert listed(run).startswith("There is no policy.\n")
    assert json.loads(listed(run, "--json")) == {"schema": 1, "in_use": None, "policies": []}


def test_the_list_fits_80_columns(run: Run, directories: tuple[Path, Path]) -> None:
    (directories[0] / f"{'long' * 8}.toml").write_text(f'description = "{"word " * 40}"')
    assert max(map(len, listed(run).splitlines())) <= 80


def test_markup_in_a_description_is_only_text(run: Run, directories: tuple[Path, Path]) -> None:
    (directories[0] / "odd.toml").write_text('description = "[red]x[/red]"')
    assert "[red]x[/red]" in listed(run)


def test_no_color_is_honoured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in listed(run)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in listed(run)


# show


def test_a_policy_is_shown_as_it_is_written(run: Run, directories: tuple[Path, Path]) -> None:
    done = run("policy", "show", "wired")
    assert (done.exit_code, done.stdout_bytes) == (0, WIRED.encode())
    odd = b"\xff not even text, without a last line feed"
    (directories[0] / "odd.toml").write_bytes(odd)
    assert run("policy", "show", "odd").stdout_bytes == odd


def test_a_file_is_shown_by_its_whole_path(run: Run, directories: tuple[Path, Path]) -> None:
    done = run("policy", "show", str(directories[1] / "wired.toml"))
    assert done.stdout == 'description = "Hidden"'


def test_a_policy_that_does_not_exist_cannot_be_shown(run: Run) -> None:
    done = run("policy", "show", "wirde")
    assert (done.exit_code, done.stdout) == (NO_SUCH_THING, "")
    assert "no policy is called wirde; there are: voice, wired" in done.stderr


def test_without_any_policy_there_is_none_to_show(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "DIRECTORIES", ())
    assert "there are: none" in run("policy", "show", "wired").stderr


def test_a_policy_that_cannot_be_read_says_why(run: Run, tmp_path: Path) -> None:
    done = run("policy", "show", str(tmp_path))
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert f"{tmp_path}: Is a directory" in done.stderr


# use


def test_a_policy_is_chosen_for_good(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"use": result(status(policy="voice"))}) as daemon:
        done = run("policy", "use", "voice")
    assert daemon.requests == [{"version": 1, "method": "use", "arguments": {"policy": "voice"}}]
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "policy voice is in use, also after a restart, until `monami6 policy use --default`\n"


def test_default_goes_back_to_the_configuration(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"use": result(status(policy="wired"))}) as daemon:
        done = run("policy", "use", "--default")
    assert daemon.requests[0]["arguments"] == {"policy": None}
    assert done.stdout == "policy wired is in use, as the configuration says\n"


@pytest.mark.parametrize(
    ("kind", "exit_code"), [("no-such-policy", NO_SUCH_THING), ("policy", FAILED), ("forbidden", FAILED)]
)
def test_the_agents_no_has_an_exit_code(run: Run, socket_path: Path, kind: str, exit_code: int) -> None:
    with FakeDaemon(socket_path, {"use": refusal(kind, "that is why")}):
        done = run("policy", "use", "voice")
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert "that is why" in done.stderr


def test_without_an_agent_nothing_is_chosen(run: Run) -> None:
    assert run("policy", "use", "voice").exit_code == NOT_RUNNING


def test_an_agent_that_hangs_is_given_up(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monami6.policy.PERMISSION_TIMEOUT_S", 0.1)
    with FakeDaemon(socket_path, {"use": None}):
        assert run("policy", "use", "voice").exit_code == TIMED_OUT


@pytest.mark.parametrize(
    "arguments",
    [
        ["use"],
        ["use", "voice", "--default"],
        ["use", "voice", "wired"],
        ["show"],
        ["check"],
        ["nonsense"],
    ],
)
def test_wrong_usage(run: Run, arguments: list[str]) -> None:
    done = run("policy", *arguments)
    assert done.exit_code == USAGE
    assert "Usage: monami6 policy" in done.stderr


# check


def checked(run: Run, path: Path, text: str) -> Result:
    path.write_text(text)
    return run("policy", "check", str(path))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (WIRED, "0 flows, 0 selectors"),
        (VOICE, "2 flows, 5 selectors"),
        ('description = "x"\n[[flow]]\nname = "one"\nport = 53\n', "1 flow, 1 selector"),
    ],
)
def test_a_valid_file_says_how_much_it_is(run: Run, tmp_path: Path, text: str, size: str) -> None:
    path = tmp_path / "new.toml"
    done = checked(run, path, text)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{path} is valid: {size}\n"


def test_every_error_is_a_line_of_its_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    done = checked(
        run, path, 'description = "x"\n[[flow]]\nname = "a"\nprotocol = "upd"\n\nport = "5-1"\nvai = "lte"\n'
    )
    assert (done.exit_code, done.stdout) == (USAGE, "")
    lines = done.stderr.splitlines()
    assert sorted(line.partition(" ")[0] for line in lines) == [f"{path}:{number}:" for number in (4, 6, 7)]
    assert any(line.startswith(f'{path}:4: flow[1].protocol = "upd": must be a protocol: tcp, ') for line in lines)
    assert any("did you mean via?" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("description = \nx = 1", ":1:", "not TOML"),
        ("", ":", "description: is missing"),
        ('description = "x"\n[[flow]]\nname = "a"\n[[flow]]\nname = "a"\n', ":5:", "another flow has it already"),
        ('description = "x"\n[[flow]]\nname = "a"\nspi = 300\nport = 1\n', ":4:", "either ports or an SPI"),
    ],
)
def test_what_is_wrong_with_a_file_ends_with_2(run: Run, tmp_path: Path, text: str, where: str, what: str) -> None:
    path = tmp_path / "new.toml"
    done = checked(run, path, text)
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert done.stderr.startswith(f"{path}{where} ")
    assert what in done.stderr
    assert "Error" not in done.stderr  # nothing before the file's name: editors jump there


def test_a_file_that_cannot_be_read_ends_with_2(run: Run, tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        done = run("policy", "check", str(path))
        assert (done.exit_code, done.stdout, done.stderr) == (USAGE, "", f"{path}: {why}\n")


def test_the_policies_that_come_with_it_are_valid(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted((Path(__file__).parents[3] / "policies").glob("*.toml"))
    assert len(files) >= 5
    for path in files:
        assert run("policy", "check", str(path)).stdout.startswith(f"{path} is valid: ")
