"""IKEv2 for Mobile IPv6 with two real charons, asked and heard as the daemons do; the kernel's states are the judge.

Two cables between the mobile node and its home agent, so two care-of addresses. IKEv2 runs from the first.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from mip6 import ike_sas
from mip6.ike import (
    Certificates,
    Child,
    Connection,
    Lifetime,
    Mode,
    Request,
    SharedKey,
    TrafficSelector,
    initiation,
    loading,
    termination,
)
from mip6.ike_sas import ChildSa, IkeSa
from mip6.linux.xfrm.requests import Xfrm
from mip6.vici import Announced, Connected, Event, Lost, Vici, ViciError
from mip6.wire.registry import NextHeader
from mip6.xfrm import Direction, Endpoints, Migration, Move, Policy, PolicyId, Protocol, Selector, State, Template
from mip6.xfrm import Mode as XfrmMode
from mn_lab import network
from mn_lab.commands import ip_batch, run
from tests.kernel.namespace import inside
from tests.vm.rekeying import rekey
from tests.vm.strongswan import Charon, running_charon

HOME, AGENT = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:200::1")
CARE_OF, OTHER_CARE_OF = IPv6Address("2001:db8:1::1"), IPv6Address("2001:db8:2::1")
ANYWHERE = TrafficSelector(IPv6Network("::/0"))
SIGNALLING = 0x6D000001
TUNNELS = {1: 0x6D000101, 2: 0x6D000102}
PATIENCE_S = 30.0
"""Emulated, a key exchange may take some seconds."""


@dataclass(frozen=True)
class End:
    """The mobile node or the home agent."""

    namespace: str
    charon: Charon

    @property
    def vici(self) -> Vici:
        return Vici(self.charon.vici)

    async def load(self, connection: Connection) -> None:
        for request in loading(connection):
            await self.vici.request(request)

    async def initiate(self, *children: str) -> None:
        for child in children:
            await self.vici.request(initiation("home", child, PATIENCE_S))

    async def sas(self) -> list[IkeSa]:
        return ike_sas.sas_from(await self.vici.listing(ike_sas.SAS, ike_sas.SAS_EVENT))

    async def children(self) -> dict[str, ChildSa]:
        """Those that are up, of the only IKE_SA."""
        (sa,) = await self.sas()
        return {child.name: child for child in sa.children if child.state == "INSTALLED"}

    def states(self, reqid: int) -> set[State]:
        with self.xfrm() as xfrm:
            return {state for state in xfrm.states() if state.reqid == reqid}

    @contextmanager
    def xfrm(self) -> Iterator[Xfrm]:
        with inside(self.namespace):
            xfrm = Xfrm()
        try:
            yield xfrm
        finally:
            xfrm.close()


@dataclass(frozen=True)
class Pair:
    """Both, without any connection or SA."""

    node: End
    agent: End


@contextmanager
def cabled(prefix: str) -> Iterator[tuple[str, str]]:
    """Two namespaces, two cables between them."""
    node, agent = spaces = f"{prefix}node", f"{prefix}agent"
    try:
        run(*ip_batch(f"netns add {space}" for space in spaces))
        run(
            *ip_batch(
                f"link add up{n} index {100 + n} netns {node} type veth peer name up{n} index {200 + n} netns {agent}"
                for n in (1, 2)
            )
        )
        for space, host in ((node, 1), (agent, 2)):
            lines = [f"address add 2001:db8:{n}::{host}/64 dev up{n} nodad" for n in (1, 2)]
            run(*ip_batch([*lines, "link set lo up", "link set up1 up", "link set up2 up"], space))
        routes = [f"route add {AGENT} via 2001:db8:{n}::2 dev up{n} table {n}" for n in (1, 2)]
        rules = [f"rule add from 2001:db8:{n}::1 lookup {n}" for n in (1, 2)]
        home = [f"address add {HOME}/128 dev lo", f"route add {AGENT} via 2001:db8:1::2 dev up1"]
        run(*ip_batch([*home, *routes, *rules], node))
        run(*ip_batch([f"address add {AGENT}/128 dev lo"], agent))
        yield spaces
    finally:
        network.remove(spaces)


@pytest.fixture(scope="module")
def charons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("ike")
    with (
        cabled(f"m6-v{os.getpid()}ike-") as (node, agent),
        running_charon(node, directory / "node", "") as first,
        running_charon(agent, directory / "agent", "") as second,
    ):
        yield Pair(End(node, first), End(agent, second))


@pytest.fixture
def pair(charons: Pair) -> Iterator[Pair]:
    yield charons
    asyncio.run(_forget(charons))


async def _forget(pair: Pair) -> None:
    for end in (pair.node, pair.agent):
        for name in {sa.connection for sa in await end.sas()}:
            await end.vici.request(termination(name))
        await end.vici.request(Request("unload-conn", {"name": NODE.name}))
        for kind in ("state", "policy"):
            run(["ip", "-n", end.namespace, "xfrm", kind, "flush"])


def tunnel(bid: int) -> Child:
    return Child(
        name=f"bid{bid}",
        mode=Mode.TUNNEL,
        local=(TrafficSelector(IPv6Network(HOME)),),
        remote=(ANYWHERE,),
        reqid=TUNNELS[bid],
        label=f"bid{bid}",
        lifetime=Lifetime(3960, 3600),
    )


NODE = Connection(
    name="home",
    local_address=CARE_OF,
    remote_address=AGENT,
    local_id="mn.example",
    remote_id="ha.example",
    credential=SharedKey(b"known to both"),
    rekey_s=14400,
    check_s=None,
    proposals=("aes128-sha256-modp2048",),
    children=(
        Child(
            name="signalling",
            mode=Mode.TRANSPORT_PROXY,
            local=(TrafficSelector(IPv6Network(HOME), NextHeader.MOBILITY),),
            remote=(TrafficSelector(IPv6Network(AGENT), NextHeader.MOBILITY),),
            reqid=SIGNALLING,
            lifetime=Lifetime(3960, 3600),
        ),
        tunnel(1),
        tunnel(2),
    ),
)


def mirrored(connection: Connection) -> Connection:
    """The other end's, which never rekeys."""
    return replace(
        connection,
        local_address=AGENT,
        remote_address=None,
        local_id=connection.remote_id,
        remote_id=connection.local_id,
        rekey_s=None,
        children=tuple(
            replace(child, local=child.remote, remote=child.local, lifetime=Lifetime(7920))
            for child in connection.children
        ),
    )


