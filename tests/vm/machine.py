"""The VM: QEMU on this machine's own root file system, for the length of one command."""

import ctypes
import mmap
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from mn_lab.commands import LabError
from tests.vm.debian_kernel import Kernel, pack_initramfs

_INIT = Path(__file__).with_name("init")
_MEMORY = "2G"
_MOST_CPUS = 4
_LOG_LINES = 10

Hear = Callable[[float], str]
"""Gives the next line that init says, "" when the VM has ended; raises TimeoutError after so many seconds."""

Try = tuple[Sequence[str], float]
"""Options of QEMU for an accelerator, and how many seconds the VM may take to come up with it."""

_KVM: Try = (("-accel", "kvm"), 20.0)
_TCG: Try = (("-accel", "tcg,thread=multi,tb-size=512"), 120.0)


def run_in_vm(kernel: Kernel, checkout: Path, command: str, limit_s: float) -> int:
    """Boot, and run a shell script in there; what it prints goes to standard output. Gives its exit code. Raises
    TimeoutError when it takes longer than `limit_s`, and LabError when the VM fails.
    """
    with TemporaryDirectory() as directory:
        root, log = Path(directory, "initramfs"), Path(directory, "log")
        root.mkdir()
        initramfs = pack_initramfs(kernel, _INIT, command, root)
        return run_qemu(_qemu(kernel, initramfs, checkout, log), _tries(), log, limit_s)


def run_qemu(qemu: Sequence[str], tries: Iterable[Try], log: Path, limit_s: float) -> int:
    """Start it with one accelerator after the other until the VM comes up; for the rest see run_in_vm. `log` is what to
    show of a VM that fails.
    """
    for options, boot_s in tries:
        with _started([*qemu, *options], log) as hear:
            if _comes_up(hear, boot_s):
                if answer := hear(limit_s):
                    return int(answer.removeprefix("exit "))
                break
    raise LabError("the VM failed:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:]))


@contextmanager
def _started(qemu: Sequence[str], log: Path) -> Iterator[Hear]:
    """A VM that runs while this lasts; with us it ends too, however we end."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile() as lines, theirs, log.open("a") as errors:
        control = ["-chardev", f"socket,id=control,fd={theirs.fileno()}", "-device", "virtconsole,chardev=control"]
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *qemu, *control],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        copier = Thread(target=_copy_output, args=(process,))
        copier.start()

        def hear(timeout_s: float) -> str:
            ours.settimeout(timeout_s)
            return lines.readline().strip()

        with process:
            try:
                yield hear
            finally:
                process.kill()
                copier.join()


def _copy_output(process: subprocess.Popen[bytes]) -> None:
    """QEMU does not write to our standard output itself: it would leave that non-blocking. When nobody reads it any
    longer, the VM ends.
    """
    assert process.stdout is not None
    try:
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            os.write(sys.stdout.fileno(), chunk)
    except OSError:
        process.kill()


def _comes_up(hear: Hear, boot_s: float) -> bool:
    with suppress(TimeoutError):
        return hear(boot_s) == "up"
    return False


def _tries() -> list[Try]:
    """There is KVM that can be opened and runs nothing: without the processor's help it can't run a stock kernel. With
    it, what KVM can do shows by a VM that comes up or does not.
    """
    has_help = re.search(r"^flags\s*:.* (vmx|svm)\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return [_KVM, _TCG] if has_help else [_TCG]


def _qemu(kernel: Kernel, initramfs: Path, checkout: Path, log: Path) -> list[str]:
    """A microvm has no firmware and no old devices to look for, and so boots sooner."""
    settings = (
        "console=ttyS0 loglevel=5 panic=-1 reboot=t mitigations=off apparmor=0"
        # What it measures its clocks by is useless when this machine is busy
        f" tsc=reliable tsc_early_khz={_tsc_khz()} no_timer_check"
        # Not the kernel's: these become variables of init
        f' checkout="{checkout}" modules="{kernel.modules}"'
    )
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"),
        *("-M", "microvm,pcie=off,usb=off,rtc=on"),
        # Nothing in there is to use KVM, and five levels of pages are slower than four
        *("-cpu", "max,-svm,-vmx,-la57", "-smp", str(min(os.cpu_count() or 1, _MOST_CPUS)), "-m", _MEMORY),
        *("-kernel", str(kernel.image), "-initrd", str(initramfs), "-append", settings),
        *("-chardev", f"file,id=log,path={log},append=on", "-serial", "chardev:log"),
        *("-device", "virtio-serial-device"),
        *("-chardev", "stdio,id=output,signal=off", "-device", "virtconsole,chardev=output"),
        *_share("machine", Path("/"), "readonly=on"),
        *_share("cache", checkout / ".cache"),
    ]


def _share(tag: str, directory: Path, *options: str) -> list[str]:
    backend = ",".join([f"local,id={tag},path={directory},security_model=none,multidevs=remap", *options])
    return ["-fsdev", backend, "-device", f"virtio-9p-device,fsdev={tag},mount_tag={tag}"]


def _tsc_khz() -> int:
    """How fast this machine's time stamp counter runs; without KVM the VM's runs as fast."""
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(bytes.fromhex("0f31 48c1e220 4809d0 c3"))  # rdtsc; shl rdx, 32; or rax, rdx; ret
        code = ctypes.c_char.from_buffer(page)
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))
        ticks, at_ns = read(), time.monotonic_ns()
        time.sleep(0.05)
        khz = int((read() - ticks) * 1_000_000 // (time.monotonic_ns() - at_ns))
        del code  # or the page can't be closed
        return khz
