import json
from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mip6 import auth
from mip6.wire.extension import Packet, build_from_mobile_node, build_to_mobile_node
from mip6.wire.flows import BindingReference, MalformedSuboption, Suboption, UnknownSuboption
from mip6.wire.messages import (
    BindingAcknowledgement,
    BindingError,
    BindingRevocationAcknowledgement,
    BindingRevocationIndication,
    BindingUpdate,
    Message,
    encode,
)
from mip6.wire.options import (
    BindingAuthorizationData,
    BindingIdentifier,
    BindingRefreshAdvice,
    FlowIdentification,
    FlowSummary,
    Ipv4AddressAcknowledgement,
    MalformedBindingIdentifier,
    MessageAuthentication,
    MessageReplayProtection,
    MobileNodeIdentifier,
    Option,
    UnknownOption,
)
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, OptionType, RevocationFlag
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span, UnknownSelector
from monami6.dissection import dissect, text
from tests.unit.mip6.wire.test_tshark import COA, HA, HOA, MESSAGES, OPTIONS

NOW = 1795442592.25
"""2026-11-23 14:03:12.25 UTC."""

FLAGS = BindingUpdateFlag.ACKNOWLEDGE | BindingUpdateFlag.HOME_REGISTRATION
UPDATE = BindingUpdate(
    4711,
    FLAGS,
    150,
    (
        BindingIdentifier(1, priority=2, care_of=COA),
        BindingIdentifier(2, home=True, care_of=IPv6Address("2001:db8:2::10")),
        MobileNodeIdentifier(1, b"laptop@example.org"),
        MessageReplayProtection(auth.ntp_timestamp(1_795_442_592_250_000_000)),
        MessageAuthentication(1, 1000, bytes(range(12))),
    ),
)


def from_mobile_node(message: Message) -> bytes:
    return build_from_mobile_node(Packet(COA, HA, HOA, encode(message)))


def to_mobile_node(message: Message) -> bytes:
    return build_to_mobile_node(Packet(HA, COA, HOA, encode(message)))


def dissected(packet: bytes) -> dict[str, Any]:
    found = dissect(packet)
    assert found is not None
    return found


def option(value: Option) -> dict[str, Any]:
    found = dissected(to_mobile_node(BindingAcknowledgement(0, BindingAcknowledgementFlag(0), 1, 1, (value,))))
    one: dict[str, Any] = found["options"][0]
    return one


def test_an_update_is_shown_with_all_that_is_in_it() -> None:
    assert dissected(from_mobile_node(UPDATE)) == {
        "schema": 1,
        "source": str(COA),
        "destination": str(HA),
        "home_address_option": str(HOA),
        "message": "Binding Update",
        "sequence": 4711,
        "flags": ["acknowledge", "home registration"],
        "lifetime_s": 600,
        "options": [
            {"option": "Binding Identifier", "bid": 1, "home": False, "priority": 2, "care_of": str(COA)},
            {"option": "Binding Identifier", "bid": 2, "home": True, "priority": 0, "care_of": "2001:db8:2::10"},
            {
                "option": "Mobile Node Identifier",
                "subtype": 1,
                "subtype_name": "nai",
                "identifier": "laptop@example.org",
            },
            {"option": "Message Replay Protection", "timestamp": "2026-11-23 14:03:12.250000"},
            {
                "option": "Message Authentication",
                "subtype": 1,
                "subtype_name": "mn ha",
                "spi": 1000,
                "authenticator": "000102030405060708090a0b",
            },
        ],
    }


def test_an_update_as_text() -> None:
    shown = {"at": NOW, "interface": "wlan0", **dissected(from_mobile_node(UPDATE))}
    assert text(shown).splitlines() == [
        "14:03:12.250000 Binding Update: sequence 4711, acknowledge, home registration, lifetime 600 s",
        f"  {COA} > {HA} on wlan0",
        f"  home address {HOA} (home address option)",
        f"    Binding Identifier: BID 1, priority 2, care-of address {COA}",
        "    Binding Identifier: BID 2, home, priority 0, care-of address 2001:db8:2::10",
        "    Mobile Node Identifier: subtype nai (1), identifier laptop@example.org",
        "    Message Replay Protection: timestamp 2026-11-23 14:03:12.250000",
        "    Message Authentication: subtype mn ha (1), SPI 1000, authenticator 000102030405060708090a0b",
    ]


