"""Programs in the mobile node's network namespace of a lab, and in a mount namespace of their own."""

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from mn_lab.lab import Lab
from mn_lab.layout import MOBILE_NODE

PATIENCE_S = 10.0


class Sandbox(ABC):
    """While the context lasts. `directory` becomes its own; the lab is laid out already."""

    namespaces: tuple[str, ...] = ("--mount",)
    """Of its own, as unshare(1) and nsenter(1) call them."""

    def __init__(self, lab: Lab, directory: Path, **environment: str) -> None:
        """`environment`: of what runs in there, beside what there is."""
        self._lab = lab
        self._directory = directory
        self._environment = {**os.environ, "LC_ALL": "C", **environment}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @abstractmethod
    def script(self) -> str:
        """What makes it of the namespaces: it says `ready`, and stays. $1 is the directory, $2 the lab's."""

    @abstractmethod
    def start_all(self) -> None:
        """Its parts, once it is there."""

    def __enter__(self) -> Self:
        try:
            self._open()
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._processes)):
            self._end(name)

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    def _open(self) -> None:
        separate = ["unshare", *self.namespaces, "sh", "-c", self.script(), "sh"]
        command = self._lab.command(MOBILE_NODE, *separate, str(self._directory), str(self._lab.directory))
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._processes["sandbox"] = process
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", f"{type(self).__name__} cannot be shut off from this machine"

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", "--target", str(self._processes["sandbox"].pid), "--net", *self.namespaces]

    def _start(self, name: str, *command: str) -> None:
        with (self._lab.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*self._inside, *command], env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end_at = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_at, f"{what} does not start"
            time.sleep(0.02)
