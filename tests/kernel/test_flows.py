"""Each flow on the link that its policy wants, in both directions, counted at the access routers."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest

from mn_lab.control import Status
from mn_lab.lab import Lab
from mn_lab.layout import CORRESPONDENT, CORRESPONDENT_ADDRESS, HOME_ADDRESS, MOBILE_NODE
from mn_lab.network import LinkAction
from mn_lab.traffic import DOWN, UP
from tests.kernel.conftest import Use
from tests.kernel.streams import Fate, Judge, Stream, Streams

CN, HOME = str(CORRESPONDENT_ADDRESS), str(HOME_ADDRESS)
EF = 46

POLICY = """
description = "Four kinds of flows"
[[flow]]
name = "marked"
dscp = "ef"
via = ["ethernet"]
[[flow]]
name = "protected"
spi = "0x1000-0x1fff"
via = ["ethernet"]
[[flow]]
name = "stream"
protocol = "tcp"
via = ["wifi"]
[[flow]]
name = "datagrams"
protocol = "udp"
port = "6000-6999"
via = ["lte"]
"""

STREAM = Stream("stream", "tcp", 5001)
DATAGRAMS = Stream("datagrams", "udp", 6000)
MARKED = Stream("marked", "udp", 6001, dscp=EF)
PROTECTED = Stream("protected", "esp", 0x1234)
OTHER = Stream("other", "udp", 7000)

# Of the packet in the tunnel: its DSCP, its next header, its destination port or its SPI
KINDS = {
    "marked": f"ip6 nexthdr 41 @nh,324,6 {EF}",
    "protected": "ip6 nexthdr 41 @nh,368,8 50 @nh,640,32 0x1234",
    "stream": "ip6 nexthdr 41 @nh,368,8 6",
    "datagrams": "ip6 nexthdr 41 @nh,324,6 0 @nh,368,8 17 @nh,656,16 6000",
    "other": "ip6 nexthdr 41 @nh,368,8 17 @nh,656,16 7000",
    "ping": "ip6 nexthdr 41 @nh,368,8 58",
}
FRAGMENTS = {
    "tunnelled": "ip6 nexthdr 41 @nh,368,8 44",
    "tunnel": "ip6 nexthdr 44 @nh,320,8 41",
}


def both_ways(*links: str) -> set[tuple[str, str]]:
    return {(link, direction) for link in links for direction in (UP, DOWN)}


def sent(status: Status, flow: str) -> int:
    """How many packets of a flow the agent has counted on their way up."""
    return sum(traffic["packets"] for one in status["flows"] if one["name"] == flow for traffic in one["sent"].values())


def wait_for_datagrams(lab: Lab, count: int) -> None:
    """Until so many more have been sent."""
    enough = sent(lab.agent.status(), "datagrams") + count
    lab.wait(lambda status: sent(status, "datagrams") > enough, "traffic counted")


def assert_whole(fates: Mapping[tuple[str, str], Fate], at_least: int, streams: Sequence[Stream]) -> None:
    assert set(fates) == {(stream.name, direction) for stream in streams for direction in (UP, DOWN)}
    for fate in fates.values():
        assert (fate.lost, fate.reordered, fate.duplicates) == (0, 0, 0), fates
        assert fate.sent >= at_least


@pytest.mark.req("MCOA-30", "FLOW-08", "FLOW-12", "FLOW-35")
def test_four_flows_on_three_links_and_no_stray_packet(lab: Lab, use: Use) -> None:
    use(POLICY)
    streams = (STREAM, DATAGRAMS, MARKED, PROTECTED, OTHER)
    with Judge(lab, KINDS) as judge:
        with Streams(lab, streams) as flowing:
            wait_for_datagrams(lab, 200)
            fates = flowing.fates()
        found, counts = judge.places(), judge.counts()
    assert_whole(fates, 200, streams)
    assert found == {
        "marked": both_ways("ethernet"),
        "protected": both_ways("ethernet"),
        "stream": both_ways("wifi"),
        "datagrams": both_ways("lte"),
        "other": both_ways("ethernet"),
    }
    for name, link in (("marked", "ethernet"), ("protected", "ethernet"), ("datagrams", "lte"), ("other", "ethernet")):
        for direction in (UP, DOWN):
            assert counts[link, name, direction] == fates[name, direction].sent


@pytest.mark.req("FLOW-17")
def test_a_flow_that_moves_loses_nothing_and_leaves_the_others_alone(lab: Lab, use: Use) -> None:
    use(POLICY)
    quick = replace(DATAGRAMS, per_second=2000)
    streams = (quick, STREAM, MARKED, PROTECTED, OTHER)
    with Judge(lab, KINDS) as judge:
        with Streams(lab, streams) as flowing:
            for link in ("wifi", "ethernet", "lte", "wifi"):
                lab.monami6("switch", "--flow", "datagrams", link)
                wait_for_datagrams(lab, 1000)
            fates = flowing.fates()
        found, counts = judge.places(), judge.counts()
    lab.monami6("switch", "--flow", "datagrams", "--auto")
    assert_whole(fates, 200, streams)
    assert found.pop("datagrams") == both_ways("ethernet", "wifi", "lte")
    assert found == {
        "marked": both_ways("ethernet"),
        "protected": both_ways("ethernet"),
        "stream": both_ways("wifi"),
        "other": both_ways("ethernet"),
    }
    for direction in (UP, DOWN):
        moved = [counts[link, "datagrams", direction] for link in ("ethernet", "wifi", "lte")]
        assert sum(moved) == fates["datagrams", direction].sent
        assert min(moved) > 500


COPIED = """
description = "Two copies"
[[flow]]
name = "datagrams"
protocol = "udp"
port = 6000
copies = 2
via = ["wifi", "lte", "ethernet"]
"""


@pytest.mark.req("FLOW-27")
def test_a_copied_flow_survives_a_link_without_losing_a_packet(lab: Lab, use: Use) -> None:
    use(COPIED)
    with Judge(lab, KINDS) as judge:
        with Streams(lab, (DATAGRAMS, OTHER)) as flowing:
            wait_for_datagrams(lab, 400)
            fates = flowing.fates()
        counts = judge.counts()
        for direction in (UP, DOWN):
            fate = fates["datagrams", direction]
            assert (fate.lost, fate.duplicates) == (0, fate.sent)
            assert [counts[link, "datagrams", direction] for link in ("wifi", "lte")] == [fate.sent, fate.sent]
            assert ("ethernet", "datagrams", direction) not in counts
            assert (fates["other", direction].lost, fates["other", direction].duplicates) == (0, 0)
        with Streams(lab, (DATAGRAMS,)) as flowing:
            lab.change_link("wifi", LinkAction.DOWN)
            try:
                wait_for_datagrams(lab, 400)
            finally:
                lab.change_link("wifi", LinkAction.UP)
            for fate in flowing.fates().values():
                assert fate.lost == 0
    lab.wait_registered()


@pytest.mark.req("FLOW-28")
@pytest.mark.parametrize("tracking", [False, True], ids=["", "with connection tracking everywhere"])
def test_fragments_follow_the_first(lab: Lab, use: Use, *, tracking: bool) -> None:
    """Only the first has ports. What comes is fragmented in the tunnel; what goes, the tunnel itself."""
    use(POLICY)
    large = replace(DATAGRAMS, octets=4000, per_second=50)
    lab.run(CORRESPONDENT, "ping", "-6", "-n", "-c", "2", "-s", "1452", "-M", "want", HOME)  # learns the path's MTU
    with tracked(lab) if tracking else nullcontext(), Judge(lab, KINDS | FRAGMENTS) as judge:
        with Streams(lab, (large, OTHER)) as flowing:
            wait_for_datagrams(lab, 100)
            fates = flowing.fates()
        found, counts = judge.places(), judge.counts()
    assert_whole(fates, 50, (large, OTHER))
    assert found == {"tunnelled": {("lte", DOWN)}, "tunnel": {("lte", UP)}, "other": both_ways("ethernet")}
    assert counts["lte", "tunnelled", DOWN] == 3 * fates["datagrams", DOWN].sent
    assert counts["lte", "tunnel", UP] == 3 * fates["datagrams", UP].sent


@contextmanager
def tracked(lab: Lab) -> Iterator[None]:
    """A firewall as most have it, which makes the kernel put fragments together before anybody sees them."""
    chain = "type filter hook input priority 0; policy accept;", "ct state established,related accept"
    table = "\n".join(("table ip6 firewall {", "chain input {", *chain, "}", "}", ""))
    for node in ("mn", "ha"):
        subprocess.run(lab.command(node, "nft", "-f", "-"), input=table, text=True, check=True)
    yield
    for node in ("mn", "ha"):
        lab.run(node, "nft", "delete", "table", "ip6", "firewall")


OF_NOBODY = """
description = "What one user sends"
[[flow]]
name = "nobody"
user = "nobody"
via = ["lte"]
"""


def test_a_flow_of_one_user_goes_up_its_link(lab: Lab, use: Use) -> None:
    """The home agent cannot know whose packets they are: what comes back takes the default's link."""
    use(OF_NOBODY)
    send = "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(bytes(8), ('{}', {}))"
    with Judge(lab, KINDS) as judge:
        for user, port in ((65534, 7000), (0, 6000)):
            program = ("setpriv", "--reuid", str(user), "--clear-groups", sys.executable, "-c", send.format(CN, port))
            lab.run(MOBILE_NODE, *program)
        lab.run(CORRESPONDENT, "ping", "-6", "-c", "3", "-i", "0.05", HOME)
        found = judge.places()
    assert found == {
        "other": {("lte", UP)},
        "datagrams": {("ethernet", UP)},
        "ping": both_ways("ethernet"),
    }
    (flow,) = lab.agent.status()["flows"]
    assert flow["bound"] == "unknown to it"


def test_flows_stay_where_they_are_while_the_agent_is_dead_and_when_it_comes_back(lab: Lab, use: Use) -> None:
    use(POLICY)
    streams = (DATAGRAMS, MARKED, PROTECTED, OTHER)
    with Judge(lab, KINDS) as judge:
        with Streams(lab, streams) as flowing:
            lab.kill_agent()
            lab.start_agent()
            status = lab.wait_registered()
            assert {flow["bound"] for flow in status["flows"]} == {"yes"}
            lab.kill_home_agent()
            lab.start_home_agent()
            wait_for_datagrams(lab, 200)
            fates = flowing.fates()
        found = judge.places()
    assert_whole(fates, 200, streams)
    assert found == {
        "marked": both_ways("ethernet"),
        "protected": both_ways("ethernet"),
        "datagrams": both_ways("lte"),
        "other": both_ways("ethernet"),
    }
