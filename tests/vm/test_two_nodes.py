"""Two mobile nodes at one home agent, each with two links: nothing of the one touches what the other has. The first is
a mobile router.
"""

import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from itertools import pairwise

import pytest

from mn_lab import configuration, network, processes, strongswan
from mn_lab.control import Control, Status
from mn_lab.lab import Lab
from mn_lab.layout import (
    CORRESPONDENT_ADDRESS,
    HOME_ADDRESS,
    HOME_AGENT,
    HOME_AGENT_ADDRESS,
    MOBILE_NODE,
    Link,
    host_address,
)
from mn_lab.processes import Process
from mn_lab.security import HOME_AGENT_IDENTITY

CN, HA = str(CORRESPONDENT_ADDRESS), str(HOME_AGENT_ADDRESS)
FIRST, SECOND = HOME_ADDRESS, HOME_ADDRESS + 1
SECOND_NODE, SECOND_IDENTITY = "mn2", "second@lab.example.org"
PATIENCE_S = 120.0

# ESP with the keys of one, and each time an address of the other in it
SPEAK_FOR_ANOTHER = """
import hmac, json, os, struct, subprocess, sys
from scapy.all import IPv6, ICMPv6EchoRequest, Raw, send
told = json.loads(sys.argv[1])
for number, source in enumerate(told["sources"]):
    inner = bytes(IPv6(src=source, dst=told["correspondent"]) / ICMPv6EchoRequest(data=b"speaking for another"))
    padding = bytes(range(1, 1 + -(len(inner) + 2) % 16))
    plain, iv = inner + padding + bytes((len(padding), 41)), os.urandom(16)
    openssl = ["openssl", "enc", "-aes-128-cbc", "-nopad", "-K", told["encryption"], "-iv", iv.hex()]
    esp = struct.pack(">II", told["spi"], 100000 + number) + iv
    esp += subprocess.run(openssl, input=plain, stdout=subprocess.PIPE, check=True).stdout
    esp += hmac.digest(bytes.fromhex(told["integrity"]), esp, "sha256")[:16]
    send(IPv6(src=told["care_of"], dst=told["home_agent"], nh=50) / Raw(esp), verbose=False)
"""


class Second:
    """The second mobile node: two of the lab's links, in a namespace of its own, and what runs there."""

    def __init__(self, lab: Lab, links: list[Link]) -> None:
        self.lab = lab
        self.links = links
        self.namespace = f"{lab.layout.prefix}{SECOND_NODE}"
        self.agent = Control(lab.directory / "second.sock")
        self.processes: list[Process] = []
        self.secret = secrets.token_hex(32)

    def lay_out(self) -> None:
        first = self.lab.layout.namespace(MOBILE_NODE)
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        self._run("sysctl", "-qw", "net.ipv6.conf.default.use_tempaddr=0")
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "lo", "up"], check=True)
        for link in self.links:
            subprocess.run(["ip", "-n", first, "link", "set", link.interface, "netns", self.namespace], check=True)
            subprocess.run(["ip", "-n", self.namespace, "link", "set", link.interface, "up"], check=True)
        node = {"name": "second", "identity": SECOND_IDENTITY, "home_address": str(SECOND)}
        with self.lab.configuration["home-agent"].open("a") as file:
            file.write(configuration.write({"node": [{**node, "ikev2": {"secret": self.secret}}]}))

    def start(self) -> None:
        directory = self.lab.directory
        ikev2 = {
            "identity": SECOND_IDENTITY,
            "home_agent_identity": HOME_AGENT_IDENTITY,
            "secret": self.secret,
            "vici": str(strongswan.vici(directory, SECOND_NODE)),
        }
        written = {
            "home": {"address": str(SECOND), "agent": HA},
            "ikev2": ikev2,
            "paths": {"socket": str(self.agent.path), "state": str(directory / "second.json")},
            "link": [{"interface": link.interface, "name": link.name, "kind": link.kind} for link in self.links],
        }
        config = directory / "second.toml"
        for path, text in (
            (config, configuration.write(written)),
            (strongswan.file(directory, SECOND_NODE), strongswan.configuration(directory, SECOND_NODE)),
        ):
            path.touch(mode=0o600)
            path.write_text(text)
        self._start("charon", *strongswan.command(directory, SECOND_NODE))
        self._start("agent", sys.executable, "-m", "mn_agent", "--config", str(config))

    def _start(self, name: str, *command: str) -> None:
        argv = network.in_namespace(self.namespace, *command)
        self.processes.append(processes.start(argv, self.lab.directory / f"second-{name}.log"))

    def _run(self, *command: str) -> str:
        argv = network.in_namespace(self.namespace, *command)
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout

    def ping(self) -> None:
        self._run("ping", "-6", "-c", "2", "-w", "20", "-I", str(SECOND), CN)

    def keys(self, spi: int) -> dict[str, str]:
        """The keys of an association."""
        shown = self._run("ip", "xfrm", "state", "show")
        (block,) = [one for one in shown.split("\nsrc ") if f"spi {spi:#010x} reqid 1837" in one]
        words = block.split()
        return {
            "encryption": words[words.index("cbc(aes)") + 1].removeprefix("0x"),
            "integrity": words[words.index("hmac(sha256)") + 1].removeprefix("0x"),
        }

    def stop(self) -> None:
        """In order: it deregisters."""
        processes.end([self.processes[-1].pid], signal.SIGTERM)


