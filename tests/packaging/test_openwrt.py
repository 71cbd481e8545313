"""What a small router has: init scripts for procd, and three Python packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT

SCRIPTS = sorted((ROOT / "packaging/openwrt").glob("*.init"))

LEAN = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""
NOT_THERE = "rich scapy netifaces matplotlib vici segno dbus_fast dns markdown_it pygments"
"""All that a desktop may have beyond click, msgspec and pyroute2."""


@pytest.mark.parametrize(
    "module",
    [
        *("mn_agent.daemon", "mn_agent.__main__", "home_agent.daemon", "home_agent.__main__"),
        *("monami6.setup", "monami6.switch", "monami6.policy", "monami6.doctor", "monami6.monitor", "monami6.status"),
    ],
)
def test_three_packages_are_enough(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", LEAN, NOT_THERE, module], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_blocked_would_be_missed() -> None:
    blocked = subprocess.run([sys.executable, "-c", LEAN, "click", "monami6.setup"], check=False, capture_output=True)
    assert b"No module named 'click'" in blocked.stderr


PROCD = """
procd_open_instance() { echo open; }
procd_set_param() { echo "$@"; }
procd_close_instance() { echo close; }
procd_send_signal() { echo signal "$@"; }
. "$1"
CONFIG=$2
"$3"
"""


def run(script: Path, config: Path, function: str) -> subprocess.CompletedProcess[str]:
    """Under a shell that has no more than OpenWrt's."""
    command = ["busybox", "sh", "-c", PROCD, "sh", str(script), str(config), function]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_init_script_starts_reloads_and_renews(script: Path, tmp_path: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh /etc/rc.common\n")
    config = tmp_path / "config.toml"
    done = run(script, config, "start_service")
    assert done.returncode == 1
    assert f"write {config} first" in done.stderr
    config.touch()
    told = run(script, config, "start_service").stdout.splitlines()
    assert (told[0], told[-1]) == ("open", "close")
    assert f"command /usr/bin/{script.stem} --config {config}" in told
    assert "reload_signal HUP" in told
    assert run(script, config, "renew").stdout == f"signal {script.stem} * USR1\n"
