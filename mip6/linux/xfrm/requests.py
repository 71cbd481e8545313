"""Ask the kernel's XFRM for policies and states, and change them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from pyroute2.netlink import nlmsg

from mip6.linux.netlink import NETLINK_XFRM, Netlink, Request
from mip6.linux.xfrm.policies import migration_message, policy_from, policy_id_message, policy_message
from mip6.linux.xfrm.states import state_from, state_id_message, state_message
from mip6.linux.xfrm.structures import XfrmDecodeError, XfrmType
from mip6.xfrm import Migration, Policy, PolicyId, State, StateId, Usage

ValueT = TypeVar("ValueT")

_EVERYTHING = Request(nlmsg, b"")


class Xfrm:
    """One request at a time, each answered before the call returns. What the kernel refuses is a NetlinkError."""

    def __init__(self) -> None:
        """Raises OSError when the kernel has no XFRM."""
        self._netlink = Netlink(NETLINK_XFRM)

    @property
    def port(self) -> int:
        """Announcements of changes made here carry it (those of migrations do not)."""
        return self._netlink.port

    def close(self) -> None:
        self._netlink.close()

    def policies(self) -> list[Policy]:
        """All policies that a value can be."""
        return list(_understood(policy_from, self._netlink.dump_raw(XfrmType.GETPOLICY, _EVERYTHING)))

    def policy(self, id_: PolicyId) -> Policy:
        """The policy as it is now. ENOENT: there is none."""
        (message,) = self._netlink.get(XfrmType.GETPOLICY, policy_id_message(id_))
        return policy_from(message)

    def add_policy(self, policy: Policy) -> None:
        """EEXIST: there is one of this ID."""
        self._netlink.request(XfrmType.NEWPOLICY, policy_message(policy))

    def replace_policy(self, policy: Policy) -> None:
        """In one step put it in the place of the one of this ID, if there is one."""
        self._netlink.request(XfrmType.UPDPOLICY, policy_message(policy))

    def remove_policy(self, id_: PolicyId) -> None:
        """ENOENT: there is none."""
        self._netlink.request(XfrmType.DELPOLICY, policy_id_message(id_))

    def states(self) -> dict[State, Usage]:
        """All states that a value can be, and what they have done; but none that waits for the key management."""
        told = _understood(state_from, self._netlink.dump_raw(XfrmType.GETSA, _EVERYTHING))
        return {state: usage for state, usage in told if not state.is_larval}

    def state(self, id_: StateId) -> tuple[State, Usage]:
        """The state as it is now. ESRCH: there is none."""
        (message,) = self._netlink.get(XfrmType.GETSA, state_id_message(id_))
        return state_from(message)

    def add_state(self, state: State) -> None:
        """EEXIST: there is one of this ID. EPROTONOSUPPORT: the kernel does not have the protocol."""
        self._netlink.request(XfrmType.NEWSA, state_message(state))

    def update_state(self, state: State) -> None:
        """Change what `State.may_become` allows; the kernel ignores the rest. ESRCH: there is none of this ID."""
        self._netlink.request(XfrmType.UPDSA, state_message(state))

    def remove_state(self, id_: StateId) -> None:
        """ESRCH: there is none."""
        self._netlink.request(XfrmType.DELSA, state_id_message(id_))

    def migrate(self, migration: Migration) -> None:
        """Move a tunnel: the policy and, of the states that fit each move, one.

        ENOENT: no policy has the selector. ENODATA: none of its templates is as the moves say it was.
        """
        self._netlink.request(XfrmType.MIGRATE, migration_message(migration))


def _understood(read: Callable[[bytes], ValueT], messages: Sequence[bytes]) -> Iterator[ValueT]:
    for message in messages:
        with suppress(XfrmDecodeError):
            yield read(message)
