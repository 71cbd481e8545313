"""Checks of the ways to the home agent."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monami6.check_router import mobile_router
from monami6.checks import CannotTellError, Check, Finding, Patient, ok, problem, warning

SMALLEST_LINK_MTU = 1320
"""An IPv6 packet that every link must carry (1280), and the tunnel's header around it (40)."""


def routes(patient: Patient) -> Finding:
    """From each care-of address, by its own link."""
    usable = [link for link in patient.links if link["care_of_address"]]
    if not usable:
        raise CannotTellError("no link has a care-of address", "`monami6 status` says why")
    missing = [told for link in usable if (told := _detour(link, patient.home_agent))]
    if missing:
        return problem(
            f"there is no right way to home agent {patient.home_agent}: {'; '.join(missing)}",
            "look at `ip -6 rule` and `ip -6 route show table all`; does another program change them?",
        )
    names = ", ".join(link["name"] for link in usable)
    return ok(f"home agent {patient.home_agent} has a route by {names}, each from its own address")


def _detour(link: Mapping[str, Any], home_agent: str) -> str | None:
    """What is wrong with the way from the link's care-of address; None if nothing is."""
    command = ["ip", "-6", "-json", "route", "get", home_agent, "from", link["care_of_address"]]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except FileNotFoundError:
        raise CannotTellError("the program ip is not installed", "apt install iproute2") from None
    if asked.returncode:
        return f"none from {link['care_of_address']} ({link['name']}): {asked.stderr.strip()}"
    interface = json.loads(asked.stdout)[0]["dev"]
    if interface != link["interface"]:
        return f"from {link['care_of_address']} ({link['name']}) it leads over {interface}"
    return None


def mtu(patient: Patient) -> Finding:
    """Of each link, as IPv6 sees it: a router may have lowered it."""
    sizes = {link["interface"]: _mtu(link["interface"]) for link in patient.links}
    small = {name: size for name, size in sizes.items() if size < SMALLEST_LINK_MTU}
    listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
    if small:
        return warning(
            f"MTU {listed}: below {SMALLEST_LINK_MTU} a packet of 1280 octets has to be fragmented in the tunnel",
            "; ".join(f"ip link set {name} mtu 1500 (or what the link can)" for name in small),
        )
    return ok(f"MTU {listed}: the tunnel fits")


def _mtu(interface: str) -> int:
    try:
        return int(Path("/proc/sys/net/ipv6/conf", interface, "mtu").read_text())
    except FileNotFoundError:
        raise CannotTellError(
            f"there is no interface {interface} here", "is the agent in another network namespace?"
        ) from None


CHECKS = (
    Check("routes", routes),
    Check("MTU", mtu),
    Check("mobile router", mobile_router),
)
