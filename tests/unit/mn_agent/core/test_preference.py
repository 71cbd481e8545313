"""The order of links, as priorities that both ends understand."""

from dataclasses import replace

import pytest

from mn_agent.core.links import Link
from mn_agent.core.preference import priority, rank
from mn_agent.core.settings import LinksSettings

ETHERNET = Link(1, "dock", "ethernet", 2, "eth0")
WIFI = Link(2, "wifi", "wifi", 3, "wlan0")
LTE = Link(3, "wwan0", "lte", 4, "wwan0")
UNKNOWN = Link(4, "tap7", "other", 5, "tap7")


def test_links_rank_by_name_kind_or_pattern() -> None:
    settings = LinksSettings(prefer=("wifi", "dock", "ww*"))
    assert [rank(link, settings) for link in (ETHERNET, WIFI, LTE, UNKNOWN)] == [1, 0, 2, 3]
    assert rank(LTE, LinksSettings(prefer=("lte",))) == 0


@pytest.mark.req("FLOW-01")
def test_priorities_are_in_range_distinct_and_in_order() -> None:
    settings = LinksSettings()
    links = [replace(link, bid=bid) for link in (ETHERNET, WIFI, LTE, UNKNOWN) for bid in range(1, 9)]
    priorities = [priority(link, settings, is_pinned=False) for link in links]
    assert priorities == sorted(set(priorities))
    assert all(1 < number <= 127 for number in priorities)
    assert priority(UNKNOWN, settings, is_pinned=True) == 1


@pytest.mark.req("FLOW-01")
def test_a_long_list_ends_at_the_worst_priority() -> None:
    settings = LinksSettings(prefer=tuple(f"link{number}" for number in range(40)))
    assert priority(UNKNOWN, settings, is_pinned=False) == 127
