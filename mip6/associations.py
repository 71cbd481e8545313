"""What security associations did, as people see it."""

from collections.abc import Mapping
from ipaddress import IPv6Address

from mip6.association_status import AssociationStatus
from mip6.ipsec import Association, Use
from mip6.xfrm import Protocol, State, Usage


def associations(association: Association, usages: Mapping[State, Usage]) -> list[AssociationStatus]:
    """Those that protect mobility messages, of this mobile node, the newest first."""
    reqids = (association.reqid(Use.MOBILITY), association.static_reqid(Use.MOBILITY))
    ours = [(one, usage) for one, usage in usages.items() if one.protocol is Protocol.ESP and one.reqid in reqids]
    ours.sort(key=lambda pair: (-pair[1].added_at, pair[0].destination))
    return [_status(state, usage, association.home_address) for state, usage in ours]


def _status(state: State, usage: Usage, home_address: IPv6Address) -> AssociationStatus:
    return AssociationStatus(
        direction="up" if state.source == home_address else "down",
        spi=f"{state.spi:#010x}",
        since=float(usage.added_at),
        packets=usage.packets,
        octets=usage.octets,
        replays=usage.replays + usage.too_late,
        failures=usage.integrity_failures,
    )
