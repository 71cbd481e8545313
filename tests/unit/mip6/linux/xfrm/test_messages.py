"""Policies, states and migrations as the kernel's messages, in both directions."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mip6.linux.netlink import Request
from mip6.linux.xfrm.monitor import event_from
from mip6.linux.xfrm.policies import (
    migration_from,
    migration_message,
    policy_from,
    policy_id_message,
    policy_message,
)
from mip6.linux.xfrm.states import state_from, state_id_message, state_message
from mip6.linux.xfrm.structures import XfrmDecodeError, XfrmType
from mip6.mark import Mark
from mip6.xfrm import (
    Action,
    Algorithms,
    CombinedMode,
    Direction,
    Kind,
    Migration,
    Mode,
    Policy,
    PolicyId,
    Port,
    Protocol,
    Selector,
    SeparateAlgorithms,
    State,
    StateFlag,
    Template,
    Usage,
)
from mip6.xfrm_events import (
    Acquired,
    Change,
    Event,
    Expired,
    Migrated,
    PoliciesFlushed,
    PolicyChanged,
    StateChanged,
    StatesFlushed,
)
from tests.unit.mip6.linux.xfrm import golden
from tests.unit.mip6.linux.xfrm.golden import octets


def told(type_: int, body: bytes) -> bytes:
    """A message as it comes from the kernel."""
    return (16 + len(body)).to_bytes(4, "little") + type_.to_bytes(2, "little") + bytes(10) + body


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(policy_message(golden.UPDATES), golden.UPDATES_OCTETS, id="policy"),
        pytest.param(policy_id_message(golden.OPTIMIZED.id), golden.OPTIMIZED_ID_OCTETS, id="policy-id"),
        pytest.param(state_message(golden.TUNNEL), golden.TUNNEL_OCTETS, id="combined-mode"),
        pytest.param(state_message(golden.EXTENDED), golden.EXTENDED_OCTETS, id="extended-sequence-numbers"),
        pytest.param(
            state_message(golden.HOME_ADDRESS_OPTION), golden.HOME_ADDRESS_OPTION_OCTETS, id="route-optimization"
        ),
        pytest.param(state_id_message(golden.STATE_ID), golden.STATE_ID_OCTETS, id="state-by-spi"),
        pytest.param(state_id_message(golden.ADDRESSED_ID), golden.ADDRESSED_ID_OCTETS, id="state-by-addresses"),
        pytest.param(migration_message(golden.MIGRATION), golden.MIGRATION_OCTETS, id="migration"),
    ],
)
def test_what_we_ask_is_as_the_kernel_has_it(request_: Request, expected: bytes) -> None:
    assert request_.body.hex(" ", 4) == expected.hex(" ", 4)


def test_the_kernel_knows_a_state_by_its_spi_or_by_its_source() -> None:
    assert golden.TUNNEL.id == golden.STATE_ID
    optimization = replace(golden.HOME_ADDRESS_OPTION, protocol=Protocol.ROUTE2, source=golden.HOME_AGENT)
    assert replace(optimization, destination=golden.HOME).id == golden.ADDRESSED_ID


@pytest.mark.parametrize(
    ("type_", "body", "event"),
    [
        (
            XfrmType.ACQUIRE,
            golden.ACQUIRED_OCTETS,
            Acquired(
                Protocol.ESP, golden.CARE_OF, golden.HOME_AGENT, golden.UPDATES.id.selector, policy=golden.UPDATES
            ),
        ),
        (
            XfrmType.EXPIRE,
            golden.EXPIRED_OCTETS,
            Expired(replace(golden.TUNNEL, algorithms=None, output_mark=None), hard=True),
        ),
        (XfrmType.NEWSA, golden.TUNNEL_OCTETS, StateChanged(Change.ADDED, golden.TUNNEL)),
        (XfrmType.UPDSA, golden.EXTENDED_OCTETS, StateChanged(Change.UPDATED, golden.EXTENDED)),
        (
            XfrmType.DELSA,
            golden.STATE_REMOVED_OCTETS,
            StateChanged(Change.REMOVED, replace(golden.TUNNEL, algorithms=None, output_mark=None)),
        ),
        (XfrmType.FLUSHSA, octets("32 000000"), StatesFlushed(Protocol.ESP)),
        (XfrmType.FLUSHSA, octets("ff 000000"), StatesFlushed(None)),
        (XfrmType.NEWPOLICY, golden.UPDATES_OCTETS, PolicyChanged(Change.ADDED, golden.UPDATES)),
        (XfrmType.UPDPOLICY, golden.UPDATES_OCTETS, PolicyChanged(Change.UPDATED, golden.UPDATES)),
        (XfrmType.DELPOLICY, golden.POLICY_REMOVED_OCTETS, PolicyChanged(Change.REMOVED, golden.UPDATES)),
        (XfrmType.FLUSHPOLICY, octets("0a00 1000 01 00 0000 00 00 0000"), PoliciesFlushed(Kind.SUB)),
        (
            XfrmType.MIGRATE,
            golden.MIGRATED_OCTETS,
            Migrated(
                replace(
                    golden.MIGRATION,
                    policy=replace(golden.MIGRATION.policy, if_id=0),
                    moves=golden.MIGRATION.moves * 2,
                )
            ),
        ),
    ],
)
def test_what_the_kernel_announces(type_: int, body: bytes, event: Event) -> None:
    assert event_from(told(type_, body)) == event


def test_what_nobody_wants_to_know_is_no_event() -> None:
    report, mapping, unheard_of = 32, 38, 999
    for type_ in (report, mapping, unheard_of):
        assert event_from(told(type_, golden.TUNNEL_OCTETS)) is None


def test_what_a_state_has_done() -> None:
    counted = octets("""
        e803000000000000 0a00000000000000 # 160: octets, packets
        00f1536500000000 05f1536500000000 # 176: added, used
        01000000 02000000 03000000        # 192: too late, replays, integrity failures
    """)
    data = golden.TUNNEL_OCTETS[:160] + counted + golden.TUNNEL_OCTETS[204:]
    replay = octets("1000 0a00 07000000 08000000 ff000000")
    state, usage = state_from(told(XfrmType.NEWSA, data + replay))
    assert state == golden.TUNNEL
    assert usage == Usage(
        octets=1000,
        packets=10,
        added_at=0x6553F100,
        used_at=0x6553F105,
        sent_sequence=7,
        received_sequence=8,
        replays=2,
        too_late=1,
        integrity_failures=3,
    )


def test_extended_sequence_numbers_have_64_bits() -> None:
    start = golden.EXTENDED_OCTETS[:428]
    numbers = octets("07000000 08000000 01000000 02000000 21000000 00000000 00000000")
    _state, usage = state_from(told(XfrmType.NEWSA, start + numbers))
    assert (usage.sent_sequence, usage.received_sequence) == (0x1_0000_0007, 0x2_0000_0008)
    assert usage.used_at is None


def test_of_an_output_mark_without_a_mask_all_bits_count() -> None:
    """The kernel leaves the mask out when it was set without one."""
    without = golden.TUNNEL_OCTETS[:328] + golden.TUNNEL_OCTETS[336:]
    state, _usage = state_from(told(XfrmType.NEWSA, without))
    assert state.output_mark == Mark(2, 0xFFFFFFFF)


# Values of all kinds, there and back

address = st.integers(0, (1 << 128) - 1).map(IPv6Address)
prefix = st.builds(lambda a, length: IPv6Network((int(a), length), strict=False), address, st.integers(0, 128))
u8, u16, u32 = (st.integers(0, (1 << width) - 1) for width in (8, 16, 32))
port = st.builds(Port, u16, u16)
mark = st.none() | st.builds(Mark, u32, u32)
selector = st.builds(Selector, prefix, prefix, u8, port, port, st.integers(0, (1 << 31) - 1))
template = st.builds(
    Template,
    protocol=st.sampled_from(Protocol),
    mode=st.sampled_from(Mode),
    reqid=u32,
    source=address,
    destination=address,
    optional=st.booleans(),
)
policy_id = st.builds(PolicyId, st.sampled_from(Direction), selector, st.sampled_from(Kind), mark, u32)
policy = st.builds(
    Policy, policy_id, st.lists(template, max_size=6).map(tuple), priority=u32, action=st.sampled_from(Action)
)
name = st.from_regex(r"[a-z0-9()-]{1,63}", fullmatch=True)
key = st.binary(max_size=64)
algorithms: st.SearchStrategy[Algorithms | None] = (
    st.none() | st.builds(CombinedMode, name, key, u32) | st.builds(SeparateAlgorithms, name, key, name, key, u32)
)
state = st.builds(
    State,
    protocol=st.sampled_from(Protocol),
    mode=st.sampled_from(Mode),
    source=address,
    destination=address,
    spi=u32,
    reqid=u32,
    algorithms=algorithms,
    care_of=st.none() | address,
    selector=selector,
    replay_window=st.integers(0, 4096),
    flags=st.sampled_from(StateFlag) | u8.map(StateFlag),
    mark=mark,
    output_mark=mark,
    if_id=u32,
)


@given(policy)
def test_a_policy_comes_back_as_it_was(policy: Policy) -> None:
    assert policy_from(told(XfrmType.NEWPOLICY, policy_message(policy).body)) == policy


@given(state)
def test_a_state_comes_back_as_it_was(state: State) -> None:
    found, usage = state_from(told(XfrmType.NEWSA, state_message(state).body))
    assert found == state
    assert (usage.packets, usage.sent_sequence) == (0, 0)


# What is no message

READERS: tuple[Callable[[bytes], object], ...] = (policy_from, state_from, migration_from, event_from)


@pytest.mark.parametrize("read", READERS)
@given(st.integers(0, 40), st.binary(max_size=600))
def test_any_octets_are_a_value_or_a_decode_error(read: Callable[[bytes], object], type_: int, data: bytes) -> None:
    for message in (data, told(type_, data)):
        with suppress(XfrmDecodeError):
            read(message)


VALID = (
    (XfrmType.NEWPOLICY, golden.UPDATES_OCTETS),
    (XfrmType.NEWPOLICY, policy_message(golden.OPTIMIZED).body),
    (XfrmType.DELPOLICY, golden.POLICY_REMOVED_OCTETS),
    (XfrmType.NEWSA, golden.TUNNEL_OCTETS),
    (XfrmType.NEWSA, golden.EXTENDED_OCTETS),
    (XfrmType.DELSA, golden.STATE_REMOVED_OCTETS),
    (XfrmType.ACQUIRE, golden.ACQUIRED_OCTETS),
    (XfrmType.EXPIRE, golden.EXPIRED_OCTETS),
    (XfrmType.MIGRATE, golden.MIGRATED_OCTETS),
)


def test_damaged_messages_are_values_or_decode_errors() -> None:
    random, refused = Random(6275), 0
    for _ in range(20_000):
        type_, body = random.choice(VALID)
        data = bytearray(told(type_, body))
        for _ in range(random.randint(1, 4)):
            data[random.randrange(16, len(data))] = random.choice((0, 1, 2, 3, 4, 127, 128, 255))
        if random.random() < 0.3:
            del data[random.randrange(16, len(data)) :]
        try:
            event_from(bytes(data))
        except XfrmDecodeError:
            refused += 1
    assert 2_000 < refused < 18_000, "the damage is of use"


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(40, 2, id="selector of IPv4"),
        pytest.param(42, 129, id="prefix of 129 bits"),
        pytest.param(160, 3, id="direction of a socket's own policy"),
        pytest.param(161, 2, id="unknown action"),
        pytest.param(192, 51, id="template of AH"),
        pytest.param(196, 2, id="template of IPv4"),
        pytest.param(220, 4, id="template of mode beet"),
        pytest.param(240, 7, id="unknown kind"),
    ],
)
def test_a_policy_that_is_none_of_our_values_is_a_decode_error(at: int, value: int) -> None:
    data = bytearray(golden.UPDATES_OCTETS)
    data[at] = value
    with pytest.raises(XfrmDecodeError):
        policy_from(told(XfrmType.NEWPOLICY, bytes(data)))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(76, 51, id="AH"),
        pytest.param(212, 2, id="addresses of IPv4"),
        pytest.param(214, 4, id="mode beet"),
        pytest.param(228, 0xC3, id="name of an algorithm that is not ASCII"),
        pytest.param(292, 0xA8, id="key that is cut short"),
    ],
)
def test_a_state_that_is_none_of_our_values_is_a_decode_error(at: int, value: int) -> None:
    data = bytearray(golden.TUNNEL_OCTETS)
    data[at] = value
    with pytest.raises(XfrmDecodeError):
        state_from(told(XfrmType.NEWSA, bytes(data)))


def test_a_selector_without_a_family_selects_everything() -> None:
    """As a tunnel's state has it whose packets may be of any family."""
    data = bytearray(golden.TUNNEL_OCTETS)
    data[40] = 0
    found, _usage = state_from(told(XfrmType.NEWSA, bytes(data)))
    assert found.selector == Selector()


def test_a_migration_comes_back_but_for_its_interface_id() -> None:
    """Which the kernel does not announce."""
    announced = migration_from(told(XfrmType.MIGRATE, migration_message(golden.MIGRATION).body))
    policy = replace(golden.MIGRATION.policy, if_id=0)
    assert announced == Migration(policy, golden.MIGRATION.moves, golden.MIGRATION.ike)
