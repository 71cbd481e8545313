"""What `monami6 status` gets to show."""

from dataclasses import replace

import pytest

from mip6.table import Counter
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate
from mip6.wire.registry import Status as Code
from mip6.wire.traffic_selectors import Span
from mn_agent.core.events import Subject
from mn_agent.core.policy_file import FlowRule, Policy, Ranking
from mn_agent.core.report import status
from mn_agent.core.settings import ALL_LINKS, HOME_LINK, ProbingSettings
from mn_agent.core.status import Status, Traffic
from mn_lab.correspondent import Fault
from tests.story.direct_world import CN, DirectWorld
from tests.story.test_home import arrive, away
from tests.story.test_refusals import always, answer
from tests.story.world import (
    AGENT,
    EPOCH_S,
    HOME,
    KEY,
    World,
    home_agent_settings,
    make_link,
    mobile_node_settings,
    three_links,
)


def report(world: World, **counters: Counter) -> Status:
    counters |= {"tunnelled": Counter(3, 300)}
    return status(world.mn, world.now, unix_time=EPOCH_S + world.now, version="1", pid=2, counters=counters)


def test_a_registered_node() -> None:
    world = World(three_links()).start().run(5)
    shown = report(world)
    assert (shown.home_address, shown.home_agent) == (str(HOME), str(AGENT))
    assert (shown.registration.state, shown.registration.care_of_addresses) == ("registered", "several")
    assert shown.registration.since == pytest.approx(EPOCH_S + 1000.02)
    assert shown.registration.until == pytest.approx(EPOCH_S + 1600.04)
    assert (shown.default.link, shown.default.pinned) == ("eth0", None)
    assert [(link.name, link.bid, link.state, link.carries_default, link.problem) for link in shown.links] == [
        ("eth0", 1, "registered", True, None),
        ("wlan0", 2, "registered", False, None),
        ("wwan0", 3, "registered", False, None),
    ]
    assert shown.counters == {"tunnelled": 3}


def test_links_that_are_not_used_say_why() -> None:
    links = three_links()
    links["wifi"].blackhole = True
    world = World(links).start().run(20)
    world.carrier("lte", on=False)
    shown = report(world)
    assert shown.registration.state == "partly registered"
    ethernet, wifi, lte = shown.links
    assert ethernet.problem is None
    assert wifi.state == "registering"
    assert wifi.problem is not None
    assert wifi.problem.startswith("the home agent does not answer over this link (")
    assert (lte.state, lte.problem, lte.priority) == ("unusable", "no carrier", None)
    assert lte.since == EPOCH_S + world.now
    assert wifi.care_of_address == str(links["wifi"].address)


def test_before_the_first_answer() -> None:
    world = World(three_links()).start()
    shown = report(world)
    assert (shown.registration.state, shown.registration.since) == ("registering", None)
    assert (shown.default.link, shown.default.why) == (None, "no link is registered")
    assert [link.problem for link in shown.links] == [None, None, None]


def test_a_home_agent_that_refuses_our_key_without_being_able_to_prove_itself() -> None:
    def refuse(update: BindingUpdate, packet: Packet) -> Packet:
        return answer(update, packet, Code.MIPV6_AUTH_FAIL, key=bytes(16))

    shown = report(World({"ethernet": make_link(1, "eth0", "ethernet")}, respond=refuse).start().run(1))
    assert shown.registration.state == "registering", "anybody can say so: it goes on"
    assert shown.registration.problem == "the home agent seems to refuse our key: mipv6 auth fail (146)"


def test_no_link_at_all() -> None:
    link = make_link(1, "eth0", "ethernet")
    world = World({"ethernet": link}).start().run(2)
    world.carrier("ethernet", on=False)
    assert report(world).registration.state == "no link"


def test_a_home_agent_that_does_not_serve_us() -> None:
    world = World(three_links(), respond=always(Code.NOT_HOME_SUBNET)).start().run(2)
    shown = report(world)
    assert shown.registration.state == "refused"
    assert shown.registration.problem == "the home agent does not serve us: not home subnet (132)"


