"""monami6 setup."""

import sys
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import click

from mip6 import config_file
from mip6.config import ConfigError
from mip6.enrolment import Enrolment, EnrolmentError, IkeSecret, Protection, SharedKey, decode
from mip6.options import ADDRESS, ADDRESS_OR_NAME, PREFIX, configuration_file
from mn_agent import config
from mn_agent.config_text import PROTECTIONS, settings, text
from mn_agent.core.settings import UNKNOWN, Settings
from monami6.exits import FAILED, USAGE, Failure

_STDIN = "-"
_KEY_FORM = "16 to 64 octets as hexadecimal digits"


@click.command()
@click.argument("string", required=False)
@click.option("--home-agent", type=ADDRESS_OR_NAME, help="The home agent, or its host name.")
@click.option("--home-address", type=ADDRESS, help="The permanent address of this machine.")
@click.option("--identity", metavar="USER@REALM", help="Who we are to the home agent.")
@click.option("--spi", type=click.IntRange(256, 0xFFFFFFFF), metavar="N", help="Number of the key.  [default: 1000]")
@click.option(
    "--key-file", metavar="FILE", help=f"Holds the key that the home agent shares with us, {_KEY_FORM}; - is stdin."
)
@click.option("--ikev2", "home_agent_identity", metavar="IDENTITY", help="Use IPsec; the home agent has this identity.")
@click.option(
    "--router",
    "inwards",
    multiple=True,
    metavar="INTERFACE",
    help="This machine is a mobile router; INTERFACE leads to the network behind it.",
)
@click.option(
    "--prefix", "prefixes", type=PREFIX, multiple=True, help="Of that network, as the home agent has it for us."
)
@configuration_file(config.DEFAULT_PATH, "The file to write.")
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
def setup(
    string: str | None,
    home_agent: IPv6Address | str | None,
    home_address: IPv6Address | None,
    identity: str | None,
    spi: int | None,
    key_file: str | None,
    home_agent_identity: str | None,
    inwards: tuple[str, ...],
    prefixes: tuple[IPv6Network, ...],
    path: Path,
    *,
    force: bool,
    yes: bool,
) -> None:
    """Write the configuration of the agent on this machine.

    STRING is what `monami6-ha add-node` prints at the home agent; - takes it from standard input, where no list of
    processes shows it. Without a string it asks for what no option says, and never for anything with --yes.

    With --router it tells what else a mobile router needs, and prints the files for that.
    """
    given = {
        "--home-agent": home_agent,
        "--home-address": home_address,
        "--identity": identity,
        "--spi": spi,
        "--key-file": key_file,
        "--ikev2": home_agent_identity,
        "--prefix": prefixes or None,
    }
    named = [option for option, value in given.items() if value is not None]
    try:
        config_file.check_absent(path, force=force)
        if string is None and not named and not yes:
            string = _asked_string()
        if string:
            if named:
                raise click.UsageError(f"the string says it all: leave out {', '.join(named)}")
            enrolment = decode(sys.stdin.read() if string == _STDIN else string)
        else:
            enrolment = _from_options(
                home_agent, home_address, identity, spi, key_file, home_agent_identity, prefixes, asks=not yes
            )
        if bool(enrolment.prefixes) != bool(inwards):
            raise click.UsageError(_NEEDS_INTERFACE if enrolment.prefixes else _NEEDS_PREFIX)
        click.echo(_summary(path, enrolment, inwards))
        # What came in through a pipe took the place of whoever could answer
        if not yes and string != _STDIN and key_file != _STDIN and not click.confirm(f"Write {path}?", default=True):
            raise Failure("nothing was written", FAILED)
        config_file.create(path, text(enrolment, inwards), config.read, force=force)
    except (ConfigError, EnrolmentError) as error:
        raise Failure(str(error), USAGE) from None
    click.echo(f"{path} is written. Now:\n  systemctl enable --now monami6d\n  monami6 doctor")
    if inwards:
        click.echo(f"\n{_router(settings(enrolment, inwards))}", nl=False)


