"""A NetworkManager that answers, and buses that do not: what is told, and that the loop never waits."""

import asyncio
import operator
import random
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mn_agent.core.devices import Device, Devices
from mn_agent.system import bus as system_bus
from mn_agent.system import networkmanager
from mn_agent.system.networkmanager import NetworkManager
from tests.unit.mn_agent.system.bus import (
    Behaviour,
    Call,
    Peer,
    Properties,
    Variant,
    message,
    method_call,
    serving,
    signal,
)
from tests.unit.mn_agent.system.loop import never_kept_long

NM = "org.freedesktop.NetworkManager"
MANAGER, ETHERNET, WIFI = "/org/freedesktop/NetworkManager", f"/{NM}/Devices/1", f"/{NM}/Devices/2"
ETHERNET, WIFI = (f"/org/freedesktop/NetworkManager/Devices/{number}" for number in (1, 2))
ACTIVE = "/org/freedesktop/NetworkManager/ActiveConnection/1"
POINT = "/org/freedesktop/NetworkManager/AccessPoint/1"
ERROR = "org.freedesktop.DBus.Error."
NO_AUTO_START = 2
QUESTIONS = 6
"""That it takes to know all about `laptop`."""


@dataclass
class Objects:
    """What a NetworkManager has, by path and interface."""

    values: dict[tuple[str, str], dict[str, Variant]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def put(self, path: str, interface: str, **values: Variant) -> "Objects":
        self.values.setdefault((path, interface), {}).update(values)
        return self

    async def answers(self, peer: Peer) -> None:
        """Until the client leaves."""
        while True:
            await self.answer(peer, await peer.hears())

    async def answer(self, peer: Peer, call: Call) -> None:
        assert (call.destination, call.member, call.flags) == (NM, "GetAll", NO_AUTO_START)
        self.calls.append(call)
        found: Properties | None = self.values.get((call.path, call.argument))
        if found is None:
            await peer.says(call.error(f"{ERROR}UnknownObject"))
        else:
            await peer.says(call.reply("a{sv}", found))


def laptop() -> Objects:
    objects = Objects()
    objects.put(MANAGER, NM, AllDevices=Variant("ao", [ETHERNET, WIFI]), Startup=Variant("b", 0))
    objects.put(
        ETHERNET,
        f"{NM}.Device",
        Interface=Variant("s", "eth0"),
        DeviceType=Variant("u", 1),
        State=Variant("u", 100),
        Metered=Variant("u", 2),
        ActiveConnection=Variant("o", ACTIVE),
        Mtu=Variant("u", 1500),
    )
    objects.put(ACTIVE, f"{NM}.Connection.Active", Id=Variant("s", "Office"), State=Variant("u", 2))
    objects.put(
        WIFI,
        f"{NM}.Device",
        Interface=Variant("s", "wlan0"),
        DeviceType=Variant("u", 2),
        State=Variant("u", 100),
        Ip6Connectivity=Variant("u", 2),
        ActiveConnection=Variant("o", "/"),
    )
    objects.put(WIFI, f"{NM}.Device.Wireless", ActiveAccessPoint=Variant("o", POINT))
    objects.put(POINT, f"{NM}.AccessPoint", Ssid=Variant("ay", list(b"Train")), Strength=Variant("y", 55))
    return objects


OFFICE = Device("eth0", "ethernet", False, connection="Office")
TRAIN = Device("wlan0", "wifi", connectivity="portal", ssid="Train", signal_percent=55)
BOTH = {"eth0": OFFICE, "wlan0": TRAIN}


class Agent:
    """What is told."""

    def __init__(self) -> None:
        self.told: list[Devices] = []
        self.troubles: list[str | None] = []
        self.network_manager = NetworkManager(self.told.append, self.troubles.append)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)

    @property
    def trouble(self) -> str | None:
        return self.troubles[-1] if self.troubles else None


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_bus, "ANSWER_S", 0.5)
    monkeypatch.setattr(networkmanager, "PAUSE_S", 0.01)
    monkeypatch.setattr(networkmanager, "FORGET_S", 0.2)


