"""The home agent's state as people see it."""

from collections.abc import Mapping

from home_agent.core.cache import CacheEntry
from home_agent.core.settings import Node
from home_agent.core.state import State
from home_agent.core.status import BindingStatus, NodeStatus, Status


def status(
    state: State, now: float, *, unix_time: float, version: str, pid: int, counters: Mapping[str, int]
) -> Status:
    """`unix_time`: what the wall clock says at `now`. `counters`: of the kernel."""
    offset_s = unix_time - now
    return Status(
        address=str(state.settings.home_agent.address),
        prefixes=[str(prefix) for prefix in state.settings.home_agent.prefixes],
        interface=state.uplink.index if state.uplink else None,
        nodes=[_node(node, state.cache.get(node.home_address), offset_s) for node in state.settings.node],
        troubles=dict(state.troubles),
        counters={**counters, **state.dropped},
        version=version,
        pid=pid,
        at=unix_time,
    )


def _node(node: Node, entry: CacheEntry | None, offset_s: float) -> NodeStatus:
    bindings = sorted(entry.bindings.items()) if entry else []
    return NodeStatus(
        name=node.name,
        identity=node.identity,
        home_address=str(node.home_address),
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
    )
