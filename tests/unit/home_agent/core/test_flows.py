"""What a Binding Update does to flows, and the answers (RFC 6089 section 5.3)."""

import pytest

from home_agent.core import saved
from home_agent.core.flows import Flow
from home_agent.core.kernel import wanted_kernel
from mip6.wire.flows import BindingReference, MalformedSuboption, Suboption, UnknownSuboption
from mip6.wire.messages import BindingAcknowledgement
from mip6.wire.options import FlowIdentification, FlowSummary, Option
from mip6.wire.registry import FlowStatus, Status
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span, UnknownSelector
from tests.unit.home_agent.core.updates import ETHERNET, HOME, LTE, WIFI, Bench, bid, statuses

SIP = Ipv6Selector(destination_port=Span.only(5060))
WEB = Ipv6Selector(source_port=Span(80, 443))


def flow(fid: int, *suboptions: Suboption, priority: int = 7) -> FlowIdentification:
    return FlowIdentification(fid, priority, suboptions=suboptions)


def to(*bids: int) -> BindingReference:
    return BindingReference(bids)


def bench(**changes: object) -> Bench:
    """With three bindings."""
    made = Bench(**changes)
    made.update(bid(1, ETHERNET, priority=1), bid(2, WIFI, priority=2), bid(3, LTE, priority=3))
    return made


def say(on: Bench, *options: Option) -> tuple[list[tuple[int, int]], dict[int, Flow]]:
    """Refresh binding 1 and say this of flows; gives the answers about flows, and the flows."""
    answer = on.update(bid(1, ETHERNET, priority=1), *options)
    assert answer is not None
    assert on.entry is not None
    return answers(answer), dict(on.entry.flows)


def answers(answer: BindingAcknowledgement) -> list[tuple[int, int]]:
    return [(option.fid, option.status) for option in answer.options if isinstance(option, FlowIdentification)]


@pytest.mark.req("FLOW-16", "FLOW-30")
def test_a_flow_with_selector_and_binding_is_taken() -> None:
    assert say(bench(), flow(1, SIP, to(3))) == ([(1, FlowStatus.ACCEPTED)], {1: Flow(1, 7, SIP, (3,))})


@pytest.mark.req("FLOW-30")
def test_the_answer_has_priority_and_status_and_leaves_out_what_need_not_be_repeated() -> None:
    answer = bench().update(bid(1, ETHERNET, priority=9), flow(5, SIP, to(3), priority=300))
    assert answer is not None
    (option,) = [option for option in answer.options if isinstance(option, FlowIdentification)]
    assert option == FlowIdentification(5, 300, FlowStatus.ACCEPTED)
    assert bid(1, priority=9) in answer.options


@pytest.mark.req("FLOW-21")
def test_a_flow_may_name_a_binding_of_the_same_update() -> None:
    made = Bench()
    answer = made.update(flow(1, SIP, to(1)), bid(1, ETHERNET))
    assert answer is not None
    assert answers(answer) == [(1, FlowStatus.ACCEPTED)]


@pytest.mark.req("FLOW-23", "FLOW-06", "FLOW-07", "FLOW-10")
@pytest.mark.parametrize(
    ("option", "status"),
    [
        (flow(1, to(1)), FlowStatus.MALFORMED),
        (flow(1, SIP), FlowStatus.MALFORMED),
        (flow(1), FlowStatus.MALFORMED),
        (flow(1, SIP, to()), FlowStatus.MALFORMED),
        (flow(1, SIP, WEB, to(1)), FlowStatus.MALFORMED),
        (flow(1, SIP, to(1), to(2)), FlowStatus.MALFORMED),
        (flow(0, SIP, to(1)), FlowStatus.MALFORMED),
        (flow(1, SIP, to(1), priority=0), FlowStatus.MALFORMED),
        (flow(1, MalformedSuboption(3, bytes((2, 0, 0))), to(1)), FlowStatus.MALFORMED),
        (flow(1, UnknownSelector(9, bytes(4)), to(1)), FlowStatus.TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED),
        (flow(1, SIP, to(9)), FlowStatus.BID_NOT_FOUND),
        (flow(1, SIP, to(1, 9)), FlowStatus.BID_NOT_FOUND),
    ],
)
def test_a_flow_that_is_wrong_is_refused_and_nothing_else(option: FlowIdentification, status: FlowStatus) -> None:
    made = bench()
    found, flows = say(made, option, flow(2, WEB, to(2)))
    assert (found, set(flows)) == ([(option.fid, status), (2, FlowStatus.ACCEPTED)], {2})
    assert set(made.bindings()) == {1, 2, 3}


def test_unknown_suboptions_are_skipped() -> None:
    assert say(bench(), flow(1, UnknownSuboption(77, b"?"), SIP, to(1)))[0] == [(1, FlowStatus.ACCEPTED)]


def test_ipv4_selectors_are_taken_too() -> None:
    selector = Ipv4Selector(destination_port=Span.only(5060))
    assert say(bench(), flow(1, selector, to(1)))[1] == {1: Flow(1, 7, selector, (1,))}


@pytest.mark.req("FLOW-14", "FLOW-25", "FLOW-19")
def test_what_an_update_does_not_name_is_removed() -> None:
    made = bench()
    say(made, flow(1, SIP, to(3)), flow(2, WEB, to(2)))
    assert set(say(made, FlowSummary((2,)))[1]) == {2}
    assert say(made)[1] == {}, "a refresh too"


