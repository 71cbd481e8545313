"""A mobile node and a correspondent: the way between them becomes direct, stays so, and goes back to the tunnel when it
has to.
"""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mip6.kernel import host
from mip6.return_routability import MAX_RR_BINDING_LIFETIME_S, MAX_TOKEN_LIFETIME_S
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
)
from mip6.wire.options import (
    BindingAuthorizationData,
    BindingIdentifier,
    FlowIdentification,
    MobileNetworkPrefix,
    NonceIndices,
)
from mip6.wire.registry import BindingUpdateFlag
from mip6.xfrm import Protocol, Selector
from mn_agent.core.correspondent_answers import DO_NOT_SEND_S, ERROR_PAUSE_S
from mn_agent.core.correspondents import FIRST_PAUSE_S, LONGEST_PAUSE_S, Entry
from mn_agent.core.events import CorrespondentsSeen, Refused, StopRequested
from mn_agent.core.kernel import wanted_kernel
from mn_agent.core.policy_file import FlowRule, Policy
from mn_agent.core.registration import MAX_UPDATE_RATE
from mn_agent.core.settings import RouteOptimizationSettings, RouterSettings
from mn_agent.core.state import ROUTE_OPTIMIZATION
from mn_lab.correspondent import Fault
from tests.story.direct_world import CN, DirectWorld, optimizing
from tests.story.world import (
    AGENT,
    AT_ONCE,
    HOME,
    NODE,
    home_agent_settings,
    make_link,
    mobile_node_settings,
    three_links,
)

NAMES = ("ethernet", "wifi", "lte")
GIVEN_UP_S = 1 + 2 + 4
"""After three messages without an answer."""


def settled(**path: float) -> DirectWorld:
    world = DirectWorld(three_links(**path))
    world.start().run(5)
    assert world.directly()
    assert set(world.bound()) == {1, 2, 3}
    return world


def one_link(*faults: Fault) -> DirectWorld:
    world = DirectWorld({"ethernet": make_link(1, "eth0", "ethernet")})
    world.cn.faults.update(faults)
    return world


@pytest.mark.req("RR-01", "RR-13", "RR-14", "MH-12")
def test_both_tests_begin_at_once_when_the_home_agent_has_the_binding() -> None:
    world = one_link()
    world.start().run(1)
    accepted_at = 1000.02
    home, care_of, update = world.asked
    assert home.at == care_of.at == pytest.approx(accepted_at)
    assert isinstance(home.message, HomeTestInit)
    assert isinstance(care_of.message, CareOfTestInit)
    assert (home.packet.source, home.packet.home_address) == (HOME, None), "so it goes into the tunnel"
    assert (care_of.packet.source, care_of.packet.home_address) == (world.links["ethernet"].address, None)
    assert home.message.cookie != care_of.message.cookie
    later = max(one.at for one in world.told if isinstance(one.message, HomeTest | CareOfTest))
    assert update.at > later
    assert (update.packet.source, update.packet.home_address) == (world.links["ethernet"].address, HOME)
    assert world.directly()


@pytest.mark.req("RR-14")
def test_without_a_home_registration_nothing_is_asked_of_correspondents() -> None:
    world = DirectWorld(three_links())
    for link in world.links.values():
        link.blackhole = True
    world.start().run(60)
    assert world.asked == []


@pytest.mark.req("RR-08", "RR-11", "RR-19", "REG-05", "MCOA-16")
def test_every_binding_has_an_update_of_its_own_from_its_own_care_of_address() -> None:
    world = settled()
    sent = world.sent(BindingUpdate)
    assert len(sent) == 3
    for one in sent:
        update = one.message
        assert isinstance(update, BindingUpdate)
        nonces, identifier, signature = update.options
        assert isinstance(nonces, NonceIndices)
        assert isinstance(identifier, BindingIdentifier)
        assert isinstance(signature, BindingAuthorizationData)
        assert identifier.care_of == one.packet.source == world.bound()[identifier.bid]
        assert update.flags == BindingUpdateFlag.ACKNOWLEDGE
        assert 0 < update.lifetime <= MAX_RR_BINDING_LIFETIME_S // 4
    assert len(world.sent(HomeTestInit)) == 1
    assert Counter(one.packet.source for one in world.sent(CareOfTestInit)) == Counter(world.bound().values())


