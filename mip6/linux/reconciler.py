"""Make the kernel's state what a pure function wants, touching only what is ours."""

import errno
import select
import socket
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from ipaddress import IPv6Address

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from mip6.kernel import (
    LOOPBACK,
    PROTOCOL,
    Address,
    Device,
    Kernel,
    Neighbor,
    Operation,
    Put,
    Remove,
    Replace,
    Route,
    Rule,
    difference,
    in_order,
)
from mip6.linux import devices, routing
from mip6.linux.netlink import (
    NETLINK_NETFILTER,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    Netlink,
    NetlinkError,
    Notifications,
    message,
)
from mip6.linux.nftables import Nftables, NftablesError
from mip6.linux.xfrm.ours import OurXfrm
from mip6.linux.xfrm.statistics import dropped
from mip6.table import Counter, Table
from mip6.xfrm import Migration, Policy, State, StateId, Usage

NFTABLES_GROUP = 1 << (7 - 1)

_LOSSES = {routing.RTM_DELADDR, routing.RTM_DELROUTE, routing.RTM_DELRULE}
_ALREADY_GONE = {errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The kernel would not do what was asked."""

    what: str
    why: str


def _is_done(operation: Operation, error: NetlinkError) -> bool:
    """Whether it was so already. (A policy or a state that is in the way of one of ours is somebody else's.)"""
    match operation:
        case Remove():
            return error.errno in _ALREADY_GONE
        case Put(Address() | Neighbor() | Rule() | Route()):
            return error.errno == errno.EEXIST
        case _:
            return False


class Reconciler:
    """Holds what the kernel says of our objects; `apply` turns that into what is wanted."""

    def __init__(self, table_name: str) -> None:
        """`table_name`: of our nftables table. Raises OSError without the privileges or nftables' library."""
        self._netlink = Netlink()
        self._nftables = Nftables()
        self._routing_news = Notifications(
            routing.RTMGRP_IPV6_IFADDR | routing.RTMGRP_IPV6_ROUTE | routing.RTMGRP_IPV6_RULE,
            ignore_port=self._netlink.port,
        )
        self._nftables_news = Notifications(NFTABLES_GROUP, family=NETLINK_NETFILTER)
        self._xfrm: OurXfrm | None = None
        self._aims: dict[StateId, IPv6Address | None] = {}
        self._news = select.epoll()
        self._news.register(self._routing_news, select.EPOLLIN)
        self._news.register(self._nftables_news, select.EPOLLIN)
        self._table_name = table_name
        self._table_handle: int | None = None
        self.has_other_states = False
        """Whether somebody made or removed states of IPsec, at the last call of `heed`."""
        self._actual = Kernel()
        self._find_security()
        self.read()

    def fileno(self) -> int:
        """Readable when somebody else changed something: call `heed`."""
        return self._news.fileno()

    def close(self) -> None:
        self._news.close()
        self._netlink.close()
        self._nftables.close()
        self._routing_news.close()
        self._nftables_news.close()
        if self._xfrm is not None:
            self._xfrm.close()

    def read(self) -> None:
        """Ask the kernel for everything that is ours. A table of ours that a former run left is replaced, in one
        transaction, by the next `apply`.
        """
        self._actual = replace(
            self._actual,
            addresses=self._addresses(None),
            neighbors=self._neighbors(),
            devices=devices.devices(self._netlink),
            rules=self._rules(),
            routes=self._routes(),
            table=self._table(),
        )
        if self._xfrm is not None:
            self._actual = replace(self._actual, policies=self._xfrm.policies(), states=self._xfrm.states())

    def heed(self) -> bool:
        """Read again what others may have changed. True when it is no longer what we left there."""
        before = self._actual
        news = self._routing_news.read()
        elsewhere = any(address.interface != LOOPBACK for address in self._actual.addresses)
        where = None if elsewhere else LOOPBACK
        if news is None or news & _LOSSES:
            self._actual = replace(
                self._actual,
                addresses=self._addresses(where),
                neighbors=self._neighbors() if self._actual.neighbors else frozenset(),
                devices=devices.devices(self._netlink),
                rules=self._rules(),
                routes=self._routes(),
            )
        elif routing.RTM_NEWADDR in news:
            # Whoever puts the home address in its own place takes from it what makes it one
            self._actual = replace(self._actual, addresses=self._addresses(where))
        self._nftables_news.read()
        self._actual = replace(self._actual, table=self._table())
        self.has_other_states = False
        if self._xfrm is not None:
            xfrm = self._xfrm.news()
            self.has_other_states = xfrm.states_changed
            if self._actual.policies and xfrm.policies_lost:
                self._actual = replace(self._actual, policies=self._xfrm.policies())
            if self._actual.states and xfrm.states_lost:
                self._actual = replace(self._actual, states=self._xfrm.states())
        return self._actual != before

    def apply(self, wanted: Kernel) -> list[Refusal]:
        """Change what differs from `wanted`; gives what the kernel refused, and leaves that to the next call."""
        table, new = self._actual.table, wanted.table
        can_wait = table is not None and (new is None or table.can_wait(new))
        refusals = [] if can_wait else self._apply_table(new)
        if self._aims:
            wanted = replace(wanted, states=frozenset(map(self._aimed, wanted.states)))
        if (wanted.policies or wanted.states) and (refusal := self._open_xfrm()) is not None:
            refusals.append(refusal)
            wanted = replace(wanted, policies=frozenset(), states=frozenset())
        operations = difference(self._actual, wanted)
        failed = [refusal for operation in operations if (refusal := self._perform(operation)) is not None]
        if failed:
            self.read()
        elif operations:
            self._actual = replace(wanted, rules=in_order(wanted.rules), table=self._actual.table)
        if can_wait:
            refusals += self._apply_table(new)
        return refusals + failed

    def migrate(self, migration: Migration) -> Refusal | None:
        """Move a tunnel, with the states of its policy: to put another policy in its place would leave them behind."""
        if (refusal := self._open_xfrm()) is not None:
            return refusal
        assert self._xfrm is not None
        try:
            policies = self._xfrm.migrate(migration, self._actual.policies)
        except NetlinkError as error:
            return Refusal(repr(migration), str(error))
        states = self._xfrm.states() if self._actual.states else frozenset()
        self._actual = replace(self._actual, policies=policies, states=states)
        return None

    def attempt(self, state: State) -> Refusal | None:
        """Why the kernel would refuse such a state; None: it would not."""
        if (refusal := self._open_xfrm()) is not None:
            return refusal
        assert self._xfrm is not None
        try:
            self._xfrm.attempt(state)
        except NetlinkError as error:
            return Refusal(repr(state), str(error))
        return None

    def aim(self, state: State) -> None:
        """Give a state of mode ROUTE_OPTIMIZATION that is wanted this one's care-of address, from now on whatever is
        wanted. Raises OSError.
        """
        self._aims[state.id] = state.care_of
        old = next((one for one in self._actual.states if one.id == state.id), None)
        if old is None or self._xfrm is None:
            raise OSError(errno.ESRCH, "IPsec is not set up yet")
        if old != state:
            self._xfrm.perform(Replace(state))
            self._actual = replace(self._actual, states=self._actual.states - {old} | {state})

    def sweep(self, known: Mapping[int, Set[int]]) -> None:
        """Remove the ESP states that the key management has negotiated and knows no more. `known`: the SPIs that it
        knows, by reqid; states with other reqids stay. Raises OSError.
        """
        if self._xfrm is not None:
            self._xfrm.sweep(known)

    def _aimed(self, state: State) -> State:
        return replace(state, care_of=self._aims.get(state.id, state.care_of))

    def dropped(self) -> dict[str, int]:
        """What the kernel dropped for IPsec's sake, by reason, while we have policies there."""
        return dropped() if self._actual.policies else {}

    def negotiated(self) -> frozenset[State]:
        """The states that the key management made for uses of ours, with their keys. Raises OSError."""
        return self._xfrm.negotiated() if self._xfrm is not None else frozenset()

    @property
    def states(self) -> frozenset[State]:
        """Those of our own that are there."""
        return self._actual.states

    def usages(self) -> dict[State, Usage]:
        """What the states of IPsec did that carry our tag, those that the key management made among them."""
        return self._xfrm.usages() if self._xfrm is not None else {}

    def counters(self) -> dict[str, Counter]:
        """The named counters of our table."""
        return self._nftables.counters(self._table_name) if self._actual.table is not None else {}

    def addresses(self, name: str) -> dict[IPv6Address, Counter]:
        """What is in a set of our table that its rules fill, and what they have counted. Raises OSError when it is not
        there.
        """
        return self._nftables.addresses(self._table_name, name)

    def _find_security(self) -> None:
        """What a former run left of policies and states has to go, or is wanted again. Without any XFRM stays closed,
        until there is something to put there: most have no use for it, and the kernel may not have it.
        """
        if self._open_xfrm() is None and self._xfrm is not None and not self._xfrm.policies() | self._xfrm.states():
            self._xfrm.close()
            self._xfrm = None

    def _open_xfrm(self) -> Refusal | None:
        if self._xfrm is None:
            try:
                self._xfrm = OurXfrm()
            except OSError as error:
                return Refusal("IPsec", str(error))
            self._news.register(self._xfrm, select.EPOLLIN)
        return None

    def _apply_table(self, wanted: Table | None) -> list[Refusal]:
        actual = self._actual.table
        if wanted == actual:
            return []
        if wanted is None:
            commands = f"table ip6 {self._table_name}\ndelete table ip6 {self._table_name}\n"
        elif actual is None:
            commands = wanted.commands_to_create()
        else:
            commands = actual.commands_to_become(wanted)
        try:
            self._nftables.run(commands)
        except NftablesError as error:
            self._actual = replace(self._actual, table=None)
            return [Refusal("nftables", str(error))]
        if actual is None or wanted is None or not actual.may_become(wanted):
            self._table_handle = self._nftables.table_handle(self._table_name)
        self._actual = replace(self._actual, table=wanted)
        return []

    def _perform(self, operation: Operation) -> Refusal | None:
        try:
            match operation.object:
                case Policy() | State():
                    assert self._xfrm is not None
                    self._xfrm.perform(operation)
                case Device() as device:
                    self._perform_device(device, adding=isinstance(operation, Put))
                case Address() | Neighbor() | Rule() | Route() as object_:
                    self._perform_routing(object_, adding=isinstance(operation, Put))
        except NetlinkError as error:
            return None if _is_done(operation, error) else Refusal(repr(operation), str(error))
        return None

    def _perform_device(self, device: Device, *, adding: bool) -> None:
        if adding:
            self._netlink.request(routing.RTM_NEWLINK, devices.device_message(device), NLM_F_CREATE)
            self._netlink.request(routing.RTM_NEWLINK, devices.device_without_address_message(device))
            self._netlink.request(routing.RTM_NEWLINK, devices.device_up_message(device))
        else:
            self._netlink.request(routing.RTM_DELLINK, devices.device_id_message(device))

    def _perform_routing(self, object_: Address | Neighbor | Rule | Route, *, adding: bool) -> None:
        match object_:
            case Address() as address:
                request, kind = routing.address_message(address), (routing.RTM_DELADDR, routing.RTM_NEWADDR)[adding]
                flags = NLM_F_CREATE | NLM_F_REPLACE
            case Neighbor() as neighbor:
                request, kind = routing.neighbor_message(neighbor), (routing.RTM_DELNEIGH, routing.RTM_NEWNEIGH)[adding]
                flags = NLM_F_CREATE | NLM_F_REPLACE
            case Rule() as rule:
                request, kind = routing.rule_message(rule), (routing.RTM_DELRULE, routing.RTM_NEWRULE)[adding]
                flags = NLM_F_CREATE
            case Route() as route:
                request, kind = routing.route_message(route), (routing.RTM_DELROUTE, routing.RTM_NEWROUTE)[adding]
                flags = NLM_F_CREATE | NLM_F_REPLACE
        self._netlink.request(kind, request, flags if adding else 0)

    def _addresses(self, interface: int | None) -> frozenset[Address]:
        """On this interface, or on all."""
        request = message(ifaddrmsg, {"family": socket.AF_INET6, "index": interface or 0}, {})
        answers = self._netlink.dump(routing.RTM_GETADDR, request)
        return frozenset(address for answer in answers if (address := routing.address_from(answer)) is not None)

    def _neighbors(self) -> frozenset[Neighbor]:
        answers = self._netlink.dump(routing.RTM_GETNEIGH, message(ndmsg, {"family": socket.AF_INET6}, {}))
        return frozenset(neighbor for answer in answers if (neighbor := routing.neighbor_from(answer)) is not None)

    def _rules(self) -> tuple[Rule, ...]:
        answers = self._netlink.dump(routing.RTM_GETRULE, message(fibmsg, {"family": socket.AF_INET6}, {}))
        return tuple(rule for answer in answers if (rule := routing.rule_from(answer)) is not None)

    def _routes(self) -> frozenset[Route]:
        request = message(routing.RouteMessage, {"family": socket.AF_INET6, "proto": PROTOCOL}, {})
        answers = self._netlink.dump(routing.RTM_GETROUTE, request)
        return frozenset(route for answer in answers if (route := routing.route_from(answer)) is not None)

    def _table(self) -> Table | None:
        """What we last put there, if nobody has deleted or made it anew since."""
        handle = self._nftables.table_handle(self._table_name)
        return self._actual.table if handle is not None and handle == self._table_handle else None