@asynccontextmanager
async def following(path: Path, behaviour: Behaviour | None) -> AsyncIterator[Agent]:
    """Whatever the loop would end the agent for ends the test."""
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    agent = Agent()
    agent.network_manager.start()
    try:
        async with never_kept_long(), serving(path, behaviour) if behaviour is not None else nullcontext():
            yield agent
    finally:
        agent.network_manager.close()
        await asyncio.sleep(0.01)
    assert failures == []


def run(tmp_path: Path, behaviour: Behaviour | None, story: Callable[[Agent], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with following(tmp_path / "bus", behaviour) as agent, asyncio.timeout(10):
            await story(agent)

    asyncio.run(tell())


def well_behaved(objects: Objects) -> Behaviour:
    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        await peer.subscribes()
        await objects.answers(peer)

    return bus


def test_everything_is_told_once(tmp_path: Path) -> None:
    objects = laptop()

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))
        await agent.network_manager.look()
        assert agent.told == [BOTH]
        assert agent.trouble is None
        assert len(objects.calls) == 2 * QUESTIONS

    run(tmp_path, well_behaved(objects), story)


def test_what_it_wants_to_hear(tmp_path: Path) -> None:
    heard: list[str] = []

    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        heard.extend(await peer.subscribes())
        await laptop().answers(peer)

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))

    run(tmp_path, bus, story)
    assert all(rule.startswith("type='signal',sender='org.freedesktop.") for rule in heard)
    changed = [rule for rule in heard if "member='PropertiesChanged'" in rule]
    assert [rule.partition("arg0=")[2] for rule in changed] == [
        f"'{name}'"
        for name in (NM, f"{NM}.Device", f"{NM}.Device.Wireless", f"{NM}.Connection.Active", f"{NM}.AccessPoint")
    ]


@pytest.mark.parametrize(
    ("news", "is_news"),
    [
        (signal(ETHERNET, f"{NM}.Device", "StateChanged", "uuu", 110, 100, 39), True),
        (signal(ETHERNET, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}", f"{NM}.Device", {}), True),
        (
            signal(POINT, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}", f"{NM}.AccessPoint", {}),
            True,
        ),
        (signal("/other", "org.freedesktop.DBus.Properties", "PropertiesChanged", "s", f"{NM}.AccessPoint"), False),
        (method_call(), False),
    ],
)
def test_a_signal_wakes_and_what_there_is_is_read_again(tmp_path: Path, news: bytes, is_news: bool) -> None:
    objects = laptop()
    peers: list[Peer] = []

    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        await peer.subscribes()
        peers.append(peer)
        await objects.answers(peer)

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))
        objects.put(ETHERNET, f"{NM}.Device", State=Variant("u", 110))
        await asyncio.sleep(0.05)
        objects.calls.clear()
        await peers[0].says(news)
        if is_news:
            await agent.until(lambda: len(agent.told) == 2)
            assert agent.told[1]["eth0"].leaving
        else:
            await asyncio.sleep(0.05)
            assert objects.calls == []

    run(tmp_path, bus, story)


def test_many_signals_are_one(tmp_path: Path) -> None:
    objects = laptop()
    news = signal(ETHERNET, f"{NM}.Device", "StateChanged", "uuu", 110, 100, 39)

    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        await peer.subscribes()
        await peer.says(2000 * news)
        await objects.answers(peer)

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))
        await asyncio.sleep(0.1)
        assert len(objects.calls) <= 3 * QUESTIONS

    run(tmp_path, bus, story)


