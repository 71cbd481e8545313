"""What updates say of flows, and what their answers tell (RFC 6089 section 5.2)."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from mip6.wire.flows import BindingReference
from mip6.wire.options import FlowIdentification, FlowSummary
from mip6.wire.registry import FlowStatus
from mip6.wire.traffic_selectors import Ipv6Selector, Span
from mn_agent.core.flow_bindings import (
    FlowBinding,
    FlowEntry,
    FlowList,
    FlowRefusal,
    Told,
    acknowledged,
    expire,
    forget,
    is_due,
    sent,
    tell,
    want,
)

SIP = FlowBinding(1, Ipv6Selector(source_port=Span.only(5060)), (3,))
WEB = FlowBinding(2, Ipv6Selector(source_port=Span.only(443)), (2,))
PLENTY = 1000


def held(**flows: FlowBinding) -> FlowList:
    return {
        fid: FlowEntry(fid, wanted=flow, held=flow, claimed=True)
        for fid, flow in ((int(name[1:]), flow) for name, flow in flows.items())
    }


def answer(flows: FlowList, told: Told, **statuses: int) -> FlowList:
    options = [FlowIdentification(int(name[1:]), 1, status) for name, status in statuses.items()]
    return acknowledged(sent(flows, told), told, options, is_last=True, retry_at=60)


@pytest.mark.req("FLOW-16", "FLOW-17")
def test_a_new_flow_is_described_in_full() -> None:
    flows = want({}, {1: SIP})
    assert is_due(flows, (3,))
    told = tell(flows, (3,), PLENTY)
    assert told.options == [FlowIdentification(1, 1, suboptions=(SIP.selector, BindingReference((3,))))]
    after = answer(flows, told, f1=0)
    assert after == held(f1=SIP)
    assert not is_due(after, (3,))
    assert after[1].is_settled


@pytest.mark.req("FLOW-06")
def test_a_flow_waits_for_its_bindings() -> None:
    flows = want({}, {1: replace(SIP, bids=(3, 2))})
    assert not is_due(flows, (3,))
    assert tell(flows, (3,), PLENTY) == Told({}, ())
    assert is_due(flows, (3, 2))


@pytest.mark.req("FLOW-14", "FLOW-18")
def test_what_the_home_agent_holds_is_only_named() -> None:
    flows = want(held(f1=SIP, f2=WEB), {1: replace(SIP, bids=(2,)), 2: WEB})
    told = tell(flows, (2, 3), PLENTY)
    assert told.options == [
        FlowIdentification(1, 1, suboptions=(SIP.selector, BindingReference((2,)))),
        FlowSummary((2,)),
    ]


def test_what_is_wanted_as_before_changes_nothing() -> None:
    flows = held(f1=SIP)
    assert want(flows, {1: SIP}) is flows
    assert expire(flows, 0) is flows


@pytest.mark.req("FLOW-19")
def test_what_is_no_longer_wanted_is_left_out_until_that_is_confirmed() -> None:
    flows = want(held(f1=SIP, f2=WEB), {2: WEB})
    assert is_due(flows, (2, 3))
    told = tell(flows, (2, 3), PLENTY)
    assert told == Told({}, (2,))
    assert answer(flows, told) == held(f2=WEB)
    assert want({1: FlowEntry(1, wanted=SIP)}, {}) == {}, "what the home agent never heard of need not be removed"


def test_a_change_whose_bindings_are_not_there_yet_keeps_what_is_held() -> None:
    flows = want(held(f1=SIP), {1: replace(SIP, bids=(9,))})
    assert not is_due(flows, (3,))
    assert tell(flows, (3,), PLENTY) == Told({}, (1,))


@pytest.mark.req("FLOW-32")
def test_what_has_no_room_comes_later_and_summaries_are_split() -> None:
    many = {fid: replace(SIP, priority=fid) for fid in range(1, 31)}
    told = tell(want({}, many), (3,), 300)
    assert 0 < len(told.described) < 10
    assert sum(flow.octets for flow in told.described.values()) <= 300
    known = {fid: FlowEntry(fid, wanted=SIP, held=SIP, claimed=True) for fid in range(1, 301)}
    assert [len(option.fids) for option in tell(known, (3,), PLENTY).options] == [127, 127, 46]  # type: ignore[union-attr]


def test_an_update_that_was_not_answered_leaves_us_in_doubt() -> None:
    flows = want(held(f1=SIP, f2=WEB), {1: replace(SIP, bids=(2,)), 2: WEB})
    told = tell(flows, (2, 3), PLENTY)
    doubt = sent(flows, told)
    assert (doubt[1].held, doubt[1].claimed) == (None, True)
    assert doubt[2] == flows[2], "named in it, so it is there whether it arrived or not"
    assert tell(doubt, (2, 3), PLENTY) == told


def test_an_answer_to_an_update_that_was_overtaken_tells_nothing_of_what_it_described() -> None:
    flows = want({}, {1: SIP})
    told = tell(flows, (3,), PLENTY)
    later = acknowledged(sent(flows, told), told, [], is_last=False, retry_at=60)
    assert later[1].held is None


@pytest.mark.req("FLOW-20", "FLOW-04")
def test_a_flow_that_is_refused_is_left_alone_for_a_while() -> None:
    flows = want({}, {1: SIP, 2: WEB})
    told = tell(flows, (2, 3), PLENTY)
    after = answer(flows, told, f1=FlowStatus.ADMINISTRATIVELY_PROHIBITED, f2=0)
    assert after[1].refusal == FlowRefusal(128, 60)
    assert after[1].is_settled
    assert not is_due(after, (2, 3))
    assert tell(after, (2, 3), PLENTY) == Told({}, (2,))
    assert is_due(expire(after, 60), (2, 3))
    elsewhere = want(after, {1: replace(SIP, bids=(2,)), 2: WEB})
    assert elsewhere[1].refusal is None, "another wish, another answer"


def test_a_refusal_of_what_is_no_longer_wanted_does_not_count() -> None:
    flows = want({}, {1: SIP})
    told = tell(flows, (3,), PLENTY)
    changed = want(sent(flows, told), {1: replace(SIP, bids=(2,))})
    after = acknowledged(changed, told, [FlowIdentification(1, 1, FlowStatus.MALFORMED)], is_last=True, retry_at=60)
    assert after[1].refusal is None
    assert is_due(after, (2,))


@pytest.mark.req("FLOW-24")
def test_what_the_home_agent_does_not_know_is_described_again() -> None:
    flows = held(f1=SIP, f2=WEB)
    after = answer(flows, tell(flows, (2, 3), PLENTY), f1=FlowStatus.FID_NOT_FOUND)
    assert (after[1].held, after[1].claimed) == (None, False)
    assert tell(after, (2, 3), PLENTY).described == {1: SIP}


@pytest.mark.req("FLOW-31")
def test_a_home_agent_without_bindings_holds_no_flows() -> None:
    flows = want(held(f1=SIP, f2=WEB), {2: WEB})
    assert forget(flows) == {2: FlowEntry(2, wanted=WEB)}


def test_addresses_make_an_option_longer_and_it_is_reckoned_so() -> None:
    address = Span(IPv6Address("2001:db8::"), IPv6Address("2001:db8::ffff"))
    assert FlowBinding(1, Ipv6Selector(source=address), (1,)).octets - SIP.octets == 32 - 2
