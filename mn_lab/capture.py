"""Which link each packet of the traffic took: captured at the access routers, where they meet the mobile node."""

import struct
import subprocess
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import Self

from mn_lab.commands import LabError, require
from mn_lab.lab import Lab
from mn_lab.layout import HOME_ADDRESS, MOBILE_SIDE
from mn_lab.meter import HEADER, MARK
from mn_lab.traffic import DOWN, UP

_FILTER = "ip6 proto 41"
_SNAP_OCTETS = 128

_FILE_HEADER = struct.Struct("=I20x")
_RECORD_HEADER = struct.Struct("=8xI4x")
_MAGIC = 0xA1B2C3D4
"""Of a capture file in this machine's byte order, with times in microseconds."""

# In a captured packet: Ethernet, IPv6, IPv6, UDP, and what the meter sent
_OUTER_NEXT_AT, _INNER_NEXT_AT, _INNER_SOURCE_AT, _PAYLOAD_AT = 14 + 6, 54 + 6, 54 + 8, 102
_IPV6, _UDP = 41, 17


class Capture:
    """Captures on all links of a lab while the context lasts; afterwards `links` has the result."""

    def __init__(self, lab: Lab) -> None:
        require(["dumpcap"])
        self._files = {link.name: lab.directory / f"{link.name}.pcap" for link in lab.layout.links}
        self._lab = lab
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            for link, file in self._files.items():
                self._start(link, file)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self, link: str, file: Path) -> None:
        # tcpdump would become another user, which it can't do in a user namespace
        options = ["-i", MOBILE_SIDE, "-q", "-P", "-s", str(_SNAP_OCTETS), "-f", _FILTER, "-w", str(file)]
        argv = self._lab.command(link, "dumpcap", *options)
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._running.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            if line.startswith("File: "):
                return
            said.append(line)
        raise LabError("".join(said).strip())

    def _stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.communicate()

    def links(self) -> dict[tuple[str, int], str]:
        """The link that each packet took, by direction and number."""
        return {packet: link for link, file in self._files.items() for packet in packets(file.read_bytes())}


def packets(data: bytes) -> Iterator[tuple[str, int]]:
    """The traffic's packets in a capture file: direction and number. Raises LabError when it is no such file."""
    if len(data) < _FILE_HEADER.size or _FILE_HEADER.unpack_from(data)[0] != _MAGIC:
        raise LabError("not a capture file")
    at = _FILE_HEADER.size
    while at + _RECORD_HEADER.size <= len(data):
        (length,) = _RECORD_HEADER.unpack_from(data, at)
        at += _RECORD_HEADER.size
        packet = _packet(data[at : at + length])
        if packet is not None:
            yield packet
        at += length


def _packet(frame: bytes) -> tuple[str, int] | None:
    """Direction and number, if it is a packet of the traffic in a tunnel."""
    if len(frame) < _PAYLOAD_AT + HEADER.size or (frame[_OUTER_NEXT_AT], frame[_INNER_NEXT_AT]) != (_IPV6, _UDP):
        return None
    mark, number = HEADER.unpack_from(frame, _PAYLOAD_AT)
    if mark != MARK:
        return None
    source = IPv6Address(frame[_INNER_SOURCE_AT : _INNER_SOURCE_AT + 16])
    return UP if source == HOME_ADDRESS else DOWN, number
