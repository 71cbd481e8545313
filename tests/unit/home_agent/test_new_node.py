"""A new mobile node: what it gets, and what nobody else has."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from home_agent.core.settings import HomeAgent, Ikev2, Node, Settings
from home_agent.new_node import MODES, NewNodeError, Wish, enrolment, new_node

PREFIX = IPv6Network("2001:db8:f00::/64")
EMPTY = Settings(
    home_agent=HomeAgent(address=IPv6Address("2001:db8:aa::1"), prefixes=(PREFIX,)), ikev2=Ikev2(identity="ha")
)


def served(*nodes: Node, prefixes: tuple[str, ...] = (str(PREFIX),)) -> Settings:
    home_agent = replace(EMPTY.home_agent, prefixes=tuple(IPv6Network(prefix) for prefix in prefixes))
    return replace(EMPTY, home_agent=home_agent, node=nodes)


@pytest.mark.req("HA-23")
def test_nodes_get_addresses_in_turn_and_share_nothing() -> None:
    settings, addresses, secrets, spis = EMPTY, [], set(), []
    for number in range(9):
        node = new_node(settings, f"node{number}", MODES[number % 3])
        settings = replace(settings, node=(*settings.node, node))
        addresses.append(str(node.home_address))
        pair = [node.manual.up, node.manual.down] if node.manual else []
        secrets |= {node.key, node.ikev2 and node.ikev2.secret, *(keys.encryption_key for keys in pair)} - {None}
        secrets |= {keys.integrity_key for keys in pair}
        spis += [spi for spi in (node.spi, *(keys.spi for keys in pair)) if spi is not None]
    assert addresses == [f"2001:db8:f00::{number:x}" for number in range(0x10, 0x19)]
    assert len(secrets) == 3 + 3 + 3 * 4
    assert spis == list(range(1000, 1009))


@pytest.mark.parametrize(
    ("prefixes", "expected"),
    [
        (("2001:db8:f00::/127",), ["2001:db8:f00::1"]),
        (("2001:db8:f00::1/128", "2001:db8:f00::8/128"), ["2001:db8:f00::1", "2001:db8:f00::8"]),
        (("2001:db8:f00::/126",), ["2001:db8:f00::1", "2001:db8:f00::2", "2001:db8:f00::3"]),
        (("2001:db8:f00::/123",), [f"2001:db8:f00::{n:x}" for n in (*range(0x10, 0x20), *range(1, 0x10))]),
    ],
)
def test_every_address_of_a_prefix_is_given_once_but_that_of_all_routers(
    prefixes: tuple[str, ...], expected: list[str]
) -> None:
    settings = served(prefixes=prefixes)
    for address in expected:
        node = new_node(settings, f"node{address.replace(':', '')}")
        assert str(node.home_address) == address
        settings = replace(settings, node=(*settings.node, node))
    with pytest.raises(NewNodeError, match="all addresses of the home prefixes are taken"):
        new_node(settings, "last")


def test_the_home_agents_own_address_is_not_given() -> None:
    settings = served()
    home_agent = replace(settings.home_agent, address=IPv6Address("2001:db8:f00::10"))
    assert str(new_node(replace(settings, home_agent=home_agent), "a").home_address) == "2001:db8:f00::11"


def test_the_mode_is_that_of_the_file() -> None:
    assert new_node(EMPTY, "a").security == "ikev2"
    assert new_node(replace(EMPTY, ikev2=None), "a").security == "auth-option"
    with pytest.raises(NewNodeError, match=r"mode ikev2 needs a table \[ikev2\]"):
        new_node(replace(EMPTY, ikev2=None), "a", "ikev2")


def test_identities_have_the_realm_of_the_others() -> None:
    first = new_node(EMPTY, "a")
    assert first.identity == "a@home.arpa"
    settings = served(first, new_node(EMPTY, "b", identity="b@example.org"))
    assert new_node(settings, "c", home_address=IPv6Address("2001:db8:f00::20")).identity == "c@example.org"


LAPTOP = new_node(EMPTY, "laptop", identity="laptop@example.org")


@pytest.mark.parametrize(
    ("name", "identity", "address", "what"),
    [
        ("laptop", None, None, "name laptop: another node has it already"),
        ("other", "laptop@example.org", None, "identity laptop@example.org: another node has it already"),
        ("other", None, "2001:db8:f00::10", "home address 2001:db8:f00::10: another node has it already"),
        ("other", None, "2001:db8:bad::1", "home address 2001:db8:bad::1: must be an address in 2001:db8:f00::/64"),
        ("a b", None, None, 'name "a b": must be letters, digits, dots and dashes, such as "laptop"'),
        ("other", "laptop", None, 'identity "laptop": must look like "laptop@example.org"'),
    ],
)
def test_what_cannot_be_is_said(name: str, identity: str | None, address: str | None, what: str) -> None:
    home_address = IPv6Address(address) if address else None
    with pytest.raises(NewNodeError) as caught:
        new_node(served(LAPTOP), name, identity=identity, home_address=home_address)
    assert str(caught.value) == what


def test_the_home_agents_own_address_is_no_home_address() -> None:
    settings = served()
    own = replace(settings, home_agent=replace(settings.home_agent, address=IPv6Address("2001:db8:f00::1")))
    with pytest.raises(NewNodeError, match="home agent's own address"):
        new_node(own, "a", home_address=IPv6Address("2001:db8:f00::1"))


@pytest.mark.parametrize(
    ("homes", "delegate", "length", "expected"),
    [
        (("2001:db8:f00::/64",), ("2001:db8:b05::/62",), 64, [f"2001:db8:b05:{n}::/64" for n in ("0", "1", "2", "3")]),
        (("2001:db8:f00::/64",), ("2001:db8:b05::/56",), 60, ["2001:db8:b05::/60", "2001:db8:b05:10::/60"]),
        # The part of a home prefix that home addresses are given from is not given away
        (("2001:db8:f00::/62",), (), 64, ["2001:db8:f00:1::/64", "2001:db8:f00:2::/64", "2001:db8:f00:3::/64"]),
    ],
)
def test_mobile_routers_get_prefixes_in_turn(
    homes: tuple[str, ...], delegate: tuple[str, ...], length: int, expected: list[str]
) -> None:
    settings = served(prefixes=homes)
    pool = tuple(IPv6Network(prefix) for prefix in delegate)
    settings = replace(settings, home_agent=replace(settings.home_agent, delegate=pool))
    for place, prefix in enumerate(expected):
        node = new_node(settings, f"bus{place}", prefixes=(Wish(length),))
        assert node.prefixes == (IPv6Network(prefix),)
        assert enrolment(settings, node).prefixes == (str(IPv6Network(prefix)),)
        settings = replace(settings, node=(*settings.node, node))
    if length == 64:
        with pytest.raises(NewNodeError, match="no prefix of length 64 is free: add one to home_agent.delegate"):
            new_node(settings, "last", prefixes=(Wish(),))


def test_a_router_may_have_several_prefixes() -> None:
    settings = served()
    settings = replace(settings, home_agent=replace(settings.home_agent, delegate=(IPv6Network("2001:db8:b05::/56"),)))
    node = new_node(settings, "bus", prefixes=(IPv6Network("2001:db8:b05::/64"), Wish(), Wish(60)))
    assert [str(prefix) for prefix in node.prefixes] == [
        "2001:db8:b05::/64",
        "2001:db8:b05:1::/64",
        "2001:db8:b05:10::/60",
    ]


def test_a_prefix_that_cannot_be_is_refused() -> None:
    bus = new_node(served(), "bus", prefixes=(IPv6Network("2001:db8:b05::/56"),))
    with pytest.raises(NewNodeError, match="prefix 2001:db8:b05:1::/64: overlaps a prefix of bus"):
        new_node(served(bus), "train", prefixes=(IPv6Network("2001:db8:b05:1::/64"),))
    tram = new_node(served(), "tram", prefixes=(IPv6Network("2001:db8:f00::8000/113"),))
    with pytest.raises(NewNodeError, match="home address 2001:db8:f00::9000: is behind tram, a mobile router"):
        new_node(served(tram), "laptop", home_address=IPv6Address("2001:db8:f00::9000"))
