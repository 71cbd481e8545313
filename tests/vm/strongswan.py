"""strongSwan in network namespaces: each charon has a mount namespace too, where the usual paths are its own."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mn_lab.network import in_namespace
from tests.vm.notices import started

_START_S = 60.0

_STRONGSWAN_CONF = """
charon-systemd {
    load = random nonce aes sha1 sha2 hmac kdf gmp pem pkcs1 pkcs8 x509 pubkey kernel-netlink socket-default vici
    filelog {
        stderr {
        }
    }
}
swanctl {
    load = random
}
"""
_RUN = """
set -e
mount -t tmpfs -o mode=755 run /run
mount --bind "$0/strongswan.conf" /etc/strongswan.conf
mount --bind "$0/swanctl.conf" /etc/swanctl/swanctl.conf
exec charon-systemd
"""


@dataclass(frozen=True, slots=True)
class Charon:
    """A charon that runs in a namespace."""

    pid: int

    @property
    def vici(self) -> Path:
        """Its socket, as it is reached from outside of its mount namespace."""
        return Path(f"/proc/{self.pid}/root/run/charon.vici")

    def swanctl(self, *arguments: str) -> str:
        """What it prints. Raises CalledProcessError when it fails."""
        command = ["nsenter", "--target", str(self.pid), "--mount", "--net", "swanctl", *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextmanager
def running_charon(namespace: str, directory: Path, swanctl_conf: str) -> Iterator[Charon]:
    """A charon that has loaded these connections and secrets; its log goes to our standard error. `directory` becomes
    its own.
    """
    directory.mkdir()
    (directory / "strongswan.conf").write_text(_STRONGSWAN_CONF)
    (directory / "swanctl.conf").write_text(swanctl_conf)
    with started(in_namespace(namespace, "sh", "-c", _RUN, str(directory)), directory) as program:
        charon = Charon(program.pid)
        _wait_until_it_listens(charon.vici)
        charon.swanctl("--load-all")
        yield charon


def _wait_until_it_listens(path: Path) -> None:
    """It says that it is ready some tenths of a second before it does."""
    end = time.monotonic() + _START_S
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(str(path)):
            assert time.monotonic() < end, "charon does not listen"
            time.sleep(0.05)
