"""Another reader of options: what the tests look at octets with."""

from collections.abc import Iterator


def walk(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Offset, type and value of each option from offset `at` on, padding too."""
    while at < len(data):
        if data[at] == 0:
            yield at, 0, b""
            at += 1
        else:
            yield at, data[at], data[at + 2 : at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
    assert at == len(data)
