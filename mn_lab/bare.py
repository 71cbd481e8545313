"""The least that failover takes: listen to netlink, and when a link loses its carrier replace one route.

    python -m mn_lab.bare INTERFACE OTHER-INTERFACE GATEWAY DESTINATION/LENGTH

It says "ready", and ends when it has done so. Benchmarks compare the agent with it, and strongSwan has it
for a network manager.
"""

import socket
import struct
import sys
from ipaddress import IPv6Address, IPv6Network

_RTMGRP_LINK = 1
_RTM_NEWLINK, _RTM_NEWROUTE = 16, 24
_NLM_F_REQUEST, _NLM_F_REPLACE, _NLM_F_CREATE = 0x1, 0x100, 0x400
_IFF_LOWER_UP = 0x10000
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _TYPE_UNICAST = 254, 4, 0, 1

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ROUTE = struct.Struct("=8BI")
_ATTRIBUTE = struct.Struct("=HH")


def route_request(interface: int, gateway: IPv6Address, destination: IPv6Network) -> bytes:
    """A netlink message that makes this the only route to the destination."""
    route = _ROUTE.pack(
        socket.AF_INET6, destination.prefixlen, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _TYPE_UNICAST, 0
    )
    body = route + _attribute(_RTA_DST, destination.network_address.packed)
    body += _attribute(_RTA_GATEWAY, gateway.packed) + _attribute(_RTA_OIF, struct.pack("=I", interface))
    flags = _NLM_F_REQUEST | _NLM_F_REPLACE | _NLM_F_CREATE
    return _HEADER.pack(_HEADER.size + len(body), _RTM_NEWROUTE, flags, 1, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def tells_of_loss(data: bytes, interface: int) -> bool:
    """Whether the message at the beginning of a datagram says that the interface has no carrier."""
    kind = _HEADER.unpack_from(data)[1]
    if kind != _RTM_NEWLINK:
        return False
    _family, _type, index, flags, _change = _LINK.unpack_from(data, _HEADER.size)
    return index == interface and not flags & _IFF_LOWER_UP


def main(argv: list[str]) -> None:
    """Returns when the route is replaced."""
    interface, other, gateway, destination = argv
    index = socket.if_nametoindex(interface)
    request = route_request(socket.if_nametoindex(other), IPv6Address(gateway), IPv6Network(destination))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as netlink:
        netlink.bind((0, _RTMGRP_LINK))
        print("ready", flush=True)
        while not tells_of_loss(netlink.recv(1 << 16), index):
            pass
        netlink.send(request)


if __name__ == "__main__":
    main(sys.argv[1:])