@pytest.mark.req("RR-02", "RR-11")
def test_for_an_hour_it_stays_direct_with_few_messages() -> None:
    world = settled()
    for _ in range(360):
        world.run(10)
        assert world.directly()
    assert not any(isinstance(one.message, BindingAcknowledgement) and one.message.status for one in world.told)
    assert len(world.sent(HomeTestInit)) == 3600 // (MAX_TOKEN_LIFETIME_S - 30) + 1
    assert len(world.updates_to_correspondent()) <= 3 * 16, "no lifetime is longer than the home registration's"


@pytest.mark.req("RR-15")
def test_the_lifetime_is_that_of_the_home_registration_at_most() -> None:
    world = DirectWorld(three_links(), settings=optimizing(lifetime_s=100))
    world.start().run(5)
    assert all(update.lifetime <= 100 // 4 for update in world.updates_to_correspondent())
    for _ in range(100):
        world.run(5)
        assert world.directly()


@pytest.mark.req("RR-03", "RR-04", "REG-13")
@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.NO_HOME_TEST, Fault.NO_CARE_OF_TEST])
def test_three_times_with_new_cookies_then_the_tunnel_and_long_pauses(fault: Fault) -> None:
    world = one_link(fault)
    world.start().run(3600)
    silent = CareOfTestInit if fault is Fault.NO_CARE_OF_TEST else HomeTestInit
    sent = world.sent(silent)
    times = [one.at - sent[0].at for one in sent]
    assert times[:4] == pytest.approx([0, 1, 3, GIVEN_UP_S + FIRST_PAUSE_S])
    pauses = [later - earlier for earlier, later in pairwise(times) if later - earlier > 4]
    assert pauses[0] == pytest.approx(4 + FIRST_PAUSE_S)
    assert pauses[-1] == pytest.approx(4 + LONGEST_PAUSE_S)
    assert pauses == sorted(pauses)
    cookies = [one.message.cookie for one in sent if isinstance(one.message, HomeTestInit | CareOfTestInit)]
    assert len(set(cookies)) == len(cookies)
    assert world.updates_to_correspondent() == []
    assert world.talk(1).lost == (0, 0)
    world.cn.faults.clear()
    world.run(LONGEST_PAUSE_S)
    assert world.directly()


def test_where_nobody_gets_through_directly_other_links_are_used() -> None:
    world = DirectWorld(three_links(), walls={"wifi"})
    world.start().run(120)
    assert set(world.bound()) == {1, 3}
    assert world.directly()
    world.switch("wifi")
    stream = world.talk(2)
    world.run(3)
    assert world.care_of() is None
    assert stream.lost == (0, 0), "the correspondent is told of nothing: it goes on over another link"


@pytest.mark.req("RR-16")
@pytest.mark.parametrize(
    ("fault", "home_tests", "care_of_tests"),
    [
        (Fault.HOME_NONCE_EXPIRED, 3, 1),
        (Fault.CARE_OF_NONCE_EXPIRED, 1, 3),
        (Fault.BOTH_NONCES_EXPIRED, 3, 3),
    ],
)
def test_what_has_expired_is_tested_again_but_not_for_ever(fault: Fault, home_tests: int, care_of_tests: int) -> None:
    world = one_link(fault)
    world.start().run(30)
    assert len(world.updates_to_correspondent()) == 3
    assert len(world.sent(HomeTestInit)) == home_tests
    assert len(world.sent(CareOfTestInit)) == care_of_tests
    assert world.care_of() is None
    world.cn.faults.clear()
    world.run(60)
    assert world.directly()


@pytest.mark.req("RR-16", "REG-15")
def test_a_refusal_is_believed_when_it_is_signed() -> None:
    world = one_link(Fault.REFUSES)
    world.start().run(DO_NOT_SEND_S - 1)
    assert len(world.updates_to_correspondent()) == 1
    world.cn.faults.clear()
    world.run(2)
    assert world.directly()


