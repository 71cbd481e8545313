"""States of XFRM, and what they do to packets. These tests need a kernel with ESP and Mobile IPv6, as Debian's has."""

import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from select import select

import pytest

from mip6.kernel import Kernel, host
from mip6.linux.netlink import NetlinkError
from mip6.linux.reconciler import Reconciler
from mip6.linux.xfrm.monitor import XfrmGroup, XfrmMonitor
from mip6.linux.xfrm.requests import Xfrm
from mip6.mark import Mark
from mip6.xfrm import (
    REQIDS,
    STATIC_REQIDS,
    Direction,
    Endpoints,
    Kind,
    Migration,
    Mode,
    Move,
    Policy,
    PolicyId,
    Protocol,
    Selector,
    State,
    StateFlag,
    StateId,
    Template,
    Usage,
    aes_cbc_sha256,
    aes_gcm,
)
from mip6.xfrm_events import Change, Event, Expired, Migrated, StateChanged, StatesFlushed
from tests.kernel.namespace import inside, ip, ip_batch, own_namespace

REQID = STATIC_REQIDS[1]
HOME, HOME_AGENT = IPv6Address("2001:db8:f::1"), IPv6Address("2001:db8:aa::1")
CARE_OF, NEW_CARE_OF = IPv6Address("2001:db8:1::1"), IPv6Address("2001:db8:2::1")
FAR, NEW_FAR = IPv6Address("2001:db8:1::2"), IPv6Address("2001:db8:2::2")
GCM = aes_gcm(bytes(range(20)))
CBC = aes_cbc_sha256(b"\x11" * 16, b"\x22" * 32)
GCM_WORDS = f"aead rfc4106(gcm(aes)) 0x{bytes(range(20)).hex()} 128"
CBC_WORDS = f"auth-trunc hmac(sha256) 0x{'22' * 32} 128 enc cbc(aes) 0x{'11' * 16}"
ETH_P_ALL = 3
NO_NEIGHBOURS = "not (ip6[6] == 58 and ip6[40] >= 133) and ip6[6] != 0"
"""For tcpdump: neither neighbour discovery nor multicast listeners."""


@dataclass(frozen=True)
class Judged:
    """A state, the words by which `ip xfrm state add` makes it, and what `ip xfrm state` shows of it."""

    state: State
    words: str
    text: str


TUNNEL = State(
    protocol=Protocol.ESP,
    mode=Mode.TUNNEL,
    source=CARE_OF,
    destination=FAR,
    spi=0x100,
    reqid=REQID,
    algorithms=GCM,
    replay_window=32,
    flags=StateFlag.ANY_FAMILY,
    mark=Mark(1, 0xFF),
    output_mark=Mark(2, 0xF0),
    if_id=5,
)
EXTENDED = State(
    protocol=Protocol.ESP,
    mode=Mode.TRANSPORT,
    source=HOME,
    destination=HOME_AGENT,
    spi=0x101,
    reqid=REQID,
    algorithms=CBC,
    replay_window=128,
    flags=StateFlag.ESN,
    selector=Selector(host(HOME), host(HOME_AGENT), protocol=135),
)
OPTIMIZATION = State(
    protocol=Protocol.ROUTE2,
    mode=Mode.ROUTE_OPTIMIZATION,
    source=HOME_AGENT,
    destination=HOME,
    reqid=REQID,
    care_of=CARE_OF,
    flags=StateFlag.ANY_SOURCE,
)

