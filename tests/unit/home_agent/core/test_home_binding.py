"""Mobile nodes on their home link: for good, and beside their foreign links (RFC 5648 sections 5.6 and 6.3)."""

from dataclasses import replace

import pytest

from home_agent.core import agent
from home_agent.core.cache import MAX_DELETE_BCE_TIMEOUT_S
from home_agent.core.events import HomeLinkChanged, RevocationRequested, Send, Tick
from home_agent.core.kernel import HOME_TABLE, SLOT_TABLES, TABLE_NAME, wanted_kernel
from home_agent.core.saved import restore, save
from mip6.kernel import MAIN_TABLE, Encapsulate, Neighbor, Route, host
from mip6.wire.flows import BindingReference
from mip6.wire.messages import BindingAcknowledgement, BindingRefreshRequest, BindingRevocationIndication, decode
from mip6.wire.options import BindingIdentifier, FlowIdentification, LinkLayerAddress, Option
from mip6.wire.registry import NextHeader, RevocationTrigger, Status
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from tests.unit.home_agent.core.test_home_link import LINK, asks, hear, pass_time
from tests.unit.home_agent.core.updates import ETHERNET, HOME, LTE, OWN, WIFI, Bench, bid, statuses

LAPTOP_AT_HOME = bytes.fromhex("026d36000009")
TOLD = LinkLayerAddress(2, LAPTOP_AT_HOME)
AT_HOME = bid(3, HOME, home=True)
WO_NDP = Status.MCOA_RETURNHOME_WO_NDP


def bench(*, link: bool = True) -> Bench:
    """Ethernet and Wi-Fi are registered."""
    made = Bench(home_link="eth1")
    hear(made, HomeLinkChanged(LINK if link else None))
    made.update(bid(1, ETHERNET, priority=2))
    made.now += 1
    hear(made, Tick())
    made.update(bid(2, WIFI, priority=3), source=WIFI)
    assert made.bindings() == {1: ETHERNET, 2: WIFI}
    return made


def from_home(made: Bench, *options: Option, **changes: object) -> BindingAcknowledgement | None:
    """Sent on the home link: without a Home Address option."""
    return made.update(*options, source=HOME, home_address=None, **changes)  # type: ignore[arg-type]


def at_home() -> Bench:
    made = bench()
    assert statuses(from_home(made, AT_HOME, TOLD)) == (WO_NDP, {3: 0})
    return made


def ways(made: Bench) -> dict[int, Route]:
    """To the home address, by table."""
    return {route.table: route for route in wanted_kernel(made.state).routes if route.destination == host(HOME)}


def pairs(made: Bench) -> set[str]:
    """What may come through a tunnel: the outer sources."""
    table = wanted_kernel(made.state).table
    assert table is not None
    assert table.name == TABLE_NAME
    return {str(pair).split(" . ")[0] for pair in table.elements["binding"]}


@pytest.mark.req("HOME-10", "SEC-04")
def test_a_deregistration_at_home_is_answered_there_and_no_routing_header_is_needed() -> None:
    made = bench()
    pass_time(made, 10)
    assert statuses(from_home(made, lifetime=0)) == (Status.ACCEPTED, {})
    assert (made.answer.source, made.answer.destination, made.answer.home_address) == (OWN, HOME, None)
    assert made.bindings() == {}
    assert hear(made, asks()) == [], "the mobile node answers for itself"
    rules = wanted_kernel(made.state).rules
    assert any(
        rule.table == MAIN_TABLE and rule.source == host(OWN) and rule.ip_protocol == NextHeader.MOBILITY
        for rule in rules
    ), "and gets its answer on the home link, whatever is bound"


