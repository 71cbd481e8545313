"""The home agent's state as people see it."""

from collections.abc import Mapping
from types import MappingProxyType

from home_agent.core import discovery
from home_agent.core.cache import CacheEntry
from home_agent.core.ike import connection_name
from home_agent.core.kernel import STATIC_COUNTERS, counter_name
from home_agent.core.settings import Node
from home_agent.core.state import State
from home_agent.core.status import BindingStatus, FlowStatus, HomeAgentStatus, NodeStatus, PrefixStatus, Status
from mip6.associations import associations
from mip6.ipsec import Side
from mip6.spelling import spell
from mip6.table import Counter
from mip6.xfrm import State as XfrmState
from mip6.xfrm import Usage


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
) -> Status:
    """`unix_time`: what the wall clock says at `now`. `counters`, `usages`, `dropped`: of the kernel."""
    offset_s = unix_time - now
    seen = {name: counters[name].packets for name in STATIC_COUNTERS if name in counters}
    return Status(
        address=str(state.settings.home_agent.address),
        prefixes=[str(prefix) for prefix in state.settings.home_agent.prefixes],
        interface=state.uplink.index if state.uplink else None,
        home_agents=_others(state),
        nodes=[_node(state, place, node, offset_s, counters, usages) for place, node in enumerate(state.settings.node)],
        troubles=dict(state.troubles),
        counters={**seen, **dropped, **state.dropped},
        version=version,
        pid=pid,
        at=unix_time,
    )


def _others(state: State) -> list[HomeAgentStatus]:
    known = discovery.others(state.settings, state.home_agents)
    named = {peer.address for peer in state.settings.peer}
    return [
        HomeAgentStatus(address=str(address), preference=preference, heard=address not in named)
        for address, preference in sorted(known.items(), key=lambda one: (-one[1], one[0]))
    ]


def _node(
    state: State,
    place: int,
    node: Node,
    offset_s: float,
    counters: Mapping[str, Counter],
    usages: Mapping[XfrmState, Usage],
) -> NodeStatus:
    entry = state.cache.get(node.home_address)
    bindings = sorted(entry.bindings.items()) if entry else []
    association = state.settings.association(place)
    return NodeStatus(
        name=node.name,
        identity=node.identity,
        home_address=str(node.home_address),
        security=node.security,
        ike_sa=connection_name(node) in state.established if node.ikev2 and state.sas is not None else None,
        associations=associations(association, Side.HOME_AGENT, usages, state.tunnels.get(node.home_address, {})),
        bindings=[
            BindingStatus(
                bid=bid or None,
                care_of_address=str(binding.care_of),
                priority=binding.priority or None,
                since=binding.registered_at + offset_s,
                until=binding.expires_at + offset_s,
                preferred=entry is not None and binding == entry.preferred,
            )
            for bid, binding in bindings
        ],
        flows=_flows(place, entry, counters) if entry else [],
        router=entry is not None and entry.network.is_router,
        prefixes=[
            PrefixStatus(prefix=str(prefix), forwarded=entry is not None and prefix in entry.network.prefixes)
            for prefix in node.prefixes
        ],
    )


def _flows(place: int, entry: CacheEntry, counters: Mapping[str, Counter]) -> list[FlowStatus]:
    return [
        FlowStatus(
            fid=flow.fid,
            priority=flow.priority,
            packets=spell(flow.selector),
            bids=list(flow.bids),
            active=bool(entry.bids_of(flow)),
            sent={
                str(bid): list(counters[name])
                for bid in entry.bindings
                if (name := counter_name(place, flow.fid, bid)) in counters
            },
        )
        for flow in sorted(entry.flows.values(), key=lambda flow: (flow.priority, flow.fid))
    ]
