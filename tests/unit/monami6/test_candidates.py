"""What the shell completes."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from mn_agent.system import policies
from monami6.__main__ import main
from tests.unit.monami6.fake import FakeDaemon, flow, link, result, status

WIFI = link("wlan0", interface="wlan0", kind="wifi", bid=2)
AGENT = status(links=[link(), WIFI], flows=[flow(), flow("download")])


def completions(socket_path: Path, *words: str) -> list[str]:
    """Of the last word."""
    environment = {
        "_MONAMI6_COMPLETE": "bash_complete",
        "COMP_WORDS": f"monami6 --socket {socket_path} {' '.join(words)}",
        "COMP_CWORD": str(2 + len(words)),
    }
    done = CliRunner().invoke(main, [], prog_name="monami6", env=environment)
    assert done.exit_code == 0
    return done.stdout.split()


def test_links_are_completed_from_the_running_agent(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": result(AGENT)}):
        assert completions(socket_path, "switch", "") == ["plain,office", "plain,wlan0"]
        assert completions(socket_path, "switch", "w") == ["plain,wlan0"]
        assert completions(socket_path, "switch", "--flow", "call", "o") == ["plain,office"]
        assert completions(socket_path, "switch", "--ike", "o") == ["plain,office"]


def test_flows_are_completed_from_the_running_agent(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": result(AGENT)}):
        assert completions(socket_path, "switch", "--flow", "") == ["plain,call", "plain,download"]
        assert completions(socket_path, "switch", "--flow", "d") == ["plain,download"]


@pytest.mark.parametrize("words", [("switch", ""), ("switch", "--flow", "")])
def test_without_an_agent_nothing_is_completed(socket_path: Path, words: tuple[str, ...]) -> None:
    assert completions(socket_path, *words) == []


def test_an_agent_that_knows_no_flows_has_none(socket_path: Path) -> None:
    older = msgspec.to_builtins(AGENT)
    del older["flows"]
    with FakeDaemon(socket_path, {"status": result(older)}):
        assert completions(socket_path, "switch", "--flow", "") == []


@pytest.mark.parametrize("command", ["show", "use"])
def test_policies_are_completed_from_their_files(
    socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(policies, "DIRECTORIES", (tmp_path,))
    for name in ("wired", "wireless", "redundant"):
        (tmp_path / f"{name}.toml").write_text("of no importance")
    assert completions(socket_path, "policy", command, "") == ["plain,redundant", "plain,wired", "plain,wireless"]
    assert completions(socket_path, "policy", command, "wi") == ["plain,wired", "plain,wireless"]


def test_commands_for_policies_are_completed(socket_path: Path) -> None:
    assert completions(socket_path, "policy", "e") == ["plain,explain"]
