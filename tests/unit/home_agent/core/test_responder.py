"""Who may register, and is the update fresh."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from home_agent.core.agent import step
from home_agent.core.cache import is_fresh
from home_agent.core.events import PacketReceived, SendIcmp
from mip6 import auth
from mip6.reception import ERROR_BURST, ERRORS_PER_S
from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet, build_to_mobile_node
from mip6.wire.messages import BindingError, BindingUpdate, HomeTestInit, decode, encode
from mip6.wire.options import (
    BindingRefreshAdvice,
    MessageReplayProtection,
    NonceIndices,
    Option,
    UnknownOption,
    VendorSpecific,
)
from mip6.wire.registry import BindingErrorStatus, BindingUpdateFlag, Status
from tests.unit.home_agent.core.updates import (
    ETHERNET,
    HOME,
    KEY,
    LAPTOP,
    LTE,
    OTHER_HOME,
    OTHER_KEY,
    OWN,
    ROUTER,
    WIFI,
    A,
    Bench,
    H,
    K,
    R,
    bid,
    statuses,
    timestamp,
)


@pytest.mark.req("HA-01")
def test_the_sequence_window_exhaustively() -> None:
    """The window as the requirement draws it, for every pair of numbers in steps that meet every edge."""
    for last in (0, 1, 15, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xFFFE, 0xFFFF):
        refused = {(last - back) % 0x10000 for back in range(0x8000 + 1)}
        for sequence in range(0x10000):
            assert is_fresh(sequence, last) is (sequence not in refused)


@pytest.mark.req("HA-01", "HA-02")
@pytest.mark.parametrize(
    ("sequence", "fresh"), [(0, False), (15, False), (16, True), (32782, True), (32783, False), (65535, False)]
)
def test_a_sequence_number_out_of_window_draws_135_with_the_last_one(sequence: int, *, fresh: bool) -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET), sequence=15)
    before = bench.entry
    answer = bench.update(bid(2, WIFI), sequence=sequence, source=WIFI)
    assert answer is not None
    if fresh:
        assert (answer.status, answer.sequence) == (0, sequence)
        assert set(bench.bindings()) == {1, 2}
    else:
        assert (answer.status, answer.sequence) == (Status.SEQUENCE_NUMBER_OUT_OF_WINDOW, 15)
        assert bench.entry == before


@pytest.mark.req("HA-01")
def test_any_sequence_number_will_do_for_a_node_without_a_binding() -> None:
    for sequence in (0, 1, 0x7FFF, 0x8000, 0xFFFF):
        bench = Bench()
        answer = bench.update(bid(1, ETHERNET), sequence=sequence)
        assert answer is not None
        assert answer.status == Status.ACCEPTED


@pytest.mark.req("HA-03")
def test_a_home_registration_does_not_turn_into_another_kind() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    before = bench.entry
    answer = bench.update(bid(1, ETHERNET), flags=A)
    assert answer is not None
    assert answer.status == Status.REGISTRATION_TYPE_CHANGE_DISALLOWED
    assert bench.entry == before


def test_what_is_no_home_registration_is_dropped() -> None:
    bench = Bench()
    assert bench.update(bid(1, ETHERNET), flags=A) is None
    assert bench.state.dropped == {"not a home registration": 1}


@pytest.mark.req("HA-04")
def test_nonce_indices_do_not_go_with_a_home_registration() -> None:
    bench = Bench()
    assert bench.update(bid(1, ETHERNET), NonceIndices(1, 2)) is None
    assert bench.state.dropped == {"home registration with nonce indices": 1}
    assert bench.entry is None


@pytest.mark.req("HA-05")
def test_a_home_address_that_is_not_ours_to_serve_draws_132() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), home_address=IPv6Address("2001:db8:e00::1"))
    assert answer is not None
    assert answer.status == Status.NOT_HOME_SUBNET
    assert bench.state.cache == {}


@pytest.mark.req("HA-06", "SC-01", "SEC-31")
def test_nobody_registers_the_home_address_of_another_node() -> None:
    bench = Bench()
    bench.update(bid(1, WIFI), node=ROUTER, home_address=OTHER_HOME, source=WIFI)
    before = bench.state.cache
    assert bench.update(bid(1, ETHERNET), home_address=OTHER_HOME) is None
    assert bench.state.cache == before
    assert bench.state.dropped == {"home address of another mobile node": 1}


@pytest.mark.req("HA-06")
def test_without_a_home_address_option_the_source_is_the_home_address() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), home_address=None, source=ETHERNET)
    assert answer is not None
    assert answer.status == Status.NOT_HOME_SUBNET


@pytest.mark.req("FMT-09")
@pytest.mark.parametrize("source", ["fe80::1", "ff02::1", "::"])
def test_an_address_that_cannot_be_routed_to_is_no_care_of_address(source: str) -> None:
    bench = Bench()
    assert bench.update(bid(1), source=IPv6Address(source)) is None
    assert bench.state.dropped == {"care-of address not routable": 1}


@pytest.mark.req("HA-10")
def test_a_home_registration_is_acknowledged_asked_or_not() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), flags=H)
    assert answer is not None
    assert answer.status == Status.ACCEPTED


@pytest.mark.req("HA-11", "REG-05")
def test_without_dynamic_keys_there_is_no_k_bit() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), flags=A | H | K)
    assert answer is not None
    assert answer.flags == 0


@pytest.mark.req("FMT-08")
def test_reserved_flags_change_nothing() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), flags=A | H | BindingUpdateFlag(0x001F))
    assert answer is not None
    assert answer.status == Status.ACCEPTED


@pytest.mark.req("HA-13")
def test_the_answer_goes_to_the_source_of_the_update_whatever_the_cache_says() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET, priority=1))
    bench.update(bid(2, WIFI, priority=2), source=WIFI)
    assert (bench.answer.source, bench.answer.destination, bench.answer.home_address) == (OWN, WIFI, HOME)
    wire = build_to_mobile_node(bench.answer)
    assert wire[24:40] == WIFI.packed
    assert wire[40:44] == bytes((135, 2, 2, 1)), "a type 2 routing header with one segment left"
    assert wire[48:64] == HOME.packed


@pytest.mark.req("HA-13")
def test_without_home_address_option_there_is_no_routing_header() -> None:
    bench = Bench()
    bench.update(lifetime=0, home_address=None, source=HOME)
    assert bench.answer.home_address is None
    assert bench.answer.destination == HOME


@pytest.mark.req("AUTH-04")
def test_a_wrong_authenticator_draws_146_and_leaves_no_trace() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), key=OTHER_KEY)
    assert answer is not None
    assert answer.status == Status.MIPV6_AUTH_FAIL
    assert bench.state.cache == {}
    assert bench.state.dropped == {"authenticator is wrong": 1}
    assert auth.verify(bench.answer.data, answer, KEY, ETHERNET, HOME), "the answer proves who sent it"


@pytest.mark.req("AUTH-04", "HA-06")
def test_without_a_security_association_there_is_no_answer() -> None:
    bench = Bench()
    assert bench.update(bid(1, ETHERNET), signed=False) is None
    assert bench.update(bid(1, ETHERNET), node=replace(LAPTOP, identity="nobody@example.org")) is None
    assert bench.update(bid(1, ETHERNET), node=replace(LAPTOP, spi=300)) is None
    assert bench.state.cache == {}
    assert bench.state.dropped == {
        "not authenticated": 1,
        "unknown mobile node": 1,
        "unknown security parameter index": 1,
    }


@pytest.mark.req("AUTH-04")
def test_answers_to_strangers_are_limited() -> None:
    bench = Bench()
    bench.pause_s = 0.001
    answers = [bench.update(bid(1, ETHERNET), key=OTHER_KEY) for _ in range(500)]
    assert None in answers
    assert bench.update(bid(1, ETHERNET)) is not None, "who proves to be one of ours is always answered"


@pytest.mark.req("AUTH-07")
def test_a_missing_timestamp_draws_145() -> None:
    bench = Bench()
    answer = bench.update(bid(1, ETHERNET), stamp=0)
    assert answer is not None
    assert answer.status == Status.MIPV6_MESG_ID_REQD
    assert bench.state.cache == {}


@pytest.mark.req("AUTH-07")
@pytest.mark.parametrize("error_s", [-7.5, 7.5])
def test_a_stale_timestamp_draws_144_with_our_seconds_and_its_fraction(error_s: float) -> None:
    bench = Bench()
    stamp = timestamp(bench.now + 0.01 + error_s)
    answer = bench.update(bid(1, ETHERNET), stamp=stamp)
    assert answer is not None
    assert answer.status == Status.MIPV6_ID_MISMATCH
    (told,) = [option.timestamp for option in answer.options if isinstance(option, MessageReplayProtection)]
    assert told & 0xFFFFFFFF == stamp & 0xFFFFFFFF
    assert told >> 32 == timestamp(bench.now) >> 32
    assert bench.state.cache == {}


@pytest.mark.req("AUTH-07")
def test_a_replayed_update_changes_nothing() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET))
    replayed = timestamp(bench.now)
    bench.update(lifetime=0)
    before = bench.entry
    answer = bench.update(bid(1, ETHERNET), stamp=replayed)
    assert answer is not None
    assert answer.status == Status.MIPV6_ID_MISMATCH
    assert bench.entry == before


@pytest.mark.req("AUTH-07")
def test_a_good_timestamp_is_echoed() -> None:
    bench = Bench()
    stamp = timestamp(bench.now + 3)
    answer = bench.update(bid(1, ETHERNET), stamp=stamp)
    assert answer is not None
    assert MessageReplayProtection(stamp) in answer.options


@pytest.mark.req("MH-08")
def test_a_bad_checksum_is_dropped_in_silence() -> None:
    bench = Bench()
    message = BindingUpdate(1, A | H, 150, ())
    assert bench.raw(Packet(ETHERNET, OWN, HOME, encode(message))) is None
    assert bench.commands == []
    assert bench.state.dropped == {"bad checksum": 1}


EXPERIMENT, UPDATE_NOTIFICATION, ITS_ACKNOWLEDGEMENT = 11, 19, 20
"""Mobility messages that are for others (RFC 5096 and RFC 7077)."""
EXPERIMENTAL_OPTION = 18
"""RFC 5096."""


@pytest.mark.req("MH-09", "FMT-07", "MH-12", "OPT-03", "OPT-05")
@pytest.mark.parametrize("kind", [99, EXPERIMENT, UPDATE_NOTIFICATION, ITS_ACKNOWLEDGEMENT])
def test_an_unknown_message_type_draws_a_binding_error(kind: int) -> None:
    bench = Bench()
    data = bytes((59, 1, kind, 0, 0, 0, 0, 1, 1, 6, 0, 0, 0, 0, 0, 0))
    with pytest.raises(AssertionError):
        bench.packet(Packet(ETHERNET, OWN, HOME, data))  # the answer is no acknowledgement
    error = decode(bench.answer.data)
    assert error == BindingError(BindingErrorStatus.UNRECOGNIZED_MH_TYPE, HOME, ())
    assert (bench.answer.destination, bench.answer.home_address) == (ETHERNET, None)


@pytest.mark.req("MH-10", "MH-11")
@pytest.mark.parametrize(
    ("data", "pointer"), [(bytes((6, 0, 5, 0, 0, 0, 0, 0)), 64), (bytes((59, 0, 5, 0, 0, 0, 0, 0)), 65)]
)
def test_a_wrong_header_draws_a_parameter_problem(data: bytes, pointer: int) -> None:
    bench = Bench()
    assert bench.packet(Packet(ETHERNET, OWN, HOME, data)) is None
    (error,) = [command.error for command in bench.commands if isinstance(command, SendIcmp)]
    assert (error.source, error.destination) == (OWN, ETHERNET)
    assert error.data[:2] == bytes((4, 0))
    assert int.from_bytes(error.data[4:8], "big") == pointer


@pytest.mark.req("MH-20")
def test_errors_are_limited_and_never_sent_to_many() -> None:
    bench = Bench()
    data = with_checksum(bytes((59, 0, 99, 0, 0, 0, 0, 0)), HOME, OWN)
    errors = 0
    for _ in range(1000):
        bench.now += 0.001
        bench.state, commands = step(bench.state, PacketReceived(Packet(ETHERNET, OWN, HOME, data)), bench.now)
        errors += len(commands)
    assert errors == ERROR_BURST + ERRORS_PER_S - 1
    bench.now += 10
    for source in ("ff02::1", "::"):
        assert bench.packet(Packet(IPv6Address(source), OWN, HOME, data)) is None
        assert bench.commands == []


def test_a_message_for_others_is_counted() -> None:
    bench = Bench()
    assert bench.packet(Packet(ETHERNET, OWN, None, encode(HomeTestInit(bytes(8))))) is None
    assert bench.state.dropped == {"HomeTestInit is not expected": 1}


@pytest.mark.req("OPT-01", "OPT-03", "MH-14")
@pytest.mark.parametrize("option", [VendorSpecific(1, 2, b"x"), UnknownOption(EXPERIMENTAL_OPTION, b"xy")])
def test_options_that_mean_nothing_to_us_are_skipped(option: Option) -> None:
    bench = Bench()
    answer = bench.update(option, bid(1, ETHERNET))
    assert statuses(answer) == (0, {1: 0})


@pytest.mark.req("NEMO-05")
def test_a_home_agent_that_serves_no_routers_says_so_and_does_not_grant_the_flag() -> None:
    bench = Bench(mobile_routers=False)
    answer = bench.update(bid(1, LTE), flags=A | H | R, source=LTE)
    assert answer is not None
    assert (answer.status, answer.flags) == (Status.MOBILE_ROUTER_OPERATION_NOT_PERMITTED, 0)


@pytest.mark.req("HA-12")
def test_no_refresh_is_advised_for_bindings_are_kept_over_a_restart() -> None:
    answer = Bench().update(bid(1, ETHERNET), lifetime=900)
    assert answer is not None
    assert not any(isinstance(option, BindingRefreshAdvice) for option in answer.options)
    assert answer.lifetime == 900
