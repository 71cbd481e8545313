"""New keys, when the mobile node's charon thinks it is time: a request over vici does nothing after IKEv2 has moved."""

from pyroute2.netlink import nlmsg

from mip6.linux.netlink import NETLINK_XFRM, Netlink, Request
from mip6.linux.xfrm.states import state_message
from mip6.linux.xfrm.structures import STATE, XfrmType
from mip6.xfrm import Mode, Protocol, State
from mn_lab.lab import Lab
from mn_lab.layout import HOME_ADDRESS, HOME_AGENT_ADDRESS, MOBILE_NODE
from tests.kernel.namespace import inside

_SOFT = bytes(8)
"""The end of struct xfrm_user_expire."""


def rekey(lab: Lab, spi: int) -> None:
    """Have the kernel say that a state of the mobile node's for sending is about to expire."""
    with inside(lab.layout.namespace(MOBILE_NODE)):
        xfrm = Netlink(family=NETLINK_XFRM)
    state = State(protocol=Protocol.ESP, mode=Mode.TUNNEL, source=HOME_ADDRESS, destination=HOME_AGENT_ADDRESS, spi=spi)
    xfrm.request(XfrmType.EXPIRE, Request(nlmsg, state_message(state).body[: STATE.size] + _SOFT))
    xfrm.close()
