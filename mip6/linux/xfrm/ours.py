"""The policies and states in the kernel that carry our tag."""

import time
from collections.abc import Mapping, Set
from contextlib import suppress
from typing import NamedTuple, TypeVar

from mip6.kernel import Operation, Put, Remove, Replace
from mip6.linux.netlink import NETLINK_XFRM, NetlinkError, Notifications
from mip6.linux.xfrm.monitor import XfrmGroup
from mip6.linux.xfrm.requests import Xfrm
from mip6.linux.xfrm.structures import XfrmType
from mip6.xfrm import REQIDS, STATIC_REQIDS, Migration, Policy, State, Usage

_NEW_S = 10.0

TaggedT = TypeVar("TaggedT", Policy, State)

_GROUPS = XfrmGroup.POLICY | XfrmGroup.STATE | XfrmGroup.EXPIRE
_POLICY_LOSSES = {XfrmType.DELPOLICY, XfrmType.POLEXPIRE, XfrmType.FLUSHPOLICY}
_STATE_LOSSES = {XfrmType.DELSA, XfrmType.EXPIRE, XfrmType.FLUSHSA}

_STATE_CHANGES = {XfrmType.NEWSA, XfrmType.UPDSA, *_STATE_LOSSES}


class News(NamedTuple):
    """What somebody else may have done: removed policies or states, made or removed states."""

    policies_lost: bool
    states_lost: bool
    states_changed: bool


class OurXfrm:
    """To see and to change them."""

    def __init__(self) -> None:
        """Raises OSError when the kernel has no XFRM."""
        self._xfrm = Xfrm()
        self._notifications = Notifications(_GROUPS, ignore_port=self._xfrm.port, family=NETLINK_XFRM)

    def fileno(self) -> int:
        """Readable when somebody else changed something: call `news`."""
        return self._notifications.fileno()

    def close(self) -> None:
        self._xfrm.close()
        self._notifications.close()

    def news(self) -> News:
        """Since the last call. The key management's own changes are among the causes."""
        news = self._notifications.read()
        return News(*(news is None or bool(news & kind) for kind in (_POLICY_LOSSES, _STATE_LOSSES, _STATE_CHANGES)))

    def policies(self) -> frozenset[Policy]:
        return frozenset(policy for policy in self._xfrm.policies() if policy.has_reqid(REQIDS))

    def states(self) -> frozenset[State]:
        return frozenset(state for state in self._xfrm.states() if state.has_reqid(STATIC_REQIDS))

    def negotiated(self) -> frozenset[State]:
        """Those with keys that the key management made."""
        states = (state for state in self._xfrm.states() if state.has_reqid(REQIDS))
        return frozenset(state for state in states if not state.has_reqid(STATIC_REQIDS))

    def usages(self) -> dict[State, Usage]:
        """What all states did that carry our tag, whoever made them."""
        return {state: usage for state, usage in self._xfrm.states().items() if state.has_reqid(REQIDS)}

    def sweep(self, known: Mapping[int, Set[int]]) -> None:
        """Remove negotiated states that are none of those with these SPIs, by reqid; but not new ones, of which nobody
        may have told yet.
        """
        for state, usage in self._xfrm.states().items():
            is_left_over = state.spi and state.spi not in known.get(state.reqid, {state.spi})
            if is_left_over and state.reqid not in STATIC_REQIDS and usage.added_at < time.time() - _NEW_S:
                with suppress(NetlinkError):  # it may have gone by itself
                    self._xfrm.remove_state(state.id)

    def perform(self, operation: Operation) -> None:
        """Raises NetlinkError when the kernel refuses, ValueError when what is to be put does not carry our tag."""
        match operation:
            case Put(Policy() as policy):
                self._xfrm.add_policy(_tagged(policy, REQIDS))
            case Replace(Policy() as policy):
                self._xfrm.replace_policy(_tagged(policy, REQIDS))
            case Remove(Policy() as policy):
                self._xfrm.remove_policy(policy.id)
            case Put(State() as state):
                self._xfrm.add_state(_tagged(state, STATIC_REQIDS))
            case Replace(State() as state):
                self._xfrm.update_state(_tagged(state, STATIC_REQIDS))
            case Remove(State() as state):
                self._xfrm.remove_state(state.id)

    def attempt(self, state: State) -> None:
        """Add a state and remove it again. Raises NetlinkError when the kernel refuses it."""
        self._xfrm.add_state(_tagged(state, STATIC_REQIDS))
        self._xfrm.remove_state(state.id)

    def migrate(self, migration: Migration, policies: frozenset[Policy]) -> frozenset[Policy]:
        """Do it, and give what became of `policies`. Raises NetlinkError when the kernel refuses."""
        self._xfrm.migrate(migration)
        moved = {policy for policy in policies if migration.may_change(policy)}
        return policies - moved | {self._xfrm.policy(policy.id) for policy in moved}


def _tagged(wanted: TaggedT, reqids: range) -> TaggedT:
    """It would never be found again without."""
    if not wanted.has_reqid(reqids):
        raise ValueError(f"no reqid of ours: {wanted}")
    return wanted