JUDGED = {
    "tunnel": Judged(
        TUNNEL,
        "src 2001:db8:1::1 dst 2001:db8:1::2 proto esp spi 0x100 reqid 0x6d800001 mode tunnel replay-window 32"
        f" flag af-unspec mark 1 mask 0xff {GCM_WORDS} output-mark 2 mask 0xf0 if_id 5",
        """\
src 2001:db8:1::1 dst 2001:db8:1::2
\tproto esp spi 0x00000100 reqid 1837105153 mode tunnel
\treplay-window 32 flag af-unspec
\tmark 0x1/0xff output-mark 0x2/0xf0
\taead rfc4106(gcm(aes)) 0x000102030405060708090a0b0c0d0e0f10111213 128
\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000
\tif_id 0x5
\tsel src ::/0 dst ::/0
""",
    ),
    "extended": Judged(
        EXTENDED,
        "src 2001:db8:f::1 dst 2001:db8:aa::1 proto esp spi 0x101 reqid 0x6d800001 mode transport replay-window 128"
        f" flag esn {CBC_WORDS} sel src 2001:db8:f::1 dst 2001:db8:aa::1 proto 135",
        f"""\
src 2001:db8:f::1 dst 2001:db8:aa::1
\tproto esp spi 0x00000101 reqid 1837105153 mode transport
\treplay-window 0 flag esn
\tauth-trunc hmac(sha256) 0x{"22" * 32} 128
\tenc cbc(aes) 0x{"11" * 16}
\tanti-replay esn context:
\t seq-hi 0x0, seq 0x0, oseq-hi 0x0, oseq 0x0
\t replay_window 128, bitmap-length 4
\t 00000000 00000000 00000000 00000000
\tsel src 2001:db8:f::1/128 dst 2001:db8:aa::1/128 proto mobility-header
""",
    ),
    "optimization": Judged(
        OPTIMIZATION,
        "src 2001:db8:aa::1 dst 2001:db8:f::1 proto route2 reqid 0x6d800001 mode ro coa 2001:db8:1::1 flag wildrecv",
        """\
src 2001:db8:aa::1 dst 2001:db8:f::1
\tproto route2 reqid 1837105153 mode ro
\treplay-window 0 flag wildrecv
\tcoa 2001:db8:1::1
\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000
\tsel src ::/0 dst ::/0
""",
    ),
}


@pytest.fixture(autouse=True, scope="module")
def _has_states() -> None:
    with own_namespace(), closing(Xfrm()) as xfrm:
        for judged in JUDGED.values():
            try:
                xfrm.add_state(judged.state)
            except NetlinkError as error:
                pytest.fail(f"this kernel has no {judged.state.protocol.name} states: {error}", pytrace=False)


@pytest.fixture
def xfrm() -> Iterator[Xfrm]:
    """In a namespace of its own."""
    with own_namespace():
        xfrm = Xfrm()
        yield xfrm
        xfrm.close()


@pytest.fixture
def monitor(xfrm: Xfrm) -> Iterator[XfrmMonitor]:
    monitor = XfrmMonitor(XfrmGroup.STATE | XfrmGroup.EXPIRE)
    yield monitor
    monitor.close()


def events(monitor: XfrmMonitor, count: int) -> list[Event]:
    """So many, as soon as they are there, and no more."""
    found: list[Event] = []
    while len(found) < count:
        assert select([monitor], [], [], 20)[0], f"only {found}"
        found += monitor.read()
    assert len(found) == count
    return found


# There and back


@pytest.mark.parametrize("judged", JUDGED.values(), ids=JUDGED.keys())
def test_ip_shows_what_we_added(xfrm: Xfrm, judged: Judged) -> None:
    xfrm.add_state(judged.state)
    assert re.sub(r"[ \t]+$", "", ip("xfrm", "state"), flags=re.MULTILINE) == judged.text
    xfrm.remove_state(judged.state.id)
    assert ip("xfrm", "state") == ""


@pytest.mark.parametrize("judged", JUDGED.values(), ids=JUDGED.keys())
def test_we_list_what_ip_added(xfrm: Xfrm, judged: Judged) -> None:
    ip_batch(f"xfrm state add {judged.words}")
    ((state, usage),) = xfrm.states().items()
    assert state == judged.state
    assert (usage.packets, usage.used_at) == (0, None)
    assert xfrm.state(judged.state.id) == (state, usage)


