"""What the mobile node makes of every answer that is no plain yes."""

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest

from mip6 import auth
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, BindingRefreshRequest, BindingUpdate, encode
from mip6.wire.options import BindingIdentifier, BindingRefreshAdvice, MessageReplayProtection, Option
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, Status
from mn_agent.core import events
from mn_agent.core.answers import DO_NOT_SEND_S, REFUSAL_RETRY_S
from mn_agent.core.bindings import EntryState
from tests.story.test_registration import bids, identifiers
from tests.story.world import AGENT, HOME, KEY, SPI, World, make_link, three_links

Responder = Callable[[BindingUpdate, Packet], Packet | None]


def answer(
    update: BindingUpdate,
    packet: Packet,
    status: int = 0,
    *,
    key: bytes = KEY,
    lifetime: int | None = None,
    sequence: int | None = None,
    timestamp: int | None = None,
    statuses: dict[int, int] | None = None,
    with_identifiers: bool = True,
    flags: BindingAcknowledgementFlag = BindingAcknowledgementFlag(0),  # noqa: B008 (a constant)
    more: tuple[Option, ...] = (),
) -> Packet:
    """A home agent's answer, made by hand."""
    stamps = [option.timestamp for option in update.options if isinstance(option, MessageReplayProtection)]
    options: list[Option] = [
        BindingIdentifier(bid, status=(statuses or {}).get(bid, 0)) for bid in bids(update) if with_identifiers
    ]
    options += [*more, MessageReplayProtection(stamps[0] if timestamp is None else timestamp)]
    message = BindingAcknowledgement(
        status,
        flags,
        update.sequence if sequence is None else sequence,
        update.lifetime if lifetime is None else lifetime,
        tuple(options),
    )
    data = auth.sign(message, key, SPI, packet.source, HOME)
    return Packet(packet.destination, packet.source, packet.home_address, data)


def always(status: int) -> Responder:
    return lambda update, packet: answer(update, packet, status)


def once(status: int, *, then: Responder | None = None) -> Responder:
    """One refusal, then yes."""
    waiting = [status]

    def respond(update: BindingUpdate, packet: Packet) -> Packet | None:
        if waiting:
            return answer(update, packet, waiting.pop())
        return (then or always(0))(update, packet)

    return respond


def one_link(respond: Responder) -> World:
    return World({"ethernet": make_link(1, "eth0", "ethernet")}, respond=respond)


def updates(world: World) -> list[BindingUpdate]:
    return [update for _, update in world.sent_updates()]


def state(world: World, bid: int = 1) -> EntryState:
    return world.mn.registration.entries[bid].state


@pytest.mark.req("REG-17", "FMT-06")
def test_a_shorter_lifetime_counts_from_the_sending_of_the_update() -> None:
    world = one_link(lambda update, packet: answer(update, packet, lifetime=25))
    world.links["ethernet"].delay_s = 0.4
    started = world.now
    world.start().run(1)
    binding = world.mn.registration.entries[1].binding
    assert binding is not None
    assert binding.expires_at == started + 100


@pytest.mark.req("REG-18")
def test_a_longer_lifetime_than_asked_for_counts_as_the_one_asked_for() -> None:
    world = one_link(lambda update, packet: answer(update, packet, lifetime=60000))
    started = world.now
    world.start().run(1)
    binding = world.mn.registration.entries[1].binding
    assert binding is not None
    assert binding.expires_at == started + 600


@pytest.mark.req("REG-19", "FMT-10")
def test_the_home_agent_may_advise_to_refresh_sooner() -> None:
    advice = BindingRefreshAdvice(10)
    world = one_link(lambda update, packet: answer(update, packet, more=(advice,))).start().run(50)
    times = [at for at, _ in world.sent_updates()]
    assert times == [1000, 1040]


@pytest.mark.req("REG-22", "MCOA-06")
@pytest.mark.parametrize("status", [0, 1, 2, 3, 5, 6, 42, 127])
def test_every_status_below_128_is_a_yes(status: int) -> None:
    world = one_link(always(status)).start().run(5)
    assert state(world) is EntryState.REGISTERED
    assert len(updates(world)) == 1


_PAUSES = [
    Status.UNSPECIFIED,
    Status.ADMINISTRATIVELY_PROHIBITED,
    Status.INSUFFICIENT_RESOURCES,
    Status.EXPIRED_HOME_NONCE_INDEX,
    Status.EXPIRED_CARE_OF_NONCE_INDEX,
    Status.EXPIRED_NONCES,
    Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED,
    Status.INVALID_PREFIX,
    Status.NOT_AUTHORIZED_FOR_PREFIX,
    Status.FORWARDING_SETUP_FAILED,
    Status.MIPV6_MESG_ID_REQD,
    Status.PERMANENT_HOME_KEYGEN_TOKEN_UNAVAILABLE,
    Status.CGA_AND_SIGNATURE_VERIFICATION_FAILED,
    Status.PERMANENT_HOME_KEYGEN_TOKEN_EXISTS,
    Status.NON_NULL_HOME_NONCE_INDEX_EXPECTED,
    Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED,
    Status.INVALID_CARE_OF_ADDRESS,
    152,
    170,
    200,
    255,
]


