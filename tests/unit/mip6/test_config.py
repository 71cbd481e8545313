"""Configuration files: what is wrong, where, and how it should be."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from home_agent import config as home_agent_config
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6 import config, toml_text
from mip6.config import ConfigError, line_numbers, load, parse
from mip6.form import Choice, Key, Range, Spelled
from mip6.ike import Certificates
from mn_agent import config as agent_config
from mn_agent.core.settings import UNKNOWN
from mn_agent.core.settings import Settings as AgentSettings


@dataclass(frozen=True, kw_only=True)
class Thing:
    name: str
    key: Key
    weight: Annotated[float, Range(0.5, 2)] = 1.0


@dataclass(frozen=True, kw_only=True)
class Everything:
    address: IPv6Address
    count: Annotated[int, Range(1, 9, "a whole number")] = 1
    on: bool = False
    prefixes: tuple[IPv6Network, ...] = ()
    maybe: str | None = None
    thing: tuple[Thing, ...] = ()
    one: Thing | None = field(default=None)


PATH = Path("/etc/thing.toml")
KEY = "00112233445566778899aabbccddeeff"
GOOD = f"""
address = "2001:db8::1"
count = 3
on = true
prefixes = ["2001:db8::/48"]

[[thing]]
name = "a"
key = "0x{KEY}"
weight = 2

