"""A system bus for the mobile node of a lab, as distributions configure it, with polkit and what our package installs.

All of it runs in a mount namespace of its own. There the file system is read-only, and has users that this machine has
not: the agent's, and some people.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copy

from mn_lab import processes
from mn_lab.lab import Lab
from tests.kernel.sandbox import PATIENCE_S, Sandbox
from tests.kernel.unprivileged import open_the_way

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
POLKITD = "/usr/lib/polkit-1/polkitd"
CONFIGURATION = "/usr/share/dbus-1/system.conf"
POLKIT_CONFIGURATION = Path("/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf")

AGENT, ALICE, BOB, CAROL, NOBODY = 64014, 64015, 64016, 64017, 65534
"""The agent's user; one whom polkit lets switch; one whom it lets nothing; one in our group."""
_USERS = {"monami6": AGENT, "alice": ALICE, "bob": BOB, "carol": CAROL}

_SANDBOX = """
set -e
mount --make-rprivate /
{open_the_way}
mount -t tmpfs -o mode=755 run "$1/run"
mkdir -p "$1/run/${{2##*/}}" "$1/run/dbus" "$1/run/systemd/seats" "$1/run/systemd/sessions" "$1/run/systemd/users" \
    "$1/run/systemd/machines"
mount --bind "$2" "$1/run/${{2##*/}}"
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
mount --bind "$1/bus" /usr/share/dbus-1/system.d
mount --bind "$1/actions" /usr/share/polkit-1/actions
mount --bind "$1/rules" /etc/polkit-1/rules.d
mount -n --move "$1/run" /run
mount -o remount,ro,bind /
echo ready
exec sleep infinity
"""
_FAKES = """
<busconfig>
  <policy user="root">
    <allow own="org.freedesktop.login1"/>
  </policy>
</busconfig>
"""
"""A test may be logind."""
_RULES = """
polkit.addRule(function(action, subject) {
    if (action.id == "org.monami6.agent.switch" && subject.user == "alice") {
        return polkit.Result.YES;
    }
});
"""
_AS_AGENT = (
    *("setpriv", f"--reuid={AGENT}", f"--regid={AGENT}", "--clear-groups", "--no-new-privs"),
    *(f"--{kind}=-all,+net_admin,+net_raw" for kind in ("bounding-set", "inh-caps", "ambient-caps")),
)


class SystemBus(Sandbox):
    """While the context lasts; the lab is up."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._socket = lab.directory / "bus"
        self.address = f"unix:path={self._socket}"
        super().__init__(lab, directory, DBUS_SYSTEM_BUS_ADDRESS=self.address)
        self._write()

    def script(self) -> str:
        return _SANDBOX.format(open_the_way="\n".join(open_the_way(str(self._directory / "aside"))))

    def start_all(self) -> None:
        self.start_bus()
        self.start_polkit()

    def _write(self) -> None:
        for name in ("run", "bus", "actions", "rules", "aside"):
            (self._directory / name).mkdir(parents=True)
        for name in ("passwd", "group"):
            shown = "{0}:x:{1}:{1}::/nonexistent:/bin/sh\n" if name == "passwd" else "{0}:x:{1}:\n"
            own = "".join(shown.format(*user) for user in _USERS.items())
            (self._directory / name).write_text(Path("/etc", name).read_text() + own)
        group = self._directory / "group"
        group.write_text(group.read_text().replace(f"monami6:x:{AGENT}:\n", f"monami6:x:{AGENT}:carol\n"))
        copy(PACKAGING / "dbus" / "org.monami6.Agent1.conf", self._directory / "bus")
        (self._directory / "bus" / "test.conf").write_text(_FAKES)
        copy(POLKIT_CONFIGURATION, self._directory / "bus")
        copy(PACKAGING / "polkit" / "org.monami6.agent.policy", self._directory / "actions")
        (self._directory / "rules" / "50-test.rules").write_text(_RULES)
        for path in (self._directory, *self._directory.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)

    # Its parts

    def start_bus(self) -> None:
        """And wait until it listens."""
        self._socket.unlink(missing_ok=True)
        options = ("--nofork", "--nopidfile", "--nosyslog", f"--address={self.address}")
        self._start("bus", "dbus-daemon", *options, f"--config-file={CONFIGURATION}")
        self._wait(self._socket.exists, "a bus")

    def kill_bus(self) -> None:
        """Polkit ends with it."""
        self._end("bus")
        self._processes.pop("polkit").communicate(timeout=PATIENCE_S)

    def start_polkit(self) -> None:
        """And wait until it answers."""
        assert Path(POLKITD).exists(), f"{POLKITD} is not installed"
        self._start("polkit", POLKITD, "--no-debug")
        self._wait(lambda: "org.monami6.agent.switch" in self.run("pkaction").stdout.split(), "polkit")

    def kill_polkit(self) -> None:
        self._end("polkit")

    def start_agent(self) -> None:
        """As its service does it, in place of the one that runs."""
        self._lab.kill_agent(signal.SIGTERM)
        for file in (self._lab.directory, self._lab.configuration["agent"], *self._lab.directory.glob("agent.*")):
            os.chown(file, AGENT, AGENT)
        config = str(self._lab.configuration["agent"])
        bus = ("env", f"DBUS_SYSTEM_BUS_ADDRESS={self.address}")
        command = [*self._inside, *_AS_AGENT, *bus, sys.executable, "-m", "mn_agent", "--config", config]
        self._lab.processes["agent"] = processes.start(command, self._lab.directory / "agent.log")
        self._lab.wait_registered()

    # What people do

    def run(self, *command: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        """In there, as this user."""
        return subprocess.run(
            [*self.command(user), *command],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def command(self, user: int = 0) -> list[str]:
        """What makes a command line run there."""
        name = next((name for name, number in _USERS.items() if number == user), None)
        groups = "--init-groups" if name is not None else "--clear-groups"
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", groups] if user else []
        return [*self._inside, *become]

    def monami6(self, *arguments: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "monami6", "--socket", str(self._lab.agent.path), *arguments, user=user)

    def busctl(self, *arguments: str, user: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run("busctl", f"--address={self.address}", "--json=short", *arguments, user=user)
