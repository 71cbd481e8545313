"""Run something as a user who may do nothing."""

import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]

_SETPRIV = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--reset-env"]


def nobody_may_make_namespaces() -> bool:
    """Some systems forbid it."""
    command = [*_SETPRIV, "unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_as_nobody(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script as nobody, in a mount namespace where that user can read this Python and this checkout,
    wherever they are, and has a runtime directory.
    """
    with TemporaryDirectory(dir="/tmp") as aside:
        run = [f"mkdir {aside}/run", f"chown nobody {aside}/run", f"cd /; exec {_become_nobody(aside, script)}"]
        shell = ["sh", "-c", "\n".join(["set -e", *open_the_way(aside), *run])]
        command = ["unshare", "--mount", "--propagation", "private", *shell]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def open_the_way(aside: str) -> list[str]:
    """Commands for a mount namespace, after which everybody can read this Python and this checkout: put what is needed
    aside, open what is closed on the way there, and put it back.
    """
    needed = sorted({Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT})
    closed = sorted({parent for path in needed if (parent := _closed_parent(path)) is not None})
    hidden = [path for path in needed if any(path.is_relative_to(parent) for parent in closed)]
    commands = [f"mount -t tmpfs -o mode=755 none {aside}"]
    for number, path in enumerate(hidden):
        commands += [f"mkdir {aside}/{number}", f"mount --bind {path} {aside}/{number}"]
    commands += [f"mount -t tmpfs -o mode=755 none {parent}" for parent in closed]
    for number, path in enumerate(hidden):
        commands += [f"mkdir -p {path}", f"mount --bind {aside}/{number} {path}"]
    return commands


def _closed_parent(path: Path) -> Path | None:
    """The first directory on the way that others may not enter."""
    return next((parent for parent in [*reversed(path.parents), path] if not parent.stat().st_mode & 0o001), None)


def _become_nobody(aside: str, script: str) -> str:
    environment = {
        "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}",
        "XDG_RUNTIME_DIR": f"{aside}/run",
    }
    variables = [f"{name}={value}" for name, value in environment.items()]
    return shlex.join([*_SETPRIV, "env", *variables, "sh", "-c", script])
