"""What we encode, as Wireshark's dissector sees it: all messages, all pairs of options, in one capture.

What tshark 4.0 gets wrong is left out, at the place where it would be.
"""

import json
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from mip6.wire import discovery, icmp
from mip6.wire.extension import Packet, build_from_mobile_node, build_to_mobile_node
from mip6.wire.flows import BindingReference, MalformedSuboption, UnknownSuboption
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRefreshRequest,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    HomeAgentSwitch,
    HomeTest,
    HomeTestInit,
    Message,
    encode,
)
from mip6.wire.options import (
    AlternateCareOfAddress,
    BindingAuthorizationData,
    BindingIdentifier,
    BindingRefreshAdvice,
    FlowIdentification,
    FlowSummary,
    Ipv4AddressAcknowledgement,
    Ipv4CareOfAddress,
    Ipv4HomeAddress,
    LinkLayerAddress,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    NatDetection,
    NonceIndices,
    Option,
    UnknownOption,
    VendorSpecific,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, RevocationFlag
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span
from tests.unit.mip6.wire.golden import GOLDEN
from tests.unit.mip6.wire.test_discovery import GOLDEN as DISCOVERY

COA = IPv6Address("2001:db8:1::10")
HOA = IPv6Address("2001:db8:aaaa::1")
HA = IPv6Address("2001:db8:aaaa::ff")

Fields = list[tuple[str, str]]

OPTIONS: tuple[Option, ...] = (
    BindingRefreshAdvice(0x0102),
    AlternateCareOfAddress(IPv6Address("2001:db8:1::11")),
    NonceIndices(0x0304, 0x0506),
    BindingAuthorizationData(bytes(range(12))),
    MobileNetworkPrefix(56, IPv6Address("2001:db8:cafe::")),
    LinkLayerAddress(2, bytes.fromhex("02005e100001")),
    MobileNodeIdentifier(1, b"mn@example"),
    MessageAuthentication(1, 0x01020304, bytes(range(12, 24))),
    MessageReplayProtection(0xE1234567_80000000),
    VendorSpecific(32473, 7, bytes.fromhex("abcdef")),
    Ipv4HomeAddress(32, prefix=False, home_address=IPv4Address("192.0.2.10")),
    Ipv4HomeAddress(24, prefix=True, home_address=IPv4Address("192.0.2.0")),
    Ipv4AddressAcknowledgement(128, 25, IPv4Address("192.0.2.11")),
    NatDetection(force_udp=True, refresh_time=110),
    Ipv4CareOfAddress(IPv4Address("198.51.100.7")),
    BindingIdentifier(0x0708, status=167, home=True, priority=127),
    BindingIdentifier(0x090A, priority=1, care_of=IPv4Address("198.51.100.8")),
    BindingIdentifier(0x0B0C, home=True, care_of=IPv6Address("2001:db8:1::12")),
    FlowSummary((1, 2, 0xFFFF)),
    FlowIdentification(1, 10, status=133),
    FlowIdentification(
        2,
        20,
        suboptions=(
            BindingReference((1, 2)),
            Ipv6Selector(
                source=Span(IPv6Address("2001:db8:5::"), IPv6Address("2001:db8:5::ff")), next_header=Span.only(17)
            ),
        ),
    ),
    FlowIdentification(
        3,
        30,
        suboptions=(
            UnknownSuboption(9, b"\x01"),
            Ipv4Selector(spi=Span.only(256), dscp=Span(0, 63)),
            MalformedSuboption(2, b"\xff"),
        ),
    ),
    UnknownOption(200, b"\x01\x02\x03"),
)

MESSAGES: tuple[Message, ...] = (
    # Options of a Binding Refresh Request and of a Binding Error are dissected all the same
    BindingRefreshRequest(),
    HomeTestInit(bytes.fromhex("0102030405060708")),
    CareOfTestInit(bytes.fromhex("1112131415161718")),
    HomeTest(0x1234, bytes.fromhex("0102030405060708"), bytes.fromhex("a1a2a3a4a5a6a7a8")),
    CareOfTest(0x4321, bytes.fromhex("1112131415161718"), bytes.fromhex("b1b2b3b4b5b6b7b8")),
    *(BindingUpdate(0xFEDC, flag, 0x0102) for flag in BindingUpdateFlag),
    *(BindingAcknowledgement(167, flag, 0xFEDC, 0x0102) for flag in BindingAcknowledgementFlag),
    BindingError(2, HOA),
    # tshark looks for the options 6 octets too early: the last address ends with 6 octets that are padding to it
    HomeAgentSwitch((HA, IPv6Address("2001:db8:aaaa::"))),
    *(BindingRevocationIndication(7, 0xFEDC, flag) for flag in RevocationFlag),
    *(BindingRevocationAcknowledgement(135, 0xFEDC, flag) for flag in RevocationFlag),
)


def colons(data: bytes) -> str:
    return data.hex(":")


def flag_fields(flags: int, names: str, top: int) -> Fields:
    """Wireshark's fields of flags, one after the other from the bit `top` down."""
    return [(name, str(int(bool(flags & top >> at)))) for at, name in enumerate(names.split())]


def binding_identifier(option: BindingIdentifier) -> Fields:
    """The priority is not dissected."""
    fields = [("bid", str(option.bid)), ("status", str(option.status)), ("h_flag", str(int(option.home)))]
    if option.care_of:
        fields.append((f"coa_ipv{option.care_of.version}", str(option.care_of)))
    return [(f"mip6.bi.{name}", value) for name, value in fields]


DISSECTED_OPTIONS: dict[type, Callable[[Any], Fields]] = {
    BindingRefreshAdvice: lambda o: [("mip6.bra.interval", str(o.interval))],
    AlternateCareOfAddress: lambda o: [("mip6.acoa.acoa", str(o.care_of))],
    NonceIndices: lambda o: [("mip6.ni.hni", str(o.home)), ("mip6.ni.cni", str(o.care_of))],
    BindingAuthorizationData: lambda o: [("mip6.bad.auth", colons(o.authenticator))],
    MobileNetworkPrefix: lambda o: [("mip6.nemo.mnp.pfl", str(o.prefix_length)), ("mip6.nemo.mnp.mnp", str(o.prefix))],
    LinkLayerAddress: lambda o: [("mip6.lla.optcode", str(o.code)), ("mip6.lla", colons(o.address))],
    MobileNodeIdentifier: lambda o: [
        ("mip6.mnid.subtype", str(o.subtype)),
        ("mip6.mnid.identifier", o.identifier.decode()),
    ],
    MessageAuthentication: lambda o: [
        ("mip6.auth.subtype", str(o.subtype)),
        ("mip6.auth.mobility_spi", str(o.spi)),
        ("mip6.auth.auth_data", colons(o.authenticator[:-2])),  # it shows two octets less than there are
    ],
    # As a whole: the time in it is shown wrong, the fraction as nanoseconds and the seconds as from 1970
    MessageReplayProtection: lambda o: [("mip6.options.mseg_id", f"0a:08:{colons(o.timestamp.to_bytes(8, 'big'))}")],
    VendorSpecific: lambda o: [
        ("mip6.vsm.vendorId", str(o.vendor)),
        ("mip6.vsm.subtype", str(o.subtype)),
        ("mip6.vsm.data", colons(o.data[:-2])),  # the same
    ],
    Ipv4HomeAddress: lambda o: [
        ("mip6.ipv4ha.preflen", str(o.prefix_length)),
        ("mip6.ipv4ha.p_flag", str(int(o.prefix))),
        ("mip6.ipv4ha.ha", str(o.home_address)),
    ],
    Ipv4AddressAcknowledgement: lambda o: [
        ("mip6.ipv4aa.sts", str(o.status)),
        ("mip6.ipv4ha.preflen", str(o.prefix_length)),
        ("mip6.ipv4ha.ha", str(o.home_address)),
    ],
    NatDetection: lambda o: [
        ("mip6.natd.f_flag", str(int(o.force_udp))),
        ("mip6.natd.reserved", "0"),
        ("mip6.natd.refresh_t", str(o.refresh_time)),
    ],
    Ipv4CareOfAddress: lambda o: [("mip6.ipv4coa.reserved", "0"), ("mip6.ipv4coa.addr", str(o.care_of))],
    BindingIdentifier: binding_identifier,
    # It has their names, but looks no further
    FlowSummary: lambda _: [("mip6.mobility_opt", "44")],
    FlowIdentification: lambda _: [("mip6.mobility_opt", "45")],
    UnknownOption: lambda o: [("mip6.mobility_opt", str(o.type))],
}

DISSECTED_MESSAGES: dict[type, Callable[[Any], Fields]] = {
    BindingRefreshRequest: lambda _: [("mip6.mhtype", "0")],
    HomeTestInit: lambda m: [("mip6.mhtype", "1"), ("mip6.hoti.cookie", f"0x{m.cookie.hex()}")],
    CareOfTestInit: lambda m: [("mip6.mhtype", "2"), ("mip6.coti.cookie", f"0x{m.cookie.hex()}")],
    HomeTest: lambda m: [
        ("mip6.mhtype", "3"),
        ("mip6.hot.nindex", str(m.nonce_index)),
        ("mip6.hot.cookie", f"0x{m.cookie.hex()}"),
        ("mip6.hot.token", f"0x{m.keygen_token.hex()}"),
    ],
    CareOfTest: lambda m: [
        ("mip6.mhtype", "4"),
        ("mip6.cot.nindex", str(m.nonce_index)),
        ("mip6.cot.cookie", f"0x{m.cookie.hex()}"),
        ("mip6.hot.token", f"0x{m.keygen_token.hex()}"),  # under the name of the other message's token
    ],
    BindingUpdate: lambda m: [
        ("mip6.mhtype", "5"),
        ("mip6.bu.seqnr", str(m.sequence)),
        *flag_fields(
            m.flags,
            "mip6.bu.a_flag mip6.bu.h_flag mip6.bu.l_flag mip6.bu.k_flag mip6.bu.m_flag mip6.nemo.bu.r_flag "
            "mip6.bu.p_flag mip6.bu.f_flag mip6.bu.t_flag mip6.bu.b_flag",  # what RFC 5648 calls O is B to it; no S
            0x8000,
        ),
        ("mip6.bu.lifetime", str(m.lifetime)),
    ],
    BindingAcknowledgement: lambda m: [
        ("mip6.mhtype", "6"),
        ("mip6.ba.status", str(m.status)),
        *flag_fields(m.flags, "mip6.ba.k_flag mip6.nemo.ba.r_flag mip6.ba.p_flag mip6.ba.t_flag mip6.ba.b_flag", 0x80),
        ("mip6.ba.seqnr", str(m.sequence)),
        ("mip6.ba.lifetime", str(m.lifetime)),
    ],
    BindingError: lambda m: [
        ("mip6.mhtype", "7"),
        ("mip6.be.status", str(m.status)),
        ("mip6.be.haddr", str(m.home_address)),
    ],
    HomeAgentSwitch: lambda m: [
        ("mip6.mhtype", "12"),
        ("mip6.has.num_addrs", str(len(m.home_agents))),
        ("mip6.has.reserved", "0x00"),
        *(("mip6.has.address", str(address)) for address in m.home_agents),
    ],
    BindingRevocationIndication: lambda m: [
        ("mip6.mhtype", "16"),
        ("mip6.bri_br.type", "1"),
        ("mip6.bri_r.trigger", str(m.trigger)),
        ("mip6.bri_seqnr", str(m.sequence)),
        *flag_fields(m.flags, "mip6.bri_ip mip6.bri_iv mip6.bri_ig", 0x8000),
    ],
    BindingRevocationAcknowledgement: lambda m: [
        ("mip6.mhtype", "16"),
        ("mip6.bri_br.type", "2"),
        ("mip6.bri_status", str(m.status)),
        ("mip6.bri_seqnr", str(m.sequence)),
        *flag_fields(m.flags, "mip6.bri_ap mip6.bri_av mip6.bri_ag", 0x8000),
    ],
}


def dissected(message: Message) -> Fields:
    """What tshark should show of a message, in its order."""
    fields = DISSECTED_MESSAGES[type(message)](message)
    return fields + [field for option in message.options for field in DISSECTED_OPTIONS[type(option)](option)]


@dataclass(frozen=True, slots=True)
class Case:
    packet: bytes
    fields: Fields


def from_mobile_node(message: Message) -> Case:
    packet = build_from_mobile_node(Packet(COA, HA, HOA, encode(message)))
    return Case(packet, [("ipv6.opt.mipv6.home_address", str(HOA)), *dissected(message)])


def to_mobile_node(message: Message) -> Case:
    packet = build_to_mobile_node(Packet(HA, COA, HOA, encode(message)))
    return Case(
        packet, [("ipv6.routing.segleft", "1"), ("ipv6.routing.mipv6.home_address", str(HOA)), *dissected(message)]
    )


def mobility_cases() -> Iterator[Case]:
    """Each message alone and with each option; each option before each other one."""
    for message in MESSAGES:
        yield from_mobile_node(message)
        yield from (to_mobile_node(replace(message, options=(option,))) for option in OPTIONS)
    for first, second in product(OPTIONS, OPTIONS):
        if not isinstance(first, BindingAuthorizationData):
            yield from_mobile_node(BindingUpdate(1, BindingUpdateFlag.ACKNOWLEDGE, 1, (first, second)))


def icmp_case(data: bytes, fields: Fields) -> Case:
    """An ICMPv6 message, whose checksum tshark verifies."""
    header = bytes((0x60, 0, 0, 0)) + len(data).to_bytes(2, "big") + bytes((58, 64)) + COA.packed + HA.packed
    return Case(header + data, [("icmpv6.type", str(data[0])), ("icmpv6.checksum.status", "1"), *fields])


def reserved_with_r(*, mobile_router: bool) -> tuple[str, str]:
    """The R flag of RFC 3963 is shown as part of what is reserved."""
    return "icmpv6.reserved", "80:00" if mobile_router else "00:00"


def discovery_fields(message: discovery.DiscoveryMessage) -> Fields:
    identifier = ("icmpv6.mip6.identifier", str(message.identifier))
    match message:
        case discovery.HomeAgentAddressDiscoveryRequest():
            return [identifier, reserved_with_r(mobile_router=message.mobile_router)]
        case discovery.HomeAgentAddressDiscoveryReply():
            addresses = [("icmpv6.mip6.home_agent_address", str(address)) for address in message.home_agents]
            return [identifier, reserved_with_r(mobile_router=message.mobile_router), *addresses]
        case discovery.MobilePrefixSolicitation():
            return [identifier, ("icmpv6.reserved", "00:00")]
        case discovery.MobilePrefixAdvertisement():
            flags = [("icmpv6.mip6.flag.m", str(int(message.managed))), ("icmpv6.mip6.flag.o", str(int(message.other)))]
            return [identifier, *flags, *(field for option in message.options for field in neighbor_option(option))]


def neighbor_option(option: discovery.NeighborOption) -> Fields:
    if isinstance(option, discovery.UnknownNeighborOption):
        return [("icmpv6.opt.type", str(option.type)), ("icmpv6.opt.src_linkaddr", colons(option.data))]
    fields = {
        "length": option.prefix_length,
        "flag.l": int(option.on_link),
        "flag.a": int(option.autonomous),
        "flag.r": int(option.router_address),
        "valid_lifetime": option.valid_lifetime,
        "preferred_lifetime": option.preferred_lifetime,
    }
    return [
        ("icmpv6.opt.type", "3"),
        *((f"icmpv6.opt.prefix.{name}", str(value)) for name, value in fields.items()),
        ("icmpv6.opt.prefix", str(option.prefix)),
    ]


def icmp_cases() -> Iterator[Case]:
    for message, _ in DISCOVERY.values():
        yield icmp_case(discovery.encode(message, COA, HA), discovery_fields(message))
    invoking = build_from_mobile_node(Packet(COA, HA, None, GOLDEN[0].octets))
    quoted = dissected(GOLDEN[0].message)
    yield icmp_case(icmp.packet_too_big(1400, invoking, COA, HA), [("icmpv6.mtu", "1400"), *quoted])
    yield icmp_case(icmp.parameter_problem(0, 41, invoking, COA, HA), [("icmpv6.pointer", "41"), *quoted])


def write_capture(path: Path, packets: Iterable[bytes]) -> None:
    """A capture file of bare IPv6 packets (LINKTYPE_IPV6)."""
    records = (struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet for packet in packets)
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 229) + b"".join(records))


