"""Settings as TOML: the reader gives back what was written."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from home_agent.core.settings import HomeAgent, Ikev2, Node, NodeIkev2, Settings
from mip6.config import parse
from mip6.ipsec import StaticKeys, StaticPair
from mip6.toml_text import document, table

addresses = st.ip_addresses(v=6, network="2001:db8::/32")
secrets = st.binary(min_size=16, max_size=64)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
directions = st.builds(StaticKeys, spi=st.integers(256, 0xFFFFFFFF), encryption_key=secrets, integrity_key=secrets)
nodes = st.builds(
    Node,
    name=texts,
    identity=texts,
    home_address=addresses,
    spi=st.none() | st.integers(256, 0xFFFFFFFF),
    key=st.none() | secrets,
    manual=st.none() | st.builds(StaticPair, up=directions, down=directions),
    ikev2=st.none() | st.builds(NodeIkev2, secret=st.none() | secrets),
)
home_agents = st.builds(
    HomeAgent,
    address=addresses,
    prefixes=st.lists(st.from_regex(r"2001:db8:[0-9a-f]{1,4}::/48", fullmatch=True), max_size=3).map(
        lambda found: parse(f"address = '2001:db8::1'\nprefixes = {found}", HomeAgent, Path("x")).prefixes
    ),
    bulk_registration=st.booleans(),
    timestamp_window_s=st.floats(3, 300),
    max_flows=st.integers(0, 1000),
)
settings = st.builds(
    Settings,
    home_agent=home_agents,
    ikev2=st.none() | st.builds(Ikev2, identity=texts),
    node=st.lists(nodes, max_size=3).map(tuple),
)


@given(settings)
def test_the_reader_gives_back_what_was_written(written: Settings) -> None:
    assert parse(document(written), Settings, Path("home-agent.toml")) == written


def test_what_has_its_default_is_left_out() -> None:
    assert table("[ikev2]", Ikev2(identity="ha")) == '[ikev2]\nidentity = "ha"\n'


def test_a_table_that_only_holds_tables_has_no_header_of_its_own() -> None:
    keys = StaticKeys(spi=256, encryption_key=bytes(16), integrity_key=bytes(32))
    text = table("[manual]", StaticPair(up=keys, down=keys))
    assert text.startswith("[manual.up]\n")
    assert list(tomllib.loads(text)["manual"]) == ["up", "down"]


def test_what_toml_cannot_say_is_a_bug() -> None:
    @dataclass(frozen=True)
    class Odd:
        value: object

    with pytest.raises(TypeError, match="no spelling"):
        table("[odd]", Odd(value=None))
