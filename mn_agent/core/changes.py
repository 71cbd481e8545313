"""What to tell people about a step: the difference between two states."""

from collections.abc import Iterator

from mip6.wire.registry import Status
from mn_agent.core.bindings import EntryState
from mn_agent.core.notices import Notice, NoticeKind
from mn_agent.core.state import State


def status_text(status: int) -> str:
    """A Binding Acknowledgement's status for people."""
    known = {member.value: member.name.replace("_", " ").lower() for member in Status}
    return f"{known.get(status, 'unknown status')} ({status})"


def changes(before: State, after: State) -> list[Notice]:
    """One notice for everything that is now different and that people want to know."""
    return [*_links(before, after), *_bindings(before, after), *_service(before, after), *_troubles(before, after)]


def _name(state: State, bid: int) -> str:
    return state.links[bid].name if bid in state.links else f"link {bid}"


def _links(before: State, after: State) -> Iterator[Notice]:
    for bid in sorted(before.links.keys() - after.links.keys()):
        name = _name(before, bid)
        yield Notice(NoticeKind.LINK_GONE, f"{name}: interface is gone", name)
    for bid, link in after.links.items():
        old = before.links.get(bid)
        if old is not None and (old.care_of, old.problem) == (link.care_of, link.problem):
            continue
        if link.care_of is None:
            yield Notice(NoticeKind.LINK_UNUSABLE, f"{link.name}: {link.problem}", link.name)
        else:
            yield Notice(NoticeKind.LINK_USABLE, f"{link.name}: care-of address {link.care_of}", link.name)


def _bindings(before: State, after: State) -> Iterator[Notice]:
    old, new = before.registration.entries, after.registration.entries
    for bid in sorted(old.keys() | new.keys()):
        was = old[bid].state if bid in old else EntryState.GONE
        now = new[bid].state if bid in new else EntryState.GONE
        if now is was:
            continue
        name = _name(after if bid in after.links else before, bid)
        refusal = new[bid].refusal if bid in new else None
        if refusal is not None:
            text = f"{name}: refused by the home agent: {status_text(refusal.status)}"
            yield Notice(NoticeKind.BINDING, text, name, refusal.status)
        else:
            yield Notice(NoticeKind.BINDING, f"{name}: {was.value} -> {now.value}", name)


def _service(before: State, after: State) -> Iterator[Notice]:
    refusal = after.registration.refusal
    if refusal != before.registration.refusal:
        if refusal is not None:
            text = f"the home agent does not serve us: {status_text(refusal.status)}"
            yield Notice(NoticeKind.REFUSED, text, status=refusal.status)
        else:
            yield Notice(NoticeKind.SERVED_AGAIN, "asking the home agent again")
    if before.registration.multiple and not after.registration.multiple:
        yield Notice(NoticeKind.SINGLE_CARE_OF_ADDRESS, "the home agent takes a single care-of address")
    old, new = before.carrier, after.carrier
    if new is None and old is not None:
        yield Notice(NoticeKind.CARRIER, "no link carries traffic")
    elif new is not None and (old is None or old.bid != new.bid):
        name = _name(after, new.bid)
        yield Notice(NoticeKind.CARRIER, f"{name} carries the traffic: {new.why}", name)


def _troubles(before: State, after: State) -> Iterator[Notice]:
    for what, why in after.troubles.items():
        if before.troubles.get(what) != why:
            yield Notice(NoticeKind.TROUBLE, f"{what}: {why}")
    for what in before.troubles.keys() - after.troubles.keys():
        yield Notice(NoticeKind.TROUBLE_OVER, f"{what}: no longer")
