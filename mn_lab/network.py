"""Make a layout real: namespaces, cables, addresses and routes; break links and mend them; take it all away."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from mn_lab import processes
from mn_lab.commands import ip_batch, run, run_all
from mn_lab.layout import (
    CORE,
    CORRESPONDENT,
    CORRESPONDENT_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    HOME_PREFIX,
    HOST_INTERFACE,
    HOSTS,
    INSIDE,
    LAN,
    MOBILE_NETWORK,
    MOBILE_NODE,
    MOBILE_SIDE,
    ROUTER_ADDRESS,
    UPLINK,
    Layout,
    host_hardware_address,
)

NAMED_NAMESPACES = Path("/run/netns")

_FIRST_INDEX = 100
_HOSTS = {HOME_AGENT: HOME_AGENT_ADDRESS, CORRESPONDENT: CORRESPONDENT_ADDRESS}
_ANYWHERE = IPv6Network("::/0")

_STATIC = (
    # Nobody else has these addresses, and what was down comes up as it was
    *(f"net.ipv6.conf.{scope}.accept_dad=0" for scope in ("all", "default")),
    *(f"net.ipv6.conf.{scope}.keep_addr_on_down=1" for scope in ("all", "default")),
)
_FORWARDING = "net.ipv6.conf.all.forwarding=1"

_BLACKHOLE, _SOURCES = "lab_blackhole", "lab_sources"
_PATIENCE_S = 2.0


class LinkAction(StrEnum):
    """What can be done to a link."""

    DOWN = "down"
    UP = "up"
    BLACKHOLE = "blackhole"
    HEAL = "heal"


def create(layout: Layout) -> None:
    """Raises LabError, and may leave things half done, when one of the namespaces exists or the kernel refuses."""
    spaces = layout.namespaces
    run_all([ip_batch(f"netns add {namespace}" for namespace in spaces.values())])
    settings = {node: _settings(layout, node) for node in layout.nodes}
    run_all([(in_namespace(spaces[node], "sysctl", "-qw", *settings[node]), "") for node in layout.nodes])
    run_all([ip_batch(_cables(layout))])
    run_all([ip_batch(_configuration(layout, node), spaces[node]) for node in layout.nodes])
    if layout.router:
        run(in_namespace(spaces[MOBILE_NODE], "sysctl", "-qw", f"net.ipv6.conf.{INSIDE}.forwarding=1"))


def in_namespace(namespace: str, *command: str) -> list[str]:
    """The command line that runs a command there."""
    return ["ip", "netns", "exec", namespace, *command]


def _settings(layout: Layout, node: str) -> tuple[str, ...]:
    if node == MOBILE_NODE:
        # A mobile router forwards, and yet is a host on its uplinks (RFC 3963 section 5.6)
        router = (_FORWARDING, "net.ipv6.conf.default.forwarding=0") if layout.router else ()
        return ("net.ipv6.conf.default.use_tempaddr=0", *router)
    return _STATIC if node in (CORRESPONDENT, LAN, *HOSTS) else (*_STATIC, _FORWARDING)


def _cables(layout: Layout) -> Iterator[str]:
    """Commands that make them. The ends of a cable get different interface indexes: with equal ones the kernel tells
    of a lost carrier up to a second late.
    """
    ends = [((link.name, MOBILE_SIDE), (MOBILE_NODE, link.interface)) for link in layout.links]
    ends += [((link.name, UPLINK), (CORE, _towards(link.name))) for link in layout.links]
    ends += [((host, HOST_INTERFACE), (CORE, _towards(host))) for host in _HOSTS]
    if layout.router:
        ends += [((LAN, _towards(MOBILE_NODE)), (MOBILE_NODE, INSIDE))]
        ends += [((LAN, _towards(host)), (host, HOST_INTERFACE)) for host in HOSTS]
    for number, ((node, name), (peer, peer_name)) in enumerate(ends):
        index = _FIRST_INDEX + 2 * number
        yield (
            f"link add {name} index {index} netns {layout.namespace(node)} type veth"
            f" peer name {peer_name} index {index + 1} netns {layout.namespace(peer)}"
        )


def _towards(node: str) -> str:
    """The core's interface there."""
    return f"to-{node}"


