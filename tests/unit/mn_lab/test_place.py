"""Where a lab keeps its files."""

from pathlib import Path

import pytest

from mn_lab import place
from mn_lab.commands import LabError


@pytest.mark.parametrize(
    ("uid", "own", "prefix", "path"),
    [
        (0, "", "m6-", "/run/monami6-lab"),
        (0, "/proc", "m6-test-", "/run/monami6-lab-test"),
        (1000, "/proc", "m6-", "/proc/monami6-lab"),
        (1000, "/proc", "m6-test-", "/proc/monami6-lab-test"),
        (1000, "", "m6-", "/tmp/monami6-lab-1000"),
        (1000, "/nowhere", "m6-test-", "/tmp/monami6-lab-test-1000"),
    ],
)
def test_the_directory(monkeypatch: pytest.MonkeyPatch, uid: int, own: str, prefix: str, path: str) -> None:
    monkeypatch.setattr(place, "outer_uid", lambda: uid)
    monkeypatch.setenv("XDG_RUNTIME_DIR", own)
    assert place.directory(prefix) == Path(path)


def test_a_directory_of_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "lab"
    place.open_directory(path)
    place.open_directory(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(LabError, match="somebody else"):
        place.open_directory(link)
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(LabError, match="somebody else"):
        place.open_directory(path)
