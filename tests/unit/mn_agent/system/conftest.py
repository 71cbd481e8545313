"""The bus of these tests is their own, and is looked for again soon."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from mn_agent.system import bus


@pytest.fixture(autouse=True)
def _own_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bus, "RETRY_S", 0.01)
    monkeypatch.setattr(bus, "LONGEST_RETRY_S", 0.02)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'bus'}")


@pytest.fixture(autouse=True)
def _nothing_to_collect() -> Iterator[None]:
    """As in the agent, which has no other tests' objects in memory either."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