def test_a_refused_binding() -> None:
    link = make_link(1, "eth0", "ethernet")
    world = World({"ethernet": link}, respond=always(Code.INSUFFICIENT_RESOURCES)).start().run(2)
    shown = report(world)
    assert shown.registration.state == "refused"
    assert shown.links[0].problem == "refused by the home agent: insufficient resources (130)"


def test_a_home_agent_that_takes_one_care_of_address() -> None:
    plain = World(three_links(), respond=lambda update, packet: answer(update, packet, with_identifiers=False))
    shown = report(plain.start().run(2))
    assert shown.registration.care_of_addresses == "one"
    assert shown.registration.state == "registered"
    assert [link.state for link in shown.links] == ["registered", "standby", "standby"]
    assert shown.links[1].problem == "the home agent takes one care-of address only"


VOICE = Policy(
    description="",
    links=Ranking(return_after_s=5),
    flow=(
        FlowRule(name="call", protocol=(17,), port=(Span.only(5060),), via=("lte",)),
        FlowRule(name="mine", user="1000", via=("wifi",)),
        FlowRule(name="backup", cgroup="backup.slice", via=("wifi",)),
    ),
)


def test_flows_say_where_they_go_and_why_and_what_went() -> None:
    world = World(three_links(), policy=VOICE).start().run(5)
    counters = {
        "flow_0_3_up": Counter(5, 500),
        "flow_0_3_down": Counter(4, 400),
        "default_1_up": Counter(9, 900),
        "link_3_up": Counter(7, 700),
        "link_3_down": Counter(6, 600),
    }
    shown = report(world, **counters)
    call, mine, backup = shown.flows
    assert (call.name, call.packets, call.links, call.why) == (
        "call",
        ["udp from port 5060"],
        ["wwan0"],
        "the flow goes via lte",
    )
    assert (call.bound, call.pinned, call.sent, call.received) == (
        "yes",
        None,
        {"wwan0": Traffic(5, 500)},
        {"wwan0": Traffic(4, 400)},
    )
    assert call.since == pytest.approx(EPOCH_S + 1000, abs=3)
    assert (mine.packets, mine.bound, mine.links) == (["everything of user 1000"], "unknown to it", ["wlan0"])
    assert backup.packets == ["everything of control group backup.slice"]
    assert backup.why == "its control group backup.slice does not exist"
    assert shown.policy == "test"
    assert (shown.default.sent, shown.default.received) == ({"eth0": Traffic(9, 900)}, {})
    lte = shown.links[2]
    assert (lte.sent, lte.received) == (Traffic(7, 700), Traffic(6, 600))
    assert (shown.links[0].sent, lte.metered, shown.links[0].metered) == (None, True, False)


def test_before_anything_is_bound() -> None:
    shown = report(World(three_links(), policy=VOICE).start())
    assert [(flow.bound, flow.links, flow.why) for flow in shown.flows[:2]] == [
        ("not yet", [], "no link is registered"),
        ("unknown to it", [], "no link is registered"),
    ]
    assert (shown.ike.link, shown.ike.care_of_address, shown.ike.why) == (None, None, "no link is registered")


def test_flows_that_the_home_agent_does_not_bind() -> None:
    none = World(three_links(), policy=VOICE, home_agent=home_agent_settings(max_flows=0)).start().run(5)
    assert report(none).flows[0].bound == "not supported"
    pair = replace(VOICE, flow=(VOICE.flow[0], replace(VOICE.flow[0], name="more", port=(Span.only(9),))))
    few = World(three_links(), policy=pair, home_agent=home_agent_settings(max_flows=1)).start().run(5)
    assert [flow.bound for flow in report(few).flows] == [
        "yes",
        "refused: the home agent does not bind it: administratively prohibited (128)",
    ]


