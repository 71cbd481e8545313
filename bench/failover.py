"""How many packets a lost carrier costs, and how long the gap is, compared with a program that does almost nothing.

That program (mn_lab/bare.py) listens to netlink and replaces one route. So it mends the direction from the mobile node
only, where the gaps can be compared; for the other the home agent has to be told. Both programs are measured in turn,
with 1,000 packets a second: a gap is 1 ms if nothing is lost. Exit code 1 if a limit is missed.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import mean

from bench._figures import figures
from bench._results import conclude
from bench._spread import Spread
from mn_lab import network
from mn_lab.commands import ip_batch, run_all
from mn_lab.lab import Lab
from mn_lab.layout import CORE, CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, MOBILE_NODE, Layout, plan
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP, End, Figures, Traffic

MOST_LOST = 5
MOST_TIMES_BARE = 3.0

_SETTLE_S, _AFTERWARDS_S = 0.3, 0.4


@dataclass(frozen=True, slots=True)
class Result:
    """One program, one direction. `gap_ratio`: to the bare program's gap. Of means: gaps come in whole milliseconds."""

    program: str
    direction: str
    lost: Spread
    gap_ms: Spread
    gap_ratio: float
    ok: bool


def measure(runs: int) -> list[Result]:
    """All runs of both, in turn."""
    figures: dict[tuple[str, str], list[Figures]] = {("bare", UP): [], ("monami6", UP): [], ("monami6", DOWN): []}
    with Lab(prefix=f"m6-b{os.getpid()}-") as lab, _bare_layout() as bare:
        for _ in range(runs):
            figures["bare", UP].append(_run_bare(bare))
            ours = _run_ours(lab)
            for direction in (UP, DOWN):
                figures["monami6", direction].append(ours[direction])
    bare_gap = mean(one.gap_ms for one in figures["bare", UP])
    return [_result(program, direction, found, bare_gap) for (program, direction), found in figures.items()]


def _result(program: str, direction: str, figures: list[Figures], bare_gap: float) -> Result:
    lost = Spread.of([one.lost for one in figures])
    gap = Spread.of([one.gap_ms for one in figures])
    ratio = round(gap.mean / bare_gap, 2)
    ok = lost.median <= MOST_LOST and (direction == DOWN or ratio <= MOST_TIMES_BARE)
    return Result(program, direction, lost, gap, ratio, ok)


def _run_ours(lab: Lab) -> dict[str, Figures]:
    """The link in use loses its carrier; afterwards it gets it back."""
    with lab.traffic() as traffic:
        found = _figures(traffic, lambda: lab.change_link("ethernet", LinkAction.DOWN))
    lab.change_link("ethernet", LinkAction.UP)
    lab.wait_registered()
    # A link that fails again has to prove itself for longer, unless somebody wants it
    lab.switch("ethernet")
    lab.switch(None)
    return found


def _run_bare(layout: Layout) -> Figures:
    first, second = layout.links
    mobile_node = layout.namespace(MOBILE_NODE)
    _set_route(layout, first.name)
    what = [first.interface, second.interface, str(second.router), f"{CORRESPONDENT_ADDRESS}/128"]
    argv = network.in_namespace(mobile_node, sys.executable, "-m", "mn_lab.bare", *what)
    ends = (
        End(network.in_namespace(mobile_node), str(HOME_ADDRESS)),
        End(network.in_namespace(layout.namespace(CORRESPONDENT)), str(CORRESPONDENT_ADDRESS)),
    )
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            with Traffic(*ends) as traffic:
                found = _figures(traffic, lambda: network.change_link(layout, first.name, LinkAction.DOWN))
        finally:
            program.kill()
    network.change_link(layout, first.name, LinkAction.UP)
    return found[UP]


def _figures(traffic: Traffic, break_link: Callable[[], None]) -> dict[str, Figures]:
    return figures(traffic, break_link, settle_s=_SETTLE_S, afterwards_s=_AFTERWARDS_S)


@contextmanager
def _bare_layout() -> Iterator[Layout]:
    """Two links with static addresses; what comes back to the home address takes the second."""
    layout = plan(("ethernet", "wifi"), f"m6-bare{os.getpid()}-")
    second = layout.links[1]
    try:
        network.create(layout)
        mobile_node = [f"address add {HOME_ADDRESS}/128 dev lo"]
        mobile_node += [f"address add {link.prefix[16]}/64 dev {link.interface} nodad" for link in layout.links]
        run_all(
            [
                ip_batch(mobile_node, layout.namespace(MOBILE_NODE)),
                ip_batch([f"route add {HOME_ADDRESS} via {second.uplink}"], layout.namespace(CORE)),
                ip_batch([f"route add {HOME_ADDRESS} via {second.prefix[16]}"], layout.namespace(second.name)),
            ]
        )
        yield layout
    finally:
        network.remove(layout.namespaces.values())


def _set_route(layout: Layout, link: str) -> None:
    route = f"route replace {CORRESPONDENT_ADDRESS} via {layout.link(link).router}"
    run_all([ip_batch([route], layout.namespace(MOBILE_NODE))])


def as_text(results: Sequence[Result]) -> str:
    lines = [f"{'':8} {'':5} {'packets lost':>20} {'longest gap, ms':>20} {'mean':>6} {'to bare':>8}"]
    for r in results:
        verdict = "" if r.program == "bare" else "ok" if r.ok else "MISSED"
        gap = f"{r.gap_ms!s:>20} {r.gap_ms.mean:6.1f}"
        lines.append(f"{r.program:8} {r.direction:5} {r.lost!s:>20} {gap} {r.gap_ratio:8.2f} {verdict}")
    limits = f"{MOST_LOST} lost; from the mobile node a gap {MOST_TIMES_BARE:g} times that of the bare program"
    return "\n".join([*lines, f"Medians (range). Limits: {limits}."])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench failover", description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="of each program (default: 10)")
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    return conclude(measure(options.runs), options.runs, as_text, as_json=options.json)
