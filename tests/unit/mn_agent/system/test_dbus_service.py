"""The agent on the bus, as others see it: busctl, gdbus, dbus-send. The bus is a real one, polkit is not."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dbus_fast import Message, MessageFlag, MessageType, Variant
from dbus_fast.aio import MessageBus

from mip6.control import ControlError, Method, Peer
from mn_agent.core.status import Status
from mn_agent.system import bus as system_bus
from mn_agent.system import dbus_service, polkit
from mn_agent.system.dbus_service import NAME, PATH, Service, error_name
from tests.dbus_daemon import DbusDaemon, until
from tests.unit.mn_agent.system.bus import Peer as FakePeer
from tests.unit.mn_agent.system.bus import Variant as FakeVariant
from tests.unit.mn_agent.system.bus import method_call, serving
from tests.unit.mn_agent.system.loop import never_kept_long
from tests.unit.monami6 import fake

POLKIT, AUTHORITY = "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority"
ACTION = "org.example.change"
PROPERTIES = "org.freedesktop.DBus.Properties"
MACHINE_ID = Path("/etc/machine-id").read_text().strip() if Path("/etc/machine-id").exists() else None
STARTED = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
"""When this process was."""


@dataclass
class Agent:
    """What the service belongs to: it does what it is told, and remembers."""

    status: Status = field(default_factory=fake.status)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    troubles: list[str | None] = field(default_factory=list)
    failure: ControlError | None = None
    pause: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.service = Service(self.methods(), lambda: self.status, self.troubles.append)

    def methods(self) -> Mapping[str, Method]:
        names = {"status": None, "switch": ACTION, "refresh": ACTION, "use": ACTION}
        return {name: Method(self._method(name), action) for name, action in names.items()}

    def _method(self, name: str) -> Callable[[Mapping[str, Any]], Awaitable[object]]:
        async def call(arguments: Mapping[str, Any]) -> object:
            self.calls.append((name, dict(arguments)))
            if self.pause is not None:
                await self.pause.wait()
            if self.failure is not None:
                raise self.failure
            return self.status

        return call

    def becomes(self, **changes: Any) -> None:
        self.status = fake.status(**changes)
        self.service.look()


Story = Callable[[Agent, DbusDaemon], Awaitable[None]]


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_bus, "ANSWER_S", 0.5)
    monkeypatch.setattr(dbus_service, "PAUSE_S", 0.01)
    monkeypatch.setattr(polkit, "ASK_S", 2.0)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls may do everything."""
    monkeypatch.setattr(Peer, "may_change", True)


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls may do nothing by himself."""
    monkeypatch.setattr(Peer, "may_change", False)


def tell(tmp_path: Path, story: Story, **bus: str) -> Agent:
    """Whatever the loop would end the agent for ends the test."""

    async def run() -> Agent:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        agent = Agent()
        with DbusDaemon(tmp_path, **bus) as daemon:
            agent.service.start()
            async with asyncio.timeout(30):
                if not bus:
                    await until(lambda: agent.troubles == [None])
                await story(agent, daemon)
            agent.service.close()
            await asyncio.sleep(0.01)
        assert failures == []
        return agent

    return asyncio.run(run())


@dataclass
class Done:
    """What became of a program."""

    code: int
    output: str
    messages: str


async def program(daemon: DbusDaemon, *command: str) -> Done:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(daemon.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, messages = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, output.decode(), messages.decode())


async def busctl(daemon: DbusDaemon, *arguments: str) -> Any:
    """What it says, without the types."""
    done = await program(daemon, "busctl", f"--address={daemon.address}", "--json=short", *arguments)
    assert done.code == 0, done.messages
    return json.loads(done.output) if done.output else None


async def get(daemon: DbusDaemon, name: str) -> Any:
    return (await busctl(daemon, "get-property", NAME, PATH, NAME, name))["data"]


async def call(daemon: DbusDaemon, member: str, *arguments: str) -> Any:
    return await busctl(daemon, "call", NAME, PATH, NAME, member, *arguments)


async def gdbus(daemon: DbusDaemon, method: str, *arguments: str) -> Done:
    there = ("--system", "--dest", NAME, "--object-path", PATH, "--method", method)
    return await program(daemon, "gdbus", "call", *there, *arguments)


# What there is


@dataclass(frozen=True)
class Seen:
    """A line of what busctl sees."""

    interface: str
    name: str
    kind: str
    signature: str
    flags: str


async def introspect(daemon: DbusDaemon) -> list[Seen]:
    done = await program(daemon, "busctl", f"--address={daemon.address}", "--no-legend", "introspect", NAME, PATH)
    assert (done.code, done.messages) == (0, "")
    seen, interface = [], ""
    for line in done.output.splitlines():
        name, kind, signature, *_, flags = line.split()
        interface = name if kind == "interface" else interface
        seen.append(Seen(interface, name.removeprefix("."), kind, signature, flags))
    return seen


def test_busctl_sees_what_there_is(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        seen = await introspect(daemon)
        methods = {one.name: one.signature for one in seen if (one.interface, one.kind) == (NAME, "method")}
        assert methods == {"Switch": "sa{sv}", "UsePolicy": "s", "Refresh": "-", "Status": "-"}
        values = {one.name: one.flags for one in seen if one.kind == "property"}
        assert values == dict.fromkeys(dbus_service.properties(agent.status), "emits-change")
        assert [one.name for one in seen if one.kind == "signal"] == ["PropertiesChanged"]
        assert {one.interface for one in seen} == {NAME} | {
            f"org.freedesktop.DBus.{name}" for name in ("Introspectable", "Peer", "Properties")
        }

    tell(tmp_path, story)


def test_what_is_told_of_properties_is_so(tmp_path: Path) -> None:
    """The types that introspection gives are those of the values."""

    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        agent.becomes(flows=[fake.flow()], troubles={"state file": "full"})
        for one in await introspect(daemon):
            if one.kind == "property":
                value = await busctl(daemon, "get-property", NAME, PATH, NAME, one.name)
                assert value["type"] == one.signature, one.name

    tell(tmp_path, story)


def test_people_who_walk_along_the_objects_find_it(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        done = await program(daemon, "busctl", f"--address={daemon.address}", "tree", "--list", NAME)
        assert done.output.split() == ["/", "/org", "/org/monami6", PATH]

    tell(tmp_path, story)


def test_gdbus_understands_the_introspection(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        done = await program(daemon, "gdbus", "introspect", "--system", "--dest", NAME, "--object-path", PATH)
        assert (done.code, done.messages) == (0, "")
        assert "Switch(in  s link," in done.output
        assert "readonly s HomeAddress = '2001:db8:aaaa::100';" in done.output

    tell(tmp_path, story)


def test_the_properties(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        lte = fake.link("lte", bid=3, captive=True, connection="Train", care_of_address=None, problem="no carrier")
        agent.becomes(links=[fake.link(), lte], flows=[fake.flow(pinned="office")], ike=fake.ike(link=None))
        assert await get(daemon, "HomeAddress") == "2001:db8:aaaa::100"
        assert await get(daemon, "Registered") is True
        assert await get(daemon, "DefaultLink") == "office"
        assert await get(daemon, "IkeLink") == ""
        assert await get(daemon, "IkeCareOfAddress") == "2001:db8:1::10"
        assert (await get(daemon, "RouterMode"), await get(daemon, "Networks")) == ("", [])
        agent.becomes(router=fake.router())
        assert await get(daemon, "RouterMode") == "explicit"
        assert await get(daemon, "Networks") == ["2001:db8:b05::/56"]
        agent.becomes(links=[fake.link(), lte], flows=[fake.flow(pinned="office")], ike=fake.ike(link=None))
        first, second = await get(daemon, "Links")
        assert "Captive" not in first, "unknown is not no"
        assert {name: one["data"] for name, one in second.items()} == {
            "Name": "lte",
            "Interface": "eth0",
            "Kind": "ethernet",
            "BindingIdentifier": 3,
            "State": "registered",
            "CarriesDefault": True,
            "Metered": False,
            "Captive": True,
            "Leaving": False,
            "Path": "alive",
            "Connection": "Train",
            "Problem": "no carrier",
        }
        (flow,) = await get(daemon, "Flows")
        assert {name: one["data"] for name, one in flow.items()} == {
            "Name": "call",
            "Packets": ["udp dscp 46"],
            "Links": ["office"],
            "Reason": "the flow goes via office, wifi",
            "PinnedLink": "office",
            "Bound": "yes",
        }

    tell(tmp_path, story)


def test_all_properties_at_once(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        told = await busctl(daemon, "call", NAME, PATH, PROPERTIES, "GetAll", "s", NAME)
        assert told["data"][0].keys() == dbus_service.properties(agent.status).keys()
        told = await busctl(daemon, "call", NAME, PATH, PROPERTIES, "GetAll", "s", "org.freedesktop.DBus.Peer")
        assert told["data"] == [{}]

    tell(tmp_path, story)


def test_the_status_is_that_of_the_command_line(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        told = (await call(daemon, "Status"))["data"][0]
        assert msgspec.json.decode(told, type=Status) == agent.status

    tell(tmp_path, story)


def test_what_cannot_be_in_a_message_is_not(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        agent.becomes(links=[fake.link("a\0b", problem="\udcff")], default=fake.default(link="a\0b"))
        assert await get(daemon, "DefaultLink") == "a\N{REPLACEMENT CHARACTER}b"
        assert (await get(daemon, "Links"))[0]["Problem"]["data"] == "?"

    tell(tmp_path, story)


def test_others_are_told_what_changes_and_nothing_else(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        monitor = await asyncio.create_subprocess_exec(
            *("gdbus", "monitor", "--system", "--dest", NAME, "--object-path", PATH),
            env=dict(daemon.environment),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert monitor.stdout is not None
            while b"is owned by" not in await monitor.stdout.readline():
                pass
            agent.becomes(at=fake.NOW + 1, pid=5)
            await asyncio.sleep(0.1)
            agent.becomes(policy="prefer-unmetered", default=fake.default(link="lte"))
            told = (await monitor.stdout.readline()).decode()
            assert f"{PATH}: {PROPERTIES}.PropertiesChanged ('{NAME}', " in told
            assert "{'Policy': <'prefer-unmetered'>, 'DefaultLink': <'lte'>}, @as [])" in told
        finally:
            monitor.kill()
            await monitor.wait()

    tell(tmp_path, story)


# What can be done


def test_everything_reaches_the_agent_as_from_the_command_line(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        assert await call(daemon, "Switch", "sa{sv}", "wifi", "0") is None
        await call(daemon, "Switch", "sa{sv}", "", "0")
        await call(daemon, "Switch", "sa{sv}", "lte", "1", "flow", "s", "call")
        await call(daemon, "Switch", "sa{sv}", "lte", "1", "ike", "b", "true")
        await call(daemon, "UsePolicy", "s", "prefer-unmetered")
        await call(daemon, "UsePolicy", "s", "")
        await call(daemon, "Refresh")
        assert agent.calls == [
            ("switch", {"link": "wifi"}),
            ("switch", {"link": None}),
            ("switch", {"link": "lte", "flow": "call"}),
            ("switch", {"link": "lte", "ike": True}),
            ("use", {"policy": "prefer-unmetered"}),
            ("use", {"policy": None}),
            ("refresh", {}),
        ]

    tell(tmp_path, story)


def test_who_wants_no_answer_gets_none(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with daemon.connection() as bus:
            heard: list[Message] = []
            bus.add_message_handler(heard.append)
            message = Message(destination=NAME, path=PATH, interface=NAME, member="Refresh")
            message.flags = MessageFlag.NO_REPLY_EXPECTED
            await bus.send(message)
            await until(lambda: agent.calls == [("refresh", {})])
            assert (await _refresh(bus)).message_type is MessageType.METHOD_RETURN
            assert [one.reply_serial for one in heard if one.sender != "org.freedesktop.DBus"] == [message.serial + 1]

    tell(tmp_path, story)


def test_an_interface_need_not_be_named(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with daemon.connection() as bus:
            reply = await bus.call(Message(destination=NAME, path=PATH, member="Refresh"))
            assert reply is not None
            assert reply.message_type is MessageType.METHOD_RETURN
        assert agent.calls == [("refresh", {})]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("no-such-link", "NoSuchLink"),
        ("no-such-policy", "NoSuchPolicy"),
        ("unusable", "Unusable"),
        ("refused", "Refused"),
        ("timeout", "Timeout"),
        ("request", "Request"),
    ],
)
def test_errors_have_names_and_reasons(tmp_path: Path, root: None, kind: str, name: str) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        agent.failure = ControlError(kind, "because")
        done = await gdbus(daemon, f"{NAME}.Switch", "wifi", "{}")
        assert done.code == 1
        assert f"org.monami6.Agent1.Error.{name}: because" in done.messages
        assert error_name(kind) == f"org.monami6.Agent1.Error.{name}"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "interface", "member", "signature", "body", "error"),
    [
        (PATH, NAME, "Explode", "", [], "UnknownMethod"),
        (PATH, None, "Explode", "", [], "UnknownMethod"),
        (PATH, "org.example.Other", "Switch", "", [], "UnknownInterface"),
        ("/org/example", NAME, "Refresh", "", [], "UnknownObject"),
        ("/", NAME, "Refresh", "", [], "UnknownObject"),
        (PATH, NAME, "Switch", "s", ["wifi"], "InvalidArgs"),
        (PATH, NAME, "Refresh", "s", ["wifi"], "InvalidArgs"),
        (PATH, PROPERTIES, "Get", "ss", [NAME, "Weather"], "UnknownProperty"),
        (PATH, PROPERTIES, "Get", "ss", ["org.example.Other", "Policy"], "UnknownInterface"),
        (PATH, PROPERTIES, "GetAll", "s", ["org.example.Other"], "UnknownInterface"),
        (PATH, PROPERTIES, "Set", "ssv", [NAME, "Policy", Variant("s", "mine")], "PropertyReadOnly"),
    ],
)
def test_what_there_is_not_is_said(
    tmp_path: Path,
    root: None,
    path: str,
    interface: str | None,
    member: str,
    signature: str,
    body: list[object],
    error: str,
) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with daemon.connection() as bus:
            message = Message(
                destination=NAME, path=path, interface=interface, member=member, signature=signature, body=body
            )
            reply = await bus.call(message)
        assert reply is not None
        assert reply.error_name == f"org.freedesktop.DBus.Error.{error}"
        assert agent.calls == []

    tell(tmp_path, story)


def test_a_link_is_named_once(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        done = await gdbus(daemon, f"{NAME}.Switch", "wifi", "{'link': <'lte'>}")
        assert "org.monami6.Agent1.Error.Request" in done.messages
        assert agent.calls == []

    tell(tmp_path, story)


def test_peers_can_ping_it(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        assert (await gdbus(daemon, "org.freedesktop.DBus.Peer.Ping")).output == "()\n"
        done = await gdbus(daemon, "org.freedesktop.DBus.Peer.GetMachineId")
        assert (MACHINE_ID if MACHINE_ID is not None else "FileNotFound") in done.output + done.messages

    tell(tmp_path, story)


# Who may


@asynccontextmanager
async def polkit_that_says(daemon: DbusDaemon, answer: Callable[[Message], Message | None]) -> Any:
    """Gives what it was asked."""
    asked: list[list[Any]] = []

    def hear(message: Message) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL and message.member == "CheckAuthorization":
            asked.append(message.body)
            return answer(message)
        return None

    async with daemon.connection() as bus:
        bus.add_message_handler(hear)
        await bus.request_name(POLKIT)
        yield asked


def says(is_authorized: bool, is_challenge: bool = False) -> Callable[[Message], Message]:
    return lambda message: Message.new_method_return(message, "(bba{ss})", [[is_authorized, is_challenge, {}]])


def test_polkit_lets_somebody(tmp_path: Path, somebody: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with polkit_that_says(daemon, says(True)) as asked, daemon.connection() as bus:
            reply = await _refresh(bus)
            assert reply.message_type is MessageType.METHOD_RETURN
            assert agent.calls == [("refresh", {})]
            (question,) = asked
            assert question == [("system-bus-name", {"name": Variant("s", bus.unique_name)}), ACTION, {}, 0, ""]

    tell(tmp_path, story)


async def _refresh(bus: MessageBus, flags: int = 0) -> Message:
    reply = await bus.call(Message(destination=NAME, path=PATH, interface=NAME, member="Refresh", flags=flags))
    assert reply is not None
    return reply


def test_who_may_be_asked_for_a_password_says_so(tmp_path: Path, somebody: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with polkit_that_says(daemon, says(True)) as asked, daemon.connection() as bus:
            await _refresh(bus, flags=4)
            assert [question[3] for question in asked] == [1]

    tell(tmp_path, story)


@pytest.mark.parametrize("is_challenge", [True, False])
def test_polkit_does_not_let_somebody(tmp_path: Path, somebody: None, is_challenge: bool) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with polkit_that_says(daemon, says(False, is_challenge)):
            done = await gdbus(daemon, f"{NAME}.Refresh")
            assert done.code == 1
            assert f"org.monami6.Agent1.Error.Forbidden: polkit does not allow it ({ACTION})" in done.messages
            assert agent.calls == []

    tell(tmp_path, story)


def test_without_polkit_only_root_and_the_group_may(tmp_path: Path, somebody: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        done = await gdbus(daemon, f"{NAME}.Refresh")
        assert "Forbidden: only root and members of the group monami6 may do this" in done.messages
        assert (await gdbus(daemon, f"{NAME}.Status")).code == 0, "everybody may look"
        assert agent.calls == [("status", {})]

    tell(tmp_path, story)


def test_root_does_not_need_polkit(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with polkit_that_says(daemon, says(False)) as asked:
            assert (await gdbus(daemon, f"{NAME}.Refresh")).code == 0
            assert asked == []

    tell(tmp_path, story)


@pytest.mark.parametrize(
    "answer",
    [
        lambda message: Message.new_error(message, f"{POLKIT}.Error.Failed", "Action is not registered"),
        lambda message: Message.new_method_return(message, "s", ["nonsense"]),
        lambda _: None,
        lambda message: Message.new_error(message, "org.freedesktop.DBus.Error.AccessDenied", "rules"),
    ],
    ids=["error", "nonsense", "silence", "denied"],
)
def test_a_polkit_that_makes_no_sense_lets_nobody(
    tmp_path: Path, somebody: None, answer: Callable[[Message], Message | None]
) -> None:
    def hold(message: Message) -> Any:
        return answer(message) or True  # handled, and never answered

    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with polkit_that_says(daemon, hold), daemon.connection() as bus:
            reply = await _refresh(bus)
            assert reply.error_name == error_name("forbidden")
            assert reply.body[0].startswith("only root and members of the group monami6 may do this: ")
            assert agent.calls == []
            assert (await gdbus(daemon, f"{NAME}.Status")).code == 0, "and the service goes on"

    tell(tmp_path, story)


def test_polkit_is_asked_about_who_is_at_the_socket(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        me = Peer(os.getpid(), os.getuid(), frozenset())
        assert "only root and members" in (await agent.service.authority(me, ACTION) or "")
        async with polkit_that_says(daemon, says(True)) as asked:
            assert await agent.service.authority(me, ACTION) is None
            gone = Peer(1 << 22, os.getuid(), frozenset())
            assert "only root and members" in (await agent.service.authority(gone, ACTION) or "")
        ((kind, details), action, _, flags, _) = asked[0]
        assert (kind, action, flags) == ("unix-process", ACTION, 1)
        assert details == {
            "pid": Variant("u", os.getpid()),
            "start-time": Variant("t", STARTED),
            "uid": Variant("i", os.getuid()),
        }
        assert len(asked) == 1
        async with polkit_that_says(daemon, says(False)):
            assert "polkit does not allow it" in (await agent.service.authority(me, ACTION) or "")
        daemon.kill()
        await asyncio.sleep(0.1)
        assert "only root and members" in (await agent.service.authority(me, ACTION) or "")

    tell(tmp_path, story)


# When the bus is not what it should be


def test_the_bus_goes_and_comes_back(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        for _ in range(3):
            daemon.kill()
            agent.becomes(policy="other")
            await asyncio.sleep(0.05)
            daemon.start()
            await until(lambda: agent.troubles[-1] is None)
            while (await gdbus(daemon, f"{NAME}.Refresh")).code:
                await asyncio.sleep(0.02)
            assert await get(daemon, "Policy") == "other"
        assert set(agent.troubles) == {None}

    tell(tmp_path, story)


def test_calls_under_way_end_with_the_bus(tmp_path: Path, root: None) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        agent.pause = asyncio.Event()
        waiting = asyncio.ensure_future(gdbus(daemon, f"{NAME}.Refresh"))  # noqa: TID251
        await until(lambda: agent.calls)
        daemon.kill()
        assert (await waiting).code == 1
        await until(lambda: not agent.service._calls)
        daemon.start()
        await until(lambda: agent.service._bus is not None)

    tell(tmp_path, story)


def test_a_bus_that_does_not_let_us_have_the_name_is_a_trouble(tmp_path: Path) -> None:
    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        await until(lambda: agent.troubles)
        assert "is not allowed to own the service" in (agent.troubles[0] or "")

    tell(tmp_path, story, rules="<deny own='*'/>")


def test_another_has_the_name(tmp_path: Path) -> None:
    async def run() -> None:
        agent = Agent()
        with DbusDaemon(tmp_path) as daemon:
            async with daemon.connection(NAME):
                agent.service.start()
                await until(lambda: agent.troubles)
                assert agent.troubles[0] == f"another program is {NAME} on the D-Bus system bus"
            await until(lambda: agent.troubles[-1] is None)
            agent.service.close()
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_too_many_calls_are_refused_and_the_others_go_on(
    tmp_path: Path, root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbus_service, "AT_ONCE", 4)

    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        agent.pause = asyncio.Event()
        async with daemon.connection() as bus:
            answers = [asyncio.ensure_future(_refresh(bus)) for _ in range(6)]  # noqa: TID251
            await until(lambda: sum(answer.done() for answer in answers) == 2)
            refused = [answer.result().error_name for answer in answers if answer.done()]
            assert refused == ["org.freedesktop.DBus.Error.LimitsExceeded"] * 2
            agent.pause.set()
            done = [await answer for answer in answers]
            assert [one.message_type for one in done].count(MessageType.METHOD_RETURN) == 4
            assert (await _refresh(bus)).message_type is MessageType.METHOD_RETURN

    tell(tmp_path, story)


OVERSIZED = {
    "s": Variant("s", "x" * 10_000_000),
    "ai": Variant("ai", [1] * 1_000_000),
    "av": Variant("av", [Variant("i", 1)] * 300_000),
}
LARGE = {
    "s": Variant("s", "x" * 100_000),
    "ai": Variant("ai", [1] * 25_000),
    "av": Variant("av", [Variant("i", 1)] * 15_000),
}


@pytest.mark.parametrize("kind", ["s", "ai", "av"])
@pytest.mark.parametrize("is_oversized", [True, False])
def test_nobody_keeps_the_loop_by_a_long_message(tmp_path: Path, root: None, is_oversized: bool, kind: str) -> None:
    value = (OVERSIZED if is_oversized else LARGE)[kind]
    body = ["wifi", {"what": value}]
    message = Message(destination=NAME, path=PATH, interface=NAME, member="Switch", signature="sa{sv}", body=body)
    octets = message._marshall(False)

    async def story(agent: Agent, daemon: DbusDaemon) -> None:
        async with daemon.connection() as bus:
            octets[8:12] = bus.next_serial().to_bytes(4, "little")
            async with never_kept_long():
                await asyncio.get_running_loop().sock_sendall(bus._sock, octets)  # type: ignore[arg-type]
                assert (await _refresh(bus)).message_type is MessageType.METHOD_RETURN
            assert [name for name, _ in agent.calls] == (["refresh"] if is_oversized else ["switch", "refresh"])

    tell(tmp_path, story)


NOBODY = FakeVariant("s", "not a name")
SENSELESS = {
    "no member": method_call(member=None),
    "no path": method_call(path=None),
    "no sender": method_call(sender=None),
    "no valid sender": method_call(sender=NOBODY, path=FakeVariant("o", PATH), member=FakeVariant("s", "Refresh")),
    "no sender that changes something": method_call(
        sender=None, path=FakeVariant("o", PATH), member=FakeVariant("s", "Refresh")
    ),
    "a flood": 3000 * method_call(path=FakeVariant("o", PATH), member=FakeVariant("s", "Status")),
}


@pytest.mark.parametrize("nonsense", SENSELESS.values(), ids=SENSELESS.keys())
def test_calls_that_make_no_sense_do_nothing(tmp_path: Path, somebody: None, nonsense: bytes) -> None:
    """Of a bus that is none."""

    async def bus(peer: FakePeer) -> None:
        await peer.welcomes()
        name = await peer.hears()
        assert name.member == "RequestName"
        await peer.says(name.reply("u", 1))
        await peer.says(nonsense)
        await peer.is_left()

    async def run() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        agent = Agent()
        async with never_kept_long(), serving(tmp_path / "bus", bus):
            agent.service.start()
            await until(lambda: None in agent.troubles)
            await asyncio.sleep(0.3)
        agent.service.close()
        await asyncio.sleep(0.01)
        assert failures == []
        assert {name for name, _ in agent.calls} <= {"status"}

    asyncio.run(run())
