"""The networks behind a mobile node that is a mobile router (RFC 3963 section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network

from home_agent.core.settings import HomeAgent, Node, Settings
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import MobileNetworkPrefix
from mip6.wire.registry import BindingUpdateFlag, Status


@dataclass(frozen=True, slots=True)
class MobileNetwork:
    """What the binding cache says of it: whether its mobile node is a router (flag R), and the prefixes that are
    forwarded to it: all that it asked for, or none.
    """

    is_router: bool = False
    prefixes: tuple[IPv6Network, ...] = ()


HOST = MobileNetwork()


def change(
    held: MobileNetwork | None, message: BindingUpdate, node: Node, settings: HomeAgent
) -> MobileNetwork | Status:
    """What a home registration makes of it, or the status with which the whole update is refused. `held`: None when
    nothing is bound. An update that ends bindings says nothing of prefixes (RFC 3963 section 6.7).
    """
    if message.lifetime == 0:
        return held or HOST
    is_router = BindingUpdateFlag.MOBILE_ROUTER in message.flags
    if held is not None and held.is_router != is_router:
        return Status.REGISTRATION_TYPE_CHANGE_DISALLOWED
    if not is_router:
        return HOST
    if not settings.mobile_routers:
        return Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED
    options = [option for option in message.options if isinstance(option, MobileNetworkPrefix)]
    return _explicit(options, node) if options else _implicit(node)


def _implicit(node: Node) -> MobileNetwork | Status:
    """All that the configuration has for it."""
    return MobileNetwork(is_router=True, prefixes=node.prefixes) if node.prefixes else Status.FORWARDING_SETUP_FAILED


def _explicit(options: Sequence[MobileNetworkPrefix], node: Node) -> MobileNetwork | Status:
    """What it names, if all of that is in the prefix table, which is the configuration (RFC 3963 section 6.1.2)."""
    try:
        asked = tuple(dict.fromkeys(IPv6Network((option.prefix, option.prefix_length)) for option in options))
    except ValueError:
        return Status.INVALID_PREFIX
    if not set(asked) <= set(node.prefixes):
        return Status.NOT_AUTHORIZED_FOR_PREFIX
    return MobileNetwork(is_router=True, prefixes=asked)


def conflict(settings: Settings, node: Node) -> tuple[IPv6Network, str] | None:
    """A prefix that cannot be behind the node, and why, for people; None: all can."""
    for place, prefix in enumerate(node.prefixes):
        problem = _problem(settings, node, prefix)
        if problem is None and any(prefix.overlaps(other) for other in node.prefixes[:place]):
            problem = "overlaps another of its own"
        if problem is not None:
            return prefix, problem
    return None


def _problem(settings: Settings, node: Node, prefix: IPv6Network) -> str | None:
    if prefix.prefixlen == 0 or prefix.is_link_local or prefix.is_multicast or prefix.is_loopback:
        return "must be a global or unique local prefix"
    if settings.home_agent.address in prefix:
        return "the home agent's own address is in it"
    if any(home.subnet_of(prefix) for home in settings.home_agent.prefixes):
        return "a whole home prefix is in it"
    for other in settings.node:
        if other.name == node.name:
            continue
        if other.home_address in prefix:
            return f"the home address of {other.name} is in it"
        if any(prefix.overlaps(taken) for taken in other.prefixes):
            return f"overlaps a prefix of {other.name}"
    return None
