import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result
from msgspec.structs import replace

from mn_agent.core.status import IkeSaStatus, LookupStatus, PathStatus
from monami6.exits import FAILED, NOT_RUNNING, TIMED_OUT
from tests.unit.monami6.fake import (
    NOW,
    FakeDaemon,
    association,
    correspondent,
    flow,
    ike,
    link,
    refusal,
    registered,
    result,
    router,
    status,
)
from tests.unit.monami6.fake import default as default_traffic

Run = Callable[..., Result]

LONG = "2001:db8:1234:5678:9abc:def0:1234:5678"


def shown(run: Run, path: Path, **changes: Any) -> str:
    with FakeDaemon(path, {"status": result(status(**changes))}):
        done = run("status")
    assert done.exit_code == 0, done.output
    assert not done.stderr
    return done.stdout


def test_it_says_with_whom_since_when_and_until_when(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path)
    assert "Registered with home agent 2001:db8:f::2" in text
    assert "since 13:58:12, 5 min; until 14:07:12, in 4 min" in text
    assert "Home address 2001:db8:aaaa::100 of laptop@example.org" in text


def test_it_names_the_home_agents_that_are_asked_when_this_one_does_not_serve(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, alternatives=["2001:db8:f::3", "2001:db8:f::4"])
    assert "home agent 2001:db8:f::2 (others: 2001:db8:f::3, 2001:db8:f::4)" in " ".join(text.split())


@pytest.mark.parametrize(
    ("known", "text"),
    [
        ({"home_agent": None}, "home agent of which the DNS is asked (AAAA of ha.example.net)"),
        (
            {"home_agent_name": "ha.example.net", "home_agent_from": "DNS"},
            "home agent ha.example.net, 2001:db8:f::2 by DNS",
        ),
        ({}, "Registered with home agent 2001:db8:f::2"),
    ],
)
def test_it_says_what_the_dns_calls_the_home_agent(
    run: Run, socket_path: Path, known: dict[str, Any], text: str
) -> None:
    lookup = LookupStatus(question="AAAA of ha.example.net", answered=None, again=None, problem=None)
    assert text in " ".join(shown(run, socket_path, lookup=lookup, **known).split())


def test_it_says_until_when_the_home_address_is_good(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, preferred_until=NOW - 60, valid_until=NOW + 240)
    assert re.search(r"^  preferred until \S+, which is over$", text, re.MULTILINE)
    assert re.search(r"^  valid until \S+, in 4 min$", text, re.MULTILINE)
    assert "valid until" not in shown(run, socket_path)


def test_it_says_which_link_carries_the_traffic_and_why(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path)
    assert "Default traffic: office, since 14:01:12, 2 min\n  because it is the only registered link" in text
    assert "pinned" not in text


def test_a_pinned_link_is_said_to_be_pinned(run: Run, socket_path: Path) -> None:
    default = default_traffic(link="office", since=NOW, why="it was asked for", pinned="office")
    assert "pinned to office; `monami6 switch --auto`" in shown(run, socket_path, default=default)


def test_each_link_has_interface_kind_address_identifier_and_state(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path)
    for part in (
        "office",
        "eth0, ethernet",
        "2001:db8:1::10",
        "BID 1",
        "registered",
        "since 13:58:12",
        "default traffic",
    ):
        assert part in text


def test_a_link_that_is_not_used_says_why(run: Run, socket_path: Path) -> None:
    unusable = link(
        "lte", interface="wwan0", kind="lte", bid=3, care_of_address=None, state="unusable", until=None,
        carries_default=False, priority=None, problem="no default router",
    )  # fmt: skip
    lines = shown(run, socket_path, links=[unusable]).splitlines()
    row = next(at for at, line in enumerate(lines) if line.startswith("lte"))
    assert lines[row].split() == ["lte", "none", "unusable"]
    assert lines[row + 1].split()[:4] == ["wwan0,", "lte", "BID", "3"]
    assert "no default router" in lines[row + 2]


def test_what_nobody_knows_is_unknown_and_not_no(run: Run, socket_path: Path) -> None:
    text = shown(
        run,
        socket_path,
        registration=registered(since=None, until=None),
        default=default_traffic(link="office", since=None, why="it is the only registered link", pinned=None),
        links=[link(since=None)],
    )
    assert text.count("since when is unknown") == 3
    assert "until when is unknown" in text