@pytest.mark.req("HOME-09")
def test_what_was_tunnelled_before_a_return_home_may_come_after_it() -> None:
    made = bench()
    from_home(made, lifetime=0)
    assert ways(made) == {}
    assert pairs(made) == {str(ETHERNET), str(WIFI)}
    late = from_home(made, bid(1, ETHERNET), sequence=made.sequence)
    assert late is not None
    assert late.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
    made.now += MAX_DELETE_BCE_TIMEOUT_S
    hear(made, Tick())
    assert pairs(made) == set()


def test_who_deregisters_from_elsewhere_has_nothing_under_way() -> None:
    made = bench()
    made.update(lifetime=0)
    assert pairs(made) == set()


@pytest.mark.req("HOME-12")
@pytest.mark.parametrize("options", [(), (bid(1, HOME),)])
def test_old_mobile_nodes_deregister_by_binding_the_home_address_to_itself(
    options: tuple[BindingIdentifier, ...],
) -> None:
    made = bench()
    answer = from_home(made, *options)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (Status.ACCEPTED, 0)
    assert made.bindings() == ({2: WIFI} if options else {})


@pytest.mark.req("MCOA-42", "MCOA-49", "HOME-12", "MCOA-21")
def test_a_home_binding_stands_beside_the_others() -> None:
    made = at_home()
    assert made.bindings() == {1: ETHERNET, 2: WIFI, 3: HOME}
    assert wanted_kernel(made.state).neighbors == {Neighbor(LINK.index, HOME, LAPTOP_AT_HOME)}
    answer = made.update(bid(1, ETHERNET), AT_HOME, TOLD)
    assert statuses(answer) == (Status.ACCEPTED, {1: 0, 3: WO_NDP})
    assert len(hear(made, asks())) == 1, "we still stand in for it"


@pytest.mark.req("MCOA-48")
def test_what_comes_for_it_goes_home_or_away_by_flow() -> None:
    made = at_home()
    assert ways(made)[HOME_TABLE].tunnel == Encapsulate(ETHERNET)
    both = BindingReference((2, 3))
    flow = FlowIdentification(7, 7, suboptions=(both, Ipv6Selector(next_header=Span.only(17))))
    from_home(made, replace(AT_HOME, priority=1), flow, TOLD)
    slots = {one.bid: one.slot for one in made.state.cache[HOME].bindings.values()}
    found = ways(made)
    assert found[HOME_TABLE] == Route(HOME_TABLE, host(HOME), LINK.index), "first by priority"
    assert found[SLOT_TABLES + slots[3]] == Route(SLOT_TABLES + slots[3], host(HOME), LINK.index)
    assert found[SLOT_TABLES + slots[2]].tunnel == Encapsulate(WIFI)
    assert pairs(made) == {str(ETHERNET), str(WIFI)}, "nothing is tunnelled from home"


@pytest.mark.req("MCOA-42")
def test_there_is_one_home_binding_only() -> None:
    made = at_home()
    assert statuses(from_home(made, bid(4, HOME, home=True), TOLD)) == (WO_NDP, {4: 0})
    assert made.bindings() == {1: ETHERNET, 2: WIFI, 4: HOME}
    two = from_home(made, bid(4, HOME, home=True), bid(5, HOME, home=True), TOLD)
    assert two is not None
    assert two.status == Status.MCOA_MALFORMED


@pytest.mark.req("MCOA-46")
def test_an_update_about_foreign_links_alone_ends_it() -> None:
    made = at_home()
    made.update(bid(2, WIFI), source=WIFI)
    assert made.bindings() == {1: ETHERNET, 2: WIFI}
    assert wanted_kernel(made.state).neighbors == frozenset()


def test_the_end_of_another_binding_does_not_end_it() -> None:
    made = at_home()
    made.update(bid(2), lifetime=0)
    assert made.bindings() == {1: ETHERNET, 3: HOME}
    assert len(wanted_kernel(made.state).neighbors) == 1
    made.update(bid(3), lifetime=0)
    assert (made.bindings(), wanted_kernel(made.state).neighbors) == ({1: ETHERNET}, frozenset())


