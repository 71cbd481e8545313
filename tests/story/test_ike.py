"""One care-of address for IKEv2: K-bit Binding Updates when it changes, and what the answer means.

RFC 5648 section 9.1, RFC 6275 sections 10.3.1 and 11.7.3.
"""

from collections.abc import Callable

import pytest

from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag
from mn_agent.core import commands
from mn_agent.core.events import StopRequested, Subject
from tests.story.test_refusals import answer
from tests.story.test_registration import bids
from tests.story.world import World, make_link, three_links

K = BindingUpdateFlag.KEY_MANAGEMENT_MOBILITY


def agreeing(flags: BindingAcknowledgementFlag) -> Callable[[BindingUpdate, Packet], Packet]:
    """A home agent that says yes to everything, with these flags where K was asked for."""

    def respond(update: BindingUpdate, packet: Packet) -> Packet:
        return answer(update, packet, flags=flags if update.flags & K else BindingAcknowledgementFlag(0))

    return respond


MOVES = agreeing(BindingAcknowledgementFlag.KEY_MANAGEMENT_MOBILITY)
CANNOT = agreeing(BindingAcknowledgementFlag(0))


def start(respond: Callable[[BindingUpdate, Packet], Packet] | None, **changes: object) -> World:
    return World(three_links(), respond=respond, key_mobility=True, **changes).start().run(5)  # type: ignore[arg-type]


def asked(world: World) -> list[list[int]]:
    """The bindings of the updates with the K bit."""
    return [bids(update) for _, update in world.sent_updates() if update.flags & K]


@pytest.mark.req("MCOA-31", "REG-05", "SEC-27")
def test_the_update_for_the_care_of_address_of_ikev2_and_no_other_has_the_k_bit() -> None:
    world = start(MOVES)
    assert asked(world) == [[1]]
    assert world.ike == [commands.MoveIke(world.links["ethernet"].address)]


@pytest.mark.req("MCOA-31", "REG-26", "SEC-19")
@pytest.mark.parametrize(("respond", "command"), [(MOVES, commands.MoveIke), (CANNOT, commands.EstablishIke)])
def test_when_its_link_is_lost_another_is_chosen_and_the_home_agent_asked_to_move(
    respond: Callable[[BindingUpdate, Packet], Packet], command: type[commands.MoveIke | commands.EstablishIke]
) -> None:
    world = start(respond)
    world.updates.clear()
    world.ike.clear()
    world.carrier("ethernet", on=False)
    world.run(3)
    assert asked(world) == [[2]]
    assert world.ike == [command(world.links["wifi"].address)]
    why = "it was the steadiest link when one was needed, and is kept as long as it works"
    assert f"wlan0 has the care-of address for IKEv2: {why}" in world.notices
    world.carrier("ethernet", on=True)
    world.run(60)
    assert asked(world) == [[2]], "it is kept"


@pytest.mark.req("MCOA-31")
def test_people_may_move_it_without_moving_traffic() -> None:
    world = start(MOVES)
    world.updates.clear()
    world.ike.clear()
    upward = world.upward()
    world.switch("lte", subject=Subject.IKE)
    world.run(3)
    assert asked(world) == [[3]]
    assert world.ike == [commands.MoveIke(world.links["lte"].address)]
    assert world.upward() == upward


@pytest.mark.req("REG-05")
def test_without_an_ike_sa_that_can_move_there_is_no_k_bit() -> None:
    world = World(three_links(), respond=MOVES).start().run(5)
    world.switch("lte", subject=Subject.IKE)
    world.carrier("ethernet", on=False)
    world.run(5)
    assert asked(world) == []
    assert world.ike == []


@pytest.mark.req("REG-26")
def test_an_update_that_was_lost_is_asked_again() -> None:
    world = start(MOVES)
    world.updates.clear()
    world.ike.clear()
    world.links["lte"].blackhole = True
    world.switch("lte", subject=Subject.IKE)
    world.run(2)
    assert world.ike == []
    world.links["lte"].blackhole = False
    world.run(5)
    assert world.ike == [commands.MoveIke(world.links["lte"].address)]
    assert len(asked(world)) >= 2


def test_a_new_address_on_the_same_link_is_a_new_end_point() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}, respond=MOVES, key_mobility=True).start().run(5)
    world.ike.clear()
    moved = make_link(9, "eth0", "ethernet").interface
    world.change("ethernet", addresses=moved.addresses)
    world.run(5)
    assert world.ike == [commands.MoveIke(moved.addresses[0].address)]


def test_leaving_asks_for_nothing() -> None:
    world = start(MOVES)
    world.updates.clear()
    world.mobile_node(StopRequested())
    world.run(1)
    assert asked(world) == []


def test_with_our_home_agent_the_ike_sa_is_established_anew() -> None:
    """It cannot move one without strongSwan: it says so, and everything else goes on."""
    world = start(None)
    assert world.ike == [commands.EstablishIke(world.links["ethernet"].address)]
    assert set(world.bindings()) == {1, 2, 3}
