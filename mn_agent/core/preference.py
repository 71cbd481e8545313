"""Which link is better than which."""

from fnmatch import fnmatchcase

from mn_agent.core.links import Link
from mn_agent.core.settings import LinksSettings

PINNED_PRIORITY = 1
_WORST_PRIORITY = 127
_LINKS_PER_RANK = 8


def rank(link: Link, settings: LinksSettings) -> int:
    """Place of the link in the operator's list; behind its end when not listed."""
    for place, pattern in enumerate(settings.prefer):
        if pattern in (link.name, link.kind) or fnmatchcase(link.interface, pattern):
            return place
    return len(settings.prefer)


def priority(link: Link, settings: LinksSettings, *, is_pinned: bool) -> int:
    """BID-PRI of the link, 1 to 127, lower is better (RFC 6089 section 4.1).

    It depends on nothing but the link and what people decided: when some other link comes or goes, no priority
    changes, and the home agent falls back to the next best by itself. `is_pinned`: somebody asked for this link.
    """
    if is_pinned:
        return PINNED_PRIORITY
    wanted = PINNED_PRIORITY + 1 + _LINKS_PER_RANK * rank(link, settings) + (link.bid - 1) % _LINKS_PER_RANK
    return min(wanted, _WORST_PRIORITY)