async def connect(pair: Pair, *children: str) -> None:
    await pair.node.load(NODE)
    await pair.agent.load(mirrored(NODE))
    await pair.node.initiate(*children)


def play(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(4 * PATIENCE_S):
            await story

    asyncio.run(in_time())


@asynccontextmanager
async def listening(end: End) -> AsyncIterator["asyncio.Queue[Event]"]:
    """What its charon tells from now on."""
    heard: asyncio.Queue[Event] = asyncio.Queue()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(end.vici.listen(ike_sas.EVENTS, heard.put_nowait))
        assert await heard.get() == Connected()
        yield heard
        task.cancel()


async def hear(heard: "asyncio.Queue[Event]", wanted: str | Event) -> None:
    """Wait for it, or for an announcement of this name."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            event = await heard.get()
            if wanted in (event, event.name if isinstance(event, Announced) else None):
                return


def endpoints(states: set[State]) -> set[Endpoints]:
    return {Endpoints(state.source, state.destination) for state in states}


def both(care_of: IPv6Address) -> set[Endpoints]:
    return {Endpoints(care_of, AGENT), Endpoints(AGENT, care_of)}


@pytest.mark.req("SEC-15")
def test_home_address_and_home_agent_get_transport_mode_and_each_care_of_address_a_tunnel(pair: Pair) -> None:
    async def story() -> None:
        await connect(pair, "signalling", "bid1", "bid2")
        (node,), (agent,) = await pair.node.sas(), await pair.agent.sas()
        assert (node.local_address, node.remote_address) == (CARE_OF, AGENT)
        assert (agent.local_address, agent.remote_address) == (AGENT, CARE_OF)
        assert (node.local_id, node.remote_id) == ("mn.example", "ha.example")
        assert (node.is_initiator, agent.is_initiator) == (True, False)
        assert (node.rekey_s is None, agent.rekey_s is None) == (False, True)
        for one, other in zip(node.children, agent.children, strict=True):
            assert (one.spi_in, one.spi_out) == (other.spi_out, other.spi_in)
            assert (one.rekey_s is None, other.rekey_s is None) == (False, True)
        for end, sa in ((pair.node, node), (pair.agent, agent)):
            assert [(child.name, child.mode, child.reqid, child.label) for child in sa.children] == [
                ("signalling", "TRANSPORT_PROXY", SIGNALLING, None),
                ("bid1", "TUNNEL", TUNNELS[1], "bid1"),
                ("bid2", "TUNNEL", TUNNELS[2], "bid2"),
            ]
            for child in sa.children:
                states = end.states(child.reqid)
                is_tunnel = child.mode == "TUNNEL"
                assert {state.spi for state in states} == {child.spi_in, child.spi_out}
                assert {state.mode for state in states} == {XfrmMode.TUNNEL if is_tunnel else XfrmMode.TRANSPORT}
                assert endpoints(states) == both(CARE_OF if is_tunnel else HOME)
            policies = run(["ip", "-n", end.namespace, "xfrm", "policy"])
            assert "tmpl" not in policies, "they are ours to make"

    play(story())


def test_tunnels_stay_what_they_are_when_they_or_their_ike_sa_are_rekeyed(pair: Pair) -> None:
    async def story() -> None:
        await connect(pair, "signalling", "bid1", "bid2")
        before = await pair.node.children()
        async with listening(pair.node) as node, listening(pair.agent) as agent:
            for charon, name in ((pair.node.charon, "bid2"), (pair.agent.charon, "bid1")):
                charon.swanctl("--rekey", "--child", name)
                for heard in (node, agent):
                    await hear(heard, "child-rekey")
            pair.node.charon.swanctl("--rekey", "--ike", "home")
            for heard in (node, agent):
                await hear(heard, "ike-rekey")
        for end in (pair.node, pair.agent):
            after = await end.children()
            assert {name: (child.reqid, child.label) for name, child in after.items()} == {
                "signalling": (SIGNALLING, None),
                "bid1": (TUNNELS[1], "bid1"),
                "bid2": (TUNNELS[2], "bid2"),
            }
            for child in after.values():
                assert {child.spi_in, child.spi_out} <= {state.spi for state in end.states(child.reqid)}
        after = await pair.node.children()
        assert {name for name in before if before[name].spi_in != after[name].spi_in} == {"bid1", "bid2"}

    play(story())


NOBODY = Selector(IPv6Network("100::1/128"), IPv6Network("100::2/128"))
"""Of the discard prefix (RFC 6666): what has this selector meets no packet."""


def move_ike(end: End, ike: Endpoints) -> None:
    """By a policy that is there for this alone."""
    nowhere = Endpoints(NOBODY.source.network_address, NOBODY.destination.network_address)
    template = Template(
        protocol=Protocol.ESP,
        mode=XfrmMode.TUNNEL,
        reqid=SIGNALLING,
        source=nowhere.source,
        destination=nowhere.destination,
    )
    policy = Policy(PolicyId(Direction.OUT, NOBODY), (template,))
    with end.xfrm() as xfrm:
        xfrm.add_policy(policy)
        xfrm.migrate(Migration(policy.id, (Move(nowhere, nowhere, SIGNALLING),), ike))
        xfrm.remove_policy(policy.id)


@pytest.mark.req("SEC-32")
def test_the_ike_sa_alone_is_moved_without_a_packet_and_goes_on_from_there(pair: Pair) -> None:
    async def story() -> None:
        await connect(pair, "signalling", "bid1")
        with captured(pair.node) as packets:
            for end, place in ((pair.node, (OTHER_CARE_OF, AGENT)), (pair.agent, (AGENT, OTHER_CARE_OF))):
                move_ike(end, Endpoints(*place))
                await moved(end, place)
                assert endpoints(end.states(SIGNALLING)) == both(HOME)
                assert endpoints(end.states(TUNNELS[1])) == both(CARE_OF)
        assert packets == []
        async with listening(pair.agent) as heard:
            with captured(pair.node) as packets:
                spi = (await pair.node.children())["signalling"].spi_out
                assert spi is not None
                rekey(pair.node.namespace, AGENT, spi)
                await hear(heard, "child-rekey")
                await pair.node.initiate("bid2")
        assert packets
        assert all(f" {OTHER_CARE_OF}.500" in packet and f" {AGENT}.500" in packet for packet in packets)
        assert endpoints(pair.node.states(TUNNELS[2])) == both(OTHER_CARE_OF)

    play(story())


async def moved(end: End, place: tuple[IPv6Address, IPv6Address]) -> None:
    """Wait until the IKE_SA is there; charon does not tell."""
    async with asyncio.timeout(PATIENCE_S):
        while [(sa.local_address, sa.remote_address) for sa in await end.sas()] != [place]:
            await asyncio.sleep(0.05)


@contextmanager
def captured(end: End) -> Iterator[list[str]]:
    """The IKE packets that leave or come meanwhile; the list is filled at the end."""
    lines: list[str] = []
    command = network.in_namespace(end.namespace, "tcpdump", "-l", "-n", "-i", "any", "udp port 500 or udp port 4500")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr is not None
        while "listening" not in tcpdump.stderr.readline():
            assert tcpdump.poll() is None
        try:
            yield lines
        finally:
            tcpdump.terminate()
            lines += [line for line in tcpdump.communicate()[0].splitlines() if line]


def test_another_key_is_refused_and_charon_says_so(pair: Pair) -> None:
    async def story() -> None:
        await pair.node.load(replace(NODE, credential=SharedKey(b"not known to both")))
        await pair.agent.load(mirrored(NODE))
        with pytest.raises(ViciError, match="establishing CHILD_SA 'signalling' failed"):
            await pair.node.initiate("signalling")
        assert await pair.agent.sas() == []

    play(story())


@pytest.mark.req("SEC-17")
def test_an_identity_gets_no_sa_for_another_home_address(pair: Pair) -> None:
    async def story() -> None:
        signalling, first, _ = NODE.children
        greedy = replace(first, name="greedy", local=(TrafficSelector(IPv6Network("2001:db8:100::2/128")),))
        await pair.node.load(replace(NODE, children=(signalling, greedy)))
        await pair.agent.load(mirrored(NODE))
        await pair.node.initiate("signalling")
        with pytest.raises(ViciError, match="establishing CHILD_SA 'greedy' failed"):
            await pair.node.initiate("greedy")
        for end in (pair.node, pair.agent):
            assert set(await end.children()) == {"signalling"}
            assert end.states(TUNNELS[1]) == set()

    play(story())


@pytest.mark.req("SEC-16")
def test_certificates_with_the_home_address_as_identity(pair: Pair, tmp_path: Path) -> None:
    async def story() -> None:
        authority = Authority(tmp_path)
        node, agent = authority.issue("node", f"IP:{HOME}"), authority.issue("agent", "DNS:ha.example")
        connection = replace(NODE, local_id=str(HOME), credential=node)
        await pair.node.load(connection)
        await pair.agent.load(replace(mirrored(connection), credential=agent))
        await pair.node.initiate("signalling")
        (sa,) = await pair.agent.sas()
        assert (sa.local_id, sa.remote_id, sa.remote_address) == ("ha.example", str(HOME), CARE_OF)
        assert [child.state for child in sa.children] == ["INSTALLED"]

    play(story())


class Authority:
    """Issues certificates, with openssl."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._make("authority", "-x509", "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name: str, alternative_name: str) -> Certificates:
        authority = ("-CA", "authority.pem", "-CAkey", "authority.key")
        self._make(name, "-x509", *authority, "-addext", f"subjectAltName={alternative_name}")
        own, key, root = (self._directory / file for file in (f"{name}.pem", f"{name}.key", "authority.pem"))
        return Certificates(own=own.read_bytes(), private_key=key.read_bytes(), authority=root.read_bytes())

    def _make(self, name: str, *arguments: str) -> None:
        files = ("-keyout", f"{name}.key", "-out", f"{name}.pem")
        subject = ("-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "30")
        command = ["openssl", "req", *subject, *files, *arguments]
        subprocess.run(command, check=True, cwd=self._directory, capture_output=True)


def test_a_charon_that_was_started_anew_replaces_what_it_had(tmp_path: Path) -> None:
    place = tmp_path / "vici"

    async def story(node: str, agent: End) -> None:
        async with asyncio.TaskGroup() as tasks:
            heard: asyncio.Queue[Event] = asyncio.Queue()
            with running_charon(node, tmp_path / "first", "") as charon:
                place.symlink_to(charon.vici)
                listener = tasks.create_task(Vici(place).listen(ike_sas.EVENTS, heard.put_nowait))
                await hear(heard, Connected())
                await connect(Pair(End(node, charon), agent), "signalling", "bid1")
                (first,) = await agent.sas()
                os.kill(charon.pid, signal.SIGKILL)
                await hear(heard, Lost("charon closed the connection"))
            with running_charon(node, tmp_path / "second", "") as charon:
                place.unlink()
                place.symlink_to(charon.vici)
                await hear(heard, Connected())
                await connect(Pair(End(node, charon), agent), "signalling", "bid1")
                (second,) = await agent.sas()
                assert second.initiator_spi != first.initiator_spi
                assert {child.name for child in second.children} == {"signalling", "bid1"}
            listener.cancel()

    with cabled(f"m6-v{os.getpid()}new-") as (node, space), running_charon(space, tmp_path / "agent", "") as charon:
        play(story(node, End(space, charon)))
