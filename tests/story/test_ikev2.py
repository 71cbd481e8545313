"""Keys that IKEv2 negotiates: when the IKE SA is made, moved, and made anew; charon is played by the story."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from home_agent.core import ike as ha_ike
from home_agent.core.events import IcmpReceived as IcmpReceivedByHomeAgent
from home_agent.core.events import IkeLooked as LookedByHomeAgent
from home_agent.core.kernel import wanted_kernel as wanted_by_home_agent
from home_agent.core.report import status as ha_status
from home_agent.core.settings import HomeAgent, Ikev2, Node, NodeIkev2
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.ike import MOBILITY as CHILD
from mip6.ike import Certificates, Mode, tunnel_name
from mip6.ike_sas import ChildSa, IkeSa
from mip6.ipsec import RETURN_ROUTABILITY, Association, Use, protected_mtu, tunnel_address, tunnel_use
from mip6.kernel import Device, Encapsulate, Kernel
from mip6.path_mtu import FORGET_S
from mip6.tunnels import ADOPT_S, Negotiated, by_reqid
from mip6.wire.icmp import packet_too_big
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag
from mip6.xfrm import STATIC_REQIDS, Direction, Protocol, State, aes_cbc_sha256
from mip6.xfrm import Mode as XfrmMode
from mn_agent.core import agent, commands, ike
from mn_agent.core.events import IcmpReceived, IkeLooked, IkeTried, StopRequested, Subject
from mn_agent.core.kernel import wanted_kernel
from mn_agent.core.report import status
from mn_agent.core.settings import Ikev2 as AgentIkev2
from tests.story.world import (
    AGENT,
    EPOCH_S,
    HOME,
    IDENTITY,
    NODE,
    IkeCommand,
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
        initiator_spi=number,
        responder_spi=2,
        established_s=0,
        rekey_s=None,
        children=children,
    )


def child(name: str, number: int, reqid: int) -> ChildSa:
    return ChildSa(
        name=name,
        unique_id=number,
        reqid=reqid,
        state="INSTALLED",
        mode="TUNNEL",
        spi_in=DOWN + number,
        spi_out=UP + number,
        label=None,
        installed_s=0,
        rekey_s=None,
        end_s=None,
    )


UP, DOWN = 0x1000, 0x2000
"""SPIs: these plus the number of the child."""
MOBILITY = child(CHILD, 1, 1)
NEAR = Association(HOME, AGENT)
"""At both ends: the mobile node is the first in the home agent's configuration."""


def turned(sa: IkeSa) -> IkeSa:
    """As the home agent has it."""
    children = (replace(one, spi_in=one.spi_out, spi_out=one.spi_in) for one in sa.children)
    return replace(sa, connection="monami6-laptop", children=tuple(children))


@dataclass
class Charons:
    """Both ends' charons, the states that they make, and the way between them."""

    world: World
    answers: bool = True
    """Whether the home agent's does."""
    has_tunnels: bool = True
    """Whether the home agent's negotiates them."""
    tried: list[IPv6Address] = field(default_factory=list)
    sa: IkeSa | None = None
    number: int = 0
    children: int = 1
    states: list[State] = field(default_factory=list)
    """Of both ends."""
    replaced: set[int] = field(default_factory=set)
    """Children after which others have come: for sending neither end has them any more."""

    def __call__(self, command: IkeCommand) -> None:
        self.world.at(self.world.now + 0.01, lambda: self._do(command))

    def _do(self, command: IkeCommand) -> None:
        match command:
            case commands.MoveIke(care_of):
                assert self.sa is not None
                self.sa = replace(self.sa, local_address=care_of)
                self.tell()
            case commands.EstablishTunnel(number):
                if self.has_tunnels and self.sa is not None:
                    self.add(number)
                    self.tell()
            case commands.EstablishIke(care_of):
                self.tried.append(care_of)
                self.sa = None
                self.tell()
                reaches = self.answers and self.world.reaches(care_of)
                self.world.at(self.world.now + (0.1 if reaches else 5.0), lambda: self._done(care_of, made=reaches))

    def add(self, number: int) -> ChildSa:
        """A tunnel, whether there is one with this number or not."""
        assert self.sa is not None
        care_of = self.sa.local_address
        assert isinstance(care_of, IPv6Address)
        self.children += 1
        made = child(tunnel_name(number), self.children, NEAR.reqid(tunnel_use(number)))
        self.sa = replace(self.sa, children=(*self.sa.children, made))
        for spi, source, destination in ((UP, care_of, AGENT), (DOWN, AGENT, care_of)):
            self.states.append(
                State(
                    protocol=Protocol.ESP,
                    mode=XfrmMode.TUNNEL,
                    source=source,
                    destination=destination,
                    spi=spi + self.children,
                    reqid=made.reqid,
                    algorithms=aes_cbc_sha256(self.children.to_bytes(16, "big"), bytes(32)),
                )
            )
        return made

    def _done(self, care_of: IPv6Address, *, made: bool) -> None:
        if made:
            self.number += 1
            self.states.clear()
            self.sa = ike_sa(care_of, MOBILITY, number=self.number)
        self.tell()
        self.world.mobile_node(IkeTried(care_of))

    def tell(self) -> None:
        sas = (self.sa,) if self.sa is not None else ()
        theirs = tuple(self._shown(turned(sa)) for sa in sas) if self.answers else None
        self.world.home_agent_hears(LookedByHomeAgent(theirs, self._states(DOWN)))
        self.world.mobile_node(IkeLooked(tuple(map(self._shown, sas)), self._states(UP)))

    def _shown(self, sa: IkeSa) -> IkeSa:
        children = (
            replace(one, state="DELETED", spi_out=None) if one.unique_id in self.replaced else one
            for one in sa.children
        )
        return replace(sa, children=tuple(children))

    def _states(self, sending: int) -> Negotiated:
        gone = {sending + number for number in self.replaced}
        return by_reqid(state for state in self.states if state.spi not in gone)


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


