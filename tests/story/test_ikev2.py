"""Keys that IKEv2 negotiates: when the IKE SA is made, moved, and made anew; charon is played by the story."""

from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from home_agent.core import ike as ha_ike
from home_agent.core.events import IkeLooked as LookedByHomeAgent
from home_agent.core.report import status as ha_status
from home_agent.core.settings import HomeAgent, Ikev2, Node, NodeIkev2
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.ike import MOBILITY as CHILD
from mip6.ike import Certificates, Mode
from mip6.ike_sas import ChildSa, IkeSa
from mip6.ipsec import Use
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag
from mip6.xfrm import Direction, Protocol
from mn_agent.core import agent, commands, ike
from mn_agent.core.events import IkeLooked, IkeTried, StopRequested, Subject
from mn_agent.core.kernel import association, wanted_kernel
from mn_agent.core.report import status
from mn_agent.core.settings import Ikev2 as AgentIkev2
from tests.story.world import (
    AGENT,
    EPOCH_S,
    HOME,
    IDENTITY,
    NODE,
    World,
    acknowledgements,
    mobile_node_settings,
    three_links,
)

SECRET = bytes(32)
SETTINGS = replace(
    mobile_node_settings(),
    authentication=None,
    ikev2=AgentIkev2(identity=IDENTITY, home_agent_identity="ha.example.org", secret=SECRET),
)


def home_agent(**changes: object) -> HomeAgentSettings:
    own = HomeAgent(address=AGENT, prefixes=(IPv6Network("2001:db8:f00::/48"),))
    node = Node(name="laptop", identity=IDENTITY, home_address=HOME, ikev2=NodeIkev2(secret=SECRET))
    ours = Ikev2(identity="ha.example.org", **changes)  # type: ignore[arg-type]
    other = replace(NODE, name="other", identity="other@example.org", home_address=HOME + 1)
    return HomeAgentSettings(home_agent=own, ikev2=ours, node=(node, other))


def ike_sa(care_of: IPv6Address, *children: ChildSa, number: int = 1, name: str = ike.CONNECTION) -> IkeSa:
    return IkeSa(
        connection=name,
        unique_id=number,
        state="ESTABLISHED",
        local_address=care_of,
        remote_address=AGENT,
        local_id=IDENTITY,
        remote_id="ha.example.org",
        is_initiator=True,
        initiator_spi=1,
        responder_spi=2,
        established_s=0,
        rekey_s=None,
        children=children,
    )


MOBILITY = ChildSa(
    name=CHILD,
    unique_id=1,
    reqid=1,
    state="INSTALLED",
    mode="TRANSPORT_PROXY",
    spi_in=1,
    spi_out=2,
    if_id=0,
    label=None,
    installed_s=0,
    rekey_s=None,
    end_s=None,
)


@dataclass
class Charons:
    """Both ends' charons, and the way between them."""

    world: World
    answers: bool = True
    """Whether the home agent's does."""
    moves: bool = True
    tried: list[IPv6Address] = field(default_factory=list)
    sa: IkeSa | None = None
    number: int = 0

    def __call__(self, command: commands.MoveIke | commands.EstablishIke) -> None:
        self.world.at(self.world.now + 0.01, lambda: self._do(command))

    def _do(self, command: commands.MoveIke | commands.EstablishIke) -> None:
        if isinstance(command, commands.MoveIke):
            assert self.sa is not None
            self.sa = replace(self.sa, local_address=command.care_of)
            self.tell()
            return
        self.tried.append(command.care_of)
        self.sa = None
        self.tell()
        reaches = self.answers and self.world.reaches(command.care_of)
        self.world.at(self.world.now + (0.1 if reaches else 5.0), lambda: self._done(command.care_of, made=reaches))

    def _done(self, care_of: IPv6Address, *, made: bool) -> None:
        if made:
            self.number += 1
            self.sa = ike_sa(care_of, MOBILITY, number=self.number)
        self.tell()
        self.world.mobile_node(IkeTried())

    def tell(self) -> None:
        sas = (self.sa,) if self.sa is not None else ()
        theirs = tuple(replace(sa, connection="monami6-laptop") for sa in sas)
        self.world.home_agent_hears(LookedByHomeAgent(theirs if self.answers else None))
        self.world.mobile_node(IkeLooked(sas))


def start(*, answers: bool = True, **changes: object) -> tuple[World, Charons]:
    world = World(three_links(), settings=SETTINGS, home_agent=home_agent(**changes), key_mobility=True)
    charons = Charons(world, answers)
    world.charon = charons
    world.start()
    charons.tell()
    world.run(5)
    return world, charons


