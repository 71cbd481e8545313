"""The Debian packages, installed where they harm nobody."""

import subprocess
from pathlib import Path

from tests.packaging.machine import Machine, install

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


def test_nothing_is_left_when_the_agent_is_purged_first(machine: Machine, packages: list[Path]) -> None:
    install(machine, packages)
    machine.run(f"{STRING} | tail -n 1 | monami6 setup -")
    machine.run("dpkg --remove monami6-ha monami6")
    machine.run("dpkg --purge monami6")
    assert machine.run("stat -c %U /etc/monami6/home-agent.toml") == "monami6"
    machine.run("dpkg --purge monami6-ha")
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