@pytest.mark.req("RR-08", "REG-15")
@pytest.mark.parametrize("fault", [Fault.WRONG_AUTHENTICATOR, Fault.NO_ACKNOWLEDGEMENT])
def test_an_answer_that_is_not_authentic_is_none(fault: Fault) -> None:
    world = one_link(fault)
    world.start().run(GIVEN_UP_S + 1)
    assert [one.sequence for one in world.updates_to_correspondent()] == [42, 43, 44]
    assert world.care_of() is None
    if fault is Fault.WRONG_AUTHENTICATOR:
        assert world.mn.ignored == {"correspondent's acknowledgement not authentic": 3}
    world.cn.faults.clear()
    world.run(60)
    assert world.directly()


@pytest.mark.req("RR-16", "REG-16")
def test_who_knows_a_later_number_is_told_one_that_is_later_still() -> None:
    world = one_link()
    world.start().run(5)
    world.cn.entries[HOME].sequence = 9000
    world.restart_agent(remembers=False)
    world.run(5)
    assert world.directly()
    assert [one.sequence for one in world.updates_to_correspondent()][-1] == 9001


@pytest.mark.req("PKT-12", "PKT-02")
def test_a_correspondent_that_forgets_gets_tunnelled_packets_and_then_a_binding_again() -> None:
    world = settled()
    stream = world.talk(5)
    world.run(1)
    world.cn.forget()
    at = world.now
    world.run(0.05)
    assert world.care_of() is None
    assert world.links["ethernet"].address not in {one.packet.source for one in world.sent(CareOfTestInit, at)}
    world.run(ERROR_PAUSE_S + 0.2)
    assert world.directly()
    world.run(5)
    assert set(world.bound()) == {1, 2, 3}, "also those that no packet has told of"
    assert stream.lost[0] <= 5
    assert stream.lost[1] == 0
    assert world.directly()


def test_people_hear_of_the_way() -> None:
    world = settled()
    world.cn.forget()
    world.talk(0.1)
    world.run(5)
    world.switch("lte")
    world.configure(mobile_node_settings())
    told = [text for text in world.notices if text.startswith(str(CN))]
    assert [text.removeprefix(f"{CN}: ") for text in told] == [
        "directly over eth0",
        "through the tunnel",
        "directly over eth0",
        "directly over wwan0",
        "through the tunnel",
    ]


@pytest.mark.req("PKT-12", "RR-16")
def test_a_correspondent_that_is_started_anew_knows_no_nonces_either() -> None:
    world = settled()
    world.cn.restart()
    world.talk(3)
    world.run(3)
    assert world.directly()


@pytest.mark.req("RR-18", "MCOA-67", "REG-20")
def test_when_asked_it_proves_its_addresses_anew_and_refreshes() -> None:
    world = settled()
    at = world.now
    world.ask_for_refresh(2)
    world.run(1)
    assert [type(one.message) for one in world.asked if one.at >= at] == [HomeTestInit, CareOfTestInit, BindingUpdate]
    (update,) = world.updates_to_correspondent(at)
    assert update.options[1] == BindingIdentifier(2, priority=11, care_of=world.links["wifi"].address)
    at = world.now
    world.ask_for_refresh()
    world.run(5)
    assert len(world.updates_to_correspondent(at)) == 3
    assert world.directly()


# movement


@pytest.mark.req("RR-02", "RR-19", "MCOA-28")
def test_when_a_link_is_lost_the_correspondent_hears_of_it_at_once() -> None:
    world = settled()
    world.run(150)
    stream = world.talk(3)
    world.run(1)
    at = world.now
    world.carrier("ethernet", on=False)
    world.run(0.1)
    assert set(world.bound()) == {2, 3}
    assert world.directly()
    (end, *_) = world.sent(BindingUpdate, at)
    assert isinstance(end.message, BindingUpdate)
    assert end.at == at, "the tokens were there"
    assert end.packet.source == world.links["wifi"].address
    assert end.message.lifetime == 0
    assert [one.care_of for one in end.message.options if isinstance(one, NonceIndices)] == [0]
    assert [one.bid for one in end.message.options if isinstance(one, BindingIdentifier)] == [1]
    world.run(3)
    assert stream.lost[0] == 0
    assert stream.lost[1] <= 2


