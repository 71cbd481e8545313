"""What README and the guides say of installing is done as it stands, on a machine that is lost afterwards."""

import subprocess
from pathlib import Path

import pytest

from tests.guides import INSTALLED, ROOT, run_by
from tests.packaging.machine import Machine, install

ENVIRONMENT = "/opt/router"
"""Stands for the Python of a router, which has no packages."""

_STATUS = "stat --format '%a %U'"
AFTERWARDS = {
    "README.md": {
        "/usr/bin/monami6 policy show voice-on-lte | head -n 1": "# An example with flows",
        "/usr/local/bin/monami6 policy show voice-on-lte | head -n 1": "# An example with flows",
        "/usr/local/bin/monami6d --help": "Usage: monami6d ",
        "/usr/local/bin/monami6-ha --help": "Usage: monami6-ha ",
    },
    "docs/guide/home-agent.md": {
        "systemctl is-enabled monami6-ha": "enabled",
        "monami6-ha init --address 2001:db8:aa::1 --prefix 2001:db8:f00::/64 --yes 2>&1": "home-agent.toml is written",
    },
    "docs/guide/laptop.md": {"systemctl is-enabled monami6d": "enabled", "id --name --groups you": " monami6"},
    "docs/guide/router.md": {
        f"ls -d {ENVIRONMENT}/lib/python*/site-packages/rich || true": "No such file",
        f"{_STATUS} /etc/init.d/monami6d": "755 root",
        f"{ENVIRONMENT}/bin/monami6 doctor --json || true": '{"schema": 1, "checks": [{"area": "machine"',
    },
    "docs/guide/troubleshoot.md": {f"{_STATUS} /etc/monami6/agent.toml": "600 monami6"},
}
"""By page, what to ask then, and what the answer has in it."""


@pytest.fixture
def directory(packages: list[Path], wheel: Path, source: Path, tmp_path: Path) -> Path:
    """Where somebody types the commands: with what these take for granted."""
    for file in (*packages, wheel, ROOT / "packaging/openwrt/monami6d.init"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if not (source / ".git").exists():
        who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message=all"]):
            subprocess.run(["git", *command], cwd=source, check=True)
    return tmp_path


def prepare(machine: Machine, packages: list[Path], page: str) -> None:
    """What the page takes for granted; answers stand for people's."""
    machine.run("echo 'APT::Get::Assume-Yes \"true\";' > /etc/apt/apt.conf.d/99answers")
    match page:
        case "docs/guide/laptop.md":
            machine.run("adduser --quiet --disabled-password --gecos '' you")
        case "docs/guide/router.md":
            machine.run(f"python3 -m venv {ENVIRONMENT}")
        case "docs/guide/troubleshoot.md":
            install(machine, packages)
            machine.run("touch /etc/monami6/agent.toml")


@pytest.mark.parametrize("page", AFTERWARDS)
def test_a_machine_is_set_up_as_the_page_says(
    machine: Machine, packages: list[Path], directory: Path, source: Path, page: str
) -> None:
    prepare(machine, packages, page)
    stand_ins = {
        "THIS-REPOSITORY": f"file://{source}",
        "YOU": "you",
        # There is no systemd to start anything, and the packages are built already, by the same program
        "systemctl enable --now": "systemctl --root=/ enable",
        "monami6/dev deb": "mkdir monami6/dist && cp *.deb monami6/dist",
    }
    for command in (line.command for line in run_by(INSTALLED) if line.page == ROOT / page):
        for words, others in stand_ins.items():
            command = command.replace(words, others)
        machine.run(f"cd {directory} && PATH={ENVIRONMENT}/bin:$PATH && {command}")
    for command, answer in AFTERWARDS[page].items():
        assert answer in machine.run(command), command


def test_no_page_is_left_out() -> None:
    assert {line.page for line in run_by(INSTALLED)} == {ROOT / page for page in AFTERWARDS}
