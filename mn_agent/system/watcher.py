"""Watches the interfaces, their addresses and default routes over netlink.

A notification only says what kind of thing to look at again; what we then read is the truth. After an overrun all is
read again.
"""

import socket
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from math import inf
from pathlib import Path
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mip6.kernel import LOOPBACK, MAIN_TABLE
from mip6.linux import routing
from mip6.linux.netlink import (
    HEADER,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Netlink,
    NetlinkError,
    Notifications,
    Request,
    attributes,
    message,
    nested,
)
from mn_agent.core.interfaces import Interface, InterfaceAddress, Snapshot

RTMGRP_NEIGH = 0x4
NUD_REACHABLE, NUD_STALE, NUD_PROBE, NUD_FAILED = 0x02, 0x04, 0x10, 0x20
NTF_USE = 0x01
RTEXT_FILTER_SKIP_STATS = 8
_DEVICE = struct.Struct("=xxHiI4x")
_NEIGHBOUR = struct.Struct("=4xiHBB")
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_OPERSTATE, IFLA_CARRIER, IFLA_AF_SPEC = 1, 3, 4, 16, 33, 26
IFLA_INET6_CONF, DEVCONF_MTU6 = 2, 2
OPER_UNKNOWN, OPER_UP = 0, 6
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
ARPHRD_ETHER, ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_PPP = 1, 0xFFFE, 519, 512
IFA_F_TEMPORARY, IFA_F_OPTIMISTIC, IFA_F_DADFAILED = 0x01, 0x04, 0x08
IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x20, 0x40
FOREVER = 0xFFFFFFFF

_LIFETIME_JITTER_S = 2.0
"""Remaining lifetimes are whole seconds: an end that moves less than this has not moved."""

_ALL_DEVICES = message(ifinfmsg, {"family": socket.AF_UNSPEC}, {"IFLA_EXT_MASK": RTEXT_FILTER_SKIP_STATS})
_ALL_ADDRESSES = message(ifaddrmsg, {"family": socket.AF_INET6}, {})
_MAIN_ROUTES = message(rtmsg, {"family": socket.AF_INET6}, {"RTA_TABLE": MAIN_TABLE})

_LINK = {routing.RTM_NEWLINK, routing.RTM_DELLINK}
_ADDRESS = {routing.RTM_NEWADDR, routing.RTM_DELADDR}
_ROUTE = {routing.RTM_NEWROUTE, routing.RTM_DELROUTE}
_NEIGHBOURS = {routing.RTM_NEWNEIGH, routing.RTM_DELNEIGH}


@dataclass(frozen=True, slots=True)
class _Device:
    index: int
    name: str
    kind: str
    up: bool
    carrier: bool
    running: bool
    mtu: int
    hardware_address: bytes


