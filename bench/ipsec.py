"""The gap in protected traffic when the link that IKEv2 runs over loses its carrier, compared with strongSwan's MOBIKE.

strongSwan alone (mn_lab/mobike.py) and monami6 with keys from IKEv2 are measured in turn. So are, for monami6 alone,
planned changes, which may lose nothing, and what nobody plans: an IKE SA that has to be made anew, and programs that
are killed and started again. Traffic is 200 packets a second each way: a gap is 5 ms if nothing is lost. Access routers
let only packets with a source of their own link pass. Exit code 1 if a limit is missed.

strongSwan waits a tenth of a second before it moves. In an emulated machine that is no longer, while everything that is
computed takes many times as long: there the ratio is worse than on a real one.
"""

import argparse
import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import monotonic, sleep

from bench._figures import figures
from bench._results import conclude
from bench._spread import Spread
from mip6.ike_sas import SAS, SAS_EVENT, IkeSa, sas_from
from mip6.vici import Vici, ViciError
from mn_lab import network, strongswan
from mn_lab.commands import LabError
from mn_lab.control import Status
from mn_lab.lab import Lab
from mn_lab.layout import HOME_AGENT, MOBILE_NODE
from mn_lab.mobike import LINKS, PATIENCE_S, Mobike
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP, Figures

RATE = 200

FIRST, SECOND = LINKS
MOBIKE, OURS = "MOBIKE", "monami6"
_SETTLE_S, _AFTERWARDS_S, _LOOK_S = 0.5, 1.0, 0.2
_NO_KEY_MOBILITY = "[ikev2]\nkey_mobility = false\n"