def test_without_a_registration_there_is_no_since(run: Run, socket_path: Path) -> None:
    nothing = registered(state="no link", since=None, until=None)
    default = default_traffic(link=None, since=None, why="no link is registered", pinned=None)
    text = shown(run, socket_path, registration=nothing, default=default, links=[])
    assert "No link to home agent" in text
    assert "Default traffic: carried by no link: no link is registered" in text
    assert "unknown" not in text


def test_a_home_agent_that_takes_one_address_and_refuses_is_told(run: Run, socket_path: Path) -> None:
    problem = "the home agent does not serve us: not home subnet (132)"
    registration = registered(state="refused", since=None, until=None, care_of_addresses="one", problem=problem)
    text = shown(run, socket_path, registration=registration)
    assert "Refused by home agent" in text
    assert problem in text
    assert "one link at a time" in text


def test_a_state_that_is_new_is_shown_as_it_is(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, registration=registered(state="roaming"), security="quantum")
    assert "roaming: home agent" in text
    assert "quantum" in text


def test_troubles_and_drops_are_told_and_zeros_not(run: Run, socket_path: Path) -> None:
    text = shown(
        run,
        socket_path,
        troubles={"state file": "No space left on device"},
        counters={"tunnelled": 9, "not_from_home_agent": 12, "bad checksum": 30, "none": 0},
    )
    assert "state file: No space left on device" in text
    assert text.index("30 bad checksum") < text.index("12 not from home agent")
    assert "tunnelled" not in text
    assert "none" not in text


def test_nothing_dropped_is_not_mentioned(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, counters={"tunnelled": 9, "bad checksum": 0})
    assert "Dropped" not in text
    assert "Troubles" not in text


def test_the_policy_in_use_is_named(run: Run, socket_path: Path) -> None:
    assert "\nPolicy voice-on-lte\n" in shown(run, socket_path, policy="voice-on-lte")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "Flow call: office"),
        ({"links": ["wlan0", "office"]}, "Flow call: wlan0, office"),
        ({"pinned": "office"}, "Flow call: office, pinned"),
        ({"pinned": "lte"}, "Flow call: office, pinned to lte"),
        ({"bound": "not yet"}, "Flow call: office; the home agent does not know it yet"),
        ({"bound": "not supported"}, "Flow call: office; the home agent does not bind flows"),
        ({"bound": "refused: malformed (130)"}, "Flow call: office; the home agent refuses it: malformed (130)"),
        ({"links": [], "bound": "not yet"}, "Flow call: carried by no link; the home agent does not know it yet"),
    ],
)
def test_each_flow_has_one_line(run: Run, socket_path: Path, changes: dict[str, Any], line: str) -> None:
    lines = shown(run, socket_path, flows=[flow(**changes), flow("two")]).splitlines()
    at = lines.index(line)
    assert lines[at + 1] == "Flow two: office"
    assert lines[at - 2].startswith("Default traffic: ")


def test_the_care_of_address_for_ikev2_is_told(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path)
    assert "IKEv2 care-of address: office, since 13:58:12, 5 min\n  because it is the steadiest\n" in text
    assert "switch --ike" not in text


def test_ikev2_may_be_pinned_or_have_no_link(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, ike=ike(pinned="office"))
    assert "pinned to office; `monami6 switch --ike --auto`" in text
    nothing = ike(link=None, care_of_address=None, since=None, why="no link is registered")
    text = shown(run, socket_path, ike=nothing)
    assert "IKEv2 care-of address: carried by no link: no link is registered" in text


def test_with_ikev2_the_ike_sa_and_what_it_protects_is_told(run: Run, socket_path: Path) -> None:
    sa = IkeSaStatus(care_of_address="2001:db8:1::10", since=NOW - 300)
    dropped = association(direction="down", replays=1, failures=2)
    payload, of_another = association(use="payload", bid=1), association(use="payload", bid=9)
    told = [association(), dropped, payload, of_another]
    text = shown(run, socket_path, security="ikev2", ike=ike(strongswan=True, sa=sa), associations=told)
    assert "protected by IPsec, with keys from IKEv2" in text
    assert "  IKE SA at 2001:db8:1::10 since 13:58:12, 5 min\n" in text
    assert "  ESP up   0xc330fd07 mobility since 13:58:12, 5 min: 5 packets, 440 B\n" in text
    assert "  ESP down 0xc330fd07" in text
    assert "  ESP up   0xc330fd07 payload of office since" in text
    assert "  ESP up   0xc330fd07 payload of binding 9 since" in text
    assert "1 replay dropped; 2 forged packets dropped" in " ".join(text.split())


