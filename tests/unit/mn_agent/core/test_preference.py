"""The order of links, as priorities that both ends understand."""

from dataclasses import replace

import pytest

from mn_agent.core.policy import Choice, Decision, Record, View
from mn_agent.core.policy_file import Policy, Ranking
from mn_agent.core.preference import FIRST_PRIORITY, priorities

POLICY = Policy(description="", links=Ranking(order=("wifi", "dock", "ww*")))
NOTHING = Decision()

ETHERNET = View(1, "dock", "ethernet", "eth0", works=True)
WIFI = View(2, "wifi", "wifi", "wlan0", works=True)
LTE = View(3, "wwan0", "lte", "wwan0", works=True)
UNKNOWN = View(4, "tap7", "other", "tap7", works=True)
ALL = (ETHERNET, WIFI, LTE, UNKNOWN)


def on(bid: int) -> Choice:
    return Choice((bid,), 0.0, "")


def in_order(numbers: dict[int, int]) -> list[int]:
    return sorted(numbers, key=numbers.__getitem__)


@pytest.mark.req("FLOW-01")
def test_priorities_follow_the_order_of_the_policy() -> None:
    numbers = dict(priorities(POLICY, (), ALL, NOTHING))
    assert in_order(numbers) == [2, 1, 3, 4]
    assert len(set(numbers.values())) == 4
    assert all(FIRST_PRIORITY < number <= 127 for number in numbers.values())


def test_without_an_order_of_its_own_the_policy_takes_the_configurations() -> None:
    anyhow = Policy(description="")
    assert in_order(dict(priorities(anyhow, ("lte", "ethernet"), ALL, NOTHING))) == [3, 1, 2, 4]


@pytest.mark.req("FLOW-01")
def test_when_one_link_comes_or_goes_the_numbers_of_the_others_stay() -> None:
    """So that the home agent falls back by itself, and need not be told."""
    everything = priorities(POLICY, (), ALL, NOTHING)
    for gone in ALL:
        left = [view for view in ALL if view != gone]
        assert priorities(POLICY, (), left, NOTHING) == {view.bid: everything[view.bid] for view in left}


def test_a_long_list_stays_within_seven_bits() -> None:
    long = Policy(description="", links=Ranking(order=tuple(f"link{number}" for number in range(40))))
    views = [replace(UNKNOWN, bid=bid) for bid in range(1, 9)]
    waits = Decision(waiting={view.bid: 9.0 for view in views})
    assert max(priorities(long, (), views, waits).values()) <= 127


def test_a_link_that_has_to_prove_itself_comes_after_those_that_have() -> None:
    waits = Decision(default=on(1), waiting={2: 9.0})
    assert in_order(dict(priorities(POLICY, (), ALL, waits)))[-1] == 2
    # And one that failed just now will have to: the number it is to come back with is told before it comes back
    failed = replace(WIFI, works=False)
    later = Decision(default=on(1), records={2: Record(1, None)})
    assert in_order(dict(priorities(POLICY, (), (ETHERNET, failed, LTE), later)))[-1] == 2
    at_once = Policy(description="", links=replace(POLICY.links, return_after_s=0))
    assert in_order(dict(priorities(at_once, (), (ETHERNET, failed, LTE), later)))[0] == 2


def test_a_link_that_is_about_to_go_comes_last() -> None:
    leaving = replace(WIFI, works=False, leaving=True)
    waits = Decision(default=on(1), waiting={3: 9.0})
    assert in_order(dict(priorities(POLICY, (), (ETHERNET, leaving, LTE), waits))) == [1, 3, 2]
    # Where all are, the one that carries is still the first for both ends
    all_leaving = [replace(view, leaving=True) for view in ALL]
    assert in_order(dict(priorities(POLICY, (), all_leaving, Decision(default=on(4)))))[0] == 4


def test_the_link_that_carries_comes_first_even_if_the_order_says_otherwise() -> None:
    pinned = Decision(default=on(3))
    numbers = priorities(POLICY, (), ALL, pinned)
    assert numbers[3] == FIRST_PRIORITY
    assert {bid: number for bid, number in numbers.items() if bid != 3} == {
        bid: number for bid, number in priorities(POLICY, (), ALL, NOTHING).items() if bid != 3
    }
    only_better_on_paper = (replace(WIFI, works=False), ETHERNET)
    assert priorities(POLICY, (), only_better_on_paper, Decision(default=on(1)))[1] != FIRST_PRIORITY