def test_paths_and_who_has_to_prove_itself() -> None:
    world = World(three_links(), policy=VOICE, settings=mobile_node_settings(ProbingSettings())).start().run(25)
    shown = report(world)
    assert shown.links[0].path.state == "alive"
    assert shown.links[0].path.rtt_ms == pytest.approx(20)
    assert shown.links[0].path.jitter_ms == pytest.approx(0)
    assert shown.links[0].path.loss == 0
    world.links["ethernet"].blackhole = True
    world.stream(3)
    world.run(3)
    dead = report(world).links[0]
    assert dead.path.state == "dead"
    assert dead.problem == "its path is dead: the home agent is reached over other links only"
    world.carrier("ethernet", on=False)
    assert report(world).links[0].path.state == "unknown"
    world.links["ethernet"].blackhole = False
    world.carrier("ethernet", on=True)
    world.run(1)
    waits = report(world).links[0].waits_until
    assert waits == pytest.approx(EPOCH_S + world.now + 4, abs=1.1)


def test_the_care_of_address_for_ikev2() -> None:
    world = World(three_links()).start().run(5)
    world.switch("wifi", subject=Subject.IKE)
    shown = report(world).ike
    assert (shown.link, shown.care_of_address) == ("wlan0", str(world.links["wifi"].address))
    assert (shown.since, shown.why, shown.pinned) == (EPOCH_S + world.now, "it was asked for", "wifi")


def test_secrets_stay_secret() -> None:
    shown = str(report(World(three_links()).start().run(2)))
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown


def test_the_way_to_correspondents() -> None:
    world = DirectWorld(three_links())
    world.cn.faults.add(Fault.NO_CARE_OF_TEST)
    world.start().run(10)
    (tunnelled,) = report(world).correspondents
    assert (tunnelled.address, tunnelled.link, tunnelled.care_of_addresses, tunnelled.until) == (
        str(CN),
        None,
        {},
        None,
    )
    assert tunnelled.problem == "the care-of address could not be tested"
    assert tunnelled.again_at == pytest.approx(EPOCH_S + 1000.02 + 7 + 32)
    world.cn.faults.clear()
    world.run(60)
    (direct,) = report(world).correspondents
    assert (direct.link, direct.problem, direct.again_at) == ("eth0", None, None)
    assert direct.care_of_addresses == {link.interface.name: str(link.address) for link in world.links.values()}
    assert direct.until is not None
    assert EPOCH_S + world.now < direct.until <= EPOCH_S + world.now + 420
    world.cn.faults.add(Fault.NO_HOME_TEST)
    world.run(190)
    (untested,) = report(world).correspondents
    assert (untested.link, untested.problem) == ("eth0", "the home address could not be tested")
    for name in world.links:
        world.carrier(name, on=False)
    (gone,) = report(world).correspondents
    assert gone.link is None


def test_at_home_nothing_is_registered_and_that_is_no_trouble() -> None:
    world = away(HOME_LINK)
    world.links["home"].blackhole = True
    arrive(world)
    shown = report(world)
    assert (shown.registration.state, shown.links[2].state) == ("coming home", "coming home")
    world.links["home"].blackhole = False
    world.run(5)
    shown = report(world)
    assert (shown.registration.state, shown.registration.until, shown.default.link) == ("at home", None, "eth9")
    only = "this machine is at home, and only its home link is used"
    assert [(link.name, link.state, link.problem) for link in shown.links] == [
        ("eth0", "unusable", only),
        ("wlan0", "unusable", only),
        ("eth9", "at home", None),
    ]


def test_a_home_binding_is_one_among_others() -> None:
    world = away(ALL_LINKS)
    arrive(world)
    world.run(5)
    shown = report(world)
    assert shown.registration.state == "registered"
    assert (shown.links[2].state, shown.links[2].care_of_address, shown.links[2].problem) == (
        "registered",
        str(HOME),
        None,
    )