Found = dict[tuple[str, str], list[dict[str, Figures]]]
"""By program and what happened: one for each run, by direction."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens. `act` returns when everything works again, `mend` when all is as it was before."""

    act: Callable[[Lab], None]
    mend: Callable[[Lab], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One program, what happened to it, one direction. `ratio`: of median gaps, to MOBIKE's; None where MOBIKE has
    none. `limit`: in words; empty when there is none.
    """

    program: str
    what: str
    direction: str
    lost: Spread
    gap_ms: Spread
    ratio: float | None
    limit: str
    ok: bool


def measure(runs: int) -> list[Result]:
    """All runs, each of everything in turn."""
    found: Found = defaultdict(list)
    with Mobike(f"m6-mobike{os.getpid()}-") as mobike, _lab() as lab:
        for _ in range(runs):
            found[MOBIKE, CARRIER_LOST].append(_run_mobike(mobike))
            for what, step in STEPS.items():
                found[OURS, what].append(_run(lab, step))
    with _lab(_NO_KEY_MOBILITY) as lab:
        for _ in range(runs):
            found[OURS, MADE_ANEW].append(_run(lab, STEPS[IKE_MOVED]))
    compared = {direction: _median_gap(found[MOBIKE, CARRIER_LOST], direction) for direction in (UP, DOWN)}
    return [
        _result(program, what, direction, [one[direction] for one in runs_of], compared[direction])
        for (program, what), runs_of in found.items()
        for direction in (UP, DOWN)
    ]


def _median_gap(runs_of: list[dict[str, Figures]], direction: str) -> float:
    return median(one[direction].gap_ms for one in runs_of)


def _result(program: str, what: str, direction: str, runs_of: list[Figures], mobike_gap_ms: float) -> Result:
    lost = Spread.of([one.lost for one in runs_of])
    gap = Spread.of([one.gap_ms for one in runs_of])
    ratio, limit, ok = None, "", True
    if what == CARRIER_LOST:
        ratio = round(gap.median / mobike_gap_ms, 2)
        if program == OURS:
            limit, ok = "gap below MOBIKE's", ratio < 1
    elif what in PLANNED:
        limit, ok = "nothing lost", lost.most == 0
    return Result(program, what, direction, lost, gap, ratio, limit, ok)


def _run_mobike(mobike: Mobike) -> dict[str, Figures]:
    def act() -> None:
        mobike.lose_carrier()
        mobike.wait_moved(SECOND)

    with mobike.network_manager(), mobike.traffic(RATE) as traffic:
        found = figures(traffic, act, settle_s=_SETTLE_S, afterwards_s=_AFTERWARDS_S)
    mobike.return_carrier()
    mobike.wait_moved(FIRST)
    return found


# monami6


@contextmanager
def _lab(home_agent_toml: str = "") -> Iterator[Lab]:
    """Traffic and IKEv2 are over the first link whenever that works."""
    lab = Lab(LINKS, prefix=f"m6-b{os.getpid()}-", security="ikev2", home_agent_toml=home_agent_toml)
    try:
        lab.up(PATIENCE_S)
        network.check_sources(lab.layout)
        _use_first(lab)
        yield lab
    finally:
        lab.down()


def _run(lab: Lab, step: Step) -> dict[str, Figures]:
    with lab.traffic(RATE) as traffic:
        found = figures(traffic, partial(step.act, lab), settle_s=_SETTLE_S, afterwards_s=_AFTERWARDS_S)
    step.mend(lab)
    return found


def _lose_carrier(lab: Lab) -> None:
    lab.change_link(FIRST, LinkAction.DOWN)
    _wait_at(lab, default=SECOND, ike=SECOND)


def _return_carrier(lab: Lab) -> None:
    lab.change_link(FIRST, LinkAction.UP)
    lab.wait_registered(PATIENCE_S)
    # A link that has failed need not prove itself when somebody asks for it once more
    _use_first(lab)


def _use_first(lab: Lab) -> None:
    _switch(lab, FIRST)
    _switch(lab, "--ike", FIRST)
    _wait_at(lab)


def _move(lab: Lab) -> None:
    _switch(lab, SECOND)
    _wait_at(lab, default=SECOND)


def _move_back(lab: Lab) -> None:
    _switch(lab, FIRST)
    _wait_at(lab)


def _move_ike(lab: Lab) -> None:
    _switch(lab, "--ike", SECOND)
    _wait_at(lab, ike=SECOND)


def _move_ike_back(lab: Lab) -> None:
    _switch(lab, "--ike", FIRST)
    _wait_at(lab)


def _restart_agent(lab: Lab) -> None:
    lab.kill_agent()
    lab.start_agent()
    lab.wait_registered(PATIENCE_S)
    _wait_at(lab)


def _restart_home_agent(lab: Lab) -> None:
    lab.kill_home_agent()
    lab.start_home_agent()
    _wait(lambda: _is_bound(lab), "the home agent with its bindings")


def _restart_charon(node: str, lab: Lab) -> None:
    """Until the other end has a new IKE SA with all the old one's CHILD_SAs."""
    before = _ike_sa(lab, MOBILE_NODE)
    assert before is not None, "there is no IKE SA"
    lab.kill_charon(node)
    strongswan.vici(lab.directory, node).unlink(missing_ok=True)
    lab.start_charon(node)
    _wait(lambda: _is_replaced(lab, before), f"a new IKE SA after charon of {node} was killed")


def _switch(lab: Lab, *what: str) -> None:
    lab.monami6("switch", "--timeout", str(PATIENCE_S), *what)


def _wait_at(lab: Lab, *, default: str = FIRST, ike: str = FIRST) -> None:
    """Until default traffic and IKE SA are over these links."""

    def is_met(status: Status) -> bool:
        care_of = {link["name"]: link["care_of_address"] for link in status["links"]}
        sa = status["ike"]["sa"]
        is_there = sa is not None and sa["care_of_address"] == care_of[ike]
        return is_there and (status["default"]["link"], status["ike"]["link"]) == (default, ike)

    lab.wait(is_met, f"traffic over {default} and IKEv2 over {ike}", PATIENCE_S)


def _wait(is_met: Callable[[], bool], what: str) -> None:
    """Where nobody announces anything. Raises LabError when it takes too long."""
    end_at = monotonic() + PATIENCE_S
    while not is_met():
        if monotonic() > end_at:
            raise LabError(f"not within {PATIENCE_S:g} s: {what}")
        sleep(_LOOK_S)


def _is_bound(lab: Lab) -> bool:
    try:
        (node,) = lab.home_agent.status()["nodes"]
    except OSError:
        return False
    return len(node["bindings"]) == len(LINKS)


def _is_replaced(lab: Lab, before: IkeSa) -> bool:
    wanted = {child.name for child in before.children}
    for node in (MOBILE_NODE, HOME_AGENT):
        sa = _ike_sa(lab, node)
        if sa is None or sa.initiator_spi == before.initiator_spi:
            return False
        if {child.name for child in sa.children if child.state == "INSTALLED"} < wanted:
            return False
    return True


def _ike_sa(lab: Lab, node: str) -> IkeSa | None:
    """The newest that this end's charon has; None when it has none, or does not answer."""
    vici = Vici(strongswan.vici(lab.directory, node))
    try:
        sas = sas_from(asyncio.run(vici.listing(SAS, SAS_EVENT)))
    except ViciError:
        return None
    return max((sa for sa in sas if sa.state == "ESTABLISHED"), key=lambda sa: sa.unique_id, default=None)


def _nothing(lab: Lab) -> None:
    """All is as it was."""


CARRIER_LOST, MADE_ANEW = "carrier lost", "IKE SA made anew"
IKE_MOVED, ALL_MOVED = "IKEv2 moved", "all traffic moved"
PLANNED = (IKE_MOVED, ALL_MOVED)
STEPS: Mapping[str, Step] = {
    CARRIER_LOST: Step(_lose_carrier, _return_carrier),
    IKE_MOVED: Step(_move_ike, _move_ike_back),
    ALL_MOVED: Step(_move, _move_back),
    "agent killed": Step(_restart_agent, _nothing),
    "home agent killed": Step(_restart_home_agent, _nothing),
    "charon killed, mobile node": Step(partial(_restart_charon, MOBILE_NODE), _wait_at),
    "charon killed, home agent": Step(partial(_restart_charon, HOME_AGENT), _wait_at),
}


def as_text(results: Sequence[Result]) -> str:
    lines = [f"{'':8} {'':26} {'':5} {'packets lost':>20} {'longest gap, ms':>26} {'to MOBIKE':>10}"]
    for r in results:
        ratio = "" if r.ratio is None else f"{r.ratio:.2f}"
        verdict = f"{r.limit}: {'ok' if r.ok else 'MISSED'}" if r.limit else ""
        lines.append(
            f"{r.program:8} {r.what:26} {r.direction:5} {r.lost!s:>20} {r.gap_ms!s:>26} {ratio:>10} {verdict}".rstrip()
        )
    return "\n".join([*lines, "Medians (range)."])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench ipsec", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of everything (default: 5)")
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    return conclude(measure(options.runs), options.runs, as_text, as_json=options.json)
