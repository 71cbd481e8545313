"""What the kernel said about the interfaces at one moment."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from math import inf


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An IPv6 address on an interface, with the flags of RFC 4862 as the kernel reports them."""

    address: IPv6Address
    tentative: bool = False
    optimistic: bool = False
    duplicate: bool = False
    deprecated: bool = False
    temporary: bool = False
    valid_until_at: float = inf


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface. `up` is what the administrator wants, `carrier` what the wire says, `running` what both make
    (operstate up or unknown). `kind` is ethernet, wifi, lte or other. `routers` are the next hops of its default
    routes, the best first; None among them stands for a point-to-point link without one. Those in `unreachable` were
    asked, and do not answer. `prefixes` are on link.
    """

    index: int
    name: str
    kind: str = "ethernet"
    up: bool = True
    carrier: bool = True
    running: bool = True
    mtu: int = 1500
    addresses: tuple[InterfaceAddress, ...] = ()
    routers: tuple[IPv6Address | None, ...] = ()
    unreachable: frozenset[IPv6Address] = frozenset()
    prefixes: tuple[IPv6Network, ...] = ()
    hardware_address: bytes = b""
    """Empty where links have none."""

    @property
    def is_connected(self) -> bool:
        return self.up and self.carrier and self.running


Snapshot = tuple[Interface, ...]
