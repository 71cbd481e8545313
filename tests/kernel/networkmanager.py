"""A NetworkManager for the mobile node of a lab, with a bus of its own. It can reach nothing of this machine.

It runs in the node's network namespace, and in mount, UTS and IPC namespaces of its own. There the file system is
read-only, /sys too, by which NetworkManager knows that udev is not its; in place of /run, of its configuration and of
what it remembers there are directories of the test's.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copy
from types import MappingProxyType
from typing import NamedTuple

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS
from tests.kernel.sandbox import Sandbox

CORRESPONDENT_NAME = "correspondent.example.org"
"""It cannot do without one."""
ROOT = Path(__file__).parents[2]
HOOK = ROOT / "packaging" / "networkmanager" / "50-monami6"
DISPATCHER = "/usr/lib/NetworkManager/nm-dispatcher"

_SANDBOX = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 run "$1/run"
mkdir "$1/run/NetworkManager" "$1/run/${2##*/}"
mount --bind "$2" "$1/run/${2##*/}"
mount --bind "$1/etc" /etc/NetworkManager
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/lib" /var/lib/NetworkManager
mount -n --move "$1/run" /run
mount -o remount,ro,bind /sys
mount -o remount,ro,bind /
echo ready
exec sleep infinity
"""
_BUS = """
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""
_CONFIGURATION = """
[main]
plugins=keyfile
auth-polkit=false
dns=none
rc-manager=unmanaged
hostname-mode=none
no-auto-default=*

[logging]
level=INFO
"""
_CONNECTION = """
[connection]
id={name}
uuid=6d6f6e61-6d69-4600-8000-{number:012x}
type={kind}
interface-name={interface}
autoconnect={autoconnect}
{network}

[ipv4]
method=disabled

[ipv6]
method=auto
addr-gen-mode=eui64
"""
_NETWORK = """
[wifi]
ssid={ssid}

[wifi-security]
key-mgmt=wpa-psk
psk={passphrase}
"""
_MONAMI6 = """#!/bin/sh
PYTHONPATH={root}:{root}/cli exec {python} -m monami6 --socket {socket} "$@"
"""


class Network(NamedTuple):
    """A Wi-Fi network, protected by WPA2."""

    ssid: str
    passphrase: str


class Desktop(Sandbox):
    """While the context lasts."""

    namespaces = ("--mount", "--uts", "--ipc")

    def __init__(
        self,
        lab: Lab,
        directory: Path,
        configuration: str = "",
        networks: Mapping[str, Network] = MappingProxyType({}),
    ) -> None:
        """`configuration`: more of NetworkManager's. `networks`: those that it joins of its own accord, by link; all
        other links are cables.
        """
        bus, path = f"unix:path={lab.directory / 'bus'}", f"{directory / 'bin'}:{os.environ['PATH']}"
        super().__init__(lab, directory, DBUS_SYSTEM_BUS_ADDRESS=bus, PATH=path)
        self._networks = networks
        self._write(configuration)

    def script(self) -> str:
        return _SANDBOX

    def start_all(self) -> None:
        self.start_bus()
        self.start_dispatcher()
        if self._networks:
            self._start("wpa_supplicant", "stdbuf", "-oL", "wpa_supplicant", "-u", "-t")
        self.start()

    def _write(self, configuration: str) -> None:
        for name in ("bin", "lib", "run", "etc/conf.d", "etc/dispatcher.d/pre-down.d", "etc/system-connections"):
            (self._directory / name).mkdir(parents=True)
        (self._directory / "hosts").write_text(f"{CORRESPONDENT_ADDRESS} {CORRESPONDENT_NAME}\n")
        (self._directory / "bus.conf").write_text(_BUS.format(socket=self._lab.directory / "bus"))
        (self._directory / "etc" / "NetworkManager.conf").write_text(_CONFIGURATION + configuration)
        for link in self._lab.layout.links:
            file = self._directory / "etc" / "system-connections" / f"{link.name}.nmconnection"
            network = self._networks.get(link.name)
            file.touch(mode=0o600)
            file.write_text(
                _CONNECTION.format(
                    name=connection(link.name),
                    number=link.number,
                    interface=link.interface,
                    kind="wifi" if network else "ethernet",
                    autoconnect="true" if network else "false",
                    network=_NETWORK.format(**network._asdict()) if network else "",
                )
            )
        program = self._directory / "bin" / "monami6"
        program.write_text(_MONAMI6.format(root=ROOT, python=sys.executable, socket=self._lab.agent.path))
        program.chmod(0o755)

    # Its parts

    def start_bus(self) -> None:
        """And wait until it listens."""
        socket = self._lab.directory / "bus"
        socket.unlink(missing_ok=True)
        self._start("bus", "dbus-daemon", "--nofork", "--nopidfile", f"--config-file={self._directory / 'bus.conf'}")
        self._wait(socket.exists, "a bus")

    def kill_bus(self) -> None:
        self._end("bus")

    def start_dispatcher(self) -> None:
        """What runs programs for NetworkManager."""
        assert Path(DISPATCHER).exists(), f"{DISPATCHER} is not installed"
        self._start("dispatcher", DISPATCHER, "--persist")
        self._wait(self._has_dispatcher, DISPATCHER)

    def _has_dispatcher(self) -> bool:
        """Whether NetworkManager can find it."""
        question = (
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.NameHasOwner",
            "string:org.freedesktop.nm_dispatcher",
        )
        command = [*self._inside, "dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", *question]
        done = subprocess.run(command, env=self._environment, check=False, stdout=subprocess.PIPE, text=True)
        return "true" in done.stdout

    def kill_dispatcher(self) -> None:
        self._end("dispatcher")

    def start(self) -> None:
        """And wait until it answers."""
        self._start("networkmanager", "NetworkManager", "--debug")
        self._wait(lambda: self.nmcli("-t", "-f", "RUNNING", "general", check=False) == "running\n", "NetworkManager")

    def kill(self) -> None:
        self._end("networkmanager")

    def install_hook(self) -> None:
        """What keeps NetworkManager waiting until the agent has moved the traffic."""
        copy(HOOK, self._hook)

    def remove_hook(self) -> None:
        self._hook.unlink(missing_ok=True)

    @property
    def _hook(self) -> Path:
        return self._directory / "etc" / "dispatcher.d" / "pre-down.d" / HOOK.name

    # What people do

    def nmcli(self, *arguments: str, check: bool = True) -> str:
        """What it prints. Raises CalledProcessError when it fails, if that is to be checked."""
        command = [*self._inside, "nmcli", *arguments]
        return subprocess.run(
            command, env=self._environment, check=check, stdout=subprocess.PIPE, text=True, timeout=60
        ).stdout

    def doctor(self) -> dict[str, dict[str, str]]:
        """What it finds here, by check."""
        command = [*self._inside, "monami6", "doctor", "--json"]
        done = subprocess.run(command, env=self._environment, check=False, stdout=subprocess.PIPE, text=True)
        return {one["check"]: one for one in json.loads(done.stdout)["checks"]}

    def down(self, link: str) -> None:
        self.nmcli("--wait", "50", "connection", "down", connection(link))

    def up(self, link: str) -> None:
        """Whether it is up already or not."""
        self.nmcli("connection", "up", connection(link))


def connection(link: str) -> str:
    """What it is called."""
    return f"{link} connection"
