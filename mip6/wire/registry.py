"""The numbers that IANA assigned, under the names of the RFCs.

Values that arrive may be any number, so message and option fields are plain integers; compare them with these.
"""

from enum import IntEnum, IntFlag


class NextHeader(IntEnum):
    """IPv6 next header values (IANA: protocol numbers)."""

    ROUTING = 43
    ICMPV6 = 58
    NO_NEXT_HEADER = 59
    DESTINATION_OPTIONS = 60
    MOBILITY = 135


class MessageType(IntEnum):
    """MH Type (RFC 6275 section 6.1, RFC 5142, RFC 5846)."""

    BINDING_REFRESH_REQUEST = 0
    HOME_TEST_INIT = 1
    CARE_OF_TEST_INIT = 2
    HOME_TEST = 3
    CARE_OF_TEST = 4
    BINDING_UPDATE = 5
    BINDING_ACKNOWLEDGEMENT = 6
    BINDING_ERROR = 7
    HOME_AGENT_SWITCH = 12
    BINDING_REVOCATION = 16


class OptionType(IntEnum):
    """Mobility options (padding: see tlv)."""

    BINDING_REFRESH_ADVICE = 2
    ALTERNATE_CARE_OF_ADDRESS = 3
    NONCE_INDICES = 4
    BINDING_AUTHORIZATION_DATA = 5
    MOBILE_NETWORK_PREFIX = 6
    LINK_LAYER_ADDRESS = 7
    MOBILE_NODE_IDENTIFIER = 8
    MESSAGE_AUTHENTICATION = 9
    MESSAGE_REPLAY_PROTECTION = 10
    VENDOR_SPECIFIC = 19
    IPV4_HOME_ADDRESS = 29
    # RFC 5555 section 8 says 29 once more; its section 3.2.1 and IANA say 30
    IPV4_ADDRESS_ACKNOWLEDGEMENT = 30
    NAT_DETECTION = 31
    IPV4_CARE_OF_ADDRESS = 32
    BINDING_IDENTIFIER = 35
    # RFC 6089 section 8 lists these two the other way round; its section 4.2 and IANA have them like this
    FLOW_SUMMARY = 44
    FLOW_IDENTIFICATION = 45


class BindingUpdateFlag(IntFlag):
    """Flags of the Binding Update (RFC 6275 section 6.1.7 and the RFCs named)."""

    ACKNOWLEDGE = 0x8000
    HOME_REGISTRATION = 0x4000
    LINK_LOCAL_COMPATIBILITY = 0x2000
    KEY_MANAGEMENT_MOBILITY = 0x1000
    MAP_REGISTRATION = 0x0800  # RFC 5380
    MOBILE_ROUTER = 0x0400  # RFC 3963
    PROXY_REGISTRATION = 0x0200  # RFC 5213
    FORCE_UDP_ENCAPSULATION = 0x0100  # RFC 5555
    TLV_HEADER_FORMAT = 0x0080  # RFC 5845
    # RFC 5648 section 4.2. RFC 6602 took the same bit for bulk registration of proxies, so it means that when
    # PROXY_REGISTRATION is set.
    OVERWRITE = 0x0040
    MULTICAST_SIGNALING = 0x0020  # RFC 7161


class BindingAcknowledgementFlag(IntFlag):
    """Flags of the Binding Acknowledgement (RFC 6275 section 6.1.8 and the RFCs named)."""

    KEY_MANAGEMENT_MOBILITY = 0x80
    MOBILE_ROUTER = 0x40  # RFC 3963
    PROXY_REGISTRATION = 0x20  # RFC 5213
    TLV_HEADER_FORMAT = 0x10  # RFC 5845
    BULK_BINDING_UPDATE = 0x08  # RFC 6602


