"""The doctor's checks, each with a machine that is made up."""

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import netifaces
import pytest

from mip6.linux.nftables import NftablesError
from mn_agent.core.status import IkeSaStatus, LookupStatus, NetworkStatus, RouterStatus
from monami6 import (
    check_agent,
    check_configuration,
    check_firewall,
    check_machine,
    check_network,
    check_router,
    checks,
    probe,
)
from monami6.checks import CannotTellError, Finding, Patient, Result
from monami6.client import Client
from monami6.exits import NOT_RUNNING, TIMED_OUT, Failure
from tests.unit.monami6.fake import FakeDaemon, ike, link, refusal, registered, result, router, status

CONFIGURATION = """
[home]
address = "2001:db8:aaaa::100"
agent = "2001:db8:f::2"
[authentication]
identity = "laptop@example.org"
spi = 1000
key = "00112233445566778899aabbccddeeff"
[paths]
state = "{directory}/agent.json"
"""

IPSEC = """
[home]
address = "2001:db8:aaaa::100"
agent = "2001:db8:f::2"
[ikev2]
identity = "laptop@example.org"
home_agent_identity = "ha.example.org"
secret_file = "{directory}/ike.secret"
"""

NO_AGENT = Failure("monami6d is not running: nothing listens\nStart it with: systemctl start monami6d", NOT_RUNNING)


def patient(tmp_path: Path, answer: object = None, **seen: Any) -> Patient:
    """`answer`: the agent's status, or the Failure to ask for it; `seen`: what else was looked at already."""
    one = Patient(tmp_path / "agent.toml", Client(tmp_path / "agent.sock"))
    one.__dict__["answer"] = answer if isinstance(answer, Failure) else msgspec.to_builtins(answer or status())
    one.__dict__.update(seen)
    return one


def configured(tmp_path: Path, text: str = CONFIGURATION) -> Patient:
    one = patient(tmp_path, NO_AGENT)
    one.config_path.write_text(text.format(directory=tmp_path))
    one.config_path.chmod(0o600)
    return one


def why_unknown(look: Callable[[Patient], Finding], one: Patient) -> str:
    with pytest.raises(CannotTellError) as caught:
        look(one)
    assert caught.value.remedy
    return str(caught.value)


# Machine


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.1.0-28-amd64", Result.OK),
        ("6.0.0", Result.OK),
        ("10.2", Result.OK),
        ("5.19.17", Result.PROBLEM),
        ("4.4", Result.PROBLEM),
    ],
)
def test_the_kernel_must_be_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, expected: Result
) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    found = check_machine.kernel_version(patient(tmp_path))
    assert found.result is expected
    assert release in found.found


def test_a_kernel_version_that_makes_no_sense_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release="rolling"))
    assert "rolling" in why_unknown(check_machine.kernel_version, patient(tmp_path))


FEATURE_CHECKS = {
    "encapsulation": check_machine.encapsulation,
    "decapsulation": check_machine.decapsulation,
    "rules": check_machine.rules,
    "packet filter": check_machine.packet_filter,
}


def test_each_feature_that_is_tried_is_checked() -> None:
    assert FEATURE_CHECKS.keys() == probe.FEATURES.keys()


@pytest.mark.parametrize("name", FEATURE_CHECKS)
def test_a_feature_is_there_or_not_or_could_not_be_tried(tmp_path: Path, name: str) -> None:
    look = FEATURE_CHECKS[name]
    assert look(patient(tmp_path, features={name: None})).result is Result.OK
    missing = look(patient(tmp_path, features={name: "Operation not supported"}))
    assert missing.result is Result.PROBLEM
    assert "Operation not supported" in missing.found
    assert missing.remedy
    untried = patient(tmp_path, features={"": "no network namespace of its own: Operation not permitted"})
    assert "Operation not permitted" in why_unknown(look, untried)


@pytest.mark.parametrize(
    ("done", "features"),
    [
        ((0, '{"rules": null}\n', ""), {"rules": None}),
        ((1, "", "warning\nno network namespace of its own: no\n"), {"": "no network namespace of its own: no"}),
        ((-9, "", ""), {"": "it ended without a word"}),
    ],
)
def test_features_are_tried_by_a_program_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: tuple[int, str, str], features: Mapping[str, str | None]
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        commands.append(command)
        return SimpleNamespace(returncode=done[0], stdout=done[1], stderr=done[2])

    monkeypatch.setattr(subprocess, "run", run)
    assert patient(tmp_path).features == features
    assert commands == [[sys.executable, "-m", "monami6.probe"]]


def test_libnftables_is_there_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_machine.nftables_library(patient(tmp_path)).result is Result.OK
    monkeypatch.setattr(check_machine, "LIBRARY", "libnftables.so.999")
    found = check_machine.nftables_library(patient(tmp_path))
    assert found.result is Result.PROBLEM
    assert "libnftables.so.999" in found.found
    assert "libnftables1" in found.remedy


