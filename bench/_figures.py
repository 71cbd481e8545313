"""What becomes of traffic while something happens."""

import time
from collections.abc import Callable

from mn_lab.traffic import DOWN, UP, Figures, Traffic


def figures(traffic: Traffic, act: Callable[[], None], *, settle_s: float, afterwards_s: float) -> dict[str, Figures]:
    """By direction, of what was sent from the beginning of `act` until `afterwards_s` after its end. The traffic has
    flowed for `settle_s` before.
    """
    time.sleep(settle_s)
    start_ns = time.time_ns()
    act()
    time.sleep(afterwards_s)
    end_ns = time.time_ns()
    traffic.catch_up(end_ns)
    return {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