@pytest.mark.req("FLOW-18", "FLOW-24")
def test_a_summary_keeps_flows_and_says_which_are_unknown() -> None:
    made = bench()
    say(made, flow(1, SIP, to(3)), flow(2, WEB, to(2)))
    found, flows = say(made, FlowSummary((2, 1, 2)), FlowSummary((8, 1, 8)))
    assert (found, flows) == (
        [(8, FlowStatus.FID_NOT_FOUND)],
        {1: Flow(1, 7, SIP, (3,)), 2: Flow(2, 7, WEB, (2,))},
    )


@pytest.mark.req("FLOW-17")
def test_a_change_says_only_what_is_new() -> None:
    made = bench()
    say(made, flow(1, SIP, to(3)))
    assert say(made, flow(1, to(2), priority=9))[1] == {1: Flow(1, 9, SIP, (2,))}
    assert say(made, flow(1, WEB))[1] == {1: Flow(1, 7, WEB, (2,))}
    assert say(made, flow(1, priority=3))[1] == {1: Flow(1, 3, WEB, (2,))}


def test_a_change_that_is_refused_leaves_the_flow_as_it_was() -> None:
    made = bench()
    _, flows = say(made, flow(1, SIP, to(3)))
    assert say(made, flow(1, to(9))) == ([(1, FlowStatus.BID_NOT_FOUND)], flows)


@pytest.mark.req("FLOW-22")
def test_a_flow_that_is_described_twice_spoils_all_flow_options_and_no_binding() -> None:
    made = bench()
    _, flows = say(made, flow(1, SIP, to(3)))
    found, after = say(made, flow(2, WEB, to(1)), flow(3, SIP, to(1)), flow(2, WEB, to(2)))
    assert found == [(2, FlowStatus.MALFORMED), (3, FlowStatus.MALFORMED), (2, FlowStatus.MALFORMED)]
    assert after == flows
    assert set(made.bindings()) == {1, 2, 3}


@pytest.mark.req("FLOW-26", "FLOW-19")
def test_a_flow_sleeps_while_all_its_bindings_are_gone() -> None:
    made = bench()
    say(made, flow(1, SIP, to(2, 3)))

    def active() -> list[int]:
        assert made.entry is not None
        return [one.fid for one in made.entry.active_flows]

    made.update(bid(3), FlowSummary((1,)), lifetime=0)
    assert active() == [1]
    made.update(bid(2), FlowSummary((1,)), lifetime=0)
    assert active() == []
    assert made.entry is not None
    assert set(made.entry.flows) == {1}
    made.update(bid(2, WIFI), FlowSummary((1,)), source=WIFI)
    assert active() == [1]


@pytest.mark.req("FLOW-31")
def test_with_the_last_binding_all_flows_are_gone() -> None:
    made = bench()
    say(made, flow(1, SIP, to(3)))
    answer = made.update(lifetime=0)
    assert statuses(answer)[0] == Status.ACCEPTED
    made.update(bid(1, ETHERNET), FlowSummary((1,)))
    assert made.entry is not None
    assert made.entry.flows == {}


def test_a_binding_that_runs_out_takes_no_flow_with_it_but_the_last_does() -> None:
    made = bench()
    say(made, flow(1, SIP, to(3)))
    made.now += 3600
    made.update(lifetime=0)
    assert made.entry is not None
    assert made.entry.flows == {}


def test_there_is_a_limit_for_each_mobile_node() -> None:
    made = bench(max_flows=2)
    found, flows = say(made, *(flow(fid, SIP, to(1), priority=fid) for fid in (1, 2, 3)))
    assert [status for _, status in found] == [0, 0, FlowStatus.ADMINISTRATIVELY_PROHIBITED]
    assert set(flows) == {1, 2}
    found, flows = say(made, flow(3, SIP, to(1)), flow(1, to(2)), flow(2, to(2)))
    assert [status for _, status in found] == [FlowStatus.ADMINISTRATIVELY_PROHIBITED, 0, 0]
    assert say(made, flow(3, SIP, to(1)), FlowSummary((1,)))[0] == [(3, FlowStatus.ACCEPTED)]


@pytest.mark.req("FLOW-20")
def test_a_home_agent_that_binds_no_flows_says_nothing_of_them() -> None:
    assert say(bench(max_flows=0), flow(1, SIP, to(1)), FlowSummary((2,))) == ([], {})


@pytest.mark.req("FLOW-30")
def test_the_status_of_the_bindings_says_nothing_of_flows() -> None:
    made = bench()
    answer = made.update(bid(1, ETHERNET), flow(1, SIP, to(9)))
    assert statuses(answer) == (Status.ACCEPTED, {1: Status.ACCEPTED})


@pytest.mark.req("FLOW-29")
def test_an_answer_goes_where_the_update_came_from_whatever_flows_say() -> None:
    made = bench()
    say(made, flow(1, Ipv6Selector(next_header=Span.only(135)), to(3)), flow(2, Ipv6Selector(), to(3)))
    made.update(bid(2, WIFI, priority=2), FlowSummary((1, 2)), source=WIFI)
    assert made.answer.destination == WIFI
    table = wanted_kernel(made.state).table
    assert table is not None
    assert set(table.elements["node"]) == {HOME}, "what goes to a care-of address belongs to no flow"


def test_flows_survive_a_restart_as_they_were() -> None:
    made = bench()
    say(made, flow(1, SIP, to(3)), flow(2, Ipv4Selector(spi=Span(1, 2)), to(2, 1)))
    assert saved.restore(saved.save(made.state.cache)) == made.state.cache
    damaged = [saved.SavedFlow(1, 1, "0900", (1,))]
    (entry,) = saved.save(made.state.cache)
    with pytest.raises(ValueError, match="traffic selector of format 9"):
        saved.restore(
            (saved.SavedEntry(**{name: getattr(entry, name) for name in entry.__slots__} | {"flows": damaged}),)
        )
