"""Where the daemons' log goes: to the journal with fields that can be asked for, or to standard error as text.

    journalctl MONAMI6_EVENT=path MONAMI6_LINK=wifi

The protocol is systemd's "native" one: a datagram of fields.
"""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")

FIELDS = {"event": "MONAMI6_EVENT", "link": "MONAMI6_LINK", "status": "MONAMI6_STATUS"}
"""The journal's name of what a record has in `extra`."""

_ERR, _WARNING, _INFO = 3, 4, 6
"""syslog's severities (RFC 5424 section 6.2.1)."""


def set_up_logging() -> None:
    """For the whole program."""
    handler = JournalHandler(SOCKET) if _is_journal() else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])


def _is_journal() -> bool:
    """Whether standard error leads there (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except OSError:  # it is no file at all
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Sends records to the journal; what that does not take goes to standard error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)
        self._program = Path(sys.argv[0]).name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        try:
            self._socket.sendto(b"".join(self._fields(record)), self._path)
        except OSError:
            super().emit(record)

    def close(self) -> None:
        """Called by logging."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord) -> Iterator[bytes]:
        yield _field("MESSAGE", self.format(record))
        yield _field("PRIORITY", str(_severity(record.levelno)))
        yield _field("SYSLOG_IDENTIFIER", self._program)
        for attribute, name in FIELDS.items():
            value = getattr(record, attribute, None)
            if value is not None:
                yield _field(name, str(value))


def _severity(level: int) -> int:
    if level >= logging.ERROR:
        return _ERR
    return _WARNING if level >= logging.WARNING else _INFO


def _field(name: str, value: str) -> bytes:
    octets = value.encode()
    if b"\n" in octets:
        return name.encode() + b"\n" + len(octets).to_bytes(8, "little") + octets + b"\n"
    return name.encode() + b"=" + octets + b"\n"
