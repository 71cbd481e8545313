"""Every command that README and the guides name is run: here in a lab, or by the test that stands beside it below."""

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mn_lab.lab import Lab

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "policies/README.md", *sorted((ROOT / "docs/guide").glob("*.md")))
EXAMPLE = (ROOT / "docs/guide/policy.md").read_text().partition("```toml\n")[2].partition("```")[0]
"""Of a policy."""
LISTENS_S = 2
ENDLESS = ("monami6 monitor", "monami6 trace")

_DEB = "tests/packaging/test_deb.py::test_they_are_installed_used_upgraded_and_removed_without_a_trace"
_WHEEL = "tests/packaging/test_wheel.py::test_the_programs_run"
_OPENWRT = "tests/packaging/test_openwrt.py::test_an_init_script_starts_reloads_and_renews"
_UNITS = "tests/packaging/test_systemd.py::test_systemd_understands_every_line"
_BUS = "tests/kernel/test_dbus_service.py::test_some_may_switch"
_HEARS = "tests/kernel/test_dbus_service.py::test_everybody_hears_what_changes"
_FORWARDS = "tests/kernel/test_data_plane.py::test_plain_ipv6_in_ipv6_both_ways_without_a_routing_header"
_RELOAD = "tests/kernel/test_service.py::test_another_configuration_of_the_home_agent_is_taken"
ELSEWHERE: Mapping[str, str] = {
    r"\./dev demo": "tests/kernel/test_demo.py::test_every_step_is_there_in_both_directions",
    r"\./dev test": "tests/kernel/test_guides.py::test_every_command_is_run_by_a_test",
    r"git clone THIS-REPOSITORY .*": _WHEEL,
    r"monami6/dev deb": _DEB,
    r"apt install \S*monami6_\*\.deb.*": _DEB,
    r"apt install git python3-venv libnftables1": _WHEEL,
    r"python3 -m venv .*|\S+/pip install .*|ln -s /opt/.*": _WHEEL,
    r"pip install .*": "tests/packaging/test_openwrt.py::test_three_packages_are_enough",
    r"cp monami6d\.init .*|chmod 755 /etc/init\.d/.*|/etc/init\.d/monami6d .*": _OPENWRT,
    r"(echo '.*' \| sudo tee|sysctl) .*": _FORWARDS,
    r"monami6(d|-ha) --config .*": "tests/kernel/test_service.py::test_a_restart_loses_no_packet",
    r"systemctl enable .*": _UNITS,
    r"systemctl reload .*": _RELOAD,
    r"journalctl .*": "tests/unit/mip6/test_journal.py::test_an_event_has_fields_of_its_own",
    r"busctl .*": _BUS,
    r"gdbus monitor .*": _HEARS,
    r"monami6-ha switch-away .*": "tests/story/test_home_agents.py::"
    "test_sent_away_it_deregisters_and_goes_where_it_is_told",
}
"""Commands, as regular expressions, and who runs them or what they do."""


@dataclass(frozen=True)
class Line:
    """A command in a page."""

    page: Path
    number: int
    command: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}: {self.command}"


def lines() -> Iterator[Line]:
    for page in PAGES:
        shell = False
        for number, text in enumerate(page.read_text().splitlines(), 1):
            if text.startswith("```"):
                shell = text == "```sh"
            elif shell:
                command = re.sub(r"\s+#.*", "", text).removeprefix("sudo ").strip()
                if command:
                    yield Line(page, number, command)


def is_run_here(line: Line) -> bool:
    return re.match(r"(monami6(-ha)?|install) ", line.command) is not None and claims(line) == []


def claims(line: Line) -> list[str]:
    return [pattern for pattern in ELSEWHERE if re.fullmatch(pattern, line.command)]


def test_every_command_is_run_by_a_test() -> None:
    assert [str(line) for line in lines() if not is_run_here(line) and not claims(line)] == []


def test_nothing_is_said_of_commands_that_nobody_names() -> None:
    named = {pattern for line in lines() for pattern in claims(line)}
    assert named == set(ELSEWHERE)


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_tests_that_run_them_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}" in (ROOT / file).read_text()


class Shell:
    """Runs commands at the mobile node and the home agent as people would, in a directory of its own."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self.directory = directory
        (name,) = [node["name"] for node in lab.home_agent.status()["nodes"]]
        self._node = name
        python = f"{shlex.quote(sys.executable)} -m"
        ha = shlex.join(lab.command("ha"))
        programs = {
            "sudo": 'exec "$@"',
            # Of the machine itself nothing is changed
            "install": f'shift; exec /usr/bin/install -D "$1" "$2" "$3" {directory}/policies/mine.toml',
            "monami6": f"""case $1 in
                setup) shift; exec {python} monami6 setup --config agent.toml --force "$@" ;;
                *) exec {python} monami6 --socket {lab.agent.path} "$@" ;;
            esac""",
            "monami6-ha": f"""command=$1; shift
            case $command in
                init) exec {ha} {python} home_agent init --config home-agent.toml --force --yes "$@" ;;
                add-node) exec {python} home_agent add-node --config home-agent.toml "$@" ;;
                *) exec {ha} {python} home_agent $command --socket {lab.home_agent.path} "$@" ;;
            esac""",
        }
        self._path = directory / "bin"
        self._path.mkdir()
        for program, script in programs.items():
            file = self._path / program
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)

    def run(self, line: Line) -> subprocess.CompletedProcess[str]:
        """`laptop` is what the lab calls its mobile node, but for `add-node`, which makes one."""
        command = line.command
        if command.startswith(("monami6-ha revoke", "monami6-ha switch-away")):
            command = command.replace("laptop", self._node)
        command = command.replace("policy use mine", f"policy use {self.directory}/policies/mine.toml")
        if command == "monami6 policy check mine.toml":
            (self.directory / "mine.toml").write_text(EXAMPLE)
        answers = ""
        if command == "monami6 setup":
            answers = (self.directory / "string").read_text() + "y\n"
        if command.startswith(ENDLESS):
            command = f"timeout --signal=INT {LISTENS_S} {command}"
        argv = self._lab.command("mn", "env", f"PATH={self._path}:/usr/bin:/bin:/usr/sbin:/sbin", "bash", "-c", command)
        done = subprocess.run(
            argv, cwd=self.directory, input=answers, capture_output=True, text=True, check=False, timeout=60
        )
        if command.startswith("monami6-ha add-node laptop"):
            (self.directory / "string").write_text(done.stdout)
        return done


@pytest.fixture(scope="module")
def shell(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    directory = tmp_path_factory.mktemp("guides")
    (directory / "key").write_text("00112233445566778899aabbccddeeff\n")
    return Shell(lab, directory)


HERE = sorted((line for line in lines() if is_run_here(line)), key=lambda line: "setup" in line.command)


@pytest.mark.parametrize("line", HERE, ids=str)
def test_it_does_what_the_guide_says(lab: Lab, shell: Shell, line: Line) -> None:
    done = shell.run(line)
    expected = {0} if not line.command.startswith(ENDLESS) else {0, 124, 128 + signal.SIGINT}
    if line.command == "monami6 doctor":
        expected.add(1)  # in a lab something is amiss: it has no service
    assert done.returncode in expected, f"{line}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    if "revoke" in line.command:
        lab.kill_agent()  # it would leave the home agent alone for a while now
        (lab.directory / "agent.json").unlink(missing_ok=True)
        lab.start_agent()
    lab.wait_registered()
