"""The Debian packages on real systemd: set up, restarted, reloaded, upgraded and removed under traffic.

Systemd is process 1 of a Debian machine in the VM (tests/vm/debian_machine.py). It is booted once, with both packages
on it, for booting and installing take most of the time there. The machine is in the home agent's network namespace of a
lab; a drop-in puts the agent's service into the mobile node's. That is all that is changed of the units. It has no
Internet: the machine with the packages, and packages of a higher version, come from tests/packaging/test_suites.py.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from mn_lab.control import Control, Status
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, HOME_ADDRESS, HOME_AGENT, HOME_PREFIX, MOBILE_NODE
from mn_lab.network import NAMED_NAMESPACES
from mn_lab.traffic import DOWN, UP
from tests.kernel.streams import Stream, Streams
from tests.vm.debian_machine import DebianMachine, running_machine

CACHE = Path(__file__).parents[2] / ".cache"
DEBIAN, NEWER = CACHE / "deb-bookworm/machine", CACHE / "deb-bookworm/newer"
PATIENCE_S = 120.0
RATE = 25
"""Packets a second each way: as many as leave an emulated machine time for the rest."""
MOST_EXPOSED = 30
"""In tenths."""
ELSEWHERE = "/run/mobile-node"
"""The mobile node's network namespace, as the machine knows it."""

AGENT, SERVER = "monami6d", "monami6-ha"
SOCKETS = {AGENT: "agent.sock", SERVER: "home-agent.sock"}
BOTH = pytest.mark.parametrize("unit", SOCKETS)


