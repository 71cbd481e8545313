"""The demonstration: traffic that runs while links are switched, lost and regained, and the agent is killed."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from mn_lab.capture import Capture
from mn_lab.lab import Lab
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP, Figures, Record, Traffic

_SETTLE_S = 0.5
_STEP_S = 1.0
"""How long the traffic goes on after what a step does is done."""


@dataclass(frozen=True, slots=True)
class Result:
    """What happened to the traffic in one direction during a step."""

    step: str
    direction: str
    figures: Figures
    tcp_stall_ms: float
    """The longest pause at the receiver of the TCP stream, which sends every 10 ms."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole run: where each step began, what was received, by direction, and over which link, if captured."""

    steps: Sequence[tuple[str, int]]
    end_ns: int
    records: dict[str, Record]
    links: dict[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens under traffic; `act` returns when it is done."""

    name: str
    title: str
    act: Callable[[Lab], object]


def _lose_carrier(lab: Lab) -> None:
    lab.change_link("wifi", LinkAction.DOWN)
    lab.wait(lambda status: status["default"]["link"] not in ("wifi", None), "traffic over another link")


def _give_carrier_back(lab: Lab) -> None:
    lab.change_link("wifi", LinkAction.UP)
    lab.wait_carried_by("wifi")


def _kill_agent(lab: Lab) -> None:
    lab.kill_agent()
    lab.start_agent()
    lab.wait_registered()


STEPS = (
    Step("switch", "wifi to lte, by command", lambda lab: lab.monami6("switch", "lte")),
    Step("switch-back", "lte to wifi, by command", lambda lab: lab.monami6("switch", "wifi")),
    Step("carrier-loss", "wifi loses its carrier", _lose_carrier),
    Step("carrier-return", "wifi gets its carrier back", _give_carrier_back),
    Step("agent-kill", "the agent is killed (-9) and started again", _kill_agent),
)


def run(lab: Lab, tell: Callable[[str], None], *, capture: bool) -> tuple[list[Result], Timeline]:
    """Go through all steps in a lab that is up and has a link wifi and a link lte. `tell` hears of the progress."""
    lab.monami6("switch", "wifi")
    captured = Capture(lab) if capture else None
    with ExitStack() as stack:
        if captured is not None:
            stack.enter_context(captured)
        traffic = stack.enter_context(lab.traffic())
        time.sleep(_SETTLE_S)
        starts, end_ns = [], time.time_ns()
        for number, step in enumerate(STEPS, 1):
            tell(f"{number}/{len(STEPS)} {step.name}: {step.title}")
            starts.append((step.name, end_ns))
            step.act(lab)
            time.sleep(_STEP_S)
            end_ns = time.time_ns()
            traffic.catch_up(end_ns)
            tell("    " + "; ".join(map(_text, _results(traffic, *starts[-1], end_ns))))
        # Once more: a TCP stall may have lasted longer than its step
        ends = [start for _, start in starts[1:]] + [end_ns]
        results = [
            result
            for (name, start_ns), step_end_ns in zip(starts, ends, strict=True)
            for result in _results(traffic, name, start_ns, step_end_ns)
        ]
        records = {direction: traffic.record(direction) for direction in (UP, DOWN)}
    links = captured.links() if captured is not None else {}
    return results, Timeline(starts, end_ns, records, links)


def _results(traffic: Traffic, step: str, start_ns: int, end_ns: int) -> list[Result]:
    return [
        Result(
            step,
            direction,
            traffic.record(direction).figures(start_ns, end_ns),
            traffic.stream(direction).figures(start_ns, end_ns).gap_ms,
        )
        for direction in (UP, DOWN)
    ]


def _text(result: Result) -> str:
    return f"{result.direction} {result.figures.lost} of {result.figures.sent} lost, gap {result.figures.gap_ms} ms"
