"""A Debian machine in a network namespace: systemd is its process 1, booted by systemd-nspawn.

Its files are those of a small Debian (packaging/deb/suite), under a layer in memory.
"""

import json
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mn_lab.commands import run
from mn_lab.network import NAMED_NAMESPACES
from tests.vm.notices import started

BOOT_S = 180.0
EVENT_S = 30.0

_BOOT = """
set -e
mount -t tmpfs -o mode=755 layer "$1"
mkdir "$1/upper" "$1/work" "$1/root" "$1/beneath"
mount --bind / "$1/beneath"
mount -t overlay -o "lowerdir=$1/beneath$2,upperdir=$1/upper,workdir=$1/work" root "$1/root"
cd "$1/root"
echo force-unsafe-io > etc/dpkg/dpkg.cfg.d/in-memory
tr -d - < /proc/sys/kernel/random/uuid > etc/machine-id
group=/sys/fs/cgroup$(cut -d : -f 3 /proc/self/cgroup)/$3
mkdir "$group"
echo $$ > "$group/cgroup.procs"
shift 3
exec systemd-nspawn --directory=. "$@"
"""

_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")


@dataclass(frozen=True, slots=True)
class DebianMachine:
    """One that runs."""

    pid: int
    """Of its process 1."""

    def run(self, command: str, text: str | None = None) -> str:
        """In a shell as root, with `text` as input; gives the output. Raises LabError when it fails."""
        return run(self._inside("sh", "-c", command), text)

    def file(self, path: str) -> Path:
        """Of its own, as it is reached from outside."""
        return Path(f"/proc/{self.pid}/root{path}")

    def event(self, unit: str, name: str, *fields: str) -> dict[str, Any]:
        """What the journal has of the unit's first event of this name (docs/events.md), which may be still to come.
        `fields`: what more it must have, as NAME=VALUE.
        """
        command = ["journalctl", "--follow", "--lines=all", "--output=json", f"--unit={unit}"]
        matches = [f"MONAMI6_EVENT={name}", *fields]
        with subprocess.Popen(self._inside(*command, *matches), stdout=subprocess.PIPE, text=True) as journal:
            try:
                assert journal.stdout is not None
                assert select.select([journal.stdout], [], [], EVENT_S)[0], f"{unit} does not tell {name}"
                told: dict[str, Any] = json.loads(journal.stdout.readline())
                return told
            finally:
                journal.kill()

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--all", "env", "-i", *_ENVIRONMENT, *command]


@contextmanager
def running_machine(debian: Path, namespace: str, directory: Path, *options: str) -> Iterator[DebianMachine]:
    """One that runs while this lasts, from when it has booted: on the files in `debian`. `directory` becomes its own.
    `options`: more of systemd-nspawn's.
    """
    directory.mkdir()
    (directory / "layer").mkdir()
    usual = (
        *("--quiet", "--boot", "--notify-ready=yes", "--machine=debian"),
        *(f"--network-namespace-path={NAMED_NAMESPACES / namespace}", "--capability=CAP_NET_ADMIN"),
        # The machine around it has no systemd that could help
        *("--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off"),
    )
    own_mounts = ["unshare", "--mount", "--propagation=private", "sh", "-c", _BOOT, "sh"]
    command = [*own_mounts, str(directory / "layer"), str(debian), namespace, *usual, *options]
    with started(command, directory, BOOT_S) as nspawn:
        yield DebianMachine(int(nspawn.told["X_NSPAWN_LEADER_PID"]))