def test_a_correspondent_that_does_not_hear_of_a_lost_link_is_told_three_times() -> None:
    world = settled()
    world.cn.faults.add(Fault.SILENT)
    at = world.now
    world.carrier("ethernet", on=False)
    world.run(GIVEN_UP_S + 1)
    ends = [update for update in world.updates_to_correspondent(at) if not update.lifetime]
    assert len(ends) == 3
    assert 1 not in world.mn.correspondents.known[CN].entries


def test_when_it_returns_it_is_bound_again() -> None:
    world = settled()
    world.carrier("ethernet", on=False)
    world.run(5)
    world.carrier("ethernet", on=True)
    world.run(5)
    assert set(world.bound()) == {1, 2, 3}
    assert world.care_of() == world.links["ethernet"].address
    assert world.directly()


def test_another_care_of_address_takes_the_place_of_the_old() -> None:
    world = settled()
    (old,) = world.links["ethernet"].interface.addresses
    stream = world.talk(3)
    world.run(1)
    world.change("ethernet", addresses=(replace(old, address=old.address + 1),))
    world.run(4)
    assert world.bound()[1] == old.address + 1
    assert world.directly()
    assert stream.lost[0] == 0, "through the tunnel meanwhile"


def test_a_switch_moves_both_directions() -> None:
    world = settled()
    stream = world.talk(3)
    world.run(1)
    world.switch("lte")
    world.run(4)
    assert world.care_of() == world.links["lte"].address
    assert world.directly()
    assert stream.lost == (0, 0)


def test_a_path_that_is_dead_is_left_here_too_and_as_soon() -> None:
    world = settled()
    world.talk(10)
    world.run(5)
    probes = len(world.probes)
    world.run(2)
    assert len(world.probes) <= probes + 1, "what is answered directly needs no probes"
    world.links["ethernet"].blackhole = True
    world.run(1.5)
    assert set(world.bound()) == {2, 3}
    assert world.directly()


def test_when_all_links_are_gone_nothing_is_sent_and_the_correspondent_forgets() -> None:
    world = settled()
    for name in NAMES:
        world.carrier(name, on=False)
    at = world.now
    world.run(MAX_RR_BINDING_LIFETIME_S + 1)
    assert world.bound() == {}
    assert [one for one in world.asked if one.at > at] == []
    assert world.mn.correspondents.known[CN].entries == {}
    world.carrier("lte", on=True)
    world.run(5)
    assert world.directly()


# the end


@pytest.mark.req("HOME-08", "RR-20")
def test_turned_off_it_ends_all_bindings_with_one_update() -> None:
    world = settled()
    at = world.now
    world.configure(mobile_node_settings())
    assert world.care_of() is None
    world.run(5)
    (end,) = world.updates_to_correspondent(at)
    assert (end.lifetime, len(end.options)) == (0, 2), "nonce indices, and authorization data"
    assert world.bound() == {}
    assert world.mn.correspondents.known == {}
    world.configure(optimizing())
    world.run(5)
    assert world.directly()


def test_who_does_not_hear_of_the_end_keeps_its_bindings_until_they_run_out() -> None:
    world = settled()
    world.cn.faults.add(Fault.SILENT)
    at = world.now
    world.configure(mobile_node_settings())
    world.run(GIVEN_UP_S + 1)
    assert len(world.updates_to_correspondent(at)) == 3
    assert len({one.packet.source for one in world.sent(BindingUpdate, at)}) == 3, "each over another link"


@pytest.mark.req("RR-20")
def test_it_is_off_unless_somebody_wants_it() -> None:
    world = DirectWorld(three_links(), settings=mobile_node_settings())
    world.start().run(60)
    assert world.asked == []
    assert mobile_node_settings().route_optimization == RouteOptimizationSettings()


def test_who_stops_tells_correspondents() -> None:
    world = settled()
    world.mobile_node(StopRequested())
    world.run(1)
    assert world.bound() == {}
    assert world.bindings() == {}


def test_a_kernel_that_cannot_do_it_is_not_asked_to() -> None:
    world = DirectWorld(three_links())
    world.mobile_node(Refused(ROUTE_OPTIMIZATION, "this kernel has no Mobile IPv6"))
    world.start().run(30)
    assert world.asked == []
    world.mobile_node(Refused(ROUTE_OPTIMIZATION, None))
    world.run(5)
    assert world.directly()