def test_a_state_is_found_by_its_spi(xfrm: Xfrm) -> None:
    for spi in (0x100, 0x101):
        xfrm.add_state(replace(EXTENDED, spi=spi))
    xfrm.remove_state(StateId(Protocol.ESP, HOME_AGENT, 0x100))
    assert list(xfrm.states()) == [EXTENDED]
    for ask in (xfrm.state, xfrm.remove_state):
        with pytest.raises(NetlinkError) as caught:
            ask(StateId(Protocol.ESP, HOME_AGENT, 0x100))
        assert caught.value.errno == errno.ESRCH
    with pytest.raises(NetlinkError) as caught:
        xfrm.add_state(EXTENDED)
    assert caught.value.errno == errno.EEXIST


def test_we_hear_what_ip_does(xfrm: Xfrm, monitor: XfrmMonitor) -> None:
    words = JUDGED["optimization"].words
    ip_batch(
        f"xfrm state add {words}",
        f"xfrm state update {words.replace('coa 2001:db8:1::1', 'coa 2001:db8:2::1')}",
        "xfrm state delete src 2001:db8:aa::1 dst 2001:db8:f::1 proto route2",
        f"xfrm state add {JUDGED['tunnel'].words}",
        "xfrm state flush proto esp",
        f"xfrm state add {JUDGED['extended'].words}",
        "xfrm state flush",
    )
    moved = replace(OPTIMIZATION, care_of=NEW_CARE_OF)
    heard = events(monitor, 7)
    assert heard[:2] == [StateChanged(Change.ADDED, OPTIMIZATION), StateChanged(Change.UPDATED, moved)]
    assert isinstance(heard[2], StateChanged)
    assert (heard[2].change, heard[2].state.id) == (Change.REMOVED, OPTIMIZATION.id)
    assert heard[3:] == [
        StateChanged(Change.ADDED, TUNNEL),
        StatesFlushed(Protocol.ESP),
        StateChanged(Change.ADDED, EXTENDED),
        StatesFlushed(None),
    ]


def test_we_hear_that_a_state_expires(xfrm: Xfrm, monitor: XfrmMonitor) -> None:
    ip_batch(f"xfrm state add {JUDGED['extended'].words} limit time-soft 1 limit time-hard 2")
    assert events(monitor, 1) == [StateChanged(Change.ADDED, EXTENDED)]
    heard = events(monitor, 1) + events(monitor, 1)
    assert [isinstance(event, Expired) and event.hard for event in heard] == [False, True]
    assert [event.state.id for event in heard if isinstance(event, Expired)] == [EXTENDED.id] * 2
    assert xfrm.states() == {}


# Two nodes


