"""monami6-ha radvd."""

from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import click

from home_agent import config
from home_agent.core.settings import Settings
from mip6.config import ConfigError
from mip6.options import configuration
from monami6.exits import USAGE, Failure

_HEADER = "# By `monami6-ha radvd`: how radvd tells of this home agent on its home link (RFC 6275 section 7).\n"
_MOST_PREFERENCE = 0xFFFF


@click.command("radvd")
@configuration(f"The home agent's configuration.  [default: {config.DEFAULT_PATH}]")
def radvd(path: Path) -> None:
    """Print a configuration for radvd, with which other home agents on the home link and hosts there know this one."""
    try:
        click.echo(document(config.read(path)), nl=False)
    except ConfigError as error:
        raise Failure(str(error), USAGE) from None


def document(settings: Settings) -> str:
    """The text of radvd.conf. Raises Failure where router advertisements cannot say what a home agent has to."""
    own = settings.home_agent
    if own.home_link is None:
        raise Failure("there is no home link: [home_agent] home_link names the interface towards it")
    if not any(own.address in prefix for prefix in own.prefixes):
        raise Failure(
            f"{own.address} is from no home prefix, so router advertisements cannot tell it; "
            "the other home agents have to name it as [[peer]]"
        )
    prefixes = sorted(_prefixes(settings) - {_network(own.address)})
    lines = [
        f"interface {own.home_link} {{",
        "    AdvSendAdvert on;",
        "    AdvSourceLLAddress on;",
        "    AdvHomeAgentFlag on;",
        "    AdvHomeAgentInfo on;",
        f"    HomeAgentPreference {min(max(own.preference, 0), _MOST_PREFERENCE)};",
        *(["    AdvMobRtrSupportFlag on;"] if settings.serves_mobile_routers else []),
        "    AdvIntervalOpt on;",
        "    MinDelayBetweenRAs 3;",
        *_prefix(f"{own.address}/64", "    AdvRouterAddr on;"),
        *(line for prefix in prefixes for line in _prefix(str(prefix))),
        "};",
    ]
    return _HEADER + "\n".join(lines) + "\n"


def _prefixes(settings: Settings) -> set[IPv6Network]:
    """Those of the home link: hosts there make an address from 64 bits."""
    whole = {prefix for prefix in settings.home_agent.prefixes if prefix.prefixlen == 64}
    return whole | {_network(node.home_address) for node in settings.node}


def _network(address: IPv6Address) -> IPv6Network:
    return IPv6Network((address, 64), strict=False)


def _prefix(prefix: str, *more: str) -> list[str]:
    inside = ["    AdvOnLink on;", "    AdvAutonomous on;", *more]
    return [f"    prefix {prefix} {{", *(f"    {line}" for line in inside), "    };"]
