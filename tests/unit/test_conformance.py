import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from tests.conformance import ROOT, Area, Requirement, as_json, as_markdown, as_text, asserts, catalogue, load

CATALOGUE = """
[A]
title = "First"
[A.AB-01]
rfc = "1§1"
who = "MN"
level = "must"
text = "One."
[A.AB-02]
rfc = "1§2"
who = "HA"
level = ""
text = "Two."
[J]
title = "Second"
["J.1"]
title = "Part"
["J.1".XY-01]
rfc = "2§1"
who = "MN"
level = "may"
text = "Three."
["J.2"]
title = "Other part"
["J.2".XY-02]
rfc = "2§2"
who = "MN"
level = "may"
text = "Four."
"""


class Project:
    """A small repository with this one's machinery, and tests of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for path in ("pyproject.toml", "tests/conftest.py", "tests/conformance.py"):
            (root / path).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / path, root / path)
        (root / "docs").mkdir()
        self.catalogue(CATALOGUE)

    def catalogue(self, text: str) -> None:
        (self.root / "docs/requirements.toml").write_text(text)

    def test(self, text: str) -> None:
        (self.root / "tests/test_it.py").write_text(f"import pytest\n{text}")

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", module, *arguments]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # starts in half the time
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def conformance(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("tests.conformance", *arguments)

    def uncovered(self) -> dict[str, list[str]]:
        """Per area the IDs that are not covered."""
        done = self.conformance("--json")
        assert done.returncode == 0, done.stderr
        return {area: report["uncovered"] for area, report in json.loads(done.stdout)["areas"].items()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


# What covers


@pytest.mark.parametrize(
    "test",
    [
        """
@pytest.mark.req("AB-01", "XY-02")
def test_function():
    assert str()
""",
        """
pytestmark = pytest.mark.req("AB-01")
@pytest.mark.req("XY-02")
class TestClass:
    def test_method(self):
        assert str()
""",
        """
@pytest.mark.parametrize("n", [0, pytest.param(1, marks=pytest.mark.req("AB-01")), pytest.param(2, marks=[
    pytest.mark.req("XY-02")])])
def test_parameters(n):
    assert n
""",
    ],
    ids=["function", "module and class", "parameters"],
)
def test_a_mark_covers_wherever_it_stands(project: Project, test: str) -> None:
    project.test(test)
    assert project.uncovered() == {"A": ["AB-02"], "J": ["XY-01"], "J.1": ["XY-01"], "J.2": []}


def test_no_tests_cover_nothing(project: Project) -> None:
    assert project.uncovered() == {"A": ["AB-01", "AB-02"], "J": ["XY-01", "XY-02"], "J.1": ["XY-01"], "J.2": ["XY-02"]}


def test_what_need_not_pass_does_not_cover(project: Project) -> None:
    project.test("""
@pytest.mark.req("AB-01")
@pytest.mark.skip(reason="not now")
def test_skipped():
    assert str()

@pytest.mark.req("AB-02")
@pytest.mark.skipif("sys.platform == 'plan9'")
def test_skipped_elsewhere():
    assert str()

@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.skip), 2])
@pytest.mark.req("XY-01")
def test_skipped_in_part(n):
    assert n

@pytest.mark.req("XY-02")
@pytest.mark.xfail
def test_expected_to_fail():
    assert str()
""")
    assert project.uncovered() == {"A": ["AB-01", "AB-02"], "J": ["XY-02"], "J.1": [], "J.2": ["XY-02"]}


def test_a_mention_does_not_cover(project: Project) -> None:
    project.test("""
def test_ab_01():
    '''Shows AB-01.'''
    assert "AB-01"  # pytest.mark.req("AB-01")
""")
    assert project.uncovered()["A"] == ["AB-01", "AB-02"]


# What is refused


@pytest.mark.parametrize("module", ["tests.conformance", "pytest"])
def test_every_wrong_claim_is_named(project: Project, module: str) -> None:
    project.test("""
