"""Our addresses, rules and routes as rtnetlink messages, in both directions."""

import socket
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mip6.kernel import LOOPBACK, PROTOCOL, Address, Decapsulate, Encapsulate, Neighbor, Route, Rule
from mip6.linux.netlink import Request, message
from mip6.mark import Mark

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

RTMGRP_LINK, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTMGRP_IPV6_RULE = 0x1, 0x100, 0x400, 0x40000

IFA_F_NODAD, IFA_F_HOMEADDRESS, IFA_F_PERMANENT, IFA_F_NOPREFIXROUTE = 0x02, 0x10, 0x80, 0x200
_ADDRESS_FLAGS = IFA_F_NODAD | IFA_F_HOMEADDRESS
NUD_PERMANENT = 0x80
RTN_UNICAST, RTN_LOCAL, RTN_UNREACHABLE = 1, 2, 7
FR_ACT_TO_TBL = 1

SEG6, SEG6LOCAL = 5, 7
ENCAP_RED = 3
END_DX6, END_DT6 = 5, 7

_KEPT = 256
"""Requests that are kept: links come and go, and then the same are needed again, in a hurry."""


class RouteMessage(rtmsg):  # type: ignore[misc]
    """A route message that knows seg6's mode encap.red (Linux 6.0); pyroute2 0.9 silently makes encap of it."""

    __slots__ = ()

    class seg6_encap_info(rtmsg.seg6_encap_info):  # type: ignore[misc]  # noqa: N801 (pyroute2 looks it up by this name)
        """RTA_ENCAP of type seg6."""

        __slots__ = ()

        class ipv6_sr_hdr(rtmsg.seg6_encap_info.ipv6_sr_hdr):  # type: ignore[misc]  # noqa: N801
            """Its one attribute: the mode and the segments."""

            __slots__ = ()
            encapmodes: Mapping[str, int] = {**rtmsg.seg6_encap_info.ipv6_sr_hdr.encapmodes, "encap.red": ENCAP_RED}
            r_encapmodes: Mapping[int, str] = {number: name for name, number in encapmodes.items()}

    encaps: Mapping[int, type[nlmsg]] = {**rtmsg.encaps, SEG6: seg6_encap_info}


@lru_cache(_KEPT)
def address_message(address: Address) -> Request:
    """To add or delete it. Only an address that is called a home address may stand in a type 2 routing header."""
    flags = _ADDRESS_FLAGS | (IFA_F_NOPREFIXROUTE if address.interface != LOOPBACK else 0)
    return message(
        ifaddrmsg,
        {"family": socket.AF_INET6, "prefixlen": 128, "index": address.interface, "flags": flags & 0xFF},
        {
            "IFA_LOCAL": str(address.address),
            "IFA_ADDRESS": str(address.address),
            "IFA_FLAGS": flags,
            "IFA_PROTO": PROTOCOL,
        },
    )


def address_from(answer: nlmsg) -> Address | None:
    """Our address, or None when it is somebody else's."""
    if answer.get_attr("IFA_PROTO") != PROTOCOL:
        return None
    return Address(IPv6Address(answer.get_attr("IFA_ADDRESS")), answer["index"])


@lru_cache(_KEPT)
def neighbor_message(neighbor: Neighbor) -> Request:
    """To add, replace or delete it."""
    return message(
        ndmsg,
        {"family": socket.AF_INET6, "ifindex": neighbor.interface, "state": NUD_PERMANENT},
        {
            "NDA_DST": str(neighbor.address),
            "NDA_LLADDR": neighbor.hardware_address.hex(":"),
            "NDA_PROTOCOL": PROTOCOL,
        },
    )


def neighbor_from(answer: nlmsg) -> Neighbor | None:
    """Our neighbour, or None when it is somebody else's."""
    if answer.get_attr("NDA_PROTOCOL") != PROTOCOL or not answer["state"] & NUD_PERMANENT:
        return None
    hardware_address = bytes.fromhex(answer.get_attr("NDA_LLADDR").replace(":", ""))
    return Neighbor(answer["ifindex"], IPv6Address(answer.get_attr("NDA_DST")), hardware_address)


@lru_cache(_KEPT)
def rule_message(rule: Rule) -> Request:
    """To add or delete it."""
    attributes: dict[str, Any] = {
        "FRA_PRIORITY": rule.priority,
        "FRA_TABLE": rule.table,
        "FRA_PROTOCOL": PROTOCOL,
    }
    lengths = {}
    for prefix, attribute, length in ((rule.source, "FRA_SRC", "src_len"), (rule.destination, "FRA_DST", "dst_len")):
        if prefix is not None:
            attributes[attribute] = str(prefix.network_address)
            lengths[length] = prefix.prefixlen
    if rule.mark is not None:
        attributes |= {"FRA_FWMARK": rule.mark.value, "FRA_FWMASK": rule.mark.mask}
    if rule.ip_protocol is not None:
        attributes["FRA_IP_PROTO"] = rule.ip_protocol
    if rule.local_only:
        attributes["FRA_IIFNAME"] = "lo"
    if rule.suppress_prefix_length is not None:
        attributes["FRA_SUPPRESS_PREFIXLEN"] = rule.suppress_prefix_length
    return message(fibmsg, {"family": socket.AF_INET6, "action": FR_ACT_TO_TBL, **lengths}, attributes)


