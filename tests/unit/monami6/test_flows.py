import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import Result

from mn_agent.core.status import Traffic
from monami6.exits import FAILED, NOT_RUNNING, TIMED_OUT
from tests.unit.monami6.fake import FakeDaemon, flow, link, result, router, status
from tests.unit.monami6.fake import default as default_traffic

Run = Callable[..., Result]

LONG = "2001:db8:1234:5678:9abc:def0:1234:5678"
NOTHING = Traffic(0, 0)


def shown(run: Run, path: Path, **changes: Any) -> str:
    with FakeDaemon(path, {"status": result(status(**changes))}):
        done = run("flows")
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def rows(text: str) -> list[list[str]]:
    """The words of each line, in which one blank separates and several do not."""
    return [[word.strip() for word in line.split("  ") if word.strip()] for line in text.splitlines()]


def test_a_flow_is_told_with_packets_place_and_amounts(run: Run, socket_path: Path) -> None:
    lines = [line.rstrip() for line in shown(run, socket_path, policy="voice", flows=[flow()]).splitlines()]
    assert lines == [
        "Policy voice",
        "",
        "Flow call: office, since 14:02:12, 60 s",
        "  because the flow goes via office, wifi",
        "  the home agent sends it there too",
        "  packets: udp dscp 46",
        "  LINK    SENT                      RECEIVED",
        "  office  120 packets, 34.6 kB      1 packet, 999 B",
        "",
        "Default traffic: office, since 14:01:12, 2 min",
        "  because it is the only registered link",
        "  LINK    SENT                      RECEIVED",
        "  office  1 packet, 40 B            2 packets, 80 B",
    ]


def test_the_default_traffic_comes_last_and_may_be_pinned(run: Run, socket_path: Path) -> None:
    default = default_traffic(link="office", since=None, why="it was asked for", pinned="office")
    text = shown(run, socket_path, default=default, flows=[flow("one"), flow("two")])
    assert (
        text.index("Flow one") < text.index("Flow two") < text.index("Default traffic: office, since when is unknown")
    )
    assert "  pinned to office; `monami6 switch --auto` gives the choice back\n" in text


def test_a_pinned_flow_says_how_to_unpin_it(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, flows=[flow("my call", pinned="office")])
    assert "  pinned to office; `monami6 switch --flow 'my call' --auto` gives the choice" in text


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ("not yet", "the home agent does not know it yet"),
        ("unknown to it", "the home agent cannot know it: only this machine can tell its packets"),
        ("not supported", "the home agent does not bind flows"),
        ("refused: malformed (130)", "the home agent refuses it: malformed (130)"),
        ("a new state", "home agent: a new state"),
    ],
)
def test_it_says_what_the_home_agent_does_with_it(run: Run, socket_path: Path, bound: str, words: str) -> None:
    text = shown(run, socket_path, flows=[flow(bound=bound)])
    assert f"  {words}\n" in text
    assert "sends it there" not in text


def test_only_links_that_carry_it_or_did_are_listed(run: Run, socket_path: Path) -> None:
    links = [link(name, bid=bid) for bid, name in enumerate(("office", "wlan0", "lte", "spare"), 1)]
    one = flow(
        links=["office"],
        sent={"office": NOTHING, "wlan0": NOTHING, "lte": Traffic(3, 2000), "spare": NOTHING},
        received={"office": NOTHING, "wlan0": Traffic(1, 60), "lte": NOTHING, "spare": NOTHING},
    )
    text = shown(run, socket_path, links=links, flows=[one])
    assert rows(text)[7:10] == [
        ["office", "nothing", "nothing"],
        ["wlan0", "nothing", "1 packet, 60 B"],
        ["lte", "3 packets, 2.0 kB", "nothing"],
    ]
    assert "spare" not in text


def test_what_the_kernel_does_not_tell_is_unknown_and_not_nothing(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, flows=[flow(sent={}, received={"office": NOTHING})])
    assert ["office", "unknown", "nothing"] in rows(text)


def test_a_flow_without_a_link(run: Run, socket_path: Path) -> None:
    nowhere = flow(links=[], since=None, why="no link is registered", sent={}, received={})
    text = shown(run, socket_path, flows=[nowhere], default=default_traffic(link=None, sent={}, received={}))
    assert "Flow call: carried by no link: no link is registered\n" in text
    assert "LINK" not in text


def test_several_links_are_in_the_order_of_the_policy(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, flows=[flow(links=["wlan0", "office"])])
    assert "Flow call: wlan0, office, since" in text
    assert ["wlan0", "unknown", "unknown"] in rows(text)