@pytest.mark.req("AB-1")
@pytest.mark.parametrize("n", [1, 2])
def test_typo(n):
    assert n

@pytest.mark.req
def test_nothing():
    assert str()

@pytest.mark.req("AB-01", "AB-02")
def test_idle():
    print("AB-01")
""")
    done = project.run(module)
    assert done.returncode != 0
    assert re.findall("test_it.*", done.stderr) == [
        "test_it.py::test_typo: unknown requirement AB-1; did you mean AB-01 or AB-02 or XY-01?",
        "test_it.py::test_nothing: a req mark without the ID of a requirement",
        "test_it.py::test_idle: claims AB-01, AB-02 but asserts nothing",
    ]


def test_tests_that_cannot_be_collected_are_not_just_missing(project: Project) -> None:
    project.test("raise ZeroDivisionError")
    done = project.conformance("--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError" in done.stderr
    assert "test_it.py" in done.stderr


def test_a_module_skipped_as_a_whole_is_refused(project: Project) -> None:
    project.test("pytest.importorskip('no_such_module')")
    done = project.conformance()
    assert done.returncode == 1
    assert "tests/test_it.py" in done.stderr


SKIPS = """
@pytest.fixture
def root():
    pytest.skip("no root")

@pytest.mark.req("AB-01")
@pytest.mark.skip(reason="by mark")
def test_mark():
    assert str()

@pytest.mark.req("AB-01")
def test_fixture(root):
    assert str()

@pytest.mark.req("AB-01", "AB-02")
def test_body():
    pytest.skip("in the body")
    assert str()

@pytest.mark.req("AB-01")
def test_gives_up():
    pytest.xfail("too hard")
    assert str()
"""


def test_a_skipped_proof_fails_the_run(project: Project) -> None:
    project.test(SKIPS)
    done = project.run("pytest")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert sorted(re.findall("^the proof of .*", done.stdout, re.MULTILINE)) == [
        "the proof of AB-01 must not be skipped: by mark",
        "the proof of AB-01 must not be skipped: no root",
        "the proof of AB-01 must not be skipped: too hard",
        "the proof of AB-01, AB-02 must not be skipped: in the body",
    ]


def test_what_claims_nothing_may_be_skipped_and_a_known_bug_may_be_marked(project: Project) -> None:
    project.test(
        re.sub("@pytest.mark.req.*", "", SKIPS)
        + """
@pytest.mark.req("AB-01")
@pytest.mark.xfail
def test_bug():
    assert not test_bug
