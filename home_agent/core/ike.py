"""What charon has to know of each mobile node whose messages IKEv2 protects (RFC 4877 section 7.1).

A mobile node gets security associations for its own home address and for no other: charon ties its identity to the
traffic selectors, and they have a reqid of their own.
"""

from collections.abc import Iterator

from home_agent.core.settings import Ikev2, Node, NodeIkev2, Settings
from mip6.ike import Certificates, Connection, Lifetime, SharedKey, mobility_child
from mip6.ike_sas import IkeSa
from mip6.ipsec import Association, Side

END_S = 4 * 3600
"""When a security association ends; its mobile node has rekeyed it long before. If both ends did, packets would be
lost."""
CHECK_S = 60


def connection_name(node: Node) -> str:
    """Charon's for a mobile node."""
    return f"monami6-{node.name}"


def connections(settings: Settings) -> Iterator[Connection]:
    """For charon."""
    for place, node in enumerate(settings.node):
        if node.ikev2 is not None:
            assert settings.ikev2 is not None
            association = Association(node.home_address, settings.home_agent.address, place)
            yield Connection(
                name=connection_name(node),
                local_address=association.home_agent,
                remote_address=None,
                local_id=settings.ikev2.identity,
                remote_id=node.identity,
                credential=_credential(settings.ikev2, node.ikev2),
                children=(mobility_child(association, Side.HOME_AGENT, Lifetime(end_s=END_S)),),
                rekey_s=None,
                check_s=CHECK_S,
            )


def _credential(ours: Ikev2, its: NodeIkev2) -> SharedKey | Certificates:
    if its.secret is not None:
        return SharedKey(its.secret)
    assert ours.certificates is not None
    return ours.certificates


def established(sas: tuple[IkeSa, ...]) -> frozenset[str]:
    """The connections that have an IKE SA."""
    return frozenset(sa.connection for sa in sas if sa.is_up)
