"""Where a lab keeps its files, and what it is allowed to do."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from mn_lab.commands import LabError

HOLDER = "holder.json"
"""The one file of a lab's directory that is not the lab's but its user namespace's (mn_lab/rootless.py)."""

_CAP_SYS_ADMIN = 21


def directory(prefix: str) -> Path:
    """Of the lab whose namespaces have this prefix: the same from inside and outside of its user namespace."""
    uid = outer_uid()
    name = "-".join(["monami6-lab", *prefix.split("-")[1:-1]])
    if uid == 0:
        return Path("/run", name)
    own = os.environ.get("XDG_RUNTIME_DIR")
    return Path(own, name) if own and Path(own).is_dir() else Path("/tmp", f"{name}-{uid}")


def open_directory(path: Path) -> None:
    """Make it if need be. Raises LabError when that can't be, or it is somebody else's."""
    try:
        path.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    if path.is_symlink() or path.stat().st_uid != os.geteuid():
        raise LabError(f"{path} belongs to somebody else")


def empty_directory(path: Path) -> None:
    """Remove what a lab left there, and the directory too, unless its user namespace still needs it."""
    for file in path.glob("*"):
        if file.is_dir():
            shutil.rmtree(file)
        elif file.name != HOLDER:
            file.unlink()
    with suppress(OSError):
        path.rmdir()


def outer_uid() -> int:
    """Our user, as the user namespace above knows it."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, outside, count = map(int, line.split())
        if inside <= os.geteuid() < inside + count:
            return outside + os.geteuid() - inside
    return os.geteuid()


def may_make_namespaces() -> bool:
    """Whether we are root, be it in a user namespace of our own."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_ADMIN & 1)
    return False
