"""What people and programs may ask of the agent. The control socket and the bus offer the same."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from mip6.config import ConfigError
from mip6.control import ControlError, Method, converted
from mip6.daemon import boottime
from mn_agent.core.bindings import EntryState
from mn_agent.core.events import PolicyChosen, Subject, SwitchRequested
from mn_agent.core.explain import Packet, explain
from mn_agent.core.flow_bindings import is_due
from mn_agent.core.links import Link, called
from mn_agent.core.registration import endpoint
from mn_agent.core.report import status
from mn_agent.core.state import State
from mn_agent.core.status import Status
from mn_agent.core.status_text import status_text
from mn_agent.system import policies

if TYPE_CHECKING:
    from mn_agent.daemon import AgentDaemon

SWITCH = "org.monami6.agent.switch"
CONFIGURE = "org.monami6.agent.configure"
"""What somebody needs polkit's leave for, who is neither root nor of our group (packaging/polkit)."""

SWITCH_S = 60.0
"""How long somebody who asked for a switch may wait for the home agent's word."""
USE_S = 3.0
"""The same for who asked for a policy, who can do without."""
REFRESH_S = 10.0
"""The same for who wants everything told anew."""
LEAVE_S = 3.0
"""The same for NetworkManager, which takes a link down when that is over."""
UNKNOWN_RTT_S = 0.2
"""Reckoned with while a path's is not known."""

Arguments: TypeAlias = Mapping[str, Any]


class Api:
    """The methods, by name."""

    def __init__(self, agent: "AgentDaemon") -> None:
        self._agent = agent
        # It is read from a file, and the bus is told of every step that changes something
        self._version = version("monami6")

    def methods(self) -> Mapping[str, Method]:
        return {
            "status": Method(self._status),
            "switch": Method(self._switch, SWITCH),
            "refresh": Method(self._refresh, SWITCH),
            "use": Method(self._use, CONFIGURE),
            "explain": Method(self._explain),
            "interfaces": Method(self._interfaces),
            "leave": Method(self._leave),
        }

    def glance(self) -> Status:
        """The status without what the kernel counts."""
        return self._told(counters={})

    def _told(self, **counted: Any) -> Status:
        return status(
            self._agent.state,
            boottime(),
            unix_time=time.time(),
            version=self._version,
            pid=os.getpid(),
            **counted,
        )

    async def _status(self, arguments: Arguments) -> Status:
        _expect(arguments)
        agent = self._agent
        counted = {"counters": agent.counters(), "usages": agent.usages(), "dropped": agent.dropped()}
        return self._told(**counted, hosts=agent.hosts())

    async def _interfaces(self, arguments: Arguments) -> object:
        """The addresses as the agent sees them, by interface name."""
        _expect(arguments)
        return {one.name: [str(address.address) for address in one.addresses] for one in self._agent.interfaces()}

    async def _switch(self, arguments: Arguments) -> Status:
        """Move all traffic, the flow `flow`, or IKEv2 if `ike` is true, to `link` and keep it there; null gives the
        choice back. Answers when the home agent has confirmed it.
        """
        _expect(arguments, "link", "flow", "ike")
        state, name, flow = self._agent.state, arguments.get("link"), arguments.get("flow")
        rules = [rule.name for rule in state.flows.policy.flow]
        if flow is not None and flow not in rules:
            raise ControlError("no-such-flow", f"no flow is called {flow}; there are: {', '.join(rules) or 'none'}")
        link = self._link(name) if name is not None else None
        subject = Subject.FLOW if flow is not None else Subject.IKE if arguments.get("ike") else Subject.ALL
        self._agent.handle(SwitchRequested(link.name if link else None, subject, flow or ""))

        def is_met(state: State) -> bool:
            there = link is None or _is_on(state, link.bid, subject, flow)
            return (_is_settled(state) and there) or _is_refused(state, link)

        await self._confirmed(is_met, SWITCH_S)
        if link is not None and _is_refused(self._agent.state, link):
            raise self._refusal(link)
        return await self._status({})

    async def _refresh(self, arguments: Arguments) -> Status:
        """Look at the interfaces, and tell the home agent everything anew. Answers when it has confirmed that."""
        _expect(arguments)
        self._agent.refresh()
        asked_at = boottime()
        await self._confirmed(lambda state: _is_fresh(state, asked_at) or _is_refused(state, None), REFRESH_S)
        refusal = self._agent.state.registration.refusal
        if refusal is not None:
            raise ControlError("refused", f"the home agent does not serve us: {status_text(refusal.status)}")
        return await self._status({})

    async def _leave(self, arguments: Arguments) -> object:
        """Answers when nothing goes over the interface `interface` any more, should NetworkManager be about to take it
        down; how long that took, in seconds.
        """
        _expect(arguments, "interface")
        name, begun_at = arguments.get("interface"), boottime()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._agent.devices_are_known()
                await self._agent.until(lambda state: _is_left(state, name))
        except TimeoutError:
            raise ControlError("timeout", f"there is still traffic over {name} after {LEAVE_S:g} s") from None
        state = self._agent.state
        leaving = [link for link in state.links.values() if link.interface == name and link.leaving]
        for link in leaving:
            # What the home agent sent there before it knew may still be on its way
            path = state.probing.paths.get(link.bid)
            await asyncio.sleep((path.rtt_s if path is not None else None) or UNKNOWN_RTT_S)
        return {"interface": name, "took_s": boottime() - begun_at}

    async def _use(self, arguments: Arguments) -> Status:
        """Use the policy `policy`, also after a restart; null goes back to the configuration's. Answers when the home
        agent has confirmed what follows from it, or does not for a while: it is in use all the same.
        """
        _expect(arguments, "policy")
        name = arguments.get("policy")
        try:
            flows = policies.use(self._agent.settings.policy if name is None else str(name))
        except ConfigError as error:
            raise ControlError("no-such-policy" if name not in policies.names() else "policy", str(error)) from None
        self._agent.handle(PolicyChosen(flows, by_people=name is not None))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._agent.until(_is_settled), USE_S)
        return await self._status({})

    async def _explain(self, arguments: Arguments) -> object:
        """Why everything is where it is, and where a packet would go that has what `packet` says."""
        _expect(arguments, "packet")
        packet: Packet | None = converted(arguments.get("packet"), Packet | None)
        return explain(self._agent.state, packet)

    async def _confirmed(self, is_met: Callable[[State], bool], within_s: float) -> None:
        try:
            await asyncio.wait_for(self._agent.until(is_met), within_s)
        except TimeoutError:
            raise ControlError("timeout", f"the home agent has not confirmed it within {within_s:g} s") from None

    def _refusal(self, link: Link) -> ControlError:
        registered = self._agent.state.registration
        refusal = registered.refusal or registered.entries[link.bid].refusal
        assert refusal is not None
        return ControlError("refused", f"the home agent refuses {link.name}: {status_text(refusal.status)}")

    def _link(self, name: object) -> Link:
        links = self._agent.state.links.values()
        link = called(name, links) if isinstance(name, str) else None
        if link is None:
            names = ", ".join(link.name for link in links)
            raise ControlError("no-such-link", f"no link is called {name}; there are: {names or 'none'}")
        if link.problem:
            raise ControlError("unusable", f"{link.name} cannot carry traffic: {link.problem}")
        unused = self._agent.state.why_unused(link)
        if unused is not None:
            raise ControlError("unusable", f"{link.name} cannot carry traffic: {unused}")
        if _is_refused(self._agent.state, link):
            raise self._refusal(link)
        return link


