"""The daemons as services: what systemd hears, a restart, another configuration, and the privileges they need."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mn_lab import processes
from mn_lab.control import Control
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS
from tests.kernel.test_bad_luck import assert_nothing_lost
from tests.kernel.test_data_plane import arrives

CN = str(CORRESPONDENT_ADDRESS)
START_S = 10.0

Service = tuple[str, Callable[[Lab], None], Callable[[Lab], None], Callable[[Lab], Control]]
AGENT: Service = ("agent", Lab.start_agent, Lab.kill_agent, lambda lab: lab.agent)
HOME_AGENT: Service = ("home-agent", Lab.start_home_agent, Lab.kill_home_agent, lambda lab: lab.home_agent)
BOTH = pytest.mark.parametrize("service", [AGENT, HOME_AGENT], ids=lambda service: service[0])


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(START_S)
        yield manager


def heard(manager: socket.socket, *, but: str = "WATCHDOG=1") -> str:
    while (told := manager.recv(1000).decode()) == but:
        pass
    return told


def start_under(
    manager: socket.socket, lab: Lab, monkeypatch: pytest.MonkeyPatch, service: Service, *, watchdog_usec: int
) -> None:
    """As systemd does it, and until it is ready."""
    _, start, kill, _ = service
    kill(lab)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", str(watchdog_usec))
    start(lab)
    assert heard(manager) == "READY=1"


def end(lab: Lab, service: Service, number: signal.Signals) -> None:
    lab._kill(service[0], number)


def start_again(lab: Lab, service: Service) -> None:
    _, start, _, control = service
    start(lab)
    control(lab).wait_until(lambda _: True, "it answers", timeout_s=START_S, check=lambda: None)
    lab.wait_registered()


@BOTH
def test_systemd_hears_when_it_is_ready_alive_reloading_and_stopping(
    lab: Lab, manager: socket.socket, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    name, _, _, control = service
    start_under(manager, lab, monkeypatch, service, watchdog_usec=200000)
    assert control(lab).status()["pid"] == lab.processes[name].pid, "ready means that it answers"
    for _ in range(3):
        assert heard(manager, but="") == "WATCHDOG=1"
    os.kill(lab.processes[name].pid, signal.SIGHUP)
    assert [heard(manager), heard(manager)] == ["RELOADING=1", "READY=1"]
    end(lab, service, signal.SIGUSR1)
    assert heard(manager) == "STOPPING=1"
    monkeypatch.undo()
    start_again(lab, service)


@BOTH
def test_a_daemon_that_hangs_is_silent(
    lab: Lab, manager: socket.socket, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    name, _, kill, _ = service
    start_under(manager, lab, monkeypatch, service, watchdog_usec=100000)
    process = lab.processes[name]
    os.kill(process.pid, signal.SIGSTOP)
    manager.settimeout(0.5)
    with pytest.raises(TimeoutError):
        heard(manager)
    os.kill(process.pid, signal.SIGCONT)
    kill(lab)
    monkeypatch.undo()
    start_again(lab, service)


@BOTH
def test_a_restart_loses_no_packet(lab: Lab, service: Service) -> None:
    before = lab.home_agent.status()["nodes"][0]["bindings"]
    with lab.traffic() as traffic:
        end(lab, service, signal.SIGUSR1)
        assert arrives(lab, "mn", CN), "while it is not there, too"
        start_again(lab, service)
        assert arrives(lab, "mn", CN)
        assert_nothing_lost(lab, traffic)
    after = lab.home_agent.status()["nodes"][0]["bindings"]
    assert [one["since"] for one in after] == pytest.approx([one["since"] for one in before], abs=0.1)


def test_a_stop_leaves_nothing(lab: Lab) -> None:
    lab.kill_agent(signal.SIGTERM)
    (node,) = lab.home_agent.status()["nodes"]
    assert node["bindings"] == []
    assert str(HOME_ADDRESS) not in lab.run("mn", "ip", "-6", "address")
    lab.start_agent()
    lab.wait_registered()


def reload(lab: Lab, service: Service, change: Callable[[str], str]) -> list[str]:
    """Change the file and have it read; gives what the log says of it."""
    name, _, _, control = service
    file, log = lab.configuration[name], lab.directory / f"{name}.log"
    already = len(log.read_text())
    file.write_text(change(file.read_text()))
    os.kill(lab.processes[name].pid, signal.SIGHUP)

    def said() -> list[str]:
        return [line for line in log.read_text()[already:].splitlines() if "configuration" in line]

    control(lab).wait_until(lambda _: bool(said()), "the configuration is read", timeout_s=START_S, check=lambda: None)
    control(lab).status()  # what came with it has been said, too
    return said()


@contextmanager
def unchanged(lab: Lab, service: Service) -> Iterator[str]:
    """Puts the file back in the end."""
    before = lab.configuration[service[0]].read_text()
    try:
        yield before
    finally:
        reload(lab, service, lambda _: before)
        lab.wait_registered()


def test_another_configuration_of_the_agent_is_taken(lab: Lab) -> None:
    with unchanged(lab, AGENT):
        said = reload(
            lab,
            AGENT,
            lambda text: f'policy = "prefer-unmetered"\n{text}\n[links]\nexclude = ["wlan*"]\n[probing]\nevery_s = 5',
        )
        assert said == [
            'configuration: policy: "prefer-wired" -> "prefer-unmetered"',
            "configuration: probing.every_s: 10.0 -> 5.0",
            said[2],
        ]
        assert said[2].startswith("configuration: links.exclude: [")
        status = lab.agent.status()
        assert status["policy"] == "prefer-unmetered"
        assert "wifi" not in [link["name"] for link in status["links"]]
        assert arrives(lab, "mn", CN)


def test_another_configuration_of_the_home_agent_is_taken(lab: Lab) -> None:
    key = "ab" * 16
    node = f"""
