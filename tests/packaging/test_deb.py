"""The Debian packages, installed where they harm nobody: on this machine's file system under a layer in memory."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SHELL = """
set -e
layer=$(mktemp -d) && mount -t tmpfs none $layer && mkdir $layer/upper $layer/work $layer/root
mount -t overlay -o lowerdir=/,upperdir=$layer/upper,workdir=$layer/work none $layer/root
cd $layer/root
mount -t proc none proc && mount --rbind /dev dev && mount -t tmpfs none run && mount -t sysfs none sys
echo $layer/upper
while IFS= read -r line; do
    chroot . /bin/sh -c "$line" 2>&1 && echo "exit 0" || echo "exit $?"
done
"""
NOT_OURS = ("var/lib/dpkg/", "var/log/", "var/cache/", "var/lib/systemd/deb-systemd-helper", "etc/.pwd.lock")
USERS = r"etc/(passwd|group|shadow|gshadow|subuid|subgid)-?"


class Machine:
    """A machine that is lost afterwards."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", SHELL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},  # nothing that leads to the checkout
        )
        self._changes = self._line()

    def _line(self) -> str:
        assert self._shell.stdout is not None
        line = self._shell.stdout.readline()
        assert line, "the shell is gone"
        return line.rstrip("\n")

    def run(self, command: str) -> str:
        """In a shell; gives what it prints. It must not fail."""
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{command}\n")
        self._shell.stdin.flush()
        lines = []
        while not (ending := re.fullmatch(r"exit (\d+)", line := self._line())):
            lines.append(line)
        assert ending[1] == "0", "\n".join([command, *lines])
        return "\n".join(lines)

    def changed(self) -> set[str]:
        """Files and directories that are new or different, also those that are gone."""
        base = Path(f"/proc/{self._shell.pid}/root{self._changes}")
        found = {
            str(path.relative_to(base)) for path in base.rglob("*") if not path.is_dir() or not _is_old(path, base)
        }
        return {path for path in found if not path.startswith(NOT_OURS) and not re.fullmatch(USERS, path)}

    def close(self) -> None:
        self._shell.communicate()


def _is_old(directory: Path, base: Path) -> bool:
    return Path("/", directory.relative_to(base)).is_dir()


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.close()


def install(machine: Machine, packages: list[Path]) -> None:
    machine.run(f"DEBIAN_FRONTEND=noninteractive dpkg -i {' '.join(map(str, packages))}")


STRING = (
    "monami6-ha init --address 2001:db8:aa::1 --prefix 2001:db8:f00::/64 --yes; monami6-ha add-node laptop 2> /dev/null"
)


def test_they_are_installed_used_upgraded_and_removed_without_a_trace(machine: Machine, packages: list[Path]) -> None:
    install(machine, packages)
    for program in ("monami6", "monami6d", "monami6-ha"):
        assert machine.run(f"cd / && {program} --help").startswith("Usage: ")
    assert "prefer-wired" in machine.run("monami6 policy list")
    machine.run("echo 'description = \"mine\"' > /etc/monami6/policies/mine.toml")
    machine.run(f"{STRING} | tail -n 1 | monami6 setup -")
    written = machine.run("stat -c '%a %U %n' /etc/monami6/*.toml").splitlines()
    assert written == ["600 monami6 /etc/monami6/agent.toml", "600 monami6 /etc/monami6/home-agent.toml"]
    assert machine.run("monami6 doctor --json || true").count('"check": "configuration", "result": "ok"') == 1

    before = machine.run("cat /etc/monami6/*.toml")
    install(machine, packages)
    machine.run("dpkg --remove monami6-ha monami6")
    assert machine.run("cat /etc/monami6/*.toml") == before
    assert not {path for path in machine.changed() if path.startswith(("usr/bin/", "usr/lib/monami6"))}

    machine.run("dpkg --purge monami6-ha monami6")
    assert machine.changed() == set()
    assert machine.run("getent passwd monami6 || getent group monami6 || echo none") == "none"


def test_units_completions_and_man_pages_are_in_their_places(machine: Machine, packages: list[Path]) -> None:
    install(machine, packages)
    for unit in ("monami6d", "monami6-ha"):
        assert machine.run(f"systemctl --root=/ is-enabled {unit}.service") == "enabled"
        assert machine.run(f"systemd-analyze verify {unit}.service") == ""
    dispatcher = "/usr/lib/NetworkManager/dispatcher.d/pre-down.d/50-monami6"
    assert machine.run(f"stat -c '%a %U' {dispatcher}") == "755 root"
    for file in ("dbus-1/system.d/org.monami6.Agent1.conf", "polkit-1/actions/org.monami6.agent.policy"):
        assert machine.run(f"stat -c '%a %U' /usr/share/{file}") == "644 root"
    for program, section in (("monami6", 1), ("monami6d", 8), ("monami6-ha", 8)):
        page = machine.run(f"zcat /usr/share/man/man{section}/{program}.{section}.gz")
        rendered = subprocess.run(
            ["groff", "-man", "-Tutf8", "-P-cbou", "-ww"], input=page, capture_output=True, text=True, check=True
        )
        assert rendered.stderr == ""
        assert f"{program} - " in " ".join(rendered.stdout.split())
    page = machine.run("zcat /usr/share/man/man1/monami6.1.gz")
    for command in ("setup", "status", "policy use", "lab link"):
        assert f".SS monami6 {command}\n" in page
    for path in (
        *("bash-completion/completions/{}", "zsh/vendor-completions/_{}", "fish/vendor_completions.d/{}.fish"),
    ):
        for program in ("monami6", "monami6-ha"):
            assert program in machine.run(f"cat /usr/share/{path.format(program)}")
    words = machine.run("COMP_WORDS='monami6 sta' COMP_CWORD=1 _MONAMI6_COMPLETE=bash_complete monami6")
    assert words == "plain,status"


def test_nothing_in_them_says_where_they_were_built(packages: list[Path], tmp_path: Path) -> None:
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    for place in (str(packages[0].parent), str(Path(__file__).parents[2]), "/tmp/"):
        found = subprocess.run(
            ["grep", "-rlF", f"{place}", tmp_path / "usr/lib/monami6/bin", tmp_path / "usr/lib/monami6/pyvenv.cfg"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert found.stdout == ""
    compiled = list(tmp_path.rglob("mip6/__pycache__/daemon.*.pyc"))
    assert len(compiled) == 1
    assert b"/usr/lib/monami6/lib" in compiled[0].read_bytes()
