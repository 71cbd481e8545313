"""What a shell may complete: links and flows of the running agent, and policies."""

import json
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from monami6 import client
from monami6.exits import Failure

TIMEOUT_S = 0.5
"""Somebody waits at the prompt."""

Items: TypeAlias = list[CompletionItem[str]]


def links(context: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """The links that the running agent has; none without it."""
    return _items({one["name"]: f"{one['kind']}, {one['state']}" for one in _told(context, "links")}, incomplete)


def flows(context: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """The flows of the policy that the running agent uses; none without it."""
    return _items({one["name"]: f"over {', '.join(one['links'])}" for one in _told(context, "flows")}, incomplete)


def policies(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> Items:
    """All policies."""
    from mn_agent.system import policies as files  # no other completion needs it

    return _items({name: str(path) for name, path in files.names().items()}, incomplete)


def _told(context: click.Context, what: str) -> list[dict[str, Any]]:
    try:
        status = json.loads(client.agent(context).ask("status", TIMEOUT_S))
    except Failure:
        return []
    told: list[dict[str, Any]] = status.get(what, [])
    return told


def _items(found: dict[str, str], incomplete: str) -> Items:
    """`found`: what helps to choose, by name."""
    return [CompletionItem(name, help=words) for name, words in found.items() if name.startswith(incomplete)]
