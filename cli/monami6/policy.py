"""monami6 policy."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monami6 import candidates, client
from monami6.exits import NO_SUCH_THING, USAGE, Failure
from monami6.explain import explain
from monami6.wording import count

if TYPE_CHECKING:
    from mn_agent.core.policy_file import Policy

SCHEMA = 1
PERMISSION_TIMEOUT_S = 60.0
"""Polkit may ask somebody for a password first."""

# What reads policies is imported only inside the commands: `policy use` needs none of it


@click.group()
def policy() -> None:
    """Which link carries what: see, check and choose policies."""


policy.add_command(explain)


@policy.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def list_(context: click.Context, *, as_json: bool) -> None:
    """All policies, and which one the agent uses. Works without the agent, too."""
    in_use, why_unknown = _in_use(client.agent(context))
    found = _all(in_use)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "in_use": in_use, "policies": found}))
        return
    from monami6.policy_view import show_list  # rich is for those who look

    show_list(found, in_use, why_unknown)


def _in_use(agent: client.Client) -> tuple[str | None, str]:
    """The name of the policy, or why it is not known."""
    try:
        return json.loads(agent.ask("status")).get("policy"), f"{agent.daemon} does not say"
    except Failure as failure:
        return None, failure.message.splitlines()[0]


def _all(in_use: str | None) -> list[dict[str, str | None]]:
    """All that can be chosen, and what is in use, wherever that is."""
    from mn_agent.system import policies

    files: dict[str, Path | None] = {**policies.names()}
    if in_use is not None:
        files.setdefault(in_use, Path(in_use) if in_use.startswith("/") else None)
    return [_one(name, path) for name, path in files.items()]


def _one(name: str, path: Path | None) -> dict[str, str | None]:
    """Its description, or `problem`: what is wrong with its file."""
    from mip6.config import ConfigError
    from mn_agent.system import policies

    if path is None:
        return {"name": name, "description": None, "file": None, "problem": "its file is no longer there"}
    described: dict[str, str | None] = {"description": None, "file": str(path), "problem": None}
    try:
        described["description"] = policies.read(path).description
    except ConfigError as error:
        described["problem"] = str(error)
    return {"name": name, **described}


@policy.command()
@click.argument("name", shell_complete=candidates.policies)
def show(name: str) -> None:
    """Print the file of policy NAME as it is.

    NAME is one that `monami6 policy list` shows, or the absolute path of a file.
    """
    from mn_agent.system import policies

    files = policies.names()
    path = Path(name) if name.startswith("/") else files.get(name)
    if path is None:
        raise Failure(f"no policy is called {name}; there are: {', '.join(files) or 'none'}", NO_SUCH_THING)
    try:
        click.echo(path.read_bytes(), nl=False)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None


@policy.command()
@click.argument("name", required=False, shell_complete=candidates.policies)
@click.option("--default", "is_default", is_flag=True, help="Go back to the policy that the configuration names.")
@click.pass_context
def use(context: click.Context, name: str | None, *, is_default: bool) -> None:
    """Use policy NAME from now on, also after a restart.

    NAME is one that `monami6 policy list` shows, or the absolute path of a file. A file that was changed counts from
    the next use, or the next start of the agent.
    """
    if is_default == (name is not None):
        raise click.UsageError("say either which policy to use, or --default")
    told = json.loads(client.agent(context).ask("use", PERMISSION_TIMEOUT_S, policy=name))
    until = "as the configuration says" if is_default else "also after a restart, until `monami6 policy use --default`"
    click.echo(f"policy {told['policy']} is in use, {until}")


@policy.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))  # what cannot be read is an error in it
@click.pass_context
def check(context: click.Context, file: Path) -> None:
    """Say what is wrong with the policy in FILE, and where. Ends with 2 when something is."""
    from mip6.config import ConfigError
    from mn_agent.system import policies

    try:
        found = policies.read(file)
    except ConfigError as error:
        click.echo(str(error), err=True)
        context.exit(USAGE)
    click.echo(f"{file} is valid: {_size(found)}")


def _size(found: "Policy") -> str:
    from mn_agent.core.flows import selectors

    number = sum(1 for rule in found.flow for _ in selectors(rule))
    return f"{count(len(found.flow), 'flow')}, {count(number, 'selector')}"