def _is_on(state: State, bid: int, subject: Subject, flow: str | None) -> bool:
    decision = state.decision
    match subject:
        case Subject.ALL:
            choice = decision.default
        case Subject.FLOW:
            choice = decision.flows.get(flow or "")
        case Subject.IKE:
            choice = decision.ike
        case _:
            assert_never(subject)
    return choice is not None and choice.bids[0] == bid


def _is_refused(state: State, link: Link | None) -> bool:
    """Whether the home agent does not serve us, or not over this link."""
    entry = state.registration.entries.get(link.bid) if link else None
    return state.registration.refusal is not None or (entry is not None and entry.refusal is not None)


def _is_settled(state: State) -> bool:
    """The home agent has confirmed what is wanted of the links and flows that it knows."""
    registered = state.registration
    updating = any(entry.state is EntryState.UPDATING for entry in registered.entries.values())
    bound = [entry.bid for entry in registered.entries.values() if entry.binding is not None]
    telling = registered.flow_bindings and is_due(registered.flows, bound)
    return not updating and not telling and endpoint(registered) is None


def _is_fresh(state: State, asked_at: float) -> bool:
    """The home agent has confirmed every binding that is wanted since then."""
    wanted = [entry for entry in state.registration.entries.values() if entry.wanted and not entry.refusal]
    held = [entry.binding for entry in wanted if entry.state is not EntryState.STANDBY]
    return _is_settled(state) and all(binding is not None and binding.refresh_at > asked_at for binding in held)


def _is_left(state: State, interface: object) -> bool:
    """Whether nothing goes over it any more that could go elsewhere; also when it is not about to go."""
    leaving = {bid for bid, link in state.links.items() if link.interface == interface and link.leaving}
    choices = [state.decision.default, state.decision.ike, *state.decision.flows.values()]
    carrying = {bid for choice in choices if choice is not None for bid in choice.bids}
    is_alone = not any(view.works and not view.leaving for view in state.views())
    return not leaving or is_alone or (not leaving & carrying and _is_settled(state))


def _expect(arguments: Arguments, *names: str) -> None:
    unknown = arguments.keys() - set(names)
    if unknown:
        raise ControlError("request", f"unknown argument {', '.join(sorted(unknown))}")
