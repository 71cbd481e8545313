"""Returning home and leaving again, for good or beside foreign links (RFC 6275 section 11.5.5, RFC 5648 section 5)."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise

import pytest

from home_agent.core.kernel import wanted_kernel as ha_kernel
from mip6.kernel import ANYWHERE, LOOPBACK, Route
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate
from mip6.wire.neighbor import ALL_NODES, NOBODY, NeighborAdvertisement, NeighborSolicitation, solicited_node
from mip6.wire.options import BindingIdentifier, LinkLayerAddress
from mip6.wire.registry import BindingUpdateFlag, Status
from mip6.wire.traffic_selectors import Span
from mn_agent.core import commands
from mn_agent.core.agent import is_finished, step
from mn_agent.core.devices import Device
from mn_agent.core.events import NeighborHeard, StopRequested
from mn_agent.core.homecoming import Phase
from mn_agent.core.kernel import LINK_TABLES, TUNNEL_TABLE, wanted_kernel
from mn_agent.core.policy_file import FlowRule, Policy
from mn_agent.core.settings import ALL_LINKS, HOME_LINK, OTHER_LINKS, ProbingSettings
from tests.story.home_world import HOME_AGENTS, HOME_PREFIX, NIC, OWN, STRANGERS, HomeWorld, home_settings, links
from tests.story.test_refusals import answer
from tests.story.world import AGENT, AT_ONCE, HOME, SELDOM, Stream, home_agent_settings

LINK_LOCAL = IPv6Network("fe80::/64")
AGENT_PREFIX = IPv6Network("2001:db8:a::/64")
ETHERNET, WIFI = IPv6Address("2001:db8:1::64"), IPv6Address("2001:db8:2::64")
FOREIGN = {1: ETHERNET, 2: WIFI}
BESIDE = {**FOREIGN, 3: HOME}
AH = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION


def away(at_home: str, probing: ProbingSettings = SELDOM, **changes: object) -> HomeWorld:
    """Both foreign links are registered."""
    path = {name: changes.pop(name) for name in ("loss", "duplicate", "jitter_s") if name in changes}
    world = HomeWorld(links(**path), settings=home_settings(at_home, probing), **changes)  # type: ignore[arg-type]
    world.start()
    world.run(5)
    assert path or "respond" in changes or world.bindings() == FOREIGN
    return world


def arrive(world: HomeWorld) -> float:
    """Gives when."""
    world.carrier("home", on=True)
    return world.now


def at_home(how: str, **changes: object) -> HomeWorld:
    world = away(how, **changes)  # type: ignore[arg-type]
    arrive(world)
    world.run(5)
    return world


def updates(world: HomeWorld, since: float) -> list[tuple[Packet, BindingUpdate]]:
    found = [(one.packet, one.message) for one in world.updates if one.at >= since]
    return [(packet, message) for packet, message in found if isinstance(message, BindingUpdate)]


def identifiers(message: BindingUpdate) -> dict[int, BindingIdentifier]:
    return {option.bid: option for option in message.options if isinstance(option, BindingIdentifier)}


def addresses(world: HomeWorld) -> set[int]:
    """The interfaces that have the home address."""
    return {one.interface for one in wanted_kernel(world.mn).addresses if one.address == HOME}


def announcements(world: HomeWorld) -> list[NeighborAdvertisement]:
    return [said for _, said in world.said if isinstance(said, NeighborAdvertisement)]


def questions(world: HomeWorld) -> list[NeighborSolicitation]:
    return [said for _, said in world.said if isinstance(said, NeighborSolicitation)]


def nothing_lost(world: HomeWorld, stream: Stream) -> bool:
    world.run(1)
    return stream.lost == (0, 0) and stream.sent_up > 0


# For good


@pytest.mark.req("HOME-01", "HOME-02", "MCOA-40", "SEC-04", "HOME-10")
def test_a_home_prefix_on_the_link_ends_all_bindings_from_the_home_address() -> None:
    world = away(HOME_LINK)
    stream = world.stream(4, 0.005)
    at = arrive(world)
    world.run(5)
    ((packet, message),) = updates(world, at)
    assert (packet.source, packet.destination, packet.home_address) == (HOME, AGENT, None)
    assert (message.flags, message.lifetime, identifiers(message)) == (AH, 0, {})
    assert (world.bindings(), world.mn.homecoming.phase) == ({}, Phase.HOME)
    assert nothing_lost(world, stream)
    assert (world.upward(), world.downward()) == (HOME, HOME)
    assert any("at home on eth9" in notice for notice in world.notices)


@pytest.mark.req("HOME-03", "HOME-06")
def test_the_home_address_is_on_the_home_link_with_that_update_and_not_before() -> None:
    world = away(HOME_LINK)
    seen: list[tuple[bool, set[int], bool]] = []

    def watch() -> None:
        told = any(message.lifetime == 0 for _, message in updates(world, 0))
        seen.append((told, addresses(world), world.mn.homecoming.is_home))

    world.watchers.append(watch)
    world.links["home"].blackhole = True
    arrive(world)
    world.run(0.5)
    assert {LOOPBACK, NIC} in [interfaces for _, interfaces, _ in seen]
    assert all(told for told, interfaces, is_home in seen if NIC in interfaces or is_home)


def test_at_home_no_other_address_is_needed() -> None:
    world = away(HOME_LINK)
    world.links["home"].interface = replace(world.links["home"].interface, addresses=())
    arrive(world)
    world.run(5)
    assert (world.mn.homecoming.phase, world.mn.links[3].problem) == (Phase.HOME, "")
    assert not any("eth9: care-of address" in notice for notice in world.notices)


def test_packets_take_the_home_link_as_they_are() -> None:
    world = at_home(HOME_LINK)
    kernel = wanted_kernel(world.mn)
    routes = {route.destination: route for route in kernel.routes if route.table == TUNNEL_TABLE}
    router = world.links["home"].interface.routers[0]
    assert routes == {
        ANYWHERE: Route(TUNNEL_TABLE, ANYWHERE, NIC, gateway=router, source=HOME),
        HOME_PREFIX: Route(TUNNEL_TABLE, HOME_PREFIX, NIC, source=HOME),
        LINK_LOCAL: Route(TUNNEL_TABLE, LINK_LOCAL, NIC, source=HOME),
    }
    (rule,) = [one for one in kernel.rules if one.ip_protocol == 135]
    assert (rule.table, str(rule.source)) == (LINK_TABLES + 3, f"{HOME}/128")


@pytest.mark.req("HOME-07")
def test_then_everybody_there_is_told_three_times() -> None:
    world = away(HOME_LINK)
    at = arrive(world)
    world.run(10)
    assert announcements(world) == 3 * [
        NeighborAdvertisement(HOME, ALL_NODES, HOME, OWN, router=False, solicited=False, override=True)
    ]
    acknowledged_at = next(one.at for one in world.answers if one.at > at)
    times = [when for when, said in world.said if isinstance(said, NeighborAdvertisement)]
    assert times[0] > acknowledged_at
    assert [round(later - earlier, 3) for earlier, later in pairwise(times)] == [1, 1]


@pytest.mark.req("HOME-04")
def test_a_home_agent_on_the_home_link_is_found_by_asking_for_our_own_address() -> None:
    world = away(HOME_LINK)
    arrive(world)
    assert questions(world) == [], "it is behind the router"
    world = away(HOME_LINK)
    here = world.links["home"].interface
    world.links["home"].interface = replace(here, prefixes=(HOME_PREFIX, AGENT_PREFIX))
    world.links["home"].delay_s = 0.1
    arrive(world)
    assert questions(world) == [NeighborSolicitation(NOBODY, solicited_node(HOME), HOME)]
    found = NeighborHeard(told_by(HOME_AGENTS))
    assert commands.KnowNeighbour(NIC, AGENT, HOME_AGENTS) in step(world.mn, found, world.now)[1]
    of_others = NeighborHeard(replace(told_by(HOME_AGENTS), target=HOME + 1))
    assert not any(isinstance(one, commands.KnowNeighbour) for one in step(world.mn, of_others, world.now)[1])
    world.run(5)
    assert world.mn.homecoming.phase is Phase.HOME
    assert not any(isinstance(one, commands.KnowNeighbour) for one in step(world.mn, found, world.now)[1])


def told_by(hardware_address: bytes) -> NeighborAdvertisement:
    """That it has the home address."""
    return NeighborAdvertisement(
        IPv6Address("fe80::1"), ALL_NODES, HOME, hardware_address, router=False, solicited=False, override=False
    )


def test_an_update_that_gets_lost_is_sent_again() -> None:
    world = away(HOME_LINK)
    world.links["home"].blackhole = True
    at = arrive(world)
    world.run(4)
    assert len(updates(world, at)) == 3
    world.links["home"].blackhole = False
    world.run(6)
    assert (world.mn.homecoming.phase, world.bindings()) == (Phase.HOME, {})


def test_a_refusal_of_the_return_is_not_believed_for_long() -> None:
    refusals = [Status.INSUFFICIENT_RESOURCES]

    def respond(update: BindingUpdate, packet: Packet) -> Packet | None:
        return answer(update, packet, refusals.pop() if update.lifetime == 0 and refusals else 0)

    world = away(HOME_LINK, respond=respond, found=True)
    at = arrive(world)
    world.run(5)
    assert (len(updates(world, at)), world.mn.homecoming.phase) == (2, Phase.HOME)


def test_who_leaves_home_registers_all_links_anew() -> None:
    world = at_home(HOME_LINK)
    world.carrier("home", on=False)
    assert addresses(world) == {LOOPBACK}
    world.run(5)
    assert (world.bindings(), world.mn.homecoming.phase) == (FOREIGN, Phase.AWAY)
    assert world.flows()
    assert world.mn.decision.waiting == {}, "who was not used has not failed"
    assert "away from home" in world.notices


def test_who_leaves_home_before_that_is_acknowledged_does_not_know_what_is_bound() -> None:
    world = away(HOME_LINK)
    world.links["home"].blackhole = True
    arrive(world)
    world.run(0.5)
    at = world.now
    world.carrier("home", on=False)
    world.run(5)
    assert (world.bindings(), world.mn.registration.returning) == (FOREIGN, False)
    assert BindingUpdateFlag.OVERWRITE in updates(world, at)[0][1].flags


@pytest.mark.req("HOME-05")
def test_who_starts_at_home_makes_sure_that_the_address_is_free_and_tells_nobody_else() -> None:
    world = HomeWorld(settings=home_settings(HOME_LINK))
    world.links["home"].interface = replace(world.links["home"].interface, carrier=True, running=True)
    world.start()
    assert questions(world) == [NeighborSolicitation(NOBODY, solicited_node(HOME), HOME)]
    world.run(0.9)
    assert (addresses(world), world.mn.homecoming.phase) == ({LOOPBACK}, Phase.ASKING)
    world.run(0.2)
    assert (addresses(world), world.mn.homecoming.phase) == ({LOOPBACK, NIC}, Phase.HOME)
    world.run(5)
    assert (world.updates, len(announcements(world))) == ([], 3)


@pytest.mark.req("HOME-05")
def test_a_home_address_that_somebody_else_has_there_is_left_to_him() -> None:
    world = HomeWorld(settings=home_settings(HOME_LINK), stranger=True)
    world.links["home"].interface = replace(world.links["home"].interface, carrier=True, running=True)
    world.start().run(0.5)
    assert updates(world, 0)[0][1].lifetime == 0, "it may have been the home agent"
    assert len(questions(world)) == 2
    assert (world.mn.homecoming.phase, addresses(world)) == (Phase.DUPLICATE, {LOOPBACK})
    world.run(10)
    assert (world.mn.homecoming.phase, announcements(world)) == (Phase.DUPLICATE, [])
    assert "eth9: somebody else on the home link has the home address" in world.notices
    link = world.mn.links[3]
    assert world.mn.why_unused(link) == "somebody else on the home link has the home address"
    world.carrier("home", on=False)
    assert world.mn.homecoming.phase is Phase.AWAY


def test_a_home_agent_that_stands_in_from_earlier_is_told() -> None:
    world = away(HOME_LINK)
    world.links["home"].interface = replace(world.links["home"].interface, carrier=True, running=True)
    world.restart_agent(remembers=False, sequence=10_000)
    world.run(5)
    assert (world.mn.homecoming.phase, world.bindings()) == (Phase.HOME, {})
    assert len(questions(world)) == 2


def test_somebody_who_would_like_to_have_the_address_too_is_a_contradiction() -> None:
    world = HomeWorld(settings=home_settings(HOME_LINK))
    world.links["home"].interface = replace(world.links["home"].interface, carrier=True, running=True)
    world.start()
    asks = NeighborSolicitation(IPv6Address("fe80::2"), solicited_node(HOME), HOME)
    world.mobile_node(NeighborHeard(asks))
    world.mobile_node(NeighborHeard(told_by(OWN)))
    assert world.mn.homecoming.doubtful
    assert addresses(world) == {LOOPBACK}
    world.mobile_node(NeighborHeard(replace(asks, source=NOBODY)))
    assert world.mn.registration.returning
    gone = HomeWorld().start()
    gone.mobile_node(NeighborHeard(told_by(STRANGERS)))
    assert gone.mn.homecoming.phase is Phase.AWAY


def test_at_home_a_restarted_agent_goes_on_as_it_was() -> None:
    world = at_home(HOME_LINK)
    at, said = world.now, len(world.said)
    world.restart_agent()
    assert (addresses(world), world.upward()) == ({LOOPBACK, NIC}, HOME)
    world.run(10)
    assert (updates(world, at), len(world.said)) == ([], said)
    world.carrier("home", on=False)
    world.restart_agent()
    world.run(5)
    assert world.bindings() == FOREIGN


def test_a_home_link_that_leads_nowhere_is_left() -> None:
    world = away(HOME_LINK, ProbingSettings())
    arrive(world)
    world.run(20)
    assert world.mn.homecoming.phase is Phase.HOME
    world.links["home"].blackhole = True
    world.run(60)
    assert (world.bindings(), world.flows()) == (FOREIGN, True)


def test_a_home_link_that_is_about_to_go_is_left_before() -> None:
    world = at_home(HOME_LINK)
    world.devices(Device("eth9", leaving=True))
    world.run(5)
    assert world.bindings() == FOREIGN
    assert world.flows()


def test_of_two_interfaces_on_the_home_link_one_is_used() -> None:
    world = at_home(HOME_LINK)
    world.change("wifi", prefixes=(HOME_PREFIX,))
    world.run(5)
    assert addresses(world) == {LOOPBACK, world.links["wifi"].interface.index}
    assert world.mn.why_unused(world.mn.links[3]) == "this machine is at home, and only its home link is used"
    world = at_home(ALL_LINKS)
    second = world.links["wifi"].interface
    world.change("wifi", prefixes=(HOME_PREFIX,), hardware_address=STRANGERS)
    world.run(5)
    assert world.bindings() == {1: ETHERNET, 2: HOME}
    assert world.mn.why_unused(world.mn.links[3]) == "another interface is on the home link, too"
    world.change("wifi", prefixes=second.prefixes)
    world.run(5)
    assert world.bindings() == BESIDE


@pytest.mark.req("MCOA-41")
def test_a_link_that_turns_out_to_be_the_home_link_is_deregistered_if_that_is_not_to_be_used() -> None:
    world = away(OTHER_LINKS)
    at = world.now
    world.change("wifi", prefixes=(HOME_PREFIX,))
    ((packet, message),) = updates(world, at)
    assert (packet.source, message.lifetime, list(identifiers(message))) == (ETHERNET, 0, [2])
    world.run(5)
    assert world.bindings() == {1: ETHERNET}
    assert 'at_home = "other-links"' in str(world.mn.why_unused(world.mn.links[2]))


# Beside foreign links


@pytest.mark.req("MCOA-42", "MCOA-43", "MCOA-44", "MCOA-45")
def test_a_home_binding_beside_the_others() -> None:
    world = away(ALL_LINKS)
    stream = world.stream(4, 0.005)
    at = arrive(world)
    world.run(5)
    ((packet, message),) = updates(world, at)
    assert (packet.source, packet.home_address) == (HOME, None)
    option = identifiers(message)[3]
    assert (option.home, option.care_of, message.lifetime) == (True, HOME, 150)
    assert [one for one in message.options if isinstance(one, LinkLayerAddress)] == [LinkLayerAddress(2, OWN)]
    assert world.bindings() == BESIDE
    assert addresses(world) == {LOOPBACK}, "the home agent stands in for us there"
    assert world.said == []
    assert nothing_lost(world, stream)
    assert world.mn.registration.entries[3].binding is not None
    assert world.mn.registration.entries[3].binding.status == Status.MCOA_RETURNHOME_WO_NDP


@pytest.mark.req("MCOA-42", "MCOA-48")
def test_traffic_moves_to_the_home_link_and_back_without_loss() -> None:
    world = at_home(ALL_LINKS)
    stream = world.stream(6, 0.005)
    for link, way in (("eth9", HOME), ("wlan0", WIFI), ("eth9", HOME)):
        world.switch(link)
        world.run(2)
        assert (world.upward(), world.downward()) == (way, way)
    assert nothing_lost(world, stream)


@pytest.mark.req("MCOA-42", "MCOA-46")
def test_every_update_at_home_names_the_home_binding() -> None:
    world = at_home(ALL_LINKS)
    at = world.now
    world.use(FLOWS)
    world.change("wifi", addresses=(replace(world.links["wifi"].interface.addresses[0], address=WIFI + 1),))
    world.run(1000)
    found = updates(world, at)
    assert len(found) > 4
    for _, message in found:
        (home,) = [option for option in identifiers(message).values() if option.home]
        assert (home.bid, home.care_of) == (3, HOME)
        assert LinkLayerAddress(2, OWN) in message.options
    assert world.bindings() == {1: ETHERNET, 2: WIFI + 1, 3: HOME}


FLOWS = Policy(
    description="news over the home link, calls elsewhere, films twice",
    links=AT_ONCE.links,
    flow=(
        FlowRule(name="news", port=(Span.only(119),), via=("eth9",)),
        FlowRule(name="call", port=(Span.only(5060),), via=("wifi",)),
        FlowRule(name="film", port=(Span.only(554),), via=("eth9", "wifi"), copies=2),
    ),
)


@pytest.mark.req("MCOA-48")
def test_flows_take_the_home_link_as_any_other() -> None:
    world = at_home(ALL_LINKS, policy=FLOWS)
    assert {flow.fid: flow.bids for flow in world.flow_bindings()} == {1: (3,), 2: (2,), 3: (3, 2)}
    table = wanted_kernel(world.mn).table
    assert table is not None
    marks = {name: chain.rules[-1].rpartition(" ")[2] for name, chain in table.chains.items()}
    slots = {bid: f"{0x80000000 | 0x01000000 << slot:#x}" for bid, slot in world.mn.slots.items()}
    chains = [name for name in sorted(table.chains) if table.chains[name].rules[0].startswith("meta iif != 0")]
    assert [marks[name] for name in chains] == [slots[3], slots[2], slots[2]], "copies are made of tunnelled packets"
    assert table.elements["source"] == {1: ETHERNET, 2: WIFI, NIC: HOME_PREFIX[0x64]}


@pytest.mark.req("MCOA-46")
def test_leaving_home_is_told_at_once_by_an_update_without_the_flag() -> None:
    world = at_home(ALL_LINKS)
    world.switch("eth9")
    world.run(2)
    at = world.now
    world.carrier("home", on=False)
    ((packet, message),) = updates(world, at)
    assert (packet.source, message.lifetime) == (ETHERNET, 150)
    assert [(one.bid, one.home) for one in identifiers(message).values()] == [(1, False)]
    world.run(0.1)
    assert (world.bindings(), len(ha_kernel(world.ha).neighbors)) == (FOREIGN, 0)
    assert world.flows()
    world.run(5)
    assert 3 not in world.mn.registration.entries


def test_leaving_home_is_told_again_over_another_link_if_that_gets_lost() -> None:
    world = at_home(ALL_LINKS)
    world.links["ethernet"].blackhole = True
    world.carrier("home", on=False)
    world.run(3)
    assert world.bindings() == FOREIGN


def test_with_the_home_link_all_are_gone_and_the_next_replaces_everything() -> None:
    world = at_home(ALL_LINKS)
    for name in ("ethernet", "wifi", "home"):
        world.carrier(name, on=False)
    world.run(5)
    world.carrier("wifi", on=True)
    world.run(5)
    assert world.bindings() == {2: WIFI}


def test_an_interface_goes_home_and_away_again() -> None:
    world = away(ALL_LINKS)
    foreign = world.links["wifi"].interface
    world.change("wifi", prefixes=(HOME_PREFIX,), hardware_address=OWN)
    world.links["home"].interface = replace(world.links["home"].interface, carrier=True)  # its cable is that one's now
    world.run(5)
    assert world.bindings() == {1: ETHERNET, 2: HOME}
    world.links["wifi"].interface = foreign
    world.carrier("home", on=False)
    world.run(5)
    assert world.bindings() == FOREIGN


@pytest.mark.req("MCOA-44")
def test_a_home_agent_that_leaves_the_link_to_us_has_the_address_there() -> None:
    world = away(ALL_LINKS, respond=answer, found=True)
    arrive(world)
    world.run(5)
    assert addresses(world) == {LOOPBACK, NIC}


@pytest.mark.req("MCOA-44")
@pytest.mark.parametrize("in_option", [True, False])
def test_status_5_counts_wherever_it_stands(in_option: bool) -> None:
    no_discovery = Status.MCOA_RETURNHOME_WO_NDP

    def respond(update: BindingUpdate, packet: Packet) -> Packet | None:
        if not any(option.home for option in identifiers(update).values()):
            return answer(update, packet)
        return answer(update, packet, statuses={3: no_discovery}) if in_option else answer(update, packet, no_discovery)

    world = away(ALL_LINKS, respond=respond, found=True)
    arrive(world)
    world.run(5)
    assert addresses(world) == {LOOPBACK}
    assert world.upward() is not None


@pytest.mark.req("MCOA-26")
def test_a_home_agent_that_takes_no_home_binding_beside_others_gets_none() -> None:
    world = away(ALL_LINKS, home_agent=home_agent_settings())
    at = arrive(world)
    world.run(5)
    prohibited = Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED
    statuses = [one.message.status for one in world.answers if isinstance(one.message, BindingAcknowledgement)]
    assert statuses.count(prohibited) == 2, "the first could not be told to who is asked for by nobody"
    assert [packet.source for packet, _ in updates(world, at)] == [HOME, ETHERNET, HOME]
    assert (world.bindings(), world.mn.homecoming.phase) == ({}, Phase.HOME)
    world.carrier("home", on=False)
    world.run(5)
    assert world.bindings() == FOREIGN


@pytest.mark.req("MCOA-47")
def test_an_answer_without_identifiers_means_that_only_the_home_link_is_used() -> None:
    def respond(update: BindingUpdate, packet: Packet) -> Packet | None:
        at_home = any(option.home for option in identifiers(update).values())
        return answer(update, packet, with_identifiers=not at_home)

    world = away(ALL_LINKS, respond=respond, found=True)
    arrive(world)
    world.run(5)
    assert world.mn.homecoming.phase is Phase.HOME
    assert world.mn.registration.multiple
    assert world.upward() == HOME


def test_where_each_binding_takes_an_update_of_its_own_there_is_no_home_binding() -> None:
    world = away(ALL_LINKS, home_agent=home_agent_settings(home_link="eth1", bulk_registration=False))
    world.run(1000)  # the first refresh finds out
    assert not world.mn.registration.bulk
    arrive(world)
    world.run(5)
    assert (world.bindings(), world.mn.homecoming.phase) == ({}, Phase.HOME)


@pytest.mark.parametrize("remembers", [True, False])
def test_a_restarted_agent_finds_its_home_binding_again(remembers: bool) -> None:
    world = at_home(ALL_LINKS)
    at = world.now
    world.restart_agent(remembers=remembers, sequence=world.mn.registration.sequence)
    world.run(5)
    assert world.bindings() == BESIDE
    assert addresses(world) == {LOOPBACK}
    assert updates(world, at)
    assert world.said == []


def test_a_stopping_agent_leaves_nothing_behind_also_at_home() -> None:
    world = at_home(ALL_LINKS)
    world.mobile_node(StopRequested())
    world.run(1)
    assert (world.bindings(), is_finished(world.mn)) == ({}, True)


@pytest.mark.parametrize("how", [ALL_LINKS, HOME_LINK])
@pytest.mark.parametrize("seed", range(4))
def test_over_bad_links_both_ends_agree_in_the_end(how: str, seed: int) -> None:
    world = away(how, loss=0.3, duplicate=0.2, jitter_s=0.5, seed=seed)
    for _ in range(12):
        name = world.random.choice(("home", "home", "ethernet", "wifi"))
        world.carrier(name, on=not world.links[name].interface.carrier)
        world.run(world.random.choice((0.0, 0.01, 0.3, 2.0, 8.0)))
    for name, link in world.links.items():
        link.loss = link.duplicate = link.jitter_s = 0.0
        world.carrier(name, on=True)
    world.run(200)
    assert world.bindings() == (BESIDE if how == ALL_LINKS else {})
    assert world.upward() == world.downward()
    world.carrier("home", on=False)
    world.run(100)
    assert world.bindings() == FOREIGN
    assert world.flows()
