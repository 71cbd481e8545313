"""The binding cache (RFC 6275 section 9.1, RFC 5648 section 6.1): per home address, then per binding identifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network
from math import inf

from home_agent.core.flows import Flow
from home_agent.core.mobile_networks import HOST, MobileNetwork

PLAIN = 0
"""Key of the one binding of a mobile node that uses no binding identifiers; 0 is none (RFC 5648 section 4.3)."""

MAX_DELETE_BCE_TIMEOUT_S = 10.0
"""How long the sequence number of an entry without bindings is remembered, for updates that are late."""

REFRESH_REQUEST_FRACTION = 0.9
"""Of a binding's lifetime, after which the mobile node is asked to refresh it if it has not yet."""

_NO_PRIORITY = 128


@dataclass(frozen=True, slots=True)
class Binding:
    """One care-of address of a mobile node. `priority` is BID-PRI, 0 when the mobile node gave none. `slot` is a small
    number that no other binding of the mobile node has.
    """

    bid: int
    care_of: IPv6Address
    priority: int
    registered_at: float
    updated_at: float
    expires_at: float
    slot: int = 0
    refresh_requested: bool = False

    @property
    def refresh_request_at(self) -> float:
        """When to ask for a refresh; infinity once that is done."""
        lifetime_s = self.expires_at - self.updated_at
        return inf if self.refresh_requested else self.updated_at + REFRESH_REQUEST_FRACTION * lifetime_s


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A mobile node's bindings and flows, and what guards them against replay."""

    home_address: IPv6Address
    sequence: int
    timestamp: int
    """Of the last update accepted: an NTP timestamp."""
    bindings: Mapping[int, Binding] = field(default_factory=dict)
    flows: Mapping[int, Flow] = field(default_factory=dict)
    network: MobileNetwork = HOST
    remembered_until_at: float | None = None
    """When to forget an entry without bindings."""
    hardware_address: bytes = b""
    """On the home link, of a mobile node that has a home binding."""
    former: frozenset[IPv6Address] = frozenset()
    """Care-of addresses of one that has returned home: what it sent before may come after the update that says so."""

    def is_home(self, binding: Binding) -> bool:
        """Whether it is the home binding (RFC 5648 section 5.6)."""
        return binding.care_of == self.home_address

    @property
    def preferred(self) -> Binding:
        """The binding for all traffic that nothing else decides: lowest BID-PRI; without priorities, the one whose
        care-of address was heard of last (RFC 6089 section 5.3.6, RFC 5648 section 6.1).
        """
        return min(self.bindings.values(), key=_preference)

    def bids_of(self, flow: Flow) -> tuple[int, ...]:
        """Those of its bindings that there are."""
        return tuple(bid for bid in flow.bids if bid in self.bindings)

    def limited_to(self, prefixes: tuple[IPv6Network, ...]) -> "CacheEntry":
        """With those of its prefixes only that are among these."""
        left = tuple(prefix for prefix in self.network.prefixes if prefix in prefixes)
        return self if left == self.network.prefixes else replace(self, network=replace(self.network, prefixes=left))

    @property
    def active_flows(self) -> list[Flow]:
        """Those with at least one binding, the first that matches first (RFC 6089 sections 4.3 and 5.3.6)."""
        active = [flow for flow in self.flows.values() if self.bids_of(flow)]
        return sorted(active, key=lambda flow: (flow.priority, flow.fid))


def _preference(binding: Binding) -> tuple[int, float, int]:
    if binding.priority == 0:
        return _NO_PRIORITY, -binding.updated_at, binding.bid
    return binding.priority, 0.0, binding.bid


Cache = Mapping[IPv6Address, CacheEntry]


def with_bindings(entry: CacheEntry, bindings: Mapping[int, Binding], now: float) -> CacheEntry:
    """The entry with these bindings. One without any is remembered a little while (RFC 6275 section 10.3.2), its flows
    and prefixes are not; nor is, without a home binding, where the mobile node was on the home link.
    """
    flows, network = (entry.flows, entry.network) if bindings else ({}, HOST)
    until_at = None if bindings else now + MAX_DELETE_BCE_TIMEOUT_S
    place = entry.hardware_address if any(map(entry.is_home, bindings.values())) else b""
    return replace(
        entry,
        bindings=bindings,
        flows=flows,
        network=network,
        remembered_until_at=until_at,
        hardware_address=place,
    )


def shift(entry: CacheEntry, shift_s: float) -> CacheEntry:
    """The entry with all its instants moved: they were of a clock that has started anew."""
    bindings = {
        bid: replace(
            binding,
            registered_at=binding.registered_at + shift_s,
            updated_at=binding.updated_at + shift_s,
            expires_at=binding.expires_at + shift_s,
        )
        for bid, binding in entry.bindings.items()
    }
    until_at = entry.remembered_until_at
    return replace(entry, bindings=bindings, remembered_until_at=None if until_at is None else until_at + shift_s)


def expire(cache: Cache, now: float) -> Cache:
    """Drop the bindings whose lifetime is over, and the entries that need not be remembered any more."""
    if deadline(cache) > now:
        return cache
    left = {}
    for home_address, entry in cache.items():
        bindings = {bid: binding for bid, binding in entry.bindings.items() if binding.expires_at > now}
        if len(bindings) != len(entry.bindings):
            entry = with_bindings(entry, bindings, now)
        if entry.remembered_until_at is None or entry.remembered_until_at > now:
            left[home_address] = entry
    return left


def deadline(cache: Cache) -> float:
    """When something expires; infinity for never."""
    expiries = [binding.expires_at for entry in cache.values() for binding in entry.bindings.values()]
    expiries += [entry.remembered_until_at for entry in cache.values() if entry.remembered_until_at is not None]
    return min(expiries, default=inf)


def is_fresh(sequence: int, last: int) -> bool:
    """Whether a sequence number is newer than the last accepted one, in arithmetic modulo 2**16 (RFC 6275 section
    9.5.1).
    """
    return 1 <= (sequence - last) % 0x10000 <= 0x7FFF