def leaves(tree: list[Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of each field, in order; the same name comes again and again."""
    for name, value in tree:
        if isinstance(value, list):
            yield from leaves(value)
        else:
            yield name, value


@pytest.mark.req("MH-14", "MH-15", "MH-16", "AUTH-01", "BRI-01", "HAS-01", "MCOA-01", "MCOA-09", "NEMO-02", "OPT-01")
@pytest.mark.req("DS-01", "DS-02", "DS-03", "DS-04", "FMT-01", "FMT-02", "FMT-03", "FMT-04", "FMT-05", "FMT-07")
@pytest.mark.req("FMT-10", "FMT-11", "FMT-12", "FMT-13", "FMT-14", "FMT-16", "FMT-18", "FMT-19", "FLOW-02", "FLOW-03")
def test_dissected_by_tshark(tmp_path: Path) -> None:
    cases = [*mobility_cases(), *icmp_cases()]
    capture = tmp_path / "all.pcap"
    write_capture(capture, (case.packet for case in cases))
    run = subprocess.run(["tshark", "-n", "-r", capture, "-T", "json"], capture_output=True, check=True, timeout=300)
    packets = json.loads(run.stdout, object_pairs_hook=list)
    assert len(packets) == len(cases)
    judged = {name for case in cases for name, _ in case.fields}
    for case, packet in zip(cases, packets, strict=True):
        fields = list(leaves(packet))
        shown = [(name, value) for name, value in fields if name in judged]
        assert shown == case.fields, case.packet.hex(" ")
        assert not [name for name, _ in fields if "malformed" in name or "invalid" in name], case.packet.hex(" ")
