"""The agent's configuration file (docs/configuration.md)."""

from pathlib import Path

from mip6.config import check_dns, check_ikev2, check_static_keys, fault, load
from mip6.wire.extension import is_routable
from mn_agent.core.settings import Home, Settings

DEFAULT_PATH = Path("/etc/monami6/agent.toml")


def read(path: Path) -> Settings:
    """Raises ConfigError with everything that is wrong."""
    settings = load(path, Settings)
    if settings.home.address == settings.home.agent:
        raise fault(path, ("home", "agent"), f' = "{settings.home.agent}": must differ from the home address')
    _check_agent(path, settings.home)
    agents = (settings.home.agent, *settings.home.alternatives)
    for agent in settings.home.alternatives:
        if agent == settings.home.address or agents.count(agent) > 1:
            raise fault(path, ("home", "alternatives"), f": {agent} must differ from the home address and all others")
    found = [name for name in ("ikev2", "manual", "authentication") if getattr(settings, name) is not None]
    if not found:
        raise fault(path, (), "there must be [ikev2], [manual] or [authentication]: how the home agent knows us")
    if len(found) > 1:
        raise fault(path, (found[1],), f": there is [{found[0]}] already; messages are protected in one way")
    for name in ("ikev2", "authentication"):
        table = getattr(settings, name)
        if table is not None and "@" not in table.identity:
            raise fault(path, (name, "identity"), f' = "{table.identity}": must look like "laptop@example.org"')
    if settings.ikev2 is not None and (settings.ikev2.secret is None) == (settings.ikev2.certificates is None):
        raise fault(path, ("ikev2",), ": must have a secret, or [ikev2.certificates], and not both")
    if settings.ikev2 is not None:
        check_ikev2(path, ("ikev2",))
    for correspondent in settings.route_optimization.hosts:
        if correspondent in (settings.home.address, *agents):
            what = f": {correspondent} must differ from the home address and the home agents"
            raise fault(path, ("route_optimization", "correspondents"), what)
        if not is_routable(correspondent):
            what = f": {correspondent} must be a global or unique local address of one host"
            raise fault(path, ("route_optimization", "correspondents"), what)
    if settings.route_optimization.correspondents and settings.protects_payload:
        raise fault(
            path,
            ("route_optimization", "correspondents"),
            ": what goes directly is not protected; [ikev2] payload must be false",
        )
    _check_router(path, settings)
    if settings.manual is not None:
        check_static_keys(path, settings.manual, ("manual",))
    return settings


def _check_agent(path: Path, home: Home) -> None:
    """Whether it is said in one way who the home agent is."""
    agent = str(home.agent) if home.is_agent_known else home.agent_name
    if agent is None and home.domain is None:
        what = ': is missing; it must be the home agent\'s address or host name, or give domain = "example.net"'
        raise fault(path, ("home", "agent"), what)
    if agent is not None and home.domain is not None:
        raise fault(path, ("home", "domain"), f' = "{home.domain}": there is agent = "{agent}" already')
    if not home.is_agent_known:
        check_dns(path, ("home", "domain" if agent is None else "agent"))


def _check_router(path: Path, settings: Settings) -> None:
    router = settings.router
    if bool(router.prefixes) != bool(router.interfaces):
        missing = "interfaces" if router.prefixes else "prefixes"
        raise fault(path, ("router", missing), ": is missing; a mobile router needs prefixes and interfaces")
    for number, prefix in enumerate(router.prefixes):
        where = ("router", "prefixes")
        if prefix.prefixlen == 0 or prefix.is_link_local or prefix.is_multicast or prefix.is_loopback:
            raise fault(path, where, f" = {prefix}: must be a global or unique local prefix")
        if any(agent in prefix for agent in (settings.home.agent, *settings.home.alternatives)):
            raise fault(path, where, f" = {prefix}: a home agent's address is in it")
        if any(prefix.overlaps(other) for other in router.prefixes[:number]):
            raise fault(path, where, f" = {prefix}: overlaps another one")
