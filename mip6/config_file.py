"""Write a configuration file: whole or not at all, for its owner's eyes only, and never one that cannot be read."""

import os
import pwd
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mip6.config import ConfigError

OWNER = "monami6"
"""The user that the daemons run as, where they do not run as root."""


def create(path: Path, text: str, read: Callable[[Path], object], *, force: bool = False) -> None:
    """Write a new file. `read` reads it as its daemon will. Raises ConfigError, and has changed nothing then; also when
    there is a file already, unless `force`.
    """
    check_absent(path, force=force)
    _replace(path, text, read, _owner())


def check_absent(path: Path, *, force: bool) -> None:
    """Raises ConfigError when there is something, unless `force`."""
    if not force and os.path.lexists(path):
        raise ConfigError(f"{path}: there is one already; --force replaces it")


def append(path: Path, text: str, read: Callable[[Path], object]) -> None:
    """Write `text` behind what is there, and leave that as it is. Raises ConfigError likewise."""
    path = path.resolve()
    try:
        before, status = path.read_text(), path.stat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if status.st_mode & 0o007:
        raise ConfigError(f"{path}: everybody may read or change it, and it holds secrets: chmod 600 {path}")
    newline = "" if before.endswith("\n") or not before else "\n"
    owner = status.st_uid, status.st_gid
    try:
        _replace(path, f"{before}{newline}\n{text}", read, owner, status.st_mode & 0o777)
    except ConfigError as error:
        raise ConfigError(f"{path} would be wrong with a table added at its end: {error}") from None


def _replace(
    path: Path, text: str, read: Callable[[Path], object], owner: tuple[int, int] | None, mode: int = 0o600
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path.parent}: {error.strerror}") from None
    new = Path(name)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        read(new)
        new.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(new), str(path))) from None
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def _owner() -> tuple[int, int] | None:
    """Who has to read a new file: the daemons' user, if there is one and we may give files away."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        user = pwd.getpwnam(OWNER)
        return user.pw_uid, user.pw_gid
    return None
