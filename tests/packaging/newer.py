"""The same packages once more with a higher version, for upgrades."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path


def make_newer(packages: Iterable[Path], directory: Path) -> list[Path]:
    """Packages of the same file names in `directory`: what they say of their version is 1 behind the last dot more."""
    directory.mkdir()
    return [_make_newer(package, directory) for package in packages]


def _make_newer(package: Path, directory: Path) -> Path:
    tree, made = directory / package.stem, directory / package.name
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = (tree / "DEBIAN/control").read_text()
    match = re.search(r"^Version: ([\d.]+)", control, re.MULTILINE)
    assert match is not None
    old, new = match[1], f"{match[1]}.1"
    (tree / "DEBIAN/control").write_text(control.replace(old, new))
    for metadata in tree.rglob(f"monami6-{old}.dist-info/METADATA"):
        metadata.write_text(metadata.read_text().replace(f"\nVersion: {old}\n", f"\nVersion: {new}\n"))
        metadata.parent.rename(metadata.parent.with_name(f"monami6-{new}.dist-info"))
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "--build"]
    subprocess.run([*build, str(tree), str(made)], check=True, capture_output=True)
    subprocess.run(["rm", "-r", tree], check=True)
    return made
