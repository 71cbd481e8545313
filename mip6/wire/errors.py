"""What is wrong with bytes that a peer sent."""

from enum import Enum


class DecodeReason(Enum):
    """Why bytes are not a value; the text is meant for a log line."""

    TRUNCATED = "fewer octets than the header announces"
    BAD_HEADER_LENGTH = "header length too small for this message"
    BAD_PAYLOAD_PROTO = "payload proto is not 'no next header'"
    UNKNOWN_TYPE = "unknown message type"
    UNKNOWN_REVOCATION_TYPE = "unknown binding revocation type"
    BAD_OPTION_LENGTH = "option runs past the end or has a length that its type cannot have"
    BAD_SELECTOR = "traffic selector without a format, or with a range that has no start or ends before it"
    BAD_OPTION = "option that this header must not carry"
    BAD_ROUTING_HEADER = "not a type 2 routing header with one segment left"
    BAD_HOME_ADDRESS = "home address is not unicast routable"
    NO_HOME_ADDRESS = "no home address option"
    BAD_NEIGHBOR_MESSAGE = "neighbor message that may come from another link"
    DUPLICATE_HOME_ADDRESS = "more than one home address option"


class DecodeError(ValueError):
    """Bytes that are not what they should be: count them, drop them.

    `pointer` is the octet of the Mobility Header at which an ICMPv6 Parameter Problem has to point, None where none is
    called for (RFC 6275 section 9.2). `message_type` is the type that UNKNOWN_TYPE is about, None otherwise.
    """

    def __init__(self, reason: DecodeReason, *, pointer: int | None = None, message_type: int | None = None) -> None:
        self.reason = reason
        self.pointer = pointer
        self.message_type = message_type
        super().__init__(reason.value if message_type is None else f"{reason.value} {message_type}")
