"""The agent as its service runs it, on a system bus with polkit: who may do what, there and at the control socket."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS
from tests.guides import ON_THE_BUS, Line, run_by
from tests.kernel.system_bus import AGENT, ALICE, BOB, CAROL, NOBODY, SystemBus

NAME, PATH = "org.monami6.Agent1", "/org/monami6/Agent1"
START_S = 10.0


class Place(NamedTuple):
    """A lab, and the bus of its mobile node."""

    lab: Lab
    bus: SystemBus


@pytest.fixture(scope="module")
def place(prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("bus")
    with Lab(prefix=prefix) as lab, SystemBus(lab, directory) as bus:
        bus.start_agent()
        wait_there(bus)
        yield Place(lab, bus)


def wait_there(bus: SystemBus) -> None:
    """Until the service is on the bus."""
    end_at = time.monotonic() + START_S
    while ask_bus(bus, 0, "NameHasOwner", "s", NAME).stdout != '{"type":"b","data":[true]}\n':
        assert time.monotonic() < end_at, "no service"
        time.sleep(0.05)


def ask_bus(bus: SystemBus, user: int, member: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    there = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
    return bus.busctl("call", *there, member, *arguments, user=user)


def call(bus: SystemBus, user: int, member: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bus.busctl("call", NAME, PATH, NAME, member, *arguments, user=user)


def get(bus: SystemBus, name: str, user: int = NOBODY) -> Any:
    done = bus.busctl("get-property", NAME, PATH, NAME, name, user=user)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


@pytest.fixture(autouse=True)
def _settled(place: Place) -> None:
    place.lab.switch(None)
    place.lab.wait_registered()
    place.lab.wait_carried_by("ethernet")


def test_it_runs_as_its_service_does(place: Place) -> None:
    status = place.lab.agent.status()
    assert re.search(rf"^Uid:\s+{AGENT}\s", Path(f"/proc/{status['pid']}/status").read_text(), re.MULTILINE)
    assert status["troubles"] == {}
    assert json.loads(ask_bus(place.bus, 0, "GetConnectionUnixUser", "s", NAME).stdout)["data"] == [AGENT]


def test_nobody_else_can_be_it(place: Place) -> None:
    for user in (NOBODY, ALICE, CAROL):
        assert "Access denied" in ask_bus(place.bus, user, "RequestName", "su", NAME, "0").stderr


@pytest.mark.parametrize("user", [0, AGENT, ALICE, NOBODY])
def test_everybody_may_look(place: Place, user: int) -> None:
    told = json.loads(json.loads(call(place.bus, user, "Status").stdout)["data"][0])
    shown = json.loads(place.bus.monami6("status", "--json", user=user).stdout)
    assert told.keys() == shown.keys()
    assert (told["pid"], told["home_address"]) == (shown["pid"], shown["home_address"])
    assert get(place.bus, "DefaultLink", user) == "ethernet"
    assert [link["Name"]["data"] for link in get(place.bus, "Links", user)] == ["ethernet", "wifi", "lte"]


@pytest.mark.parametrize("user", [0, CAROL, ALICE], ids=["root", "of the group", "whom polkit lets"])
def test_some_may_switch(place: Place, user: int) -> None:
    done = call(place.bus, user, "Switch", "sa{sv}", "wifi", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert get(place.bus, "DefaultLink") == get(place.bus, "PinnedLink") == "wifi"
    there = (str(CORRESPONDENT_ADDRESS), "from", get(place.bus, "HomeAddress"))
    route = place.lab.run("mn", "ip", "-6", "route", "get", *there)
    assert "dev wlan0" in route
    done = place.bus.monami6("switch", "lte", user=user)
    assert (done.returncode, done.stderr) == (0, "")
    assert get(place.bus, "DefaultLink") == "lte"
    done = place.bus.monami6("switch", "--auto", user=user)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("user", [BOB, NOBODY], ids=["whom polkit does not let", "nobody"])
def test_others_may_not(place: Place, user: int) -> None:
    for wish in (("Switch", "sa{sv}", "wifi", "0"), ("UsePolicy", "s", "prefer-unmetered"), ("Refresh",)):
        done = call(place.bus, user, *wish)
        assert done.returncode == 1
        assert "polkit does not allow it (org.monami6.agent." in done.stderr
        assert "root and members of monami6 may do it" in done.stderr
    for command in (("switch", "wifi"), ("policy", "use", "prefer-unmetered"), ("refresh",)):
        done = place.bus.monami6(*command, user=user)
        assert done.returncode == 1
        assert "polkit does not allow it (org.monami6.agent." in done.stderr
    assert get(place.bus, "DefaultLink") == "ethernet"


def test_who_may_switch_may_not_choose_policies_for_that(place: Place) -> None:
    done = call(place.bus, ALICE, "UsePolicy", "s", "prefer-unmetered")
    assert "polkit does not allow it (org.monami6.agent.configure)" in done.stderr
    done = place.bus.monami6("policy", "use", "prefer-unmetered", user=ALICE)
    assert done.returncode == 1
    assert get(place.bus, "Policy") == "prefer-wired"


def test_root_chooses_a_policy(place: Place) -> None:
    assert call(place.bus, 0, "UsePolicy", "s", "prefer-unmetered").returncode == 0
    assert get(place.bus, "Policy") == "prefer-unmetered"
    assert call(place.bus, 0, "UsePolicy", "s", "").returncode == 0
    assert get(place.bus, "Policy") == "prefer-wired"


def test_who_sits_at_the_machine_may_switch(place: Place) -> None:
    """What polkit has read of our file: yes for an active session, otherwise an administrator's password."""
    told = place.bus.run("pkaction", "--verbose", "--action-id", "org.monami6.agent.switch").stdout
    found = dict(re.findall(r"^  implicit (\w+): +(\w+)$", told, re.MULTILINE))
    assert found == {"any": "auth_admin", "inactive": "auth_admin", "active": "yes"}
    told = place.bus.run("pkaction", "--verbose", "--action-id", "org.monami6.agent.configure").stdout
    assert set(re.findall(r"^  implicit \w+: +(\w+)$", told, re.MULTILINE)) == {"auth_admin_keep"}


