"""Whether a mobile router is one: it forwards, is a router only inwards, and a home agent serves its prefixes."""

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from monami6.checks import CannotTellError, Finding, Patient, ok, problem, warning

SETTINGS, ADDRESSES = Path("/proc/sys/net/ipv6/conf"), Path("/proc/net/if_inet6")


def mobile_router(patient: Patient) -> Finding:
    """On its uplinks it is a host: it takes router advertisements there, and sends none (RFC 3963 section 5.6)."""
    router: Mapping[str, Any] | None = patient.status.get("router")
    if router is None:
        return ok("this machine is a host, and no mobile router")
    networks = [one["prefix"] for one in router["networks"]]
    if router["problem"]:
        remedy = f"prefixes in our [[node]] there must be as in [router] here: {', '.join(networks)}"
        return problem(router["problem"], remedy)
    if not _forwards("all"):
        return problem("this machine does not forward", "sysctl -w net.ipv6.conf.all.forwarding=1")
    if not router["interfaces"]:
        return problem("no interface is there that leads inwards", "[router] interfaces names them")
    if outside := [link["interface"] for link in patient.links if _forwards(link["interface"])]:
        return warning(
            f"it is a router on {', '.join(outside)}, too, where it takes no router advertisements then",
            "; ".join(f"sysctl -w net.ipv6.conf.{name}.forwarding=0" for name in outside),
        )
    if silent := [name for name in router["interfaces"] if not _forwards(name)]:
        return warning(
            f"it is no router on {', '.join(silent)}: router advertisements must not be sent there",
            "; ".join(f"sysctl -w net.ipv6.conf.{name}.forwarding=1" for name in silent),
        )
    if bare := [prefix for prefix in networks if not _has_address_in(IPv6Network(prefix))]:
        return warning(
            f"it has no address in {', '.join(bare)}: whoever is there cannot be reached",
            f"ip -6 address add {IPv6Network(bare[0])[1]}/64 dev {router['interfaces'][0]}",
        )
    return ok(f"{', '.join(networks)} behind {', '.join(router['interfaces'])}: served in {router['mode']} mode")


def _forwards(interface: str) -> bool:
    try:
        return (SETTINGS / interface / "forwarding").read_text().strip() != "0"
    except FileNotFoundError:
        raise CannotTellError(
            f"there is no interface {interface} here", "is the agent in another network namespace?"
        ) from None


def _has_address_in(prefix: IPv6Network) -> bool:
    return any(IPv6Address(int(line.split()[0], 16)) in prefix for line in ADDRESSES.read_text().splitlines())
