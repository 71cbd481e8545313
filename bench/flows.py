"""Forwarding with many flows, and with many mobile nodes, compared with one: what a packet costs has to stay the same.

Measured are TCP, and UDP packets of 200 octets, by iperf3, which sends as fast as it can; both ways through the tunnel,
with traffic of the last of all flows and with traffic of none. This machine forwards in the time of those who send and
receive. So what arrives is divided by the processor time that both took: others that want the processor change nothing.
All cases are measured in turn, and a ratio is to the first case in the same turn. Exit code 1 if a limit is missed.

Flows: 1, 100 and 1,000 flow bindings of one mobile node, in the classifiers of both ends. No mobile node can signal
1,000: each Binding Update names all of them (RFC 6089 section 5.2), two octets each, and a Mobility Header, which has
2,048 at most, takes 970 beside what else has to be said. The agent stops at 400, which surely fit into a packet of the
minimum MTU. So the flows come in behind the protocol: the home agent, the real program, is restarted with a state file
that has them; the agent is killed, and its kernel gets what its core wants for such a policy. The flows are of three
kinds, which nftables finds in three ways: numbers, prefixes and ranges. Flows of a kind do not overlap: those that do
are looked up one after the other. That cost, and that of a kind, is in docs/architecture.md, "Flows".

Mobile nodes: 1 and 1,000 at the home agent, each with a binding for every link of the lab, and three flows. The others
come in by the state file too, and send nothing: the traffic is that of one, which has the last place.

Hosts: 1 and 1,000 hosts behind a mobile router, each with a flow. Both ends know of all of them; the traffic is that of
one, which has the last flow.
"""

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any, TypeVar

from bench._iperf3 import iperf3
from bench._many import (
    FLOW_PORT,
    OTHER_PORT,
    configuration,
    hosts_behind,
    hosts_policy,
    policy,
    saved_entries,
    saved_flows,
)
from bench._process import resident_mib
from home_agent.core.saved import SavedEntry
from mip6 import statefile
from mn_agent.core.flows import chain_name
from mn_agent.core.kernel import TABLE_NAME, counter_name
from mn_agent.core.router import HOSTS
from mn_agent.core.saved import Saved
from mn_lab.commands import LabError, require
from mn_lab.configuration import write
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, MOBILE_NODE, host_address
from mn_lab.layout import HOSTS as LAB_HOSTS
from mn_lab.traffic import DOWN, UP

LIMIT = 0.9
"""Of the first case."""

FLOWS = (1, 100, 1000)
NODES = (1, 1000)
_FLOWS_OF_NODE = 3

_LINK = "wifi"
"""For the flows; all else goes over the first link."""
_OCTETS = 200
_LIFETIME_S = 86400
"""Nobody refreshes the bindings."""
_SAVED_S, _READY_S = 5.0, 60.0

_AGENT, _HOME_AGENT = "agent", "home-agent"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Case:
    """What there is. `flows`: of each mobile node."""

    nodes: int
    flows: int
    hosts: bool = False
    """Whether each flow is of another host behind the mobile node, which is a router."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is measured. `protocol`: tcp or udp. `traffic`: flow for that of the last flow, or other."""

    protocol: str
    direction: str
    traffic: str


KINDS = [Kind(*one) for one in product(("tcp", "udp"), (UP, DOWN), ("flow", "other"))]


@dataclass(frozen=True, slots=True)
class Result:
    """`value`: megabits of TCP, or thousands of UDP packets, for each second of processor time. `ratio`: to that of the
    first case. Medians.
    """

    nodes: int
    flows: int
    hosts: bool
    protocol: str
    direction: str
    traffic: str
    value: float
    ratio: float
    limit: float
    ok: bool


@dataclass(frozen=True, slots=True)
class HomeAgent:
    """How long a home agent takes from its start until the kernel has everything, and its memory then. Medians."""

    nodes: int
    flows: int
    hosts: bool
    ready_s: float
    resident_mib: float


