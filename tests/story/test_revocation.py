"""The operator ends bindings, and the mobile node goes along (RFC 5846)."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from home_agent.core.events import PacketReceived, RevocationRequested
from home_agent.core.revocation import Revoked, spell
from mip6 import auth
from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet
from mip6.wire.messages import (
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    encode,
)
from mip6.wire.options import BindingIdentifier, Ipv4HomeAddress, MessageReplayProtection, Option
from mip6.wire.registry import RevocationFlag, RevocationStatus, RevocationTrigger
from mn_agent.core import events
from mn_agent.core.answers import DO_NOT_SEND_S, REFUSAL_RETRY_S
from mn_agent.core.bindings import EntryState
from tests.story import test_ipsec
from tests.story.world import AGENT, EPOCH_S, HOME, KEY, SPI, Sent, World, three_links

ADMINISTRATIVE = RevocationTrigger.ADMINISTRATIVE_REASON
OUT_OF_SYNC = RevocationTrigger.POSSIBLE_OUT_OF_SYNC_BCE_STATE

Start = Callable[[], World]


def signed() -> World:
    return World(three_links()).start().run(5)


both_modes = pytest.mark.parametrize("start", [signed, test_ipsec.start])


def revoke(world: World, *bids: int, trigger: RevocationTrigger = ADMINISTRATIVE) -> None:
    world.home_agent_hears(RevocationRequested(HOME, frozenset(bids), trigger))


def indications(world: World) -> list[Sent]:
    return [sent for sent in world.answers if isinstance(sent.message, BindingRevocationIndication)]


def acknowledgements(world: World) -> list[BindingRevocationAcknowledgement]:
    return [sent.message for sent in world.updates if isinstance(sent.message, BindingRevocationAcknowledgement)]


def states(world: World) -> dict[int, EntryState]:
    return {bid: entry.state for bid, entry in world.mn.registration.entries.items()}


def updates_since(world: World, moment: float) -> list[Sent]:
    return [sent for sent in world.updates if sent.at >= moment and isinstance(sent.message, BindingUpdate)]


@both_modes
@pytest.mark.req("BRI-04", "BRI-05", "MH-13", "MCOA-72")
def test_a_revoked_care_of_address_is_left_at_once_and_alone_for_a_while(start: Start) -> None:
    world = start()
    at = world.now
    stream = world.stream(2, down=False)
    revoke(world, 1)
    world.run(3)
    (told,) = indications(world)
    assert isinstance(told.message, BindingRevocationIndication)
    assert [one for one in told.message.options if isinstance(one, BindingIdentifier)] == [BindingIdentifier(1)]
    assert (told.packet.source, told.packet.home_address) == (AGENT, HOME)
    assert told.packet.destination != world.links["ethernet"].address, "over a care-of address that stays"
    (answer,) = acknowledgements(world)
    assert (answer.status, answer.sequence) == (RevocationStatus.SUCCESS, told.message.sequence)
    assert set(world.bindings()) == {2, 3}
    assert states(world) == {1: EntryState.REFUSED, 2: EntryState.REGISTERED, 3: EntryState.REGISTERED}
    assert stream.lost[0] == 0
    assert world.upward() == world.downward() == world.bindings()[2]
    world.run(REFUSAL_RETRY_S - 5)
    assert set(world.bindings()) == {2, 3}
    world.run(10)
    assert set(world.bindings()) == {1, 2, 3}
    assert len(updates_since(world, at)) < 10


@both_modes
@pytest.mark.req("BRI-05")
def test_without_names_all_bindings_end_and_the_home_agent_is_left_alone(start: Start) -> None:
    world = start()
    revoke(world)
    world.run(1)
    assert world.bindings() == {}
    assert world.mn.decision.default is None
    at = world.now
    world.run(DO_NOT_SEND_S - 5)
    assert updates_since(world, at) == []
    world.run(10)
    assert set(world.bindings()) == {1, 2, 3}


@both_modes
@pytest.mark.parametrize("bids", [(), (1,), (2, 3)])
@pytest.mark.req("BRI-02", "BRI-05")
def test_what_may_be_out_of_step_is_registered_anew_at_once(start: Start, bids: tuple[int, ...]) -> None:
    world = start()
    before = world.ha.cache[HOME].bindings
    revoke(world, *bids, trigger=OUT_OF_SYNC)
    world.run(2)
    after = world.ha.cache[HOME].bindings
    assert after.keys() == before.keys()
    renewed = {bid for bid, binding in after.items() if binding.registered_at != before[bid].registered_at}
    assert renewed == set(bids or (1, 2, 3))
    assert set(states(world).values()) == {EntryState.REGISTERED}


@both_modes
@pytest.mark.req("BRI-06")
def test_a_mobile_node_that_does_not_answer_is_told_twice_over_different_links(start: Start) -> None:
    world = start()
    for link in world.links.values():
        link.blackhole = True
    at = world.now
    revoke(world)
    world.run(2.9)
    assert [sent.at - at for sent in indications(world)] == pytest.approx([0, 1])
    assert len({sent.packet.destination for sent in indications(world)}) == 2
    assert set(world.bindings()) == {1, 2, 3}
    world.run(0.2)
    assert world.bindings() == {}
    assert world.ha.revoked[HOME].status is None


@both_modes
@pytest.mark.req("BRI-05", "BRI-06")
def test_told_again_it_says_the_same_again(start: Start) -> None:
    world = start()
    lost = world.links["ethernet"]
    revoke(world, 2)
    world.run(0.015)  # the answer is on its way
    first = acknowledgements(world)
    lost.blackhole = True
    world.ha = replace(world.ha, revocations={HOME: replace(world.ha.revocations[HOME], due_at=world.now)})
    lost.blackhole = False
    world.run(1)
    assert len(first) == 1
    assert [one.status for one in acknowledgements(world)] == [0, 0]
    assert set(world.bindings()) == {1, 3}


@pytest.mark.parametrize("loss", [0.3])
@pytest.mark.parametrize("seed", range(10))
def test_over_bad_links_both_agree_in_the_end(loss: float, seed: int) -> None:
    world = World(three_links(), seed=seed).start().run(5)
    for link in world.links.values():
        link.loss, link.duplicate, link.jitter_s = loss, loss, 0.3
    revoke(world, 2, 3)
    world.run(8)
    for link in world.links.values():
        link.loss = 0.0
    world.run(REFUSAL_RETRY_S + 900)
    assert set(world.bindings()) == {1, 2, 3}
    assert set(states(world).values()) == {EntryState.REGISTERED}


def test_an_update_that_the_answer_overtakes_counts() -> None:
    """The home agent cannot know that it was sent before; so what matters is that both think the same."""
    world = signed()
    world.links["wifi"].delay_s = 0.5
    (old,) = world.links["wifi"].interface.addresses
    world.change("wifi", addresses=(replace(old, address=old.address + 1),))
    world.run(0.1)
    revoke(world, 2)
    world.run(0.1)
    assert set(world.bindings()) == {1, 3}
    assert states(world)[2] is EntryState.REFUSED
    world.run(2)
    assert world.bindings()[2] == old.address + 1
    assert states(world)[2] is EntryState.REGISTERED


def test_a_link_that_went_is_forgotten() -> None:
    world = signed()
    world.links["ethernet"].delay_s = world.links["lte"].delay_s = 0.2
    world.carrier("wifi", on=False)
    revoke(world, 2)
    world.run(0.3)
    assert 2 not in states(world)
    world.run(2)
    assert set(world.bindings()) == {1, 3}


def test_what_ends_by_itself_meanwhile_needs_no_answer() -> None:
    world = signed()
    for link in world.links.values():
        link.blackhole = True
    revoke(world, 2)
    world.ha = replace(world.ha, cache={})
    world.home_agent_hears(RevocationRequested(HOME, frozenset((1,)), ADMINISTRATIVE))
    assert world.ha.revoked[HOME].status == RevocationStatus.SUCCESS
    assert world.ha.revocations == {}


@pytest.mark.parametrize(
    ("revoked", "text"),
    [
        (Revoked(frozenset((3, 2)), 0), "binding 2, 3 ended, the mobile node says: success (0)"),
        (Revoked(frozenset(), 99), "all bindings ended, the mobile node says: unknown status (99)"),
        (Revoked(frozenset((2,)), None), "binding 2 ended, the mobile node did not answer"),
    ],
)
def test_the_operator_hears_how_it_ended(revoked: Revoked, text: str) -> None:
    assert spell(revoked) == text


# by hand


def indicate(
    world: World,
    *options: Option,
    flags: RevocationFlag = RevocationFlag(0),  # noqa: B008 (a constant)
    trigger: int = ADMINISTRATIVE,
    sequence: int = 9,
    key: bytes = KEY,
    late_s: float = 0.0,
    home_address: IPv6Address | None = HOME,
) -> RevocationStatus | None:
    """The status in the answer."""
    care_of = world.links["ethernet"].address
    stamp = MessageReplayProtection(auth.ntp_timestamp(int((world.now + EPOCH_S - late_s) * 1e9)))
    message = BindingRevocationIndication(trigger, sequence, flags, (*options, stamp))
    data = auth.sign(message, key, SPI, care_of, HOME)
    before = len(acknowledgements(world))
    packet = Packet(AGENT, care_of, home_address, with_checksum(data, AGENT, home_address or care_of))
    world.mobile_node(events.PacketReceived(packet))
    answers = acknowledgements(world)[before:]
    assert len(answers) < 2
    assert all(one.flags == flags and one.sequence == sequence for one in answers)
    return RevocationStatus(answers[0].status) if answers else None


@pytest.mark.parametrize(
    ("status", "options", "flags", "trigger"),
    [
        (RevocationStatus.SUCCESS, (BindingIdentifier(1), BindingIdentifier(2)), 0, ADMINISTRATIVE),
        (RevocationStatus.PARTIAL_SUCCESS, (BindingIdentifier(1), BindingIdentifier(7)), 0, ADMINISTRATIVE),
        (RevocationStatus.BINDING_DOES_NOT_EXIST, (BindingIdentifier(7),), 0, ADMINISTRATIVE),
        (RevocationStatus.PROXY_BINDING_REVOCATION_NOT_SUPPORTED, (), RevocationFlag.PROXY_BINDING, ADMINISTRATIVE),
        (RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED, (), RevocationFlag.GLOBAL, ADMINISTRATIVE),
        (RevocationStatus.GLOBAL_REVOCATION_NOT_AUTHORIZED, (), 0, RevocationTrigger.PER_PEER_POLICY),
        (
            RevocationStatus.IPV4_HOME_ADDRESS_OPTION_REQUIRED,
            (),
            RevocationFlag.IPV4_HOME_ADDRESS_BINDING_ONLY,
            ADMINISTRATIVE,
        ),
        (
            RevocationStatus.BINDING_DOES_NOT_EXIST,
            (Ipv4HomeAddress(32, prefix=False, home_address=IPv4Address("192.0.2.1")),),
            RevocationFlag.IPV4_HOME_ADDRESS_BINDING_ONLY,
            ADMINISTRATIVE,
        ),
    ],
)
@pytest.mark.req("BRI-03", "BRI-05")
def test_every_answer(status: RevocationStatus, options: tuple[Option, ...], flags: int, trigger: int) -> None:
    world = signed()
    before = states(world)
    assert indicate(world, *options, flags=RevocationFlag(flags), trigger=trigger) is status
    assert (states(world) == before) is (status >= RevocationStatus.BINDING_DOES_NOT_EXIST)


@pytest.mark.req("BRI-07", "BRI-05")
def test_what_is_not_authentic_changes_nothing_and_gets_no_answer() -> None:
    world = signed()
    before = states(world)
    assert indicate(world, key=bytes(16)) is None
    assert indicate(world, late_s=60) is None
    assert indicate(world, home_address=None) is None
    assert states(world) == before
    assert indicate(world, BindingIdentifier(7)) is RevocationStatus.BINDING_DOES_NOT_EXIST
    assert indicate(world, BindingIdentifier(7)) is None, "played back"
    assert sum(world.mn.ignored.values()) == 4


@pytest.mark.req("BRI-05")
def test_without_bindings_there_is_no_answer() -> None:
    world = World(three_links())
    assert indicate(world) is None
    world.start()
    assert indicate(world) is RevocationStatus.SUCCESS, "the home agent may have taken what was sent"


@both_modes
@pytest.mark.req("BRI-07")
def test_a_forged_answer_ends_nothing(start: Start) -> None:
    world = start()
    for link in world.links.values():
        link.blackhole = True
    revoke(world, 1)
    sequence = world.ha.revocations[HOME].sequence
    care_of = world.bindings()[1]

    def answer(sequence: int, *options: Option, home_address: IPv6Address = HOME) -> None:
        message = BindingRevocationAcknowledgement(0, sequence, RevocationFlag(0), options)
        data = with_checksum(encode(message), home_address, AGENT)
        world.home_agent_hears(PacketReceived(Packet(care_of, AGENT, home_address, data)))

    answer(sequence)
    answer(sequence, MessageReplayProtection(world.ha.revocations[HOME].timestamp))
    answer((sequence + 1) % 0x10000)
    answer(sequence, home_address=HOME + 77)
    assert set(world.bindings()) == {1, 2, 3}
    assert world.ha.dropped == {"unexpected answer to a revocation": 4}
