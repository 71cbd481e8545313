"""Tests in here need root and some tools, and say so rather than be skipped."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.machine import Machine

ROOT = Path(__file__).parents[2]
TOOLS = ("busybox", "dpkg-deb", "groff", "systemd-analyze", "systemd-sysusers", "systemd-tmpfiles", "unshare")


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    """Everything in here depends on it."""
    if os.geteuid() != 0:
        pytest.fail("these tests need root: sudo ./dev test", pytrace=False)
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.fail(f"these tests need programs that are not installed: {', '.join(missing)}", pytrace=False)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, because setuptools writes into it."""
    directory = tmp_path_factory.mktemp("source")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=files, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", directory], input=packed.stdout, check=True)
    return directory


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(["pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", directory, source], check=True)
    (wheel,) = directory.glob("monami6-*.whl")
    return wheel


@pytest.fixture(scope="session")
def packages() -> list[Path]:
    """The Debian packages, in the order in which to install them; tests/vm installs them, too."""
    directory = ROOT / ".cache" / "deb"
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([ROOT / "packaging/deb/build", directory], check=True, capture_output=True)
    return [next(directory.glob(f"{name}_*.deb")) for name in ("monami6", "monami6-ha")]
