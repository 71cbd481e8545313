"""Run something as a user who may do nothing."""

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SETPRIV = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--reset-env"]
_ASIDE = "/tmp/monami6-as-nobody"


def nobody_may_make_namespaces() -> bool:
    """Some systems forbid it."""
    command = [*_SETPRIV, "unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def as_nobody(script: str) -> list[str]:
    """The command line that runs a shell script as nobody, in a mount namespace where that user can read this Python
    and this checkout, wherever they are.
    """
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT}
    closed = {parent for path in needed if (parent := _closed_parent(path)) is not None}
    aside = {path: f"{_ASIDE}/{number}" for number, path in enumerate(sorted(needed))}
    prepare = ["set -e", f"mkdir -p {_ASIDE}", f"mount -t tmpfs -o mode=755 none {_ASIDE}"]
    prepare += [f"mkdir {place}; mount --bind {path} {place}" for path, place in aside.items()]
    prepare += [f"mount -t tmpfs -o mode=755 none {parent}" for parent in sorted(closed)]
    prepare += [
        f"mkdir -p {path}; mount --bind {place} {path}"
        for path, place in aside.items()
        if any(path.is_relative_to(parent) for parent in closed)
    ]
    path = f"PATH={Path(sys.prefix) / 'bin'}:/usr/bin:/bin PYTHONPATH={ROOT}:{ROOT / 'cli'}"
    run = f"cd /; exec {shlex.join(_SETPRIV)} env {path} sh -c {shlex.quote(script)}"
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join([*prepare, run])]


def _closed_parent(path: Path) -> Path | None:
    """The first directory on the way that others may not enter."""
    return next((parent for parent in [*reversed(path.parents), path] if not parent.stat().st_mode & 0o001), None)