@dataclass(frozen=True)
class Node:
    """A namespace, and its states and policies."""

    name: str
    xfrm: Xfrm

    def run(self, *command: str, check: bool = True) -> str:
        there = ["ip", "netns", "exec", self.name, *command]
        return subprocess.run(there, check=check, stdout=subprocess.PIPE, text=True).stdout

    def answered(self, count: int, source: IPv6Address, destination: IPv6Address) -> int:
        """How many of so many echo requests."""
        pings = ("-6", "-q", "-i", "0.02", "-W", "2", "-c", str(count), "-I", str(source), str(destination))
        received = re.search(r"(\d+) received", self.run("ping", *pings, check=False))
        assert received is not None
        return int(received[1])

    @contextmanager
    def captured(self, interface: str, count: int) -> Iterator[list[str]]:
        """The next so many packets that leave by an interface as tcpdump describes them, after the context. (Of those
        that arrive it would also show what was in a tunnel.)
        """
        command = ["ip", "netns", "exec", self.name, "tcpdump", "-Q", "out", "-vtnli", interface, "-c", str(count)]
        packets: list[str] = []
        with subprocess.Popen(
            [*command, "--immediate-mode", NO_NEIGHBOURS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            try:
                assert any("listening on" in line for line in process.stderr), "tcpdump does not start"
                yield packets
                packets += re.split(r"\n(?=IP6 )", process.communicate(timeout=20)[0])
            finally:
                process.kill()


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """A mobile node and its home agent on two links: 2001:db8:1::/64 from a1 to b1, 2001:db8:2::/64 from a2 to b2."""
    names = [f"m6-x{os.getpid()}{end}" for end in "ab"]
    try:
        for name, address in zip(names, (HOME, HOME_AGENT), strict=True):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "address", "add", f"{address}/128", "dev", "lo", *(["home"] if address == HOME else []))
        for link, index in ((1, 102), (2, 104)):
            ends = [(names[0], f"a{link}", index, 1), (names[1], f"b{link}", index + 1, 2)]
            ip(*_cable(*(end[:3] for end in ends)))
            for name, interface, _index, last in ends:
                ip("-n", name, "link", "set", interface, "up", "addrgenmode", "none")
                for prefix in (f"2001:db8:{link}::", "fe80::"):
                    ip("-n", name, "address", "add", f"{prefix}{last}/64", "dev", interface, "nodad")
        opened = []
        for name in names:
            with inside(name):
                opened.append(Node(name, Xfrm()))
        mobile, agent = opened
        use_link(1, mobile, agent)
        yield mobile, agent
        for node in opened:
            node.xfrm.close()
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


def _cable(one: tuple[str, str, int], other: tuple[str, str, int]) -> list[str]:
    """Different indices, or the carrier of one end is announced late."""
    command = ["link", "add", one[1], "index", str(one[2]), "netns", one[0], "type", "veth", "peer", "name"]
    return [*command, other[1], "index", str(other[2]), "netns", other[0]]


def use_link(link: int, mobile: Node, agent: Node) -> None:
    """Between the home address and the home agent's."""
    ip("-n", mobile.name, "-6", "route", "replace", f"{HOME_AGENT}/128", "via", f"2001:db8:{link}::2")
    ip("-n", agent.name, "-6", "route", "replace", f"{HOME}/128", "via", f"2001:db8:{link}::1")


OUTER = Endpoints(CARE_OF, FAR)


def backwards(ends: Endpoints) -> Endpoints:
    return Endpoints(ends.destination, ends.source)


def selected(forward: bool) -> Selector:
    """All between the home address and the home agent's."""
    return Selector(host(HOME), host(HOME_AGENT)) if forward else Selector(host(HOME_AGENT), host(HOME))


def protect(node: Node, template: Template, ends: Endpoints, *, is_mobile: bool) -> None:
    """States in both directions, with SPIs 0x200 and 0x201, and policies that require them. `ends`: from the mobile
    node.
    """
    for forward in (True, False):
        source, destination = ends if forward else backwards(ends)
        node.xfrm.add_state(
            State(
                protocol=template.protocol,
                mode=template.mode,
                source=source,
                destination=destination,
                spi=0x200 if forward else 0x201,
                reqid=template.reqid,
                algorithms=GCM,
                replay_window=32,
            )
        )
        needed = template
        if template.mode is Mode.TUNNEL:
            needed = replace(template, source=source, destination=destination)
        for direction in (Direction.OUT,) if forward == is_mobile else (Direction.IN, Direction.FORWARD):
            node.xfrm.add_policy(Policy(PolicyId(direction, selected(forward)), (needed,)))


def usage(node: Node, destination: IPv6Address, spi: int) -> Usage:
    return node.xfrm.state(StateId(Protocol.ESP, destination, spi))[1]


def is_esp(packet: str, ends: Endpoints, spi: int, sequence: int) -> bool:
    return f" {ends.source} > {ends.destination}: ESP(spi=0x{spi:08x},seq=0x{sequence:x})" in packet


def test_transport_mode_carries_a_ping_and_only_esp_is_on_the_wire(nodes: tuple[Node, Node]) -> None:
    mobile, agent = nodes
    ends = Endpoints(HOME, HOME_AGENT)
    for node in nodes:
        protect(node, Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=REQID), ends, is_mobile=node is mobile)
    with mobile.captured("a1", 3) as there, agent.captured("b1", 3) as back:
        assert mobile.answered(3, HOME, HOME_AGENT) == 3
    assert all(is_esp(packet, ends, 0x200, number) for number, packet in enumerate(there, 1))
    assert all(is_esp(packet, backwards(ends), 0x201, number) for number, packet in enumerate(back, 1))
    sent, received = usage(mobile, HOME_AGENT, 0x200), usage(agent, HOME_AGENT, 0x200)
    assert (sent.packets, sent.sent_sequence) == (3, 3)
    assert (received.packets, received.received_sequence) == (3, 3)
    assert sent.octets == 3 * 64
    assert sent.used_at is not None
    assert sent.added_at <= sent.used_at <= sent.added_at + 60


