"""Path probing: when probes are sent, what they tell, and what they cost."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mn_agent.core import probing
from mn_agent.core.probing import (
    FIRST_HEALING_S,
    LAST_HEALING_S,
    LOST_AFTER_S,
    PROBE_OCTETS,
    Path,
    Probing,
    Target,
)
from mn_agent.core.settings import ProbingSettings

CARE_OF = {bid: IPv6Address(f"2001:db8:{bid}::64") for bid in range(1, 4)}
USUAL = ProbingSettings()


@dataclass
class Paths:
    """Two or more paths in virtual time. `rtt_s`: of each, None where nothing comes back."""

    settings: ProbingSettings = USUAL
    metered: frozenset[int] = frozenset()
    rtt_s: dict[int, float | None] = field(default_factory=lambda: {1: 0.02, 2: 0.02})
    busy: set[int] = field(default_factory=set)
    """Links over which traffic leaves."""

    def __post_init__(self) -> None:
        self.now = 100.0
        self.state = Probing()
        self.sent: list[tuple[float, int]] = []
        """When, and over which link."""
        self.died: dict[int, float] = {}
        self.answers: list[tuple[float, int]] = []
        self.look()

    @property
    def targets(self) -> dict[int, Target]:
        return {bid: Target(CARE_OF[bid], bid in self.metered) for bid in self.rtt_s}

    def look(self) -> None:
        followed = probing.follow(self.state, self.targets, self.settings, self.now, elsewhere=False)
        self.state, probes = probing.step(followed, self.targets, self.settings, self.now)
        for probe in probes:
            bid = next(bid for bid, care_of in CARE_OF.items() if care_of == probe.care_of)
            self.sent.append((self.now, bid))
            rtt_s = self.rtt_s[bid]
            if rtt_s is not None:
                self.answers.append((self.now + rtt_s, probe.sequence))
        for bid, path in self.state.paths.items():
            if path.dead:
                self.died.setdefault(bid, self.now)
            else:
                self.died.pop(bid, None)
        if self.state.look_at <= self.now:
            arrived = {bid for bid in self.busy if self.rtt_s[bid] is not None}
            self.state = probing.counted(self.state, arrived, self.busy, self.settings, self.now)

    def run(self, seconds: float) -> "Paths":
        end = self.now + seconds
        while True:
            answer_at = min((at for at, _ in self.answers), default=inf)
            deadline_at = probing.deadline(self.state, self.targets, self.settings)
            moment = max(self.now, min(answer_at, deadline_at, self.state.look_at))
            if moment > end:
                self.now = end
                return self
            self.now = moment
            if answer_at <= self.now:
                (due,) = [one for one in self.answers if one[0] == answer_at][:1]
                self.answers.remove(due)
                self.state = probing.answered(self.state, due[1], self.now)
            self.look()

    def moments(self, bid: int) -> list[float]:
        return [at for at, link in self.sent if link == bid]

    def path(self, bid: int) -> Path:
        return self.state.paths[bid]


def test_a_path_is_measured_from_its_first_probe() -> None:
    paths = Paths(rtt_s={1: 0.020, 2: 0.300}).run(1)
    assert paths.path(1).rtt_s == pytest.approx(0.020)
    assert paths.path(1).loss == 0
    assert paths.path(2).rtt_s == pytest.approx(0.300)
    assert paths.path(1).jitter_s is None, "of one round trip nothing is known"


def test_round_trips_are_smoothed_and_their_jitter_measured() -> None:
    paths = Paths().run(9)
    paths.rtt_s[1] = 0.060
    paths.run(3)
    # 7/8 of 20 ms and 1/8 of 60 ms; 1/16 of the difference
    assert paths.path(1).rtt_s == pytest.approx(0.025)
    assert paths.path(1).jitter_s == pytest.approx(0.040 / 16)


def test_the_first_round_trip_which_may_have_waited_for_the_router_soon_counts_no_more() -> None:
    targets = Paths().targets
    state = probing.follow(Probing(), targets, USUAL, 0.0, elsewhere=False)
    for sent_at, rtt_s in ((0.0, 0.7), (1.0, 0.020)):
        state, probes = probing.step(state, targets, USUAL, sent_at)
        (asked,) = [probe for probe in probes if probe.care_of == targets[1].care_of]
        state = probing.answered(state, asked.sequence, sent_at + rtt_s)
        assert (state.paths[1].rtt_s, state.paths[1].variation_s) == pytest.approx((rtt_s, rtt_s / 2))


def test_links_without_traffic_are_probed_seldom_and_metered_ones_more_seldom() -> None:
    paths = Paths(metered=frozenset({2})).run(600)
    assert len(paths.moments(1)) == pytest.approx(60, abs=1)
    assert len(paths.moments(2)) == pytest.approx(10, abs=1)


def test_traffic_that_comes_back_proves_a_path_and_costs_no_probe() -> None:
    paths = Paths(metered=frozenset({1, 2}), busy={1}).run(600)
    assert len(paths.moments(1)) == len(paths.moments(2)), "no more than without traffic"


@pytest.mark.parametrize("notice_s", [0.12, 0.6, 3.0])
def test_a_path_on_which_nothing_comes_back_is_dead_soon_and_the_others_are_not(notice_s: float) -> None:
    paths = Paths(replace(USUAL, notice_s=notice_s), busy={1}).run(60)
    assert not paths.died
    failed_at = paths.now
    paths.rtt_s[1] = None
    paths.run(10)
    assert set(paths.died) == {1}
    # As soon as was asked for, counted from the last thing that came back, and a round trip later
    assert paths.died[1] - failed_at <= notice_s + 0.1
    assert paths.died[1] - failed_at >= notice_s / 2


def test_a_slow_path_has_more_time() -> None:
    paths = Paths(replace(USUAL, notice_s=0.12), rtt_s={1: 0.8, 2: 0.02}, busy={1}).run(60)
    assert not paths.died
    paths.rtt_s[1] = None
    paths.run(10)
    assert set(paths.died) == {1}


def test_when_nothing_comes_back_anywhere_it_is_not_the_path() -> None:
    paths = Paths(busy={1}).run(60)
    paths.rtt_s = {1: None, 2: None}
    paths.run(60)
    assert not paths.died, "the home agent does not answer, or is gone"


def test_the_only_path_is_never_dead() -> None:
    paths = Paths(rtt_s={1: 0.02}, busy={1}).run(60)
    before = len(paths.sent)
    paths.rtt_s[1] = None
    paths.run(60)
    assert not paths.died
    assert len(paths.sent) - before <= 7, "and not probed more often either, for what would one do?"


def test_a_path_that_never_worked_is_not_dead_but_new() -> None:
    paths = Paths(rtt_s={1: 0.02, 2: None}).run(600)
    assert not paths.died


def test_an_idle_path_is_found_dead_by_its_usual_probes() -> None:
    paths = Paths().run(60)
    paths.rtt_s[2] = None
    paths.run(40)
    assert set(paths.died) == {2}


def test_a_dead_path_is_probed_more_and_more_seldom_and_lives_again_with_the_first_answer() -> None:
    paths = Paths(busy={1}).run(20)
    paths.rtt_s[1] = None
    paths.run(30)
    healing = [at for at in paths.moments(1) if at > paths.died[1]]
    assert healing[0] - paths.died[1] <= FIRST_HEALING_S
    assert healing[-1] - healing[-2] == pytest.approx(LAST_HEALING_S)
    paths.rtt_s[1] = 0.02
    paths.run(LAST_HEALING_S + 0.1)
    assert not paths.died


def test_probes_on_a_metered_link_never_cost_more_than_the_budget() -> None:
    settings = replace(USUAL, metered_octets_per_hour=1120, metered_every_s=1)
    paths = Paths(settings, metered=frozenset({1}), busy={1}).run(60)
    paths.rtt_s[1] = None
    paths.run(7200)
    hours = (paths.now - 100.0) / 3600
    assert len(paths.moments(1)) * PROBE_OCTETS <= 1120 * (hours + 1)
    assert len(paths.moments(1)) >= 10, "but what there is is used"


def test_loss_is_that_of_the_last_probes() -> None:
    paths = Paths(replace(USUAL, every_s=1)).run(40)
    paths.rtt_s[2] = None
    paths.run(2.5)
    paths.rtt_s[2] = 0.02
    paths.run(12)
    loss = paths.path(2).loss
    assert loss is not None
    assert 0 < loss < 0.4
    paths.run(60)
    assert paths.path(2).loss == 0
    assert Path(CARE_OF[1]).loss is None


def test_what_a_path_lost_while_it_was_dead_is_no_loss() -> None:
    paths = Paths(busy={1}).run(60)
    paths.rtt_s[1] = None
    paths.run(60)
    assert paths.died
    paths.rtt_s[1] = 0.02
    paths.run(10)
    assert paths.path(1).loss == 0


def test_an_answer_that_comes_very_late_or_twice_changes_nothing() -> None:
    paths = Paths(rtt_s={1: 0.02, 2: LOST_AFTER_S + 0.5}).run(5)
    assert paths.path(2).loss == 1 / 20
    assert paths.path(2).rtt_s is None
    assert probing.answered(paths.state, 9999, paths.now) == paths.state


def test_a_link_with_another_care_of_address_is_another_path() -> None:
    paths = Paths().run(5)
    moved = {**paths.targets, 1: Target(CARE_OF[3], metered=False)}
    followed = probing.follow(paths.state, moved, USUAL, paths.now, elsewhere=False)
    assert followed.paths[1] == Path(CARE_OF[3], octets=inf, octets_at=paths.now)
    assert followed.paths[2] is paths.state.paths[2]
    assert probing.follow(followed, moved, USUAL, paths.now + 1, elsewhere=False) is followed
    assert probing.follow(followed, {}, USUAL, paths.now, elsewhere=False).paths == {}


def test_the_home_agents_answers_prove_the_path_that_they_come_over() -> None:
    paths = Paths(busy={1}).run(20)
    paths.rtt_s[1] = None
    paths.run(5)
    assert paths.path(1).dead
    heard = probing.heard(paths.state, CARE_OF[1], paths.now)
    assert not heard.paths[1].dead
    assert heard.paths[2] is paths.state.paths[2]


def test_without_traffic_it_is_looked_for_half_as_often() -> None:
    state = probing.follow(Probing(), Paths().targets, USUAL, 0.0, elsewhere=False)
    assert probing.counted(state, (), {1}, USUAL, 5.0).look_at - 5.0 == pytest.approx(USUAL.notice_s / 3)
    assert probing.counted(state, (), (), USUAL, 5.0).look_at - 5.0 == pytest.approx(2 * USUAL.notice_s / 3)


def test_sequence_numbers_go_round() -> None:
    paths = Paths()
    paths.state = replace(paths.state, sequence=0xFFFE)
    paths.run(60)
    assert paths.state.sequence < 100
    assert paths.path(1).loss == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from((0.05, 0.7, 3.0, 30.0)),
            st.sampled_from((1, 2, 3)),
            st.none() | st.sampled_from((0.01, 0.4, 3.0)),
            st.sets(st.sampled_from((1, 2, 3))),
        ),
        max_size=10,
    ),
    st.sampled_from((0.12, 0.6, 5.0)),
    st.frozensets(st.sampled_from((1, 2, 3))),
)
def test_whatever_paths_do_probing_neither_spins_nor_stops(
    story: list[tuple[float, int, float | None, set[int]]], notice_s: float, metered: frozenset[int]
) -> None:
    settings = replace(USUAL, notice_s=notice_s)
    paths = Paths(settings, metered, {1: 0.02, 2: 0.05, 3: 0.2})
    for seconds, bid, rtt_s, busy in story:
        paths.rtt_s[bid] = rtt_s
        paths.busy = busy
        before = len(paths.sent)
        paths.run(seconds)
        # At most one for each look on each path, and one witness for each of the others'
        assert len(paths.sent) - before <= 3 * (seconds * 3 * 3 / notice_s + 3)
        assert not all(path.dead for path in paths.state.paths.values())
    for bid in paths.rtt_s:
        paths.rtt_s[bid] = 0.02
    paths.run(130)
    assert not any(path.dead for path in paths.state.paths.values())
