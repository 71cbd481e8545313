"""A lab without root: in user, mount, network and process namespaces of its own.

A process that does nothing holds them, and every command on the lab enters them and finds itself root there. They have
a /run of their own, for `ip netns`. When the holder ends, the kernel ends everything else in there.
"""

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from mn_lab import place, processes
from mn_lab.commands import LabError, require
from mn_lab.layout import command_line
from mn_lab.processes import Process

_NAMESPACES = ("--user", "--mount", "--net", "--pid")

# It tells its number outside, mounts a new /run with the lab's directory in it, and then does nothing. Processes that
# lose their parent become its children: they vanish when they end, because it does not want to know.
_HOLD = """\
set -e
read -r pid _ < /proc/self/stat
mount -t proc proc /proc
exec 3< "$1"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p "$1"
mount --no-canonicalize --bind /proc/self/fd/3 "$1"
exec 3<&-
echo "$pid"
exec env --ignore-signal=CHLD sleep infinity > /dev/null 2>&1
"""


def make(prefix: str) -> None:
    """Make the namespaces. Raises LabError when they exist already, or users may not make any here."""
    require(("unshare", "nsenter", "mount"))
    directory = place.directory(prefix)
    if _holder(directory) is not None:
        raise LabError(f"a lab is up already: end it by '{command_line(prefix, 'down')}'")
    place.open_directory(directory)
    try:
        number = _hold(directory)
        (directory / place.HOLDER).write_text(json.dumps(astuple(Process.find(number))))
    except BaseException:
        end(prefix)
        raise


def _hold(directory: Path) -> int:
    """Start the holder; gives its number."""
    unshare = ["unshare", "--map-root-user", *_NAMESPACES, "--fork", "--kill-child"]
    process = subprocess.Popen(
        [*unshare, "sh", "-c", _HOLD, "sh", str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        number = process.stdout.readline()
        if not number:
            why = process.stderr.read().strip()
            raise LabError(f"a lab needs root, or a system that lets users make namespaces: {why}")
    return int(number)


def run_in_new(prefix: str, *, keep: bool) -> int:
    """Make the namespaces and run this very command inside; gives its exit code. They stay when it succeeds and `keep`
    is set. Raises LabError as `make` does.
    """
    make(prefix)
    succeeded = False
    try:
        exit_code = subprocess.run(rerun(prefix), check=False).returncode
        succeeded = exit_code == 0
    finally:
        if not (keep and succeeded):
            end(prefix)
    return exit_code


def rerun(prefix: str) -> list[str]:
    """The command line that runs this very command inside. Raises LabError when there is no lab."""
    holder = _holder(place.directory(prefix))
    if holder is None:
        raise LabError(f"no lab is up: start one by '{command_line(prefix, 'up')}'")
    enter = ["nsenter", "--target", str(holder.pid), *_NAMESPACES, "--preserve-credentials"]
    # Entering takes the working directory away
    return [*enter, "--", "env", f"--chdir={Path.cwd()}", sys.executable, *sys.orig_argv[1:]]


def end(prefix: str) -> bool:
    """End the namespaces with everything in them, also what a crash left; tells whether there was anything."""
    directory = place.directory(prefix)
    holder = _holder(directory)
    if holder is not None:
        processes.end([holder.pid])
    there = directory.exists()
    shutil.rmtree(directory, ignore_errors=True)
    return there


def _holder(directory: Path) -> Process | None:
    with suppress(FileNotFoundError, ValueError):
        holder = Process(*json.loads((directory / place.HOLDER).read_text()))
        return holder if holder.runs else None
    return None
