"""Debian's stock kernel, unpacked from its package and not installed, and an initramfs to boot it with."""

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mn_lab.commands import LabError, run

_PACKAGE = "linux-image-amd64"
"""It contains nothing, and depends on the current kernel's."""
_USEFUL = (
    "*/boot/vmlinuz-*",
    "*/modules.*",
    *(f"*/kernel/{part}" for part in ("arch", "crypto", "fs", "lib", "net")),
    *(f"*/kernel/drivers/{part}" for part in ("char", "net", "virtio")),
)
"""What of it a machine without hardware can use: a third."""
_USELESS = "*/net/ethernet"

_FIRST_MODULES = ("virtio_mmio", "9pnet_virtio", "9p", "overlay", "virtio_console")
"""What it takes to reach all others."""


@dataclass(frozen=True, slots=True)
class Kernel:
    image: Path
    modules: Path
    """Its directory of /lib/modules; the name is its release."""


def kernel_in(directory: Path) -> Kernel:
    """The kernel that is there; the current one is fetched if there is none. Raises LabError when that fails."""
    if not directory.exists():
        if platform.machine() != "x86_64":
            raise LabError(f"the VM is an x86_64 machine, and this one is {platform.machine()}")
        new = directory.with_name(f"{directory.name}.{os.getpid()}")
        new.mkdir(parents=True)
        try:
            _unpack(_download(new), new)
            new.rename(directory)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    (image,) = directory.glob("boot/vmlinuz-*")
    (modules,) = directory.glob("**/lib/modules/*")
    return Kernel(image, modules)


def _download(directory: Path) -> Path:
    try:
        _download_known(directory)
    except LabError:  # apt's lists are out of date, or there are none
        run(["apt-get", "update"])
        _download_known(directory)
    (package,) = directory.glob("*.deb")
    return package


def _download_known(directory: Path) -> None:
    match = re.search(r"^Depends: (linux-image-\S+)", run(["apt-cache", "show", _PACKAGE]), re.MULTILINE)
    if match is None:
        raise LabError(f"{_PACKAGE} depends on no kernel")
    run(["env", "-C", str(directory), "apt-get", "download", match[1]])


def _unpack(package: Path, directory: Path) -> None:
    """Unpack what is useful, and remove the package file."""
    extract = ["tar", "-x", "-C", str(directory), "--wildcards", f"--exclude={_USELESS}", *_USEFUL]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as archive:
        subprocess.run(extract, stdin=archive.stdout, check=True)
    package.unlink()
    (modules,) = directory.glob("**/lib/modules/*")
    run(["depmod", "-b", str(modules.parents[2]), modules.name])


def pack_initramfs(kernel: Kernel, init: Path, command: str, root: Path) -> Path:
    """An archive of busybox, the first modules in the order to load them, /init, and /command, a shell script. It is
    laid out in `root`, an empty directory, and packed beside it. Raises LabError when that fails.
    """
    busybox = shutil.which("busybox") or "/bin/busybox"
    contents = {"bin/busybox": Path(busybox), "init": init}
    # Debian has it in two packages, one of them linked statically
    contents |= {library[1:]: Path(library) for library in re.findall(r"/\S+", _linked(busybox))}
    contents |= {f"modules/{number:02}-{module.name}": module for number, module in enumerate(_first_modules(kernel))}
    for name, source in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / name)
    (root / "command").write_text(command)
    archive = root.with_suffix(".cpio")
    run(["sh", "-c", 'cd "$0" && find . | cpio -o -H newc --quiet > "$1"', str(root), str(archive)])
    return archive


def _linked(program: str) -> str:
    """What ldd says: nothing of a program that needs no libraries."""
    return subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout


def _first_modules(kernel: Kernel) -> list[Path]:
    tree, release = kernel.modules.parents[2], kernel.modules.name
    lines = run(["modprobe", "-d", str(tree), "-S", release, "-a", "--show-depends", *_FIRST_MODULES]).splitlines()
    return list(dict.fromkeys(Path(line.split()[1]) for line in lines if line.startswith("insmod")))
