"""What security associations did, as people see it."""

from collections.abc import Mapping

from mip6.association_status import AssociationStatus
from mip6.ipsec import RETURN_ROUTABILITY, Association, Side, Use, sending, tunnel_use
from mip6.tunnels import Tunnels
from mip6.xfrm import Protocol, State, Usage


def associations(
    association: Association, side: Side, usages: Mapping[State, Usage], tunnels: Tunnels
) -> list[AssociationStatus]:
    """Those of this mobile node that packets go through: of mobility messages, then of tunnels; of each the newest
    first.
    """
    mobility = (association.reqid(Use.MOBILITY), association.static_reqid(Use.MOBILITY))
    here = association.home_agent if side is Side.HOME_AGENT else association.home_address
    by_reqid = {sending(association, side, number).reqid: number for number in tunnels}
    by_spi = {spi: number for number, tunnel in tunnels.items() for spi in tunnel.spis}
    told = []
    for state, usage in usages.items():
        if state.protocol is not Protocol.ESP:
            continue
        if state.reqid in mobility:
            told.append(_status("mobility", None, state, usage, is_up=state.source == association.home_address))
            continue
        is_sent = state.reqid in by_reqid
        number = by_reqid.get(state.reqid) if is_sent else by_spi.get(state.spi) if state.destination == here else None
        if number is not None:
            bid = number if number != RETURN_ROUTABILITY else None
            use = tunnel_use(number).name.lower().replace("_", " ")
            told.append(_status(use, bid, state, usage, is_up=is_sent == (side is Side.MOBILE_NODE)))
    return sorted(told, key=lambda one: (one.use, one.bid or 0, -one.since, one.direction))


def _status(use: str, bid: int | None, state: State, usage: Usage, *, is_up: bool) -> AssociationStatus:
    return AssociationStatus(
        use=use,
        bid=bid,
        direction="up" if is_up else "down",
        spi=f"{state.spi:#010x}",
        since=float(usage.added_at),
        packets=usage.packets,
        octets=usage.octets,
        replays=usage.replays + usage.too_late,
        failures=usage.integrity_failures,
    )
