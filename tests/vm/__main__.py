"""Run a command in a VM with Debian's stock kernel: ./dev vm [--limit SECONDS] COMMAND...

The VM is this machine with another kernel: the same files, programs and Python environment. The command runs in the
checkout. What it changes is lost with the VM, except in the checkout's .cache. /tmp and /run are empty at first; there
is no network but what the command makes. Output and errors both come out on standard output; there is no input. The
exit code is the command's, or 124 when it took too long, or 125 when the VM failed.
"""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from mn_lab.commands import LabError
from tests.vm.debian_kernel import kernel_in
from tests.vm.machine import run_in_vm

CHECKOUT = Path(__file__).resolve().parents[2]
TIMED_OUT, FAILED = 124, 125


def _script(command: list[str]) -> str:
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH")},
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb") if sys.stdout.isatty() else "dumb",
    }
    exports = shlex.join(["export", *(f"{name}={value}" for name, value in environment.items())])
    return f"{exports}\ncd {shlex.quote(str(CHECKOUT))}\n{shlex.join(command)}\n"


def main() -> int:
    """Run the command; gives its exit code."""
    parser = argparse.ArgumentParser(prog="./dev vm", description=__doc__)
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="how long it may take (600)")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("a command is missing")
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    try:
        return run_in_vm(
            kernel_in(CHECKOUT / ".cache/debian-kernel"), CHECKOUT, _script(arguments.command), arguments.limit
        )
    except TimeoutError:
        print(f"vm: stopped after {arguments.limit:g} s", file=sys.stderr)
        return TIMED_OUT
    except LabError as error:
        print(f"vm: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
