"""The agent's state as people see it."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from math import inf
from types import MappingProxyType

from mip6.associations import associations
from mip6.ipsec import Side
from mip6.spelling import spell
from mip6.table import Counter
from mip6.wire.registry import Status as Code
from mip6.xfrm import State as XfrmState
from mip6.xfrm import Usage
from mn_agent.core import dns, router
from mn_agent.core.answers import Problem
from mn_agent.core.bindings import Entry, EntryState
from mn_agent.core.correspondents import Correspondent
from mn_agent.core.devices import Device
from mn_agent.core.flows import chain_name, selectors
from mn_agent.core.homecoming import Phase
from mn_agent.core.kernel import STATIC_COUNTERS, counter_name
from mn_agent.core.links import Link
from mn_agent.core.policy import Choice
from mn_agent.core.policy_file import FlowRule
from mn_agent.core.probing import Path
from mn_agent.core.settings import Security
from mn_agent.core.state import State
from mn_agent.core.status import (
    CorrespondentStatus,
    DefaultTraffic,
    FlowStatus,
    HostStatus,
    IkeSaStatus,
    IkeStatus,
    LinkStatus,
    LookupStatus,
    NetworkStatus,
    PathStatus,
    Registered,
    RouterStatus,
    Status,
    Traffic,
)
from mn_agent.core.status_text import flow_status_text, status_text

_HOLDS = (EntryState.REGISTERED, EntryState.UPDATING)


def status(
    state: State,
    now: float,
    *,
    unix_time: float,
    version: str,
    pid: int,
    counters: Mapping[str, Counter],
    usages: Mapping[XfrmState, Usage] = MappingProxyType({}),
    dropped: Mapping[str, int] = MappingProxyType({}),
    hosts: Mapping[str, Mapping[IPv6Address, Counter]] = MappingProxyType({}),
) -> Status:
    """`unix_time`: what the wall clock says at `now`. `counters`, `usages`, `dropped`, `hosts`: of the kernel."""
    offset_s = unix_time - now
    seen = {name: counters[name].packets for name in (*STATIC_COUNTERS, router.SPOOFED) if name in counters}
    return Status(
        home_address=str(state.settings.home.address),
        home_agent=str(state.settings.home.agent) if state.settings.home.is_agent_known else None,
        home_agent_name={**state.lookup.names, **state.lookup.former}.get(state.settings.home.agent),
        home_agent_from=_home_agent_from(state),
        lookup=_lookup(state, offset_s),
        alternatives=[str(one) for one in state.settings.home.alternatives],
        preferred_until=_told_at(state.prefixes.preferred_until_at, offset_s),
        valid_until=_told_at(state.prefixes.valid_until_at, offset_s),
        identity=state.settings.identity,
        security=state.settings.security.value,
        registration=_registered(state, offset_s),
        policy=state.flows.name,
        default=_default(state, offset_s, counters),
        flows=[_flow(state, place, rule, offset_s, counters) for place, rule in enumerate(state.flows.policy.flow)],
        ike=_ike(state, offset_s),
        associations=associations(state.settings.association, Side.MOBILE_NODE, usages, state.ike.tunnels),
        correspondents=[_correspondent(state, one, offset_s) for one in state.correspondents.known.values()],
        router=_router(state, counters, hosts) if state.settings.router.prefixes else None,
        links=[_link(state, link, offset_s, counters) for link in state.links.values()],
        clock_offset_s=_clock_offset_s(state, offset_s),
        troubles=dict(state.troubles),
        counters={**seen, **dropped, **state.ignored},
        version=version,
        pid=pid,
        at=unix_time,
    )


def _home_agent_from(state: State) -> str:
    home, lookup = state.settings.home, state.lookup
    if home.agent in lookup.names or home.agent in lookup.former or not home.is_agent_known:
        return "state file" if lookup.answered_at is None and home.is_agent_known else "DNS"
    return "home agents" if home.discover else "configuration"


def _lookup(state: State, offset_s: float) -> LookupStatus | None:
    question, lookup = dns.question(state.settings.home), state.lookup
    if question is None:
        return None
    return LookupStatus(
        question=str(question),
        answered=lookup.answered_at + offset_s if lookup.answered_at is not None else None,
        again=lookup.due_at + offset_s if lookup.round is None and lookup.due_at > -inf else None,
        problem=lookup.problem,
    )


def _told_at(at: float, offset_s: float) -> float | None:
    return None if at == inf else at + offset_s


def _default(state: State, offset_s: float, counters: Mapping[str, Counter]) -> DefaultTraffic:
    choice = state.decision.default
    return DefaultTraffic(
        link=_names(state, choice)[0] if choice else None,
        since=choice.since_at + offset_s if choice else None,
        why=choice.why if choice else "no link is registered",
        pinned=state.pins.all,
        sent=_traffic(state, "default", "up", counters),
        received=_traffic(state, "default", "down", counters),
    )


def _names(state: State, choice: Choice) -> list[str]:
    return [state.links[bid].name for bid in choice.bids if bid in state.links]


def _ike(state: State, offset_s: float) -> IkeStatus:
    choice = state.decision.ike
    link = state.links.get(choice.bids[0]) if choice else None
    return IkeStatus(
        link=link.name if link else None,
        care_of_address=str(link.care_of) if link and link.care_of else None,
        since=choice.since_at + offset_s if choice else None,
        why=choice.why if choice else "no link is registered",
        pinned=state.pins.ike,
        strongswan=state.ike.charon if state.settings.security is Security.IKEV2 else None,
        sa=_ike_sa(state, offset_s) if state.ike.is_ready else None,
    )


def _ike_sa(state: State, offset_s: float) -> IkeSaStatus:
    care_of = state.ike.care_of
    return IkeSaStatus(care_of_address=str(care_of) if care_of else None, since=state.ike.since_at + offset_s)


def _flow(state: State, place: int, rule: FlowRule, offset_s: float, counters: Mapping[str, Counter]) -> FlowStatus:
    choice = state.decision.flows.get(rule.name)
    why = choice.why if choice else "no link is registered"
    return FlowStatus(
        name=rule.name,
        packets=[" ".join([spell(selector), *_owner(rule)]) for selector in selectors(rule)],
        links=_names(state, choice) if choice else [],
        since=choice.since_at + offset_s if choice else None,
        why=f"its control group {rule.cgroup} does not exist" if rule.name in state.flows.missing else why,
        pinned=state.pins.flows.get(rule.name),
        bound=_bound(state, rule),
        sent=_traffic(state, chain_name(place), "up", counters),
        received=_traffic(state, chain_name(place), "down", counters),
    )


def _owner(rule: FlowRule) -> Iterator[str]:
    if rule.user is not None:
        yield f"of user {rule.user}"
    if rule.cgroup is not None:
        yield f"of control group {rule.cgroup}"


def _bound(state: State, rule: FlowRule) -> str:
    """What the home agent knows of it."""
    fids = [one.fid for one in state.flows.selected if one.rule == rule]
    entries = [state.registration.flows[fid] for fid in fids if fid in state.registration.flows]
    refused = [entry.refusal for entry in entries if entry.refusal]
    if not fids:
        return "unknown to it"
    if not state.registration.flow_bindings or not state.registration.multiple:
        return "not supported"
    if refused:
        return f"refused: {flow_status_text(refused[0].status)}"
    return "yes" if entries and all(entry.is_settled for entry in entries) else "not yet"


def _traffic(state: State, what: str, direction: str, counters: Mapping[str, Counter]) -> dict[str, Traffic]:
    """By the name of the link."""
    found = {link.name: counters.get(counter_name(what, link.bid, direction)) for link in state.links.values()}
    return {name: Traffic(*counter) for name, counter in found.items() if counter is not None}


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
    if not state.settings.home.is_agent_known:
        return _unknown(state)
    return None


def _unknown(state: State) -> str:
    problem = state.lookup.problem
    return f"the home agent's address is not known yet{f' ({problem})' if problem is not None else ''}"


def _is_known(state: State) -> bool:
    return any(entry.binding for entry in state.registration.entries.values())


_PHASES = {
    Phase.ASKING: "coming home",
    Phase.RETURNING: "coming home",
    Phase.HOME: "at home",
}


def _at_home(state: State) -> str | None:
    """How far the return home is, if it is one for good."""
    return _PHASES.get(state.homecoming.phase)


def _clock_offset_s(state: State, offset_s: float) -> float | None:
    return state.registration.clock_offset_s - offset_s if _is_known(state) else None


def _summary(state: State, entries: list[Entry]) -> str:
    at_home = _at_home(state)
    if at_home is not None:
        return at_home
    if state.registration.refusal is not None:
        return "refused"
    if not entries:
        return "no link"
    held = [entry for entry in entries if entry.binding]
    if not held:
        return "refused" if all(entry.refusal for entry in entries) else "registering"
    settled = all(entry.state in (*_HOLDS, EntryState.STANDBY) for entry in entries)
    return "registered" if settled else "partly registered"


def _correspondent(state: State, one: Correspondent, offset_s: float) -> CorrespondentStatus:
    default = state.decision.default
    first = one.entries.get(default.bids[0]) if default else None
    held = {entry.bid: entry.binding for entry in one.entries.values() if entry.binding}
    link = state.direct_link(one.address)
    pause = one.pause or (first.pause if first else None)
    return CorrespondentStatus(
        address=str(one.address),
        link=state.links[link].name if link is not None else None,
        care_of_addresses={
            state.links[bid].name: str(binding.care_of) for bid, binding in held.items() if bid in state.links
        },
        until=min(binding.expires_at for binding in held.values()) + offset_s if held else None,
        again_at=pause.until_at + offset_s if pause else None,
        problem=pause.why if pause else None,
    )


def _router(
    state: State, counters: Mapping[str, Counter], hosts: Mapping[str, Mapping[IPv6Address, Counter]]
) -> RouterStatus:
    settings, network = state.settings.router, state.registration.network
    there = router.inside(state.interfaces, settings)
    sent, received = (hosts.get(name, {}) for name in router.HOSTS)

    def counted(place: int, direction: str) -> Traffic | None:
        return _amount(counters.get(router.network_counter(place, direction)))

    return RouterStatus(
        mode=network.mode.value,
        interfaces=[one.name for one in state.interfaces if one.index in there.indexes],
        networks=[
            NetworkStatus(prefix=str(prefix), sent=counted(place, "up"), received=counted(place, "down"))
            for place, prefix in enumerate(settings.prefixes)
        ],
        hosts=[
            HostStatus(address=str(address), sent=_amount(sent.get(address)), received=_amount(received.get(address)))
            for address in sorted(sent.keys() | received.keys())
        ],
        problem=network.problem,
    )


def _amount(counter: Counter | None) -> Traffic | None:
    return Traffic(*counter) if counter is not None else None


def _link(state: State, link: Link, offset_s: float, counters: Mapping[str, Counter]) -> LinkStatus:
    entry = state.registration.entries.get(link.bid)
    wanted = entry is not None and entry.wanted is not None
    binding = entry.binding if entry is not None else None
    since_at = entry.since_at if entry is not None and wanted else state.links_since[link.bid]
    address = binding.care_of if binding else link.care_of
    device = state.devices.get(link.interface, Device(link.interface))
    default, waits_until = state.decision.default, state.decision.waiting.get(link.bid)
    return LinkStatus(
        name=link.name,
        interface=link.interface,
        kind=link.kind,
        bid=link.bid,
        care_of_address=str(address) if address else None,
        state=_link_state(state, link, entry),
        since=since_at + offset_s,
        until=binding.expires_at + offset_s if binding else None,
        carries_default=default is not None and default.bids[0] == link.bid,
        priority=entry.target.priority if entry is not None and wanted else None,
        metered=link.metered,
        captive=link.captive,
        leaving=link.leaving,
        connectivity=device.connectivity,
        connection=device.connection,
        ssid=device.ssid,
        signal_percent=device.signal_percent,
        path=_path(state.probing.paths.get(link.bid)),
        waits_until=waits_until + offset_s if waits_until is not None else None,
        sent=_traffic(state, "link", "up", counters).get(link.name),
        received=_traffic(state, "link", "down", counters).get(link.name),
        problem=_problem(state, link, entry),
    )


def _link_state(state: State, link: Link, entry: Entry | None) -> str:
    at_home = _at_home(state)
    if at_home is not None and link.bid == state.homecoming.bid:
        return at_home
    return entry.state.value if entry is not None and entry.wanted is not None else "unusable"


def _path(path: Path | None) -> PathStatus:
    if path is None:
        return PathStatus(state="unknown", rtt_ms=None, jitter_ms=None, loss=None)
    return PathStatus(
        state="dead" if path.dead else "alive" if path.proof_at > -inf else "unknown",
        rtt_ms=path.rtt_s * 1000 if path.rtt_s is not None else None,
        jitter_ms=path.jitter_s * 1000 if path.jitter_s is not None else None,
        loss=path.loss,
    )


def _problem(state: State, link: Link, entry: Entry | None) -> str | None:
    if link.problem:
        return link.problem
    unused = state.why_unused(link)
    if unused is not None:
        return unused
    if link.leaving:
        return "NetworkManager is about to take it down"
    if state.is_dead(link.bid):
        return "its path is dead: the home agent is reached over other links only"
    if link.bid == state.homecoming.bid:
        return None
    if not state.settings.home.is_agent_known:
        return "the home agent's address is not known yet"
    if entry is None:
        return "the keys for its tunnel are not negotiated yet"
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
