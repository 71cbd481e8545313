"""systemd, as far as it wants to hear from a service (sd_notify(3)). Without it nobody listens, and all is the same."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """Who started us. `environment`: how it said where it listens."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(environment)
        """It ends us when it has not heard WATCHDOG=1 for so long; None if it does not watch."""

    def tell(self, *states: str) -> None:
        """Such as READY=1. Nobody who does not listen any more holds us up."""
        if not self._address:
            return
        # A name that begins with "@" is of the abstract namespace (unix(7))
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
            connection.sendto("\n".join(states).encode(), address)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """sd_watchdog_enabled(3)."""
    try:
        watched = int(environment.get("WATCHDOG_PID", os.getpid())) == os.getpid()
        microseconds = int(environment["WATCHDOG_USEC"])
    except (KeyError, ValueError):
        return None
    return microseconds / 1e6 if watched and microseconds > 0 else None
