"""New keys, when the mobile node's charon thinks it is time: a request over vici does nothing after IKEv2 has moved."""

from ipaddress import IPv6Address

from pyroute2.netlink import nlmsg

from mip6.linux.netlink import NETLINK_XFRM, Netlink, Request
from mip6.linux.xfrm.states import state_message
from mip6.linux.xfrm.structures import STATE, XfrmType
from mip6.xfrm import Mode, Protocol, State
from tests.kernel.namespace import inside

_SOFT = bytes(8)
"""The end of struct xfrm_user_expire."""


def rekey(namespace: str, destination: IPv6Address, spi: int) -> None:
    """Have the kernel there say that a state for sending is about to expire."""
    with inside(namespace):
        xfrm = Netlink(family=NETLINK_XFRM)
    anywhere = IPv6Address("::")
    state = State(protocol=Protocol.ESP, mode=Mode.TUNNEL, source=anywhere, destination=destination, spi=spi)
    xfrm.request(XfrmType.EXPIRE, Request(nlmsg, state_message(state).body[: STATE.size] + _SOFT))
    xfrm.close()
