"""Flow bindings: which packets of a mobile node go to which of its care-of addresses (RFC 6089 section 5.3)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mip6.wire.flows import BindingReference, MalformedSuboption
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import FlowIdentification, FlowSummary
from mip6.wire.registry import FlowStatus
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Selector, UnknownSelector


@dataclass(frozen=True, slots=True)
class Flow:
    """An entry of the flow binding list (RFC 6089 section 4.3). A lower `priority` number comes first. `bids` may name
    bindings that are gone; while all are, the entry is inactive.
    """

    fid: int
    priority: int
    selector: Ipv4Selector | Ipv6Selector
    bids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FlowOutcome:
    """The flows from now on, and the options that answer."""

    flows: Mapping[int, Flow]
    answers: tuple[FlowIdentification, ...] = ()


def change_flows(held: Mapping[int, Flow], message: BindingUpdate, bids: Sequence[int], most: int) -> FlowOutcome:
    """What a Binding Update does to flows; its binding identifiers have been processed, and `bids` are now bound. A
    flow that is not named is removed. `most`: how many there may be.
    """
    named = [option for option in message.options if isinstance(option, FlowIdentification)]
    summary = [fid for option in message.options if isinstance(option, FlowSummary) for fid in option.fids]
    if any(count > 1 for count in Counter(option.fid for option in named).values()):
        # None of them can be believed, so nothing changes
        return FlowOutcome(held, tuple(_answer(option, FlowStatus.MALFORMED) for option in named))
    flows = {fid: held[fid] for fid in dict.fromkeys(summary) if fid in held}
    known = {option.fid for option in named if option.fid in held}
    answers = []
    for option in named:
        old = held.get(option.fid)
        found = _flow(option, old, bids)
        if isinstance(found, Flow) and old is None and len(flows.keys() | known) >= most:
            found = FlowStatus.ADMINISTRATIVELY_PROHIBITED
        if isinstance(found, Flow):
            flows[option.fid] = found
        elif old is not None:
            flows[option.fid] = old
        answers.append(_answer(option, FlowStatus.ACCEPTED if isinstance(found, Flow) else found))
    answers += _unknown(summary, held, named)
    return FlowOutcome(flows, tuple(answers))


def _answer(option: FlowIdentification, status: FlowStatus) -> FlowIdentification:
    return replace(option, status=status, suboptions=())


def _unknown(
    summary: Sequence[int], held: Mapping[int, Flow], named: Sequence[FlowIdentification]
) -> Iterator[FlowIdentification]:
    """Answers about what a summary names and nobody knows (RFC 6089 section 5.3.3)."""
    known = {*held, *(option.fid for option in named)}
    for fid in dict.fromkeys(summary):
        if fid not in known:
            yield FlowIdentification(fid, 0, FlowStatus.FID_NOT_FOUND)


def _flow(option: FlowIdentification, old: Flow | None, bids: Sequence[int]) -> Flow | FlowStatus:
    """The flow that the option describes; what it leaves out stays as it was (RFC 6089 section 5.3.2)."""
    selectors = [one for one in option.suboptions if isinstance(one, Selector)]
    references = [one for one in option.suboptions if isinstance(one, BindingReference)]
    malformed = any(isinstance(one, MalformedSuboption) for one in option.suboptions)
    if malformed or option.fid == 0 or option.priority == 0 or len(selectors) > 1 or len(references) > 1:
        return FlowStatus.MALFORMED
    selector = selectors[0] if selectors else old.selector if old else None
    wanted = references[0].bids if references else old.bids if old else ()
    if isinstance(selector, UnknownSelector):
        return FlowStatus.TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED
    if selector is None or not wanted:
        return FlowStatus.MALFORMED
    if references and not set(wanted) <= set(bids):
        return FlowStatus.BID_NOT_FOUND
    return Flow(option.fid, option.priority, selector, wanted)
