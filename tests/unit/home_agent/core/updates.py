"""Binding Updates from a mobile node, made by hand, and a home agent to take them."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from home_agent.core import agent
from home_agent.core.cache import CacheEntry
from home_agent.core.events import Command, PacketReceived, Send, UplinkChanged
from home_agent.core.settings import HomeAgent, Node, Settings
from home_agent.core.state import State, Uplink
from mip6 import auth
from mip6.wire.checksum import with_checksum
from mip6.wire.extension import Packet
from mip6.wire.messages import BindingAcknowledgement, BindingUpdate, decode, encode
from mip6.wire.options import (
    BindingIdentifier,
    MessageReplayProtection,
    MobileNodeIdentifier,
    Option,
)
from mip6.wire.registry import BindingUpdateFlag, IdentifierSubtype

OWN = IPv6Address("2001:db8:a::2")
HOME = IPv6Address("2001:db8:f00::100")
OTHER_HOME = IPv6Address("2001:db8:f00::200")
ETHERNET, WIFI, LTE = (IPv6Address(f"2001:db8:{number}::64") for number in (1, 2, 3))
KEY, OTHER_KEY = bytes(range(16)), bytes(range(16, 32))
EPOCH_S = 1_790_000_000.0

LAPTOP = Node(name="laptop", identity="laptop@example.org", home_address=HOME, spi=256, key=KEY)
ROUTER = Node(name="router", identity="router@example.org", home_address=OTHER_HOME, spi=257, key=OTHER_KEY)

A, H, K, O, R = (  # noqa: E741 (the RFC's names)
    BindingUpdateFlag.ACKNOWLEDGE,
    BindingUpdateFlag.HOME_REGISTRATION,
    BindingUpdateFlag.KEY_MANAGEMENT_MOBILITY,
    BindingUpdateFlag.OVERWRITE,
    BindingUpdateFlag.MOBILE_ROUTER,
)


def settings(**changes: object) -> Settings:
    own = HomeAgent(address=OWN, prefixes=(IPv6Network("2001:db8:f00::/48"),))
    return Settings(home_agent=replace(own, **changes), node=(LAPTOP, ROUTER))  # type: ignore[arg-type]


def timestamp(now: float) -> int:
    return auth.ntp_timestamp(int((now + EPOCH_S) * 1e9))


class Bench:
    """A home agent on the bench: `update` sends it one Binding Update and gives its answer."""

    def __init__(self, **changes: object) -> None:
        self.now = 1000.0
        self.pause_s = 0.01
        self.sequence = 100
        self.state: State = agent.start(settings(**changes), {}, epoch_offset_s=EPOCH_S)
        self.commands: list[Command] = []
        self.state, _ = agent.step(self.state, UplinkChanged(Uplink(9, 1500)), self.now)

    def update(
        self,
        *options: Option,
        flags: BindingUpdateFlag = A | H,
        lifetime: int = 150,
        sequence: int | None = None,
        source: IPv6Address = ETHERNET,
        home_address: IPv6Address | None = HOME,
        node: Node = LAPTOP,
        key: bytes | None = None,
        stamp: int | None = None,
        signed: bool = True,
    ) -> BindingAcknowledgement | None:
        """`stamp` 0 leaves the timestamp out."""
        self.now += self.pause_s
        self.sequence = self.sequence + 1 if sequence is None else sequence
        more: list[Option] = [MobileNodeIdentifier(IdentifierSubtype.NAI, node.identity.encode())]
        if stamp != 0:
            more.append(MessageReplayProtection(timestamp(self.now) if stamp is None else stamp))
        message = BindingUpdate(self.sequence % 0x10000, flags, lifetime, (*options, *more))
        names = home_address or source
        data = auth.sign(message, key or node.key or b"", node.spi or 0, source, names) if signed else encode(message)
        return self.packet(Packet(source, OWN, home_address, data))

    def packet(self, packet: Packet) -> BindingAcknowledgement | None:
        """Any packet, with its checksum put right."""
        data = with_checksum(packet.data, packet.home_address or packet.source, packet.destination)
        return self.raw(replace(packet, data=data))

    def raw(self, packet: Packet) -> BindingAcknowledgement | None:
        self.state, self.commands = agent.step(self.state, PacketReceived(packet), self.now)
        sent = [command.packet for command in self.commands if isinstance(command, Send)]
        if not sent:
            return None
        message = decode(sent[0].data)
        assert isinstance(message, BindingAcknowledgement)
        return message

    @property
    def answer(self) -> Packet:
        """The packet with the last acknowledgement."""
        (packet,) = [command.packet for command in self.commands if isinstance(command, Send)]
        return packet

    @property
    def entry(self) -> CacheEntry | None:
        return self.state.cache.get(HOME)

    def bindings(self) -> dict[int, IPv6Address]:
        return {bid: binding.care_of for bid, binding in self.entry.bindings.items()} if self.entry else {}


def bid(number: int, care_of: IPv6Address | None = None, **fields: object) -> BindingIdentifier:
    return BindingIdentifier(number, care_of=care_of, **fields)  # type: ignore[arg-type]


def statuses(answer: BindingAcknowledgement | None) -> tuple[int, dict[int, int]]:
    """The status of the whole, and those in the options."""
    assert answer is not None
    options = [option for option in answer.options if isinstance(option, BindingIdentifier)]
    return answer.status, {option.bid: option.status for option in options}
