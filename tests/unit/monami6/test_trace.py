import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from scapy.error import Scapy_Exception

from mip6.wire.extension import Packet, build_from_mobile_node
from mip6.wire.messages import encode
from monami6 import capture
from monami6.exits import FAILED, NO_SUCH_THING, USAGE, Failure
from tests.unit.mip6.wire.test_tshark import COA, HA, HOA, MESSAGES, write_capture

Run = Callable[..., Result]

PACKETS = [build_from_mobile_node(Packet(COA, HA, HOA, encode(message))) for message in MESSAGES]
TCP = bytes((0x60, 0, 0, 0, 0, 20, 6, 64)) + COA.packed + HA.packed + bytes(20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.pcap"
    write_capture(path, [TCP, *PACKETS])
    return path


def test_a_capture_is_read_message_by_message(run: Run, file: Path) -> None:
    done = run("trace", "--read", str(file), "--json")
    assert done.exit_code == 0, done.output
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(shown) == len(PACKETS)
    assert shown[0]["message"] == "Binding Refresh Request"
    assert shown[0]["at"] == 0.0
    assert "interface" not in shown[0]


def test_text_begins_with_the_local_time(run: Run, file: Path) -> None:
    lines = run("trace", "--read", str(file)).stdout.splitlines()
    assert lines[0] == "00:00:00.000000 Binding Refresh Request"
    assert lines[1] == f"  {COA} > {HA}"


def test_pcapng_is_read_as_well(run: Run, file: Path, tmp_path: Path) -> None:
    newer = tmp_path / "some.pcapng"
    subprocess.run(["tshark", "-r", file, "-w", newer, "-F", "pcapng"], check=True, capture_output=True)
    assert run("trace", "--read", str(newer)).stdout == run("trace", "--read", str(file)).stdout


def test_an_ethernet_capture_is_read_as_well(run: Run, file: Path) -> None:
    frames = [bytes(12) + b"\x86\xdd" + packet for packet in PACKETS]
    write_capture(file, frames)
    data = bytearray(file.read_bytes())
    data[20:24] = (1).to_bytes(4, "little")  # link type
    file.write_bytes(data)
    assert len(run("trace", "--read", str(file), "--json").stdout.splitlines()) == len(PACKETS)


def test_a_file_that_is_no_capture(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no capture at all, only words")
    done = run("trace", "--read", str(path))
    assert done.exit_code == FAILED
    assert "not a capture file" in done.stderr


def test_a_directory_or_nothing_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    assert run("trace", "--read", str(tmp_path)).exit_code == USAGE
    assert run("trace", "--read", str(tmp_path / "none")).exit_code == USAGE


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        capture.read(tmp_path / "none", lambda *_: None)


def test_either_a_file_or_an_interface(run: Run, file: Path) -> None:
    assert run("trace", "--read", str(file), "--interface", "lo").exit_code == USAGE


def test_an_interface_that_is_not_there(run: Run) -> None:
    done = run("trace", "--interface", "nix0")
    assert done.exit_code == NO_SUCH_THING
    assert "there are: lo" in done.stderr


def test_capturing_needs_a_privilege(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(capture, "sniff", refuse)
    done = run("trace")
    assert done.exit_code == FAILED
    assert "CAP_NET_RAW" in done.stderr


@pytest.mark.parametrize(("options", "name"), [((), "all interfaces"), (("--interface", "lo"), "lo")])
def test_it_says_on_stderr_what_it_listens_to(
    run: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], name: str
) -> None:
    asked: dict[str, object] = {}

    def start(**arguments: object) -> None:
        asked.update(arguments)
        arguments["started_callback"]()  # type: ignore[operator]

    monkeypatch.setattr(capture, "sniff", start)
    done = run("trace", *options)
    assert (done.stdout, done.stderr) == ("", f"listening on {name}\n")
    assert "lo" in asked["iface"]  # type: ignore[operator]


def test_without_libpcap_every_packet_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise Scapy_Exception("libpcap is not available")

    monkeypatch.setattr(capture, "compile_filter", missing)
    asked: dict[str, object] = {}
    monkeypatch.setattr(capture, "sniff", asked.update)
    capture.watch("lo", lambda *_: None, lambda: None)
    assert asked["filter"] is None


def test_without_scapy_it_says_how_to_install_it(run: Run, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.delitem(sys.modules, "monami6.capture")
    monkeypatch.delattr("monami6.capture")
    monkeypatch.setitem(sys.modules, "scapy.layers.inet6", None)
    done = run("trace", "--read", str(file))
    assert done.exit_code == FAILED
    assert "pip install 'monami6[inspect]'" in done.stderr
