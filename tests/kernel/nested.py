"""Mobile hosts behind the mobile router of a lab: their links are its network, and their home agents any."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Self

from mn_lab import configuration, network, processes
from mn_lab.commands import ip_batch, run
from mn_lab.control import Control
from mn_lab.lab import START_S, Lab
from mn_lab.layout import CORE, HOME_ADDRESS, HOME_AGENT_ADDRESS, HOST_INTERFACE

OTHER_AGENT, OTHER_PREFIX = HOME_AGENT_ADDRESS + (1 << 80), IPv6Network("2001:db8:f01::/64")


@dataclass(frozen=True, slots=True)
class MobileHost:
    """What a host of the lab becomes. `place`: of the same among all, which its secrets are made of."""

    node: str
    home_address: IPv6Address
    home_agent: IPv6Address
    place: int

    @property
    def secret(self) -> dict[str, Any]:
        return {"identity": f"{self.node}@lab.example.org", "spi": 1000 + self.place, "key": f"{self.place:032x}"}

    @property
    def known(self) -> dict[str, Any]:
        """To its home agent."""
        return {"name": self.node, "home_address": str(self.home_address), **self.secret}


GUESTS = {
    "host1": MobileHost("host1", HOME_ADDRESS + 1, HOME_AGENT_ADDRESS, 1),
    "host2": MobileHost("host2", OTHER_PREFIX[0x10], OTHER_AGENT, 2),
}
"""One has the router's home agent, the other has another."""


class Nested:
    """The mobile router's lab, the other home agent and the agents of both hosts, all up while the context lasts."""

    def __init__(self, prefix: str) -> None:
        self.lab = Lab(prefix=prefix, router=True)
        self.agents = {node: Control(self.lab.directory / f"{node}.sock") for node in GUESTS}
        self._other = f"{prefix}ha2"

    def __enter__(self) -> Self:
        try:
            self.lab.lay_out()
            with self.lab.configuration["home-agent"].open("a") as known:
                known.write(configuration.write({"node": [GUESTS["host1"].known]}))
            self._lay_out_other()
            self.lab.start()
            self._start_other()
            self.lab.wait_registered()
            self.lab.wait_hosts()
            for guest in GUESTS.values():
                self._start(guest)
            for node in GUESTS:
                self.wait_registered(node)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        network.remove(network.existing([self._other]))
        self.lab.down()

    def _lay_out_other(self) -> None:
        core, gateway = self.lab.layout.namespace(CORE), OTHER_AGENT + 1
        run(["ip", "netns", "add", self._other])
        settings = ("conf.all.accept_dad=0", "conf.default.accept_dad=0", "conf.all.forwarding=1")
        run(network.in_namespace(self._other, "sysctl", "-qw", *(f"net.ipv6.{setting}" for setting in settings)))
        run(*ip_batch([f"link add eth0 netns {self._other} type veth peer name to-ha2 netns {core}"]))
        run(*ip_batch([f"address add {gateway}/64 dev to-ha2", "link set to-ha2 up"], core))
        inside = ("link set lo up", f"address add {OTHER_AGENT}/64 dev eth0", "link set eth0 up")
        run(*ip_batch([*inside, f"route add default via {gateway}"], self._other))
        run(*ip_batch([f"route add {OTHER_PREFIX} via {OTHER_AGENT}"], core))

    def _start_other(self) -> None:
        document = {
            "home_agent": {"address": str(OTHER_AGENT), "prefixes": [str(OTHER_PREFIX)]},
            "paths": self._paths("ha2"),
            "node": [GUESTS["host2"].known],
        }
        self._run("ha2", network.in_namespace(self._other), "home_agent", document)

    def _start(self, guest: MobileHost) -> None:
        document = {
            "home": {"address": str(guest.home_address), "agent": str(guest.home_agent)},
            "authentication": guest.secret,
            "link": [{"interface": HOST_INTERFACE, "name": "lan", "kind": "ethernet"}],
            "paths": self._paths(guest.node),
        }
        self._run(guest.node, self.lab.command(guest.node), "mn_agent", document)

    def _paths(self, name: str) -> Mapping[str, str]:
        return {"socket": str(self.lab.directory / f"{name}.sock"), "state": str(self.lab.directory / f"{name}.json")}

    def _run(self, name: str, inside: list[str], program: str, document: configuration.Table) -> None:
        file = self.lab.directory / f"{name}.toml"
        file.touch(mode=0o600)
        file.write_text(configuration.write(document))
        # The machine's own network managers and the like are not the lab's
        bus = f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.lab.directory / 'bus'}"
        argv = [*inside, "env", bus, sys.executable, "-m", program, "--config", str(file)]
        processes.start(argv, self.lab.directory / f"{name}.log")

    def wait_registered(self, node: str) -> None:
        self.agents[node].wait_until(
            lambda status: bool(status["registration"]["state"] == "registered"),
            f"{node} registered",
            timeout_s=START_S,
            check=lambda: None,
        )
