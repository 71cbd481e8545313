"""Configuration files are written whole or not at all."""

import os
import pwd
import stat
from pathlib import Path

import pytest

from mip6 import config_file
from mip6.config import ConfigError


def good(path: Path) -> None:
    assert path.read_text()


def bad(path: Path) -> None:
    raise ConfigError(f"{path}:1: no good")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "agent.toml"
    old = os.umask(0)
    try:
        config_file.create(path, "a = 1\n", good)
    finally:
        os.umask(old)
    assert (path.read_text(), mode(path), left(path.parent)) == ("a = 1\n", 0o600, ["agent.toml"])


def test_what_is_there_stays_unless_it_is_forced(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("old")
    with pytest.raises(ConfigError, match="agent.toml: there is one already; --force replaces it"):
        config_file.create(path, "new", good)
    assert path.read_text() == "old"
    config_file.create(path, "new", good, force=True)
    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_a_link_that_leads_nowhere_is_there_too(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="there is one already"):
        config_file.create(path, "new", good)


def test_what_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text("old")
    path.chmod(0o600)
    for write in (config_file.append, lambda *given: config_file.create(*given, force=True)):
        with pytest.raises(ConfigError) as caught:
            write(path, "new", bad)
        assert str(caught.value).endswith(f"{path}:1: no good")
        assert (path.read_text(), left(tmp_path)) == ("old", ["agent.toml"])


def test_what_is_appended_leaves_the_rest_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "home-agent.toml"
    path.write_text("# mine\na = 1  # why\n")
    path.chmod(0o640)
    config_file.append(path, "[b]\n", good)
    assert (path.read_text(), mode(path)) == ("# mine\na = 1  # why\n\n[b]\n", 0o640)
    path.write_text("a = 1")
    config_file.append(path, "[b]\n", good)
    assert path.read_text() == "a = 1\n\n[b]\n"


def test_the_file_behind_a_link_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "real.toml", tmp_path / "home-agent.toml"
    target.write_text("a = 1\n")
    target.chmod(0o600)
    link.symlink_to(target)
    config_file.append(link, "[b]\n", good)
    assert link.is_symlink()
    assert target.read_text() == "a = 1\n\n[b]\n"


def test_no_secret_goes_where_everybody_reads(tmp_path: Path) -> None:
    path = tmp_path / "home-agent.toml"
    path.write_text("a = 1\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=f"everybody may read or change it, and it holds secrets: chmod 600 {path}"):
        config_file.append(path, "[b]\n", good)
    assert path.read_text() == "a = 1\n"


def test_what_the_system_refuses_is_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="file: File exists"):
        config_file.create(file / "agent.toml", "a = 1\n", good)
    with pytest.raises(ConfigError, match="none.toml: No such file"):
        config_file.append(tmp_path / "none.toml", "a = 1\n", good)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_new_file_belongs_to_the_daemons_and_an_old_one_to_whom_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(config_file, "OWNER", "nobody")
    path = tmp_path / "agent.toml"
    config_file.create(path, "a = 1\n", good)
    assert (path.stat().st_uid, path.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
    config_file.append(path, "[b]\n", good)
    assert path.stat().st_uid == nobody.pw_uid
    monkeypatch.setattr(config_file, "OWNER", "no-such-user")
    config_file.create(path, "a = 1\n", good, force=True)
    assert path.stat().st_uid == 0
