"""monami6-ha init and add-node."""

import re
import sys
import tomllib
from pathlib import Path

import numpy
import pytest
import zxingcpp
from click.testing import CliRunner, Result

import home_agent.init
from home_agent import config
from home_agent.__main__ import main
from mip6.enrolment import Enrolment, SharedKey, decode

INIT = ("init", "--address", "2001:db8:aa::1", "--prefix", "2001:db8:f00::/64", "--yes")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home-agent.toml"


def run(path: Path, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["--config", str(path), *arguments], input=typed, prog_name="monami6-ha")


def enrolled(done: Result) -> Enrolment:
    assert (done.exit_code, done.stdout.count("\n")) == (0, 1), done.output
    return decode(done.stdout)


def test_a_home_agent_and_a_node_come_out_of_nothing(path: Path) -> None:
    assert run(path, *INIT).exit_code == 0
    enrolment = enrolled(run(path, "add-node", "laptop"))
    settings = config.read(path)
    (node,) = settings.node
    assert (enrolment.home_agent, enrolment.home_address) == (settings.home_agent.address, node.home_address)
    assert enrolment.protection == SharedKey(node.spi or 0, node.key or b"")
    assert path.stat().st_mode & 0o777 == 0o600


def test_comments_survive(path: Path) -> None:
    run(path, *INIT)
    before = path.read_text() + "max_flows = 9    # enough for us\n# the end, without a line of its own"
    path.write_text(before)
    for name in ("laptop", "phone"):
        enrolled(run(path, "add-node", name))
    assert path.read_text().startswith(before)
    assert config.read(path).home_agent.max_flows == 9
    assert [node["name"] for node in tomllib.loads(path.read_text())["node"]] == ["laptop", "phone"]


@pytest.mark.parametrize("mode", ["auth-option", "manual", "ikev2"])
def test_every_mode_can_be_had_and_the_secret_is_in_the_string_only(path: Path, mode: str) -> None:
    run(path, *INIT, "--ikev2", "ha.example.org")
    done = run(path, "add-node", "laptop", "--mode", mode)
    enrolled(done)
    (node,) = config.read(path).node
    assert node.security == mode
    found = re.findall(r'(?:key|secret) = "(\w+)"', path.read_text())
    assert found
    assert not [secret for secret in found if secret in done.output]


def test_options_say_who_it_is(path: Path) -> None:
    run(path, *INIT)
    enrolment = enrolled(
        run(path, "add-node", "laptop", "--identity", "me@example.org", "--home-address", "2001:db8:f00::77")
    )
    assert (enrolment.identity, str(enrolment.home_address)) == ("me@example.org", "2001:db8:f00::77")


def test_the_qr_code_can_be_read(path: Path) -> None:
    run(path, *INIT)
    done = run(path, "add-node", "laptop", "--qr")
    string, *rows = done.stdout.splitlines()
    halves = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    pixels = [[halves[one][half] * 255 for one in row] for row in rows if row for half in (0, 1)]
    image = numpy.array(pixels, dtype=numpy.uint8).repeat(4, axis=0).repeat(4, axis=1)
    (code,) = zxingcpp.read_barcodes(image)
    assert (code.text, max(map(len, rows)) <= 80) == (string, True)


def test_without_the_library_that_draws_nothing_is_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(path, *INIT)
    before = path.read_text()
    monkeypatch.setitem(sys.modules, "segno", None)
    done = run(path, "add-node", "laptop", "--qr")
    assert (done.exit_code, path.read_text()) == (2, before)
    assert "pip install 'monami6[qr]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("laptop",), "name laptop: another node has it already"),
        (("phone", "--mode", "ikev2"), "needs a table [ikev2]"),
        (("phone", "--home-address", "fe80::1"), "must be a global or unique local IPv6 address"),
        (("phone", "--home-address", "nonsense"), "must be a global or unique local IPv6 address"),
        (("phone", "--identity", "phone"), 'must look like "laptop@example.org"'),
        (("bus", "--prefix", "auto"), "no prefix of length 64 is free"),
        (("bus", "--prefix", "auto/129"), "has 1 to 128 bits"),
        (("bus", "--prefix", "nonsense"), "must be an IPv6 prefix without host bits"),
        (("bus", "--prefix", "2001:db8::/32"), "the home agent's own address is in it"),
    ],
)
def test_a_wrong_wish_changes_nothing(path: Path, arguments: tuple[str, ...], what: str) -> None:
    run(path, *INIT)
    run(path, "add-node", "laptop")
    before = path.read_text()
    done = run(path, "add-node", *arguments)
    assert (done.exit_code, path.read_text(), done.stdout) == (2, before, "")
    assert what in done.stderr