class Crowd:
    """A lab that can be given any number of flows and mobile nodes."""

    def __init__(self, lab: Lab) -> None:
        """`lab`: is up; its agent is killed."""
        self._lab = lab
        links = lab.wait_registered()["links"]
        self._bid: int = next(link["bid"] for link in links if link["name"] == _LINK)
        self._configuration = tomllib.loads(lab.configuration[_HOME_AGENT].read_text())
        self._state_file = Path(self._configuration["paths"]["state"])
        _wait_saved(lab.directory / f"{_AGENT}.json", Saved, lambda saved: len(saved.bindings) == len(links))
        self._entry = _wait_saved(
            self._state_file, tuple[SavedEntry], lambda entries: len(entries[0].bindings) == len(links)
        )[0]
        lab.kill_agent()

    def become(self, case: Case) -> HomeAgent:
        """Raises LabError when the home agent does not get there."""
        lab = self._lab
        agent = [sys.executable, "-m", "bench._mobile_node", str(lab.configuration[_AGENT]), _LINK, str(case.flows)]
        lab.run(MOBILE_NODE, *agent)
        if case.hosts:
            known = ", ".join(map(str, hosts_behind(case.flows - 1)))
            for name in HOSTS if known else ():
                lab.run(MOBILE_NODE, "nft", "add", "element", "ip6", TABLE_NAME, name, f"{{ {known} }}")
        lab.kill_home_agent()
        flows = (hosts_policy if case.hosts else policy)(case.flows, _LINK)
        entry = replace(self._entry, flows=saved_flows(flows, self._bid))
        statefile.save(self._state_file, saved_entries(entry, case.nodes))
        lab.configuration[_HOME_AGENT].write_text(write(configuration(self._configuration, case.nodes)))
        started_at = monotonic()
        lab.start_home_agent()
        pid = self._wait_ready(case)
        return HomeAgent(**asdict(case), ready_s=monotonic() - started_at, resident_mib=resident_mib(pid))

    def _wait_ready(self, case: Case) -> int:
        """Its process, once it answers: before that it puts everything into the kernel."""
        home_agent = self._lab.home_agent

        def is_met(status: Mapping[str, Any]) -> bool:
            active = [flow for node in status["nodes"] for flow in node["flows"] if flow["active"]]
            return len(active) == case.nodes * case.flows and not status["troubles"]

        def check() -> None:
            if not self._lab.processes[_HOME_AGENT].runs:
                raise LabError("the home agent does not run")

        pid: int = home_agent.wait_until(is_met, "all flows active", timeout_s=_READY_S, check=check)["pid"]
        return pid

    def measure(self, case: Case, kind: Kind, seconds: int) -> float:
        """As in `Result`. Raises LabError when the last flow did not have the traffic that it should."""
        before = self._octets_of_last_flow(case, kind.direction)
        rate, octets = _measure(self._lab, kind, seconds)
        counted = self._octets_of_last_flow(case, kind.direction) - before
        # What is left of the connection before may come late
        if (counted > octets / 2) != (kind.traffic == "flow"):
            raise LabError(f"{case}, {kind}: {counted} of {octets} octets went through the last flow")
        return rate

    def _octets_of_last_flow(self, case: Case, direction: str) -> int:
        """So far, where it is sent."""
        if direction == UP:
            name = counter_name(chain_name(case.flows - 1), self._bid, direction)
            told = self._lab.run(MOBILE_NODE, "nft", "-j", "list", "counter", "ip6", TABLE_NAME, name)
            return sum(one["counter"]["bytes"] for one in json.loads(told)["nftables"] if "counter" in one)
        last = self._lab.home_agent.status()["nodes"][-1]["flows"][-1]
        octets: int = last["sent"][str(self._bid)][1]
        return octets


def _wait_saved(file: Path, kind: type[_T], is_complete: Callable[[_T], bool]) -> _T:
    """What a daemon has saved, once that is everything: it writes while it goes on. Raises LabError if it never is."""
    end_at = monotonic() + _SAVED_S
    while monotonic() < end_at:
        loaded = statefile.load(file, kind)
        if loaded is not None and is_complete(loaded.state):
            return loaded.state
        sleep(_SAVED_S / 100)
    raise LabError(f"{file} is not complete after {_SAVED_S:g} s")


def _measure(lab: Lab, kind: Kind, seconds: int) -> tuple[float, int]:
    """As in `Result`, and the octets that arrived."""
    options = ["--time", str(seconds)]
    if kind.protocol == "udp":
        options += ["--udp", "--bitrate", "0", "--length", str(_OCTETS)]
    node, address = (LAB_HOSTS[0], host_address(LAB_HOSTS[0])) if lab.layout.router else (MOBILE_NODE, HOME_ADDRESS)
    receiver = node if kind.direction == DOWN else CORRESPONDENT
    port = FLOW_PORT if kind.traffic == "flow" else OTHER_PORT
    before = _datagrams(lab, receiver)
    end = iperf3(lab, kind.direction, str(address), str(CORRESPONDENT_ADDRESS), *options, port=port, node=node)
    taken = end["cpu_utilization_percent"]
    processor_s = end["sum_received"]["seconds"] * (taken["host_total"] + taken["remote_total"]) / 100
    if kind.protocol == "udp":
        packets = _datagrams(lab, receiver) - before
        return packets / 1e3 / processor_s, packets * _OCTETS
    octets: int = end["sum_received"]["bytes"]
    return octets * 8 / 1e6 / processor_s, octets