def rule_from(answer: nlmsg) -> Rule | None:
    """Our rule, or None when it is somebody else's."""
    attributes = dict(answer["attrs"])
    if attributes.get("FRA_PROTOCOL") != PROTOCOL:
        return None
    mark = attributes.get("FRA_FWMARK")
    suppress = attributes.get("FRA_SUPPRESS_PREFIXLEN", 0xFFFFFFFF)
    return Rule(
        priority=attributes.get("FRA_PRIORITY", 0),
        table=attributes.get("FRA_TABLE", answer["table"]),
        source=_prefix(attributes.get("FRA_SRC"), answer["src_len"]),
        destination=_prefix(attributes.get("FRA_DST"), answer["dst_len"]),
        mark=None if mark is None else Mark(mark, attributes["FRA_FWMASK"]),
        ip_protocol=attributes.get("FRA_IP_PROTO") or None,
        local_only=attributes.get("FRA_IIFNAME") == "lo",
        suppress_prefix_length=None if suppress == 0xFFFFFFFF else suppress,
    )


@lru_cache(_KEPT)
def route_message(route: Route) -> Request:
    """To add, replace or delete it."""
    attributes: dict[str, Any] = {"RTA_TABLE": route.table, "RTA_PRIORITY": route.metric}
    if route.destination.prefixlen:
        attributes["RTA_DST"] = str(route.destination.network_address)
    if route.interface is not None:
        attributes["RTA_OIF"] = route.interface
    if route.gateway is not None:
        attributes["RTA_GATEWAY"] = str(route.gateway)
    if route.source is not None:
        attributes["RTA_PREFSRC"] = str(route.source)
    if route.mtu is not None:
        attributes["RTA_METRICS"] = {"attrs": [("RTAX_MTU", route.mtu)]}
    if route.tunnel is not None:
        attributes |= _tunnel_attributes(route.tunnel)
    return message(
        RouteMessage,
        {
            "family": socket.AF_INET6,
            "dst_len": route.destination.prefixlen,
            "proto": PROTOCOL,
            "type": _type(route),
        },
        attributes,
    )


def _type(route: Route) -> int:
    if route.interface is None:
        return RTN_UNREACHABLE
    return RTN_LOCAL if isinstance(route.tunnel, Decapsulate) else RTN_UNICAST


def _tunnel_attributes(tunnel: Encapsulate | Decapsulate) -> dict[str, Any]:
    match tunnel:
        case Encapsulate(peer):
            header = {"mode": "encap.red", "segs": [str(peer)]}
            return {"RTA_ENCAP_TYPE": SEG6, "RTA_ENCAP": {"attrs": [("SEG6_IPTUNNEL_SRH", header)]}}
        case Decapsulate(None):
            action: list[tuple[str, Any]] = [
                ("SEG6_LOCAL_ACTION", {"value": "End.DX6"}),
                ("SEG6_LOCAL_NH6", {"value": "::"}),
            ]
        case Decapsulate(table):
            action = [("SEG6_LOCAL_ACTION", {"value": "End.DT6"}), ("SEG6_LOCAL_TABLE", {"value": table})]
    return {"RTA_ENCAP_TYPE": SEG6LOCAL, "RTA_ENCAP": {"attrs": action}}


def route_from(answer: nlmsg) -> Route | None:
    """Our route, or None when it is somebody else's."""
    if answer["proto"] != PROTOCOL:
        return None
    attributes = dict(answer["attrs"])
    metrics = attributes.get("RTA_METRICS")
    destination = attributes.get("RTA_DST", "::")
    return Route(
        table=attributes.get("RTA_TABLE", answer["table"]),
        destination=IPv6Network(f"{destination}/{answer['dst_len']}"),
        interface=None if answer["type"] == RTN_UNREACHABLE else attributes.get("RTA_OIF"),
        gateway=_address(attributes.get("RTA_GATEWAY")),
        source=_address(attributes.get("RTA_PREFSRC")),
        mtu=metrics.get_attr("RTAX_MTU") if metrics else None,
        tunnel=_tunnel_from(attributes),
        metric=attributes.get("RTA_PRIORITY", 1024),
    )


def _tunnel_from(attributes: Mapping[str, Any]) -> Encapsulate | Decapsulate | None:
    kind, encapsulation = attributes.get("RTA_ENCAP_TYPE"), attributes.get("RTA_ENCAP")
    if encapsulation is None:
        return None
    if kind == SEG6:
        header = encapsulation.get_attr("SEG6_IPTUNNEL_SRH")
        return Encapsulate(IPv6Address(header["segs"][0])) if header["encapmode"] == ENCAP_RED else None
    if encapsulation.get_attr("SEG6_LOCAL_ACTION") == END_DX6:
        return Decapsulate(None)
    return Decapsulate(encapsulation.get_attr("SEG6_LOCAL_TABLE"))


def _prefix(text: str | None, length: int) -> IPv6Network | None:
    return None if text is None else IPv6Network(f"{text}/{length}")


def _address(text: str | None) -> IPv6Address | None:
    return None if text is None else IPv6Address(text)