[[thing]]
name = "b"
key = "{KEY}"
"""


def wrong(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, Everything, PATH)
    return str(caught.value).splitlines()


def test_a_good_file() -> None:
    found = parse(GOOD, Everything, PATH)
    assert found.address == IPv6Address("2001:db8::1")
    assert (found.count, found.on, found.maybe) == (3, True, None)
    assert found.prefixes == (IPv6Network("2001:db8::/48"),)
    assert found.thing[0] == Thing(name="a", key=bytes.fromhex(KEY), weight=2.0)


NUMBER = "must be a whole number from 1 to 9"
NO_NAMES = "ha", "ha..net", "-ha.net", "ha_1.net", "192.0.2.1", "::", "fe80::1"
ADDRESS_OR_NAME = (
    'a global or unique local IPv6 address, or a whole host name, such as "2001:db8::1" or "ha.example.net"'
)
PREFIX = 'an IPv6 prefix without host bits, such as "2001:db8::/48"'
KNOWN = "unknown key; known here: address, count, on, prefixes, maybe, thing, one"
TEXT = "a text in quotes that is not empty"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count = 3", "count = 30", f"3: count = 30: {NUMBER}"),
        ("count = 3", 'count = "3"', f'3: count = "3": {NUMBER}'),
        ("count = 3", "count = true", f"3: count = true: {NUMBER}"),
        ("count = 3", "cuont = 3", "3: cuont = 3: unknown key; did you mean count?"),
        ("count = 3", "zzz = 3", f"3: zzz = 3: {KNOWN}"),
        ("count = 3", "[zzz]\ncount = 3", f"3: zzz: {KNOWN}"),
        ("on = true", "on = 1", "4: on = 1: must be true or false"),
        (
            "2001:db8::1",
            "fe80::1",
            '2: address = "fe80::1": must be a global or unique local IPv6 address, such as "2001:db8::1"',
        ),
        ('["2001:db8::/48"]', '["2001:db8::1/48"]', f'5: prefixes[1] = "2001:db8::1/48": must be {PREFIX}'),
        ('["2001:db8::/48"]', "7", f"5: prefixes = 7: must be {PREFIX}"),
        ("weight = 2", "weight = 3.5", "10: thing[1].weight = 3.5: must be a number from 0.5 to 2"),
        ("weight = 2", "weight = [1]", "10: thing[1].weight = [1]: must be a number from 0.5 to 2"),
        ('name = "b"', "", f"12: thing[2].name: is missing; it must be {TEXT}"),
        ('name = "b"', 'name = ""', f'13: thing[2].name = "": must be {TEXT}'),
    ],
)
def test_what_is_wrong_is_said_with_file_line_key_value_and_the_right_form(old: str, new: str, message: str) -> None:
    assert old in GOOD
    assert f"{PATH}:{message}" in wrong(GOOD.replace(old, new, 1))


def test_all_faults_are_said_at_once() -> None:
    assert len(wrong(GOOD.replace("count = 3", "count = 30").replace("on = true", "on = 1").replace('"a"', "5"))) == 3


def test_a_secret_is_never_shown() -> None:
    (line,) = wrong(GOOD.replace(KEY, "abcdef", 1))
    assert "abcdef" not in line
    assert line.endswith("thing[1].key: must be a secret of 16 to 64 octets as hexadecimal digits")


def test_a_missing_table_says_what_belongs_in_it() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Outer:
        thing: Thing

    with pytest.raises(ConfigError, match="thing: is missing; it must be a table with name, key"):
        parse("", Outer, PATH)
    with pytest.raises(ConfigError, match="thing = 3: must be a table"):
        parse("thing = 3", Outer, PATH)
    with pytest.raises(ConfigError, match=r"2: thing: begin it by \[\[thing\]\], for there may be several"):
        parse("address = '2001:db8::1'\n[thing]\nname = 'x'", Everything, PATH)


def test_what_is_no_toml_is_said_with_its_line() -> None:
    (line,) = wrong("address = '2001:db8::1'\ncount = = 3\n")
    assert line.startswith("/etc/thing.toml:2: not TOML: ")


class TestKeyFile:
    """A secret in a file of its own."""

    def text(self, file: str) -> str:
        return f"""address = "2001:db8::1"\n[one]\nname = "x"\nkey_file = "{file}"\n"""

    def test_beside_the_configuration(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text(f"{KEY}\n")
        found = parse(self.text("secret"), Everything, tmp_path / "thing.toml")
        assert found.one is not None
        assert found.one.key == bytes.fromhex(KEY)

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match='thing.toml:4: one.key_file = "secret": No such file or directory'):
            parse(self.text("secret"), Everything, tmp_path / "thing.toml")

    def test_that_holds_no_secret(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("12 monkeys")
        with pytest.raises(ConfigError, match="the file must hold a secret of 16 to 64 octets") as caught:
            parse(self.text("secret"), Everything, tmp_path / "thing.toml")
        assert "monkeys" not in str(caught.value)

    def test_that_is_no_path(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="one.key_file = 3: must be the path of a file"):
            parse(self.text("x").replace('"x"\n', "3\n").replace("name = 3", 'name = "x"'), Everything, tmp_path / "t")

    def test_beside_a_secret(self, tmp_path: Path) -> None:
        text = self.text("secret") + f'key = "{KEY}"\n'
        with pytest.raises(ConfigError, match="one.key_file: give either key or key_file, not both"):
            parse(text, Everything, tmp_path / "t")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load(tmp_path / "nothing.toml", Everything)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load(tmp_path / "latin.toml", Everything)


def test_line_numbers_of_every_kind_of_key() -> None:
    lines = line_numbers('a = 1\n[t]\n"b c" = 2\nd.e = 3\n[[l]]\nx = 1 # [no]\n[[l]]\nx = 2\n[t.u]\ny = 1\n')
    assert lines[("a",)] == 1
    assert lines[("t", "b c")] == 3
    assert lines[("t", "d", "e")] == 4
    assert (lines[("l", 0)], lines[("l", 1)], lines[("l", 1, "x")]) == (5, 7, 8)
    assert lines[("t", "u", "y")] == 10


AGENT = f"""[home]
address = "2001:db8:f00::100"
agent = "2001:db8:a::2"
[authentication]
identity = "laptop@example.org"
spi = 256
key = "{KEY}"
"""
HOME_AGENT = f"""[home_agent]
address = "2001:db8:a::2"
prefixes = ["2001:db8:f00::/48"]
[[node]]
name = "laptop"
identity = "laptop@example.org"
home_address = "2001:db8:f00::100"
spi = 256
key = "{KEY}"
"""


class TestAgent:
    """The agent's file."""

    def read(self, tmp_path: Path, text: str) -> AgentSettings:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return agent_config.read(path)

    def test_good(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, AGENT) is not None

    def test_a_home_agent_is_not_the_mobile_node(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="agent.toml:3: home.agent = .*: must differ from the home address"):
            self.read(tmp_path, AGENT.replace("a::2", "f00::100"))

    @pytest.mark.parametrize(
        ("written", "found"),
        [
            ('agent = "HA.example.net."', (UNKNOWN, "ha.example.net", None)),
            ('domain = "example.net"', (UNKNOWN, None, "example.net")),
            ('agent = "2001:db8:a::2"', (IPv6Address("2001:db8:a::2"), None, None)),
        ],
    )
    def test_a_home_agent_has_an_address_or_a_name_or_a_domain(
        self, tmp_path: Path, written: str, found: tuple[object, ...]
    ) -> None:
        home = self.read(tmp_path, AGENT.replace('agent = "2001:db8:a::2"', written)).home
        assert (home.agent, home.agent_name, home.domain) == found
        again = tmp_path / "again.toml"
        again.write_text(toml_text.document(self.read(tmp_path, AGENT.replace('agent = "2001:db8:a::2"', written))))
        assert agent_config.read(again).home == home

    @pytest.mark.parametrize(
        ("written", "why"),
        [
            *(
                (f'agent = "{name}"', f'3: home.agent = "{name}": must be {ADDRESS_OR_NAME}')
                for name in (
                    "ha",
                    "ha..net",
                    "-ha.net",
                    "ha_1.net",
                    "192.0.2.1",
                    "::",
                    "fe80::1",
                    f"{'a' * 64}.net",
                    "",
                )
            ),
            ("agent = 7", f"3: home.agent = 7: must be {ADDRESS_OR_NAME}"),
            ('domain = "example"', '3: home.domain = "example": must be a domain, such as "example.net"'),
            (
                "",
                "1: home.agent: is missing; it must be the home agent's address or host name, or give domain = ",
            ),
            (
                'agent = "ha.example.net"\ndomain = "example.net"',
                '4: home.domain = "example.net": there is agent = "ha.example.net" already',
            ),
            ('agent = "2001:db8:a::2"\ndomain = "example.net"', 'there is agent = "2001:db8:a::2" already'),
            (
                'agent_name = "ha.example.net"',
                '3: home.agent_name = "ha.example.net": unknown key; did you mean agent?',
            ),
        ],
    )
    def test_a_name_that_is_none_is_said(self, tmp_path: Path, written: str, why: str) -> None:
        with pytest.raises(ConfigError) as caught:
            self.read(tmp_path, AGENT.replace('agent = "2001:db8:a::2"', written))
        assert why in str(caught.value)

    def test_names_need_a_package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(config, "find_spec", lambda _: None)
        text = AGENT.replace("2001:db8:a::2", "ha.example.net")
        with pytest.raises(ConfigError, match="agent.toml:3: home.agent: needs the Python package dnspython"):
            self.read(tmp_path, text)
        with pytest.raises(ConfigError, match="agent.toml:3: home.domain: needs the Python package dnspython"):
            self.read(tmp_path, text.replace("agent = ", "domain = "))

    @pytest.mark.parametrize("twice", ["a::2", "f00::100", "a::3"])
    def test_every_home_agent_stands_there_once(self, tmp_path: Path, twice: str) -> None:
        text = AGENT.replace('a::2"', f'a::2"\nalternatives = ["2001:db8:a::3", "2001:db8:{twice}"]')
        with pytest.raises(ConfigError, match=f"agent.toml:4: home.alternatives: 2001:db8:{twice} must differ from"):
            self.read(tmp_path, text)

    def test_an_identity_has_a_realm(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match='agent.toml:5: .*identity = "laptop": must look like'):
            self.read(tmp_path, AGENT.replace("laptop@example.org", "laptop"))


