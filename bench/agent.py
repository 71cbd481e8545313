"""What the agent costs while nothing happens, and how long `monami6 status` takes.

The agent has three registered links and is left alone for a minute. The command is compared with the same Python that
imports nothing but click. Exit code 1 if a limit is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from bench._process import cpu_seconds, resident_mib
from mn_lab.lab import Lab

MOST_MIB = 45.0
MOST_CPU_PERCENT = 0.5
MOST_TIMES_CLICK = {"status --json": 1.5, "status": 3.0}


@dataclass(frozen=True, slots=True)
class Result:
    """`value` may be `limit` at most."""

    what: str
    value: float
    limit: float
    unit: str
    ok: bool


def measure(seconds: float, calls: int) -> list[Result]:
    with Lab(prefix=f"m6-b{os.getpid()}-") as lab:
        pid: int = lab.wait_registered()["pid"]
        before_s = cpu_seconds(pid)
        started_at = time.monotonic()
        time.sleep(seconds)
        cpu_percent = 100 * (cpu_seconds(pid) - before_s) / (time.monotonic() - started_at)
        resident = resident_mib(pid)
        ratios = _times_click(lab, calls)
    results = [
        _result("resident memory", resident, MOST_MIB, "MiB"),
        _result(f"processor, idle for {seconds:g} s", cpu_percent, MOST_CPU_PERCENT, "%"),
    ]
    return results + [
        _result(f"monami6 {what}", ratio, MOST_TIMES_CLICK[what], "x import click") for what, ratio in ratios.items()
    ]


def _result(what: str, value: float, limit: float, unit: str) -> Result:
    return Result(what, round(value, 3), limit, unit, value <= limit)


def _times_click(lab: Lab, calls: int) -> dict[str, float]:
    """How much longer each command takes than importing click; medians of calls made in turn."""
    script = Path(sys.executable).with_name("monami6")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "monami6"]
    commands = {what: [*program, "--socket", str(lab.agent.path), *what.split()] for what in MOST_TIMES_CLICK}
    commands["click"] = [sys.executable, "-c", "import click"]
    times: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(calls):
        for what, argv in commands.items():
            times[what].append(_seconds(argv))
    click = median(times.pop("click"))
    return {what: median(taken) / click for what, taken in times.items()}


def _seconds(argv: Sequence[str]) -> float:
    started_at = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started_at


def as_text(results: list[Result]) -> str:
    return "\n".join(
        f"{r.what:30} {r.value:7.2f} {r.unit:15} limit {r.limit:g} {'ok' if r.ok else 'MISSED'}" for r in results
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench agent", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="to leave the agent alone (default: 60)")
    parser.add_argument("--calls", type=int, default=15, help="of each command (default: 15)")
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    results = measure(options.seconds, options.calls)
    if options.json:
        print(json.dumps({"schema": 1, "results": [asdict(result) for result in results]}, indent=2))
    else:
        print(as_text(results))
    return 0 if all(result.ok for result in results) else 1
