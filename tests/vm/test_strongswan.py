"""strongSwan works in there: two charons, one in each of two namespaces, agree on keys that the kernel then uses."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mn_lab import network
from mn_lab.commands import ip_batch, run
from tests.vm.strongswan import Charon, running_charon

ADDRESSES = {"node": "2001:db8:1::1", "agent": "2001:db8:1::2"}

CONNECTION = """
connections {{
    peer {{
        version = 2
        local_addrs = {local}
        remote_addrs = {remote}
        proposals = aes128-sha256-modp2048
        local {{
            auth = psk
            id = {own}
        }}
        remote {{
            auth = psk
            id = {other}
        }}
        children {{
            all {{
                mode = transport
                esp_proposals = aes128-sha256
            }}
        }}
    }}
}}
secrets {{
    ike {{
        secret = "known to both"
    }}
}}
"""


@pytest.fixture
def namespaces(prefix: str) -> Iterator[dict[str, str]]:
    """Of both ends of a cable, which have their addresses."""
    spaces = {end: prefix + end for end in ADDRESSES}
    try:
        run(*ip_batch(f"netns add {namespace}" for namespace in spaces.values()))
        ends = "link add up0 index 100 netns {node} type veth peer name up0 index 101 netns {agent}"
        run(*ip_batch([ends.format(**spaces)]))
        for end, address in ADDRESSES.items():
            run(*ip_batch([f"address add {address}/64 dev up0 nodad", "link set up0 up"], spaces[end]))
        yield spaces
    finally:
        network.remove(spaces.values())


@pytest.fixture
def node(namespaces: dict[str, str], tmp_path: Path) -> Iterator[Charon]:
    with running_charon(namespaces["node"], tmp_path / "node", connection("node", "agent")) as charon:
        yield charon


@pytest.fixture
def agent(namespaces: dict[str, str], tmp_path: Path) -> Iterator[Charon]:
    with running_charon(namespaces["agent"], tmp_path / "agent", connection("agent", "node")) as charon:
        yield charon


def connection(own: str, other: str) -> str:
    return CONNECTION.format(own=own, local=ADDRESSES[own], other=other, remote=ADDRESSES[other])


def test_keys_by_ike_protect_the_traffic(namespaces: dict[str, str], node: Charon, agent: Charon) -> None:
    node.swanctl("--initiate", "--child", "all", "--timeout", "60")
    for charon, own, other in ((node, "node", "agent"), (agent, "agent", "node")):
        associations = charon.swanctl("--list-sas")
        assert "ESTABLISHED, IKEv2" in associations
        assert f"local  '{own}' @ {ADDRESSES[own]}" in associations
        assert f"remote '{other}' @ {ADDRESSES[other]}" in associations
        assert "INSTALLED, TRANSPORT, ESP:AES_CBC-128/HMAC_SHA2_256_128" in associations

    count = 3
    run(network.in_namespace(namespaces["node"], "ping", "-6", "-c", str(count), "-i", "0.1", ADDRESSES["agent"]))
    for namespace in namespaces.values():
        states = run(["ip", "-s", "-n", namespace, "xfrm", "state"])
        used = [int(packets) for packets in re.findall(r"\(bytes\), (\d+)\(packets\)", states)]
        assert [packets >= count for packets in used] == [True, True]
