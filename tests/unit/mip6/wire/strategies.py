"""All messages and options that can be on the wire."""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

from hypothesis import strategies as st

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
from mip6.wire.registry import BindingAcknowledgementFlag, BindingUpdateFlag, OptionType, RevocationFlag
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, Span, UnknownSelector


def bits(width: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << width) - 1)


def octets(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


u8, u16, u32 = bits(8), bits(16), bits(32)
ipv4 = u32.map(IPv4Address)
ipv6 = bits(128).map(IPv6Address)
some = st.binary(max_size=30)


def span(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Span[Any] | None]:
    return st.none() | values.map(Span.only) | st.tuples(values, values).map(lambda ends: Span(*sorted(ends)))


selector = st.one_of(
    st.builds(Ipv4Selector, *map(span, (ipv4, ipv4, u32, u16, u16, bits(6), u8))),
    st.builds(Ipv6Selector, *map(span, (ipv6, ipv6, u32, bits(20), u16, u16, bits(6), u8))),
    st.builds(UnknownSelector, st.integers(3, 255), st.binary(max_size=16)),
)

# Small ones, so that any of them fit into one option together
other_suboption = st.one_of(
    st.builds(BindingReference, st.lists(u16, max_size=8).map(tuple)),
    st.builds(UnknownSuboption, st.integers(4, 255), st.binary(max_size=16)),
    # A BID and a half; selectors of format 0 and with an end of a source address without a start
    st.builds(lambda bids: MalformedSuboption(2, bytes((2 * bids + 1,)) + bytes(2 * bids + 1)), st.integers(0, 7)),
    st.builds(lambda data: MalformedSuboption(3, bytes((len(data) + 1, 0)) + data), st.binary(max_size=15)),
    st.builds(lambda number: MalformedSuboption(3, bytes((10, number, 0, 64, 0, 0, 0, 1, 2, 3, 4))), st.integers(1, 2)),
)
running_past_the_end = st.builds(
    MalformedSuboption,
    st.integers(1, 255),
    st.just(b"") | st.builds(lambda data, more: bytes((len(data) + more,)) + data, octets(5), st.integers(1, 250)),
)
suboptions = st.builds(
    lambda *parts: tuple(suboption for part in parts for suboption in part),
    st.lists(other_suboption, max_size=2),
    st.lists(selector, max_size=1),
    st.lists(other_suboption, max_size=2),
    st.lists(running_past_the_end, max_size=1),
)
flow_identification = st.builds(FlowIdentification, u16, u16, u8, suboptions)

message_authentication = st.builds(MessageAuthentication, u8, u32, some)
option = st.one_of(
    st.builds(BindingRefreshAdvice, u16),
    st.builds(AlternateCareOfAddress, ipv6),
    st.builds(NonceIndices, u16, u16),
    st.builds(MobileNetworkPrefix, u8, ipv6),
    st.builds(LinkLayerAddress, u8, some),
    st.builds(MobileNodeIdentifier, u8, some),
    message_authentication,
    st.builds(MessageReplayProtection, bits(64)),
    st.builds(VendorSpecific, u32, u8, some),
    st.builds(Ipv4HomeAddress, bits(6), st.booleans(), ipv4),
    st.builds(Ipv4AddressAcknowledgement, u8, bits(6), ipv4),
    st.builds(NatDetection, st.booleans(), u32),
    st.builds(Ipv4CareOfAddress, ipv4),
    st.builds(BindingIdentifier, u16, u8, st.booleans(), bits(7), st.none() | ipv4 | ipv6),
    st.builds(MalformedBindingIdentifier, some.filter(lambda data: len(data) not in (4, 8, 20))),
    st.builds(FlowSummary, st.lists(u16, max_size=20).map(tuple)),
    flow_identification,
    st.builds(UnknownOption, st.sampled_from(sorted(set(range(2, 256)) - set(OptionType))), some),
)
last_option = st.builds(BindingAuthorizationData, octets(12)) | message_authentication
options = st.builds(
    lambda first, last: (*first, *last), st.lists(option, max_size=6), st.lists(last_option, max_size=1)
)

# A strategy of flags draws combinations of them
update_flags = st.sampled_from(BindingUpdateFlag)
acknowledgement_flags = st.sampled_from(BindingAcknowledgementFlag)
revocation_flags = st.sampled_from(RevocationFlag)

message = st.one_of(
    st.builds(BindingRefreshRequest, options),
    st.builds(HomeTestInit, octets(8), options),
    st.builds(CareOfTestInit, octets(8), options),
    st.builds(HomeTest, u16, octets(8), octets(8), options),
    st.builds(CareOfTest, u16, octets(8), octets(8), options),
    st.builds(BindingUpdate, u16, update_flags, u16, options),
    st.builds(BindingAcknowledgement, u8, acknowledgement_flags, u16, u16, options),
    st.builds(BindingError, u8, ipv6, options),
    st.builds(HomeAgentSwitch, st.lists(ipv6, max_size=5).map(tuple), options),
    st.builds(BindingRevocationIndication, u8, u16, revocation_flags, options),
    st.builds(BindingRevocationAcknowledgement, u8, u16, revocation_flags, options),
)
