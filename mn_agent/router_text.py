"""What a mobile router needs beside the agent, as text for people: that it forwards, and that it is a router inside."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv6Network

from mip6.ipsec import protected_mtu
from mip6.kernel import TUNNEL_HEADER
from mn_agent.core.settings import Settings

LAN_BITS = 64
"""Hosts make an address from so many."""
_USUAL_MTU = 1500


def inside_mtu(settings: Settings, link_mtus: Sequence[int]) -> int:
    """What fits through the tunnel over the narrowest of these links."""
    narrowest = min(link_mtus, default=_USUAL_MTU)
    return protected_mtu(narrowest) if settings.protects_payload else max(narrowest - TUNNEL_HEADER, 1280)


def networks(settings: Settings) -> Iterator[tuple[str, IPv6Network]]:
    """A prefix for each interface inwards, as long as there are any."""
    own = settings.router
    parts = (
        part
        for prefix in own.prefixes
        for part in (prefix.subnets(new_prefix=LAN_BITS) if prefix.prefixlen < LAN_BITS else (prefix,))
    )
    return zip(own.interfaces, parts, strict=False)


def radvd(interface: str, prefix: IPv6Network, mtu: int) -> str:
    """Its configuration for one interface inwards."""
    return f"""\
interface {interface} {{
    AdvSendAdvert on;
    AdvLinkMTU {mtu};
    prefix {prefix} {{ }};
}};
"""


def networkd(interface: str, prefix: IPv6Network) -> str:
    """systemd-networkd's."""
    return f"""\
[Match]
Name={interface}
[Network]
Address={prefix[1]}/{prefix.prefixlen}
IPv6AcceptRA=no
IPv6SendRA=yes
[IPv6Prefix]
Prefix={prefix}
"""


def sysctl(settings: Settings, uplinks: Sequence[str]) -> str:
    """Linux forwards if `all` says so; what an interface says of itself is whether we are a host or a router there (RFC
    3963 section 5.6).
    """
    lines = ["net.ipv6.conf.all.forwarding = 1", "net.ipv6.conf.default.forwarding = 0"]
    lines += [f"net.ipv6.conf.{uplink}.forwarding = 0" for uplink in uplinks]
    lines += [f"net.ipv6.conf.{interface}.forwarding = 1" for interface in settings.router.interfaces]
    return "".join(f"{line}\n" for line in lines)


def explanation(settings: Settings, uplinks: Sequence[str], link_mtus: Sequence[int]) -> str:
    """What to do by hand, and files for it. `uplinks`: names of interfaces."""
    mtu = inside_mtu(settings, link_mtus)
    found = list(networks(settings))
    addresses = "".join(f"    ip -6 address add {part[1]}/{part.prefixlen} dev {name}\n" for name, part in found)
    by_radvd = "".join(radvd(name, part, mtu) for name, part in found)
    by_networkd = "\n".join(
        f"  /etc/systemd/network/70-{name}.network\n\n{_indented(networkd(name, part))}" for name, part in found
    )
    return f"""\
This machine is a mobile router. It has to forward, and stays a host on its uplinks:

  /etc/sysctl.d/70-monami6-router.conf

{_indented(sysctl(settings, uplinks))}
Hosts behind it get their addresses from radvd, once the interface has one:

{addresses}
  /etc/radvd.conf

{_indented(by_radvd)}
or from systemd-networkd, which gives the address too, but tells no MTU; who sends too much hears so:

{by_networkd}"""


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
