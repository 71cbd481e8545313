"""monami6 setup."""

import re
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mip6.enrolment import Enrolment, IkeSecret, Keys, Protection, SharedKey, StaticKeys, encode
from mip6.ipsec import protected_mtu
from mn_agent import config
from mn_agent.core.links import Link
from monami6.__main__ import main
from monami6.exits import FAILED, USAGE

KEY = bytes(range(0xA0, 0xB0))
OPTIONS = (
    *("--home-agent", "2001:db8:aa::1"),
    *("--home-address", "2001:db8:f00::10"),
    *("--identity", "laptop@example.org"),
)


def string(protection: Protection, *prefixes: str) -> str:
    addresses = IPv6Address("2001:db8:aa::1"), IPv6Address("2001:db8:f00::10")
    return encode(Enrolment(*addresses, "laptop@example.org", protection, prefixes))


SHARED = string(SharedKey(1234, KEY))
ROUTER = string(SharedKey(1234, KEY), "2001:db8:b05::/56")
Setup = Callable[..., Result]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "monami6" / "agent.toml"


@pytest.fixture
def setup(path: Path) -> Setup:
    def invoke(*arguments: str, typed: str = "") -> Result:
        done = CliRunner().invoke(main, ["setup", "--config", str(path), *arguments], input=typed)
        assert KEY.hex() not in done.output
        return done

    return invoke


@pytest.mark.parametrize(
    ("protection", "security"),
    [
        (SharedKey(1234, KEY), "auth-option"),
        (IkeSecret("ha.example.org", KEY), "ikev2"),
        (StaticKeys(Keys(1000, KEY, KEY * 2), Keys(1001, KEY, KEY * 2)), "manual"),
    ],
)
def test_a_string_says_it_all(setup: Setup, path: Path, protection: Protection, security: str) -> None:
    done = setup(string(protection), "--yes")
    assert done.exit_code == 0
    settings = config.read(path)
    assert (str(settings.home.agent), str(settings.home.address)) == ("2001:db8:aa::1", "2001:db8:f00::10")
    assert settings.security.value == security
    assert path.stat().st_mode & 0o777 == 0o600
    for shown in ("2001:db8:aa::1", "2001:db8:f00::10", "laptop@example.org", security, str(path), "Links"):
        assert shown in done.stdout


@pytest.mark.parametrize(("arguments", "typed"), [((SHARED,), "y\n"), (("-",), f"{SHARED}\n"), ((), f"{SHARED}\n\n")])
def test_it_comes_as_an_argument_through_a_pipe_or_when_asked(
    setup: Setup, path: Path, arguments: tuple[str, ...], typed: str
) -> None:
    done = setup(*arguments, typed=typed)
    assert done.exit_code == 0, done.output
    assert config.read(path).authentication == config.read(path).authentication
    assert f'key = "{KEY.hex()}"' in path.read_text()
    if not arguments:
        assert SHARED not in done.output, "what is pasted is not shown"


def test_without_a_string_it_asks_for_what_no_option_says(setup: Setup, path: Path) -> None:
    answers = ["", "2001:db8:aa::x", "2001:db8:aa::1", "2001:db8:f00::10", "laptop@example.org", "", f"0x{KEY.hex()}"]
    done = setup(typed="".join(f"{answer}\n" for answer in [*answers, "y"]))
    assert done.exit_code == 0, done.output
    found = config.read(path).authentication
    assert found is not None
    assert (found.identity, found.spi, found.key) == ("laptop@example.org", 1000, KEY)


def test_options_need_no_answers(setup: Setup, path: Path, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY.hex()}\n")
    done = setup(*OPTIONS, "--spi", "4711", "--key-file", str(key_file), "--yes")
    assert done.exit_code == 0, done.output
    found = config.read(path).authentication
    assert found is not None
    assert (found.spi, found.key) == (4711, KEY)


def test_the_key_may_come_through_a_pipe_and_be_for_ikev2(setup: Setup, path: Path) -> None:
    done = setup(*OPTIONS, "--key-file", "-", "--ikev2", "ha.example.org", typed=KEY.hex())
    assert done.exit_code == 0, done.output
    ikev2 = config.read(path).ikev2
    assert ikev2 is not None
    assert (ikev2.identity, ikev2.home_agent_identity, ikev2.secret) == ("laptop@example.org", "ha.example.org", KEY)


def test_the_home_agent_may_have_a_name(setup: Setup, path: Path) -> None:
    done = setup("--home-agent", "ha.example.net", *OPTIONS[2:], "--key-file", "-", typed=KEY.hex())
    assert done.exit_code == 0, done.output
    assert "Home agent     ha.example.net" in done.output
    assert 'agent = "ha.example.net"' in path.read_text()
    assert config.read(path).home.agent_name == "ha.example.net"