"""
    )
    assert project.run("pytest").returncode == pytest.ExitCode.OK


# What is an assertion


def check_it(value: object) -> bool:
    assert value
    return True


def simple() -> None:
    assert catalogue([]) == {}


def raising() -> None:
    with pytest.raises(ValueError, match="x"):
        int("x")


def helped() -> None:
    check_it(1)


def helped_by_a_method(mock: pytest.MonkeyPatch) -> None:
    mock.setattr.assert_called_once()  # type: ignore[attr-defined]


async def inner() -> None:
    async def run() -> None:
        assert catalogue([]) == {}

    await run()


@given(st.integers())
@pytest.mark.filterwarnings("ignore")
def generated(n: int) -> None:
    assert n == n + 0


class Machine(RuleBasedStateMachine):
    pass


def idle() -> None:
    print("assert check_it() pytest.raises")


def constant() -> None:
    assert True


def unrelated() -> None:
    assertion_check = [check_it]
    print(assertion_check)


@given(st.integers())
def generated_idle(n: int) -> None:
    print(n)


def checked_elsewhere(value: object = check_it(1)) -> None:
    print(value)


@pytest.mark.parametrize(
    "test", [simple, raising, helped, helped_by_a_method, inner, generated, Machine.TestCase.runTest]
)
def test_an_assertion_is_found(test: object) -> None:
    assert callable(test)
    assert asserts(test)


@pytest.mark.parametrize("test", [idle, constant, unrelated, generated_idle, checked_elsewhere])
def test_idleness_is_found(test: object) -> None:
    assert callable(test)
    assert not asserts(test)


# What is shown

REQUIREMENTS = (
    Requirement("AB-01", "1§1", "MN", "must", "One | two."),
    Requirement("AB-02", "1§2", "HA", "", "Three."),
    Requirement("AB-03", "1§3", "HA", "may", "Four.", left="no need"),
)
AREAS = (Area("J", "All", REQUIREMENTS, is_sum=True), Area("J.1", "Part", REQUIREMENTS, is_sum=False))


def test_json() -> None:
    area = {"covered": 1, "total": 3, "uncovered": ["AB-02", "AB-03"]}
    assert json.loads(as_json(AREAS, {"AB-01": ["t"]})) == {"schema": 1, "areas": {"J": area, "J.1": area}}


def test_text() -> None:
    assert as_text(AREAS, {"AB-01": ["t"]}).splitlines() == [
        "J        1/3  All",
        "J.1      1/3  Part",
        "       AB-02                  Three.",
        "       AB-03     may          Four. (left: no need)",
        "all      1/3",
    ]


def test_document() -> None:
    document = as_markdown(AREAS, {"AB-01": ["a::t", "b::t", "c::t", "d::t", "e::t"]})
    assert document[document.index("Covered") :].splitlines() == [
        "Covered: 1/3",
        "",
        "## J All (1/3)",
        "",
        "### J.1 Part (1/3)",
        "",
        "| ID | source | what | covered by |",
        "|---|---|---|---|",
        r"| AB-01 | 1§1 | One \| two. | `a::t`<br>`b::t`<br>`c::t`<br>and 2 more |",
        "| AB-02 | 1§2 | Three. | - |",
        "| AB-03 | 1§3 | Four. | - left: no need |",
    ]


def test_the_document_is_checked_against_the_tests(project: Project) -> None:
    assert project.conformance("--check").returncode == 1
    assert project.conformance("--write").returncode == 0
    assert project.conformance("--check").returncode == 0
    project.test('@pytest.mark.req("AB-01")\n@pytest.mark.parametrize("n", [1, 2])\ndef test_new(n):\n    assert n')
    done = project.conformance("--check")
    assert done.returncode == 1
    assert "./dev docs" in done.stderr
    assert project.conformance("--write").returncode == 0
    document = (project.root / "docs/conformance.md").read_text()
    assert "| AB-01 | 1§1 | One. | `test_it.py::test_new` |" in document
    assert str(project.root) not in document


def test_a_reason_for_having_no_test_goes_when_there_is_one(project: Project) -> None:
    project.catalogue(CATALOGUE.replace('"One."', '"One."\nleft = "no need"'))
    assert "One. (left: no need)" in project.conformance().stdout
    project.test('@pytest.mark.req("AB-01")\ndef test_new():\n    assert str()')
    done = project.conformance()
    assert done.returncode == 1
    assert "AB-01" in done.stderr


# The catalogue


def test_an_area_is_the_sum_of_its_parts_only_if_it_has_nothing_of_its_own() -> None:
    areas = {area.name: area for area in load()}
    assert areas["J"].is_sum
    assert areas["J"].requirements == tuple(r for n in "1234" for r in areas[f"J.{n}"].requirements)
    assert not areas["C"].is_sum
    assert not set(areas["C"].requirements) & set(areas["C.1"].requirements)


def test_catalogue() -> None:
    areas = [area for area in load() if not area.is_sum]
    requirements = [r for area in areas for r in area.requirements]
    assert len({r.id for r in requirements}) == len(requirements)
    for r in requirements:
        assert re.fullmatch(r"[A-Z]+-\d\d", r.id)
        assert re.match(r"\d{4}|slides|strongSwan", r.rfc), r.id
        assert r.level in {"must", "should", "may", "consequence", ""}, r.id
        assert "\n" not in r.text, r.id
        assert 10 < len(r.text) <= 160, r.id
        assert r.text.endswith("."), r.id
