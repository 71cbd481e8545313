"""Policy files: those that come with the project, and what is wrong with others."""

import os
import random
import re
import string
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from mip6.config import ConfigError
from mip6.wire.traffic_selectors import Span
from mn_agent.core.flows import MOST_SELECTORS
from mn_agent.core.policy_file import FlowRule, Policy, Ranking
from mn_agent.system import policies

SHIPPED = Path(__file__).parents[4] / "policies"
NAMES = ("lowest-latency", "prefer-unmetered", "prefer-wired", "redundant", "voice-on-lte")

FULL = """
description = "everything there is"

[links]
rank = ["captive", "loss", "metered", "rtt", "order"]
order = ["ethernet", "wlan*"]
return_after_s = 7.5
most_loss_percent = 2
rtt_margin_ms = 5

[[flow]]
name = "call"
via = ["lte", "wifi"]
copies = 2
protocol = ["udp", 200]
port = [5060, "16384-32767"]
local_port = 9
to = "2001:db8::/32"
dscp = ["ef", "cs1-cs2", 3]
flow_label = 7
user = "root"

[[flow]]
name = "tunnel"
spi = ["0x1000-0x1fff", 7]
protocol = "esp"
cgroup = "system.slice/a.service"
"""


@pytest.fixture(autouse=True)
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr(policies, "DIRECTORIES", (own, SHIPPED))
    return own, SHIPPED


def read(tmp_path: Path, text: str) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return policies.read(path)


def wrong(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_the_policies_that_come_with_the_project() -> None:
    assert tuple(policies.names()) == NAMES
    for name in NAMES:
        flows = policies.use(name)
        assert (flows.name, flows.missing) == (name, frozenset())
        assert flows.policy.description


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    assert read(tmp_path, FULL) == Policy(
        description="everything there is",
        links=Ranking(
            rank=("captive", "loss", "metered", "rtt", "order"),
            order=("ethernet", "wlan*"),
            return_after_s=7.5,
            most_loss_percent=2,
            rtt_margin_ms=5,
        ),
        flow=(
            FlowRule(
                name="call",
                via=("lte", "wifi"),
                copies=2,
                protocol=(17, 200),
                port=(Span.only(5060), Span(16384, 32767)),
                local_port=(Span.only(9),),
                to=(IPv6Network("2001:db8::/32"),),
                dscp=(Span.only(46), Span(8, 16), Span.only(3)),
                flow_label=(Span.only(7),),
                user="0",
            ),
            FlowRule(
                name="tunnel",
                spi=(Span(0x1000, 0x1FFF), Span.only(7)),
                protocol=(50,),
                cgroup="system.slice/a.service",
            ),
        ),
    )


def flow(text: str) -> str:
    return f'description = "x"\n[[flow]]\nname = "a"\n{text}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "policy.toml: description: is missing; it must be a text in quotes that is not empty"),
        ('descripton = "x"', 'policy.toml:1: descripton = "x": unknown key; did you mean description?'),
        (flow('protocol = "upd"'), 'policy.toml:4: flow[1].protocol = "upd": must be a protocol: tcp, udp, '),
        (flow("protocol = 256"), "policy.toml:4: flow[1].protocol = 256: must be a protocol: "),
        (flow("protocol = true"), "policy.toml:4: flow[1].protocol = true: must be a protocol: "),
        (
            flow("port = 65536"),
            'policy.toml:4: flow[1].port = 65536: must be a port, or a range such as "16384-32767"',
        ),
        (flow('port = "9-8"'), 'policy.toml:4: flow[1].port = "9-8": must be a port, or a range such as'),
        (flow("port = [1, 1.5]"), "policy.toml:4: flow[1].port[2] = 1.5: must be a port, or a range such as"),
        (flow('dscp = "af44"'), 'policy.toml:4: flow[1].dscp = "af44": must be a DSCP such as "ef", "af41" or 46'),
        (flow('to = "2001:db8::1/32"'), 'policy.toml:4: flow[1].to = "2001:db8::1/32": must be an IPv6 prefix'),
        (flow("copies = 8"), "policy.toml:4: flow[1].copies = 8: must be a whole number from 1 to 7"),
        (flow("copies = 2\nvia = 'lte'"), "policy.toml:4: flow[1].copies = 2: via must name as many links"),
        (flow("port = 9\nspi = 9"), "policy.toml:5: flow[1].spi: a packet has either ports or an SPI, not both"),
        (flow("port = 9\nprotocol = 'esp'"), "policy.toml:5: flow[1].protocol: has no ports; must be tcp, udp"),
        (flow("spi = 9\nprotocol = 'tcp'"), "policy.toml:5: flow[1].protocol: has no SPI; must be esp or ah"),
        (flow('user = "nobody-at-all"'), 'policy.toml:4: flow[1].user = "nobody-at-all": must be a user of this'),
        (flow("user = '4294967295'"), 'policy.toml:4: flow[1].user = "4294967295": must be a user of this'),
        (flow("cgroup = 'a/../b'"), 'policy.toml:4: flow[1].cgroup = "a/../b": must look like'),
        (flow("cgroup = 'a; drop'"), 'policy.toml:4: flow[1].cgroup = "a; drop": must look like'),
        (
            flow('[[flow]]\nname = "a"'),
            'policy.toml:5: flow[2].name = "a": another flow has it already',
        ),
        (
            flow(f"port = {list(range(1, 30))}\nlocal_port = {list(range(1, 30))}"),
            "policy.toml:2: flow[1]: makes 841 combinations of what it lists with those before; "
            f"at most {MOST_SELECTORS} fit",
        ),
        (
            'description = "x"\n[links]\nrank = ["speed"]',
            'policy.toml:3: links.rank[1] = "speed": must be one of captive',
        ),
        (
            'description = "x"\n[flow]\nname = "a"',
            "policy.toml:2: flow: begin it by [[flow]], for there may be several",
        ),
    ],
)
def test_what_is_wrong_where_and_how_it_should_be(tmp_path: Path, text: str, message: str) -> None:
    assert wrong(tmp_path, text).startswith(message)


