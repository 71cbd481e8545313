"""Anything may happen, on links that lose, repeat, delay and reorder: afterwards everything is as it should be."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from home_agent.core.events import PacketReceived
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate
from mip6.wire.options import BindingIdentifier
from mip6.wire.registry import Status
from mip6.wire.traffic_selectors import Span
from mn_agent.core.bindings import TRANSITIONS, EntryState
from mn_agent.core.events import Subject
from mn_agent.core.flow_bindings import FlowBinding
from mn_agent.core.policy_file import FlowRule, Policy
from tests.story.test_refusals import answer
from tests.story.world import AT_ONCE, World, mobile_node_settings, three_links

NAMES = ("ethernet", "wifi", "lte")
PAUSES_S = (0.0, 0.001, 0.01, 0.1, 0.5, 1.0, 1.6, 5.0, 40.0)
FLOWS = Policy(
    description="calls over LTE, news twice",
    links=AT_ONCE.links,
    flow=(
        FlowRule(name="call", port=(Span.only(5060),), via=("lte",)),
        FlowRule(name="news", port=(Span.only(119), Span.only(563)), via=("wifi", "ethernet"), copies=2),
        FlowRule(name="rest"),
    ),
)
EVENTS = ("down", "up", "blackhole", "heal", "switch", "auto", "kill", "forget", "renumber", "home")
FLOW_EVENTS = (*EVENTS, "pin", "unpin", "flows", "no flows")
ENOUGH = (30, 435, 33, 48, 340, 40, 629)
QUIET_S = 150.0
"""Longer than any back-off, and shorter than it takes for a refresh to put right what went wrong."""

seen: set[tuple[EntryState, EntryState]] = set()
"""Transitions that happened in any of the stories."""


@st.composite
def operations(draw: st.DrawFn) -> list[tuple[float, str, str]]:
    """What happens, and how long after the thing before."""
    step = st.tuples(st.sampled_from(PAUSES_S), st.sampled_from(FLOW_EVENTS), st.sampled_from(NAMES))
    return draw(st.lists(step, max_size=25))


def do(world: World, what: str, name: str) -> None:
    match what:
        case "down" | "up":
            world.carrier(name, on=what == "up")
        case "blackhole" | "heal":
            world.links[name].blackhole = what == "blackhole"
        case "switch":
            world.switch(name)
        case "auto":
            world.switch(None)
        case "kill":
            world.restart_agent()
        case "forget":
            world.restart_agent(remembers=False, sequence=int(world.random.random() * 0x10000))
        case "renumber":
            renumber(world, name)
        case "home":
            world.restart_home_agent(remembers=True)
        case "pin":
            world.switch(name, subject=Subject.FLOW, flow="call")
        case "unpin":
            world.switch(None, subject=Subject.FLOW, flow="call")
        case "flows" | "no flows":
            world.use(FLOWS if what == "flows" else AT_ONCE)


def renumber(world: World, name: str) -> None:
    (address,) = world.links[name].interface.addresses
    number = int(address.address) & ~0xFFFF | int(world.random.random() * 0xFFFE) + 1
    world.change(name, addresses=(replace(address, address=type(address.address)(number)),))


def note_transitions(world: World) -> Callable[[], None]:
    before: dict[int, EntryState] = {}

    def note() -> None:
        entries = world.mn.registration.entries
        for bid in entries.keys() | before.keys():
            was = before.get(bid, EntryState.GONE)
            now = entries[bid].state if bid in entries else EntryState.GONE
            if was is not now:
                seen.add((was, now))
        before.clear()
        before.update({bid: entry.state for bid, entry in entries.items()})

    return note


@pytest.mark.req("REG-11", "REG-13", "REG-14", "MCOA-18", "MCOA-28", "MCOA-03", "AUTH-07", "FLOW-14", "FLOW-25")
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=operations(),
    loss=st.sampled_from([0.0, 0.1, 0.4]),
    duplicate=st.sampled_from([0.0, 0.3]),
    jitter_s=st.sampled_from([0.0, 0.05, 2.0]),
    verify=st.booleans(),
    policy=st.sampled_from([AT_ONCE, FLOWS]),
    seed=st.integers(0, 1 << 16),
)
def test_whatever_happens_the_two_ends_agree_in_the_end(
    steps: list[tuple[float, str, str]],
    loss: float,
    duplicate: float,
    jitter_s: float,
    verify: bool,
    policy: Policy,
    seed: int,
) -> None:
    links = three_links(loss=loss, duplicate=duplicate, jitter_s=jitter_s)
    settings = mobile_node_settings(verify_links=verify, lifetime_s=2000)
    world = World(links, settings=settings, policy=policy, seed=seed)
    world.watchers.append(note_transitions(world))
    world.start()
    for pause_s, what, name in steps:
        world.run(pause_s)
        do(world, what, name)
    world.run(5)
    assert_updates_are_in_order(world)
    for link in world.links.values():
        link.loss = link.duplicate = link.jitter_s = 0.0
        link.blackhole = False
    world.run(QUIET_S)
    alive = {link.address for link in world.links.values() if link.interface.carrier}
    if alive:
        assert set(world.bindings().values()) == alive
        assert world.flows()
        assert world.upward() == world.downward()
        assert_flows_agree(world)
    else:
        assert world.upward() is None


def assert_flows_agree(world: World) -> None:
    """The home agent sends each flow where the mobile node does."""
    wanted = {fid: entry.wanted for fid, entry in world.mn.registration.flows.items()}
    held = {flow.fid: FlowBinding(flow.priority, flow.selector, flow.bids) for flow in world.flow_bindings()}  # type: ignore[arg-type]
    assert held == wanted
    chosen = [world.mn.decision.flows[one.rule.name].bids for one in world.mn.flows.selected]
    assert [flow.bids for flow in world.flow_bindings()] == chosen


def moody(world: World, bad: float) -> Callable[[BindingUpdate, Packet], Packet | None]:
    """Our home agent on bad days: some updates it refuses, some it answers like one without the extension."""
    statuses = [128, 130, 133, 135, 144, 146, 164, 165, 166, 167, 168, 174]

    def respond(update: BindingUpdate, packet: Packet) -> Packet | None:
        mood = world.random.random() / bad if bad else 1.0
        if mood < 0.5:
            status = world.random.choice(statuses)
            corrected = world.random.randrange(0x10000) if status == Status.SEQUENCE_NUMBER_OUT_OF_WINDOW else None
            return answer(update, packet, status, sequence=corrected)
        if mood < 0.7:
            return answer(update, packet, with_identifiers=False)
        world.home_agent_hears(PacketReceived(packet))
        return None

    return respond


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=operations(),
    bad=st.sampled_from([0.1, 0.5, 0.9]),
    jitter_s=st.sampled_from([0.0, 2.0]),
    seed=st.integers(0, 1 << 16),
)
def test_a_moody_home_agent_never_confuses_the_mobile_node_for_good(
    steps: list[tuple[float, str, str]], bad: float, jitter_s: float, seed: int
) -> None:
    world = World(three_links(jitter_s=jitter_s), settings=mobile_node_settings(lifetime_s=300), seed=seed)
    world.watchers.append(note_transitions(world))
    world.respond = moody(world, bad)
    world.start()
    for pause_s, what, name in steps:
        world.run(pause_s)
        do(world, what, name)
    world.run(5)
    world.respond = None
    for link in world.links.values():
        link.jitter_s = 0.0
        link.blackhole = False
    world.run(1400.0)  # it told lies about what it holds: that ends with the next refresh
    alive = [link for link in world.links.values() if link.interface.carrier]
    malformed = [entry for entry in world.mn.registration.entries.values() if entry.refusal]
    if alive and not malformed:
        assert world.flows()
        assert world.upward() == world.downward()
        if world.mn.registration.multiple and world.mn.registration.flow_bindings:
            assert_flows_agree(world)


def assert_updates_are_in_order(world: World) -> None:
    """Of each life of the agent: never more than three in a second, never a number twice, never a plain one."""
    times = [at for at, _ in world.sent_updates()]
    for first, fourth in zip(times, times[3:], strict=False):
        assert fourth - first >= 1.0 or world.restarts_between(first, fourth)
    stamped = [(at, update) for at, update in world.sent_updates()]
    for (earlier, one), (later, other) in pairwise(stamped):
        assert 1 <= (other.sequence - one.sequence) % 0x10000 < 0x8000 or world.restarts_between(earlier, later)
    for _, update in stamped:
        assert any(isinstance(option, BindingIdentifier) for option in update.options)


def test_every_transition_in_the_table_really_happens() -> None:
    """Random walks, the same ones every time, until all were seen: first those that are known to be enough."""
    table = {(old, new) for old, targets in TRANSITIONS.items() for new in targets}
    for seed in (*ENOUGH, *range(3000)):
        walk(seed)
        if table <= seen:
            break
    assert table - seen == set()


def walk(seed: int) -> None:
    choose = Random(seed).choice
    links = three_links(loss=choose([0.0, 0.0, 0.2]), jitter_s=choose([0.0, 2.0]))
    settings = mobile_node_settings(lifetime_s=choose([60, 300]), verify_links=choose([True, True, False]))
    world = World(links, settings=settings, seed=seed)
    world.watchers.append(note_transitions(world))
    world.respond = moody(world, choose([0.0, 0.3, 0.9]))
    world.start()
    for _ in range(25):
        world.run(choose(PAUSES_S))
        do(world, choose(EVENTS), choose(NAMES))
