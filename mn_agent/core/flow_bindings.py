"""The flow binding list: which flows we want the home agent to bind, and what it knows of them (RFC 6089 section 4.3).

Every Binding Update names all flows: one that it does not name is removed (section 5.2). What the home agent surely
holds as it should is named in a summary, everything else is described in full, as far as there is room.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mip6.wire.flows import BindingReference
from mip6.wire.options import FlowIdentification, FlowSummary, Option
from mip6.wire.registry import FlowStatus
from mip6.wire.traffic_selectors import Ipv6Selector, encode_selector

_FIDS_PER_SUMMARY = 127
_FID_OCTETS = 2
_DESCRIPTION_OCTETS = 8 + 4 + 2 + 16
"""Of a Flow Identification option: its fixed part, the heads of both sub-options, and the most padding."""


@dataclass(frozen=True, slots=True)
class FlowBinding:
    """What the home agent is told of a flow."""

    priority: int
    selector: Ipv6Selector
    bids: tuple[int, ...]

    @property
    def octets(self) -> int:
        """How long its option is at the most."""
        return _DESCRIPTION_OCTETS + 2 * len(self.bids) + len(encode_selector(self.selector)[0])


@dataclass(frozen=True, slots=True)
class FlowRefusal:
    """The home agent's no to a flow: the status it gave, and when to ask again."""

    status: int
    retry_at: float


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """A flow: what is wanted, and what the home agent surely holds. `claimed`: it may hold something."""

    fid: int
    wanted: FlowBinding | None = None
    held: FlowBinding | None = None
    claimed: bool = False
    refusal: FlowRefusal | None = None

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to tell."""
        if self.wanted is None:
            return not self.claimed
        return self.refusal is not None or self.held == self.wanted


FlowList = Mapping[int, FlowEntry]
"""By FID."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an update says of flows: those that it describes, and those that it only names."""

    described: Mapping[int, FlowBinding]
    named: tuple[int, ...]

    @property
    def options(self) -> list[Option]:
        options: list[Option] = [
            FlowIdentification(fid, flow.priority, suboptions=(flow.selector, BindingReference(flow.bids)))
            for fid, flow in self.described.items()
        ]
        for start in range(0, len(self.named), _FIDS_PER_SUMMARY):
            options.append(FlowSummary(self.named[start : start + _FIDS_PER_SUMMARY]))
        return options


NOTHING = Told({}, ())


def want(flows: FlowList, wanted: Mapping[int, FlowBinding]) -> FlowList:
    """Tell which flows should be bound, by FID."""
    if all(entry.wanted == wanted.get(fid) for fid, entry in flows.items()) and wanted.keys() <= flows.keys():
        return flows
    entries = {}
    for fid in sorted(flows.keys() | wanted.keys()):
        entry, target = flows.get(fid, FlowEntry(fid)), wanted.get(fid)
        if target is not None or entry.claimed:
            refusal = entry.refusal if entry.wanted == target else None
            entries[fid] = replace(entry, wanted=target, refusal=refusal)
    return entries


def expire(flows: FlowList, now: float) -> FlowList:
    """Ask again for what was refused a while ago."""
    if all(entry.refusal is None or entry.refusal.retry_at > now for entry in flows.values()):
        return flows
    return {
        fid: replace(entry, refusal=None) if entry.refusal and entry.refusal.retry_at <= now else entry
        for fid, entry in flows.items()
    }


def is_due(flows: FlowList, bids: Collection[int]) -> bool:
    """Whether there is something to tell. `bids`: what flows can be bound to."""
    return any(
        not entry.is_settled and (entry.wanted is None or set(entry.wanted.bids) <= set(bids))
        for entry in flows.values()
    )


def tell(flows: FlowList, bids: Collection[int], room: int) -> Told:
    """What an update with `room` octets for flows says; `bids`: those that are bound when it has been taken."""
    known, new = {}, {}
    for fid, entry in flows.items():
        if entry.wanted is None or entry.refusal is not None:
            continue
        if entry.held is not None:
            known[fid] = entry
        if entry.held != entry.wanted and set(entry.wanted.bids) <= set(bids):
            new[fid] = entry.wanted
    left = room - _FID_OCTETS * len(known) - 4 * (1 + len(known) // _FIDS_PER_SUMMARY)
    described: dict[int, FlowBinding] = {}
    for fid, flow in new.items():
        if flow.octets <= left:
            described[fid] = flow
            left -= flow.octets
    return Told(described, tuple(fid for fid in known if fid not in described))


def sent(flows: FlowList, told: Told) -> FlowList:
    """What we surely know from now on, when an update that says this has been sent."""
    return {
        fid: entry if fid in told.named else replace(entry, held=None, claimed=entry.claimed or fid in told.described)
        for fid, entry in flows.items()
    }


def acknowledged(
    flows: FlowList, told: Told, answers: Sequence[FlowIdentification], *, is_last: bool, retry_at: float
) -> FlowList:
    """An update that says this has been accepted; `is_last`: no later one is under way. `retry_at`: when to ask again
    for what is refused.
    """
    statuses = {answer.fid: answer.status for answer in answers}
    entries = {}
    for fid, entry in flows.items():
        status = statuses.get(fid, FlowStatus.ACCEPTED)
        if fid in told.described:
            entry = _described(entry, told.described[fid], status, is_last=is_last, retry_at=retry_at)
        elif status == FlowStatus.FID_NOT_FOUND or (is_last and fid not in told.named):
            entry = replace(entry, held=None, claimed=False)
        if entry.wanted is not None or entry.claimed:
            entries[fid] = entry
    return entries


def _described(entry: FlowEntry, flow: FlowBinding, status: int, *, is_last: bool, retry_at: float) -> FlowEntry:
    if status >= FlowStatus.ADMINISTRATIVELY_PROHIBITED:
        return replace(entry, refusal=FlowRefusal(status, retry_at) if entry.wanted == flow else entry.refusal)
    return replace(entry, held=flow) if is_last else entry


def forget(flows: FlowList) -> FlowList:
    """The home agent holds nothing."""
    return {fid: replace(entry, held=None, claimed=False) for fid, entry in flows.items() if entry.wanted is not None}
