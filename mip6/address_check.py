"""Whether somebody on a link has an address (RFC 4862 section 5.4), and how often everybody is told who has it.

Both ends do so with a home address: who takes it to the home link, and who stands in for it there.
"""

from ipaddress import IPv6Address

from mip6.wire.neighbor import NOBODY, NeighborMessage, NeighborSolicitation, solicited_node

CHECK_S = 1.0
"""How long somebody else may take to say that an address is his (RetransTimer, RFC 4861 section 10)."""
ANNOUNCEMENTS, BETWEEN_S = 3, 1.0
"""MAX_NEIGHBOR_ADVERTISEMENT, RetransTimer (RFC 4861 section 10)."""


def question(address: IPv6Address) -> NeighborSolicitation:
    """Whether it is somebody else's."""
    return NeighborSolicitation(NOBODY, solicited_node(address), address)


def is_contradiction(heard: NeighborMessage, hardware_address: bytes) -> bool:
    """Whether a message about an address that is being checked says that it is somebody else's, or about to be. Ours is
    the hardware address.
    """
    if isinstance(heard, NeighborSolicitation):
        return heard.source == NOBODY
    return heard.hardware_address != hardware_address
