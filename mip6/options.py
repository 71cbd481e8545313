"""Types of command line options."""

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import click

from mip6.form import host_name


class _Network(click.ParamType[Any]):
    """An IPv6 address or prefix that packets can be sent to from elsewhere."""

    def __init__(self, name: str, kind: type[IPv6Address] | type[IPv6Network], form: str) -> None:
        self.name = name
        self._kind = kind
        self._form = form

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = self._kind(value)
        except ValueError:
            found = None
        if found is None or found.is_link_local or found.is_multicast or found.is_unspecified or found.is_loopback:
            self.fail(f"{value!r}: must be {self._form}", param, ctx)
        return found


ADDRESS = _Network("address", IPv6Address, "a global or unique local IPv6 address, such as 2001:db8::1")
PREFIX = _Network("prefix", IPv6Network, "an IPv6 prefix without host bits, such as 2001:db8:f00::/64")


class _AddressOrName(click.ParamType[Any]):
    """An address, or the name of a host."""

    name = "address or name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return host_name(value)
        except ValueError:
            return ADDRESS.convert(value, param, ctx)


ADDRESS_OR_NAME = _AddressOrName()


def configuration_file(default: Path, told: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--config FILE`, passed as `path`. `told`: its help."""
    kind = click.Path(path_type=Path)
    return click.option("--config", "path", type=kind, default=default, show_default=True, metavar="FILE", help=told)


def configuration(told: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--config FILE` of a command, which may also stand before the command; passed as `path`. `told`: its help."""

    def effective(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path:
        named: Path = path or context.find_root().params["path"]
        return named

    return click.option(
        "--config", "path", type=click.Path(path_type=Path), metavar="FILE", callback=effective, help=told
    )
