"""monami6-ha radvd; what radvd makes of it is told in tests/kernel/test_router_advertisements.py."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from home_agent.__main__ import main

NODE = """
[[node]]
name = "laptop"
identity = "laptop@example.org"
home_address = "2001:db8:f00:7::10"
spi = 1000
key = "00112233445566778899aabbccddeeff"
"""


def run(path: Path, own: str, more: str = "") -> Result:
    path.write_text(f"[home_agent]\n{own}\n{more}")
    return CliRunner().invoke(main, ["radvd", "--config", str(path)], prog_name="monami6-ha")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home-agent.toml"


def prefixes(text: str) -> list[str]:
    return [line.split()[1] for line in text.splitlines() if line.strip().startswith("prefix")]


@pytest.mark.req("HA-21")
def test_it_prints_what_radvd_has_to_tell(path: Path) -> None:
    own = 'address = "2001:db8:f00::2"\nprefixes = ["2001:db8:f00::/48"]\nhome_link = "eth1"\npreference = 7'
    done = run(path, own, NODE)
    assert done.exit_code == 0
    for part in ("interface eth1 {", "AdvHomeAgentFlag on;", "AdvHomeAgentInfo on;", "HomeAgentPreference 7;"):
        assert part in done.output
    assert prefixes(done.output) == ["2001:db8:f00::2/64", "2001:db8:f00:7::/64"]
    assert done.output.count("AdvRouterAddr on;") == 1


def test_a_preference_that_cannot_be_told_is_the_lowest(path: Path) -> None:
    own = 'address = "2001:db8:f00::2"\nprefixes = ["2001:db8:f00::/64"]\nhome_link = "eth1"\npreference = -7'
    done = run(path, own)
    assert "HomeAgentPreference 0;" in done.output
    assert prefixes(done.output) == ["2001:db8:f00::2/64"]


@pytest.mark.parametrize(
    ("own", "status", "why"),
    [
        ('address = "2001:db8:f00::2"\nprefixes = ["2001:db8:f00::/64"]', 1, "there is no home link"),
        ('address = "2001:db8::2"\nprefixes = ["2001:db8:f00::/64"]\nhome_link = "eth1"', 1, "name it as [[peer]]"),
        ('address = "2001:db8::2"', 2, "prefixes: is missing"),
    ],
)
def test_where_there_is_nothing_to_tell_it_says_why(path: Path, own: str, status: int, why: str) -> None:
    done = run(path, own)
    assert (done.exit_code, done.stdout) == (status, "")
    assert why in done.stderr


@pytest.mark.req("NEMO-21")
def test_it_tells_whether_mobile_routers_are_served(path: Path) -> None:
    own = 'address = "2001:db8:f00::2"\nprefixes = ["2001:db8:f00::/48"]\nhome_link = "eth1"'
    flag = "AdvMobRtrSupportFlag on;"
    assert flag not in run(path, own, NODE).output
    assert flag in run(path, own, f'{NODE}prefixes = "2001:db8:b05::/56"\n').output
