"""The agent's state as people see it."""

from collections.abc import Mapping

from mip6.wire.registry import Status as Code
from mn_agent.core.answers import Problem
from mn_agent.core.bindings import Entry, EntryState
from mn_agent.core.changes import status_text
from mn_agent.core.links import Link
from mn_agent.core.state import State
from mn_agent.core.status import DefaultTraffic, LinkStatus, Registered, Status

_HOLDS = (EntryState.REGISTERED, EntryState.UPDATING)


def status(
    state: State, now: float, *, unix_time: float, version: str, pid: int, counters: Mapping[str, int]
) -> Status:
    """`unix_time`: what the wall clock says at `now`. `counters`: of the kernel."""
    offset_s = unix_time - now
    carrier = state.carrier
    return Status(
        home_address=str(state.settings.home.address),
        home_agent=str(state.settings.home.agent),
        identity=state.settings.authentication.identity,
        security="auth-option",
        registration=_registered(state, offset_s),
        default=DefaultTraffic(
            link=state.links[carrier.bid].name if carrier else None,
            since=carrier.since_at + offset_s if carrier else None,
            why=carrier.why if carrier else "no link is registered",
            pinned=state.pinned,
        ),
        links=[_link(state, link, offset_s) for link in state.links.values()],
        clock_offset_s=_clock_offset_s(state, offset_s),
        troubles=dict(state.troubles),
        counters={**counters, **state.ignored},
        version=version,
        pid=pid,
        at=unix_time,
    )


def _registered(state: State, offset_s: float) -> Registered:
    entries = [entry for entry in state.registration.entries.values() if entry.wanted]
    held = [entry.binding for entry in entries if entry.binding]
    return Registered(
        state=_summary(state, entries),
        since=min(binding.registered_at for binding in held) + offset_s if held else None,
        until=max(binding.expires_at for binding in held) + offset_s if held else None,
        care_of_addresses="several" if state.registration.multiple else "one",
        problem=_registration_problem(state),
    )


def _registration_problem(state: State) -> str | None:
    refusal = state.registration.refusal
    if refusal is not None:
        return f"the home agent does not serve us: {status_text(refusal.status)}"
    if Problem.UNVERIFIED_REFUSAL.value in state.ignored and not _is_known(state):
        # It cannot prove that it is the home agent: that is what a wrong key means
        return f"the home agent seems to refuse our key: {status_text(Code.MIPV6_AUTH_FAIL)}"
    return None


def _is_known(state: State) -> bool:
    return any(entry.binding for entry in state.registration.entries.values())


def _clock_offset_s(state: State, offset_s: float) -> float | None:
    return state.registration.clock_offset_s - offset_s if _is_known(state) else None


def _summary(state: State, entries: list[Entry]) -> str:
    if state.registration.refusal is not None:
        return "refused"
    if not entries:
        return "no link"
    held = [entry for entry in entries if entry.binding]
    if not held:
        return "refused" if all(entry.refusal for entry in entries) else "registering"
    settled = all(entry.state in (*_HOLDS, EntryState.STANDBY) for entry in entries)
    return "registered" if settled else "partly registered"


def _link(state: State, link: Link, offset_s: float) -> LinkStatus:
    entry = state.registration.entries.get(link.bid)
    wanted = entry is not None and entry.wanted is not None
    binding = entry.binding if entry is not None else None
    since_at = entry.since_at if entry is not None and wanted else state.links_since[link.bid]
    address = binding.care_of if binding else link.care_of
    return LinkStatus(
        name=link.name,
        interface=link.interface,
        kind=link.kind,
        bid=link.bid,
        care_of_address=str(address) if address else None,
        state=entry.state.value if entry is not None and wanted else "unusable",
        since=since_at + offset_s,
        until=binding.expires_at + offset_s if binding else None,
        carries_default=state.carrier is not None and state.carrier.bid == link.bid,
        priority=entry.target.priority if entry is not None and wanted else None,
        problem=_problem(state, link, entry),
    )


def _problem(state: State, link: Link, entry: Entry | None) -> str | None:
    if link.problem or entry is None:
        return link.problem or None
    if entry.refusal is not None:
        return f"refused by the home agent: {status_text(entry.refusal.status)}"
    if entry.state is EntryState.STANDBY:
        return "the home agent takes one care-of address only"
    attempts = state.registration.attempts.items()
    tries = max((attempt.count for purpose, attempt in attempts if _about(purpose, link)), default=0)
    if entry.state is EntryState.REGISTERING and tries > 1:
        return f"the home agent does not answer over this link ({tries} updates sent)"
    return None


def _about(purpose: object, link: Link) -> bool:
    return getattr(purpose, "bid", None) == link.bid
