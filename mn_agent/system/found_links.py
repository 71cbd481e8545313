"""The links that an agent would find on this machine."""

from contextlib import closing

from mn_agent.core.links import Link, find_links
from mn_agent.core.settings import Settings
from mn_agent.system.watcher import Watcher


def found_links(settings: Settings) -> list[Link]:
    """Those there are now. Raises OSError."""
    with closing(Watcher()) as watcher:
        return find_links(watcher.look(), settings, {}, {})
