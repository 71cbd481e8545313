"""What strongSwan has at both ends of a lab."""

import asyncio
from contextlib import suppress

from mip6.ike_sas import SAS, SAS_EVENT, IkeSa, sas_from
from mip6.vici import Vici, ViciError
from mn_lab import strongswan
from mn_lab.lab import Lab


def ike_sa(lab: Lab, node: str) -> IkeSa:
    """The only one that this end's charon has."""
    listing = asyncio.run(Vici(strongswan.vici(lab.directory, node)).listing(SAS, SAS_EVENT))
    (sa,) = [sa for sa in sas_from(listing) if sa.state == "ESTABLISHED"]
    return sa


def endpoints(lab: Lab) -> tuple[object, object]:
    """Where each end's charon has the mobile node."""
    return ike_sa(lab, "mn").local_address, ike_sa(lab, "ha").remote_address


def is_made_anew(lab: Lab, before: int) -> bool:
    """Whether both ends have one that is not that with this initiator's SPI."""
    with suppress(ValueError, ViciError):
        return ike_sa(lab, "mn").initiator_spi != before and bool(ike_sa(lab, "ha"))
    return False