class Status(IntEnum):
    """Status of a Binding Acknowledgement or of a Binding Identifier option: from 128 on the binding was refused."""

    ACCEPTED = 0
    ACCEPTED_PREFIX_DISCOVERY_NECESSARY = 1
    GRE_KEY_OPTION_NOT_REQUIRED = 2
    GRE_TUNNELING_BUT_TLV_HEADER_NOT_SUPPORTED = 3
    MCOA_NOTCOMPLETE = 4
    MCOA_RETURNHOME_WO_NDP = 5
    UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INSUFFICIENT_RESOURCES = 130
    HOME_REGISTRATION_NOT_SUPPORTED = 131
    NOT_HOME_SUBNET = 132
    NOT_HOME_AGENT_FOR_THIS_MOBILE_NODE = 133
    DUPLICATE_ADDRESS_DETECTION_FAILED = 134
    SEQUENCE_NUMBER_OUT_OF_WINDOW = 135
    EXPIRED_HOME_NONCE_INDEX = 136
    EXPIRED_CARE_OF_NONCE_INDEX = 137
    EXPIRED_NONCES = 138
    REGISTRATION_TYPE_CHANGE_DISALLOWED = 139
    MOBILE_ROUTER_OPERATION_NOT_PERMITTED = 140
    INVALID_PREFIX = 141
    NOT_AUTHORIZED_FOR_PREFIX = 142
    FORWARDING_SETUP_FAILED = 143
    # RFC 4285. RFC 5555 uses 144 as well, for a refused forced UDP encapsulation: it means that when the update had
    # FORCE_UDP_ENCAPSULATION and no replay protection option.
    MIPV6_ID_MISMATCH = 144
    MIPV6_MESG_ID_REQD = 145
    MIPV6_AUTH_FAIL = 146
    PERMANENT_HOME_KEYGEN_TOKEN_UNAVAILABLE = 147
    CGA_AND_SIGNATURE_VERIFICATION_FAILED = 148
    PERMANENT_HOME_KEYGEN_TOKEN_EXISTS = 149
    NON_NULL_HOME_NONCE_INDEX_EXPECTED = 150
    SERVICE_AUTHORIZATION_FAILED = 151
    MCOA_MALFORMED = 164
    MCOA_NON_MCOA_BINDING_EXISTS = 165
    MCOA_PROHIBITED = 166
    MCOA_UNKNOWN_COA = 167
    MCOA_BULK_REGISTRATION_PROHIBITED = 168
    MCOA_SIMULTANEOUS_HOME_AND_FOREIGN_PROHIBITED = 169
    INVALID_CARE_OF_ADDRESS = 174


class BindingErrorStatus(IntEnum):
    """Status of a Binding Error (RFC 6275 section 6.1.9)."""

    UNKNOWN_BINDING = 1
    UNRECOGNIZED_MH_TYPE = 2


class RevocationTrigger(IntEnum):
    """Why a binding is revoked (RFC 5846 section 5.1); from 128 on it is about all bindings of a peer."""

    UNSPECIFIED = 0
    ADMINISTRATIVE_REASON = 1
    INTER_MAG_HANDOVER_SAME_ACCESS_TYPE = 2
    INTER_MAG_HANDOVER_DIFFERENT_ACCESS_TYPE = 3
    INTER_MAG_HANDOVER_UNKNOWN = 4
    USER_INITIATED_SESSION_TERMINATION = 5
    ACCESS_NETWORK_SESSION_TERMINATION = 6
    POSSIBLE_OUT_OF_SYNC_BCE_STATE = 7
    PER_PEER_POLICY = 128
    REVOKING_MOBILITY_NODE_LOCAL_POLICY = 129


class RevocationStatus(IntEnum):
    """Answer to a revocation (RFC 5846 section 5.2); from 128 on it was refused."""

    SUCCESS = 0
    PARTIAL_SUCCESS = 1
    BINDING_DOES_NOT_EXIST = 128
    IPV4_HOME_ADDRESS_OPTION_REQUIRED = 129
    GLOBAL_REVOCATION_NOT_AUTHORIZED = 130
    REVOKED_MOBILE_NODES_IDENTITY_REQUIRED = 131
    REVOCATION_FAILED_MN_IS_ATTACHED = 132
    REVOCATION_TRIGGER_NOT_SUPPORTED = 133
    REVOCATION_FUNCTION_NOT_SUPPORTED = 134
    PROXY_BINDING_REVOCATION_NOT_SUPPORTED = 135


