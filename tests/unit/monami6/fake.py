"""A control socket that answers as it is told, and what an agent and a home agent would say there."""

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import msgspec

from home_agent.core.status import BindingStatus, NodeStatus
from home_agent.core.status import FlowStatus as BoundFlow
from home_agent.core.status import Status as HomeAgentStatus
from mip6.association_status import AssociationStatus
from mn_agent.core.status import (
    CorrespondentStatus,
    DefaultTraffic,
    Explanation,
    FlowStatus,
    HostStatus,
    IkeStatus,
    LinkReason,
    LinkStatus,
    NetworkStatus,
    PathStatus,
    Reason,
    Registered,
    RouterStatus,
    Status,
    Traffic,
)

NOW = 1795442592.0
"""2026-11-23 14:03:12 UTC."""


class FakeDaemon(AbstractContextManager["FakeDaemon"]):
    """`answers`: what to send for each method, octet by octet, before closing; None never answers."""

    def __init__(self, path: Path, answers: Mapping[str, bytes | None]) -> None:
        self.path = path
        self.answers = dict(answers)
        self.requests: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        self._socket.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        self.path.unlink()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # shut down
                return
            with connection, connection.makefile("rb") as lines:
                request = json.loads(lines.readline())
                self.requests.append(request)
                answer = self.answers[request["method"]]
                if answer is None:
                    lines.read()  # until the client gives up
                else:
                    connection.sendall(answer)


def result(value: object) -> bytes:
    """A line that the daemons would write."""
    return b'{"version":1,"result":' + msgspec.json.encode(value) + b"}\n"


def refusal(kind: str, text: str) -> bytes:
    return b'{"version":1,"error":' + json.dumps({"kind": kind, "text": text}).encode() + b"}\n"


def link(name: str = "office", **changes: Any) -> LinkStatus:
    usual: dict[str, Any] = {
        "name": name,
        "interface": "eth0",
        "kind": "ethernet",
        "bid": 1,
        "care_of_address": "2001:db8:1::10",
        "state": "registered",
        "since": NOW - 300,
        "until": NOW + 240,
        "carries_default": True,
        "priority": 2,
        "metered": False,
        "captive": None,
        "leaving": False,
        "connectivity": None,
        "connection": None,
        "ssid": None,
        "signal_percent": None,
        "path": PathStatus(state="alive", rtt_ms=12.3, jitter_ms=0.4, loss=0.0),
        "waits_until": None,
        "sent": Traffic(120, 34567),
        "received": Traffic(240, 456789),
        "problem": None,
    }
    return LinkStatus(**usual | changes)


def flow(name: str = "call", **changes: Any) -> FlowStatus:
    usual: dict[str, Any] = {
        "name": name,
        "packets": ["udp dscp 46"],
        "links": ["office"],
        "since": NOW - 60,
        "why": "the flow goes via office, wifi",
        "pinned": None,
        "bound": "yes",
        "sent": {"office": Traffic(120, 34567)},
        "received": {"office": Traffic(1, 999)},
    }
    return FlowStatus(**usual | changes)


def default(**changes: Any) -> DefaultTraffic:
    usual: dict[str, Any] = {
        "link": "office",
        "since": NOW - 120,
        "why": "it is the only registered link",
        "pinned": None,
        "sent": {"office": Traffic(1, 40)},
        "received": {"office": Traffic(2, 80)},
    }
    return DefaultTraffic(**usual | changes)


def ike(**changes: Any) -> IkeStatus:
    usual: dict[str, Any] = {
        "link": "office",
        "care_of_address": "2001:db8:1::10",
        "since": NOW - 300,
        "why": "it is the steadiest",
        "pinned": None,
        "strongswan": None,
        "sa": None,
    }
    return IkeStatus(**usual | changes)


