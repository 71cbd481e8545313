"""Where the home agent is asked for home agents; what it answers is told in tests/story/test_home_agents.py."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from home_agent.core.discovery import anycast_addresses
from tests.unit.home_agent.core.updates import LAPTOP, ROUTER, settings


@pytest.mark.req("DHAAD-01")
def test_it_is_asked_at_one_address_for_all_home_addresses_of_a_prefix() -> None:
    elsewhere = replace(ROUTER, name="other", home_address=IPv6Address("2001:db8:f00:1::1"))
    known = replace(settings(), node=(LAPTOP, ROUTER, elsewhere))
    assert anycast_addresses(known) == {
        IPv6Address("2001:db8:f00:0:fdff:ffff:ffff:fffe"),
        IPv6Address("2001:db8:f00:1:fdff:ffff:ffff:fffe"),
    }
