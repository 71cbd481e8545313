"""The mobile node registers, refreshes, moves and leaves: what is on the wire, and when."""

import hmac
from dataclasses import replace
from itertools import pairwise

import pytest

from mip6.wire.messages import BindingUpdate
from mip6.wire.options import AlternateCareOfAddress, BindingIdentifier, MessageAuthentication
from mip6.wire.registry import BindingUpdateFlag, Status
from mn_agent.core import events
from tests.story.world import AGENT, HOME, KEY, World, acknowledgements, make_link, mobile_node_settings, three_links

O = BindingUpdateFlag.OVERWRITE  # noqa: E741 (the RFC's name)
A_AND_H = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION


def identifiers(update: BindingUpdate) -> list[BindingIdentifier]:
    return [option for option in update.options if isinstance(option, BindingIdentifier)]


def bids(update: BindingUpdate) -> list[int]:
    return [option.bid for option in identifiers(update)]


def moments(world: World) -> list[float]:
    """When updates were sent, from the first one on."""
    first = world.updates[0].at
    return [round(at - first, 6) for at, _ in world.sent_updates()]


def acknowledgement_arrives(world: World, number: int) -> float:
    """When the mobile node has the answer."""
    sent = world.answers[number]
    (link,) = [link for link in world.links.values() if link.address == sent.packet.destination]
    return sent.at + link.delay_s


def silent(name: str = "ethernet") -> World:
    """One link, and a home agent that is not there."""
    link = make_link(1, "eth0", "ethernet")
    link.blackhole = True
    return World({name: link})


@pytest.mark.req(
    "REG-01", "REG-02", "REG-05", "FMT-08", "MCOA-08", "MCOA-11", "MCOA-12", "MCOA-14", "MCOA-36", "AUTH-06"
)
def test_each_care_of_address_first_registers_alone_and_from_its_own_link() -> None:
    world = World(three_links()).start().run(5)
    sources = [sent.packet.source for sent in world.updates]
    assert sources == [link.address for link in world.links.values()]
    updates = [update for _, update in world.sent_updates()]
    for sent, update in zip(world.updates, updates, strict=True):
        assert (sent.packet.destination, sent.packet.home_address) == (AGENT, HOME)
        (option,) = identifiers(update)
        assert option.care_of == sent.packet.source
        assert not any(isinstance(other, AlternateCareOfAddress) for other in update.options)
    # The home agent's state is unknown to a node that starts: the first update replaces it, the others add
    assert [update.flags for update in updates] == [A_AND_H | O, A_AND_H, A_AND_H]
    assert world.bindings() == dict(enumerate(sources, 1))


@pytest.mark.req("REG-08", "REG-09", "REG-11", "REG-14", "BUL-02")
def test_the_first_registration_backs_off_from_one_and_a_half_seconds() -> None:
    world = silent().start().run(200)
    assert moments(world) == [0, 1.5, 4.5, 10.5, 22.5, 46.5, 78.5, 110.5, 142.5, 174.5]
    sequences = [update.sequence for _, update in world.sent_updates()]
    assert sequences == list(range(42, 52))


@pytest.mark.req("REG-08", "REG-09", "REG-10")
def test_a_refresh_backs_off_from_one_second_and_goes_on_for_ever() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}).start().run(1)
    world.updates.clear()
    world.links["ethernet"].blackhole = True
    world.run(600)
    # The binding lapses 600 s after it was made: from then on it is a first registration again
    refreshing = [moment for moment in moments(world) if moment < 119]
    assert refreshing == [0, 1, 3, 7, 15, 31, 63, 95]


@pytest.mark.req("REG-28", "BUL-08")
def test_a_binding_that_lapsed_is_registered_as_a_new_one() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}).start().run(1)
    world.links["ethernet"].blackhole = True
    world.run(600)
    assert world.mn.registration.entries[1].binding is None
    assert world.mn.carrier is None
    world.updates.clear()
    world.run(200)
    gaps = [later - earlier for earlier, later in pairwise(moments(world))]
    assert gaps[0] in (3.0, 6.0, 12.0, 24.0, 32.0), "the back-off of a first registration, in whichever step it is"


@pytest.mark.req("REG-19", "MCOA-04", "MCOA-16")
def test_all_bindings_are_refreshed_together_well_before_the_first_expires() -> None:
    world = World(three_links()).start().run(5)
    first = world.mn.registration.entries[1].binding
    assert first is not None
    world.updates.clear()
    world.run(600)
    at, refresh = next(world.sent_updates())
    assert at < first.expires_at - 60
    assert bids(refresh) == [1, 2, 3]
    assert [option.care_of for option in identifiers(refresh)] == [link.address for link in world.links.values()]
    assert not refresh.flags & O
    assert len(world.updates) == 1, "one update for all"
    assert world.flows()


@pytest.mark.req("REG-06", "REG-07")
def test_no_binding_outlives_its_care_of_address() -> None:
    link = make_link(1, "eth0", "ethernet")
    world = World({"ethernet": link})
    (address,) = link.interface.addresses
    link.interface = replace(link.interface, addresses=(replace(address, valid_until_at=world.now + 101.5),))
    world.start().run(1)
    _, update = next(world.sent_updates())
    assert update.lifetime == 25, "101.5 s are 25 whole units of 4 s"


