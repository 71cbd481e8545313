"""TCP through the tunnel, compared with plain forwarding through the same namespaces, home agent included.

The plain connection is between a care-of address and a second address of the correspondent; the core sends it over the
home agent, so that both take the same way. They are measured in turn, by iperf3. Exit code 1 if the limit is missed.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench._iperf3 import iperf3
from bench._results import conclude
from mn_lab.commands import ip_batch, require, run_all
from mn_lab.lab import Lab
from mn_lab.layout import (
    CORE,
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT_ADDRESS,
    HOST_INTERFACE,
)
from mn_lab.traffic import DOWN, UP

LIMIT = 0.8
"""Of plain forwarding."""

_SECOND_ADDRESS = CORRESPONDENT_ADDRESS + 0x100
_TABLE = 100


@dataclass(frozen=True, slots=True)
class Result:
    """Medians, in Mbit/s."""

    direction: str
    tunnel: float
    plain: float
    ratio: float
    limit: float
    ok: bool


def measure(runs: int, seconds: float) -> list[Result]:
    require(["iperf3"])
    with Lab(prefix=f"m6-b{os.getpid()}-") as lab:
        _detour(lab)
        care_of = lab.describe()["addresses"]["care_of"]["ethernet"]
        return [_compare(lab, direction, care_of, runs, seconds) for direction in (UP, DOWN)]


def _detour(lab: Lab) -> None:
    """Lead what is between the second address and the mobile node's links over the home agent."""
    rules = [f"rule add iif to-{link.name} to {_SECOND_ADDRESS} lookup {_TABLE}" for link in lab.layout.links]
    rules += [f"rule add iif to-{CORRESPONDENT} from {_SECOND_ADDRESS} lookup {_TABLE}"]
    rules += [f"route add default via {HOME_AGENT_ADDRESS} table {_TABLE}"]
    address = [f"address add {_SECOND_ADDRESS}/128 dev {HOST_INTERFACE}"]
    route = [f"route add {_SECOND_ADDRESS} dev to-{CORRESPONDENT}"]
    run_all(
        [
            ip_batch([*rules, *route], lab.layout.namespace(CORE)),
            ip_batch(address, lab.layout.namespace(CORRESPONDENT)),
        ]
    )


def _compare(lab: Lab, direction: str, care_of: str, runs: int, seconds: float) -> Result:
    tunnel, plain = [], []
    for _ in range(runs):
        tunnel.append(_throughput(lab, direction, str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS), seconds))
        plain.append(_throughput(lab, direction, care_of, str(_SECOND_ADDRESS), seconds))
    ratio = median(tunnel) / median(plain)
    return Result(direction, round(median(tunnel)), round(median(plain)), round(ratio, 3), LIMIT, ratio >= LIMIT)


def _throughput(lab: Lab, direction: str, source: str, destination: str, seconds: float) -> float:
    """Of one connection, in Mbit/s."""
    end = iperf3(lab, direction, source, destination, "--time", str(seconds))
    bits_per_second: float = end["sum_received"]["bits_per_second"]
    return bits_per_second / 1e6


def as_text(results: Sequence[Result]) -> str:
    lines = [f"{'direction':10} {'tunnel':>8} {'plain':>8} Mbit/s"]
    for r in results:
        verdict = "ok" if r.ok else "MISSED"
        lines.append(
            f"{r.direction:10} {r.tunnel:8g} {r.plain:8g}        ratio {r.ratio:.2f} (limit {r.limit}) {verdict}"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench forward", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each, in each direction (default: 5)")
    parser.add_argument("--seconds", type=float, default=2, help="that a run takes (default: 2)")
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    return conclude(measure(options.runs, options.seconds), options.runs, as_text, as_json=options.json)