def test_a_file_that_is_wrong_is_left_alone(path: Path) -> None:
    path.write_text("[home_agent]\naddress = 7\n")
    path.chmod(0o600)
    done = run(path, "add-node", "laptop")
    assert (done.exit_code, path.read_text()) == (2, "[home_agent]\naddress = 7\n")
    assert f"{path}:2: home_agent.address = 7" in done.stderr


def test_nodes_in_one_line_cannot_be_added_to(path: Path) -> None:
    run(path, *INIT)
    path.write_text("node = []\n" + path.read_text())
    before = path.read_text()
    done = run(path, "add-node", "laptop")
    assert (done.exit_code, path.read_text()) == (2, before)
    assert f"{path} would be wrong with a table added at its end" in done.stderr


def test_a_configuration_is_never_replaced_unasked(path: Path) -> None:
    run(path, *INIT)
    before = path.read_text()
    done = run(path, *INIT, "--ikev2", "ha")
    assert (done.exit_code, path.read_text()) == (2, before)
    assert "--force" in done.stderr
    assert run(path, *INIT, "--ikev2", "ha", "--force").exit_code == 0
    assert path.read_text() != before


def test_it_finds_its_own_address_and_asks_for_a_prefix(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_agent.init, "_ANYWHERE", "::1")  # the way to ourselves is the one that is always there
    done = run(path, "init", typed="not a prefix\n2001:db8:f00::/64\ny\n")
    assert done.exit_code == 2, "the loopback address is no address for a home agent"
    assert "a prefix that is routed to ::1" in done.stderr
    assert "must be an IPv6 prefix without host bits, such as 2001:db8:f00::/64" in done.stderr
    assert not path.exists()


def test_without_an_address_it_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_agent.init, "_ANYWHERE", "::ffff:0:0:1%nonsense")
    done = run(path, "init", "--prefix", "2001:db8:f00::/64", "--yes")
    assert done.exit_code == 2
    assert "give --address" in done.stderr


def test_it_says_which_prefix_it_needs(path: Path) -> None:
    done = run(path, "init", "--address", "2001:db8:aa::1", "--yes")
    assert done.exit_code == 2
    assert "--prefix is missing: a prefix that is routed to 2001:db8:aa::1" in done.stderr
    done = run(path, "init", "--address", "2001:db8:f00::1", "--prefix", "2001:db8:f00::/64", "--yes")
    assert done.exit_code == 2
    assert "it must be another one" in done.stderr
    assert not path.exists()


def test_who_says_no_gets_nothing(path: Path) -> None:
    done = run(path, *INIT[:-1], typed="n\n")
    assert (done.exit_code, path.exists()) == (1, False)
    assert "2001:db8:f00::/64" in done.stderr


def test_a_mobile_router_gets_a_prefix_and_hears_of_it(path: Path) -> None:
    assert "Delegated      2001:db8:b05::/56" in run(path, *INIT, "--delegate", "2001:db8:b05::/56").stderr
    done = run(path, "add-node", "bus", "--prefix", "auto", "--prefix", "auto/60", "--prefix", "2001:db8:7::/64")
    expected = ("2001:db8:b05::/64", "2001:db8:b05:10::/60", "2001:db8:7::/64")
    assert enrolled(done).prefixes == expected
    (node,) = config.read(path).node
    assert tuple(map(str, node.prefixes)) == expected
    assert "monami6 setup --router INTERFACE" in done.stderr