@pytest.mark.req("REG-13")
def test_many_links_are_tested_three_a_second() -> None:
    links = {f"link{number}": make_link(number, f"eth{number}", "ethernet") for number in range(1, 8)}
    world = DirectWorld(links, settings=mobile_node_settings())
    world.start().run(10)
    world.configure(optimizing())
    world.run(10)
    assert set(world.bound()) == set(range(1, 8))
    check_limits(world)
    times = [one.at for one in world.sent(CareOfTestInit)]
    assert times[2] - times[0] == pytest.approx(0), "as many as may be at once"


def entries(world: DirectWorld) -> dict[int, Entry]:
    return dict(world.mn.correspondents.known[CN].entries)


@pytest.mark.req("BUL-01", "BUL-08")
def test_there_is_an_entry_for_each_binding_while_it_is_proved_and_while_it_lives() -> None:
    world = DirectWorld(three_links(), settings=optimizing(lifetime_s=100))
    world.cn.faults.add(Fault.NO_CARE_OF_TEST)
    world.start().run(2)
    assert world.mn.registration.entries.keys() == {1, 2, 3}, "for the home agent"
    assert world.mn.correspondents.known.keys() == {CN}
    assert {bid: entry.binding for bid, entry in entries(world).items()} == dict.fromkeys((1, 2, 3))
    world.cn.faults.clear()
    world.run(5)
    held = {bid: entry.binding.care_of for bid, entry in entries(world).items() if entry.binding is not None}
    assert held == world.bound() == world.bindings()
    world.cn.faults.add(Fault.SILENT)
    for link in world.links.values():
        link.blackhole = True
    (first, *_) = sorted(entry.claimed_until_at for entry in entries(world).values())
    world.run(first - world.now - 1)
    assert entries(world).keys() == {1, 2, 3}
    world.run(300)
    assert not any(one.entries for one in world.mn.correspondents.known.values())


@pytest.mark.req("BUL-03")
def test_what_is_kept_while_addresses_are_proved() -> None:
    world = DirectWorld(three_links(delay_s=0.5), settings=optimizing(first_timeout_s=5))
    world.start().run(1.1)
    known = world.mn.correspondents.known[CN]
    tests = [known.home, *(entry.test for entry in known.entries.values() if entry.test.cookie)]
    sent = [one for one in world.asked if isinstance(one.message, HomeTestInit | CareOfTestInit)]
    assert len(tests) == len(sent) >= 2
    assert {(one.cookie, one.sent_at) for one in tests} == {(one.message.cookie, one.at) for one in sent}  # type: ignore[union-attr]
    assert {(one.tries.count, one.tries.due_at - one.sent_at) for one in tests} == {(1, 1.0)}
    assert not any(one.token for one in tests)
    world.run(8)
    told = {
        (one.message.keygen_token, one.message.nonce_index): one
        for one in world.told
        if isinstance(one.message, HomeTest | CareOfTest)
    }
    known = world.mn.correspondents.known[CN]
    tests = [known.home, *(entry.test for entry in known.entries.values())]
    assert len(tests) == 4
    for one in tests:
        assert (one.cookie, one.tries.count) == (b"", 0)
        assert one.token is not None
        answer = told[one.token.value, one.token.nonce_index]
        assert answer.at < one.token.until_at - MAX_TOKEN_LIFETIME_S + 1 <= answer.at + 2


# other correspondents


@pytest.mark.req("RR-19", "MCOA-62")
@pytest.mark.parametrize("fault", [Fault.PLAIN, Fault.SINGLE])
def test_one_that_takes_one_care_of_address_gets_the_preferred(fault: Fault) -> None:
    world = DirectWorld(three_links())
    world.cn.faults.add(fault)
    world.start().run(5)
    assert world.bound() == {0: world.links["ethernet"].address}
    assert world.directly()
    stream = world.talk(5)
    world.run(1)
    world.carrier("ethernet", on=False)
    world.run(5)
    assert world.bound() == {0: world.links["wifi"].address}
    assert world.directly()
    assert stream.lost[0] == 0
    at = world.now
    world.configure(mobile_node_settings())
    world.run(1)
    (end,) = world.updates_to_correspondent(at)
    assert end.lifetime == 0
    assert world.bound() == {}