class Files:
    """Stands for `Path` in a check: some files have another content, others are missing."""

    def __init__(self, contents: Mapping[str, str | None]) -> None:
        self._contents = contents

    def __call__(self, *parts: object) -> Any:
        path = Path(*map(str, parts))
        if str(path) not in self._contents:
            return path
        content = self._contents[str(path)]
        return SimpleNamespace(
            read_text=lambda: self._read(path, content),
            read_bytes=lambda: self._read(path, content).encode(),
            exists=lambda: content is not None,
            is_dir=lambda: content is not None,
        )

    @staticmethod
    def _read(path: Path, content: str | None) -> str:
        if content is None:
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return content


DISABLE_IPV6 = "/proc/sys/net/ipv6/conf/all/disable_ipv6"


@pytest.mark.parametrize(("content", "expected"), [("0\n", Result.OK), ("1\n", Result.PROBLEM), (None, Result.PROBLEM)])
def test_ipv6_is_on_or_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, expected: Result
) -> None:
    monkeypatch.setattr(check_machine, "Path", Files({DISABLE_IPV6: content}))
    assert check_machine.ipv6(patient(tmp_path)).result is expected


@pytest.fixture
def kernel_configuration(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    def set_to(content: str | None) -> None:
        check_machine._kernel_configuration.cache_clear()
        files = {"/proc/config.gz": None, f"/boot/config-{os.uname().release}": content}
        monkeypatch.setattr(check_machine, "Path", Files(files))

    return set_to


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("CONFIG_IPV6_MIP6=y\nCONFIG_INET6_ESP=m\nCONFIG_XFRM_INTERFACE=m\n", "can protect"),
        ("# CONFIG_IPV6_MIP6 is not set\nCONFIG_INET6_ESP=m\nCONFIG_XFRM_INTERFACE=m\n", "has no IPV6_MIP6:"),
        ("CONFIG_INET6_ESP_OFFLOAD=y\n", "no IPV6_MIP6 and no INET6_ESP and no XFRM_INTERFACE"),
    ],
)
def test_without_ipsec_it_is_only_told_about(
    tmp_path: Path, kernel_configuration: Callable[[str | None], None], content: str, words: str
) -> None:
    kernel_configuration(content)
    found = check_machine.ipsec(patient(tmp_path))
    assert found.result is Result.OK
    assert words in found.found


def test_with_ipsec_the_kernel_must_have_it(tmp_path: Path, kernel_configuration: Callable[[str | None], None]) -> None:
    kernel_configuration("CONFIG_INET6_ESP=m\n")
    found = check_machine.ipsec(patient(tmp_path, status(security="ikev2")))
    assert found.result is Result.PROBLEM
    assert "has no IPV6_MIP6 and no XFRM_INTERFACE" in found.found
    assert "has no IPV6_MIP6:" in check_machine.ipsec(patient(tmp_path, status(security="manual"))).found
    (tmp_path / "ike.secret").write_text("00112233445566778899aabbccddeeff")
    without_agent = configured(tmp_path, IPSEC)
    assert check_machine.ipsec(without_agent).result is Result.PROBLEM


IKE_SA = IkeSaStatus(care_of_address="2001:db8::1", since=1.0)


@pytest.mark.parametrize(
    ("changes", "result_", "words"),
    [
        ({"security": "auth-option"}, Result.OK, "not asked for"),
        ({"ike": ike(strongswan=False)}, Result.PROBLEM, "strongSwan is not there"),
        ({"ike": ike(strongswan=True)}, Result.PROBLEM, "no IKE SA is established"),
        ({"ike": ike(strongswan=True), "troubles": {"IKE": "AUTH failed"}}, Result.PROBLEM, "AUTH failed"),
        ({"ike": ike(strongswan=True, sa=IKE_SA)}, Result.OK, "::1"),
        (
            {"ike": ike(strongswan=True, sa=IKE_SA), "troubles": {"IKE": "binding-1 failed"}},
            Result.WARNING,
            "binding-1",
        ),
    ],
)
def test_ike(tmp_path: Path, changes: dict[str, Any], result_: Result, words: str) -> None:
    found = check_agent.ike(patient(tmp_path, status(**{"security": "ikev2", **changes})))
    assert found.result is result_
    assert words in found.found
    assert bool(found.remedy) == (result_ is not Result.OK)


LOOKUP = LookupStatus(question="AAAA of ha.example.net", answered=None, again=None, problem=None)
FAILED = msgspec.structs.replace(LOOKUP, problem="AAAA of ha.example.net: no such name")


