"""The doctor on a real machine, and whether what it says is so."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")

Results = dict[str, dict[str, Any]]


def monami6(
    lab: Lab, *arguments: str, node: str = "mn", before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "monami6", "--socket", str(lab.agent.path), *arguments]
    return subprocess.run(lab.command(node, *command), capture_output=True, text=True, check=False)


def examine(lab: Lab, *, node: str = "mn", before: Sequence[str] = ()) -> Results:
    """What the doctor found, by check."""
    options = ("--config", str(lab.configuration["agent"]), "--json")
    done = monami6(lab, "doctor", *options, node=node, before=before)
    found = {one["check"]: one for one in json.loads(done.stdout)["checks"]}
    assert (done.returncode, done.stderr) == (int("problem" in results(found).values()), "")
    return found


def results(found: Results) -> dict[str, str]:
    return {name: one["result"] for name, one in found.items()}


def nft(lab: Lab, commands: str) -> None:
    command = lab.command("mn", "nft", "-f", "-")
    subprocess.run(command, input=commands, text=True, check=True, capture_output=True)


@contextmanager
def firewall(lab: Lab, *chains: str) -> Iterator[None]:
    """A table of somebody else's."""
    nft(lab, "\n".join(("table inet firewall {", *chains, "}\n")))
    try:
        yield
    finally:
        nft(lab, "delete table inet firewall\n")


def test_a_healthy_lab_has_no_problem(lab: Lab) -> None:
    found = examine(lab)
    # Whether a time service runs is not for a lab to say; the clock's offset is the agent's to tell
    told = [found.pop(name)["result"] for name in ("clock", "time service")]
    assert set(told) <= {"ok", "unknown", "warning"}
    assert set(results(found).values()) == {"ok"}, found
    assert "eth0, wlan0, wwan0" in found["interfaces"]["found"]
    assert f"home agent {HOME_AGENT_ADDRESS} has a route by ethernet, wifi, lte" in found["routes"]["found"]
    assert not any(one["remedy"] for one in found.values())


def test_the_text_fits_80_columns(lab: Lab) -> None:
    done = monami6(lab, "doctor", "--config", str(lab.configuration["agent"]))
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert re.search(r"^tunnel out +ok ", done.stdout, re.MULTILINE)


def test_it_leaves_the_machine_as_it_was(lab: Lab) -> None:
    def look() -> list[str]:
        routes = ("ip", "-6", "route", "show", "table", "all", "proto", "146")
        commands = (("ip", "-6", "rule"), ("ip", "-6", "address", "show", "lo"), routes, ("nft", "list", "tables"))
        return [lab.run("mn", *command) for command in commands]

    before = look()
    examine(lab)
    assert look() == before


def test_without_privileges_what_cannot_be_seen_is_unknown(lab: Lab) -> None:
    found = examine(lab, before=NOBODY)
    for name in ("tunnel out", "tunnel in", "policy routing", "packet filter", "inbound", "configuration", "secrets"):
        assert found[name]["result"] == "unknown", found[name]
        assert found[name]["remedy"]
    for name in ("kernel version", "libnftables", "agent", "registration", "privileges", "interfaces", "routes", "MTU"):
        assert found[name]["result"] == "ok", found[name]


def test_a_secret_that_everybody_can_read(lab: Lab) -> None:
    path = lab.configuration["agent"]
    path.chmod(0o644)
    try:
        found = examine(lab)
        assert found["secrets"]["result"] == "problem"
        subprocess.run(found["secrets"]["remedy"].partition(";")[0], shell=True, check=True)
        assert examine(lab)["secrets"]["result"] == "ok"
    finally:
        path.chmod(0o600)


def test_a_link_too_small_for_the_tunnel(lab: Lab) -> None:
    lab.run("mn", "ip", "link", "set", "wlan0", "mtu", "1300")
    try:
        found = examine(lab)["MTU"]
        assert (found["result"], "wlan0 1300" in found["found"]) == ("warning", True)
        assert "ip link set wlan0 mtu 1500" in found["remedy"]
    finally:
        lab.run("mn", "ip", "link", "set", "wlan0", "mtu", "1500")
        lab.wait_registered()


def test_a_care_of_address_that_leaves_by_the_wrong_link(lab: Lab) -> None:
    router = lab.layout.link("ethernet").router
    (wifi,) = [link for link in lab.agent.status()["links"] if link["name"] == "wifi"]
    table = str(14700 + wifi["bid"])
    lab.run("mn", "ip", "-6", "route", "replace", "default", "via", str(router), "dev", "eth0", "table", table)
    try:
        found = examine(lab)["routes"]
        assert found["result"] == "problem"
        assert f"from {wifi['care_of_address']} (wifi) it leads over eth0" in found["found"]
    finally:
        # The agent notices that something was deleted, and puts its own there
        lab.run("mn", "ip", "-6", "route", "del", "default", "table", table)
    assert examine(lab)["routes"]["result"] == "ok"


INPUT = """
chain input {
  type filter hook input priority 0; policy drop;
  iif lo accept
  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, echo-reply } accept
}
"""
STATEFUL = INPUT.replace("iif lo accept", "iif lo accept\nct state established,related accept")
OUTPUT = """
chain output {
  type filter hook output priority 0; policy accept;
  icmpv6 type 1-255 accept
  meta l4proto { tcp, udp } accept
  reject with icmpx admin-prohibited
}
"""