_NEEDS_INTERFACE = "there is to be a network behind this machine: give --router INTERFACE, which leads there"
_NEEDS_PREFIX = "the home agent has no prefix for a network behind this machine: see monami6-ha add-node --prefix"


def _router(known: Settings) -> str:
    from mn_agent.router_text import explanation  # hosts need none of it
    from mn_agent.system.found_links import found_links

    try:
        links = [link for link in found_links(known) if link.has_router]
    except OSError:
        links = []
    return explanation(known, [link.interface for link in links], [link.mtu for link in links])


def _asked_string() -> str:
    question = "Enrolment string from `monami6-ha add-node` (it is not shown; just Enter if there is none)"
    answer: str = click.prompt(question, default="", hide_input=True, show_default=False)
    return answer


def _from_options(
    home_agent: IPv6Address | str | None,
    home_address: IPv6Address | None,
    identity: str | None,
    spi: int | None,
    key_file: str | None,
    home_agent_identity: str | None,
    prefixes: tuple[IPv6Network, ...],
    *,
    asks: bool,
) -> Enrolment:
    missing = {
        "--home-agent": home_agent,
        "--home-address": home_address,
        "--identity": identity,
        "--key-file": key_file,
    }
    if not asks and None in missing.values():
        listed = ", ".join(option for option, value in missing.items() if value is None)
        raise click.UsageError(f"with --yes give an enrolment string (- takes it from standard input), or {listed}")
    home_agent = home_agent or click.prompt("Home agent", type=ADDRESS_OR_NAME)
    home_address = home_address or click.prompt("Home address", type=ADDRESS)
    identity = identity or click.prompt("Identity, such as laptop@example.org")
    if spi is None and key_file is None and home_agent_identity is None:
        spi = click.prompt("Number of the key (spi)", type=click.IntRange(256, 0xFFFFFFFF), default=1000)
    key = _key(key_file)
    protection: Protection = SharedKey(1000 if spi is None else spi, key)
    if home_agent_identity is not None:
        protection = IkeSecret(home_agent_identity, key)
    name = home_agent if isinstance(home_agent, str) else None
    address = UNKNOWN if isinstance(home_agent, str) else home_agent
    return Enrolment(address, home_address, identity, protection, tuple(map(str, prefixes)), name)


def _key(key_file: str | None) -> bytes:
    """Raises UsageError, which does not show it."""
    if key_file is None:
        digits: str = click.prompt("Key, as hexadecimal digits (it is not shown)", hide_input=True)
    else:
        try:
            digits = sys.stdin.read() if key_file == _STDIN else Path(key_file).read_text()
        except OSError as error:
            raise click.UsageError(f"--key-file {key_file}: {error.strerror}") from None
    try:
        return bytes.fromhex(digits.strip().removeprefix("0x"))
    except ValueError:
        raise click.UsageError(f"the key must be {_KEY_FORM}") from None


def _summary(path: Path, enrolment: Enrolment, inwards: tuple[str, ...]) -> str:
    links = "\n               ".join(_links(settings(enrolment, inwards))) or "none that could be an uplink"
    behind = f"Behind it      {', '.join(enrolment.prefixes)} at {', '.join(inwards)}\n" if inwards else ""
    return (
        f"Home agent     {enrolment.home_agent_name or enrolment.home_agent}\n"
        f"Home address   {enrolment.home_address}\n"
        f"Identity       {enrolment.identity}\n"
        f"Protection     {PROTECTIONS[type(enrolment.protection)]}\n"
        f"{behind}"
        f"Links          {links}\n"
        f"File           {path}, readable by its owner only"
    )


def _links(known: Settings) -> list[str]:
    """What the agent would find now."""
    from mn_agent.system.found_links import found_links  # nothing else needs the kernel

    try:
        return [f"{one.name}, {one.kind}: {one.care_of or one.problem}" for one in found_links(known)]
    except OSError as error:
        return [f"cannot be looked at: {error}"]
