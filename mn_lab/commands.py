"""Run other programs, and say what went wrong."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

TOOLS = {"dumpcap": "tshark", "ip": "iproute2", "nft": "nftables", "sysctl": "procps"}
"""Programs in Debian packages of other names."""


class LabError(Exception):
    """The lab can't do what was asked; the text is for people."""


def use_system_paths() -> None:
    """Administrators' tools are where a user's PATH may not lead."""
    paths = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([*paths, "/usr/sbin", "/sbin"]))


def require(tools: Sequence[str]) -> None:
    """Raises LabError when a program is not installed."""
    use_system_paths()
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        packages = ", ".join(TOOLS.get(tool, tool) for tool in missing)
        raise LabError(f"not installed: {', '.join(missing)} (Debian packages: {packages})")


def run(argv: Sequence[str], text: str | None = None) -> str:
    """Run to the end, with `text` as input; gives the output. Raises LabError when it fails."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip() or f'exit code {done.returncode}'}")
    return done.stdout


def run_all(commands: Sequence[tuple[Sequence[str], str]]) -> None:
    """Run all at the same time, each with its input. Raises LabError when one fails, after all have ended."""
    started = [
        (argv, text, subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for argv, text in commands
    ]
    failures = []
    for argv, text, process in started:
        output, _ = process.communicate(text.encode())
        if process.returncode:
            failures.append(f"{' '.join(argv)}: {output.decode(errors='replace').strip()}")
    if failures:
        raise LabError("; ".join(failures))


def ip_batch(lines: Iterable[str], namespace: str | None = None) -> tuple[list[str], str]:
    """The command that runs `ip` for every line, and its input."""
    place = ["-n", namespace] if namespace else []
    return ["ip", "-6", *place, "-batch", "-"], "".join(f"{line}\n" for line in lines)