def test_the_old_ike_sa_is_none_any_more_while_charon_has_not_ended_it_yet() -> None:
    """Whatever the kernel announces meanwhile makes us ask charon what it has."""
    world, charons = start(key_mobility=False)
    assert charons.sa is not None
    old = charons.sa
    ready = world.charon
    world.charon = None
    world.switch("lte", subject=Subject.IKE)
    world.run(0.5)
    lte = world.links["lte"].address
    assert world.ike[-1] == commands.EstablishIke(lte)
    for _ in range(3):
        world.mobile_node(IkeLooked((old,), by_reqid(charons.states)))
        world.run(0.1)
    world.mobile_node(IkeTried(world.links["wifi"].address))
    world.charon = ready
    charons(commands.EstablishIke(lte))
    world.run(5)
    assert charons.tried == [world.links["ethernet"].address, lte]
    assert world.mn.ike.care_of == lte
    assert len(world.ike) == 2


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


@pytest.mark.req("SEC-09", "SEC-17", "SEC-31")
def test_what_charon_is_told_at_both_ends_fits_together() -> None:
    world, _ = start()
    ours = ike.connection(SETTINGS, world.links["wifi"].address)
    (theirs,) = ha_ike.connections(home_agent())
    assert (ours.local_address, ours.remote_address) == (world.links["wifi"].address, AGENT)
    assert (theirs.local_address, theirs.remote_address) == (AGENT, None)
    assert (ours.local_id, ours.remote_id) == (theirs.remote_id, theirs.local_id)
    assert ours.credential == theirs.credential
    assert str(SECRET) not in repr((ours, theirs))
    mine, its = ours.children[0], theirs.children[0]
    assert (mine.mode, mine.local, mine.remote) == (Mode.TRANSPORT_PROXY, its.remote, its.local)
    assert (*map(str, mine.local), *map(str, mine.remote)) == (f"{HOME}/128", f"{AGENT}/128")
    assert its.lifetime.rekey_s is None
    assert mine.lifetime.end_s <= its.lifetime.end_s
    assert [one.name for one in ours.children] == [one.name for one in theirs.children]
    for one, other in zip(ours.children, theirs.children, strict=True):
        assert (one.mode, one.local, one.remote, one.label) == (other.mode, other.remote, other.local, other.label)
    assert len({(one.local, one.remote, one.label) for one in ours.children}) == len(ours.children)


def test_the_policies_have_the_reqid_of_the_child_and_one_is_for_moves_only() -> None:
    world, _ = start()
    reqid = SETTINGS.association.reqid(Use.MOBILITY)
    policies = wanted_kernel(world.mn).policies
    named = [policy for policy in policies if any(template.reqid == reqid for template in policy.templates)]
    assert {policy.id.direction for policy in named} == {Direction.IN, Direction.OUT}
    carriers = [one for one in named if one.id.selector.source.network_address in IPv6Network("100::/64")]
    assert len(carriers) == 1
    ours = {state.reqid for state in wanted_kernel(world.mn).states}
    assert ours <= set(STATIC_REQIDS), "the others are charon's"


