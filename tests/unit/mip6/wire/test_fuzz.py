"""A million damaged messages: each is a message or a DecodeError, and nothing else comes out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import pytest

from mip6.wire.errors import DecodeError, DecodeReason
from mip6.wire.flows import BindingReference, MalformedSuboption, UnknownSuboption
from mip6.wire.messages import BindingUpdate, Message, decode, encode
from mip6.wire.options import FlowIdentification
from mip6.wire.registry import BindingUpdateFlag
from mip6.wire.traffic_selectors import Ipv4Selector, Ipv6Selector, UnknownSelector
from tests.unit.mip6.wire.golden import GOLDEN

MESSAGES = 1_000_000
SEED = 6275

LENGTHS = (0, 1, 2, 4, 6, 8, 12, 16, 18, 20, 127, 255)
"""Octets that are a length where a length is read."""


def valid_messages() -> list[bytes]:
    """All golden ones, and one with all their options."""
    options = [option for golden in GOLDEN for option in golden.message.options]
    closing = [option for option in options if hasattr(option, "authenticator")][:1]
    first = [option for option in options if not hasattr(option, "authenticator")]
    everything = BindingUpdate(1, BindingUpdateFlag.ACKNOWLEDGE, 1, (*first, *closing))
    return [*(golden.octets for golden in GOLDEN), encode(everything)]


def damaged(valid: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Damage of six kinds; half the time Header Len is made to fit again, so that what follows it is looked at."""
    random = Random(seed)
    for _ in range(count):
        # One draw for all decisions, the generator would otherwise take longer than the decoder
        chance = random.getrandbits(80)
        data = bytearray(valid[chance % len(valid)])
        at = (chance >> 8) % len(data)
        octet = chance >> 24 & 0xFF
        match (chance >> 32) % 6:
            case 0:
                data[at] ^= 1 << octet % 8
            case 1:
                for shift in (40, 48, 56):
                    data[(chance >> shift) % len(data)] ^= 1 << (chance >> shift + 8) % 8
            case 2:
                del data[at:]
            case 3:
                data[at:] = valid[octet % len(valid)][(chance >> 40) % 64 :]
            case 4:
                data[at] = LENGTHS[octet % len(LENGTHS)]
            case 5:
                data[at:at] = bytes((octet, LENGTHS[(chance >> 40) % len(LENGTHS)])) * 4
        if chance >> 79 and len(data) >= 8:
            data[1] = min(len(data) // 8 - 1, 255)
        yield bytes(data)


def outcome(data: bytes) -> Message | DecodeReason:
    try:
        return decode(data)
    except DecodeError as error:
        return error.reason
    except Exception as error:
        error.add_note(data.hex(" "))
        raise


@pytest.mark.req("MH-14", "MH-17")
def test_damaged_messages() -> None:
    outcomes = Counter[object]()
    for data in damaged(valid_messages(), MESSAGES, SEED):
        result = outcome(data)
        outcomes[result if isinstance(result, DecodeReason) else type(result)] += 1
    assert outcomes.total() == MESSAGES
    # It went everywhere: each message, and each reason that a Mobility Header can have
    assert set(outcomes) == {
        *(type(golden.message) for golden in GOLDEN),
        DecodeReason.TRUNCATED,
        DecodeReason.BAD_HEADER_LENGTH,
        DecodeReason.BAD_PAYLOAD_PROTO,
        DecodeReason.UNKNOWN_TYPE,
        DecodeReason.UNKNOWN_REVOCATION_TYPE,
        DecodeReason.BAD_OPTION_LENGTH,
    }
    assert min(outcomes.values()) > MESSAGES // 1000, outcomes


def test_what_is_decoded_from_damage_can_be_sent_and_comes_back() -> None:
    """Unless authorization data is no longer the last, or padding makes it too long."""
    again = 0
    suboptions = Counter[type]()
    for data in damaged(valid_messages(), MESSAGES // 50, SEED + 1):
        message = outcome(data)
        if isinstance(message, DecodeReason):
            continue
        try:
            sent = encode(message)
        except ValueError:
            continue
        assert decode(sent) == message
        again += 1
        flows = [option for option in message.options if isinstance(option, FlowIdentification)]
        suboptions.update(type(suboption) for flow in flows for suboption in flow.suboptions)
    assert again > MESSAGES // 200
    # Flow options are among the messages that were damaged, and came through in all their forms
    assert set(suboptions) == {
        BindingReference,
        Ipv4Selector,
        Ipv6Selector,
        UnknownSelector,
        UnknownSuboption,
        MalformedSuboption,
    }
    assert min(suboptions.values()) > MESSAGES // 2000, suboptions
