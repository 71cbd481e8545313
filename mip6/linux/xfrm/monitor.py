"""Hear what the kernel announces about policies and states."""

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import IntFlag
from ipaddress import IPv6Address

from mip6.linux.netlink import HEADER, NETLINK_XFRM, Notifications, attributes, nested
from mip6.linux.xfrm.policies import kind_from, migration_from, policy_from, policy_from_structure
from mip6.linux.xfrm.states import state_from, state_from_structure
from mip6.linux.xfrm.structures import (
    ID,
    POLICY_ID,
    SELECTOR,
    SELECTOR_COUNT,
    STATE_ID,
    XfrmAttribute,
    XfrmDecodeError,
    XfrmType,
    body,
    decoder,
    selector_from,
)
from mip6.xfrm import Protocol
from mip6.xfrm_events import (
    Acquired,
    Change,
    Event,
    Expired,
    Migrated,
    Missed,
    PoliciesFlushed,
    PolicyChanged,
    StateChanged,
    StatesFlushed,
)


class XfrmGroup(IntFlag):
    """Multicast groups (XFRMNLGRP_*), each a bit."""

    ACQUIRE = 1 << 0
    EXPIRE = 1 << 1
    STATE = 1 << 2
    POLICY = 1 << 3
    MIGRATE = 1 << 6


_ACQUIRE = struct.Struct(f"={ID}16s{SELECTOR}168sIIII")
_EXPIRE = struct.Struct("=224sB7x")


class XfrmMonitor:
    """A socket on which the kernel announces changes, asks for states and tells that states expire."""

    def __init__(self, groups: XfrmGroup) -> None:
        """Raises OSError without the privilege, or when the kernel has no XFRM."""
        self._news = Notifications(groups, family=NETLINK_XFRM)

    def fileno(self) -> int:
        return self._news.fileno()

    def close(self) -> None:
        self._news.close()

    def read(self) -> Iterator[Event]:
        """All that waits and is known here. Never blocks."""
        for message in self._news.messages():
            if message is None:
                yield Missed()
                continue
            with suppress(XfrmDecodeError):
                event = event_from(message)
                if event is not None:
                    yield event


@decoder
def event_from(message: bytes) -> Event | None:
    """What a message announces, None for what nobody here wants to know. Raises XfrmDecodeError."""
    type_ = HEADER.unpack_from(message)[1]
    read = _EVENTS.get(type_)
    return None if read is None else read(message)


def _acquired(message: bytes) -> Acquired:
    destination, _spi, protocol, source, *fields = _ACQUIRE.unpack_from(body(message))
    policy = fields[SELECTOR_COUNT]
    return Acquired(
        Protocol(protocol),
        IPv6Address(source),
        IPv6Address(destination),
        selector_from(fields),
        policy_from_structure(policy, attributes(message, _ACQUIRE)),
    )


def _expired(message: bytes) -> Expired:
    state, hard = _EXPIRE.unpack_from(body(message))
    return Expired(state_from_structure(state, attributes(message, _EXPIRE)), bool(hard))


def _state_removed(message: bytes) -> StateChanged:
    found = attributes(message, STATE_ID)
    return StateChanged(Change.REMOVED, state_from_structure(found[XfrmAttribute.SA], found))


def _states_flushed(message: bytes) -> StatesFlushed:
    protocol = body(message)[0]
    # IPPROTO_RAW and 0 stand for all
    return StatesFlushed(None if protocol in (0, 255) else Protocol(protocol))


def _policy_removed(message: bytes) -> PolicyChanged:
    found = attributes(message, POLICY_ID)
    return PolicyChanged(Change.REMOVED, policy_from_structure(found[XfrmAttribute.POLICY], found))


def _policies_flushed(message: bytes) -> PoliciesFlushed:
    return PoliciesFlushed(kind_from(nested(body(message))))


_EVENTS: Mapping[int, Callable[[bytes], Event]] = {
    XfrmType.ACQUIRE: _acquired,
    XfrmType.EXPIRE: _expired,
    XfrmType.NEWSA: lambda message: StateChanged(Change.ADDED, state_from(message)[0]),
    XfrmType.UPDSA: lambda message: StateChanged(Change.UPDATED, state_from(message)[0]),
    XfrmType.DELSA: _state_removed,
    XfrmType.FLUSHSA: _states_flushed,
    XfrmType.NEWPOLICY: lambda message: PolicyChanged(Change.ADDED, policy_from(message)),
    XfrmType.UPDPOLICY: lambda message: PolicyChanged(Change.UPDATED, policy_from(message)),
    XfrmType.DELPOLICY: _policy_removed,
    XfrmType.FLUSHPOLICY: _policies_flushed,
    XfrmType.MIGRATE: lambda message: Migrated(migration_from(message)),
}