HEX = "00" * 32
STATIC = f"""
[{{0}}.up]
spi = 256
encryption_key = "{KEY}"
integrity_key = "{HEX}"
[{{0}}.down]
spi = 257
encryption_key = "{KEY}"
integrity_key = "{HEX}"
"""
HOME = AGENT[: AGENT.index("[authentication]")]
IKEV2 = f"""
[ikev2]
identity = "laptop@example.org"
home_agent_identity = "ha.example.org"
secret = "{KEY}"
"""
CERTIFICATES = """
[ikev2.certificates]
own = "laptop.pem"
private_key = "laptop.key"
authority = "ca.pem"
"""


class TestSecurity:
    """How messages are protected, in either file."""

    def read(self, tmp_path: Path, text: str, mode: int = 0o600) -> AgentSettings:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        path.chmod(mode)
        for name, permissions in (("laptop.pem", 0o644), ("laptop.key", 0o600), ("ca.pem", 0o644)):
            (tmp_path / name).write_text(name)
            (tmp_path / name).chmod(permissions)
        return agent_config.read(path)

    @pytest.mark.parametrize(
        ("text", "mode"),
        [(AGENT, "auth-option"), (HOME + STATIC.format("manual"), "manual"), (HOME + IKEV2, "ikev2")],
    )
    def test_the_table_that_is_there_says_which(self, tmp_path: Path, text: str, mode: str) -> None:
        assert self.read(tmp_path, text).security.value == mode

    def test_certificates_are_read_from_their_files(self, tmp_path: Path) -> None:
        settings = self.read(tmp_path, HOME + IKEV2.replace(f'secret = "{KEY}"', "") + CERTIFICATES)
        assert settings.ikev2 is not None
        assert settings.ikev2.certificates == Certificates(
            own=b"laptop.pem", private_key=b"laptop.key", authority=b"ca.pem"
        )
        assert "laptop.key" not in repr(settings)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (HOME, "agent.toml: there must be .ikev2., .manual. or .authentication."),
            (AGENT + IKEV2, "authentication: there is .ikev2. already; messages are protected in one way"),
            (HOME + IKEV2.replace("laptop@", "laptop "), 'ikev2.identity = "laptop example.org": must look like'),
            (HOME + IKEV2 + CERTIFICATES, "ikev2: must have a secret, or .ikev2.certificates., and not both"),
            (HOME + IKEV2.replace(f'secret = "{KEY}"', ""), "ikev2: must have a secret, or"),
            (HOME + IKEV2 + CERTIFICATES.replace("ca.pem", "no.pem"), 'authority = "no.pem": No such file'),
            (HOME + IKEV2 + CERTIFICATES.replace('"ca.pem"', "3"), "authority = 3: must be the name of a file"),
            (HOME + STATIC.format("manual").replace(HEX, KEY), "manual.up.integrity_key: must be 32 octets"),
            (HOME + STATIC.format("manual").replace(f'"{KEY}"', f'"{KEY}00"'), "encryption_key: must be 16, 24 or 32"),
        ],
    )
    def test_what_cannot_be(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.read(tmp_path, text)

    def test_without_the_package_that_talks_to_strongswan(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("mip6.config.find_spec", lambda _name: None)
        with pytest.raises(ConfigError, match="ikev2: needs the Python package vici: pip install 'monami6.ikev2.'"):
            self.read(tmp_path, HOME + IKEV2)

    def test_keys_that_others_may_read_are_none(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="manual: others may read these keys: chmod 600 the file"):
            self.read(tmp_path, HOME + STATIC.format("manual"), 0o640)
        text = HOME + IKEV2.replace(f'secret = "{KEY}"', "") + CERTIFICATES.replace("laptop.key", "laptop.pem")
        with pytest.raises(ConfigError, match='private_key = "laptop.pem": others may read it: chmod 600'):
            self.read(tmp_path, text)


class TestRouteOptimization:
    """With whom the way is to be direct."""

    def read(self, tmp_path: Path, correspondents: str, security: str) -> AgentSettings:
        path = tmp_path / "agent.toml"
        path.write_text(f"{HOME}{security}\n[route_optimization]\ncorrespondents = {correspondents}\n")
        path.chmod(0o600)
        return agent_config.read(path)

    def test_addresses(self, tmp_path: Path) -> None:
        listed = '["2001:db8:cc::1", "2001:db8:dd:1::/64", "2001:db8:dd::/48", "2001:db8:cc::2"]'
        chosen = self.read(tmp_path, listed, STATIC.format("manual")).route_optimization
        assert chosen.hosts == {IPv6Address("2001:db8:cc::1"), IPv6Address("2001:db8:cc::2")}
        assert chosen.networks == (IPv6Network("2001:db8:dd::/48"),)
        assert chosen.includes(IPv6Address("2001:db8:cc::1"))
        assert chosen.includes(IPv6Address("2001:db8:dd:7::1"))
        assert not chosen.includes(IPv6Address("2001:db8:cc::3"))

    @pytest.mark.req("RR-20")
    def test_nobody_unless_they_are_named(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, "[]", STATIC.format("manual")).route_optimization.correspondents == ()

    @pytest.mark.parametrize("address", ["2001:db8:a::2", "2001:db8:f00::100"])
    def test_neither_home_agent_nor_home_address(self, tmp_path: Path, address: str) -> None:
        with pytest.raises(ConfigError, match=f"correspondents: {address} must differ from the home address and the"):
            self.read(tmp_path, f'["2001:db8:cc::1", "{address}"]', STATIC.format("manual"))

    @pytest.mark.req("SRC-03")
    @pytest.mark.parametrize("address", ["fe80::1", "ff0e::1", "::1"])
    def test_nobody_on_a_link_only_and_no_group(self, tmp_path: Path, address: str) -> None:
        with pytest.raises(ConfigError, match=f"correspondents: {address} must be a global or unique local address"):
            self.read(tmp_path, f'["2001:db8:cc::1", "{address}"]', STATIC.format("manual"))

    def test_nothing_that_is_to_be_protected_goes_directly(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="what goes directly is not protected; .* payload must be false"):
            self.read(tmp_path, '["2001:db8:cc::1"]', IKEV2)
        assert self.read(tmp_path, '["2001:db8:cc::1"]', f"{IKEV2}payload = false\n")


class TestRouter:
    """The networks behind a mobile router, in either file."""

    def agent(self, tmp_path: Path, router: str) -> AgentSettings:
        path = tmp_path / "agent.toml"
        path.write_text(f"{AGENT}\n[router]\n{router}\n")
        return agent_config.read(path)

    def home_agent(self, tmp_path: Path, prefixes: str) -> HomeAgentSettings:
        path = tmp_path / "home-agent.toml"
        path.write_text(f"{HOME_AGENT}\nprefixes = {prefixes}\n")
        return home_agent_config.read(path)

    def test_good(self, tmp_path: Path) -> None:
        router = self.agent(tmp_path, 'prefixes = "2001:db8:b05::/56"\ninterfaces = "lan*"').router
        assert router.prefixes == (IPv6Network("2001:db8:b05::/56"),)
        assert router.mode == "explicit"
        (node,) = self.home_agent(tmp_path, '["2001:db8:b05::/56", "2001:db8:f00::/64"]').node
        assert not node.is_on_home_link

    @pytest.mark.parametrize(
        ("router", "message"),
        [
            ('prefixes = "2001:db8:b05::/56"', "router.interfaces: is missing; a mobile router needs prefixes and"),
            ('interfaces = "lan*"', "router.prefixes: is missing; a mobile router needs"),
            ('prefixes = "fe80::/64"\ninterfaces = "lan*"', "router.prefixes = fe80::/64: must be a global or"),
            ('prefixes = "2001:db8:a::/48"\ninterfaces = "lan*"', "2001:db8:a::/48: a home agent's address is in it"),
            (
                'prefixes = ["2001:db8:b05::/56", "2001:db8:b05:1::/64"]\ninterfaces = "lan*"',
                "router.prefixes = 2001:db8:b05:1::/64: overlaps another one",
            ),
            ('mode = "both"', 'router.mode = "both": must be one of explicit, implicit'),
        ],
    )
    def test_what_cannot_be(self, tmp_path: Path, router: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.agent(tmp_path, router)

    @pytest.mark.parametrize(
        ("prefixes", "message"),
        [
            ('["2001:db8:a::/64"]', "node.1..prefixes = 2001:db8:a::/64: the home agent's own address is in it"),
            ('["2001:db8:b05::/56", "2001:db8:b05::/64"]', "= 2001:db8:b05::/64: overlaps another of its own"),
        ],
    )
    def test_what_cannot_be_at_the_home_agent(self, tmp_path: Path, prefixes: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.home_agent(tmp_path, prefixes)


class TestHomeAgent:
    """The home agent's file."""

    def read(self, tmp_path: Path, text: str) -> object:
        path = tmp_path / "home-agent.toml"
        path.write_text(text)
        return home_agent_config.read(path)

    def test_good(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, HOME_AGENT) is not None

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('["2001:db8:f00::/48"]', "[]", "home-agent.toml:3: home_agent.prefixes = .*: must name a home prefix"),
            (
                "f00::100",
                "e00::100",
                "home-agent.toml:7: node.1..home_address = .*: must be an address in 2001:db8:f00::/48",
            ),
            ('a::2"', 'f00::100"', "home-agent.toml:7: node.1..home_address = .*: is the home agent's own address"),
        ],
    )
    def test_what_cannot_be(self, tmp_path: Path, old: str, new: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.read(tmp_path, HOME_AGENT.replace(old, new, 1))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (STATIC.format("node.manual"), "node.1..spi: there is manual already; messages are protected in one way"),
            ('[node.ikev2]\nsecret = "' + KEY + '"\n', "node.1..spi: there is ikev2 already"),
        ],
    )
    def test_a_node_is_protected_in_one_way(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            self.read(tmp_path, HOME_AGENT + text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "node.1..spi: is missing; give spi and key, .node.ikev2., or .node.manual."),
            ("spi = 256", "node.1..key: is missing"),
            ("[node.ikev2]", "node.1..ikev2: needs .ikev2. with the home agent's own identity"),
            (
                '[node.ikev2]\n[ikev2]\nidentity = "ha.example.org"',
                "node.1..ikev2.secret: is missing, and there are no .ikev2.certificates.",
            ),
        ],
    )
    def test_what_a_node_lacks(self, tmp_path: Path, text: str, message: str) -> None:
        start = re.sub(r"^(spi|key) = .*\n", "", HOME_AGENT, flags=re.MULTILINE)
        with pytest.raises(ConfigError, match=message):
            self.read(tmp_path, start + text)

    def test_two_nodes_have_no_spi_in_common(self, tmp_path: Path) -> None:
        start = re.sub(r"^(spi|key) = .*\n", "", HOME_AGENT, flags=re.MULTILINE) + STATIC.format("node.manual")
        other = '[[node]]\nname = "b"\nidentity = "b@example.org"\nhome_address = "2001:db8:f00::200"\n'
        (tmp_path / "home-agent.toml").touch(0o600)
        with pytest.raises(ConfigError, match="node.2..manual.up.spi = 256: another node has it already"):
            self.read(tmp_path, start + other + STATIC.format("node.manual"))

    @pytest.mark.parametrize("key", ["name", "identity", "home_address"])
    def test_two_nodes_share_nothing(self, tmp_path: Path, key: str) -> None:
        other = {"name": "b", "identity": "b@example.org", "home_address": "2001:db8:f00::200"}
        same = {"name": "laptop", "identity": "laptop@example.org", "home_address": "2001:db8:f00::100"}
        node = other | {key: same[key]}
        text = HOME_AGENT + "[[node]]\n" + "".join(f'{name} = "{value}"\n' for name, value in node.items())
        with pytest.raises(ConfigError, match=f"node.2..{key} = .*: another node has it already"):
            self.read(tmp_path, f'{text}spi = 256\nkey = "{KEY}"\n')