def test_packets_of_several_kinds_and_of_none_that_can_be_said(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, flows=[flow(packets=["udp from port 53", "tcp from port 53"])])
    assert "  packets: udp from port 53\n  or tcp from port 53\n  LINK" in text
    assert "packets:" not in shown(run, socket_path, flows=[flow(packets=[])])


@pytest.mark.parametrize(("number", "rest"), [(8, None), (9, "1 other kind"), (400, "392 other kinds")])
def test_of_very_many_kinds_only_some_are_listed(run: Run, socket_path: Path, number: int, rest: str | None) -> None:
    text = shown(run, socket_path, flows=[flow(packets=[f"udp from port {port}" for port in range(number)])])
    assert text.count("udp from port") == 8
    assert (f"  or {rest}, which --json lists\n" in text) if rest else ("--json" not in text)


def test_a_policy_without_flows_says_so(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, flows=[])
    assert text.startswith("Policy prefer-wired, which has no flows\n\nDefault traffic: office")


def test_networks_behind_a_mobile_router_come_last_and_the_hosts_in_them(run: Run, socket_path: Path) -> None:
    assert rows(shown(run, socket_path, router=router()))[-3:] == [
        ["BEHIND IT", "SENT", "RECEIVED"],
        ["2001:db8:b05::/56", "12 packets, 3.5 kB", "1 packet, 999 B"],
        ["2001:db8:b05::5", "12 packets, 3.5 kB", "unknown"],
    ]


def test_it_fits_80_columns_and_folds_no_address(run: Run, socket_path: Path) -> None:
    name = "a-link-with-a-name"
    packets = f"udp from {LONG}-{LONG} port 16384-32767 to port 16384-32767 dscp 46"
    amount = Traffic(999_999_999, 999_900_000_000)
    one = flow(links=[name], packets=[packets], sent={name: amount}, received={name: amount}, why="word " * 30)
    lines = shown(run, socket_path, links=[link(name)], flows=[one]).splitlines()
    assert sum(f"{LONG}-{LONG}" in line for line in lines) == 1
    assert max(len(line) for line in lines if LONG not in line) <= 80
    assert "  ".join(["  " + name, "999999999 packets, 999.9 GB", "999999999 packets, 999.9 GB"]) in [
        line.rstrip() for line in lines
    ]
    words = " ".join(" ".join(lines).split())
    assert f"packets: {packets}" in words


def test_markup_in_a_name_is_only_text(run: Run, socket_path: Path) -> None:
    text = shown(run, socket_path, policy="[bold]p[/bold]", flows=[flow("[red]x[/red]", packets=["[dim]y[/dim]"])])
    for word in ("[bold]p[/bold]", "[red]x[/red]", "[dim]y[/dim]"):
        assert word in text


def test_no_color_is_honoured(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in shown(run, socket_path, flows=[flow()])
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(run, socket_path, flows=[flow()])


@pytest.mark.parametrize(("bound", "style"), [("yes", 2), ("not yet", 33), ("refused: malformed (130)", 31)])
def test_a_refusal_is_red_and_what_is_well_is_not(
    run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, style: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert f"\x1b[{style}m  the home agent" in shown(run, socket_path, flows=[flow(bound=bound)])


def test_json_is_what_the_agent_tells_of_flows(run: Run, socket_path: Path) -> None:
    told = msgspec.to_builtins(status(policy="voice", flows=[flow(), flow("two")]))
    told["flows"][0]["new"] = 1
    with FakeDaemon(socket_path, {"status": result(told)}):
        done = run("flows", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "schema": 1,
        "policy": "voice",
        "default": told["default"],
        "flows": told["flows"],
    }


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_agent_of_another_version_is_told_apart(run: Run, socket_path: Path, options: tuple[str, ...]) -> None:
    older = msgspec.to_builtins(status())
    del older["flows"]
    with FakeDaemon(socket_path, {"status": result(older)}):
        done = run("flows", *options)
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert "restart the daemon" in done.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_without_an_agent(run: Run, options: tuple[str, ...]) -> None:
    done = run("flows", *options)
    assert (done.exit_code, done.stdout) == (NOT_RUNNING, "")
    assert "systemctl start monami6d" in done.stderr


def test_an_agent_that_hangs_is_given_up(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monami6.client.Client.ask.__defaults__", (0.1,))
    with FakeDaemon(socket_path, {"status": None}):
        assert run("flows").exit_code == TIMED_OUT