[[node]]
name = "second"
identity = "second@lab.example.org"
home_address = "{HOME_ADDRESS + 1}"
spi = 4000
key = "{key}"
"""
    with unchanged(lab, HOME_AGENT):
        said = reload(lab, HOME_AGENT, lambda text: text + node)
        assert said == ["configuration: node.second: added"]
        assert key not in (lab.directory / "home-agent.log").read_text()
        assert [node["name"] for node in lab.home_agent.status()["nodes"]] == ["mn", "second"]
        with lab.traffic() as traffic:
            assert reload(
                lab, HOME_AGENT, lambda text: text.replace('[[node]]\nname = "second"', '[[node]]\nname = "2"')
            )
            assert arrives(lab, "mn", CN)
            assert_nothing_lost(lab, traffic)


@pytest.mark.parametrize(
    ("service", "change", "expected"),
    [
        (AGENT, lambda text: text.replace("[home]", "[home]\nadress = 3"), r"agent.toml:\d+: home.adress = 3: unknown"),
        (AGENT, lambda text: "policy = 'none'\n" + text, "no policy is called none"),
        (AGENT, lambda text: re.sub(r'agent = "\S+"', 'agent = "2001:db8::7"', text, count=1), "only a restart"),
        (HOME_AGENT, lambda text: text.replace("spi =", "spin ="), "unknown key; did you mean spi"),
        (HOME_AGENT, lambda text: re.sub(r"socket = .*", 'socket = "/run/x"', text), "only a restart .* paths.socket"),
    ],
)
def test_a_bad_configuration_changes_nothing_and_is_reported(
    lab: Lab, service: Service, change: Callable[[str], str], expected: str
) -> None:
    with unchanged(lab, service):
        # What is wrong does not keep what is right from being left alone, too
        said = reload(lab, service, lambda text: change(text) + "\n[probing]\nevery_s = 3\n" * (service is AGENT))
        assert len(said) == 1
        assert re.match(rf"configuration-refused: nothing has changed: .*{expected}", said[0])
        assert service[3](lab).status()["pid"] == lab.processes[service[0]].pid
        assert arrives(lab, "mn", CN)


CAPABILITIES = 1 << 12 | 1 << 13  # CAP_NET_ADMIN, CAP_NET_RAW
AS_SERVICE = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"),
    *(f"--{kind}=-all,+net_admin,+net_raw" for kind in ("bounding-set", "inh-caps", "ambient-caps")),
)


def start_as_service(lab: Lab, node: str, name: str, module: str) -> None:
    command = [*AS_SERVICE, sys.executable, "-m", module, "--config", str(lab.configuration[name])]
    lab.processes[name] = processes.start(lab.command(node, *command), lab.directory / f"{name}.log")


def test_two_capabilities_are_enough(prefix: str) -> None:
    policy = '[[flow]]\nname = "dns"\nvia = ["wifi"]\nport = 53\ncopies = 1\n'
    with Lab(prefix=f"{prefix[:-1]}c-") as lab:
        for file in (lab.directory, *lab.configuration.values(), *lab.directory.glob("*.json")):
            os.chown(file, 65534, 65534)
        lab.directory.joinpath("dns.toml").write_text(f'description = "x"\n{policy}')
        for name, node, module in (("home-agent", "ha", "home_agent"), ("agent", "mn", "mn_agent")):
            lab._kill(name, signal.SIGTERM)
            start_as_service(lab, node, name, module)
        lab.wait_registered()
        for control in (lab.agent, lab.home_agent):
            status = control.status()
            held = re.findall(r"^Cap(?:Prm|Eff|Bnd|Amb):\s+(\w+)", proc(status["pid"]), re.MULTILINE)
            assert [int(one, 16) for one in held] == [CAPABILITIES] * 4
            assert status["troubles"] == {}
        assert arrives(lab, "mn", CN)
        assert arrives(lab, "cn", str(HOME_ADDRESS))
        lab.monami6("policy", "use", str(lab.directory / "dns.toml"))
        assert json.loads(lab.monami6("flows", "--json"))["flows"][0]["links"] == ["wifi"]
        lab.switch("lte")
        lab.wait_carried_by("lte")
        assert arrives(lab, "mn", CN)
        end(lab, AGENT, signal.SIGTERM)
        assert "monami6" not in lab.run("mn", "nft", "list", "ruleset")
        assert lab.home_agent.status()["nodes"][0]["bindings"] == []
        assert "Traceback" not in "".join(log.read_text() for log in lab.directory.glob("*.log"))


def proc(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def test_without_one_of_them_something_is_missing(lab: Lab) -> None:
    """So neither is there for nothing."""
    for capability in ("net_admin", "net_raw"):
        probe = "from mip6.linux.mobility_socket import MobilitySocket; from mip6.linux.reconciler import Reconciler\n"
        probe += "MobilitySocket(from_mobile_nodes=False); Reconciler('monami6_probe')"
        command = ["setpriv", f"--bounding-set=-{capability}", sys.executable, "-c", probe]
        done = subprocess.run(lab.command("cn", *command), capture_output=True, text=True, check=False)
        assert "Operation not permitted" in done.stderr
