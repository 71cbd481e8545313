"""What a restarted home agent goes on from, as plain structures."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from home_agent.core.cache import Binding, Cache, CacheEntry
from home_agent.core.flows import Flow
from home_agent.core.mobile_networks import MobileNetwork
from mip6.wire.traffic_selectors import UnknownSelector, decode_selector, encode_selector


@dataclass(frozen=True, slots=True)
class SavedFlow:
    """A flow; its selector as on the wire, in hexadecimal."""

    fid: int
    priority: int
    selector: str
    bids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SavedEntry:
    """A mobile node's entry of the binding cache. Instants are of the boot in which it was saved."""

    home_address: IPv6Address
    sequence: int
    timestamp: int
    bindings: tuple[Binding, ...]
    flows: tuple[SavedFlow, ...]
    remembered_until_at: float | None
    is_router: bool = False
    prefixes: tuple[IPv6Network, ...] = ()
    hardware_address: str = ""
    """In hexadecimal."""


def save(cache: Cache) -> tuple[SavedEntry, ...]:
    """The whole binding cache."""
    return tuple(
        SavedEntry(
            entry.home_address,
            entry.sequence,
            entry.timestamp,
            tuple(entry.bindings.values()),
            tuple(map(_saved, entry.flows.values())),
            entry.remembered_until_at,
            entry.network.is_router,
            entry.network.prefixes,
            entry.hardware_address.hex(),
        )
        for entry in cache.values()
    )


@lru_cache(1 << 14)
def _saved(flow: Flow) -> SavedFlow:
    return SavedFlow(flow.fid, flow.priority, encode_selector(flow.selector)[0].hex(), flow.bids)


def restore(saved: tuple[SavedEntry, ...]) -> Cache:
    """Raises ValueError when it is damaged."""
    return {
        one.home_address: CacheEntry(
            home_address=one.home_address,
            sequence=one.sequence,
            timestamp=one.timestamp,
            bindings={binding.bid: binding for binding in one.bindings},
            flows={flow.fid: _flow(flow) for flow in one.flows},
            network=MobileNetwork(one.is_router, one.prefixes),
            remembered_until_at=one.remembered_until_at,
            hardware_address=bytes.fromhex(one.hardware_address),
        )
        for one in saved
    }


def _flow(saved: SavedFlow) -> Flow:
    selector = decode_selector(bytes.fromhex(saved.selector))
    if isinstance(selector, UnknownSelector):
        raise ValueError(f"traffic selector of format {selector.format}")
    return Flow(saved.fid, saved.priority, selector, saved.bids)
