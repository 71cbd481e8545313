"""A claimed requirement must be proved: tests/conformance.py says by what."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.conformance import catalogue, claims, faults, load

# A slow machine is no failure; "ci", which ./dev test takes, has no deadline either
settings.register_profile("chance", deadline=None)
settings.load_profile("chance")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if found := faults(items, catalogue(load())):
        raise pytest.UsageError("\n".join(found))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped claim is a failure; so is one that gives up by pytest.xfail(). (Marked as xfail it covers nothing.)"""
    report = yield
    if report.skipped and call.excinfo and claims(item) and not item.get_closest_marker("xfail"):
        report.outcome = "failed"
        report.longrepr = f"the proof of {', '.join(claims(item))} must not be skipped: {call.excinfo.value}"
    return report