def test_default_traffic_is_counted_at_the_devices_of_its_tunnels() -> None:
    world, _ = start()
    counted = elements(wanted_kernel(world.mn), "default_up")
    assert isinstance(counted, Mapping)
    for bid, link in world.mn.links.items():
        assert counted[Device(bid).index] == counted[link.index]


def test_an_ike_sa_without_the_child_for_mobility_protects_nothing() -> None:
    state = ike.looked(ike.Ike(), NEAR, (ike_sa(HOME),), {}, 1.0)
    assert not state.is_ready
    assert ike.Ike().care_of is None
    old = replace(MOBILITY, state="DELETED")
    assert not ike.looked(ike.Ike(), NEAR, (ike_sa(HOME, old),), {}, 1.0).is_ready
    assert not ike.looked(ike.Ike(), NEAR, (ike_sa(HOME, MOBILITY, name="somebody"),), {}, 1.0).is_ready


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


def elements(kernel: Kernel, name: str) -> object:
    """Of a set or map in its nftables table."""
    assert kernel.table is not None
    return kernel.table.elements[name]


def keys(states: Iterable[State]) -> dict[int, object]:
    """Of the states in ESP's tunnel mode, by SPI."""
    return {one.spi: one.algorithms for one in states if (one.protocol, one.mode) == (Protocol.ESP, XfrmMode.TUNNEL)}


def sent_with(kernel: Kernel) -> dict[int, int]:
    """SPIs by number of the tunnel."""
    return {one.if_id - Device(0).if_id: one.spi for one in kernel.states if one.if_id}


def kernels(world: World) -> tuple[Kernel, Kernel]:
    return wanted_kernel(world.mn), wanted_by_home_agent(world.ha)


@pytest.mark.req("SEC-07", "SEC-10", "SEC-18", "SEC-29", "SEC-30", "MCOA-69", "FLOW-33")
def test_each_care_of_address_has_a_tunnel_of_its_own_before_it_is_registered() -> None:
    world, charons = start()
    assert sorted(world.tunnels) == [0, 1, 2, 3]
    ours, theirs = kernels(world)
    assert sent_with(ours) == {number: UP + at for at, number in enumerate(world.tunnels, 2)}
    assert sent_with(theirs) == {number: DOWN + at for at, number in enumerate(world.tunnels, 2)}
    negotiated = keys(charons.states)
    assert keys(ours.states) == negotiated
    assert keys(theirs.states).items() < negotiated.items(), "what comes in there is taken by charon's own states"
    devices = {Device(number) for number in (0, 1, 2, 3)}
    assert ours.devices == theirs.devices == devices
    first = min(sent.at for sent in world.updates)
    assert first > 0.1
    assert set(world.bindings()) == {1, 2, 3}
    assert elements(ours, "spi") == {DOWN + at for at in range(2, 6)}


@pytest.mark.req("MCOA-69", "SEC-28", "SEC-30", "HA-17")
def test_the_home_agent_takes_keys_of_a_mobile_node_from_its_care_of_addresses_only() -> None:
    world, _ = start()
    theirs = kernels(world)[1]
    care_of = set(world.bindings().values())
    pairs = {f"{address} . {UP + at}" for address in care_of for at in range(2, 6)}
    assert elements(theirs, "protected") == pairs
    assert elements(theirs, "spi") == {UP + at for at in range(2, 6)}
    assert elements(theirs, "binding") == frozenset()
    far_ends = elements(theirs, "tunnel")
    assert isinstance(far_ends, Mapping)
    assert {far_ends[tunnel_address(NEAR, bid)] for bid in (1, 2, 3)} == care_of
    assert far_ends[tunnel_address(NEAR, RETURN_ROUTABILITY)] == world.bindings()[1]


def test_a_change_of_the_care_of_address_of_ike_touches_no_state() -> None:
    world, charons = start()
    before = [kernel.states for kernel in kernels(world)]
    world.switch("lte", subject=Subject.IKE)
    world.run(3)
    assert charons.sa is not None
    assert charons.sa.local_address == world.links["lte"].address
    assert [kernel.states for kernel in kernels(world)] == before


def test_a_link_that_is_lost_leaves_its_device_at_the_home_agent() -> None:
    """To remove one keeps the home agent from its other work, and most links come again."""
    world, _ = start()
    before = kernels(world)[1].devices
    world.carrier("wifi", on=False)
    world.run(3)
    assert set(world.bindings()) == {1, 3}
    assert kernels(world)[1].devices == before


def rekey(charons: Charons, number: int) -> tuple[ChildSa, ChildSa]:
    """The old one is there for some seconds yet."""
    assert charons.sa is not None
    (old,) = [one for one in charons.sa.children if one.name == tunnel_name(number)]
    new = charons.add(number)
    charons.replaced.add(old.unique_id)
    charons.tell()
    return old, new


