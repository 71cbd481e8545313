"""The wheel, installed as pip and pipx do: in an environment that has nothing else."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """A fresh one, with the wheel and what it needs."""
    environment = wheel.parent / "venv"
    install(environment, str(wheel))
    return environment


def install(environment: Path, package: str) -> None:
    """With pip, in an environment that is made for it."""
    subprocess.run(["python3", "-m", "venv", "--without-pip", environment], check=True)
    pip = ["pip", "--quiet", "--python", str(environment / "bin/python")]
    subprocess.run([*pip, "install", package], check=True, env=without_checkout())


def without_checkout(**more: str) -> dict[str, str]:
    """Environment variables; the checkout on Python's path would pass for an installed package."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def run(environment: Path, program: str, *arguments: str, code: int = 0) -> str:
    """Away from the checkout, with nothing of it on Python's path."""
    done = subprocess.run(
        [environment / "bin" / program, *arguments],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("program", ["monami6", "monami6d", "monami6-ha"])
def test_the_programs_explain_themselves(environment: Path, program: str) -> None:
    assert run(environment, program, "--help").startswith(f"Usage: {program} ")


def test_the_programs_run(environment: Path, tmp_path: Path) -> None:
    assert "prefer-wired" in run(environment, "monami6", "policy", "list")
    assert "no such file" in run(environment, "monami6d", "--config", str(tmp_path / "none"), code=2).lower()
    config = str(tmp_path / "home-agent.toml")
    prefix = ("--prefix", "2001:db8:f00::/64")
    run(environment, "monami6-ha", "init", "--config", config, "--address", "2001:db8:aa::1", *prefix, "--yes")
    assert run(environment, "monami6-ha", "add-node", "laptop", "--config", config).startswith("MONAMI6-1-")


def test_what_is_missing_is_said_with_how_to_get_it(environment: Path, tmp_path: Path) -> None:
    config = str(tmp_path / "home-agent.toml")
    asked = ("add-node", "x", "--qr", "--config", config)
    assert "pip install 'monami6[qr]'" in run(environment, "monami6-ha", *asked, code=2)
    assert "pip install 'monami6[inspect]'" in run(environment, "monami6", "trace", code=1)


def test_pipx_installs_and_removes_it(wheel: Path, tmp_path: Path) -> None:
    """Everything of pipx's own is in one directory."""
    install(tmp_path / "venv", "pipx")
    home = without_checkout(PIPX_HOME=str(tmp_path / "home"), PIPX_BIN_DIR=str(tmp_path / "bin"), HOME=str(tmp_path))
    pipx = tmp_path / "venv/bin/pipx"
    subprocess.run([pipx, "install", "--quiet", wheel], check=True, env=home)
    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"monami6", "monami6d", "monami6-ha"}
    assert run(tmp_path, "monami6", "--version") == f"monami6, version {wheel.name.split('-')[1]}\n"
    assert run(tmp_path, "monami6", "--help").startswith("Usage: monami6 ")
    subprocess.run([pipx, "uninstall", "monami6"], check=True, env=home, capture_output=True)
    assert list((tmp_path / "bin").iterdir()) == []
