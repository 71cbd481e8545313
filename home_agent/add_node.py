"""monami6-ha add-node."""

import re
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from home_agent import config
from home_agent.core.settings import Node
from home_agent.new_node import MODES, NewNodeError, Wish, enrolment, new_node
from mip6 import config_file, toml_text
from mip6.config import ConfigError
from mip6.enrolment import encode
from mip6.options import ADDRESS, PREFIX, configuration
from monami6.exits import USAGE, Failure


class _Prefix(click.ParamType[Any]):
    """A prefix, or any that is free."""

    name = "prefix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Wish):
            return value
        if found := re.fullmatch(r"auto(?:/(\d+))?", str(value)):
            length = int(found[1] or Wish().length)
            return Wish(length) if 1 <= length <= 128 else self.fail(f"{value!r}: has 1 to 128 bits", param, ctx)
        return PREFIX.convert(value, param, ctx)


@click.command("add-node")
@click.argument("name")
@configuration(f"The home agent's configuration.  [default: {config.DEFAULT_PATH}]")
@click.option(
    "--mode",
    type=click.Choice(MODES),
    help="How its messages are protected.  [default: ikev2 where FILE has a table of that name, else auth-option]",
)
@click.option("--identity", metavar="USER@REALM", help="Its identity.  [default: NAME, and the realm of the others]")
@click.option("--home-address", type=ADDRESS, help="Its home address.  [default: the first that is free]")
@click.option(
    "--prefix",
    "prefixes",
    type=_Prefix(),
    multiple=True,
    metavar="PREFIX|auto[/N]",
    help="Of a network behind it, which makes it a mobile router; auto: one of N bits that is free.  [default N: 64]",
)
@click.option("--qr", is_flag=True, help="Print the enrolment string as a QR code, too.")
def add_node(
    name: str,
    path: Path,
    mode: str | None,
    identity: str | None,
    home_address: IPv6Address | None,
    prefixes: tuple[IPv6Network | Wish, ...],
    *,
    qr: bool,
) -> None:
    """Serve one more mobile node, and print the string that enrols it.

    A [[node]] with a new secret is written behind what FILE says; all else in it stays. `monami6 setup` at the mobile
    node takes the string. It holds the secret: who has it can take the home address.
    """
    drawing = _drawing() if qr else None
    try:
        settings = config.read(path)
        node = new_node(settings, name, mode, identity=identity, home_address=home_address, prefixes=prefixes)
        config_file.append(path, toml_text.table("[[node]]", node), config.read)
    except NewNodeError as error:
        raise click.UsageError(str(error)) from None
    except ConfigError as error:
        raise Failure(str(error), USAGE) from None
    string = encode(enrolment(settings, node))
    click.echo(string)
    if drawing is not None:
        drawing.make_qr(string, error="l").terminal(compact=True)
    click.echo(_what_next(path, node), err=True)


def _drawing() -> ModuleType:
    """Before anything is changed. Raises Failure."""
    try:
        import segno
    except ImportError:
        raise Failure("--qr needs the Python package segno: pip install 'monami6[qr]'", USAGE) from None
    return segno


def _what_next(path: Path, node: Node) -> str:
    """On standard error, so that the string can go through a pipe."""
    has = f"{node.name} has home address {node.home_address}"
    setup = "sudo monami6 setup            at the mobile node, and paste the string"
    if node.prefixes:
        has += f" and, behind it, {', '.join(map(str, node.prefixes))}"
        setup = "sudo monami6 setup --router INTERFACE   at the mobile router, and paste the string"
    return f"{has}; {path} knows it. Now:\n  systemctl reload monami6-ha   here\n  {setup}"