def test_what_ikev2_lacks_is_told(run: Run, socket_path: Path) -> None:
    assert "  no IKE SA\n" in shown(run, socket_path, security="ikev2", ike=ike(strongswan=True))
    assert "no IKE SA: strongSwan is not there" in shown(run, socket_path, ike=ike(strongswan=False))
    sa = IkeSaStatus(care_of_address=None, since=NOW - 300)
    text = shown(run, socket_path, ike=ike(strongswan=False, sa=sa))
    assert "IKE SA at an unknown address since 13:58:12, 5 min; strongSwan is not there" in text


PATH = PathStatus(state="alive", rtt_ms=12.34, jitter_ms=None, loss=None)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (PATH, "rtt 12.3 ms"),
        (replace(PATH, loss=0.0), "rtt 12.3 ms"),
        (replace(PATH, loss=0.25), "rtt 12.3 ms, 25 % lost"),
        (replace(PATH, loss=0.001), "rtt 12.3 ms, 1 % lost"),
        (replace(PATH, rtt_ms=None, loss=1.0), "rtt unknown, 100 % lost"),
        (replace(PATH, state="unknown", rtt_ms=None), "path unknown"),
        (replace(PATH, state="dead"), "path dead"),
    ],
)
def test_a_path_is_as_good_as_anybody_knows(run: Run, socket_path: Path, path: PathStatus, words: str) -> None:
    lines = shown(run, socket_path, links=[link(path=path, carries_default=False)]).splitlines()
    row = next(at for at, line in enumerate(lines) if line.startswith("office"))
    assert lines[row + 2].strip() == words


def test_the_path_of_a_link_that_cannot_be_used_is_not_told(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, links=[link(state="unusable", problem="no carrier")])
    assert "no carrier" in text
    assert "rtt" not in text


def test_what_a_dead_path_means_is_told(run: Run, socket_path: Path) -> None:
    problem = "its path is dead: the home agent is reached over other links only"
    text = shown(run, socket_path, links=[link(path=replace(PATH, state="dead"), problem=problem)])
    words = " ".join(text.replace("default traffic", "").split())
    assert f"path dead {problem}" in words


@pytest.mark.parametrize(("metered", "line"), [(True, "eth0, ethernet, metered"), (False, "eth0, ethernet")])
def test_a_metered_link_is_said_to_be(run: Run, socket_path: Path, line: str, *, metered: bool) -> None:
    lines = shown(run, socket_path, links=[link(metered=metered)]).splitlines()
    row = next(at for at, line in enumerate(lines) if line.startswith("office"))
    assert lines[row + 1].split("  ")[0] == line


def test_what_networkmanager_knows_is_shown(run: Run, socket_path: Path) -> None:
    train = link(connection="Train", ssid="Train", signal_percent=55, captive=True, connectivity="portal")
    lines = shown(run, socket_path, links=[train, link("lte", connectivity="limited", connection="SIM")]).splitlines()
    names = [line.split("  ")[0].strip() for line in lines]
    row = names.index("office")
    assert names[row + 2 : row + 4] == ["Train", "signal 55 %"]
    assert "behind a captive portal" in lines[row + 3]
    row = names.index("lte")
    assert names[row + 2] == "SIM"
    assert "limited connectivity" in "".join(lines[row:])
    text = shown(run, socket_path, links=[link(captive=False, connectivity="full")])
    assert not any(word in text for word in ("portal", "connectivity", "signal", "None"))


def test_a_link_that_has_to_prove_itself_says_until_when(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, links=[link(carries_default=False, waits_until=NOW + 30)])
    words = " ".join(text.split())
    assert "has to prove itself" in words
    assert "until 14:03:42, in 30 s" in words
    assert "prove" not in shown(run, socket_path, links=[link()])


