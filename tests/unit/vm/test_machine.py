"""The end of a VM, whichever it is: with a stand-in for QEMU that plays both it and init."""

import os
import sys
from pathlib import Path

import pytest

from mn_lab.commands import LabError
from tests.vm.machine import run_qemu

QEMU = """
import os, sys, time
(option,) = [argument for argument in sys.argv if argument.startswith("socket,id=control,fd=")]
control = int(option.rpartition("=")[2])
say = lambda line: os.write(control, line.encode() + b"\\r\\n")
"""


def run(script: str, *accelerators: str, log: Path, limit_s: float = 30) -> int:
    qemu = [sys.executable, "-c", QEMU + script]
    return run_qemu(qemu, [([name], 2) for name in accelerators or ("tcg",)], log, limit_s)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_output_and_exit_code_are_the_commands(log: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f"{number}\n" for number in range(100_000))
    script = "say('up'); print(*range(100_000), sep='\\n', flush=True); print('boo', file=sys.stderr); say('exit 7')"
    assert run(script, log=log) == 7
    assert capfd.readouterr() == (lines, "")
    assert log.read_text() == "boo\n"


def test_a_command_that_takes_too_long_is_ended(log: Path) -> None:
    with pytest.raises(TimeoutError):
        run("say('up'); time.sleep(100)", log=log, limit_s=0.1)


def test_a_vm_that_ends_without_a_word_has_failed(log: Path) -> None:
    with pytest.raises(LabError, match=r"the VM failed:\nsorry$"):
        run("say('up'); sys.exit('sorry')", log=log)


@pytest.mark.parametrize("failure", ["sys.exit('no such processor')", "time.sleep(100)"])
def test_an_accelerator_that_does_not_work_is_followed_by_another(log: Path, failure: str) -> None:
    script = f"'tcg' in sys.argv or {failure}; say('up'); say('exit 0')"
    assert run(script, "kvm", "tcg", log=log) == 0
    with pytest.raises(LabError):
        run("sys.exit(1)", "kvm", "tcg", log=log)


def test_when_nobody_reads_on_it_ends(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        monkeypatch.setattr(sys, "stdout", unread)
        with pytest.raises(LabError):
            run("say('up'); print('much', flush=True); time.sleep(100)", log=log)
