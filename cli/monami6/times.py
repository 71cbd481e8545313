"""Instants and durations as people read them: local time, and how long ago or until then.

An instant is a Unix time in seconds. None is an instant that nobody knows.
"""

import time

_UNITS = ((1, 120, "s"), (60, 120, "min"), (3600, 48, "h"))


def duration(seconds: float) -> str:
    """In one unit, rounded down: `5 min`."""
    for size, limit, unit in _UNITS:
        if seconds < limit * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86400)} d"


def clock(at: float, now: float) -> str:
    """The time of day, with the date if that is not today's."""
    there, here = time.localtime(at), time.localtime(now)
    is_today = there[:3] == here[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", there)


def since(at: float | None, now: float) -> str:
    """`since 14:03:12, 5 min`."""
    if at is None:
        return "since when is unknown"
    return f"since {clock(at, now)}, {duration(max(0.0, now - at))}"


def until(at: float | None, now: float) -> str:
    """`until 14:13:12, in 4 min`."""
    if at is None:
        return "until when is unknown"
    return f"until {clock(at, now)}, " + (f"in {duration(at - now)}" if at > now else "which is over")