def test_while_it_starts_up_what_was_known_holds(tmp_path: Path) -> None:
    objects = laptop()
    objects.put(MANAGER, NM, Startup=Variant("b", 1))
    objects.put(WIFI, f"{NM}.Device", State=Variant("u", 30))

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))
        assert agent.told == [{"eth0": OFFICE}]
        objects.put(MANAGER, NM, Startup=Variant("b", 0))
        await agent.network_manager.look()
        assert agent.told[-1] == BOTH
        objects.put(MANAGER, NM, Startup=Variant("b", 1))
        objects.put(WIFI, f"{NM}.Device", Ip6Connectivity=Variant("u", 0))
        await agent.network_manager.look()
        assert agent.told[-1] == BOTH

    run(tmp_path, well_behaved(objects), story)


@pytest.mark.parametrize("missing", [(ETHERNET, f"{NM}.Device"), (ACTIVE, f"{NM}.Connection.Active")])
def test_what_is_gone_when_it_is_asked_for_is_no_trouble(tmp_path: Path, missing: tuple[str, str]) -> None:
    objects = laptop()
    del objects.values[missing]

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))
        assert agent.told[-1]["wlan0"] == TRAIN
        assert agent.trouble is None

    run(tmp_path, well_behaved(objects), story)


def test_nonsense_about_one_device_is_told_and_the_others_are_as_they_are(tmp_path: Path) -> None:
    objects = laptop().put(ETHERNET, f"{NM}.Device", State=Variant("s", "up"))

    async def story(agent: Agent) -> None:
        await agent.until(lambda: bool(agent.told))
        assert agent.told == [{"wlan0": TRAIN}]
        complaint = f"what NetworkManager says of {ETHERNET} makes no sense: Expected `int`, got `str` - at `$.State`"
        assert agent.trouble == complaint
        objects.put(ETHERNET, f"{NM}.Device", State=Variant("u", 100))
        await agent.network_manager.look()
        assert agent.told[-1] == BOTH
        assert agent.trouble is None

    run(tmp_path, well_behaved(objects), story)


def test_neither_bus_nor_networkmanager_has_to_be_there(tmp_path: Path) -> None:
    async def without(agent: Agent) -> None:
        await asyncio.sleep(0.1)
        assert (agent.told, agent.trouble) == ([], None)

    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        await peer.subscribes()
        while True:
            await peer.says((await peer.hears()).error(f"{ERROR}ServiceUnknown"))

    run(tmp_path, None, without)
    run(tmp_path, bus, without)


def test_networkmanager_goes_and_comes_back(tmp_path: Path) -> None:
    objects, is_there = laptop(), True
    peers: list[Peer] = []

    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        await peer.subscribes()
        peers.append(peer)
        while True:
            call = await peer.hears()
            if is_there:
                await objects.answer(peer, call)
            else:
                await peer.says(call.error(f"{ERROR}NameHasNoOwner"))

    owner = signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged", "sss", NM, ":1.1", "")

    async def story(agent: Agent) -> None:
        nonlocal is_there
        await agent.until(lambda: bool(agent.told))
        # For a moment: nobody hears of it
        is_there = False
        await peers[0].says(owner)
        await asyncio.sleep(0.1)
        is_there = True
        await peers[0].says(owner)
        await asyncio.sleep(0.3)
        assert agent.told == [BOTH]
        # For long
        is_there = False
        await peers[0].says(owner)
        await agent.until(lambda: agent.told == [BOTH, {}])
        is_there = True
        await peers[0].says(owner)
        await agent.until(lambda: agent.told == [BOTH, {}, BOTH])
        assert agent.troubles == [None] * len(agent.troubles)
        assert len(peers) == 1, "the bus was there all the time"

    run(tmp_path, bus, story)


def test_the_bus_goes_and_comes_back(tmp_path: Path) -> None:
    async def tell() -> None:
        objects = laptop()
        async with following(tmp_path / "bus", None) as agent, asyncio.timeout(10):
            for told in ([BOTH], [BOTH, {}, BOTH]):
                async with serving(tmp_path / "bus", well_behaved(objects)):
                    await agent.until(partial(operator.eq, agent.told, told))
                if told == [BOTH]:
                    async with serving(tmp_path / "bus", well_behaved(objects)):
                        await agent.network_manager.look()
                        assert agent.told == told
                await agent.until(lambda: agent.told[-1] == {})
            assert agent.troubles == [None] * len(agent.troubles)

    asyncio.run(tell())


