"""Our network devices as rtnetlink messages, in both directions.

What is inside some of these attributes depends on others, which pyroute2 tells in a way of its own; `struct` says it in
a line each.
"""

import socket
import struct
from functools import lru_cache

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from mip6.kernel import DEVICE_NAME, Device
from mip6.linux.netlink import HEADER, Netlink, Request, attribute, attributes, message
from mip6.linux.routing import RTM_GETLINK

# struct ifinfomsg
_LINK = struct.Struct("=BxHiII")

_IFF_UP = 0x1
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_AF_SPEC = 3, 18, 26
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_XFRM_IF_ID = 1, 2, 2
_IFLA_INET6_ADDR_GEN_MODE, _IN6_ADDR_GEN_MODE_NONE = 8, 1


@lru_cache
def device_message(device: Device) -> Request:
    """To add it; it is down then."""
    if_id = attribute(_IFLA_XFRM_IF_ID, struct.pack("=I", device.if_id))
    kind = attribute(_IFLA_INFO_KIND, b"xfrm") + attribute(_IFLA_INFO_DATA, if_id)
    name = attribute(_IFLA_IFNAME, device.name.encode() + b"\0")
    return Request(nlmsg, _LINK.pack(0, 0, device.index, 0, 0) + name + attribute(_IFLA_LINKINFO, kind))


@lru_cache
def device_without_address_message(device: Device) -> Request:
    """To have it without one that it would get when it is up: nobody is on such a link."""
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes((_IN6_ADDR_GEN_MODE_NONE,)))
    of_families = attribute(_IFLA_AF_SPEC, attribute(socket.AF_INET6, mode))
    return Request(nlmsg, _LINK.pack(0, 0, device.index, 0, 0) + of_families)


@lru_cache
def device_up_message(device: Device) -> Request:
    """To have it up."""
    return Request(nlmsg, _LINK.pack(0, 0, device.index, _IFF_UP, _IFF_UP))


@lru_cache
def device_id_message(device: Device) -> Request:
    """To delete it."""
    return Request(nlmsg, _LINK.pack(0, 0, device.index, 0, 0))


def devices(netlink: Netlink) -> frozenset[Device]:
    """Those that are there. One that is down, or is not as it was made, does not count."""
    told = netlink.dump_raw(RTM_GETLINK, message(ifinfmsg, {"family": socket.AF_UNSPEC}, {}))
    return frozenset(device for one in told if (device := device_from(one)) is not None)


def device_from(message: bytes) -> Device | None:
    """Our device, or None when it is somebody else's."""
    _family, _type, index, flags, _change = _LINK.unpack_from(message, HEADER.size)
    name = attributes(message, _LINK)[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace")
    number = name.removeprefix(DEVICE_NAME)
    if number == name or not number.isdecimal() or not flags & _IFF_UP:
        return None
    device = Device(int(number))
    return device if device.index == index else None
