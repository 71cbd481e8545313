"""The correspondent as a program: messages over a raw socket, payload by the kernel.

    python -m mn_lab.correspondent_host ADDRESS CONTROL-SOCKET

Where the kernel has Mobile IPv6, its XFRM takes the Home Address option off, and puts in the type 2 routing header.
Without that it only answers messages. It is told what to do wrong, and says what it knows, over a control socket of the
daemons' kind.
"""

import asyncio
import ctypes
import secrets
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from mip6.control import ControlServer, Method
from mip6.kernel import Kernel, host
from mip6.linux.mobility_socket import MobilitySocket
from mip6.linux.reconciler import Reconciler
from mip6.table import Chain, Elements, Set, Table
from mip6.wire.errors import DecodeError
from mip6.wire.extension import Packet, build_to_mobile_node, parse_home_address_option
from mip6.xfrm import STATIC_REQIDS, Direction, Kind, Mode, Policy, PolicyId, Protocol, Selector, State, Template
from mn_lab.correspondent import Correspondent, Fault

_LOOK_S = 0.5
"""How often to look what has run out."""
_TABLE = "correspondent"
_HAO, _ROUTE2, _NOTHING = (STATIC_REQIDS.start + number for number in (1, 2, 3))
_HOME_ADDRESS_OPTION, _MOBILITY = 0xC9, 135

_ETH_P_IPV6, _SO_ATTACH_FILTER, _PACKET_OUTGOING = 0x86DD, 26, 4
_HEADER = 40


class Host:
    """One correspondent and its machine."""

    def __init__(self, address: IPv6Address, control: Path) -> None:
        self._correspondent = Correspondent(address, secrets.token_bytes)
        self._reconciler = Reconciler(_TABLE)
        self._mobility = MobilitySocket(from_mobile_nodes=True)
        self._payload = _payload_socket()
        self._refusals: list[str] = []
        self._control = ControlServer(
            control,
            {
                "status": Method(self._status),
                "fault": Method(self._fault),
                "forget": Method(self._forget),
                "restart": Method(self._restart),
                "refresh": Method(self._refresh),
            },
        )

    async def run(self) -> None:
        """For ever."""
        self._apply()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._mobility.fileno(), self._receive)
        loop.add_reader(self._payload.fileno(), self._look_at_payload)
        await self._control.start()
        while True:
            await asyncio.sleep(_LOOK_S)
            self._apply()

    def _receive(self) -> None:
        for packet in self._mobility.receive():
            if isinstance(packet, Packet):
                answers = self._correspondent.receive(packet, _now())
                self._apply()
                self._send(answers)

    def _look_at_payload(self) -> None:
        """What has a Home Address option: there may be no binding for it."""
        data, (_interface, _protocol, direction, *_) = self._payload.recvfrom(2048)
        if direction == _PACKET_OUTGOING or len(data) < _HEADER + 8:
            return
        options = data[_HEADER : _HEADER + 8 * (data[_HEADER + 1] + 1)]
        with suppress(DecodeError):
            home_address = parse_home_address_option(options).address
            self._send(self._correspondent.payload(IPv6Address(data[8:24]), home_address, _now()))

    def _send(self, packets: list[Packet]) -> None:
        for packet in packets:
            with suppress(OSError):
                self._mobility.send(build_to_mobile_node(packet), packet.source, packet.destination)

    # the kernel

    def _apply(self) -> None:
        refusals = self._reconciler.apply(
            Kernel(table=self._table(), policies=frozenset(self._policies()), states=frozenset(self._states()))
        )
        self._refusals = [f"{refusal.why} ({refusal.what})" for refusal in refusals]

    def _bound(self) -> Iterator[tuple[IPv6Address, IPv6Address, set[IPv6Address]]]:
        """Home addresses, where packets for each go, and where those from each may come from."""
        now = _now()
        for home_address in self._correspondent.entries:
            destination = self._correspondent.destination(home_address, now)
            if destination is not None:
                yield home_address, destination, set(self._correspondent.bindings(home_address, now).values())

    def _table(self) -> Table:
        """Messages are disguised, for the kernel would not hand them out. Payload with a Home Address option is taken
        from the care-of addresses that are bound (RFC 6275 section 9.3.1, RFC 5648 section 6.5).
        """
        own = self._correspondent.address
        pairs: Elements = frozenset(
            f"{care_of} . {int(home_address):#x}" for home_address, _, bound in self._bound() for care_of in bound
        )
        option = f"ip6 daddr {own} ip6 nexthdr 60 @nh,368,8 {_HOME_ADDRESS_OPTION}"
        rules = (
            f"{option} @nh,320,8 {_MOBILITY} @nh,368,8 set 0x1e",
            f"{option} ip6 saddr . @nh,384,128 != @bound counter name unknown_binding drop",
            f"{option} counter name direct",
        )
        return Table(
            _TABLE,
            sets={"bound": Set("set", "typeof ip6 saddr . @nh,384,128;")},
            elements={"bound": pairs},
            counters=frozenset(("unknown_binding", "direct")),
            chains={"prerouting": Chain(rules, "type filter hook prerouting priority raw; policy accept;")},
        )

    def _states(self) -> Iterator[State]:
        own = self._correspondent.address
        for home_address, destination, _ in self._bound():
            for template, care_of in (
                (_option(home_address, own), IPv6Address(0)),
                (_routing_header(own, home_address), destination),
            ):
                yield template.route_optimization(care_of)

    def _policies(self) -> Iterator[Policy]:
        own = host(self._correspondent.address)
        nothing = Template(protocol=Protocol.ESP, mode=Mode.TRANSPORT, reqid=_NOTHING, optional=True)
        for home_address, _, _ in self._bound():
            away, into = Selector(own, host(home_address)), Selector(host(home_address), own)
            header = _routing_header(self._correspondent.address, home_address)
            yield Policy(PolicyId(Direction.OUT, away, Kind.SUB), (header,), 1000)
            messages = Selector.mobility(away.source, away.destination)
            yield Policy(PolicyId(Direction.OUT, messages, Kind.SUB), (nothing,), 500)
            option = _option(home_address, self._correspondent.address)
            yield Policy(PolicyId(Direction.IN, into, Kind.SUB), (option,), 1000)

    # the control socket

    async def _status(self, _arguments: Mapping[str, Any]) -> object:
        now, counters = _now(), self._reconciler.counters()
        return {
            "address": str(self._correspondent.address),
            "faults": sorted(self._correspondent.faults),
            "bindings": {
                str(home_address): {
                    str(bid): str(care_of) for bid, care_of in self._correspondent.bindings(home_address, now).items()
                }
                for home_address in self._correspondent.entries
            },
            "destinations": {str(home_address): str(care_of) for home_address, care_of, _ in self._bound()},
            "counters": {name: counter.packets for name, counter in counters.items()},
            "refusals": self._refusals,
        }

    async def _fault(self, arguments: Mapping[str, Any]) -> object:
        """Have these `faults` and no others."""
        self._correspondent.faults = {Fault(name) for name in arguments["faults"]}
        return await self._status({})

    async def _forget(self, _arguments: Mapping[str, Any]) -> object:
        self._correspondent.forget()
        self._apply()
        return await self._status({})

    async def _restart(self, _arguments: Mapping[str, Any]) -> object:
        self._correspondent.restart()
        self._apply()
        return await self._status({})

    async def _refresh(self, arguments: Mapping[str, Any]) -> object:
        """Ask the mobile node with this `home_address`."""
        self._send(self._correspondent.ask_for_refresh(IPv6Address(arguments["home_address"])))
        return await self._status({})


