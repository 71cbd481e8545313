"""Processes that outlive the one that started them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from mn_lab import processes
from mn_lab.commands import LabError, run, run_all
from mn_lab.processes import Process


def test_a_process_and_its_output(tmp_path: Path) -> None:
    process = processes.start(["sh", "-c", "echo said; echo complained >&2; exec sleep 100"], tmp_path / "log")
    assert process.runs
    assert os.getsid(process.pid) == process.pid
    processes.end([process.pid])
    assert not process.runs
    assert (tmp_path / "log").read_text() in ("", "said\n", "said\ncomplained\n")


def test_one_that_has_ended_does_not_run_even_if_nobody_has_noticed(tmp_path: Path) -> None:
    process = processes.start(["true"], tmp_path / "log")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process.runs
    os.waitpid(process.pid, 0)
    assert not process.runs


def test_another_that_got_the_number_is_another() -> None:
    own = Process.find(os.getpid())
    assert own.runs
    assert not Process(own.pid, own.started_at + 1).runs


def test_ending_what_has_ended_is_fine() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    processes.end([process.pid])


def test_one_that_does_not_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processes, "_PATIENCE_S", 0.01)
    process = processes.start(["sleep", "100"], tmp_path / "log")
    with pytest.raises(LabError, match="goes on after SIGCONT"):
        processes.end([process.pid], signal.SIGCONT)
    processes.end([process.pid])


def test_processes_are_found_by_their_network() -> None:
    own = os.stat("/proc/self/ns/net").st_ino
    with subprocess.Popen(["sleep", "100"]) as process:
        found = processes.in_networks({own})
        process.kill()
    assert process.pid in found
    assert os.getpid() not in found
    assert processes.in_networks({0}) == []


def test_what_a_command_says_when_it_fails() -> None:
    with pytest.raises(LabError, match=r"^sh -c echo bad >&2; exit 3: bad$"):
        run(["sh", "-c", "echo bad >&2; exit 3"])
    with pytest.raises(LabError, match="exit code 3"):
        run(["sh", "-c", "exit 3"])
    assert run(["cat"], "text") == "text"


def test_all_commands_run_even_if_one_fails(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="false"):
        run_all([(["false"], ""), (["sh", "-c", f"cat > {tmp_path}/got"], "input")])
    assert (tmp_path / "got").read_text() == "input"