class Watcher:
    """Knows the interfaces. `look` gives a snapshot; `heed` one when something has changed since the last."""

    def __init__(self) -> None:
        self._netlink = Netlink()
        self._news = Notifications(
            routing.RTMGRP_LINK | routing.RTMGRP_IPV6_IFADDR | routing.RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH,
        )
        self._devices: list[_Device] = []
        self._addresses: Mapping[int, tuple[InterfaceAddress, ...]] = {}
        self._routers: Mapping[int, tuple[IPv6Address | None, ...]] = {}
        self._unreachable: Mapping[int, frozenset[IPv6Address]] = {}
        self._prefixes: Mapping[int, tuple[IPv6Network, ...]] = {}
        self._last: Snapshot = ()

    def fileno(self) -> int:
        """Readable when something may have changed: call `heed`."""
        return self._news.fileno()

    def close(self) -> None:
        self._netlink.close()
        self._news.close()

    def look(self) -> Snapshot:
        """Read everything."""
        self._read_devices()
        self._read_addresses()
        self._read_routes()
        self._read_unreachable()
        self._last = self._snapshot()
        return self._last

    def heed(self) -> Snapshot | None:
        """A snapshot, if it differs from the last one."""
        news = self._news.read()
        if news is None or news & _LINK:
            self._read_devices()
        if news is None or news & _ADDRESS:
            self._read_addresses()
        if news is None or news & _ROUTE:
            self._read_routes()
        if news is None or news & (_NEIGHBOURS | _ROUTE | _LINK):
            self._read_unreachable()
        snapshot = self._snapshot()
        if snapshot == self._last:
            return None
        self._last = snapshot
        return snapshot

    def forget_neighbour(self, interface: int, address: IPv6Address) -> None:
        """Drop a neighbour, and the packets that wait for it; it may be gone already."""
        request = message(ndmsg, {"family": socket.AF_INET6, "ifindex": interface}, {"NDA_DST": str(address)})
        with suppress(NetlinkError):
            self._netlink.request(routing.RTM_DELNEIGH, request)

    def know_neighbour(self, interface: int, address: IPv6Address, hardware_address: bytes) -> None:
        """Take where a neighbour is for just confirmed; should it be somewhere else, the kernel finds out."""
        fields = {"family": socket.AF_INET6, "ifindex": interface, "state": NUD_REACHABLE}
        request = message(ndmsg, fields, {"NDA_DST": str(address), "NDA_LLADDR": hardware_address.hex(":")})
        with suppress(NetlinkError):
            self._netlink.request(routing.RTM_NEWNEIGH, request, NLM_F_CREATE | NLM_F_REPLACE)

    def ask_neighbour(self, interface: int, address: IPv6Address) -> None:
        """Have the kernel ask it whether it is still there, or where it is if that is not known."""
        fields = {"family": socket.AF_INET6, "ifindex": interface}
        ask = message(ndmsg, {**fields, "state": NUD_PROBE}, {"NDA_DST": str(address)})
        find = message(ndmsg, {**fields, "flags": NTF_USE}, {"NDA_DST": str(address)})
        try:
            # Not to replace it: then it would be no router any more
            self._netlink.request(routing.RTM_NEWNEIGH, ask)
        except NetlinkError:
            with suppress(NetlinkError):
                self._netlink.request(routing.RTM_NEWNEIGH, find, NLM_F_CREATE)

    def _snapshot(self) -> Snapshot:
        return tuple(
            Interface(
                index=device.index,
                name=device.name,
                kind=device.kind,
                up=device.up,
                carrier=device.carrier,
                running=device.running,
                mtu=device.mtu,
                addresses=self._addresses.get(device.index, ()),
                routers=self._routers.get(device.index, ()),
                unreachable=self._unreachable.get(device.index, frozenset()),
                prefixes=self._prefixes.get(device.index, ()),
                hardware_address=device.hardware_address,
            )
            for device in self._devices
        )

    def _read_devices(self) -> None:
        kinds = {(device.index, device.name): device.kind for device in self._devices}
        answers = self._netlink.dump_raw(routing.RTM_GETLINK, _ALL_DEVICES)
        devices = [_device(answer, kinds) for answer in answers]
        self._devices = [device for device in devices if device is not None]

    def _read_addresses(self) -> None:
        known = {address.address: address for addresses in self._addresses.values() for address in addresses}
        found: dict[int, list[InterfaceAddress]] = defaultdict(list)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        for answer in self._netlink.dump(routing.RTM_GETADDR, _ALL_ADDRESSES):
            address = _address(answer, now)
            if answer["index"] == LOOPBACK or address.address.is_link_local:
                continue
            old = known.get(address.address)
            if old is not None and abs(address.valid_until_at - old.valid_until_at) < _LIFETIME_JITTER_S:
                address = replace(address, valid_until_at=old.valid_until_at)
            found[answer["index"]].append(address)
        self._addresses = {index: tuple(sorted(addresses, key=_number)) for index, addresses in found.items()}

    def _read_routes(self) -> None:
        routers: dict[int, list[tuple[str, IPv6Address | None]]] = defaultdict(list)
        prefixes: dict[int, set[IPv6Network]] = defaultdict(set)
        for answer in self._netlink.dump(routing.RTM_GETROUTE, _MAIN_ROUTES):
            attributes = dict(answer["attrs"])
            if attributes.get("RTA_TABLE") != MAIN_TABLE or answer["type"] != routing.RTN_UNICAST:
                continue
            if answer["dst_len"] == 0:
                for index, gateway in _next_hops(attributes):
                    routers[index].append((f"{attributes.get('RTA_PRIORITY', 0):010}", gateway))
            elif "RTA_GATEWAY" not in attributes and "RTA_OIF" in attributes and "RTA_DST" in attributes:
                prefix = IPv6Network(f"{attributes['RTA_DST']}/{answer['dst_len']}")
                if not prefix.is_link_local and not prefix.is_multicast:
                    prefixes[attributes["RTA_OIF"]].add(prefix)
        self._routers = {
            index: tuple(dict.fromkeys(gateway for _metric, gateway in sorted(hops, key=str)))
            for index, hops in routers.items()
        }
        self._prefixes = {index: tuple(sorted(networks)) for index, networks in prefixes.items()}

    def _read_unreachable(self) -> None:
        """Which routers do not answer. It is so until one does: the kernel soon forgets that it could not reach it."""
        connected = {device.index for device in self._devices if device.carrier}
        found: dict[int, set[IPv6Address]] = defaultdict(set)
        for index, routers in self._routers.items():
            known = self._unreachable.get(index, frozenset())
            for router in routers:
                if index in connected and router is not None and self._is_unreachable(index, router, known):
                    found[index].add(router)
        self._unreachable = {index: frozenset(routers) for index, routers in found.items()}

    def _is_unreachable(self, index: int, router: IPv6Address, known: frozenset[IPv6Address]) -> bool:
        try:
            (answer,) = self._netlink.get(routing.RTM_GETNEIGH, _neighbour(index, router))
        except NetlinkError:
            return router in known
        _, state, _, _ = _NEIGHBOUR.unpack_from(answer, HEADER.size)
        return state == NUD_FAILED or (router in known and state not in (NUD_REACHABLE, NUD_STALE))


