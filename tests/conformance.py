"""Which requirements have a test, by `./dev conformance`.

A test claims requirements of docs/requirements.toml by `@pytest.mark.req("REG-08", ...)`. A claim is accepted only from
a test that can fail: it has an assertion, and it is neither skipped nor expected to fail (tests/conftest.py enforces
that in every run). docs/conformance.md is the outcome.
"""

import argparse
import ast
import contextlib
import difflib
import functools
import inspect
import io
import json
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "docs/requirements.toml"
DOCUMENT = ROOT / "docs/conformance.md"

SHOWN = 3  # tests per requirement in the document
NOT_PROOF = {"skip", "skipif", "xfail"}
PROVING_CALLS = {"raises", "run_state_machine_as_test"}  # the latter is the body of a hypothesis state machine's test
PROVING_PREFIXES = ("assert_", "check_", "expect_")

INTRODUCTION = """\
# Conformance

Which requirements have a test. This file is generated from requirements.toml and the tests by
`./dev docs`.

MN mobile node · HA home agent · CN correspondent · HoA home address · CoA care-of address · BID binding identifier ·
FID flow identifier · BU, BA Binding Update, Acknowledgement · BE Binding Error · BRR Binding Refresh Request ·
BRI, BRA Binding Revocation Indication, Acknowledgement · BUL Binding Update List · HAO Home Address option ·
RH2 type 2 routing header · SA security association · RA, NS, NA router advertisement, neighbour solicitation,
neighbour advertisement
"""

Claims = Mapping[str, Sequence[str]]
"""A requirement's ID, and the names of the tests that cover it."""


@dataclass(frozen=True)
class Requirement:
    """One line of the catalogue; docs/requirements.toml explains the fields."""

    id: str
    rfc: str
    who: str
    level: str
    text: str
    left: str = ""


@dataclass(frozen=True)
class Area:
    """A section of the catalogue; one without requirements of its own stands for its parts, J for J.1, J.2, ..."""

    name: str
    title: str
    requirements: tuple[Requirement, ...]
    is_sum: bool


class ClaimError(Exception):
    """The tests can't be collected, or what they claim is wrong."""


def load() -> tuple[Area, ...]:
    """Read the catalogue, in its order."""
    own: dict[str, tuple[Requirement, ...]] = {}
    titles: dict[str, str] = {}
    for name, table in tomllib.loads(CATALOGUE.read_text()).items():
        titles[name] = table.pop("title")
        own[name] = tuple(Requirement(key, **fields) for key, fields in table.items())
    return tuple(
        Area(name, titles[name], requirements or _parts(name, own), is_sum=not requirements)
        for name, requirements in own.items()
    )


def _parts(name: str, own: Mapping[str, tuple[Requirement, ...]]) -> tuple[Requirement, ...]:
    return tuple(r for part, requirements in own.items() if part.startswith(f"{name}.") for r in requirements)


def catalogue(areas: Iterable[Area]) -> dict[str, Requirement]:
    """All requirements, once each, by ID."""
    return {r.id: r for area in areas for r in area.requirements}


# What a test claims


def claims(item: pytest.Item) -> list[str]:
    """The IDs on a test, its class, its module and its parameters."""
    return [str(key) for mark in item.iter_markers("req") for key in mark.args]


def covers(item: pytest.Item) -> bool:
    """Whether a test's claims count: it always runs, and must pass. (A conditional skip proves nothing elsewhere.)"""
    return not any(mark.name in NOT_PROOF for mark in item.iter_markers())


def short_name(item: pytest.Item) -> str:
    """A test's name, one for all its parameters."""
    return item.nodeid.partition("[")[0].removeprefix("tests/")


def faults(items: Iterable[pytest.Item], known: Collection[str]) -> list[str]:
    """What is wrong with the claims of these tests."""
    return list(dict.fromkeys(f"{short_name(item)}: {fault}" for item in items for fault in _faults(item, known)))


def _faults(item: pytest.Item, known: Collection[str]) -> Iterator[str]:
    claimed = claims(item)
    if any(not mark.args for mark in item.iter_markers("req")):
        yield "a req mark without the ID of a requirement"
    for key in claimed:
        if key not in known:
            nearest = difflib.get_close_matches(key, known, cutoff=0)
            yield f"unknown requirement {key}; did you mean {' or '.join(nearest)}?"
    if claimed and isinstance(item, pytest.Function) and not asserts(item.function):
        yield f"claims {', '.join(claimed)} but asserts nothing"


def asserts(test: Callable[..., object]) -> bool:
    """Whether a test's body has an assertion, as such or as the call of one."""
    code = inspect.unwrap(test).__code__
    return any(
        _is_assertion(node)
        for function in _functions(code.co_filename)
        if _first_line(function) == code.co_firstlineno
        for statement in function.body
        for node in ast.walk(statement)
    )


