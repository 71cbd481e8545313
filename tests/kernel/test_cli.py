"""The command line on a real agent and a real home agent."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP

MONAMI6 = (sys.executable, "-m", "monami6")
START_S = 10.0


@pytest.fixture(autouse=True)
def _settled(lab: Lab) -> None:
    """`switch --auto` answers before the home agent knows; until then a new switch may have nothing to do."""
    lab.wait_registered()


def run(lab: Lab, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run `monami6` on the mobile node."""
    command = [*before, *MONAMI6, "--socket", str(lab.agent.path), *arguments]
    return subprocess.run(lab.command("mn", *command), capture_output=True, text=True, check=False)


@contextmanager
def background(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A program that is ended by Ctrl-C."""
    # Whoever starts us in the background would have us ignore it, and programs inherit that
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Ctrl-C: exit code, output, messages."""
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=START_S)
    return process.returncode, output, messages


def test_status_shows_the_links_as_they_are(lab: Lab) -> None:
    done = run(lab, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Registered with home agent {HOME_AGENT_ADDRESS}" in done.stdout
    assert str(HOME_ADDRESS) in done.stdout
    for name, interface, address in (
        ("ethernet", "eth0", "2001:db8:1:0:"),
        ("wifi", "wlan0, wifi", "2001:db8:2:0:"),
        ("lte", "wwan0, lte", "2001:db8:3:0:"),
    ):
        assert re.search(rf"^{name} +{address}\S+ +registered", done.stdout, re.MULTILINE), done.stdout
        assert interface in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_status_as_json_is_the_agents_own(lab: Lab) -> None:
    told, there = json.loads(run(lab, "status", "--json").stdout), lab.agent.status()
    for passing in ("at", "counters"):
        del told[passing], there[passing]
    assert told["schema"] == 1
    assert told["links"][0].keys() == there["links"][0].keys()
    assert told["pid"] == there["pid"]


def test_a_link_that_is_lost_says_why(lab: Lab) -> None:
    lab.change_link("lte", LinkAction.DOWN)
    try:
        lab.wait(lambda status: status["links"][2]["state"] == "unusable", "lte unusable")
        text = run(lab, "status").stdout
        assert re.search(r"^lte +\S+ +unusable", text, re.MULTILINE), text
        assert "no carrier" in text
    finally:
        lab.change_link("lte", LinkAction.UP)
        lab.wait_registered()


@pytest.mark.parametrize("name", ["wifi", "wlan0"])
def test_switch_moves_the_traffic_and_auto_gives_it_back(lab: Lab, name: str) -> None:
    done = run(lab, "switch", name)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wifi carries the traffic: it was asked for")
    assert "pinned to wifi" in run(lab, "status").stdout
    route = lab.run("mn", "ip", "-6", "route", "get", str(CORRESPONDENT_ADDRESS), "from", str(HOME_ADDRESS))
    assert "dev wlan0" in route

    done = run(lab, "switch", "--auto")
    assert done.returncode == 0
    assert done.stdout.startswith("ethernet carries the traffic")


def test_a_link_that_does_not_exist(lab: Lab) -> None:
    done = run(lab, "switch", "satellite")
    assert (done.returncode, done.stdout) == (10, "")
    assert "ethernet, wifi, lte" in done.stderr


def test_a_link_that_cannot_be_used(lab: Lab) -> None:
    lab.change_link("lte", LinkAction.DOWN)
    try:
        lab.wait(lambda status: status["links"][2]["state"] == "unusable", "lte unusable")
        done = run(lab, "switch", "lte")
        assert done.returncode == 1
        assert "no carrier" in done.stderr
    finally:
        lab.change_link("lte", LinkAction.UP)
        lab.wait_registered()


def test_a_home_agent_that_does_not_confirm(lab: Lab) -> None:
    lab.change_link("wifi", LinkAction.BLACKHOLE)
    try:
        started_at = time.monotonic()
        done = run(lab, "switch", "wifi", "--timeout", "0.5")
        assert time.monotonic() - started_at < 2
        assert done.returncode == 3
        assert "the home agent has not confirmed it: wifi is " in done.stderr
    finally:
        lab.change_link("wifi", LinkAction.HEAL)
        run(lab, "switch", "--auto")
        lab.wait_registered()


def bound(lab: Lab) -> list[int]:
    """What the home agent holds."""
    (node,) = lab.home_agent.status()["nodes"]
    return [binding["bid"] for binding in node["bindings"]]


def test_a_home_agent_that_has_forgotten_everything_is_told_anew(lab: Lab) -> None:
    before = bound(lab)
    lab.kill_home_agent()
    done = run(lab, "refresh")
    assert done.returncode == 3
    assert "the home agent has not confirmed it within 10 s" in done.stderr
    (lab.directory / "home-agent.json").unlink()
    lab.start_home_agent()
    lab.home_agent.wait_until(lambda _: True, "it answers", timeout_s=START_S, check=lambda: None)
    done = run(lab, "refresh")
    assert (done.returncode, done.stdout) == (0, "registered anew: ethernet, wifi, lte\n")
    assert bound(lab) == before


def test_only_some_may_switch_but_all_may_look(lab: Lab) -> None:
    nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    assert run(lab, "status", before=nobody).returncode == 0
    done = run(lab, "switch", "wifi", before=nobody)
    assert done.returncode == 1
    assert "only root and members of the group monami6" in done.stderr


@contextmanager
def monitors(lab: Lab, *options: tuple[str, ...]) -> Iterator[list[subprocess.Popen[str]]]:
    """`monami6 monitor` with each of these options, once all of them listen."""
    command = [*MONAMI6, "--socket", str(lab.agent.path), "monitor"]
    with ExitStack() as stack:
        running = [stack.enter_context(background([*command, *some])) for some in options]
        deadline = time.monotonic() + START_S
        while not all(is_connected(one.pid) for one in running) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield running


def is_connected(pid: int) -> bool:
    """Whether the process has a UNIX socket that is connected."""
    sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    connected = {f"socket:[{fields[6]}]" for fields in sockets if fields[5] == "03"}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if os.readlink(fd) in connected:
                return True
    return False


def test_monitor_tells_what_happens(lab: Lab) -> None:
    with monitors(lab, (), ("--json",)) as (plain, as_json):
        run(lab, "switch", "wifi")
        run(lab, "switch", "--auto")
        told = interrupt(plain)
        code, output, messages = interrupt(as_json)
    assert (told[0], told[2]) == (0, "")
    assert (code, messages) == (0, "")
    assert re.search(r"^\d\d:\d\d:\d\d carrier +wifi carries the traffic: it was asked for$", told[1], re.MULTILINE)
    events = [json.loads(line) for line in output.splitlines()]
    assert [event["link"] for event in events if event["event"] == "carrier"] == ["wifi", "ethernet"]


def test_links_are_completed_by_bash(lab: Lab) -> None:
    script = f"""
        source <(monami6 completion bash)
        COMP_WORDS=(monami6 --socket {lab.agent.path} switch w) COMP_CWORD=4
        _monami6_completion monami6
        echo "${{COMPREPLY[@]}}"
    """
    installed = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{installed}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "wifi\n"


def home_agent(lab: Lab, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `monami6-ha` at the home agent."""
    whole = [sys.executable, "-m", "home_agent", command, "--socket", str(lab.home_agent.path), *arguments]
    return subprocess.run(lab.command("ha", *whole), capture_output=True, text=True, check=False)


def test_a_mobile_node_without_ipsec_cannot_be_sent_away(lab: Lab) -> None:
    (name,) = [node["name"] for node in lab.home_agent.status()["nodes"]]
    done = home_agent(lab, "switch-away", name, "--to", "2001:db8:aa::7")
    assert done.returncode == 1
    assert "it needs IPsec" in done.stderr
    assert home_agent(lab, "switch-away", "somebody").returncode == 10


@pytest.mark.req("BRI-04", "BRI-05", "MCOA-72")
def test_the_operator_ends_bindings(lab: Lab) -> None:
    def revoke(*arguments: str) -> subprocess.CompletedProcess[str]:
        return home_agent(lab, "revoke", *arguments)

    def since() -> dict[int, float]:
        (node,) = lab.home_agent.status()["nodes"]
        return {binding["bid"]: binding["since"] for binding in node["bindings"]}

    before = since()
    (name,) = [node["name"] for node in lab.home_agent.status()["nodes"]]
    last = max(before)
    with lab.traffic(200) as traffic:
        done = revoke(name, "--bid", str(last), "--renew")
        lab.wait_registered()
        end_ns = time.time_ns()
        traffic.catch_up(end_ns)
        lost = [traffic.record(direction).figures(0, end_ns).lost for direction in (UP, DOWN)]
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{name}: binding {last} ended, the mobile node says: success (0)\n"
    after = since()
    assert after.keys() == before.keys()
    assert {bid for bid in after if after[bid] > before[bid] + 0.01} == {last}
    assert lost == [0, 0]
    unknown = revoke("somebody")
    assert (unknown.returncode, unknown.stderr) == (
        10,
        f"Error: no mobile node is called somebody; there are: {name}\n",
    )
    unbound = revoke(name, "--bid", "77")
    assert (unbound.returncode, unbound.stdout) == (10, "")
    assert "has no such binding; there are: " in unbound.stderr


def test_the_home_agent_shows_its_nodes(lab: Lab) -> None:
    done = home_agent(lab, "status")
    assert f"Home agent {HOME_AGENT_ADDRESS} on eth0" in done.stdout
    addresses = [link["care_of_address"] for link in lab.agent.status()["links"]]
    for bid, address in enumerate(addresses, 1):
        assert re.search(rf"^  BID {bid} +{address} +since", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.count("preferred") == 1


# trace


class Trace:
    """Captures on an interface of the mobile node three times: `monami6 trace`, the same as JSON, and tcpdump."""

    def __init__(self, lab: Lab, interface: str, file: Path) -> None:
        self.file = file
        monami6 = [*MONAMI6, "trace", "--interface", interface]
        self._commands = {
            "text": lab.command("mn", *monami6),
            "json": lab.command("mn", *monami6, "--json"),
            "tcpdump": lab.command(
                "mn", "tcpdump", "-i", interface, "--immediate-mode", "-Z", "root", "-w", str(file), "ip6"
            ),
        }
        self.output: dict[str, str] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        with (
            background(self._commands["text"]) as text,
            background(self._commands["json"]) as as_json,
            background(self._commands["tcpdump"]) as tcpdump,
        ):
            for process in (text, as_json, tcpdump):
                assert process.stderr is not None
                assert "listening on" in process.stderr.readline()
            yield
            time.sleep(0.3)  # what was sent is in the sockets' buffers
            for name, process in (("text", text), ("json", as_json), ("tcpdump", tcpdump)):
                code, self.output[name], messages = interrupt(process)
                assert code == 0, messages


def by_tshark(file: Path) -> list[dict[str, Any]]:
    """The mobility messages that tshark sees in a capture, in the words of `monami6 trace`."""
    command = ["tshark", "-n", "-r", str(file), "-Y", "mipv6", "-T", "json"]
    done = subprocess.run(command, capture_output=True, check=True)
    return [in_our_words(dict_of_lists(packet)) for packet in json.loads(done.stdout, object_pairs_hook=list)]


def dict_of_lists(tree: list[Any]) -> dict[str, list[str]]:
    """All values of each field."""
    found: dict[str, list[str]] = {}
    for name, value in tree:
        if isinstance(value, list):
            for inner, values in dict_of_lists(value).items():
                found.setdefault(inner, []).extend(values)
        else:
            found.setdefault(name, []).append(value)
    return found


def in_our_words(fields: dict[str, list[str]]) -> dict[str, Any]:
    is_update = fields["mip6.mhtype"] == ["5"]
    kind = "bu" if is_update else "ba"
    flags = {"mip6.bu.a_flag": "acknowledge", "mip6.bu.h_flag": "home registration"}
    place = ("home_address_option", "ipv6.opt.mipv6.home_address")
    if not is_update:
        place = ("type_2_routing_header", "ipv6.routing.mipv6.home_address")
    return {
        "source": fields["ipv6.src"][0],
        # With a routing header it calls the final destination that
        "destination": fields["ipv6.dst"][0],
        place[0]: fields[place[1]][0],
        "message": "Binding Update" if is_update else "Binding Acknowledgement",
        "sequence": int(fields[f"mip6.{kind}.seqnr"][0]),
        "lifetime_s": 4 * int(fields[f"mip6.{kind}.lifetime"][0]),
        **({} if is_update else {"status": int(fields["mip6.ba.status"][0])}),
        "flags": [text for name, text in flags.items() if fields.get(name) == ["1"]],
        "bids": [int(bid) for bid in fields["mip6.bi.bid"]],
        "care_of": fields.get("mip6.bi.coa_ipv6", []),
        "identifier": fields.get("mip6.mnid.identifier", []),
        "spi": [int(spi) for spi in fields["mip6.auth.mobility_spi"]],
    }


def condensed(shown: dict[str, Any]) -> dict[str, Any]:
    """What `monami6 trace` says, as far as `in_our_words` goes."""

    def of_options(name: str) -> list[Any]:
        return [option[name] for option in shown["options"] if option.get(name) is not None]

    names = ("source", "destination", "home_address_option", "type_2_routing_header", "message", "sequence")
    kept = {name: shown[name] for name in (*names, "lifetime_s", "status", "flags") if name in shown}
    lists = {"bids": "bid", "care_of": "care_of", "identifier": "identifier", "spi": "spi"}
    return kept | {name: of_options(field) for name, field in lists.items()}


def test_trace_shows_what_tshark_shows(lab: Lab, tmp_path: Path) -> None:
    trace = Trace(lab, "wlan0", tmp_path / "wlan0.pcap")
    with trace.running():
        run(lab, "switch", "wifi")
        lab.run("mn", "ping", "-q", "-c", "3", "-i", "0.05", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
    run(lab, "switch", "--auto")

    shown = [json.loads(line) for line in trace.output["json"].splitlines()]
    assert [condensed(one) for one in shown] == by_tshark(trace.file)
    update, answer = shown
    assert update["message"] == "Binding Update"
    assert answer["sequence"] == update["sequence"]
    assert {one["interface"] for one in shown} == {"wlan0"}
    assert all(abs(one["at"] - time.time()) < START_S for one in shown)
    # The pings went by the same interface, in the tunnel
    tunnelled = ["tshark", "-n", "-r", str(trace.file), "-Y", "ipv6.nxt == 41"]
    assert len(subprocess.run(tunnelled, capture_output=True, text=True, check=True).stdout.splitlines()) >= 6

    lines = trace.output["text"].splitlines()
    headlines = [line for line in lines if not line.startswith(" ")]
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d\.\d{{6}} Binding Update: sequence {update['sequence']}, "
        r"acknowledge, home registration, lifetime 600 s",
        headlines[0],
    )
    assert f"  home address {HOME_ADDRESS} (home address option)" in lines

    again = run(lab, "trace", "--read", str(trace.file), "--json")
    read = [json.loads(line) for line in again.stdout.splitlines()]
    changing = ("at", "interface")
    assert [{name: one[name] for name in one if name not in changing} for one in read] == [
        {name: one[name] for name in one if name not in changing} for one in shown
    ]


def test_trace_without_the_privilege(lab: Lab) -> None:
    done = run(lab, "trace", before=("setpriv", "--reuid", "65534", "--clear-groups"))
    assert done.returncode == 1
    assert "CAP_NET_RAW" in done.stderr


# Last, because the lab is without its agent for a while


def test_an_agent_that_was_killed_is_not_running(lab: Lab) -> None:
    with monitors(lab, ()) as (monitor,):
        lab.kill_agent()
        try:
            _, messages = monitor.communicate(timeout=START_S)
            assert (monitor.returncode, messages) == (8, "Error: monami6d has gone away\n")
            assert os.path.exists(lab.agent.path)
            done = run(lab, "status", "--json")
            assert (done.returncode, done.stdout) == (8, "")
            assert "systemctl start monami6d" in done.stderr
        finally:
            lab.start_agent()
            lab.wait_registered()
