"""A small file that survives a restart: written whole or not at all.

Instants in it are of the clock that starts with every boot; the file says how far they are off after a reboot.
"""

import os
import time
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

_T = TypeVar("_T")


class _Contents(msgspec.Struct):
    boot: str
    boot_at: float
    """Unix time of that boot."""
    state: msgspec.Raw


class Loaded(NamedTuple, Generic[_T]):
    """What was saved. `shift_s` is what to add to its instants; 0 in the same boot, whatever the wall clock did."""

    state: _T
    same_boot: bool
    shift_s: float


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _boot_at() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def save(path: Path, state: object) -> None:
    """Raises OSError; the old contents are still there then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    contents = _Contents(_boot_id(), _boot_at(), msgspec.Raw(msgspec.json.encode(state, enc_hook=str)))
    try:
        with open(new, "wb", opener=_private) as file:
            file.write(msgspec.json.encode(contents))
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def load(path: Path, kind: type[_T]) -> Loaded[_T] | None:
    """What was saved; None when there is nothing readable."""
    try:
        contents = msgspec.json.decode(path.read_bytes(), type=_Contents)
        state = msgspec.json.decode(contents.state, type=kind, dec_hook=lambda target, value: target(value))
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    same_boot = contents.boot == _boot_id()
    return Loaded(state, same_boot, 0.0 if same_boot else contents.boot_at - _boot_at())
