"""Our network devices: `ip` is the judge."""

import json
from collections.abc import Iterator
from select import select

import pytest

from mip6.kernel import ANYWHERE, Device, Kernel, Route
from mip6.linux.reconciler import Reconciler
from mn_lab import network
from mn_lab.commands import ip_batch, run
from tests.kernel.namespace import inside

WANTED = Kernel(
    devices=frozenset((Device(0), Device(7))), routes=frozenset((Route(14600, ANYWHERE, Device(7).index, mtu=1406),))
)


@pytest.fixture
def space(prefix: str) -> Iterator[str]:
    space = f"{prefix}devices"
    run(*ip_batch([f"netns add {space}"]))
    try:
        run(*ip_batch(["link set lo up"], space))
        yield space
    finally:
        network.remove([space])


@pytest.fixture
def reconciler(space: str) -> Iterator[Reconciler]:
    with inside(space):
        reconciler = Reconciler("test")
    yield reconciler
    reconciler.close()


def shown(space: str) -> list[dict[str, object]]:
    links: list[dict[str, object]] = json.loads(run(["ip", "-n", space, "-d", "-j", "link", "show"]))
    return [link for link in links if link["ifname"] not in ("lo", "ip6tnl0")]


def test_they_are_made_and_removed(space: str, reconciler: Reconciler) -> None:
    assert reconciler.apply(WANTED) == []
    found = {link["ifname"]: link for link in shown(space)}
    assert set(found) == {"monami6-0", "monami6-7"}
    link = found["monami6-7"]
    assert link["ifindex"] == Device(7).index
    assert "UP" in str(link["flags"])
    assert link["linkinfo"] == {"info_kind": "xfrm", "info_data": {"if_id": f"{Device(7).if_id:#x}"}}
    assert "inet6 " not in run(["ip", "-n", space, "address", "show", "dev", "monami6-7"])
    assert reconciler.apply(Kernel()) == []
    assert shown(space) == []


def test_those_of_a_former_run_are_adopted(space: str, reconciler: Reconciler) -> None:
    assert reconciler.apply(WANTED) == []
    with inside(space):
        again = Reconciler("test")
    assert again.apply(WANTED) == []
    assert again.apply(Kernel()) == []
    again.close()
    assert shown(space) == []


@pytest.mark.parametrize("what", ["link delete dev monami6-7", "link set dev monami6-7 down"])
def test_one_that_somebody_takes_away_comes_back(space: str, reconciler: Reconciler, what: str) -> None:
    assert reconciler.apply(WANTED) == []
    run(*ip_batch([what], space))
    ready, _, _ = select([reconciler.fileno()], [], [], 10)
    assert ready
    assert reconciler.heed()
    assert reconciler.apply(WANTED) == []
    assert {link["ifname"] for link in shown(space) if "UP" in str(link["flags"])} == {"monami6-0", "monami6-7"}
    assert "dev monami6-7" in run(["ip", "-6", "-n", space, "route", "show", "table", "14600"])


def test_one_of_somebody_else_is_not_ours(space: str, reconciler: Reconciler) -> None:
    others = ("monami6-x", "monami6-9", "other")
    run(*ip_batch([f"link add {name} type dummy" for name in others], space))
    run(*ip_batch([f"link set dev {name} up" for name in others], space))
    reconciler.read()
    assert reconciler.apply(Kernel()) == []
    assert {link["ifname"] for link in shown(space)} == set(others)