class RevocationFlag(IntFlag):
    """Flags of both revocation messages (RFC 5846 section 5)."""

    PROXY_BINDING = 0x8000
    IPV4_HOME_ADDRESS_BINDING_ONLY = 0x4000
    GLOBAL = 0x2000


class LinkLayerAddressCode(IntEnum):
    """Option-Code of the Mobility Header Link-Layer Address option (RFC 5568 section 6.4.4)."""

    MOBILE_NODE = 2


class IdentifierSubtype(IntEnum):
    """Subtype of the Mobile Node Identifier option (RFC 4283 section 3)."""

    NAI = 1


class AuthenticationSubtype(IntEnum):
    """Subtype of the Mobility Message Authentication option (RFC 4285 section 5)."""

    MN_HA = 1
    MN_AAA = 2


class Ipv4AddressStatus(IntEnum):
    """Status of the IPv4 Address Acknowledgement option (RFC 5555 section 3.2.1); from 128 on it was refused."""

    SUCCESS = 0
    UNSPECIFIED = 128
    ADMINISTRATIVELY_PROHIBITED = 129
    INCORRECT_IPV4_HOME_ADDRESS = 130
    INVALID_IPV4_ADDRESS = 131
    DYNAMIC_ASSIGNMENT_NOT_AVAILABLE = 132
    PREFIX_ALLOCATION_UNAUTHORIZED = 133


class FlowSuboptionType(IntEnum):
    """Sub-options of the Flow Identification option (RFC 6089 section 4.2.1)."""

    PAD1 = 0
    PADN = 1
    BINDING_REFERENCE = 2
    TRAFFIC_SELECTOR = 3


class TrafficSelectorFormat(IntEnum):
    """TS Format of the Traffic Selector sub-option (RFC 6088 section 3); 0 is reserved."""

    IPV4_BINARY = 1
    IPV6_BINARY = 2


class FlowStatus(IntEnum):
    """Status of the Flow Identification option (RFC 6089 section 4.2); from 128 on the flow was refused.

    These are not the numbers of a Binding Acknowledgement, where 131, say, means something else.
    """

    ACCEPTED = 0
    ADMINISTRATIVELY_PROHIBITED = 128
    UNSPECIFIED = 129
    MALFORMED = 130
    BID_NOT_FOUND = 131
    FID_NOT_FOUND = 132
    TRAFFIC_SELECTOR_FORMAT_NOT_SUPPORTED = 133


class IcmpType(IntEnum):
    """ICMPv6 types used here (RFC 4443; RFC 4861; RFC 6275 sections 6.5 to 6.8)."""

    PACKET_TOO_BIG = 2
    PARAMETER_PROBLEM = 4
    ECHO_REQUEST = 128
    ECHO_REPLY = 129
    ROUTER_SOLICITATION = 133
    ROUTER_ADVERTISEMENT = 134
    NEIGHBOR_SOLICITATION = 135
    NEIGHBOR_ADVERTISEMENT = 136
    HOME_AGENT_ADDRESS_DISCOVERY_REQUEST = 144
    HOME_AGENT_ADDRESS_DISCOVERY_REPLY = 145
    MOBILE_PREFIX_SOLICITATION = 146
    MOBILE_PREFIX_ADVERTISEMENT = 147


class NeighborOptionType(IntEnum):
    """Options of neighbor discovery used here (RFC 4861 section 4.6, RFC 6275 sections 7.3 and 7.4)."""

    TARGET_LINK_LAYER_ADDRESS = 2
    PREFIX_INFORMATION = 3
    ADVERTISEMENT_INTERVAL = 7
    HOME_AGENT_INFORMATION = 8
