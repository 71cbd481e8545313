from datetime import UTC, datetime

import pytest

from monami6.times import clock, duration, since, until

NOW = datetime(2026, 11, 23, 14, 3, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (301, "5 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 d"),
        (40_000_000, "462 d"),
    ],
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_today_needs_no_date() -> None:
    assert clock(NOW - 300, NOW) == "13:58:12"
    assert clock(NOW - 86400, NOW) == "2026-11-22 14:03"


def test_since_and_until_tell_clock_and_distance() -> None:
    assert since(NOW - 300, NOW) == "since 13:58:12, 5 min"
    assert until(NOW + 240, NOW) == "until 14:07:12, in 4 min"
    assert until(NOW - 1, NOW) == "until 14:03:11, which is over"


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    assert since(NOW + 5, NOW) == "since 14:03:17, 0 s"


def test_an_unknown_instant_is_called_unknown() -> None:
    assert since(None, NOW) == "since when is unknown"
    assert until(None, NOW) == "until when is unknown"
