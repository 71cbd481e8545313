"""What `monami6 status` gets to show."""

import pytest

from mip6.wire.extension import Packet
from mip6.wire.messages import BindingUpdate
from mip6.wire.registry import Status as Code
from mn_agent.core.report import status
from mn_agent.core.status import Status
from tests.story.test_refusals import always, answer
from tests.story.world import AGENT, EPOCH_S, HOME, KEY, World, make_link, three_links


def report(world: World) -> Status:
    return status(world.mn, world.now, unix_time=EPOCH_S + world.now, version="1", pid=2, counters={"tunnelled": 3})


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


def test_secrets_stay_secret() -> None:
    shown = str(report(World(three_links()).start().run(2)))
    assert KEY.hex() not in shown
    assert repr(KEY) not in shown
