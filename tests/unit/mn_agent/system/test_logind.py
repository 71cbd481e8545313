"""What is made of what logind says, and of those who only say that they are logind. The bus is a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from dbus_fast.aio import MessageBus

from mn_agent.system.logind import Logind
from tests.dbus_daemon import DbusDaemon, emit, until

NAME, PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
QUIET_S = 0.2


class Sleeper:
    """Counts how often the machine was said to have slept."""

    def __init__(self) -> None:
        self.times = 0

    def resumed(self) -> None:
        self.times += 1

    def has_slept(self, times: int) -> Callable[[], bool]:
        return lambda: self.times == times


async def says(bus: MessageBus, sleeps: bool, path: str = PATH) -> None:
    await emit(bus, path, f"{NAME}.Manager", "PrepareForSleep", "b", sleeps)


def run(tmp_path: Path, story: Callable[[DbusDaemon, Sleeper], Awaitable[None]]) -> None:
    async def tell() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        sleeper = Sleeper()
        logind = Logind(sleeper.resumed)
        with DbusDaemon(tmp_path) as daemon:
            logind.start()
            async with asyncio.timeout(20):
                await story(daemon, sleeper)
            logind.close()
            await asyncio.sleep(0.01)
        assert failures == []

    asyncio.run(tell())


async def until_heard(bus: MessageBus, sleeper: Sleeper) -> None:
    """It is on the bus when it has heard something."""
    before = sleeper.times
    async with asyncio.timeout(10):
        while sleeper.times == before:
            await says(bus, sleeps=False)
            await asyncio.sleep(0.02)
    await asyncio.sleep(QUIET_S)


def test_it_is_told_when_the_machine_wakes_up_and_not_when_it_goes_to_sleep(tmp_path: Path) -> None:
    async def story(daemon: DbusDaemon, sleeper: Sleeper) -> None:
        async with daemon.connection(NAME) as bus:
            await until_heard(bus, sleeper)
            before = sleeper.times
            await says(bus, sleeps=True)
            await asyncio.sleep(QUIET_S)
            assert sleeper.times == before
            await says(bus, sleeps=False)
            await until(sleeper.has_slept(before + 1))

    run(tmp_path, story)


def test_who_is_not_logind_is_not_believed(tmp_path: Path) -> None:
    """Match rules keep nobody from sending us a signal, if he knows our name."""

    async def story(daemon: DbusDaemon, sleeper: Sleeper) -> None:
        async with daemon.connection(NAME) as bus, daemon.connection() as liar:
            await until_heard(bus, sleeper)
            before = sleeper.times
            names = await _names(liar)
            for name in names:
                await _lie(liar, name)
            await asyncio.sleep(QUIET_S)
            assert sleeper.times == before
            await bus.release_name(NAME)
            for name in names:
                await _lie(liar, name)
            await asyncio.sleep(QUIET_S)
            assert sleeper.times == before, "nor while there is no logind"
            await bus.request_name(NAME)
            await says(bus, sleeps=False)
            await until(sleeper.has_slept(before + 1))

    run(tmp_path, story)


async def _names(bus: MessageBus) -> list[str]:
    introspection = await bus.introspect("org.freedesktop.DBus", "/org/freedesktop/DBus")
    proxy = bus.get_proxy_object("org.freedesktop.DBus", "/org/freedesktop/DBus", introspection)
    names: list[str] = await proxy.get_interface("org.freedesktop.DBus").call_list_names()  # type: ignore[attr-defined]
    return [name for name in names if name.startswith(":")]


async def _lie(bus: MessageBus, destination: str) -> None:
    from dbus_fast import Message

    message = Message.new_signal(PATH, f"{NAME}.Manager", "PrepareForSleep", "b", [False])
    message.destination = destination
    await bus.send(message)


def test_other_signals_of_logind_are_nothing(tmp_path: Path) -> None:
    async def story(daemon: DbusDaemon, sleeper: Sleeper) -> None:
        async with daemon.connection(NAME) as bus:
            await until_heard(bus, sleeper)
            before = sleeper.times
            await emit(bus, PATH, f"{NAME}.Manager", "PrepareForShutdown", "b", False)
            await says(bus, sleeps=False, path="/elsewhere")
            await emit(bus, PATH, f"{NAME}.Manager", "PrepareForSleep", "s", "nonsense")
            await asyncio.sleep(QUIET_S)
            assert sleeper.times == before

    run(tmp_path, story)


def test_the_bus_goes_and_comes_back(tmp_path: Path) -> None:
    async def story(daemon: DbusDaemon, sleeper: Sleeper) -> None:
        async with daemon.connection(NAME) as bus:
            await until_heard(bus, sleeper)
        daemon.kill()
        await asyncio.sleep(0.05)
        daemon.start()
        async with daemon.connection(NAME) as bus:
            await until_heard(bus, sleeper)

    run(tmp_path, story)
