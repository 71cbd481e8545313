"""Home agents that have names: who is asked, when again, and what of that is believed (RFC 5026 section 5.1)."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

import pytest

from mip6.wire.registry import Status
from mn_agent.core import agent
from mn_agent.core.commands import EstablishIke
from mn_agent.core.dns import AGAIN_S, LONGEST_PAUSE_S, LONGEST_S, PATIENCE_S, SHORTEST_S, Answer, Failure
from mn_agent.core.events import DnsAnswered, IkeLooked, IkeTried, StopRequested
from mn_agent.core.ike import connection
from mn_agent.core.kernel import wanted_kernel
from mn_agent.core.report import status
from mn_agent.core.saved import Saved, keep, save
from mn_agent.core.settings import UNKNOWN, Home
from tests.story.test_home_agents import SECOND, THIRD, USUAL, in_use, other
from tests.story.test_ikev2 import SETTINGS as IKEV2
from tests.story.test_ipsec import SETTINGS as MANUAL
from tests.story.test_refusals import always
from tests.story.world import AGENT, EPOCH_S, HOME, SEED, IkeCommand, World, mobile_node_settings, three_links

DOMAIN = "SRV of _mip6._ipv6.example.net"
TTL_S = 600.0
NAMED = Home(address=HOME, agent_name="ha.example.net")
BY_DOMAIN = Home(address=HOME, domain="example.net")


def host(*addresses: IPv6Address, ttl_s: float = TTL_S) -> Answer:
    return Answer(ttl_s, addresses=addresses)


def one(*addresses: IPv6Address, ttl_s: float = TTL_S) -> dict[str, Answer | Failure]:
    return {"AAAA of ha.example.net": host(*addresses, ttl_s=ttl_s)}


def domain(*hosts: str, ttl_s: float = TTL_S, **addresses: Answer | Failure) -> dict[str, Answer | Failure]:
    answers = {f"AAAA of {name}.example.net": answer for name, answer in addresses.items()}
    return {DOMAIN: Answer(ttl_s, hosts=tuple(f"{name}.example.net" for name in hosts)), **answers}


TWO = domain("ha1", "ha2", ha1=host(AGENT), ha2=host(SECOND))


def start(home: Home, dns: dict[str, Answer | Failure], *, run_s: float = 5, **more: Any) -> World:
    settings = replace(mobile_node_settings(USUAL), home=home)
    world = World(three_links(), settings=settings, dns=dns, others=(other(SECOND), other(THIRD)), **more)
    return world.start().run(run_s)


def told(world: World) -> Any:
    return status(world.mn, world.now, unix_time=world.now + EPOCH_S, version="1", pid=1, counters={})


@pytest.mark.req("BOOT-01")
def test_the_address_of_a_host_is_looked_up_and_used() -> None:
    world = start(NAMED, one(AGENT))
    assert set(world.bindings()) == {1, 2, 3}
    assert len(world.queries) == 1
    assert any("AAAA of ha.example.net: ha.example.net is 2001:db8:a::2" in notice for notice in world.notices)
    seen = told(world)
    assert (seen.home_agent, seen.home_agent_name, seen.home_agent_from) == (str(AGENT), "ha.example.net", "DNS")
    assert (seen.lookup.problem, seen.troubles) == (None, {})


@pytest.mark.req("BOOT-01")
def test_when_the_first_of_a_domain_falls_silent_the_next_one_serves() -> None:
    world = start(BY_DOMAIN, TWO)
    assert str(world.queries[0][1].question) == DOMAIN
    assert in_use(world) == AGENT
    stream = world.stream(12, every_s=0.05)
    world.run(2)
    world.silent.add(AGENT)
    world.run(10)
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}
    assert max(stream.lost) * 0.05 < 5
    world.silent.clear()
    world.run(60)
    assert in_use(world) == SECOND, "nobody goes back"


def test_as_long_as_nothing_is_known_nothing_is_sent_and_the_kernel_is_ready() -> None:
    for settings in (mobile_node_settings(USUAL), IKEV2, MANUAL):
        world = World(three_links(), settings=replace(settings, home=NAMED)).start()
        world.mobile_node(IkeLooked(()))
        world.run(20)
        assert in_use(world) == UNKNOWN
        assert (world.updates, world.probes, world.ike) == ([], [], [])
        kernel = wanted_kernel(world.mn)
        assert not kernel.policies | kernel.states
        seen = told(world)
        assert seen.home_agent is None
        assert "not known yet" in seen.registration.problem
        assert {link.problem for link in seen.links} == {"the home agent's address is not known yet"}
        world.mobile_node(StopRequested())
        assert agent.is_finished(world.mn)
        assert keep(world.mn) is None


def test_a_question_without_an_answer_is_repeated_from_every_link_with_growing_pauses() -> None:
    world = start(NAMED, {"AAAA of ha.example.net": Failure("no server answers")}, run_s=900)
    at = [at for at, _ in world.queries]
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 1.1
    assert LONGEST_PAUSE_S <= pauses[-1] < LONGEST_PAUSE_S + 1
    assert {query.care_of for _, query in world.queries[:3]} == {link.address for link in world.links.values()}
    assert told(world).troubles == {"DNS": "AAAA of ha.example.net: no server answers"}
    assert sum("DNS: AAAA of ha.example.net: no server answers" in notice for notice in world.notices) == 1
    world.dns = one(AGENT)
    world.run(70)
    assert set(world.bindings()) == {1, 2, 3}
    assert told(world).troubles == {}


def test_a_new_link_is_a_reason_to_ask_at_once() -> None:
    world = start(NAMED, {"AAAA of ha.example.net": Failure("no server answers")}, run_s=0)
    world.carrier("lte", on=False)
    world.run(200)
    asked = len(world.queries)
    world.carrier("lte", on=True)
    assert len(world.queries) == asked + 1


def test_a_resolver_that_says_nothing_at_all_is_asked_again() -> None:
    world = start(NAMED, {}, run_s=PATIENCE_S + 1)
    assert len(world.queries) == 2


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (one(), "no address that can be used"),
        (one(IPv6Address("fe80::1"), IPv6Address("::ffff:192.0.2.1"), UNKNOWN, HOME), "no address that can be used"),
        ({"AAAA of ha.example.net": Failure("no such name")}, "no such name"),
    ],
)
def test_what_cannot_be_used_is_said(answers: dict[str, Answer | Failure], why: str) -> None:
    world = start(NAMED, answers)
    assert in_use(world) == UNKNOWN
    assert told(world).troubles["DNS"] == f"AAAA of ha.example.net: {why}"


@pytest.mark.parametrize("hosts", [(), (".",)])
def test_a_domain_may_have_no_home_agent(hosts: tuple[str, ...]) -> None:
    world = start(BY_DOMAIN, {DOMAIN: Answer(TTL_S, hosts=hosts)})
    assert told(world).troubles["DNS"] == f"{DOMAIN}: the domain has no home agent"


def test_hosts_of_which_something_is_known_do_for_the_others() -> None:
    world = start(BY_DOMAIN, domain("ha1", "ha2", ha1=Failure("no such name"), ha2=host(SECOND)))
    assert in_use(world) == SECOND
    assert set(world.bindings()) == {1, 2, 3}
    assert "ha1.example.net: no such name" in told(world).troubles["DNS"]
    world.dns = TWO
    world.run(60)
    assert (in_use(world), world.mn.settings.home.alternatives) == (SECOND, (AGENT,))
    world.dns = domain("ha1", "ha2", ha1=Failure("no server answers"), ha2=host(SECOND))
    world.run(TTL_S + 60)
    assert world.mn.settings.home.alternatives == (AGENT,), "it has the address that it had"


@pytest.mark.parametrize(("ttl_s", "good_s"), [(0, SHORTEST_S), (TTL_S, TTL_S), (1 << 31, LONGEST_S)])
def test_an_answer_is_good_for_its_time_to_live_within_limits(ttl_s: float, good_s: float) -> None:
    world = start(NAMED, one(AGENT, ttl_s=ttl_s), run_s=1)
    ((begun_at, _),) = world.queries
    assert world.mn.lookup.due_at == pytest.approx(begun_at + good_s, abs=0.1)


def test_when_an_answer_is_old_the_dns_is_asked_again() -> None:
    world = start(NAMED, one(AGENT), run_s=TTL_S + 1)
    (first_at, _), (second_at, _) = world.queries
    assert second_at == pytest.approx(first_at + TTL_S, abs=0.1)


def test_the_home_agent_that_serves_stays_in_use_while_the_dns_is_silent_or_says_something_else() -> None:
    world = start(NAMED, one(AGENT))
    world.dns = {"AAAA of ha.example.net": Failure("no server answers")}
    world.run(TTL_S + 300)
    assert (in_use(world), set(world.bindings())) == (AGENT, {1, 2, 3})
    assert "DNS" in told(world).troubles
    world.dns = one(SECOND)
    world.run(100)
    assert (in_use(world), set(world.bindings())) == (AGENT, {1, 2, 3})
    assert world.mn.settings.home.alternatives == (SECOND,)
    assert told(world).home_agent_name == "ha.example.net"
    world.silent.add(AGENT)
    world.run(60)
    assert (in_use(world), set(world.bindings())) == (SECOND, {1, 2, 3})
    world.run(TTL_S)
    assert not world.mn.settings.home.alternatives, "what the DNS no longer has is forgotten"


def test_when_the_only_one_falls_silent_the_dns_is_asked_whether_it_has_moved() -> None:
    world = start(NAMED, one(AGENT, ttl_s=LONGEST_S))
    world.dns = one(SECOND)
    world.stream(10, every_s=0.05)
    world.run(60)
    assert len(world.queries) == 1
    world.silent.add(AGENT)
    world.run(60 + AGAIN_S)
    assert (in_use(world), set(world.bindings())) == (SECOND, {1, 2, 3})


def test_one_that_refuses_us_is_left_for_what_the_dns_has_now() -> None:
    world = start(NAMED, one(AGENT), respond=always(Status.NOT_HOME_SUBNET))
    world.dns = one(SECOND)
    world.run(AGAIN_S + 10)
    assert (in_use(world), set(world.bindings())) == (SECOND, {1, 2, 3})
    assert any(f"{AGENT} is no longer in the DNS: {SECOND} is asked" in notice for notice in world.notices)


def test_when_all_fail_the_dns_is_asked_again_but_seldom() -> None:
    world = start(BY_DOMAIN, TWO)
    world.dns = domain("ha3", ha3=host(THIRD))
    world.silent |= {AGENT, SECOND}
    world.run(120)
    assert (in_use(world), set(world.bindings())) == (THIRD, {1, 2, 3})
    at = [at for at, query in world.queries if str(query.question) == DOMAIN]
    assert min(later - earlier for earlier, later in pairwise(at)) >= AGAIN_S


def test_addresses_from_the_configuration_come_behind_those_of_the_dns() -> None:
    world = start(replace(BY_DOMAIN, alternatives=(THIRD,)), TWO)
    assert (in_use(world), world.mn.settings.home.alternatives) == (THIRD, (AGENT, SECOND))
    world.silent.add(THIRD)
    world.run(60)
    assert (in_use(world), world.mn.settings.home.alternatives) == (AGENT, (SECOND, THIRD))


def test_home_agents_may_tell_of_themselves_while_the_dns_does_not() -> None:
    world = World(three_links(), settings=replace(mobile_node_settings(), home=replace(NAMED, discover=True)))
    world.start().run(10)
    assert (in_use(world), set(world.bindings())) == (AGENT, {1, 2, 3})
    assert told(world).home_agent_from == "home agents"


def test_answers_to_nothing_that_was_asked_change_nothing() -> None:
    world = start(NAMED, one(AGENT))
    before = world.mn
    ((_, query),) = world.queries
    world.mobile_node(DnsAnswered(query.question, host(SECOND)))
    assert world.mn.lookup is before.lookup
    assert world.mn.settings is before.settings


def restarted(world: World, home: Home, saved: Saved | None, *, same_boot: bool = False) -> World:
    world.settings = replace(world.settings, home=home)
    world.mn = agent.start(
        world.settings,
        world.mn.flows,
        saved,
        same_boot=same_boot,
        sequence=1,
        clock_offset_s=EPOCH_S,
        seed=SEED,
    )
    world.look()
    return world


def test_restarted_without_the_dns_it_goes_on_with_the_one_in_use() -> None:
    world = start(BY_DOMAIN, TWO)
    world.silent.add(AGENT)
    world.run(60)
    world.dns = {}
    before = world.bindings()
    restarted(world, BY_DOMAIN, save(world.mn), same_boot=True).run(5)
    assert (in_use(world), world.bindings()) == (SECOND, before)
    seen = told(world)
    assert (seen.home_agent_name, seen.home_agent_from) == ("ha2.example.net", "state file")
    assert (seen.alternatives, seen.lookup.answered) == ([str(AGENT)], None)


def test_stopped_and_started_without_the_dns_it_has_the_one_that_it_had() -> None:
    world = start(NAMED, one(AGENT))
    world.mobile_node(StopRequested())
    world.run(1)
    saved = keep(world.mn)
    assert saved is not None
    assert (saved.bindings, saved.policy, saved.bids) == ((), None, {})
    world.dns = {}
    restarted(world, NAMED, saved).run(5)
    assert (in_use(world), set(world.bindings())) == (AGENT, {1, 2, 3})


def test_what_another_name_had_means_nothing() -> None:
    world = start(NAMED, one(AGENT))
    saved = save(world.mn)
    world.dns = {}
    assert in_use(restarted(world, replace(NAMED, agent_name="other.example.net"), saved)) == UNKNOWN
    assert in_use(restarted(world, Home(address=HOME, agent=SECOND), saved)) == SECOND


def test_killed_before_anything_was_known_it_begins_anew() -> None:
    world = start(replace(NAMED, discover=True), {}, answers_questions=False)
    restarted(world, replace(NAMED, discover=True), save(world.mn)).run(1)
    assert in_use(world) == UNKNOWN


def test_after_sleep_the_dns_is_asked_at_once() -> None:
    world = start(NAMED, one(AGENT))
    world.sleep(10)
    assert len(world.queries) == 2


@pytest.mark.req("BOOT-01")
def test_strongswan_connects_to_what_was_found_and_to_the_next_one_when_ike_fails() -> None:
    """From every care-of address charon has to try: it may be the link."""
    world = World(three_links(), settings=replace(IKEV2, home=BY_DOMAIN), dns=TWO, key_mobility=True)
    asked: list[IPv6Address | None] = []

    def charon(command: IkeCommand) -> None:
        assert isinstance(command, EstablishIke)
        care_of = command.care_of
        asked.append(connection(world.mn.settings, care_of).remote_address)
        world.at(world.now + 2, lambda: world.mobile_node(IkeTried(care_of)))

    world.charon = charon
    world.start()
    world.mobile_node(IkeLooked(()))
    world.run(30)
    assert asked[:5] == [AGENT] * 4 + [SECOND]


def test_that_the_same_home_agents_come_in_another_order_is_no_news() -> None:
    world = start(BY_DOMAIN, TWO)
    world.dns = TWO | {DOMAIN: Answer(TTL_S, hosts=("ha2.example.net", "ha1.example.net"))}
    world.run(TTL_S)
    assert list(world.mn.lookup.names) == [SECOND, AGENT]
    assert sum(notice.startswith(f"{DOMAIN}: ") for notice in world.notices) == 1
    assert in_use(world) == AGENT


def test_a_care_of_address_of_the_scope_of_the_home_agent_is_taken_when_that_is_known() -> None:
    local = IPv6Address("fd00:1::64")
    links = three_links()
    known = links["ethernet"].interface
    both = (*known.addresses, replace(known.addresses[0], address=local))
    links["ethernet"].interface = replace(known, addresses=both, prefixes=(*known.prefixes, IPv6Network("fd00:1::/64")))
    world = World(links, settings=replace(mobile_node_settings(), home=NAMED), dns=one(IPv6Address("fd00:a::2")))
    world.start()
    assert world.mn.links[1].care_of != local
    world.run(1)
    assert world.mn.links[1].care_of == local
