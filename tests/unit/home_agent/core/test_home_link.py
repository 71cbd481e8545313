"""The home agent stands in for mobile nodes on their home link (RFC 6275 section 10.4.1)."""

from dataclasses import replace
from ipaddress import IPv6Address
from math import inf

import pytest

from home_agent.core import agent
from home_agent.core.events import HomeLinkChanged, NeighborHeard, Send, SendNeighbor, SettingsChanged, Tick
from home_agent.core.home_link import HomeLink
from home_agent.core.kernel import HOME_TABLE, wanted_kernel
from mip6.wire.messages import BindingAcknowledgement, decode
from mip6.wire.neighbor import (
    ALL_NODES,
    NOBODY,
    NeighborAdvertisement,
    NeighborMessage,
    NeighborSolicitation,
    RouterSolicitation,
    solicited_node,
)
from mip6.wire.registry import Status
from tests.unit.home_agent.core.updates import ETHERNET, HOME, OTHER_HOME, ROUTER, WIFI, A, Bench, H, bid, settings

LINK = HomeLink(7, bytes.fromhex("026d36000001"), IPv6Address("fe80::1"))
HOST = IPv6Address("fe80::2")
OTHERS = bytes.fromhex("026d36000002")


def bench(**changes: object) -> Bench:
    made = Bench(home_link="eth1", **changes)
    hear(made, HomeLinkChanged(LINK))
    return made


def hear(made: Bench, event: object) -> list[NeighborMessage]:
    """What is said on the link; `made.commands` has everything."""
    made.state, made.commands = agent.step(made.state, event, made.now)  # type: ignore[arg-type]
    return said(made)


def said(made: Bench) -> list[NeighborMessage]:
    """Of addresses."""
    messages = [command.message for command in made.commands if isinstance(command, SendNeighbor)]
    return [message for message in messages if not isinstance(message, RouterSolicitation)]


def statuses(made: Bench) -> list[int]:
    sent = [decode(command.packet.data) for command in made.commands if isinstance(command, Send)]
    return [message.status for message in sent if isinstance(message, BindingAcknowledgement)]


def pass_time(made: Bench, seconds: float) -> list[NeighborMessage]:
    """To the next deadline on the way, or else all of it."""
    end_at = made.now + seconds
    heard = []
    while (at := agent.deadline(made.state)) <= end_at:
        made.now = max(made.now, at)
        heard += hear(made, Tick())
    made.now = end_at
    return heard


def asks(source: IPv6Address = HOST, target: IPv6Address = HOME) -> NeighborHeard:
    return NeighborHeard(NeighborSolicitation(source, solicited_node(target), target))


def tells(hardware_address: bytes = OTHERS, target: IPv6Address = HOME) -> NeighborHeard:
    return NeighborHeard(
        NeighborAdvertisement(HOST, ALL_NODES, target, hardware_address, router=False, solicited=False, override=True)
    )


def bound() -> Bench:
    made = bench()
    made.update(bid(1, ETHERNET))
    made.now += 1
    hear(made, Tick())
    assert statuses(made) == [Status.ACCEPTED]
    return made


@pytest.mark.req("HA-07")
def test_the_first_binding_waits_until_it_is_sure_that_the_home_address_is_nobody_elses() -> None:
    made = bench()
    assert made.update(bid(1, ETHERNET)) is None
    assert said(made) == [NeighborSolicitation(NOBODY, solicited_node(HOME), HOME)]
    assert agent.deadline(made.state) == made.now + 1
    made.now += 0.9
    hear(made, Tick())
    assert (statuses(made), made.bindings()) == ([], {})
    made.now += 0.1
    hear(made, Tick())
    assert (statuses(made), made.bindings()) == ([Status.ACCEPTED], {1: ETHERNET})


@pytest.mark.req("HA-07")
def test_the_last_update_is_the_one_that_waits() -> None:
    made = bench()
    made.update(bid(1, ETHERNET))
    made.now += 0.5
    assert made.update(bid(1, WIFI), source=WIFI) is None
    assert said(made) == [], "asked once"
    made.now += 0.5
    hear(made, Tick())
    assert made.bindings() == {1: WIFI}


