"""`monami6 policy explain`: why everything is where it is."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from mip6.wire.traffic_selectors import Span
from mn_agent.core.explain import Packet, explain
from mn_agent.core.policy_file import FlowRule, Policy, Ranking
from mn_agent.core.settings import HOME_LINK
from mn_agent.core.status import Explanation, LinkReason
from tests.story.test_home import at_home
from tests.story.world import World, three_links

POLICY = Policy(
    description="for the test",
    links=Ranking(rank=("loss", "order")),
    flow=(
        FlowRule(name="call", protocol=(17,), port=(Span(5060, 5061),), via=("lte",)),
        FlowRule(name="office", to=(IPv6Network("2001:db8:0ff::/48"),), via=("wifi",)),
        FlowRule(name="mine", user="1000", dscp=(Span.only(8),), via=("wifi",)),
        FlowRule(name="backup", cgroup="backup.slice", flow_label=(Span.only(7),), via=("wifi",)),
        FlowRule(name="tunnel", spi=(Span(0x1000, 0x1FFF),), local_port=(), via=("wifi",)),
    ),
)
CALLEE = IPv6Address("2001:db8:77::1")


def asked(packet: Packet | None = None, world: World | None = None) -> Explanation:
    world = world or World(three_links(), policy=POLICY).start().run(5)
    return explain(world.mn, packet)


def test_each_link_and_each_flow_has_a_reason() -> None:
    shown = asked()
    assert (shown.policy, shown.description, shown.packet) == ("test", "for the test", None)
    assert shown.links[0] == LinkReason(
        link="eth0", place=1, criteria={"loss": "0 % of probes lost", "order": "place 1"}, why_not=None
    )
    assert [(one.what, one.links, one.why) for one in shown.traffic] == [
        ("default traffic", ["eth0"], "it is better than wlan0 by order"),
        ("flow call", ["wwan0"], "the flow goes via lte"),
        ("flow office", ["wlan0"], "the flow goes via wifi"),
        ("flow mine", ["wlan0"], "the flow goes via wifi"),
        ("flow backup", ["wlan0"], "the flow goes via wifi"),
        ("flow tunnel", ["wlan0"], "the flow goes via wifi"),
    ]


def why_not(world: World) -> list[str | None]:
    return [link.why_not for link in asked(world=world).links]


def test_links_that_carry_nothing_say_why() -> None:
    world = World(three_links(), policy=Policy(description="", links=Ranking(return_after_s=5)))
    world.start()
    assert why_not(world) == ["the home agent has not accepted it yet"] * 3
    assert asked(world=world).traffic[0].why == "no link works"
    world.run(5)
    assert why_not(world) == [None, *["others are better, and no flow asks for it"] * 2]
    world.carrier("ethernet", on=False)
    world.run(1)
    assert why_not(world)[:2] == ["no carrier", None]
    world.carrier("ethernet", on=True)
    world.run(1)
    assert why_not(world)[0] == "it failed before, and has to prove itself first"
    assert asked(world=world).links[0].place == 1
    world.run(10)
    world.links["ethernet"].blackhole = True
    world.stream(3)
    world.run(3)
    assert why_not(world)[0] == "its path is dead"
    assert asked(world=world).links[0].place is None


@pytest.mark.parametrize(
    ("packet", "what"),
    [
        (Packet(protocol=17, to=CALLEE, port=5060), "flow call"),
        (Packet(protocol=6, to=CALLEE, port=5060), "default traffic"),
        (Packet(protocol=17, to=CALLEE, port=5062), "default traffic"),
        (Packet(protocol=17, to=CALLEE), "default traffic"),
        (Packet(protocol=6, to=IPv6Address("2001:db8:ff::9"), port=22), "flow office"),
        (Packet(), "default traffic"),
        (Packet(dscp=8), "flow mine (if it is of its user or control group)"),
        (Packet(flow_label=7), "default traffic"),
        (Packet(protocol=50, spi=0x1234), "flow tunnel"),
    ],
)
def test_where_a_packet_would_go(packet: Packet, what: str) -> None:
    found = asked(packet).packet
    assert found is not None
    assert found.what == what
    assert found.links
    assert found.why


def test_at_home_the_others_are_not_used() -> None:
    shown = asked(world=at_home(HOME_LINK))
    only = "this machine is at home, and only its home link is used"
    assert {one.link: one.why_not for one in shown.links} == {"eth0": only, "wlan0": only, "eth9": None}
