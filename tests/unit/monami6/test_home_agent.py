import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from home_agent.__main__ import main
from home_agent.core.status import BindingStatus, FlowStatus, HomeAgentStatus, NodeStatus, PrefixStatus
from monami6.exits import FAILED, NOT_RUNNING
from tests.unit.monami6.fake import NOW, FakeDaemon, association, bound_flow, home_agent_status, node_status, result

Run = Callable[..., Result]

LONG = "2001:db8:1234:5678:9abc:def0:1234:5678"


def run(path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["status", "--socket", str(path), *options], prog_name="monami6-ha")


def shown(path: Path, **changes: Any) -> str:
    with FakeDaemon(path, {"status": result(home_agent_status(**changes))}):
        done = run(path)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_it_shows_nodes_with_their_bindings(socket_path: Path) -> None:
    text = shown(socket_path)
    for part in (
        "Home agent 2001:db8:f::2 on lo",
        "for home addresses in 2001:db8:aaaa::/48",
        "laptop",
        "laptop@example.org",
        "2001:db8:aaaa::100",
        "BID 1",
        "2001:db8:1::10",
        "priority 2",
        "preferred",
        "since 13:58:12, 5 min",
        "until 14:07:12, in 4 min",
    ):
        assert part in text


def test_it_shows_other_home_agents_and_how_they_are_known(socket_path: Path) -> None:
    others = [
        HomeAgentStatus(address=LONG, preference=7, heard=True),
        HomeAgentStatus(address="2001:db8:f::3", preference=-1, heard=False),
    ]
    text = shown(socket_path, home_agents=others)
    assert f"  beside {LONG}, preference 7, heard of on the home link\n" in text
    assert "  beside 2001:db8:f::3, preference -1, named by the configuration\n" in text


def test_a_node_without_bindings_and_one_without_identifiers(socket_path: Path) -> None:
    plain = BindingStatus(
        bid=None, care_of_address="2001:db8:2::10", priority=None, since=NOW, until=NOW + 60, preferred=False
    )
    nodes = [
        node_status(name="away", home_address="2001:db8:aaaa::1"),
        node_status(name="old", home_address="2001:db8:aaaa::2", bindings=[plain]),
    ]
    text = shown(socket_path, nodes=nodes)
    assert "not registered" in text
    assert "one binding" in text
    assert "priority" not in text
    assert "preferred" not in text


def test_it_shows_the_networks_behind_a_mobile_router(socket_path: Path) -> None:
    prefixes = [
        PrefixStatus(prefix="2001:db8:b05::/56", forwarded=True),
        PrefixStatus(prefix=f"{LONG}/128", forwarded=False),
    ]
    text = shown(socket_path, nodes=[node_status(router=True, prefixes=prefixes)])
    assert ["network", "behind", "it", "2001:db8:b05::/56", "forwarded"] in [line.split() for line in text.splitlines()]
    assert ["network", "behind", "it", f"{LONG}/128", "not", "forwarded"] in [
        line.split() for line in text.splitlines()
    ]


def node(*flows: FlowStatus, **changes: Any) -> NodeStatus:
    bindings = [
        BindingStatus(
            bid=bid, care_of_address=f"2001:db8:{bid}::10", priority=2, since=NOW, until=NOW + 60, preferred=False
        )
        for bid in (1, 2)
    ]
    return node_status(**{"bindings": bindings, **changes}, flows=list(flows))


def test_flows_are_told_with_their_bindings_and_what_went_there(socket_path: Path) -> None:
    flows = (
        bound_flow(bids=[2, 1], sent={"1": [0, 0], "2": [120, 34567]}),
        bound_flow(2, packets="tcp from port 443", bids=[2], sent={"1": [1, 60], "2": [0, 0]}),
    )
    lines = shown(socket_path, nodes=[node(*flows)]).splitlines()
    assert lines[lines.index("Flows of laptop") - 1 :] == [
        "",
        "Flows of laptop",
        "  priority 10: udp dscp 46",
        "    to BID 2: 120 packets, 34.6 kB",
        "    to BID 1: nothing",
        "  priority 20: tcp from port 443",
        "    to BID 2: nothing",
        "    to BID 1 before: 1 packet, 60 B",
    ]


