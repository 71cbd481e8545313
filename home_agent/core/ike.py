"""What charon has to know of each mobile node whose messages IKEv2 protects (RFC 4877 section 7.1).

A mobile node gets security associations for its own home address and for no other: charon ties its identity to the
traffic selectors, and they have a reqid of their own.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv6Address
from math import inf

from home_agent.core.settings import Ikev2, Node, NodeIkev2, Settings
from mip6 import tunnels
from mip6.ike import Certificates, Child, Connection, Lifetime, SharedKey, mobility_child, tunnel_child
from mip6.ike_sas import IkeSa
from mip6.ipsec import MOST_TUNNELS, Association, Side
from mip6.tunnels import Negotiated, Tunnels

END_S = 4 * 3600
"""When a security association ends; its mobile node has rekeyed it long before. If both ends did, packets would be
lost."""
CHECK_S = 60


def connection_name(node: Node) -> str:
    """Charon's for a mobile node."""
    return f"monami6-{node.name}"


def connections(settings: Settings) -> Iterator[Connection]:
    """For charon."""
    for association, node in _with_ikev2(settings):
        assert settings.ikev2 is not None
        assert node.ikev2 is not None
        yield Connection(
            name=connection_name(node),
            local_address=association.home_agent,
            remote_address=None,
            local_id=settings.ikev2.identity,
            remote_id=node.identity,
            credential=_credential(settings.ikev2, node.ikev2),
            children=tuple(_children(association, node)),
            rekey_s=None,
            check_s=CHECK_S,
        )


def _children(association: Association, node: Node) -> Iterator[Child]:
    lifetime = Lifetime(end_s=END_S)
    yield mobility_child(association, Side.HOME_AGENT, lifetime)
    for number in range(MOST_TUNNELS + 1 if node.protects_payload else 1):
        yield tunnel_child(association, Side.HOME_AGENT, number, lifetime)


def looked(
    held: Mapping[IPv6Address, Tunnels],
    settings: Settings,
    sas: Iterable[IkeSa],
    negotiated: Negotiated,
    now: float,
) -> Mapping[IPv6Address, Tunnels]:
    """The tunnels of all mobile nodes, by home address, as charon and the kernel have them now."""
    by_connection: dict[str, list[IkeSa]] = {}
    for sa in sas:
        by_connection.setdefault(sa.connection, []).append(sa)
    found = dict(held)
    for association, node in _with_ikev2(settings):
        there, known = held.get(node.home_address, {}), by_connection.get(connection_name(node), [])
        found[node.home_address] = tunnels.looked(there, association, Side.HOME_AGENT, known, negotiated, now)
    return held if found == held else found


def restored(settings: Settings, present: Negotiated) -> Mapping[IPv6Address, Tunnels]:
    """The same, as far as the states in the kernel tell, which are there from before a restart."""
    return {
        node.home_address: tunnels.restored(association, Side.HOME_AGENT, present)
        for association, node in _with_ikev2(settings)
    }


def adopt(held: Mapping[IPv6Address, Tunnels], now: float) -> Mapping[IPv6Address, Tunnels]:
    """Send with new keys whose time has come."""
    if due_at(held) > now:
        return held
    return {home_address: tunnels.adopt(there, now) for home_address, there in held.items()}


def due_at(held: Mapping[IPv6Address, Tunnels]) -> float:
    """When to call `adopt`; infinity for never."""
    return min(map(tunnels.due_at, held.values()), default=inf)


def _with_ikev2(settings: Settings) -> Iterator[tuple[Association, Node]]:
    for place, node in enumerate(settings.node):
        if node.ikev2 is not None:
            yield settings.association(place), node


def _credential(ours: Ikev2, its: NodeIkev2) -> SharedKey | Certificates:
    if its.secret is not None:
        return SharedKey(its.secret)
    assert ours.certificates is not None
    return ours.certificates


def established(sas: tuple[IkeSa, ...]) -> frozenset[str]:
    """The connections that have an IKE SA."""
    return frozenset(sa.connection for sa in sas if sa.is_up)
