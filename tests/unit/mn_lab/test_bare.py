"""The program that benchmarks compare with: pyroute2 reads what it sends, and writes what it reads."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from mn_lab.bare import route_request, tells_of_loss

RTM_NEWLINK, RTM_DELLINK = 16, 17
IFF_UP, IFF_LOWER_UP = 0x1, 0x10000


def test_the_route() -> None:
    request = rtmsg(route_request(103, IPv6Address("2001:db8:2::1"), IPv6Network("2001:db8:cc::1/128")))
    request.decode()
    assert (request["header"]["length"], request["header"]["type"]) == (len(request.data), 24)
    assert request["header"]["flags"] == 0x1 | 0x100 | 0x400
    assert (request["dst_len"], request["table"], request["type"]) == (128, 254, 1)
    attributes = dict(request["attrs"])
    assert attributes == {"RTA_DST": "2001:db8:cc::1", "RTA_GATEWAY": "2001:db8:2::1", "RTA_OIF": 103}


@pytest.mark.parametrize(
    ("kind", "index", "flags", "told"),
    [
        (RTM_NEWLINK, 101, IFF_UP, True),
        (RTM_NEWLINK, 101, IFF_UP | IFF_LOWER_UP, False),
        (RTM_NEWLINK, 103, IFF_UP, False),
        (RTM_DELLINK, 101, IFF_UP, False),
    ],
)
def test_what_it_heeds(kind: int, index: int, flags: int, *, told: bool) -> None:
    message = ifinfmsg()
    message["index"], message["flags"], message["header"]["type"] = index, flags, kind
    message.encode()
    assert tells_of_loss(message.data, 101) is told