@pytest.mark.parametrize(
    ("arguments", "typed", "what"),
    [
        (("--yes",), "", "--home-agent, --home-address, --identity, --key-file"),
        ((*OPTIONS, "--yes"), "", "or --key-file"),
        (("MONAMI6-1-AAAA", "--yes"), "", "the enrolment string is damaged"),
        (("-",), "hello", "this is no enrolment string: it must look like MONAMI6-1-"),
        ((SHARED, "--spi", "300"), "", "the string says it all: leave out --spi"),
        ((SHARED, "--prefix", "2001:db8:b05::/64"), "", "the string says it all: leave out --prefix"),
        ((SHARED, "--router", "lan0"), "", "the home agent has no prefix for a network behind this machine"),
        ((ROUTER, "--yes"), "", "give --router INTERFACE, which leads there"),
        ((*OPTIONS, "--key-file", "/nonexistent", "--yes"), "", "--key-file /nonexistent: No such file"),
        ((*OPTIONS, "--key-file", "-", "--yes"), f"{KEY.hex()}zz", "must be 16 to 64 octets as hexadecimal digits"),
        ((*OPTIONS, "--key-file", "-", "--yes"), KEY.hex()[:20], "a secret of 16 to 64 octets as hexadecimal digits"),
        ((*OPTIONS, "--spi", "7"), "", "is not in the range"),
        (("--home-agent", "ff02::1"), "", "must be a global or unique local IPv6 address, such as 2001:db8::1"),
        (
            (*OPTIONS, "--identity", "laptop", "--key-file", "-", "--yes"),
            KEY.hex(),
            'authentication.identity = "laptop": must look like "laptop@example.org"',
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    setup: Setup, path: Path, arguments: tuple[str, ...], typed: str, what: str
) -> None:
    done = setup(*arguments, typed=typed)
    assert done.exit_code == USAGE
    assert what in re.sub(r"\s+", " ", done.stderr)
    assert not path.exists()
    assert not path.parent.exists() or not list(path.parent.iterdir())


def test_what_is_there_stays_unless_it_is_forced(setup: Setup, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine")
    done = setup(SHARED, "--yes")
    assert (done.exit_code, path.read_text()) == (USAGE, "mine")
    assert "--force" in done.stderr
    assert setup(SHARED, "--yes", "--force").exit_code == 0
    assert config.read(path).authentication is not None


def test_who_says_no_gets_nothing(setup: Setup, path: Path) -> None:
    done = setup(SHARED, typed="n\n")
    assert (done.exit_code, path.exists()) == (FAILED, False)


def test_the_links_of_this_machine_are_shown(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError("no netlink here")

    assert re.search(r"Links +\S+", setup(SHARED, "--yes").stdout)
    monkeypatch.setattr("mn_agent.system.found_links.found_links", refuse)
    assert "cannot be looked at: no netlink here" in setup(SHARED, "--yes", "--force").stdout


@pytest.mark.parametrize(
    ("protection", "mtu"), [(SharedKey(1234, KEY), 1460), (IkeSecret("ha.example.org", KEY), protected_mtu(1500))]
)
def test_a_mobile_router_is_told_what_else_it_needs(
    setup: Setup, path: Path, protection: Protection, mtu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = [Link(1, "wifi", "wifi", 3, "wlan0"), Link(2, "lte", "lte", 4, "wwan0", has_router=False)]
    monkeypatch.setattr("mn_agent.system.found_links.found_links", lambda _: links)
    done = setup(string(protection, "2001:db8:b05::/56"), "--router", "lan0", "--router", "lan1", "--yes")
    assert done.exit_code == 0, done.output
    router = config.read(path).router
    assert (router.interfaces, router.prefixes) == (("lan0", "lan1"), (IPv6Network("2001:db8:b05::/56"),))
    for shown in (
        "Behind it      2001:db8:b05::/56 at lan0, lan1",
        "net.ipv6.conf.wlan0.forwarding = 0\n    net.ipv6.conf.lan0.forwarding = 1",
        "ip -6 address add 2001:db8:b05:1::1/64 dev lan1",
        "interface lan1 {",
        f"AdvLinkMTU {mtu};\n        prefix 2001:db8:b05:1::/64 {{ }};",
        "/etc/systemd/network/70-lan0.network",
        "[IPv6Prefix]\n    Prefix=2001:db8:b05::/64",
    ):
        assert shown in done.stdout
    assert "wwan0" not in done.stdout.partition("sysctl.d")[2]


def test_a_mobile_router_by_options(setup: Setup, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise OSError("no netlink here")

    monkeypatch.setattr("mn_agent.system.found_links.found_links", refuse)
    more = ("--router", "lan0", "--prefix", "2001:db8:b05::/64", "--key-file", "-", "--yes")
    done = setup(*OPTIONS, *more, typed=KEY.hex())
    assert done.exit_code == 0, done.output
    assert config.read(path).router.prefixes == (IPv6Network("2001:db8:b05::/64"),)
    assert "AdvLinkMTU 1460;" in done.stdout
