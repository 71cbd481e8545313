"""Messages and their octets, worked out by hand from the RFCs; what follows a # is the offset where a row begins."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

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
    MalformedBindingIdentifier,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNetworkPrefix,
    MobileNodeIdentifier,
    NatDetection,
    NonceIndices,
    UnknownOption,
    VendorSpecific,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, RevocationFlag
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span, UnknownSelector

A = BindingUpdateFlag.ACKNOWLEDGE
H = BindingUpdateFlag.HOME_REGISTRATION
NO_FLAGS = BindingAcknowledgementFlag(0)


@dataclass(frozen=True, slots=True)
class Golden:
    name: str
    requirements: tuple[str, ...]
    message: Message
    octets: bytes


def octets(text: str) -> bytes:
    """The octets in rows of hex; # begins a comment."""
    return bytes.fromhex("".join(row.partition("#")[0] for row in text.splitlines()))


def golden(name: str, requirements: str, message: Message, text: str) -> Golden:
    return Golden(name, tuple(requirements.split()), message, octets(text))


GOLDEN = (
    golden(
        "binding refresh request",
        "FMT-01 MH-02 MH-03 MH-04",
        BindingRefreshRequest(),
        """
        3b 00 00 00 0000  # 0: no next header, 8 octets, type 0, reserved, checksum
        0000              # 6: reserved
        """,
    ),
    golden(
        "binding refresh request for two bindings",
        "FMT-01 MCOA-01 MCOA-02 MCOA-05",
        BindingRefreshRequest((BindingIdentifier(7), BindingIdentifier(65535))),
        """
        3b 02 00 00 0000  # 0
        0000              # 6: reserved
        23 04 0007 00 00  # 8: binding identifier at 2n: BID, status, H and priority
        23 04 ffff 00 00  # 14
        01 02 0000        # 20: PadN
        """,
    ),
    golden(
        "home test init",
        "FMT-02",
        HomeTestInit(bytes.fromhex("0102030405060708")),
        """
        3b 01 01 00 0000  # 0
        0000              # 6: reserved
        0102030405060708  # 8: home init cookie
        """,
    ),
    golden(
        "care-of test init for a binding",
        "FMT-02 MCOA-05",
        CareOfTestInit(bytes.fromhex("1112131415161718"), (BindingIdentifier(2),)),
        """
        3b 02 02 00 0000  # 0
        0000              # 6: reserved
        1112131415161718  # 8: care-of init cookie
        23 04 0002 00 00  # 16: binding identifier
        01 00             # 22: PadN
        """,
    ),
    golden(
        "home test",
        "FMT-03",
        HomeTest(0x1234, bytes.fromhex("0102030405060708"), bytes.fromhex("a1a2a3a4a5a6a7a8")),
        """
        3b 02 03 00 0000  # 0
        1234              # 6: home nonce index
        0102030405060708  # 8: home init cookie
        a1a2a3a4a5a6a7a8  # 16: home keygen token
        """,
    ),
    golden(
        "care-of test for a binding",
        "FMT-03 MCOA-05",
        CareOfTest(
            0x4321,
            bytes.fromhex("1112131415161718"),
            bytes.fromhex("b1b2b3b4b5b6b7b8"),
            (BindingIdentifier(2, status=0x81),),
        ),
        """
        3b 03 04 00 0000  # 0
        4321              # 6: care-of nonce index
        1112131415161718  # 8: care-of init cookie
        b1b2b3b4b5b6b7b8  # 16: care-of keygen token
        23 04 0002 81 00  # 24: binding identifier: BID, status, H and priority
        01 00             # 30: PadN
        """,
    ),
    golden(
        "binding update without options",
        "FMT-04 MH-15 MH-16 MH-18",
        BindingUpdate(0x0010, A | H, 25),
        """
        3b 01 05 00 0000  # 0
        0010              # 6: sequence
        c000              # 8: A H
        0019              # 10: lifetime, 100 s
        01 02 0000        # 12: PadN
        """,
    ),
    golden(
        "binding update with alternate care-of address",
        "FMT-11 MH-16",
        BindingUpdate(0xFFFF, A | H, 0xFFFF, (AlternateCareOfAddress(IPv6Address("2001:db8:1::10")),)),
        """
        3b 03 05 00 0000                        # 0
        ffff c000 ffff                          # 6: sequence, flags, lifetime
        01 00                                   # 12: PadN to 8n+6
        03 10 20010db8000100000000000000000010  # 14: alternate care-of address
        """,
    ),
    golden(
        "binding update to a correspondent",
        "FMT-12 FMT-13 MH-19",
        BindingUpdate(
            2, A, 105, (NonceIndices(5, 0x0600), BindingAuthorizationData(bytes.fromhex("c1c2c3c4c5c6c7c8c9cacbcc")))
        ),
        """
        3b 03 05 00 0000                # 0
        0002 8000 0069                  # 6: sequence, A, lifetime
        04 04 0005 0600                 # 12: nonce indices: home, care-of
        05 0c c1c2c3c4c5c6c7c8c9cacbcc  # 18: authenticator at 8n+2, nothing after it
        """,
    ),
    golden(
        "binding update from a mobile router",
        "NEMO-02 MH-16",
        BindingUpdate(
            3,
            A | H | BindingUpdateFlag.MOBILE_ROUTER,
            150,
            (
                MobileNetworkPrefix(48, IPv6Address("2001:db8:cafe::")),
                MobileNetworkPrefix(64, IPv6Address("2001:db8:beef:1::")),
            ),
        ),
        """
        3b 06 05 00 0000                              # 0
        0003 c400 0096                                # 6: sequence, A H R, lifetime
        06 12 00 30 20010db8cafe00000000000000000000  # 12: at 8n+4: reserved, prefix length, prefix
        01 02 0000                                    # 32: PadN
        06 12 00 40 20010db8beef00010000000000000000  # 36
        """,
    ),
    golden(
        "bulk binding update",
        "MCOA-01 MCOA-02 MCOA-08 FMT-04 FMT-21 MH-16",
        BindingUpdate(
            4,
            A | H | BindingUpdateFlag.OVERWRITE,
            75,
            (
                BindingIdentifier(1, priority=10, care_of=IPv6Address("2001:db8:1::10")),
                BindingIdentifier(2, priority=20, care_of=IPv6Address("2001:db8:2::20")),
                BindingIdentifier(3, priority=127, care_of=IPv6Address("2001:db8:3::30")),
            ),
        ),
        """
        3b 0a 05 00 0000                                    # 0
        0004 c040 004b                                      # 6: sequence, A H O, lifetime
        01 04 00000000                                      # 12: PadN to 8n+2
        23 14 0001 00 0a 20010db8000100000000000000000010   # 18: BID, status, H and priority, care-of address
        01 00                                               # 40: PadN
        23 14 0002 00 14 20010db8000200000000000000000020   # 42
        01 00                                               # 64: PadN
        23 14 0003 00 7f 20010db8000300000000000000000030   # 66
        """,
    ),
    golden(
        "binding update of the home binding",
        "MCOA-01 MCOA-09",
        BindingUpdate(
            5,
            A | H,
            75,
            (
                BindingIdentifier(1, home=True, priority=1, care_of=IPv6Address("2001:db8:aaaa::1")),
                LinkLayerAddress(2, bytes.fromhex("02005e100001")),
            ),
        ),
        """
        3b 06 05 00 0000                                    # 0
        0005 c000 004b                                      # 6
        01 04 00000000                                      # 12: PadN
        23 14 0001 00 81 20010db8aaaa00000000000000000001   # 18: H and priority 1
        07 07 02 02005e100001                               # 40: link-layer address of the mobile node, anywhere
        01 05 0000000000                                    # 49: PadN
        """,
    ),
    golden(
        "binding update with an IPv4 care-of address in the binding identifier",
        "MCOA-01 MCOA-02",
        BindingUpdate(6, A | H, 75, (BindingIdentifier(3, care_of=IPv4Address("192.0.2.1")),)),
        """
        3b 03 05 00 0000           # 0
        0006 c000 004b             # 6
        01 04 00000000             # 12: PadN to 8n+2
        23 08 0003 00 00 c0000201  # 18: BID, status, H and priority, care-of address
        01 02 0000                 # 28: PadN
        """,
    ),
    golden(
        "binding update with a malformed binding identifier",
        "MCOA-01",
        BindingUpdate(7, A | H, 75, (MalformedBindingIdentifier(bytes.fromhex("00010000dead")),)),
        """
        3b 02 05 00 0000         # 0
        0007 c000 004b           # 6
        23 06 0001 00 00 dead    # 12: a length that says neither IPv4 nor IPv6
        01 02 0000               # 20: PadN
        """,
    ),
    golden(
        "binding update with RFC 4285 authentication",
        "AUTH-01 AUTH-03 MH-16",
        BindingUpdate(
            8,
            A | H,
            75,
            (
                MobileNodeIdentifier(1, b"mn@example"),
                MessageReplayProtection(0xE1234567_80000000),
                MessageAuthentication(1, 256, bytes.fromhex("d1d2d3d4d5d6d7d8d9dadbdc")),
            ),
        ),
        """
        3b 06 05 00 0000                            # 0
        0008 c000 004b                              # 6
        08 0b 01 6d6e406578616d706c65               # 12: subtype NAI, mn@example
        00                                          # 25: Pad1 to 8n+2
        0a 08 e123456780000000                      # 26: timestamp
        00                                          # 36: Pad1 to 8n+5
        09 11 01 00000100 d1d2d3d4d5d6d7d8d9dadbdc  # 37: subtype MN-HA, SPI, authenticator, nothing after it
        """,
    ),
    golden(
        "binding update with both authenticators of RFC 4285",
        "AUTH-01 AUTH-03",
        BindingUpdate(
            9,
            A | H,
            75,
            (
                MessageAuthentication(1, 256, bytes.fromhex("d1d2d3d4d5d6d7d8d9dadbdc")),
                MessageAuthentication(2, 3, bytes.fromhex("e1e2e3e4e5e6e7e8e9eaebec")),
            ),
        ),
        """
        3b 06 05 00 0000                            # 0
        0009 c000 004b                              # 6
        00                                          # 12: Pad1 to 4n+1
        09 11 01 00000100 d1d2d3d4d5d6d7d8d9dadbdc  # 13: MN-HA
        01 03 000000                                # 32: PadN to 8n+5
        09 11 02 00000003 e1e2e3e4e5e6e7e8e9eaebec  # 37: MN-AAA
        """,
    ),
    golden(
        "binding update of a dual-stack node",
        "DS-01 DS-02",
        BindingUpdate(
            10,
            A | H | BindingUpdateFlag.FORCE_UDP_ENCAPSULATION,
            75,
            (
                Ipv4HomeAddress(32, prefix=False, home_address=IPv4Address("192.0.2.10")),
                Ipv4HomeAddress(24, prefix=True, home_address=IPv4Address("0.0.0.0")),
                Ipv4CareOfAddress(IPv4Address("198.51.100.7")),
            ),
        ),
        """
        3b 04 05 00 0000     # 0
        000a c100 004b       # 6: sequence, A H F, lifetime
        1d 06 8000 c000020a  # 12: at 4n: prefix length 32 in 6 bits, P 0, address
        1d 06 6200 00000000  # 20: prefix length 24, P 1, any address
        20 06 0000 c6336407  # 28: reserved, care-of address
        01 02 0000           # 36: PadN
        """,
    ),
    golden(
        "binding update with vendor specific and unknown options",
        "OPT-01 MH-14",
        BindingUpdate(
            11,
            A | H,
            75,
            (VendorSpecific(10415, 1, bytes.fromhex("abcd")), UnknownOption(200, bytes.fromhex("010203"))),
        ),
        """
        3b 03 05 00 0000         # 0
        000b c000 004b           # 6
        01 00                    # 12: PadN to 4n+2
        13 07 000028af 01 abcd   # 14: vendor, subtype, data
        c8 03 010203             # 23: a type that isn't assigned
        01 02 0000               # 28: PadN
        """,
    ),
    golden(
        "binding update with flow summaries",
        "FLOW-03 MH-16",
        BindingUpdate(12, A | H, 75, (FlowSummary((1, 0xFFFF)), UnknownOption(200, b"\x01"), FlowSummary((2,)))),
        """
        3b 03 05 00 0000  # 0
        000c c000 004b    # 6
        2c 04 0001 ffff   # 12: flow summary at 2n: FIDs
        c8 01 01          # 18
        00                # 21: Pad1 to 2n
        2c 02 0002        # 22
        01 04 00000000    # 26: PadN
        """,
    ),
    golden(
        "flow identification with ranges of all that IPv6 packets have",
        "FLOW-02 FLOW-05 FLOW-06 FLOW-07 FLOW-09 FLOW-10 FLOW-11 FLOW-13",
        BindingUpdate(
            13,
            A | H,
            75,
            (
                FlowIdentification(
                    1,
                    10,
                    suboptions=(
                        BindingReference((1,)),
                        Ipv6Selector(
                            source=Span(IPv6Address("2001:db8:5::"), IPv6Address("2001:db8:5::ff")),
                            destination=Span(IPv6Address("2001:db8:aaaa::1"), IPv6Address("2001:db8:aaaa::f")),
                            spi=Span(0x100, 0xFFFFFFFF),
                            flow_label=Span(0x12345, 0xFFFFF),
                            source_port=Span(1024, 65535),
                            destination_port=Span(80, 443),
                            dscp=Span(10, 46),
                            next_header=Span(6, 17),
                        ),
                    ),
                ),
            ),
        ),
        """
        3b 0f 05 00 0000                  # 0
        000d c000 004b                    # 6
        2d 6e                             # 12: flow identification at 2n, 126 - 14 - 2 octets
        0001 000a 00 00                   # 14: FID, FID-PRI, reserved, status
        02 02 0001                        # 20: binding reference at 2n: BID
        03 62 02 00                       # 24: traffic selector at 8n: format 2, reserved
        ffff 0000                         # 28: flags A to P, reserved
        20010db8000500000000000000000000  # 32: A start source address, at 8n
        20010db80005000000000000000000ff  # 48: B end source address
        20010db8aaaa00000000000000000001  # 64: C start destination address
        20010db8aaaa0000000000000000000f  # 80: D end destination address
        00000100 ffffffff                 # 96: E F SPI
        00012345 000fffff                 # 104: G H flow label
        0400 ffff                         # 112: I J source port
        0050 01bb                         # 116: K L destination port
        28 b8                             # 120: M N traffic class: 10 and 46 in the upper 6 bits
        06 11                             # 122: O P next header
        01 02 0000                        # 124: PadN
        """,
    ),
    golden(
        "flow identification with single values of all that IPv6 packets have",
        "FLOW-02 FLOW-05 FLOW-06 FLOW-07 FLOW-09 FLOW-10 FLOW-11 FLOW-13",
        BindingUpdate(
            14,
            A | H,
            75,
            (
                FlowIdentification(
                    0xFFFF,
                    0xFFFE,
                    suboptions=(
                        BindingReference((1, 2)),
                        Ipv6Selector(
                            source=Span.only(IPv6Address("2001:db8:5::5")),
                            destination=Span.only(IPv6Address("2001:db8:aaaa::1")),
                            spi=Span.only(0x01020304),
                            flow_label=Span.only(0xABCDE),
                            source_port=Span.only(5000),
                            destination_port=Span.only(53),
                            dscp=Span.only(63),
                            next_header=Span.only(50),
                        ),
                    ),
                ),
            ),
        ),
        """
        3b 0a 05 00 0000                  # 0
        000e c000 004b                    # 6
        2d 48                             # 12: flow identification, up to octet 86
        ffff fffe 00 00                   # 14: FID, FID-PRI, reserved, status
        02 04 0001 0002                   # 20: binding reference: BIDs
        01 04 00000000                    # 26: PadN of the option, 6 octets to 8n
        03 34 02 00                       # 32: traffic selector: format 2, reserved
        aaaa 0000                         # 36: flags A C E G I K M O
        20010db8000500000000000000000005  # 40: A start source address
        20010db8aaaa00000000000000000001  # 56: C start destination address
        01020304                          # 72: E SPI
        000abcde                          # 76: G flow label
        1388                              # 80: I source port
        0035                              # 82: K destination port
        fc                                # 84: M traffic class
        32                                # 85: O next header
        01 00                             # 86: PadN
        """,
    ),
    golden(
        "flow identification with ranges of all that IPv4 packets have",
        "FLOW-02 FLOW-05 FLOW-06 FLOW-07 FLOW-08 FLOW-10 FLOW-11 FLOW-13",
        BindingUpdate(
            15,
            A | H,
            75,
            (
                BindingIdentifier(1),
                FlowIdentification(
                    2,
                    20,
                    suboptions=(
                        Ipv4Selector(
                            source=Span(IPv4Address("192.0.2.0"), IPv4Address("192.0.2.255")),
                            destination=Span(IPv4Address("198.51.100.7"), IPv4Address("198.51.100.9")),
                            spi=Span(0x100, 0x1FF),
                            source_port=Span(1024, 65535),
                            destination_port=Span(80, 443),
                            dscp=Span(0, 8),
                            protocol=Span(6, 17),
                        ),
                        BindingReference((1,)),
                    ),
                ),
            ),
        ),
        """
        3b 09 05 00 0000     # 0
        000f c000 004b       # 6
        23 04 0001 00 00     # 12: binding identifier
        2d 38                # 18: flow identification at 2n, up to octet 76
        0002 0014 00 00      # 20: FID, FID-PRI, reserved, status
        01 00                # 26: PadN of the option, 2 octets to 4n
        03 2a 01 00          # 28: traffic selector at 4n: format 1, reserved
        fffc 0000            # 32: flags A to N, reserved
        c0000200 c00002ff    # 36: A B source address, at 4n
        c6336407 c6336409    # 44: C D destination address
        00000100 000001ff    # 52: E F SPI
        0400 ffff            # 60: G H source port
        0050 01bb            # 64: I J destination port
        00 20                # 68: K L DS field: 0 and 8 in the upper 6 bits
        06 11                # 70: M N protocol
        02 02 0001           # 72: binding reference
        01 02 0000           # 76: PadN
        """,
    ),
    golden(
        "flow identification with single values of all that IPv4 packets have",
        "FLOW-02 FLOW-03 FLOW-05 FLOW-06 FLOW-07 FLOW-08 FLOW-10 FLOW-11 FLOW-13",
        BindingUpdate(
            16,
            A | H,
            75,
            (
                FlowIdentification(
                    2,
                    20,
                    suboptions=(
                        Ipv4Selector(
                            source=Span.only(IPv4Address("192.0.2.1")),
                            destination=Span.only(IPv4Address("198.51.100.7")),
                            spi=Span.only(0x01020304),
                            source_port=Span.only(5000),
                            destination_port=Span.only(53),
                            dscp=Span.only(46),
                            protocol=Span.only(17),
                        ),
                        BindingReference((7,)),
                    ),
                ),
                FlowSummary((1,)),
            ),
        ),
        """
        3b 06 05 00 0000  # 0
        0010 c000 004b    # 6
        2d 24             # 12: flow identification, up to octet 50
        0002 0014 00 00   # 14: FID, FID-PRI, reserved, status
        03 18 01 00       # 20: traffic selector at 4n: format 1, reserved
        aaa8 0000         # 24: flags A C E G I K M
        c0000201          # 28: A source address
        c6336407          # 32: C destination address
        01020304          # 36: E SPI
        1388              # 40: G source port
        0035              # 42: I destination port
        b8                # 44: K DS field
        11                # 45: M protocol
        02 02 0007        # 46: binding reference
        2c 02 0001        # 50: flow summary
        01 00             # 54: PadN
        """,
    ),
    golden(
        "flow identifications whose selectors need not be on 8n",
        "FLOW-02 FLOW-05 FLOW-09 FLOW-13 MH-16",
        BindingUpdate(
            17,
            A | H,
            75,
            (
                UnknownOption(200, bytes.fromhex("010203")),
                FlowIdentification(
                    3,
                    30,
                    suboptions=(
                        UnknownSuboption(9, b"\x01"),
                        Ipv6Selector(source_port=Span.only(5000), destination_port=Span(80, 443)),
                    ),
                ),
                FlowIdentification(
                    4,
                    40,
                    suboptions=(UnknownSuboption(9, b"\x01"), Ipv6Selector(next_header=Span.only(50))),
                ),
                FlowIdentification(5, 50, suboptions=(BindingReference((3, 4)), Ipv6Selector(spi=Span(0x100, 0x1FF)))),
            ),
        ),
        """
        3b 0b 05 00 0000      # 0
        0011 c000 004b        # 6
        c8 03 010203          # 12
        00                    # 17: Pad1 to 2n
        2d 18 0003 001e 0000  # 18: flow identification: FID, FID-PRI, reserved, status
        09 01 01              # 26: a sub-option of a type that isn't assigned here
        00                    # 29: Pad1 of the option, to 2n
        03 0c 02 00           # 30: traffic selector at 2n for its ports
        00b0 0000             # 34: flags I K L
        1388                  # 38: I source port
        0050 01bb             # 40: K L destination port
        2d 12 0004 0028 0000  # 44
        09 01 01              # 52
        03 07 02 00           # 55: traffic selector, anywhere for a next header
        0002 0000             # 59: flag O
        32                    # 63: O next header
        2d 1e 0005 0032 0000  # 64
        02 04 0003 0004       # 72: binding reference
        01 00                 # 78: PadN of the option, 2 octets to 4n
        03 0e 02 00           # 80: traffic selector at 4n for its SPI
        0c00 0000             # 84: flags E F
        00000100 000001ff     # 88: E F SPI
        """,
    ),
    golden(
        "flow identification with what is not known and what is malformed",
        "FLOW-05 FLOW-07",
        BindingUpdate(
            18,
            A | H,
            75,
            (
                FlowIdentification(
                    9,
                    90,
                    suboptions=(
                        UnknownSuboption(4, bytes.fromhex("beef")),
                        UnknownSelector(3, b"\xab"),
                        MalformedSuboption(2, bytes.fromhex("03 000102")),
                        MalformedSuboption(3, bytes.fromhex("20 0200")),
                    ),
                ),
            ),
        ),
        """
        3b 04 05 00 0000      # 0
        0012 c000 004b        # 6
        2d 18 0009 005a 0000  # 12: flow identification, up to octet 38
        04 02 beef            # 20: a sub-option of a type that isn't assigned here
        03 03 03 00 ab        # 24: traffic selector of a format that isn't assigned
        02 03 000102          # 29: binding reference with a BID and a half
        03 20 02 00           # 34: traffic selector that runs past the end of the option
        01 00                 # 38: PadN
        """,
    ),
    golden(
        "binding acknowledgement",
        "FMT-05 FMT-10",
        BindingAcknowledgement(
            1,
            BindingAcknowledgementFlag.KEY_MANAGEMENT_MOBILITY | BindingAcknowledgementFlag.MOBILE_ROUTER,
            0xFEDC,
            0x0102,
            (BindingRefreshAdvice(0x00FF),),
        ),
        """
        3b 01 06 00 0000  # 0
        01 c0             # 6: status, K R
        fedc 0102         # 8: sequence, lifetime
        02 02 00ff        # 12: refresh interval
        """,
    ),
    golden(
        "binding acknowledgement of several bindings",
        "FMT-05 MCOA-01 MCOA-05",
        BindingAcknowledgement(
            4,
            NO_FLAGS,
            4,
            75,
            (BindingIdentifier(1, priority=10), BindingIdentifier(2, status=167, priority=20)),
        ),
        """
        3b 02 06 00 0000  # 0
        04 00 0004 004b   # 6: status, flags, sequence, lifetime
        23 04 0001 00 0a  # 12: BID, status, H and priority
        23 04 0002 a7 14  # 18
        """,
    ),
    golden(
        "binding acknowledgement of a correspondent",
        "FMT-05 FMT-13 MH-19",
        BindingAcknowledgement(
            0, NO_FLAGS, 2, 105, (BindingAuthorizationData(bytes.fromhex("c1c2c3c4c5c6c7c8c9cacbcc")),)
        ),
        """
        3b 03 06 00 0000                # 0
        00 00 0002 0069                 # 6
        01 04 00000000                  # 12: PadN to 8n+2, so that the end is on 8
        05 0c c1c2c3c4c5c6c7c8c9cacbcc  # 18
        """,
    ),
    golden(
        "binding acknowledgement to a dual-stack node",
        "DS-03 DS-04",
        BindingAcknowledgement(
            0,
            NO_FLAGS,
            10,
            75,
            (
                Ipv4AddressAcknowledgement(0, 24, IPv4Address("192.0.2.10")),
                NatDetection(force_udp=True, refresh_time=110),
                NatDetection(force_udp=False, refresh_time=0xFFFFFFFF),
            ),
        ),
        """
        3b 04 06 00 0000      # 0
        00 00 000a 004b       # 6
        1e 06 00 60 c000020a  # 12: at 4n: status, prefix length 24 in 6 bits, address
        1f 06 8000 0000006e   # 20: F, refresh time
        1f 06 0000 ffffffff   # 28
        01 02 0000            # 36: PadN
        """,
    ),
    golden(
        "binding acknowledgement of flows",
        "FLOW-02 FLOW-04",
        BindingAcknowledgement(
            0,
            NO_FLAGS,
            13,
            75,
            (FlowIdentification(1, 10), FlowIdentification(2, 20, status=130), FlowIdentification(5, 0, status=132)),
        ),
        """
        3b 04 06 00 0000        # 0
        00 00 000d 004b         # 6
        2d 06 0001 000a 00 00   # 12: FID, FID-PRI, reserved, status
        2d 06 0002 0014 00 82   # 20: malformed
        2d 06 0005 0000 00 84   # 28: FID not found
        01 02 0000              # 36: PadN
        """,
    ),
    golden(
        "binding error",
        "FMT-07",
        BindingError(1, IPv6Address("2001:db8:aaaa::1")),
        """
        3b 02 07 00 0000                  # 0
        01 00                             # 6: status, reserved
        20010db8aaaa00000000000000000001  # 8: home address
        """,
    ),
    golden(
        "home agent switch",
        "HAS-01",
        HomeAgentSwitch(
            (IPv6Address("2001:db8:aaaa::fe"), IPv6Address("2001:db8:bbbb::fe")), (BindingRefreshAdvice(5),)
        ),
        """
        3b 05 0c 00 0000                  # 0
        02 00                             # 6: number of addresses, reserved
        20010db8aaaa000000000000000000fe  # 8
        20010db8bbbb000000000000000000fe  # 24
        02 02 0005                        # 40: binding refresh advice
        01 02 0000                        # 44: PadN
        """,
    ),
    golden(
        "home agent switch to any",
        "HAS-01",
        HomeAgentSwitch(()),
        """
        3b 00 0c 00 0000  # 0
        00 00             # 6: number of addresses, reserved
        """,
    ),
    golden(
        "binding revocation indication",
        "BRI-01 BRI-02",
        BindingRevocationIndication(1, 0x0203, RevocationFlag.GLOBAL, (BindingIdentifier(2),)),
        """
        3b 02 10 00 0000  # 0
        01 01             # 6: indication, trigger
        0203 2000         # 8: sequence, G
        23 04 0002 00 00  # 12: binding identifier
        01 04 00000000    # 18: PadN
        """,
    ),
    golden(
        "binding revocation acknowledgement",
        "BRI-01 BRI-03",
        BindingRevocationAcknowledgement(
            128, 0x0203, RevocationFlag.PROXY_BINDING | RevocationFlag.IPV4_HOME_ADDRESS_BINDING_ONLY
        ),
        """
        3b 01 10 00 0000  # 0
        02 80             # 6: acknowledgement, status
        0203 c000         # 8: sequence, P V
        01 02 0000        # 12: PadN
        """,
    ),
)
