import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest
from click.testing import CliRunner, Result

from monami6.__main__ import COMMANDS, main

Run = Callable[..., Result]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: monami6 {name}")


@pytest.mark.parametrize("name", ["list", "show", "use", "check", "explain"])
def test_every_command_for_policies_explains_itself(run: Run, name: str) -> None:
    done = run("policy", name, "-h")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: monami6 policy {name}")


def test_help_says_what_each_way_to_break_a_link_does(run: Run) -> None:
    text = run("lab", "link", "--help").stdout
    actions = re.findall(r"^  (\w+) {2,}\w+", text.partition("\n\nOptions:")[0], re.MULTILINE)
    assert actions == ["down", "up", "blackhole", "heal"]


def test_help_lists_commands_and_exit_codes(run: Run) -> None:
    text = run("--help").stdout
    listed = re.findall(r"^  (\w+) ", text.partition("Commands:\n")[2], re.MULTILINE)
    assert listed == [
        "setup",
        "status",
        "switch",
        "refresh",
        "leave",
        "flows",
        "policy",
        "monitor",
        "doctor",
        "trace",
        "lab",
        "completion",
    ]
    for line in ("     0  done", "     3  timed out\n", "8  the agent is not running\n"):
        assert line in text


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"monami6, version {version('monami6')}\n"


def test_an_unknown_command_is_wrong_usage(run: Run) -> None:
    assert run("statsu").exit_code == 2


def test_the_socket_has_a_default() -> None:
    assert "/run/monami6/agent.sock" in CliRunner().invoke(main, ["--help"]).stdout


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "monami6", "--version"], capture_output=True, text=True, check=True)
    assert version("monami6") in done.stdout


@pytest.mark.parametrize(
    ("shell", "line"),
    [("bash", "complete -o nosort -F"), ("zsh", "#compdef monami6"), ("fish", "complete --no-files --command monami6")],
)
def test_completion_scripts_call_this_program(run: Run, shell: str, line: str) -> None:
    done = run("completion", shell)
    assert done.exit_code == 0
    assert line in done.stdout
    assert f"_MONAMI6_COMPLETE={shell}_complete" in done.stdout


def test_completion_help_says_how_to_install(run: Run) -> None:
    assert (
        "monami6 completion bash > ~/.local/share/bash-completion/completions/monami6" in run("completion", "-h").stdout
    )


def test_other_shells_are_wrong_usage(run: Run) -> None:
    assert run("completion", "tcsh").exit_code == 2