def test_a_flow_without_a_binding_is_not_active(socket_path: Path) -> None:
    text = shown(socket_path, nodes=[node(bound_flow(bids=[7], active=False, sent={"1": [0, 0]}))])
    assert "  priority 10, not active: udp dscp 46\n    to BID 7: not there\n" in text
    assert "before" not in text


def test_what_the_kernel_does_not_tell_is_unknown_and_not_nothing(socket_path: Path) -> None:
    assert "    to BID 1: unknown\n" in shown(socket_path, nodes=[node(bound_flow(sent={}))])


def test_flows_are_listed_for_each_node_that_has_some(socket_path: Path) -> None:
    nodes = [node(bound_flow(), name="one"), node(name="none"), node(bound_flow(), name="two")]
    text = shown(socket_path, nodes=nodes)
    assert text.index("Flows of one") < text.index("Flows of two")
    assert "Flows of none" not in text


def test_the_address_of_a_flow_is_not_folded(socket_path: Path) -> None:
    packets = f"udp from {LONG}-{LONG} port 16384-32767"
    assert f"  priority 10: {packets}\n" in shown(socket_path, nodes=[node(bound_flow(packets=packets))])


@pytest.mark.parametrize(
    ("interface", "text"),
    [(None, "no interface: none has that address"), (9999999, "interface 9999999, which cannot be seen from here")],
)
def test_an_interface_that_is_not_there_or_not_here(socket_path: Path, interface: int | None, text: str) -> None:
    assert text in shown(socket_path, interface=interface, nodes=[])


def test_the_index_is_of_this_machine(socket_path: Path) -> None:
    assert socket.if_indextoname(1) in shown(socket_path)


def test_troubles_and_drops_by_reason(socket_path: Path) -> None:
    text = shown(
        socket_path, troubles={"kernel": "no"}, counters={"spoofed_inner_source": 3, "unknown node": 5, "tunnelled": 1}
    )
    assert "kernel: no" in text
    assert "5 unknown node" in text
    assert "3 spoofed inner source" in text
    assert "tunnelled" not in text


def test_how_messages_are_protected_is_told_of_each_node(socket_path: Path) -> None:
    with_sa = node_status(security="ikev2", ike_sa=True, associations=[association(), association(direction="down")])
    text = shown(socket_path, nodes=[with_sa, node_status(name="old", security="manual")])
    assert "Messages of laptop are protected by IPsec (ikev2), IKE SA established\n" in text
    assert "  ESP up   0xc330fd07 mobility since 13:58:12, 5 min: 5 packets, 440 B\n" in text
    assert "  ESP down 0xc330fd07" in text
    assert "Messages of old are protected by IPsec (manual)\n" in text
    assert "no IKE SA" in shown(socket_path, nodes=[node_status(security="ikev2", ike_sa=False)])


def test_it_fits_80_columns(socket_path: Path) -> None:
    binding = BindingStatus(
        bid=65535, care_of_address=LONG, priority=127, since=NOW - 90000, until=NOW + 90000, preferred=True
    )
    node = node_status(
        home_address=LONG, bindings=[binding], security="ikev2", ike_sa=False, associations=[association(replays=3)]
    )
    lines = shown(socket_path, nodes=[node]).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(LONG in line for line in lines) == 2


def test_json_is_the_home_agents_answer(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": b'{"version":1,"result":{"schema":1,"x":1.0}}\n'}):
        assert run(socket_path, "--json").stdout_bytes == b'{"schema":1,"x":1.0}\n'


def test_without_a_home_agent(socket_path: Path) -> None:
    done = run(socket_path)
    assert done.exit_code == NOT_RUNNING
    assert "systemctl start monami6-ha" in done.stderr


def test_a_home_agent_of_another_version(socket_path: Path) -> None:
    with FakeDaemon(socket_path, {"status": result({"schema": 7})}):
        assert run(socket_path).exit_code == FAILED


def test_without_a_command_it_still_serves(tmp_path: Path) -> None:
    missing = tmp_path / "home-agent.toml"
    done = CliRunner().invoke(main, ["--config", str(missing)])
    assert done.exit_code == 2
    assert str(missing) in done.stderr
