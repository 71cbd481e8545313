"""The home agent's configuration file (docs/configuration.md)."""

from pathlib import Path

from home_agent.core.mobile_networks import conflict
from home_agent.core.settings import Node, Settings
from mip6.config import Where, check_ikev2, check_static_keys, fault, load

DEFAULT_PATH = Path("/etc/monami6/home-agent.toml")


def read(path: Path) -> Settings:
    """Raises ConfigError with everything that is wrong."""
    settings = load(path, Settings)
    if not settings.home_agent.prefixes:
        raise fault(path, ("home_agent", "prefixes"), ' = []: must name a home prefix, such as ["2001:db8:f00::/48"]')
    if settings.ikev2 is not None:
        check_ikev2(path, ("ikev2",))
    for place, one in enumerate(settings.prefix):
        if not any(one.prefix.subnet_of(prefix) for prefix in settings.home_agent.prefixes):
            raise fault(path, ("prefix", place, "prefix"), f' = "{one.prefix}": is in no home prefix')
    for place, node in enumerate(settings.node):
        _check(path, settings, node, ("node", place))
    return settings


def _check(path: Path, settings: Settings, node: Node, where: Where) -> None:
    place = where[-1]
    assert isinstance(place, int)
    _check_prefixes(path, settings, node, where)
    if not any(node.home_address in prefix for prefix in (*settings.home_agent.prefixes, *node.prefixes)):
        prefixes = ", ".join(str(prefix) for prefix in settings.home_agent.prefixes)
        raise fault(path, (*where, "home_address"), f' = "{node.home_address}": must be an address in {prefixes}')
    for key in ("name", "identity", "home_address"):
        taken = [getattr(other, key) for other in settings.node[:place]]
        if getattr(node, key) in taken:
            raise fault(path, (*where, key), f' = "{getattr(node, key)}": another node has it already')
    found = [name for name in ("ikev2", "manual", "spi", "key") if getattr(node, name) is not None]
    if found[1:] and found != ["spi", "key"]:
        raise fault(path, (*where, found[1]), f": there is {found[0]} already; messages are protected in one way")
    if not found or found in (["spi"], ["key"]):
        missing = "key" if found == ["spi"] else "spi"
        raise fault(path, (*where, missing), ": is missing; give spi and key, [node.ikev2], or [node.manual]")
    if node.manual is not None:
        check_static_keys(path, node.manual, (*where, "manual"))
        taken = [other.manual.up.spi for other in settings.node[:place] if other.manual is not None]
        if node.manual.up.spi in taken:
            raise fault(path, (*where, "manual", "up", "spi"), f" = {node.manual.up.spi}: another node has it already")
    if node.ikev2 is not None and settings.ikev2 is None:
        raise fault(path, (*where, "ikev2"), ": needs [ikev2] with the home agent's own identity")
    if node.ikev2 is not None and node.ikev2.secret is None and not (settings.ikev2 and settings.ikev2.certificates):
        raise fault(path, (*where, "ikev2", "secret"), ": is missing, and there are no [ikev2.certificates]")
    if node.home_address == settings.home_agent.address:
        raise fault(path, (*where, "home_address"), f' = "{node.home_address}": is the home agent\'s own address')


def _check_prefixes(path: Path, settings: Settings, node: Node, where: Where) -> None:
    """Those of a mobile router belong to nobody else."""
    found = conflict(settings, node)
    if found is not None:
        prefix, problem = found
        raise fault(path, (*where, "prefixes"), f" = {prefix}: {problem}")