def registers(lab: Lab, timeout_s: float = 5) -> bool:
    """Whether mobility messages get through, both ways; and if so, leaves everything as it was."""
    if monami6(lab, "switch", "wifi", "--timeout", str(timeout_s)).returncode:
        return False
    return restores(lab)


def restores(lab: Lab) -> bool:
    """Give the traffic back, and wait until the home agent knows."""
    done = monami6(lab, "switch", "--auto")
    lab.wait_registered()
    return done.returncode == 0


def follow(lab: Lab, remedy: str) -> None:
    """Run the command that it begins with."""
    command = remedy.partition("', and")[0] + "'"
    subprocess.run(lab.command("mn", "sh", "-c", command), check=True)


@pytest.mark.parametrize(("chain", "check"), [(INPUT, "inbound"), (OUTPUT, "outbound")])
def test_a_firewall_that_drops_mobility_messages(lab: Lab, chain: str, check: str) -> None:
    assert registers(lab)
    try:
        with firewall(lab, chain):
            found = examine(lab)[check]
            assert found["result"] == "warning"
            assert f"chain {check.removesuffix('bound')}put of table inet firewall" in found["found"]
            assert "mobility messages" in found["found"]
            assert not registers(lab, 1.5)
            follow(lab, found["remedy"])
            assert examine(lab)[check]["result"] == "ok"
            assert restores(lab)
            assert registers(lab)
    finally:
        restores(lab)


def test_a_stateful_firewall_lets_answers_pass(lab: Lab) -> None:
    with firewall(lab, STATEFUL):
        found = examine(lab)["inbound"]
        assert found["result"] == "warning"
        assert "only answers would pass" in found["found"]
        if "tunnelled packets" not in found["found"]:  # nor is the outside of a tunnel shown to this hook
            assert registers(lab)


def test_a_firewall_that_jumps_about_and_knows_the_home_agent(lab: Lab) -> None:
    more = f"chain more {{\n ip6 saddr {HOME_AGENT_ADDRESS} accept\n}}\n"
    dispatch = INPUT.replace("iif lo accept", "ct state vmap { invalid : drop, new : jump more, established : accept }")
    with firewall(lab, more, dispatch):
        assert examine(lab)["inbound"]["result"] == "ok"
        assert registers(lab)


@pytest.fixture
def other_link(lab: Lab) -> Iterator[None]:
    """The home agent sends by another link than the mobile node: what happens for a moment with each switch."""
    addresses = {link["name"]: link["care_of_address"] for link in lab.agent.status()["links"]}
    (route,) = routes_home(lab)
    tunnel = ("encap", "seg6", "mode", "encap.red", "segs", addresses["wifi"], "dev", route["dev"])
    place = ("table", route["table"], "metric", str(route["metric"]))
    lab.run("ha", "ip", "-6", "route", "replace", str(HOME_ADDRESS), *tunnel, *place)
    yield
    # The home agent notices that something was deleted, and puts its own there
    lab.run("ha", "ip", "-6", "route", "del", str(HOME_ADDRESS), *place)
    deadline = time.monotonic() + 5
    while not routes_home(lab) and time.monotonic() < deadline:
        time.sleep(0.02)


def routes_home(lab: Lab) -> list[dict[str, Any]]:
    """The home agent's route to the home address; none for a moment after its deletion."""
    command = ("ip", "-6", "-json", "route", "show", str(HOME_ADDRESS), "table", "all")
    found: list[dict[str, Any]] = json.loads(lab.run("ha", *command))
    return found


def answers(lab: Lab) -> bool:
    command = ("ping", "-q", "-c", "1", "-W", "1", "-I", str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS))
    return subprocess.run(lab.command("mn", *command), capture_output=True, check=False).returncode == 0


@pytest.mark.usefixtures("other_link")
@pytest.mark.parametrize(
    ("hook", "priority", "passes"), [("prerouting", -310, True), ("prerouting", 10, False), ("input", 0, False)]
)
def test_a_reverse_path_filter(lab: Lab, hook: str, priority: int, *, passes: bool) -> None:
    chain = f"""
        chain filter_{hook} {{
          type filter hook {hook} priority {priority}; policy accept;
          icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} accept
          meta nfproto ipv6 fib saddr . mark . iif oif missing drop
        }}
    """
    assert answers(lab)
    with firewall(lab, chain):
        found = examine(lab)["reverse path"]
        assert found["result"] == ("ok" if passes else "warning")
        assert answers(lab) is passes
        if not passes and hook == "prerouting":
            follow(lab, found["remedy"])
            assert answers(lab)
            assert "nft" in found["remedy"]


def test_an_agent_that_sees_something_else(lab: Lab) -> None:
    found = examine(lab, node="ha")
    assert found["interfaces"]["result"] == "warning"
    assert "restart it" in found["interfaces"]["remedy"]
    assert found["MTU"]["result"] == "unknown"


def test_no_agent_is_the_first_thing_to_mend(lab: Lab) -> None:
    lab.kill_agent()
    try:
        found = examine(lab)
        assert found["agent"]["result"] == "problem"
        assert "systemctl start monami6d" in found["agent"]["remedy"]
        for name in ("registration", "troubles", "interfaces", "routes", "MTU"):
            assert found[name]["result"] == "unknown"
        for name in ("tunnel out", "configuration", "inbound"):
            assert found[name]["result"] == "ok"
    finally:
        lab.start_agent()
        lab.wait_registered()
