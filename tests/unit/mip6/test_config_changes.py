"""What is told of a configuration that has changed."""

from dataclasses import replace
from ipaddress import IPv6Address

from hypothesis import given

from home_agent.core.settings import HomeAgent, Ikev2, Node, Settings
from mip6.config_changes import changes
from mn_agent.core.settings import Home, LinkSettings, LinksSettings
from mn_agent.core.settings import Settings as AgentSettings
from tests.unit.mip6.test_toml_text import settings

LAPTOP = Node(name="laptop", identity="a@b", home_address=IPv6Address("2001:db8::10"), spi=1000, key=bytes(16))
PHONE = replace(LAPTOP, name="phone", key=bytes(17))
OWN = HomeAgent(address=IPv6Address("2001:db8:aa::1"), prefixes=())
SERVED = Settings(home_agent=OWN, node=(LAPTOP, PHONE))


def told(before: object, after: object) -> list[str]:
    return [str(change) for change in changes(before, after)]


def test_values_are_told_as_the_file_spells_them() -> None:
    after = replace(SERVED, home_agent=replace(OWN, max_flows=7, bulk_registration=False, max_lifetime_s=60))
    assert told(SERVED, after) == [
        "home_agent.max_lifetime_s: 3600 -> 60",
        "home_agent.max_flows: 128 -> 7",
        "home_agent.bulk_registration: true -> false",
    ]
    before = AgentSettings(home=Home(address=IPv6Address("2001:db8::1"), agent=IPv6Address("2001:db8::2")))
    after_links = replace(before, links=LinksSettings(prefer=("lte",)))
    assert told(before, after_links) == ['links.prefer: ["ethernet", "wifi", "lte"] -> ["lte"]']


def test_secrets_are_not_shown() -> None:
    changed = replace(SERVED, node=(replace(LAPTOP, key=b"\xaa" * 16), PHONE), ikev2=Ikev2(identity="ha"))
    assert told(SERVED, changed) == ["ikev2: added", "node.laptop.key: changed"]
    assert told(SERVED, replace(SERVED, node=(replace(LAPTOP, key=None), PHONE))) == ["node.laptop.key: removed"]


def test_tables_of_a_list_go_by_their_names() -> None:
    assert told(SERVED, replace(SERVED, node=(LAPTOP,))) == ["node.phone: removed"]
    assert told(replace(SERVED, node=(PHONE,)), SERVED) == ["node.laptop: added"]
    assert told(SERVED, replace(SERVED, node=(PHONE, LAPTOP))) == ["node: in another order"]
    home = Home(address=IPv6Address("2001:db8::1"), agent=IPv6Address("2001:db8::2"))
    before = AgentSettings(home=home, link=(LinkSettings(interface="enx*", kind="lte"),))
    after = AgentSettings(home=home, link=(LinkSettings(interface="enx*", kind="wifi"),))
    assert told(before, after) == ['link.enx*.kind: "lte" -> "wifi"']


@given(settings, settings)
def test_what_is_equal_has_no_changes(one: Settings, other: Settings) -> None:
    assert told(one, one) == []
    named = {node.name for node in one.node}, {node.name for node in other.node}
    unique = (len(named[0]), len(named[1])) == (len(one.node), len(other.node))
    if unique:
        assert bool(told(one, other)) == (one != other)
