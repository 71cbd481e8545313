"""What a lab consists of: nodes, names and addresses, worked out from its links. Pure.

    m6-mn  eth0 ---- mobile  m6-ethernet  uplink ---+
           wlan0 --- mobile  m6-wifi      uplink ---+--- m6-net ---- eth0  m6-ha
           wwan0 --- mobile  m6-lte       uplink ---+       |
                                                            +------- eth0  m6-cn

The mobile node gets its addresses and default routes from router advertisements; everything else is static. The home
prefix is nowhere on a link: the core router m6-net hands it to the home agent. All addresses are for documentation
(RFC 3849).

With `router` the mobile node is a mobile router: behind its interface lan0 is a network with two hosts, which get
addresses and default route from it.

    m6-host1  eth0 ---+
    m6-host2  eth0 ---+--- m6-lan ---- lan0  m6-mn
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

DEFAULT_PREFIX = "m6-"
DEFAULT_LINKS = ("ethernet", "wifi", "lte")

MOBILE_NODE, CORE, HOME_AGENT, CORRESPONDENT = "mn", "net", "ha", "cn"
LAN, HOSTS = "lan", ("host1", "host2")
"""Of a mobile router: the switch of its network, and who is in it."""
_FIXED_NODES = (MOBILE_NODE, CORE, HOME_AGENT, CORRESPONDENT, LAN, *HOSTS)

HOME_ADDRESS = IPv6Address("2001:db8:f00::10")
HOME_PREFIX = IPv6Network("2001:db8:f00::/64")
MOBILE_NETWORK = IPv6Network("2001:db8:f00:1::/64")
ROUTER_ADDRESS = MOBILE_NETWORK[1]
HOME_AGENT_ADDRESS = IPv6Address("2001:db8:aa::1")
CORRESPONDENT_ADDRESS = IPv6Address("2001:db8:cc::1")

MOBILE_SIDE, UPLINK, HOST_INTERFACE, INSIDE = "mobile", "uplink", "eth0", "lan0"
"""Interfaces of an access router towards the mobile node and towards the core, of the hosts, and of a mobile router
inwards."""

_INTERFACE_BASES = {"ethernet": "eth", "wifi": "wlan", "lte": "wwan"}
_LINK_NAME = re.compile(r"([a-z]+)([0-9]*)")
_LONGEST_NAME = 12
"""The core's interface towards a link is called after it, and the kernel takes 15 octets."""
_MOST_LINKS = 99


class LayoutError(ValueError):
    """There can be no such lab."""


class NoSuchThingError(LayoutError):
    """The lab has nothing of this name."""


@dataclass(frozen=True, slots=True)
class Link:
    """An uplink of the mobile node; `number` counts from 1 in the order in which they were asked for."""

    name: str
    kind: str
    interface: str
    number: int

    @property
    def prefix(self) -> IPv6Network:
        """On the link: the mobile node makes its care-of address from it."""
        return IPv6Network(f"2001:db8:{self.number}::/64")

    @property
    def router(self) -> IPv6Address:
        return self.prefix[1]

    @property
    def uplink(self) -> IPv6Address:
        """Of the access router, towards the core."""
        return IPv6Address(f"2001:db8:e000:{self.number}::1")

    @property
    def hardware_address(self) -> str:
        """Of the mobile node: what it makes its address from."""
        return f"02:6d:36:00:00:{self.number:02x}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A lab. Its namespaces are called `prefix` and the node's name."""

    links: tuple[Link, ...]
    prefix: str = DEFAULT_PREFIX
    router: bool = False
    """Whether the mobile node is a mobile router."""

    @property
    def nodes(self) -> tuple[str, ...]:
        behind = (LAN, *HOSTS) if self.router else ()
        return (MOBILE_NODE, CORE, *(link.name for link in self.links), HOME_AGENT, CORRESPONDENT, *behind)

    @property
    def namespaces(self) -> Mapping[str, str]:
        """By node."""
        return {node: self.prefix + node for node in self.nodes}

    def link(self, name: str) -> Link:
        """Raises NoSuchThingError when there is no such link."""
        for link in self.links:
            if link.name == name:
                return link
        raise NoSuchThingError(f"no link is called {name}; there are: {', '.join(link.name for link in self.links)}")

    def namespace(self, node: str) -> str:
        """Of a node, which may be called by its namespace too. Raises NoSuchThingError when there is no such node."""
        for name, namespace in self.namespaces.items():
            if node in (name, namespace):
                return namespace
        raise NoSuchThingError(f"no node is called {node}; there are: {', '.join(self.nodes)}")


def host_hardware_address(host: str) -> str:
    """Of a host behind a mobile router."""
    return f"02:6d:36:00:01:{HOSTS.index(host) + 1:02x}"


def host_address(host: str) -> IPv6Address:
    """The one that it makes of that (RFC 4291 appendix A)."""
    return MOBILE_NETWORK[0x006D_36FF_FE00_0101 + HOSTS.index(host)]


def command_line(prefix: str, command: str) -> str:
    """What to type to do something with a lab."""
    option = "" if prefix == DEFAULT_PREFIX else f"--prefix {prefix} "
    return f"monami6 lab {option}{command}"


def plan(links: Sequence[str] = DEFAULT_LINKS, prefix: str = DEFAULT_PREFIX, *, router: bool = False) -> Layout:
    """The lab with these links. Raises LayoutError when their names can't be."""
    if not re.fullmatch(r"m6-([a-z0-9]+-)?", prefix):
        raise LayoutError(f'prefix "{prefix}": must look like "m6-" or "m6-test-"')
    if not 0 < len(links) <= _MOST_LINKS:
        raise LayoutError(f"a lab has 1 to {_MOST_LINKS} links, not {len(links)}")
    layout = Layout(tuple(_link(name, number) for number, name in enumerate(links, 1)), prefix, router)
    interfaces = [link.interface for link in layout.links]
    for link in layout.links:
        if interfaces.count(link.interface) > 1:
            raise LayoutError(f"two links would be {link.interface}: {', '.join(links)}")
    return layout


def _link(name: str, number: int) -> Link:
    """`wifi` is wlan0, `wifi2` wlan1 and so on; any other name is an Ethernet link on an interface of that name."""
    match = _LINK_NAME.fullmatch(name)
    if match is None or len(name) > _LONGEST_NAME or name in (*_FIXED_NODES, "lo"):
        raise LayoutError(
            f'"{name}" can\'t be a link: a name is lower-case letters, then digits, at most {_LONGEST_NAME} together,'
            f" and none of {', '.join(_FIXED_NODES)}, lo"
        )
    kind, digits = match.groups()
    base = _INTERFACE_BASES.get(kind)
    if base is None:
        return Link(name, "ethernet", name, number)
    return Link(name, kind, f"{base}{max(int(digits or 1) - 1, 0)}", number)
