import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from monami6 import doctor
from monami6.checks import CannotTellError, Check, Finding, Patient, ok, problem, warning
from monami6.exits import FAILED
from tests.unit.monami6.fake import FakeDaemon, result, status

Run = Callable[..., Result]


def cannot_tell(_patient: Patient) -> Finding:
    raise CannotTellError("it is dark", "switch the light on")


def is_refused(_patient: Patient) -> Finding:
    raise PermissionError(1, "Operation not permitted")


FINE = Check("fine", lambda _: ok("all is well"))
DOUBTFUL = Check("doubtful", lambda _: warning("it could be better", "make it better"))
UNKNOWN = Check("unseen", cannot_tell)
DENIED = Check("denied", is_refused)
WRONG = Check("wrong", lambda _: problem("it is broken", "mend it"))


@pytest.fixture
def examine(run: Run, monkeypatch: pytest.MonkeyPatch, socket_path: Path) -> Callable[..., Result]:
    """Runs the doctor with these checks."""

    def invoke(*checks: Check, options: tuple[str, ...] = ()) -> Result:
        monkeypatch.setattr(doctor, "AREAS", {"things": checks})
        with FakeDaemon(socket_path, {"status": result(status())}):
            return run("doctor", *options)

    return invoke


@pytest.mark.parametrize(
    ("checks", "exit_code"),
    [
        ((FINE,), 0),
        ((FINE, DOUBTFUL, UNKNOWN, DENIED), 0),
        ((FINE, WRONG, DOUBTFUL), FAILED),
        ((), 0),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_only_a_problem_is_a_failure(
    examine: Callable[..., Result], checks: tuple[Check, ...], exit_code: int, options: tuple[str, ...]
) -> None:
    done = examine(*checks, options=options)
    assert (done.exit_code, done.stderr) == (exit_code, "")


def test_every_line_says_what_was_found_and_what_to_do(examine: Callable[..., Result]) -> None:
    text = examine(FINE, DOUBTFUL, UNKNOWN, DENIED, WRONG).stdout
    assert "THINGS" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["fine", "ok", "all", "is", "well"] in rows
    assert ["doubtful", "warning", "it", "could", "be", "better"] in rows
    assert ["->", "make", "it", "better"] in rows
    assert ["unseen", "unknown", "it", "is", "dark"] in rows
    assert ["->", "switch", "the", "light", "on"] in rows
    assert "it could not be looked at: [Errno 1] Operation not permitted" in " ".join(text.split())
    assert "-> run the doctor as root" in text
    assert text.splitlines()[-1] == "1 problem, 1 warning, 2 unknown, 1 ok"


def test_json_has_the_same(examine: Callable[..., Result]) -> None:
    answer = json.loads(examine(FINE, UNKNOWN, options=("--json",)).stdout)
    assert answer == {
        "schema": 1,
        "checks": [
            {"area": "things", "check": "fine", "result": "ok", "found": "all is well", "remedy": None},
            {
                "area": "things",
                "check": "unseen",
                "result": "unknown",
                "found": "it is dark",
                "remedy": "switch the light on",
            },
        ],
    }


def test_it_fits_80_columns(examine: Callable[..., Result]) -> None:
    long = Check("reverse path", lambda _: warning("word " * 60, "do " * 60))
    assert max(map(len, examine(long).stdout.splitlines())) <= 80


def test_the_agent_is_asked_once(run: Run, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(patient: Patient) -> Finding:
        return ok(f"{patient.status['pid']} {patient.config_path}")

    monkeypatch.setattr(doctor, "AREAS", {"things": (Check("one", look), Check("two", look))})
    with FakeDaemon(socket_path, {"status": result(status())}) as daemon:
        done = run("doctor", "--config", str(tmp_path / "x"), "--json")
    assert f"4711 {tmp_path / 'x'}" in done.stdout
    assert len(daemon.requests) == 1


def test_the_real_list_has_no_name_twice_in_an_area() -> None:
    for checks in doctor.AREAS.values():
        names = [check.name for check in checks]
        assert len(set(names)) == len(names)
        assert all(len(name) <= 15 for name in names)


def test_without_an_agent_or_a_configuration_every_check_still_has_a_result(run: Run, tmp_path: Path) -> None:
    done = run("doctor", "--config", str(tmp_path / "none.toml"), "--json")
    assert done.exit_code == FAILED
    results = {one["check"]: one["result"] for one in json.loads(done.stdout)["checks"]}
    assert results["agent"] == "problem"
    assert results["configuration"] == "problem"
    for name in ("registration", "troubles", "interfaces", "routes", "MTU", "privileges", "secrets", "state directory"):
        assert results[name] == "unknown"