def test_several_correspondents_do_not_hinder_each_other() -> None:
    world = DirectWorld(three_links(), settings=optimizing(CN, CN + 1, CN + 2))
    world.start().run(5)
    assert world.directly()
    assert set(world.mn.correspondents.known) == {CN, CN + 1, CN + 2}


@pytest.mark.req("RR-13")
def test_of_a_network_those_are_asked_with_whom_there_is_traffic() -> None:
    world = DirectWorld(three_links(), settings=optimizing("2001:db8::/32"))
    world.start().run(10)
    assert world.asked == []
    stranger = IPv6Address("2001:db9::1")
    world.mobile_node(CorrespondentsSeen(frozenset((CN, AGENT, HOME, stranger))))
    world.run(5)
    assert world.directly()
    assert set(world.mn.correspondents.known) == {CN}
    world.mobile_node(CorrespondentsSeen(frozenset()))
    world.run(5)
    assert world.bound() == {}
    assert world.mn.correspondents.known == {}


@pytest.mark.req("SRC-03")
def test_what_stays_on_a_link_or_goes_to_many_never_gets_a_home_address_option() -> None:
    """Neighbor Discovery has nothing else: link-local addresses and groups."""
    on_link = ("fe80::1", "ff02::1", "ff02::1:ff00:1", "ff0e::1")
    world = DirectWorld(three_links(), settings=optimizing("::/0"))
    world.start().run(5)
    world.mobile_node(CorrespondentsSeen(frozenset((CN, *map(IPv6Address, on_link)))))
    world.run(60)
    assert world.directly()
    assert set(world.mn.correspondents.known) == {CN}
    kernel = wanted_kernel(world.mn)
    options = [one for one in kernel.policies if one.templates[0].protocol is Protocol.HAO]
    assert [one.id.selector for one in options] == [Selector(host(HOME), host(CN))]
    assert [one.destination for one in kernel.states if one.protocol is Protocol.HAO] == [CN]


def test_a_home_agent_that_takes_one_care_of_address_is_no_hindrance() -> None:
    world = DirectWorld(three_links(), home_agent=home_agent_settings(several_care_of_addresses=False))
    world.start().run(10)
    assert world.bound() == {1: world.links["ethernet"].address}
    assert world.directly()


# restart


@pytest.mark.req("FLOW-34")
def test_correspondents_of_a_mobile_router_hear_of_no_flows_and_of_no_networks() -> None:
    """They are told where its own home address is, and nothing of whoever is behind it."""
    network, mail = IPv6Network("2001:db8:b05::/56"), FlowRule(name="mail", to=(IPv6Network(CN),), via=("lte",))
    known = replace(optimizing(), router=RouterSettings(prefixes=(network,), interfaces=("lan*",)))
    routing = replace(home_agent_settings(), node=(replace(NODE, prefixes=(network,)),))
    policy = Policy(description="one flow", flow=(mail,), links=AT_ONCE.links)
    world = DirectWorld(three_links(), settings=known, home_agent=routing, policy=policy)
    world.start().run(5)
    assert world.mn.registration.network.is_router
    assert world.mn.flows.policy.flow
    updates = [sent.message for sent in world.asked if isinstance(sent.message, BindingUpdate)]
    assert len(updates) >= 3
    for update in updates:
        assert BindingUpdateFlag.MOBILE_ROUTER not in update.flags
        assert not [one for one in update.options if isinstance(one, FlowIdentification | MobileNetworkPrefix)]


def test_a_restart_loses_no_packet() -> None:
    world = settled()
    stream = world.talk(3)
    world.run(1)
    at = world.now
    world.restart_agent()
    assert world.directly()
    world.run(5)
    assert stream.lost == (0, 0)
    assert world.directly()
    assert world.updates_to_correspondent(at) == []
    assert world.tests(at) == 4, "the tokens are not saved"


@pytest.mark.parametrize("fault", [Fault.PLAIN, None])
def test_who_remembers_nothing_begins_anew(fault: Fault | None) -> None:
    world = DirectWorld(three_links())
    world.cn.faults |= {fault} if fault else set()
    world.start().run(5)
    world.restart_agent(remembers=False)
    world.run(2)
    assert world.directly()
    world.restart_agent(same_boot=False)
    world.run(2)
    assert world.directly()