@pytest.mark.parametrize(
    ("changes", "result_", "words"),
    [
        ({}, Result.OK, "the DNS is not asked"),
        ({"lookup": LOOKUP, "home_agent_name": "ha.example.net"}, Result.OK, "home agent ha.example.net is 2001:db8:"),
        ({"lookup": LOOKUP}, Result.OK, "home agent 2001:db8:"),
        ({"lookup": FAILED, "home_agent_from": "state file"}, Result.WARNING, "(by state file), and the DNS does not"),
        ({"lookup": FAILED, "home_agent": None}, Result.PROBLEM, "who the home agent is: AAAA of ha.example.net: no"),
    ],
)
def test_dns(tmp_path: Path, changes: dict[str, Any], result_: Result, words: str) -> None:
    one = patient(tmp_path, status(**changes, troubles={"DNS": "no answer"}))
    found = check_agent.dns(one)
    assert found.result is result_
    assert words in found.found
    assert bool(found.remedy) == (result_ is not Result.OK)
    assert check_agent.troubles(one).result is Result.OK


def test_an_address_that_nobody_knows_yet_is_unknown(tmp_path: Path) -> None:
    asked = patient(tmp_path, status(lookup=LOOKUP, home_agent=None))
    assert "the DNS is being asked for AAAA of ha.example.net" in why_unknown(check_agent.dns, asked)
    assert "not known yet" in why_unknown(check_firewall.to_home_agent, asked)
    stopped = configured(tmp_path, CONFIGURATION.replace("2001:db8:f::2", "ha.example.net"))
    assert "not known yet" in why_unknown(check_firewall.to_home_agent, stopped)


def test_the_secret_of_ikev2_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    one = configured(tmp_path, IPSEC)
    secret = tmp_path / "ike.secret"
    secret.write_text("00112233445566778899aabbccddeeff")
    secret.chmod(0o644)
    found = check_configuration.secrets(one)
    assert found.result is Result.PROBLEM
    assert str(secret) in found.found


def test_a_kernel_that_does_not_tell_its_configuration_is_unknown(
    tmp_path: Path, kernel_configuration: Callable[[str | None], None]
) -> None:
    kernel_configuration(None)
    assert "neither" in why_unknown(check_machine.ipsec, patient(tmp_path))


@pytest.mark.parametrize(
    ("proc", "directory", "expected"),
    [(None, None, Result.OK), ("", "", Result.OK), ("", None, Result.WARNING)],
)
def test_modules_of_the_running_kernel_may_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proc: str | None, directory: str | None, expected: Result
) -> None:
    files = {"/proc/modules": proc, f"/lib/modules/{os.uname().release}": directory}
    monkeypatch.setattr(check_machine, "Path", Files(files))
    assert check_machine.modules(patient(tmp_path)).result is expected


@pytest.mark.parametrize(
    ("capabilities", "expected", "words"),
    [
        ("0000000000003000", Result.OK, "CAP_NET_RAW"),
        ("000001ffffffffff", Result.OK, ""),
        ("0000000000001000", Result.PROBLEM, "lacks CAP_NET_RAW:"),
        ("0000000000000000", Result.PROBLEM, "lacks CAP_NET_ADMIN and CAP_NET_RAW:"),
    ],
)
def test_the_agent_needs_two_capabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: str, expected: Result, words: str
) -> None:
    files = Files({"/proc/4711/status": f"Name:\tmonami6d\nCapPrm:\t0\nCapEff:\t{capabilities}\n"})
    monkeypatch.setattr(checks, "Path", files)
    found = check_machine.privileges(patient(tmp_path))
    assert found.result is expected
    assert words in found.found


def test_an_agent_in_another_container_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "Path", Files({"/proc/4711/status": None}))
    assert "4711" in why_unknown(check_machine.privileges, patient(tmp_path))


@pytest.mark.parametrize(
    ("connection", "mode", "uid", "expected", "words"),
    [
        (None, None, 0, Result.OK, "manages no link"),
        ("Home", 0o755, 0, Result.OK, "before it takes a link down"),
        ("Home", None, 0, Result.WARNING, "does not wait"),
        ("Home", 0o644, 0, Result.WARNING, "does not run"),
        ("Home", 0o775, 0, Result.WARNING, "does not run"),
        ("Home", 0o755, 1000, Result.WARNING, "does not run"),
    ],
)
def test_networkmanager_waits_if_its_dispatcher_has_our_script(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    connection: str | None,
    mode: int | None,
    uid: int,
    expected: Result,
    words: str,
) -> None:
    found = SimpleNamespace(
        exists=lambda: mode is not None, stat=lambda: SimpleNamespace(st_mode=0o100000 | (mode or 0), st_uid=uid)
    )
    monkeypatch.setattr(check_machine, "HOOKS", (tmp_path / "none", found))
    links = [link("wifi"), link(connection=connection)]
    finding = check_machine.network_manager(patient(tmp_path, status(links=links)))
    assert finding.result is expected
    assert words in finding.found
    assert bool(finding.remedy) == (expected is not Result.OK)


