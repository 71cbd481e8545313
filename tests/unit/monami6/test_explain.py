import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from mn_agent.core.status import LinkReason, Reason
from monami6.exits import FAILED, NOT_RUNNING, TIMED_OUT, USAGE
from tests.unit.monami6.fake import FakeDaemon, explanation, refusal, result

Run = Callable[..., Result]

TO = "2001:db8::1"


def shown(run: Run, path: Path, *arguments: str, **changes: Any) -> str:
    with FakeDaemon(path, {"explain": result(explanation(**changes))}):
        done = run("policy", "explain", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def asked(run: Run, path: Path, *arguments: str) -> object:
    """What the agent is asked about."""
    with FakeDaemon(path, {"explain": result(explanation())}) as daemon:
        done = run("policy", "explain", *arguments)
    assert done.exit_code == 0, done.output
    (request,) = daemon.requests
    assert request["arguments"].keys() == {"packet"}
    return request["arguments"]["packet"]


def test_policy_links_and_traffic_are_explained(run: Run, socket_path: Path) -> None:
    links = [
        LinkReason(link="lte", place=None, criteria={"captive": "unknown"}, why_not="its path is dead"),
        LinkReason(link="a", place=None, criteria={}, why_not="no carrier"),
        LinkReason(link="wlan0", place=2, criteria={"captive": "no portal"}, why_not="others are better"),
        LinkReason(link="office", place=1, criteria={"captive": "unknown", "order": "place 1"}, why_not=None),
    ]
    text = shown(run, socket_path, links=links)
    assert [line.rstrip() for line in text.splitlines()] == [
        "Policy voice-on-lte: Calls over LTE",
        "",
        "LINK    PLACE  CRITERIA",
        "office  1      captive: unknown, order: place 1",
        "wlan0   2      captive: no portal",
        "               not used: others are better",
        "lte     none   captive: unknown",
        "               not used: its path is dead",
        "a       none   not used: no carrier",
        "",
        "Default traffic: office",
        "  because it is the only link that works",
        "Flow call: lte, office",
        "  because the flow goes via lte, office",
    ]


def test_a_packet_is_explained_last(run: Run, socket_path: Path) -> None:
    packet = Reason(what="flow signalling", links=["lte"], why="the flow goes via lte")
    text = shown(run, socket_path, "udp", TO, "5060", packet=packet)
    assert text.endswith("\n\nThe packet belongs to flow signalling: lte\n  because the flow goes via lte\n")


def test_what_no_link_carries_is_said_to_be(run: Run, socket_path: Path) -> None:
    nowhere = [Reason(what="default traffic", links=[], why="no link works")]
    text = shown(run, socket_path, links=[], traffic=nowhere)
    assert "LINK" not in text
    assert "Default traffic: carried by no link: no link works\n" in text


@pytest.mark.parametrize(
    ("arguments", "packet"),
    [
        ((), None),
        (("udp", TO, "5060"), {"protocol": 17, "to": TO, "port": 5060}),
        (("UDP", TO, "5060"), {"protocol": 17, "to": TO, "port": 5060}),
        (("17", "2001:DB8:0::1", "0"), {"protocol": 17, "to": TO, "port": 0}),
        (("udplite", TO, "65535"), {"protocol": 136, "to": TO, "port": 65535}),
        (
            ("tcp", TO, "443", "--local-port", "5000", "--dscp", "af41", "--flow-label", "0xfffff"),
            {"protocol": 6, "to": TO, "port": 443, "local_port": 5000, "dscp": 34, "flow_label": 0xFFFFF},
        ),
        (("tcp", TO, "443", "--dscp", "46"), {"protocol": 6, "to": TO, "port": 443, "dscp": 46}),
        (("tcp", TO, "443", "--dscp", "cs0"), {"protocol": 6, "to": TO, "port": 443, "dscp": 0}),
        (("esp", TO, "--spi", "0x1000"), {"protocol": 50, "to": TO, "spi": 4096}),
        (("icmpv6", TO), {"protocol": 58, "to": TO}),
        (("255", TO), {"protocol": 255, "to": TO}),
    ],
)
def test_a_packet_is_asked_about_as_it_is_said(
    run: Run, socket_path: Path, arguments: tuple[str, ...], packet: object
) -> None:
    assert asked(run, socket_path, *arguments) == packet


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("udp",), "at least PROTOCOL and ADDRESS"),
        (("--dscp", "ef"), "at least PROTOCOL and ADDRESS"),
        (("--local-port", "0"), "at least PROTOCOL and ADDRESS"),
        (("udp", TO), "say to which PORT"),
        (("sctp", TO, "--local-port", "5"), "say to which PORT"),
        (("esp", TO, "500"), "this protocol has no ports"),
        (("icmpv6", TO, "--local-port", "5"), "this protocol has no ports"),
        (("upd", TO, "5060"), "'upd': must be a protocol: tcp, udp"),
        (("256", TO, "5060"), "'256': must be a protocol"),
        (("udp", "192.0.2.1", "5060"), "'192.0.2.1': must be an IPv6 address"),
        (("udp", "example.org", "5060"), "'example.org': must be an IPv6 address"),
        (("udp", TO, "65536"), "65536 is not in the range"),
        (("udp", TO, "sip"), "'sip' is not a valid integer"),
        (("udp", TO, "1", "--local-port", "-1"), "-1 is not in the range"),
        (("udp", TO, "1", "--dscp", "64"), "'64': must be a DSCP"),
        (("udp", TO, "1", "--dscp", "ef-cs7"), "'ef-cs7': a packet has one, not a range"),
        (("esp", TO, "--spi", "x"), "'x': must be an SPI"),
        (("udp", TO, "1", "--flow-label", "0x100000"), "must be a flow label"),
        (("udp", TO, "1", "2"), "unexpected extra argument"),
    ],
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...], words: str) -> None:
    done = run("policy", "explain", *arguments)
    assert (done.exit_code, done.stdout) == (USAGE, "")
    assert "Usage: monami6 policy explain" in done.stderr
    assert words in " ".join(done.stderr.split())


