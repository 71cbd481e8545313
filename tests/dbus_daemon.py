"""A message bus of a test's own: the real dbus-daemon, which reaches nothing of this machine's."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus

START_S = 10.0
CONFIGURATION = """
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    {rules}
    <allow send_destination="*"/>
    <allow send_type="signal"/>
    <allow receive_sender="*"/>
  </policy>
  {more}
</busconfig>
"""


class DbusDaemon:
    """It runs while the context lasts. `socket`: where it listens."""

    def __init__(self, directory: Path, *, rules: str = '<allow own="*"/>', more: str = "") -> None:
        """`rules`: who may own what. `more`: of its configuration."""
        self.socket = directory / "bus"
        self.address = f"unix:path={self.socket}"
        self._configuration = directory / "bus.conf"
        self._configuration.write_text(CONFIGURATION.format(socket=self.socket, rules=rules, more=more))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """And wait until it listens."""
        self.socket.unlink(missing_ok=True)
        command = [
            "dbus-daemon",
            "--nofork",
            "--nopidfile",
            f"--config-file={self._configuration}",
            "--print-address=1",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "a bus does not start"

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None

    @property
    def environment(self) -> Mapping[str, str]:
        """For programs that are to use it."""
        return {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address, "LC_ALL": "C"}

    @asynccontextmanager
    async def connection(self, *names: str) -> AsyncIterator[MessageBus]:
        """Of somebody who owns these names."""
        bus = await MessageBus(bus_address=self.address, bus_type=BusType.SYSTEM).connect()
        try:
            for name in names:
                await bus.request_name(name)
            yield bus
        finally:
            bus.disconnect()


async def emit(bus: MessageBus, path: str, interface: str, member: str, signature: str, *arguments: object) -> None:
    """A signal to everybody."""
    await bus.send(Message.new_signal(path, interface, member, signature, list(arguments)))


async def until(condition: Callable[[], object], patience_s: float = 10.0) -> None:
    """Until a function gives something true."""
    async with asyncio.timeout(patience_s):
        while not condition():
            await asyncio.sleep(0.002)