def test_an_acknowledgement_has_the_names_of_its_statuses() -> None:
    message = BindingAcknowledgement(
        0, BindingAcknowledgementFlag(0), 4711, 150, (BindingIdentifier(1), BindingIdentifier(2, status=166))
    )
    shown = dissected(to_mobile_node(message))
    assert shown["type_2_routing_header"] == str(HOA)
    assert (shown["status"], shown["status_name"]) == (0, "accepted")
    assert [one["status_name"] for one in shown["options"]] == ["accepted", "mcoa prohibited"]
    assert text(shown).splitlines() == [
        "Binding Acknowledgement: status accepted (0), sequence 4711, lifetime 600 s",
        f"  {HA} > {COA}",
        f"  home address {HOA} (type 2 routing header)",
        "    Binding Identifier: BID 1, status accepted (0), priority 0",
        "    Binding Identifier: BID 2, status mcoa prohibited (166), priority 0",
    ]


def test_a_number_that_nobody_listed_is_unknown() -> None:
    message = BindingAcknowledgement(200, BindingAcknowledgementFlag(0), 1, 1)
    assert text(dissected(to_mobile_node(message))).startswith("Binding Acknowledgement: status unknown (200), ")


@pytest.mark.parametrize(
    ("message", "name", "meaning"),
    [
        (BindingError(2, HOA), "status_name", "unrecognized mh type"),
        (BindingRevocationIndication(1, 1, RevocationFlag(0)), "trigger_name", "administrative reason"),
        (BindingRevocationAcknowledgement(128, 1, RevocationFlag(0)), "status_name", "binding does not exist"),
    ],
)
def test_each_message_has_its_own_list_of_numbers(message: Message, name: str, meaning: str) -> None:
    assert dissected(from_mobile_node(message))[name] == meaning


def test_each_option_has_its_own_list_of_numbers() -> None:
    address = next(one for one in OPTIONS if isinstance(one, Ipv4AddressAcknowledgement))
    assert option(address)["status_name"] == "unspecified"
    assert option(MobileNodeIdentifier(77, b"x"))["subtype_name"] == "unknown"


def test_intervals_are_seconds() -> None:
    assert option(BindingRefreshAdvice(15)) == {"option": "Binding Refresh Advice", "interval_s": 60}


def test_an_identifier_that_is_no_text_is_shown_all_the_same() -> None:
    assert option(MobileNodeIdentifier(1, b"\xffx"))["identifier"] == "\ufffdx"


def test_options_that_are_not_known_or_broken_are_shown_raw() -> None:
    assert option(UnknownOption(200, b"\x01\x02")) == {"option": "Unknown Option", "type": 200, "data": "0102"}
    assert option(MalformedBindingIdentifier(b"\x07")) == {"option": "Malformed Binding Identifier", "data": "07"}


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("build", [from_mobile_node, to_mobile_node])
def test_every_field_of_every_message_is_shown(message: Message, build: Any) -> None:
    in_order = sorted(OPTIONS, key=lambda one: isinstance(one, BindingAuthorizationData))  # nothing may follow that
    full = replace(message, options=tuple(in_order))
    shown = dissected(build(full))
    for value, told in ((full, shown), *zip(full.options, shown["options"], strict=True)):
        for field in fields(value):
            in_answers_only = isinstance(value, BindingIdentifier | FlowIdentification) and field.name == "status"
            is_meaningless = isinstance(message, BindingUpdate) and in_answers_only
            assert (field.name in told or f"{field.name}_s" in told) is not is_meaningless
    assert json.loads(json.dumps(shown)) == shown
    assert shown["message"] in text(shown)


@pytest.mark.parametrize("value", OPTIONS)
def test_every_option_is_shown_by_name(value: Option) -> None:
    shown = option(value)
    message = {"message": "X", "source": "a", "destination": "b", "options": [shown]}
    assert shown["option"] in text(message)


SELECTOR = Ipv6Selector(source=Span(HOA, HA), source_port=Span(5060, 5061), next_header=Span.only(17))
FLOW = FlowIdentification(7, 20, suboptions=(BindingReference((2, 1)), SELECTOR))


def suboption(value: Suboption) -> dict[str, Any]:
    (one,) = option(FlowIdentification(1, 1, suboptions=(value,)))["suboptions"]
    assert isinstance(one, dict)
    return one


def line(value: Suboption) -> str:
    message = BindingAcknowledgement(0, BindingAcknowledgementFlag(0), 1, 1, (FlowIdentification(1, 1, 0, (value,)),))
    return text(dissected(to_mobile_node(message))).splitlines()[-1]


