"""The configuration files of a lab are such that the programs take them."""

import tomllib
from pathlib import Path

import pytest

import home_agent.config
import mn_agent.config
from mn_lab import configuration, security
from mn_lab.layout import HOME_ADDRESS, HOME_AGENT_ADDRESS, MOBILE_NETWORK, MOBILE_SIDE, plan

LAYOUT = plan(["wifi", "lte2"])


def written(file: Path, text: str) -> Path:
    """Nobody else may read it: it has keys."""
    file.touch(0o600)
    file.write_text(text)
    return file


def test_the_agent_takes_its_configuration(tmp_path: Path) -> None:
    file = written(tmp_path / "agent.toml", configuration.agent(LAYOUT, tmp_path, security.auth_option(tmp_path)))
    settings = mn_agent.config.read(file)
    assert (settings.home.address, settings.home.agent) == (HOME_ADDRESS, HOME_AGENT_ADDRESS)
    assert [(link.interface, link.name, link.kind) for link in settings.link] == [
        ("wlan0", "wifi", "wifi"),
        ("wwan1", "lte2", "lte"),
    ]
    assert settings.links.prefer == ("ethernet", "wifi", "lte")
    assert settings.paths.socket == str(tmp_path / "agent.sock")


def test_the_home_agent_takes_its_configuration(tmp_path: Path) -> None:
    file = written(
        tmp_path / "home-agent.toml", configuration.home_agent(LAYOUT, tmp_path, security.auth_option(tmp_path))
    )
    settings = home_agent.config.read(file)
    assert settings.home_agent.address == HOME_AGENT_ADDRESS
    assert [node.home_address for node in settings.node] == [HOME_ADDRESS]


@pytest.mark.parametrize("mode", security.MODES)
def test_both_have_the_same_secrets(tmp_path: Path, mode: str) -> None:
    made = security.MODES[mode](tmp_path)
    agent = mn_agent.config.read(written(tmp_path / "a.toml", configuration.agent(LAYOUT, tmp_path, made)))
    (node,) = home_agent.config.read(
        written(tmp_path / "h.toml", configuration.home_agent(LAYOUT, tmp_path, made))
    ).node
    assert agent.security.value == mode
    assert agent.manual == node.manual
    if agent.authentication is not None:
        assert (agent.authentication.spi, agent.authentication.key) == (node.spi, node.key)
    if agent.ikev2 is not None:
        assert node.ikev2 is not None
        assert agent.ikev2.secret == node.ikev2.secret


def test_settings_can_be_laid_over() -> None:
    extra = '[links]\nprefer = ["lte"]\n[home]\nagent = "2001:db8::1"\n[[link]]\ninterface = "x*"\n'
    document = tomllib.loads(configuration.agent(LAYOUT, Path("/lab"), security.auth_option(Path("/lab")), extra))
    assert document["links"] == {"prefer": ["lte"]}
    assert document["home"] == {"address": str(HOME_ADDRESS), "agent": "2001:db8::1"}
    assert document["link"] == [{"interface": "x*"}]


def test_what_is_written_is_read_again() -> None:
    document = {
        "a": {"text": 'say "ä\\"', "number": 1.5, "yes": True, "list": ["x", "y"], "t": {"n": {"m": 1}}},
        "b": [{"c": 1}, {"c": 2}],
    }
    assert tomllib.loads(configuration.write(document)) == document


def test_routers_advertise_the_prefix_of_the_link() -> None:
    text = configuration.router_advertisements(MOBILE_SIDE, LAYOUT.links[1].prefix)
    assert text.startswith("interface mobile {")
    assert "prefix 2001:db8:2::/64" in text


def test_a_lab_with_a_mobile_router_has_its_prefix_at_both_ends(tmp_path: Path) -> None:
    layout, made = plan(["wifi"], router=True), security.auth_option(tmp_path)
    agent = mn_agent.config.read(written(tmp_path / "a.toml", configuration.agent(layout, tmp_path, made)))
    (node,) = home_agent.config.read(
        written(tmp_path / "h.toml", configuration.home_agent(layout, tmp_path, made))
    ).node
    assert agent.router.prefixes == node.prefixes == (MOBILE_NETWORK,)
    assert "AdvLinkMTU 1460;" in configuration.router_advertisements("lan0", MOBILE_NETWORK, 1460)
