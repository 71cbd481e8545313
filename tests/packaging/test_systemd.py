"""The units, as systemd's own programs see them."""

import re
import subprocess
from pathlib import Path

import pytest

from mn_agent import config

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = sorted(PACKAGING.glob("systemd/*.service"))
MOST_EXPOSED = 3.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_little_exposed(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", str(unit)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    exposure = re.search(rf"Overall exposure level for {unit.name}: ([\d.]+)", told)
    assert exposure is not None, told
    assert float(exposure[1]) <= MOST_EXPOSED
    forbidden = re.findall(r"^(.) CapabilityBoundingSet=~CAP_SYS_ADMIN ", told, re.MULTILINE)
    assert forbidden == ["✓"], told


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """With a program that is there, for those of ours are not installed."""
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"^ExecStart=.*", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_both_units_say_the_same() -> None:
    """But the agent alone asks DNS servers, of which some have addresses of IPv4."""
    agent, home_agent = (
        [
            line.replace("=AF_INET AF_INET6", "=AF_INET6") if unit.stem == "monami6d" else line
            for line in unit.read_text().splitlines()
            if not re.match("Description|Documentation|Exec|Condition|# IPv4", line)
        ]
        for unit in sorted(UNITS)
    )
    assert agent == home_agent


def test_the_unit_waits_for_the_file_that_the_program_reads() -> None:
    (unit,) = [unit for unit in UNITS if unit.stem == "monami6d"]
    assert f"ConditionPathExists={config.DEFAULT_PATH}\n" in unit.read_text()


def test_user_and_files_are_made_as_they_are_named(tmp_path: Path) -> None:
    """In a directory that stands for the machine's root."""
    for kind in ("sysusers", "tmpfiles"):
        made = tmp_path / f"usr/lib/{kind}.d"
        made.mkdir(parents=True)
        made.joinpath("monami6.conf").write_text((PACKAGING / f"{kind}.d/monami6.conf").read_text())
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", "monami6.conf"], check=True, capture_output=True)
    user = re.search(
        r"^monami6:[^:]*:(\d+):(\d+):.*:/var/lib/monami6:", (tmp_path / "etc/passwd").read_text(), re.MULTILINE
    )
    assert user is not None
    written = tmp_path / "etc/monami6/agent.toml"
    written.parent.mkdir()
    written.write_text("by hand")
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", "monami6.conf"], check=True)
    status = written.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (int(user[1]), int(user[2]), 0o600)
