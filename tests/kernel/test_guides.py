"""Every command that README and the guides name is run: here in a lab, or by the test that tests/guides.py names."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT
from tests.guides import ELSEWHERE, FORWARDING, ROOT, Line, commands, lines, run_by

EXAMPLE = (ROOT / "docs/guide/policy.md").read_text().partition("```toml\n")[2].partition("```")[0]
"""Of a policy."""
LISTENS_S = 2
TIMED_OUT = 124
"""Exit code of timeout."""
ENDLESS = ("monami6 monitor", "monami6 trace")
SAYS = {
    r"monami6 setup": r"agent\.toml is written",
    r"monami6-ha init": r"home-agent\.toml is written",
    r"monami6-ha add-node": r"^MONAMI6-1-",
    r"monami6 status$": r"^Registered with home agent",
    r"monami6-ha status": r"^Home agent .* on eth0",
    r"monami6 doctor$": r"^tunnel out +ok ",
    r"monami6 switch lte": r"^lte carries the traffic: it was asked for",
    r"monami6 policy check": r"^mine\.toml is valid: 2 flows, 3 selectors",
    r"monami6 policy explain udp 2001:db8:77::1 443": r"^The packet belongs to flow office: ethernet",
    r"monami6 flows": r"^Default traffic: ethernet",
}
"""What commands have to print, both as regular expressions."""


def test_every_command_is_run_by_a_test() -> None:
    assert [str(line) for line in lines() if not line.is_run_in_a_lab and len(line.claims) != 1] == []


def test_nothing_is_said_of_commands_that_nobody_names() -> None:
    named = {pattern for line in lines() for pattern in line.claims}
    assert named == set(ELSEWHERE)


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_tests_that_run_them_are_there(test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


PAGE = """\
As in `sudo systemctl
stop x` or `policy use`.

```sh
monami6 status      # a comment
# nothing else
echo '1' | sudo tee file
```

```
STEP  LOST
```
"""


def test_commands_are_found_where_they_stand() -> None:
    found = {line.number: line.command for line in commands(ROOT / "page", PAGE)}
    assert found == {1: "systemctl stop x", 5: "monami6 status", 7: "echo '1' | tee file"}
    for block in ("```console\n$ monami6 status\n```\n", "```\nsudo apt install x\n```\n"):
        with pytest.raises(ValueError, match="page:2: commands belong into"):
            list(commands(ROOT / "page", block))


class Shell:
    """Runs commands at the mobile node and the home agent as people would, in a directory of its own. It has what the
    guides expect there: a key, a string that enrols a mobile node, the checkout's ./dev.
    """

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory
        (name,) = [node["name"] for node in lab.home_agent.status()["nodes"]]
        self._node = name
        python = f"{shlex.quote(sys.executable)} -m"
        ha = shlex.join(lab.command("ha"))
        self._programs = directory / "bin"
        self._programs.mkdir()
        # Of the machine itself nothing is changed
        self._write("bin/install", f'exec /usr/bin/install "$1" "$2" "$3" "$4" {directory}/policies/mine.toml')
        self._write(
            "bin/monami6",
            f"""command=$1; shift
            case $command in
                setup) exec {python} monami6 setup --config agent.toml --force "$@" ;;
                doctor) set -- --config {lab.configuration["agent"]} "$@" ;;
            esac
            exec {python} monami6 --socket {lab.agent.path} $command "$@" """,
        )
        self._write(
            "bin/monami6-ha",
            f"""command=$1; shift
            case $command in
                init) exec {ha} {python} home_agent init --config home-agent.toml --force --yes "$@" ;;
                add-node) exec {python} home_agent add-node --config home-agent.toml "$@" ;;
                *) exec {ha} {python} home_agent $command --socket {lab.home_agent.path} "$@" ;;
            esac""",
        )
        self._write("dev", 'shift; exec "$@"')
        (directory / "key").write_text("00112233445566778899aabbccddeeff\n")
        self.run("monami6-ha init --prefix 2001:db8:f00::/64")
        (directory / "string").write_text(self.run("monami6-ha add-node somebody").stdout)

    def _write(self, name: str, script: str) -> None:
        file = self._directory / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """`laptop` is what the lab calls its mobile node, but for `add-node`, which makes one."""
        command = command.replace("NAME", "another")
        if command.startswith("monami6-ha revoke"):
            command = command.replace("laptop", self._node)
        command = command.replace("policy use mine", f"policy use {self._directory}/policies/mine.toml")
        if command == "monami6 policy check mine.toml":
            (self._directory / "mine.toml").write_text(EXAMPLE)
        if command.startswith(ENDLESS):
            command = f"timeout --signal=INT {LISTENS_S} {command}"
        argv = self._lab.command("mn", "env", f"PATH={self._programs}:/usr/bin:/bin:/usr/sbin:/sbin", "bash", "-c")
        return subprocess.run(
            [*argv, command],
            cwd=self._directory,
            input=self._answers(command),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def _answers(self, command: str) -> str:
        """To what `monami6 setup` asks, or what comes through its pipe."""
        if not command.startswith("monami6 setup"):
            return ""
        string = (self._directory / "string").read_text()
        return string if command.endswith(" -") else f"{string}y\n"


@pytest.fixture(scope="module")
def shell(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(lab, tmp_path_factory.mktemp("guides"))


@pytest.mark.parametrize("line", [line for line in lines() if line.is_run_in_a_lab], ids=str)
def test_it_does_what_the_guide_says(lab: Lab, shell: Shell, line: Line) -> None:
    """One after the other: what one sets, the next one uses."""
    done = shell.run(line.command)
    told = f"{done.stdout}{done.stderr}"
    assert done.returncode == (TIMED_OUT if line.command.startswith(ENDLESS) else 0), f"{line}\n{told}"
    for command, says in SAYS.items():
        if re.match(command, line.command):
            assert re.search(says, told, re.MULTILINE), f"{line}\n{told}"
    if "revoke" in line.command:
        lab.kill_agent()  # it would leave the home agent alone for a while now
        (lab.directory / "agent.json").unlink(missing_ok=True)
        lab.start_agent()
    lab.wait_registered()


ALONE = """
for directory in /etc /run /usr/lib /usr/local/lib; do
    [ ! -d $directory/sysctl.d ] || mount -t tmpfs none $directory/sysctl.d
done
[ ! -e /etc/sysctl.conf ] || mount --bind /dev/null /etc/sysctl.conf
"""
"""Hides all files of sysctl's, for others than those of IPv6 are the whole machine's."""


@pytest.mark.parametrize("page", sorted({line.page for line in run_by(FORWARDING)}), ids=lambda page: page.name)
def test_forwarding_is_turned_on(lab: Lab, page: Path) -> None:
    """At a node that did not forward."""
    setting = "net.ipv6.conf.all.forwarding"
    lab.run(CORRESPONDENT, "sysctl", "-q", f"{setting}=0")
    script = "\n".join([ALONE, *(line.command for line in run_by(FORWARDING) if line.page == page)])
    try:
        lab.run(CORRESPONDENT, "unshare", "--mount", "--propagation=private", "sh", "-euc", script)
        assert lab.run(CORRESPONDENT, "sysctl", "-n", setting) == "1\n"
    finally:
        lab.run(CORRESPONDENT, "sysctl", "-q", f"{setting}=0")