def test_it_fits_80_columns(run: Run, socket_path: Path) -> None:
    criteria = {
        "captive": "behind a captive portal",
        "metered": "not metered",
        "loss": "100 % of probes lost",
        "rtt": "1234.5 ms",
        "order": "place 12",
    }
    long = LinkReason(link="a-link-with-a-name", place=1, criteria=criteria, why_not="word " * 40)
    lines = shown(run, socket_path, links=[long], description="word " * 40).splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(" ".join(lines).split())
    for name, known in criteria.items():
        assert f"{name}: {known}" in words


def test_markup_is_only_text(run: Run, socket_path: Path) -> None:
    odd = [LinkReason(link="[red]x[/red]", place=1, criteria={}, why_not="[dim]y[/dim]")]
    text = shown(run, socket_path, links=odd, description="[bold]z[/bold]")
    for word in ("[red]x[/red]", "[dim]y[/dim]", "[bold]z[/bold]"):
        assert word in text


def test_no_color_is_honoured(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in shown(run, socket_path)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(run, socket_path)


def test_json_is_the_agents_answer_octet_by_octet(run: Run, socket_path: Path) -> None:
    written = b'{"schema":1,"new":[ 1 ],"name":"\xc3\xa4"}'
    with FakeDaemon(socket_path, {"explain": b'{"version":1,"result":' + written + b"}\n"}):
        done = run("policy", "explain", "--json")
    assert (done.exit_code, done.stdout_bytes) == (0, written + b"\n")


def test_json_has_its_schema_version_inside(run: Run, socket_path: Path) -> None:
    assert json.loads(shown(run, socket_path, "--json", "udp", TO, "53"))["schema"] == 1


@pytest.mark.parametrize("answer", [{"schema": 2}, {"schema": 1}, {}])
def test_an_agent_of_another_version_is_told_apart(run: Run, socket_path: Path, answer: object) -> None:
    with FakeDaemon(socket_path, {"explain": result(answer)}):
        done = run("policy", "explain")
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert "restart the daemon" in done.stderr


@pytest.mark.parametrize("kind", ["method", "request"])
def test_the_agents_no_is_a_failure(run: Run, socket_path: Path, kind: str) -> None:
    with FakeDaemon(socket_path, {"explain": refusal(kind, "that is why")}):
        done = run("policy", "explain")
    assert (done.exit_code, done.stdout) == (FAILED, "")
    assert "that is why" in done.stderr


def test_without_an_agent(run: Run) -> None:
    assert run("policy", "explain").exit_code == NOT_RUNNING


def test_an_agent_that_hangs_is_given_up(run: Run, socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monami6.client.Client.ask.__defaults__", (0.1,))
    with FakeDaemon(socket_path, {"explain": None}):
        assert run("policy", "explain").exit_code == TIMED_OUT