def forget(charons: Charons, child: ChildSa) -> None:
    """It was there after a rekeying for a while."""
    assert charons.sa is not None
    left = tuple(one for one in charons.sa.children if one.unique_id != child.unique_id)
    charons.sa = replace(charons.sa, children=left)
    charons.states[:] = [state for state in charons.states if state.spi not in (child.spi_in, child.spi_out)]
    charons.tell()


@pytest.mark.req("MCOA-69", "SC-09")
def test_new_keys_are_used_for_sending_a_second_later_and_the_old_ones_taken_until_charon_forgets() -> None:
    world, charons = start()
    old, new = rekey(charons, 2)

    def sent() -> list[int]:
        return [sent_with(kernel)[2] for kernel in kernels(world)]

    assert sent() == [old.spi_out, old.spi_in]
    assert {old.spi_in, new.spi_in} <= keys(kernels(world)[0].states).keys()
    assert elements(kernels(world)[1], "spi") >= {old.spi_out, new.spi_out}  # type: ignore[operator]
    charons.tell()
    world.run(ADOPT_S - 0.2)
    assert sent() == [old.spi_out, old.spi_in]
    world.run(0.3)
    assert sent() == [new.spi_out, new.spi_in]
    assert {old.spi_in, new.spi_in} <= keys(kernels(world)[0].states).keys()
    forget(charons, old)
    assert old.spi_in not in keys(kernels(world)[0].states)
    assert sent() == [new.spi_out, new.spi_in]


def test_what_is_not_in_the_kernel_yet_is_not_used() -> None:
    world, charons = start()
    before = [kernel.states for kernel in kernels(world)]
    new = charons.add(4)
    charons.states[:] = [state for state in charons.states if state.spi != new.spi_in]
    charons.tell()
    assert [kernel.states for kernel in kernels(world)] == before


def test_keys_of_an_ike_sa_made_anew_are_used_at_once() -> None:
    world, charons = start(key_mobility=False)
    before = sent_with(kernels(world)[0])
    world.switch("lte", subject=Subject.IKE)
    world.run(3)
    ours, _ = kernels(world)
    assert sent_with(ours).keys() == before.keys()
    assert not set(sent_with(ours).values()) & set(before.values())
    assert keys(ours.states) == keys(charons.states)
    assert set(world.bindings()) == {1, 2, 3}
    assert world.mn.decision.default is not None


def test_without_an_ike_sa_what_was_negotiated_is_used_on() -> None:
    world, charons = start()
    before = [kernel.states for kernel in kernels(world)]
    world.mobile_node(IkeLooked(None))
    world.home_agent_hears(LookedByHomeAgent(()))
    assert [kernel.states for kernel in kernels(world)] == before
    assert charons.sa is not None


def test_restarted_they_go_on_with_the_tunnels_that_are_there() -> None:
    world, charons = start()
    before = [kernel.states for kernel in kernels(world)]
    ours, theirs = (by_reqid({*states, *charons.states}) for states in before)
    fresh = agent.adopt(replace(world.mn, ike=ike.Ike()), ours)
    assert {state for state in wanted_kernel(fresh).states if state.algorithms} == {
        state for state in before[0] if state.algorithms
    }
    found = ha_ike.restored(world.ha.settings, theirs)[HOME]
    held = world.ha.tunnels[HOME]
    assert {number: tunnel.sending for number, tunnel in found.items()} == {
        number: tunnel.sending for number, tunnel in held.items()
    }
    assert found[1].spis == held[1].spis | held[2].spis | held[3].spis, "nothing tells yet which is whose"
    assert found[RETURN_ROUTABILITY] == held[RETURN_ROUTABILITY]
    plain = replace(world.mn, settings=mobile_node_settings(), ike=ike.Ike())
    assert agent.adopt(plain, ours) == plain


def test_a_link_whose_tunnel_is_refused_is_not_registered_and_asked_for_seldom() -> None:
    world, charons = start()
    charons.has_tunnels = False
    for name in ("wifi", "lte"):
        world.carrier(name, on=False)
    world.run(5)
    assert charons.sa is not None
    forget(charons, next(one for one in charons.sa.children if one.name == tunnel_name(2)))
    world.run(700)
    assert set(world.bindings()) == {1}
    world.tunnels.clear()
    world.carrier("wifi", on=True)
    world.run(200)
    assert 3 <= world.tunnels.count(2) <= 8
    assert set(world.bindings()) == {1}
    shown = status(world.mn, world.now, unix_time=world.now + EPOCH_S, version="1", pid=1, counters={})
    (problem,) = [link.problem for link in shown.links if link.bid == 2]
    assert problem == "the keys for its tunnel are not negotiated yet"
    charons.has_tunnels = True
    world.run(300)
    assert set(world.bindings()) == {1, 2}


