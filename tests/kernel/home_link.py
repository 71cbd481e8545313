"""A home link of a lab: hosts, the core router and two home agents on it."""

import json
import sys
from ipaddress import IPv6Address
from typing import Any, Self

from mn_lab import configuration, network, processes
from mn_lab.commands import ip_batch, run
from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import CORE, HOME_ADDRESS, HOME_AGENT, HOME_AGENT_ADDRESS, HOME_PREFIX

SECOND = HOME_AGENT_ADDRESS + (1 << 64)
ROUTER, HOST = HOME_PREFIX[1], HOME_PREFIX[0x99]


class HomeLink:
    """A switch, with a host, the core router and both home agents on it, and the second home agent itself. While the
    context lasts it is laid out, and the lab with it; nothing runs by itself.
    """

    def __init__(self, lab: Lab, second_address: IPv6Address = SECOND) -> None:
        self.lab = lab
        self._second_address = second_address
        self.core, self.first = lab.layout.namespace(CORE), lab.layout.namespace(HOME_AGENT)
        self.switch, self.host, self.second = (f"{lab.layout.prefix}{name}" for name in ("home", "host", "ha2"))
        self.directory = lab.directory / "ha2"
        self.control = Control(self.directory / "home-agent.sock")

    def __enter__(self) -> Self:
        try:
            self.lab.lay_out()
            self._lay_out()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        network.remove(network.existing([self.switch, self.host, self.second]))
        self.lab.down()

    def _lay_out(self) -> None:
        own = (self.switch, self.host, self.second)
        run(*ip_batch(f"netns add {name}" for name in own))
        for name in own:
            run(network.in_namespace(name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0"))
        run(network.in_namespace(self.second, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"))
        run(["ip", "-n", self.switch, "link", "add", "switch", "up", "type", "bridge"])
        run(*ip_batch([f"link add eth0 netns {self.second} type veth peer name to-ha2 netns {self.core}"]))
        for number, (namespace, interface) in enumerate(
            ((self.core, "to-home"), (self.first, "eth1"), (self.second, "eth1"), (self.host, "eth0"))
        ):
            cable = f"link add port{number} netns {self.switch} type veth peer name {interface} netns {namespace}"
            run(*ip_batch([cable]))
            run(*ip_batch([f"link set port{number} master switch up"], self.switch))
            run(*ip_batch([f"link set {interface} up"], namespace))
        for number, namespace in enumerate((self.first, self.second), 2):
            run(*ip_batch([f"address add {HOME_PREFIX[number]}/64 dev eth1"], namespace))
        gateway = SECOND + 1
        router = [f"route del {HOME_PREFIX}", f"address add {ROUTER}/64 dev to-home", "link set to-ha2 up"]
        run(*ip_batch([*router, f"address add {gateway}/64 dev to-ha2"], self.core))
        inside = ["link set lo up", f"address add {SECOND}/64 dev eth0", "link set eth0 up"]
        run(*ip_batch([*inside, f"route add default via {gateway}"], self.second))
        run(*ip_batch(["link set lo up", f"address add {HOST}/64 dev eth0"], self.host))
        run(*ip_batch([f"route add default via {ROUTER}"], self.host))

    def start_second(self) -> None:
        self.directory.mkdir()
        file = self.directory / "home-agent.toml"
        extra = f'[home_agent]\naddress = "{self._second_address}"\nhome_link = "eth1"'
        file.touch(mode=0o600)
        file.write_text(configuration.home_agent(self.lab.layout, self.directory, self.lab._security, extra))
        command = network.in_namespace(self.second, sys.executable, "-m", "home_agent", "--config", str(file))
        processes.start(command, self.directory / "home-agent.log")
        self.control.wait_until(lambda _: True, "the second home agent answers", timeout_s=60, check=lambda: None)

    def is_bound_at_second(self) -> bool:
        (node,) = self.control.status()["nodes"]
        return len(node["bindings"]) == len(self.lab.layout.links)

    def cut_first(self) -> None:
        """Its machine is gone."""
        run(*ip_batch(["link set to-ha down"], self.core))
        run(*ip_batch(["link set port1 down"], self.switch))

    def neighbor(self, namespace: str, interface: str) -> str | None:
        """Where the home address is, as seen from there."""
        told: list[dict[str, Any]] = json.loads(
            run(["ip", "-6", "-j", "-n", namespace, "neighbor", "show", str(HOME_ADDRESS), "dev", interface]) or "[]"
        )
        return next((one.get("lladdr") for one in told), None)

    def hardware_address(self, namespace: str, interface: str) -> str:
        (told,) = json.loads(run(["ip", "-j", "-n", namespace, "link", "show", interface]))
        return str(told["address"])
