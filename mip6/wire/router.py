"""Router advertisements, ICMPv6 134, with what home agents say in them (RFC 4861 section 4.2, RFC 6275 section 7).

They are only read: who sends them for a home agent is the daemon that sends them for every router.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, TypeVar

from mip6.wire import neighbor_options
from mip6.wire.codec import Layout, bits, reserved, rest, u16, u32
from mip6.wire.discovery import PREFIX_INFORMATION, PrefixInformation
from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.neighbor import HOP_LIMIT
from mip6.wire.registry import IcmpType, NeighborOptionType


@dataclass(frozen=True, slots=True)
class AdvertisementInterval:
    """Within how many milliseconds the router advertises itself again (RFC 6275 section 7.3)."""

    interval_ms: int


@dataclass(frozen=True, slots=True)
class HomeAgentInformation:
    """What a home agent says of itself: how much it wants to be asked, and for how many seconds it is one (RFC 6275
    section 7.4); whether it serves mobile routers (RFC 3963 section 7.3).
    """

    mobile_router: bool
    preference: int
    lifetime_s: int


RouterOption = PrefixInformation | AdvertisementInterval | HomeAgentInformation

_OptionT = TypeVar("_OptionT", bound=RouterOption)


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    """`source`: the router, by its link-local address. `lifetime_s`: as a default router, 0 if it is none. Options not
    known here are left out.
    """

    source: IPv6Address
    managed: bool
    other: bool
    home_agent: bool
    lifetime_s: int
    options: tuple[RouterOption, ...]

    def find(self, kind: type[_OptionT]) -> Iterator[_OptionT]:
        """Its options of this kind."""
        return (option for option in self.options if isinstance(option, kind))


@dataclass(frozen=True, slots=True)
class _Body:
    managed: bool
    other: bool
    home_agent: bool
    lifetime_s: int
    options: bytes


_BODY = Layout(
    _Body,
    reserved("B"),  # the hop limit for hosts
    bits("B", managed=1, other=1, home_agent=1),
    u16("lifetime_s"),
    reserved("Q"),  # timers of hosts
    rest("options"),
)
_OPTIONS: dict[int, Layout[Any]] = {
    NeighborOptionType.PREFIX_INFORMATION: PREFIX_INFORMATION,
    NeighborOptionType.ADVERTISEMENT_INTERVAL: Layout(AdvertisementInterval, reserved("H"), u32("interval_ms")),
    NeighborOptionType.HOME_AGENT_INFORMATION: Layout(
        HomeAgentInformation, bits("H", mobile_router=1), u16("preference"), u16("lifetime_s")
    ),
}
_HEADER = 4
"""Octets of type, code and checksum."""


def parse(data: bytes, source: IPv6Address, hop_limit: int) -> RouterAdvertisement:
    """A message from its type on, whose checksum has been verified. DecodeError for anything else, and for what may
    come from another link (RFC 4861 section 6.1.2).
    """
    if len(data) < _HEADER + _BODY.size:
        raise DecodeError(DecodeReason.TRUNCATED)
    if data[0] != IcmpType.ROUTER_ADVERTISEMENT:
        raise DecodeError(DecodeReason.UNKNOWN_TYPE, message_type=data[0])
    if hop_limit != HOP_LIMIT or data[1] or not source.is_link_local:
        raise DecodeError(DecodeReason.BAD_NEIGHBOR_MESSAGE)
    body = _BODY.decode(data, _HEADER, len(data))
    options = tuple(_decode_options(body.options))
    return RouterAdvertisement(source, body.managed, body.other, body.home_agent, body.lifetime_s, options)


def _decode_options(data: bytes) -> Iterator[RouterOption]:
    for kind, body in neighbor_options.split(data):
        if kind in _OPTIONS:
            yield _OPTIONS[kind].decode(body, 0, len(body))