def with_offset(tmp_path: Path, offset_s: float | None) -> Patient:
    one = patient(tmp_path)
    one.__dict__["answer"] = {**one.__dict__["answer"], "clock_offset_s": offset_s}
    return one


@pytest.mark.parametrize(
    ("offset_s", "expected", "words"),
    [
        (0.04, Result.OK, "0.0 s off"),
        (-6.9, Result.OK, "6.9 s off"),
        (3600, Result.WARNING, "3600 s behind the home agent's"),
        (-8, Result.WARNING, "8 s ahead of the home agent's"),
    ],
)
def test_the_clock_is_compared_with_the_home_agents(
    tmp_path: Path, offset_s: float, expected: Result, words: str
) -> None:
    found = check_machine.clock(with_offset(tmp_path, offset_s))
    assert found.result is expected
    assert words in found.found


def test_an_agent_that_knows_no_offset_yet_leaves_the_clock_unknown(tmp_path: Path) -> None:
    assert "does not say" in why_unknown(check_machine.clock, with_offset(tmp_path, None))


def test_a_clock_of_the_past_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert check_machine.clock(with_offset(tmp_path, 0)).result is Result.PROBLEM


@pytest.mark.parametrize(("state", "expected"), [(0, Result.OK), (5, Result.WARNING)])
def test_a_time_service_should_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: int, expected: Result
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(ntp_gettime=lambda _: state))
    assert check_machine.time_service(patient(tmp_path)).result is expected


def test_the_kernel_is_asked_whether_the_clock_is_kept(tmp_path: Path) -> None:
    assert check_machine.time_service(patient(tmp_path)).result in (Result.OK, Result.WARNING)


# Configuration


def test_a_valid_configuration(tmp_path: Path) -> None:
    assert check_configuration.validity(configured(tmp_path)).result is Result.OK


def test_a_configuration_with_an_error_shows_it(tmp_path: Path) -> None:
    found = check_configuration.validity(configured(tmp_path, CONFIGURATION.replace("identity", "identiti")))
    assert found.result is Result.PROBLEM
    assert "did you mean identity?" in found.found


def test_no_configuration(tmp_path: Path) -> None:
    found = check_configuration.validity(patient(tmp_path, NO_AGENT))
    assert found.result is Result.PROBLEM
    assert "--config" in found.remedy


def test_a_configuration_that_may_not_be_read_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = configured(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not be read" in why_unknown(check_configuration.validity, one)
    assert "may not be read" in why_unknown(check_configuration.secrets, one)


@pytest.mark.parametrize(
    ("mode", "expected", "words"),
    [
        (0o600, Result.OK, "not for everybody"),
        (0o640, Result.OK, ""),
        (0o644, Result.PROBLEM, "may read"),
        (0o602, Result.PROBLEM, "may change"),
    ],
)
def test_the_secret_is_not_for_everybody(tmp_path: Path, mode: int, expected: Result, words: str) -> None:
    one = configured(tmp_path)
    one.config_path.chmod(mode)
    found = check_configuration.secrets(one)
    assert found.result is expected
    assert words in found.found


@pytest.mark.parametrize(("mode", "expected"), [(0o600, Result.OK), (0o604, Result.PROBLEM)])
def test_a_secret_in_a_file_of_its_own_is_found(tmp_path: Path, mode: int, expected: Result) -> None:
    (tmp_path / "key").write_text("00112233445566778899aabbccddeeff")
    (tmp_path / "key").chmod(mode)
    one = configured(tmp_path, CONFIGURATION.replace('key = "00112233445566778899aabbccddeeff"', 'key_file = "key"'))
    one.config_path.chmod(0o644)
    found = check_configuration.secrets(one)
    assert found.result is expected
    assert str(tmp_path / "key") in found.found


def test_without_a_valid_configuration_the_secret_is_unknown(tmp_path: Path) -> None:
    assert "not valid" in why_unknown(check_configuration.secrets, configured(tmp_path, "x = 1"))


def test_the_state_directory_is_writable_or_missing(tmp_path: Path) -> None:
    assert check_configuration.state_directory(configured(tmp_path)).result is Result.OK
    away = configured(tmp_path, CONFIGURATION.replace("{directory}", "{directory}/away"))
    found = check_configuration.state_directory(away)
    assert found.result is Result.PROBLEM
    assert found.remedy == f"mkdir -p {tmp_path}/away"


def test_a_state_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = configured(tmp_path)
    _ = one.configuration
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert check_configuration.state_directory(one).result is Result.PROBLEM
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert str(tmp_path) in why_unknown(check_configuration.state_directory, one)


# Agent


def test_the_agent_answers(tmp_path: Path) -> None:
    found = check_agent.running(patient(tmp_path, status(version=version("monami6"))))
    assert found.result is Result.OK
    assert "4711" in found.found


def test_an_agent_of_another_version_should_be_restarted(tmp_path: Path) -> None:
    found = check_agent.running(patient(tmp_path, status(version="0.0.1")))
    assert found.result is Result.WARNING
    assert "0.0.1" in found.found


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (NO_AGENT, "Start it with: systemctl start monami6d"),
        (Failure("monami6d did not answer within 5 s", TIMED_OUT), "look at its log: journalctl -u monami6d"),
    ],
)
def test_no_agent_is_a_problem(tmp_path: Path, failure: Failure, remedy: str) -> None:
    found = check_agent.running(patient(tmp_path, failure))
    assert found.result is Result.PROBLEM
    assert found.remedy == remedy