@given(st.text(alphabet="ab[]{}=\"'#.\n0123_ ", max_size=80))
def test_no_text_gets_past_as_anything_but_settings_or_an_error(text: str) -> None:
    try:
        parse(text, Everything, PATH)
    except ConfigError as error:
        assert str(error).startswith(str(PATH))  # noqa: PT017 (both ways out are right)


def test_a_value_that_is_alone_needs_no_list() -> None:
    assert parse(GOOD.replace('["2001:db8::/48"]', '"2001:db8::/48"'), Everything, PATH) == parse(
        GOOD, Everything, PATH
    )


def _even(value: object) -> int:
    if not isinstance(value, int) or value % 2:
        raise ValueError
    return value


@dataclass(frozen=True, kw_only=True)
class Special:
    even: Annotated[int, Spelled("an even number", _even)]
    more: tuple[Annotated[int, Spelled("an even number", _even)], ...] = ()
    maybe: Annotated[int, Spelled("an even number", _even)] | None = None
    word: Annotated[str, Choice(("red", "green"))] = "red"


def test_spellings_and_choices() -> None:
    found = parse('even = 2\nmore = [4, 6]\nmaybe = 8\nword = "green"', Special, PATH)
    assert found == Special(even=2, more=(4, 6), maybe=8, word="green")
    with pytest.raises(ConfigError) as caught:
        parse('even = 3\nmore = [4, 5]\nmaybe = 7\nword = "blue"', Special, PATH)
    assert str(caught.value).splitlines() == [
        "/etc/thing.toml:1: even = 3: must be an even number",
        "/etc/thing.toml:2: more[2] = 5: must be an even number",
        "/etc/thing.toml:3: maybe = 7: must be an even number",
        '/etc/thing.toml:4: word = "blue": must be one of red, green',
    ]
    with pytest.raises(ConfigError, match="even: is missing; it must be an even number"):
        parse("", Special, PATH)
