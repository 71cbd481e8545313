"""Bindings that the operator ends: Binding Revocation (RFC 5846 sections 6.3 and 11).

The mobile node is told, and told once more if it does not answer. Either way the bindings are gone then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from home_agent.core.cache import PLAIN, Binding, CacheEntry
from home_agent.core.home_binding import routed
from home_agent.core.settings import Node
from mip6 import auth
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingRevocationAcknowledgement, BindingRevocationIndication, encode
from mip6.wire.options import BindingIdentifier, MessageReplayProtection, Option
from mip6.wire.registry import RevocationFlag, RevocationStatus, RevocationTrigger

FIRST_TIMEOUT_S, LAST_TIMEOUT_S = 1.0, 2.0
"""Patience with an answer (InitMINDelayBRIs, MAX_BRACK_TIMEOUT)."""
RETRIES = 1
"""BRIMaxRetriesNumber."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a mobile node has been told, or is to be told at `due_at`. `bids`: what it is about; empty for all."""

    sequence: int
    trigger: RevocationTrigger
    bids: frozenset[int]
    due_at: float
    tries: int = 0
    timestamp: int = 0
    """Of the last try: an NTP timestamp, where messages have one."""

    @property
    def is_over(self) -> bool:
        """Whether the mobile node has had all its time, once `due_at` has come."""
        return self.tries > RETRIES


@dataclass(frozen=True, slots=True)
class Revoked:
    """How a revocation ended: the mobile node's RevocationStatus, or None when it did not answer."""

    bids: frozenset[int]
    status: int | None


def spell(revoked: Revoked) -> str:
    """For people."""
    what = f"binding {', '.join(map(str, sorted(revoked.bids)))}" if revoked.bids else "all bindings"
    if revoked.status is None:
        return f"{what} ended, the mobile node did not answer"
    known = {status.value: status.name.replace("_", " ").lower() for status in RevocationStatus}
    return f"{what} ended, the mobile node says: {known.get(revoked.status, 'unknown status')} ({revoked.status})"


def bindings_of(revocation: Revocation, entry: CacheEntry) -> Mapping[int, Binding]:
    """The bindings that it is about, and that are still there."""
    return {bid: one for bid, one in entry.bindings.items() if bid in revocation.bids or not revocation.bids}


def tried(revocation: Revocation, now: float, unix_ns: int) -> Revocation:
    """After one more try now."""
    timeout_s = min(FIRST_TIMEOUT_S * 2**revocation.tries, LAST_TIMEOUT_S)
    timestamp = auth.ntp_timestamp(unix_ns)
    return replace(revocation, due_at=now + timeout_s, tries=revocation.tries + 1, timestamp=timestamp)


def indication(revocation: Revocation, entry: CacheEntry, node: Node, home_agent: IPv6Address) -> Packet:
    """For the mobile node, each time at another care-of address: first at one that it keeps, if there is one."""
    going = bindings_of(revocation, entry)
    order = sorted(entry.bindings.values(), key=lambda one: one.bid in going)
    care_of = order[(revocation.tries - 1) % len(order)].care_of
    options: list[Option] = [BindingIdentifier(bid) for bid in sorted(revocation.bids) if bid != PLAIN]
    message = BindingRevocationIndication(revocation.trigger, revocation.sequence, RevocationFlag(0), tuple(options))
    if node.key is None or node.spi is None:
        return Packet(home_agent, care_of, node.home_address, encode(message), protected=True)
    message = replace(message, options=(*options, MessageReplayProtection(revocation.timestamp)))
    data = auth.sign(message, node.key, node.spi, care_of, node.home_address)
    return Packet(home_agent, care_of, routed(node.home_address, care_of), data)


def is_answer(revocation: Revocation, node: Node, packet: Packet, message: BindingRevocationAcknowledgement) -> bool:
    """Whether this is the mobile node's authentic answer to what it was told."""
    if message.sequence != revocation.sequence:
        return False
    if node.key is None:
        return packet.protected
    stamps = [option.timestamp for option in message.options if isinstance(option, MessageReplayProtection)]
    return stamps == [revocation.timestamp] and auth.verify(
        packet.data, message, node.key, packet.source, node.home_address
    )
