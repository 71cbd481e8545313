"""All messages and options that can be on the wire."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

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


def bits(width: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << width) - 1)


def octets(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


u8, u16, u32 = bits(8), bits(16), bits(32)
ipv4 = u32.map(IPv4Address)
ipv6 = bits(128).map(IPv6Address)
some = st.binary(max_size=30)

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
