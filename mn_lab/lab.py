"""A lab: a home agent, a mobile node with its agent, and the network between them, in namespaces of this machine.

What is needed to find a running lab again is in one file of its directory, so that any process can go on with it.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from ipaddress import IPv6Network
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any, Self

from mn_lab import configuration, network, place, processes, strongswan
from mn_lab.commands import LabError, require
from mn_lab.control import Control, Status
from mn_lab.layout import (
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    DEFAULT_LINKS,
    DEFAULT_PREFIX,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    HOSTS,
    INSIDE,
    MOBILE_NETWORK,
    MOBILE_NODE,
    MOBILE_SIDE,
    command_line,
    host_address,
    plan,
)
from mn_lab.network import LinkAction
from mn_lab.processes import Process
from mn_lab.security import MODES
from mn_lab.traffic import RATE, End, Traffic

SCHEMA = 1
START_S = 30.0
"""How long to wait for something to start before it counts as failed."""

INSIDE_MTU = 1460
"""What fits through the tunnels of a mobile router, of the hosts behind it."""
_LOOK_S = 0.05

_TOOLS = ("ip", "nft", "radvd", "sysctl")
_STATE = "lab.json"
_AGENT, _HOME_AGENT, _CORRESPONDENT = "agent", "home-agent", "correspondent"
_LOG_LINES = 12


class Lab:
    """One lab, up or not. `up` and `down` bring it to life and end it; `running` finds one that is up."""

    def __init__(
        self,
        links: Sequence[str] = DEFAULT_LINKS,
        *,
        prefix: str = DEFAULT_PREFIX,
        security: str = "auth-option",
        router: bool = False,
        agent_toml: str = "",
        home_agent_toml: str = "",
    ) -> None:
        """`security`: one of mn_lab.security.MODES. `router`: the mobile node is a mobile router, with two hosts behind
        it. `agent_toml`, `home_agent_toml`: laid over the configuration files. Raises LayoutError when there can be no
        such lab.
        """
        self.layout = plan(links, prefix, router=router)
        self.directory = place.directory(prefix)
        self.agent = Control(self.directory / f"{_AGENT}.sock")
        self.home_agent = Control(self.directory / f"{_HOME_AGENT}.sock")
        self.correspondent = Control(self.directory / f"{_CORRESPONDENT}.sock")
        self._security = MODES[security](self.directory)
        self._toml = {_AGENT: agent_toml, _HOME_AGENT: home_agent_toml}
        self.processes: dict[str, Process] = {}

    @classmethod
    def running(cls, prefix: str = DEFAULT_PREFIX) -> "Lab":
        """The lab that is up. Raises LabError when there is none."""
        state = _read_state(place.directory(prefix))
        if state is None:
            raise LabError(f"no lab is up: start one by '{command_line(prefix, 'up')}'")
        lab = cls(state["links"], prefix=prefix, router=state["router"])
        lab.processes = {name: Process(*numbers) for name, numbers in state["processes"].items()}
        return lab

    # Up and down

    def up(self, timeout_s: float = START_S) -> None:
        """Start everything, and wait until all links are registered. Raises LabError, and leaves nothing behind, when
        that does not happen in time; also when a lab with this prefix is up already, which is left as it is.
        """
        self.lay_out()
        try:
            self.start()
            self.wait_registered(timeout_s)
            self.wait_hosts(timeout_s)
        except BaseException:
            self.down()
            raise

    def lay_out(self) -> None:
        """Only the network and the configuration files: nothing runs yet."""
        require([*_TOOLS, strongswan.TOOL] if self._security.has_ike else _TOOLS)
        place.open_directory(self.directory)
        self._claim()
        try:
            network.create(self.layout)
            self._configure()
        except BaseException:
            self.down()
            raise

    def start(self) -> None:
        """Start everything that runs; does not wait for it."""
        self.start_routers()
        if self._security.has_ike:
            for node in (MOBILE_NODE, HOME_AGENT):
                self.start_charon(node)
        self.start_home_agent()
        self.start_agent()

    def start_routers(self) -> None:
        """Start what tells the mobile node of prefixes and routers; does not wait for it."""
        for link in self.layout.links:
            self._start_router(link.name)
        if self.layout.router:
            self._start_radvd(MOBILE_NODE, INSIDE, MOBILE_NETWORK, INSIDE_MTU)

    def _claim(self) -> None:
        taken = network.existing(self.layout.namespaces.values())
        try:
            if taken:
                raise FileExistsError
            (self.directory / _STATE).touch(mode=0o644, exist_ok=False)
        except FileExistsError:
            remedy = f"end it by '{command_line(self.layout.prefix, 'down')}'"
            raise LabError(f"a lab is up already, or left from a crash: {remedy}") from None
        self._save()

    def _configure(self) -> None:
        security, toml = self._security, self._toml
        files = {
            self.configuration[_AGENT]: configuration.agent(self.layout, self.directory, security, toml[_AGENT]),
            self.configuration[_HOME_AGENT]: configuration.home_agent(
                self.layout, self.directory, security, toml[_HOME_AGENT]
            ),
        }
        if security.has_ike:
            for node in (MOBILE_NODE, HOME_AGENT):
                files[strongswan.file(self.directory, node)] = strongswan.configuration(self.directory, node)
        for path, text in files.items():
            path.touch(mode=0o600)
            path.write_text(text)

    def down(self) -> None:
        """End everything that is in the lab, and remove it; nothing to do is fine."""
        take_down(self.layout.prefix, [link.name for link in self.layout.links])
        self.processes = {}

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # Programs in it

    def command(self, node: str, *command: str) -> list[str]:
        """The command line that runs a command there. Raises NoSuchThingError when there is no such node."""
        return network.in_namespace(self.layout.namespace(node), *command)

    def run(self, node: str, *command: str) -> str:
        """Run a command there to its end; gives its output. Raises CalledProcessError when it fails."""
        return subprocess.run(self.command(node, *command), check=True, stdout=subprocess.PIPE, text=True).stdout

    def monami6(self, *arguments: str, output: int | IO[str] = subprocess.PIPE) -> str:
        """Run the command line on the agent; gives what it prints, unless that goes to `output`. Raises LabError when
        it fails.
        """
        argv = [sys.executable, "-m", "monami6", "--socket", str(self.agent.path), *arguments]
        done = subprocess.run(argv, check=False, stdout=output, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise LabError(f"monami6 {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout or ""

    def traffic(self, rate: int = RATE) -> Traffic:
        """Traffic between the home address, or a host behind the mobile router, and the correspondent, for the length
        of a `with` block.
        """
        host = HOSTS[0]
        mobile = End(self.command(MOBILE_NODE), str(HOME_ADDRESS))
        return Traffic(
            End(self.command(host), str(host_address(host))) if self.layout.router else mobile,
            End(self.command(CORRESPONDENT), str(CORRESPONDENT_ADDRESS)),
            rate,
        )

    def start_agent(self) -> None:
        """Start the mobile node's agent; does not wait for it."""
        # The machine's NetworkManager speaks of the machine's links; whoever wants one in the lab starts it on this bus
        bus = f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.directory / 'bus'}"
        config = str(self.configuration[_AGENT])
        self._start(MOBILE_NODE, _AGENT, "env", bus, sys.executable, "-m", "mn_agent", "--config", config)

    def start_home_agent(self) -> None:
        """Start the home agent; does not wait for it."""
        config = str(self.configuration[_HOME_AGENT])
        self._start(HOME_AGENT, _HOME_AGENT, sys.executable, "-m", "home_agent", "--config", config)

    def start_correspondent(self) -> None:
        """Have a correspondent that knows Mobile IPv6, and not only a host like any other; does not wait for it."""
        argv = [sys.executable, "-m", "mn_lab.correspondent_host"]
        self._start(CORRESPONDENT, _CORRESPONDENT, *argv, str(CORRESPONDENT_ADDRESS), str(self.correspondent.path))

    def start_charon(self, node: str) -> None:
        """Start strongSwan at one end; does not wait for it."""
        self._start(node, _charon(node), *strongswan.command(self.directory, node))

    def kill_charon(self, node: str, number: signal.Signals = signal.SIGKILL) -> None:
        """The same as `kill_agent` for strongSwan at one end."""
        self._kill(_charon(node), number)

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the agent a signal and wait for its end. Raises LabError when it does not run, or goes on."""
        self._kill(_AGENT, number)

    def kill_home_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        """The same for the home agent."""
        self._kill(_HOME_AGENT, number)

    def _start_router(self, link: str) -> None:
        self._start_radvd(link, MOBILE_SIDE, self.layout.link(link).prefix)

    def _start_radvd(self, node: str, interface: str, prefix: IPv6Network, mtu: int | None = None) -> None:
        file = self.directory / f"radvd-{node}.conf"
        file.write_text(configuration.router_advertisements(interface, prefix, mtu))
        pid_file = str(self.directory / f"radvd-{node}.pid")
        self._start(node, f"radvd-{node}", "radvd", "-n", "-m", "stderr", "-C", str(file), "-p", pid_file)

    def _start(self, node: str, name: str, *command: str) -> None:
        self.processes[name] = processes.start(self.command(node, *command), self._log(name))
        self._save()

    def _kill(self, name: str, number: signal.Signals) -> None:
        process = self.processes.get(name)
        if process is None or not process.runs:
            raise LabError(f"the {name} does not run")
        processes.end([process.pid], number)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    # Links

    def change_link(self, name: str, action: LinkAction) -> None:
        """Raises NoSuchThingError when there is no such link."""
        network.change_link(self.layout, name, action)

    def switch(self, link: str | None) -> Status:
        """Move the default traffic to a link, as `monami6 switch` does; None gives the choice back to the agent."""
        status: Status = self.agent.call("switch", link=link)
        return status

    # Waiting

    def wait(self, condition: Callable[[Status], bool], what: str, timeout_s: float = START_S) -> Status:
        """The agent's first status that fulfils the condition. Raises LabError, which says `what` did not happen, when
        there is none in time, or the agent ends.
        """
        try:
            return self.agent.wait_until(condition, what, timeout_s=timeout_s, check=self._check_agent)
        except LabError as error:
            raise LabError("\n".join([str(error), *self._last_words()])) from None

    def wait_hosts(self, timeout_s: float = START_S) -> None:
        """Wait until the hosts behind the mobile router have addresses and a default route. Raises LabError."""
        give_up_at = monotonic() + timeout_s
        for host in HOSTS if self.layout.router else ():
            while not self.run(host, "ip", "-6", "route", "show", "default"):
                if monotonic() > give_up_at:
                    raise LabError("\n".join([f"{host} gets no address", *self._last_words()]))
                sleep(_LOOK_S)

    def wait_registered(self, timeout_s: float = START_S) -> Status:
        """Wait until every link is registered."""
        names = {link.name for link in self.layout.links}

        def is_met(status: Status) -> bool:
            return {link["name"] for link in status["links"] if link["state"] == "registered"} == names

        return self.wait(is_met, "all links registered", timeout_s)

    def wait_carried_by(self, link: str, timeout_s: float = START_S) -> Status:
        """Wait until the default traffic goes over a link."""
        return self.wait(lambda status: bool(status["default"]["link"] == link), f"traffic over {link}", timeout_s)

    def _check_agent(self) -> None:
        if not self.processes[_AGENT].runs:
            raise LabError("the agent does not run")

    def _last_words(self) -> list[str]:
        logs = sorted(self.directory.glob("*.log"))
        return [f"{log.stem}: {line}" for log in logs for line in log.read_text().splitlines()[-_LOG_LINES:]]

    # What it is

    @property
    def configuration(self) -> Mapping[str, Path]:
        """The configuration files, by program."""
        return {name: self.directory / f"{name}.toml" for name in (_AGENT, _HOME_AGENT)}

    def describe(self) -> dict[str, Any]:
        """For programs; the lab has to be up."""
        links = {link["name"]: link for link in self.agent.status()["links"]}
        return {
            "schema": SCHEMA,
            "privileges": "root" if place.outer_uid() == 0 else "user namespace",
            "directory": str(self.directory),
            "namespaces": dict(self.layout.namespaces),
            "addresses": {
                "home": str(HOME_ADDRESS),
                "home_agent": str(HOME_AGENT_ADDRESS),
                "correspondent": str(CORRESPONDENT_ADDRESS),
                "care_of": {name: link["care_of_address"] for name, link in links.items()},
                "routers": {link.name: str(link.router) for link in self.layout.links},
                "hosts": {host: str(host_address(host)) for host in HOSTS if self.layout.router},
            },
            "interfaces": {
                link.name: {
                    "kind": link.kind,
                    "mobile_node": link.interface,
                    "router": MOBILE_SIDE,
                }
                for link in self.layout.links
            },
            "configuration": {_key(name): str(path) for name, path in self.configuration.items()},
            "sockets": {_key(name): str(self.directory / f"{name}.sock") for name in (_AGENT, _HOME_AGENT)},
        }

    def _save(self) -> None:
        running = {name: astuple(process) for name, process in self.processes.items()}
        state = {
            "schema": SCHEMA,
            "links": [link.name for link in self.layout.links],
            "router": self.layout.router,
            "processes": running,
        }
        new = self.directory / f"{_STATE}.new"
        new.write_text(json.dumps(state))
        new.replace(self.directory / _STATE)


def take_down(prefix: str = DEFAULT_PREFIX, links: Sequence[str] = DEFAULT_LINKS) -> bool:
    """End the lab that is up, or what a crash left of one; tells whether there was anything. `links`: what it had, for
    the case that its own notes are lost.
    """
    directory = place.directory(prefix)
    state = _read_state(directory)
    layout = plan(state["links"] if state else links, prefix, router=True)
    there = network.existing(layout.namespaces.values())
    network.remove(there)
    place.empty_directory(directory)
    return state is not None or bool(there)


def _charon(node: str) -> str:
    return f"{node}-charon"


def _key(name: str) -> str:
    return name.replace("-", "_")


def _read_state(directory: Path) -> dict[str, Any] | None:
    """None when there is no lab, or a crash left half a file."""
    with suppress(OSError, ValueError):
        state: dict[str, Any] = json.loads((directory / _STATE).read_text())
        return state
    return None
