"""What the documents say is so."""

import logging
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from click.testing import CliRunner

from home_agent.__main__ import main as monami6_ha
from home_agent.core.events import NoticeKind as HomeAgentNotice
from home_agent.core.settings import Settings as HomeAgentSettings
from mip6.config import parse
from mip6.form import key_of
from mip6.ike import Certificates
from mip6.occurrences import LEVELS, Occurrence
from mn_agent.core.notices import NoticeKind as AgentNotice
from mn_agent.core.policy_file import FlowRule, Policy, Ranking
from mn_agent.core.settings import UNKNOWN
from mn_agent.core.settings import Settings as AgentSettings
from monami6.__main__ import main as monami6
from monami6.checks import Result
from monami6.doctor import AREAS
from tests.diagram import DOCUMENT, with_diagram

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "policies").glob("*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)


def settings(example: str) -> Any:
    kind = HomeAgentSettings if "[home_agent]" in example else AgentSettings
    return parse(example, kind, ROOT / "example.toml")


def test_every_example_of_a_configuration_is_valid() -> None:
    examples = [settings(block) for block in blocks(ROOT / "docs/configuration.md", "toml")]
    agents = [one for one in examples if isinstance(one, AgentSettings) and one.home.is_agent_known]
    home_agents = [one for one in examples if isinstance(one, HomeAgentSettings) and one.node]
    for agent, home_agent in zip(agents, home_agents, strict=True):
        (node,) = home_agent.node
        assert (node.home_address, home_agent.home_agent.address) == (agent.home.address, agent.home.agent)
        assert node.manual == agent.manual, "the two fit together"
        if agent.authentication is not None:
            secret = agent.authentication
            assert (node.identity, node.spi, node.key) == (secret.identity, secret.spi, secret.key)


def keys(kind: type[Any]) -> Iterator[str]:
    for field in fields(kind):
        hint = get_type_hints(kind)[field.name]
        hint = get_args(hint)[0] if get_args(hint) else hint
        if hint is Certificates:
            continue  # an example of them names files that are not there
        if is_dataclass(hint):
            yield from keys(hint)  # type: ignore[arg-type]
        else:
            yield key_of(field)


@pytest.mark.parametrize("kind", [AgentSettings, HomeAgentSettings])
def test_the_example_shows_every_key_with_its_default(kind: type[Any]) -> None:
    examples = [one for one in blocks(ROOT / "docs/configuration.md", "toml") if isinstance(settings(one), kind)]
    shown = {key for example in examples for key in re.findall(r"^(\w+) =", example, re.MULTILINE)}
    assert shown == set(keys(kind))
    read = settings(examples[0])
    for table in (getattr(read, field.name) for field in fields(kind) if is_dataclass(getattr(read, field.name))):
        for field in fields(table):
            if field.default.__class__.__name__ != "_MISSING_TYPE" and field.default != UNKNOWN:
                assert getattr(table, field.name) == field.default, field.name


def test_the_example_of_a_policy_says_everything_that_a_policy_can_say() -> None:
    (example,) = blocks(ROOT / "policies/README.md", "toml")
    policy = parse(example, Policy, ROOT / "example.toml")
    assert set(re.findall(r"^(\w+) =", example, re.MULTILINE)) == {
        *(field.name for kind in (Policy, Ranking, FlowRule) for field in fields(kind))
    } - {"links", "flow"}
    assert replace(policy.links, order=()) == Ranking()
    assert policy.flow[0].copies == 1


def test_every_policy_that_there_is_stands_in_the_table() -> None:
    shown = re.findall(r"^\| `(\S+)`", (ROOT / "policies/README.md").read_text(), re.MULTILINE)
    assert sorted(shown) == sorted(path.stem for path in (ROOT / "policies").glob("*.toml"))


def test_every_event_stands_in_the_catalogue() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| ([\w ]+) \| .* \| (\w+) \|$", (ROOT / "docs/events.md").read_text(), re.MULTILINE
    )
    ours = {kind.value for kind in Occurrence}
    agents, home_agents = ({kind.value for kind in kinds} | ours for kinds in (AgentNotice, HomeAgentNotice))
    sides = {"agent": (True, False), "home agent": (False, True), "both": (True, True)}
    assert {name: sides[side] for name, side, _ in rows} == {
        name: (name in agents, name in home_agents) for name in agents | home_agents
    }
    levels = {name: logging.getLevelName(LEVELS.get(name, logging.INFO)).lower() for name in agents | home_agents}
    assert {name: level for name, _, level in rows} == levels
    assert len(rows) == len(levels), "each once"


def test_every_line_of_the_doctor_is_explained() -> None:
    _, title, text = (ROOT / "docs/guide/troubleshoot.md").read_text().partition("## What the doctor says\n")
    assert title
    results, *areas = re.split(r"^### (?=\w)", text, flags=re.MULTILINE)
    first_cells = r"^\| `(.+?)` \|"
    explained = {area.partition("\n")[0].lower(): re.findall(first_cells, area, re.MULTILINE) for area in areas}
    assert list(explained.items()) == [(area, [check.name for check in checks]) for area, checks in AREAS.items()]
    assert set(re.findall(first_cells, results, re.MULTILINE)) == {result.value for result in Result}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target


def commands() -> Iterator[tuple[str, list[str]]]:
    """Those of ours in the documents' shell examples."""
    for document in DOCUMENTS:
        for line in "".join(blocks(document, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            words = words[1:] if words[:1] == ["sudo"] else words
            if words and words[0] in ("monami6", "monami6-ha"):
                yield words[0], words[1:]


@pytest.mark.parametrize(("program", "arguments"), list(commands()), ids=str)
def test_every_command_shown_exists(program: str, arguments: list[str]) -> None:
    command = {"monami6": monami6, "monami6-ha": monami6_ha}[program]
    asked = CliRunner().invoke(command, [*arguments, "--help"])
    assert (asked.exit_code, "Usage:" in asked.output) == (0, True), asked.output


def test_the_state_diagram_is_the_codes() -> None:
    document = DOCUMENT.read_text()
    assert with_diagram(document) == document
    with pytest.raises(ValueError, match="no place"):
        with_diagram("nothing")
