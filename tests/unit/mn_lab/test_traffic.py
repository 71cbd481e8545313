"""What is said of the traffic, worked out by hand."""

from pathlib import Path

import pytest

from mn_lab.meter import HEADER, Series
from mn_lab.traffic import Figures, Record

MS = 1_000_000


def record(*arrivals: tuple[int, float], late: dict[int, float] | None = None, sent: int = 10) -> Record:
    """Packets 0 to `sent` - 1 a millisecond apart, some `late`; arrivals as number and milliseconds."""
    delays = late or {}
    return Record(
        [int((number + delays.get(number, 0)) * MS) for number in range(sent)],
        [(number, int(at * MS)) for number, at in arrivals],
        MS,
    )


def figures(measured: Record, start: float = 0, end: float = 100) -> Figures:
    return measured.figures(int(start * MS), int(end * MS))


def test_undisturbed() -> None:
    assert figures(record(*((number, number + 0.5) for number in range(10)))) == Figures(10, 0, 0, 1.0)


def test_lost_packets_make_a_gap() -> None:
    measured = record(*((number, number + 0.5) for number in (0, 1, 2, 6, 7, 8, 9)))
    assert figures(measured) == Figures(10, 3, 0, 4.0)


def test_nothing_arrives() -> None:
    assert figures(record()) == Figures(10, 10, 0, 10.0)


def test_the_last_ones_do_not_arrive() -> None:
    assert figures(record(*((number, number + 0.5) for number in range(6)))) == Figures(10, 4, 0, 4.0)


def test_overtaken_packets_count_as_reordered() -> None:
    measured = record((0, 0.1), (3, 3.1), (1, 3.2), (2, 3.3), *((number, number + 0.1) for number in range(4, 10)))
    assert figures(measured) == Figures(10, 0, 2, 3.0)


def test_a_packet_that_comes_twice_is_one_packet() -> None:
    measured = record(*((number, number + 0.5) for number in (0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9)))
    assert figures(measured) == Figures(10, 0, 0, 1.0)


def test_a_late_sender_is_no_gap() -> None:
    late = {4: 5.0, 5: 4.0, 6: 3.0}
    measured = record(*((number, number + late.get(number, 0) + 0.5) for number in range(10)), late=late)
    assert figures(measured).gap_ms == 1.0


def test_a_late_arrival_is_a_gap() -> None:
    measured = record(*((number, number + (5.5 if number == 4 else 0.5)) for number in range(5)), sent=5)
    assert figures(measured).gap_ms == 6.0


def test_a_packet_belongs_to_the_time_in_which_it_was_sent() -> None:
    measured = record(*((number, number + 3.0) for number in (0, 1, 2, 3, 5, 6, 7, 8)))
    assert figures(measured, 0, 4) == Figures(4, 0, 0, 2.0)
    assert figures(measured, 4, 8) == Figures(4, 1, 0, 2.0)
    assert figures(measured, 8, 10) == Figures(2, 1, 0, 1.0)
    assert figures(measured, 5.5, 7.5) == Figures(2, 0, 0, 1.0)


def test_a_gap_that_touches_a_time_belongs_to_it() -> None:
    measured = record(*((number, number + 0.5) for number in (0, 1, 8, 9)))
    assert figures(measured, 0, 2).gap_ms == 7.0
    assert figures(measured, 3, 5) == Figures(2, 2, 0, 7.0)
    assert figures(measured, 9, 10).gap_ms == 1.0


def test_a_record_is_read_while_it_is_written(tmp_path: Path) -> None:
    sent, received = Series(tmp_path / "sent", 10), Series(tmp_path / "received", 20)
    sent.append(1 * MS)
    sent.append(2 * MS)
    received.append(0, 7)
    assert Record.read(tmp_path / "sent", tmp_path / "received", MS) == Record([1 * MS, 2 * MS], [(0, 7)], MS)
    received.append(1, 8)
    assert Series.read(tmp_path / "received") == [0, 7, 1, 8]


def test_a_series_takes_no_room_before_it_is_filled(tmp_path: Path) -> None:
    Series(tmp_path / "series", 1_000_000)
    assert Series.read(tmp_path / "series") == []
    assert (tmp_path / "series").stat().st_blocks * 512 < 100_000


@pytest.mark.parametrize("number", [0, 0xFFFFFFFF])
def test_a_packet_carries_its_number(number: int) -> None:
    assert HEADER.unpack(HEADER.pack(b"m6lm", number)) == (b"m6lm", number)
