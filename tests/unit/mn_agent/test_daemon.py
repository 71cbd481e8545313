"""How the agent notices that the machine has slept."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

import mip6.daemon
from mn_agent.core.events import Event, Resumed, Tick
from mn_agent.core.settings import Paths
from mn_agent.daemon import AgentDaemon
from tests.story.world import mobile_node_settings

HOUR_S = 3600.0


class NoInterfaces:
    """In place of the watcher."""

    def look(self) -> tuple[()]:
        return ()


class Clocks:
    """What they say of sleep."""

    asleep_s = 1000.0


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(mip6.daemon, "asleep_s", lambda: clocks.asleep_s)
    return clocks


@pytest.fixture
def agent(clocks: Clocks, tmp_path: Path) -> Iterator[AgentDaemon]:
    """Without kernel and network: nothing of it is open."""
    paths = Paths(socket=str(tmp_path / "agent.sock"), state=str(tmp_path / "agent.json"))
    agent = AgentDaemon(lambda: replace(mobile_node_settings(), paths=paths))
    agent._watcher = NoInterfaces()  # type: ignore[assignment]
    yield agent
    agent._timer.close()


def events(agent: AgentDaemon, monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> list[Event]:
    """Those that the core gets."""
    heard: list[Event] = []
    step = agent.step
    monkeypatch.setattr(agent, "step", lambda event, now: heard.append(event) or step(event, now))  # type: ignore[func-returns-value]

    async def act() -> None:
        for action in actions:
            action()

    asyncio.run(act())
    return heard


def test_the_clocks_tell_before_anything_else_happens(
    agent: AgentDaemon, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep() -> None:
        clocks.asleep_s += HOUR_S

    tick = lambda: agent.handle(Tick())  # noqa: E731
    heard = events(agent, monkeypatch, tick, sleep, tick, tick)
    assert heard == [Tick(), Resumed(()), Tick(), Tick()]


def test_reading_two_clocks_takes_time(agent: AgentDaemon, clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait() -> None:
        clocks.asleep_s += 0.5

    tick = lambda: agent.handle(Tick())  # noqa: E731
    assert events(agent, monkeypatch, tick, wait, tick, wait, tick) == [Tick()] * 3


def test_logind_tells_of_short_sleep_too(agent: AgentDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events(agent, monkeypatch, agent._logind_tells) == [Resumed(())]


@pytest.mark.parametrize("is_logind_first", [True, False])
def test_one_sleep_is_told_once(
    agent: AgentDaemon, clocks: Clocks, monkeypatch: pytest.MonkeyPatch, is_logind_first: bool
) -> None:
    clocks.asleep_s += HOUR_S
    both = [agent._logind_tells, lambda: agent.handle(Tick())]
    heard = events(agent, monkeypatch, *(both if is_logind_first else reversed(both)))
    assert sorted(map(str, heard)) == sorted(map(str, [Resumed(()), Tick()]))


def test_before_the_interfaces_can_be_seen_there_is_nothing_to_tell(
    agent: AgentDaemon, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent._watcher = None
    clocks.asleep_s += HOUR_S
    assert events(agent, monkeypatch, lambda: agent.handle(Tick())) == [Tick()]


def test_the_timer_is_set_for_what_the_core_wants(agent: AgentDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    at = mip6.daemon.boottime() + HOUR_S
    monkeypatch.setattr(agent, "deadline", lambda _: at)
    events(agent, monkeypatch, lambda: agent.handle(Tick()))
    told = Path(f"/proc/self/fdinfo/{agent._timer.fileno()}").read_text()
    assert "it_value: (3599, " in told
    monkeypatch.setattr(agent, "deadline", lambda _: inf)
    events(agent, monkeypatch, lambda: agent.handle(Tick()))
    told = Path(f"/proc/self/fdinfo/{agent._timer.fileno()}").read_text()
    assert "it_value: (0, 0)" in told