@pytest.mark.req("REG-22", "REG-23", "MCOA-19")
@pytest.mark.parametrize("status", _PAUSES)
def test_a_refused_binding_is_left_alone_for_a_while(status: int) -> None:
    world = one_link(once(status)).start().run(5)
    assert state(world) is EntryState.REFUSED
    assert len(updates(world)) == 1
    assert f"({status})" in world.notices[-1]
    world.run(REFUSAL_RETRY_S - 5.5)
    assert len(updates(world)) == 1
    world.run(1)
    assert state(world) is EntryState.REGISTERED
    assert updates(world)[1].sequence > updates(world)[0].sequence


@pytest.mark.req("REG-23")
def test_another_care_of_address_is_asked_for_at_once() -> None:
    world = one_link(once(Status.INVALID_CARE_OF_ADDRESS)).start().run(5)
    interface = world.links["ethernet"].interface
    (old,) = interface.addresses
    world.change("ethernet", addresses=(replace(old, address=old.address + 1),))
    world.run(1)
    assert state(world) is EntryState.REGISTERED


@pytest.mark.req("REG-23", "BUL-09", "AUTH-05")
@pytest.mark.parametrize(
    "status",
    [
        Status.HOME_REGISTRATION_NOT_SUPPORTED,
        Status.NOT_HOME_SUBNET,
        Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE,
        Status.REGISTRATION_TYPE_CHANGE_DISALLOWED,
        Status.MIPV6_AUTH_FAIL,
        Status.SERVICE_AUTHORIZATION_FAILED,
    ],
)
def test_a_home_agent_that_does_not_serve_us_is_left_alone_for_long(status: Status) -> None:
    world = World(three_links(), respond=once(status)).start().run(30)
    assert len(updates(world)) == 1
    assert world.mn.registration.refusal is not None
    assert world.mn.carrier is None
    world.run(DO_NOT_SEND_S)
    assert all(entry.state is EntryState.REGISTERED for entry in world.mn.registration.entries.values())


@pytest.mark.req("REG-24")
def test_a_home_address_that_is_somebody_elses_is_never_asked_for_again() -> None:
    world = World(three_links(), respond=always(Status.DUPLICATE_ADDRESS_DETECTION_FAILED)).start().run(100_000)
    assert len(updates(world)) == 1
    assert world.mn.registration.refusal is not None
    assert world.mn.registration.refusal.retry_at == inf


@pytest.mark.req("MCOA-23")
def test_a_plain_binding_in_the_way_is_overwritten() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        overwrites = bool(update.flags & BindingUpdateFlag.OVERWRITE)
        return answer(update, packet, 0 if overwrites else Status.MCOA_NON_MCOA_BINDING_EXISTS)

    world = World(three_links(), respond=respond)
    world.mn = replace(world.mn, registration=replace(world.mn.registration, overwrite=False))
    world.start().run(3)
    assert [bool(update.flags & BindingUpdateFlag.OVERWRITE) for update in updates(world)][:2] == [False, True]
    assert state(world) is EntryState.REGISTERED


@pytest.mark.req("MCOA-21")
def test_a_home_agent_may_prohibit_several_care_of_addresses() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        return answer(update, packet, Status.MCOA_PROHIBITED if identifiers(update) else 0)

    world = World(three_links(), respond=respond).start().run(5)
    assert [bids(update) for update in updates(world)] == [[1], []]
    assert state(world, 1) is EntryState.REGISTERED
    assert state(world, 2) is state(world, 3) is EntryState.STANDBY


@pytest.mark.req("MCOA-22")
def test_a_home_agent_may_prohibit_bulk_registration() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        several = len(identifiers(update)) > 1
        return answer(update, packet, Status.MCOA_BULK_REGISTRATION_PROHIBITED if several else 0)

    world = World(three_links(), respond=respond).start().run(5)
    world.updates.clear()
    world.run(600)
    assert [bids(update) for update in updates(world)] == [[1, 2, 3], [1], [2], [3]]
    assert all(entry.state is EntryState.REGISTERED for entry in world.mn.registration.entries.values())
    assert world.mn.carrier is not None
    # After a restart it knows, and does not replace everything by the first single update
    world.updates.clear()
    world.restart_agent()
    world.run(1)
    assert not any(update.flags & BindingUpdateFlag.OVERWRITE for update in updates(world))