def test_the_agent_is_asked_for_its_status(tmp_path: Path) -> None:
    one = Patient(tmp_path / "agent.toml", Client(tmp_path / "agent.sock"))
    assert isinstance(one.answer, Failure)
    with FakeDaemon(tmp_path / "agent.sock", {"status": result(status())}):
        other = Patient(tmp_path / "agent.toml", Client(tmp_path / "agent.sock"))
        assert other.status["pid"] == 4711


def test_what_only_the_agent_knows_is_unknown_without_it(tmp_path: Path) -> None:
    one = patient(tmp_path, NO_AGENT)
    looks = (check_agent.registration, check_agent.troubles, check_agent.interfaces, check_network.routes)
    for look in (*looks, check_network.mtu, check_router.mobile_router, check_machine.privileges, check_machine.clock):
        assert "only the running agent knows" in why_unknown(look, one)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("registered", Result.OK),
        ("at home", Result.OK),
        ("partly registered", Result.WARNING),
        ("no link", Result.PROBLEM),
        ("refused", Result.PROBLEM),
        ("registering", Result.PROBLEM),
    ],
)
def test_the_registration(tmp_path: Path, state: str, expected: Result) -> None:
    found = check_agent.registration(patient(tmp_path, status(registration=registered(state=state))))
    assert found.result is expected


def test_a_partial_registration_names_the_links_that_miss(tmp_path: Path) -> None:
    links = [link(), link("wlan0", state="registering"), link("lte", state="standby")]
    now = status(registration=registered(state="partly registered"), links=links)
    assert "not over every link: wlan0" in check_agent.registration(patient(tmp_path, now)).found


@pytest.mark.parametrize("state", ["refused", "registering"])
def test_a_wrong_key_is_suspected_when_the_counters_say_so(tmp_path: Path, state: str) -> None:
    now = status(registration=registered(state=state), counters={"home agent refuses our key": 2})
    assert "key, spi and identity" in check_agent.registration(patient(tmp_path, now)).remedy


def test_a_refusal_says_why(tmp_path: Path) -> None:
    refused = registered(state="refused", problem="not home subnet (132)")
    assert "not home subnet (132)" in check_agent.registration(patient(tmp_path, status(registration=refused))).found


def test_troubles(tmp_path: Path) -> None:
    assert check_agent.troubles(patient(tmp_path)).result is Result.OK
    found = check_agent.troubles(patient(tmp_path, status(troubles={"routing": "no"})))
    assert found.result is Result.PROBLEM
    assert "routing: no" in found.found


def interfaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agents: Mapping[str, list[str]], ours: Mapping[str, list[str]]
) -> Finding:
    monkeypatch.setattr(netifaces, "interfaces", lambda: list(ours))
    addresses = {name: {netifaces.AF_INET6: [{"addr": one} for one in found]} for name, found in ours.items()}

    def ifaddresses(name: str) -> Mapping[int, list[dict[str, str]]]:
        if name == "monami6-0":
            raise ValueError("You must specify a valid interface name.")
        return addresses[name]

    monkeypatch.setattr(netifaces, "ifaddresses", ifaddresses)
    with FakeDaemon(tmp_path / "agent.sock", {"interfaces": result(agents)}):
        return check_agent.interfaces(patient(tmp_path))


def test_the_agents_picture_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = {"eth0": ["2001:db8:1::10"], "wlan0": []}
    ours = {
        "lo": ["::1", "2001:db8:aaaa::100"],
        "eth0": ["2001:DB8:1:0::10", "fe80::1%eth0"],
        "wlan0": ["fe80::2%wlan0"],
        "monami6-0": [],
    }
    found = interfaces(tmp_path, monkeypatch, agents, ours)
    assert found.result is Result.OK
    assert "eth0" in found.found