def test_what_a_state_drops_is_counted(nodes: tuple[Node, Node]) -> None:
    mobile, agent = nodes
    template = Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=REQID)
    for node in nodes:
        protect(node, template, Endpoints(HOME, HOME_AGENT), is_mobile=node is mobile)
    with inside(mobile.name), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("a1", ETH_P_ALL))
        wire.settimeout(5)
        mobile.answered(40, HOME, HOME_AGENT)
        frames: list[bytes] = []
        while len(frames) < 40:
            frame, address = wire.recvfrom(2000)
            if address[2] == socket.PACKET_OUTGOING and frame[20] == Protocol.ESP:
                frames.append(frame)
        forged = frames[-1][:61] + b"\x50" + frames[-1][62:]  # the last octet of its number
        for frame in (frames[-1], frames[-2], frames[0], forged):
            wire.send(frame)
    counted = usage(agent, HOME_AGENT, 0x200)
    assert (counted.packets, counted.received_sequence) == (40, 40)
    assert (counted.replays, counted.too_late, counted.integrity_failures) == (2, 1, 1)


def test_a_migration_moves_a_tunnel_and_its_sequence_numbers_go_on(nodes: tuple[Node, Node]) -> None:
    mobile, agent = nodes
    template = Template(protocol=Protocol.ESP, mode=Mode.TUNNEL, reqid=REQID)
    for node in nodes:
        protect(node, template, OUTER, is_mobile=node is mobile)
    with mobile.captured("a1", 3) as there, agent.captured("b1", 3) as back:
        assert mobile.answered(3, HOME, HOME_AGENT) == 3
    assert all(is_esp(packet, OUTER, 0x200, number) for number, packet in enumerate(there, 1))
    assert all(is_esp(packet, backwards(OUTER), 0x201, number) for number, packet in enumerate(back, 1))
    before = {node: set(node.xfrm.states()) for node in nodes}
    new = Endpoints(NEW_CARE_OF, NEW_FAR)
    for node in nodes:
        is_mobile = node is mobile
        with inside(node.name):
            monitor = XfrmMonitor(XfrmGroup.MIGRATE)
        migrations = []
        for direction in Direction:
            forward = (direction is Direction.OUT) == is_mobile
            move = Move(OUTER, new, REQID) if forward else Move(backwards(OUTER), backwards(new), REQID)
            id_ = PolicyId(direction, selected(forward))
            migrations.append(Migration(id_, (move,), new if is_mobile else backwards(new)))
            node.xfrm.migrate(migrations[-1])
        assert events(monitor, 3) == [Migrated(migration) for migration in migrations]
        monitor.close()
        for policy in node.xfrm.policies():
            forward = (policy.id.direction is Direction.OUT) == is_mobile
            ends = new if forward else backwards(new)
            (template,) = policy.templates
            assert (template.source, template.destination) == ends
        assert set(node.xfrm.states()) == {
            replace(state, source=ends.source, destination=ends.destination)
            for state in before[node]
            for ends in [new if state.source == CARE_OF else backwards(new)]
        }
    use_link(2, mobile, agent)
    ip("-n", mobile.name, "link", "set", "a1", "down")
    with mobile.captured("a2", 1) as there, agent.captured("b2", 1) as back:
        assert mobile.answered(1, HOME, HOME_AGENT) == 1
    assert is_esp(there[0], new, 0x200, 4)
    assert is_esp(back[0], backwards(new), 0x201, 4)
    assert usage(agent, NEW_FAR, 0x200).received_sequence == 4