@pytest.mark.req("MCOA-24")
def test_an_unknown_binding_is_registered_again_with_its_care_of_address() -> None:
    world = one_link(always(0)).start().run(5)
    world.respond = once(Status.MCOA_UNKNOWN_COA)
    world.updates.clear()
    world.run(500)
    refresh, again = updates(world)
    assert again.sequence > refresh.sequence
    assert identifiers(again)[0].care_of is not None
    assert state(world) is EntryState.REGISTERED


@pytest.mark.req("MCOA-24")
@pytest.mark.parametrize("status", [Status.MCOA_UNKNOWN_COA, Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE])
def test_deregistering_what_the_home_agent_does_not_have_is_done(status: Status) -> None:
    world = World(three_links(), respond=always(0)).start().run(5)
    world.respond = always(status)
    world.carrier("ethernet", on=False)
    world.run(30)
    assert set(world.mn.registration.entries) == {2, 3}, "and the others are not forgotten with it"
    assert world.mn.carrier is not None


def test_a_refused_deregistration_is_repeated() -> None:
    world = World(three_links(), respond=always(0)).start().run(5)
    world.respond = once(Status.UNSPECIFIED)
    world.updates.clear()
    world.carrier("ethernet", on=False)
    world.run(3)
    assert [bids(update) for update in updates(world)] == [[1], [1]]
    assert set(world.mn.registration.entries) == {2, 3}


@pytest.mark.req("MCOA-25")
def test_a_malformed_option_is_our_own_fault_and_not_repeated() -> None:
    world = one_link(always(Status.MCOA_MALFORMED)).start().run(100_000)
    assert len(updates(world)) == 1
    assert state(world) is EntryState.REFUSED


@pytest.mark.req("MCOA-06", "MCOA-19")
def test_each_binding_has_its_own_status() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        return answer(update, packet, Status.MCOA_NOTCOMPLETE, statuses={2: Status.INSUFFICIENT_RESOURCES})

    world = World(three_links(), respond=respond).start().run(5)
    assert [state(world, bid) for bid in (1, 2, 3)] == [
        EntryState.REGISTERED,
        EntryState.REFUSED,
        EntryState.REGISTERED,
    ]


@pytest.mark.req("MCOA-20", "MCOA-28")
def test_a_home_agent_without_identifiers_gets_one_care_of_address_at_once() -> None:
    world = World(three_links(), respond=lambda update, packet: answer(update, packet, with_identifiers=False))
    world.start().run(1)
    first, *rest = updates(world)
    assert bids(first) == [1]
    assert rest == [], "what it took was the binding that we want"
    assert [state(world, bid) for bid in (1, 2, 3)] == [
        EntryState.REGISTERED,
        EntryState.STANDBY,
        EntryState.STANDBY,
    ]
    # A lost link: the next one takes over by an update without identifier, and packets go that way at once
    world.updates.clear()
    world.carrier("ethernet", on=False)
    assert world.upward() == world.links["wifi"].address
    world.run(1)
    assert [(update.lifetime > 0, bids(update)) for update in updates(world)] == [(True, [])]
    assert state(world, 2) is EntryState.REGISTERED
    world.carrier("ethernet", on=True)
    world.run(1)
    assert world.upward() == world.links["ethernet"].address
    assert not any(bids(update) or update.lifetime == 0 for update in updates(world))


@pytest.mark.req("MCOA-20")
def test_such_a_home_agent_is_told_again_when_a_deregistration_reveals_it() -> None:
    """It deletes everything on an update that was to delete one binding."""
    world = World(three_links(), respond=always(0)).start().run(5)
    world.respond = lambda update, packet: answer(update, packet, with_identifiers=False)
    world.updates.clear()
    world.carrier("ethernet", on=False)
    world.run(1)
    assert [(update.lifetime, bids(update)) for update in updates(world)] == [(0, [1]), (150, [])]
    assert world.upward() == world.links["wifi"].address


@pytest.mark.req("MCOA-20")
def test_a_refusal_without_identifiers_also_ends_the_use_of_several() -> None:
    world = World(three_links(), respond=lambda update, packet: answer(update, packet, 128, with_identifiers=False))
    world.start().run(1)
    assert not world.mn.registration.multiple
    assert state(world, 1) is EntryState.REFUSED


def test_an_answer_without_one_of_the_identifiers_does_not_count_for_it() -> None:
    world = World(three_links(), respond=always(0)).start().run(5)

    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        first = replace(
            update, options=tuple(option for option in update.options if option not in identifiers(update)[1:])
        )
        return answer(first, packet)

    world.respond = respond
    world.run(500)
    assert state(world, 1) is EntryState.REGISTERED
    assert state(world, 2) is EntryState.REFUSED


