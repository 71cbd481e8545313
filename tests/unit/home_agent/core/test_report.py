"""What `monami6-ha status` gets to show."""

from home_agent.core.report import status
from home_agent.core.status import Status
from mip6.table import Counter
from tests.unit.home_agent.core.updates import EPOCH_S, ETHERNET, KEY, OTHER_KEY, WIFI, Bench, bid


def report(bench: Bench) -> Status:
    counters = {"tunnelled": Counter(3, 300), "n0_f7_b1": Counter(5, 500)}
    return status(bench.state, bench.now, unix_time=EPOCH_S + bench.now, version="1", pid=2, counters=counters)


def test_nodes_and_their_bindings() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET, priority=9))
    bench.update(bid(2, WIFI, priority=3), source=WIFI)
    laptop, router = report(bench).nodes
    assert (laptop.name, router.name) == ("laptop", "router")
    assert router.bindings == []
    assert [(one.bid, one.care_of_address, one.priority, one.preferred) for one in laptop.bindings] == [
        (1, str(ETHERNET), 9, False),
        (2, str(WIFI), 3, True),
    ]
    assert laptop.bindings[1].until - laptop.bindings[1].since == 600


def test_a_plain_binding_has_no_identifier() -> None:
    bench = Bench()
    bench.update()
    (binding,) = report(bench).nodes[0].bindings
    assert (binding.bid, binding.priority, binding.preferred) == (None, None, True)


def test_drops_are_counted_by_reason_and_secrets_stay_secret() -> None:
    bench = Bench()
    bench.update(bid(1, ETHERNET), signed=False)
    shown = report(bench)
    assert shown.counters == {"tunnelled": 3, "not authenticated": 1}
    for secret in (KEY, OTHER_KEY):
        assert secret.hex() not in str(shown)
        assert repr(secret) not in str(shown)