def test_it_gives_its_slot_to_another() -> None:
    made = Bench(home_link="eth1")
    hear(made, HomeLinkChanged(LINK))
    eight = [bid(number, ETHERNET + number) for number in range(1, 8)]
    made.update(*eight, bid(8, HOME, home=True), TOLD)
    made.now += 1
    hear(made, Tick())
    answer = made.update(bid(9, LTE), source=LTE)
    assert statuses(answer) == (0, {9: 0})
    assert len({one.slot for one in made.state.cache[HOME].bindings.values()}) == 8


@pytest.mark.parametrize(
    ("option", "status"),
    [
        (bid(3, LTE, home=True), Status.MCOA_MALFORMED),
        (bid(3, home=True), Status.MCOA_UNKNOWN_COA),
        (bid(3, HOME), Status.MCOA_MALFORMED),
    ],
)
def test_a_home_binding_is_for_the_home_address_and_nothing_else_is(option: BindingIdentifier, status: Status) -> None:
    made = bench()
    answer = made.update(bid(1, ETHERNET), option, TOLD)
    assert statuses(answer) == (Status.MCOA_NOTCOMPLETE, {1: 0, 3: status})


@pytest.mark.req("MCOA-49")
@pytest.mark.parametrize("told", [(), (LinkLayerAddress(2, bytes(8)),), (LinkLayerAddress(1, LAPTOP_AT_HOME),)])
def test_without_knowing_where_it_is_there_is_no_home_binding(told: tuple[Option, ...]) -> None:
    made = bench()
    answer = from_home(made, AT_HOME, *told)
    assert statuses(answer) == (Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED, {3: 0})
    assert made.bindings() == {1: ETHERNET, 2: WIFI}


def test_without_a_home_link_there_is_no_home_binding_and_one_that_is_there_does_not_count() -> None:
    made = bench(link=False)
    refused = from_home(made, AT_HOME, TOLD)
    assert statuses(refused) == (Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED, {3: 0})
    made = at_home()
    made.update(bid(1, ETHERNET, priority=2), replace(AT_HOME, priority=1), TOLD)
    hear(made, HomeLinkChanged(None))
    assert ways(made)[HOME_TABLE].tunnel == Encapsulate(ETHERNET)
    assert wanted_kernel(made.state).neighbors == frozenset()


@pytest.mark.req("HOME-11")
def test_who_is_at_home_is_answered_there_also_with_a_no() -> None:
    made = bench()
    refused = from_home(made, AT_HOME, TOLD, sequence=1)
    assert refused is not None
    assert refused.status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
    assert wanted_kernel(made.state).neighbors == {Neighbor(LINK.index, HOME, LAPTOP_AT_HOME)}
    from_home(made, AT_HOME, TOLD, sequence=1)
    made.update(bid(1, ETHERNET), sequence=made.sequence + 200)
    assert wanted_kernel(made.state).neighbors == frozenset()


def test_what_is_asked_of_it_goes_home_without_a_routing_header() -> None:
    made = at_home()
    from_home(made, replace(AT_HOME, priority=1), TOLD)
    made.now += 0.9 * 600
    hear(made, Tick())
    asked = [one.packet for one in made.commands if isinstance(one, Send)]
    assert [(one.destination, one.home_address) for one in asked] == [(HOME, None)]
    assert isinstance(decode(asked[0].data), BindingRefreshRequest)
    event = RevocationRequested(HOME, frozenset((1, 2)), RevocationTrigger.ADMINISTRATIVE_REASON)
    made.state, made.commands = agent.step(made.state, event, made.now)
    assert isinstance(decode(made.answer.data), BindingRevocationIndication)
    assert (made.answer.destination, made.answer.home_address) == (HOME, None)


def test_it_outlives_a_restart() -> None:
    made = at_home()
    cache = restore(save(made.state.cache))
    assert cache[HOME].hardware_address == LAPTOP_AT_HOME