async def _says_nothing(peer: Peer) -> None:
    await peer.is_left()


async def _speaks_http(peer: Peer) -> None:
    await peer.says(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await peer.is_left()


async def _speaks_no_text(peer: Peer) -> None:
    await peer.says(bytes(range(128, 256)) + b"\r\n")
    await peer.is_left()


async def _never_ends_its_line(peer: Peer) -> None:
    while True:
        await peer.says(bytes(1 << 14))


async def _rejects(peer: Peer) -> None:
    await peer.hears_line()
    await peer.says(b"REJECTED EXTERNAL\r\n")
    await peer.is_left()


async def _never_greets(peer: Peer) -> None:
    await peer.hears_line()
    await peer.says(b"OK 00\r\n")
    await peer.hears_line()
    await peer.hears()
    await peer.is_left()


async def _greets_with_nonsense(peer: Peer) -> None:
    await peer.hears_line()
    await peer.says(b"OK 00\r\n")
    await peer.hears_line()
    await peer.says((await peer.hears()).reply("u", 7)[:-3] + b"\xff" * 64)
    await peer.is_left()


async def _greets_without_a_name(peer: Peer) -> None:
    await peer.hears_line()
    await peer.says(b"OK 00\r\n")
    await peer.hears_line()
    await peer.says((await peer.hears()).reply())
    await peer.is_left()


async def _takes_no_rules(peer: Peer) -> None:
    await peer.welcomes()
    await _says_nothing(peer)


def _after_the_rules(then: Callable[[Peer, Call], Awaitable[None]]) -> Behaviour:
    async def bus(peer: Peer) -> None:
        await peer.welcomes()
        await peer.subscribes()
        while True:
            await then(peer, await peer.hears())

    return bus


async def _does_not_answer(peer: Peer, call: Call) -> None:
    pass


async def _answers_octet_by_octet(peer: Peer, call: Call) -> None:
    for octet in call.reply("a{sv}", {"AllDevices": Variant("ao", [])}):
        await peer.says(bytes((octet,)))
        await asyncio.sleep(0.01)


async def _answers_another_type(peer: Peer, call: Call) -> None:
    await peer.says(call.reply("s", "nonsense"))


async def _has_no_devices_but_a_number(peer: Peer, call: Call) -> None:
    await peer.says(call.reply("a{sv}", {"AllDevices": Variant("u", 7)}))


async def _has_devices_that_are_none(peer: Peer, call: Call) -> None:
    await peer.says(call.reply("a{sv}", {"AllDevices": Variant("as", ["no path", "", "/\0"])}))


async def _has_many_devices(peer: Peer, call: Call) -> None:
    paths = [f"{MANAGER}/Devices/{number}" for number in range(1000)]
    await peer.says(call.reply("a{sv}", {"AllDevices": Variant("ao", paths)}))


async def _denies(peer: Peer, call: Call) -> None:
    await peer.says(call.error(f"{ERROR}AccessDenied", "rules"))


async def _cuts_its_answer_short(peer: Peer, call: Call) -> None:
    await peer.says(call.reply("a{sv}", {"AllDevices": Variant("ao", [])})[:-9])
    await peer.is_left()


async def _says_that_gigabytes_follow(peer: Peer, call: Call) -> None:
    await peer.says(b"l\x02\x00\x01" + struct.pack("<III", 0xFFFFFF00, 5, 0xFFFFFF00))
    while True:
        await peer.says(bytes(1 << 14))


async def _speaks_version_9(peer: Peer, call: Call) -> None:
    await peer.says(b"l\x02\x00\x09" + bytes(60))
    await peer.is_left()


async def _nests_for_ever(peer: Peer, call: Call) -> None:
    nested = b"\x01v\0" * 20_000 + b"\x01y\0\x07"
    head = message(2, [(5, Variant("u", call.serial)), (8, Variant("g", "v"))])
    await peer.says(head[:4] + struct.pack("<I", len(nested)) + head[8:] + nested)


async def _shouts(peer: Peer, call: Call) -> None:
    news = signal(ETHERNET, f"{NM}.Device", "StateChanged", "uuu", 110, 100, 39)
    while True:
        await peer.says(200 * news)


SENSELESS = [
    (_says_nothing, "the D-Bus system bus has not answered for 0.5 s"),
    (_speaks_http, "what the D-Bus system bus says makes no sense"),
    (_speaks_no_text, "what the D-Bus system bus says makes no sense"),
    (_never_ends_its_line, "what the D-Bus system bus says makes no sense: auth line exceeded maximum size"),
    (_rejects, "what the D-Bus system bus says makes no sense: authentication failed: REJECTED"),
    (_never_greets, "the D-Bus system bus has not answered for 0.5 s"),
    (_greets_with_nonsense, "what the D-Bus system bus says makes no sense"),
    (_greets_without_a_name, "what the D-Bus system bus says makes no sense"),
    (_takes_no_rules, "the D-Bus system bus has not answered for 0.5 s"),
    (_after_the_rules(_does_not_answer), "NetworkManager has not answered for 0.5 s"),
    (_after_the_rules(_answers_octet_by_octet), "NetworkManager has not answered for 0.5 s"),
    (_after_the_rules(_answers_another_type), f'what NetworkManager says of {MANAGER} makes no sense: its type is "s"'),
    (_after_the_rules(_has_no_devices_but_a_number), f"what NetworkManager says of {MANAGER} makes no sense"),
    (_after_the_rules(_has_devices_that_are_none), "what the D-Bus system bus says makes no sense"),
    (_after_the_rules(_has_many_devices), None),
    (_after_the_rules(_denies), f"the bus does not let us ask {NM}: rules"),
    (_after_the_rules(_cuts_its_answer_short), "NetworkManager has not answered for 0.5 s"),
    (_after_the_rules(_says_that_gigabytes_follow), "what the D-Bus system bus says makes no sense"),
    (_after_the_rules(_speaks_version_9), "what the D-Bus system bus says makes no sense"),
    (_after_the_rules(_nests_for_ever), "what the D-Bus system bus says makes no sense"),
    (_after_the_rules(_shouts), "NetworkManager has not answered for 0.5 s"),
]


@pytest.mark.parametrize(("behaviour", "trouble"), SENSELESS, ids=[str(number) for number in range(len(SENSELESS))])
def test_a_bus_that_makes_no_sense_is_a_trouble_and_no_more(
    tmp_path: Path, behaviour: Behaviour, trouble: str | None
) -> None:
    """And when it makes sense again all is well."""

    async def tell() -> None:
        async with following(tmp_path / "bus", None) as agent:
            async with serving(tmp_path / "bus", behaviour):
                if trouble is None:
                    await asyncio.sleep(0.5)
                else:
                    await agent.until(lambda: (agent.trouble or "").startswith(trouble))
                await asyncio.sleep(0.1)
            async with serving(tmp_path / "bus", well_behaved(laptop())):
                await agent.until(lambda: agent.told[-1:] == [BOTH])
                assert agent.trouble is None

    asyncio.run(tell())


@pytest.mark.parametrize("seed", range(20))
def test_octets_by_chance(tmp_path: Path, seed: int) -> None:
    """In place of an answer, or in the middle of one."""
    chance = random.Random(seed)

    async def answer(peer: Peer, call: Call) -> None:
        octets = bytearray(call.reply("a{sv}", {"AllDevices": Variant("ao", [ETHERNET])}))
        for _ in range(chance.randrange(1, 8)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        await peer.says(bytes(octets) if seed % 4 else chance.randbytes(4096))

    async def story(agent: Agent) -> None:
        await asyncio.sleep(0.4)

    run(tmp_path, _after_the_rules(answer), story)
