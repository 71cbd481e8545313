"""This machine's file system under a layer in memory: what is installed there harms nobody."""

import os
import re
import subprocess
from pathlib import Path

SHELL = """
set -e
layer=$(mktemp -d) && mount -t tmpfs none $layer && mkdir $layer/upper $layer/work $layer/root
mount -t overlay -o lowerdir=/,upperdir=$layer/upper,workdir=$layer/work none $layer/root
cd $layer/root
mount -t proc none proc && mount --rbind /dev dev && mount -t tmpfs none run && mount -t sysfs none sys
echo $layer/upper
while IFS= read -r line; do
    chroot . /bin/sh -c "$line" 2>&1 && echo "exit 0" || echo "exit $?"
done
"""
NOT_OURS = ("var/lib/dpkg/", "var/log/", "var/cache/", "var/lib/systemd/deb-systemd-helper", "etc/.pwd.lock")
USERS = r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-?"


class Machine:
    """A machine that is lost afterwards."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", SHELL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={  # nothing that leads to the checkout, but how to reach PyPI
                **{name: value for name, value in os.environ.items() if re.fullmatch(r"(?i)PIP_.*|.*_PROXY", name)},
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG": "C.UTF-8",
            },
        )
        self._changes = self._line()

    def _line(self) -> str:
        assert self._shell.stdout is not None
        line = self._shell.stdout.readline()
        assert line, "the shell is gone"
        return line.rstrip("\n")

    def run(self, command: str) -> str:
        """In a shell; gives what it prints. It must not fail."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{command}\n")
        self._shell.stdin.flush()
        lines = []
        while not (ending := re.fullmatch(r"exit (\d+)", line := self._line())):
            lines.append(line)
        assert ending[1] == "0", "\n".join([command, *lines])
        return "\n".join(lines)

    def changed(self) -> set[str]:
        """Files and directories that are new or different, also those that are gone."""
        base = Path(f"/proc/{self._shell.pid}/root{self._changes}")
        found = {
            str(path.relative_to(base)) for path in base.rglob("*") if not path.is_dir() or not _is_old(path, base)
        }
        return {path for path in found if not path.startswith(NOT_OURS) and not re.fullmatch(USERS, path)}

    def close(self) -> None:
        self._shell.communicate()


def _is_old(directory: Path, base: Path) -> bool:
    return Path("/", directory.relative_to(base)).is_dir()


def install(machine: Machine, packages: list[Path]) -> None:
    """With dpkg."""
    machine.run(f"DEBIAN_FRONTEND=noninteractive dpkg -i {' '.join(map(str, packages))}")
