"""Policies and states as values."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from mip6.linux.xfrm.states import state_message
from mip6.wire.registry import IcmpType, MessageType
from mip6.xfrm import (
    ANY_PORT,
    REQIDS,
    STATIC_REQIDS,
    Direction,
    Endpoints,
    Kind,
    Migration,
    Mode,
    Move,
    Policy,
    PolicyId,
    Port,
    Protocol,
    Selector,
    State,
    Template,
    aes_cbc_sha256,
    aes_gcm,
)
from mip6.xfrm_events import Change, StateChanged

HOME, PEER = IPv6Network("2001:db8:f::1/128"), IPv6Network("2001:db8:aa::1/128")
OLD, NEW, FAR = (IPv6Address(text) for text in ("2001:db8:1::1", "2001:db8:2::1", "2001:db8:aa::1"))
TUNNEL = Template(protocol=Protocol.ESP, mode=Mode.TUNNEL, reqid=REQIDS.start, source=OLD, destination=FAR)
POLICY = Policy(PolicyId(Direction.OUT, Selector(HOME)), (TUNNEL,))
MOVE = Move(Endpoints(OLD, FAR), Endpoints(NEW, FAR), REQIDS.start)


@pytest.mark.parametrize("algorithms", [aes_gcm(b"secretsecretsecretsa"), aes_cbc_sha256(b"secret" * 4, b"secret" * 5)])
def test_nothing_that_is_printed_shows_a_key(algorithms: object) -> None:
    state = State(
        protocol=Protocol.ESP,
        mode=Mode.TUNNEL,
        source=OLD,
        destination=FAR,
        algorithms=algorithms,  # type: ignore[arg-type]
    )
    for printed in (state, StateChanged(Change.ADDED, state), state_message(state)):
        assert "secret" not in f"{printed} {printed!r} {[printed]}"
    assert "aes" in repr(state)
    assert state != replace(state, algorithms=aes_gcm(bytes(20))), "but keys are compared"


def test_types_of_messages_are_where_the_kernel_has_ports() -> None:
    updates = Selector.mobility(HOME, PEER, MessageType.BINDING_UPDATE)
    assert (updates.protocol, updates.source_port, updates.destination_port) == (135, Port(5, 0xFFFF), ANY_PORT)
    assert Selector.mobility(HOME, PEER).source_port == ANY_PORT
    solicitations = Selector.icmp(HOME, PEER, IcmpType.MOBILE_PREFIX_SOLICITATION)
    assert (solicitations.protocol, solicitations.source_port) == (58, Port(146, 0xFFFF))


def test_our_own_states_are_among_ours() -> None:
    assert STATIC_REQIDS[0] in REQIDS
    assert STATIC_REQIDS[-1] in REQIDS
    assert REQIDS.start not in STATIC_REQIDS, "some are for the key management"


def test_a_policy_is_ours_by_any_of_its_templates() -> None:
    foreign = replace(TUNNEL, reqid=1)
    assert replace(POLICY, templates=(foreign, TUNNEL)).has_reqid(REQIDS)
    assert not replace(POLICY, templates=(foreign,)).has_reqid(REQIDS)
    assert not replace(POLICY, templates=()).has_reqid(REQIDS)


def test_a_migration_may_change_policies_of_its_direction_with_one_of_its_templates() -> None:
    migration = Migration(POLICY.id, (MOVE,))
    elsewhere = replace(POLICY, id=PolicyId(Direction.OUT, Selector(PEER)))
    assert migration.may_change(POLICY)
    assert migration.may_change(elsewhere), "which the kernel may find first"
    for other in (
        replace(POLICY, id=replace(POLICY.id, direction=Direction.IN)),
        replace(POLICY, id=replace(POLICY.id, kind=Kind.SUB)),
        *(
            replace(POLICY, templates=(template,))
            for template in (
                replace(TUNNEL, reqid=1),
                replace(TUNNEL, source=NEW),
                replace(TUNNEL, destination=NEW),
                replace(TUNNEL, mode=Mode.TRANSPORT),
            )
        ),
        replace(POLICY, templates=()),
    ):
        assert not migration.may_change(other)