def test_a_flow_is_shown_with_all_that_is_in_it() -> None:
    assert option(FLOW) == {
        "option": "Flow Identification",
        "fid": 7,
        "priority": 20,
        "status": 0,
        "status_name": "accepted",
        "suboptions": [
            {"suboption": "Binding Reference", "bids": [2, 1]},
            {
                "suboption": "IPv6 Selector",
                "source": {"first": str(HOA), "last": str(HA)},
                "destination": None,
                "spi": None,
                "flow_label": None,
                "source_port": {"first": 5060, "last": 5061},
                "destination_port": None,
                "dscp": None,
                "next_header": {"first": 17, "last": 17},
                "packets": f"udp from {HOA}-{HA} port 5060-5061",
            },
        ],
    }


def test_flows_as_text() -> None:
    message = BindingAcknowledgement(
        0,
        BindingAcknowledgementFlag(0),
        1,
        1,
        (FlowSummary((1, 2, 65535)), FLOW, FlowIdentification(8, 30, status=131)),
    )
    assert text(dissected(to_mobile_node(message))).splitlines()[3:] == [
        "    Flow Summary: FIDs 1, 2, 65535",
        "    Flow Identification: FID 7, priority 20, status accepted (0)",
        "      Binding Reference: BIDs 2, 1",
        f"      IPv6 Selector: udp from {HOA}-{HA} port 5060-5061",
        "    Flow Identification: FID 8, priority 30, status bid not found (131)",
    ]


def test_the_status_of_a_flow_means_nothing_in_an_update() -> None:
    address = next(one for one in OPTIONS if isinstance(one, Ipv4AddressAcknowledgement))
    message = BindingUpdate(1, FLAGS, 1, (BindingIdentifier(1, status=166), replace(FLOW, status=131), address))
    bound, flow, other = dissected(from_mobile_node(message))["options"]
    assert not {"status", "status_name"} & (bound.keys() | flow.keys())
    assert (flow["fid"], len(flow["suboptions"])) == (7, 2)
    assert other["status_name"] == "unspecified"  # not one of those two


def test_the_status_of_a_flow_is_not_that_of_a_binding() -> None:
    assert option(replace(FLOW, status=133))["status_name"] == "traffic selector format not supported"
    assert option(replace(FLOW, status=166))["status_name"] == "unknown"


@pytest.mark.parametrize(
    ("value", "told", "words"),
    [
        (UnknownSuboption(9, b"\x01\xff"), {"type": 9, "data": "01ff"}, "Unknown Suboption: type 9, data 01ff"),
        (MalformedSuboption(2, b"\x09"), {"type": 2, "data": "09"}, "Malformed Suboption: type 2, data 09"),
        (MalformedSuboption(3, b""), {"type": 3, "data": ""}, "Malformed Suboption: type 3, data"),
        (UnknownSelector(77, b"\x0a"), {"format": 77, "data": "0a"}, "Unknown Selector: format 77, data 0a"),
    ],
)
def test_suboptions_that_are_not_known_or_broken_are_shown_raw(
    value: Suboption, told: dict[str, Any], words: str
) -> None:
    shown = suboption(value)
    assert shown.pop("suboption") == words.partition(":")[0]
    assert shown == told
    assert line(value) == f"      {words}"


def test_an_ipv4_selector_is_told_as_well() -> None:
    selector = Ipv4Selector(destination=Span.only(IPv4Address("192.0.2.1")), spi=Span(256, 511), protocol=Span.only(50))
    shown = suboption(selector)
    assert shown["suboption"] == "IPv4 Selector"
    assert shown["destination"] == {"first": "192.0.2.1", "last": "192.0.2.1"}
    assert shown["spi"] == {"first": 256, "last": 511}
    assert line(selector) == "      IPv4 Selector: esp to 192.0.2.1 spi 256-511"


def test_a_selector_that_says_nothing_selects_everything() -> None:
    assert line(Ipv6Selector()) == "      IPv6 Selector: everything"


@given(st.binary(max_size=60))
@example(bytes((0, 1, 0, 2, 0, 0, 3, 200)))
def test_no_octets_in_a_flow_make_it_fail(body: bytes) -> None:
    message = BindingUpdate(1, FLAGS, 1, (UnknownOption(OptionType.FLOW_IDENTIFICATION, body),))
    shown = dissected(from_mobile_node(message))
    assert json.loads(json.dumps(shown)) == shown
    assert text(shown)
    assert ("malformed" in shown) is (len(body) < 6)