@pytest.mark.req("REG-13", "MCOA-35")
def test_never_more_than_three_updates_in_a_second_however_much_changes() -> None:
    world = World(three_links()).start().run(10)
    world.updates.clear()
    for flap in range(10):
        world.at(world.now + flap * 0.01, lambda flap=flap: world.carrier("ethernet", on=bool(flap % 2)))  # type: ignore[misc]
        world.at(world.now + flap * 0.01, lambda flap=flap: world.carrier("wifi", on=bool((flap + 1) % 2)))  # type: ignore[misc]
    world.run(30)
    times = moments(world)
    assert len(times) > 3
    for start in times:
        assert len([moment for moment in times if start <= moment < start + 1.0]) <= 3
    assert world.flows()


@pytest.mark.req("REG-12")
def test_each_care_of_address_backs_off_by_itself() -> None:
    links = three_links()
    links["ethernet"].blackhole = True
    world = World(links).start().run(60)
    tries = {
        name: [at for at, update in world.sent_updates() if bids(update) == [bid]] for bid, name in enumerate(links, 1)
    }
    assert len(tries["ethernet"]) == 6, "it goes on trying by itself"
    assert (len(tries["wifi"]), len(tries["lte"])) == (1, 1), "the others do not wait for it"
    assert tries["lte"][0] - tries["ethernet"][0] < 3.5
    assert set(world.bindings()) == {2, 3}
    assert world.flows()


@pytest.mark.req("REG-14", "REG-16", "HA-01")
def test_sequence_numbers_wrap() -> None:
    world = World(three_links())
    world.mn = replace(world.mn, registration=replace(world.mn.registration, sequence=65534))
    world.start().run(3)
    assert [update.sequence for _, update in world.sent_updates()] == [65535, 0, 1]
    assert set(world.bindings()) == {1, 2, 3}


@pytest.mark.req("REG-16", "REG-32", "HA-02")
def test_the_home_agent_tells_the_sequence_number_to_go_on_from() -> None:
    world = World(three_links()).start().run(5)
    world.updates.clear()
    world.answers.clear()
    world.restart_agent(remembers=False, sequence=20)
    world.run(3)
    assert acknowledgements(world)[0].status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
    assert acknowledgements(world)[0].sequence == 44
    times, updates = zip(*world.sent_updates(), strict=True)
    assert [update.sequence for update in updates][:2] == [21, 45]
    assert times[1] == acknowledgement_arrives(world, 0)
    assert world.flows()


@pytest.mark.req("MCOA-18", "MCOA-17", "BUL-04", "MCOA-66")
def test_paths_of_different_delay_never_make_updates_overtake_each_other() -> None:
    links = three_links()
    for link, delay_s in zip(links.values(), (0.3, 0.005, 0.1), strict=True):
        link.delay_s = delay_s
    world = World(links).start().run(10)
    for name in ("wifi", "lte", "ethernet", None, "lte", "wifi"):
        world.switch(name)
        world.run(0.05)
    world.run(20)
    assert [answer.status for answer in acknowledgements(world)].count(Status.SEQUENCE_NUMBER_OUT_OF_WINDOW) == 0
    sequences = [update.sequence for _, update in world.sent_updates()]
    assert sequences == sorted(set(sequences))


@pytest.mark.req("MCOA-27", "MCOA-04")
def test_a_lost_link_is_deregistered_at_once_through_another() -> None:
    world = World(three_links()).start().run(5)
    world.updates.clear()
    lost_at = world.now
    world.carrier("ethernet", on=False)
    sent = world.updates[0]
    assert sent.at == lost_at
    assert sent.packet.source == world.links["wifi"].address
    assert isinstance(sent.message, BindingUpdate)
    assert (sent.message.lifetime, bids(sent.message)) == (0, [1])
    assert world.upward() == world.links["wifi"].address
    world.run(1)
    assert set(world.bindings()) == {2, 3}
    assert world.flows()
    world.carrier("ethernet", on=True)
    world.run(1)
    assert world.bindings()[1] == world.links["ethernet"].address, "under the same identifier as before"
    assert world.upward() == world.downward() == world.links["ethernet"].address


@pytest.mark.req("MCOA-27")
def test_a_deregistration_that_gets_lost_is_repeated_over_another_link() -> None:
    world = World(three_links()).start().run(5)
    world.links["wifi"].blackhole = True
    world.updates.clear()
    world.carrier("ethernet", on=False)
    world.run(3)
    sources = [sent.packet.source for sent in world.updates]
    assert sources[:2] == [world.links["wifi"].address, world.links["lte"].address]
    assert 1 not in world.bindings()


@pytest.mark.req("MCOA-15")
def test_when_every_registered_link_is_gone_the_next_one_replaces_them() -> None:
    links = three_links()
    world = World(links)
    world.links = {"ethernet": links["ethernet"]}
    world.start().run(2)
    world.carrier("ethernet", on=False)
    world.run(2)
    assert world.bindings() == {1: links["ethernet"].address}, "there was no way to tell"
    world.links["wifi"] = links["wifi"]
    world.look()
    world.run(1)
    assert world.bindings() == {2: links["wifi"].address}
    assert world.flows()