def _datagrams(lab: Lab, node: str) -> int:
    """How many have arrived over UDP, those included for which the program was too slow: they have been forwarded."""
    counters = dict(line.split() for line in lab.run(node, "cat", "/proc/net/snmp6").splitlines())
    return int(counters["Udp6InDatagrams"]) + int(counters["Udp6InErrors"])


def measure(series: Sequence[Sequence[Case]], runs: int, seconds: int) -> tuple[list[Result], list[HomeAgent]]:
    """`series`: cases, each to be compared with the first of its own; all of hosts, or none."""
    require(["iperf3", "nft"])
    cases = [case for one in series for case in one]
    rates: dict[tuple[Case, Kind], list[float]] = {what: [] for what in product(cases, KINDS)}
    home_agents: dict[Case, list[HomeAgent]] = {case: [] for case in cases}
    agent_toml = f"[registration]\nlifetime_s = {_LIFETIME_S}\n"
    home_agent_toml = f"[home_agent]\nmax_lifetime_s = {_LIFETIME_S}\n"
    prefix, router = f"m6-b{os.getpid()}-", cases[0].hosts
    with Lab(prefix=prefix, router=router, agent_toml=agent_toml, home_agent_toml=home_agent_toml) as lab:
        crowd = Crowd(lab)
        for run in range(runs):
            # Forth and back: none comes always first
            for case in cases[:: -1 if run % 2 else 1]:
                home_agents[case].append(crowd.become(case))
                for kind in KINDS:
                    rates[case, kind].append(crowd.measure(case, kind, seconds))
    results = [
        _result(case, kind, rates[case, kind], rates[one[0], kind])
        for one in series
        for kind, case in product(KINDS, one)
    ]
    return results, [_medians(several) for several in home_agents.values()]


def _result(case: Case, kind: Kind, rates: Sequence[float], first: Sequence[float]) -> Result:
    value = round(median(rates), 1)
    ratio = round(median(rate / to for rate, to in zip(rates, first, strict=True)), 3)
    return Result(**asdict(case), **asdict(kind), value=value, ratio=ratio, limit=LIMIT, ok=ratio >= LIMIT)


def _medians(several: Sequence[HomeAgent]) -> HomeAgent:
    ready_s = round(median(one.ready_s for one in several), 2)
    return replace(several[0], ready_s=ready_s, resident_mib=round(median(one.resident_mib for one in several), 1))


def as_text(results: list[Result], home_agents: list[HomeAgent]) -> str:
    lines = [f"{'nodes':>5} {'flows':>5} {'':5} {'':3} {'':4} {'traffic':8} {'in a CPU second':>15}"]
    for r in results:
        value = f"{r.value:g} {'Mbit' if r.protocol == 'tcp' else 'k'}"
        verdict = f"ratio {r.ratio:.2f} (limit {r.limit}) {'ok' if r.ok else 'MISSED'}"
        lines.append(
            f"{r.nodes:5} {r.flows:5} {_what(r)} {r.protocol:3} {r.direction:4} {r.traffic:8} {value:>15}  {verdict}"
        )
    lines.append("home agent, until the kernel has everything, and its memory:")
    lines += [f"{h.nodes:5} {h.flows:5} {_what(h)} {h.ready_s:8.2f} s {h.resident_mib:8.1f} MiB" for h in home_agents]
    return "\n".join(lines)


def _what(measured: Result | HomeAgent) -> str:
    return "hosts" if measured.hosts else "     "


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench flows", description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="of each (default: 9)")
    parser.add_argument("--seconds", type=int, default=1, help="that a run takes (default: 1)")
    parser.add_argument("--flows", type=int, nargs="+", default=FLOWS, help="of one mobile node (default: 1 100 1000)")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES, help="mobile nodes (default: 1 1000)")
    parser.add_argument("--hosts", type=int, nargs="*", default=NODES, help="behind a router (default: 1 1000)")
    parser.add_argument("--json", action="store_true", help="print results for programs")
    options = parser.parse_args(argv)
    series = [Case(1, flows) for flows in options.flows], [Case(nodes, _FLOWS_OF_NODE) for nodes in options.nodes]
    results, home_agents = measure(series, options.runs, options.seconds)
    if options.hosts:
        behind = [Case(1, hosts, hosts=True) for hosts in options.hosts]
        more = measure([behind], options.runs, options.seconds)
        results, home_agents = results + more[0], home_agents + more[1]
    if options.json:
        found = {"results": [asdict(r) for r in results], "home_agents": [asdict(h) for h in home_agents]}
        print(json.dumps({"schema": 1, "runs": options.runs, **found}, indent=2))
    else:
        print(as_text(results, home_agents))
    return 0 if all(result.ok for result in results) else 1
