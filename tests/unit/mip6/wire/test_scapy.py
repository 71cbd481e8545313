"""What we encode is what scapy builds, for what it knows.

It does not know the options from type 16 on, nor messages from type 8 on, and puts an octet too many into a Link-Layer
Address option. Other peculiarities are commented where they are worked around.
"""

from ipaddress import IPv6Address
from typing import Any

import pytest
from scapy.layers import inet6

from mip6.wire import discovery, icmp
from mip6.wire.extension import Packet, build_from_mobile_node, build_to_mobile_node
from mip6.wire.flows import BindingReference
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeTest,
    HomeTestInit,
    Message,
    decode,
    encode,
)
from mip6.wire.options import (
    AlternateCareOfAddress,
    BindingAuthorizationData,
    BindingRefreshAdvice,
    FlowIdentification,
    FlowSummary,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    NonceIndices,
    Option,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag
from mip6.wire.traffic_selectors import Ipv6Selector, Span

COA, HOA, HA = "2001:db8:1::10", "2001:db8:aaaa::1", "2001:db8:aaaa::ff"
COOKIE, TOKEN = bytes(range(1, 9)), bytes(range(0xA1, 0xA9))
AUTHENTICATOR = bytes(range(0xC1, 0xCD))

OPTIONS: list[tuple[Option, Any]] = [
    (BindingRefreshAdvice(0x0102), inet6.MIP6OptBRAdvice(rinter=0x0102)),
    (AlternateCareOfAddress(IPv6Address(COA)), inet6.MIP6OptAltCoA(acoa=COA)),
    # Its default length of this option, and that of the last one here, is wrong
    (NonceIndices(0x0304, 0x0506), inet6.MIP6OptNonceIndices(olen=4, hni=0x0304, coni=0x0506)),
    (MobileNetworkPrefix(48, IPv6Address(HA)), inet6.MIP6OptMobNetPrefix(plen=48, prefix=HA)),
    (MobileNodeIdentifier(1, b"mn@example"), inet6.MIP6OptMNID(subtype=1, id=b"mn@example")),
    (MessageReplayProtection(0xE1234567_80000001), inet6.MIP6OptReplayProtection(timestamp=0xE1234567_80000001)),
    (
        BindingAuthorizationData(AUTHENTICATOR),
        inet6.MIP6OptBindingAuthData(olen=12, authenticator=int.from_bytes(AUTHENTICATOR, "big")),
    ),
]

MESSAGES: list[tuple[Message, Any]] = [
    (BindingRefreshRequest(), inet6.MIP6MH_BRR()),
    (HomeTestInit(COOKIE), inet6.MIP6MH_HoTI(cookie=COOKIE)),
    # The care-of messages are built with the types of the home ones unless told otherwise
    (CareOfTestInit(COOKIE), inet6.MIP6MH_HoTI(mhtype=2, cookie=COOKIE)),
    (HomeTest(0x1234, COOKIE, TOKEN), inet6.MIP6MH_HoT(index=0x1234, cookie=COOKIE, token=TOKEN)),
    (CareOfTest(0x1234, COOKIE, TOKEN), inet6.MIP6MH_HoT(mhtype=4, index=0x1234, cookie=COOKIE, token=TOKEN)),
    # Its flags stop at P
    *(
        (BindingUpdate(0xFEDC, flag, 0x0102), inet6.MIP6MH_BU(seq=0xFEDC, flags=flag >> 9, mhtime=0x0102))
        for flag in BindingUpdateFlag
        if flag >= BindingUpdateFlag.PROXY_REGISTRATION
    ),
    *(
        (
            BindingAcknowledgement(135, flag, 0xFEDC, 0x0102),
            inet6.MIP6MH_BA(status=135, flags=flag >> 5, seq=0xFEDC, mhtime=0x0102),
        )
        for flag in BindingAcknowledgementFlag
        if flag >= BindingAcknowledgementFlag.PROXY_REGISTRATION
    ),
    (BindingError(2, IPv6Address(HOA)), inet6.MIP6MH_BE(status=2, ha=HOA)),
]


def built(packet: Any) -> str:
    return bytes(packet).hex(" ")


def plain(message: Message) -> str:
    return build_from_mobile_node(Packet(IPv6Address(COA), IPv6Address(HA), None, encode(message))).hex(" ")


def update(*options: Option) -> BindingUpdate:
    return BindingUpdate(7, BindingUpdateFlag.ACKNOWLEDGE, 9, options)


def scapy_update(*options: Any) -> Any:
    return inet6.MIP6MH_BU(seq=7, flags="A", mhtime=9, options=list(options))


@pytest.mark.req(
    "MH-01", "MH-02", "MH-03", "MH-05", "MH-18", "FMT-01", "FMT-02", "FMT-03", "FMT-04", "FMT-05", "FMT-07"
)
@pytest.mark.parametrize(("message", "theirs"), MESSAGES, ids=[repr(ours) for ours, _ in MESSAGES])
def test_messages(message: Message, theirs: Any) -> None:
    packet = inet6.IPv6(src=COA, dst=HA) / theirs
    assert plain(message) == built(packet)
    assert decode(bytes(packet)[40:]) == message


@pytest.mark.req("MH-16", "FMT-10", "FMT-11", "FMT-12", "FMT-13", "NEMO-02")
def test_options() -> None:
    """Each one after each other one, so that they need all kinds of padding."""
    for first, scapy_first in OPTIONS[:-1]:
        for second, scapy_second in OPTIONS:
            packet = inet6.IPv6(src=COA, dst=HA) / scapy_update(scapy_first, scapy_second)
            assert plain(update(first, second)) == built(packet)
            assert decode(bytes(packet)[40:]) == update(first, second)


@pytest.mark.req("AUTH-01")
def test_message_authentication() -> None:
    """Only where 4n+1 is 8n+5 by chance: it knows nothing about the end."""
    packet = inet6.IPv6(src=COA, dst=HA) / scapy_update(
        inet6.MIP6OptMsgAuth(subtype=1, mspi=256, authdata=AUTHENTICATOR)
    )
    assert plain(update(MessageAuthentication(1, 256, AUTHENTICATOR))) == built(packet)


@pytest.mark.req("FLOW-02", "FLOW-03")
def test_flow_options() -> None:
    """Options that it does not know: it gives their values back as they are, and builds the same from them."""
    flow = FlowIdentification(
        1, 10, suboptions=(BindingReference((1, 2)), Ipv6Selector(destination_port=Span(80, 443)))
    )
    ours = bytes.fromhex(plain(update(FlowSummary((1, 2, 3)), flow)))
    found = inet6.IPv6(ours)[inet6.MIP6MH_BU].options
    values = ["0001 0002 0003", "0001 000a 00 00 0204 0001 0002 030a 02 00 0030 0000 0050 01bb", ""]
    assert [bytes(option)[2:].hex() for option in found] == [value.replace(" ", "") for value in values]
    summary, identification = (
        inet6.MIP6OptUnknown(otype=kind, odata=bytes.fromhex(value))
        for kind, value in zip((44, 45), values, strict=False)
    )
    packet = inet6.IPv6(src=COA, dst=HA) / scapy_update(summary, identification, inet6.PadN(optdata=b""))
    assert ours.hex(" ") == built(packet)


@pytest.mark.req("FMT-14", "MH-06")
def test_home_address_option() -> None:
    """Its checksum takes the home address only as long as no padding has been dissected beside it."""
    option = inet6.IPv6ExtHdrDestOpt(options=[inet6.HAO(hoa=HOA)])
    for message, theirs in MESSAGES:
        packet = Packet(IPv6Address(COA), IPv6Address(HA), IPv6Address(HOA), encode(message))
        checksum = bytes(inet6.IPv6(src=COA, dst=HA) / option / theirs)[-len(packet.data) :][4:6]
        ours = build_from_mobile_node(packet)
        assert ours[-len(packet.data) :][4:6] == checksum
        assert inet6.IPv6(ours)[inet6.HAO].hoa == HOA


@pytest.mark.req("FMT-16", "MH-07")
def test_type2_routing_header() -> None:
    header = inet6.IPv6ExtHdrRouting(type=2, addresses=[HOA], segleft=1)
    for message, theirs in MESSAGES:
        packet = Packet(IPv6Address(HA), IPv6Address(COA), IPv6Address(HOA), encode(message))
        assert build_to_mobile_node(packet).hex(" ") == built(inet6.IPv6(src=HA, dst=COA) / header / theirs)


@pytest.mark.req("FMT-18", "FMT-19")
@pytest.mark.parametrize(
    ("message", "theirs"),
    [
        (discovery.HomeAgentAddressDiscoveryRequest(0x1234, True), inet6.ICMPv6HAADRequest(id=0x1234, R=1)),
        (discovery.HomeAgentAddressDiscoveryRequest(0x1234, False), inet6.ICMPv6HAADRequest(id=0x1234, R=0)),
        (
            discovery.HomeAgentAddressDiscoveryReply(0x1234, True, (IPv6Address(HA), IPv6Address(HOA))),
            inet6.ICMPv6HAADReply(id=0x1234, R=1, addresses=[HA, HOA]),
        ),
        (discovery.MobilePrefixSolicitation(0x1234), inet6.ICMPv6MPSol(id=0x1234)),
        (
            discovery.MobilePrefixAdvertisement(
                0x1234,
                True,
                False,
                (
                    discovery.PrefixInformation(64, True, False, True, 86400, 3600, IPv6Address(HA)),
                    discovery.UnknownNeighborOption(1, bytes.fromhex("02005e100001")),
                ),
            ),
            inet6.ICMPv6MPAdv(id=0x1234, flags="M")
            / inet6.ICMPv6NDOptPrefixInfo(
                prefixlen=64, L=1, A=0, R=1, validlifetime=86400, preferredlifetime=3600, prefix=HA
            )
            / inet6.ICMPv6NDOptSrcLLAddr(lladdr="02:00:5e:10:00:01"),
        ),
    ],
    ids=repr,
)
def test_discovery(message: discovery.DiscoveryMessage, theirs: Any) -> None:
    packet = bytes(inet6.IPv6(src=COA, dst=HA) / theirs)
    assert discovery.encode(message, IPv6Address(COA), IPv6Address(HA)).hex(" ") == packet[40:].hex(" ")
    assert discovery.decode(packet[40:]) == message


@pytest.mark.req("MH-10", "MH-11")
def test_errors() -> None:
    invoking = bytes.fromhex(plain(update()))
    for ours, theirs in (
        (icmp.packet_too_big(1400, invoking, IPv6Address(HA), IPv6Address(COA)), inet6.ICMPv6PacketTooBig(mtu=1400)),
        (icmp.parameter_problem(0, 41, invoking, IPv6Address(HA), IPv6Address(COA)), inet6.ICMPv6ParamProblem(ptr=41)),
    ):
        packet = inet6.IPv6(src=HA, dst=COA) / theirs / inet6.IPv6(invoking)
        assert ours.hex(" ") == bytes(packet)[40:].hex(" ")