def test_the_way_to_a_correspondent_is_told(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, correspondents=[correspondent()])
    assert "Correspondent 2001:db8:cc::1: directly over office\n  until 14:07:12, in 4 min\n" in text
    tunnelled = correspondent(link=None, care_of_addresses={}, until=None)
    assert "Correspondent 2001:db8:cc::1: through the tunnel\n" in shown(run, socket_path, correspondents=[tunnelled])
    paused = replace(tunnelled, problem="no acknowledgement", again_at=NOW + 30)
    text = shown(run, socket_path, correspondents=[paused])
    assert "through the tunnel\n  no acknowledgement; left alone until 14:03:42, in 30 s\n" in text


def test_a_mobile_router_says_what_is_behind_it_and_how_it_is_served(run: Run, socket_path: Path) -> None:
    assert "Mobile router" not in shown(run, socket_path)
    text = shown(run, socket_path, router=router())
    assert "Mobile router for 2001:db8:b05::/56\n  behind lan0, served in explicit mode\n" in text
    text = shown(run, socket_path, router=router(mode="host", interfaces=[], problem="no home agent serves us"))
    assert "behind no interface that is there, served as a host only\n  no home agent serves us\n" in text


def test_it_fits_80_columns_and_cuts_nothing(run: Run, socket_path: Path) -> None:
    problem = "somebody else has its address (duplicate address detection failed)"
    links = [
        link("office", care_of_address=LONG, metered=True, waits_until=NOW + 30, path=replace(PATH, loss=0.25)),
        link("wlan0", interface="wlp0s20f3u1u2u3", kind="wifi", bid=12345, care_of_address=LONG, problem=problem),
    ]
    why = "it is the best registered link in the configured order"
    text = shown(
        run,
        socket_path,
        home_address=LONG,
        home_agent=LONG,
        links=links,
        default=default_traffic(link="office", since=NOW - 200_000, why=why, pinned="office"),
    )
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert sum(LONG in line for line in lines) == 4
    words = " ".join(text.split())
    assert why in words
    for word in (*problem.split(), "wlp0s20f3u1u2u3"):
        assert word in text


def test_markup_in_a_name_is_only_text(run: Run, socket_path: Path) -> None:
    assert "[bold]x[/bold]" in shown(run, socket_path, troubles={"[bold]x[/bold]": "odd"})


@pytest.mark.parametrize(("name", "is_coloured"), [("FORCE_COLOR", True), ("", False)])
def test_colours_are_for_terminals(
    run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, is_coloured: bool
) -> None:
    if name:
        monkeypatch.setenv(name, "1")
    assert ("\x1b[" in shown(run, socket_path)) is is_coloured


def test_no_color_is_honoured(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(run, socket_path)


def test_json_is_the_agents_answer_octet_by_octet(run: Run, socket_path: Path) -> None:
    written = b'{"schema":1,"at":1.0e9,"new":[ 1 ],"name":"\xc3\xa4\\u00e4"}'
    with FakeDaemon(socket_path, {"status": b'{"version":1,"result":' + written + b"}\n"}):
        done = run("status", "--json")
    assert done.stdout_bytes == written + b"\n"
    assert done.exit_code == 0


def test_json_has_its_schema_version_inside(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": result(status())}):
        assert json.loads(run("status", "--json").stdout)["schema"] == 1


def test_what_a_newer_agent_says_beyond_is_left_out(run: Run, socket_path: Path) -> None:
    more = msgspec.to_builtins(status()) | {"more": []}
    with FakeDaemon(socket_path, {"status": result(more)}):
        assert run("status").exit_code == 0


@pytest.mark.parametrize("answer", [{"schema": 2}, {"schema": 1}, {}, msgspec.to_builtins(status()) | {"links": {}}])
def test_an_agent_of_another_version_is_told_apart(run: Run, socket_path: Path, answer: object) -> None:
    with FakeDaemon(socket_path, {"status": result(answer)}):
        done = run("status")
    assert done.exit_code == FAILED
    assert "restart" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_an_agent_it_says_how_to_start_one(run: Run, options: list[str]) -> None:
    done = run("status", *options)
    assert done.exit_code == NOT_RUNNING
    assert "systemctl start monami6d" in done.stderr
    assert not done.stdout


def test_an_error_goes_to_stderr(run: Run, socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": refusal("method", "no method status")}):
        done = run("status")
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert "no method status" in done.stderr


def test_an_agent_that_hangs_is_given_up(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monami6.client.Client.ask.__defaults__", (0.1,))
    with FakeDaemon(socket_path, {"status": None}):
        assert run("status").exit_code == TIMED_OUT
