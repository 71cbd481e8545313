"""A timer that counts sleep, as the kernel sees it."""

import re
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mip6.daemon import boottime
from mip6.linux.timer import Timer

PATIENCE_S = 5.0


@pytest.fixture
def timer() -> Iterator[Timer]:
    timer = Timer()
    yield timer
    timer.close()


def waits(timer: Timer, timeout_s: float = PATIENCE_S) -> bool:
    """Whether it becomes readable."""
    return bool(select.select([timer], [], [], timeout_s)[0])


def test_it_goes_by_the_clock_that_counts_sleep(timer: Timer) -> None:
    timer.set(boottime() + 1000)
    told = Path(f"/proc/self/fdinfo/{timer.fileno()}").read_text()
    assert f"clockid: {time.CLOCK_BOOTTIME}\n" in told
    assert "settime flags: 01\n" in told, "a moment, not a duration: what sleep has passed would not count"
    left_s = float(re.search(r"it_value: \((\d+), ", told)[1])  # type: ignore[index]
    assert 990 <= left_s <= 1000


def test_it_comes_when_it_should_and_once(timer: Timer) -> None:
    at = boottime() + 0.02
    timer.set(at)
    assert not timer.take()
    assert waits(timer)
    assert boottime() >= at
    assert timer.take()
    assert not timer.take()


@pytest.mark.parametrize("at", [float("-inf"), -5.0, 0.0, 1.0])
def test_what_is_past_is_now(timer: Timer, at: float) -> None:
    timer.set(at)
    assert waits(timer)
    assert timer.take()


def test_it_can_be_stopped_and_set_again(timer: Timer) -> None:
    timer.set(boottime())
    assert waits(timer)
    timer.stop()
    assert not timer.take()
    assert not waits(timer, 0.01)
    timer.set(boottime())
    assert waits(timer)
