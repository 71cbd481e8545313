"""What an authentic update does to the bindings: RFC 5648 section 6.2 as a table."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from home_agent.core import agent
from home_agent.core.cache import MAX_DELETE_BCE_TIMEOUT_S, PLAIN
from home_agent.core.events import Tick
from mip6.wire.options import BindingIdentifier, MalformedBindingIdentifier
from mip6.wire.registry import Status
from tests.unit.home_agent.core.updates import ETHERNET, LTE, WIFI, A, Bench, H, O, bid, statuses


def held(**changes: object) -> Bench:
    """Ethernet and wifi are registered."""
    bench = Bench(**changes)
    bench.update(bid(1, ETHERNET, priority=2))
    bench.update(bid(2, WIFI, priority=3), source=WIFI)
    return bench


@pytest.mark.req("MCOA-62", "MCOA-64", "MCOA-15", "HA-20")
def test_a_new_binding_is_added() -> None:
    bench = held()
    answer = bench.update(bid(3, LTE), source=LTE)
    assert statuses(answer) == (0, {3: 0})
    assert bench.bindings() == {1: ETHERNET, 2: WIFI, 3: LTE}


@pytest.mark.req("MCOA-62")
def test_a_known_binding_gets_another_care_of_address() -> None:
    bench = held()
    answer = bench.update(bid(1, LTE), source=LTE)
    assert statuses(answer) == (0, {1: 0})
    assert bench.bindings() == {1: LTE, 2: WIFI}


@pytest.mark.req("MCOA-16", "MCOA-60")
def test_several_bindings_in_one_update() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), bid(2, WIFI), bid(3, LTE))
    assert statuses(answer) == (0, {1: 0, 2: 0, 3: 0})
    assert bench.bindings() == {1: ETHERNET, 2: WIFI, 3: LTE}


@pytest.mark.req("MCOA-11", "MCOA-13", "MCOA-62")
def test_a_known_binding_may_leave_its_care_of_address_out() -> None:
    bench = held()
    before = bench.entry
    assert before is not None
    answer = bench.update(bid(1))
    assert statuses(answer) == (0, {1: 0})
    assert bench.bindings() == {1: ETHERNET, 2: WIFI}
    assert bench.entry is not None
    assert bench.entry.bindings[1].expires_at > before.bindings[1].expires_at


@pytest.mark.req("MCOA-13", "MCOA-62", "MCOA-64")
def test_an_unknown_binding_may_not() -> None:
    bench = held()
    assert statuses(bench.update(bid(3))) == (Status.MCOA_UNKNOWN_COA, {3: 0})
    assert statuses(bench.update(bid(1), bid(3))) == (Status.MCOA_NOTCOMPLETE, {1: 0, 3: Status.MCOA_UNKNOWN_COA})
    assert bench.bindings() == {1: ETHERNET, 2: WIFI}


@pytest.mark.req("MCOA-63", "MCOA-15")
def test_overwriting_replaces_everything_but_still_knows_the_old_addresses() -> None:
    bench = held()
    answer = bench.update(bid(1), bid(3, LTE), flags=A | H | O)
    assert statuses(answer) == (0, {1: 0, 3: 0})
    assert bench.bindings() == {1: ETHERNET, 3: LTE}


def test_an_update_that_is_wholly_refused_overwrites_nothing() -> None:
    bench = held()
    answer = bench.update(bid(7), flags=A | H | O)
    assert statuses(answer) == (Status.MCOA_UNKNOWN_COA, {7: 0})
    assert bench.bindings() == {1: ETHERNET, 2: WIFI}


@pytest.mark.req("MCOA-62", "MCOA-01", "MCOA-07")
def test_an_option_of_a_wrong_length_makes_the_whole_update_malformed() -> None:
    bench = held()
    before = bench.bindings()
    assert statuses(bench.update(bid(3, LTE), MalformedBindingIdentifier(bytes(7)))) == (Status.MCOA_MALFORMED, {3: 0})
    assert bench.bindings() == before


@pytest.mark.req("MCOA-03", "MCOA-62", "FMT-09")
@pytest.mark.parametrize(
    ("option", "status"),
    [
        (bid(0, LTE), Status.MCOA_MALFORMED),
        (bid(3, IPv6Address("fe80::1")), Status.MCOA_MALFORMED),
        (bid(3, IPv6Address("ff0e::1")), Status.MCOA_MALFORMED),
        (BindingIdentifier(3, care_of=IPv4Address("192.0.2.1")), Status.INVALID_CARE_OF_ADDRESS),
        (bid(3, LTE, home=True), Status.MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED),
    ],
)
def test_a_bad_option_fails_alone(option: BindingIdentifier, status: Status) -> None:
    bench = held()
    answer = bench.update(bid(1, ETHERNET), option)
    assert statuses(answer) == (Status.MCOA_NOTCOMPLETE, {1: 0, option.bid: status})
    assert bench.bindings() == {1: ETHERNET, 2: WIFI}


def test_the_same_identifier_twice_is_malformed() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), bid(1, WIFI))
    assert statuses(answer)[0] == Status.MCOA_MALFORMED


@pytest.mark.req("MCOA-27", "MCOA-62", "MCOA-64")
def test_one_binding_is_deleted() -> None:
    bench = held()
    answer = bench.update(bid(1), lifetime=0)
    assert answer is not None
    assert answer.lifetime == 0
    assert statuses(answer) == (0, {1: 0})
    assert bench.bindings() == {2: WIFI}


@pytest.mark.req("MCOA-62")
def test_deleting_what_is_not_there_draws_133_for_that_option() -> None:
    bench = held()
    none = Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE
    assert statuses(bench.update(bid(7), lifetime=0)) == (none, {7: 0})
    assert statuses(bench.update(bid(7), bid(1), lifetime=0)) == (Status.MCOA_NOTCOMPLETE, {7: none, 1: 0})
    assert bench.bindings() == {2: WIFI}


@pytest.mark.req("MCOA-62", "MCOA-08")
def test_overwriting_means_nothing_in_a_deregistration() -> None:
    bench = held()
    bench.update(bid(1), lifetime=0, flags=A | H | O)
    assert bench.bindings() == {2: WIFI}


@pytest.mark.req("MCOA-61", "MCOA-27", "HOME-10")
def test_a_deregistration_without_identifier_deletes_everything() -> None:
    bench = held()
    answer = bench.update(lifetime=0)
    assert answer is not None
    assert (answer.status, answer.lifetime) == (0, 0)
    assert bench.bindings() == {}


@pytest.mark.req("HOME-10")
def test_deregistering_without_a_binding_draws_133() -> None:
    bench = Bench()
    answer = bench.update(lifetime=0)
    assert answer is not None
    assert answer.status == Status.NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE


@pytest.mark.req("HOME-09")
def test_a_late_update_after_the_end_still_meets_its_sequence_number() -> None:
    bench = held()
    bench.update(lifetime=0, sequence=500)
    assert statuses(bench.update(bid(1, ETHERNET), sequence=499))[0] == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
    bench.now += MAX_DELETE_BCE_TIMEOUT_S
    bench.state, _ = agent.step(bench.state, Tick(), bench.now)
    assert bench.state.cache == {}
    assert statuses(bench.update(bid(1, ETHERNET), sequence=499))[0] == Status.ACCEPTED


@pytest.mark.req("MCOA-61")
def test_an_update_without_identifier_replaces_all_bindings_by_one() -> None:
    bench = held()
    answer = bench.update(source=LTE)
    assert statuses(answer) == (0, {})
    assert bench.bindings() == {PLAIN: LTE}


@pytest.mark.req("MCOA-62")
def test_identifiers_beside_a_plain_binding_draw_165_unless_they_overwrite() -> None:
    bench = Bench()
    bench.update(source=LTE)
    assert statuses(bench.update(bid(1, ETHERNET))) == (Status.MCOA_NON_MCOA_BINDING_EXISTS, {1: 0})
    assert bench.bindings() == {PLAIN: LTE}
    assert statuses(bench.update(bid(1, ETHERNET), flags=A | H | O)) == (0, {1: 0})
    assert bench.bindings() == {1: ETHERNET}


def test_several_care_of_addresses_can_be_prohibited() -> None:
    bench = Bench(several_care_of_addresses=False)
    assert statuses(bench.update(bid(1, ETHERNET))) == (Status.MCOA_PROHIBITED, {1: 0})
    assert statuses(bench.update()) == (0, {})


@pytest.mark.req("MCOA-70")
def test_bulk_registration_can_be_prohibited() -> None:
    bench = Bench(bulk_registration=False)
    answer = bench.update(bid(1, ETHERNET), bid(2, WIFI))
    assert statuses(answer) == (Status.MCOA_BULK_REGISTRATION_PROHIBITED, {1: 0, 2: 0})
    assert bench.bindings() == {}
    assert statuses(bench.update(bid(1, ETHERNET))) == (0, {1: 0})


@pytest.mark.req("SC-02", "MCOA-70")
def test_nobody_has_traffic_sent_to_an_address_that_he_does_not_send_from_if_that_is_asked_for() -> None:
    bench = Bench(bulk_registration=False)
    assert statuses(bench.update(bid(1, WIFI), source=ETHERNET)) == (Status.INVALID_CARE_OF_ADDRESS, {1: 0})
    assert bench.bindings() == {}
    assert statuses(bench.update(bid(1, ETHERNET), source=ETHERNET)) == (0, {1: 0})
    assert statuses(bench.update(bid(1, LTE), source=ETHERNET)) == (Status.INVALID_CARE_OF_ADDRESS, {1: 0})
    assert bench.bindings() == {1: ETHERNET}
    for care_of in (None, ETHERNET):
        assert statuses(bench.update(bid(1, care_of), source=WIFI)) == (0, {1: 0}), "it is known"
    assert statuses(Bench().update(bid(1, WIFI), source=ETHERNET)) == (0, {1: 0}), "else nobody asks for it"


def test_a_node_has_only_so_many_bindings() -> None:
    bench = held(max_bindings=2)
    answer = bench.update(bid(2, WIFI), bid(3, LTE))
    assert statuses(answer) == (Status.MCOA_NOTCOMPLETE, {2: 0, 3: Status.INSUFFICIENT_RESOURCES})
    assert set(bench.bindings()) == {1, 2}


@pytest.mark.req("HA-08", "REG-18")
def test_the_lifetime_is_never_longer_than_asked_for_nor_than_allowed() -> None:
    bench = Bench(max_lifetime_s=400)
    long, short = bench.update(bid(1, ETHERNET), lifetime=30000), bench.update(bid(1, ETHERNET), lifetime=10)
    assert long is not None
    assert short is not None
    assert (long.lifetime, short.lifetime) == (100, 10)


@pytest.mark.req("MCOA-64", "MCOA-05")
def test_the_answer_has_every_identifier_and_no_care_of_address() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET, priority=7), bid(2, WIFI, priority=9))
    assert answer is not None
    copies = [option for option in answer.options if isinstance(option, BindingIdentifier)]
    assert [(copy.bid, copy.priority, copy.care_of) for copy in copies] == [(1, 7, None), (2, 9, None)]


@pytest.mark.req("MCOA-66")
def test_every_update_moves_the_sequence_number_of_all_bindings() -> None:
    bench = held()
    bench.update(bid(1, ETHERNET), sequence=900)
    assert statuses(bench.update(bid(2, WIFI), source=WIFI, sequence=900))[0] == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW
