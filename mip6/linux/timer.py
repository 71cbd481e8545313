"""A timer of the clock that counts sleep: the loop's own would be late by as long as the machine slept."""

import ctypes
import os
import time
from contextlib import suppress
from math import ceil

_ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Timer:
    """Readable when its moment has come (timerfd_create(2)); Python has that only since 3.13."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)
        # TFD_NONBLOCK and TFD_CLOEXEC are these
        self._fileno: int = self._library.timerfd_create(time.CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fileno < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def fileno(self) -> int:
        return self._fileno

    def close(self) -> None:
        os.close(self._fileno)

    def set(self, at: float) -> None:
        """For this moment of CLOCK_BOOTTIME, in seconds, and no other; one that is past is now."""
        self._set(ceil(max(at, 0.0) * 1e9) or 1)

    def stop(self) -> None:
        """Never, until it is set again."""
        self._set(0)

    def take(self) -> bool:
        """Whether its moment has come; once for each."""
        with suppress(BlockingIOError):
            return bool(os.read(self._fileno, 8))
        return False

    def _set(self, at_ns: int) -> None:
        value = _Itimerspec(value=_Timespec(*divmod(at_ns, 10**9)))
        if self._library.timerfd_settime(self._fileno, _ABSOLUTE, ctypes.byref(value), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")