def test_the_administrators_comes_before_the_one_that_came_with_the_project(directories: tuple[Path, Path]) -> None:
    own, _ = directories
    (own / "prefer-wired.toml").write_text('description = "ours"')
    (own / "Not A Name.toml").write_text("?")
    assert policies.use("prefer-wired").policy.description == "ours"
    assert tuple(policies.names()) == NAMES


def test_a_policy_may_be_a_file_somewhere(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('description = "mine"')
    assert policies.use(f"{tmp_path}/mine.toml").policy.description == "mine"


def test_a_policy_that_there_is_not() -> None:
    with pytest.raises(ConfigError, match="no policy is called best; there are: lowest-latency, prefer-unmetered"):
        policies.use("best")


def test_control_groups_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "_CGROUPS", tmp_path / "groups")
    (tmp_path / "mine.toml").write_text(flow('cgroup = "a.slice/b.service"'))
    flows = policies.use(f"{tmp_path}/mine.toml")
    assert flows.missing == {"a"}
    (tmp_path / "groups/a.slice/b.service").mkdir(parents=True)
    found = policies.renew(flows)
    assert found.missing == frozenset()
    assert policies.renew(found) == found
    plain = policies.use("prefer-wired")
    assert policies.renew(plain) is plain


# Policies with something wrong in them: a hundred, made from good ones

_TEXTS = [FULL, *((SHIPPED / f"{name}.toml").read_text() for name in NAMES)]
_WORDS = (
    "true",
    "-1",
    "1e9",
    '"ff-ee"',
    "[]",
    "{}",
    '"' + "x" * 300 + '"',
    "0x",
    "[[1]]",
    "2020-01-01",
    '"\\u0000"',
    "nan",
)


def _spoil(text: str, chance: random.Random) -> str:
    """One small accident."""
    lines = text.splitlines()
    place = chance.randrange(len(lines))
    match chance.randrange(6):
        case 0:
            lines[place] = lines[place].partition("=")[0] + f"= {chance.choice(_WORDS)}"
        case 1:
            lines[place] = lines[place].replace("o", chance.choice("0aou"), 1)
        case 2:
            del lines[place]
        case 3:
            lines.insert(place, lines[chance.randrange(len(lines))])
        case 4:
            at = chance.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:at] + chance.choice(string.printable) + lines[place][at:]
        case 5:
            lines[place] = re.sub(r"\d+", lambda _: str(chance.randrange(1 << 20)), lines[place])
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(100))
def test_a_spoiled_policy_is_taken_or_refused_with_the_place_and_the_right_form(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    text = chance.choice(_TEXTS)
    for _ in range(chance.randrange(1, 4)):
        text = _spoil(text, chance)
    path = tmp_path / "spoiled.toml"
    path.write_text(text)
    try:
        flows = policies.use(str(path))
    except ConfigError as error:
        for line in str(error).splitlines():
            assert re.match(rf"{re.escape(os.fspath(path))}(:\d+)?: ", line), line
            assert re.search(
                r": (must|not TOML|unknown key|is missing|begin it|another|a packet|has no|makes|via)\b", line
            ), line
    else:
        assert flows.policy.description