def test_wrong_things_have_names_for_programs(place: Place) -> None:
    there = ("--system", "--dest", NAME, "--object-path", PATH, "--method", f"{NAME}.Switch")
    done = place.bus.run("gdbus", "call", *there, "satellite", "{}")
    assert done.returncode == 1
    assert "org.monami6.Agent1.Error.NoSuchLink: no link is called satellite" in done.stderr


@contextmanager
def monitor(bus: SystemBus) -> Iterator[subprocess.Popen[str]]:
    """An ordinary user listens."""
    command = ["gdbus", "monitor", "--system", "--dest", NAME]
    with subprocess.Popen(
        [*bus.command(NOBODY), *command], env=bus.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any("is owned by" in line for line in process.stdout)
            yield process
        finally:
            process.kill()


def test_everybody_hears_what_changes(place: Place) -> None:
    with monitor(place.bus) as listening:
        place.lab.switch("wifi")
        assert listening.stdout is not None
        assert any("PropertiesChanged" in line and "'DefaultLink': <'wifi'>" in line for line in listening.stdout)


@pytest.mark.parametrize("line", run_by(ON_THE_BUS), ids=str)
def test_the_commands_of_the_guide(place: Place, line: Line) -> None:
    done = place.bus.run("sh", "-c", line.command, user=ALICE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "DefaultLink" not in line.command or done.stdout == 's "ethernet"\n'
    assert " Switch " not in line.command or get(place.bus, "DefaultLink") == "wifi"


def test_without_polkit_root_and_the_group_may(place: Place) -> None:
    place.bus.kill_polkit()
    try:
        for user in (ALICE, NOBODY):
            assert "only root and members of the group monami6" in call(place.bus, user, "Refresh").stderr
            done = place.bus.monami6("refresh", user=user)
            assert done.returncode == 1
            assert "only root and members of the group monami6" in done.stderr
        for user in (0, CAROL):
            assert call(place.bus, user, "Refresh").returncode == 0
            assert place.bus.monami6("refresh", user=user).returncode == 0
    finally:
        place.bus.start_polkit()
    assert call(place.bus, ALICE, "Refresh").returncode == 0


def test_the_bus_is_killed_and_started_again(place: Place) -> None:
    place.bus.kill_bus()
    try:
        done = place.bus.monami6("switch", "wifi", user=ALICE)
        assert done.returncode == 1
        assert "only root and members of the group monami6" in done.stderr
        assert place.bus.monami6("status", user=NOBODY).returncode == 0
        assert place.bus.monami6("switch", "wifi", user=CAROL).returncode == 0
    finally:
        place.bus.start_bus()
        place.bus.start_polkit()
    wait_there(place.bus)
    assert get(place.bus, "DefaultLink") == "wifi"
    assert call(place.bus, ALICE, "Switch", "sa{sv}", "", "0").returncode == 0
    assert place.lab.agent.status()["troubles"] == {}


LOGIND = """
import asyncio, sys
from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus

async def main():
    bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await bus.request_name("org.freedesktop.login1")
    member = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b")
    for sleeps in (True, False):
        await bus.send(Message.new_signal(*member, [sleeps]))
    await bus.call(Message("org.freedesktop.DBus", "/", "org.freedesktop.DBus.Peer", "Ping"))
    await asyncio.sleep(1)  # it is asked for before it goes

asyncio.run(main())
"""


def test_logind_says_that_the_machine_has_slept(place: Place) -> None:
    def until() -> list[float]:
        (node,) = place.lab.home_agent.status()["nodes"]
        return [binding["until"] for binding in node["bindings"]]

    def resumed() -> int:
        return (place.lab.directory / "agent.log").read_text().count("resumed: the machine has slept")

    before = until()
    names = json.loads(ask_bus(place.bus, 0, "ListNames").stdout)["data"][0]
    signal = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager.PrepareForSleep", "boolean:false")
    for name in names:
        if name.startswith(":"):
            # Everybody may send signals, but that does not make him logind
            done = place.bus.run("dbus-send", "--system", "--type=signal", f"--dest={name}", *signal, user=NOBODY)
            assert done.returncode == 0, done.stderr
    assert get(place.bus, "Registered")
    assert resumed() == 0
    assert place.bus.run(sys.executable, "-c", LOGIND).returncode == 0
    place.lab.wait(lambda _: resumed() == 1, "it is told")
    end_at = time.monotonic() + START_S
    while not all(now > earlier + 0.1 for now, earlier in zip(until(), before, strict=True)):
        assert time.monotonic() < end_at, "nothing was refreshed"
        time.sleep(0.05)