def _option(home_address: IPv6Address, own: IPv6Address) -> Template:
    return Template(
        protocol=Protocol.HAO,
        mode=Mode.ROUTE_OPTIMIZATION,
        reqid=_HAO,
        source=home_address,
        destination=own,
        optional=True,
    )


def _routing_header(own: IPv6Address, home_address: IPv6Address) -> Template:
    return Template(
        protocol=Protocol.ROUTE2, mode=Mode.ROUTE_OPTIMIZATION, reqid=_ROUTE2, source=own, destination=home_address
    )


def _payload_socket() -> socket.socket:
    """Sees the packets that have a destination options header, and in it no mobility message; before anything else
    does.
    """
    program = struct.pack(
        "=" + "HBBI" * 6,
        *(0x30, 0, 0, 6),  # load the next header of the IPv6 header
        *(0x15, 0, 3, 60),  # destination options?
        *(0x30, 0, 0, _HEADER),  # load the next header behind them
        *(0x15, 1, 0, _MOBILITY),
        *(0x06, 0, 0, 0xFFFF),  # take it
        *(0x06, 0, 0, 0),  # leave it
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    packets = socket.socket(socket.AF_PACKET, kind, socket.htons(_ETH_P_IPV6))
    packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 6, ctypes.addressof(instructions)))
    packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    return packets


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main(argv: list[str]) -> None:
    """Until it is killed."""
    address, control = argv
    asyncio.run(Host(IPv6Address(address), Path(control)).run())


if __name__ == "__main__":
    main(sys.argv[1:])