class Place(NamedTuple):
    """A lab, and the machine in it."""

    lab: Lab
    machine: DebianMachine

    def control(self, unit: str) -> Control:
        return Control(self.machine.file(f"/run/monami6/{SOCKETS[unit]}"))

    def status(self, unit: str) -> Status:
        return self.control(unit).status()

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        told = self.machine.run(f"systemctl show --property={','.join(names)} {unit}")
        return dict(line.split("=", 1) for line in told.splitlines())

    def wait(self, unit: str, is_met: Callable[[Status], bool], what: str) -> None:
        self.control(unit).wait_until(is_met, what, timeout_s=PATIENCE_S, check=lambda: None)

    def wait_registered(self) -> None:
        """All three links."""
        self.wait(AGENT, lambda status: states(status) == ["registered"] * 3, "all links registered")

    def wait_restarted(self, before: Mapping[str, int]) -> None:
        """Both, which had these processes, and all links registered: the agent may go on from what it knows, before
        there is a home agent.
        """
        for unit in before:
            self.wait(unit, partial(is_other, before[unit]), f"{unit} restarted")
        self.wait_registered()

    @contextmanager
    def nothing_lost(self) -> Iterator[None]:
        """Of a stream of packets each way. Not the lab's own traffic: it leaves an emulated machine no time."""
        with Streams(self.lab, [Stream("stream", "udp", 5900, per_second=RATE)]) as streams:
            yield
            fates = streams.fates()
        assert min(fate.sent for fate in fates.values()) > RATE
        print({direction: f"{fate.lost} of {fate.sent} lost" for (_, direction), fate in fates.items()})
        assert {direction: fate.lost for (_, direction), fate in fates.items()} == {UP: 0, DOWN: 0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The machine, set up as the guides say, and all links registered."""
    assert NEWER.is_dir(), f"{NEWER} is missing: sudo ./dev run pytest tests/packaging/test_suites.py"
    lab = Lab(prefix="m6-vdeb-")
    lab.lay_out()
    try:
        lab.start_routers()
        elsewhere = lab.layout.namespace(MOBILE_NODE)
        drop_ins = tmp_path_factory.mktemp("drop-ins")
        (drop_ins / "elsewhere.conf").write_text(f"[Service]\nNetworkNamespacePath={ELSEWHERE}\n")
        options = (
            f"--bind={NAMED_NAMESPACES / elsewhere}:{ELSEWHERE}",
            f"--bind-ro={drop_ins}:/usr/local/lib/systemd/system/{AGENT}.service.d",
        )
        directory = tmp_path_factory.mktemp("debian") / "machine"
        with running_machine(DEBIAN, lab.layout.namespace(HOME_AGENT), directory, *options) as machine:
            place = Place(lab, machine)
            set_up(place)
            yield place
    finally:
        lab.down()


def set_up(place: Place) -> None:
    for unit in SOCKETS:
        assert place.show(unit, "ActiveState")["ActiveState"] == "inactive", "there is no configuration yet"
    place.machine.run(f"monami6-ha init --prefix {HOME_PREFIX} --yes && systemctl enable --now monami6-ha")
    string = place.machine.run("monami6-ha add-node laptop && systemctl reload monami6-ha")
    place.machine.run(f"nsenter --net={ELSEWHERE} monami6 setup --yes -", string)
    place.machine.run("systemctl enable --now monami6d")
    place.wait_registered()


@BOTH
def test_the_service_runs_as_its_unit_says(place: Place, unit: str) -> None:
    assert place.machine.run(f"systemctl is-active {unit}; systemctl is-enabled {unit}").split() == [
        "active",
        "enabled",
    ]
    assert place.show(unit, "User", "NRestarts", "WatchdogUSec", "MainPID") == {
        "User": "monami6",
        "NRestarts": "0",
        "WatchdogUSec": "30s",
        "MainPID": str(place.status(unit)["pid"]),
    }
    place.machine.run(f"systemd-analyze security --threshold={MOST_EXPOSED} {unit}.service")
    assert place.machine.run(f"journalctl --unit={unit} --priority=warning --quiet") == ""


def test_events_have_fields_in_the_journal(place: Place) -> None:
    told = place.machine.event(AGENT, "link-usable")
    assert told["MONAMI6_LINK"] in ("eth0", "wlan0", "wwan0")
    assert (told["PRIORITY"], told["SYSLOG_IDENTIFIER"], told["_SYSTEMD_UNIT"]) == ("6", AGENT, f"{AGENT}.service")
    assert place.machine.event(SERVER, "binding")["_COMM"] == SERVER


def test_restarts_lose_nothing(place: Place) -> None:
    with place.nothing_lost():
        for unit in SOCKETS:
            before = place.status(unit)["pid"]
            place.machine.run(f"systemctl restart {unit}")
            assert place.status(unit)["pid"] != before, "systemd has waited until it is ready"
            place.wait_registered()


def test_other_configurations_are_told_and_lose_nothing(place: Place) -> None:
    file = "/etc/monami6/agent.toml"
    with place.nothing_lost():
        place.machine.run("monami6-ha add-node phone && systemctl reload monami6-ha")
        told = place.machine.event(SERVER, "configuration", "MESSAGE=configuration: node.phone: added")
        assert told["PRIORITY"] == "6"

        place.machine.run(f"sed -i '1i policy = \"lowest-latency\"' {file} && systemctl reload monami6d")
        told = place.machine.event(AGENT, "configuration")
        assert told["MESSAGE"] == 'configuration: policy: "prefer-wired" -> "lowest-latency"'
        place.machine.run(f"sed -i '1i polici = 3' {file} && systemctl reload monami6d")
        told = place.machine.event(AGENT, "configuration-refused")
        assert re.search(r"agent.toml:1: polici = 3: .*did you mean policy", told["MESSAGE"])
        assert told["PRIORITY"] == "3"
        place.machine.run(f"sed -i 1,2d {file} && systemctl reload monami6d")
    assert [node["name"] for node in place.status(SERVER)["nodes"]] == ["laptop", "phone"]
    assert place.show(AGENT, "ActiveState")["ActiveState"] == "active"


def test_the_watchdog_ends_what_hangs_and_nothing_is_lost(place: Place) -> None:
    before = {unit: place.status(unit)["pid"] for unit in SOCKETS}
    with place.nothing_lost():
        place.machine.run(f"kill -STOP {before[AGENT]} {before[SERVER]}")
        place.wait_restarted(before)
    for unit in SOCKETS:
        assert place.show(unit, "NRestarts")["NRestarts"] == "1"
        assert "atchdog timeout" in place.machine.run(f"journalctl --unit={unit} _PID=1 --output=cat")


def test_an_upgrade_loses_nothing_and_the_new_version_runs(place: Place) -> None:
    before = {unit: place.status(unit) for unit in SOCKETS}
    with place.nothing_lost():
        shutil.copytree(NEWER, place.machine.file("/root/newer"))
        place.machine.run("apt-get install --yes /root/newer/*.deb; rm -r /root/newer")
        place.wait_restarted({unit: status["pid"] for unit, status in before.items()})
    for unit in SOCKETS:
        assert place.status(unit)["version"] == f"{before[unit]['version']}.1"
        assert place.show(unit, "ActiveState", "WatchdogUSec") == {"ActiveState": "active", "WatchdogUSec": "30s"}


def test_they_are_removed_without_a_trace(place: Place) -> None:
    """The last test, for it ends everything."""
    lab, machine = place
    machine.run("echo 'description = \"mine\"' > /etc/monami6/policies/mine.toml && systemctl stop monami6d")
    assert place.status(SERVER)["nodes"][0]["bindings"] == [], "it has said goodbye"
    machine.run("apt-get remove --yes monami6 monami6-ha")
    for unit in SOCKETS:
        assert place.show(unit, "LoadState", "ActiveState")["ActiveState"] == "inactive"
    assert machine.run("ls /etc/monami6").split() == ["agent.toml", "home-agent.toml", "policies"]
    machine.run("apt-get purge --yes monami6 monami6-ha")
    assert machine.run("find /etc /var/lib /run /usr/bin /usr/lib/systemd -iname '*monami6*'") == ""
    assert machine.run("getent passwd monami6 || getent group monami6 || echo none") == "none\n"
    for node in (MOBILE_NODE, HOME_AGENT):
        assert lab.run(node, "nft", "list", "ruleset") == ""
        assert rules(lab, node) == rules(lab, CORRESPONDENT), "where nothing ever ran"
        assert {route.get("table", "main") for route in routes(lab, node)} <= {"main", "local"}
        assert str(HOME_ADDRESS) not in json.dumps(routes(lab, node))
        assert str(HOME_ADDRESS) not in lab.run(node, "ip", "-6", "address")


def is_other(pid: int, status: Status) -> bool:
    """Whether this is another process's."""
    return bool(status["pid"] != pid)


def states(status: Status) -> list[str]:
    """Of the links."""
    return [link["state"] for link in status["links"]]


def rules(lab: Lab, node: str) -> str:
    return lab.run(node, "ip", "-6", "rule", "show")


def routes(lab: Lab, node: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(lab.run(node, "ip", "-6", "-j", "route", "show", "table", "all"))
    return found
