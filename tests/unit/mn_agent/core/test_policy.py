"""The policy engine: which link carries what, since when, and why."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mn_agent.core.policy import (
    FORGIVE_S,
    LONGEST_WAIT_S,
    Decision,
    Pins,
    View,
    criterion_text,
    decide,
    forgive,
)
from mn_agent.core.policy_file import CRITERIA, FlowRule, Policy, Ranking

ORDER = ("ethernet", "wifi", "lte")
ETHERNET = View(1, "ethernet", "ethernet", "eth0", works=True)
WIFI = View(2, "wifi", "wifi", "wlan0", works=True)
LTE = View(3, "lte", "lte", "wwan0", works=True, metered=True)
ALL = (ETHERNET, WIFI, LTE)
USUAL = Policy(description="")
NOBODY = Pins()


class Machine:
    """Links over time, under a policy."""

    def __init__(self, policy: Policy = USUAL, *views: View) -> None:
        self.policy, self.now, self.pins = policy, 1000.0, NOBODY
        self.views = {view.name: view for view in views or ALL}
        self.decision = Decision()
        self.moves: list[str | None] = []
        self.decide()

    def decide(self) -> None:
        before = self.carrier
        self.decision = decide(self.policy, ORDER, list(self.views.values()), self.pins, self.decision, self.now)
        if self.carrier != before:
            self.moves.append(self.carrier)

    def set(self, name: str, **changes: object) -> None:
        self.views[name] = replace(self.views[name], **changes)  # type: ignore[arg-type]
        self.decide()

    def pin(self, **pins: object) -> None:
        self.pins = Pins(**pins)  # type: ignore[arg-type]
        self.decide()

    def run(self, seconds: float) -> None:
        """Let time pass, and decide when a decision is due."""
        end = self.now + seconds
        while self.decision.again_at <= end:
            assert self.decision.again_at > self.now, "it does not spin"
            self.now = self.decision.again_at
            self.decide()
        self.now = end
        self.decide()

    def name(self, bid: int) -> str:
        return next(view.name for view in self.views.values() if view.bid == bid)

    @property
    def carrier(self) -> str | None:
        return self.name(self.decision.default.bids[0]) if self.decision.default else None

    @property
    def why(self) -> str:
        assert self.decision.default is not None
        return self.decision.default.why

    @property
    def ike(self) -> str | None:
        return self.name(self.decision.ike.bids[0]) if self.decision.ike else None

    def flow(self, name: str) -> list[str]:
        return [self.name(bid) for bid in self.decision.flows[name].bids]

    def why_flow(self, name: str) -> str:
        return self.decision.flows[name].why


# the default traffic


def test_the_best_link_carries_the_traffic() -> None:
    machine = Machine()
    assert (machine.carrier, machine.why) == ("ethernet", "it is better than wifi by order")


def test_no_link_no_traffic() -> None:
    machine = Machine(USUAL, *(replace(view, works=False) for view in ALL))
    assert (machine.decision.default, machine.decision.ike, dict(machine.decision.flows)) == (None, None, {})


def test_the_only_link_that_works_carries_the_traffic() -> None:
    machine = Machine(USUAL, replace(ETHERNET, works=False), replace(WIFI, works=False), LTE)
    assert (machine.carrier, machine.why) == ("lte", "it is the only link that works")


def test_traffic_leaves_a_link_that_fails_at_once_and_returns_when_it_has_proved_itself() -> None:
    machine = Machine()
    machine.set("ethernet", works=False)
    assert machine.carrier == "wifi"
    machine.now += 1
    machine.set("ethernet", works=True)
    assert (machine.carrier, machine.why) == ("wifi", "ethernet would be better, but has to prove itself first")
    assert machine.decision.again_at == machine.now + 5.0
    machine.run(4.9)
    assert machine.carrier == "wifi"
    machine.run(0.1)
    assert machine.carrier == "ethernet"
    assert machine.decision.again_at == inf


def test_a_link_that_keeps_failing_has_to_wait_twice_as_long_each_time_but_not_for_ever() -> None:
    machine = Machine()
    waits = []
    for _ in range(9):
        machine.set("ethernet", works=False)
        machine.now += 1
        machine.set("ethernet", works=True)
        returned_at = machine.now
        machine.run(LONGEST_WAIT_S)
        assert machine.carrier == "ethernet"
        assert machine.decision.default is not None
        waits.append(machine.decision.default.since_at - returned_at)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_link_that_was_good_for_long_starts_anew() -> None:
    machine = Machine()
    for _ in range(3):
        machine.set("ethernet", works=False)
        machine.set("ethernet", works=True)
    machine.run(FORGIVE_S)
    machine.set("ethernet", works=False)
    machine.set("ethernet", works=True)
    assert machine.decision.waiting == {1: machine.now + 5.0}


def test_a_link_that_flaps_once_a_second_is_left_once() -> None:
    machine = Machine()
    for _ in range(60):
        machine.set("ethernet", works=False)
        machine.run(0.5)
        machine.set("ethernet", works=True)
        machine.run(0.5)
    assert machine.moves == ["ethernet", "wifi"]
    machine.run(LONGEST_WAIT_S)
    assert machine.carrier == "ethernet", "never banned for good"


def test_a_link_that_has_to_prove_itself_is_better_than_none() -> None:
    machine = Machine(USUAL, ETHERNET, replace(WIFI, works=False))
    machine.set("ethernet", works=False)
    machine.now += 1
    machine.set("ethernet", works=True)
    assert machine.carrier == "ethernet"
    machine.set("wifi", works=True)
    assert machine.carrier == "ethernet", "a worse one is no reason to move again"


def test_between_links_that_both_have_to_prove_themselves_traffic_stays_where_it_is() -> None:
    machine = Machine(USUAL, ETHERNET, WIFI)
    machine.set("ethernet", works=False)
    machine.set("wifi", works=False)
    machine.now += 1
    machine.set("wifi", works=True)
    machine.set("ethernet", works=True)
    assert machine.carrier == "wifi"
    machine.run(5)
    assert machine.carrier == "ethernet"


def test_a_better_link_that_appears_needs_no_proof() -> None:
    machine = Machine(USUAL, WIFI)
    assert machine.carrier == "wifi"
    machine.views["ethernet"] = ETHERNET
    machine.decide()
    assert machine.carrier == "ethernet"


def test_a_link_that_is_gone_is_remembered() -> None:
    """Pulling a cable out takes some interfaces away."""
    machine = Machine()
    machine.set("ethernet", works=False)
    del machine.views["ethernet"]
    machine.run(1)
    machine.views["ethernet"] = ETHERNET
    machine.decide()
    assert machine.carrier == "wifi"
    machine.run(5)
    assert machine.carrier == "ethernet"


def test_a_better_link_that_is_not_ready_does_not_move_traffic_to_a_worse_one_that_is() -> None:
    """The traffic is on Wi-Fi, which had failed but was the only one; LTE comes back, ready, and is worse."""
    machine = Machine(USUAL, WIFI, replace(LTE, works=False))
    machine.set("wifi", works=False)
    machine.set("wifi", works=True)
    machine.run(10)
    assert machine.carrier == "wifi"
    machine.set("lte", works=True)
    assert machine.carrier == "wifi"


# what links rank by


QUICKEST = Policy(description="", links=Ranking(rank=("loss", "rtt", "order"), return_after_s=10, rtt_margin_ms=10))


def test_a_link_that_measures_better_has_to_do_so_for_a_while() -> None:
    machine = Machine(QUICKEST, replace(ETHERNET, rtt_s=0.050), replace(WIFI, rtt_s=0.055))
    assert machine.carrier == "ethernet", "less than the margin"
    machine.set("wifi", rtt_s=0.012)
    assert (machine.carrier, machine.why) == ("ethernet", "wifi would be better, but is not better for long enough yet")
    machine.run(9)
    machine.set("wifi", rtt_s=0.060)
    machine.set("wifi", rtt_s=0.012)
    machine.run(9)
    assert machine.carrier == "ethernet", "it starts from the beginning"
    machine.run(1)
    assert (machine.carrier, machine.why) == ("wifi", "it is better than ethernet by rtt")


def test_the_wait_is_for_one_link_and_not_for_another() -> None:
    machine = Machine(QUICKEST, replace(ETHERNET, rtt_s=0.050), replace(WIFI, rtt_s=0.012), replace(LTE, rtt_s=0.2))
    machine.set("wifi", rtt_s=0.090)
    machine.run(20)
    assert machine.carrier == "ethernet"
    machine.set("wifi", rtt_s=0.012)
    machine.run(9)
    machine.set("lte", rtt_s=0.001)
    machine.run(9)
    assert machine.carrier == "ethernet"
    machine.run(1)
    assert machine.carrier == "lte"


def test_a_link_nobody_measured_comes_after_those_that_were() -> None:
    assert Machine(QUICKEST, ETHERNET, replace(WIFI, rtt_s=0.5)).carrier == "wifi"


def test_links_that_lose_much_come_last() -> None:
    machine = Machine(QUICKEST, replace(ETHERNET, loss=0.06, rtt_s=0.01), replace(WIFI, loss=0.04, rtt_s=0.09))
    assert (machine.carrier, machine.why) == ("wifi", "it is better than ethernet by loss")


def test_links_that_cost_nothing_come_first() -> None:
    free = Policy(description="", links=Ranking(rank=("metered", "order")))
    assert Machine(free, replace(ETHERNET, metered=True), WIFI, LTE).carrier == "wifi"


def test_to_be_taken_down_as_announced_is_no_failure() -> None:
    machine = Machine(USUAL, ETHERNET, WIFI)
    machine.set("ethernet", works=False, leaving=True)
    assert machine.carrier == "wifi"
    machine.set("ethernet", works=False, leaving=False)
    machine.set("ethernet", works=True)
    assert machine.carrier == "ethernet", "it need not prove itself"


def test_behind_a_captive_portal_comes_last_and_unknown_is_as_good_as_none() -> None:
    machine = Machine(USUAL, replace(ETHERNET, captive=True), WIFI)
    assert (machine.carrier, machine.why) == ("wifi", "it is better than ethernet by captive")
    machine.set("wifi", captive=False)
    machine.set("ethernet", captive=None)
    assert machine.carrier == "ethernet"


def test_links_are_listed_by_name_kind_or_interface() -> None:
    for order in (("wifi",), ("wlan*",), ("lte", "wifi", "ethernet")):
        ranked = Machine(Policy(description="", links=Ranking(order=order)), ETHERNET, WIFI)
        assert ranked.carrier == "wifi", order


def test_equal_links_keep_their_numbers_order() -> None:
    one, other = replace(ETHERNET, name="left"), replace(ETHERNET, name="right", bid=9, interface="eth1")
    machine = Machine(USUAL, other, one)
    assert (machine.carrier, machine.why) == ("left", "it is better than right by bid")


@pytest.mark.parametrize(
    ("criterion", "view", "text"),
    [
        ("captive", WIFI, "unknown"),
        ("captive", replace(WIFI, captive=True), "behind a captive portal"),
        ("captive", replace(WIFI, captive=False), "no portal"),
        ("metered", LTE, "metered"),
        ("metered", WIFI, "not metered"),
        ("loss", WIFI, "unknown"),
        ("loss", replace(WIFI, loss=0.031), "3 % of probes lost"),
        ("rtt", WIFI, "unknown"),
        ("rtt", replace(WIFI, rtt_s=0.0124), "12.4 ms"),
        ("order", WIFI, "place 2"),
    ],
)
def test_what_is_known_of_a_link_for_people(criterion: str, view: View, text: str) -> None:
    assert criterion_text(USUAL, ORDER, criterion, view) == text


# what people ask for


def test_people_may_put_all_traffic_on_a_link() -> None:
    machine = Machine()
    machine.pin(all="lte")
    assert (machine.carrier, machine.why) == ("lte", "it was asked for")
    machine.set("lte", works=False)
    assert (machine.carrier, machine.why) == ("ethernet", "lte was asked for, but does not work")
    machine.now += 1
    machine.set("lte", works=True)
    assert (machine.carrier, machine.why) == ("ethernet", "lte was asked for, but has to prove itself first")
    machine.run(5)
    assert machine.carrier == "lte"
    machine.pin()
    assert machine.carrier == "ethernet"


def test_a_link_that_people_ask_for_need_not_prove_itself() -> None:
    machine = Machine()
    machine.set("lte", works=False)
    machine.set("lte", works=True)
    machine.decision = forgive(machine.decision, 3)
    machine.pin(all="lte")
    assert machine.carrier == "lte"
    assert forgive(Decision(), 3) == Decision(), "nothing is known of it"


# flows

VIA = Policy(
    description="",
    flow=(
        FlowRule(name="call", via=("lte", "wifi")),
        FlowRule(name="backup", via=("modem",)),
        FlowRule(name="other"),
        FlowRule(name="twice", copies=2, via=("wifi", "*0")),
        FlowRule(name="any-two", copies=2),
    ),
)


def test_a_flow_takes_the_first_of_its_links_that_works() -> None:
    machine = Machine(VIA)
    assert (machine.flow("call"), machine.why_flow("call")) == (["lte"], "the flow goes via lte, wifi")
    machine.set("lte", works=False)
    assert machine.flow("call") == ["wifi"]
    machine.set("wifi", works=False)
    assert (machine.flow("call"), machine.why_flow("call")) == (["ethernet"], "none of lte, wifi works")
    machine.set("lte", works=True)
    assert machine.flow("call") == ["ethernet"], "it has to prove itself for flows too"
    machine.run(5)
    assert machine.flow("call") == ["lte"]


def test_a_flow_without_links_goes_with_the_default() -> None:
    machine = Machine(VIA)
    assert (machine.flow("other"), machine.why_flow("other")) == (["ethernet"], "the flow names no links")
    assert (machine.flow("backup"), machine.why_flow("backup")) == (["ethernet"], "none of modem works")
    machine.set("ethernet", works=False)
    assert machine.flow("other") == ["wifi"]


@pytest.mark.req("FLOW-27")
def test_a_flow_with_copies_takes_several_links_each_once() -> None:
    machine = Machine(VIA)
    assert (machine.flow("twice"), machine.flow("any-two")) == (["wifi", "ethernet"], ["ethernet", "wifi"])
    machine.set("wifi", works=False)
    assert (machine.flow("twice"), machine.flow("any-two")) == (["ethernet", "lte"], ["ethernet", "lte"])
    machine.set("lte", works=False)
    assert (machine.flow("twice"), machine.flow("any-two")) == (["ethernet"], ["ethernet"])


def test_people_may_put_a_single_flow_on_a_link() -> None:
    machine = Machine(VIA)
    machine.pin(flows={"call": "ethernet"})
    assert (machine.flow("call"), machine.why_flow("call")) == (["ethernet"], "it was asked for")
    assert machine.flow("twice") == ["wifi", "ethernet"], "others stay"
    machine.pin(flows={"call": "wifi"})
    machine.set("wifi", works=False)
    assert (machine.flow("call"), machine.why_flow("call")) == (["lte"], "wifi was asked for, but does not work")
    machine.pin(all="lte")
    assert [machine.flow(rule.name) for rule in VIA.flow] == [["lte"]] * 5


def test_since_when_is_kept_while_the_links_are_the_same() -> None:
    machine = Machine(VIA)
    since_at = machine.now
    machine.run(60)
    machine.pin(flows={"call": "lte"})
    assert machine.decision.flows["call"].since_at == since_at
    assert machine.why_flow("call") == "it was asked for"
    machine.pin(flows={"call": "wifi"})
    assert machine.decision.flows["call"].since_at == machine.now


# IKEv2


@pytest.mark.req("MCOA-31", "SEC-27")
def test_one_care_of_address_is_for_ikev2_and_is_kept_as_long_as_it_works() -> None:
    machine = Machine(USUAL, WIFI)
    assert machine.ike == "wifi"
    machine.views["ethernet"] = ETHERNET
    machine.decide()
    assert (machine.carrier, machine.ike) == ("ethernet", "wifi"), "a better link is no reason to move"
    machine.set("wifi", works=False)
    assert machine.ike == "ethernet"
    machine.set("wifi", works=True)
    machine.run(60)
    assert machine.ike == "ethernet"


def test_steady_links_and_lasting_addresses_come_first_for_ikev2() -> None:
    assert Machine(USUAL, replace(ETHERNET, lasting=False), WIFI).ike == "wifi"
    machine = Machine(USUAL, ETHERNET, WIFI, LTE)
    machine.set("wifi", works=False)
    machine.set("wifi", works=True)
    machine.set("ethernet", works=False)
    assert machine.ike == "lte", "which never failed"


def test_people_may_choose_the_link_for_ikev2() -> None:
    machine = Machine()
    machine.pin(ike="lte")
    assert machine.ike == "lte"
    machine.set("lte", works=False)
    assert machine.ike == "ethernet"
    machine.set("lte", works=True)
    assert machine.ike == "lte"
    machine.pin()
    assert machine.ike == "lte", "kept as long as it works"
    assert machine.decision.ike is not None
    assert "asked for" not in machine.decision.ike.why


# whatever happens

_views = st.builds(
    View,
    bid=st.just(0),
    name=st.just(""),
    kind=st.sampled_from(("ethernet", "wifi", "lte", "other")),
    interface=st.sampled_from(("eth0", "wlan0", "wwan0")),
    works=st.booleans(),
    metered=st.booleans(),
    captive=st.none() | st.booleans(),
    rtt_s=st.none() | st.floats(0, 2),
    loss=st.none() | st.floats(0, 1),
    lasting=st.booleans(),
)
_policies = st.builds(
    Policy,
    description=st.just(""),
    links=st.builds(
        Ranking,
        rank=st.lists(st.sampled_from(CRITERIA), unique=True).map(tuple),
        order=st.lists(st.sampled_from(("ethernet", "wifi", "lte", "l1")), unique=True).map(tuple),
        return_after_s=st.sampled_from((0.0, 1.0, 30.0)),
    ),
    flow=st.tuples(
        st.builds(
            FlowRule,
            name=st.just("flow"),
            via=st.lists(st.sampled_from(("ethernet", "wifi", "l2")), unique=True).map(tuple),
            copies=st.integers(1, 3),
        )
    ),
)
_pins = st.builds(
    Pins,
    all=st.sampled_from((None, None, "l1", "l9")),
    flows=st.sampled_from(({}, {}, {"flow": "l2"}, {"flow": "l9"})),
    ike=st.sampled_from((None, "l3")),
)
_moments = st.lists(
    st.tuples(st.lists(_views, max_size=4), _pins, st.sampled_from((0.0, 0.5, 7.0, 400.0, 1000.0))), max_size=8
)


@pytest.mark.req("MCOA-30")
@given(_policies, _moments)
def test_whatever_links_do_what_is_decided_makes_sense(
    policy: Policy, moments: list[tuple[list[View], Pins, float]]
) -> None:
    decision, now = Decision(), 0.0
    for unnamed, pins, pause_s in moments:
        now += pause_s
        views = [replace(view, bid=bid, name=f"l{bid}") for bid, view in enumerate(unnamed, 1)]
        before, decision = decision, decide(policy, ORDER, views, pins, decision, now)
        works = {view.bid for view in views if view.works}
        assert decision == decide(policy, ORDER, views, pins, before, now)
        assert decision.again_at > now
        choices = [decision.default, decision.ike, *decision.flows.values()]
        assert (decision.default is None) == (decision.ike is None) == (not works)
        for choice in choices:
            assert choice is None or (set(choice.bids) <= works and len(set(choice.bids)) == len(choice.bids) > 0)
            assert choice is None or (choice.why and choice.since_at <= now)
        for one in (decision.default, decision.ike):
            assert one is None or len(one.bids) == 1
        for rule in policy.flow:
            assert not works or len(decision.flows[rule.name].bids) <= rule.copies
        if decision.default is not None and works - decision.waiting.keys():
            (carrier,) = decision.default.bids
            stayed = before.default is not None and before.default.bids == (carrier,)
            assert stayed or carrier not in decision.waiting, "traffic moves only to what has proved itself"
        if before.ike is not None and set(before.ike.bids) <= works and pins.ike is None:
            assert decision.ike is not None
            assert decision.ike.bids == before.ike.bids
        again = decide(policy, ORDER, views, pins, decision, now)
        assert (again.default, again.flows, again.ike) == (decision.default, decision.flows, decision.ike)