def test_of_two_states_that_fit_a_migration_moves_one(xfrm: Xfrm) -> None:
    """As there are for a while when the key management makes a new one."""
    states = [replace(TUNNEL, spi=spi, mark=None, if_id=0) for spi in (0x100, 0x101)]
    for state in states:
        xfrm.add_state(state)
    policy = PolicyId(Direction.OUT, Selector(host(HOME)))
    template = Template(protocol=Protocol.ESP, mode=Mode.TUNNEL, reqid=REQID, source=CARE_OF, destination=FAR)
    xfrm.add_policy(Policy(policy, (template,)))
    xfrm.migrate(Migration(policy, (Move(OUTER, Endpoints(NEW_CARE_OF, FAR), REQID),)))
    assert sorted(str(state.source) for state in xfrm.states()) == [str(CARE_OF), str(NEW_CARE_OF)]


def optimize(node: Node, care_of: IPv6Address, *, is_mobile: bool) -> None:
    """From the home address with a Home Address option, to it with a type 2 routing header."""
    for forward, protocol in ((True, Protocol.HAO), (False, Protocol.ROUTE2)):
        source, destination = (HOME, HOME_AGENT) if forward else (HOME_AGENT, HOME)
        arrives = forward != is_mobile
        state = State(
            protocol=protocol,
            mode=Mode.ROUTE_OPTIMIZATION,
            source=source,
            destination=destination,
            reqid=REQID,
            care_of=care_of,
            flags=StateFlag.ANY_SOURCE if arrives and is_mobile else StateFlag.NONE,
        )
        if state.id in {known.id for known in node.xfrm.states()}:
            node.xfrm.update_state(state)
            continue
        node.xfrm.add_state(state)
        template = Template(
            protocol=protocol, mode=Mode.ROUTE_OPTIMIZATION, reqid=REQID, source=source, destination=destination
        )
        id_ = PolicyId(Direction.IN if arrives else Direction.OUT, selected(forward), Kind.SUB)
        node.xfrm.add_policy(Policy(id_, (template,)))


def test_route_optimization_puts_home_address_option_and_routing_header_on_the_wire(nodes: tuple[Node, Node]) -> None:
    mobile, agent = nodes
    for link, care_of in ((1, CARE_OF), (2, NEW_CARE_OF)):
        use_link(link, mobile, agent)
        for node in nodes:
            optimize(node, care_of, is_mobile=node is mobile)
        with mobile.captured(f"a{link}", 1) as there, agent.captured(f"b{link}", 1) as back:
            assert mobile.answered(1, HOME, HOME_AGENT) == 1
        assert f"{care_of} > {HOME_AGENT}: DSTOPT" in there[0]
        assert f"homeaddr: {HOME}" in there[0]
        assert f"{HOME_AGENT} > {care_of}: RT6 (len=2, type=2, segleft=1" in back[0]
        assert str(HOME) in back[0]


def test_esp_is_inside_of_what_route_optimization_adds(nodes: tuple[Node, Node]) -> None:
    """As RFC 3776 section 3.1 has it for Binding Updates; policies and states go by the home address."""
    mobile, agent = nodes
    ends = Endpoints(HOME, HOME_AGENT)
    for node in nodes:
        is_mobile = node is mobile
        # With the module xfrm_interface the kernel looks for a policy before it has taken ESP off already
        as_esp = replace(selected(not is_mobile), protocol=Protocol.ESP)
        node.xfrm.add_policy(Policy(PolicyId(Direction.IN, as_esp)))
        protect(node, Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=REQID), ends, is_mobile=is_mobile)
        optimize(node, CARE_OF, is_mobile=is_mobile)
    with mobile.captured("a1", 1) as there, agent.captured("b1", 1) as back:
        assert mobile.answered(1, HOME, HOME_AGENT) == 1
    assert re.search(rf"{CARE_OF} > {HOME_AGENT}: DSTOPT .*homeaddr: {HOME}.*ESP\(spi=0x00000200,seq=0x1\)", there[0])
    assert re.search(rf"{HOME_AGENT} > {CARE_OF}: RT6 .*{HOME}.*ESP\(spi=0x00000201,seq=0x1\)", back[0])