K = BindingUpdateFlag.KEY_MANAGEMENT_MOBILITY
ANSWERED_K = BindingAcknowledgementFlag.KEY_MANAGEMENT_MOBILITY


def asked(world: World) -> int:
    return sum(bool(update.flags & K) for _, update in world.sent_updates())


@pytest.mark.req("SEC-15", "SEC-18", "SEC-27")
def test_nothing_is_sent_before_it_can_be_protected() -> None:
    world = World(three_links(), settings=SETTINGS, home_agent=home_agent(), key_mobility=True).start().run(100)
    assert (world.updates, world.ike) == ([], []), "there is no charon"
    charons = Charons(world)
    world.charon = charons
    charons.tell()
    world.run(0.05)
    assert charons.tried == [world.links["ethernet"].address]
    assert world.updates == []
    world.run(2)
    assert set(world.bindings()) == {1, 2, 3}
    assert charons.tried == [world.links["ethernet"].address]


def test_the_first_care_of_address_needs_no_move() -> None:
    world, charons = start()
    assert set(world.bindings()) == {1, 2, 3}
    assert world.ike == [commands.EstablishIke(world.links["ethernet"].address)]
    assert world.mn.ike.care_of == world.links["ethernet"].address
    assert charons.sa is not None


@pytest.mark.req("SEC-19", "HA-11", "REG-05", "REG-26", "MCOA-31")
def test_a_lost_link_moves_the_ike_sa_at_both_ends_and_none_is_made() -> None:
    world, charons = start()
    world.updates.clear()
    world.carrier("ethernet", on=False)
    world.run(3)
    wifi = world.links["wifi"].address
    assert asked(world) == 1
    assert world.ike[1:] == [commands.MoveIke(wifi)]
    assert world.ike_moves == [wifi]
    assert charons.tried == [world.links["ethernet"].address]
    assert (world.mn.ike.care_of, len(charons.tried)) == (wifi, 1)
    assert any(answer.flags & ANSWERED_K for answer in acknowledgements(world))


@pytest.mark.req("SEC-19", "HA-11", "REG-26")
def test_a_home_agent_that_cannot_move_it_says_so_and_it_is_made_anew() -> None:
    world, charons = start(key_mobility=False)
    world.switch("lte", subject=Subject.IKE)
    world.run(3)
    assert world.ike_moves == []
    assert not any(answer.flags & ANSWERED_K for answer in acknowledgements(world))
    assert charons.tried == [world.links[name].address for name in ("ethernet", "lte")]
    assert world.mn.ike.care_of == world.links["lte"].address
    assert set(world.bindings()) == {1, 2, 3}


def test_a_try_that_fails_is_followed_by_others_from_each_link_in_turn_less_and_less_often() -> None:
    world, charons = start(answers=False)
    world.run(100)
    names = ("ethernet", "wifi", "lte", "ethernet", "wifi")
    assert charons.tried[:5] == [world.links[name].address for name in names]
    assert len(charons.tried) < 9
    charons.answers = True
    world.run(60)
    assert set(world.bindings()) == {1, 2, 3}


def test_when_the_link_of_a_try_is_lost_the_next_follows_at_once() -> None:
    world, charons = start(answers=False)
    charons.answers = True
    world.carrier("ethernet", on=False)
    world.run(1)
    assert charons.tried[1] == world.links["wifi"].address
    assert set(world.bindings()) == {2, 3}


def test_charon_that_is_killed_costs_nothing_and_is_asked_again_when_it_is_back() -> None:
    world, charons = start()
    world.mobile_node(IkeLooked(None))
    world.carrier("lte", on=False)
    world.run(2)
    assert set(world.bindings()) == {1, 2}, "what was negotiated lives on"
    charons.sa = None
    charons.tell()
    world.run(2)
    assert len(charons.tried) == 2
    assert world.mn.ike.is_ready


def test_a_home_agent_that_has_lost_its_ike_sa_is_noticed_by_its_silence() -> None:
    world, charons = start()
    world.respond = lambda _update, _packet: None
    world.switch("lte")
    world.run(40)
    assert 2 <= len(charons.tried) <= 4
    world.respond = None
    world.run(20)
    assert world.mn.decision.default is not None
    assert set(world.bindings()) == {1, 2, 3}


def test_a_home_agent_whose_charon_forgot_everything_asks_and_the_ike_sa_is_made_anew() -> None:
    world, charons = start()
    world.home_agent_hears(LookedByHomeAgent(None))
    world.run(1)
    assert len(charons.tried) == 1
    world.home_agent_hears(LookedByHomeAgent(()))
    world.run(3)
    assert len(charons.tried) == 2
    world.run(100)
    assert len(charons.tried) == 2
    assert set(world.bindings()) == {1, 2, 3}