def test_the_agents_picture_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = {"eth0": ["2001:db8:1::10"], "wlan0": ["2001:db8:2::10"]}
    ours = {"eth0": ["2001:db8:1::10"], "wlan0": ["2001:db8:2::11"]}
    found = interfaces(tmp_path, monkeypatch, agents, ours)
    assert found.result is Result.WARNING
    assert "on wlan0 it sees 2001:db8:2::10 that is not there, and not 2001:db8:2::11" in found.found
    assert found.remedy


def test_without_netifaces_the_picture_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "netifaces", None)
    with (
        FakeDaemon(tmp_path / "agent.sock", {"interfaces": result({})}),
        pytest.raises(CannotTellError, match="netifaces") as caught,
    ):
        check_agent.interfaces(patient(tmp_path))
    assert caught.value.remedy == "pip install 'monami6[inspect]'"


def test_an_agent_that_does_not_tell_its_picture_is_unknown(tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "agent.sock", {"interfaces": refusal("method", "no method interfaces")}):
        assert "no method interfaces" in why_unknown(check_agent.interfaces, patient(tmp_path))


# Network


def answer_of_ip(monkeypatch: pytest.MonkeyPatch, outcome: object) -> None:
    def run(command: list[str], **_: object) -> SimpleNamespace:
        if isinstance(outcome, Exception):
            raise outcome
        assert command[-4:] == ["get", "2001:db8:f::2", "from", "2001:db8:1::10"]
        if isinstance(outcome, str):
            return SimpleNamespace(returncode=2, stdout="", stderr=outcome)
        return SimpleNamespace(returncode=0, stdout=json.dumps([outcome]), stderr="")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    ("outcome", "expected", "words"),
    [
        ({"dev": "eth0"}, Result.OK, "office"),
        ({"dev": "wlan0"}, Result.PROBLEM, "from 2001:db8:1::10 (office) it leads over wlan0"),
        ("RTNETLINK answers: Network is unreachable\n", Result.PROBLEM, "Network is unreachable"),
    ],
)
def test_each_care_of_address_leaves_by_its_own_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: object, expected: Result, words: str
) -> None:
    answer_of_ip(monkeypatch, outcome)
    found = check_network.routes(patient(tmp_path))
    assert found.result is expected
    assert words in found.found


def test_without_iproute2_routes_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer_of_ip(monkeypatch, FileNotFoundError(2, "No such file or directory"))
    assert "ip is not installed" in why_unknown(check_network.routes, patient(tmp_path))


def test_without_addresses_or_links_routes_are_unknown(tmp_path: Path) -> None:
    nowhere = link(care_of_address=None, state="unusable")
    assert "care-of" in why_unknown(check_network.routes, patient(tmp_path, status(links=[nowhere])))
    assert "no link" in why_unknown(check_network.routes, patient(tmp_path, status(links=[])))


@pytest.mark.parametrize(("size", "expected"), [("1320", Result.OK), ("1319", Result.WARNING)])
def test_a_link_must_take_the_smallest_packet_in_a_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, expected: Result
) -> None:
    monkeypatch.setattr(check_network, "Path", Files({"/proc/sys/net/ipv6/conf/eth0/mtu": f"{size}\n"}))
    found = check_network.mtu(patient(tmp_path))
    assert found.result is expected
    assert f"eth0 {size}" in found.found


def test_an_interface_that_is_not_here_has_no_mtu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_network, "Path", Files({"/proc/sys/net/ipv6/conf/eth0/mtu": None}))
    assert "no interface eth0" in why_unknown(check_network.mtu, patient(tmp_path))


# Mobile router


@pytest.mark.parametrize(
    ("told", "forwarding", "expected", "what"),
    [
        (None, {}, Result.OK, "this machine is a host"),
        (router(), {}, Result.OK, "2001:db8:b05::/56 behind lan0: served in explicit mode"),
        (router(problem="no home agent serves us"), {}, Result.PROBLEM, "no home agent serves us"),
        (router(), {"all": "0"}, Result.PROBLEM, "does not forward"),
        (router(interfaces=[]), {}, Result.PROBLEM, "no interface is there that leads inwards"),
        (router(), {"eth0": "1"}, Result.WARNING, "it is a router on eth0, too"),
        (router(), {"lan0": "0"}, Result.WARNING, "it is no router on lan0"),
        (
            router(networks=[NetworkStatus(prefix="2001:db8:7::/64", sent=None, received=None)]),
            {},
            Result.WARNING,
            "it has no address in 2001:db8:7::/64",
        ),
    ],
)
def test_a_mobile_router_is_a_router_inwards_and_a_host_on_its_uplinks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    told: RouterStatus | None,
    forwarding: dict[str, str],
    expected: Result,
    what: str,
) -> None:
    for name, value in ({"all": "1", "eth0": "0", "lan0": "1"} | forwarding).items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "forwarding").write_text(f"{value}\n")
    addresses = tmp_path / "if_inet6"
    addresses.write_text("20010db80b0500000000000000000001 07 40 00 80     lan0\n")
    monkeypatch.setattr(check_router, "SETTINGS", tmp_path)
    monkeypatch.setattr(check_router, "ADDRESSES", addresses)
    found = check_router.mobile_router(patient(tmp_path, status(router=told)))
    assert found.result is expected
    assert what in found.found
    assert bool(found.remedy) is (expected is not Result.OK)


