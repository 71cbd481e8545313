"""What is on the wire, as tshark sees it."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self


class Nodes(Protocol):
    """A lab, or what is like one in this."""

    def command(self, node: str, *command: str) -> list[str]: ...


class Capture:
    """Captures on an interface of a node while the context lasts; `rows` then dissects."""

    def __init__(self, lab: Nodes, node: str, interface: str, condition: str = "ip6") -> None:
        descriptor, path = tempfile.mkstemp(suffix=".pcap")
        os.close(descriptor)
        self.path = Path(path)
        options = ("-i", interface, "--immediate-mode", "-U", "-Z", "root", "-w", path)
        self._command = lab.command(node, "tcpdump", *options, condition)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        assert any("listening on" in line for line in self._process.stderr), "tcpdump does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def rows(self, display_filter: str, fields: Sequence[str]) -> list[list[str]]:
        """The fields of the packets that match; a field that occurs several times has its values joined by commas."""
        wanted = [argument for field in fields for argument in ("-e", field)]
        command = ["tshark", "-r", str(self.path), "-Y", display_filter, "-T", "fields", *wanted]
        shown = subprocess.run(command, check=False, capture_output=True, text=True)
        assert shown.returncode == 0, shown.stderr
        return [line.split("\t") for line in shown.stdout.splitlines()]
