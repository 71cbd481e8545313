"""`monami6 status` is quick: what it imports, and how long the whole process takes."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.monami6.fake import FakeDaemon, explanation, result, status

NEVER = ("asyncio", "scapy", "pyroute2")
NOT_FOR_JSON = (*NEVER, "rich", "msgspec", "mip6", "mn_agent")

TELL_MODULES = """
import json, sys
from monami6.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules(socket_path: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", TELL_MODULES, "--socket", str(socket_path), *arguments]
    answers = {name: result(status()) for name in ("status", "switch", "use")} | {"explain": result(explanation())}
    with FakeDaemon(socket_path, answers):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def seconds(command: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def test_json_imports_next_to_nothing(socket_path: Path) -> None:
    assert modules(socket_path, "status", "--json").isdisjoint(NOT_FOR_JSON)


@pytest.mark.parametrize("arguments", [("policy", "use", "redundant"), ("policy", "explain", "--json")])
def test_nothing_that_reads_or_draws_is_needed_to_ask(socket_path: Path, arguments: tuple[str, ...]) -> None:
    assert modules(socket_path, *arguments).isdisjoint(NOT_FOR_JSON)


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("switch", "wifi"),
        ("switch", "--ike", "wifi"),
        ("flows",),
        ("flows", "--json"),
        ("policy", "list"),
        ("policy", "show", "redundant"),
        ("policy", "explain"),
    ],
)
def test_no_command_for_the_agent_imports_the_heavy_ones(socket_path: Path, arguments: tuple[str, ...]) -> None:
    assert modules(socket_path, *arguments).isdisjoint(NEVER)


def test_it_takes_little_more_than_click(socket_path: Path) -> None:
    """The best of several runs, which a busy machine disturbs least."""
    status_command = [sys.executable, "-m", "monami6", "--socket", str(socket_path), "status"]
    click_alone, as_json, as_table = [], [], []
    with FakeDaemon(socket_path, {"status": result(status())}):
        for _ in range(10):
            click_alone.append(seconds([sys.executable, "-c", "import click"]))
            as_json.append(seconds([*status_command, "--json"]))
            as_table.append(seconds(status_command))
    assert min(as_json) <= 1.5 * min(click_alone)
    assert min(as_table) <= 3 * min(click_alone)