# The reconciler


@pytest.fixture
def reconciler(xfrm: Xfrm) -> Iterator[Reconciler]:
    reconciler = Reconciler("m6test")
    yield reconciler
    reconciler.close()


def test_static_states_come_change_and_go(xfrm: Xfrm, reconciler: Reconciler, monitor: XfrmMonitor) -> None:
    negotiated = replace(TUNNEL, spi=0x300, reqid=REQIDS.start)
    xfrm.add_state(negotiated)
    moved = replace(OPTIMIZATION, care_of=NEW_CARE_OF)
    rekeyed = replace(EXTENDED, algorithms=aes_cbc_sha256(b"\x33" * 16, b"\x44" * 32))
    for wanted in ((EXTENDED, OPTIMIZATION), (EXTENDED, moved), (rekeyed, moved, TUNNEL), (TUNNEL,), ()):
        assert reconciler.apply(Kernel(states=frozenset(wanted))) == []
        assert set(xfrm.states()) == {negotiated, *wanted}
    heard = [event for event in events(monitor, 10) if isinstance(event, StateChanged)]
    assert [(event.change, event.state.spi) for event in heard] == [
        (Change.ADDED, 0x300),
        (Change.ADDED, 0),
        (Change.ADDED, 0x101),
        (Change.UPDATED, 0),
        (Change.ADDED, 0x100),
        (Change.REMOVED, 0x101),
        (Change.ADDED, 0x101),
        (Change.REMOVED, 0),
        (Change.REMOVED, 0x101),
        (Change.REMOVED, 0x100),
    ]


def test_states_of_a_dead_run_are_adopted_and_lost_ones_come_back(xfrm: Xfrm, monitor: XfrmMonitor) -> None:
    for state in (TUNNEL, EXTENDED, OPTIMIZATION):
        xfrm.add_state(state)
    events(monitor, 3)
    wanted = Kernel(states=frozenset((TUNNEL, OPTIMIZATION)))
    fresh = Reconciler("m6test")
    assert fresh.apply(wanted) == []
    (removed,) = events(monitor, 1)
    assert isinstance(removed, StateChanged)
    assert (removed.change, removed.state.id) == (Change.REMOVED, EXTENDED.id)
    ip("xfrm", "state", "flush", "proto", "esp")
    assert fresh.heed()
    assert fresh.apply(wanted) == []
    assert set(xfrm.states()) == wanted.states
    fresh.close()


def test_a_migration_takes_static_states_along(xfrm: Xfrm, reconciler: Reconciler) -> None:
    state = replace(TUNNEL, mark=None, if_id=0)
    template = Template(protocol=Protocol.ESP, mode=Mode.TUNNEL, reqid=REQID, source=CARE_OF, destination=FAR)
    policy = Policy(PolicyId(Direction.OUT, Selector(host(HOME))), (template,))
    reconciler.apply(Kernel(policies=frozenset((policy,)), states=frozenset((state,))))
    assert reconciler.migrate(Migration(policy.id, (Move(OUTER, Endpoints(NEW_CARE_OF, FAR), REQID),))) is None
    moved = Kernel(
        policies=frozenset((replace(policy, templates=(replace(template, source=NEW_CARE_OF),)),)),
        states=frozenset((replace(state, source=NEW_CARE_OF),)),
    )
    monitor = XfrmMonitor(XfrmGroup.STATE | XfrmGroup.POLICY)
    assert reconciler.apply(moved) == []
    assert list(monitor.read()) == [], "nothing had to change"
    monitor.close()