@pytest.mark.req("REG-15")
def test_only_authentic_answers_to_outstanding_updates_count() -> None:
    forged: list[Callable[[BindingUpdate, Packet], Packet]] = [
        lambda update, packet: answer(update, packet, key=bytes(16)),
        lambda update, packet: answer(update, packet, sequence=update.sequence + 1),
        lambda update, packet: answer(update, packet, timestamp=5),
        lambda update, packet: replace(answer(update, packet), source=AGENT + 1),
        lambda update, packet: replace(answer(update, packet), home_address=HOME + 1),
        lambda update, packet: replace(answer(update, packet), data=answer(update, packet).data[:-8]),
        lambda update, packet: Packet(AGENT, packet.source, HOME, encode(update)),
    ]
    for forge in forged:
        world = one_link(forge).start().run(1)
        assert state(world) is EntryState.REGISTERING
        assert sum(world.mn.ignored.values()) == 1


@pytest.mark.req("REG-16")
def test_a_forged_sequence_correction_is_ignored() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        return answer(update, packet, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, key=bytes(16), sequence=9)

    world = one_link(respond).start().run(1.2)
    assert world.mn.registration.sequence == 42


@pytest.mark.req("REG-16")
def test_a_home_agent_that_only_ever_corrects_us_is_not_asked_faster_than_usual() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        return answer(update, packet, Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, sequence=update.sequence)

    world = one_link(respond).start().run(60)
    assert len(updates(world)) < 12


@pytest.mark.req("AUTH-05")
def test_an_unproven_complaint_about_our_key_is_told_but_changes_nothing() -> None:
    world = (
        one_link(lambda update, packet: answer(update, packet, Status.MIPV6_AUTH_FAIL, key=bytes(16))).start().run(20)
    )
    assert world.mn.registration.refusal is None
    assert len(updates(world)) > 1
    assert "message ignored: home agent refuses our key" in world.notices


def test_a_late_answer_still_counts() -> None:
    world = one_link(always(0))
    world.links["ethernet"].delay_s = 2.0
    world.start().run(4.2)
    assert state(world) is EntryState.REGISTERED
    assert len(updates(world)) == 2


def test_a_lifetime_of_nothing_is_no_binding() -> None:
    world = one_link(lambda update, packet: answer(update, packet, lifetime=0)).start().run(5)
    assert state(world) is EntryState.REFUSED


def test_a_very_late_answer_to_a_refused_update_may_still_accept() -> None:
    """The first update is answered after the second was refused."""
    late: list[Packet] = []

    def respond(update: BindingUpdate, packet: Packet) -> Packet | None:
        if not late:
            late.append(answer(update, packet))
            return None
        return answer(update, packet, Status.UNSPECIFIED)

    world = one_link(respond).start().run(3)
    assert state(world) is EntryState.REFUSED
    world.mobile_node(events.PacketReceived(late[0]))
    assert state(world) is EntryState.REFUSED, "a newer answer has come: the old one is no longer outstanding"


@pytest.mark.req("MCOA-29", "RR-18", "MCOA-67")
def test_the_home_agent_asks_for_a_refresh_and_gets_it() -> None:
    world = World(three_links()).start().run(5)
    world.updates.clear()
    request = Packet(AGENT, world.links["wifi"].address, HOME, encode(BindingRefreshRequest((BindingIdentifier(2),))))
    world._answer(request)
    world.run(1)
    (refresh,) = updates(world)
    assert 2 in bids(refresh)


@pytest.mark.req("MCOA-29")
def test_a_refresh_request_from_anybody_else_is_ignored() -> None:
    world = World(three_links()).start().run(5)
    world.updates.clear()
    request = Packet(AGENT + 1, world.links["wifi"].address, HOME, encode(BindingRefreshRequest(())))
    world._answer(request)
    world.run(1)
    assert updates(world) == []


@pytest.mark.req("AUTH-07")
@pytest.mark.parametrize("ahead_s", [-86400.0, -8.0, 8.0, 3600.0])
def test_a_wrong_clock_is_put_right_by_the_home_agent(ahead_s: float) -> None:
    world = World(three_links(), home_agent_clock_s=ahead_s).start().run(3)
    assert world.flows()
    assert world.ha.dropped == {"refused: MIPV6_ID_MISMATCH": 1}
    world.run(2000)
    assert world.flows()
    assert world.ha.dropped == {"refused: MIPV6_ID_MISMATCH": 1}


@pytest.mark.req("AUTH-07")
def test_a_clock_within_the_window_is_good_enough() -> None:
    world = World(three_links(), home_agent_clock_s=6.0).start().run(3)
    assert world.flows()
    assert world.ha.dropped == {}


@pytest.mark.req("REG-21")
def test_status_1_is_a_registration() -> None:
    world = one_link(always(Status.ACCEPTED_PREFIX_DISCOVERY_NECESSARY)).start().run(5)
    assert state(world) is EntryState.REGISTERED
