"""How soon traffic leaves a path that is dead beyond the access router, and what a link costs that comes and goes.

The carrier stays up when a path dies, and nobody says anything: only probes can tell. Measured with 1,000 packets a
second both ways, once as the agent is by default and once told to be quick (`notice_s`). Then the path is healed, and
the traffic has to return after the policy's hysteresis. At last a link loses its carrier once a second. Exit code 1 if
a limit is missed.
"""

import argparse
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench._spread import Spread
from mn_lab.commands import require
from mn_lab.control import Status
from mn_lab.lab import Lab
from mn_lab.layout import HOME_AGENT, HOST_INTERFACE
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP, Figures, Traffic

SETTINGS = {"default": ("", 1000), "quick": ("[probing]\nnotice_s = 0.12\n", 200)}
"""Of the agent: configuration, and within how many milliseconds all traffic has to be elsewhere."""
MOST_MOVES = 1
"""Away from a link that flaps."""
MOST_UPDATES = 3
"""In a second (MAX_UPDATE_RATE, RFC 6275 section 12)."""

_SETTLE_S = 0.5
_HALF_PERIOD_S = 0.5
_LINK = "ethernet"


@dataclass(frozen=True, slots=True)
class Result:
    """One setting, one direction. `lost_on_return`: packets in all runs, when traffic came back."""

    setting: str
    direction: str
    gap_ms: Spread
    limit_ms: int
    lost_on_return: int
    reordered_on_return: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Flapping:
    """`moves`: of the traffic. `updates`: most Binding Updates within any second."""

    seconds: float
    moves: int
    updates: int
    lost: dict[str, int]
    ok: bool


def measure(runs: int) -> list[Result]:
    return [result for setting in SETTINGS for result in _measure(setting, runs)]


def _measure(setting: str, runs: int) -> list[Result]:
    configuration, limit_ms = SETTINGS[setting]
    with Lab(prefix=f"m6-b{os.getpid()}-", agent_toml=configuration) as lab:
        found = [_run(lab) for _ in range(runs)]
    return [_result(setting, direction, limit_ms, found) for direction in (UP, DOWN)]


def _result(setting: str, direction: str, limit_ms: int, found: list[dict[tuple[str, str], Figures]]) -> Result:
    gaps = [one["gone", direction].gap_ms for one in found]
    back = [one["back", direction] for one in found]
    lost, reordered = sum(one.lost for one in back), sum(one.reordered for one in back)
    ok = max(gaps) <= limit_ms and (lost, reordered) == (0, 0)
    return Result(setting, direction, Spread.of(gaps), limit_ms, lost, reordered, ok)


def _run(lab: Lab) -> dict[tuple[str, str], Figures]:
    """By what happened and direction."""
    found: dict[tuple[str, str], Figures] = {}
    with lab.traffic() as traffic:
        time.sleep(_SETTLE_S)
        start_ns = time.time_ns()
        lab.change_link(_LINK, LinkAction.BLACKHOLE)
        lab.wait(lambda status: bool(status["default"]["link"] != _LINK), "traffic over another link")
        found.update(_figures("gone", traffic, start_ns))
        start_ns = time.time_ns()
        lab.change_link(_LINK, LinkAction.HEAL)
        lab.wait_carried_by(_LINK)
        found.update(_figures("back", traffic, start_ns))
    # A link that fails again has to prove itself for longer, unless somebody wants it
    lab.switch(_LINK)
    lab.switch(None)
    return found


def _figures(what: str, traffic: Traffic, start_ns: int) -> Iterator[tuple[tuple[str, str], Figures]]:
    time.sleep(_SETTLE_S)
    end_ns = time.time_ns()
    traffic.catch_up(end_ns)
    for direction in (UP, DOWN):
        yield (what, direction), traffic.record(direction).figures(start_ns, end_ns)


def flap(seconds: float) -> Flapping:
    """The preferred link loses its carrier once a second."""
    with Lab(prefix=f"m6-b{os.getpid()}-") as lab:
        with lab.traffic() as traffic, _updates(lab) as updates:
            time.sleep(_SETTLE_S)
            start_ns, before = time.time_ns(), _moves(lab)
            end_at = time.monotonic() + seconds
            while time.monotonic() < end_at:
                for action in (LinkAction.DOWN, LinkAction.UP):
                    lab.change_link(_LINK, action)
                    time.sleep(_HALF_PERIOD_S)
            figures = dict(_figures("flapping", traffic, start_ns))
            moves = _moves(lab) - before
        most = _most_in_a_second(updates)
        lab.wait(lambda status: _is_registered(status, _LINK), f"{_LINK} registered")
    lost = {direction: one.lost for (_, direction), one in figures.items()}
    return Flapping(seconds, moves, most, lost, moves <= MOST_MOVES and most <= MOST_UPDATES)


def _is_registered(status: Status, link: str) -> bool:
    return any(one["name"] == link and one["state"] == "registered" for one in status["links"])


def _moves(lab: Lab) -> int:
    """How often the agent said that another link carries the traffic."""
    return Path(lab.directory, "agent.log").read_text().count("carrier: ")


@contextmanager
def _updates(lab: Lab) -> Iterator[list[float]]:
    """When Binding Updates came to the home agent; filled when the context ends."""
    found: list[float] = []
    # A Destination Options header from a mobile node has the Home Address option, and a mobility message behind it
    options = ["-i", HOST_INTERFACE, "--immediate-mode", "-l", "-n", "-tt", "-Q", "in", "ip6[6] == 60"]
    argv = lab.command(HOME_AGENT, "tcpdump", *options)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tcpdump:
        try:
            assert tcpdump.stdout is not None
            assert tcpdump.stderr is not None
            assert any("listening on" in line for line in tcpdump.stderr)
            yield found
            select.select([], [], [], _SETTLE_S)
        finally:
            tcpdump.terminate()
        found += [float(line.split()[0]) for line in tcpdump.stdout if line[:1].isdigit()]


def _most_in_a_second(moments: list[float]) -> int:
    return max((sum(at <= other < at + 1 for other in moments) for at in moments), default=0)


def as_text(results: list[Result], flapping: Flapping) -> str:
    lines = [f"{'agent':8} {'':5} {'longest gap, ms':>22} {'limit':>6} {'lost and reordered on return':>30}"]
    for r in results:
        verdict = "ok" if r.ok else "MISSED"
        back = f"{r.lost_on_return} and {r.reordered_on_return}"
        lines.append(f"{r.setting:8} {r.direction:5} {r.gap_ms!s:>22} {r.limit_ms:6} {back:>30} {verdict}")
    lost = ", ".join(f"{count} {direction}" for direction, count in flapping.lost.items())
    lines.append(
        f"A link that flaps once a second for {flapping.seconds:g} s: traffic moved {flapping.moves} times "
        f"(limit {MOST_MOVES}), at most {flapping.updates} updates in a second (limit {MOST_UPDATES}), lost {lost} "
        f"{'ok' if flapping.ok else 'MISSED'}"
    )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench paths", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="of each setting (default: 10)")
    parser.add_argument("--seconds", type=float, default=60, help="that a link flaps (default: 60)")
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    require(["tcpdump"])
    results, flapping = measure(options.runs), flap(options.seconds)
    if options.json:
        told = [*map(asdict, results), asdict(flapping)]
        print(json.dumps({"schema": 1, "runs": options.runs, "results": told}, indent=2))
    else:
        print(as_text(results, flapping))
    return 0 if all(result.ok for result in results) and flapping.ok else 1