def registered(status: Status) -> set[str]:
    return {link["name"] for link in status["links"] if link["state"] == "registered"}


@pytest.fixture
def nodes(prefix: str) -> Iterator[tuple[Lab, Second]]:
    lab = Lab(("wifi", "lte", "wifi2", "lte2"), prefix=prefix, security="ikev2", router=True)
    second = Second(lab, list(lab.layout.links[2:]))
    try:
        lab.lay_out()
        second.lay_out()
        lab.start()
        second.start()
        lab.wait(lambda status: registered(status) == {"wifi", "lte"}, "the first registered", PATIENCE_S)
        second.agent.wait_until(
            lambda status: registered(status) == {"wifi2", "lte2"},
            "the second registered",
            timeout_s=PATIENCE_S,
            check=lambda: None,
        )
        yield lab, second
    finally:
        with suppress(FileNotFoundError):
            network.remove([second.namespace])
        lab.down()


def xfrm(lab: Lab, home_address: IPv6Address) -> dict[str, set[int]]:
    """SPIs and care-of addresses that the home agent has of a mobile node."""
    (node,) = [one for one in lab.home_agent.status()["nodes"] if one["home_address"] == str(home_address)]
    return {
        "spis": {int(one["spi"], 16) for one in node["associations"]},
        "bids": {one["bid"] for one in node["bindings"]},
    }


def reqids(lab: Lab, kind: str, home_address: IPv6Address) -> set[str]:
    """Of the home agent's policies and states that name a home address."""
    shown = lab.run(HOME_AGENT, "ip", "xfrm", kind)
    blocks = [block for block in shown.split("\nsrc ") if str(home_address) in block.replace("/128", " ").split()]
    words = [block.split() for block in blocks]
    return {after for one in words for word, after in pairwise(one) if word == "reqid"}


@pytest.mark.req("SEC-17", "SEC-31", "SC-01", "SC-10", "HA-17", "NEMO-18")
def test_nothing_of_one_touches_the_other(nodes: tuple[Lab, Second]) -> None:
    lab, second = nodes
    ping = ("ping", "-6", "-c", "2", "-w", "20", "-I", str(FIRST), CN)
    lab.run(MOBILE_NODE, *ping)
    second.ping()
    first_has, second_has = xfrm(lab, FIRST), xfrm(lab, SECOND)
    assert len(first_has["spis"]) == len(second_has["spis"]) == 8
    assert first_has["spis"].isdisjoint(second_has["spis"])
    for kind in ("policy", "state"):
        assert reqids(lab, kind, FIRST)
        assert reqids(lab, kind, SECOND)
        assert reqids(lab, kind, FIRST).isdisjoint(reqids(lab, kind, SECOND))
    speak_for_the_first(lab, second)
    second.stop()
    lab.home_agent.wait_until(
        lambda status: not status["nodes"][1]["bindings"], "deregistered", timeout_s=PATIENCE_S, check=lambda: None
    )
    lab.run(MOBILE_NODE, *ping)
    assert xfrm(lab, FIRST) == first_has


def speak_for_the_first(lab: Lab, second: Second) -> None:
    """It has keys and a registered care-of address, but not those of this home address and the network behind it."""
    told = second.agent.status()
    care_of = {link["bid"]: link["care_of_address"] for link in told["links"]}
    (own,) = [one for one in told["associations"] if (one["use"], one["direction"], one["bid"]) == ("payload", "up", 1)]
    spi = int(own["spi"], 16)
    reason = "ESP missing, or of another association"
    sources = [str(FIRST), str(host_address("host1"))]
    wanted = lab.home_agent.status()["counters"].get(reason, 0) + len(sources)
    arguments = {
        "care_of": care_of[1],
        "home_agent": HA,
        "correspondent": CN,
        "sources": sources,
        "spi": spi,
        **second.keys(spi),
    }
    argv = network.in_namespace(second.namespace, sys.executable, "-c", SPEAK_FOR_ANOTHER, json.dumps(arguments))
    subprocess.run(argv, check=True)
    lab.home_agent.wait_until(
        lambda status: status["counters"].get(reason, 0) == wanted, reason, timeout_s=PATIENCE_S, check=lambda: None
    )
