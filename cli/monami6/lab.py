"""monami6 lab."""

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from monami6.exits import NO_SUCH_THING, Failure

if TYPE_CHECKING:
    from mn_lab.demo import Result
    from mn_lab.lab import Lab

SCHEMA = 1

# mn_lab is imported only inside the commands: `monami6 lab --help` and shell completion need none of it.


class _LabGroup(click.Group):
    """Turns the lab's errors into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        from mn_lab.commands import LabError
        from mn_lab.layout import LayoutError, NoSuchThingError

        try:
            return super().invoke(ctx)
        except NoSuchThingError as error:
            raise Failure(str(error), NO_SUCH_THING) from None
        except LayoutError as error:
            raise click.UsageError(str(error)) from None
        except LabError as error:
            raise Failure(str(error)) from None


@click.group(cls=_LabGroup)
@click.option(
    "--prefix", default="m6-", show_default=True, help="Of the names of its namespaces; take another for a second lab."
)
def lab(prefix: str) -> None:
    """The whole system on this machine: mobile node, home agent and the network between them, in namespaces."""


def _prefix(context: click.Context) -> str:
    assert context.parent is not None
    prefix: str = context.parent.params["prefix"]
    return prefix


def _privileged() -> bool:
    from mn_lab import place

    return place.may_make_namespaces()


def _running(context: click.Context) -> "Lab":
    """The lab that is up. Without privileges, this command is run again inside of the lab's user namespace instead."""
    from mn_lab import rootless
    from mn_lab.lab import Lab

    if not _privileged():
        command = rootless.rerun(_prefix(context))
        os.execvp(command[0], command)
    return Lab.running(_prefix(context))


@lab.command()
@click.option("--links", default="ethernet,wifi,lte", show_default=True, help="Their names, with commas between them.")
@click.option("--router", is_flag=True, help="The mobile node is a mobile router, with two hosts behind it.")
@click.option("--json", "as_json", is_flag=True, help="Print names, addresses and paths as one JSON object.")
@click.pass_context
def up(context: click.Context, links: str, *, router: bool, as_json: bool) -> None:
    """Start a lab, and wait until all links are registered.

    Links called ethernet, wifi and lte, also with a number behind (lte2), are of that kind; any other name is an
    Ethernet link.
    """
    from mn_lab import rootless
    from mn_lab.lab import Lab

    started = Lab(links.split(","), prefix=_prefix(context), router=router)
    if not _privileged():
        context.exit(rootless.run_in_new(_prefix(context), keep=True))
    started.up()
    description = started.describe()
    click.echo(json.dumps(description, indent=2) if as_json else _summary(description, started.layout.prefix))


def _summary(description: dict[str, Any], prefix: str) -> str:
    from mn_lab.layout import command_line

    addresses, interfaces = description["addresses"], description["interfaces"]
    links = [f"  {name:12} {one['mobile_node']:12} {addresses['care_of'][name]}" for name, one in interfaces.items()]
    hosts = [f"  {name:12} {address}" for name, address in addresses["hosts"].items()]
    behind = ["Behind the mobile router:", *hosts] if hosts else []
    examples = [
        f"exec {next(iter(addresses['hosts']), 'mn')} -- ping {addresses['correspondent']}",
        f"link {next(iter(interfaces))} down",
        "down",
    ]
    return "\n".join(
        [
            f"The lab is up ({description['privileges']}), and all links are registered:",
            *links,
            *behind,
            f"Home address {addresses['home']}, correspondent {addresses['correspondent']}.",
            "",
            "Look at it, and break it:",
            f"  monami6 --socket {description['sockets']['agent']} status",
            *(f"  {command_line(prefix, example)}" for example in examples),
        ]
    )


@lab.command()
@click.pass_context
def down(context: click.Context) -> None:
    """End the lab, or what a crash left of one."""
    from mn_lab import rootless
    from mn_lab.lab import take_down

    prefix = _prefix(context)
    was_up = take_down(prefix) if _privileged() else rootless.end(prefix)
    click.echo("The lab is down." if was_up else "No lab was up.")


@lab.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def exec_(context: click.Context, node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on NODE: mn, net, ha, cn, or the access router of a link, which has the link's name; and behind a
    mobile router host1, host2.
    """
    if command[0] == "--":
        command = command[1:]
    argv = _running(context).command(node, *command)
    os.execvp(argv[0], argv)


@lab.command()
@click.argument("name", metavar="LINK")
@click.argument("action", type=click.Choice(["down", "up", "blackhole", "heal"]))
@click.pass_context
def link(context: click.Context, name: str, action: str) -> None:
    """Break LINK or mend it.

    \b
    down       take its carrier away
    up         give it back
    blackhole  the carrier stays, but packets vanish beyond the access router
    heal       they get through again
    """  # noqa: D301 (the backspace tells click to keep the lines)
    from mn_lab.network import LinkAction

    _running(context).change_link(name, LinkAction(action))


@lab.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@click.option("--router", is_flag=True, help="With the traffic of a host behind a mobile router.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.svg", help="Draw a timeline.")
@click.pass_context
def demo(context: click.Context, plot: Path | None, *, router: bool, as_json: bool) -> None:
    """Start a lab, switch and break its links under traffic, and count what is lost."""
    from mn_lab import demo as demonstration
    from mn_lab import rootless
    from mn_lab.lab import Lab

    prefix = _prefix(context)
    if not _privileged():
        context.exit(rootless.run_in_new(prefix, keep=False))
    tell = partial(click.echo, err=True)
    with Lab(prefix=prefix, router=router) as started:
        description = started.describe()
        tell(f"The lab is up ({description['privileges']}).")
        if not as_json:
            started.monami6("status", output=sys.stdout)
        results, timeline = demonstration.run(started, tell, capture=plot is not None)
        if not as_json:
            started.monami6("status", output=sys.stdout)
    if plot is not None:
        from mn_lab.plot import draw

        draw(timeline, plot)
        tell(f"Timeline: {plot}")
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "steps": [_step(result) for result in results]}, indent=2))
    else:
        _show(results)


def _step(result: "Result") -> dict[str, Any]:
    return {
        "name": result.step,
        "direction": result.direction,
        **asdict(result.figures),
        "tcp_stall_ms": result.tcp_stall_ms,
    }


def _show(results: "list[Result]") -> None:
    from monami6.tables import console, table

    drawn = table("STEP", "DIRECTION", "SENT", "LOST", "REORDERED", "GAP, MS", "TCP STALL, MS")
    for result in results:
        values = _step(result)
        drawn.add_row(*map(str, values.values()))
    console().print(drawn)