@lru_cache(maxsize=64)
def _neighbour(index: int, address: IPv6Address) -> Request:
    return message(ndmsg, {"family": socket.AF_INET6, "ifindex": index}, {"NDA_DST": str(address)})


def _number(address: InterfaceAddress) -> IPv6Address:
    return address.address


def _device(data: bytes, kinds: Mapping[tuple[int, str], str]) -> _Device | None:
    """None for a loopback. A kernel says some fifty things of a device, and we want four: decoding them all would take
    longer than everything else between the loss of a carrier and the new route.
    """
    hardware, index, flags = _DEVICE.unpack_from(data, 16)
    if flags & IFF_LOOPBACK:
        return None
    found = attributes(data, _DEVICE)
    name = found[IFLA_IFNAME].rstrip(b"\0").decode()
    up = bool(flags & IFF_UP)
    return _Device(
        index=index,
        name=name,
        kind=kinds.get((index, name)) or _kind(name, hardware),
        up=up,
        carrier=not up or found.get(IFLA_CARRIER, b"\1")[0] == 1,
        running=found[IFLA_OPERSTATE][0] in (OPER_UNKNOWN, OPER_UP),
        mtu=_ipv6_mtu(found) or int.from_bytes(found[IFLA_MTU], sys.byteorder),
        hardware_address=found.get(IFLA_ADDRESS, b""),
    )


def _kind(name: str, hardware: int) -> str:
    """What sort of link it is, by what the kernel shows of its driver (sysfs)."""
    device = Path("/sys/class/net", name)
    if (device / "wireless").exists() or (device / "phy80211").exists():
        return "wifi"
    try:
        if "DEVTYPE=wwan" in (device / "uevent").read_text():
            return "lte"
    except OSError:
        pass
    if hardware in (ARPHRD_NONE, ARPHRD_RAWIP, ARPHRD_PPP) and name.startswith(("wwan", "ppp", "rmnet")):
        return "lte"
    return "ethernet" if hardware == ARPHRD_ETHER else "other"


def _ipv6_mtu(found: Mapping[int, bytes]) -> int | None:
    """What a router may have lowered below the device's own (RFC 4861 section 4.6.4)."""
    ipv6 = nested(nested(found.get(IFLA_AF_SPEC, b"")).get(socket.AF_INET6, b""))
    values = ipv6.get(IFLA_INET6_CONF, b"")[4 * DEVCONF_MTU6 :][:4]
    return int.from_bytes(values, sys.byteorder) or None


def _address(answer: nlmsg, now: float) -> InterfaceAddress:
    attributes = dict(answer["attrs"])
    flags = attributes.get("IFA_FLAGS", answer["flags"])
    valid_s = attributes["IFA_CACHEINFO"]["ifa_valid"]
    return InterfaceAddress(
        address=IPv6Address(attributes.get("IFA_LOCAL") or attributes["IFA_ADDRESS"]),
        tentative=bool(flags & IFA_F_TENTATIVE),
        optimistic=bool(flags & IFA_F_OPTIMISTIC),
        duplicate=bool(flags & IFA_F_DADFAILED),
        deprecated=bool(flags & IFA_F_DEPRECATED),
        temporary=bool(flags & IFA_F_TEMPORARY),
        valid_until_at=inf if valid_s == FOREVER else now + valid_s,
    )


def _next_hops(attributes: Mapping[str, Any]) -> list[tuple[int, IPv6Address | None]]:
    """Interface and gateway of each next hop of a default route."""
    if "RTA_MULTIPATH" in attributes:
        hops = [(hop["oif"], dict(hop["attrs"]).get("RTA_GATEWAY")) for hop in attributes["RTA_MULTIPATH"]]
    else:
        hops = [(attributes["RTA_OIF"], attributes.get("RTA_GATEWAY"))]
    return [(index, IPv6Address(gateway) if gateway else None) for index, gateway in hops]
