"""What is promised of a switch, a lost link and a killed agent, measured once; and that the benchmarks measure."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mn_lab import network
from mn_lab.layout import plan

STEPS = ("switch", "switch-back", "carrier-loss", "carrier-return", "agent-kill")
FEW = 30
"""Packets that one lost carrier may cost here; `./dev bench failover` measures it well."""


@pytest.fixture(scope="module")
def demo(prefix: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[tuple[str, str], dict[str, Any]], Path]:
    """The steps by name and direction, and the plot."""
    plot = tmp_path_factory.mktemp("demo") / "timeline.svg"
    program = [sys.executable, "-m", "monami6", "lab", "--prefix", prefix, "demo", "--json", "--plot", str(plot)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not network.existing(plan(prefix=prefix).namespaces.values())
    report = json.loads(done.stdout)
    assert report["schema"] == 1
    return {(step["name"], step["direction"]): step for step in report["steps"]}, plot


def test_every_step_is_there_in_both_directions(demo: Any) -> None:
    steps, _ = demo
    assert list(steps) == [(name, direction) for name in STEPS for direction in ("up", "down")]
    for step in steps.values():
        assert step["sent"] > 900


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("name", [name for name in STEPS if name != "carrier-loss"])
def test_nothing_is_lost_or_reordered(demo: Any, name: str, direction: str) -> None:
    step = demo[0][name, direction]
    assert (step["lost"], step["reordered"]) == (0, 0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_lost_carrier_costs_few_packets(demo: Any, direction: str) -> None:
    step = demo[0]["carrier-loss", direction]
    assert step["lost"] <= FEW
    assert step["reordered"] == 0
    assert step["gap_ms"] <= FEW + 2


def test_the_plot_shows_links_and_steps(demo: Any) -> None:
    """matplotlib writes every text as a comment beside its shape."""
    drawn = demo[1].read_text()
    for text in (*STEPS, "ethernet", "wifi", "lte", "lost"):
        assert f"<!-- {text} -->" in drawn


def bench(name: str, *arguments: str) -> list[dict[str, Any]]:
    argv = [sys.executable, "-m", "bench", name, "--json", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert report["schema"] == 1
    results: list[dict[str, Any]] = report["results"]
    assert (done.returncode == 0) == all(result["ok"] for result in results)
    return results


def test_bench_failover() -> None:
    results = bench("failover", "--runs", "3")
    measured = [(result["program"], result["direction"]) for result in results]
    assert measured == [("bare", "up"), ("monami6", "up"), ("monami6", "down")]
    for result in results:
        assert 0 <= result["lost"]["median"] <= FEW


def test_bench_paths() -> None:
    """With limits for a machine that does other things; `./dev bench paths` measures it well."""
    *dead, flapping = bench("paths", "--runs", "1", "--seconds", "5")
    assert [(result["setting"], result["direction"]) for result in dead] == [
        (setting, direction) for setting in ("default", "quick") for direction in ("up", "down")
    ]
    for result in dead:
        assert result["gap_ms"]["median"] < 2 * result["limit_ms"]
        assert (result["lost_on_return"], result["reordered_on_return"]) == (0, 0)
    assert flapping["ok"]


def test_bench_flows() -> None:
    """With a limit for a machine that does other things; `./dev bench flows` measures it well."""
    results = bench("flows", "--runs", "1", "--flows", "1", "1000", "--nodes", "20", "--hosts", "100")
    measured = {(result["nodes"], result["flows"], result["hosts"]) for result in results}
    expected = {(1, 1, False), (1, 1000, False), (20, 3, False), (1, 100, True)}
    assert (measured, len(results)) == (expected, len(expected) * 8)
    for result in results:
        assert result["value"] > 0
        assert result["ratio"] > 0.5


def test_bench_forward() -> None:
    for result in bench("forward", "--runs", "1", "--seconds", "1"):
        assert result["ratio"] == pytest.approx(result["tunnel"] / result["plain"], rel=0.05)


def test_bench_agent() -> None:
    results = {result["what"]: result for result in bench("agent", "--seconds", "1", "--calls", "1")}
    assert 10 < results["resident memory"]["value"] < 100
    assert results["monami6 status --json"]["value"] > 0.5
