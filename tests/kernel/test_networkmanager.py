"""A real NetworkManager manages the mobile node's links; people use it, and it breaks."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, MOBILE_NODE
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP
from tests.kernel.networkmanager import CORRESPONDENT_NAME, Desktop, connection

NONE = {UP: 0, DOWN: 0}
QUIET_S = 0.3
PORTAL = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import AF_INET6
from sys import argv

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        captive = self.client_address[0].startswith(argv[1])
        self.send_response(302 if captive else 200)
        if captive:
            self.send_header("Location", "http://portal.example.org/")
        self.end_headers()
        self.wfile.write(b"" if captive else b"NetworkManager is online")

class Server(HTTPServer):
    address_family = AF_INET6

server = Server(("{CORRESPONDENT_ADDRESS}", 8080), Handler)
print("ready", flush=True)
server.serve_forever()
"""
CONNECTIVITY = f"""
[connectivity]
enabled=true
uri=http://{CORRESPONDENT_NAME}:8080/
"""


class Place(NamedTuple):
    """A lab, and who sits at its mobile node."""

    lab: Lab
    desktop: Desktop


@pytest.fixture(scope="module")
def place(prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Wi-Fi is behind a captive portal. What a test takes down, it brings up again."""
    lab = Lab(prefix=prefix)
    before = machine()
    lab.lay_out()
    try:
        with portal(lab), Desktop(lab, tmp_path_factory.mktemp("desktop"), CONNECTIVITY) as desktop:
            desktop.install_hook()
            lab.start()
            for link in lab.layout.links:
                desktop.up(link.name)
            lab.wait_registered()
            lab.wait_carried_by("ethernet")
            desktop.nmcli("networking", "connectivity", "check")
            lab.wait(lambda status: captives(status) == [False, True, False], "the captive portal is known")
            yield Place(lab, desktop)
    finally:
        lab.down()
    assert machine() == before, "nothing of this machine was touched"


@contextmanager
def portal(lab: Lab) -> Iterator[None]:
    """What NetworkManager asks whether it gets far; who comes by Wi-Fi is sent elsewhere."""
    captive = str(lab.layout.link("wifi").prefix[0]).rstrip(":")
    command = lab.command(CORRESPONDENT, sys.executable, "-c", PORTAL, captive)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def machine() -> tuple[object, ...]:
    """What NetworkManager would change of this machine's own, if it could."""
    addresses = json.loads(subprocess.check_output(["ip", "-j", "address"]))
    for address in (address for one in addresses for address in one["addr_info"]):
        address.pop("valid_life_time", None)
        address.pop("preferred_life_time", None)
    files = [
        Path(name) for name in ("/etc/resolv.conf", "/etc/hosts", "/etc/NetworkManager", "/var/lib/NetworkManager")
    ]
    return addresses, socket.gethostname(), [(file, os.stat(file).st_mtime_ns) for file in files]


def link(status: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [link for link in status["links"] if link["name"] == name]
    return dict(found)


def captives(status: dict[str, Any]) -> list[bool | None]:
    """Of the links in their order."""
    return [one["captive"] for one in status["links"]]


def lost(lab: Lab, action: Callable[[], object]) -> dict[str, int]:
    """Of 1,000 packets a second each way, from before something is done until a while after."""
    with lab.traffic() as traffic:
        start_ns = time.time_ns()
        time.sleep(QUIET_S)
        action()
        time.sleep(QUIET_S)
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        figures = {direction: traffic.record(direction).figures(start_ns, end_ns) for direction in (UP, DOWN)}
    assert all(one.sent > 500 for one in figures.values())
    return {direction: one.lost for direction, one in figures.items()}


def wait_right(lab: Lab, name: str = "ethernet") -> dict[str, Any]:
    """Until everything is as it should be: all links registered, and the default traffic over this one."""

    def is_right(status: dict[str, Any]) -> bool:
        links = status["links"]
        registered = all(one["state"] == "registered" and not one["leaving"] for one in links)
        known = all(one["connection"] == connection(one["name"]) for one in links)
        return registered and known and status["default"]["link"] == name and not status["troubles"]

    status = lab.wait(is_right, "everything as it should be")
    slots = [one["bid"] for one in status["links"]]
    for bid in slots:
        assert lab.run(MOBILE_NODE, "ip", "-6", "route", "show", "table", str(14700 + bid)), "its way out is there"
    assert str(HOME_ADDRESS) in shown(lab)
    return status


class Watch:
    """What `ip monitor` sees of addresses in the mobile node while the context lasts."""

    def __init__(self, lab: Lab) -> None:
        self._command = lab.command(MOBILE_NODE, "stdbuf", "-oL", "ip", "-6", "monitor", "address")

    def __enter__(self) -> "Watch":
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def sees(self, text: str) -> None:
        """Wait for it."""
        assert self._process.stdout is not None
        assert any(text in line for line in self._process.stdout)


def shown(lab: Lab) -> str:
    """The addresses of the loopback interface."""
    return lab.run(MOBILE_NODE, "ip", "-6", "address", "show", "dev", "lo")


def bring_up(place: Place) -> None:
    """Ethernet, whether it is up already or not."""
    place.desktop.up("ethernet")
    wait_right(place.lab)


def test_it_manages_the_lab_and_nothing_else(place: Place) -> None:
    devices = place.desktop.nmcli("-t", "-f", "DEVICE,STATE", "device").splitlines()
    assert {"eth0:connected", "wlan0:connected", "wwan0:connected"} < set(devices)
    assert {device.partition(":")[0] for device in devices} == {"lo", "eth0", "wlan0", "wwan0"}
    wait_right(place.lab)


def test_people_see_what_it_knows(place: Place) -> None:
    assert link(place.lab.agent.status(), "wifi")["connectivity"] == "portal"
    screen = place.lab.monami6("status")
    assert "wifi connection" in screen
    assert "behind a captive portal" in screen
    explained = json.loads(place.lab.monami6("policy", "explain", "--json"))
    places = {one["link"]: one["place"] for one in explained["links"]}
    assert places == {"ethernet": 1, "lte": 2, "wifi": 3}


def test_what_costs_is_known(place: Place) -> None:
    def costs(word: str, *, metered: bool) -> None:
        place.desktop.nmcli("connection", "modify", connection("ethernet"), "connection.metered", word)
        place.desktop.nmcli("device", "reapply", "eth0")
        place.lab.wait(lambda status: link(status, "ethernet")["metered"] is metered, f"metered: {word}")

    costs("yes", metered=True)
    costs("unknown", metered=False)
    assert link(place.lab.agent.status(), "lte")["metered"], "as the kernel guesses"
    wait_right(place.lab)


def test_who_waits_for_what_does_not_happen_waits_not(place: Place) -> None:
    for name in ("eth0", "wlan0", "nonsense0"):
        answer = place.lab.agent.call("leave", interface=name)
        assert answer["took_s"] < 1.0


def test_a_link_that_is_taken_down_is_left_before_it_goes(place: Place) -> None:
    lab, desktop = place
    assert lost(lab, lambda: desktop.down("ethernet")) == NONE
    status = lab.agent.status()
    assert status["default"]["link"] == "lte", "Wi-Fi is behind a captive portal"
    assert link(status, "ethernet")["state"] in ("unusable", "deregistering")
    # It was not a failure, so it need not prove itself
    assert lost(lab, lambda: bring_up(place)) == NONE


def test_without_help_of_its_dispatcher_few_packets_are_lost(place: Place) -> None:
    """It announces the end about one millisecond before."""
    lab, desktop = place
    assert desktop.doctor()["NetworkManager"]["result"] == "ok"
    desktop.remove_hook()
    try:
        assert "does not wait" in desktop.doctor()["NetworkManager"]["found"]
        assert max(lost(lab, lambda: desktop.down("ethernet")).values()) <= 20
    finally:
        desktop.install_hook()
        bring_up(place)


def test_a_connection_that_is_activated_again(place: Place) -> None:
    """It takes away all addresses and routes on that device, ours too."""
    assert lost(place.lab, lambda: bring_up(place)) == NONE


def test_a_device_that_is_configured_again(place: Place) -> None:
    lab, desktop = place

    def reapply() -> None:
        for device in ("eth0", "wlan0", "wwan0"):
            desktop.nmcli("device", "reapply", device)

    assert lost(lab, reapply) == NONE
    wait_right(lab)


def test_the_home_address_comes_back(place: Place) -> None:
    """Asked to, NetworkManager takes everything from the loopback interface for a moment."""
    lab, desktop = place
    before = shown(lab)
    with Watch(lab) as watch:
        desktop.nmcli("device", "reapply", "lo")
        watch.sees(f"Deleted 1: lo    inet6 {HOME_ADDRESS}/128")
    wait_right(lab)
    lab.wait(lambda _: shown(lab) == before, "also what makes it a home address")
    lab.run(MOBILE_NODE, "ping", "-6", "-n", "-c", "1", "-w", "5", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))


def test_a_link_that_loses_its_carrier_while_it_is_managed(place: Place) -> None:
    lab, _ = place
    lab.change_link("ethernet", LinkAction.DOWN)
    lab.wait_carried_by("lte")
    lab.change_link("ethernet", LinkAction.UP)
    bring_up(place)


def test_networkmanager_is_killed_and_started_again(place: Place) -> None:
    lab, desktop = place

    def restart() -> None:
        desktop.kill()
        assert link(lab.agent.status(), "ethernet")["connection"] == connection("ethernet"), "it will be back"
        desktop.start()
        desktop.nmcli("--wait", "20", "general")
        wait_right(lab)

    assert lost(lab, restart) == NONE
    # And it is followed again
    assert lost(lab, lambda: desktop.down("ethernet")) == NONE
    bring_up(place)


def test_the_bus_is_killed_and_started_again(place: Place) -> None:
    lab, desktop = place

    def restart() -> None:
        desktop.kill_bus()
        desktop.kill()
        desktop.kill_dispatcher()
        desktop.start_bus()
        desktop.start_dispatcher()
        desktop.start()
        wait_right(lab)

    assert lost(lab, restart) == NONE
    assert lost(lab, lambda: desktop.down("ethernet")) == NONE
    bring_up(place)


def test_without_networkmanager_the_kernel_is_believed(place: Place) -> None:
    lab, desktop = place
    desktop.kill()
    status = lab.wait(lambda status: link(status, "wifi")["connection"] is None, "what it said is forgotten")
    assert link(status, "wifi")["captive"] is None
    assert status["troubles"] == {}
    assert [one["state"] for one in status["links"]] == ["registered"] * 3
    desktop.start()
    wait_right(lab)
