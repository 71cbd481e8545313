"""The agent's configuration file (docs/configuration.md)."""

from pathlib import Path

from mip6.config import check_static_keys, fault, load
from mn_agent.core.settings import Settings

DEFAULT_PATH = Path("/etc/monami6/agent.toml")


def read(path: Path) -> Settings:
    """Raises ConfigError with everything that is wrong."""
    settings = load(path, Settings)
    if settings.home.address == settings.home.agent:
        raise fault(path, ("home", "agent"), f' = "{settings.home.agent}": must differ from the home address')
    if (settings.authentication is None) == (settings.manual is None):
        raise fault(path, (), "there must be one of [authentication] and [manual]: how the home agent knows us")
    if settings.authentication is not None and "@" not in settings.authentication.identity:
        shown = settings.authentication.identity
        raise fault(path, ("authentication", "identity"), f' = "{shown}": must look like "laptop@example.org"')
    if settings.manual is not None:
        check_static_keys(path, settings.manual, ("manual",))
    return settings
