"""What several commands say in the same words: amounts, and whether the home agent binds a flow."""

import shlex
from typing import TYPE_CHECKING

from monami6.times import since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mip6.association_status import AssociationStatus

_UNITS = ((1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"))

_BOUND = {
    "yes": "the home agent sends it there too",
    "not yet": "the home agent does not know it yet",
    "unknown to it": "the home agent cannot know it: only this machine can tell its packets",
    "not supported": "the home agent does not bind flows",
}
_REFUSED = "refused"


def count(number: int, noun: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def octets(number: int) -> str:
    """`34.6 kB`."""
    if number < 1000:
        return f"{number} B"
    size, unit = next((one for one in _UNITS if number < 999.95 * one[0]), _UNITS[-1])
    return f"{number / size:.1f} {unit}"


def traffic(packets: int, size: int) -> str:
    """`120 packets, 34.6 kB`."""
    return f"{count(packets, 'packet')}, {octets(size)}" if packets else "nothing"


def association(one: "AssociationStatus", now: float, links: "Mapping[int, str] | None" = None) -> str:
    """A security association, on a line of its own. `links`: names by binding identifier."""
    whose = "" if one.bid is None else f" of {(links or {}).get(one.bid, f'binding {one.bid}')}"
    dropped = ((one.replays, "replay"), (one.failures, "forged packet"))
    lost = "".join(f"; {count(number, noun)} dropped" for number, noun in dropped if number)
    name = f"ESP {one.direction:4} {one.spi} {one.use}{whose}"
    return f"  {name} {since(one.since, now)}: {traffic(one.packets, one.octets)}{lost}"


def bound(state: str) -> str:
    """What the home agent does with a flow; `state` is the agent's word (FlowStatus.bound)."""
    if is_refused(state):
        return f"the home agent refuses it{state.removeprefix(_REFUSED)}"
    return _BOUND.get(state, f"home agent: {state}")


def is_refused(state: str) -> bool:
    """Whether the home agent refuses to bind a flow."""
    return state.startswith(_REFUSED)


def back_to_auto(flow: str | None = None, *, ike: bool = False) -> str:
    """The command that gives a choice back: of a flow, of IKEv2, or else of all traffic."""
    if flow is not None:
        return f"`monami6 switch --flow {shlex.quote(flow)} --auto`"
    return "`monami6 switch --ike --auto`" if ike else "`monami6 switch --auto`"
