"""State files: whole or not at all, and honest about reboots."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from mip6 import statefile


@dataclass(frozen=True)
class State:
    address: IPv6Address
    at: float
    numbers: Mapping[int, str]
    maybe: float | None = None


STATE = State(IPv6Address("2001:db8::1"), 12.5, {1: "a"})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "state.json"
    statefile.save(path, STATE)
    loaded = statefile.load(path, State)
    assert loaded == (STATE, True, 0.0)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("contents", [b"", b"{", b'{"boot": 3}', b'{"boot":"x","boot_at":1,"state":{"address":"x"}}'])
def test_what_cannot_be_read_is_as_good_as_nothing(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "state.json"
    assert statefile.load(path, State) is None
    path.write_bytes(contents)
    assert statefile.load(path, State) is None


def test_after_a_reboot_instants_are_off_by_a_known_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    monkeypatch.setattr(statefile, "_boot_id", lambda: "one")
    monkeypatch.setattr(statefile, "_boot_at", lambda: 1000.0)
    statefile.save(path, STATE)
    monkeypatch.setattr(statefile, "_boot_id", lambda: "two")
    monkeypatch.setattr(statefile, "_boot_at", lambda: 1600.0)
    assert statefile.load(path, State) == (STATE, False, -600.0)


def test_a_full_disk_leaves_the_old_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    statefile.save(path, STATE)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left on device"):
        statefile.save(path, State(STATE.address, 99, {}))
    assert statefile.load(path, State) == (STATE, True, 0.0)
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]