def test_an_interface_that_is_not_here_is_no_router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_router, "SETTINGS", tmp_path)
    assert "no interface all" in why_unknown(check_router.mobile_router, patient(tmp_path, status(router=router())))


# Firewall: rulesets as nft's JSON. The kernel tests show that nft writes them so, and that the judgement is right.


def chain(name: str = "input", **more: Any) -> dict[str, Any]:
    return {"chain": {"family": "inet", "table": "filter", "name": name, **more}}


def base(hook: str = "input", policy: str = "drop", **more: Any) -> dict[str, Any]:
    return chain(hook, **{"type": "filter", "hook": hook, "prio": 0, "policy": policy} | more)


def rule(*expressions: dict[str, Any], of: str = "input") -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "filter", "chain": of, "expr": list(expressions)}}


def match(left: dict[str, Any], right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def l4proto(right: Any, op: str = "==") -> dict[str, Any]:
    return match({"meta": {"key": "l4proto"}}, right, op)


def address(right: Any, field: str = "saddr") -> dict[str, Any]:
    return match({"payload": {"protocol": "ip6", "field": field}}, right)


ACCEPT: dict[str, Any] = {"accept": None}
DROP: dict[str, Any] = {"drop": None}
ESTABLISHED = match({"ct": {"key": "state"}}, ["established", "related"], "in")


@pytest.fixture(autouse=True)
def _tunnels_bypass_the_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_firewall, "_LWTUNNEL_HOOKS", Files({"hooks": "0\n"})("hooks"))


def inbound(tmp_path: Path, *ruleset: dict[str, Any]) -> Finding:
    return check_firewall.from_home_agent(patient(tmp_path, ruleset=list(ruleset)))


@pytest.mark.parametrize(
    "ruleset",
    [
        [],
        [base(policy="accept")],
        [base("forward")],
        [{"chain": {"family": "ip", "table": "filter", "name": "input", "hook": "input", "policy": "drop"}}],
        [base(), rule(ACCEPT)],
        [base(), rule(l4proto(135), ACCEPT)],
        [base(), rule(l4proto("mobility-header"), {"counter": None}, ACCEPT)],
        [base(), rule(l4proto({"set": ["icmpv6", 135]}), ACCEPT)],
        [base(), rule(l4proto("tcp", "!="), ACCEPT)],
        [base(), rule(match({"payload": {"protocol": "ip6", "field": "nexthdr"}}, 135), ACCEPT)],
        [base(), rule(address("2001:db8:f::2"), ACCEPT)],
        [base(), rule(address({"prefix": {"addr": "2001:db8:f::", "len": 48}}), l4proto(135), ACCEPT)],
        [base(), rule(match({"ct": {"key": "state"}}, ["new", "established"], "in"), ACCEPT)],
        [base(), rule({"jump": {"target": "more"}}), chain("more"), rule(l4proto(135), ACCEPT, of="more")],
        [base(), rule({"goto": {"target": "more"}}), chain("more"), rule(l4proto(135), ACCEPT, of="more")],
    ],
)
def test_mobility_messages_pass(tmp_path: Path, ruleset: list[dict[str, Any]]) -> None:
    assert inbound(tmp_path, *ruleset).result is Result.OK


@pytest.mark.parametrize(
    "ruleset",
    [
        [base()],
        [base(), rule(l4proto("icmpv6"), ACCEPT)],
        [base(), rule(l4proto("no such protocol"), ACCEPT)],
        [base(), rule(l4proto(135, "!="), ACCEPT)],
        [base(), rule(l4proto(135), DROP)],
        [base(), rule(match({"meta": {"key": "iifname"}}, "lo"), ACCEPT)],
        [base(), rule(match({"meta": {"key": "iifname"}}, "lo", "!="), ACCEPT)],
        [base(), rule(address("2001:db8:99::1"), ACCEPT)],
        [base(), rule(address("@friends"), ACCEPT)],
        [base(), rule(address("2001:db8:f::2", "daddr"), ACCEPT)],
        [base(), chain("unused"), rule(ACCEPT, of="unused")],
        [base(policy="accept"), rule(l4proto("icmpv6"), ACCEPT), rule(DROP)],
        [base(policy="accept"), rule({"reject": {"type": "icmpx", "expr": "admin-prohibited"}})],
        [base(), rule({"jump": {"target": "input"}})],
    ],
)
def test_mobility_messages_are_dropped(tmp_path: Path, ruleset: list[dict[str, Any]]) -> None:
    found = inbound(tmp_path, *ruleset)
    assert found.result is Result.WARNING
    assert "chain input of table inet filter" in found.found
    assert "of mobility messages (protocol 135) none would pass" in found.found
    assert "nft 'insert rule inet filter input ip6 saddr 2001:db8:f::2 meta l4proto 135 accept'" in found.remedy