# anything


EVENTS = ("down", "up", "blackhole", "heal", "wall", "open", "switch", "auto", "kill", "forget", "restart", "renumber")
MORE = ("silent", "speaks", "refresh", "off", "on", "home")
PAUSES_S = (0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 1.6, 5.0, 40.0, 200.0)


@st.composite
def operations(draw: st.DrawFn) -> list[tuple[float, str, str]]:
    step = st.tuples(st.sampled_from(PAUSES_S), st.sampled_from(EVENTS + MORE), st.sampled_from(NAMES))
    return draw(st.lists(step, max_size=25))


def do(world: DirectWorld, what: str, name: str) -> None:
    match what:
        case "down" | "up":
            world.carrier(name, on=what == "up")
        case "blackhole" | "heal":
            world.links[name].blackhole = what == "blackhole"
        case "wall":
            world.walls.add(name)
        case "open":
            world.walls.discard(name)
        case "switch":
            world.switch(name)
        case "auto":
            world.switch(None)
        case "kill":
            world.restart_agent(remembers=world.random.random() < 0.5)
        case "forget":
            world.cn.forget()
        case "restart":
            world.cn.restart()
        case "renumber":
            (address,) = world.links[name].interface.addresses
            number = int(address.address) & ~0xFFFF | int(world.random.random() * 0xFFFE) + 1
            world.change(name, addresses=(replace(address, address=type(address.address)(number)),))
        case "silent":
            world.cn.faults.add(world.random.choice([*Fault]))
        case "speaks":
            world.cn.faults.clear()
        case "refresh":
            world.ask_for_refresh()
        case "off" | "on":
            world.configure(optimizing() if what == "on" else mobile_node_settings())
        case "home":
            world.restart_home_agent(remembers=True)


def check_limits(world: DirectWorld) -> None:
    """What must hold at all times, whatever happens."""
    by_kind: dict[type, list[float]] = {}
    cookies = []
    for one in world.asked:
        by_kind.setdefault(type(one.message), []).append(one.at)
        if isinstance(one.message, HomeTestInit | CareOfTestInit):
            assert one.packet.home_address is None
            cookies.append(one.message.cookie)
        if isinstance(one.message, BindingUpdate):
            assert one.message.lifetime <= MAX_RR_BINDING_LIFETIME_S // 4
    if not world.restarts:
        assert len(set(cookies)) == len(cookies)
        for times in by_kind.values():
            for first, beyond in zip(times, times[MAX_UPDATE_RATE:], strict=False):
                assert beyond - first > 0.999


@pytest.mark.req("RR-03", "RR-11", "REG-13", "MH-12", "PKT-02")
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    steps=operations(),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    duplicate=st.sampled_from([0.0, 0.3]),
    jitter_s=st.sampled_from([0.0, 0.05, 2.0]),
    seed=st.integers(0, 1 << 16),
)
def test_whatever_happens_it_is_direct_in_the_end(
    steps: list[tuple[float, str, str]], loss: float, duplicate: float, jitter_s: float, seed: int
) -> None:
    world = DirectWorld(three_links(), seed=seed)
    world.start()
    for link in world.links.values():
        link.loss, link.duplicate, link.jitter_s = loss, duplicate, jitter_s
    for pause_s, what, name in steps:
        do(world, what, name)
        world.talk(0.05)
        world.run(pause_s)
    check_limits(world)
    for name, link in world.links.items():
        link.loss = link.duplicate = link.jitter_s = 0.0
        link.blackhole = False
        world.carrier(name, on=True)
    world.walls.clear()
    world.cn.faults.clear()
    world.switch(None)
    world.configure(optimizing())
    world.run(LONGEST_PAUSE_S + DO_NOT_SEND_S)
    stream = world.talk(3)
    world.run(5)
    assert world.directly()
    assert set(world.bound().values()) <= {link.address for link in world.links.values()}
    world.run(200)
    assert world.talk(1).lost == (0, 0)
    assert stream.sent_up == 300
    assert AGENT not in world.mn.correspondents.known