def test_payload_may_go_without_protection() -> None:
    ikev2 = replace(SETTINGS.ikev2, payload=False) if SETTINGS.ikev2 else None
    settings = home_agent()
    node = replace(settings.node[0], ikev2=NodeIkev2(secret=SECRET, payload=False))
    theirs = replace(settings, node=(node, *settings.node[1:]))
    world = World(three_links(), settings=replace(SETTINGS, ikev2=ikev2), home_agent=theirs, key_mobility=True)
    charons = Charons(world)
    world.charon = charons
    world.start()
    charons.tell()
    world.run(5)
    assert set(world.bindings()) == {1, 2, 3}
    assert world.tunnels == [RETURN_ROUTABILITY]
    for kernel in kernels(world):
        assert kernel.devices == {Device(RETURN_ROUTABILITY)}
        assert any(isinstance(route.tunnel, Encapsulate) for route in kernel.routes)
        assert kernel.table is not None
    assert [len(one.children) for one in ha_ike.connections(theirs)] == [2]
    assert len(ike.connection(world.mn.settings, HOME).children) == 2


def test_a_mobile_node_that_may_register_one_care_of_address_only_has_its_tunnel() -> None:
    settings = home_agent()
    one = replace(settings, home_agent=replace(settings.home_agent, several_care_of_addresses=False))
    world = World(three_links(), settings=SETTINGS, home_agent=one, key_mobility=True)
    charons = Charons(world)
    world.charon = charons
    world.start()
    charons.tell()
    world.run(20)
    (care_of,) = world.bindings().values()
    assert elements(kernels(world)[1], "tunnel") == {
        tunnel_address(NEAR, 1): care_of,
        tunnel_address(NEAR, RETURN_ROUTABILITY): care_of,
    }


def mtu(kernel: Kernel, number: int) -> set[int | None]:
    """Of the routes into a tunnel."""
    return {route.mtu for route in kernel.routes if route.interface == Device(number).index}


def too_big(source: IPv6Address, destination: IPv6Address, spi: int, mtu: int) -> bytes:
    """A router's complaint about an ESP packet, as its source has it."""
    quoted = bytes((0x60, 0, 0, 0, 0, 100, 50, 64)) + source.packed + destination.packed + spi.to_bytes(4, "big")
    return packet_too_big(mtu, quoted + bytes(100), AGENT + 1, source)


def test_a_path_narrower_than_its_link_makes_the_tunnel_smaller_for_a_while() -> None:
    world, _ = start()
    care_of = world.links["ethernet"].address
    full = protected_mtu(1500)
    up, down = (sent_with(kernel)[1] for kernel in kernels(world))
    for kernel in kernels(world):
        assert mtu(kernel, 1) == {full}
    nothing = (
        too_big(care_of, AGENT, 9, 1400),
        too_big(care_of, AGENT + 1, up, 1400),
        too_big(HOME, AGENT, up, 1400),
        too_big(care_of, AGENT, up, 1400)[:50],
        too_big(care_of, AGENT, up, 1400)[:14] + b"\x06" + too_big(care_of, AGENT, up, 1400)[15:],
    )
    for complaint in nothing:
        world.mobile_node(IcmpReceived(complaint))
    world.mobile_node(IcmpReceived(too_big(care_of, AGENT, up, 1400)))
    world.mobile_node(IcmpReceived(too_big(care_of, AGENT, up, 1450)))
    for complaint in (too_big(AGENT, care_of, 9, 1400), too_big(AGENT, care_of + 1, down, 1400)):
        world.home_agent_hears(IcmpReceivedByHomeAgent(complaint, care_of))
    world.home_agent_hears(IcmpReceivedByHomeAgent(too_big(AGENT, care_of, down, 1300), care_of))
    assert world.ha.dropped == {"packet too big about no binding": 2}
    ours, theirs = kernels(world)
    assert (mtu(ours, 1), mtu(theirs, 1)) == ({protected_mtu(1400)}, {protected_mtu(1300)})
    assert protected_mtu(1300) == 1280 < protected_mtu(1400) < full
    world.switch("wifi")
    world.run(1)
    assert mtu(kernels(world)[0], 2) == {full}
    world.switch(None)
    world.run(FORGET_S)
    for kernel in kernels(world):
        assert mtu(kernel, 1) == {full}
