"""monami6-ha init."""

import socket
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import click

from home_agent import config
from home_agent.core.settings import HomeAgent, Ikev2, Settings
from mip6 import config_file, toml_text
from mip6.config import ConfigError
from mip6.options import ADDRESS, PREFIX, configuration
from monami6.exits import USAGE, Failure

_ANYWHERE = "2000::"
"""Any address beyond the default router: nothing is sent there."""
_FORWARDING = Path("/proc/sys/net/ipv6/conf/all/forwarding")

_HEADER = (
    "# The home agent's configuration. The page docs/configuration.md explains it and all that can be set beside.\n\n"
)


@click.command("init")
@configuration(f"The file to write.  [default: {config.DEFAULT_PATH}]")
@click.option("--address", type=ADDRESS, help="This server's address.  [default: the one that it uses]")
@click.option(
    "--prefix", "prefixes", type=PREFIX, multiple=True, help="A prefix for home addresses, routed to this server."
)
@click.option(
    "--delegate",
    type=PREFIX,
    multiple=True,
    help="A prefix, routed to this server, that networks behind mobile routers get theirs from.",
)
@click.option("--ikev2", "identity", metavar="IDENTITY", help="Protect messages by IPsec, under this identity of ours.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def init(
    path: Path,
    address: IPv6Address | None,
    prefixes: tuple[IPv6Network, ...],
    delegate: tuple[IPv6Network, ...],
    identity: str | None,
    *,
    force: bool,
    yes: bool,
) -> None:
    """Write the configuration of a home agent on this server.

    It needs a prefix that the provider routes to this server, such as the second /64 that most of them give. The one
    that this server's own address is from will not do: the provider looks for its addresses on the link.
    """
    try:
        config_file.check_absent(path, force=force)
        address = address or _own_address()
        prefixes = prefixes or _asked_prefix(address, yes=yes)
        _check(address, (*prefixes, *delegate))
        ikev2 = Ikev2(identity=identity) if identity is not None else None
        settings = Settings(home_agent=HomeAgent(address=address, prefixes=prefixes, delegate=delegate), ikev2=ikev2)
        click.echo(_summary(path, settings), err=True)
        if not yes and not click.confirm(f"Write {path}?", default=True, err=True):
            raise Failure("nothing was written")
        config_file.create(path, _HEADER + toml_text.document(settings), config.read, force=force)
    except ConfigError as error:
        raise Failure(str(error), USAGE) from None
    click.echo(_what_next(path), err=True)


def _own_address() -> IPv6Address:
    """The one that the kernel would send from."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((_ANYWHERE, 9))
            return IPv6Address(probe.getsockname()[0])
    except OSError:
        raise click.UsageError("this server has no IPv6 address and default route: give --address") from None


def _asked_prefix(address: IPv6Address, *, yes: bool) -> tuple[IPv6Network, ...]:
    need = f"a prefix that is routed to {address}, such as 2001:db8:f00::/64; ask whoever gives this server its network"
    if yes:
        raise click.UsageError(f"--prefix is missing: {need}")
    click.echo(f"Home addresses are taken from {need}.", err=True)
    return (click.prompt("Home prefix", type=PREFIX, err=True),)


def _check(address: IPv6Address, prefixes: tuple[IPv6Network, ...]) -> None:
    for prefix in prefixes:
        if address in prefix and prefix.prefixlen >= 64:
            raise click.UsageError(
                f"--prefix {prefix}: this server's own address {address} is from it, so it is not routed to this "
                "server; it must be another one, that is"
            )


def _summary(path: Path, settings: Settings) -> str:
    prefixes = ", ".join(str(prefix) for prefix in settings.home_agent.prefixes)
    delegated = "".join(f"Delegated      {prefix}\n" for prefix in settings.home_agent.delegate)
    protection = "auth-option" if settings.ikev2 is None else f"ikev2, as {settings.ikev2.identity}"
    return (
        f"Home agent     {settings.home_agent.address}{'' if _is_here(settings.home_agent.address) else _NOT_HERE}\n"
        f"Home prefixes  {prefixes}\n"
        f"{delegated}"
        f"Protection     {protection}\n"
        f"File           {path}"
    )


_NOT_HERE = " (no interface has it yet)"


def _is_here(address: IPv6Address) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _what_next(path: Path) -> str:
    steps = [
        "systemctl enable --now monami6-ha",
        f"monami6-ha add-node laptop{'' if path == config.DEFAULT_PATH else f' --config {path}'}",
    ]
    if _FORWARDING.read_text().strip() == "0":
        steps.insert(0, "sysctl -w net.ipv6.conf.all.forwarding=1")
    return "\n".join([f"{path} is written. Now:", *(f"  {step}" for step in steps)])
