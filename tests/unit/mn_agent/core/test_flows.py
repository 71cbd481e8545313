"""A policy's flows as traffic selectors, and as lookups."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from mip6.wire.traffic_selectors import Ipv6Selector, Span
from mn_agent.core.flows import prepare, selectors
from mn_agent.core.policy_file import FlowRule, Policy

CALL = FlowRule(name="call", protocol=(17,), port=(Span(5060, 5061),), dscp=(Span.only(46),))
MINE = FlowRule(name="mine", user="1000")
BACKUP = FlowRule(name="backup", cgroup="user.slice/backup.service")


@pytest.mark.req("FLOW-12")
def test_selectors_are_written_as_the_home_agent_sees_packets() -> None:
    rule = FlowRule(
        name="all",
        protocol=(6,),
        port=(Span.only(443),),
        local_port=(Span(1024, 2047),),
        to=(IPv6Network("2001:db8:9::/48"),),
        dscp=(Span.only(10),),
        flow_label=(Span.only(7),),
    )
    assert list(selectors(rule)) == [
        Ipv6Selector(
            source=Span(IPv6Address("2001:db8:9::"), IPv6Address("2001:db8:9:ffff:ffff:ffff:ffff:ffff")),
            source_port=Span.only(443),
            destination_port=Span(1024, 2047),
            dscp=Span.only(10),
            flow_label=Span.only(7),
            next_header=Span.only(6),
        )
    ]
    assert list(selectors(FlowRule(name="sa", spi=(Span.only(4096),)))) == [Ipv6Selector(spi=Span.only(4096))]


def test_lists_make_one_selector_for_each_combination() -> None:
    rule = FlowRule(name="web", protocol=(6, 17), port=(Span.only(80), Span.only(443)))
    assert len(list(selectors(rule))) == 4


@pytest.mark.req("FLOW-15")
def test_every_selector_has_an_identifier_and_a_priority_of_its_own() -> None:
    web = FlowRule(name="web", protocol=(6, 17), port=(Span.only(80), Span.only(443)))
    flows = prepare("name", Policy(description="", flow=(CALL, web)), {})
    assert [(one.fid, one.rule.name) for one in flows.selected] == [(1, "call"), *((fid, "web") for fid in range(2, 6))]


def test_what_only_this_machine_can_tell_is_not_told_to_the_home_agent() -> None:
    flows = prepare("name", Policy(description="", flow=(MINE,)), {})
    assert flows.selected == ()
    assert any("meta skuid 1000" in rule for rule in flows.found.from_mobile_node)


def test_a_control_group_that_does_not_exist_is_waited_for() -> None:
    policy = Policy(description="", flow=(BACKUP, CALL))
    flows = prepare("name", policy, {})
    assert flows.missing == {"backup"}
    there = prepare("name", policy, {"user.slice/backup.service": 7})
    assert there.missing == frozenset()
    condition = 'socket cgroupv2 level 2 "user.slice/backup.service"'
    assert any(condition in rule for rule in there.found.from_mobile_node)
    again = prepare("name", policy, {"user.slice/backup.service": 8})
    assert set(again.found.sets).isdisjoint(there.found.sets), "only a new rule finds a group that was made anew"
