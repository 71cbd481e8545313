"""States as messages of XFRM, in both directions."""

import struct
from collections.abc import Mapping
from ipaddress import IPv6Address
from socket import AF_INET6

from mip6.linux.netlink import Request, attribute, attributes
from mip6.linux.xfrm.structures import (
    NO_LIFETIMES,
    SELECTOR_COUNT,
    STATE,
    STATE_ID,
    XfrmAttribute,
    body,
    decoder,
    if_id_attribute,
    mark_attribute,
    mark_from,
    number_attribute,
    number_from,
    request,
    require_ipv6,
    selector_fields,
    selector_from,
)
from mip6.mark import Mark
from mip6.xfrm import Algorithms, CombinedMode, Mode, Protocol, SeparateAlgorithms, State, StateFlag, StateId, Usage

# struct xfrm_algo, xfrm_algo_auth and xfrm_algo_aead, xfrm_replay_state, xfrm_replay_state_esn
_ALGORITHM = struct.Struct("=64sI")
_ALGORITHM_WITH_ICV = struct.Struct("=64sII")
_REPLAY = struct.Struct("=III")
_REPLAY_ESN = struct.Struct("=IIIIII")

_NO_STATISTICS = (0, 0, 0)
_SMALL_WINDOW = 32
"""The largest replay window that needs no bitmap in an attribute."""
_ALL_BITS = 0xFFFF_FFFF


def state_message(state: State) -> Request:
    """To add or update it."""
    has_bitmap = StateFlag.ESN in state.flags or state.replay_window > _SMALL_WINDOW
    fields = STATE.pack(
        *selector_fields(state.selector),
        state.destination.packed,
        _spi(state.spi),
        state.protocol,
        state.source.packed,
        *NO_LIFETIMES,
        *_NO_STATISTICS,
        0,
        state.reqid,
        AF_INET6,
        state.mode,
        0 if has_bitmap else state.replay_window,
        state.flags,
    )
    return request(
        fields,
        _algorithm_attributes(state.algorithms),
        _bitmap_attribute(state.replay_window) if has_bitmap else b"",
        b"" if state.care_of is None else attribute(XfrmAttribute.COADDR, state.care_of.packed),
        _output_mark_attributes(state.output_mark),
        mark_attribute(state.mark),
        if_id_attribute(state.if_id),
    )


def state_id_message(id_: StateId) -> Request:
    """To ask for it or to delete it."""
    fields = STATE_ID.pack(id_.destination.packed, _spi(id_.spi), AF_INET6, id_.protocol)
    source = b"" if id_.source is None else attribute(XfrmAttribute.SRCADDR, id_.source.packed)
    return request(fields, source, mark_attribute(id_.mark))


@decoder
def state_from(message: bytes) -> tuple[State, Usage]:
    """The state that a message is about, and what it has done. Raises XfrmDecodeError."""
    data, found = body(message), attributes(message, STATE)
    return state_from_structure(data, found), _usage(data, found)


def state_from_structure(data: bytes, found: Mapping[int, bytes]) -> State:
    """From the structure STATE and attributes, wherever they are. Raises ValueError or struct.error."""
    fields = STATE.unpack_from(data)
    destination, spi, protocol, source = fields[SELECTOR_COUNT : SELECTOR_COUNT + 4]
    reqid, family, mode, replay_window, flags = fields[-5:]
    require_ipv6(family)
    if (bitmap := found.get(XfrmAttribute.REPLAY_ESN_VAL)) is not None:
        *_sequences, replay_window = _REPLAY_ESN.unpack_from(bitmap)
    care_of = found.get(XfrmAttribute.COADDR)
    return State(
        protocol=Protocol(protocol),
        mode=Mode(mode),
        source=IPv6Address(source),
        destination=IPv6Address(destination),
        spi=int.from_bytes(spi, "big"),
        reqid=reqid,
        algorithms=_algorithms_from(found),
        care_of=None if care_of is None else IPv6Address(care_of),
        selector=selector_from(fields),
        replay_window=replay_window,
        flags=StateFlag(flags),
        mark=mark_from(found),
        output_mark=_output_mark_from(found),
        if_id=number_from(found, XfrmAttribute.IF_ID),
    )