@pytest.mark.req("MCOA-04", "REG-30", "REG-31")
def test_a_new_care_of_address_takes_over_while_the_old_one_still_works() -> None:
    world = World(three_links()).start().run(5)
    interface = world.links["ethernet"].interface
    (old,) = interface.addresses
    new = replace(old, address=old.address + 1)
    stream = world.stream(2.0)
    # Deprecated, as after a renumbering: still valid, not to be chosen for anything new
    world.links["ethernet"].interface = replace(interface, addresses=(new, replace(old, deprecated=True)))
    world.look()
    assert world.upward() == new.address, "right behind the update, which says so"
    world.run(3)
    assert world.downward() == world.bindings()[1] == new.address
    assert stream.lost == (0, 0)


def test_a_planned_switch_is_confirmed_by_one_update_and_breaks_nothing() -> None:
    world = World(three_links(delay_s=0.05)).start().run(5)
    stream = world.stream(3.0)
    world.updates.clear()
    world.switch("lte")
    assert world.upward() == world.links["lte"].address, "upwards at once"
    world.run(1)
    assert world.downward() == world.links["lte"].address
    assert len(world.updates) == 1
    world.switch(None)
    world.run(1)
    assert world.upward() == world.downward() == world.links["ethernet"].address
    world.run(3)
    assert stream.lost == (0, 0)


@pytest.mark.req("MCOA-14", "REG-32")
def test_a_killed_agent_goes_on_where_it_was() -> None:
    world = World(three_links()).start().run(5)
    stream = world.stream(5.0)
    world.switch("lte")
    world.run(1)
    world.updates.clear()
    world.restart_agent()
    assert world.upward() == world.links["lte"].address
    world.run(5)
    _, first = next(world.sent_updates())
    assert first.flags & O
    assert bids(first) == [1, 2, 3], "all in one, so that replacing everything changes nothing"
    assert first.sequence == 46
    assert len(world.updates) == 1
    assert stream.lost == (0, 0)


def test_after_a_reboot_only_what_people_decided_is_remembered() -> None:
    world = World(three_links()).start().run(5)
    world.switch("lte")
    world.run(1)
    world.restart_agent(same_boot=False)
    assert world.mn.pins.all == "lte"
    assert world.upward() is None
    world.run(5)
    assert world.upward() == world.links["lte"].address


@pytest.mark.req("MCOA-61", "HOME-10")
def test_a_stopping_agent_deregisters_everything() -> None:
    world = World(three_links()).start().run(5)
    world.updates.clear()
    world.mobile_node(events.StopRequested())
    world.run(1)
    (sent,) = world.updates
    assert isinstance(sent.message, BindingUpdate)
    assert (sent.message.lifetime, bids(sent.message)) == (0, [])
    assert world.bindings() == {}


def test_the_last_link_goes_and_returns() -> None:
    world = World({"ethernet": make_link(1, "eth0", "ethernet")}).start().run(2)
    world.carrier("ethernet", on=False)
    assert world.upward() is None
    world.run(5)
    world.carrier("ethernet", on=True)
    assert world.flows(), "the home agent still has the binding, nothing has to be waited for"


def test_bulk_registration_from_the_start() -> None:
    world = World(three_links(), settings=mobile_node_settings(verify_links=False)).start().run(5)
    (sent,) = world.updates
    assert isinstance(sent.message, BindingUpdate)
    assert bids(sent.message) == [1, 2, 3]
    assert sent.message.flags & O
    assert world.flows()


@pytest.mark.req("AUTH-01", "AUTH-03")
def test_the_authenticator_is_the_last_option() -> None:
    world = World(three_links()).start().run(5)
    for sent in (*world.updates, *world.answers):
        assert isinstance(sent.message.options[-1], MessageAuthentication)


@pytest.mark.req("MCOA-10")
def test_every_binding_of_several_has_an_identifier() -> None:
    world = World(three_links()).start().run(700)
    world.carrier("wifi", on=False)
    world.run(1).switch("lte")
    world.run(5)
    assert all(identifiers(update) for _, update in world.sent_updates())
    assert sorted(world.bindings()) == [1, 3], "and none without, which the home agent would keep under 0"


@pytest.mark.req("AUTH-09")
def test_the_authenticator_covers_the_registered_care_of_address_and_in_bulk_the_source() -> None:
    world = World(three_links()).start().run(700)
    assert {len(bids(update)) for _, update in world.sent_updates()} == {1, 3}
    for sent in world.updates:
        assert isinstance(sent.message, BindingUpdate)
        careof = [option.care_of for option in identifiers(sent.message)]
        covered = careof[0] if len(careof) == 1 else sent.packet.source
        assert covered is not None
        text = covered.packed + HOME.packed + sent.packet.data[:-12]
        assert sent.packet.data[-12:] == hmac.digest(KEY, text, "sha1")[:12]