@pytest.mark.req("HA-07")
@pytest.mark.parametrize("contradiction", [tells(), asks(NOBODY)])
def test_what_is_somebody_elses_is_refused(contradiction: NeighborHeard) -> None:
    made = bench()
    made.update(bid(1, ETHERNET))
    hear(made, contradiction)
    assert (statuses(made), made.bindings()) == ([Status.DUPLICATE_ADDRESS_DETECTION_FAILED], {})
    assert made.state.checks == {}
    assert pass_time(made, 10) == []


@pytest.mark.parametrize("harmless", [tells(LINK.hardware_address), asks(HOST), tells(target=OTHER_HOME)])
def test_what_contradicts_nothing(harmless: NeighborHeard) -> None:
    made = bench()
    made.update(bid(1, ETHERNET))
    hear(made, harmless)
    made.now += 1
    hear(made, Tick())
    assert statuses(made) == [Status.ACCEPTED]


@pytest.mark.req("HA-07")
def test_further_updates_and_those_that_change_nothing_do_not_wait() -> None:
    made = bound()
    answer = made.update(bid(2, WIFI), source=WIFI)
    assert answer is not None
    assert made.update(bid(1, ETHERNET)) is not None
    assert said(made) == []
    made = bench()
    assert made.update(lifetime=0) is not None, "nothing to deregister"
    assert made.update(bid(1, ETHERNET), key=bytes(16)) is not None, "not authentic"
    assert made.state.checks == {}


@pytest.mark.req("HA-15")
def test_a_new_binding_is_announced_three_times_and_then_who_asks_is_answered() -> None:
    made = bound()
    announced = [*said(made), *pass_time(made, 10)]
    assert announced == 3 * [
        NeighborAdvertisement(
            LINK.address,
            ALL_NODES,
            HOME,
            LINK.hardware_address,
            router=False,
            solicited=False,
            override=True,
        )
    ]
    (answer,) = hear(made, asks())
    assert answer == NeighborAdvertisement(
        LINK.address, HOST, HOME, LINK.hardware_address, router=False, solicited=True, override=False
    )
    (defence,) = hear(made, asks(NOBODY))
    assert (defence.destination, made.bindings()) == (ALL_NODES, {1: ETHERNET})
    assert hear(made, asks(target=OTHER_HOME)) == []
    assert hear(made, tells()) == []


@pytest.mark.req("HA-15")
def test_who_has_left_is_not_stood_in_for() -> None:
    made = bound()
    pass_time(made, 10)
    made.update(lifetime=0)
    assert made.state.defences == {}
    assert hear(made, asks()) == []
    assert pass_time(made, 30) == []


def test_the_link_comes_and_goes() -> None:
    made = bound()
    pass_time(made, 10)
    assert hear(made, HomeLinkChanged(None)) == []
    assert hear(made, asks()) == []
    assert made.update(bid(2, WIFI), source=WIFI) is not None
    assert len(hear(made, HomeLinkChanged(replace(LINK, index=8)))) == 1
    assert made.update(bid(1, ETHERNET), node=ROUTER, home_address=OTHER_HOME, key=ROUTER.key) is None


def test_a_mobile_node_that_is_removed_meanwhile_is_not_bound() -> None:
    made = bench()
    made.update(bid(1, ETHERNET))
    left = replace(settings(home_link="eth1"), node=(ROUTER,))
    hear(made, SettingsChanged(left))
    pass_time(made, 2)
    assert made.state.cache == {}
    assert agent.deadline(made.state) == inf


def test_without_a_home_link_nothing_waits_and_nothing_is_said() -> None:
    made = Bench()
    assert made.update(bid(1, ETHERNET), flags=A | H) is not None
    assert said(made) == []


def test_home_addresses_that_are_at_home_are_reachable() -> None:
    assert any(route.table == HOME_TABLE for route in wanted_kernel(Bench().state).routes)
    assert not any(route.table == HOME_TABLE for route in wanted_kernel(bench().state).routes)
    assert [str(route.destination) for route in wanted_kernel(bound().state).routes if route.table == HOME_TABLE] == [
        f"{HOME}/128"
    ]
