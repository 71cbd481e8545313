"""The packages for suites of Debian that this machine need not be. What is left of the first is for tests/vm: a machine
on which they are installed, and newer ones.
"""

import re
import shutil
import subprocess

import pytest

from tests.packaging.conftest import ROOT
from tests.packaging.newer import make_newer

PYTHON = {"bookworm": ("3.11", "3.12"), "trixie": ("3.13", "3.14")}


@pytest.mark.parametrize("suite", PYTHON)
def test_they_are_built_and_installed_and_their_programs_run(suite: str) -> None:
    directory = ROOT / ".cache" / f"deb-{suite}"
    shutil.rmtree(directory, ignore_errors=True)
    done = subprocess.run([ROOT / "packaging/deb/suite", suite, directory], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^monami6, version [\d.]+$", done.stdout, re.MULTILINE)
    packages = [next(directory.glob(f"{name}_*.deb")) for name in ("monami6", "monami6-ha")]
    depends = field(str(packages[0]), "Depends")
    at_least, below = PYTHON[suite]
    assert f"python3 (>= {at_least}), python3 (<< {below})" in depends
    for package in make_newer(packages, directory / "newer"):
        versions = field(str(package), "Version"), "gt", field(str(directory / package.name), "Version")
        subprocess.run(["dpkg", "--compare-versions", *versions], check=True)

    subprocess.run(["cp", "-a", ROOT / ".cache" / f"debian-{suite}", directory / "machine"], check=True)
    own_mounts = ["unshare", "--mount", "--propagation=private"]
    subprocess.run([*own_mounts, "sh", "-euc", INSTALL, str(directory)], check=True, capture_output=True)


INSTALL = """
mount -t proc proc "$0/machine/proc"
mkdir "$0/machine/root/packages"
mount --bind "$0" "$0/machine/root/packages"
PATH=/usr/sbin:/usr/bin:/sbin:/bin exec chroot "$0/machine" sh -c 'dpkg --install /root/packages/*.deb'
"""


def field(package: str, name: str) -> str:
    """Of its control file."""
    return subprocess.run(
        ["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True
    ).stdout.strip()