def test_answers_may_pass_where_nothing_else_does(tmp_path: Path) -> None:
    found = inbound(tmp_path, base(), rule(ESTABLISHED, ACCEPT))
    assert found.result is Result.WARNING
    assert "only answers would pass" in found.found


def test_a_filter_that_sees_tunnels_must_let_them_pass_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_firewall, "_LWTUNNEL_HOOKS", Files({"hooks": "1\n"})("hooks"))
    found = inbound(tmp_path, base())
    assert "of tunnelled packets and mobility messages (protocol 41, 135) none" in found.found
    assert "meta l4proto { 41, 135 } accept" in found.remedy
    assert inbound(tmp_path, base(), rule(l4proto(135), ACCEPT)).remedy.count("41") == 1
    assert inbound(tmp_path, base(), rule(l4proto({"set": ["ipv6", 135]}), ACCEPT)).result is Result.OK


def test_what_goes_out_is_looked_at_as_well(tmp_path: Path) -> None:
    one = patient(tmp_path, ruleset=[base("output"), rule(address("2001:db8:f::2"), ACCEPT, of="output")])
    found = check_firewall.to_home_agent(one)
    assert found.result is Result.WARNING
    assert "ip6 daddr 2001:db8:f::2" in found.remedy
    passing = patient(tmp_path, ruleset=[base("output"), rule(address("2001:db8:f::2", "daddr"), ACCEPT, of="output")])
    assert check_firewall.to_home_agent(passing).result is Result.OK


def fib(*flags: str, result: str = "oif") -> dict[str, Any]:
    return match({"fib": {"result": result, "flags": list(flags)}}, right=False)


@pytest.mark.parametrize(
    ("ruleset", "expected"),
    [
        ([base(), rule(fib("saddr", "iif"), DROP)], Result.WARNING),
        ([base(), rule(fib("saddr", "mark", "iif"), DROP)], Result.WARNING),
        ([base(), rule(fib("saddr"), DROP)], Result.OK),
        ([base(), rule(fib("saddr", "iif"), ACCEPT)], Result.OK),
        ([base(), rule(fib("saddr", "iif", result="type"), DROP)], Result.OK),
        ([base("prerouting", prio=10), rule(fib("saddr", "iif"), DROP, of="prerouting")], Result.WARNING),
        ([base("prerouting", prio=-300), rule(fib("saddr", "iif"), DROP, of="prerouting")], Result.OK),
        ([], Result.OK),
    ],
)
def test_a_reverse_path_filter(tmp_path: Path, ruleset: list[dict[str, Any]], expected: Result) -> None:
    assert check_firewall.reverse_path(patient(tmp_path, ruleset=ruleset)).result is expected


@pytest.mark.parametrize(
    ("capabilities", "words"), [("0000000000001000", "nft is confused"), ("ffffffffffffefff", "may not be read")]
)
def test_a_packet_filter_that_cannot_be_read_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capabilities: str, words: str
) -> None:
    class Confused:
        def run(self, _commands: str) -> list[dict[str, Any]]:
            raise NftablesError("nft is confused")

        def close(self) -> None:
            pass

    monkeypatch.setattr(checks, "Nftables", Confused)
    monkeypatch.setattr(checks, "Path", Files({"/proc/self/status": f"CapEff:\t{capabilities}\n"}))
    assert words in why_unknown(check_firewall.reverse_path, patient(tmp_path))


def test_the_packet_filter_is_let_go_when_it_has_been_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Recorded:
        def run(self, commands: str) -> list[dict[str, Any]]:
            done.append(commands)
            return []

        def close(self) -> None:
            done.append("close")

    monkeypatch.setattr(checks, "Nftables", Recorded)
    monkeypatch.setattr(checks, "Path", Files({"/proc/self/status": "CapEff:\tffffffffffffffff\n"}))
    assert patient(tmp_path).ruleset == []
    assert done == ["list ruleset", "close"]


def test_without_an_agent_the_configuration_names_the_home_agent(tmp_path: Path) -> None:
    one = configured(tmp_path)
    one.__dict__["ruleset"] = [base()]
    assert "ip6 saddr 2001:db8:f::2" in check_firewall.from_home_agent(one).remedy
