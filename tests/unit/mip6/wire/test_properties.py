"""What holds for all messages and options."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mip6.wire.errors import DecodeError
from mip6.wire.messages import HomeAgentSwitch, Message, decode, encode
from mip6.wire.options import BindingAuthorizationData, MessageAuthentication
from tests.unit.mip6.wire.strategies import message
from tests.unit.mip6.wire.walk import walk

# Where the options of each MH Type begin (RFC 6275 sections 6.1.2 to 6.1.9, RFC 5846 section 5)
OPTIONS_AT = {0: 8, 1: 16, 2: 16, 3: 24, 4: 24, 5: 12, 6: 12, 7: 24, 16: 12}

# xn+y of each option type, as the RFCs have it
ALIGNMENT = {
    2: (2, 0),
    3: (8, 6),
    4: (2, 0),
    5: (8, 2),
    6: (8, 4),
    9: (4, 1),
    10: (8, 2),
    19: (4, 2),
    29: (4, 0),
    30: (4, 0),
    31: (4, 0),
    32: (4, 0),
    44: (2, 0),
    45: (2, 0),
}


def alignment(kind: int, value: bytes) -> tuple[int, int]:
    if kind == 35 and len(value) in (4, 8, 20):  # RFC 5648 section 4.3: without a care-of address, and with one
        return (2, 0) if len(value) == 4 else (8, 2)
    return ALIGNMENT.get(kind, (1, 0))


def options_at(value: Message) -> int:
    if isinstance(value, HomeAgentSwitch):
        return 8 + 16 * len(value.home_agents)
    return OPTIONS_AT[encode(value)[2]]


@pytest.mark.req("MH-14", "MCOA-01")
@settings(deadline=None, max_examples=1000)
@given(message)
def test_round_trip(value: Message) -> None:
    assert decode(encode(value)) == value


@pytest.mark.req("MH-02", "MH-03", "MH-04")
@settings(deadline=None)
@given(message)
def test_header(value: Message) -> None:
    data = encode(value)
    assert len(data) % 8 == 0
    assert (data[0], data[1], data[3:6]) == (59, len(data) // 8 - 1, bytes(3))


@pytest.mark.req("MH-16", "MCOA-02")
@settings(deadline=None, max_examples=1000)
@given(message)
def test_alignment(value: Message) -> None:
    """Every option is where it may be, or ends the message as authorization data has to."""
    data = encode(value)
    for at, kind, body in walk(data, options_at(value)):
        x, y = alignment(kind, body)
        ends = kind == 9 and at + 2 + len(body) == len(data)
        assert at % x == y or (ends and len(body) != 17), (at, kind)


@pytest.mark.req("MH-15", "MH-16")
@settings(deadline=None)
@given(message)
def test_padding(value: Message) -> None:
    """No more than is needed, in one option, with zeros."""
    previous = None
    for _, kind, body in walk(encode(value), options_at(value)):
        if kind in (0, 1):
            assert previous not in (0, 1)
            assert len(body) <= 5
            assert not any(body)
        previous = kind


@pytest.mark.req("MH-19", "AUTH-01")
@settings(deadline=None)
@given(message)
def test_nothing_follows_authorization_data(value: Message) -> None:
    data = encode(value)
    last = value.options[-1] if value.options else None
    if isinstance(last, BindingAuthorizationData | MessageAuthentication):
        *_, (at, kind, _) = walk(data, options_at(value))
        assert kind in (5, 9)
        assert data[at:].endswith(last.authenticator)


def message_or_error(data: bytes) -> Message | DecodeError:
    try:
        return decode(data)
    except DecodeError as error:
        return error


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=64), st.sampled_from(sorted({*OPTIONS_AT, 12})))
def test_any_octets(body: bytes, kind: int) -> None:
    """A message or a DecodeError, and nothing else."""
    header = bytes((59, (6 + len(body)) // 8 - 1 & 0xFF, kind, 0, 0, 0))
    assert isinstance(message_or_error(header + body), Message | DecodeError)


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_any_octets_without_a_header(data: bytes) -> None:
    assert isinstance(message_or_error(data), Message | DecodeError)
