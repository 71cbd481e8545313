"""The commands of `monami6 lab`, and that they leave nothing behind."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mn_lab import network, place
from mn_lab.commands import LabError
from mn_lab.lab import Lab, take_down
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, plan
from tests.kernel.unprivileged import nobody_may_make_namespaces, run_as_nobody

PROGRAM = [sys.executable, "-m", "monami6", "lab"]
LINKS = ("ethernet", "wifi", "lte")


def monami6_lab(prefix: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, "--prefix", prefix, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def description(prefix: str) -> Iterator[dict[str, Any]]:
    """Of a lab that the command line has started."""
    started_at = time.monotonic()
    done = monami6_lab(prefix, "up", "--json")
    took_s = time.monotonic() - started_at
    assert done.returncode == 0, done.stderr
    assert took_s < 10
    yield json.loads(done.stdout)
    take_down(prefix)


@pytest.fixture
def lab(description: dict[str, Any], prefix: str) -> Lab:
    return Lab.running(prefix)


def ip(lab: Lab, node: str, *arguments: str) -> Any:
    return json.loads(lab.run(node, "ip", "-json", *arguments))


def addresses_of(lab: Lab, node: str, interface: str) -> list[dict[str, Any]]:
    """Its global addresses; some versions of ip list empty objects for the others."""
    (device,) = ip(lab, node, "-6", "address", "show", "dev", interface, "scope", "global")
    return [one for one in device["addr_info"] if one]


def answers(lab: Lab, *arguments: str) -> bool:
    command = lab.command("mn", "ping", "-q", "-c", "1", "-W", "1", *arguments)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_up_says_what_there_is(lab: Lab, description: dict[str, Any], prefix: str) -> None:
    assert description["schema"] == 1
    assert description["namespaces"] == {node: prefix + node for node in ("mn", "net", *LINKS, "ha", "cn")}
    there = json.loads(subprocess.run(["ip", "-json", "netns"], capture_output=True, check=True).stdout)
    assert set(description["namespaces"].values()) <= {one["name"] for one in there}

    addresses = description["addresses"]
    assert addresses["home"] == str(HOME_ADDRESS)
    for name, interface in description["interfaces"].items():
        own = addresses_of(lab, "mn", interface["mobile_node"])
        assert [one["local"] for one in own] == [addresses["care_of"][name]]
        routers = addresses_of(lab, name, interface["router"])
        assert [one["local"] for one in routers] == [addresses["routers"][name]]

    assert all(Path(path).is_file() for path in description["configuration"].values())
    assert description["sockets"] == {"agent": str(lab.agent.path), "home_agent": str(lab.home_agent.path)}


def test_all_links_are_registered_at_the_home_agent(lab: Lab, description: dict[str, Any]) -> None:
    (node,) = lab.home_agent.status()["nodes"]
    registered = [binding["care_of_address"] for binding in node["bindings"]]
    assert sorted(registered) == sorted(description["addresses"]["care_of"].values())
    assert answers(lab, "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))


def test_care_of_addresses_come_from_router_advertisements(lab: Lab) -> None:
    for link in lab.layout.links:
        assert [one.get("dynamic") for one in addresses_of(lab, "mn", link.interface)] == [True]
        routes = ip(lab, "mn", "-6", "route", "show", "default", "dev", link.interface)
        assert [route["protocol"] for route in routes] == ["ra"]


def test_exec_runs_a_command_on_a_node(lab: Lab, prefix: str) -> None:
    done = monami6_lab(prefix, "exec", "mn", "--", "ip", "-json", "link", "show", "eth0")
    assert [device["ifname"] for device in json.loads(done.stdout)] == ["eth0"]
    assert monami6_lab(prefix, "exec", "cn", "--", "sh", "-c", "exit 7").returncode == 7
    assert monami6_lab(prefix, "exec", f"{prefix}cn", "true").returncode == 0
    unknown = monami6_lab(prefix, "exec", "nowhere", "--", "true")
    assert unknown.returncode == 10
    assert "there are: mn, net, ethernet, wifi, lte, ha, cn" in unknown.stderr


def test_a_link_that_is_down_has_no_carrier_and_comes_back_as_it_was(lab: Lab, prefix: str) -> None:
    before = lab.agent.status()["links"]
    assert monami6_lab(prefix, "link", "wifi", "down").returncode == 0
    (device,) = ip(lab, "mn", "link", "show", "wlan0")
    assert "NO-CARRIER" in device["flags"]
    lab.wait(lambda status: status["links"][1]["problem"] == "no carrier", "the agent sees it")

    assert monami6_lab(prefix, "link", "wifi", "up").returncode == 0
    after = lab.wait_registered()["links"]
    assert [link["care_of_address"] for link in after] == [link["care_of_address"] for link in before]
    assert answers(lab, "-I", after[1]["care_of_address"], str(HOME_AGENT_ADDRESS))


def test_packets_vanish_in_a_black_hole_beyond_the_access_router(lab: Lab, prefix: str) -> None:
    lte = lab.layout.link("lte")
    care_of = lab.agent.status()["links"][2]["care_of_address"]
    assert monami6_lab(prefix, "link", "lte", "blackhole").returncode == 0
    try:
        (device,) = ip(lab, "mn", "link", "show", "wwan0")
        assert "LOWER_UP" in device["flags"]
        assert answers(lab, "-I", care_of, str(lte.router))
        assert not answers(lab, "-I", care_of, str(HOME_AGENT_ADDRESS))
    finally:
        assert monami6_lab(prefix, "link", "lte", "heal").returncode == 0
    assert answers(lab, "-I", care_of, str(HOME_AGENT_ADDRESS))


def test_there_is_no_such_link(lab: Lab, prefix: str) -> None:
    done = monami6_lab(prefix, "link", "satellite", "down")
    assert done.returncode == 10
    assert "there are: ethernet, wifi, lte" in done.stderr


def test_a_second_lab_of_the_same_name_is_refused(lab: Lab, prefix: str) -> None:
    done = monami6_lab(prefix, "up")
    assert done.returncode == 1
    assert f"monami6 lab --prefix {prefix} down" in done.stderr
    assert lab.agent.status()["registration"]["state"] == "registered"


def test_down_leaves_nothing_behind(prefix: str) -> None:
    prefix = f"{prefix[:-1]}b-"
    with Lab(["wifi"], prefix=prefix) as lab:
        inside = subprocess.Popen(lab.command("cn", "sleep", "100"))
        pids = [process.pid for process in lab.processes.values()]
        assert monami6_lab(prefix, "down").stdout == "The lab is down.\n"
    assert inside.wait(5) == -signal.SIGKILL
    assert not any(Path("/proc", str(pid), "exe").exists() for pid in pids)
    assert nothing_left(prefix, ["wifi"])
    assert monami6_lab(prefix, "down").stdout == "No lab was up.\n"


def nothing_left(prefix: str, links: list[str]) -> bool:
    return not network.existing(plan(links, prefix).namespaces.values()) and not place.directory(prefix).exists()


def test_down_cleans_up_after_a_crash(prefix: str) -> None:
    prefix = f"{prefix[:-1]}c-"
    with subprocess.Popen([*PROGRAM, "--prefix", prefix, "up", "--links", "wifi,lte2"], stdout=subprocess.PIPE) as up:
        try:
            agent = place.directory(prefix) / "agent.log"
            wait_for(agent.exists)
            up.kill()
            up.wait()
            assert network.existing([f"{prefix}lte2"])
        finally:
            assert monami6_lab(prefix, "down").returncode == 0
    assert nothing_left(prefix, ["wifi", "lte2"])


def test_down_cleans_up_even_without_its_notes(prefix: str) -> None:
    prefix = f"{prefix[:-1]}d-"
    with Lab(prefix=prefix):
        (place.directory(prefix) / "lab.json").write_text("{")
        assert monami6_lab(prefix, "down").returncode == 0
        assert nothing_left(prefix, list(LINKS))


def wait_for(condition: Callable[[], bool]) -> None:
    end_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_at
        time.sleep(0.01)


def test_up_that_fails_takes_everything_away(prefix: str) -> None:
    prefix = f"{prefix[:-1]}e-"
    with pytest.raises(LabError, match="lifetime"):
        Lab(prefix=prefix, agent_toml="[registration]\nlifetime_s = 1").up()
    assert nothing_left(prefix, list(LINKS))


def test_namespaces_that_others_made_stay(prefix: str) -> None:
    prefix = f"{prefix[:-1]}f-"
    namespace = f"{prefix}ha"
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    try:
        with pytest.raises(LabError, match="left from a crash"):
            Lab(prefix=prefix).up()
        assert network.existing([namespace])
    finally:
        take_down(prefix)


def test_the_agent_can_be_killed_and_started_by_any_process(lab: Lab, prefix: str) -> None:
    before = lab.agent.status()["pid"]
    lab.kill_agent()
    with pytest.raises(OSError, match=r".*"):
        lab.agent.status()
    other = Lab.running(prefix)
    with pytest.raises(LabError, match="does not run"):
        other.kill_agent()
    other.start_agent()
    assert other.wait_registered()["pid"] != before
    Lab.running(prefix).kill_agent(signal.SIGTERM)
    (node,) = lab.home_agent.status()["nodes"]
    assert node["bindings"] == []
    other.start_agent()
    other.wait_registered()


@pytest.mark.skipif(os.geteuid() == 0 and not nobody_may_make_namespaces(), reason="users may make no namespaces here")
def test_a_user_without_privileges_can_have_a_lab(prefix: str) -> None:
    prefix = f"{prefix[:-1]}u-"
    script = f"""
        set -e
        m() {{ {shlex.join([sys.executable, "-m", "monami6"])} "$@"; }}
        lab() {{ m lab --prefix {prefix} "$@"; }}
        trap 'lab down; ls -A "$XDG_RUNTIME_DIR"' EXIT
        id -un
        lab up --links wifi,lte --json
        lab exec mn -- ping -q -c 1 {CORRESPONDENT_ADDRESS}
        lab link wifi down
        lab exec mn -- ip -br link show wlan0
        lab up 2>&1 || true
    """
    done = run_as_nobody(script)
    assert done.returncode == 0, done.stderr
    user, _, rest = done.stdout.partition("\n")
    assert user == "nobody"
    description, end = json.JSONDecoder().raw_decode(rest)
    assert description["privileges"] == "user namespace"
    assert " 0% packet loss" in rest[end:]
    assert "NO-CARRIER" in rest[end:]
    assert "a lab is up already: end it by" in rest[end:]
    assert done.stdout.endswith("The lab is down.\n"), "and nothing is left"
    left = subprocess.run(["pgrep", "-f", description["directory"]], capture_output=True, check=False)
    assert left.stdout == b""