@functools.cache
def _functions(path: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(Path(path).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min(node.lineno for node in (function, *function.decorator_list))


def _is_assertion(node: ast.AST) -> bool:
    match node:
        case ast.Assert(test=ast.Constant()):
            return False
        case ast.Assert():
            return True
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)):
            return called in PROVING_CALLS or called.lstrip("_").startswith(PROVING_PREFIXES)
    return False


class _Collector:
    """A pytest plugin that keeps what was collected, and what was skipped before anyone saw what it claims."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []
        self.skipped: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def collect() -> list[pytest.Item]:
    """Ask pytest for all tests, without running any."""
    collector, output, errors = _Collector(), io.StringIO(), io.StringIO()
    arguments = ["--collect-only", "--quiet", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        result = pytest.main([*arguments, str(ROOT / "tests")], plugins=[collector])
    if result not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise ClaimError(errors.getvalue().strip() or output.getvalue().strip())
    if collector.skipped:
        raise ClaimError(f"skipped as a whole, which hides what it claims: {', '.join(collector.skipped)}")
    return collector.items


def proofs(items: Iterable[pytest.Item]) -> Claims:
    """Sort tests by what they cover."""
    tests: dict[str, set[str]] = {}
    for item in filter(covers, items):
        for key in claims(item):
            tests.setdefault(key, set()).add(short_name(item))
    return {key: sorted(names) for key, names in tests.items()}


def refuse_stale(covered: Claims, known: Mapping[str, Requirement]) -> None:
    """A reason for having no test must go when there is one."""
    if stale := [key for key in covered if known[key].left]:
        raise ClaimError(f"these have a test, so remove `left` from them in {CATALOGUE.name}: {', '.join(stale)}")


# What is shown


def _uncovered(requirements: Iterable[Requirement], covered: Claims) -> list[Requirement]:
    return [r for r in requirements if r.id not in covered]


def _count(requirements: Collection[Requirement], covered: Claims) -> str:
    return f"{len(requirements) - len(_uncovered(requirements, covered))}/{len(requirements)}"


def as_json(areas: Iterable[Area], covered: Claims) -> str:
    """Per area what is covered, for programs: schema 1."""
    report = {}
    for area in areas:
        uncovered = [r.id for r in _uncovered(area.requirements, covered)]
        total = len(area.requirements)
        report[area.name] = {"covered": total - len(uncovered), "total": total, "uncovered": uncovered}
    return json.dumps({"schema": 1, "areas": report}, indent=2)


def as_text(areas: Collection[Area], covered: Claims) -> str:
    """Per area what is covered, and each requirement that is not."""
    lines = []
    for area in areas:
        lines.append(f"{area.name:4} {_count(area.requirements, covered):>7}  {area.title}")
        if not area.is_sum:
            lines += [_line(r) for r in _uncovered(area.requirements, covered)]
    lines.append(f"{'all':4} {_count(catalogue(areas).values(), covered):>7}")
    return "\n".join(lines)


def _line(requirement: Requirement) -> str:
    left = f" (left: {requirement.left})" if requirement.left else ""
    return f"       {requirement.id:9} {requirement.level:11}  {requirement.text}{left}"


def as_markdown(areas: Collection[Area], covered: Claims) -> str:
    """The text of docs/conformance.md."""
    lines = [INTRODUCTION, f"Covered: {_count(catalogue(areas).values(), covered)}"]
    for area in areas:
        level = "###" if "." in area.name else "##"
        lines += ["", f"{level} {area.name} {area.title} ({_count(area.requirements, covered)})"]
        if not area.is_sum:
            lines += ["", "| ID | source | what | covered by |", "|---|---|---|---|"]
            lines += [_row(r, covered.get(r.id, ())) for r in area.requirements]
    return "\n".join(lines) + "\n"


def _row(requirement: Requirement, tests: Sequence[str]) -> str:
    names = [f"`{test}`" for test in tests[:SHOWN]]
    if len(tests) > SHOWN:
        names.append(f"and {len(tests) - SHOWN} more")
    proof = "<br>".join(names) or (f"- left: {requirement.left}" if requirement.left else "-")
    cells = (requirement.id, requirement.rfc, requirement.text, proof)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev conformance", description="Which requirements have a test.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--json", action="store_true", help="print JSON")
    mode.add_argument("--write", action="store_true", help=f"write docs/{DOCUMENT.name}")
    mode.add_argument("--check", action="store_true", help=f"fail if docs/{DOCUMENT.name} is out of date")
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    areas = load()
    try:
        covered = proofs(collect())
        refuse_stale(covered, catalogue(areas))
    except ClaimError as error:
        sys.exit(str(error))
    document = as_markdown(areas, covered)
    if arguments.write:
        DOCUMENT.write_text(document)
    elif arguments.check:
        if not DOCUMENT.exists() or DOCUMENT.read_text() != document:
            sys.exit(f"docs/{DOCUMENT.name} is out of date: run './dev docs'")
    else:
        print(as_json(areas, covered) if arguments.json else as_text(areas, covered))


if __name__ == "__main__":
    main()