def _configuration(layout: Layout, node: str) -> Iterator[str]:
    """Commands for inside a namespace."""
    yield "link set lo up"
    for interface, address in _ports(layout, node):
        yield f"address add {address}/64 dev {interface}"
        yield f"link set {interface} up"
    for destination, gateway in _routes(layout, node):
        yield f"route add {destination} via {gateway}"
    if node == LAN:
        yield "link add switch type bridge"
        yield "link set switch up"
        for there in (MOBILE_NODE, *HOSTS):
            yield f"link set {_towards(there)} master switch up"
    if node in HOSTS:
        yield f"link set {HOST_INTERFACE} address {host_hardware_address(node)} up"
    if node == MOBILE_NODE:
        if layout.router:
            yield f"address add {ROUTER_ADDRESS}/64 dev {INSIDE} nodad"
            yield f"link set {INSIDE} up"
        for link in layout.links:
            yield f"link set {link.interface} address {link.hardware_address} up"


def _ports(layout: Layout, node: str) -> list[tuple[str, IPv6Address]]:
    """Interfaces with static addresses. At every cable to the core, the core has the next higher address."""
    if node in (MOBILE_NODE, LAN, *HOSTS):
        return []
    if node == CORE:
        ports = [(_towards(link.name), link.uplink + 1) for link in layout.links]
        return ports + [(_towards(host), address + 1) for host, address in _HOSTS.items()]
    if node in _HOSTS:
        return [(HOST_INTERFACE, _HOSTS[node])]
    link = layout.link(node)
    return [(MOBILE_SIDE, link.router), (UPLINK, link.uplink)]


def _routes(layout: Layout, node: str) -> list[tuple[IPv6Network, IPv6Address]]:
    if node in (MOBILE_NODE, LAN, *HOSTS):
        return []
    if node == CORE:
        home = [HOME_PREFIX, MOBILE_NETWORK] if layout.router else [HOME_PREFIX]
        return [(one, HOME_AGENT_ADDRESS) for one in home] + [(link.prefix, link.uplink) for link in layout.links]
    return [(_ANYWHERE, (_HOSTS[node] if node in _HOSTS else layout.link(node).uplink) + 1)]


# Links


def change_link(layout: Layout, name: str, action: LinkAction) -> None:
    """Do it, if it is not so already. Raises NoSuchThingError when there is no such link."""
    namespace = layout.namespace(layout.link(name).name)
    match action:
        case LinkAction.DOWN | LinkAction.UP:
            # The far end: what the mobile node sees is its carrier coming and going
            run(["ip", "-n", namespace, "link", "set", MOBILE_SIDE, action.value])
        case LinkAction.BLACKHOLE:
            _replace_blackhole(namespace, "type filter hook forward priority filter; policy drop;")
        case LinkAction.HEAL:
            _replace_blackhole(namespace, None)


def _replace_blackhole(namespace: str, rules: str | None) -> None:
    """Nothing goes through the access router: it is reachable itself, and says nothing of what it drops."""
    lines = [f"table ip6 {_BLACKHOLE}", f"delete table ip6 {_BLACKHOLE}"]
    if rules is not None:
        # nft 1.0.6 takes a closing brace for part of what is before it on the same line
        lines += [f"table ip6 {_BLACKHOLE} {{", "chain forward {", rules, "}", "}"]
    run(in_namespace(namespace, "nft", "-f", "-"), "\n".join(lines) + "\n")


def check_sources(layout: Layout) -> None:
    """From now on the access routers forward from the mobile node only what has a source on its link, as providers do
    (BCP 38).
    """
    for link in layout.links:
        hook = "type filter hook forward priority filter;"
        rule = f'iifname "{MOBILE_SIDE}" ip6 saddr != {link.prefix} drop'
        lines = [f"table ip6 {_SOURCES} {{", "chain forward {", hook, rule, "}", "}"]
        run(in_namespace(layout.namespace(link.name), "nft", "-f", "-"), "\n".join(lines) + "\n")


# The end


def existing(namespaces: Iterable[str]) -> list[str]:
    """Those that there are."""
    return [namespace for namespace in namespaces if (NAMED_NAMESPACES / namespace).exists()]


def remove(namespaces: Iterable[str]) -> None:
    """Delete those that exist, and end every process in them, whoever started it."""
    there = existing(namespaces)
    inodes = {(NAMED_NAMESPACES / namespace).stat().st_ino for namespace in there}
    while pids := processes.in_networks(inodes):
        processes.end(pids)
    run_all([ip_batch(f"netns del {namespace}" for namespace in there)])
