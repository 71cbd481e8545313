"""What benchmarks compare with: a tunnel of strongSwan's alone, which follows the mobile node by MOBIKE (RFC 4555).

The network is a lab's, with static care-of addresses and no agents. strongSwan moves when the route to its peer moves,
and takes no notice of a carrier: that is left to a network manager. mn_lab/bare.py is the quickest there can be.
"""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address
from typing import Self

from mn_lab import network, place, processes, strongswan
from mn_lab.commands import LabError, ip_batch, require, run, run_all
from mn_lab.lab import take_down
from mn_lab.layout import (
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    MOBILE_NODE,
    Layout,
    plan,
)
from mn_lab.network import LinkAction
from mn_lab.traffic import RATE, End, Traffic

LINKS = ("ethernet", "wifi")
"""The tunnel is over the first, and over the second while that has no carrier."""
PATIENCE_S = 120.0
"""How long something may take before it counts as failed: in an emulated machine, long."""

_LOOK_S = 0.05
_CONNECTION, _CHILD = "gateway", "home"
_IDENTITIES = {MOBILE_NODE: "mobile@lab.example.org", HOME_AGENT: "gateway.lab.example.org"}


class Mobike:
    """Network and tunnel, for the length of a `with` block. The gateway is at the home agent's node."""

    def __init__(self, prefix: str) -> None:
        self.layout = plan(LINKS, prefix)
        self._directory = place.directory(prefix)

    def __enter__(self) -> Self:
        """Returns when the tunnel is there. Raises LabError, and leaves nothing behind, when it can't be."""
        require(["ip", "nft", "swanctl", "sysctl", strongswan.TOOL])
        try:
            place.open_directory(self._directory)
            network.create(self.layout)
            network.check_sources(self.layout)
            run_all([ip_batch(_addresses(self.layout), self.layout.namespace(MOBILE_NODE))])
            for node in (HOME_AGENT, MOBILE_NODE):
                self._start_charon(node)
            self._swanctl(MOBILE_NODE, "--initiate", "--child", _CHILD, "--timeout", f"{PATIENCE_S:g}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        take_down(self.layout.prefix, LINKS)

    def command(self, node: str, *command: str) -> list[str]:
        """The command line that runs a command there. Raises NoSuchThingError when there is no such node."""
        return network.in_namespace(self.layout.namespace(node), *command)

    def traffic(self, rate: int = RATE) -> Traffic:
        """Traffic between the home address and the correspondent, for the length of a `with` block."""
        return Traffic(
            End(self.command(MOBILE_NODE), str(HOME_ADDRESS)),
            End(self.command(CORRESPONDENT), str(CORRESPONDENT_ADDRESS)),
            rate,
        )

    @contextmanager
    def network_manager(self) -> Iterator[None]:
        """Meanwhile something sees to it that the default route leads over the second link once the first has lost its
        carrier. Give that back before the next time.
        """
        first, second = self.layout.links
        what = [first.interface, second.interface, str(second.router), "::/0"]
        argv = self.command(MOBILE_NODE, sys.executable, "-m", "mn_lab.bare", *what)
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as program:
            try:
                assert program.stdout is not None
                program.stdout.readline()
                yield
            finally:
                program.kill()

    def lose_carrier(self) -> None:
        """The first link's."""
        network.change_link(self.layout, LINKS[0], LinkAction.DOWN)

    def return_carrier(self) -> None:
        """And the default route to the first link."""
        network.change_link(self.layout, LINKS[0], LinkAction.UP)
        route = _default_route(self.layout, LINKS[0])
        run_all([ip_batch([f"route replace {route}"], self.layout.namespace(MOBILE_NODE))])

    def wait_moved(self, link: str) -> None:
        """Until both ends have the tunnel on this link. Raises LabError when that takes too long."""
        there = _care_of_address(self.layout, link)
        end_at = time.monotonic() + PATIENCE_S
        while self._care_of_addresses() != {there}:
            if time.monotonic() > end_at:
                raise LabError(f"the tunnel does not move to {link}")
            time.sleep(_LOOK_S)

    def _care_of_addresses(self) -> set[IPv6Address]:
        """The mobile node's ends of the tunnel, as either end has it."""
        found = set()
        for node, side in ((MOBILE_NODE, "local"), (HOME_AGENT, "remote")):
            listing = self._swanctl(node, "--list-sas", "--ike", _CONNECTION)
            found |= set(re.findall(rf"^  {side} .* @ ([0-9a-f:]+)\[", listing, re.MULTILINE))
        return {IPv6Address(address) for address in found}

    def _start_charon(self, node: str) -> None:
        """Returns when it is ready for the other."""
        strongswan.file(self._directory, node).write_text(_settings(self._vici(node)))
        connections = self._directory / f"{node}.swanctl.conf"
        connections.touch(mode=0o600)
        connections.write_text(_connections(node))
        command = self.command(node, *strongswan.command(self._directory, node))
        processes.start(command, self._directory / f"{node}-charon.log")
        _wait_until_it_listens(str(strongswan.vici(self._directory, node)))
        self._swanctl(node, "--load-all", "--noprompt", "--file", str(connections))

    def _vici(self, node: str) -> str:
        return f"unix://{strongswan.vici(self._directory, node)}"

    def _swanctl(self, node: str, *arguments: str) -> str:
        return run(
            [
                *("env", f"STRONGSWAN_CONF={strongswan.file(self._directory, node)}"),
                *("swanctl", *arguments, "--uri", self._vici(node)),
            ]
        )


def _addresses(layout: Layout) -> Iterator[str]:
    yield f"address add {HOME_ADDRESS}/128 dev lo"
    for link in layout.links:
        yield f"address add {_care_of_address(layout, link.name)}/64 dev {link.interface} nodad"
    yield f"route add {_default_route(layout, LINKS[0])}"


def _care_of_address(layout: Layout, link: str) -> IPv6Address:
    return layout.link(link).prefix[16]


def _default_route(layout: Layout, link: str) -> str:
    return f"default via {layout.link(link).router} dev {layout.link(link).interface}"


def _settings(vici: str) -> str:
    """As it is by default, but for its plugins and its socket."""
    return f"""\
charon-systemd {{
  load = {strongswan.PLUGINS}
  plugins {{
    vici {{
      socket = {vici}
    }}
  }}
  filelog {{
    stderr {{
      default = 1
    }}
  }}
}}
swanctl {{
  load = random
}}
"""


def _connections(node: str) -> str:
    """swanctl.conf of either end. The algorithms are those that our own connections have."""
    home, correspondent = f"{HOME_ADDRESS}/128", f"{CORRESPONDENT_ADDRESS}/128"
    is_mobile_node = node == MOBILE_NODE
    local, remote = (home, correspondent) if is_mobile_node else (correspondent, home)
    peer = HOME_AGENT if is_mobile_node else MOBILE_NODE
    return f"""\
connections {{
  {_CONNECTION} {{
    version = 2
    mobike = yes
    {"remote_addrs" if is_mobile_node else "local_addrs"} = {HOME_AGENT_ADDRESS}
    proposals = aes128-sha256-modp2048
    local {{
      auth = psk
      id = {_IDENTITIES[node]}
    }}
    remote {{
      auth = psk
      id = {_IDENTITIES[peer]}
    }}
    children {{
      {_CHILD} {{
        local_ts = {local}
        remote_ts = {remote}
        esp_proposals = aes128-sha256
      }}
    }}
  }}
}}
secrets {{
  ike {{
    secret = "known to both, and to everybody else"
  }}
}}
"""


def _wait_until_it_listens(path: str) -> None:
    """Nobody announces that."""
    end_at = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_at:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(path)
            return
        time.sleep(_LOOK_S)
    raise LabError("charon does not start")