def _usage(data: bytes, found: Mapping[int, bytes]) -> Usage:
    octets, packets, added_at, used_at, too_late, replays, integrity_failures = STATE.unpack_from(data)[-13:-6]
    sent = received = 0
    if (bitmap := found.get(XfrmAttribute.REPLAY_ESN_VAL)) is not None:
        _words, sent, received, sent_high, received_high, _window = _REPLAY_ESN.unpack_from(bitmap)
        sent, received = sent_high << 32 | sent, received_high << 32 | received
    elif (replay := found.get(XfrmAttribute.REPLAY_VAL)) is not None:
        sent, received, _bits = _REPLAY.unpack_from(replay)
    return Usage(
        octets=octets,
        packets=packets,
        added_at=added_at,
        used_at=used_at or None,
        sent_sequence=sent,
        received_sequence=received,
        replays=replays,
        too_late=too_late,
        integrity_failures=integrity_failures,
    )


def _algorithm_attributes(algorithms: Algorithms | None) -> bytes:
    match algorithms:
        case None:
            return b""
        case CombinedMode(name, key, icv_bits):
            return attribute(XfrmAttribute.ALG_AEAD, _algorithm_with_icv(name, key, icv_bits))
        case SeparateAlgorithms(encryption, encryption_key, integrity, integrity_key, icv_bits):
            encrypting = _ALGORITHM.pack(encryption.encode(), 8 * len(encryption_key)) + encryption_key
            authenticating = _algorithm_with_icv(integrity, integrity_key, icv_bits)
            return attribute(XfrmAttribute.ALG_CRYPT, encrypting) + attribute(
                XfrmAttribute.ALG_AUTH_TRUNC, authenticating
            )


def _algorithms_from(found: Mapping[int, bytes]) -> Algorithms | None:
    if (combined := found.get(XfrmAttribute.ALG_AEAD)) is not None:
        return CombinedMode(*_algorithm_with_icv_from(combined))
    encrypting, authenticating = found.get(XfrmAttribute.ALG_CRYPT), found.get(XfrmAttribute.ALG_AUTH_TRUNC)
    if encrypting is None or authenticating is None:
        return None
    name, bits = _ALGORITHM.unpack_from(encrypting)
    key = _key(encrypting[_ALGORITHM.size :], bits)
    return SeparateAlgorithms(_name(name), key, *_algorithm_with_icv_from(authenticating))


def _algorithm_with_icv(name: str, key: bytes, icv_bits: int) -> bytes:
    return _ALGORITHM_WITH_ICV.pack(name.encode(), 8 * len(key), icv_bits) + key


def _algorithm_with_icv_from(data: bytes) -> tuple[str, bytes, int]:
    name, bits, icv_bits = _ALGORITHM_WITH_ICV.unpack_from(data)
    return _name(name), _key(data[_ALGORITHM_WITH_ICV.size :], bits), icv_bits


def _name(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("ascii")


def _key(data: bytes, bits: int) -> bytes:
    if 8 * len(data) < bits:
        raise ValueError("a key is cut short")
    return data[: -(-bits // 8)]


def _bitmap_attribute(replay_window: int) -> bytes:
    words = -(-replay_window // 32)
    return attribute(
        XfrmAttribute.REPLAY_ESN_VAL, _REPLAY_ESN.pack(words, 0, 0, 0, 0, replay_window) + bytes(4 * words)
    )


def _output_mark_attributes(mark: Mark | None) -> bytes:
    if mark is None:
        return b""
    value = number_attribute(XfrmAttribute.SET_MARK, mark.value)
    return value + number_attribute(XfrmAttribute.SET_MARK_MASK, mark.mask)


def _output_mark_from(found: Mapping[int, bytes]) -> Mark | None:
    if XfrmAttribute.SET_MARK not in found:
        return None
    value = number_from(found, XfrmAttribute.SET_MARK)
    return Mark(value, number_from(found, XfrmAttribute.SET_MARK_MASK, _ALL_BITS))


def _spi(number: int) -> bytes:
    return number.to_bytes(4, "big")
