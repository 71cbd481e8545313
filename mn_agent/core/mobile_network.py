"""How home agents are asked to serve the networks behind this machine, as a mobile router (RFC 3963 section 5).

In explicit mode every Binding Update names all prefixes; in implicit mode the home agent knows them. One that refuses
is left for the next. When all have refused, the other mode may help, and at last this machine is served as a host.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv6Address, IPv6Network

from mip6.wire.messages import BindingAcknowledgement
from mip6.wire.options import MobileNetworkPrefix
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, Status
from mn_agent.core.settings import Home, RouterSettings
from mn_agent.core.status_text import status_text

PREFIX_OCTETS = 24
"""A Mobile Network Prefix option, and what its place may cost."""


class Mode(Enum):
    """What home agents are asked for."""

    EXPLICIT = "explicit"
    IMPLICIT = "implicit"
    HOST = "host"


_NO = Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED
_INVALID, _NOT_AUTHORIZED = Status.INVALID_PREFIX, Status.NOT_AUTHORIZED_FOR_PREFIX
_REFUSALS = {_NO, _INVALID, _NOT_AUTHORIZED, Status.FORWARDING_SETUP_FAILED}

# What should never come in a mode: there is no use in going on (RFC 3963 section 5.4)
_FATAL = {Mode.IMPLICIT: {_INVALID, _NOT_AUTHORIZED}, Mode.EXPLICIT: {Status.FORWARDING_SETUP_FAILED}}
_OTHER_MODE = {Mode.IMPLICIT: Mode.EXPLICIT, Mode.EXPLICIT: Mode.IMPLICIT}


@dataclass(frozen=True, slots=True)
class MobileNetwork:
    """The prefixes behind this machine, and in which mode home agents are asked for them. `refused`: the status that
    each home agent gave in this mode. `failed`: the modes that were given up, with the last status.
    """

    prefixes: tuple[IPv6Network, ...] = ()
    mode: Mode = Mode.HOST
    refused: Mapping[IPv6Address, int] = field(default_factory=dict)
    failed: Mapping[Mode, int] = field(default_factory=dict)

    @property
    def is_router(self) -> bool:
        """Whether home agents are asked to serve a router (flag R), and not only a host."""
        return self.mode is not Mode.HOST

    @property
    def flags(self) -> BindingUpdateFlag:
        """Of a Binding Update."""
        return BindingUpdateFlag.MOBILE_ROUTER if self.is_router else BindingUpdateFlag(0)

    @property
    def options(self) -> list[MobileNetworkPrefix]:
        """Of a Binding Update: a prefix that one does not name is not served any more (RFC 3963 section 6.2)."""
        named = self.prefixes if self.mode is Mode.EXPLICIT else ()
        return [MobileNetworkPrefix(prefix.prefixlen, prefix.network_address) for prefix in named]

    @property
    def octets(self) -> int:
        """What those take."""
        return PREFIX_OCTETS * len(self.options)

    @property
    def problem(self) -> str | None:
        """Why it is not as the configuration says, for people."""
        if not self.failed:
            return None
        refusals = ", ".join(f"{mode.value} mode: {status_text(status)}" for mode, status in self.failed.items())
        if self.is_router:
            return f"the home agent refused ({refusals}); it serves the prefixes that it has for us"
        return f"no home agent serves us as a mobile router ({refusals}); `monami6 refresh` asks again"


def configured(router: RouterSettings) -> MobileNetwork:
    """Before any home agent was asked."""
    return MobileNetwork(router.prefixes, Mode(router.mode)) if router.prefixes else MobileNetwork()


def is_refused(network: MobileNetwork, answer: BindingAcknowledgement) -> bool:
    """Whether an answer to one of our updates says that the home agent does not serve us as a router."""
    return network.is_router and answer.status in _REFUSALS


def is_ignored(network: MobileNetwork, answer: BindingAcknowledgement) -> bool:
    """Whether the home agent took us for a host, for it knows no routers (RFC 3963 section 5.3)."""
    taken = answer.status < Status.UNSPECIFIED and answer.lifetime > 0
    return network.is_router and taken and not answer.flags & BindingAcknowledgementFlag.MOBILE_ROUTER


def refuse(network: MobileNetwork, home: Home, status: int) -> MobileNetwork:
    """After the home agent in use has refused: in the same mode if there is another to ask."""
    refused = {**network.refused, home.agent: status}
    is_fatal = status in _FATAL[network.mode]
    if not is_fatal and not {home.agent, *home.alternatives} <= refused.keys():
        return replace(network, refused=refused)
    failed = {**network.failed, network.mode: status}
    other = _OTHER_MODE[network.mode]
    is_hopeless = is_fatal or other in failed or all(each == _NO for each in refused.values())
    return replace(network, mode=Mode.HOST if is_hopeless else other, refused={}, failed=failed)
