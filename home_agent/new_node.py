"""A mobile node that is to be served from now on: what its [[node]] says, and what it has to be told itself."""

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from itertools import chain, count

from home_agent.core.mobile_networks import conflict
from home_agent.core.settings import Node, NodeIkev2, Settings
from mip6.enrolment import Enrolment, IkeSecret, Keys, Protection, SharedKey
from mip6.enrolment import StaticKeys as EnrolledKeys
from mip6.ipsec import INTEGRITY_KEY_OCTETS, StaticKeys, StaticPair

MODES = ("auth-option", "ikev2", "manual")
"""How messages are protected."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FIRST_SPI = 1000
_FIRST_HOST = 0x10
"""Home addresses are given from here: the first ones of a prefix are often taken by routers."""
_SECRET_OCTETS = 16
_REALM = "home.arpa"
"""Of identities while no node has another (RFC 8375)."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Any prefix of this length."""

    length: int = 64


class NewNodeError(Exception):
    """There can be no such node; the text is for people."""


def new_node(
    settings: Settings,
    name: str,
    mode: str | None = None,
    *,
    identity: str | None = None,
    home_address: IPv6Address | None = None,
    prefixes: Sequence[IPv6Network | Wish] = (),
) -> Node:
    """A node with new secrets, and an address that is free. `mode`: one of MODES, or as the other tables suggest.
    `prefixes`: of the networks behind it, if it is a mobile router. Raises NewNodeError.
    """
    node = Node(
        name=name,
        identity=identity or f"{name}@{_realm(settings)}",
        home_address=home_address or _free_address(settings),
    )
    for wanted in prefixes:
        found = _free_prefix(settings, node, wanted) if isinstance(wanted, Wish) else wanted
        node = replace(node, prefixes=(*node.prefixes, found))
    _check(settings, node)
    mode = mode or ("ikev2" if settings.ikev2 is not None else "auth-option")
    if mode == "ikev2":
        if settings.ikev2 is None:
            raise NewNodeError("mode ikev2 needs a table [ikev2] with the home agent's own identity in its file")
        return replace(node, ikev2=NodeIkev2(secret=_secret()))
    up, down = _free_spis(settings)
    if mode == "manual":
        return replace(node, manual=StaticPair(up=_static_keys(up), down=_static_keys(down)))
    return replace(node, spi=up, key=_secret())


def enrolment(settings: Settings, node: Node) -> Enrolment:
    """What the mobile node has to know. It must not be one that has a certificate."""
    own, protection = settings.home_agent.address, _protection(settings, node)
    return Enrolment(own, node.home_address, node.identity, protection, tuple(map(str, node.prefixes)))


def _protection(settings: Settings, node: Node) -> Protection:
    if node.manual is not None:
        return EnrolledKeys(_enrolled(node.manual.up), _enrolled(node.manual.down))
    if node.ikev2 is not None:
        assert settings.ikev2 is not None
        assert node.ikev2.secret is not None
        return IkeSecret(settings.ikev2.identity, node.ikev2.secret)
    assert node.spi is not None
    assert node.key is not None
    return SharedKey(node.spi, node.key)


def _enrolled(keys: StaticKeys) -> Keys:
    return Keys(keys.spi, keys.encryption_key, keys.integrity_key)


def _check(settings: Settings, node: Node) -> None:
    if not _NAME.fullmatch(node.name):
        raise NewNodeError(f'name "{node.name}": must be letters, digits, dots and dashes, such as "laptop"')
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", node.identity):
        raise NewNodeError(f'identity "{node.identity}": must look like "laptop@example.org"')
    found = conflict(settings, node)
    if found is not None:
        prefix, problem = found
        raise NewNodeError(f"prefix {prefix}: {problem}")
    for other in settings.node:
        if any(node.home_address in prefix for prefix in other.prefixes):
            raise NewNodeError(f"home address {node.home_address}: is behind {other.name}, a mobile router")
    if not any(node.home_address in prefix for prefix in (*settings.home_agent.prefixes, *node.prefixes)):
        prefixes = ", ".join(str(prefix) for prefix in settings.home_agent.prefixes)
        raise NewNodeError(f"home address {node.home_address}: must be an address in {prefixes}")
    if node.home_address == settings.home_agent.address:
        raise NewNodeError(f"home address {node.home_address}: is the home agent's own address")
    for what in ("name", "identity", "home_address"):
        if getattr(node, what) in [getattr(other, what) for other in settings.node]:
            raise NewNodeError(f"{what.replace('_', ' ')} {getattr(node, what)}: another node has it already")


def _realm(settings: Settings) -> str:
    """The last node's."""
    return next((node.identity.rpartition("@")[2] for node in reversed(settings.node)), _REALM)


def _free_address(settings: Settings) -> IPv6Address:
    taken = {settings.home_agent.address, *(node.home_address for node in settings.node)}
    for prefix in settings.home_agent.prefixes:
        for address in _hosts(prefix):
            if address not in taken:
                return address
    raise NewNodeError("all addresses of the home prefixes are taken: add one to home_agent.prefixes")


def _free_prefix(settings: Settings, node: Node, wish: Wish) -> IPv6Network:
    """The first that nobody has. Of a home prefix the part stays that home addresses are given from."""
    own = settings.home_agent
    kept = {home[min(_FIRST_HOST, home.num_addresses - 1)] for home in own.prefixes} | {node.home_address}
    for pool in own.delegate or own.prefixes:
        if wish.length < pool.prefixlen or (not own.delegate and wish.length == pool.prefixlen):
            continue
        for prefix in pool.subnets(new_prefix=wish.length):
            more = replace(node, prefixes=(*node.prefixes, prefix))
            if not any(address in prefix for address in kept) and conflict(settings, more) is None:
                return prefix
    raise NewNodeError(f"no prefix of length {wish.length} is free: add one to home_agent.delegate")


def _hosts(prefix: IPv6Network) -> Iterator[IPv6Address]:
    """All addresses but the one of all routers (RFC 4291 section 2.6.1)."""
    size = prefix.num_addresses
    first = min(_FIRST_HOST, size)
    if size == 1:
        yield prefix[0]
    for number in chain(range(first, size), range(1, first)):
        yield prefix[number]


def _free_spis(settings: Settings) -> tuple[int, int]:
    """Two numbers that no node has."""
    pairs = [node.manual for node in settings.node if node.manual is not None]
    taken = {node.spi for node in settings.node} | {keys.spi for pair in pairs for keys in (pair.up, pair.down)}
    free = (spi for spi in count(_FIRST_SPI) if spi not in taken)
    return next(free), next(free)


def _static_keys(spi: int) -> StaticKeys:
    return StaticKeys(spi=spi, encryption_key=_secret(), integrity_key=secrets.token_bytes(INTEGRITY_KEY_OCTETS))


def _secret() -> bytes:
    return secrets.token_bytes(_SECRET_OCTETS)