def status(**changes: Any) -> Status:
    usual: dict[str, Any] = {
        "home_address": "2001:db8:aaaa::100",
        "home_agent": "2001:db8:f::2",
        "alternatives": [],
        "preferred_until": None,
        "valid_until": None,
        "identity": "laptop@example.org",
        "security": "auth-option",
        "registration": registered(),
        "policy": "prefer-wired",
        "flows": [],
        "ike": ike(),
        "associations": [],
        "default": default(),
        "correspondents": [],
        "links": [link()],
        "clock_offset_s": 0.02,
        "troubles": {},
        "counters": {"tunnelled": 7, "not_from_home_agent": 0},
        "version": "0.1.0",
        "pid": 4711,
        "at": NOW,
    }
    return Status(**usual | changes)


def router(**changes: Any) -> RouterStatus:
    usual: dict[str, Any] = {
        "mode": "explicit",
        "interfaces": ["lan0"],
        "networks": [NetworkStatus(prefix="2001:db8:b05::/56", sent=Traffic(12, 3456), received=Traffic(1, 999))],
        "hosts": [HostStatus(address="2001:db8:b05::5", sent=Traffic(12, 3456), received=None)],
        "problem": None,
    }
    return RouterStatus(**usual | changes)


def correspondent(**changes: Any) -> CorrespondentStatus:
    usual: dict[str, Any] = {
        "address": "2001:db8:cc::1",
        "link": "office",
        "care_of_addresses": {"office": "2001:db8:1::10"},
        "until": NOW + 240,
        "again_at": None,
        "problem": None,
    }
    return CorrespondentStatus(**usual | changes)


def registered(**changes: Any) -> Registered:
    usual: dict[str, Any] = {
        "state": "registered",
        "since": NOW - 300,
        "until": NOW + 240,
        "care_of_addresses": "several",
        "problem": None,
    }
    return Registered(**usual | changes)


def explanation(**changes: Any) -> Explanation:
    usual: dict[str, Any] = {
        "policy": "voice-on-lte",
        "description": "Calls over LTE",
        "links": [
            LinkReason(link="office", place=1, criteria={"captive": "unknown", "order": "place 1"}, why_not=None),
        ],
        "traffic": [
            Reason(what="default traffic", links=["office"], why="it is the only link that works"),
            Reason(what="flow call", links=["lte", "office"], why="the flow goes via lte, office"),
        ],
        "packet": None,
    }
    return Explanation(**usual | changes)


def bound_flow(fid: int = 1, **changes: Any) -> BoundFlow:
    usual: dict[str, Any] = {
        "fid": fid,
        "priority": 10 * fid,
        "packets": "udp dscp 46",
        "bids": [1],
        "active": True,
        "sent": {"1": [120, 34567]},
    }
    return BoundFlow(**usual | changes)


def association(**changes: Any) -> AssociationStatus:
    usual: dict[str, Any] = {
        "use": "mobility",
        "bid": None,
        "direction": "up",
        "spi": "0xc330fd07",
        "since": NOW - 300,
        "packets": 5,
        "octets": 440,
        "replays": 0,
        "failures": 0,
    }
    return AssociationStatus(**usual | changes)


def node_status(**changes: Any) -> NodeStatus:
    usual: dict[str, Any] = {
        "name": "laptop",
        "identity": "laptop@example.org",
        "home_address": "2001:db8:aaaa::100",
        "security": "auth-option",
        "ike_sa": None,
        "associations": [],
        "bindings": [],
        "flows": [],
    }
    return NodeStatus(**usual | changes)


def home_agent_status(**changes: Any) -> HomeAgentStatus:
    binding = BindingStatus(
        bid=1, care_of_address="2001:db8:1::10", priority=2, since=NOW - 300, until=NOW + 240, preferred=True
    )
    laptop = node_status(bindings=[binding])
    usual: dict[str, Any] = {
        "address": "2001:db8:f::2",
        "prefixes": ["2001:db8:aaaa::/48"],
        "interface": 1,
        "home_agents": [],
        "nodes": [laptop],
        "troubles": {},
        "counters": {"tunnelled": 7, "spoofed_inner_source": 0},
        "version": "0.1.0",
        "pid": 4712,
        "at": NOW,
    }
    return HomeAgentStatus(**usual | changes)
