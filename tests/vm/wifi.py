"""Wi-Fi in a lab: radios that the kernel simulates (mac80211_hwsim) in place of the cables of its links.

Each link becomes a network of its own: a station at the mobile node, and an access point at the access router. All
radios end with the socket they were asked for by, so nothing is left however a test ends.
"""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from pyroute2.netlink import ctrlmsg, genlmsg

from mip6.linux.netlink import Netlink, NetlinkError, decode, message
from mn_lab.commands import run
from mn_lab.lab import Lab
from mn_lab.layout import MOBILE_NODE, MOBILE_SIDE, Link
from tests.kernel.namespace import inside
from tests.kernel.networkmanager import Network

PATIENCE_S = 20.0

_MODULE = "mac80211_hwsim"
_NETLINK_GENERIC = _CONTROLLER = 16
_GET_FAMILY, _NEW_RADIO = 3, 4
_IN_RANGE, _OUT_OF_RANGE = "1", "2"
"""Radios hear each other that have a bit in common."""
_ACCESS_POINT = """
interface={interface}
driver=nl80211
ssid={ssid}
hw_mode=g
channel={channel}
wpa=2
wpa_key_mgmt=WPA-PSK
rsn_pairwise=CCMP
wpa_passphrase={passphrase}
"""


class _Radio(genlmsg):  # type: ignore[misc]
    """A message of the kernel's mac80211_hwsim.h."""

    prefix = "HWSIM_ATTR_"
    nla_map = (
        (16, "HWSIM_ATTR_DESTROY_RADIO_ON_CLOSE", "flag"),
        (17, "HWSIM_ATTR_RADIO_NAME", "asciiz"),
        (18, "HWSIM_ATTR_NO_VIF", "flag"),
        (22, "HWSIM_ATTR_PERM_ADDR", "l2addr"),
    )


class _Radios:
    """They end when it is closed. Those that shall hear each other have to be made in the same namespace."""

    def __init__(self) -> None:
        self._netlink = Netlink(_NETLINK_GENERIC)
        question = message(ctrlmsg, {"cmd": _GET_FAMILY, "version": 1}, {"CTRL_ATTR_FAMILY_NAME": _MODULE.upper()})
        (answer,) = self._netlink.get(_CONTROLLER, question)
        self._family = dict(decode(ctrlmsg, answer)["attrs"])["CTRL_ATTR_FAMILY_ID"]

    def close(self) -> None:
        self._netlink.close()

    def make(self, name: str, address: str | None = None) -> None:
        """One without an interface."""
        attributes = {
            "HWSIM_ATTR_DESTROY_RADIO_ON_CLOSE": True,
            "HWSIM_ATTR_RADIO_NAME": name,
            "HWSIM_ATTR_NO_VIF": True,
        }
        if address is not None:
            attributes["HWSIM_ATTR_PERM_ADDR"] = address
        try:
            self._netlink.request(self._family, message(_Radio, {"cmd": _NEW_RADIO, "version": 1}, attributes))
        except NetlinkError as error:
            if error.errno is None or error.errno > 0:
                raise  # what is less is the new radio's number


class Air:
    """While the context lasts, all links of a lab are Wi-Fi. The lab is laid out, and nothing runs in it yet."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._access_points: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()
        self.networks = {link.name: Network(f"net-{link.number}", "correct horse") for link in lab.layout.links}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(_module())
            self._debug = stack.enter_context(_debug_files())
            with inside(self._lab.layout.namespace(MOBILE_NODE)):
                radios = _Radios()
            stack.callback(radios.close)
            for link in self._lab.layout.links:
                self._replace_cable(link, radios)
                stack.callback(self.stop_access_point, link.name)
                self.start_access_point(link.name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _replace_cable(self, link: Link, radios: _Radios) -> None:
        lab = self._lab
        lab.run(MOBILE_NODE, "ip", "link", "delete", link.interface)
        radios.make(self._station(link), link.hardware_address)
        radios.make(self._access_point(link))
        lab.run(MOBILE_NODE, "iw", "phy", self._station(link), "interface", "add", link.interface, "type", "managed")
        radio = self._access_point(link)
        lab.run(MOBILE_NODE, "iw", "phy", radio, "set", "netns", "name", lab.layout.namespace(link.name))
        lab.run(link.name, "iw", "phy", radio, "interface", "add", MOBILE_SIDE, "type", "managed")
        lab.run(link.name, "ip", "address", "add", f"{link.router}/64", "dev", MOBILE_SIDE)

    def _station(self, link: Link) -> str:
        return f"{self._lab.layout.prefix}{link.name}-station"

    def _access_point(self, link: Link) -> str:
        return f"{self._lab.layout.prefix}{link.name}-access-point"

    # Access points

    def start_access_point(self, link: str) -> None:
        """And wait until it can be heard."""
        file, log = (self._lab.directory / f"hostapd-{link}.{ending}" for ending in ("conf", "log"))
        number = self._lab.layout.link(link).number
        network = self.networks[link]
        text = _ACCESS_POINT.format(interface=MOBILE_SIDE, channel=5 * number - 4, **network._asdict())
        file.write_text(text)
        with log.open("wb") as output:
            command = self._lab.command(link, "hostapd", str(file))
            self._access_points[link] = subprocess.Popen(command, stdout=output, stderr=output)
        wait(lambda: "AP-ENABLED" in log.read_text(), f"an access point for {link}")

    def stop_access_point(self, link: str) -> None:
        """It tells its stations that it goes."""
        process = self._access_points.pop(link, None)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def leave_range(self, link: str) -> None:
        """From now on nothing that either end sends is heard by the other."""
        self._group(link).write_text(_OUT_OF_RANGE)

    def enter_range(self, link: str) -> None:
        self._group(link).write_text(_IN_RANGE)

    def _group(self, link: str) -> Path:
        return self._debug / "ieee80211" / self._access_point(self._lab.layout.link(link)) / "hwsim" / "group"


def disconnected_at(lab: Lab, interface: str, after: float) -> float:
    """When the kernel told wpa_supplicant that there is no access point any more, by the system's clock; waits for it.
    What was told before `after` does not count.
    """
    log = lab.directory / "wpa_supplicant.log"
    event = re.compile(rf"^([0-9.]+): {interface}: CTRL-EVENT-DISCONNECTED", re.MULTILINE)

    def times() -> list[float]:
        return [at for at in map(float, event.findall(log.read_text())) if at >= after]

    wait(lambda: bool(times()), f"{interface} is disconnected")
    return times()[0]


def wait(condition: Callable[[], bool], what: str) -> None:
    end_at = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_at, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.02)


@contextmanager
def _module() -> Iterator[None]:
    """Without radios of its own: those would be this machine's."""
    if Path("/sys/module", _MODULE).exists():
        yield
        return
    run(["modprobe", _MODULE, "radios=0"])
    try:
        yield
    finally:
        run(["modprobe", "-r", _MODULE])


@contextmanager
def _debug_files() -> Iterator[Path]:
    with TemporaryDirectory() as directory:
        run(["mount", "-t", "debugfs", "debugfs", directory])
        try:
            yield Path(directory)
        finally:
            run(["umount", directory])