def test_a_charon_that_forgot_a_mobile_node_without_bindings_is_no_news() -> None:
    world, _ = start()
    world.mobile_node(StopRequested())
    world.run(1)
    answers = len(world.answers)
    world.home_agent_hears(LookedByHomeAgent(()))
    assert len(world.answers) == answers


def test_silence_without_any_link_is_no_reason() -> None:
    world, charons = start()
    world.respond = lambda _update, _packet: None
    world.switch("lte")
    world.run(5)
    for name in world.links:
        world.carrier(name, on=False)
    world.run(60)
    assert len(charons.tried) == 1


def test_leaving_makes_none() -> None:
    world, charons = start(answers=False)
    tried = len(charons.tried)
    world.mobile_node(StopRequested())
    world.run(100)
    assert len(charons.tried) == tried
    assert agent.is_finished(world.mn)


def test_an_ike_sa_that_the_peer_moved_is_moved_back() -> None:
    """Charon follows packets that come from elsewhere: what it has is where it is."""
    world, charons = start()
    assert charons.sa is not None
    charons.sa = replace(charons.sa, local_address=world.links["lte"].address)
    world.updates.clear()
    charons.tell()
    world.run(3)
    assert asked(world) == 1
    assert world.mn.ike.care_of == world.links["ethernet"].address


@pytest.mark.req("SEC-09", "SEC-13", "SEC-17", "SEC-31")
def test_what_charon_is_told_at_both_ends_fits_together() -> None:
    world, _ = start()
    ours = ike.connection(SETTINGS, world.links["wifi"].address)
    (theirs,) = ha_ike.connections(home_agent())
    assert (ours.local_address, ours.remote_address) == (world.links["wifi"].address, AGENT)
    assert (theirs.local_address, theirs.remote_address) == (AGENT, None)
    assert (ours.local_id, ours.remote_id) == (theirs.remote_id, theirs.local_id)
    assert ours.credential == theirs.credential
    assert str(SECRET) not in repr((ours, theirs))
    (mine,), (its,) = ours.children, theirs.children
    assert (mine.mode, mine.local, mine.remote) == (Mode.TRANSPORT_PROXY, its.remote, its.local)
    assert (str(mine.local), str(mine.remote)) == (f"{HOME}/128[135]", f"{AGENT}/128[135]")
    assert its.lifetime.rekey_s is None
    assert mine.lifetime.end_s <= its.lifetime.end_s


def test_the_policies_have_the_reqid_of_the_child_and_one_is_for_moves_only() -> None:
    world, _ = start()
    reqid = association(SETTINGS).reqid(Use.MOBILITY)
    policies = wanted_kernel(world.mn).policies
    named = [policy for policy in policies if any(template.reqid == reqid for template in policy.templates)]
    assert {policy.id.direction for policy in named} == {Direction.IN, Direction.OUT}
    carriers = [one for one in named if one.id.selector.source.network_address in IPv6Network("100::/64")]
    assert len(carriers) == 1
    assert not [state for state in wanted_kernel(world.mn).states if state.protocol is Protocol.ESP]


def test_an_ike_sa_without_the_child_for_mobility_protects_nothing() -> None:
    state = ike.looked(ike.Ike(), (ike_sa(HOME),), 1.0)
    assert not state.is_ready
    assert ike.Ike().care_of is None
    old = replace(MOBILITY, state="DELETED")
    assert not ike.looked(ike.Ike(), (ike_sa(HOME, old),), 1.0).is_ready
    assert not ike.looked(ike.Ike(), (ike_sa(HOME, MOBILITY, name="somebody"),), 1.0).is_ready


def test_status_tells_of_the_ike_sa_at_both_ends() -> None:
    world, _ = start()
    shown = status(world.mn, world.now, unix_time=world.now + EPOCH_S, version="1", pid=1, counters={})
    assert shown.ike.sa is not None
    assert (shown.ike.strongswan, shown.ike.sa.care_of_address) == (True, str(world.links["ethernet"].address))
    theirs = ha_status(world.ha, world.now, unix_time=world.now + EPOCH_S, version="1", pid=1, counters={})
    assert [(node.security, node.ike_sa) for node in theirs.nodes] == [("ikev2", True), ("auth-option", None)]


def test_a_mobile_node_without_a_secret_shows_a_certificate() -> None:
    certificates = Certificates(own=b"ours", private_key=b"key", authority=b"authority")
    settings = home_agent(certificates=certificates)
    without = replace(settings.node[0], ikev2=NodeIkev2())
    (theirs,) = ha_ike.connections(replace(settings, node=(without,)))
    assert theirs.credential is certificates