def test_ipv4_is_spelled_like_that() -> None:
    names = {option(one)["option"] for one in OPTIONS}
    assert {"IPv4 Home Address", "IPv4 Address Acknowledgement", "IPv4 Care Of Address"} <= names


def malformed(packet: bytes) -> str:
    shown = dissected(packet)
    lines = text(shown).splitlines()
    assert lines[0] == f"MALFORMED mobility message: {shown['malformed']}"
    assert "".join(line.strip() for line in lines if line.startswith("    ")) == shown["octets"]
    reason: str = shown["malformed"]
    return reason


def test_a_wrong_checksum_is_malformed() -> None:
    packet = bytearray(from_mobile_node(UPDATE))
    packet[-1] ^= 1
    assert malformed(bytes(packet)) == "bad checksum"
    assert dissected(bytes(packet))["octets"] == bytes(packet[64:]).hex()


def test_a_checksum_over_the_care_of_address_is_wrong() -> None:
    """What a kernel computes that knows nothing of the Home Address option."""
    plain = build_from_mobile_node(Packet(COA, HA, None, encode(UPDATE)))
    with_option = from_mobile_node(UPDATE)
    assert malformed(with_option[:64] + plain[40:]) == "bad checksum"


def test_an_unknown_type_is_named() -> None:
    packet = bytearray(from_mobile_node(UPDATE))
    packet[64 + 2] = 99
    assert malformed(bytes(packet)) == "unknown message type 99"


def test_an_option_that_runs_past_the_end_is_malformed() -> None:
    packet = bytearray(from_mobile_node(BindingUpdate(1, FLAGS, 1, (UnknownOption(200, b"\x01\x02"),))))
    packet[64 + 13] = 200
    assert "runs past the end" in malformed(bytes(packet))


def test_a_packet_that_was_cut_is_said_to_be() -> None:
    assert malformed(from_mobile_node(UPDATE)[:-8]) == "captured only in part"


def test_what_is_behind_the_packet_is_not_its_part() -> None:
    packet = from_mobile_node(UPDATE)
    assert dissect(packet + b"padding") == dissect(packet)


def test_a_routing_header_of_another_type_is_malformed() -> None:
    packet = bytearray(to_mobile_node(UPDATE))
    packet[42] = 4
    assert malformed(bytes(packet)) == "not a type 2 routing header with one segment left"


def test_two_home_addresses_are_malformed() -> None:
    packet = bytearray(from_mobile_node(UPDATE))
    twice = packet[40:64] + packet[40:]
    twice[0] = 60
    packet[40:] = twice
    packet[4:6] = (len(packet) - 40).to_bytes(2, "big")
    assert dissected(bytes(packet))["home_address_option"] == str(HOA)
    del packet[40:64]
    packet[41] = 4
    packet[40:64] = packet[40:64] + bytes((201, 16)) + HOA.packed[:14]
    packet[4:6] = (len(packet) - 40).to_bytes(2, "big")
    assert "malformed" in dissected(bytes(packet))


def test_destination_options_without_a_home_address_are_passed() -> None:
    plain = build_from_mobile_node(Packet(COA, HA, None, encode(UPDATE)))
    packet = bytearray(plain[:40] + bytes((135, 0, 1, 4, 0, 0, 0, 0)) + plain[40:])
    packet[4:6] = (len(packet) - 40).to_bytes(2, "big")
    packet[6] = 60
    shown = dissected(bytes(packet))
    assert shown["message"] == "Binding Update"
    assert "home_address_option" not in shown


def test_what_is_in_a_tunnel_is_not_shown() -> None:
    inner = from_mobile_node(UPDATE)
    outer = bytes((0x60, 0, 0, 0)) + len(inner).to_bytes(2, "big") + bytes((41, 64)) + COA.packed + HA.packed
    assert dissect(outer + inner) is None


@pytest.mark.parametrize("packet", [b"", b"\x45" + bytes(60), b"\x60" + bytes(39)])
def test_what_is_no_mobility_message_is_not_shown(packet: bytes) -> None:
    assert dissect(packet) is None


@given(st.binary(max_size=80), st.sampled_from((0, 43, 60, 135)))
@example(b"", 135)
@example(bytes((135, 0, 0, 0)), 60)
def test_no_octets_make_it_fail(payload: bytes, next_header: int) -> None:
    header = bytes((0x60, 0, 0, 0)) + len(payload).to_bytes(2, "big") + bytes((next_header, 64))
    shown = dissect(header + COA.packed + HA.packed + payload)
    if shown is not None:
        json.dumps(shown)
        text(shown)
