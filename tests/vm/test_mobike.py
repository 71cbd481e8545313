"""What benchmarks compare with does what is said of it: it protects the traffic, and moves when a carrier is lost."""

from mn_lab.commands import run
from mn_lab.layout import CORRESPONDENT_ADDRESS, HOME_ADDRESS, HOME_AGENT_ADDRESS, MOBILE_NODE, UPLINK
from mn_lab.mobike import Mobike
from tests.kernel.wire import Capture

HOME, CN, GATEWAY = str(HOME_ADDRESS), str(CORRESPONDENT_ADDRESS), str(HOME_AGENT_ADDRESS)
COUNT = 3


def packets(mobike: Mobike) -> dict[str, list[list[str]]]:
    """Source and destination of the ESP packets on each link while some echo requests are answered."""
    with Capture(mobike, "ethernet", UPLINK) as ethernet, Capture(mobike, "wifi", UPLINK) as wifi:
        pings = ["-c", str(COUNT), "-i", "0.1", "-w", "20", "-I", HOME, CN]
        run(mobike.command(MOBILE_NODE, "ping", "-6", *pings))
    captures = {"ethernet": ethernet, "wifi": wifi}
    assert [capture.rows(f"ipv6.addr == {HOME}", ["frame.number"]) for capture in captures.values()] == [[], []]
    return {link: capture.rows("esp", ["ipv6.src", "ipv6.dst"]) for link, capture in captures.items()}


def test_it_protects_the_traffic_and_moves_and_returns(prefix: str) -> None:
    with Mobike(prefix) as mobike:
        over = {
            link.name: [[str(link.prefix[16]), GATEWAY], [GATEWAY, str(link.prefix[16])]] * COUNT
            for link in mobike.layout.links
        }
        assert packets(mobike) == {"ethernet": over["ethernet"], "wifi": []}
        with mobike.network_manager():
            mobike.lose_carrier()
            mobike.wait_moved("wifi")
        assert packets(mobike) == {"ethernet": [], "wifi": over["wifi"]}
        mobike.return_carrier()
        mobike.wait_moved("ethernet")
        assert packets(mobike) == {"ethernet": over["ethernet"], "wifi": []}
